//! Why a store refused or could not do what was asked.

use crate::object::{ObjectKey, Revision};

/// Why a store refused or could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A create found an object of that name.
    #[error("{key} already exists at revision {found}")]
    AlreadyExists {
        /// The object that exists.
        key: ObjectKey,
        /// Its revision.
        found: Revision,
    },
    /// An update or delete found nothing.
    #[error("{key} not found")]
    NotFound {
        /// The object that is missing.
        key: ObjectKey,
    },
    /// The object changed since the caller read it.
    #[error("{key} is at revision {found}, not at {expected}; read it again and repeat the change")]
    Conflict {
        /// The object.
        key: ObjectKey,
        /// What the caller expected.
        expected: Revision,
        /// What the store holds.
        found: Revision,
    },
    /// The history does not reach back to what was asked for.
    #[error("revision {asked} is too old, the history begins at {oldest}; list again")]
    TooOld {
        /// The revision asked for.
        asked: Revision,
        /// The oldest revision from which a watch is possible.
        oldest: Revision,
    },
    /// The revision was never given out by this store: the caller has seen another one.
    #[error("revision {asked} is ahead of this store, which is at {current}; list again")]
    Future {
        /// The revision asked for.
        asked: Revision,
        /// The revision of the last write.
        current: Revision,
    },
    /// The watcher did not take its events in time and was ended so that writers never wait.
    #[error(
        "too old: the watcher fell {limit} events behind and was ended at revision {last}; list again"
    )]
    Lagged {
        /// The last revision that was delivered.
        last: Revision,
        /// How many undelivered events a watcher may have.
        limit: usize,
    },
    /// More watches than the named limit.
    #[error("{limit} watches are open, which is the limit")]
    TooManyWatchers {
        /// The limit.
        limit: usize,
    },
    /// The value's JSON form is larger than the limit.
    #[error("{key} is {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The object.
        key: ObjectKey,
        /// Its size.
        bytes: usize,
        /// [`crate::OBJECT_BYTES_MAX`].
        limit: usize,
    },
    /// A namespaced kind without namespace, or the reverse.
    #[error("{key}: a namespace is {}", if *.namespaced { "required for this kind" } else { "not allowed for this kind" })]
    Scope {
        /// The key as given.
        key: ObjectKey,
        /// Whether the kind lives in namespaces.
        namespaced: bool,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A stored value cannot be read back.
    #[error("{key}: the stored value is not JSON")]
    Decode {
        /// The object.
        key: ObjectKey,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
    /// The storage below failed; the write may or may not have happened.
    #[error("the storage below failed")]
    Storage {
        /// What redb said.
        #[source]
        source: Box<redb::Error>,
    },
    /// The storage failed for the whole group of writes this one was in.
    #[error("the storage below failed: {reason}")]
    GroupFailed {
        /// What redb said.
        reason: std::sync::Arc<str>,
    },
    /// A remote store failed; only stores over a network return this.
    #[error("the remote store failed")]
    Remote {
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the answer to this error is to list again and watch from there.
    pub fn wants_relist(&self) -> bool {
        matches!(
            self,
            Self::TooOld { .. } | Self::Future { .. } | Self::Lagged { .. }
        )
    }
}
