//! The `oncilla` binary: reads the command line, runs one command, and turns what came of it into an
//! exit code.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is this crate's job")]

mod agent;
mod args;
mod target;
mod get;
mod describe;
mod delete;
mod apply;
mod exit;
mod logging;
mod reference;
mod server;
mod signals;
mod status;
mod why;
mod print;
mod lab;
mod files;
mod diagnostics;
mod connect;
mod demo;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::exit::Exit;

fn main() -> ExitCode {
    // The processes of a lab are this executable too; they start before any thread.
    if let Some(code) = oncilla_lab::run_role(std::env::args_os().skip(1)) {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_usage(&error).into(),
    };
    match &arguments.command {
        Command::Lab(command) => {
            let global = &arguments.global;
            lab::run(command, global.quiet, |paths| {
                let reporter = diagnostics::Reporter::new(global, None);
                let located = files::load(paths, None, &reporter, diagnostics::Verb::Started)?;
                Ok(located.into_iter().map(|located| located.object).collect())
            })
        }
        _ => run(&arguments).into(),
    }
}

fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Agent(agent) => agent::run(&arguments.global, agent),
        Command::Server(server) => server::run(&arguments.global, server),
        Command::Version => reference::version(),
        Command::Completion { shell } => reference::completion(*shell),
        Command::Man { folder } => reference::man(folder),
        Command::Demo { output } => demo::run(&arguments.global, *output),
        Command::Status(status) => status::run(&arguments.global, status),
        Command::Why(why) => why::run(&arguments.global, why),
        Command::Apply(apply) => apply::run(&arguments.global, apply),
        Command::Get(get) => get::run(&arguments.global, get),
        Command::Describe(select) => describe::run(&arguments.global, select),
        Command::Delete(delete) => delete::run(&arguments.global, delete),
        _ => Exit::CannotJudge,
    }
}
