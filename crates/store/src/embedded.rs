//! A store in one file inside the process: every accepted write is on the disk before it is
//! acknowledged, and survives `kill -9` and a power cut.
//!
//! ```text
//!   callers ──Request──> writer thread ──one commit per group──> redb ──> file behind a header
//!      ^                      |
//!      └──── answer ──────────┴──> feed (history and watchers), in the order of the commits
//! ```
//! Readers use redb's snapshots and never wait for the writer. The history lives in memory: after
//! a restart it begins at the last revision, and a watch from an older one is "too old".

mod backend;
mod file;
mod migrate;
mod records;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase as _, StorageBackend};
use serde_json::Value;

use crate::Store;
use crate::change::{Change, Request};
use crate::error::StoreError;
use crate::feed::Feed;
use crate::object::{Kind, List, ObjectKey, Revision, StoredObject};
use crate::watch::{Watch, WatchSelector};

use file::Ownership;
pub use file::{FORMAT_VERSION, OpenError};
use writer::{Job, QUEUE_MAX};

/// A store in one redb file, owned by this process.
#[derive(Debug)]
pub struct EmbeddedStore {
    path: PathBuf,
    database: Arc<Database>,
    feed: Arc<RwLock<Feed>>,
    /// `None` only while the store is being dropped.
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Held until the file is closed, for its lock.
    ownership: Option<Ownership>,
}

impl EmbeddedStore {
    /// Opens the store file at `path`, or makes it when there is none (mode 0600, beside it a lock
    /// file). An older format is migrated after a copy beside the file.
    ///
    /// # Errors
    /// [`OpenError`]: another owner, a wide mode, a newer format, a damaged file. The file is then
    /// as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let ownership = Ownership::acquire(path)?;
        let backend = file::open_or_create(path, &ownership)?;
        let mut store = Self::on_backend(path, backend)?;
        store.ownership = Some(ownership);
        Ok(store)
    }

    /// Opens a store on any redb backend, without header, lock and file mode: `path` only names
    /// it in errors.
    pub(crate) fn on_backend(path: &Path, backend: impl StorageBackend) -> Result<Self, OpenError> {
        let database = file::open_database(path, backend)?;
        let revision =
            records::prepare(&database).map_err(|source| OpenError::damaged(path, source))?;
        let database = Arc::new(database);
        let feed = Arc::new(RwLock::new(Feed::starting_at(revision)));
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let writer = writer::spawn(Arc::clone(&database), Arc::clone(&feed), queue)
            .map_err(|source| OpenError::io(path, "start the writer thread for", source))?;
        Ok(Self {
            path: path.to_owned(),
            database,
            feed,
            jobs: Some(jobs),
            writer: Some(writer),
            ownership: None,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn apply(&self, request: Request) -> Result<StoredObject, StoreError> {
        let (answer, answered) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        let job = Job { request, answer };
        // A failed send or receive has one cause, which `Closed` names: the writer thread ended.
        jobs.send(job).map_err(|_closed| StoreError::Closed)?;
        answered.recv().map_err(|_closed| StoreError::Closed)?
    }

    fn with_feed<T>(&self, work: impl FnOnce(&mut Feed) -> T) -> T {
        let mut feed = self.feed.write().unwrap_or_else(PoisonError::into_inner);
        work(&mut feed)
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The writer ends when its queue is closed; the file is closed after the last commit.
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // Had it panicked, the thread has said so; what was acknowledged is on the disk.
            drop(writer.join());
        }
    }
}

impl Store for EmbeddedStore {
    fn object(&self, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        let read = self.database.begin_read().map_err(records::failed)?;
        records::object(&read, key)
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<List, StoreError> {
        let read = self.database.begin_read().map_err(records::failed)?;
        Ok(List {
            objects: records::objects(&read, kind, namespace)?,
            revision: records::revision(&read)?,
        })
    }

    fn create(&self, key: &ObjectKey, value: Value) -> Result<StoredObject, StoreError> {
        self.apply(Request::new(key, Change::Create(value))?)
    }

    fn update(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
        value: Value,
    ) -> Result<StoredObject, StoreError> {
        self.apply(Request::new(key, Change::Update(expected, value))?)
    }

    fn delete(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
    ) -> Result<StoredObject, StoreError> {
        self.apply(Request::new(key, Change::Delete(expected))?)
    }

    fn watch(&self, selector: &WatchSelector, from: Revision) -> Result<Watch, StoreError> {
        if from > Revision::ZERO {
            let current = self.revision()?;
            return self.with_feed(|feed| feed.watch(selector, from, current));
        }
        let read = self.database.begin_read().map_err(records::failed)?;
        let mut present = Vec::new();
        for kind in selector.watched_kinds() {
            present.extend(records::objects(&read, kind, selector.namespace())?);
        }
        let revision = records::revision(&read)?;
        self.with_feed(|feed| feed.watch_present(selector, present, revision))
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.with_feed(|feed| {
            let current = feed.revision();
            if through > current {
                return Err(StoreError::Future {
                    asked: through,
                    current,
                });
            }
            feed.compact(through);
            Ok(())
        })
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        let read = self.database.begin_read().map_err(records::failed)?;
        records::revision(&read)
    }

    fn bookmark(&self) {
        self.with_feed(Feed::bookmark);
    }
}
