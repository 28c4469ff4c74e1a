//! Labs, as they really run: processes, namespaces, packets. The test binary plays every part itself: the tests, the
//! lab's guardian and supervisor, an agent, a caller that gets killed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the parts that are played speak to whoever started them"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes and wait for them"
)]

#[path = "it/actors.rs"]
mod actors;
#[path = "it/census.rs"]
mod census;
#[path = "it/commands.rs"]
mod commands;
#[path = "it/endings.rs"]
mod endings;
#[path = "it/fixture.rs"]
mod fixture;
#[path = "it/pods.rs"]
mod pods;
#[path = "it/rootless.rs"]
mod rootless;
#[path = "it/traffic.rs"]
mod traffic;

use std::ffi::OsString;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = oncilla_lab::run_role(arguments.clone()) {
        return code;
    }
    if let Some(code) = actors::play(&arguments) {
        return code;
    }
    let tests = [
        census::TESTS,
        traffic::TESTS,
        pods::TESTS,
        commands::TESTS,
        endings::TESTS,
        rootless::TESTS,
    ];
    let tests: Vec<(&str, fn())> = tests.concat();
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    let mut arguments = Arguments::from_args();
    // Each test is a handful of processes already.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
