//! Hosts in random clusters that keep changing: what they send, get and forward, judged by the judge and by the
//! interpreter of the compiled programs.

use std::collections::BTreeMap;
use std::thread;

use oncilla_api::{Kind, ObjectKey};
use oncilla_conformance::engine::{Engine, Unsettled};
use oncilla_net::{Packet, Protocol, Verdict, fault};
use oncilla_program::Passage;
use oncilla_testkit::cluster::{Flight, Size};
use oncilla_verdict::{Chain, Cluster, DecidedRule, Evaluator, Hop, Question, Way};
use serde_json::{Value, json};

use super::coverage::Counting;
use super::differential::{Failure, Seen, World, fill, first_seed, new_engine, packets_min, say};

/// Packets of the interpreter's run.
const PACKETS_MIN: u64 = 2_500_000;
/// Where more packets are wanted than the tests judge, hosts have one of so many.
const SHARE: u64 = 10;
const THREADS: u64 = 2;
const CLUSTERS_MAX: u64 = 1_000;
const ROUNDS: usize = 16;
const FLIGHTS_A_ROUND: usize = 900;
/// Packets of workloads in every fourth round.
const PACKETS_A_ROUND: usize = 400;
const SEEDS_A_THREAD: u64 = 1_000;
/// How often each chain must have decided, and each other way of deciding, in each verdict that it has.
const OFTEN: u64 = 50;

const SIZE: Size = Size {
    pods: 14,
    policies: 24,
    sets: 4,
    hosts: 5,
};

/// How often what decided which verdict.
type Decisions = BTreeMap<(String, Verdict), u64>;

/// What the judge is asked about a flight.
pub(crate) fn question(flight: &Flight) -> Question {
    Question {
        way: Way {
            out_by: Some(flight.out_by.clone()),
            in_by: Some(flight.in_by.clone()),
            through: { flight.through.iter() }
                .map(|(node, from, to)| Hop {
                    node: node.clone(),
                    in_by: Some(from.clone()),
                    out_by: Some(to.clone()),
                })
                .collect(),
            original: flight.original,
            first_out_by: Some(flight.first_out_by.clone()),
        },
        ..Question::from(flight.packet)
    }
}

/// Judges flights twice and says where the two differ.
fn compare(world: &mut World, decisions: &mut Decisions, seen: &mut Seen) -> Result<u64, Failure> {
    let flights = world.random.any_flights(FLIGHTS_A_ROUND);
    world.count_parts(flights.iter().map(question), seen);
    let evaluator = Evaluator::new(&world.cluster);
    let mut counting = Counting::new(&world.cluster);
    for flight in &flights {
        let question = question(flight);
        let answer = evaluator.decide(&question);
        let answer = answer.map_err(|error| Failure::Broken(format!("{flight:?}: {error}")))?;
        counting.count(&answer, &mut seen.coverage);
        let fate = world.engine.judge_flight(flight);
        if fate.verdict != answer.verdict {
            let full = evaluator.explain(&question);
            let programs: Vec<String> = world
                .engine
                .programs()
                .filter(|(node, _)| fate.stages.iter().any(|(stage, _)| stage == node))
                .map(|(node, program)| format!("== {node}\n{program}"))
                .collect();
            return Err(Failure::Mismatch(format!(
                "{flight:#?}\nthe judge says {}: {full:#?}\nthe interpreter says {}: {fate:#?}\n{}",
                answer.verdict,
                fate.verdict,
                programs.join("\n")
            )));
        }
        let decided = &answer.decided_by;
        let what = match decided.rule {
            DecidedRule::Number(_) | DecidedRule::EndOfTier if decided.at.starts_with("host:") => {
                let end = if decided.rule == DecidedRule::EndOfTier {
                    " end"
                } else {
                    ""
                };
                format!("{}{end}", decided.chain)
            }
            DecidedRule::Number(_) | DecidedRule::EndOfTier => "workload".to_owned(),
            other => other.to_string(),
        };
        *decisions.entry((what, answer.verdict)).or_default() += 1;
    }
    Ok(flights.len() as u64)
}

/// Judges one random cluster with hosts over `rounds` changes.
fn interpret(seed: u64, decisions: &mut Decisions, seen: &mut Seen) -> Result<u64, Failure> {
    let mut judged = 0;
    let mut world = World::of_size(seed, SIZE)?;
    for round in 0..ROUNDS {
        if round > 0 {
            world.change()?;
        }
        judged += compare(&mut world, decisions, seen)?;
        if round % 4 == 0 {
            world.compare(PACKETS_A_ROUND, seen)?;
            judged += PACKETS_A_ROUND as u64;
        }
    }
    Ok(judged)
}

