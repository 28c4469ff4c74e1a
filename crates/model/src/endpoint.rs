//! Endpoints of workloads and hosts, network sets and profiles.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::{IpNet, Protocol};

use crate::Rule;

/// Labels, sorted by key, each key once.
pub type Labels = Arc<[(Arc<str>, Arc<str>)]>;

/// Which workload endpoint. Displayed as `namespace/pod`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointKey {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod's name.
    pub name: Arc<str>,
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A named port of an endpoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointPort {
    /// The name.
    pub name: Arc<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// The name of a profile: `kns.<namespace>` or `ksa.<namespace>.<account>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProfileName(pub Arc<str>);

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A workload endpoint: a pod that has, or had, addresses (§1.10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Which.
    pub key: EndpointKey,
    /// The node it runs on.
    pub node: Arc<str>,
    /// The host-side interface: prefix and hash of namespace and name (§1.10).
    pub interface: Arc<str>,
    /// Own labels, with `projectcalico.org/namespace`, `…/orchestrator` and `…/serviceaccount`. Labels of
    /// profiles are inherited below these.
    pub labels: Labels,
    /// Profiles in order.
    pub profiles: Vec<ProfileName>,
    /// Addresses, sorted, each once. Empty when the pod is finished.
    pub addresses: Vec<IpAddr>,
    /// Named ports, sorted, each once.
    pub ports: Vec<EndpointPort>,
}

/// Which interface of its node a host endpoint is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HostInterface {
    /// The one of this name.
    Named(Arc<str>),
    /// Every one that no other host endpoint is about.
    All,
    /// Those that have one of its addresses.
    ByAddress,
}

/// An endpoint that stands for a node's own interface (§1.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostEndpoint {
    /// The object's name.
    pub name: Arc<str>,
    /// Its node; empty when nobody knows which: then every one.
    pub node: Arc<str>,
    /// Its interface.
    pub interface: HostInterface,
    /// Own labels. Labels of profiles are inherited below these.
    pub labels: Labels,
    /// Profiles in order.
    pub profiles: Vec<ProfileName>,
    /// The addresses by which rules mean it, sorted, each once.
    pub addresses: Vec<IpAddr>,
    /// Named ports, sorted, each once.
    pub ports: Vec<EndpointPort>,
    /// It cannot be understood: it denies what ends at it, begins at it and passes through it, but for failsafes,
    /// whatever policies and other host endpoints say.
    pub is_closed: bool,
    /// Rules of others can mean it by its labels and addresses. Not where some of what they would ask cannot be read: an
    /// address without that would be taken to lack it.
    pub is_peer: bool,
}

impl HostEndpoint {
    /// The interface, when it is given by its name.
    pub fn named(&self) -> Option<&Arc<str>> {
        match &self.interface {
            HostInterface::Named(name) => Some(name),
            HostInterface::All | HostInterface::ByAddress => None,
        }
    }
}

/// Which network set. A global one has no namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetworkSetKey {
    /// The namespace of a `NetworkSet`.
    pub namespace: Option<Arc<str>>,
    /// The name.
    pub name: Arc<str>,
}

/// A network set: CIDRs with labels (§1.8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkSet {
    /// Which.
    pub key: NetworkSetKey,
    /// Own labels; a `NetworkSet` has `projectcalico.org/namespace` too.
    pub labels: Labels,
    /// Profiles whose labels it inherits: its namespace's.
    pub profiles: Vec<ProfileName>,
    /// CIDRs, masked, sorted, each once.
    pub nets: Vec<IpNet>,
}

/// The profile that allows everything both ways. It is always there (§1.7).
pub const DEFAULT_ALLOW: &str = "projectcalico-default-allow";

/// A profile: labels that endpoints inherit, and rules behind the last tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The name.
    pub name: ProfileName,
    /// Labels to apply, already prefixed (`pcns.`, `pcsa.`).
    pub labels: Labels,
    /// Ingress rules.
    pub ingress: Arc<[Rule]>,
    /// Egress rules.
    pub egress: Arc<[Rule]>,
    /// Its labels cannot be read: nobody knows which policies select the host endpoints that list it, so those are
    /// closed.
    pub is_obscure: bool,
}

/// A node of the cluster, as a peer: rules can mean it by its labels (`nodes` of a `ClusterNetworkPolicy`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// The name.
    pub name: Arc<str>,
    /// The labels of the Node object.
    pub labels: Labels,
    /// The addresses in its status, sorted, each once.
    pub addresses: Vec<IpAddr>,
}
