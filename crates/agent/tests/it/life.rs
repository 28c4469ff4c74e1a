//! From the start to the end, and the next start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oncilla_agent::{AgentError, AgentState, TableOwner, remove, run};
use oncilla_api::{Kind, ObjectKey};
use oncilla_kernel::netns::Netns;
use serde_json::json;

use super::harness::{World, class_of};

#[test]
fn changes_go_in_force_one_by_one_and_stay_when_the_agent_ends() {
    let world = World::new();
    let agent = world.agent(TableOwner::Auto);
    let status = world.wait("first", |status| status.state == AgentState::Enforcing);
    assert!(status.revision.is_some());
    assert_eq!(
        (status.pods, status.policies, status.problems.len()),
        (2, 0, 0)
    );
    assert!(
        status.kernel.owns_table && status.rss_bytes > 0,
        "{status:?}"
    );
    let open = world.table().unwrap();
    assert_eq!(
        class_of(&open, "10.65.0.1"),
        None,
        "no rule tells the pods apart"
    );

    let revision = world.allow_a("allow-a");
    assert_eq!(world.in_force(revision).policies, 1);
    let allowed = world.table().unwrap();
    assert!(allowed.contains("team/allow-a"), "{allowed}");
    assert!(class_of(&allowed, "10.65.0.1").is_some(), "{allowed}");

    let a = ObjectKey::namespaced(Kind::Pod, "team", "a");
    let other = world.patch(&a, &json!({ "metadata": { "labels": { "app": "other" } } }));
    world.in_force(other);
    assert_eq!(class_of(&world.table().unwrap(), "10.65.0.1"), None);
    let again = world.patch(&a, &json!({ "metadata": { "labels": { "app": "a" } } }));
    world.in_force(again);

    let second = run_second(&world);
    assert!(
        second.contains("another agent runs in this network namespace"),
        "{second}"
    );
    let refused = world.netns.run(remove).unwrap();
    assert!(matches!(refused, Err(AgentError::Remove(_))), "{refused:?}");

    // The next sign of life comes after a quiet time: leftovers are gone then.
    let seen = world.in_force(again).updated_unix_ms;
    world.wait("sign of life", |status| {
        status.updated_unix_ms > seen + 2_000
    });
    let settled = world.table().unwrap();
    agent.stop();
    assert!(world.table().unwrap() == settled, "it is still enforced");
    // The last word was written before the agent was gone.
    let last = world.reported().unwrap();
    assert_eq!(last.state, AgentState::Stopped, "{last:?}");
    assert!(last.revision >= Some(again), "{last:?}");

    let newer = world.patch(
        &a,
        &json!({ "metadata": { "annotations": { "note": "nothing" } } }),
    );
    let agent = world.agent(TableOwner::Auto);
    let status = world.in_force(newer);
    assert_eq!(status.kernel.writes, 0, "{status:?}");
    agent.stop();
    assert!(world.table().unwrap() == settled);

    world.netns.run(remove).unwrap().unwrap();
    assert_eq!(world.table(), None);
}

#[test]
fn a_store_that_is_away_does_not_keep_an_agent_from_ending() {
    let mut world = World::new();
    let agent = world.agent(TableOwner::Auto);
    world.wait("first", |status| status.state == AgentState::Enforcing);
    world.stop_serving();
    let begun = now();
    agent.stop();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.serve();
    let last = world.reported().unwrap();
    assert_ne!(last.state, AgentState::Stopped, "nobody could be told");
    assert!(world.table().is_some());
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long an end takes is what is tested"
)]
fn now() -> Instant {
    Instant::now()
}

/// What a second agent in the same namespace says.
fn run_second(world: &World) -> String {
    let options = world.options(TableOwner::Auto);
    let ended = world
        .netns
        .run(|| run(options, std::future::pending()))
        .unwrap();
    let error = anyhow_chain(&ended.unwrap_err());
    assert!(!error.is_empty());
    error
}

fn anyhow_chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", anyhow_chain(source)),
        None => error.to_string(),
    }
}

#[test]
fn an_agent_that_is_there_first_waits_for_the_store_and_writes_its_own_node() {
    let mut world = World::silent(Arc::new(Netns::new().unwrap()));
    let agent = world.agent(TableOwner::Auto);
    world.serve();
    let status = world.wait("first", |status| status.state == AgentState::Enforcing);
    assert_eq!(status.pods, 0);
    assert!(world.table().is_some());
    agent.stop();
}
