//! From a question to its answer: who the two ends are, and the legs between them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use oncilla_api::{Kind, Object, ObjectKey, Remains, Remnant};
use oncilla_net::{Direction, Family, Icmp, Packet, Verdict, family_of};

use crate::answer::{Answer, Chain, DecidedRule, Decision};
use crate::cluster::Cluster;
use crate::endpoint::{
    AddressSet, Endpoint, Inheritance, NodePeer, is_nobody, of_family, pod_addresses,
};
use crate::hidden::HiddenSet;
use crate::host::{Host, HostEndpoint};
use crate::labels::LabelMap;
use crate::leg::{Applicable, Detail};
use crate::lists::Lists;
use crate::profile::Profiles;
use crate::question::{Party, Question, QuestionError};
use crate::rule::{Owner, Side, Traffic};
use crate::tier::Tier;
use crate::walk::Legs;

/// Answers one question with its whole trace. For many questions about one cluster keep an [`Evaluator`].
///
/// # Errors
/// When the question names something that is not there.
pub fn evaluate(cluster: &Cluster, question: &Question) -> Result<Answer, QuestionError> {
    Evaluator::new(cluster).explain(question)
}

/// A cluster, read once: selectors parsed, tiers and policies sorted.
#[derive(Debug)]
pub struct Evaluator {
    tiers: Vec<Tier>,
    pub(crate) endpoints: Vec<Endpoint>,
    sets: Vec<AddressSet>,
    /// Broken sets and nodes; the nets that can be read of sets are in `sets`.
    hidden: Vec<HiddenSet>,
    /// Endpoints of services.
    lists: Lists,
    pub(crate) nodes: BTreeMap<String, Host>,
    /// What peers of nodes can mean: each node's labels, and the addresses in its status.
    node_peers: Vec<NodePeer>,
    /// Pods of the host network, by `namespace/pod`: their node and their addresses.
    host_pods: BTreeMap<String, (String, Vec<IpAddr>)>,
    /// Pods that exist and have no endpoint, and are not of the host network.
    unscheduled: Vec<String>,
    /// Host endpoints, in the order of their names.
    pub(crate) hosts: Vec<HostEndpoint>,
    hosts_by_address: BTreeMap<IpAddr, Vec<usize>>,
    endpoint_by_name: BTreeMap<Arc<str>, usize>,
    endpoints_by_address: BTreeMap<IpAddr, Vec<usize>>,
    node_by_address: BTreeMap<IpAddr, String>,
    /// For each endpoint the tiers and policies that apply, ingress and egress; found when first asked.
    applicable: Vec<[OnceLock<Places>; 2]>,
    /// The same for host endpoints, for every chain.
    applicable_hosts: Vec<[OnceLock<Places>; 8]>,
}

/// Tiers by their place in the list, each with the places of its policies.
type Places = Vec<(usize, Vec<usize>)>;

/// One end of a question, found.
pub(crate) struct End {
    pub(crate) name: Arc<str>,
    address: IpAddr,
    pub(crate) place: Place,
}

/// Where an end is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// An endpoint, by its place in the list.
    Pod(usize),
    /// A node itself.
    Node(String),
    /// Neither.
    Outside,
}

