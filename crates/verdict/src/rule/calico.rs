//! A rule of a Calico policy: every criterion must hold, lists hold when one member does.

use oncilla_api::v3;
use oncilla_net::{Direction, Family, Icmp, IpNet, PortRange, Protocol, parse_cidr};
use oncilla_selector::{Selector, parse};

use super::{Bound, Owner, Side, Traffic, nets_hold};
use crate::hidden::{HiddenSet, Truth};
use crate::labels::{
    NAMESPACE, NAMESPACE_PREFIX, Reading, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX, matches,
};
use crate::lists::HiddenSlice;

/// The protocols whose ports rules can name.
const PORT_PROTOCOLS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

#[derive(Debug)]
pub(super) struct CalicoRule {
    family: Option<Family>,
    protocol: Option<Protocol>,
    not_protocol: Option<Protocol>,
    icmp: Option<Messages>,
    not_icmp: Option<Messages>,
    source: Entity,
    destination: Entity,
}

/// ICMP messages of one type, and of one code or any.
#[derive(Clone, Copy, Debug)]
struct Messages {
    icmp_type: i64,
    code: Option<i64>,
}

/// One side of a rule.
#[derive(Debug)]
struct Entity {
    nets: Vec<IpNet>,
    not_nets: Vec<IpNet>,
    /// Who is meant; `None` when the side has no selector of any kind but perhaps `notSelector`.
    peers: Option<Peers>,
    not_selector: Option<Selector>,
    ports: Vec<Port>,
    not_ports: Vec<Port>,
    /// Namespace and name of the service whose endpoints are meant.
    service: Option<(String, String)>,
    /// Whether the service's ports are meant as well: at the destination.
    with_ports: bool,
    /// Whether it is the endpoint that is asked, whose ports are known whoever else is broken.
    is_own: bool,
}

/// The owners that the selectors of a side mean; everything must hold of one and the same owner.
#[derive(Debug)]
struct Peers {
    namespaces: Namespaces,
    account_names: Vec<String>,
    account_selector: Option<Selector>,
    selector: Option<Selector>,
}

#[derive(Debug)]
enum Namespaces {
    /// Anywhere, and outside namespaces.
    Any,
    /// The policy's own.
    Own(String),
    /// By the namespace's labels; `all()` is every namespace, `global()` is outside namespaces.
    Selected(Selector),
}

#[derive(Debug)]
enum Port {
    Range(PortRange),
    Name(String),
}

impl CalicoRule {
    /// Reads a rule; `None` when some part of it cannot be read or is not supported.
    pub(super) fn read(
        rule: &v3::Rule,
        namespace: Option<&str>,
        own: Option<Direction>,
    ) -> Option<Self> {
        if rule.http.is_some() {
            return None;
        }
        let protocol = |written: &Option<v3::Protocol>| match written {
            None => Some(None),
            Some(protocol) => protocol.number().map(Some),
        };
        Some(Self {
            family: match rule.ip_version {
                None => None,
                Some(4) => Some(Family::V4),
                Some(6) => Some(Family::V6),
                Some(_) => return None,
            },
            protocol: protocol(&rule.protocol)?,
            not_protocol: protocol(&rule.not_protocol)?,
            icmp: Messages::read(rule.icmp, rule)?,
            not_icmp: Messages::read(rule.not_icmp, rule)?,
            source: Entity {
                is_own: own == Some(Direction::Egress),
                ..Entity::read(&rule.source, namespace)?
            },
            destination: Entity {
                is_own: own == Some(Direction::Ingress),
                with_ports: true,
                ..Entity::read(&rule.destination, namespace)?
            },
        })
    }

    pub(super) fn matches(&self, traffic: &Traffic<'_>, bound: Bound) -> bool {
        let protocol = traffic.packet.protocol;
        let family = traffic.packet.family();
        self.family.is_none_or(|wanted| wanted == family)
            && self
                .protocol
                .and_then(family_of_icmp)
                .is_none_or(|only| only == family)
            && self.protocol.is_none_or(|wanted| wanted == protocol)
            && self.not_protocol.is_none_or(|other| other != protocol)
            && self
                .icmp
                .is_none_or(|wanted| wanted.hold(traffic.packet.icmp))
            && self
                .not_icmp
                .is_none_or(|unwanted| !unwanted.hold(traffic.packet.icmp))
            && self.source.matches(&traffic.source, protocol, bound)
            && self
                .destination
                .matches(&traffic.destination, protocol, bound)
    }

