//! An agent that starts: against a kernel that holds everything already, and against an empty one.
//!
//! Scale: 2,000 selectors of 100 remote pods each, which is 200,000 addresses, and on a local pod 2,000 policies that let
//! one selector each use 10 ports: what Felix's bench has as 2,000 sets of 100 members and 2,000 chains of 10 rules.
//!
//! - B4 `time`: the last stage from its opening until everything is in force, nothing having changed: the table is read,
//!   addresses keep their classes, and what is there is compared with what should be. Nothing is written. Against: Felix's
//!   resync of a correct dataplane (its dataplane alone, too), a constant of another machine. Beside it stand the stages
//!   before, which Felix's figure leaves out as well.
//! - B5 `time`: the same into an empty kernel. Against: the same objects by raw netlink, in the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::ensure;
use oncilla_api::{Kind, Object};
use oncilla_compile::Compiler;
use oncilla_dataplane::{Dataplane, TableOwner};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::nf_tables::{Batch, Socket};
use oncilla_model::{Change, Converter};
use oncilla_net::IpNet;
use oncilla_nft::object::Name;
use oncilla_nft::{Placement, Ruleset, lower, table};
use oncilla_program::{AddressMap, ClassId, Program, Settings};
use oncilla_resolve::{Adoption, Limits, Resolver};
use serde_json::json;

use crate::quiet::alone;
use crate::report::{Against, Figure, Goal, Report, quantile};
use crate::scene::{NODE, ground, pod, remote_address};

const SELECTORS: usize = 2_000;
const MEMBERS: usize = 100;
const PORTS: u16 = 10;
const RUNS: usize = 5;
const FELIX_S: f64 = 8.5;
/// The goals of the cost issue.
const START_RATIO: f64 = 0.05;
const LOAD_RATIO: f64 = 2.0;

/// Seconds of each run.
#[derive(Default)]
struct Costs {
    start: Vec<f64>,
    read: Vec<f64>,
    resolve: Vec<f64>,
    compile: Vec<f64>,
    load: Vec<f64>,
    raw: Vec<f64>,
    elements: usize,
}

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let changes = changes()?;
    let mut costs = Costs::default();
    for _ in 0..RUNS {
        let (program, _, _) = stages(&changes, None)?;
        let ruleset = whole(&program);
        costs.elements = ruleset.sets.values().map(|set| set.elements.len()).sum();
        costs.raw.push(Netns::new()?.run(|| raw(&ruleset))??);
        drop(ruleset);
        Netns::new()?.run(|| run(&changes, &program, &mut costs))??;
    }
    print(report, &mut costs);
    Ok(())
}

/// A first load and, on what it left, a start.
fn run(changes: &[Change], program: &Program, costs: &mut Costs) -> anyhow::Result<()> {
    alone()?;
    let begun = Instant::now();
    let mut dataplane = Dataplane::open(Settings::default(), TableOwner::Off)?;
    dataplane.start(program)?;
    costs.load.push(begun.elapsed().as_secs_f64());
    ensure!(
        dataplane.verify()?.is_empty(),
        "the first load is not what was to be"
    );
    drop(dataplane);

    let begun = Instant::now();
    let mut dataplane = Dataplane::open(Settings::default(), TableOwner::Off)?;
    costs.read.push(begun.elapsed().as_secs_f64());
    let hints = dataplane.hints();
    let opened = begun.elapsed();
    let (again, resolve, compile) = stages(changes, Some(&hints))?;
    drop(hints);
    let begun = Instant::now();
    dataplane.start(&again)?;
    costs.start.push((opened + begun.elapsed()).as_secs_f64());
    costs.resolve.push(resolve);
    costs.compile.push(compile);
    ensure!(again == *program, "a start gives the same program");
    ensure!(dataplane.writes() == 0, "{} writes", dataplane.writes());
    Ok(())
}

fn print(report: &mut Report, costs: &mut Costs) {
    let row = |bench: &str, value| Figure {
        bench: bench.to_owned(),
        value,
        unit: "s",
    };
    let felix = Against {
        name: "felix-const",
        value: FELIX_S,
    };
    let start = row("B4/200k-elements/time", quantile(&mut costs.start, 0.5));
    report.goal(&start, felix, Goal::Ratio(START_RATIO));
    report.figure("B4/200k-elements/writes", 0.0, "count");
    report.figure("X4/200k-elements/read", quantile(&mut costs.read, 0.5), "s");
    report.figure(
        "X4/200k-elements/resolve",
        quantile(&mut costs.resolve, 0.5),
        "s",
    );
    report.figure(
        "X4/200k-elements/compile",
        quantile(&mut costs.compile, 0.5),
        "s",
    );
    let raw = Against {
        name: "the same objects by raw netlink, same run",
        value: quantile(&mut costs.raw, 0.5),
    };
    let load = row("B5/200k-elements/time", quantile(&mut costs.load, 0.5));
    report.goal(&load, raw, Goal::Ratio(LOAD_RATIO));
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let elements = costs.elements as f64;
    report.figure("X5/200k-elements/elements", elements, "count");
}

