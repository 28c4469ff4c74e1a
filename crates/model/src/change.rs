//! One change of the validated cluster.

use std::net::IpAddr;
use std::sync::Arc;

use crate::{
    Endpoint, EndpointKey, HostEndpoint, NetworkSet, NetworkSetKey, Node, Policy, PolicyKey,
    Profile, ProfileName, Slice, SliceKey, Tier, TierName,
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
    /// A host endpoint, of any node, by its name.
    HostEndpoint(Arc<str>, Option<Arc<HostEndpoint>>),
    /// One of this node's own interfaces, with its addresses, sorted; `None`: it is gone. Workloads' interfaces
    /// are not told.
    Interface(Arc<str>, Option<Arc<[IpAddr]>>),
    /// A network set.
    NetworkSet(NetworkSetKey, Option<Arc<NetworkSet>>),
    /// A node of the cluster, by its name.
    Node(Arc<str>, Option<Arc<Node>>),
    /// A profile.
    Profile(ProfileName, Option<Arc<Profile>>),
    /// Some endpoints of a service.
    Slice(SliceKey, Option<Arc<Slice>>),
}