impl Evaluator {
    /// Reads a cluster.
    pub fn new(cluster: &Cluster) -> Self {
        let broken = cluster.broken();
        let inheritance = Inheritance::of(cluster, &broken);
        let profiles = Profiles::of(cluster, &broken);
        let mut all = Self {
            tiers: Tier::all(cluster, &broken),
            endpoints: Vec::new(),
            sets: Vec::new(),
            hidden: Vec::new(),
            lists: Lists::default(),
            nodes: BTreeMap::new(),
            node_peers: Vec::new(),
            host_pods: BTreeMap::new(),
            unscheduled: Vec::new(),
            hosts: HostEndpoint::all(cluster, &broken, (&inheritance, &profiles)),
            hosts_by_address: BTreeMap::new(),
            endpoint_by_name: BTreeMap::new(),
            endpoints_by_address: BTreeMap::new(),
            node_by_address: BTreeMap::new(),
            applicable: Vec::new(),
            applicable_hosts: Vec::new(),
        };
        for object in cluster.objects() {
            match object {
                Object::Pod(_) if broken.contains_key(&object.key()) => {}
                Object::Pod(pod) => match Endpoint::of_pod(pod, &inheritance) {
                    Some(endpoint) => all.add_endpoint(endpoint),
                    None if pod.spec.host_network => {
                        let place = (pod.spec.node_name.clone(), pod_addresses(pod));
                        all.host_pods.insert(object.key().path(), place);
                    }
                    None => all.unscheduled.push(object.key().path()),
                },
                Object::GlobalNetworkSet(_) | Object::NetworkSet(_)
                    if broken.contains_key(&object.key()) => {}
                Object::GlobalNetworkSet(set) => all.sets.push(AddressSet::of_global(set)),
                Object::NetworkSet(set) => {
                    let set = AddressSet::of_namespaced(set, &inheritance);
                    all.sets.push(set);
                }
                Object::Node(node) => {
                    if !broken.contains_key(&object.key()) {
                        all.node_peers.push(NodePeer::of(node));
                    }
                    let host = Host::new(node, cluster);
                    for address in &host.addresses {
                        let name = node.metadata.name.clone();
                        all.node_by_address.entry(*address).or_insert(name);
                    }
                    all.nodes.insert(node.metadata.name.clone(), host);
                }
                Object::EndpointSlice(slice) if !broken.contains_key(&object.key()) => {
                    all.lists.add_slice(slice);
                }
                _ => {}
            }
        }
        all.hide(&broken, &inheritance);
        for (index, host) in all.hosts.iter().enumerate() {
            all.applicable_hosts.push(Default::default());
            // What is not known of one does not mean that it has it not.
            let remains = broken.get(&host.endpoint.key);
            if remains.is_some_and(|remains| !is_known_peer(remains)) {
                continue;
            }
            for address in &host.endpoint.addresses {
                let owners = all.hosts_by_address.entry(*address).or_default();
                owners.push(index);
            }
        }
        all
    }

    /// Notes what nobody knows of the owners of addresses.
    fn hide(&mut self, broken: &BTreeMap<ObjectKey, Remains>, inheritance: &Inheritance) {
        for (key, remains) in broken {
            self.lists.add_hidden(key, remains);
            let is_set = matches!(key.kind, Kind::GlobalNetworkSet | Kind::NetworkSet);
            let hides = match key.kind {
                Kind::Node => true,
                Kind::Pod => !is_nobody(remains),
                Kind::HostEndpoint => !is_known_peer(remains),
                _ => is_set,
            };
            if !hides {
                continue;
            }
            let set = HiddenSet::of(key, remains, inheritance);
            if is_set {
                let own: Option<LabelMap> = remains.read("metadata.labels");
                self.sets.extend(own.map(|labels| {
                    AddressSet::of_remains(key.namespace.as_deref(), &labels, remains, inheritance)
                }));
            }
            self.hidden.push(set);
        }
        for policy in self.tiers.iter_mut().flat_map(|tier| &mut tier.policies) {
            policy.note_hidden(&self.hidden, &self.lists);
        }
    }

    fn add_endpoint(&mut self, endpoint: Endpoint) {
        let index = self.endpoints.len();
        for address in &endpoint.addresses {
            let owners = self.endpoints_by_address.entry(*address).or_default();
            owners.push(index);
        }
        self.endpoint_by_name
            .insert(Arc::clone(&endpoint.name), index);
        self.endpoints.push(endpoint);
        self.applicable.push([OnceLock::new(), OnceLock::new()]);
    }

    /// The answer with the trace up to the decision: what lies behind it is left out. For many packets.
    ///
    /// # Errors
    /// When the question names something that is not there.
    pub fn decide(&self, question: &Question) -> Result<Answer, QuestionError> {
        self.answer(question, Detail::Decision)
    }

    /// The answer with its whole trace: also the policies that were not reached, and both legs.
    ///
    /// # Errors
    /// When the question names something that is not there.
    pub fn explain(&self, question: &Question) -> Result<Answer, QuestionError> {
        self.answer(question, Detail::Everything)
    }

    /// The pods that are endpoints, with their addresses, in the order of their keys.
    pub fn endpoints(&self) -> impl Iterator<Item = (&ObjectKey, &[IpAddr])> {
        let endpoints = self.endpoints.iter();
        endpoints.map(|endpoint| (&endpoint.key, &*endpoint.addresses))
    }

