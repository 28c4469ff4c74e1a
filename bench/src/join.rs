//! A pod with known labels joins and leaves: from the object to the kernel's acknowledgement.
//!
//! Scale: 100 policies on one local pod, 200 kinds of clients; 10, 1,000 and 100,000 endpoints known.
//! Against: one element by raw netlink, in the same run. Left out: decoding of the object.

use oncilla_kernel::netns::Netns;
use oncilla_kernel::nf_tables::{Batch, Socket};
use oncilla_nft::object::{DataType, Element, FieldType, Set, Table, Value};
use std::net::Ipv4Addr;
use std::time::Instant;

use crate::engine::Engine;
use crate::report::{Against, Report, quantile};
use crate::scene::{NODE, client_kind, ground, pod, policies, remote_address};

const ENDPOINTS: [usize; 3] = [10, 1_000, 100_000];
const POLICIES: usize = 100;
const EVENTS: usize = 4_000;
/// The goals of the street issue, in microseconds.
const STREET_P99_US: f64 = 200.0;
const DATAPLANE_MEDIAN_US: f64 = 12.0;

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let floor = Netns::new()?.run(raw_element)??;
    report.figure("join/raw-netlink/median", floor, "us");
    let mut medians = Vec::new();
    for endpoints in ENDPOINTS {
        let (mut street, mut dataplane) = Netns::new()?.run(|| joins(endpoints))??;
        let goal = Against {
            name: "goal 200 us (constant)",
            value: STREET_P99_US,
        };
        let p99 = quantile(&mut street, 0.99);
        report.goal(&format!("join/{endpoints}/street-p99"), p99, "us", &goal);
        let goal = Against {
            name: "goal 12 us (constant)",
            value: DATAPLANE_MEDIAN_US,
        };
        let median = quantile(&mut dataplane, 0.5);
        report.goal(
            &format!("join/{endpoints}/dataplane-median"),
            median,
            "us",
            &goal,
        );
        report.figure(
            &format!("X/join/{endpoints}/street-median"),
            quantile(&mut street, 0.5),
            "us",
        );
        report.figure(
            &format!("X/join/{endpoints}/dataplane-against-raw"),
            median / floor,
            "count",
        );
        medians.push(median);
    }
    let (low, high) = (quantile(&mut medians, 0.0), quantile(&mut medians, 1.0));
    report.figure("X/join/flatness", high / low, "count");
    Ok(())
}

fn joins(endpoints: usize) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut objects = ground()?;
    objects.push(pod("server", NODE, "server", "10.65.0.2")?);
    objects.extend(policies(POLICIES, 8000)?);
    for number in 0..endpoints {
        let name = format!("pod-{number}");
        objects.push(pod(
            &name,
            "n2",
            &client_kind(number),
            &remote_address(number),
        )?);
    }
    let mut engine = Engine::start(NODE, &objects)?;
    let (mut street, mut dataplane) = (Vec::new(), Vec::new());
    for number in 0..EVENTS / 2 {
        let address = remote_address(200_000 + number);
        // Among the kinds that are there with 10 endpoints and that a policy mentions.
        let joins = pod(
            &format!("late-{number}"),
            "n2",
            &client_kind(number % 10),
            &address,
        )?;
        for is_there in [true, false] {
            let took = engine.event(&joins, is_there)?;
            street.push(took.street);
            dataplane.push(took.dataplane);
        }
    }
    Ok((street, dataplane))
}

/// The floor: one element into a map and out again.
fn raw_element() -> anyhow::Result<f64> {
    let mut socket = Socket::open()?;
    let map = Set::map("map", FieldType::Ipv4Addr, DataType::Mark);
    let mut batch = Batch::new("floor");
    batch.add_table(&Table::new("floor")).add_set(&map);
    socket.commit(&batch)?;
    let mut samples = Vec::new();
    for number in 0..EVENTS / 2 {
        let number = u32::try_from(number)?;
        let element = Element::mark(Value::ipv4(Ipv4Addr::from(0x0a00_0000 + number)), 1 << 16);
        for is_there in [true, false] {
            let start = Instant::now();
            let mut batch = Batch::new("floor");
            if is_there {
                batch.add_elements(&map, [&element]);
            } else {
                batch.delete_elements(&map, [&element]);
            }
            socket.commit(&batch)?;
            samples.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(quantile(&mut samples, 0.5))
}
