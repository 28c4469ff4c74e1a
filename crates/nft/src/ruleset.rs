//! A table as a value: what is desired, or what was read.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{Chain, Element, Name, Rule, Set, Table};

/// A set or map with its elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilledSet {
    /// The set.
    pub set: Set,
    /// Its elements, sorted.
    pub elements: BTreeSet<Element>,
}

/// A chain with its rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilledChain {
    /// The chain.
    pub chain: Chain,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// A table with everything in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ruleset {
    /// The table.
    pub table: Table,
    /// Sets and maps by name.
    pub sets: BTreeMap<Name, FilledSet>,
    /// Chains by name.
    pub chains: BTreeMap<Name, FilledChain>,
}

impl Ruleset {
    /// An empty table.
    pub fn new(table: Table) -> Self {
        Self {
            table,
            sets: BTreeMap::new(),
            chains: BTreeMap::new(),
        }
    }

    /// Adds a set without elements.
    pub(crate) fn put_set(&mut self, set: Set) {
        self.put_filled(set, BTreeSet::new());
    }

    /// Adds a set with elements.
    pub(crate) fn put_filled(&mut self, set: Set, elements: BTreeSet<Element>) {
        self.sets
            .insert(Name::clone(&set.name), FilledSet { set, elements });
    }

    /// Adds a chain with its rules.
    pub(crate) fn put_chain(&mut self, chain: Chain, rules: Vec<Rule>) {
        self.chains
            .insert(Name::clone(&chain.name), FilledChain { chain, rules });
    }

    /// Adds elements to a set that is there, many at once; quickly when they are sorted.
    pub(crate) fn put_elements(&mut self, set: &str, elements: impl Iterator<Item = Element>) {
        if let Some(filled) = self.sets.get_mut(set) {
            filled.elements.append(&mut elements.collect());
        }
    }

    /// Adds an element to a set that is there.
    pub(crate) fn put_element(&mut self, set: &str, element: Element) {
        if let Some(filled) = self.sets.get_mut(set) {
            filled.elements.insert(element);
        }
    }
}
