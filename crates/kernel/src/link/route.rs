//! Routes of one namespace.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::Parseable as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use oncilla_net::IpNet;

use super::address::family;
use super::{LinkError, Links, emit};
use crate::netlink::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

/// The number of the main routing table.
pub const TABLE_MAIN: u32 = 254;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

/// What a route does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Drops it in silence.
    Blackhole,
    /// Anything else the kernel lists (local, broadcast, unreachable, …), by the kernel's number.
    Other(u8),
}

/// One route.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Route {
    /// Where to.
    pub dst: IpNet,
    /// What is done.
    pub kind: RouteKind,
    /// Next hop, of the same family; none when the destination is on the link.
    pub via: Option<IpAddr>,
    /// Interface.
    pub iface: Option<String>,
    /// The next hop is on the link although no route says so.
    pub onlink: bool,
    /// Source address preferred for packets of this machine.
    pub src: Option<IpAddr>,
    /// Lower wins; none is the kernel's default (0 for IPv4, 1024 for IPv6).
    pub metric: Option<u32>,
    /// Who made it, by the kernel's number (80 and above are free for programs; 3 is "boot", what `ip` uses).
    pub protocol: u8,
    /// Routing table.
    pub table: u32,
}

impl Route {
    /// A route to `dst` over nothing yet, in the main table, made by `protocol`.
    pub const fn new(dst: IpNet, protocol: u8) -> Self {
        Self {
            dst,
            kind: RouteKind::Unicast,
            via: None,
            iface: None,
            onlink: false,
            src: None,
            metric: None,
            protocol,
            table: TABLE_MAIN,
        }
    }

    /// The same over interface `iface`.
    #[must_use]
    pub fn dev(mut self, iface: &str) -> Self {
        self.iface = Some(iface.to_owned());
        self
    }

    /// The same by next hop `via`.
    #[must_use]
    pub const fn via(mut self, via: IpAddr) -> Self {
        self.via = Some(via);
        self
    }

    /// The same by next hop `via`, which is on the link although no route says so.
    #[must_use]
    pub const fn via_onlink(mut self, via: IpAddr) -> Self {
        self.via = Some(via);
        self.onlink = true;
        self
    }

    /// The same, dropping what it matches.
    #[must_use]
    pub const fn blackhole(mut self) -> Self {
        self.kind = RouteKind::Blackhole;
        self
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast => {}
            RouteKind::Blackhole => f.write_str("blackhole ")?,
            RouteKind::Other(number) => write!(f, "type {number} ")?,
        }
        write!(f, "{}", self.dst)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(iface) = &self.iface {
            write!(f, " dev {iface}")?;
        }
        if self.onlink {
            f.write_str(" onlink")?;
        }
        if let Some(src) = self.src {
            write!(f, " src {src}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        Ok(())
    }
}

impl Links {
    /// Every route of every table, both families, sorted.
    pub fn routes(&mut self) -> Result<Vec<Route>, LinkError> {
        let names: Vec<(u32, String)> = self
            .list()?
            .into_iter()
            .map(|link| (link.index, link.name))
            .collect();
        let mut found = self
            .channel
            .dump(
                RTM_GETROUTE,
                &emit(&RouteMessage::default()),
                &mut |message| decode(&RouteMessage::parse(message.body).ok()?, &names),
            )
            .map_err(|source| LinkError::List {
                what: "routes",
                source,
            })?;
        found.sort();
        Ok(found)
    }

    /// Adds a route; an error when one with that destination, metric and table is there.
    pub fn add_route(&mut self, route: &Route) -> Result<(), LinkError> {
        self.change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "add", route)
    }

