//! Finds the API server, and runs one command against it.

use std::path::{Path, PathBuf};

use anyhow::Error;
use oncilla_store::rest::{Client, RestError};
use tokio::runtime::Builder;

use crate::args::Global;
use crate::exit::Exit;
use crate::lab::labs;
use crate::print;

/// Where `oncilla server` listens when nobody says otherwise.
const SERVER: &str = "/run/oncilla/api.sock";
/// What to run when nobody serves.
const START: &str =
    "start a cluster on this machine with `oncilla lab up`, or a server with `oncilla server`";

/// Runs a command's work with a client of the server that the flags mean.
pub(crate) fn with_client(global: &Global, work: impl AsyncFnOnce(&Client) -> Exit) -> Exit {
    let socket = match socket(global) {
        Ok(socket) => socket,
        Err(exit) => return exit,
    };
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async { work(&Client::unix(&socket)).await }),
        Err(error) => {
            print::error(&format!("cannot start a runtime: {error}"), None);
            Exit::CannotJudge
        }
    }
}

/// The socket: the one named, the named lab's, the only running lab's, or the server's usual one.
///
/// # Errors
/// How the command ends, everything said.
pub(crate) fn socket(global: &Global) -> Result<PathBuf, Exit> {
    let refuse = |message: String, help: Option<&str>| {
        print::error(&message, help);
        Exit::CannotJudge
    };
    if let Some(socket) = &global.server {
        return Ok(socket.clone());
    }
    if let Some(name) = &global.lab {
        let lab = labs()
            .find(name)
            .map_err(|error| refuse(chain(error.into()), None))?;
        return Ok(lab.socket());
    }
    let running = labs()
        .running()
        .map_err(|error| refuse(chain(error.into()), None))?;
    match running.as_slice() {
        [] => Ok(PathBuf::from(SERVER)),
        [lab] => Ok(lab.socket()),
        several => {
            let names: Vec<&str> = several.iter().map(oncilla_lab::Lab::name).collect();
            let message = format!("{} labs are running: {}", names.len(), names.join(", "));
            let help = format!("say which one with --lab, as in `--lab {}`", names[0]);
            Err(refuse(message, Some(&help)))
        }
    }
}

/// Says what went wrong between us and the server, and how the command ends.
pub(crate) fn failed(error: RestError) -> Exit {
    let help = match &error {
        RestError::Connect { server, .. } if Path::new(server) == Path::new(SERVER) => Some(START),
        RestError::Connect { .. } => {
            Some("is the server running? `oncilla lab status` and `oncilla server --help` say more")
        }
        _ => None,
    };
    let exit = exit_of(&error);
    print::error(&chain(error.into()), help);
    exit
}

/// A refusal is an answer; without an answer nothing could be judged.
pub(crate) fn exit_of(error: &RestError) -> Exit {
    match error.status() {
        Some(status) if status.code < 500 => Exit::No,
        _ => Exit::CannotJudge,
    }
}

/// An error and its causes in one line.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every caller has made it for this"
)]
pub(crate) fn chain(error: Error) -> String {
    format!("{error:#}")
}
