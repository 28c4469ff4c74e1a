//! Arbitrary objects through the whole street: read, converted or closed, resolved, compiled, lowered to nf_tables, and
//! asked about packets. The judge, which shares no code with the street, gives the same answers; and an object that
//! cannot be understood lets nothing through that does not get through without it.

use std::collections::BTreeMap;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_conformance::case::Change;
use oncilla_conformance::engine::{Engine, Unsettled};
use oncilla_net::{Packet, Protocol, Verdict};
use oncilla_nft::{lower, table};
use oncilla_testkit::cluster::{Flight, RandomCluster, Size};
use oncilla_testkit::fuzz::Run;
use oncilla_testkit::rng::Rng;
use oncilla_verdict::{Cluster, Evaluator, Leg, Question};
use serde_json::{Map, Value, json};

use super::super::differential::{feed, new_engine, say};
use super::super::hosts::question;

/// Clusters of a run of the tests.
const CLUSTERS: u64 = 160;
/// Objects that are tried in each, one after the other.
const OBJECTS_A_CLUSTER: usize = 6;
/// Objects of other kinds that are tried behind them.
const STRANGERS_A_CLUSTER: usize = 2;
const PACKETS: usize = 60;
/// Flights of hosts and through hosts besides.
const FLIGHTS: usize = 40;
/// Changes of one object.
const CHANGES_MAX: u64 = 4;
const SMALL: Size = Size {
    pods: 8,
    policies: 12,
    sets: 4,
    hosts: 4,
};
/// Texts that mean something somewhere, or nearly.
const TEXTS: [&str; 40] = [
    "",
    "default",
    "kube-admin",
    "Ingress",
    "Egress",
    "Allow",
    "Deny",
    "Pass",
    "Log",
    "TCP",
    "tcp",
    "ICMP",
    "SCTP",
    "all()",
    "global()",
    "has(a)",
    "a ==",
    "a == 'x'",
    "!has(role)",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "::/0",
    "0.0.0.0/0",
    "fd00::/8",
    "::ffff:1.2.3.4",
    "80",
    "80:90",
    "90:80",
    "http",
    "In",
    "NotIn",
    "Exists",
    "projectcalico.org/namespace",
    "red",
    "web",
    "-",
    "a/b/c",
    "\u{0}",
    "ü",
    "{}",
];
/// Numbers at the edges of something.
const NUMBERS: [i64; 13] = [
    0,
    1,
    -1,
    4,
    6,
    80,
    254,
    255,
    256,
    65_535,
    65_536,
    i64::MAX,
    i64::MIN,
];
/// Fields that objects have somewhere.
const FIELDS: [&str; 30] = [
    "spec",
    "metadata",
    "labels",
    "annotations",
    "ingress",
    "egress",
    "action",
    "source",
    "destination",
    "nets",
    "notNets",
    "selector",
    "notSelector",
    "namespaceSelector",
    "ports",
    "notPorts",
    "protocol",
    "notProtocol",
    "types",
    "policyTypes",
    "tier",
    "order",
    "podSelector",
    "from",
    "to",
    "ipBlock",
    "icmp",
    "serviceAccounts",
    "unknown",
    "defaultAction",
];
/// Kinds that are closed when they cannot be understood. The rest, pods for example, also say what is there.
/// Staged policies change nothing, whatever they say.
const CLOSED: [Kind; 16] = [
    Kind::HostEndpoint,
    Kind::Profile,
    Kind::FelixConfiguration,
    Kind::Namespace,
    Kind::ServiceAccount,
    Kind::EndpointSlice,
    Kind::StagedGlobalNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
    Kind::Tier,
    Kind::GlobalNetworkSet,
    Kind::NetworkSet,
    Kind::GlobalNetworkPolicy,
    Kind::NetworkPolicy,
    Kind::KubernetesNetworkPolicy,
    Kind::ClusterNetworkPolicy,
];
/// Kinds of which nothing stays but a deny. Of a policy of the cluster the rules that can be read stay; a tier or set
/// that is not there is another thing than one that nobody can read.
const DENYING: [Kind; 3] = [
    Kind::GlobalNetworkPolicy,
    Kind::NetworkPolicy,
    Kind::KubernetesNetworkPolicy,
];