#[test]
fn the_interpreter_agrees_with_the_judge_on_hosts() {
    let first = first_seed("hosts") + 40_000;
    let packets_min = PACKETS_MIN.max(packets_min(0) / SHARE);
    let run = |thread: u64| {
        let (mut judged, mut decisions, mut seen) = (0, Decisions::new(), Seen::default());
        let start = first + thread * SEEDS_A_THREAD;
        for seed in start..start + CLUSTERS_MAX {
            if judged >= packets_min / THREADS {
                break;
            }
            match interpret(seed, &mut decisions, &mut seen) {
                Ok(more) => judged += more,
                Err(failure) => panic!("seed {seed}: {failure}"),
            }
        }
        (judged, decisions, seen)
    };
    let parts: Vec<(u64, Decisions, Seen)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let joined = threads.into_iter();
        joined
            .map(|thread| thread.join().expect("every packet is judged alike"))
            .collect()
    });
    let (mut judged, mut decisions, mut seen) = (0, Decisions::new(), Seen::default());
    for (more, part, also) in parts {
        judged += more;
        seen.join(&also);
        for (what, count) in part {
            *decisions.entry(what).or_default() += count;
        }
    }
    let faults = |seen: &Seen| [seen.coverage.faults(true), seen.parts.faults()].concat();
    fill(
        &mut seen,
        first + THREADS * SEEDS_A_THREAD,
        faults,
        |seed, seen| {
            judged += interpret(seed, &mut decisions, seen)?;
            Ok(())
        },
    );
    say(&seen.coverage.table());
    say(&seen.parts.table());
    say(&format!(
        "hosts: seeds from {first}: {judged} packets, {decisions:?}"
    ));
    assert!(judged >= packets_min, "{judged}");
    let faults = faults(&seen);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_often(&decisions);
}

/// That each chain decided each verdict that it can, and each other way of deciding.
fn assert_often(decisions: &Decisions) {
    let often = |what: &str, verdict| {
        let count = decisions
            .get(&(what.to_owned(), verdict))
            .copied()
            .unwrap_or_default();
        assert!(
            count >= OFTEN,
            "{what} {verdict} too rare: {count} of {decisions:?}"
        );
    };
    for chain in [
        Chain::Normal,
        Chain::Forward,
        Chain::PreDnat,
        Chain::Untracked,
    ] {
        often(&chain.to_string(), Verdict::Allow);
        often(&chain.to_string(), Verdict::Deny);
    }
    for what in [
        "normal end",
        "forward end",
        "default",
        "encapsulated",
        "unknown-interface",
    ] {
        often(what, Verdict::Deny);
    }
    for what in ["workload", "profile", "endpoint-to-host"] {
        often(what, Verdict::Allow);
        often(what, Verdict::Deny);
    }
    for what in ["failsafe", "no-policy"] {
        often(what, Verdict::Allow);
    }
}

/// A node `n1`, and what a store holds besides.
struct Small {
    engine: Engine,
    judge: Evaluator,
}

impl Small {
    fn new(stored: &[Value]) -> Self {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" },
            "status": { "addresses": [{ "type": "InternalIP", "address": "172.31.1.1" }] } });
        let (mut engine, mut cluster) = (new_engine(), Cluster::new());
        for value in [&node].into_iter().chain(stored) {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let kind = Kind::of_manifest(&text(&value["apiVersion"]), &text(&value["kind"]));
            let name = text(&value["metadata"]["name"]);
            let key = ObjectKey::cluster(kind.expect("a kind"), name);
            let put = engine.apply_stored::<Unsettled>(&key, value, &mut |_, _, _| Ok(()));
            put.expect("it settles");
            cluster.insert_stored(&key, value);
        }
        let judge = Evaluator::new(&cluster);
        Self { engine, judge }
    }

    /// What the engine and the judge say of a packet from outside to a TCP port of the node.
    fn verdicts(&self, port: u16) -> [Verdict; 2] {
        self.verdicts_by("eth0", port)
    }

    /// The same of a packet that comes by another interface.
    fn verdicts_by(&self, interface: &str, port: u16) -> [Verdict; 2] {
        let packet = Packet {
            src: [203, 0, 113, 1].into(),
            dst: [172, 31, 1, 1].into(),
            protocol: Protocol::TCP,
            src_port: 40_000,
            dst_port: port,
            icmp: None,
        };
        let question = Question {
            way: Way {
                in_by: Some(interface.to_owned()),
                ..Way::default()
            },
            ..Question::from(packet)
        };
        let answer = self.judge.decide(&question);
        let program = self.engine.program("n1").expect("a program");
        let outcome = program.judge(&Passage::input(interface), &packet);
        [outcome.verdict, answer.expect("an answer").verdict]
    }
}

fn calico(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": { "name": name },
        "spec": spec })
}

