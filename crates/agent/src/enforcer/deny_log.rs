//! The kernel's log group of denied packets: read while it is ours, asked for again, ever more rarely, while it is somebody
//! else's. One reader has it in a network namespace.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use oncilla_dataplane::{DENY_LOG_BYTES, DENY_LOG_GROUP};
use oncilla_kernel::nflog::{Logged, Nflog};

use crate::clock::Clock;
use crate::follow::chain;
use crate::timers::{LOG_RETRY_MAX_MS, LOG_RETRY_MIN_MS};

/// How the prefix of a denied packet begins; rules that only log write others.
const PREFIX: &str = "oncilla D ";
/// How often the log is read in one turn; each reading takes up to 64 packets.
const READS_MAX: usize = 4;

/// The reader, or why there is none.
#[derive(Debug, Default)]
pub(super) struct DenyLog {
    reader: Option<Nflog>,
    silence: Option<Silence>,
}

/// A time without a reader.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Silence {
    why: String,
    since_unix_ms: u64,
    failures: u32,
    /// When it is tried again.
    again_ms: u64,
}

/// What was read in one turn.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) denied: Vec<Logged>,
    /// How many nobody will hear of.
    pub(super) lost: u64,
    /// These were all there are.
    pub(super) is_all: bool,
}

impl DenyLog {
    /// Opens the log in the calling thread's network namespace, when it is time to. Without it everything else works.
    pub(super) fn listen(&mut self, now_ms: u64) {
        let is_early = |silence: &Silence| silence.again_ms > now_ms;
        if self.reader.is_some() || self.silence.as_ref().is_some_and(is_early) {
            return;
        }
        match Nflog::open(DENY_LOG_GROUP, DENY_LOG_BYTES) {
            Ok(reader) => {
                self.reader = Some(reader);
                if self.silence.take().is_some() {
                    tracing::info!(group = DENY_LOG_GROUP, "denied packets are read now");
                }
            }
            Err(error) => self.failed(&error, now_ms),
        }
    }

    /// Notes that there is no reader, and when the next attempt is.
    fn failed(&mut self, error: &io::Error, now_ms: u64) {
        self.reader = None;
        let before = self.silence.take();
        let why = chain(error);
        if before.as_ref().is_none_or(|before| before.why != why) {
            tracing::warn!(
                error = why,
                group = DENY_LOG_GROUP,
                "denied packets cannot be read, so `oncilla log` shows none of this node; is another reader there? \
                 Trying again"
            );
        }
        let failures = before.as_ref().map_or(0, |before| before.failures);
        let pause_ms = (LOG_RETRY_MIN_MS << failures.min(16)).min(LOG_RETRY_MAX_MS);
        self.silence = Some(Silence {
            why,
            since_unix_ms: before.map_or_else(Clock::unix_ms, |before| before.since_unix_ms),
            failures: failures.saturating_add(1),
            again_ms: now_ms + pause_ms,
        });
    }

    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(|reader| reader.as_fd())
    }

    /// When it is tried again.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.silence.as_ref().map(|silence| silence.again_ms)
    }

    /// Why denied packets are not read, since when.
    pub(super) fn silence(&self) -> Option<(String, u64)> {
        let silence = self.silence.as_ref()?;
        let why = format!(
            "{}; end whoever else reads NFLOG group {DENY_LOG_GROUP} here, it is tried again by itself",
            silence.why
        );
        Some((why, silence.since_unix_ms))
    }

    /// The denied packets there are. Where nobody reads there are none.
    pub(super) fn read(&mut self, now_ms: u64) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..READS_MAX {
            let Some(reader) = &mut self.reader else {
                heard.is_all = true;
                break;
            };
            match reader.read() {
                Ok(read) => {
                    heard.lost += read.lost;
                    let denied = |logged: &Logged| logged.prefix.starts_with(PREFIX);
                    heard.denied.extend(read.packets.into_iter().filter(denied));
                    if !read.has_more {
                        heard.is_all = true;
                        break;
                    }
                }
                Err(error) => self.failed(&error, now_ms),
            }
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::{DenyLog, LOG_RETRY_MAX_MS, LOG_RETRY_MIN_MS};

    #[test]
    fn each_failure_doubles_the_pause_up_to_a_limit_and_nobody_is_waited_for() {
        let mut log = DenyLog::default();
        let (mut now_ms, mut pauses) = (5_000, Vec::new());
        for _ in 0..80 {
            log.failed(&Error::from(ErrorKind::PermissionDenied), now_ms);
            let again = log.next_ms().unwrap();
            pauses.push(again - now_ms);
            // Before it is time nothing is tried, and what is due then is all that is waited for.
            log.listen(again - 1);
            assert_eq!(log.next_ms(), Some(again));
            assert!(log.read(now_ms).is_all && log.as_fd().is_none());
            now_ms = again;
        }
        assert_eq!(pauses[..3], [1, 2, 4].map(|times| LOG_RETRY_MIN_MS * times));
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&LOG_RETRY_MAX_MS));
        let (why, _) = log.silence().unwrap();
        assert!(why.contains("NFLOG group 1"), "{why}");
    }
}
