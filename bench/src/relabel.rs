//! Labels change, and a selector comes that tells apart what was alike: from the event to the kernel's acknowledgement.
//!
//! Scale, B9: 10,000 endpoints are known beside; a namespace of 1,000 pods changes a label that two policies of a local pod
//! ask for, and one pod changes its own. B8: 100,000 endpoints in 200 classes, and a policy comes that asks for a label
//! that every second one has. All through the agent's own intake and pipeline on one thread ([`Street`]), so nothing else
//! is put in force while the one event is: how long others wait is how long it takes.

use std::time::Instant;

use anyhow::ensure;
use oncilla_agent::{Options, street::Street};
use oncilla_api::{Kind, Object};
use oncilla_kernel::netns::Netns;
use oncilla_store::{Revision, StoredObject};
use serde_json::json;

use crate::quiet::alone;
use crate::report::{Against, Figure, Goal, Report, quantile};
use crate::scene::{NODE, client_kind, ground, object, pod, policies, remote_address};

const POLICIES: usize = 100;
/// B9: endpoints that are known beside, pods of the namespace, and how often labels change.
const ENDPOINTS: usize = 10_000;
const PODS: usize = 1_000;
const NAMESPACE_CHANGES: usize = 41;
const POD_CHANGES: usize = 1_001;
/// B8: endpoints, and how often the selector comes.
const SPLIT_ENDPOINTS: usize = 100_000;
const SPLITS: usize = 5;
/// The goals of the cost issue, in microseconds.
const NAMESPACE_US: f64 = 20_000.0;
const POD_US: f64 = 500.0;
const WAIT_US: f64 = 50_000.0;

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let [mut namespace, mut pod] = Netns::new()?.run(relabel)??;
    goal(
        report,
        "B9/namespace-1000-pods/median",
        quantile(&mut namespace, 0.5),
        NAMESPACE_US,
    );
    report.figure(
        "X9/namespace-1000-pods/p99",
        quantile(&mut namespace, 0.99),
        "us",
    );
    goal(report, "B9/pod/median", quantile(&mut pod, 0.5), POD_US);
    report.figure("X9/pod/p99", quantile(&mut pod, 0.99), "us");
    let (mut times, elements) = Netns::new()?.run(split)??;
    let worst = quantile(&mut times, 1.0);
    goal(report, "B8/100000-endpoints/longest-wait", worst, WAIT_US);
    report.figure(
        "X8/100000-endpoints/median",
        quantile(&mut times, 0.5),
        "us",
    );
    report.figure("X8/100000-endpoints/elements", elements, "count");
    Ok(())
}

fn goal(report: &mut Report, bench: &str, value: f64, most: f64) {
    let figure = Figure {
        bench: bench.to_owned(),
        value,
        unit: "us",
    };
    let against = Against {
        name: "the goal",
        value: most,
    };
    report.goal(&figure, against, Goal::Value(most));
}

fn stored(object: &Object) -> StoredObject {
    StoredObject {
        key: object.key(),
        revision: Revision(1),
        value: object.to_value(),
    }
}

fn start(objects: &[Object]) -> anyhow::Result<Street> {
    alone()?;
    let options = Options::new(NODE.parse()?, "unused");
    Street::start(&options, objects.iter().map(stored)).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Microseconds, and the elements that were written.
fn apply(street: &mut Street, object: &Object) -> anyhow::Result<(f64, u64)> {
    let object = stored(object);
    let start = Instant::now();
    let applied = street
        .applied(object)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((start.elapsed().as_secs_f64() * 1e6, applied.elements))
}

/// A namespace with a team.
fn namespace(team: &str) -> anyhow::Result<Object> {
    object(
        Kind::Namespace,
        json!({"metadata": {"name": "many", "labels": {"team": team}}}),
    )
}

fn member(number: usize, app: &str) -> anyhow::Result<Object> {
    let address = remote_address(500_000 + number);
    object(
        Kind::Pod,
        json!({
            "metadata": {"name": format!("member-{number}"), "namespace": "many", "labels": {"app": app}},
            "spec": {"nodeName": "n2", "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
        }),
    )
}

/// A policy on the server that lets whom a rule's source means use a port.
fn lets(name: &str, port: u16, source: &serde_json::Value) -> anyhow::Result<Object> {
    object(
        Kind::NetworkPolicy,
        json!({
            "metadata": {"name": name, "namespace": "bench"},
            "spec": {
                "selector": "app == 'server'",
                "types": ["Ingress"],
                "ingress": [{"action": "Allow", "protocol": "TCP", "source": source,
                             "destination": {"ports": [port]}}],
            },
        }),
    )
}

fn relabel() -> anyhow::Result<[Vec<f64>; 2]> {
    let mut objects = ground()?;
    objects.push(pod("server", NODE, "server", "10.65.0.2")?);
    objects.extend(policies(POLICIES, 8000)?);
    for (team, port) in [("a", 7001), ("b", 7002)] {
        let source = json!({"namespaceSelector": format!("team == '{team}'")});
        objects.push(lets(&format!("team-{team}"), port, &source)?);
    }
    for number in 0..ENDPOINTS {
        let (name, app) = (format!("pod-{number}"), client_kind(number));
        objects.push(pod(&name, "n2", &app, &remote_address(number))?);
    }
    objects.push(namespace("a")?);
    for number in 0..PODS {
        objects.push(member(number, &client_kind(number))?);
    }
    let mut street = start(&objects)?;
    let mut namespaces = Vec::with_capacity(NAMESPACE_CHANGES);
    for number in 1..=NAMESPACE_CHANGES {
        let team = if number.is_multiple_of(2) { "a" } else { "b" };
        let (took, elements) = apply(&mut street, &namespace(team)?)?;
        ensure!(elements >= 1_000, "1,000 pods are {elements} elements");
        namespaces.push(took);
    }
    let mut pods = Vec::with_capacity(POD_CHANGES);
    for number in 1..=POD_CHANGES {
        let app = client_kind(number % 2);
        let changed = pod("pod-0", "n2", &app, &remote_address(0))?;
        let (took, elements) = apply(&mut street, &changed)?;
        ensure!(
            (1..10).contains(&elements),
            "one pod is {elements} elements"
        );
        pods.push(took);
    }
    Ok([namespaces, pods])
}

fn split() -> anyhow::Result<(Vec<f64>, f64)> {
    let mut objects = ground()?;
    objects.push(pod("server", NODE, "server", "10.65.0.2")?);
    objects.extend(policies(POLICIES, 8000)?);
    for number in 0..SPLIT_ENDPOINTS {
        let address = remote_address(number);
        let color = if number.is_multiple_of(2) {
            "red"
        } else {
            "blue"
        };
        objects.push(object(
            Kind::Pod,
            json!({
                "metadata": {"name": format!("pod-{number}"), "namespace": "bench",
                             "labels": {"app": client_kind(number / 2), "color": color}},
                "spec": {"nodeName": "n2", "containers": [{"name": "c"}]},
                "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
            }),
        )?);
    }
    let mut street = start(&objects)?;
    let colors = lets("colors", 7000, &json!({"selector": "color == 'red'"}))?;
    let (mut times, mut moved) = (Vec::new(), 0);
    for _ in 0..SPLITS {
        let (took, elements) = apply(&mut street, &colors)?;
        times.push(took);
        moved = elements;
        street
            .deleted(colors.key(), Revision(1))
            .map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "some 100,000")]
    let moved = moved as f64;
    Ok((times, moved))
}
