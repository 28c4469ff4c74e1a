//! Staged policies are never enforced: the table does not change, and real packets pass.

use oncilla_agent::TableOwner;
use oncilla_api::{Kind, ObjectKey};
use oncilla_net::Verdict;
use serde_json::{Value, json};

use super::field::{Field, Flow, policy};

fn flows() -> [Flow; 2] {
    [false, true].map(|v6| Flow {
        from: "a".to_owned(),
        to: "b".to_owned(),
        port: 80,
        v6,
    })
}

fn key(kind: Kind) -> ObjectKey {
    if kind.namespaced() {
        ObjectKey::namespaced(kind, "team", "deny")
    } else {
        ObjectKey::cluster(kind, "deny")
    }
}

#[test]
fn what_is_staged_stops_no_packet_and_opens_nothing() {
    let field = Field::new(&[("a", json!({ "app": "a" })), ("b", json!({ "app": "b" }))]);
    let world = &field.world;
    let agent = world.agent(TableOwner::Auto);
    let deny = json!({ "order": 1, "types": ["Ingress", "Egress"] });
    let staged: [(Kind, Value); 3] = [
        (Kind::StagedGlobalNetworkPolicy, deny.clone()),
        (Kind::StagedNetworkPolicy, deny.clone()),
        (
            Kind::StagedKubernetesNetworkPolicy,
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }),
        ),
    ];
    let mut revision = 0;
    for (kind, spec) in &staged {
        revision = world.create(&key(*kind), policy(spec));
    }
    let status = world.in_force(revision);
    assert_eq!(
        (status.policies, status.problems.len()),
        (0, 0),
        "{status:?}"
    );
    assert_eq!(field.probe(&flows()), [Verdict::Allow; 2]);
    assert!(!world.table().unwrap().contains("deny\""));

    // The other way round: what would be deleted stays in force.
    world.create(&key(Kind::NetworkPolicy), policy(&deny));
    let snp = key(Kind::StagedNetworkPolicy);
    world.delete(&snp);
    let revision = world.create(&snp, policy(&json!({ "stagedAction": "Delete" })));
    world.in_force(revision);
    assert_eq!(field.expected(&flows()), [Verdict::Deny; 2]);
    assert_eq!(field.probe(&flows()), [Verdict::Deny; 2]);

    // A broken one is reported, and nothing else.
    let broken = json!({ "ingress": [{ "action": "Deny", "source": { "nets": ["x"] } }] });
    let sgnp = key(Kind::StagedGlobalNetworkPolicy);
    let revision = world.smuggle(&sgnp, policy(&broken));
    let status = world.in_force(revision);
    let said = &status.problems[0];
    assert_eq!(said.object, "StagedGlobalNetworkPolicy deny");
    assert!(
        said.message.ends_with("staged policies never enforce)"),
        "{said:?}"
    );
    world.delete(&key(Kind::NetworkPolicy));
    let note = json!({ "metadata": { "annotations": { "note": "last" } } });
    let pod = ObjectKey::namespaced(Kind::Pod, "team", "a");
    world.in_force(world.patch(&pod, &note));
    assert_eq!(field.probe(&flows()), [Verdict::Allow; 2]);
    agent.stop();
}
