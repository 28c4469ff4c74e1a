//! Bad objects, strangers in the table, and a store that goes away.

use oncilla_agent::{AgentState, TableOwner};
use oncilla_api::{Kind, ObjectKey};
use serde_json::json;

use super::harness::{World, allow_a};

#[test]
fn what_cannot_be_understood_is_reported_and_never_widens_access() {
    let world = World::new();
    let agent = world.agent(TableOwner::Auto);
    world.wait("first", |status| status.state == AgentState::Enforcing);

    let broken = ObjectKey::namespaced(Kind::NetworkPolicy, "team", "broken");
    world.smuggle(
        &broken,
        json!({ "spec": { "selector": "app ==", "ingress": 7 } }),
    );
    let good = world.allow_a("good");
    let status = world.wait("one problem", |status| status.problems.len() == 1);
    assert_eq!(status.problems[0].object, "NetworkPolicy team/broken");
    assert!(
        status.problems[0]
            .message
            .contains("what it may select is denied"),
        "{status:?}"
    );
    world.in_force(good);
    let table = world.table().unwrap();
    assert!(
        table.contains("team/broken"),
        "a version that denies is in force: {table}"
    );
    assert!(
        table.contains("team/good"),
        "the others are in force: {table}"
    );

    let key = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "good");
    let mut worse = allow_a();
    worse["spec"]["ingress"][0]["from"] = json!([{ "ipBlock": { "cidr": "nowhere" } }]);
    world.smuggle(&key, worse);
    let status = world.wait("two problems", |status| status.problems.len() == 2);
    let problem = status
        .problems
        .iter()
        .find(|problem| problem.object.ends_with("team/good"));
    assert!(
        problem
            .unwrap()
            .message
            .contains("kept: the version before"),
        "{status:?}"
    );
    assert!(world.table().unwrap().contains("team/good"));

    world.delete(&broken);
    world.wait("mended", |status| status.problems.len() == 1);
    let table = world.table().unwrap();
    let open = table.split("set open_in").nth(1).unwrap();
    let open = open.split('}').next().unwrap();
    assert!(
        open.contains("team/a eth0"),
        "nothing is denied any more: {open}"
    );
    agent.stop();
}

#[test]
fn a_flushed_table_is_put_back_when_the_news_of_it_comes() {
    let world = World::new();
    let revision = world.allow_a("allow-a");
    let agent = world.agent(TableOwner::Off);
    let status = world.in_force(revision);
    assert!(!status.kernel.owns_table);
    let before = world.table().unwrap();
    world.nft(&["flush", "ruleset"]).unwrap();
    let status = world.wait("repaired", |status| status.kernel.repairs == 1);
    assert_eq!(status.state, AgentState::Enforcing);
    assert!(before.contains("team/allow-a") && world.table().unwrap().contains("team/allow-a"));
    agent.stop();
}

#[test]
fn a_store_that_goes_away_changes_nothing_and_is_caught_up_with() {
    let mut world = World::new();
    let revision = world.allow_a("first");
    let agent = world.agent(TableOwner::Auto);
    world.in_force(revision);
    world.stop_serving();
    assert!(world.table().unwrap().contains("team/first"));
    let second = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", "second");
    let revision = world.smuggle(&second, allow_a());
    assert!(
        !world.table().unwrap().contains("team/second"),
        "nobody could have told"
    );
    world.serve();
    let status = world.wait("caught up", |status| {
        status.revision >= Some(revision) && status.state == AgentState::Enforcing
    });
    assert_eq!((status.policies, status.stale_since_unix_ms), (2, None));
    assert!(world.table().unwrap().contains("team/second"));
    agent.stop();
}
