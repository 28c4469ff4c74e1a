//! A handful of named namespaces for one test, joined by hand. For whole clusters see [`crate::topology`].

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_kernel::link::{LinkError, Links, Route, VethSpec};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::plumb::{self, PlumbError, ROUTE_PROTOCOL};
use oncilla_net::IpNet;
use thiserror::Error;

/// What went wrong with a test's network.
#[derive(Debug, Error)]
pub enum NetError {
    /// The kernel refused.
    #[error("namespace {name} could not be set up")]
    Plumb {
        /// Which namespace.
        name: String,
        /// Why.
        #[source]
        source: PlumbError,
    },
    /// A name nobody added.
    #[error("no namespace is named {name}")]
    Unknown {
        /// The name.
        name: String,
    },
}

/// Named namespaces; all of them end with this value.
#[derive(Debug, Default)]
pub struct Net {
    namespaces: BTreeMap<String, Arc<Netns>>,
}

impl Net {
    /// No namespaces yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a namespace that forwards: loopback up, both families.
    pub fn add_node(&mut self, name: &str) -> Result<Arc<Netns>, NetError> {
        self.add(name, plumb::prepare_node)
    }

    /// Adds a namespace that does not forward.
    pub fn add_host(&mut self, name: &str) -> Result<Arc<Netns>, NetError> {
        self.add(name, plumb::prepare_pod)
    }

    /// The namespace called `name`.
    pub fn netns(&self, name: &str) -> Result<&Arc<Netns>, NetError> {
        self.namespaces.get(name).ok_or_else(|| NetError::Unknown {
            name: name.to_owned(),
        })
    }

    /// Joins two namespaces by a veth pair, both ends up: `(namespace, interface)` each.
    pub fn join(&self, near: (&str, &str), far: (&str, &str)) -> Result<(), NetError> {
        let far_netns = self.netns(far.0)?;
        let spec = VethSpec {
            name: near.1.to_owned(),
            mac: None,
            peer_name: far.1.to_owned(),
            peer_mac: None,
            mtu_bytes: None,
        };
        self.links(near.0, |links| {
            links.create_veth(&spec, Some(far_netns))?;
            links.set_up(near.1)
        })?;
        self.links(far.0, |links| links.set_up(far.1))
    }

    /// Gives an interface an address with its prefix length.
    pub fn address(&self, (name, iface): (&str, &str), address: IpNet) -> Result<(), NetError> {
        self.links(name, |links| links.ensure_address(iface, address))
    }

    /// Adds a route.
    pub fn route(&self, name: &str, dst: IpNet, via: std::net::IpAddr) -> Result<(), NetError> {
        self.links(name, |links| {
            links.replace_route(&Route::new(dst, ROUTE_PROTOCOL).via(via))
        })
    }

    /// Lets `change` work on the interfaces of a namespace.
    pub fn links<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Links) -> Result<T, LinkError>,
    ) -> Result<T, NetError> {
        Links::open_in(self.netns(name)?)
            .and_then(|mut links| change(&mut links))
            .map_err(|source| NetError::Plumb {
                name: name.to_owned(),
                source: source.into(),
            })
    }

    fn add(
        &mut self,
        name: &str,
        prepare: fn(&Netns) -> Result<(), PlumbError>,
    ) -> Result<Arc<Netns>, NetError> {
        let made = Netns::new().map_err(PlumbError::from);
        let netns = made
            .and_then(|netns| prepare(&netns).map(|()| Arc::new(netns)))
            .map_err(|source| NetError::Plumb {
                name: name.to_owned(),
                source,
            })?;
        self.namespaces.insert(name.to_owned(), Arc::clone(&netns));
        Ok(netns)
    }
}
