//! Random clusters in whose store some objects are broken, as an agent finds them that starts: the judge and the
//! interpreter of the compiled programs agree on every packet, and nothing gets through that did not get through
//! before the objects broke.

use std::collections::BTreeSet;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_conformance::case::Change;
use oncilla_conformance::engine::Unsettled;
use oncilla_net::{Packet, Verdict};
use oncilla_verdict::{Evaluator, Question};
use serde_json::{Value, json};

use super::differential::{Failure, Seen, World, feed, first_seed, judged, say};

/// Clusters in which much is broken, and packets in each.
const CLUSTERS: u64 = 64;
const PACKETS: usize = 640;
/// Clusters in which one peer is broken, and packets in each.
const PEER_CLUSTERS: u64 = 96;
const PACKETS_FOR_A_PEER: usize = 400;

/// Kinds whose objects rules mean without naming them.
const PEERS: [Kind; 3] = [Kind::Pod, Kind::Namespace, Kind::ServiceAccount];

/// What a store holds of an object that somebody broke in one of several ways; `None` for kinds that policy does not
/// close.
fn broken(object: &Object, way: usize) -> Option<Value> {
    let mut value = object.to_value();
    let labels = |value: &mut Value| {
        let metadata = &mut value["metadata"];
        if !metadata["labels"].is_object() {
            metadata["labels"] = json!({});
        }
        // No name of a label.
        metadata["labels"]["no name"] = json!("x");
    };
    let number = |value: &mut Value| value["metadata"]["labels"] = json!({ "x": 7 });
    match object {
        Object::Pod(_) => match way % 5 {
            0 => number(&mut value),
            1 => value["spec"]["nodeName"] = json!(7),
            2 => value["spec"]["serviceAccountName"] = json!(["robot"]),
            3 => value["status"]["podIPs"] = json!([{ "ip": "nowhere" }]),
            _ => value["metadata"]["annotations"] = json!([]),
        },
        Object::Namespace(_) | Object::ServiceAccount(_) => match way % 3 {
            0 | 1 => number(&mut value),
            // Its labels are as they were.
            _ => value["metadata"]["annotations"] = json!([]),
        },
        Object::GlobalNetworkSet(_) | Object::NetworkSet(_) if way.is_multiple_of(2) => {
            let nets = value["spec"]["nets"].as_array().cloned();
            let mut nets = nets.unwrap_or_default();
            nets.push(json!("nonsense"));
            value["spec"]["nets"] = Value::Array(nets);
        }
        Object::Tier(_) if way.is_multiple_of(2) => value["spec"]["order"] = json!("first"),
        Object::GlobalNetworkSet(_)
        | Object::NetworkSet(_)
        | Object::Tier(_)
        | Object::KubernetesNetworkPolicy(_) => labels(&mut value),
        Object::NetworkPolicy(_) => match way % 4 {
            0 => value["spec"]["tier"] = json!("No Tier"),
            1 => value["spec"]["selector"] = json!("app =="),
            2 => value["spec"]["order"] = json!("first"),
            _ => labels(&mut value),
        },
        Object::GlobalNetworkPolicy(_) => match way % 4 {
            0 => value["spec"]["tier"] = json!("No Tier"),
            1 => value["spec"]["namespaceSelector"] = json!("app =="),
            2 => value["spec"]["types"] = json!(["Egress", "Egress"]),
            _ => labels(&mut value),
        },
        Object::ClusterNetworkPolicy(_) => match way % 5 {
            0 => value["spec"]["tier"] = Value::Null,
            1 => value["spec"]["subject"] = json!({}),
            2 => value["spec"]["priority"] = json!(1001),
            3 => labels(&mut value),
            _ => break_rules(&mut value),
        },
        _ => return None,
    }
    Some(value)
}

/// Breaks every second rule, which then fails closed alone.
fn break_rules(value: &mut Value) {
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = value["spec"][list].as_array_mut();
        for rule in rules.into_iter().flatten().step_by(2) {
            if let Some(peers) = rule[peers].as_array_mut() {
                peers.push(json!({}));
            }
        }
    }
}

/// The objects of a world that are broken, and what can be said of a packet without them.
struct Before {
    world: World,
    /// The pods that are no endpoints any more.
    gone: BTreeSet<ObjectKey>,
    packets: Vec<Packet>,
    /// Whether somebody denied the packet who is still there.
    denied: Vec<bool>,
}

