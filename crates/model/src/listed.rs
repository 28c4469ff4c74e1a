//! The endpoints of services. Only rules that name the service mean them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::Protocol;

/// Which service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which slice of endpoints.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SliceKey {
    /// The namespace, the same as its service's.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

/// Some of the endpoints of a service: every address with every port (§2.7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Which.
    pub key: SliceKey,
    /// Whose endpoints they are.
    pub service: ServiceKey,
    /// Addresses, sorted, each once.
    pub addresses: Vec<IpAddr>,
    /// Ports, sorted, each once.
    pub ports: Vec<(Protocol, u16)>,
}