    fn answer(&self, question: &Question, detail: Detail) -> Result<Answer, QuestionError> {
        let source = self.find(&question.source, question.family)?;
        let destination = self.find(&question.destination, question.family)?;
        let packet = Packet {
            src: source.address,
            dst: destination.address,
            protocol: question.protocol,
            src_port: question.source_port,
            dst_port: question.destination_port,
            icmp: question.icmp.or(Icmp::echo(question.protocol)),
        };
        let original = question.way.original;
        let sent = original.map_or(packet, |original| Packet {
            dst: original.ip(),
            dst_port: original.port(),
            ..packet
        });
        let mut legs = Legs::new(detail);
        let here = self.traffic(packet);
        let before = (sent != packet).then(|| self.traffic(sent));
        // Only the first node on the way sees it as it was sent.
        let mut as_sent = before.as_ref();
        for walk in &self.walks(&source, &destination, &question.way)? {
            self.judge_walk(walk, (as_sent.take().unwrap_or(&here), &here), &mut legs);
        }
        let unjudged = || unjudged(&source, &destination);
        let (verdict, decided_by) = legs
            .decision()
            .unwrap_or_else(|| (Verdict::Allow, unjudged()));
        Ok(Answer {
            verdict,
            decided_by,
            packet,
            source: source.name,
            destination: destination.name,
            legs: legs.all,
        })
    }

