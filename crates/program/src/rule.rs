//! A rule over peer classes and port sets: the third of the four rule types.

use std::sync::Arc;

use oncilla_net::{Family, IcmpMatch, PortSet, Protocol};

use crate::{ClassId, SetName};

/// What a matching rule does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RuleVerdict {
    /// Leave the group: this end accepts.
    Allow,
    /// Drop.
    Deny,
    /// Go to the next tier, or to the profiles after the last.
    Pass,
    /// Log, then go on with the next rule.
    Log,
}

/// A set that a peer address is looked up in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SetRef {
    /// By the peer's class, in a class set (`p<id>`).
    Classes(SetName),
    /// By the peer's address, in an address set (`a<id>`): the fallback when classes ran out.
    Addresses(SetName),
    /// By the peer's address, the protocol and the destination port, in a service set (`s<id>`). Only where the
    /// peer is the destination.
    Service(SetName),
}

/// One criterion on the peer address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerMatch {
    /// Where to look.
    pub set: SetRef,
    /// The peer must not be found.
    pub negated: bool,
}

/// What a rule asks of the peer: the source in ingress, the destination in egress.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Peer {
    /// Nothing.
    Any,
    /// One of these classes, sorted. Empty: matches nothing.
    Classes(Arc<[ClassId]>),
    /// All of these criteria hold.
    Sets(Vec<PeerMatch>),
}

/// One criterion on the local address: the destination in ingress, the source in egress.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LocalMatch {
    /// An address set (`a<id>`).
    pub set: SetName,
    /// The local address must not be found.
    pub negated: bool,
}

/// Which port of the packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PortSide {
    /// The source port.
    Source,
    /// The destination port.
    Destination,
}

/// A criterion on the peer's class, the protocol and one port together: a port name of the peer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamedPortMatch {
    /// A port set of classes (`n<id>`).
    pub set: SetName,
    /// Which port of the packet.
    pub side: PortSide,
    /// The triple must not be found.
    pub negated: bool,
}

/// A criterion on the local address, the protocol and the local port together: a port name of a host's own side. The
/// local port is the destination's in ingress and the source's in egress.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LocalPortMatch {
    /// A set of addresses, protocols and ports (`s<id>`).
    pub set: SetName,
    /// The triple must not be found.
    pub negated: bool,
}

/// A rule as the backend sees it. Every criterion must hold. Port criteria hold only for protocols with
/// ports; a negated port criterion (`not_…`, `negated`) does not match packets without ports either: where those
/// are meant too, a rule of its own says so (`without_ports`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rule {
    /// What happens to a packet that matches.
    pub verdict: RuleVerdict,
    /// Only this family.
    pub family: Option<Family>,
    /// The peer address.
    pub peer: Peer,
    /// The local address.
    pub local: Vec<LocalMatch>,
    /// Only this protocol.
    pub protocol: Option<Protocol>,
    /// Not this protocol.
    pub not_protocol: Option<Protocol>,
    /// Only protocols without ports.
    pub without_ports: bool,
    /// Only these messages. Only with `protocol` ICMP or `ICMPv6`.
    pub icmp: Option<IcmpMatch>,
    /// Not these messages. Only with `protocol` ICMP or `ICMPv6`.
    pub not_icmp: Option<IcmpMatch>,
    /// The source port is in the set.
    pub src_ports: Option<PortSet>,
    /// The source port is not in the set.
    pub not_src_ports: Option<PortSet>,
    /// The destination port is in the set.
    pub dst_ports: Option<PortSet>,
    /// The destination port is not in the set.
    pub not_dst_ports: Option<PortSet>,
    /// Port names of the peer.
    pub named_ports: Vec<NamedPortMatch>,
    /// Port names of the local side, at a host's interface.
    pub local_ports: Vec<LocalPortMatch>,
    /// What stands before the log's lines; only of Log.
    pub log_prefix: Option<Arc<str>>,
    /// Where it comes from, for people: `default/np/production/deny ingress[0]`.
    pub comment: Arc<str>,
}

impl Rule {
    /// A rule that matches every packet.
    pub fn new(verdict: RuleVerdict, comment: Arc<str>) -> Self {
        Self {
            verdict,
            family: None,
            peer: Peer::Any,
            local: Vec::new(),
            protocol: None,
            not_protocol: None,
            without_ports: false,
            icmp: None,
            not_icmp: None,
            src_ports: None,
            not_src_ports: None,
            dst_ports: None,
            not_dst_ports: None,
            named_ports: Vec::new(),
            local_ports: Vec::new(),
            log_prefix: None,
            comment,
        }
    }
}
