//! One asked-for write, and the rules by which every store accepts or refuses it.

use serde_json::Value;

use crate::error::StoreError;
use crate::object::{OBJECT_BYTES_MAX, ObjectKey, Revision};

/// What to do with one key.
#[derive(Debug)]
pub(crate) enum Change {
    /// Only when nothing is there.
    Create(Value),
    /// Only when something is there, at the expected revision when one is given.
    Update(Option<Revision>, Value),
    /// The same condition as an update.
    Delete(Option<Revision>),
}

/// A change whose form has been checked: the key fits its kind and the value fits the limit.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) key: ObjectKey,
    pub(crate) change: Change,
    /// The value's JSON form; empty for a delete.
    pub(crate) json: Vec<u8>,
}

impl Request {
    pub(crate) fn new(key: &ObjectKey, change: Change) -> Result<Self, StoreError> {
        let namespaced = key.kind.namespaced();
        if namespaced != key.namespace.is_some() {
            return Err(StoreError::Scope {
                key: key.clone(),
                namespaced,
            });
        }
        let json = match &change {
            Change::Create(value) | Change::Update(_, value) => {
                serde_json::to_vec(value).map_err(|source| StoreError::Decode {
                    key: key.clone(),
                    source,
                })?
            }
            Change::Delete(_) => Vec::new(),
        };
        if json.len() > OBJECT_BYTES_MAX {
            return Err(StoreError::TooLarge {
                key: key.clone(),
                bytes: json.len(),
                limit: OBJECT_BYTES_MAX,
            });
        }
        Ok(Self {
            key: key.clone(),
            change,
            json,
        })
    }

    /// Whether the change may happen, given the revision at which the key is now.
    pub(crate) fn judge(&self, now: Option<Revision>) -> Result<(), StoreError> {
        let expected = match &self.change {
            Change::Create(_) => {
                return match now {
                    None => Ok(()),
                    Some(found) => Err(StoreError::AlreadyExists {
                        key: self.key.clone(),
                        found,
                    }),
                };
            }
            Change::Update(expected, _) | Change::Delete(expected) => *expected,
        };
        match (now, expected) {
            (None, _) => Err(StoreError::NotFound {
                key: self.key.clone(),
            }),
            (Some(found), Some(expected)) if found != expected => Err(StoreError::Conflict {
                key: self.key.clone(),
                expected,
                found,
            }),
            (Some(_), _) => Ok(()),
        }
    }
}
