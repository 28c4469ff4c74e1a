//! Groups: endpoints that the same ordered policies judge share one chain.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::Direction;

use crate::{Bank, Hook};

/// The name of a group: a hash of its key (hook, direction, ordered tiers, policies, profiles and local named
/// ports). 16 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub Arc<str>);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happens at the end of a tier when no rule decided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TierEnd {
    /// Drop: the end of the tier decides.
    Deny,
    /// Go to the next tier.
    Pass,
}

/// One tier of a group: banks in order, then the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tier {
    /// The tier's name.
    pub name: Arc<str>,
    /// Policies in order, for people: `np/production/a, knp/production/b`.
    pub comment: Arc<str>,
    /// The rules.
    pub banks: Vec<Bank>,
    /// What no rule decided.
    pub end: TierEnd,
}

/// What the profiles say after the last tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProfileEnd {
    /// A profile allows everything.
    Allow,
    /// No profile, a missing profile, or none that allows.
    Deny,
    /// Profiles with rules of their own: banks, then deny. A pass in them denies.
    Banks(Vec<Bank>),
    /// No profile is asked here: what no tier decided goes on. At every hook but [`Hook::Normal`],
    /// except for a host endpoint of which nobody knows the policies: its forward groups deny.
    Continue,
}

/// What decides one direction of the endpoints that share it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The name.
    pub id: GroupId,
    /// Where on a packet's way it is asked.
    pub hook: Hook,
    /// Which direction it judges.
    pub direction: Direction,
    /// The tiers that have a policy for it, in order.
    pub tiers: Vec<Tier>,
    /// What follows the last tier.
    pub profiles: ProfileEnd,
}

/// Where packets of one direction of an endpoint go.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dispatch {
    /// No policy, and a profile allows everything: nothing to evaluate.
    Open,
    /// To this group.
    Group(GroupId),
}

/// An endpoint of this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalEndpoint {
    /// For people: `production/backend eth0`.
    pub name: Arc<str>,
    /// Its addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// Packets to it.
    pub ingress: Dispatch,
    /// Packets from it.
    pub egress: Dispatch,
}
