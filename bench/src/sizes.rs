//! What a node costs when much is known: the datasets of the competitor's benches, each in a process of its own
//! (`oncilla-bench-scale`), so that one's heap is not another's.
//!
//! Against: what Felix took on a 2-core EPYC virtual machine (three runs, median), constants of another machine; the
//! calibration loop of the file's first line scales them. Ours includes more: validation and conversion of decoded objects,
//! which Felix's bench leaves out. And what it costs to start with as much in the kernel ([`resync`]).

mod resync;

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::report::{Against, Figure, Goal, Report, quantile};

/// A dataset, and what is wanted of it.
struct Dataset {
    /// The number in the table, and the name as the other program knows it: the row is both.
    number: u8,
    name: &'static str,
    /// How often it is run; the median counts.
    runs: usize,
    felix_s: f64,
    felix_mb: f64,
    /// The goals: ours ÷ Felix's.
    time: f64,
    heap: f64,
}

const DATASETS: [Dataset; 6] = [
    Dataset {
        number: 1,
        name: "snapshot-250k",
        runs: 1,
        felix_s: 10.4,
        felix_mb: 283.0,
        time: 0.05,
        heap: 0.10,
    },
    Dataset {
        number: 2,
        name: "isolated-1k",
        runs: 5,
        felix_s: 0.072,
        felix_mb: 9.3,
        time: 0.05,
        heap: 0.15,
    },
    Dataset {
        number: 2,
        name: "isolated-10k",
        runs: 3,
        felix_s: 0.70,
        felix_mb: 39.0,
        time: 0.05,
        heap: 0.15,
    },
    Dataset {
        number: 2,
        name: "isolated-100k",
        runs: 1,
        felix_s: 12.8,
        felix_mb: 316.0,
        time: 0.05,
        heap: 0.15,
    },
    Dataset {
        number: 3,
        name: "netset-1k",
        runs: 3,
        felix_s: 1.47,
        felix_mb: 98.0,
        time: 0.10,
        heap: 0.10,
    },
    Dataset {
        number: 3,
        name: "netset-10k",
        runs: 1,
        felix_s: 17.4,
        felix_mb: 792.0,
        time: 0.10,
        heap: 0.10,
    },
];

/// The stages of the time, as the other program calls them.
const STAGES: [(&str, &str); 4] = [
    ("convert", "seconds_convert"),
    ("resolve", "seconds_resolve"),
    ("compile", "seconds_compile"),
    ("locals-end", "seconds_locals_end"),
];

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let folder = env::current_exe()?;
    let program = folder.with_file_name("oncilla-bench-scale");
    for dataset in &DATASETS {
        let lines: Vec<Value> = (0..dataset.runs)
            .map(|_| run(&program, dataset.name))
            .collect::<anyhow::Result<_>>()?;
        print(report, dataset, &lines)?;
    }
    resync::measure(report)
}

fn run(program: &PathBuf, dataset: &str) -> anyhow::Result<Value> {
    let output = Command::new(program).arg(dataset).output();
    let output = output.with_context(|| format!("{}: run `make bench`", program.display()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{dataset}: {}", words.trim());
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn print(report: &mut Report, dataset: &Dataset, lines: &[Value]) -> anyhow::Result<()> {
    let median = |key: &str| -> anyhow::Result<f64> {
        let values = lines.iter().map(|line| line[key].as_f64());
        let mut values: Vec<f64> = values.collect::<Option<_>>().context(key.to_owned())?;
        Ok(quantile(&mut values, 0.5))
    };
    let row = |what: &str, value, unit| Figure {
        bench: format!("B{}/{}/{what}", dataset.number, dataset.name),
        value,
        unit,
    };
    let against = |value| Against {
        name: "felix-const",
        value,
    };
    let time = median("seconds")? + median("seconds_locals_end")?;
    let goal = Goal::Ratio(dataset.time);
    report.goal(&row("time", time, "s"), against(dataset.felix_s), goal);
    let heap = median("heap_bytes")?;
    let felix = dataset.felix_mb * 1e6;
    let goal = Goal::Ratio(dataset.heap);
    report.goal(&row("heap", heap, "bytes"), against(felix), goal);
    for (stage, key) in STAGES {
        report.figure(&derived(dataset, stage), median(key)?, "s");
    }
    for (name, key, unit) in [
        ("peak-heap", "peak_bytes", "bytes"),
        ("allocated", "allocated_bytes", "bytes"),
        ("checked-packets", "checked", "count"),
    ] {
        report.figure(&derived(dataset, name), median(key)?, unit);
    }
    Ok(())
}

/// The name of a row that is no goal's.
fn derived(dataset: &Dataset, what: &str) -> String {
    format!("X{}/{}/{what}", dataset.number, dataset.name)
}
