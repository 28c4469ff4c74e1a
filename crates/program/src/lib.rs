//! The backend-neutral program of one node: classes, groups, banks and address sets, and a plain
//! interpreter for it.
//!
//! ```text
//!   packet ──▶ interface ──▶ group ──▶ tier ─▶ tier ─▶ … ─▶ profiles ──▶ allow | deny
//!                 (dispatch)            │ banks, then the end of the tier
//!   peer address ──▶ class  ────────────┘
//! ```
//!
//! A program is a finished value: it is compiled, compared, lowered to a backend and interpreted, never
//! edited by hand. It does not know selectors, labels or nf_tables.
#![forbid(unsafe_code)]

mod bank;
mod between;
mod canonical;
mod class;
mod delta;
mod group;
mod host;
mod interpret;
mod outcome;
mod passage;
mod prefixes;
mod render;
mod rule;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_net::MarkMask;

pub use bank::{Bank, K1, K2, K4, Levels};
pub use class::{
    AddressMap, AddressSet, ClassId, ClassPort, ClassSet, PortSetOfClasses, ServiceSet, SetName,
};
pub use delta::{AddressChange, NetChange, ProgramDelta};
pub use group::{Dispatch, Group, GroupId, LocalEndpoint, ProfileEnd, Tier, TierEnd};
pub use host::{ALL_INTERFACES, Failsafe, Failsafes, Hook, HostEndpoint, LOOPBACK};
pub use interpret::Sets;
pub use outcome::{BankPlace, Decided, Judgement, Outcome, Place, Tally};
pub use passage::{Passage, Way};
pub use prefixes::InterfacePrefixes;
pub use rule::{
    LocalMatch, LocalPortMatch, NamedPortMatch, Peer, PeerMatch, PortSide, Rule, RuleVerdict,
    SetRef,
};
pub use walk::EndAsked;

/// What happens to a packet from a workload to its own host after the workload's egress policy allowed it
/// (Calico: `defaultEndpointToHostAction`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum EndpointToHost {
    /// Dropped: Calico's own default.
    #[default]
    Drop,
    /// Accepted.
    Accept,
    /// Left to the rest of the host's rules.
    Return,
}

impl EndpointToHost {
    /// The one that lets through no more than the other.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Drop, _) | (_, Self::Drop) => Self::Drop,
            (Self::Return, _) | (_, Self::Return) => Self::Return,
            (Self::Accept, Self::Accept) => Self::Accept,
        }
    }
}

/// Encapsulated packets that workloads may not send: they would appear on the other node without ever having
/// met policy (`engine.md` §5, ENCAP).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EncapDrop {
    /// UDP packets to these ports, ascending, are dropped; none: workloads may send VXLAN.
    pub vxlan_ports: Arc<[u16]>,
    /// Whether IPv4 in IPv4 is dropped.
    pub ipip: bool,
}

impl Default for EncapDrop {
    fn default() -> Self {
        Self {
            vxlan_ports: [4789].into(),
            ipip: true,
        }
    }
}

/// How many packets Log rules may write to the kernel's log (Calico: `logActionRateLimit`, `…Burst`). Each rule
/// counts by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogRate {
    /// Packets in the time below.
    pub packets: u64,
    /// The time, in seconds.
    pub seconds: u64,
    /// Packets that may come at once.
    pub burst: u32,
}

impl Default for LogRate {
    /// Calico has no limit unless one is set; a log that anybody can flood is none.
    fn default() -> Self {
        Self {
            packets: 100,
            seconds: 1,
            burst: 500,
        }
    }
}

/// Everything of a program that is neither a class, a group nor an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The mark bits that carry class numbers.
    pub mask: MarkMask,
    /// Which interfaces are workloads' (Calico: `interfacePrefix`).
    pub interface_prefixes: InterfacePrefixes,
    /// From a workload to its own host.
    pub endpoint_to_host: EndpointToHost,
    /// Encapsulated packets from workloads.
    pub encap_drop: EncapDrop,
    /// Ports of host endpoints that no policy closes.
    pub failsafes: Failsafes,
    /// Packets that connection tracking calls invalid are dropped at endpoints
    /// (Calico: `disableConntrackInvalidCheck`).
    pub drop_invalid: bool,
    /// Packets of a workload with a source address that is not routed to it are dropped (Calico:
    /// `workloadSourceSpoofing`).
    pub drop_spoofed: bool,
    /// What stands before the lines of Log rules (Calico: `logPrefix`): `%t` is the tier, `%k` the kind, `%n` the name
    /// and `%p` namespace and name of the policy.
    pub log_prefix: Arc<str>,
    /// How many lines they may write.
    pub log_rate: LogRate,
}

impl Settings {
    /// What lets through no more than either: for a node of which nobody knows by which of the two it is to go.
    /// What opens nothing is as here.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let ports = [&self.encap_drop, &other.encap_drop].into_iter();
        let ports: BTreeSet<u16> = ports
            .flat_map(|drop| drop.vxlan_ports.iter().copied())
            .collect();
        Self {
            interface_prefixes: self.interface_prefixes.and(&other.interface_prefixes),
            endpoint_to_host: self.endpoint_to_host.and(other.endpoint_to_host),
            encap_drop: EncapDrop {
                vxlan_ports: ports.into_iter().collect(),
                ipip: self.encap_drop.ipip || other.encap_drop.ipip,
            },
            failsafes: self.failsafes.and(&other.failsafes),
            drop_invalid: self.drop_invalid || other.drop_invalid,
            drop_spoofed: self.drop_spoofed || other.drop_spoofed,
            ..self.clone()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mask: MarkMask::default(),
            interface_prefixes: InterfacePrefixes::default(),
            endpoint_to_host: EndpointToHost::default(),
            encap_drop: EncapDrop::default(),
            failsafes: Failsafes::default(),
            drop_invalid: true,
            drop_spoofed: true,
            log_prefix: "calico-packet".into(),
            log_rate: LogRate::default(),
        }
    }
}

/// The program of one node. Two programs are equal when they treat every packet alike by the same means;
/// class numbers are history, so compare programs of two runs after renumbering.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// Mark bits, interface prefixes, host action, failsafes.
    pub settings: Settings,
    /// Address to class, both families.
    pub addresses: AddressMap,
    /// `p<id>`: the classes of one predicate, for linear rules.
    pub class_sets: BTreeMap<SetName, ClassSet>,
    /// `n<id>`: class, protocol and port of one named-port predicate, for linear rules.
    pub port_sets: BTreeMap<SetName, PortSetOfClasses>,
    /// `a<id>`: the addresses of one predicate, for local-side criteria and for the fallback.
    pub address_sets: BTreeMap<SetName, AddressSet>,
    /// `s<id>`: what stands behind one service, for linear rules.
    pub service_sets: BTreeMap<SetName, ServiceSet>,
    /// The chains that endpoints share.
    pub groups: BTreeMap<GroupId, Arc<Group>>,
    /// Local endpoints by host-side interface name.
    pub endpoints: BTreeMap<Arc<str>, LocalEndpoint>,
    /// Host endpoints by the host's own interface, and the one of [`ALL_INTERFACES`].
    pub hosts: BTreeMap<Arc<str>, HostEndpoint>,
}
