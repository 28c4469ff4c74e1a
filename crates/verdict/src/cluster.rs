//! The objects that questions are asked about.

use std::collections::BTreeMap;

use oncilla_api::{Object, ObjectKey};

/// All objects of a cluster, as people wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    objects: BTreeMap<ObjectKey, Object>,
}

impl Cluster {
    /// A cluster without objects.
    pub const fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
        }
    }

    /// Adds an object, or replaces the one of the same key; returns the replaced one.
    pub fn insert(&mut self, object: Object) -> Option<Object> {
        self.objects.insert(object.key(), object)
    }

    /// Takes an object away; returns it when it was there.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Object> {
        self.objects.remove(key)
    }

    /// The object of this key.
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// All objects, in the order of their keys.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl FromIterator<Object> for Cluster {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let mut cluster = Self::new();
        cluster.extend(objects);
        cluster
    }
}

impl Extend<Object> for Cluster {
    fn extend<I: IntoIterator<Item = Object>>(&mut self, objects: I) {
        for object in objects {
            self.insert(object);
        }
    }
}
