//! The `oncilla` binary: reads the command line, runs one command, and turns what came of it into an
//! exit code.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is this crate's job")]

mod agent;
mod args;
mod exit;
mod logging;
mod reference;
mod server;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::exit::Exit;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_usage(&error).into(),
    };
    run(&arguments).into()
}

fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Agent(agent) => agent::run(&arguments.global, agent),
        Command::Server(server) => server::run(&arguments.global, server),
        Command::Version => reference::version(),
        Command::Completion { shell } => reference::completion(*shell),
        Command::Man { folder } => reference::man(folder),
        _ => Exit::CannotJudge,
    }
}
