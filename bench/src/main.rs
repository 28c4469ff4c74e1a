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

mod connect;
mod engine;
mod join;
mod memory;
mod quiet;
mod report;
mod scene;
mod sizes;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::report::Report;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (flag, output) = (arguments.next(), arguments.next().map(PathBuf::from));
    let Some(output) = output.filter(|_| flag.as_deref() == Some("--output")) else {
        eprintln!("usage: oncilla-bench --output FILE");
        return ExitCode::from(2);
    };
    match run().and_then(|report| Ok(report.write(&output)?)) {
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

fn run() -> anyhow::Result<Report> {
    let mut report = Report::new();
    join::measure(&mut report)?;
    sizes::measure(&mut report)?;
    memory::measure(&mut report)?;
    connect::measure(&mut report)?;
    Ok(report)
}
