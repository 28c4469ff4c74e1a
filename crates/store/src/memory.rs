//! A store in memory: for tests and for what need not outlive the process.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;

use crate::Store;
use crate::change::{Change, Request};
use crate::error::StoreError;
use crate::feed::Feed;
use crate::object::{Kind, List, ObjectKey, Revision, StoredObject};
use crate::watch::{Watch, WatchEvent, WatchSelector};

/// Namespace (empty for cluster-wide objects) and name.
type Name = (String, String);

#[derive(Debug)]
struct State {
    objects: BTreeMap<Kind, BTreeMap<Name, Arc<StoredObject>>>,
    feed: Feed,
}

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: RwLock<State>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self {
            state: RwLock::new(State {
                objects: BTreeMap::new(),
                feed: Feed::starting_at(Revision::ZERO),
            }),
        }
    }

    // A panic while writing leaves no half-made change: the map and the feed are each changed by
    // one call, and the revision by the last of them.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, request: Request) -> Result<StoredObject, StoreError> {
        let mut state = self.write();
        let state = &mut *state;
        let objects = state.objects.entry(request.key.kind).or_default();
        let name = name(&request.key);
        let now = objects.get(&name).cloned();
        request.judge(now.as_ref().map(|object| object.revision))?;
        let bytes = request.json.len();
        let key = request.key;
        let revision = state.feed.revision().next();
        let (object, event) = match (request.change, now) {
            (Change::Create(value), _) | (Change::Update(_, value), None) => {
                let object = Arc::new(StoredObject {
                    key,
                    revision,
                    value,
                });
                objects.insert(name, Arc::clone(&object));
                (Arc::clone(&object), WatchEvent::Added(object))
            }
            (Change::Update(_, value), Some(previous)) => {
                let object = Arc::new(StoredObject {
                    key,
                    revision,
                    value,
                });
                objects.insert(name, Arc::clone(&object));
                let event = WatchEvent::Modified {
                    object: Arc::clone(&object),
                    previous,
                };
                (object, event)
            }
            (Change::Delete(_), now) => {
                objects.remove(&name);
                let value = now.map_or(Value::Null, |object| object.value.clone());
                let object = Arc::new(StoredObject {
                    key,
                    revision,
                    value,
                });
                (Arc::clone(&object), WatchEvent::Deleted(object))
            }
        };
        state.feed.publish(event, bytes);
        Ok((*object).clone())
    }
}

fn name(key: &ObjectKey) -> Name {
    (key.namespace.clone().unwrap_or_default(), key.name.clone())
}

fn objects_of(state: &State, kind: Kind, namespace: Option<&str>) -> Vec<StoredObject> {
    let Some(objects) = state.objects.get(&kind) else {
        return Vec::new();
    };
    let first = (namespace.unwrap_or_default().to_owned(), String::new());
    objects
        .range(first..)
        .take_while(|((found, _), _)| namespace.is_none_or(|namespace| found == namespace))
        .map(|(_, object)| (**object).clone())
        .collect()
}

impl Store for MemoryStore {
    fn object(&self, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        let state = self.read();
        let found = state.objects.get(&key.kind).and_then(|o| o.get(&name(key)));
        Ok(found.map(|object| (**object).clone()))
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<List, StoreError> {
        let state = self.read();
        Ok(List {
            objects: objects_of(&state, kind, namespace),
            revision: state.feed.revision(),
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
        let mut state = self.write();
        let current = state.feed.revision();
        if from > Revision::ZERO {
            return state.feed.watch(selector, from, current);
        }
        let present = selector
            .watched_kinds()
            .flat_map(|kind| objects_of(&state, kind, selector.namespace()))
            .collect();
        state.feed.watch_present(selector, present, current)
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        let mut state = self.write();
        let current = state.feed.revision();
        if through > current {
            return Err(StoreError::Future {
                asked: through,
                current,
            });
        }
        state.feed.compact(through);
        Ok(())
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.read().feed.revision())
    }

    fn bookmark(&self) {
        self.write().feed.bookmark();
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryStore;
    use crate::behaviour;

    #[test]
    fn behaves_as_a_store() {
        behaviour::check(&|| Box::new(MemoryStore::new()));
    }
}
