//! The `oncilla` binary: reads the command line, runs one command, and turns what came of it into an
//! exit code.
#![expect(clippy::print_stderr, reason = "printing is this crate's job")]

mod agent;
mod apply;
mod args;
mod calicoctl;
mod cluster_policy;
mod connect;
mod delete;
mod demo;
mod describe;
mod diagnostics;
mod exit;
mod files;
mod get;
mod lab;
mod log;
mod logging;
mod origin;
mod print;
mod progress;
mod reference;
mod server;
mod signals;
mod status;
mod target;
mod validate;
mod verify;
mod why;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};

fn main() -> ExitCode {
    // The processes of a lab are this executable too; they start before any thread.
    if let Some(code) = oncilla_lab::run_role(std::env::args_os().skip(1)) {
        return code;
    }
    if calicoctl::is_meant() {
        return calicoctl::run().into();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_usage(&error).into(),
    };
    run(&arguments)
}

fn run(arguments: &Arguments) -> ExitCode {
    let global = &arguments.global;
    let exit = match &arguments.command {
        Command::Lab(command) => {
            return lab::run(command, global, |paths| {
                let reporter = diagnostics::Reporter::new(global, None);
                let located = files::load(paths, None, &reporter, diagnostics::Verb::Started)?;
                let faults = apply::before_lab(&located);
                if !faults.is_empty() {
                    return Err(reporter.refuse(&faults, &located, diagnostics::Verb::Started));
                }
                Ok(located.into_iter().map(origin::recorded).collect())
            });
        }
        Command::Agent(agent) => agent::run(global, agent),
        Command::Server(server) => server::run(global, server),
        Command::Version => reference::version(),
        Command::Completion { shell } => reference::completion(*shell),
        Command::Man { folder } => reference::man(folder),
        Command::Demo { output } => demo::run(global, *output),
        Command::Log(log) => log::run(global, log),
        Command::Status(status) => status::run(global, status),
        Command::Why(why) => why::run(global, why),
        Command::Verify(verify) => verify::run(global, verify),
        Command::Validate(validate) => validate::run(global, validate),
        Command::Apply(apply) => apply::run(global, apply),
        Command::Get(get) => get::run(global, get),
        Command::Describe(select) => describe::run(global, select),
        Command::Delete(delete) => delete::run(global, delete),
    };
    exit.into()
}
