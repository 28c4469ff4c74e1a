//! What a selector demands of single labels: an index can find candidates by it, without evaluating.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Expr, Selector};

/// What every set of labels that matches a selector fulfils for one label name. Necessary, not sufficient.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LabelRestriction {
    /// The label must be there.
    pub must_be_present: bool,
    /// The label must not be there. With `must_be_present` nothing matches.
    pub must_be_absent: bool,
    /// When set, the label must be there with one of these values; an empty set matches nothing.
    pub one_of: Option<BTreeSet<Arc<str>>>,
}

type Restrictions = BTreeMap<Arc<str>, LabelRestriction>;

impl LabelRestriction {
    /// Whether no value and no absence fulfils the restriction, so that the whole selector matches nothing.
    pub fn is_impossible(&self) -> bool {
        (self.must_be_present && self.must_be_absent)
            || self.one_of.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Whether a label value, or its absence, fulfils the restriction.
    pub fn admits(&self, value: Option<&str>) -> bool {
        match value {
            None => !self.must_be_present,
            Some(value) => {
                !self.must_be_absent
                    && self
                        .one_of
                        .as_ref()
                        .is_none_or(|values| values.contains(value))
            }
        }
    }

    fn present() -> Self {
        Self {
            must_be_present: true,
            ..Self::default()
        }
    }

    fn absent() -> Self {
        Self {
            must_be_absent: true,
            ..Self::default()
        }
    }

    fn values(values: BTreeSet<Arc<str>>) -> Self {
        Self {
            must_be_present: true,
            must_be_absent: false,
            one_of: Some(values),
        }
    }

    /// Both hold.
    fn and(&mut self, other: Self) {
        self.must_be_present |= other.must_be_present;
        self.must_be_absent |= other.must_be_absent;
        self.one_of = match (self.one_of.take(), other.one_of) {
            (Some(mine), Some(theirs)) => Some(mine.intersection(&theirs).cloned().collect()),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// Either holds.
    fn or(&mut self, other: Self) {
        self.must_be_present &= other.must_be_present;
        self.must_be_absent &= other.must_be_absent;
        self.one_of = match (self.one_of.take(), other.one_of) {
            (Some(mut mine), Some(theirs)) => {
                mine.extend(theirs);
                Some(mine)
            }
            _ => None,
        };
    }
}

impl Selector {
    /// What each label must be for the selector to match; labels without a restriction are left out.
    pub fn restrictions(&self) -> BTreeMap<Arc<str>, LabelRestriction> {
        restrictions(self, false)
    }
}

fn restrictions(selector: &Selector, negated: bool) -> Restrictions {
    let one =
        |label: &Arc<str>, restriction| Restrictions::from([(Arc::clone(label), restriction)]);
    match (selector.expr(), negated) {
        (
            Expr::Has(label)
            | Expr::Contains(label, _)
            | Expr::StartsWith(label, _)
            | Expr::EndsWith(label, _),
            false,
        ) => one(label, LabelRestriction::present()),
        (Expr::Has(label), true) => one(label, LabelRestriction::absent()),
        (Expr::Equal(label, value), false) | (Expr::NotEqual(label, value), true) => {
            let values = BTreeSet::from([Arc::clone(value)]);
            one(label, LabelRestriction::values(values))
        }
        (Expr::In(label, values), false) | (Expr::NotIn(label, values), true) => {
            one(label, LabelRestriction::values(values.clone()))
        }
        (Expr::Not(operand), _) => restrictions(operand, !negated),
        (Expr::And(operands), false) | (Expr::Or(operands), true) => {
            every(operands.iter().map(|each| restrictions(each, negated)))
        }
        (Expr::Or(operands), false) | (Expr::And(operands), true) => {
            any(operands.iter().map(|each| restrictions(each, negated)))
        }
        _ => Restrictions::new(),
    }
}

fn every(operands: impl Iterator<Item = Restrictions>) -> Restrictions {
    let mut all = Restrictions::new();
    for (label, restriction) in operands.flatten() {
        all.entry(label).or_default().and(restriction);
    }
    all
}

fn any(operands: impl Iterator<Item = Restrictions>) -> Restrictions {
    operands
        .reduce(|mut left, mut right| {
            left.retain(|label, restriction| match right.remove(label) {
                Some(other) => {
                    restriction.or(other);
                    *restriction != LabelRestriction::default()
                }
                None => false,
            });
            left
        })
        .unwrap_or_default()
}
