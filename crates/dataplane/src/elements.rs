//! Element edits gathered by set: one deletion and one addition each, deletions first, because a key's value
//! cannot be overwritten.

use std::collections::BTreeMap;

use oncilla_nft::Placed;
use oncilla_nft::object::{Element, Name, Set};

use crate::edit::{Edit, Transaction};

/// Additions and deletions by set.
#[derive(Debug, Default)]
pub(crate) struct ElementEdits {
    deleted: BTreeMap<Name, Vec<Element>>,
    added: BTreeMap<Name, Vec<Element>>,
}

impl ElementEdits {
    /// An element comes.
    pub(crate) fn add(&mut self, placed: Placed) {
        self.added
            .entry(placed.set)
            .or_default()
            .push(placed.element);
    }

    /// An element goes.
    pub(crate) fn delete(&mut self, placed: Placed) {
        self.deleted
            .entry(placed.set)
            .or_default()
            .push(placed.element);
    }

    /// The edits; elements of sets that the table does not have are left out.
    pub(crate) fn edits(self, set: impl Fn(&str) -> Option<Set>) -> Transaction {
        let mut edits = Vec::new();
        for (name, elements) in self.deleted {
            edits.extend(set(&name).map(|set| Edit::DeleteElements(set, elements)));
        }
        for (name, elements) in self.added {
            edits.extend(set(&name).map(|set| Edit::AddElements(set, elements)));
        }
        edits
    }
}
