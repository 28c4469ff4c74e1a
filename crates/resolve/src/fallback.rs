//! When classes run out: which predicates are still asked by class (`engine.md` §4).
//!
//! Named ports always are, because a port set is keyed by class. Then come selectors, CIDR lists and
//! selectors of nodes in the order of their canonical texts, as long as the classes fit. A decision of the present state only.

use std::collections::BTreeSet;

use foldhash::{HashSet, HashSetExt as _};
use oncilla_model::Predicate;
use oncilla_net::Family;

use crate::classes::Meaning;
use crate::predicates::Predicates;
use crate::signature::{PredicateId, Signature, Signatures};

/// The share of all class numbers that may be in use once settled, in percent. The rest is for changes.
pub const CLASSES_SETTLED_MAX_PERCENT: usize = 75;

/// The predicates that are asked by class, of those that are in use.
pub(crate) fn by_class(
    signatures: &Signatures,
    predicates: &Predicates,
    wanted: &BTreeSet<PredicateId>,
    meanings: &BTreeSet<Meaning>,
    settled_max: usize,
) -> BTreeSet<PredicateId> {
    // What nothing holds of may be among the meanings although it needs no class: at most one a family.
    if meanings.len() <= settled_max || distinct(signatures, wanted, meanings) <= settled_max {
        return wanted.clone();
    }
    let ordered = ordered(predicates, wanted);
    let named = ordered.iter().take_while(|(rank, ..)| *rank == 0).count();
    let first = |count: usize| -> BTreeSet<PredicateId> {
        ordered[..count].iter().map(|(.., id)| *id).collect()
    };
    // The more predicates, the finer the classes: bisect for the most that fit.
    let (mut fits, mut too_many) = (named, ordered.len());
    while fits + 1 < too_many {
        let middle = usize::midpoint(fits, too_many);
        if distinct(signatures, &first(middle), meanings) <= settled_max {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    first(fits)
}

fn ordered<'a>(
    predicates: &'a Predicates,
    wanted: &BTreeSet<PredicateId>,
) -> Vec<(u8, &'a Predicate, PredicateId)> {
    let rank = |predicate: &Predicate| match predicate {
        Predicate::NamedPort { .. } => 0,
        Predicate::Selector { .. } => 1,
        Predicate::Nets { .. } => 2,
        Predicate::Nodes { .. } => 3,
        // Never among them: lists have no classes.
        Predicate::Listed { .. } => 4,
    };
    let wanted = wanted.iter().map(|id| (predicates.of(*id), *id));
    let mut ordered: Vec<_> = wanted
        .map(|(predicate, id)| (rank(predicate), predicate, id))
        .collect();
    ordered.sort_unstable();
    ordered
}

/// How many classes there are when only these predicates count.
fn distinct(
    signatures: &Signatures,
    keep: &BTreeSet<PredicateId>,
    meanings: &BTreeSet<Meaning>,
) -> usize {
    let mut seen: HashSet<(Family, Signature)> = HashSet::new();
    for (family, signature) in meanings {
        seen.insert((*family, signatures.of(*signature).restricted(keep)));
    }
    seen.len()
}
