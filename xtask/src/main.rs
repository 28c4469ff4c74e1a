//! `cargo run -p xtask -- tidy | crates`: the repository's own checks, and the README's crate table.

use std::path::Path;
use std::process::ExitCode;

use xtask::{Repo, tidy};

const USAGE: &str = "usage: cargo run -p xtask -- tidy | crates";

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool"
)]
fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    if command != "tidy" && command != "crates" {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let repo = match Repo::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")) {
        Ok(repo) => repo,
        Err(error) => {
            eprintln!("tidy: {error}");
            return ExitCode::from(2);
        }
    };
    if command == "crates" {
        print!("{}", tidy::readme::table(&repo));
        return ExitCode::SUCCESS;
    }
    let findings = tidy::findings(&repo);
    for finding in &findings {
        println!("{finding}");
    }
    println!(
        "tidy: {} checks, {} findings",
        tidy::CHECKS.len(),
        findings.len()
    );
    if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