    /// Whether one of the sides asks for a service whose endpoints a broken slice may list.
    pub(super) fn may_ask(&self, slice: &HiddenSlice) -> bool {
        [&self.source, &self.destination]
            .into_iter()
            .filter_map(|side| side.service.as_ref())
            .any(|service| slice.may_be_of(service))
    }

    /// Whether one of the sides asks about owners that a broken set may be.
    pub(super) fn may_mean(&self, set: &HiddenSet) -> bool {
        [&self.source, &self.destination].into_iter().any(|side| {
            let excludes = side.peers.is_none() && side.may_exclude(set);
            let names = side.ports.iter().chain(&side.not_ports);
            let asks_name = !side.is_own && names.into_iter().any(Port::is_name);
            side.may_mean(set) || excludes || (asks_name && set.has_ports)
        })
    }
}

impl Messages {
    /// `Some(None)` when the criterion asks nothing: it is absent or names no type. `None` when it cannot be
    /// read.
    #[expect(
        clippy::option_option,
        reason = "unreadable and absent are different, and only this module sees it"
    )]
    fn read(fields: Option<v3::IcmpFields>, rule: &v3::Rule) -> Option<Option<Self>> {
        let Some(fields) = fields else {
            return Some(None);
        };
        let protocol = rule.protocol.as_ref()?.number()?;
        match (family_of_icmp(protocol), fields.icmp_type, fields.code) {
            (None, ..) | (_, None, Some(_)) => None,
            (_, None, None) => Some(None),
            (_, Some(icmp_type), code) => {
                let in_range = (0..=254).contains(&icmp_type)
                    && code.is_none_or(|code| (0..=255).contains(&code));
                in_range.then_some(Some(Self { icmp_type, code }))
            }
        }
    }

    fn hold(self, icmp: Option<Icmp>) -> bool {
        icmp.is_some_and(|icmp| {
            i64::from(icmp.kind) == self.icmp_type
                && self.code.is_none_or(|code| i64::from(icmp.code) == code)
        })
    }
}

impl Entity {
    fn read(entity: &v3::EntityRule, namespace: Option<&str>) -> Option<Self> {
        let service = match &entity.services {
            None => None,
            Some(services) => {
                let namespace = match (services.namespace.as_str(), namespace) {
                    ("", own) => own?,
                    (named, _) => named,
                };
                Some((namespace.to_owned(), services.name.clone()))
            }
        };
        let cidrs = |texts: &[String]| {
            let parsed = texts.iter().map(|text| parse_cidr(text).ok());
            parsed.collect::<Option<Vec<_>>>()
        };
        let ports = |ports: &[v3::Port]| ports.iter().map(Port::from).collect();
        Some(Self {
            nets: cidrs(&entity.nets)?,
            not_nets: cidrs(&entity.not_nets)?,
            peers: Peers::read(entity, namespace)?,
            not_selector: selector(&entity.not_selector)?,
            ports: ports(&entity.ports),
            not_ports: ports(&entity.not_ports),
            service,
            with_ports: false,
            is_own: false,
        })
    }

    fn matches(&self, side: &Side<'_>, protocol: Protocol, bound: Bound) -> bool {
        nets_hold(&self.nets, &self.not_nets, side.address)
            && self.owners_hold(side, bound)
            && self.service_holds(side, protocol, bound)
            && (self.ports.is_empty() || self.has_port(&self.ports, (side, bound), protocol))
            && (self.not_ports.is_empty()
                || !self.has_port(&self.not_ports, (side, bound.not()), protocol))
    }

