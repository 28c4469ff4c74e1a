//! Exit codes, the same for every command, and the end of a closed pipe.

use std::io;
use std::process::ExitCode;

/// How a command ended. Documented in `oncilla --help` and in every man page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// 0: yes, or done.
    Done,
    /// 1: read and judged: no (denied, invalid, different, not found).
    No,
    /// 2: could not judge (usage, unreadable file, server not reachable).
    CannotJudge,
    /// 3: partly done; the output says which part.
    Partly,
    /// 130: interrupted, and cleaned up.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::CannotJudge => 2,
            Exit::Partly => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// Prints what clap has to say. Help and version are answers, everything else is wrong usage.
pub(crate) fn of_usage(error: &clap::Error) -> Exit {
    match error.print() {
        Err(broken) if broken.kind() != io::ErrorKind::BrokenPipe => Exit::CannotJudge,
        _ if error.use_stderr() => Exit::CannotJudge,
        _ => Exit::Done,
    }
}