    /// Adds a route or takes the place of the one with that destination, metric and table.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), LinkError> {
        self.change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, "replace", route)
    }

    /// Removes a route.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), LinkError> {
        self.change_route(RTM_DELROUTE, 0, "delete", route)
    }

    /// Whether packets to `address` that come in by interface `name` are taken in as this namespace's own. For IPv6 the
    /// kernel sees to that from a worker, some time after the address was added.
    pub fn is_local(&mut self, name: &str, address: IpAddr) -> Result<bool, LinkError> {
        let route = Route::new(IpNet::from(address), 0).dev(name);
        let index = self.index(name)?;
        let found = self.look_up(route, Some(index))?;
        Ok(found.is_some_and(|found| found.header.kind == RouteType::Local))
    }

    /// The number of the interface by which packets to an address leave this namespace, as its routes say now; none
    /// when no route says.
    pub fn way_to(&mut self, address: IpAddr) -> Result<Option<u32>, LinkError> {
        let found = self.look_up(Route::new(IpNet::from(address), 0), None)?;
        let attributes = found.into_iter().flat_map(|found| found.attributes);
        Ok({ attributes }.find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(index),
            _ => None,
        }))
    }

    /// What the kernel's routes say of one packet; none when no route says anything.
    fn look_up(
        &mut self,
        route: Route,
        oif: Option<u32>,
    ) -> Result<Option<RouteMessage>, LinkError> {
        let mut message = encode(&route, oif, false);
        message.header.table = RouteHeader::RT_TABLE_UNSPEC;
        message
            .attributes
            .retain(|attribute| !matches!(attribute, RouteAttribute::Table(_)));
        let mut said = None;
        let asked = self
            .channel
            .request(RTM_GETROUTE, 0, &emit(&message), &mut |message| {
                said = RouteMessage::parse(message.body).ok();
            });
        match asked {
            Ok(()) => Ok(said),
            Err(error) if is_unrouted(&error) => Ok(None),
            Err(source) => Err(LinkError::Route {
                action: "look up",
                route: Box::new(route),
                source,
            }),
        }
    }

    fn change_route(
        &mut self,
        kind: u16,
        flags: u16,
        action: &'static str,
        route: &Route,
    ) -> Result<(), LinkError> {
        let oif = match &route.iface {
            Some(iface) => Some(self.index(iface)?),
            None => None,
        };
        let message = encode(route, oif, kind == RTM_DELROUTE);
        self.channel
            .request(kind, flags, &emit(&message), &mut |_| {})
            .map_err(|source| LinkError::Route {
                action,
                route: Box::new(route.clone()),
                source,
            })
    }
}

/// No route, or one that refuses.
fn is_unrouted(error: &std::io::Error) -> bool {
    let refusals = [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EACCES,
        libc::EINVAL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| refusals.contains(&code))
}

fn encode(route: &Route, oif: Option<u32>, deleting: bool) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(route.dst.addr());
    header.destination_prefix_length = route.dst.prefix_len();
    header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    header.protocol = RouteProtocol::from(route.protocol);
    header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Other(number) => RouteType::from(number),
    };
    // IPv4 wants to know whether the destination is on the link; any scope matches when deleting.
    header.scope = match (deleting, route.kind, route.via, route.dst) {
        (true, ..) => RouteScope::NoWhere,
        (false, RouteKind::Unicast, None, IpNet::V4(_)) => RouteScope::Link,
        (false, ..) => RouteScope::Universe,
    };
    if route.onlink {
        header.flags = RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    if route.dst.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(route.dst.network().into()));
    }
    attributes.push(RouteAttribute::Table(route.table));
    attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    attributes.extend(oif.map(RouteAttribute::Oif));
    attributes.extend(route.src.map(|src| RouteAttribute::PrefSource(src.into())));
    attributes.extend(route.metric.map(RouteAttribute::Priority));
    message
}

fn decode(message: &RouteMessage, names: &[(u32, String)]) -> Option<Route> {
    let header = &message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let length = header.destination_prefix_length;
    let mut route = Route::new(IpNet::new(any, length).ok()?, header.protocol.into());
    route.table = header.table.into();
    route.onlink = header.flags.contains(RouteFlags::Onlink);
    route.kind = match header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        other => RouteKind::Other(other.into()),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(dst) => route.dst = IpNet::new(plain(dst)?, length).ok()?,
            RouteAttribute::Gateway(via) => route.via = plain(via),
            RouteAttribute::PrefSource(src) => route.src = plain(src),
            RouteAttribute::Priority(metric) => route.metric = Some(*metric),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Oif(index) => {
                let found = names.iter().find(|(number, _)| number == index);
                route.iface = found.map(|(_, name)| name.clone());
            }
            _ => {}
        }
    }
    Some(route)
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
