//! List, watch and compare-and-swap with revisions: memory and embedded, and the client of the
//! REST API.
//!
//! ```text
//!   Store (trait) <── MemoryStore          one process, tests
//!        ^        <── EmbeddedStore        one redb file, every accepted write survives a power cut
//!        |
//!   apiserver ──unix socket──> rest::Client ──> agents, command line (later: a kube-apiserver)
//! ```
//! A store keeps JSON values under a key and counts every accepted write with one revision. It
//! knows nothing of what is inside a value: metadata, validation and admission are the API
//! server's.

#[cfg(any(test, feature = "behaviour"))]
pub mod behaviour;
mod change;
mod embedded;
mod error;
mod feed;
pub mod folder;
mod memory;
mod object;
pub mod rest;
mod watch;

pub use embedded::{EmbeddedStore, FORMAT_VERSION, OpenError};
pub use error::StoreError;
pub use feed::{HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, WATCHERS_MAX};
pub use memory::MemoryStore;
pub use object::{Kind, List, OBJECT_BYTES_MAX, ObjectKey, Revision, StoredObject};
pub use watch::{WATCH_BUFFER_EVENTS, Watch, WatchEvent, WatchSelector, WatchSender};

use serde_json::Value;

/// Objects under keys, with one revision counter for all of them.
///
/// Every method may block on a disk: call it from a thread that may wait. Reads see every write
/// that was acknowledged before they started.
pub trait Store: Send + Sync {
    /// The object under `key`, or `None`.
    ///
    /// # Errors
    /// When the storage below cannot be read.
    fn object(&self, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError>;

    /// All objects of `kind`, of one namespace or of all, sorted by namespace and name, and the
    /// revision at which the list was true: a watch from that revision misses nothing.
    ///
    /// # Errors
    /// When the storage below cannot be read.
    fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<List, StoreError>;

    /// Stores a new object.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], or the storage below failed.
    fn create(&self, key: &ObjectKey, value: Value) -> Result<StoredObject, StoreError>;

    /// Replaces an object. With `expected`, only when its revision is still that one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`], or the storage below failed.
    fn update(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
        value: Value,
    ) -> Result<StoredObject, StoreError>;

    /// Removes an object and returns its last value with the revision of the removal. With
    /// `expected`, only when its revision is still that one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`], or the storage below failed.
    fn delete(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
    ) -> Result<StoredObject, StoreError>;

    /// Every change after `from`, in order. From [`Revision::ZERO`]: first the present objects as
    /// `Added`, then the changes. A bookmark follows once what was past has been delivered.
    ///
    /// # Errors
    /// [`StoreError::TooOld`] when the history no longer reaches back to `from`,
    /// [`StoreError::Future`] when `from` was never given out by this store,
    /// [`StoreError::TooManyWatchers`].
    fn watch(&self, selector: &WatchSelector, from: Revision) -> Result<Watch, StoreError>;

    /// Forgets the history up to and including `through`: a watch from an older revision gets
    /// [`StoreError::TooOld`]. Objects stay.
    ///
    /// # Errors
    /// [`StoreError::Future`] when `through` lies ahead of the store.
    fn compact(&self, through: Revision) -> Result<(), StoreError>;

    /// The revision of the last accepted write; 0 in a store that was never written.
    ///
    /// # Errors
    /// When the storage below cannot be read.
    fn revision(&self) -> Result<Revision, StoreError>;

    /// Sends a bookmark to each watcher that has not heard of the present revision, because the
    /// last changes were not of its kinds. Called by whoever owns a clock.
    fn bookmark(&self);
}
