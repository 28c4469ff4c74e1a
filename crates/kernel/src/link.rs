//! Interfaces, addresses, routes and neighbours of one network namespace, through rtnetlink.
//!
//! A [`Links`] handle talks to the namespace it was opened in. Plain verbs (`add_…`, `create_…`) fail when the thing
//! exists, `ensure_…` and `replace_…` do not; `delete_…` fails when it is absent, `ensure_absent` does not.

mod address;
mod route;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::str::FromStr;
use std::time::Duration;

use netlink_packet_core::{Emitable, Parseable as _};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};
use oncilla_net::IpNet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use thiserror::Error;

use crate::netlink::{Channel, NLM_F_CREATE, NLM_F_EXCL};
use crate::netns::{Netns, NetnsError};

pub use route::{Route, RouteKind, TABLE_MAIN};

/// How many datagrams of events are taken in a row.
const EVENTS_MAX: usize = 1024;

/// The longest interface name, in bytes.
pub const NAME_BYTES_MAX: usize = 15;

/// The multicast groups of interface, address and IPv6 route changes, as bits.
const RTMGRP_LINK: u32 = 1;
const RTMGRP_IPV4_IFADDR: u32 = 1 << 4;
const RTMGRP_IPV6_IFADDR: u32 = 1 << 8;
const RTMGRP_IPV6_ROUTE: u32 = 1 << 10;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

/// What went wrong with a link, an address, a route or a neighbour.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The socket could not be opened.
    #[error("no rtnetlink socket could be opened")]
    Open(#[source] io::Error),
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A list could not be read.
    #[error("the kernel's list of {what} could not be read")]
    List {
        /// Which list.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An interface that is not there.
    #[error("no interface is named {iface}")]
    Absent {
        /// Its name.
        iface: String,
    },
    /// The kernel refused something about an interface.
    #[error("could not {action} interface {iface}")]
    Interface {
        /// What was asked.
        action: &'static str,
        /// Its name.
        iface: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something about an address.
    #[error("could not {action} address {address} on interface {iface}")]
    Address {
        /// What was asked.
        action: &'static str,
        /// The address.
        address: IpNet,
        /// The interface.
        iface: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something about a route.
    #[error("could not {action} route {route}")]
    Route {
        /// What was asked.
        action: &'static str,
        /// The route.
        route: Box<Route>,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a neighbour.
    #[error("could not set neighbour {address} on interface {iface}")]
    Neighbour {
        /// The neighbour's address.
        address: std::net::IpAddr,
        /// The interface.
        iface: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LinkError {
    /// The kernel's own reason, where it gave one.
    pub fn kernel_error(&self) -> Option<&io::Error> {
        match self {
            Self::Netns(_) | Self::Absent { .. } => None,
            Self::Open(source)
            | Self::List { source, .. }
            | Self::Interface { source, .. }
            | Self::Address { source, .. }
            | Self::Route { source, .. }
            | Self::Neighbour { source, .. } => Some(source),
        }
    }
}

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

/// A text that is no hardware address.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "\"{text}\" is no hardware address: write six hexadecimal bytes, such as 02:00:00:00:00:01"
)]
pub struct MacError {
    /// The text.
    pub text: String,
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let error = || MacError {
            text: text.to_owned(),
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && !part.starts_with('+'))
                .ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_not_hex| error())?;
        }
        parts
            .next()
            .is_none()
            .then_some(Self(bytes))
            .ok_or_else(error)
    }
}

/// An interface as the kernel lists it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Link {
    /// Its number, unique within the namespace while it exists.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; none for loopback-like kinds without one.
    pub mac: Option<Mac>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it passes packets. After both ends of a cable came up, the kernel still has to start the queue of one of
    /// them from a worker of its own: until then what is sent there is dropped. Loopback never says so.
    pub running: bool,
    /// Its largest packet, in bytes.
    pub mtu_bytes: u32,
}

/// A pair of virtual Ethernet interfaces to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VethSpec {
    /// Name of the near end.
    pub name: String,
    /// Hardware address of the near end; the kernel's choice when none.
    pub mac: Option<Mac>,
    /// Name of the far end.
    pub peer_name: String,
    /// Hardware address of the far end; the kernel's choice when none.
    pub peer_mac: Option<Mac>,
    /// Largest packet of both ends, in bytes; the kernel's choice when none.
    pub mtu_bytes: Option<u32>,
}

