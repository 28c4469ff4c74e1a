//! The shared case files, judged where the folder is at hand.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use oncilla_conformance::format;
use oncilla_conformance::level::{KernelLevel, Level, ProgramLevel, VerdictLevel};
use oncilla_conformance::run::{Report, run};

/// The folder of case files. With `CI` set it must be there; otherwise its absence is said.
fn folder() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's configuration is its environment"
    )]
    let (named, ci) = (env::var("ONCILLA_CONFORMANCE"), env::var("CI"));
    let folder = named.map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        ci.is_err(),
        "{} is missing: set ONCILLA_CONFORMANCE",
        folder.display()
    );
    let line = format!(
        "left out: the case files, {} is missing\n",
        folder.display()
    );
    // Not captured by the test harness, so that it is seen.
    io::stderr()
        .write_all(line.as_bytes())
        .expect("the terminal takes a line");
    None
}

fn judge(file: &str, level: &mut dyn Level) -> Option<Report> {
    let path = folder()?.join(file);
    let suite = format::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    let report = run(&suite, level, &mut out).expect("memory takes everything");
    let out = String::from_utf8_lossy(&out);
    assert_eq!(report.failed, 0, "{file} at level {}:\n{out}", level.name());
    Some(report)
}

#[test]
fn cyclonus_at_level_verdict() {
    if let Some(report) = judge("cyclonus_cases_compact.json", &mut VerdictLevel::default()) {
        assert_eq!(
            (report.cases, report.steps, report.passed),
            (230, 256, 109_956)
        );
    }
}

#[test]
fn cyclonus_spread_at_level_verdict() {
    if let Some(report) = judge("cyclonus_ipblock_spread.json", &mut VerdictLevel::default()) {
        assert_eq!((report.cases, report.passed), (92, 39_744));
    }
}

/// 24 tests, 301 pokes.
fn check_cluster_policies(level: &mut dyn Level) {
    if let Some(report) = judge("npa_conformance_cases.json", level) {
        assert_eq!((report.cases, report.passed), (24, 301));
        assert_eq!(report.left_out.iter().count(), 0);
    }
}

#[test]
fn cluster_policies_at_level_verdict() {
    check_cluster_policies(&mut VerdictLevel::default());
}

#[test]
fn cluster_policies_at_level_program() {
    check_cluster_policies(&mut ProgramLevel::default());
}

#[test]
fn cluster_policies_at_level_kernel() {
    check_cluster_policies(&mut KernelLevel::default());
}

#[test]
fn the_seeds_at_level_verdict() {
    if let Some(report) = judge("seeds/scenarios.json", &mut VerdictLevel::default()) {
        assert_eq!((report.cases, report.passed), (19, 69_090));
        let left_out: Vec<&str> = report.left_out.iter().map(|(name, _)| name).collect();
        assert_eq!(left_out, [""; 0], "nothing is left out");
    }
}

#[test]
fn every_file_at_level_program() {
    for (file, passed) in [
        ("cyclonus_cases_compact.json", 109_956),
        ("cyclonus_ipblock_spread.json", 39_744),
        ("seeds/scenarios.json", 69_090),
    ] {
        if let Some(report) = judge(file, &mut ProgramLevel::default()) {
            assert_eq!(report.passed, passed);
        }
    }
}

/// One file, so that a kernel run does not depend on `scripts/conformance` alone: the one with hosts.
#[test]
fn the_seeds_at_level_kernel() {
    if let Some(report) = judge("seeds/scenarios.json", &mut KernelLevel::default()) {
        assert_eq!((report.cases, report.passed), (19, 69_090));
        let left_out: Vec<&str> = report.left_out.iter().map(|(name, _)| name).collect();
        assert_eq!(left_out, [""; 0], "nothing is left out");
    }
}
