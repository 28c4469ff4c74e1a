//! What is in the kernel and no packet can meet: removed by the next cleaning.
//!
//! Between a flip and its cleaning something can be needed again. So garbage is kept by what it is, not as
//! edits, and can be rescued.

use std::collections::{BTreeMap, BTreeSet};

use oncilla_nft::object::{Element, Name, Set, Value};
use oncilla_nft::{FilledSet, Ruleset};

use crate::compare::{Difference, foreign_elements};
use crate::edit::{Edit, Transaction};

/// Objects and elements that nothing leads to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Garbage {
    /// Elements of sets that stay.
    elements: BTreeMap<Name, (Set, BTreeSet<Element>)>,
    /// Chains with their rules.
    chains: BTreeSet<Name>,
    /// Sets that only those chains ask, with what they still hold.
    sets: BTreeMap<Name, FilledSet>,
}

impl Garbage {
    /// Whether there is nothing to clean.
    pub(crate) fn is_empty(&self) -> bool {
        self.elements.is_empty() && self.chains.is_empty() && self.sets.is_empty()
    }

    /// Leaves elements to the cleaning.
    pub(crate) fn leave_elements(&mut self, set: &Set, gone: impl IntoIterator<Item = Element>) {
        let entry = self.elements.entry(Name::clone(&set.name));
        let (_, elements) = entry.or_insert_with(|| (set.clone(), BTreeSet::new()));
        elements.extend(gone);
        if elements.is_empty() {
            self.elements.remove(&set.name);
        }
    }

    /// An element that is needed again stays.
    pub(crate) fn rescue(&mut self, set: &Name, needed: &Element) {
        if let Some((_, elements)) = self.elements.get_mut(set) {
            elements.remove(needed);
            if elements.is_empty() {
                self.elements.remove(set);
            }
        }
    }

    /// Takes out an element that was left with this key, whatever a map gives for it.
    pub(crate) fn take_key(&mut self, set: &Name, key: &Value) -> Option<Element> {
        let (_, elements) = self.elements.get_mut(set)?;
        let found = elements
            .iter()
            .find(|element| element.key() == key)
            .cloned()?;
        elements.remove(&found);
        if elements.is_empty() {
            self.elements.remove(set);
        }
        Some(found)
    }

    /// Leaves a chain with its rules.
    pub(crate) fn leave_chain(&mut self, name: Name) {
        self.chains.insert(name);
    }

    /// Leaves a set with what it holds, elements that were left before included.
    pub(crate) fn leave_set(&mut self, mut filled: FilledSet) {
        if let Some((_, left)) = self.elements.remove(&filled.set.name) {
            filled.elements.extend(left);
        }
        self.sets.insert(Name::clone(&filled.set.name), filled);
    }

    /// Takes out a set that is needed again, with what it still holds.
    pub(crate) fn take_set(&mut self, name: &Name) -> Option<FilledSet> {
        self.sets.remove(name)
    }

    /// Keeps only what a table has.
    pub(crate) fn retain(&mut self, found: &Ruleset) {
        self.chains.retain(|name| found.chains.contains_key(name));
        self.sets.retain(|name, _| found.sets.contains_key(name));
        self.elements.retain(|name, (_, left)| {
            let Some(filled) = found.sets.get(name) else {
                return false;
            };
            let there: BTreeSet<&Value> = filled.elements.iter().map(Element::key).collect();
            left.retain(|element| there.contains(element.key()));
            !left.is_empty()
        });
    }

    /// The differences that are more than what the next cleaning removes.
    pub(crate) fn overlook(
        &self,
        differences: Vec<Difference>,
        expected: &Ruleset,
        found: &Ruleset,
    ) -> Vec<Difference> {
        let mut differences = differences;
        differences.retain(|difference| match difference {
            Difference::ForeignChain(name) => !self.chains.contains(name),
            Difference::ForeignSet(name) => !self.sets.contains_key(name),
            Difference::Elements {
                set, missing: 0, ..
            } => {
                let (Some((_, left)), Some(expected), Some(found)) = (
                    self.elements.get(set),
                    expected.sets.get(set),
                    found.sets.get(set),
                ) else {
                    return true;
                };
                let known: BTreeSet<&Value> = left.iter().map(Element::key).collect();
                !foreign_elements(expected, found)
                    .iter()
                    .all(|e| known.contains(e.key()))
            }
            Difference::NoTable
            | Difference::NoChain(_)
            | Difference::Chain(_)
            | Difference::NoSet(_)
            | Difference::Set(_)
            | Difference::Elements { .. } => true,
        });
        differences
    }

    /// The cleaning, in an order that the kernel accepts: rules, elements, chains, sets.
    pub(crate) fn transaction(&self) -> Transaction {
        let mut edits: Transaction = self
            .chains
            .iter()
            .map(|name| Edit::FlushChain(Name::clone(name)))
            .collect();
        for (set, elements) in self.elements.values() {
            let elements = elements.iter().cloned().collect();
            edits.push(Edit::DeleteElements(set.clone(), elements));
        }
        edits.extend(
            self.chains
                .iter()
                .map(|name| Edit::DeleteChain(Name::clone(name))),
        );
        edits.extend(
            self.sets
                .keys()
                .map(|name| Edit::DeleteSet(Name::clone(name))),
        );
        edits
    }
}
