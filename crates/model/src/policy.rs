//! Tiers, policies and rules: validated, defaulted, selectors folded.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use oncilla_net::{Family, IcmpMatch, PortSet, Protocol};
use oncilla_selector::Selector;

use crate::Predicate;

/// A tier's name. Names a tier, or the place behind all tiers for policies whose tier does not exist.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TierName(pub Arc<str>);

impl fmt::Display for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a tier or policy stands among its like; smaller is earlier. Unset sorts last. Never NaN.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Order(f64);

impl Order {
    /// Last: an order that is not set.
    pub const LAST: Self = Self(f64::INFINITY);

    /// An order as written; `None` and NaN sort last.
    pub fn new(order: Option<f64>) -> Self {
        match order {
            Some(order) if !order.is_nan() => Self(order),
            _ => Self::LAST,
        }
    }

    /// The number; infinite when unset.
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        // -0.0 and 0.0 are the same order: total_cmp would tell them apart.
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

/// What the end of a tier does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TierEnd {
    /// Drop.
    Deny,
    /// Go on to the next tier.
    Pass,
}

/// A tier (§1.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tier {
    /// The name.
    pub name: TierName,
    /// Unset is 1,000,000.
    pub order: Order,
    /// `defaultAction`.
    pub end: TierEnd,
}

/// Which kind of object a policy came from. Sorts by the kind's name, which breaks ties of order (§2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PolicyKind {
    /// `projectcalico.org/v3` GlobalNetworkPolicy: `gnp`.
    GlobalNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2` `ClusterNetworkPolicy`: `kcnp`. Called as Calico calls it, by which
    /// ties are broken.
    KubernetesClusterNetworkPolicy,
    /// `networking.k8s.io/v1` NetworkPolicy: `knp`.
    KubernetesNetworkPolicy,
    /// `projectcalico.org/v3` NetworkPolicy: `np`.
    NetworkPolicy,
}

impl PolicyKind {
    /// The short form used in names: `np`, `gnp`, `knp`, `kcnp`.
    pub const fn short(self) -> &'static str {
        match self {
            Self::GlobalNetworkPolicy => "gnp",
            Self::KubernetesClusterNetworkPolicy => "kcnp",
            Self::KubernetesNetworkPolicy => "knp",
            Self::NetworkPolicy => "np",
        }
    }
}

/// Which policy. Displayed as `np/production/deny` or `gnp/deny`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PolicyKey {
    /// The kind.
    pub kind: PolicyKind,
    /// The namespace of a namespaced kind.
    pub namespace: Option<Arc<str>>,
    /// The name.
    pub name: Arc<str>,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.short())?;
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

/// To which packets of an endpoint a policy applies. Workloads know [`Self::Normal`] and [`Self::Forward`],
/// which are one to them; the others are for hosts (§2.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Applies {
    /// Those that end or begin at the endpoint.
    #[default]
    Normal,
    /// The same, and those that a host forwards.
    Forward,
    /// Those that come into a host, before their destination is translated.
    PreDnat,
    /// Every one of a host, before connections are followed.
    Untracked,
    /// All of these: nobody knows what was meant, and it denies.
    Everywhere,
}

/// A policy on endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Which.
    pub key: PolicyKey,
    /// Its tier, which need not exist (§2.2).
    pub tier: TierName,
    /// Its place in the tier.
    pub order: Order,
    /// To which of their packets it applies.
    pub applies: Applies,
    /// Which endpoints it selects: namespace and service account folded in.
    pub selector: Selector,
    /// The ingress rules; `None`: does not govern ingress. `Some` of nothing isolates.
    pub ingress: Option<Arc<[Rule]>>,
    /// The egress rules; `None`: does not govern egress.
    pub egress: Option<Arc<[Rule]>>,
}

/// What a rule does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// This end accepts.
    Allow,
    /// Drop.
    Deny,
    /// Go to the next tier. In a profile: deny.
    Pass,
    /// Log and go on.
    Log,
}

/// The families that a rule can match.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Families {
    /// IPv4 packets.
    pub v4: bool,
    /// IPv6 packets.
    pub v6: bool,
}

impl Families {
    /// Both.
    pub const BOTH: Self = Self { v4: true, v6: true };

    /// One.
    pub const fn only(family: Family) -> Self {
        match family {
            Family::V4 => Self {
                v4: true,
                v6: false,
            },
            Family::V6 => Self {
                v4: false,
                v6: true,
            },
        }
    }

    /// Whether the family is in.
    pub const fn contains(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            v4: self.v4 && other.v4,
            v6: self.v6 && other.v6,
        }
    }
}

/// The protocol criteria of a rule; both hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ProtocolMatch {
    /// Only this one.
    pub is: Option<Protocol>,
    /// Not this one.
    pub is_not: Option<Protocol>,
}

/// The port criterion of one side: the number is in the set, or one of the names leads to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ports {
    /// Port numbers.
    pub numbers: PortSet,
    /// Port names, as [`Predicate::NamedPort`]: one for each protocol that the rule allows.
    pub names: Vec<Predicate>,
}

/// The criteria on one end of the packet. Every one of them holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Side {
    /// Predicates that hold of the address.
    pub all: Vec<Predicate>,
    /// Predicates that do not hold of the address.
    pub none: Vec<Predicate>,
    /// The port.
    pub ports: Option<Ports>,
    /// Not the port.
    pub not_ports: Option<Ports>,
}

/// A rule: validated, defaulted, selectors folded.
///
/// `Families` already carries `ipVersion`, the family of ICMP, and the families left by `nets` and
/// `notNets` (§2.7: a list without a CIDR of the packet's family makes the rule skip it).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// Which packets it can match at all.
    pub families: Families,
    /// The protocol.
    pub protocol: ProtocolMatch,
    /// Only these ICMP messages. The rule names its protocol.
    pub icmp: Option<IcmpMatch>,
    /// Not these ICMP messages. The rule names its protocol.
    pub not_icmp: Option<IcmpMatch>,
    /// The source.
    pub source: Side,
    /// The destination.
    pub destination: Side,
    /// Its place in the manifest's own list, from zero. One rule of a Kubernetes policy may become several.
    pub index: u32,
}
