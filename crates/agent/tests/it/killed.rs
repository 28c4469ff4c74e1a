//! An agent that is killed at any instant: every packet gets the old or the new verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use oncilla_agent::{AgentState, TableOwner};
use oncilla_api::{Kind, ObjectKey};
use oncilla_net::Verdict;
use oncilla_testkit::rng::Rng;
use serde_json::json;

use super::field::{Field, Flow, OUTSIDE, Probing, Progress, Round, policy, tally};
use super::process::AgentProcess;

const KILLS: usize = 200;
/// Takes the place of the seed, to see a run again; the instants of the kills are the machine's all the same.
const SEED: &str = "ONCILLA_SEED";
/// From the write of a change: longer than it takes to be in force.
const CHANGE_US_MAX: u64 = 15_000;
/// From the start of the process: longer than it takes to have everything in force.
const START_US_MAX: u64 = 60_000;
/// What the probing must reach for the kills to meet packets.
const PROBES_PER_SECOND_MIN: u64 = 1_000;
const PORTS: [u16; 2] = [80, 443];

/// `still` is never selected, `shut` is always isolated; who reaches the others changes.
fn field() -> Field {
    let role = |role: &str| json!({ "app": "web", "role": role });
    Field::new(&[
        ("web-0", role("a")),
        ("web-1", role("b")),
        ("web-2", role("c")),
        ("db-0", json!({ "app": "db", "role": "a" })),
        ("db-1", json!({ "app": "db", "role": "b" })),
        ("still", json!({ "app": "still", "role": "a" })),
        ("shut", json!({ "app": "shut" })),
    ])
}

fn flows() -> Vec<Flow> {
    let mut flows = Vec::new();
    for from in ["web-0", "web-1", "web-2", "still", OUTSIDE] {
        for to in ["db-0", "db-1", "web-2", "shut", "still"] {
            for (port, v6) in PORTS
                .into_iter()
                .flat_map(|port| [(port, false), (port, true)])
            {
                if from != to {
                    let (from, to) = (from.to_owned(), to.to_owned());
                    flows.push(Flow { from, to, port, v6 });
                }
            }
        }
    }
    flows
}

/// One change of the cluster, as one write: its revision.
fn change(field: &Field, rng: &mut Rng) -> u64 {
    let world = &field.world;
    let role = *rng.pick(&["a", "b", "c"]);
    let port = *rng.pick(&PORTS);
    match rng.below(5) {
        0 => {
            let name = *rng.pick(&["web-0", "web-1", "web-2"]);
            let key = ObjectKey::namespaced(Kind::Pod, "team", name);
            let other = rng.below(1000).to_string();
            let labels = json!({ "metadata": { "labels": { "role": role, "other": other } } });
            world.patch(&key, &labels)
        }
        1 => {
            let key = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "db");
            let from = json!([{ "podSelector": { "matchLabels": { "role": role } } }]);
            let ports = json!([{ "protocol": "TCP", "port": port }]);
            let ingress = json!([{ "from": from, "ports": ports }]);
            let selector = json!({ "matchLabels": { "app": "db" } });
            world.smuggle(
                &key,
                policy(&json!({ "podSelector": selector, "ingress": ingress })),
            )
        }
        2 => {
            let key = ObjectKey::namespaced(Kind::NetworkPolicy, "team", "first");
            let action = *rng.pick(&["Allow", "Deny", "Pass"]);
            let source = json!({ "selector": format!("role == '{role}'") });
            let destination = json!({ "ports": [port] });
            let rule = json!({ "action": action, "protocol": "TCP", "source": source,
                "destination": destination });
            let spec = json!({ "order": 10, "selector": "app == 'db' || app == 'web'",
                "types": ["Ingress"], "ingress": [rule, { "action": "Pass" }] });
            world.smuggle(&key, policy(&spec))
        }
        3 => {
            let key = ObjectKey::namespaced(Kind::NetworkPolicy, "team", "leaving");
            let net = *rng.pick(&["10.65.0.4/32", "10.65.0.4/31", "fd65::4/127", "::/0"]);
            let action = *rng.pick(&["Allow", "Deny"]);
            let rule = json!({ "action": action, "destination": { "nets": [net] } });
            let spec = json!({ "order": 20, "selector": format!("role == '{role}'"),
                "types": ["Egress"], "egress": [rule, { "action": "Pass" }] });
            world.smuggle(&key, policy(&spec))
        }
        _ => {
            let key = ObjectKey::namespaced(Kind::NetworkPolicy, "team", "first");
            match world.store.delete(&key, None) {
                Ok(deleted) => deleted.revision.0,
                Err(_) => change(field, rng),
            }
        }
    }
}

