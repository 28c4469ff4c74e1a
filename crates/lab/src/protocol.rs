//! What caller, guardian and supervisor say to each other: one JSON value a line.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::LabError;
use crate::options::OutsideHost;
use crate::place::Place;
use crate::probe::{HoldRequest, Probe, ProbeResult};
use crate::status::LabStatus;

/// Longest line that is read, in bytes: a plan with all its objects.
pub(crate) const LINE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The first line, from the caller through the guardian to the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) nodes: u16,
    pub(crate) objects: Vec<Value>,
    pub(crate) outside: Vec<OutsideHost>,
    pub(crate) agent_command: Vec<OsString>,
    pub(crate) supervisor_command: Vec<OsString>,
    pub(crate) ready_timeout_ms: u64,
}

/// From the supervisor through the guardian to the caller, until the lab is ready or has failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// What it does now.
    Progress { text: String },
    /// All pods are ready, all agents current.
    Ready,
    /// Another lab has the name.
    Taken,
    /// It will not become ready; it is being taken down.
    Failed { message: String, log: Vec<String> },
}

/// From the caller to the guardian, after the plan: the lab is to outlive the caller. Without it, the end of the
/// caller is the end of the lab.
pub(crate) const DETACH: &str = "detach";

/// The first line of a connection to the control socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Request {
    Status,
    Exec { place: Place },
    Connect { probes: Vec<Probe> },
    Hold(HoldRequest),
}

/// The answer, except to [`Request::Hold`], which is answered by events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub(crate) enum Answer {
    Status(Box<LabStatus>),
    Exec(Entry),
    Connect { results: Vec<ProbeResult> },
    UnknownPlace { place: Place },
    Refused { message: String },
}

/// The environment variable by which the lab knows the processes of one command that was sent in.
pub(crate) const COMMAND_VARIABLE: &str = "ONCILLA_LAB_COMMAND";
/// From whoever sent a command in: it has ended, and what it left running may stay. Without it, the end of the
/// connection is the end of all that the command started.
pub(crate) const COMMAND_DONE: &str = "done";

/// How a command is sent in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) doors: Doors,
    /// The value of [`COMMAND_VARIABLE`] for it.
    pub(crate) command: String,
}

/// How to enter a place: descriptors of the supervisor, found below its `/proc/PID/fd`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Doors {
    pub(crate) net_fd: i32,
    pub(crate) mount_fd: i32,
    /// Whether the lab lives in a user namespace of its own.
    pub(crate) user_namespace: bool,
}

/// One value as a line.
pub(crate) fn encode_line<T: Serialize>(value: &T) -> String {
    let mut line =
        serde_json::to_string(value).expect("texts, numbers and lists always have a JSON form");
    line.push('\n');
    line
}

pub(crate) fn decode_line<T: DeserializeOwned>(line: &str) -> Result<T, LabError> {
    serde_json::from_str(line).map_err(|source| LabError::Answer { source })
}
