//! The network between nodes, and to what lies outside: the supervisor's own namespace plays the routers.
//!
//! ```text
//!            fabric (forwards; one /24 and /64 route a node, /32 and /128 routes for other addresses)
//!             │ n1              │ n2                      │ x1
//!   node n1  eth0              eth0  node n2             eth0  outside host
//! ```
//! Nobody shares a link, so every packet is routed and no neighbour is ever asked for.

use std::net::IpAddr;
use std::sync::Arc;

use oncilla_kernel::link::{LinkError, Links, Route};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::plumb::{
    self, GATEWAY_V4, GATEWAY_V6, PlumbError, PodCable, ROUTE_PROTOCOL, plumb_pod, prepare_node,
    prepare_pod,
};
use oncilla_net::IpNet;
use sha1::{Digest as _, Sha1};

use super::addresses;

/// The interface of nodes, pods and outside hosts.
pub(crate) const IFACE: &str = "eth0";
/// The prefix of pods' interfaces on the node's side.
const POD_IFACE_PREFIX: &str = "cali";
/// How many hexadecimal digits of the hash follow it.
const POD_IFACE_DIGITS: usize = 11;

/// The network between nodes.
#[derive(Debug)]
pub(crate) struct Fabric {
    netns: Netns,
    outside: u32,
}

/// A node's network.
#[derive(Debug)]
pub(crate) struct NodeNet {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) netns: Netns,
    pub(crate) addresses: [IpAddr; 2],
}

impl Fabric {
    /// Turns the calling thread's namespace into the fabric.
    pub(crate) fn new() -> Result<Self, PlumbError> {
        let netns = Netns::current()?;
        prepare_node(&netns)?;
        Ok(Self { netns, outside: 0 })
    }

    /// Adds node number `number`, with routes for its pods.
    pub(crate) fn add_node(&self, number: u16) -> Result<NodeNet, PlumbError> {
        let node = NodeNet {
            number,
            name: format!("n{number}"),
            netns: Netns::new()?,
            addresses: addresses::of_node(number),
        };
        prepare_node(&node.netns)?;
        self.cable(&node.netns, &node.name, &node.addresses)?;
        let mut fabric = Links::open_in(&self.netns)?;
        let mut inside = Links::open_in(&node.netns)?;
        for block in addresses::blocks_of_node(number) {
            fabric.replace_route(&by_node(block, &node, block.addr()))?;
            // What is for a pod that is not there ends here instead of going back to the fabric and round.
            inside.replace_route(&Route::new(block, ROUTE_PROTOCOL).blackhole())?;
        }
        Ok(node)
    }

    /// Adds a host outside the cluster.
    pub(crate) fn add_outside(&mut self, addresses: &[IpAddr]) -> Result<Netns, PlumbError> {
        let host = Netns::new()?;
        prepare_pod(&host)?;
        self.outside += 1;
        self.cable(&host, &format!("x{}", self.outside), addresses)?;
        Ok(host)
    }

    /// Leads addresses of a pod that are not of its node's blocks to its node, among them those of another node's.
    pub(crate) fn lead(
        &self,
        pod: &[IpAddr],
        node: &NodeNet,
        all: &[Arc<NodeNet>],
    ) -> Result<(), LinkError> {
        let mut links = Links::open_in(&self.netns)?;
        for address in foreign(pod, node) {
            links.replace_route(&by_node(IpNet::from(address), node, address))?;
        }
        for (home, route) in stray_routes(pod, node, all) {
            Links::open_in(&home.netns)?.replace_route(&route)?;
        }
        Ok(())
    }

    /// Undoes [`Fabric::lead`].
    pub(crate) fn mislead(
        &self,
        pod: &[IpAddr],
        node: &NodeNet,
        all: &[Arc<NodeNet>],
    ) -> Result<(), LinkError> {
        let mut links = Links::open_in(&self.netns)?;
        for address in foreign(pod, node) {
            links.delete_route(&by_node(IpNet::from(address), node, address))?;
        }
        for (home, route) in stray_routes(pod, node, all) {
            Links::open_in(&home.netns)?.delete_route(&route)?;
        }
        Ok(())
    }

    fn cable(&self, to: &Netns, name: &str, addresses: &[IpAddr]) -> Result<(), PlumbError> {
        let cable = PodCable {
            host_iface: name.to_owned(),
            pod_iface: IFACE.to_owned(),
            addresses: addresses.to_vec(),
            mtu_bytes: None,
        };
        plumb_pod(&self.netns, to, &cable).map(drop)
    }
}

/// A pod's network: its namespace, and its interface's name on the node.
pub(crate) fn add_pod(
    node: &Netns,
    iface: &str,
    addresses: &[IpAddr],
) -> Result<Netns, PlumbError> {
    let pod = Netns::new()?;
    prepare_pod(&pod)?;
    let cable = PodCable {
        host_iface: iface.to_owned(),
        pod_iface: IFACE.to_owned(),
        addresses: addresses.to_vec(),
        mtu_bytes: None,
    };
    plumb_pod(node, &pod, &cable)?;
    Ok(pod)
}

/// Takes a pod's interface away.
pub(crate) fn remove_pod(node: &Netns, iface: &str) -> Result<(), PlumbError> {
    plumb::unplumb_pod(node, iface).map(drop)
}

/// The node-side interface of a pod, as Calico names it: agents find pods by it.
pub(crate) fn pod_iface(namespace: &str, name: &str) -> String {
    let digest = Sha1::digest(format!("{namespace}.{name}"));
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    let mut iface = POD_IFACE_PREFIX.to_owned();
    iface.extend(digits.take(POD_IFACE_DIGITS));
    iface
}

/// Addresses that are not of the node's blocks.
fn foreign(pod: &[IpAddr], node: &NodeNet) -> impl Iterator<Item = IpAddr> {
    let pod = pod.iter().copied();
    pod.filter(|address| !holds(node.number, *address))
}

/// Routes on nodes whose blocks hold an address that lives on another node: away from there, to the fabric.
fn stray_routes<'a>(
    pod: &[IpAddr],
    node: &NodeNet,
    all: &'a [Arc<NodeNet>],
) -> impl Iterator<Item = (&'a NodeNet, Route)> {
    foreign(pod, node).filter_map(|address| {
        let home = all.iter().find(|other| holds(other.number, address))?;
        let gateway = match address {
            IpAddr::V4(_) => GATEWAY_V4.into(),
            IpAddr::V6(_) => GATEWAY_V6.into(),
        };
        let route = Route::new(IpNet::from(address), ROUTE_PROTOCOL);
        Some((home.as_ref(), route.dev(IFACE).via(gateway)))
    })
}

fn holds(node: u16, address: IpAddr) -> bool {
    let blocks = addresses::blocks_of_node(node);
    blocks.iter().any(|block| block.contains(&address))
}

/// The fabric's route to something on a node, by the node's address of the same family.
fn by_node(dst: IpNet, node: &NodeNet, of_family: IpAddr) -> Route {
    let [v4, v6] = node.addresses;
    let via = if of_family.is_ipv4() { v4 } else { v6 };
    Route::new(dst, ROUTE_PROTOCOL).dev(&node.name).via(via)
}

#[cfg(test)]
mod tests {
    use super::pod_iface;

    #[test]
    fn interfaces_are_named_as_calico_names_them() {
        // printf default.pod | sha1sum
        assert_eq!(pod_iface("default", "pod"), EXPECTED);
    }

    const EXPECTED: &str = "cali9381c30abed";
}
