//! One change of the validated cluster.

use std::sync::Arc;

use crate::{
    Endpoint, EndpointKey, NetworkSet, NetworkSetKey, Node, Policy, PolicyKey, Profile,
    ProfileName, Slice, SliceKey, Tier, TierName,
};

/// A change: an object's new state, or that it is gone. Repeating one changes nothing.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// A tier.
    Tier(TierName, Option<Arc<Tier>>),
    /// A policy.
    Policy(PolicyKey, Option<Arc<Policy>>),
    /// A workload endpoint, of any node.
    Endpoint(EndpointKey, Option<Arc<Endpoint>>),
    /// A network set.
    NetworkSet(NetworkSetKey, Option<Arc<NetworkSet>>),
    /// A node of the cluster, by its name.
    Node(Arc<str>, Option<Arc<Node>>),
    /// A profile.
    Profile(ProfileName, Option<Arc<Profile>>),
    /// Some endpoints of a service.
    Slice(SliceKey, Option<Arc<Slice>>),
}