impl Before {
    /// Judges the whole cluster, and then breaks some of its objects.
    fn of(mut world: World, broken: Vec<(ObjectKey, Value)>, packets: usize) -> Self {
        let gone = broken.iter().filter(|(key, _)| key.kind == Kind::Pod);
        let gone: BTreeSet<ObjectKey> = gone.map(|(key, _)| key.clone()).collect();
        let packets = world.random.any_packets(packets);
        let evaluator = Evaluator::new(&world.cluster);
        let denies = |packet: &Packet| {
            let answer = evaluator.explain(&Question::from(*packet));
            let legs = answer.expect("packets have two ends").legs;
            let mut legs = legs.iter().filter(|leg| !gone.contains(&leg.endpoint));
            legs.any(|leg| leg.verdict == Verdict::Deny)
        };
        let denied = packets.iter().map(denies).collect();
        for (key, value) in broken {
            // An agent that starts knows no version before it.
            feed(&mut world.engine, &[Change::Delete(key.clone())]).expect("it settles");
            let applied = { &mut world.engine }.apply_stored::<Unsettled>(
                &key,
                &value,
                &mut |_, _, _| Ok(()),
            );
            applied.unwrap_or_else(|error| panic!("{key}: {error}"));
            world.cluster.insert_stored(&key, &value);
        }
        Self {
            world,
            gone,
            packets,
            denied,
        }
    }

    /// Judges the packets again, twice. How many are denied now only.
    fn check(&self, seen: &mut Seen) -> Result<u64, Failure> {
        let evaluator = Evaluator::new(&self.world.cluster);
        let mut closed = 0;
        for (packet, was_denied) in self.packets.iter().zip(&self.denied) {
            let expected = judged(&evaluator, packet)?;
            let fate = self.world.engine.judge(packet);
            let report = || {
                self.world
                    .report(&evaluator, packet, "the interpreter", fate.verdict)
            };
            if fate.verdict != expected {
                return Err(Failure::Mismatch(report()));
            }
            if *was_denied && fate.verdict == Verdict::Allow {
                return Err(Failure::Mismatch(format!(
                    "it was denied before\n{}",
                    report()
                )));
            }
            closed += u64::from(!was_denied && fate.verdict == Verdict::Deny);
            seen.count(packet, &fate);
        }
        self.check_gone();
        Ok(closed)
    }

    /// What a broken pod sends, and what is sent to it, ends at its own interface.
    fn check_gone(&self) {
        for key in &self.gone {
            let namespace = key.namespace.as_deref().unwrap_or_default();
            let interface = self
                .world
                .engine
                .converter()
                .interface(namespace, &key.name);
            for (node, program) in self.world.engine.programs() {
                let is_there = program.endpoints.contains_key(&interface);
                assert!(!is_there, "{key} is an endpoint of {node}");
            }
        }
    }
}

#[test]
fn the_interpreter_agrees_with_the_judge_on_broken_objects() {
    let first = first_seed("broken") + 20_000;
    let mut seen = Seen::default();
    let mut closed = 0;
    for seed in first..first + CLUSTERS {
        // Sets and tiers, of which all policies depend, most of the time; policies and peers now and then.
        let world = World::new(seed).expect("a random cluster is valid");
        let objects = (0..).zip(world.random.objects());
        let chosen = objects.filter_map(|(place, (key, object))| {
            let every = match key.kind {
                Kind::Tier | Kind::GlobalNetworkSet | Kind::NetworkSet => 4,
                Kind::Namespace | Kind::ServiceAccount => 17,
                _ => 61,
            };
            let turn = usize::try_from(seed).unwrap_or_default() + place;
            let is_chosen = turn.is_multiple_of(every);
            let broken = is_chosen.then(|| broken(object, turn / every)).flatten()?;
            Some((key.clone(), broken))
        });
        let chosen = chosen.collect();
        match Before::of(world, chosen, PACKETS).check(&mut seen) {
            Ok(more) => closed += more,
            Err(failure) => panic!("seed {seed}: {failure}"),
        }
    }
    let line = seen.line();
    say(&format!("broken: {closed} denied more, {line}"));
    for shares in seen.families.values() {
        let rare = shares.packets / 100;
        let both = shares.allowed > rare && shares.denied > rare;
        assert!(both, "{line}");
    }
}

/// Where nothing else is broken that closes what a missing peer opens.
#[test]
fn a_broken_peer_opens_nothing() {
    let first = first_seed("broken peers") + 30_000;
    let mut seen = Seen::default();
    let mut closed = [0; PEERS.len()];
    for seed in first..first + PEER_CLUSTERS {
        let way = usize::try_from(seed).unwrap_or_default();
        let world = World::new(seed).expect("a random cluster is valid");
        let kind = PEERS[way % PEERS.len()];
        let objects = world.random.objects().iter();
        let peers: Vec<_> = objects.filter(|(key, _)| key.kind == kind).collect();
        let (key, object) = peers[way / PEERS.len() % peers.len()];
        let value = broken(object, way / PEERS.len()).expect("peers can be broken");
        let chosen = vec![(key.clone(), value)];
        match Before::of(world, chosen, PACKETS_FOR_A_PEER).check(&mut seen) {
            Ok(more) => closed[way % PEERS.len()] += more,
            Err(failure) => panic!("seed {seed}: {failure}"),
        }
    }
    say(&format!(
        "broken peers: {closed:?} denied more, {}",
        seen.line()
    ));
    assert!(closed.iter().all(|more| *more > 100), "{closed:?}");
}
