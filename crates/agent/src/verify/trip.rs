//! Random packets on every way through the node, judged by the judge over the objects as they are stored, by the program
//! that they mean, and by the program that the kernel holds.
//!
//! The judge follows a packet from end to end; here only what it says of this node counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::v3::EndpointToHostAction;
use oncilla_api::{Kind, ObjectKey};
use oncilla_net::{Direction, Family, Icmp, Protocol, Verdict, family_of, parse_address};
use oncilla_program::{ALL_INTERFACES, EndpointToHost, LOOPBACK, Passage, Program, Way as Through};
use oncilla_store::StoredObject;
use oncilla_verdict::{Answer, Cluster, Evaluator, Hop, Leg, Party, Question, Way};
use serde_json::{Value, json};

use super::{Misjudged, PACKETS, PROTOCOLS, Random, STRANGERS, Verified};
use crate::links::Interfaces;
use crate::options::Options;

/// Where a node's own interfaces are listed, for the judge.
const INTERFACES: &str = "projectcalico.org/Interfaces";
/// An interface that only a host endpoint of all interfaces covers.
const OTHER_INTERFACE: &str = "other0";
/// Behind a prefix: an interface that is called like a workload's, and that nobody knows.
const UNKNOWN: &str = "_unknown";
/// One packet of so many goes by such an interface.
const PACKETS_AN_UNKNOWN: usize = 20;
/// How often packets are tried for each that is judged: some ways do not exist on a node.
const TRIES: usize = 16;
/// Types of messages that are asked about beside echo requests.
const ICMP: [u8; 3] = [0, 3, 11];
const ICMPV6: [u8; 3] = [1, 3, 129];

/// The objects as the judge reads them, with what the node's interfaces are now.
pub(super) fn cluster(
    options: &Options,
    objects: &[StoredObject],
    interfaces: &Interfaces,
) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.set_host_action(match options.endpoint_to_host {
        EndpointToHost::Drop => EndpointToHostAction::Drop,
        EndpointToHost::Accept => EndpointToHostAction::Accept,
        EndpointToHost::Return => EndpointToHostAction::Return,
    });
    let prefixes = options.interface_prefixes.iter();
    cluster.set_interface_prefixes(prefixes.map(str::to_owned));
    let own = ObjectKey::cluster(Kind::Node, options.node.as_str());
    let mut node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": own.name } });
    for object in objects {
        if object.key == own {
            node = object.value.clone();
        } else {
            cluster.insert_stored(&object.key, &object.value);
        }
    }
    let listed = interfaces
        .iter()
        .map(|(name, addresses)| json!({ "name": &**name, "addresses": &**addresses }));
    let listed = Value::Array(listed.collect()).to_string();
    if let Some(metadata) = node["metadata"].as_object_mut() {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(INTERFACES.to_owned(), listed.into());
        }
    }
    cluster.insert_stored(&own, &node);
    cluster
}

/// A workload of the node.
#[derive(Debug)]
struct Local<'a> {
    interface: &'a str,
    key: ObjectKey,
    addresses: Vec<IpAddr>,
}

/// One end of a packet's way through the node.
#[derive(Clone, Copy, Debug)]
enum End<'a> {
    Workload(&'a Local<'a>),
    Host,
    Wire(&'a str),
}

impl<'a> End<'a> {
    const fn interface(self) -> Option<&'a str> {
        match self {
            Self::Workload(local) => Some(local.interface),
            Self::Wire(interface) => Some(interface),
            Self::Host => None,
        }
    }
}

/// What packets are made of.
pub(super) struct Trips<'a> {
    node: &'a str,
    evaluator: Evaluator,
    locals: Vec<Local<'a>>,
    wires: Vec<&'a str>,
    /// Addresses of nobody here.
    far: Vec<IpAddr>,
    /// Those of them that nobody has.
    strangers: Vec<IpAddr>,
    ports: Vec<u16>,
}

