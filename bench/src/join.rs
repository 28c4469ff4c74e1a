//! A pod with known labels joins: from the event to the kernel's acknowledgement.
//!
//! Scale: 100 policies on one local pod, 200 kinds of clients; 10, 1,000 and 100,000 endpoints known. Two
//! figures of runs of their own:
//!
//! - `street`: the JSON object of the Pod as the agent's follower hands it over, through the agent's own
//!   intake (decoding, defaults, conversion) and pipeline (resolve, compile, dataplane);
//! - `dataplane`: the part of the last stage, clocked inside stages that are wired here.
//!
//! Left out: the thread that reads the watch's line and parses its JSON, and waking the other one. Against:
//! one element by raw netlink, in the same run. Every join is followed by a leave, which is not counted.

use std::net::Ipv4Addr;
use std::time::Instant;

use oncilla_agent::{Options, street::Street};
use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::nf_tables::{Batch, Socket};
use oncilla_nft::object::{DataType, Element, FieldType, Set, Table, Value};
use oncilla_store::{Revision, StoredObject};

use crate::engine::Engine;
use crate::quiet::alone;
use crate::report::{Against, Figure, Goal, Report, quantile};
use crate::scene::{NODE, client_kind, ground, pod, policies, remote_address, running_pod};

const ENDPOINTS: [usize; 3] = [10, 1_000, 100_000];
const POLICIES: usize = 100;
const JOINS: usize = 4_000;
/// Joins that nobody counts.
const WARM_UP: usize = 200;
/// The goals of the street issue, in microseconds.
const STREET_P99_US: f64 = 200.0;
const DATAPLANE_MEDIAN_US: f64 = 12.0;

/// What the other figures are compared with, in microseconds.
struct Floor {
    median: f64,
    p99: f64,
}

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut raw = Netns::new()?.run(raw_element)??;
    let floor = Floor {
        median: quantile(&mut raw, 0.5),
        p99: quantile(&mut raw, 0.99),
    };
    report.figure("join/raw-netlink/median", floor.median, "us");
    report.figure("join/raw-netlink/p99", floor.p99, "us");
    let (mut streets, mut dataplanes) = (Vec::new(), Vec::new());
    for endpoints in ENDPOINTS {
        let mut street = Netns::new()?.run(|| street(endpoints))??;
        let mut dataplane = Netns::new()?.run(|| dataplane(endpoints))??;
        streets.push(quantile(&mut street, 0.5));
        dataplanes.push(quantile(&mut dataplane, 0.5));
        print(report, endpoints, (&mut street, &mut dataplane), &floor);
    }
    for (name, medians) in [("street", &mut streets), ("dataplane", &mut dataplanes)] {
        let flatness = quantile(medians, 1.0) / quantile(medians, 0.0);
        report.figure(&format!("X/join/{name}-flatness"), flatness, "max/min");
    }
    Ok(())
}

fn print(
    report: &mut Report,
    endpoints: usize,
    (street, dataplane): (&mut [f64], &mut [f64]),
    floor: &Floor,
) {
    let us = |name: &str, value| Figure {
        bench: format!("join/{endpoints}-endpoints/{name}"),
        value,
        unit: "us",
    };
    let median = Against {
        name: "raw netlink median, same run",
        value: floor.median,
    };
    let p99 = Against {
        name: "raw netlink p99, same run",
        value: floor.p99,
    };
    let value = quantile(street, 0.99);
    report.goal(&us("street-p99", value), p99, Goal::Value(STREET_P99_US));
    report.compare(&us("street-median", quantile(street, 0.5)), median);
    let value = quantile(dataplane, 0.5);
    let goal = Goal::Value(DATAPLANE_MEDIAN_US);
    report.goal(&us("dataplane-median", value), median, goal);
    report.compare(&us("dataplane-p99", quantile(dataplane, 0.99)), p99);
}

/// What is known before anybody joins.
fn known(endpoints: usize) -> anyhow::Result<Vec<Object>> {
    let mut objects = ground()?;
    objects.push(pod("server", NODE, "server", "10.65.0.2")?);
    objects.extend(policies(POLICIES, 8000)?);
    for number in 0..endpoints {
        let (name, app) = (format!("pod-{number}"), client_kind(number));
        objects.push(pod(&name, "n2", &app, &remote_address(number))?);
    }
    Ok(objects)
}

/// The name, label and address of a pod that joins: among the kinds that are there with 10 endpoints and
/// that a policy mentions.
fn late(number: usize) -> (String, String, String) {
    let address = remote_address(200_000 + number);
    (format!("late-{number}"), client_kind(number % 10), address)
}

fn street(endpoints: usize) -> anyhow::Result<Vec<f64>> {
    alone()?;
    let revision = Revision(1);
    let stored = known(endpoints)?.into_iter().map(|object| StoredObject {
        key: object.key(),
        revision,
        value: object.to_value(),
    });
    let broken = |error| anyhow::anyhow!("{error}");
    let mut street =
        Street::start(&Options::new(NODE.parse()?, "unused"), stored).map_err(broken)?;
    let mut samples = Vec::with_capacity(JOINS);
    for number in 0..WARM_UP + JOINS {
        let (name, app, address) = late(number);
        let key = ObjectKey::namespaced(Kind::Pod, "bench", &name);
        let joins = StoredObject {
            key: key.clone(),
            revision,
            value: running_pod(&name, "n2", &app, &address),
        };
        let start = Instant::now();
        let applied = street.applied(joins).map_err(broken)?;
        let took = start.elapsed().as_secs_f64() * 1e6;
        let elements = applied.elements;
        anyhow::ensure!(elements == 1, "one pod is one element, not {elements}");
        if number >= WARM_UP {
            samples.push(took);
        }
        street.deleted(key, revision).map_err(broken)?;
    }
    Ok(samples)
}

fn dataplane(endpoints: usize) -> anyhow::Result<Vec<f64>> {
    alone()?;
    let mut engine = Engine::start(NODE, &known(endpoints)?)?;
    let mut samples = Vec::with_capacity(JOINS);
    for number in 0..WARM_UP + JOINS {
        let (name, app, address) = late(number);
        let joins = pod(&name, "n2", &app, &address)?;
        let took = engine.event(&joins, true)?;
        if number >= WARM_UP {
            samples.push(took);
        }
        engine.event(&joins, false)?;
    }
    Ok(samples)
}

/// The floor: one element into a map, and out again, which is not counted.
fn raw_element() -> anyhow::Result<Vec<f64>> {
    alone()?;
    let mut socket = Socket::open()?;
    let map = Set::map("map", FieldType::Ipv4Addr, DataType::Mark);
    let mut batch = Batch::new("floor");
    batch.add_table(&Table::new("floor")).add_set(&map);
    socket.commit(&batch)?;
    let mut samples = Vec::with_capacity(JOINS);
    for number in 0..WARM_UP + JOINS {
        let address = Ipv4Addr::from(0x0a00_0000 + u32::try_from(number)?);
        let element = Element::mark(Value::ipv4(address), 1 << 16);
        let start = Instant::now();
        let mut batch = Batch::new("floor");
        batch.add_elements(&map, [&element]);
        socket.commit(&batch)?;
        let took = start.elapsed().as_secs_f64() * 1e6;
        if number >= WARM_UP {
            samples.push(took);
        }
        let mut batch = Batch::new("floor");
        batch.delete_elements(&map, [&element]);
        socket.commit(&batch)?;
    }
    Ok(samples)
}
