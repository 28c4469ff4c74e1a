//! The first duty of PID 1: to wait for whoever ends, its own children and orphans alike.

use std::collections::VecDeque;
use std::io;

use rustix::process::{WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    pub(crate) fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Waits for processes.
#[derive(Debug)]
pub(crate) struct Reaper {
    signal: Signal,
    ended: VecDeque<(u32, End)>,
}

impl Reaper {
    /// Must be made before the first child.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            signal: signal(SignalKind::child())?,
            ended: VecDeque::new(),
        })
    }

    /// The next process that has ended, and how. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (u32, End) {
        loop {
            self.collect();
            if let Some(ended) = self.ended.pop_front() {
                return ended;
            }
            if self.signal.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn collect(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if let Some(end) = end(status) {
                self.ended.push_back((pid, end));
            }
        }
    }
}

fn end(status: WaitStatus) -> Option<End> {
    let code = status.exit_status().map(End::Code);
    code.or_else(|| status.terminating_signal().map(End::Signal))
}
