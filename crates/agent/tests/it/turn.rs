//! A label that turns a pod from "may leave, nobody lets it in" to "may not leave, but would be let in": at no instant
//! does it get through.

use std::sync::Arc;

use oncilla_agent::TableOwner;
use oncilla_api::{Kind, ObjectKey};
use oncilla_net::Verdict;
use serde_json::{Value, json};

use super::field::{Field, Flow, Probing, Progress, Round, policy};

/// How often the label turns.
const TURNS: usize = 30;

fn flows() -> [Flow; 2] {
    [false, true].map(|v6| Flow {
        from: "web".to_owned(),
        to: "db".to_owned(),
        port: 80,
        v6,
    })
}

/// Lets pods of `role` reach `db`.
fn admit(field: &Field, role: &str) {
    let key = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "db");
    let from = json!([{ "podSelector": { "matchLabels": { "role": role } } }]);
    let spec = json!({ "podSelector": { "matchLabels": { "app": "db" } },
        "ingress": [{ "from": from }] });
    field.world.smuggle(&key, policy(&spec));
}

/// What pods of `role` may do on their way out.
fn leaving(field: &Field, role: &str, rules: &Value) -> u64 {
    let key = ObjectKey::namespaced(Kind::NetworkPolicy, "team", format!("leaving-{role}"));
    let spec = json!({ "selector": format!("role == '{role}'"), "types": ["Egress"],
        "egress": rules });
    field.world.smuggle(&key, policy(&spec))
}

fn turn(field: &Field) {
    let world = &field.world;
    let pod = ObjectKey::namespaced(Kind::Pod, "team", "web");
    let relabel = |role: &str| {
        let labels = json!({ "metadata": { "labels": { "role": role } } });
        world.patch(&pod, &labels)
    };
    world.in_force(relabel("inside"));
    let probing = Probing::start(field, &flows(), &Arc::new(Progress::default()));
    for _ in 0..TURNS {
        world.in_force(relabel("outside"));
        world.in_force(relabel("inside"));
    }
    let rounds = probing.stop();
    let passed = |round: &&Round| round.verdicts.contains(&Verdict::Allow);
    let passed = rounds.iter().filter(passed).count();
    assert_eq!(passed, 0, "of {} rounds", rounds.len());
    assert!(rounds.len() > TURNS, "{} rounds", rounds.len());
}

fn field() -> Field {
    Field::new(&[
        ("web", json!({ "app": "web", "role": "outside" })),
        ("db", json!({ "app": "db" })),
    ])
}

#[test]
fn from_no_policy_to_a_policy_and_back() {
    let field = field();
    let agent = field.world.agent(TableOwner::Auto);
    admit(&field, "inside");
    leaving(&field, "inside", &json!([]));
    turn(&field);
    agent.stop();
}

#[test]
fn from_one_policy_to_another_and_back() {
    let field = field();
    let agent = field.world.agent(TableOwner::Auto);
    admit(&field, "inside");
    leaving(&field, "inside", &json!([]));
    leaving(&field, "outside", &json!([{ "action": "Allow" }]));
    turn(&field);
    agent.stop();
}
