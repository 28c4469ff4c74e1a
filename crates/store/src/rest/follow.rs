//! List and watch for ever: a state machine that survives the server's restarts, lost
//! connections and forgotten history, and says what the reader must believe at each moment.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::client::Client;
use super::collection::Collection;
use super::error::RestError;
use super::lines::{ApiEvent, WatchStream};
use crate::object::{List, Revision, StoredObject};

/// The first wait after a failure; each further one doubles it.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What a follower learns.
#[derive(Clone, Debug)]
pub enum Event {
    /// All objects there are, the first time. What is not in it does not exist.
    Snapshot(Vec<StoredObject>),
    /// All objects there are, again: changes in between may have been missed. What is not in it
    /// does not exist any more.
    Restarted(Vec<StoredObject>),
    /// The object is new or was replaced.
    Applied(StoredObject),
    /// The object was removed: its last value.
    Deleted(StoredObject),
    /// The watch is open, and everything up to this revision has been delivered.
    Synced(Revision),
    /// The server is away or refused; the follower goes on trying. Told once per outage: after it
    /// comes `Synced`, or `Restarted`.
    Disconnected(Arc<RestError>),
}

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, RestError>> + Send>>;

enum State {
    /// Before the next attempt, which begins with a list or resumes the watch.
    Waiting(Pin<Box<tokio::time::Sleep>>),
    /// Decides between a list and a watch.
    Ready,
    Listing(Pending<List>),
    Opening(Pending<WatchStream>),
    Watching(Box<WatchStream>),
}

/// Lists and watches a collection for ever.
pub struct Follow {
    client: Client,
    collection: Collection,
    state: State,
    /// Everything up to here has been delivered; `None` when a list must come first.
    revision: Option<Revision>,
    /// Whether a snapshot was ever delivered.
    seen: bool,
    /// Failures since the last event.
    failures: u32,
    /// Whether an outage was told that is not over.
    away: bool,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("collection", &self.collection)
            .field("revision", &self.revision)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl Follow {
    pub(super) fn new(client: Client, collection: Collection) -> Self {
        Self {
            client,
            collection,
            state: State::Ready,
            revision: None,
            seen: false,
            failures: 0,
            away: false,
        }
    }

    /// The collection.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// The revision up to which everything has been delivered.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// The next event. Cancel-safe: what was under way goes on at the next call.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.step().await {
                return event;
            }
        }
    }

    async fn step(&mut self) -> Option<Event> {
        match &mut self.state {
            State::Waiting(over) => {
                over.await;
                self.state = State::Ready;
                None
            }
            State::Ready => {
                self.state = self.attempt();
                None
            }
            State::Listing(list) => match list.await {
                Ok(list) => Some(self.listed(list)),
                Err(error) => self.failed(error),
            },
            State::Opening(stream) => match stream.await {
                Ok(stream) => {
                    self.state = State::Watching(Box::new(stream));
                    self.away = false;
                    self.revision.map(Event::Synced)
                }
                Err(error) => self.failed(error),
            },
            State::Watching(stream) => match stream.next().await {
                Ok(Some(event)) => Some(self.delivered(event)),
                Ok(None) => {
                    self.state = State::Ready;
                    // A server that ends every watch at once must not be asked in a tight loop.
                    self.ended()
                }
                Err(error) => self.failed(error),
            },
        }
    }

    fn attempt(&self) -> State {
        let client = self.client.clone();
        let collection = self.collection.clone();
        match self.revision {
            None => State::Listing(Box::pin(async move { client.list(&collection).await })),
            Some(from) => State::Opening(Box::pin(
                async move { client.watch(&collection, from).await },
            )),
        }
    }

    fn listed(&mut self, list: List) -> Event {
        self.revision = Some(list.revision);
        self.state = State::Ready;
        let again = std::mem::replace(&mut self.seen, true);
        if again {
            Event::Restarted(list.objects)
        } else {
            Event::Snapshot(list.objects)
        }
    }

    fn delivered(&mut self, event: ApiEvent) -> Event {
        self.failures = 0;
        self.revision = self.revision.max(Some(event.revision()));
        match event {
            ApiEvent::Added(object) | ApiEvent::Modified(object) => Event::Applied(object),
            ApiEvent::Deleted(object) => Event::Deleted(object),
            ApiEvent::Bookmark(revision) => Event::Synced(revision),
        }
    }

    fn ended(&mut self) -> Option<Event> {
        self.failures = self.failures.saturating_add(1);
        if self.failures > 1 {
            self.state = State::Waiting(Box::pin(sleep(backoff(self.failures))));
        }
        None
    }

    fn failed(&mut self, error: RestError) -> Option<Event> {
        self.failures = self.failures.saturating_add(1);
        if error.is_expired() {
            // No outage: the server only forgot where we were.
            self.revision = None;
            self.state = if self.failures == 1 {
                State::Ready
            } else {
                State::Waiting(Box::pin(sleep(backoff(self.failures))))
            };
            return None;
        }
        self.state = State::Waiting(Box::pin(sleep(backoff(self.failures))));
        let told = std::mem::replace(&mut self.away, true);
        (!told).then(|| Event::Disconnected(Arc::new(error)))
    }
}

/// Doubling, bounded, and spread by up to a half so that many followers do not return at once.
fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let longest = doubled.min(BACKOFF_MAX);
    let random = RandomState::new().build_hasher().finish();
    let spread = u32::try_from(random % 512).unwrap_or_default();
    longest.saturating_sub(longest * spread / 1024)
}
