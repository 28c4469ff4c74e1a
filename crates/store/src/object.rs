//! What a store keeps: a key, a revision and a JSON value it does not look into.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

pub use oncilla_api::{Kind, ObjectKey};
use serde_json::Value;

/// Largest stored value, in bytes of its JSON form.
pub const OBJECT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The number of a write, counted over the whole store. 0 is "before the first write".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first write.
    pub const ZERO: Self = Self(0);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Revision {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An object as a store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredObject {
    /// Kind, namespace and name.
    pub key: ObjectKey,
    /// The write that made this value; of a removed object, the removal.
    pub revision: Revision,
    /// The object in its JSON form.
    pub value: Value,
}

/// Objects of one kind, and the revision at which the list was true.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// Sorted by namespace, then name.
    pub objects: Vec<StoredObject>,
    /// A watch from here misses nothing that came after this list.
    pub revision: Revision,
}
