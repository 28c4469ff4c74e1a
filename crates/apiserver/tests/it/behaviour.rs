//! The behaviour suite of all stores, through the client, the socket and the server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use oncilla_api::{Kind, ObjectKey};
use oncilla_store::rest::{ApiEvent, Client, Collection, RestError};
use oncilla_store::{
    EmbeddedStore, List, MemoryStore, Revision, Store, StoreError, StoredObject, Watch, WatchEvent,
    WatchSelector, behaviour,
};
use serde_json::Value;

use super::server::Served;

/// A server and its client, seen as a store.
struct Remote {
    client: Client,
    served: Served,
}

impl Remote {
    fn over(store: Arc<dyn Store>) -> Self {
        let served = Served::over(store);
        Self {
            client: served.client(),
            served,
        }
    }

    fn wait<T>(
        &self,
        key: Option<&ObjectKey>,
        work: impl Future<Output = Result<T, RestError>>,
    ) -> Result<T, StoreError> {
        self.served
            .runtime
            .block_on(work)
            .map_err(|error| store_error(key, error))
    }
}

fn store_error(key: Option<&ObjectKey>, error: RestError) -> StoreError {
    let asked = |message: &str| {
        let number = message.split([' ', ':']).find_map(|word| word.parse().ok());
        number.unwrap_or_default()
    };
    match (key, error) {
        (Some(key), error) if error.is_not_found() => StoreError::NotFound { key: key.clone() },
        (Some(key), error) if error.is_already_exists() => StoreError::AlreadyExists {
            key: key.clone(),
            found: Revision::ZERO,
        },
        (Some(key), error) if error.is_conflict() => StoreError::Conflict {
            key: key.clone(),
            expected: Revision::ZERO,
            found: Revision::ZERO,
        },
        (_, error) if error.is_expired() => StoreError::TooOld {
            asked: asked(&error.to_string()),
            oldest: Revision::ZERO,
        },
        (_, error) => StoreError::Remote {
            source: Box::new(error),
        },
    }
}

/// The events of a stream, put into a watch by a thread until one side ends.
fn pump(
    served: &Served,
    client: &Client,
    collection: &Collection,
    from: Revision,
) -> Result<Watch, StoreError> {
    let opened = served.runtime.block_on(client.watch(collection, from));
    let mut stream = opened.map_err(|error| store_error(None, error))?;
    let (mut sender, watch) = Watch::channel(VecDeque::new(), from);
    let handle = served.runtime.handle().clone();
    thread::spawn(move || {
        // An error ends the watch; that it is "too old" shows in the channel's own limit.
        while let Ok(Some(event)) = handle.block_on(stream.next()) {
            let event = match event {
                ApiEvent::Added(object) => WatchEvent::Added(Arc::new(object)),
                ApiEvent::Modified(object) => {
                    let object = Arc::new(object);
                    let previous = Arc::clone(&object);
                    WatchEvent::Modified { object, previous }
                }
                ApiEvent::Deleted(object) => WatchEvent::Deleted(Arc::new(object)),
                ApiEvent::Bookmark(revision) => WatchEvent::Bookmark(revision),
            };
            if !sender.send(event) {
                return;
            }
        }
    });
    Ok(watch)
}

fn with_revision(mut value: Value, expected: Option<Revision>) -> Value {
    if let Some(expected) = expected {
        value["metadata"]["resourceVersion"] = expected.to_string().into();
    }
    value
}

impl Store for Remote {
    fn object(&self, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        match self.wait(Some(key), self.client.object(key)) {
            Err(StoreError::NotFound { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<List, StoreError> {
        let mut collection = Collection::of(kind);
        if let Some(namespace) = namespace {
            collection = collection.in_namespace(namespace);
        }
        self.wait(None, self.client.list(&collection))
    }

    fn create(&self, key: &ObjectKey, value: Value) -> Result<StoredObject, StoreError> {
        self.wait(Some(key), self.client.create(key, &value))
    }

    fn update(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
        value: Value,
    ) -> Result<StoredObject, StoreError> {
        let value = with_revision(value, expected);
        self.wait(Some(key), self.client.update(key, &value))
    }

    fn delete(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
    ) -> Result<StoredObject, StoreError> {
        let deleted = self.wait(Some(key), self.client.delete(key, expected))?;
        let deleted = deleted.expect("this server answers with the object");
        Ok(deleted)
    }

    fn watch(&self, selector: &WatchSelector, from: Revision) -> Result<Watch, StoreError> {
        let kind = selector
            .watched_kinds()
            .next()
            .expect("the suite watches one kind");
        let mut collection = Collection::of(kind);
        if let Some(namespace) = selector.namespace() {
            collection = collection.in_namespace(namespace);
        }
        pump(&self.served, &self.client, &collection, from)
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.served.store.compact(through)
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        self.served.store.revision()
    }

    fn bookmark(&self) {
        // The server sends bookmarks by itself.
    }
}

#[test]
fn rest_over_memory_behaves_as_a_store() {
    behaviour::check(&|| Box::new(Remote::over(Arc::new(MemoryStore::new()))));
}

#[test]
fn rest_over_a_file_behaves_as_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    behaviour::check(&|| {
        count.set(count.get() + 1);
        let path = folder.path().join(format!("{}.redb", count.get()));
        Box::new(Remote::over(Arc::new(EmbeddedStore::open(&path).unwrap())))
    });
}
