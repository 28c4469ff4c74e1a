//! What should be in the table against what is.

use std::collections::BTreeSet;
use std::fmt;

use oncilla_nft::object::{Element, Name};
use oncilla_nft::{FilledSet, Ruleset};

/// Sets whose elements come and go by themselves.
const EXPIRING: [&str; 2] = ["tomb4", "tomb6"];

/// Whether a set's elements come and go by themselves.
pub(crate) fn is_expiring(set: &str) -> bool {
    EXPIRING.contains(&set)
}

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Difference {
    /// The table is gone.
    NoTable,
    /// A chain is gone.
    NoChain(Name),
    /// A chain has other rules, or another hook.
    Chain(Name),
    /// A chain that is not ours.
    ForeignChain(Name),
    /// A set is gone.
    NoSet(Name),
    /// A set is of another type.
    Set(Name),
    /// A set that is not ours.
    ForeignSet(Name),
    /// Elements that should be there are not, or others are.
    Elements {
        /// The set.
        set: Name,
        /// How many are missing.
        missing: usize,
        /// How many should not be there.
        foreign: usize,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => f.write_str("the table is gone"),
            Self::NoChain(name) => write!(f, "chain {name} is gone"),
            Self::Chain(name) => write!(f, "chain {name} was changed"),
            Self::ForeignChain(name) => write!(f, "chain {name} is not ours"),
            Self::NoSet(name) => write!(f, "set {name} is gone"),
            Self::Set(name) => write!(f, "set {name} has another type"),
            Self::ForeignSet(name) => write!(f, "set {name} is not ours"),
            Self::Elements {
                set,
                missing,
                foreign,
            } => {
                write!(
                    f,
                    "set {set}: {missing} elements missing, {foreign} not ours"
                )
            }
        }
    }
}

/// All differences, sorted.
pub(crate) fn compare(expected: &Ruleset, found: &Ruleset) -> Vec<Difference> {
    let mut differences = BTreeSet::new();
    for (name, chain) in &expected.chains {
        match found.chains.get(name) {
            None => drop(differences.insert(Difference::NoChain(Name::clone(name)))),
            Some(found) if found != chain => {
                differences.insert(Difference::Chain(Name::clone(name)));
            }
            Some(_) => {}
        }
    }
    for name in found
        .chains
        .keys()
        .filter(|name| !expected.chains.contains_key(*name))
    {
        differences.insert(Difference::ForeignChain(Name::clone(name)));
    }
    for (name, set) in &expected.sets {
        match found.sets.get(name) {
            None => drop(differences.insert(Difference::NoSet(Name::clone(name)))),
            Some(found) => differences.extend(compare_sets(set, found)),
        }
    }
    for name in found
        .sets
        .keys()
        .filter(|name| !expected.sets.contains_key(*name))
    {
        differences.insert(Difference::ForeignSet(Name::clone(name)));
    }
    differences.into_iter().collect()
}

fn compare_sets(expected: &FilledSet, found: &FilledSet) -> Option<Difference> {
    let name = &expected.set.name;
    if expected.set != found.set {
        return Some(Difference::Set(Name::clone(name)));
    }
    if EXPIRING.contains(&name.as_ref()) || expected.elements == found.elements {
        return None;
    }
    let missing = expected.elements.difference(&found.elements).count();
    let foreign = found.elements.difference(&expected.elements).count();
    Some(Difference::Elements {
        set: Name::clone(name),
        missing,
        foreign,
    })
}

/// The elements that are there and should not be.
pub(crate) fn foreign_elements(expected: &FilledSet, found: &FilledSet) -> Vec<Element> {
    found
        .elements
        .difference(&expected.elements)
        .cloned()
        .collect()
}
