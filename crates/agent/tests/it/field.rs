//! A node with pods that real packets reach, and a probing thread that never stops.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use oncilla_api::Kind;
use oncilla_model::Converter;
use oncilla_net::{Packet, Protocol, Verdict};
use oncilla_testkit::prober::{Outcome, Probe, Prober};
use oncilla_testkit::topology::{NodeSpec, OutsideSpec, PodSpec, Topology, TopologySpec};
use oncilla_verdict::{Cluster, Evaluator, Question};
use serde_json::{Value, json};

use super::harness::{NODE, World};

/// The host that is no pod.
pub(crate) const OUTSIDE: &str = "outside";

/// A world whose node's namespace has pods with cables.
pub(crate) struct Field {
    pub(crate) world: World,
    pub(crate) topology: Topology,
}

/// Traffic that is asked about again and again.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) port: u16,
    pub(crate) v6: bool,
}

impl Field {
    /// A node with the given pods of the namespace `team` and their labels, and a host outside.
    pub(crate) fn new(pods: &[(&str, Value)]) -> Self {
        let numbered = (1_u8..).zip(pods);
        let addresses = |number: u8| -> Vec<IpAddr> {
            vec![
                [10, 65, 0, number].into(),
                [0xfd65, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
            ]
        };
        let converter = Converter::default();
        let pod_specs = numbered.clone().map(|(number, (name, _))| PodSpec {
            name: (*name).to_owned(),
            node: NODE.to_owned(),
            host_iface: Some(converter.interface("team", name).to_string()),
            addresses: addresses(number),
        });
        let topology = Topology::build(&TopologySpec {
            nodes: vec![NodeSpec {
                name: NODE.to_owned(),
                addresses: vec![
                    [192, 168, 0, 1].into(),
                    [0xfd01, 0, 0, 0, 0, 0, 0, 1].into(),
                ],
            }],
            pods: pod_specs.collect(),
            outside: vec![OutsideSpec {
                name: OUTSIDE.to_owned(),
                addresses: vec![
                    [198, 51, 100, 1].into(),
                    [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
                ],
            }],
        })
        .unwrap();
        let netns = Arc::clone(&topology.node(NODE).unwrap().netns);
        let world = World::without_pods(netns);
        for (number, (name, labels)) in numbered {
            world.pod(name, labels, &addresses(number));
        }
        Self { world, topology }
    }

    /// The address of a pod or the outside host.
    pub(crate) fn address(&self, name: &str, v6: bool) -> IpAddr {
        let addresses = match self.topology.pod(name) {
            Ok(pod) => &pod.addresses,
            Err(_) => &self.topology.outside(name).unwrap().addresses,
        };
        *addresses.iter().find(|ip| ip.is_ipv6() == v6).unwrap()
    }

    fn packet(&self, flow: &Flow) -> Packet {
        Packet {
            src: self.address(&flow.from, flow.v6),
            dst: self.address(&flow.to, flow.v6),
            protocol: Protocol::TCP,
            src_port: 0,
            dst_port: flow.port,
            icmp: None,
        }
    }

    /// What the kernel does with each flow now.
    pub(crate) fn probe(&self, flows: &[Flow]) -> Vec<Verdict> {
        let mut prober = self.topology.prober().unwrap();
        let probes = self.probes(&prober, flows);
        let outcomes = prober.run(&probes).unwrap();
        outcomes.iter().map(Outcome::verdict).collect()
    }

    fn probes(&self, prober: &Prober, flows: &[Flow]) -> Vec<Probe> {
        let point = |name: &String| prober.point(name).unwrap();
        let probe =
            |flow: &Flow| Probe::of_packet(point(&flow.from), point(&flow.to), &self.packet(flow));
        flows.iter().map(probe).collect()
    }

    /// What the reference evaluator says of each flow, by what the store holds now.
    pub(crate) fn expected(&self, flows: &[Flow]) -> Vec<Verdict> {
        let mut cluster = Cluster::default();
        for kind in Kind::ALL {
            for stored in self.world.store.list(kind, None).unwrap().objects {
                cluster.insert_stored(&stored.key, &stored.value);
            }
        }
        let evaluator = Evaluator::new(&cluster);
        let verdict = |flow| {
            let question = Question::from(self.packet(flow));
            evaluator.decide(&question).unwrap().verdict
        };
        flows.iter().map(verdict).collect()
    }
}

/// Which states of the cluster may be in force: from the last one that was reported to the last one that was begun.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) reported: AtomicUsize,
    pub(crate) begun: AtomicUsize,
}

/// One answer for each flow.
#[derive(Debug)]
pub(crate) struct Round {
    /// The state that was reported as in force before the first packet left.
    pub(crate) first: usize,
    /// The last state that was begun before the last answer.
    pub(crate) last: usize,
    pub(crate) verdicts: Vec<Verdict>,
}

/// A thread that probes all flows, again and again.
pub(crate) struct Probing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Round>>,
}

impl Probing {
    pub(crate) fn start(field: &Field, flows: &[Flow], progress: &Arc<Progress>) -> Self {
        let mut prober = field.topology.prober().unwrap();
        let probes = field.probes(&prober, flows);
        let stop = Arc::new(AtomicBool::new(false));
        let (told, progress) = (Arc::clone(&stop), Arc::clone(progress));
        let thread = thread::spawn(move || {
            let mut rounds = Vec::new();
            while !told.load(Ordering::Acquire) {
                rounds.push(round(&mut prober, &probes, &progress));
            }
            rounds
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Vec<Round> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

fn round(prober: &mut Prober, probes: &[Probe], progress: &Progress) -> Round {
    let first = progress.reported.load(Ordering::SeqCst);
    let outcomes = prober.run(probes).unwrap();
    let last = progress.begun.load(Ordering::SeqCst);
    let verdicts = outcomes.iter().map(Outcome::verdict).collect();
    Round {
        first,
        last,
        verdicts,
    }
}

/// A NetworkPolicy of the namespace `team`.
pub(crate) fn policy(spec: &Value) -> Value {
    json!({ "spec": spec })
}

/// How often each flow was answered how.
pub(crate) fn tally(rounds: &[Round]) -> BTreeMap<Verdict, usize> {
    let mut tally = BTreeMap::new();
    for verdict in rounds.iter().flat_map(|round| &round.verdicts) {
        *tally.entry(*verdict).or_default() += 1;
    }
    tally
}
