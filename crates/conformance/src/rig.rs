//! A cluster in namespaces: the engine, real nf_tables on every node, real packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oncilla_api::{Object, ObjectKey};
use oncilla_dataplane::{Dataplane, DataplaneError, TableOwner};
use oncilla_kernel::conntrack::ConntrackError;
use oncilla_kernel::netns::{Netns, NetnsError};
use oncilla_net::{Packet, Verdict};
use oncilla_program::{Program, ProgramDelta, Settings};
use oncilla_testkit::connect::{ConnectError, Connection, connect, listen};
use oncilla_testkit::prober::{Prober, ProberError};
use oncilla_testkit::topology::{NodeSpec, OutsideSpec, PodSpec, Topology, TopologyError};

use crate::case::Change;
use crate::engine::{Engine, FABRIC_INTERFACE, Unsettled, difference, nodes_of};
use crate::hosts::node_interfaces;

mod shot;

pub use shot::{Exchange, Shot};

/// How long a true connection may take that packets say is allowed.
const CONNECT_ALLOWED: Duration = Duration::from_secs(5);
/// How long a true connection is waited for that packets say is denied.
const CONNECT_DENIED: Duration = Duration::from_millis(100);

/// What went wrong with a rig: never a verdict.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// The network.
    #[error("the network of namespaces failed")]
    Topology(#[source] TopologyError),
    /// A namespace.
    #[error("a namespace failed")]
    Netns(#[source] NetnsError),
    /// The packets.
    #[error("probing failed")]
    Prober(#[source] ProberError),
    /// A connection table.
    #[error("a connection table could not be read")]
    Conntrack(#[source] ConntrackError),
    /// A true connection.
    #[error("a true connection could not be tried")]
    Connect(#[source] ConnectError),
    /// The kernel's policy.
    #[error("the policy of node {node} could not be put in force")]
    Dataplane {
        /// The node.
        node: String,
        /// Why.
        #[source]
        source: Box<DataplaneError>,
    },
    /// The engine.
    #[error("the engine failed")]
    Engine(#[source] Unsettled),
    /// The kernel holds something else than the program.
    #[error("the kernel of node {node} differs from the program: {difference}")]
    Differs {
        /// The node.
        node: String,
        /// In what.
        difference: String,
    },
    /// The kernel refused a group, and the dataplane put a denial in its place.
    #[error("the kernel of node {node} refused group {group}: {words}")]
    Refused {
        /// The node.
        node: String,
        /// The group.
        group: String,
        /// The kernel's words.
        words: String,
    },
    /// Nobody has the address.
    #[error("nobody has the address {0}")]
    Nobody(IpAddr),
    /// A node lost an address in the middle of a case, which its network cannot follow.
    #[error("node {node} no longer has the address {address}: a rig's nodes only gain addresses")]
    Moved {
        /// The node.
        node: String,
        /// The address.
        address: IpAddr,
    },
}

impl From<Unsettled> for RigError {
    fn from(source: Unsettled) -> Self {
        Self::Engine(source)
    }
}

/// The cluster. Everything ends with it.
#[derive(Debug)]
pub struct Rig {
    // Dropped in this order: sockets before the namespaces that they are in.
    dataplanes: BTreeMap<String, Dataplane>,
    prober: Option<Prober>,
    topology: Topology,
    engine: Engine,
    objects: BTreeMap<ObjectKey, Object>,
    pods: BTreeMap<String, PodSpec>,
    /// The addresses of each node, with the interface that has them.
    hosts: BTreeMap<String, BTreeMap<IpAddr, String>>,
    /// Who has an address: a pod by `namespace/name`, a node, or an outside host.
    owners: BTreeMap<IpAddr, String>,
    outside: BTreeSet<IpAddr>,
}

impl Rig {
    /// Nodes without pods; every table is in force.
    ///
    /// # Errors
    /// Without root; when the kernel refuses.
    pub fn new(nodes: &[String]) -> Result<Self, RigError> {
        let mut topology = Topology::empty().map_err(RigError::Topology)?;
        let mut dataplanes = BTreeMap::new();
        for node in nodes {
            let spec = NodeSpec {
                name: node.clone(),
                addresses: Vec::new(),
            };
            let made = topology.add_node(&spec).map_err(RigError::Topology)?;
            dataplanes.insert(node.clone(), start(node, &made.netns)?);
        }
        let engine = Engine::new(nodes.iter().cloned(), &mut |node, delta, program| {
            send(&mut dataplanes, node, delta, program)
        })?;
        Ok(Self {
            dataplanes,
            prober: None,
            topology,
            engine,
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            hosts: BTreeMap::new(),
            owners: BTreeMap::new(),
            outside: BTreeSet::new(),
        })
    }

    /// Whether the rig can take on these nodes, their addresses and outside addresses, whatever happens to pods.
    #[expect(
        single_use_lifetimes,
        reason = "an argument of an unnamed type needs a named lifetime"
    )]
    pub fn suits<'a>(&self, objects: impl Iterator<Item = &'a Object> + Clone) -> bool {
        let nodes = nodes_of(objects.clone());
        let hosts = objects.clone().filter_map(host);
        let same_hosts = hosts.clone().all(|(name, addresses)| {
            let known = self.hosts.get(&name);
            known.is_none_or(|known| *known == addresses)
        });
        let pods = objects.filter_map(|object| self.pod(object));
        let mut taken = pods
            .flat_map(|(_, pod)| pod.addresses)
            .chain(hosts.flat_map(|(_, addresses)| addresses.into_keys()));
        nodes.iter().eq(self.dataplanes.keys())
            && same_hosts
            && !taken.any(|address| self.outside.contains(&address))
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Changes to exactly these objects.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn become_cluster(
        &mut self,
        objects: &BTreeMap<ObjectKey, Object>,
    ) -> Result<(), RigError> {
        let changes = difference(&self.objects, objects);
        self.apply(&changes)
    }

    /// Puts changes in force: pods get or lose their namespaces, nodes their policy. Old versions are
    /// cleaned, and what the kernel holds is compared with the programs.
    ///
    /// # Errors
    /// When the kernel refuses, or holds something else.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), RigError> {
        for change in changes {
            match change {
                Change::Apply(object) => drop(self.objects.insert(object.key(), object.clone())),
                Change::Delete(key) => drop(self.objects.remove(key)),
            }
        }
        self.move_hosts()?;
        self.move_pods()?;
        let dataplanes = &mut self.dataplanes;
        self.engine.apply(changes, &mut |node, delta, program| {
            send(dataplanes, node, delta, program)
        })?;
        for (node, dataplane) in dataplanes {
            let failed = |source| failed(node, source);
            // Nothing is under way between steps: no packet can still be in an old version.
            dataplane.clean().map_err(failed)?;
            if let Some(difference) = dataplane.verify().map_err(failed)?.first() {
                return Err(RigError::Differs {
                    node: node.clone(),
                    difference: format!("{difference:?}"),
                });
            }
        }
        Ok(())
    }

    fn pod(&self, object: &Object) -> Option<(String, PodSpec)> {
        let Object::Pod(_) = object else { return None };
        let change = self.engine.converter().convert(object).ok()?.pop()?;
        let oncilla_model::Change::Endpoint(key, Some(endpoint)) = change else {
            return None;
        };
        let name = key.to_string();
        let spec = PodSpec {
            name: name.clone(),
            node: endpoint.node.to_string(),
            host_iface: Some(endpoint.interface.to_string()),
            addresses: endpoint.addresses.clone(),
        };
        (!spec.addresses.is_empty()).then_some((name, spec))
    }

    /// Nodes get the addresses that their objects say.
    fn move_hosts(&mut self) -> Result<(), RigError> {
        let desired: BTreeMap<_, _> = self.objects.values().filter_map(host).collect();
        for (node, addresses) in desired {
            let known = self.hosts.entry(node.clone()).or_default();
            if let Some(address) = known.keys().find(|known| !addresses.contains_key(known)) {
                let address = *address;
                return Err(RigError::Moved { node, address });
            }
            for (address, iface) in addresses {
                if known.contains_key(&address) {
                    continue;
                }
                if iface != FABRIC_INTERFACE {
                    behind(&mut self.topology, &node, &iface)?;
                }
                self.topology
                    .add_node_address(&node, &iface, address)
                    .map_err(RigError::Topology)?;
                known.insert(address, iface);
                self.owners.insert(address, node.clone());
                self.prober = None;
            }
        }
        Ok(())
    }

    fn move_pods(&mut self) -> Result<(), RigError> {
        let desired: BTreeMap<String, PodSpec> = self
            .objects
            .values()
            .filter_map(|object| self.pod(object))
            .collect();
        if desired == self.pods {
            return Ok(());
        }
        self.prober = None;
        for (name, pod) in &self.pods {
            if desired.get(name) != Some(pod) {
                self.topology.remove_pod(name).map_err(RigError::Topology)?;
                self.owners.retain(|_, owner| owner != name);
            }
        }
        for (name, pod) in &desired {
            if self.pods.get(name) != Some(pod) {
                self.topology.add_pod(pod).map_err(RigError::Topology)?;
                let addresses = pod.addresses.iter();
                self.owners
                    .extend(addresses.map(|address| (*address, name.clone())));
            }
        }
        self.pods = desired;
        Ok(())
    }

    /// Gives each address that nobody has to a host outside.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add_outside(
        &mut self,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), RigError> {
        for address in addresses {
            if self.owners.contains_key(&address) {
                continue;
            }
            let name = format!("outside {address}");
            let spec = OutsideSpec {
                name: name.clone(),
                addresses: vec![address],
            };
            self.topology
                .add_outside(&spec)
                .map_err(RigError::Topology)?;
            self.owners.insert(address, name);
            self.outside.insert(address);
            self.prober = None;
        }
        Ok(())
    }

    /// Gives outside addresses that nobody has to the host behind a node's own interface, which is made.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add_behind(
        &mut self,
        (node, iface): (&str, &str),
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), RigError> {
        let name = behind(&mut self.topology, node, iface)?;
        for address in addresses {
            self.topology
                .add_outside_address(&name, address)
                .map_err(RigError::Topology)?;
            self.owners.insert(address, name.clone());
            self.outside.insert(address);
            self.prober = None;
        }
        Ok(())
    }

    /// The network namespace of a node.
    pub fn node(&self, name: &str) -> Option<&Netns> {
        self.topology.nodes().get(name).map(|node| &*node.netns)
    }

    /// Opens a true TCP connection between the two ends of `packet`, to a true listener, and says how that
    /// ended. `expected` only tells how long to wait.
    ///
    /// # Errors
    /// When an end is not there, or the attempt failed before the network had a say.
    pub fn connect(&self, packet: &Packet, expected: Verdict) -> Result<Connection, RigError> {
        let (from, to) = (self.netns(packet.src)?, self.netns(packet.dst)?);
        let addr = SocketAddr::new(packet.dst, packet.dst_port);
        let _listener = listen(to, addr).map_err(RigError::Connect)?;
        let deadline = match expected {
            Verdict::Allow => CONNECT_ALLOWED,
            Verdict::Deny => CONNECT_DENIED,
        };
        connect(from, addr, deadline).map_err(RigError::Connect)
    }

    fn netns(&self, address: IpAddr) -> Result<&Netns, RigError> {
        let nobody = || RigError::Nobody(address);
        let owner = self.owners.get(&address).ok_or_else(nobody)?;
        let topology = &self.topology;
        let own = topology.pods().get(owner).map(|pod| &pod.netns);
        let own = own.or_else(|| topology.nodes().get(owner).map(|node| &node.netns));
        match own {
            Some(netns) => Ok(netns),
            None => Ok(&topology.outside(owner).map_err(RigError::Topology)?.netns),
        }
    }
}

