//! The signals that end a command in good order.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::yield_now;

/// SIGINT and SIGTERM for a command that ends between two of its steps. From its beginning on they no longer end the
/// process by themselves.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// One came during work that was let end.
    is_told: bool,
}

impl Stop {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            is_told: false,
        })
    }

    /// Ready at the next signal.
    pub(crate) async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Whether one has come.
    pub(crate) async fn has_come(&mut self) -> bool {
        // The runtime learns of a signal when it asks the kernel, which it does not do between two pieces of work that
        // are both ready: what came before must be seen now, not one write later.
        yield_now().await;
        poll_fn(|context| {
            let came = self.interrupt.poll_recv(context).is_ready();
            Poll::Ready(self.terminate.poll_recv(context).is_ready() || came)
        })
        .await
            || self.is_told
    }

    /// What the work gives. A signal lets it end, and is remembered; at the second one there is nothing.
    pub(crate) async fn unless_told_twice<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.told() => {
                    if self.is_told {
                        return None;
                    }
                    self.is_told = true;
                }
            }
        }
    }
}

/// Ready at the first SIGTERM or SIGINT. Must be polled inside a runtime.
pub(crate) async fn told_to_stop() {
    let (mut term, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(term), Ok(interrupt)) => (term, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            // Without our own answer a signal ends the process at once, which is safe too.
            tracing::warn!(%error, "cannot listen to signals");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}