/// Hears of changes of interfaces and IPv6 routes in one namespace, from when it was opened.
#[derive(Debug)]
pub struct LinkEvents {
    channel: Channel,
}

impl LinkEvents {
    /// Opens a subscription in `netns`; it may be used from any thread.
    pub fn open_in(netns: &Netns) -> Result<Self, LinkError> {
        let channel = netns.run(|| Channel::open(None, RTMGRP_LINK | RTMGRP_IPV6_ROUTE))?;
        Ok(Self {
            channel: channel.map_err(LinkError::Open)?,
        })
    }

    /// Waits until something may have changed; false when `timeout` passed first.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, LinkError> {
        let failed = |source| LinkError::List {
            what: "interface changes",
            source,
        };
        let timeout =
            Timespec::try_from(timeout).map_err(|error| failed(io::Error::other(error)))?;
        let mut fds = [PollFd::from_borrowed_fd(
            self.channel.as_fd(),
            PollFlags::IN,
        )];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Ok(false),
            // A queue that ran over is a change too.
            Ok(_ready) => Ok(self.channel.events(&mut |_| {}).map_or(true, |()| true)),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

/// Hears of changes of interfaces and their addresses in the calling thread's namespace, from when it was
/// opened. Readable while something was not taken yet.
#[derive(Debug)]
pub struct AddressEvents {
    channel: Channel,
}

impl AddressEvents {
    /// Opens a subscription.
    pub fn open() -> Result<Self, LinkError> {
        let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
        let channel = Channel::open(None, groups).map_err(LinkError::Open)?;
        Ok(Self { channel })
    }

    /// Takes what is waiting; whether there was anything. Never blocks.
    pub fn take(&mut self) -> Result<bool, LinkError> {
        let mut found = false;
        for _ in 0..EVENTS_MAX {
            let mut fds = [PollFd::from_borrowed_fd(
                self.channel.as_fd(),
                PollFlags::IN,
            )];
            match poll(&mut fds, Some(&Timespec::default())) {
                Ok(0) => break,
                Err(Errno::INTR) => {}
                Ok(_ready) => {
                    // A queue that ran over is a change too.
                    let _overrun = self.channel.events(&mut |_| {});
                    found = true;
                }
                Err(errno) => {
                    return Err(LinkError::List {
                        what: "interface changes",
                        source: errno.into(),
                    });
                }
            }
        }
        Ok(found)
    }
}

impl AsFd for AddressEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// A handle on the interfaces of one namespace.
#[derive(Debug)]
pub struct Links {
    channel: Channel,
}

impl Links {
    /// Opens a handle on the calling thread's namespace.
    pub fn open() -> Result<Self, LinkError> {
        let channel = Channel::open(None, 0).map_err(LinkError::Open)?;
        Ok(Self { channel })
    }

    /// Opens a handle on `netns`; it may be used from any thread.
    pub fn open_in(netns: &Netns) -> Result<Self, LinkError> {
        netns.run(Self::open)?
    }

    /// Every interface, by index.
    pub fn list(&mut self) -> Result<Vec<Link>, LinkError> {
        let body = emit(&LinkMessage::default());
        let mut found = self
            .channel
            .dump(RTM_GETLINK, &body, &mut |message| {
                LinkMessage::parse(message.body)
                    .ok()
                    .map(|link| decode(&link))
            })
            .map_err(|source| LinkError::List {
                what: "interfaces",
                source,
            })?;
        found.sort();
        Ok(found)
    }

    /// The interface called `name`, if there is one.
    pub fn find(&mut self, name: &str) -> Result<Option<Link>, LinkError> {
        let mut found = None;
        let body = emit(&named(name));
        let answer = self.channel.request(RTM_GETLINK, 0, &body, &mut |message| {
            found = LinkMessage::parse(message.body)
                .ok()
                .map(|link| decode(&link));
        });
        match answer {
            Ok(()) => Ok(found),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(source) => Err(interface("look up", name, source)),
        }
    }

