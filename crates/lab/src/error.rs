//! What can go wrong with a lab, for whoever asked for it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use oncilla_store::folder::FolderError;

use crate::place::Place;

/// What can go wrong with a lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A lab of that name runs.
    #[error("lab \"{name}\" is running; take it down first: `oncilla lab down --name {name}`")]
    AlreadyRunning {
        /// Its name.
        name: String,
    },
    /// No lab of that name runs.
    #[error("no lab \"{name}\" is running; start one: `oncilla lab up --name {name}`")]
    NotRunning {
        /// The name.
        name: String,
    },
    /// A name that cannot be a folder's.
    #[error(
        "\"{name}\" is no name for a lab: use at most 32 of a-z, 0-9 and -, with a letter or digit at both ends"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Options that contradict themselves or the address plan.
    #[error("{message}")]
    Options {
        /// What is wrong and how to mend it.
        message: String,
    },
    /// The machine lacks something.
    #[error("this machine cannot run a lab: {}", .what.join("; "))]
    Missing {
        /// What is missing, each with how to mend it.
        what: Vec<String>,
    },
    /// It was not ready in the end; everything was taken down.
    #[error("lab \"{name}\" did not come up: {message}{}", log_tail(.log))]
    Failed {
        /// Its name.
        name: String,
        /// What failed.
        message: String,
        /// The last lines of the log of what failed.
        log: Vec<String>,
    },
    /// Somebody took it down while it came up.
    #[error("lab \"{name}\" was interrupted and taken down")]
    Interrupted {
        /// Its name.
        name: String,
    },
    /// A place that is not in the lab.
    #[error("{place} is not in this lab; see `oncilla lab status`")]
    UnknownPlace {
        /// The place.
        place: Place,
    },
    /// The lab ended in the middle of an answer.
    #[error("the lab is gone")]
    Gone,
    /// The control socket failed.
    #[error("the lab's control socket failed")]
    Control {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The lab answered something else than was asked; another version of oncilla runs it.
    #[error("the lab's answer cannot be read; does another version of oncilla run it?")]
    Answer {
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
    /// The lab refused a request.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
    },
    /// The operating system refused something about a file.
    #[error("cannot {action} {path}", path = .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could replace what is in the folder of labs.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The operating system refused something about a process.
    #[error("cannot {action}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program could not be started inside a place.
    #[error("cannot run {}", .program.display())]
    Program {
        /// The program.
        program: OsString,
        /// Why; [`io::ErrorKind::NotFound`] when there is none of that name.
        #[source]
        source: io::Error,
    },
    /// The lab did not go away.
    #[error("lab \"{name}\" does not end; look at process {pid}")]
    Stuck {
        /// Its name.
        name: String,
        /// Its guardian.
        pid: u32,
    },
}

fn log_tail(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str("\n  | ");
        text.push_str(line);
        text
    })
}