    fn traffic(&self, packet: Packet) -> Traffic<'_> {
        Traffic {
            packet,
            source: self.side(packet.src, packet.src_port),
            destination: self.side(packet.dst, packet.dst_port),
        }
    }

    fn find(&self, party: &Party, family: Family) -> Result<End, QuestionError> {
        let no_address = || QuestionError::NoAddress {
            party: party.clone(),
            family,
        };
        match party {
            Party::Address(address) if family_of(*address) == family => {
                Ok(self.find_address(*address))
            }
            Party::Address(address) => Err(QuestionError::OtherFamily {
                address: *address,
                family,
            }),
            Party::Node(node) => {
                let host = self.nodes.get(node).ok_or_else(|| {
                    let node = node.clone();
                    QuestionError::UnknownNode { node }
                })?;
                Ok(End {
                    name: party.to_string().into(),
                    address: of_family(&host.addresses, family).ok_or_else(no_address)?,
                    place: Place::Node(node.clone()),
                })
            }
            Party::Pod { namespace, name } => {
                let path = party.to_string();
                if let Some(index) = self.endpoint_by_name.get(path.as_str()) {
                    let addresses = &self.endpoints[*index].addresses;
                    return Ok(End {
                        address: of_family(addresses, family).ok_or_else(no_address)?,
                        place: Place::Pod(*index),
                        name: path.into(),
                    });
                }
                if let Some((node, addresses)) = self.host_pods.get(&path) {
                    return Ok(End {
                        address: of_family(addresses, family).ok_or_else(no_address)?,
                        place: Place::Node(node.clone()),
                        name: path.into(),
                    });
                }
                if self.unscheduled.contains(&path) {
                    return Err(no_address());
                }
                Err(QuestionError::UnknownPod {
                    namespace: namespace.clone(),
                    name: name.clone(),
                })
            }
        }
    }

    /// An address is the pod's that has it (the first by key, should two claim it), else the node's.
    fn find_address(&self, address: IpAddr) -> End {
        let pod = self.endpoints_by_address.get(&address);
        let (name, place) = if let Some(index) = pod.and_then(|all| all.first()) {
            (Arc::clone(&self.endpoints[*index].name), Place::Pod(*index))
        } else if let Some(node) = self.node_by_address.get(&address) {
            (format!("host:{node}").into(), Place::Node(node.clone()))
        } else {
            (address.to_string().into(), Place::Outside)
        };
        End {
            name,
            address,
            place,
        }
    }

    fn side(&self, address: IpAddr, port: u16) -> Side<'_> {
        let pods = self
            .endpoints_by_address
            .get(&address)
            .into_iter()
            .flatten();
        let pods = pods.map(|index| {
            let endpoint = &self.endpoints[*index];
            Owner {
                labels: &endpoint.labels,
                ports: &endpoint.ports,
                vague: endpoint.vague.as_ref(),
            }
        });
        let hosts = self.hosts_by_address.get(&address).into_iter().flatten();
        let hosts = hosts.map(|index| {
            let endpoint = &self.hosts[*index].endpoint;
            Owner {
                labels: &endpoint.labels,
                ports: &endpoint.ports,
                vague: endpoint.vague.as_ref(),
            }
        });
        let holds = |set: &&AddressSet| set.nets.iter().any(|net| net.contains(&address));
        let sets = self.sets.iter().filter(holds).map(|set| Owner {
            labels: &set.labels,
            ports: &[],
            vague: set.vague.as_ref(),
        });
        let nodes = self.node_peers.iter();
        let nodes = nodes.filter(|node| node.addresses.contains(&address));
        Side {
            address,
            port,
            owners: pods.chain(hosts).chain(sets).collect(),
            may_own: None,
            nodes: nodes.map(|node| &node.labels).collect(),
            hidden: &self.hidden,
            lists: &self.lists,
        }
    }

    /// The tiers and policies that apply to a workload.
    pub(crate) fn applicable(&self, endpoint: usize, direction: Direction) -> Applicable<'_> {
        let slot = &self.applicable[endpoint][slot(direction, Chain::Normal)];
        let endpoint = &self.endpoints[endpoint];
        let find = || self.find_applicable(endpoint, direction, Chain::Normal);
        self.at(slot.get_or_init(find))
    }

    /// The tiers and policies that a chain of a host endpoint asks.
    pub(crate) fn applicable_to_host(
        &self,
        host: usize,
        direction: Direction,
        chain: Chain,
    ) -> Applicable<'_> {
        let slot = &self.applicable_hosts[host][slot(direction, chain)];
        let endpoint = &self.hosts[host].endpoint;
        self.at(slot.get_or_init(|| self.find_applicable(endpoint, direction, chain)))
    }

    fn at(&self, places: &Places) -> Applicable<'_> {
        let tiers = places.iter().map(|(tier, policies)| {
            let tier = &self.tiers[*tier];
            let policies = policies.iter().map(|policy| &tier.policies[*policy]);
            (tier, policies.collect())
        });
        tiers.collect()
    }

    /// A tier applies when one of its policies selects the endpoint and governs the direction.
    fn find_applicable(&self, endpoint: &Endpoint, direction: Direction, chain: Chain) -> Places {
        let tiers = self.tiers.iter().enumerate().map(|(index, tier)| {
            let policies = tier.policies.iter().enumerate().filter(|(_, policy)| {
                policy.rules(direction).is_some() && policy.is_asked(endpoint, chain)
            });
            (index, policies.map(|(policy, _)| policy).collect())
        });
        tiers
            .filter(|(_, policies): &(usize, Vec<usize>)| !policies.is_empty())
            .collect()
    }
}

/// Where a direction and chain stand in a list of all.
const fn slot(direction: Direction, chain: Chain) -> usize {
    let direction = match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    };
    direction
        + match chain {
            Chain::Normal => 0,
            Chain::Forward => 2,
            Chain::PreDnat => 4,
            Chain::Untracked => 6,
        }
}

/// Whether all is known of a broken host endpoint by which rules of others can mean it.
fn is_known_peer(remains: &Remains) -> bool {
    let known = |field: &str| remains.field(field) != Remnant::Unknown;
    let none = |list: &str| remains.count(list) == Some(0);
    known("spec.expectedIPs")
        && known("metadata.labels")
        && none("spec.profiles")
        && none("spec.ports")
}

/// Traffic that meets no policy: said of the receiving end, unless only the sender is ours.
fn unjudged(source: &End, destination: &End) -> Decision {
    let sender_only = matches!(source.place, Place::Node(_)) && destination.place == Place::Outside;
    let (end, direction) = if sender_only {
        (source, Direction::Egress)
    } else {
        (destination, Direction::Ingress)
    };
    Decision {
        at: Arc::clone(&end.name),
        direction,
        chain: Chain::Normal,
        tier: None,
        policy: None,
        key: None,
        rule: DecidedRule::NoPolicy,
        isolated_by: Vec::new(),
    }
}
