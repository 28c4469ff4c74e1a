//! The only place that reads a clock: stages get time as an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since this clock was made, and the time of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the agent decides when stages run"
    )]
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// For deadlines: never goes back.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// For durations.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// For people: milliseconds since 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "status tells people when it was written"
    )]
    pub(crate) fn unix_ms() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }
}
