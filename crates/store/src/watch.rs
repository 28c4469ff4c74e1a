//! A watch: what is past as a backlog, what comes through a bounded channel.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::object::{Kind, ObjectKey, Revision, StoredObject};

/// How many undelivered events a watcher may have before it is ended.
pub const WATCH_BUFFER_EVENTS: usize = 4096;

/// Which objects a watch is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSelector {
    kinds: BTreeSet<Kind>,
    namespace: Option<String>,
}

impl WatchSelector {
    /// Objects of one kind.
    pub fn kind(kind: Kind) -> Self {
        Self::kinds([kind])
    }

    /// Objects of several kinds.
    pub fn kinds(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self {
            kinds: kinds.into_iter().collect(),
            namespace: None,
        }
    }

    /// Only of one namespace: cluster-wide objects are left out.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// The kinds watched.
    pub fn watched_kinds(&self) -> impl Iterator<Item = Kind> {
        self.kinds.iter().copied()
    }

    /// The one namespace watched, or `None` for all.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether an object belongs to the watch.
    pub fn matches(&self, key: &ObjectKey) -> bool {
        self.kinds.contains(&key.kind)
            && (self.namespace.is_none() || self.namespace == key.namespace)
    }
}

/// What happened to an object, or how far the watch has come.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// The object is new, or new to this watch.
    Added(Arc<StoredObject>),
    /// The object was replaced.
    Modified {
        /// The new value.
        object: Arc<StoredObject>,
        /// The value before.
        previous: Arc<StoredObject>,
    },
    /// The object was removed: its last value, with the revision of the removal.
    Deleted(Arc<StoredObject>),
    /// Everything up to this revision has been delivered.
    Bookmark(Revision),
}

impl WatchEvent {
    /// The revision of the write, or of the bookmark.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Added(object) | Self::Deleted(object) | Self::Modified { object, .. } => {
                object.revision
            }
            Self::Bookmark(revision) => *revision,
        }
    }

    /// The object the event is about; none for a bookmark.
    pub fn object(&self) -> Option<&StoredObject> {
        match self {
            Self::Added(object) | Self::Deleted(object) | Self::Modified { object, .. } => {
                Some(object)
            }
            Self::Bookmark(_) => None,
        }
    }
}

/// The writer's end of a watch. Never waits: past [`WATCH_BUFFER_EVENTS`] the watch is over.
#[derive(Debug)]
pub struct WatchSender {
    sender: mpsc::Sender<WatchEvent>,
    lagged: Arc<OnceLock<Revision>>,
    /// The revision of the last event put into the channel.
    sent: Revision,
}

/// The reader's end of a watch.
#[derive(Debug)]
pub struct Watch {
    backlog: VecDeque<WatchEvent>,
    receiver: mpsc::Receiver<WatchEvent>,
    lagged: Arc<OnceLock<Revision>>,
}

impl Watch {
    /// A watch that first delivers `backlog`, then what the sender is given. `sent` is the
    /// revision up to which the backlog reaches.
    pub fn channel(backlog: VecDeque<WatchEvent>, sent: Revision) -> (WatchSender, Self) {
        let (sender, receiver) = mpsc::channel(WATCH_BUFFER_EVENTS);
        let lagged = Arc::new(OnceLock::new());
        let writer = WatchSender {
            sender,
            lagged: Arc::clone(&lagged),
            sent,
        };
        let watch = Self {
            backlog,
            receiver,
            lagged,
        };
        (writer, watch)
    }

    /// The next event. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Lagged`] after a watcher that was too slow has taken what was buffered;
    /// [`StoreError::Closed`] when the store is gone.
    pub async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        if let Some(event) = self.backlog.pop_front() {
            return Ok(event);
        }
        let event = self.receiver.recv().await;
        event.ok_or_else(|| self.end())
    }

    /// As [`Watch::next`], for a thread that may wait.
    ///
    /// # Errors
    /// As [`Watch::next`].
    ///
    /// # Panics
    /// When called from inside an async task.
    pub fn next_blocking(&mut self) -> Result<WatchEvent, StoreError> {
        if let Some(event) = self.backlog.pop_front() {
            return Ok(event);
        }
        let event = self.receiver.blocking_recv();
        event.ok_or_else(|| self.end())
    }

    fn end(&self) -> StoreError {
        match self.lagged.get() {
            Some(last) => StoreError::Lagged {
                last: *last,
                limit: WATCH_BUFFER_EVENTS,
            },
            None => StoreError::Closed,
        }
    }
}

impl WatchSender {
    /// Puts an event into the channel. Returns whether the watch goes on: it does not once its
    /// reader is gone or has fallen too far behind. A bookmark that finds no room is left out.
    pub fn send(&mut self, event: WatchEvent) -> bool {
        let revision = event.revision();
        let bookmark = matches!(event, WatchEvent::Bookmark(_));
        match self.sender.try_send(event) {
            Ok(()) => {
                self.sent = revision;
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) if bookmark => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                // A watch is ended once, so the cell is empty; were it not, the first reason holds.
                self.lagged.get_or_init(|| self.sent);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// The revision of the last event put into the channel.
    pub fn sent(&self) -> Revision {
        self.sent
    }

    /// Whether the reader is gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}