impl<'a> Trips<'a> {
    /// `known` are all addresses that rules may tell apart.
    pub(super) fn new(
        node: &'a str,
        (expected, interfaces): (&'a Program, &'a Interfaces),
        (cluster, objects): (&Cluster, &[StoredObject]),
        (known, ports): (&[IpAddr], Vec<u16>),
    ) -> Self {
        let evaluator = Evaluator::new(cluster);
        let mut owners: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, addresses) in evaluator.endpoints() {
            for address in addresses {
                *owners.entry(*address).or_default() += 1;
            }
        }
        let locals = locals(expected, &evaluator, &owners);
        let mut near: BTreeSet<IpAddr> = interfaces.values().flat_map(|all| all.to_vec()).collect();
        let mut owned: BTreeSet<IpAddr> = owners.keys().copied().collect();
        for object in objects {
            let addresses = addresses_of(&object.value);
            let is_here = match object.key.kind {
                Kind::Node => object.key.name == node,
                Kind::Pod => object.value["spec"]["nodeName"] == node,
                _ => continue,
            };
            owned.extend(&addresses);
            if is_here {
                near.extend(&addresses);
            }
        }
        let far: Vec<IpAddr> = known
            .iter()
            .copied()
            .filter(|a| !near.contains(a))
            .collect();
        let nobodys = |address: &&IpAddr| !owned.contains(*address);
        let mut strangers: Vec<IpAddr> = far.iter().filter(nobodys).copied().collect();
        strangers.extend(
            STRANGERS
                .iter()
                .filter_map(|text| text.parse::<IpAddr>().ok()),
        );
        let named = interfaces.keys().chain(expected.hosts.keys());
        let mut wires: BTreeSet<&str> = named.map(|name| &**name).collect();
        wires.retain(|name| {
            ![LOOPBACK, ALL_INTERFACES].contains(name) && !expected.settings.is_workload(name)
        });
        wires.insert(OTHER_INTERFACE);
        Self {
            node,
            evaluator,
            locals,
            wires: wires.into_iter().collect(),
            far,
            strangers,
            ports,
        }
    }

    /// Judges packets three times each.
    pub(super) fn judge(
        &self,
        (expected, found): (&Program, &Program),
        random: &mut Random,
        verified: &mut Verified,
    ) {
        let unknown = unknown(expected, found);
        for _ in 0..PACKETS * TRIES {
            if verified.judged >= PACKETS {
                return;
            }
            let (from, to) = self.ends((&unknown, verified.judged), random);
            if matches!((from, to), (End::Host, End::Host)) {
                continue;
            }
            let Some(question) = self.question((from, to), random) else {
                continue;
            };
            let Ok(answer) = self.evaluator.explain(&question) else {
                continue;
            };
            let passage = passage(from, to);
            let packet = answer.packet;
            if packet.src == packet.dst {
                continue;
            }
            let judged = self.verdict(&answer);
            let outcome = found.judge(&passage, &packet);
            let meant = expected.judge(&passage, &packet).verdict;
            verified.judged += 1;
            if outcome.verdict != judged || outcome.verdict != meant {
                let (endpoint, direction) = self.whose(from, to);
                verified.note(Misjudged {
                    endpoint,
                    direction,
                    way: way_text(&passage),
                    packet,
                    expected: judged,
                    found: outcome.verdict,
                    meant,
                });
            }
        }
    }

    /// The ends of the next packet. What nobody knows is cut off, so few packets say all of it.
    fn ends<'b>(
        &'b self,
        (unknown, judged): (&'b [Arc<str>], usize),
        random: &mut Random,
    ) -> (End<'b>, End<'b>) {
        let (from, to) = (self.end(random), self.end(random));
        if !judged.is_multiple_of(PACKETS_AN_UNKNOWN) {
            return (from, to);
        }
        let unknown = End::Wire(random.pick::<Arc<str>>(unknown));
        *random.pick(&[(unknown, to), (from, unknown)])
    }

    fn end(&self, random: &mut Random) -> End<'_> {
        match random.pick(&[0, 1, 2]) {
            0 if !self.locals.is_empty() => End::Workload(random.pick(&self.locals)),
            1 => End::Host,
            _ => End::Wire(random.pick::<&str>(&self.wires)),
        }
    }

    /// `None` where there is no such address.
    fn question(&self, (from, to): (End<'_>, End<'_>), random: &mut Random) -> Option<Question> {
        let family = *random.pick(&Family::ALL);
        let source = self.party(from, family, &self.far, random)?;
        // Two ends far away may be the same machine: the first is nobody's then.
        let source = match (from, to) {
            (End::Wire(_), End::Wire(_)) => self.party(from, family, &self.strangers, random)?,
            _ => source,
        };
        let destination = self.party(to, family, &self.far, random)?;
        let protocol = *random.pick(&PROTOCOLS);
        let port = |random: &mut Random| {
            if protocol.has_ports() {
                *random.pick(&self.ports)
            } else {
                0
            }
        };
        let (source_port, destination_port) = (port(random), port(random));
        let wire = |end: End<'_>| match end {
            End::Wire(interface) => Some(interface.to_owned()),
            End::Workload(_) | End::Host => None,
        };
        let way = match (wire(from), wire(to)) {
            (Some(from), Some(to)) => Way {
                through: vec![Hop {
                    node: self.node.to_owned(),
                    in_by: Some(from),
                    out_by: Some(to),
                }],
                ..Way::default()
            },
            (in_by, out_by) => Way {
                in_by,
                out_by,
                ..Way::default()
            },
        };
        Some(Question {
            source,
            destination,
            family,
            protocol,
            source_port,
            destination_port,
            icmp: icmp(protocol, random),
            way,
        })
    }

    fn party(
        &self,
        end: End<'_>,
        family: Family,
        far: &[IpAddr],
        random: &mut Random,
    ) -> Option<Party> {
        let all = match end {
            End::Host => return Some(Party::Node(self.node.to_owned())),
            End::Workload(local) => local.addresses.as_slice(),
            End::Wire(_) => far,
        };
        let fitting: Vec<IpAddr> = all
            .iter()
            .copied()
            .filter(|address| family_of(*address) == family)
            .collect();
        if fitting.is_empty() {
            return None;
        }
        Some(Party::Address(*random.pick(&fitting)))
    }

    /// What the judge says of this node.
    fn verdict(&self, answer: &Answer) -> Verdict {
        let here: Arc<str> = format!("host:{}", self.node).into();
        let is_here = |leg: &&Leg| {
            leg.decided_by.at == here || self.locals.iter().any(|local| local.key == leg.endpoint)
        };
        let mut legs = answer.legs.iter().filter(is_here);
        if legs.any(|leg| leg.verdict == Verdict::Deny) {
            Verdict::Deny
        } else {
            Verdict::Allow
        }
    }

    fn whose(&self, from: End<'_>, to: End<'_>) -> (String, Direction) {
        match (from, to) {
            (_, End::Workload(local)) => (local.key.path(), Direction::Ingress),
            (End::Workload(local), _) => (local.key.path(), Direction::Egress),
            (End::Host, _) => (format!("host:{}", self.node), Direction::Egress),
            _ => (format!("host:{}", self.node), Direction::Ingress),
        }
    }
}

