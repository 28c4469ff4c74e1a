//! Benches. Each states its scale, and compares with a floor that is measured in the same run.
//!
//! `target/bench.jsonl` is written whole: a first line with commit, machine and a fixed calibration loop,
//! then one line a figure. Ratio is ours ÷ against; lower is better. Rows named `X/…` are derived.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is this program's job"
)]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod change;
mod churn;
mod connect;
mod engine;
mod join;
mod memory;
mod node;
mod quiet;
mod relabel;
mod report;
mod scene;
mod sizes;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::report::Report;

type Measure = fn(&mut Report) -> anyhow::Result<()>;

const MEASURES: [(&str, Measure); 8] = [
    ("join", join::measure),
    ("sizes", sizes::measure),
    ("memory", memory::measure),
    ("change", change::measure),
    ("relabel", relabel::measure),
    ("store", store::measure),
    ("connect", connect::measure),
    ("churn", churn::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (output, only) = match words.as_slice() {
        ["--output", output] => (PathBuf::from(output), None),
        ["--output", output, "--only", only] => (PathBuf::from(output), Some(*only)),
        _ => {
            eprintln!("usage: oncilla-bench --output FILE [--only MEASURE]");
            return ExitCode::from(2);
        }
    };
    match run(only).and_then(|report| Ok(report.write(&output)?)) {
        Ok(()) => {
            println!("written: {}", output.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(only: Option<&str>) -> anyhow::Result<Report> {
    let mut report = Report::new();
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    for (_, measure) in MEASURES.iter().filter(|(name, _)| wanted(name)) {
        measure(&mut report)?;
    }
    Ok(report)
}