    /// The address is one of the service's endpoints; at a destination it serves the packet's port, too. A broken
    /// slice may list any.
    fn service_holds(&self, side: &Side<'_>, protocol: Protocol, bound: Bound) -> bool {
        let Some(service) = &self.service else {
            return true;
        };
        let lists = side.lists;
        let port = (protocol, side.port);
        let listed = if self.with_ports {
            lists.serves_port(service, side.address, port)
        } else {
            lists.serves(service, side.address)
        };
        listed || (bound == Bound::Possible && lists.may_serve(service))
    }

    /// With any selector beside it `notSelector` narrows that one: some owner is meant and not excluded.
    /// Alone it excludes: no owner is excluded, also when the address has none. A broken set that may be
    /// meant is meant when all that is possible is wanted; one that may be excluded is, when certainty is.
    fn owners_hold(&self, side: &Side<'_>, bound: Bound) -> bool {
        let mut hidden = side.hidden.iter();
        if self.peers.is_some() {
            side.owners.iter().any(|owner| self.means(owner, bound))
                || (bound == Bound::Possible && hidden.any(|set| self.may_mean(set)))
        } else {
            let mut owners = side.owners.iter();
            !owners.any(|owner| self.excludes(owner, bound.not()))
                && (bound == Bound::Possible || !hidden.any(|set| self.may_exclude(set)))
        }
    }

    fn may_mean(&self, set: &HiddenSet) -> bool {
        self.peers.is_some() && self.means_set(set) != Truth::No
    }

    fn means_set(&self, set: &HiddenSet) -> Truth {
        self.peers.as_ref().map_or(Truth::Yes, |peers| {
            Truth::all([peers.mean_set(set), self.excludes_set(set).not()])
        })
    }

    fn may_exclude(&self, set: &HiddenSet) -> bool {
        self.excludes_set(set) != Truth::No
    }

    fn excludes_set(&self, set: &HiddenSet) -> Truth {
        self.not_selector
            .as_ref()
            .map_or(Truth::No, |selector| set.matches(selector, Reading::PLAIN))
    }

    fn means(&self, owner: &Owner<'_>, bound: Bound) -> bool {
        match (&self.peers, owner.vague) {
            (Some(peers), None) => peers.mean(owner) && !self.excludes(owner, bound.not()),
            (Some(_), Some(known)) => bound.accepts(self.means_set(known)),
            (None, _) => true,
        }
    }

    fn excludes(&self, owner: &Owner<'_>, bound: Bound) -> bool {
        match owner.vague {
            Some(known) => bound.accepts(self.excludes_set(known)),
            None => self
                .not_selector
                .as_ref()
                .is_some_and(|selector| matches(selector, owner.labels, Reading::PLAIN)),
        }
    }