/// Kinds of which something is made unreadable, and nothing may get through then that did not before. Of staged
/// policies nothing ever counts.
const SPOILT: [Kind; 14] = [
    Kind::Pod,
    Kind::HostEndpoint,
    Kind::Profile,
    Kind::FelixConfiguration,
    Kind::Namespace,
    Kind::ServiceAccount,
    Kind::EndpointSlice,
    Kind::Tier,
    Kind::GlobalNetworkSet,
    Kind::NetworkSet,
    Kind::GlobalNetworkPolicy,
    Kind::NetworkPolicy,
    Kind::KubernetesNetworkPolicy,
    Kind::ClusterNetworkPolicy,
];

/// How often what happened.
#[derive(Default, Debug)]
struct Seen {
    valid: u64,
    invalid: u64,
    unreadable: u64,
    allowed: u64,
    denied: u64,
    /// Packets that a closed policy stops.
    stopped: u64,
    /// Objects of each kind that cannot be understood.
    closed: BTreeMap<Kind, u64>,
    /// Packets that are denied since something cannot be read any more, by its kind.
    spoilt: BTreeMap<Kind, u64>,
}

/// A random value, of any shape and of no great size.
fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(rng.chance(1, 2)),
        2 => json!(rng.pick(&NUMBERS)),
        3 => json!(*rng.pick(&[0.5, -1.5, 1e300, 1000.0])),
        4 | 5 => json!(*rng.pick(&TEXTS)),
        6 => (0..rng.below(4)).map(|_| value(rng, depth - 1)).collect(),
        _ => {
            let fields =
                (0..rng.below(4)).map(|_| (rng.pick(&FIELDS).to_string(), value(rng, depth - 1)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// Something that a list or an object holds.
fn inner<'a>(rng: &mut Rng, found: &'a mut Value) -> Option<&'a mut Value> {
    match found {
        Value::Array(items) if !items.is_empty() => {
            let index = rng.index(items.len());
            items.get_mut(index)
        }
        Value::Object(fields) if !fields.is_empty() => {
            let index = rng.index(fields.len());
            fields.values_mut().nth(index)
        }
        _ => None,
    }
}

/// Changes something somewhere in a value.
pub(super) fn change(rng: &mut Rng, found: &mut Value, depth: usize) {
    if depth > 0
        && rng.chance(5, 6)
        && let Some(inner) = inner(rng, found)
    {
        return change(rng, inner, depth - 1);
    }
    match found {
        Value::Array(items) if rng.chance(1, 2) => match (rng.below(3), items.len()) {
            (0, 1..) => drop(items.remove(rng.index(items.len()))),
            (1, 1..) => {
                let item = rng.pick(items).clone();
                items.push(item);
            }
            _ => items.push(value(rng, 3)),
        },
        Value::Object(fields) if rng.chance(1, 2) => {
            let known = fields.keys().nth(rng.index(fields.len().max(1))).cloned();
            match (rng.below(3), known) {
                (0, Some(name)) => drop(fields.shift_remove(&name)),
                (1, Some(name)) => drop(fields.insert(name, value(rng, 3))),
                _ => drop(fields.insert(rng.pick(&FIELDS).to_string(), value(rng, 3))),
            }
        }
        // A value of the same type is read, and judged for what it says.
        Value::String(text) if rng.chance(2, 3) => *text = rng.pick(&TEXTS).to_string(),
        Value::Number(_) if rng.chance(2, 3) => *found = json!(rng.pick(&NUMBERS)),
        _ => *found = value(rng, 3),
    }
}

/// Makes something unreadable somewhere in a value.
fn spoil(rng: &mut Rng, found: &mut Value, depth: usize) {
    match inner(rng, found) {
        Some(inner) if depth > 0 && rng.chance(4, 5) => spoil(rng, inner, depth - 1),
        _ => {
            *found = match found {
                Value::Object(_) => json!(7),
                Value::Array(_) => json!({ "spoilt": 7 }),
                _ => json!([{ "spoilt": 7 }]),
            }
        }
    }
}

/// An object of which something cannot be read any more; `None` where that does not matter.
fn spoilt(rng: &mut Rng, object: &Object) -> Option<Value> {
    let mut value = object.to_value();
    let place = *rng.pick(&["/spec", "/metadata/labels", "/status"]);
    spoil(rng, value.pointer_mut(place)?, 5);
    Object::decode(object.kind(), value.clone())
        .is_err()
        .then_some(value)
}

/// Whether a packet was told by what is written nowhere else and nobody can read any more: a port of VXLAN, or how the
/// interfaces of workloads are called.
fn is_lost(original: &Object, (flight, packet): &(Option<Flight>, Packet)) -> bool {
    let object = original.to_value();
    let port = object.pointer("/spec/vxlanPort").and_then(Value::as_u64);
    let prefixes = object.pointer("/spec/interfacePrefix");
    let prefixes = prefixes.and_then(Value::as_str).unwrap_or_default();
    let begins = |interface: &String| {
        let mut prefixes = prefixes.split(',').filter(|prefix| !prefix.is_empty());
        prefixes.any(|prefix| interface.starts_with(prefix))
    };
    let mut interfaces = flight.iter().flat_map(|flight| {
        let between = flight.through.iter();
        let between = between.flat_map(|(_, from, to)| [from, to]);
        [&flight.in_by, &flight.out_by, &flight.first_out_by]
            .into_iter()
            .chain(between)
    });
    packet.protocol == Protocol::UDP && port == Some(packet.dst_port.into())
        || interfaces.any(begins)
}

/// What a store would hold under the key of an object: the same with some changes, but its name and place.
fn arbitrary(rng: &mut Rng, object: &Object) -> Value {
    let key = object.key();
    let mut value = object.to_value();
    for _ in 0..=rng.below(CHANGES_MAX) {
        change(rng, &mut value, 8);
    }
    if !value.is_object() {
        value = json!({ "spec": value });
    }
    if !value.get("metadata").is_some_and(Value::is_object) {
        value["metadata"] = json!({});
    }
    value["metadata"]["name"] = json!(key.name);
    if let (Some(namespace), Value::Object(metadata)) = (&key.namespace, &mut value["metadata"]) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    // The path of a request says what an object is; a store holds no other there.
    value["apiVersion"] = json!(key.kind.api_version());
    value["kind"] = json!(key.kind.kind_name());
    value
}

/// A cluster in both its forms.
struct Street {
    random: RandomCluster,
    cluster: Cluster,
    engine: Engine,
}

impl Street {
    fn new(rng: &mut Rng) -> Self {
        let random = RandomCluster::new(rng.next_u64(), SMALL);
        let mut engine = new_engine();
        let all = random.objects().values().cloned().map(Change::Apply);
        let settled = feed(&mut engine, &all.collect::<Vec<_>>());
        settled.unwrap_or_else(|failure| panic!("{failure}"));
        Self {
            cluster: random.objects().values().cloned().collect(),
            random,
            engine,
        }
    }

    fn forget(&mut self, key: &ObjectKey) {
        self.cluster.remove(key);
        let gone = feed(&mut self.engine, &[Change::Delete(key.clone())]);
        gone.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Puts an arbitrary object in the place of a real one, judges packets, and puts the real one back.
    fn judge(&mut self, rng: &mut Rng, seen: &mut Seen) {
        let mut kinds: BTreeMap<Kind, Vec<&Object>> = BTreeMap::new();
        for object in self.random.objects().values() {
            kinds.entry(object.kind()).or_default().push(object);
        }
        kinds.retain(|kind, _| CLOSED.contains(kind));
        let kinds: Vec<_> = kinds.into_values().collect();
        let kind = rng.pick(&kinds);
        let original = (*rng.pick(kind)).clone();
        let key = original.key();
        let stored = arbitrary(rng, &original);
        // An agent that starts knows no version before it.
        self.forget(&key);
        let packets = self.random.any_packets(PACKETS);
        let without = verdicts(&self.cluster, &packets);
        self.cluster.insert_stored(&key, &stored);
        let applied = self
            .engine
            .apply_stored::<Unsettled>(&key, &stored, &mut |_, _, _| Ok(()));
        applied.unwrap_or_else(|error| panic!("{error}: {stored}"));
        self.lower();
        let with = verdicts(&self.cluster, &packets);
        let is_understood = count(&key, &stored, seen);
        self.judge_flights(&stored);
        for ((packet, with), without) in packets.iter().zip(&with).zip(&without) {
            let found = self.engine.judge(packet).verdict;
            assert_eq!(found, *with, "{packet:?} with {stored}");
            match found {
                Verdict::Allow => seen.allowed += 1,
                Verdict::Deny => seen.denied += 1,
            }
            if !is_understood && DENYING.contains(&key.kind) {
                let widened = (*without, found) == (Verdict::Deny, Verdict::Allow);
                assert!(!widened, "{packet:?} gets through because of {stored}");
                seen.stopped += u64::from(*without != found);
            }
        }
        self.forget(&key);
        self.cluster.insert(original.clone());
        let back = feed(&mut self.engine, &[Change::Apply(original)]);
        back.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Makes something of an object unreadable, and sees that nothing gets through that did not before.
    fn spoil(&mut self, rng: &mut Rng, seen: &mut Seen) {
        let kind = *rng.pick(&SPOILT);
        let objects = self.random.objects().values();
        let objects: Vec<&Object> = objects.filter(|object| object.kind() == kind).collect();
        if objects.is_empty() {
            return;
        }
        let original = (*rng.pick(&objects)).clone();
        let Some(stored) = spoilt(rng, &original) else {
            return;
        };
        let key = original.key();
        let flights = self.random.any_flights(FLIGHTS).into_iter();
        let asked: Vec<(Option<Flight>, Packet)> = flights
            .map(|flight| (Some(flight.clone()), flight.packet))
            .chain({ self.random.any_packets(PACKETS).into_iter() }.map(|packet| (None, packet)))
            .collect();
        let before = Evaluator::new(&self.cluster);
        let gone = before.endpoints().find(|(pod, _)| **pod == key);
        let gone = gone.map_or(&[][..], |(_, addresses)| addresses);
        let denied = |asked: &(Option<Flight>, Packet)| {
            let (flight, packet) = asked;
            let question = flight.as_ref().map_or_else(|| (*packet).into(), question);
            let answer = before.explain(&question);
            let legs = answer.unwrap_or_else(|error| panic!("{error}")).legs;
            // Where a pod that cannot be read is, is not known any more, so only the other end counts.
            let is_gone = gone.contains(&packet.src) || gone.contains(&packet.dst);
            let denies = |leg: &Leg| {
                let is_pod = leg.endpoint.kind == Kind::Pod && leg.endpoint != key;
                (!is_gone || is_pod) && leg.verdict == Verdict::Deny
            };
            legs.into_iter()
                .find(denies)
                .filter(|_| !is_lost(&original, asked))
        };
        let denied: Vec<Option<Leg>> = asked.iter().map(denied).collect();
        self.forget(&key);
        self.cluster.insert_stored(&key, &stored);
        let applied = self
            .engine
            .apply_stored::<Unsettled>(&key, &stored, &mut |_, _, _| Ok(()));
        applied.unwrap_or_else(|error| panic!("{error}: {stored}"));
        for ((flight, packet), was_denied) in asked.iter().zip(denied) {
            let fate = match flight {
                Some(flight) => self.engine.judge_flight(flight),
                None => self.engine.judge(packet),
            };
            assert!(
                was_denied.is_none() || fate.verdict == Verdict::Deny,
                "{flight:?} {packet:?} gets through because of {stored}: {:#?} instead of {:#?}",
                fate.stages,
                was_denied.map(|leg| leg.decided_by)
            );
            let closed = was_denied.is_none() && fate.verdict == Verdict::Deny;
            *seen.spoilt.entry(kind).or_default() += u64::from(closed);
        }
        self.forget(&key);
        self.cluster.insert(original.clone());
        let back = feed(&mut self.engine, &[Change::Apply(original)]);
        back.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Sends packets of hosts, to hosts and through them as well.
    fn judge_flights(&mut self, stored: &Value) {
        let evaluator = Evaluator::new(&self.cluster);
        for flight in self.random.any_flights(FLIGHTS) {
            let answer = evaluator.decide(&question(&flight));
            let answer = answer.unwrap_or_else(|error| panic!("{flight:?}: {error}"));
            let found = self.engine.judge_flight(&flight).verdict;
            assert_eq!(found, answer.verdict, "{flight:?} with {stored}");
        }
    }

    /// Puts an arbitrary object of a kind that is not closed, a pod for example, in the place of a real one. What a
    /// cluster looks like then is not said; that it is judged is.
    fn disturb(&mut self, rng: &mut Rng) {
        let objects = self.random.objects().values();
        let open: Vec<&Object> = objects
            .filter(|object| !CLOSED.contains(&object.kind()))
            .collect();
        let original = (*rng.pick(&open)).clone();
        let key = original.key();
        let stored = arbitrary(rng, &original);
        let put = |engine: &mut Engine, value: &Value| {
            let applied = engine.apply_stored::<Unsettled>(&key, value, &mut |_, _, _| Ok(()));
            applied.unwrap_or_else(|error| panic!("{error}: {stored}"));
        };
        put(&mut self.engine, &stored);
        self.lower();
        let mut cluster = self.cluster.clone();
        cluster.insert_stored(&key, &stored);
        let evaluator = Evaluator::new(&cluster);
        for packet in self.random.packets(PACKETS) {
            // Whoever is not there any more cannot be asked about; that is an answer too.
            drop(evaluator.decide(&Question::from(packet)));
            self.engine.judge(&packet);
        }
        self.forget(&key);
        self.cluster.insert(original.clone());
        put(&mut self.engine, &original.to_value());
    }

    /// Every node's program becomes a table.
    fn lower(&self) {
        for (node, program) in self.engine.programs() {
            let ruleset = lower(program, &BTreeMap::new(), table());
            assert!(!ruleset.chains.is_empty(), "{node}");
        }
    }
}

fn verdicts(cluster: &Cluster, packets: &[Packet]) -> Vec<Verdict> {
    let evaluator = Evaluator::new(cluster);
    let judge = |packet: &Packet| {
        let answer = evaluator.decide(&Question::from(*packet));
        answer
            .unwrap_or_else(|error| panic!("{packet:?}: {error}"))
            .verdict
    };
    packets.iter().map(judge).collect()
}

/// Whether the API would take an object.
fn count(key: &ObjectKey, stored: &Value, seen: &mut Seen) -> bool {
    let is_readable = Object::decode(key.kind, stored.clone()).is_ok();
    let is_valid = Object::from_value(key.kind, stored.clone()).is_ok();
    match (is_readable, is_valid) {
        (_, true) => seen.valid += 1,
        (true, false) => seen.invalid += 1,
        (false, false) => seen.unreadable += 1,
    }
    *seen.closed.entry(key.kind).or_default() += u64::from(!is_valid);
    is_valid
}

#[test]
fn arbitrary_objects() {
    let mut seen = Seen::default();
    Run::new("street", CLUSTERS).generators(|rng| {
        let mut street = Street::new(rng);
        for _ in 0..OBJECTS_A_CLUSTER {
            street.judge(rng, &mut seen);
        }
        for _ in 0..OBJECTS_A_CLUSTER {
            street.spoil(rng, &mut seen);
        }
        for _ in 0..STRANGERS_A_CLUSTER {
            street.disturb(rng);
        }
    });
    say(&format!("fuzz street: {seen:?}"));
    let count = seen.valid + seen.invalid + seen.unreadable;
    for (what, found) in [
        ("valid", seen.valid),
        ("invalid", seen.invalid),
        ("unreadable", seen.unreadable),
    ] {
        assert!(found * 50 > count, "hardly any object was {what}: {seen:?}");
    }
    for kind in CLOSED {
        assert!(seen.closed.contains_key(&kind), "{kind:?}: {seen:?}");
    }
    for kind in SPOILT {
        assert!(seen.spoilt.contains_key(&kind), "{kind:?}: {seen:?}");
    }
    let spoilt: u64 = seen.spoilt.values().sum();
    assert!(spoilt > 500, "{seen:?}");
    assert!(
        seen.stopped > 50 && seen.allowed > 1_000 && seen.denied > 1_000,
        "{seen:?}"
    );
}
