//! The roles an executable plays for a lab, besides its own.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use crate::{guardian, supervisor};

/// The first argument of an executable that is started for a lab.
pub const ROLE_ARGUMENT: &str = "--oncilla-lab-role";

pub(crate) const GUARDIAN: &str = "guardian";
pub(crate) const SUPERVISOR: &str = "supervisor";

/// Plays the lab's role when the arguments (behind the program's name) name one. Call it first in `main`, before any
/// thread is started: the roles move into namespaces, which only a process with one thread can.
pub fn run_role(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != ROLE_ARGUMENT {
        return None;
    }
    let role = arguments.next().unwrap_or_default();
    Some(if role == OsStr::new(GUARDIAN) {
        guardian::run()
    } else if role == OsStr::new(SUPERVISOR) {
        supervisor::run()
    } else {
        ExitCode::from(2)
    })
}
