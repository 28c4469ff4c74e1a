//! The resident memory of an idle agent: the executable that people run, as a process of its own, against a
//! real `oncilla server`, in a network namespace that ends with the measurement.
//!
//! Scale: a node alone; and 100 policies on one local pod with 1,000 endpoints known. Read from
//! `/proc/PID/status` after the agent says that it enforces everything there is and was left alone for a
//! while. Wants `ONCILLA_BIN`, as `make bench` sets it.

use std::thread;
use std::time::Duration;

use oncilla_api::Object;
use oncilla_kernel::netns::Netns;

use crate::node::Node;
use crate::report::{Against, Figure, Goal, Report};
use crate::scene::{NODE, client_kind, namespace, pod, policies, remote_address};

/// The goal of the street issue.
const RSS_MB: f64 = 20.0;
const POLICIES: usize = 100;
const ENDPOINTS: usize = 1_000;
/// How long the agent is left alone before it counts as idle: longer than its timers for cleaning.
const IDLE: Duration = Duration::from_secs(2);

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let against = Against {
        name: "the goal",
        value: RSS_MB,
    };
    let scale = format!("{POLICIES}-policies-{ENDPOINTS}-endpoints");
    for (name, objects) in [("alone", Vec::new()), (scale.as_str(), busy()?)] {
        let value = resident(&objects)?;
        let figure = Figure {
            bench: format!("agent-rss-idle/{name}"),
            value,
            unit: "MB",
        };
        report.goal(&figure, against, Goal::Value(RSS_MB));
    }
    Ok(())
}

/// What a cluster holds; tiers are the server's.
fn busy() -> anyhow::Result<Vec<Object>> {
    let mut objects = vec![namespace()?];
    objects.extend(policies(POLICIES, 8000)?);
    objects.push(pod("server", NODE, "server", "10.65.0.2")?);
    for number in 1..ENDPOINTS {
        let (name, app) = (format!("pod-{number}"), client_kind(number));
        objects.push(pod(&name, "n2", &app, &remote_address(number))?);
    }
    Ok(objects)
}

fn resident(objects: &[Object]) -> anyhow::Result<f64> {
    let node = Node::start(&Netns::new()?, objects)?;
    thread::sleep(IDLE);
    node.agent_resident_mb()
}