/// What a store would tell, converted.
fn changes() -> anyhow::Result<Vec<Change>> {
    let converter = Converter::default();
    let mut objects = ground()?;
    objects.push(pod("server", NODE, "server", "10.65.0.2")?);
    for number in 0..SELECTORS {
        objects.push(policy(number)?);
    }
    for number in 0..SELECTORS * MEMBERS {
        let (name, app) = (format!("pod-{number}"), format!("s{}", number % SELECTORS));
        objects.push(pod(&name, "n2", &app, &remote_address(number))?);
    }
    let mut changes = Vec::new();
    for object in &objects {
        changes.extend(converter.convert(object)?);
    }
    Ok(changes)
}

/// A policy on the server that lets one selector use some ports.
fn policy(number: usize) -> anyhow::Result<Object> {
    let ports: Vec<u16> = (8000..8000 + PORTS).collect();
    let rule = json!({
        "action": "Allow",
        "protocol": "TCP",
        "source": {"selector": format!("app == 's{number}'")},
        "destination": {"ports": ports},
    });
    let value = json!({
        "metadata": {"name": format!("use-{number}"), "namespace": "bench"},
        "spec": {"selector": "app == 'server'", "types": ["Ingress"], "ingress": [rule]},
    });
    let policy = Object::from_value(Kind::NetworkPolicy, value);
    policy.map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

/// The node's program, with the classes that the kernel has for addresses; how long the two stages took.
fn stages(changes: &[Change], hints: Option<&AddressMap>) -> anyhow::Result<(Program, f64, f64)> {
    let settings = Settings::default();
    let limits = Limits {
        mask: settings.mask,
    };
    let begun = Instant::now();
    let mut resolver = Resolver::new(NODE, limits);
    // As the agent does; this dataset has IPv4 addresses only.
    let class_of = |net| match net {
        IpNet::V4(net) if net.prefix_len() == 32 => hints?.hosts4.get(net.addr()).copied(),
        IpNet::V4(net) => hints?.nets4.get(&net).copied(),
        IpNet::V6(_) => None,
    };
    let classes = |hints: &AddressMap| {
        let all = hints.hosts4.values().chain(hints.nets4.values());
        all.copied().collect::<BTreeSet<ClassId>>()
    };
    let adoption = Adoption {
        class_of: &class_of,
        used: hints.map(classes).unwrap_or_default(),
    };
    let delta = resolver.load(changes, &adoption, 0)?;
    let resolve = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let mut compiler = Compiler::new(settings);
    compiler.apply(&resolver, &delta);
    let program = compiler.program().clone();
    Ok((program, resolve, begun.elapsed().as_secs_f64()))
}

/// Everything that the table has to hold.
fn whole(program: &Program) -> Ruleset {
    let groups = program.groups.keys();
    let placements: BTreeMap<_, _> = groups
        .map(|id| (id.clone(), Placement::default()))
        .collect();
    lower(program, &placements, table())
}

/// The floor: the same objects as one batch, from their values to the kernel's acknowledgement.
fn raw(ruleset: &Ruleset) -> anyhow::Result<f64> {
    alone()?;
    let mut socket = Socket::open()?;
    let begun = Instant::now();
    let mut batch = Batch::new(Name::clone(&ruleset.table.name));
    batch.add_table(&ruleset.table);
    for filled in ruleset.sets.values() {
        batch.add_set(&filled.set);
    }
    for filled in ruleset.chains.values() {
        batch.add_chain(&filled.chain);
    }
    for filled in ruleset.sets.values().filter(|set| !set.elements.is_empty()) {
        batch.add_elements(&filled.set, &filled.elements);
    }
    for (name, filled) in &ruleset.chains {
        for rule in &filled.rules {
            batch.add_rule(name, rule);
        }
    }
    socket.commit(&batch)?;
    Ok(begun.elapsed().as_secs_f64())
}
