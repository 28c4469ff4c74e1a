//! Running cases at a level, and counting what came of it.

use std::io::{self, Write};

use crate::case::{Case, Cell, Step, Suite};
use crate::left_out::LeftOut;
use crate::level::{Judgement, Level};

/// What came of a run. Every cell counts once, and so does every refusal that a step expects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// What was as expected.
    pub passed: usize,
    /// What was not.
    pub failed: usize,
    /// How many cases ran.
    pub cases: usize,
    /// How many steps ran.
    pub steps: usize,
    /// What was not judged, by name.
    pub left_out: LeftOut,
}

impl Report {
    /// Whether something was judged, and all of it as expected.
    pub const fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Counts everything of another run as well.
    pub fn join(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.cases += other.cases;
        self.steps += other.steps;
        self.left_out.join(&other.left_out);
    }

    /// Writes what was left out, and the last line: `N passed, N failed`.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, count) in self.left_out.iter() {
            writeln!(out, "left out: {count} {name}")?;
        }
        writeln!(out, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs every case of a suite and writes each mismatch as a line to `out`.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(suite: &Suite, level: &mut dyn Level, out: &mut dyn Write) -> io::Result<Report> {
    let mut report = Report {
        left_out: suite.left_out.clone(),
        ..Report::default()
    };
    for case in &suite.cases {
        run_case(case, level, &mut report, out)?;
    }
    Ok(report)
}

fn run_case(
    case: &Case,
    level: &mut dyn Level,
    report: &mut Report,
    out: &mut dyn Write,
) -> io::Result<()> {
    report.cases += 1;
    if let Err(error) = level.begin(case) {
        writeln!(out, "FAIL {}: cannot begin: {}", case.name, chain(&*error))?;
        report.failed += case.steps.iter().map(weight).sum::<usize>().max(1);
        return Ok(());
    }
    let mut steps = case.steps.iter();
    for step in steps.by_ref() {
        report.steps += 1;
        match run_step(case, step, level, out)? {
            StepOutcome::Judged { passed, failed } => {
                report.passed += passed;
                report.failed += failed;
            }
            StepOutcome::Broken(message) => {
                writeln!(out, "FAIL {}, {}: {message}", case.name, step.name)?;
                report.failed += weight(step);
                break;
            }
        }
    }
    // What follows a broken step stands on a cluster that never was.
    report.failed += steps.map(weight).sum::<usize>();
    Ok(())
}

enum StepOutcome {
    Judged { passed: usize, failed: usize },
    Broken(String),
}

/// How much a step counts: its cells, its expected refusal, at least one.
fn weight(step: &Step) -> usize {
    (step.cells.len() + usize::from(step.refused_with.is_some())).max(1)
}

fn run_step(
    case: &Case,
    step: &Step,
    level: &mut dyn Level,
    out: &mut dyn Write,
) -> io::Result<StepOutcome> {
    let (mut passed, mut failed) = (0, 0);
    match (&step.changes, &step.refused_with) {
        (Ok(changes), None) => {
            if let Err(error) = level.apply(changes) {
                let message = format!("cannot apply: {}", chain(&*error));
                return Ok(StepOutcome::Broken(message));
            }
        }
        (Err(error), Some(phrase)) if error.contains(phrase) => passed += 1,
        (Err(error), Some(phrase)) => {
            writeln!(
                out,
                "FAIL {}, {}: refused with {error:?}, expected {phrase:?} in it",
                case.name, step.name
            )?;
            failed += 1;
        }
        (Ok(_), Some(phrase)) => {
            let message = format!("accepted, expected a refusal with {phrase:?}");
            return Ok(StepOutcome::Broken(message));
        }
        (Err(error), None) => return Ok(StepOutcome::Broken(format!("refused: {error}"))),
    }
    let cells = &step.cells;
    let judgements = match level.judge(cells) {
        Ok(judgements) => judgements,
        Err(error) => {
            let message = format!("cannot judge: {}", chain(&*error));
            return Ok(StepOutcome::Broken(message));
        }
    };
    if judgements.len() != cells.len() {
        let message = format!("{} cells, {} judgements", cells.len(), judgements.len());
        return Ok(StepOutcome::Broken(message));
    }
    for (cell, judgement) in cells.iter().zip(&judgements) {
        if judgement.fulfils(cell) {
            passed += 1;
        } else {
            failed += 1;
            let difference = difference(cell, judgement);
            writeln!(
                out,
                "FAIL {}, {}: {cell}: {difference}",
                case.name, step.name
            )?;
        }
    }
    Ok(StepOutcome::Judged { passed, failed })
}

fn difference(cell: &Cell, judgement: &Judgement) -> String {
    let mut text = format!("expected {}, got {}", cell.expect, judgement.verdict);
    if judgement.refused {
        text = format!("{text}: the connection was refused aloud, and what is denied is silent");
    }
    if let (Some(expected), Some(told)) = (&cell.decided_by, &judgement.decided_by)
        && expected != told
    {
        text = format!("{text}; expected decided by {expected}, got {told}");
    }
    if let (Some(expected), Some(told)) = (&cell.before, &judgement.before)
        && expected != told
    {
        let (expected, told) = (expected.join(" "), told.join(" "));
        text = format!("{text}; expected before it [{expected}], got [{told}]");
    }
    text
}

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
