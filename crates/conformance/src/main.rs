//! `oncilla-conformance`: judges case files and says what did not come out as expected.

use std::error::Error as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use oncilla_conformance::format;
use oncilla_conformance::level::{KernelLevel, Level, ProgramLevel, VerdictLevel};
use oncilla_conformance::run::{Report, run};

/// Everything was as expected.
const GOOD: u8 = 0;
/// Something was not, or nothing was judged.
const FAILED: u8 = 1;
/// The arguments or a file made no sense.
const USAGE: u8 = 2;

/// Judge case files at one level of the engine.
///
/// Formats: cyclonus' cases (compact, and spread over layouts), scenarios with probes and matrices, and the
/// tests of the network policy API with their events; which one a file has is seen from its keys. Paths
/// inside a file start from that file's folder.
///
/// Every mismatch is a line with the case and the cell. The last line is `N passed, N failed`: each cell of
/// a matrix and each probe counts once, and so does each refusal that a step expects. What is not judged is
/// counted by name before it.
///
/// Exit code: 0 when all passed, 1 when any failed or nothing was judged, 2 when an argument or a file makes
/// no sense.
///
/// Example: oncilla-conformance --level verdict ../shared/conformance/seeds/scenarios.json
#[derive(Parser)]
#[command(name = "oncilla-conformance", verbatim_doc_comment)]
struct Arguments {
    /// Which part of the engine judges.
    #[arg(long, value_enum, default_value = "verdict")]
    level: LevelName,
    /// The case files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LevelName {
    /// The judge alone: no engine, no kernel.
    Verdict,
    /// The engine up to the program of each node, interpreted.
    Program,
    /// Real packets through the kernel of each node, in namespaces. Needs root.
    Kernel,
}

impl LevelName {
    fn level(self) -> Box<dyn Level> {
        match self {
            Self::Verdict => Box::new(VerdictLevel::default()),
            Self::Program => Box::new(ProgramLevel::default()),
            Self::Kernel => Box::new(KernelLevel::default()),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match judge(
        &arguments,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    ) {
        Ok(code) => ExitCode::from(code),
        // Nobody reads any more: that is the end, and says nothing about the cases.
        Err(_) => ExitCode::from(FAILED),
    }
}

fn judge(arguments: &Arguments, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<u8> {
    let mut suites = Vec::with_capacity(arguments.files.len());
    for file in &arguments.files {
        match format::read(file) {
            Ok(suite) => suites.push((file, suite)),
            Err(error) => {
                write!(errors, "error: {error}")?;
                if let Some(cause) = error.source() {
                    write!(errors, ": {cause}")?;
                }
                writeln!(errors)?;
                return Ok(USAGE);
            }
        }
    }
    let mut level = arguments.level.level();
    let mut total = Report::default();
    for (file, suite) in suites {
        let report = run(&suite, &mut *level, out)?;
        writeln!(
            out,
            "{} at level {}: {} cases, {} steps, {} passed, {} failed",
            file.display(),
            level.name(),
            report.cases,
            report.steps,
            report.passed,
            report.failed
        )?;
        total.join(&report);
    }
    total.write(out)?;
    out.flush()?;
    Ok(if total.is_good() { GOOD } else { FAILED })
}