    /// The interface called `name`; an error when absent.
    pub fn link(&mut self, name: &str) -> Result<Link, LinkError> {
        self.find(name)?.ok_or_else(|| LinkError::Absent {
            iface: name.to_owned(),
        })
    }

    /// The index of the interface called `name`; an error when absent.
    pub fn index(&mut self, name: &str) -> Result<u32, LinkError> {
        Ok(self.link(name)?.index)
    }

    /// Makes a veth pair: the near end here, the far end in `peer_netns` (here too when none). Both are down.
    pub fn create_veth(
        &mut self,
        spec: &VethSpec,
        peer_netns: Option<&Netns>,
    ) -> Result<(), LinkError> {
        let mut peer = end(&spec.peer_name, spec.peer_mac, spec.mtu_bytes);
        if let Some(netns) = peer_netns {
            peer.attributes
                .push(LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd()));
        }
        let mut near = end(&spec.name, spec.mac, spec.mtu_bytes);
        near.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.new_link("create", &spec.name, &near, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a bridge. It is down.
    pub fn create_bridge(&mut self, name: &str) -> Result<(), LinkError> {
        let mut bridge = named(name);
        bridge
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
                InfoKind::Bridge,
            )]));
        self.new_link("create", name, &bridge, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a bridge unless an interface of that name exists.
    pub fn ensure_bridge(&mut self, name: &str) -> Result<(), LinkError> {
        exists_is_fine(self.create_bridge(name))
    }

    /// Puts an interface into the bridge called `bridge`.
    pub fn attach(&mut self, name: &str, bridge: &str) -> Result<(), LinkError> {
        let index = self.index(bridge)?;
        let mut link = named(name);
        link.attributes.push(LinkAttribute::Controller(index));
        self.new_link("attach", name, &link, 0)
    }

    /// Brings an interface up.
    pub fn set_up(&mut self, name: &str) -> Result<(), LinkError> {
        let mut link = named(name);
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.new_link("bring up", name, &link, 0)
    }

    /// Brings an interface down.
    pub fn set_down(&mut self, name: &str) -> Result<(), LinkError> {
        let mut link = named(name);
        link.header.change_mask = LinkFlags::Up;
        self.new_link("bring down", name, &link, 0)
    }

    /// Deletes an interface; a veth takes its other end along.
    pub fn delete(&mut self, name: &str) -> Result<(), LinkError> {
        self.channel
            .request(RTM_DELLINK, 0, &emit(&named(name)), &mut |_| {})
            .map_err(|source| interface("delete", name, source))
    }

    /// Deletes an interface if it is there; true when it was.
    pub fn ensure_absent(&mut self, name: &str) -> Result<bool, LinkError> {
        match self.delete(name) {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn new_link(
        &mut self,
        action: &'static str,
        name: &str,
        link: &LinkMessage,
        flags: u16,
    ) -> Result<(), LinkError> {
        self.channel
            .request(RTM_NEWLINK, flags, &emit(link), &mut |_| {})
            .map_err(|source| interface(action, name, source))
    }
}

fn decode(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        up: message.header.flags.contains(LinkFlags::Up),
        running: false,
        mtu_bytes: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok().map(Mac),
            LinkAttribute::OperState(state) => link.running = *state == State::Up,
            LinkAttribute::Mtu(mtu) => link.mtu_bytes = *mtu,
            _ => {}
        }
    }
    link
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn end(name: &str, mac: Option<Mac>, mtu_bytes: Option<u32>) -> LinkMessage {
    let mut message = named(name);
    let attributes = &mut message.attributes;
    attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    attributes.extend(mtu_bytes.map(LinkAttribute::Mtu));
    message
}

fn emit(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn interface(action: &'static str, name: &str, source: io::Error) -> LinkError {
    LinkError::Interface {
        action,
        iface: name.to_owned(),
        source,
    }
}

fn errno(error: &LinkError) -> Option<i32> {
    error.kernel_error().and_then(io::Error::raw_os_error)
}

fn exists_is_fine(result: Result<(), LinkError>) -> Result<(), LinkError> {
    match result {
        Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}
