//! One line on a terminal's standard error that says what takes so long. Quiet in pipes, and gone when it is done.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

/// What is done sooner than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line that comes late and goes in time.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    is_wanted: bool,
    is_shown: bool,
}

impl Progress {
    /// Nothing is shown to those who asked for quiet, nor where nobody looks.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            start: Instant::now(),
            is_wanted: !quiet && io::stderr().is_terminal(),
            is_shown: false,
        }
    }

    /// Says what is done now.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.is_wanted && self.start.elapsed() >= PATIENCE {
            draw(&format!("\r\x1b[K{}", text()));
            self.is_shown = true;
        }
    }

    /// Takes the line away, before something else is printed.
    pub(crate) fn clear(&mut self) {
        if self.is_shown {
            draw("\r\x1b[K");
            self.is_shown = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Nobody can be told when standard error fails.
fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(stderr.write_all(text.as_bytes()));
    drop(stderr.flush());
}