/// A node's own addresses, with the interface that has each.
fn host(object: &Object) -> Option<(String, BTreeMap<IpAddr, String>)> {
    let Object::Node(node) = object else {
        return None;
    };
    let interfaces = node_interfaces(node).into_iter();
    let addresses = interfaces.flat_map(|(iface, addresses)| {
        let addresses = addresses.into_iter();
        addresses.map(move |address| (address, iface.clone()))
    });
    Some((node.metadata.name.clone(), addresses.collect()))
}

/// The name of the outside host behind a node's own interface, which is made when it is not there.
fn behind(topology: &mut Topology, node: &str, iface: &str) -> Result<String, RigError> {
    let name = format!("behind {node} {iface}");
    if !topology.outsides().contains_key(&name) {
        let spec = OutsideSpec {
            name: name.clone(),
            addresses: Vec::new(),
        };
        topology
            .add_behind(&spec, (node, iface))
            .map_err(RigError::Topology)?;
    }
    Ok(name)
}

fn start(node: &str, netns: &Netns) -> Result<Dataplane, RigError> {
    let started = netns.run(|| {
        let mut dataplane = Dataplane::open(Settings::default(), TableOwner::default())?;
        dataplane.start(&Program::default())?;
        Ok(dataplane)
    });
    started
        .map_err(RigError::Netns)?
        .map_err(|source| failed(node, source))
}

fn failed(node: &str, source: DataplaneError) -> RigError {
    RigError::Dataplane {
        node: node.to_owned(),
        source: Box::new(source),
    }
}

fn send(
    dataplanes: &mut BTreeMap<String, Dataplane>,
    node: &str,
    delta: &ProgramDelta,
    program: &Program,
) -> Result<(), RigError> {
    let Some(dataplane) = dataplanes.get_mut(node) else {
        return Ok(());
    };
    let applied = dataplane
        .apply(delta, program)
        .map_err(|source| failed(node, source))?;
    match applied.isolated.first_key_value() {
        Some((group, words)) => Err(RigError::Refused {
            node: node.to_owned(),
            group: group.to_string(),
            words: words.clone(),
        }),
        None => Ok(()),
    }
}