    /// A name means the ports that the side's own peers call so, and possibly those that the host endpoint does, and any
    /// that a broken pod may.
    fn has_port(
        &self,
        ports: &[Port],
        (side, bound): (&Side<'_>, Bound),
        protocol: Protocol,
    ) -> bool {
        let possible = side.may_own.iter().filter(|_| bound == Bound::Possible);
        let is_hidden = |set: &HiddenSet| set.has_ports && self.means_set(set) != Truth::No;
        let may_hide =
            bound == Bound::Possible && !self.is_own && side.hidden.iter().any(is_hidden);
        PORT_PROTOCOLS.contains(&protocol)
            && ports.iter().any(|port| match port {
                Port::Range(range) => range.contains(side.port),
                Port::Name(name) => {
                    let mut owners = side.owners.iter().chain(possible.clone());
                    may_hide
                        || owners.any(|owner| {
                            self.means(owner, bound) && owner.serves(name, protocol, side.port)
                        })
                }
            })
    }
}

impl Peers {
    /// `Some(None)` when the side has no selector; `None` when one cannot be read.
    ///
    /// In a namespaced policy any selector, `notSelector` too, looks in the policy's own namespace unless
    /// `namespaceSelector` says otherwise; a side with only nets or ports looks everywhere.
    #[expect(
        clippy::option_option,
        reason = "unreadable and absent are different, and only this module sees it"
    )]
    fn read(entity: &v3::EntityRule, namespace: Option<&str>) -> Option<Option<Self>> {
        let accounts = entity.service_accounts.clone().unwrap_or_default();
        let peers = Self {
            namespaces: match (selector(&entity.namespace_selector)?, namespace) {
                (Some(selector), _) => Namespaces::Selected(selector),
                (None, Some(own)) => Namespaces::Own(own.to_owned()),
                (None, None) => Namespaces::Any,
            },
            account_selector: selector(&accounts.selector)?,
            account_names: accounts.names,
            selector: selector(&entity.selector)?,
        };
        let positive = peers.selector.is_some()
            || peers.account_selector.is_some()
            || !peers.account_names.is_empty()
            || matches!(peers.namespaces, Namespaces::Selected(_));
        let own_namespace =
            matches!(peers.namespaces, Namespaces::Own(_)) && !entity.not_selector.is_empty();
        Some((positive || own_namespace).then_some(peers))
    }

    fn mean(&self, owner: &Owner<'_>) -> bool {
        let labels = owner.labels;
        let namespace = labels.get(NAMESPACE);
        let in_namespace = match &self.namespaces {
            Namespaces::Any => true,
            Namespaces::Own(own) => namespace == Some(own),
            Namespaces::Selected(selector) => matches(selector, labels, OF_NAMESPACE),
        };
        let account = labels.get(SERVICE_ACCOUNT);
        in_namespace
            && (self.account_names.is_empty()
                || account.is_some_and(|name| self.account_names.contains(name)))
            && holds(self.account_selector.as_ref(), owner, OF_ACCOUNT)
            && holds(self.selector.as_ref(), owner, Reading::PLAIN)
    }

    /// [`Peers::mean`] of a broken set.
    fn mean_set(&self, set: &HiddenSet) -> Truth {
        let in_namespace = match &self.namespaces {
            Namespaces::Any => Truth::Yes,
            Namespaces::Own(own) => set.has("", NAMESPACE, |namespace| namespace == Some(own)),
            Namespaces::Selected(selector) => set.matches(selector, OF_NAMESPACE),
        };
        let named = |account: Option<&str>| {
            let mut names = self.account_names.iter();
            names.any(|name| Some(name.as_str()) == account)
        };
        let matched = |selector: &Option<Selector>, reading| {
            selector
                .as_ref()
                .map_or(Truth::Yes, |selector| set.matches(selector, reading))
        };
        let has_account = if self.account_names.is_empty() {
            Truth::Yes
        } else {
            set.has("", SERVICE_ACCOUNT, named)
        };
        Truth::all([
            in_namespace,
            has_account,
            matched(&self.account_selector, OF_ACCOUNT),
            matched(&self.selector, Reading::PLAIN),
        ])
    }
}

/// How `namespaceSelector` is read.
const OF_NAMESPACE: Reading = Reading {
    prefix: NAMESPACE_PREFIX,
    all: Some(NAMESPACE),
    global: Some(NAMESPACE),
};
/// How the selector of `serviceAccounts` is read.
const OF_ACCOUNT: Reading = Reading {
    prefix: SERVICE_ACCOUNT_PREFIX,
    ..Reading::PLAIN
};

impl Port {
    const fn is_name(&self) -> bool {
        matches!(self, Self::Name(_))
    }
}

impl From<&v3::Port> for Port {
    fn from(port: &v3::Port) -> Self {
        match port {
            v3::Port::Range(range) => Self::Range(*range),
            v3::Port::Name(name) => Self::Name(name.clone()),
        }
    }
}

/// The two ICMPs belong to one family each.
const fn family_of_icmp(protocol: Protocol) -> Option<Family> {
    match protocol {
        Protocol::ICMP => Some(Family::V4),
        Protocol::ICMPV6 => Some(Family::V6),
        _ => None,
    }
}

fn holds(selector: Option<&Selector>, owner: &Owner<'_>, reading: Reading) -> bool {
    selector.is_none_or(|selector| matches(selector, owner.labels, reading))
}

/// The empty text is no selector; `None` when the text cannot be read.
#[expect(
    clippy::option_option,
    reason = "unreadable and absent are different, and only this module sees it"
)]
fn selector(text: &str) -> Option<Option<Selector>> {
    if text.is_empty() {
        Some(None)
    } else {
        parse(text).ok().map(Some)
    }
}