/// The workloads of the program, as far as their addresses are theirs alone.
fn locals<'a>(
    expected: &'a Program,
    evaluator: &Evaluator,
    owners: &BTreeMap<IpAddr, usize>,
) -> Vec<Local<'a>> {
    let keys: BTreeMap<String, (&ObjectKey, &[IpAddr])> = evaluator
        .endpoints()
        .map(|(key, addresses)| (key.path(), (key, addresses)))
        .collect();
    let local = |(interface, endpoint): (&'a Arc<str>, &oncilla_program::LocalEndpoint)| {
        let path = endpoint.name.split(' ').next().unwrap_or_default();
        let (key, addresses) = keys.get(path)?;
        let own = |address: &&IpAddr| owners.get(*address) == Some(&1);
        Some(Local {
            interface,
            key: (*key).clone(),
            addresses: addresses.iter().filter(own).copied().collect(),
        })
    };
    expected.endpoints.iter().filter_map(local).collect()
}

/// Interfaces called like a workload's that no workload has: one of each beginning of such names, and those that the table
/// sends somewhere.
fn unknown(expected: &Program, found: &Program) -> Vec<Arc<str>> {
    let prefixes = expected.settings.interface_prefixes.iter();
    let invented = prefixes.map(|prefix| format!("{prefix}{UNKNOWN}").into());
    let sent = found.endpoints.keys();
    let sent = sent.filter(|name| !expected.endpoints.contains_key(*name));
    invented.chain(sent.cloned()).collect()
}

/// The addresses in an object's status.
fn addresses_of(value: &Value) -> Vec<IpAddr> {
    let status = &value["status"];
    let listed = |field: &str, name: &str| -> Vec<String> {
        let items = status[field].as_array().into_iter().flatten();
        let texts = items.filter_map(|item| item[name].as_str());
        texts.map(str::to_owned).collect()
    };
    let mut texts = listed("addresses", "address");
    texts.extend(listed("podIPs", "ip"));
    texts.extend(status["podIP"].as_str().map(str::to_owned));
    let texts = texts.iter();
    texts.filter_map(|text| parse_address(text).ok()).collect()
}

fn passage<'a>(from: End<'a>, to: End<'a>) -> Passage<'a> {
    let way = match (from, to) {
        (_, End::Host) => Through::Input,
        (End::Host, _) => Through::Output,
        _ => Through::Forward,
    };
    Passage {
        in_interface: from.interface(),
        out_interface: to.interface(),
        way,
        original: None,
        first_out_interface: None,
    }
}

/// `eth0 -> the host`.
fn way_text(passage: &Passage<'_>) -> String {
    let name = |interface: Option<&str>| interface.unwrap_or("the host").to_owned();
    format!(
        "{} -> {}",
        name(passage.in_interface),
        name(passage.out_interface)
    )
}

fn icmp(protocol: Protocol, random: &mut Random) -> Option<Icmp> {
    let kinds = match protocol {
        Protocol::ICMP => ICMP,
        Protocol::ICMPV6 => ICMPV6,
        _ => return None,
    };
    let other = Icmp {
        kind: *random.pick(&kinds),
        code: *random.pick(&[0, 1, 3]),
    };
    *random.pick(&[Icmp::echo(protocol), Some(other)])
}
