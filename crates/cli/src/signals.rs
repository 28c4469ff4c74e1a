//! The signals that end a long-running command in good order.

use tokio::signal::unix::{SignalKind, signal};

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