/// A host endpoint that expects no address, so that its port's name may be meant at any, and a rule that denies it.
#[test]
fn a_port_name_that_may_be_the_hosts_is_denied_and_the_fault_of_it_is_caught() {
    let host = json!({ "node": "n1", "interfaceName": "eth0",
        "ports": [{ "name": "web", "protocol": "TCP", "port": 8080 }] });
    let rules = json!([
        { "action": "Deny", "protocol": "TCP", "destination": { "ports": ["web"] } },
        { "action": "Allow" }]);
    let stored = [
        calico("HostEndpoint", "host", &host),
        calico("GlobalNetworkPolicy", "deny", &json!({ "ingress": rules })),
    ];
    let sound = Small::new(&stored);
    assert_eq!(sound.verdicts(8080), [Verdict::Deny; 2]);
    assert_eq!(sound.verdicts(80), [Verdict::Allow; 2]);
    let _armed = fault::arm("compile/possible-port-names-ignored");
    let faulty = Small::new(&stored).verdicts(8080);
    assert_eq!(faulty, [Verdict::Allow, Verdict::Deny]);
}

/// An interface that only the configuration calls a workload's, with a host endpoint that lets everything in.
#[test]
fn an_interface_that_became_a_workloads_is_cut_off_and_the_fault_of_it_is_caught() {
    let host = json!({ "node": "n1", "interfaceName": "tap0" });
    let stored = |prefixes: Value| {
        [
            calico("HostEndpoint", "host", &host),
            calico(
                "GlobalNetworkPolicy",
                "open",
                &json!({ "ingress": [{ "action": "Allow" }] }),
            ),
            calico(
                "FelixConfiguration",
                "default",
                &json!({ "interfacePrefix": prefixes }),
            ),
        ]
    };
    let by_tap = |prefixes: Value| Small::new(&stored(prefixes)).verdicts_by("tap0", 80);
    for prefixes in [
        json!("cali"),
        json!("tap1,eni"),
        json!("tap0/"),
        json!(["tap"]),
    ] {
        assert_eq!(by_tap(prefixes.clone()), [Verdict::Allow; 2], "{prefixes}");
    }
    for prefixes in ["tap", "cali,tap", "tap0", "tap,a/b", "t,cali"] {
        let small = Small::new(&stored(json!(prefixes)));
        assert_eq!(
            small.verdicts_by("tap0", 80),
            [Verdict::Deny; 2],
            "{prefixes}"
        );
        assert_eq!(
            small.verdicts_by("tap0", 22),
            [Verdict::Deny; 2],
            "no failsafe for workloads"
        );
        assert_eq!(small.verdicts(80), [Verdict::Allow; 2]);
    }
    let _armed = fault::arm("compile/interface-prefixes-forgotten");
    assert_eq!(by_tap(json!("cali,tap")), [Verdict::Allow, Verdict::Deny]);
}

/// What cannot be understood of hosts: the engine closes what the judge closes.
#[test]
fn broken_configurations_and_profiles_close_the_same() {
    let host = json!({ "node": "n1", "interfaceName": "eth0", "expectedIPs": ["172.31.1.1"],
        "profiles": ["odd"] });
    let open = json!({ "types": ["Ingress"], "selector": "role == 'host'",
        "ingress": [{ "action": "Allow", "protocol": "TCP", "destination": { "ports": [80] } }] });
    let good = json!({ "role": "host" });
    let profile = |labels: &Value, action: &str| {
        let spec = json!({ "labelsToApply": labels, "ingress": [{ "action": action }] });
        calico("Profile", "odd", &spec)
    };
    let configuration = |selector: Value| {
        let failsafe = json!([{ "protocol": "TCP", "port": 22, "net": "10.0.0.0/8" }]);
        let spec = json!({ "nodeSelector": selector, "failsafeInboundHostPorts": failsafe });
        calico("FelixConfiguration", "racks", &spec)
    };
    // The policy's port and a failsafe's.
    for (broken, expected) in [
        (vec![profile(&good, "Allow")], [true, true]),
        (vec![profile(&good, "Perhaps")], [true, true]),
        (vec![profile(&json!(["role"]), "Allow")], [false, true]),
        (
            vec![profile(&good, "Allow"), configuration(json!("rack =="))],
            [true, false],
        ),
        (
            vec![profile(&good, "Allow"), configuration(json!(7))],
            [true, false],
        ),
        (
            vec![profile(&good, "Allow"), configuration(json!("has(rack)"))],
            [true, true],
        ),
    ] {
        let mut stored = vec![
            calico("HostEndpoint", "host", &host),
            calico("GlobalNetworkPolicy", "open", &open),
        ];
        stored.extend(broken.clone());
        let small = Small::new(&stored);
        for (port, passes) in [80, 22].into_iter().zip(expected) {
            let verdict = if passes {
                Verdict::Allow
            } else {
                Verdict::Deny
            };
            assert_eq!(small.verdicts(port), [verdict; 2], "{broken:?} {port}");
        }
    }
}
