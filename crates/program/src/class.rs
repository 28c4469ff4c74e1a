//! Classes of peer addresses, and the sets that linear rules look them up in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use oncilla_net::{AddrMap4, Family, IpNet, Ipv4Net, Ipv6Net, Protocol};

/// The number of a class: addresses of one family that no active rule of this node can tell apart.
/// A number never changes its meaning while anything refers to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassId(pub u32);

impl ClassId {
    /// Not classified. Never the class of an address.
    pub const NONE: Self = Self(0);
    /// IPv4 addresses that no rule singles out.
    pub const UNKNOWN_V4: Self = Self(1);
    /// IPv6 addresses that no rule singles out.
    pub const UNKNOWN_V6: Self = Self(2);
    /// The lowest number that is allotted.
    pub const FIRST: Self = Self(3);

    /// The class of addresses that no rule singles out, by family.
    pub const fn unknown(family: Family) -> Self {
        match family {
            Family::V4 => Self::UNKNOWN_V4,
            Family::V6 => Self::UNKNOWN_V6,
        }
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class {}", self.0)
    }
}

/// The name of a set: a letter for its kind and a hash of the predicate's canonical text, so that the same
/// predicate has the same name in every run. At most 24 bytes of `[a-z0-9_]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SetName(pub Arc<str>);

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The classes whose addresses satisfy one predicate, both families. Unknown classes are members when the
/// predicate holds for a whole family.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClassSet {
    /// The predicate's canonical text, for people.
    pub text: Arc<str>,
    /// The members.
    pub classes: BTreeSet<ClassId>,
}

/// One port of one class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassPort {
    /// The class that has the port.
    pub class: ClassId,
    /// TCP, UDP, SCTP or UDP-Lite.
    pub protocol: Protocol,
    /// The port number.
    pub port: u16,
}

/// Where a port name leads, per class.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortSetOfClasses {
    /// The predicate's canonical text, for people.
    pub text: Arc<str>,
    /// The members.
    pub members: BTreeSet<ClassPort>,
}

/// The addresses of one predicate. Prefixes are disjoint; single addresses stand in `hosts` only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressSet {
    /// The predicate's canonical text, for people.
    pub text: Arc<str>,
    /// Single addresses.
    pub hosts: BTreeSet<IpAddr>,
    /// Disjoint prefixes shorter than a single address.
    pub nets: BTreeSet<IpNet>,
}

impl AddressSet {
    /// Whether the address is a member.
    pub fn contains(&self, addr: IpAddr) -> bool {
        // Prefixes are disjoint: only the last one that starts at or before the address can hold it.
        let before = || self.nets.range(..=IpNet::from(addr)).next_back();
        self.hosts.contains(&addr) || before().is_some_and(|net| net.contains(&addr))
    }
}

/// What stands behind a service: addresses, each with a protocol and a port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceSet {
    /// The predicate's canonical text, for people.
    pub text: Arc<str>,
    /// The members. Only protocols with ports.
    pub members: BTreeSet<(IpAddr, Protocol, u16)>,
}

/// Address to class. An address is looked up as a single address first, then in the disjoint prefixes; what
/// is in neither is unknown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressMap {
    /// Single IPv4 addresses (`addr4`).
    pub hosts4: AddrMap4<ClassId>,
    /// Single IPv6 addresses (`addr6`).
    pub hosts6: BTreeMap<Ipv6Addr, ClassId>,
    /// Disjoint IPv4 prefixes shorter than /32 (`net4`).
    pub nets4: BTreeMap<Ipv4Net, ClassId>,
    /// Disjoint IPv6 prefixes shorter than /128 (`net6`).
    pub nets6: BTreeMap<Ipv6Net, ClassId>,
}

impl AddressMap {
    /// The class of an address.
    pub fn class_of(&self, addr: IpAddr) -> ClassId {
        match addr {
            IpAddr::V4(addr) => self.hosts4.get(addr).copied().or_else(|| {
                let key = Ipv4Net::from(addr);
                let (net, class) = self.nets4.range(..=key).next_back()?;
                net.contains(&addr).then_some(*class)
            }),
            IpAddr::V6(addr) => self.hosts6.get(&addr).copied().or_else(|| {
                let key = Ipv6Net::from(addr);
                let (net, class) = self.nets6.range(..=key).next_back()?;
                net.contains(&addr).then_some(*class)
            }),
        }
        .unwrap_or(ClassId::unknown(oncilla_net::family_of(addr)))
    }

    /// Sets or removes the class of a single address.
    pub fn set_host(&mut self, addr: IpAddr, class: Option<ClassId>) {
        match (addr, class) {
            (IpAddr::V4(addr), Some(class)) => drop(self.hosts4.insert(addr, class)),
            (IpAddr::V4(addr), None) => drop(self.hosts4.remove(addr)),
            (IpAddr::V6(addr), Some(class)) => drop(self.hosts6.insert(addr, class)),
            (IpAddr::V6(addr), None) => drop(self.hosts6.remove(&addr)),
        }
    }

    /// Sets or removes the class of a prefix. The caller keeps prefixes disjoint.
    pub fn set_net(&mut self, net: IpNet, class: Option<ClassId>) {
        match (net, class) {
            (IpNet::V4(net), Some(class)) => drop(self.nets4.insert(net, class)),
            (IpNet::V4(net), None) => drop(self.nets4.remove(&net)),
            (IpNet::V6(net), Some(class)) => drop(self.nets6.insert(net, class)),
            (IpNet::V6(net), None) => drop(self.nets6.remove(&net)),
        }
    }
}
