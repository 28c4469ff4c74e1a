//! A cluster in namespaces: the engine, real nf_tables on every node, real packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oncilla_api::{Object, ObjectKey};
use oncilla_dataplane::{Dataplane, DataplaneError, TableOwner};
use oncilla_kernel::netns::{Netns, NetnsError};
use oncilla_net::{Packet, Protocol, Verdict};
use oncilla_program::{Program, ProgramDelta, Settings};
use oncilla_testkit::connect::{ConnectError, Connection, connect, listen};
use oncilla_testkit::prober::{Outcome, Probe, Prober, ProberError};
use oncilla_testkit::topology::{NodeSpec, OutsideSpec, PodSpec, Topology, TopologyError};

use crate::case::Change;
use crate::engine::{Engine, Unsettled, difference, nodes_of};

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
    /// Who has an address: a pod by `namespace/name`, or an outside host.
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
            owners: BTreeMap::new(),
            outside: BTreeSet::new(),
        })
    }

    /// Whether the rig can take on these nodes and outside addresses, whatever happens to pods.
    #[expect(
        single_use_lifetimes,
        reason = "an argument of an unnamed type needs a named lifetime"
    )]
    pub fn suits<'a>(&self, objects: impl Iterator<Item = &'a Object> + Clone) -> bool {
        let nodes = nodes_of(objects.clone());
        nodes.iter().eq(self.dataplanes.keys())
            && objects
                .filter_map(|object| self.pod(object))
                .all(|(_, pod)| {
                    pod.addresses
                        .iter()
                        .all(|address| !self.outside.contains(address))
                })
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

    /// Sends packets, each of a new flow, and says what became of each. Source port 0 is any.
    ///
    /// # Errors
    /// When nobody has an address; when packets get lost.
    pub fn probe(&mut self, packets: &[Packet]) -> Result<Vec<Verdict>, RigError> {
        let mut prober = match self.prober.take() {
            Some(prober) => prober,
            None => self.topology.prober().map_err(RigError::Prober)?,
        };
        let probes: Vec<(Flow, Probe)> = packets
            .iter()
            .map(|packet| {
                let point = |address| {
                    let owner = self.owners.get(&address);
                    let point = owner.and_then(|owner| prober.point(owner));
                    point.ok_or(RigError::Nobody(address))
                };
                let (from, to) = (point(packet.src)?, point(packet.dst)?);
                Ok((flow(packet), Probe::of_packet(from, to, packet)))
            })
            .collect::<Result<_, RigError>>()?;
        let mut verdicts = Vec::with_capacity(probes.len());
        let mut rest = probes.as_slice();
        while !rest.is_empty() {
            // A packet back along the way of an earlier one would be its answer, and no new flow.
            let mut flows = BTreeSet::new();
            let fresh = rest
                .iter()
                .take_while(|(flow, _)| flow.is_none() || flows.insert(*flow));
            let (batch, after) = rest.split_at(fresh.count());
            let batch: Vec<Probe> = batch.iter().map(|(_, probe)| *probe).collect();
            prober.flush_connections().map_err(RigError::Prober)?;
            let outcomes = prober.run(&batch).map_err(RigError::Prober)?;
            verdicts.extend(outcomes.iter().map(Outcome::verdict));
            rest = after;
        }
        self.prober = Some(prober);
        Ok(verdicts)
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
        match self.topology.pods().get(owner) {
            Some(pod) => Ok(&pod.netns),
            None => Ok(&self
                .topology
                .outside(owner)
                .map_err(RigError::Topology)?
                .netns),
        }
    }
}

/// What connection tracking tells flows apart by, whichever way they go; `None` where each probe gets
/// numbers of its own.
type Flow = Option<(Protocol, [(IpAddr, u16); 2])>;

fn flow(packet: &Packet) -> Flow {
    let numbered =
        packet.protocol.has_ports() || matches!(packet.protocol, Protocol::ICMP | Protocol::ICMPV6);
    if numbered && packet.src_port == 0 {
        return None;
    }
    let mut ends = [(packet.src, packet.src_port), (packet.dst, packet.dst_port)];
    ends.sort_unstable();
    Some((packet.protocol, ends))
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