fn shut(field: &Field) -> u64 {
    let key = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "shut");
    let selector = json!({ "matchLabels": { "app": "shut" } });
    let spec = policy(&json!({ "podSelector": selector, "policyTypes": ["Ingress"] }));
    field.world.smuggle(&key, spec)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the rate is told to people")]
fn killed_at_any_instant_the_agent_leaves_the_old_or_the_new_verdict() {
    let (field, flows) = (field(), flows());
    let world = &field.world;
    let mut agent = AgentProcess::start(world, TableOwner::Auto);
    world.in_force(shut(&field));
    let mut states = vec![field.expected(&flows)];
    let progress = Arc::new(Progress::default());
    let probing = Probing::start(&field, &flows, &progress);
    let started = Instant::now();
    let seed = std::env::var_os(SEED).map(|text| text.to_str().unwrap().parse().unwrap());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("{SEED}={seed}");
    let mut rng = Rng::new(seed);
    let mut kills = 0;
    while kills < KILLS {
        // Probes of this change may see it from here on.
        progress.begun.store(states.len(), Ordering::SeqCst);
        let revision = change(&field, &mut rng);
        states.push(field.expected(&flows));
        agent.kill_after(Duration::from_micros(rng.below(CHANGE_US_MAX)));
        kills += 1;
        agent = AgentProcess::start(world, TableOwner::Auto);
        while rng.chance(1, 3) {
            agent.kill_after(Duration::from_micros(rng.below(START_US_MAX)));
            kills += 1;
            agent = AgentProcess::start(world, TableOwner::Auto);
        }
        world.in_force(revision);
        progress.reported.store(states.len() - 1, Ordering::SeqCst);
    }
    let took = started.elapsed();
    let rounds = probing.stop();
    let probes = rounds.len() * flows.len();
    let rate = probes as u64 * 1_000 / u64::try_from(took.as_millis()).unwrap();
    let changed = check(&flows, &states, &rounds);
    let tally = tally(&rounds);
    println!(
        "{kills} kills, {} changes, {} flows, {probes} probes at {rate}/s: {tally:?}; {changed:?}",
        states.len() - 1,
        flows.len()
    );
    assert!(rate >= PROBES_PER_SECOND_MIN, "{rate} probes/s");
    assert!(tally[&Verdict::Allow] > 1_000 && tally[&Verdict::Deny] > 1_000);
    assert!(changed.values().all(|count| *count > 100), "{changed:?}");

    // Once leftovers are gone and classes are merged, one more death changes nothing at all.
    let table = settled(&field);
    agent.kill_now();
    let agent = AgentProcess::start(world, TableOwner::Auto);
    let key = ObjectKey::namespaced(Kind::Pod, "team", "still");
    let nothing = world.patch(
        &key,
        &json!({ "metadata": { "annotations": { "note": "nothing" } } }),
    );
    let status = world.in_force(nothing);
    assert_eq!(status.kernel.writes, 0, "{status:?}");
    assert!(status.kernel.owns_table, "the next agent claims the table");
    assert!(
        world.table().unwrap() == table,
        "not one element is different"
    );
    agent.kill_now();
}

/// The table when nothing has changed in it between two signs of life.
fn settled(field: &Field) -> String {
    let world = &field.world;
    let mut before = world.wait("enforcing", |status| status.state == AgentState::Enforcing);
    loop {
        let seen = before.updated_unix_ms;
        let status = world.wait("sign of life", |status| {
            status.updated_unix_ms > seen + 2_000
        });
        if status.kernel.writes == before.kernel.writes {
            return world.table().unwrap();
        }
        before = status;
    }
}

/// Every answer is that of a state that may have been in force. Counts the answers that had no choice, and those
/// during a change of that flow's verdict which got the old and the new one.
fn check(
    flows: &[Flow],
    states: &[Vec<Verdict>],
    rounds: &[Round],
) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::from([("certain", 0), ("still old", 0), ("already new", 0)]);
    for round in rounds {
        let possible = &states[round.first..=round.last];
        for (index, verdict) in round.verdicts.iter().enumerate() {
            let (old, new) = (possible[0][index], possible[possible.len() - 1][index]);
            assert!(
                possible.iter().any(|state| state[index] == *verdict),
                "{:?} got {verdict:?} in states {}..={}",
                flows[index],
                round.first,
                round.last
            );
            let kind = match (old == new, *verdict == new) {
                (true, _) => "certain",
                (false, true) => "already new",
                (false, false) => "still old",
            };
            *counts.entry(kind).or_default() += 1;
        }
    }
    counts
}
