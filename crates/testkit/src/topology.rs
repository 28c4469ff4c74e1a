//! A cluster's network in namespaces: nodes with pods, and hosts outside, all reachable from each other by routes.
//!
//! ```text
//!   pod ─ eth0 ══ cali… ─ node ─ eth0 ══ node0 ─┐
//!                                               fabric (routes by address, polices nothing)
//!                       outside ─ eth0 ══ out0 ─┘
//!
//!   outside, behind a node ─ eth0 ══ eth1 ─ node
//! ```
//! Every cable is laid by `oncilla_kernel::plumb`, so any address can be anywhere and no packet waits for a neighbour.
//! A packet crosses at most [`CROSSINGS_MAX`] cables. Everything ends with the [`Topology`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_kernel::link::{Links, Mac};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::plumb::{self, PlumbError, PodCable};
use oncilla_kernel::process;
use oncilla_net::IpNet;
use thiserror::Error;

use crate::prober::{ProbePoint, Prober, ProberError};

/// Pod to node, node to fabric, fabric to node, node to pod.
pub const CROSSINGS_MAX: usize = 4;

/// A node to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
}

/// A pod to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodSpec {
    /// Its name, `namespace/name` by habit; unique in the network.
    pub name: String,
    /// The node it is on.
    pub node: String,
    /// The node-side interface; `cali` and a running number when none.
    pub host_iface: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A host outside of the cluster, to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutsideSpec {
    /// Its name; unique in the network.
    pub name: String,
    /// Its addresses, any at all.
    pub addresses: Vec<IpAddr>,
}

/// A whole network to be made.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TopologySpec {
    /// Nodes.
    pub nodes: Vec<NodeSpec>,
    /// Pods.
    pub pods: Vec<PodSpec>,
    /// Hosts outside.
    pub outside: Vec<OutsideSpec>,
}

/// What went wrong with a network.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// The kernel refused.
    #[error("the network of {name} could not be made")]
    Plumb {
        /// Which node, pod or host.
        name: String,
        /// Why.
        #[source]
        source: PlumbError,
    },
    /// A name given twice.
    #[error("{name} is there already")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name nobody made.
    #[error("{name} is not there")]
    Unknown {
        /// The name.
        name: String,
    },
}

/// A node that was made.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its namespace.
    pub netns: Arc<Netns>,
    /// Its own addresses, on `eth0`.
    pub addresses: Vec<IpAddr>,
    fabric_iface: String,
    mac: Mac,
}

/// A pod that was made.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace; its interface is `eth0`.
    pub netns: Arc<Netns>,
    /// The node it is on.
    pub node: String,
    /// The node-side interface.
    pub host_iface: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A host outside that was made.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Its namespace; its interface is `eth0`.
    pub netns: Arc<Netns>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The other end of its cable: the fabric's, or the node's that it is behind.
    near: Arc<Netns>,
    near_iface: String,
    behind: Option<String>,
}

/// A network that was made. Dropping it takes every namespace away, unless somebody else holds one.
#[derive(Debug)]
pub struct Topology {
    fabric: Arc<Netns>,
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<String, Pod>,
    outside: BTreeMap<String, Outside>,
    cables: usize,
}

const POD_IFACE: &str = "eth0";

impl Topology {
    /// A network with nothing in it.
    pub fn empty() -> Result<Self, TopologyError> {
        // Two sockets and a namespace for each pod: the soft limit of 1,024 files is soon reached. The attempt that
        // then lacks a file says so.
        let _limit = process::raise_open_files();
        Ok(Self {
            fabric: fresh("the fabric", plumb::prepare_node)?,
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            outside: BTreeMap::new(),
            cables: 0,
        })
    }

    /// Makes the whole network, in the order given.
    pub fn build(spec: &TopologySpec) -> Result<Self, TopologyError> {
        let mut made = Self::empty()?;
        for node in &spec.nodes {
            made.add_node(node)?;
        }
        for pod in &spec.pods {
            made.add_pod(pod)?;
        }
        for outside in &spec.outside {
            made.add_outside(outside)?;
        }
        Ok(made)
    }

