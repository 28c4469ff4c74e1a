//! The server's life: from a store and a socket to the end of its last connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use oncilla_store::Store;
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bootstrap::bootstrap;
use crate::routes::{Server, router};
use crate::socket::ApiListener;
use crate::writing::Writer;

/// How many connections are open at once; further clients wait in the socket's queue.
pub const CONNECTIONS_MAX: usize = 4096;
/// How long after a write the watches of other kinds are told its revision.
const BOOKMARK_DELAY: Duration = Duration::from_millis(20);
/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last requests may take once the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long no connection is accepted after the system had none to give (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a server needs besides a store and a socket.
#[derive(Clone)]
pub struct Options {
    /// For creation timestamps.
    pub clock: Clock,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The objects that exist from the start could not be made.
    #[error("cannot prepare the store: {message}")]
    Bootstrap {
        /// What was refused.
        message: String,
    },
    /// The thread that prepares the store died.
    #[error("cannot prepare the store")]
    Died {
        /// How.
        source: tokio::task::JoinError,
    },
}

/// Serves a store until `stop` is ready, then ends the watches and lets requests finish.
///
/// # Errors
/// [`ServeError`] when the store cannot be prepared.
pub async fn serve(
    store: Arc<dyn Store>,
    listener: ApiListener,
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let writer = Writer::new(Arc::clone(&store), options.clock);
    prepare(writer.clone()).await?;
    let (stopping, watched) = watch::channel(false);
    let written = Arc::new(Notify::new());
    let router = router(Server {
        store: Arc::clone(&store),
        writer,
        written: Arc::clone(&written),
        stopping: watched,
    });
    let mut connections = JoinSet::new();
    tokio::select! {
        () = stop => {}
        () = accept(&listener, &router, &mut connections, &stopping) => {}
        () = bookmarks(store, written) => {}
    }
    stopping.send_replace(true);
    drop(listener);
    let ended = timeout(STOP_TIMEOUT, async {
        while connections.join_next().await.is_some() {}
    });
    if ended.await.is_err() {
        tracing::warn!("some requests did not end in time and were cut");
    }
    Ok(())
}

async fn prepare(writer: Writer) -> Result<(), ServeError> {
    let prepared = tokio::task::spawn_blocking(move || bootstrap(&writer)).await;
    prepared
        .map_err(|source| ServeError::Died { source })?
        .map_err(|failure| ServeError::Bootstrap {
            message: failure.to_string(),
        })
}

/// Accepts clients for ever, each a task of the set.
async fn accept(
    listener: &ApiListener,
    router: &Router,
    connections: &mut JoinSet<()>,
    stopping: &watch::Sender<bool>,
) {
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok(stream) => {
                connections.spawn(connection(stream, router.clone(), stopping.subscribe()));
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    sleep(ACCEPT_PAUSE).await;
}

async fn connection(stream: UnixStream, router: Router, mut stopping: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stopped(&mut stopping) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away in the middle of a watch is the ordinary case.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits until the server stops. A lost sender means that it is gone already.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// After each write, tells the watches of other kinds how far the store is.
async fn bookmarks(store: Arc<dyn Store>, written: Arc<Notify>) {
    loop {
        written.notified().await;
        sleep(BOOKMARK_DELAY).await;
        let store = Arc::clone(&store);
        if tokio::task::spawn_blocking(move || store.bookmark())
            .await
            .is_err()
        {
            tracing::warn!("bookmarks could not be sent");
        }
    }
}
