//! Host endpoints: the node's own interfaces, and what judges the packets that pass them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use oncilla_net::{Direction, IpNet, Protocol};

use crate::{Dispatch, GroupId};

/// The key of the host endpoint that covers every interface without one of its own.
pub const ALL_INTERFACES: &str = "*";

/// The interface by which a host speaks to itself: nothing is judged there.
pub const LOOPBACK: &str = "lo";

/// At which point of a packet's way a group is asked (`calico-semantics.md` §2.5). Workloads have normal
/// groups only.
///
/// ```text
///   in ─▶ untracked ─▶ pre-DNAT ─▶ DNAT ─┬─▶ normal (ingress) ─▶ the host
///                                        └─▶ forward (ingress) ─▶ workloads ─▶ forward (egress) ─▶ out
///   the host ─▶ untracked ─▶ normal (egress) ─▶ out
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hook {
    /// Packets that end or begin at the endpoint.
    Normal,
    /// Packets that the host passes on. Without a policy that applies they go on; there are no profiles.
    Forward,
    /// Packets that come in, before their destination is translated. What no rule decides goes on, also at
    /// the end of a tier; there are no profiles. An allow is final for this host endpoint.
    PreDnat,
    /// Every packet, before connections are followed. As [`Self::PreDnat`], and an allowed packet is not
    /// followed: its answer needs a rule of its own.
    Untracked,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Forward, Self::PreDnat, Self::Untracked];

    /// The directions in which a group can be asked here.
    pub const fn directions(self) -> &'static [Direction] {
        match self {
            Self::Normal | Self::Forward | Self::Untracked => &Direction::ALL,
            Self::PreDnat => &[Direction::Ingress],
        }
    }

    /// Every hook with every direction it has, in order.
    pub fn ways() -> impl Iterator<Item = (Self, Direction)> {
        Self::ALL
            .into_iter()
            .flat_map(|hook| hook.directions().iter().map(move |way| (hook, *way)))
    }

    /// Whether what no rule decides goes on to be judged elsewhere, whatever tiers say at their end.
    pub const fn is_early(self) -> bool {
        matches!(self, Self::PreDnat | Self::Untracked)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Forward => "forward",
            Self::PreDnat => "pre-DNAT",
            Self::Untracked => "untracked",
        })
    }
}

/// A host endpoint of this node. Stands in [`Program::hosts`](crate::Program::hosts) by the interface that it
/// is about, or by [`ALL_INTERFACES`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostEndpoint {
    /// The object's name.
    pub name: Arc<str>,
    /// What is asked where. A way that is not in it has nothing to evaluate.
    pub groups: BTreeMap<(Hook, Direction), GroupId>,
}

impl HostEndpoint {
    /// Where packets go at a hook.
    pub fn dispatch(&self, hook: Hook, direction: Direction) -> Dispatch {
        match self.groups.get(&(hook, direction)) {
            Some(group) => Dispatch::Group(group.clone()),
            None => Dispatch::Open,
        }
    }
}

/// A port of the host that no policy can close.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Failsafe {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port of the connection's server: ours inbound, theirs outbound.
    pub port: u16,
    /// Only for peers inside; none: for all of both families.
    pub net: Option<IpNet>,
}

/// The failsafes of a node, each list sorted and without repetition (`calico-semantics.md` §2.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failsafes {
    /// For what the host serves.
    pub inbound: Arc<[Failsafe]>,
    /// For what the host asks for.
    pub outbound: Arc<[Failsafe]>,
    /// Whether these are all. While nobody knows what else is one, an allow of an early hook is not final: a failsafe is
    /// not asked there, but by normal policy.
    pub are_certain: bool,
}

impl Failsafes {
    /// None at all.
    pub fn none() -> Self {
        Self::new([], [])
    }

    /// These.
    pub fn new(
        inbound: impl IntoIterator<Item = Failsafe>,
        outbound: impl IntoIterator<Item = Failsafe>,
    ) -> Self {
        let sorted = |mut list: Vec<Failsafe>| -> Arc<[Failsafe]> {
            list.sort_unstable();
            list.dedup();
            list.into()
        };
        Self {
            inbound: sorted(inbound.into_iter().collect()),
            outbound: sorted(outbound.into_iter().collect()),
            are_certain: true,
        }
    }
}

impl Failsafe {
    /// What both let through.
    fn and(&self, other: &Self) -> Option<Self> {
        if (self.protocol, self.port) != (other.protocol, other.port) {
            return None;
        }
        let net = match (self.net, other.net) {
            (None, net) | (net, None) => net,
            (Some(one), Some(two)) if one.contains(&two) => Some(two),
            (Some(one), Some(two)) if two.contains(&one) => Some(one),
            (Some(_), Some(_)) => return None,
        };
        Some(Self { net, ..*self })
    }
}

impl Failsafes {
    /// What both let through.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = |mine: &[Failsafe], theirs: &[Failsafe]| {
            let pairs = mine.iter();
            let pairs = pairs.flat_map(|one| theirs.iter().filter_map(|two| one.and(two)));
            pairs.collect::<Vec<_>>()
        };
        let failsafes = Self::new(
            both(&self.inbound, &other.inbound),
            both(&self.outbound, &other.outbound),
        );
        Self {
            are_certain: self.are_certain && self == other,
            ..failsafes
        }
    }
}

impl Default for Failsafes {
    /// Calico's.
    fn default() -> Self {
        let of = |protocol| {
            move |port| Failsafe {
                protocol,
                port,
                net: None,
            }
        };
        let both = [179, 2379, 2380, 5473, 6443, 6666, 6667].map(of(Protocol::TCP));
        let inbound = [of(Protocol::TCP)(22), of(Protocol::UDP)(68)];
        let outbound = [53, 67].map(of(Protocol::UDP));
        Self::new(
            both.into_iter().chain(inbound),
            both.into_iter().chain(outbound),
        )
    }
}