    /// Two nodes `node-1` (192.168.0.1, `fd01::1`) and `node-2`, on each `pods_per_node` (at most 200) pods
    /// `pod-NODE-N` with 10.0.NODE.N and `fd00::NODE:N` in hexadecimal, and a host `outside` (198.51.100.1,
    /// `2001:db8::1`).
    pub fn two_nodes(pods_per_node: u8) -> Result<Self, TopologyError> {
        let mut spec = TopologySpec::default();
        for node in 1..=2_u8 {
            let number = u16::from(node);
            spec.nodes.push(NodeSpec {
                name: format!("node-{node}"),
                addresses: vec![
                    [192, 168, 0, node].into(),
                    [0xfd01, 0, 0, 0, 0, 0, 0, number].into(),
                ],
            });
            for pod in 1..=pods_per_node {
                spec.pods.push(PodSpec {
                    name: format!("pod-{node}-{pod}"),
                    node: format!("node-{node}"),
                    host_iface: None,
                    addresses: vec![
                        [10, 0, node, pod].into(),
                        [0xfd00, 0, 0, 0, 0, 0, number, u16::from(pod)].into(),
                    ],
                });
            }
        }
        spec.outside.push(OutsideSpec {
            name: "outside".to_owned(),
            addresses: vec![
                [198, 51, 100, 1].into(),
                [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
            ],
        });
        Self::build(&spec)
    }

    /// Adds a node.
    pub fn add_node(&mut self, spec: &NodeSpec) -> Result<&Node, TopologyError> {
        self.absent(&spec.name)?;
        let netns = fresh(&spec.name, plumb::prepare_node)?;
        let fabric_iface = format!("node{}", self.next_cable());
        let plumbed =
            plumb::plumb_pod(&self.fabric, &netns, &cable(&fabric_iface, &spec.addresses))
                .map_err(failed(&spec.name))?;
        let node = Node {
            netns,
            addresses: spec.addresses.clone(),
            fabric_iface,
            mac: plumbed.pod_mac,
        };
        Ok(self.nodes.entry(spec.name.clone()).or_insert(node))
    }

    /// Adds a pod to a node that was added before.
    pub fn add_pod(&mut self, spec: &PodSpec) -> Result<&Pod, TopologyError> {
        self.absent(&spec.name)?;
        let number = self.next_cable();
        let host_iface = spec
            .host_iface
            .clone()
            .unwrap_or_else(|| format!("cali{number}"));
        let node = known(&self.nodes, &spec.node)?;
        let netns = fresh(&spec.name, plumb::prepare_pod)?;
        plumb::plumb_pod(&node.netns, &netns, &cable(&host_iface, &spec.addresses))
            .and_then(|_plumbed| {
                let mut fabric = Links::open_in(&self.fabric)?;
                for address in &spec.addresses {
                    plumb::route_address(&mut fabric, &node.fabric_iface, *address, node.mac)?;
                }
                Ok(())
            })
            .map_err(failed(&spec.name))?;
        let pod = Pod {
            netns,
            node: spec.node.clone(),
            host_iface,
            addresses: spec.addresses.clone(),
        };
        Ok(self.pods.entry(spec.name.clone()).or_insert(pod))
    }

    /// Takes a pod away: its cable at once, its namespace when nobody holds it any more.
    pub fn remove_pod(&mut self, name: &str) -> Result<(), TopologyError> {
        let pod = known(&self.pods, name)?;
        let node = known(&self.nodes, &pod.node)?;
        plumb::unplumb_pod(&node.netns, &pod.host_iface).map_err(failed(name))?;
        self.pods.remove(name);
        Ok(())
    }

    /// Adds a host outside of the cluster.
    pub fn add_outside(&mut self, spec: &OutsideSpec) -> Result<&Outside, TopologyError> {
        self.absent(&spec.name)?;
        let near_iface = format!("out{}", self.next_cable());
        let outside = Outside {
            netns: fresh(&spec.name, plumb::prepare_pod)?,
            addresses: spec.addresses.clone(),
            near: Arc::clone(&self.fabric),
            near_iface,
            behind: None,
        };
        self.put_outside(&spec.name, outside)
    }

    /// Adds a host outside of the cluster behind a node: its only cable goes to the node's interface `iface`, which is
    /// made, and everybody else reaches it through the node.
    pub fn add_behind(
        &mut self,
        spec: &OutsideSpec,
        (node, iface): (&str, &str),
    ) -> Result<&Outside, TopologyError> {
        self.absent(&spec.name)?;
        let outside = Outside {
            netns: fresh(&spec.name, plumb::prepare_pod)?,
            addresses: spec.addresses.clone(),
            near: Arc::clone(&known(&self.nodes, node)?.netns),
            near_iface: iface.to_owned(),
            behind: Some(node.to_owned()),
        };
        self.put_outside(&spec.name, outside)
    }

    /// Gives a host outside one more address.
    pub fn add_outside_address(
        &mut self,
        name: &str,
        address: IpAddr,
    ) -> Result<(), TopologyError> {
        let outside = known(&self.outside, name)?;
        let cable = cable(&outside.near_iface, &[]);
        plumb::add_pod_address(&outside.near, &outside.netns, &cable, address)
            .map_err(failed(name))?;
        if let Some(node) = &outside.behind {
            self.route_to_node(node, address)?;
        }
        if let Some(outside) = self.outside.get_mut(name) {
            outside.addresses.push(address);
        }
        Ok(())
    }

    fn put_outside(&mut self, name: &str, outside: Outside) -> Result<&Outside, TopologyError> {
        let cable = cable(&outside.near_iface, &outside.addresses);
        plumb::plumb_pod(&outside.near, &outside.netns, &cable).map_err(failed(name))?;
        if let Some(node) = &outside.behind {
            for address in &outside.addresses {
                self.route_to_node(node, *address)?;
            }
        }
        Ok(self.outside.entry(name.to_owned()).or_insert(outside))
    }

    /// Gives a node one more address of its own, on its interface `iface`, and everybody the way to it.
    pub fn add_node_address(
        &mut self,
        name: &str,
        iface: &str,
        address: IpAddr,
    ) -> Result<(), TopologyError> {
        let node = known(&self.nodes, name)?;
        if iface == POD_IFACE {
            let cable = cable(&node.fabric_iface, &[]);
            plumb::add_pod_address(&self.fabric, &node.netns, &cable, address)
                .map_err(failed(name))?;
        } else {
            Links::open_in(&node.netns)
                .and_then(|mut links| links.ensure_address(iface, IpNet::from(address)))
                .map_err(|error| failed(name)(error.into()))?;
            self.route_to_node(name, address)?;
        }
        if let Some(node) = self.nodes.get_mut(name) {
            node.addresses.push(address);
        }
        Ok(())
    }

    /// The fabric sends what is for the address to the node.
    fn route_to_node(&self, name: &str, address: IpAddr) -> Result<(), TopologyError> {
        let node = known(&self.nodes, name)?;
        Links::open_in(&self.fabric)
            .and_then(|mut fabric| {
                plumb::route_address(&mut fabric, &node.fabric_iface, address, node.mac)
            })
            .map_err(|error| failed(name)(error.into()))
    }

    fn absent(&self, name: &str) -> Result<(), TopologyError> {
        absent(&self.nodes, name)?;
        absent(&self.pods, name)?;
        absent(&self.outside, name)
    }

    /// The node called `name`.
    pub fn node(&self, name: &str) -> Result<&Node, TopologyError> {
        known(&self.nodes, name)
    }

    /// The pod called `name`.
    pub fn pod(&self, name: &str) -> Result<&Pod, TopologyError> {
        known(&self.pods, name)
    }

    /// The outside host called `name`.
    pub fn outside(&self, name: &str) -> Result<&Outside, TopologyError> {
        known(&self.outside, name)
    }

    /// The nodes by name.
    pub const fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// The pods by name.
    pub const fn pods(&self) -> &BTreeMap<String, Pod> {
        &self.pods
    }

    /// The outside hosts by name.
    pub const fn outsides(&self) -> &BTreeMap<String, Outside> {
        &self.outside
    }

    /// Where probes can start and end: every pod, then every outside host, then every node itself, by name.
    pub fn points(&self) -> Vec<ProbePoint> {
        let pods = self.pods.iter().filter_map(|(name, pod)| {
            let node = self.nodes.get(&pod.node)?;
            Some((name, &pod.netns, &node.netns, &pod.host_iface))
        });
        let outside = self
            .outside
            .iter()
            .map(|(name, host)| (name, &host.netns, &host.near, &host.near_iface));
        let nodes = self
            .nodes
            .iter()
            .map(|(name, node)| (name, &node.netns, &self.fabric, &node.fabric_iface));
        let ends = pods.chain(outside).map(|end| (end, false));
        ends.chain(nodes.map(|end| (end, true)))
            .map(
                |((name, netns, peer_netns, peer_iface), is_host)| ProbePoint {
                    name: name.clone(),
                    netns: Arc::clone(netns),
                    iface: POD_IFACE.to_owned(),
                    peer_netns: Arc::clone(peer_netns),
                    peer_iface: peer_iface.clone(),
                    is_host,
                },
            )
            .collect()
    }

    /// A prober for what is there now. After a pod was added or removed, ask for a new one.
    pub fn prober(&self) -> Result<Prober, ProberError> {
        Prober::new(self.points())
    }

    const fn next_cable(&mut self) -> usize {
        self.cables += 1;
        self.cables
    }
}

fn fresh(
    name: &str,
    prepare: fn(&Netns) -> Result<(), PlumbError>,
) -> Result<Arc<Netns>, TopologyError> {
    let made = Netns::new().map_err(PlumbError::from);
    made.and_then(|netns| prepare(&netns).map(|()| Arc::new(netns)))
        .map_err(failed(name))
}

fn cable(host_iface: &str, addresses: &[IpAddr]) -> PodCable {
    PodCable {
        host_iface: host_iface.to_owned(),
        pod_iface: POD_IFACE.to_owned(),
        addresses: addresses.to_vec(),
        mtu_bytes: None,
    }
}

fn failed(name: &str) -> impl FnOnce(PlumbError) -> TopologyError {
    let name = name.to_owned();
    move |source| TopologyError::Plumb { name, source }
}

fn known<'a, T>(all: &'a BTreeMap<String, T>, name: &str) -> Result<&'a T, TopologyError> {
    all.get(name).ok_or_else(|| TopologyError::Unknown {
        name: name.to_owned(),
    })
}

fn absent<T>(all: &BTreeMap<String, T>, name: &str) -> Result<(), TopologyError> {
    if all.contains_key(name) {
        return Err(TopologyError::Duplicate {
            name: name.to_owned(),
        });
    }
    Ok(())
}
