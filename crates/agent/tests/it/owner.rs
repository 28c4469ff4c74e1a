//! Strangers at the table of an agent that is killed: with the kernel's protection, and without.

use std::time::Instant;

use oncilla_agent::{AgentState, TableOwner};

use super::harness::World;
use super::process::AgentProcess;

#[test]
fn with_an_owner_the_table_outlives_a_flush_and_sigkill_and_the_next_agent_claims_it() {
    let world = World::new();
    let revision = world.allow_a("allow-a");
    let agent = AgentProcess::start(&world, TableOwner::Auto);
    let status = world.in_force(revision);
    assert!(status.kernel.owns_table, "{status:?}");
    let table = world.table().unwrap();

    // Spared, not repaired: nothing was lost.
    world.nft(&["flush", "ruleset"]).unwrap();
    assert!(world.table().unwrap() == table);
    assert_eq!(world.nft(&["delete", "table", "inet", "oncilla"]), None);
    let foreign = ["add", "rule", "inet", "oncilla", "deny_in", "accept"];
    assert_eq!(world.nft(&foreign), None);

    agent.kill_now();
    assert!(world.table().unwrap() == table, "it outlives its owner");

    let agent = AgentProcess::start(&world, TableOwner::Auto);
    let status = world.in_force(world.allow_a("second"));
    assert!(
        status.kernel.owns_table && status.kernel.repairs == 0,
        "{status:?}"
    );
    assert_eq!(world.nft(&["delete", "table", "inet", "oncilla"]), None);
    agent.kill_now();

    // Nobody lives: nobody protects it. The next start mends it.
    world.nft(&["flush", "ruleset"]).unwrap();
    assert_eq!(world.table(), None);
    let agent = AgentProcess::start(&world, TableOwner::Auto);
    let status = world.in_force(world.allow_a("third"));
    assert!(status.kernel.owns_table, "{status:?}");
    let table = world.table().unwrap();
    assert!(
        table.contains("team/allow-a") && table.contains("team/second"),
        "{table}"
    );
    agent.kill_now();
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the time of the repair is told to people"
)]
fn without_an_owner_a_flush_is_repaired_by_notification_also_after_sigkill() {
    let world = World::new();
    let agent = AgentProcess::start(&world, TableOwner::Off);
    world.in_force(world.allow_a("allow-a"));
    agent.kill_now();
    assert!(
        world.table().unwrap().contains("team/allow-a"),
        "it outlives its agent"
    );

    let agent = AgentProcess::start(&world, TableOwner::Off);
    let status = world.in_force(world.allow_a("second"));
    assert!(!status.kernel.owns_table, "{status:?}");
    let flushed = Instant::now();
    world.nft(&["flush", "ruleset"]).unwrap();
    // The flush tells the agent, not a timer: the next one is 30 s away.
    while world
        .table()
        .is_none_or(|table| !table.contains("team/second"))
    {
        assert!(
            flushed.elapsed().as_secs() < 10,
            "nobody repaired the table"
        );
    }
    println!(
        "repaired within {} ms of the flush",
        flushed.elapsed().as_millis()
    );
    let status = world.wait("repaired", |status| status.kernel.repairs == 1);
    assert_eq!(status.state, AgentState::Enforcing);
    agent.kill_now();
}
