//! Whether labels match a selector.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::{Expr, Selector};

/// Anything that has labels.
pub trait Labels {
    /// The label's value, or `None` when it is absent.
    fn label(&self, key: &str) -> Option<&str>;
}

impl<K: Borrow<str> + Ord, V: AsRef<str>> Labels for BTreeMap<K, V> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

impl<L: Labels + ?Sized> Labels for &L {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

impl Selector {
    /// Whether the labels match. Comparisons are of bytes: case counts.
    pub fn evaluate(&self, labels: &impl Labels) -> bool {
        match self.expr() {
            Expr::All | Expr::Global => true,
            Expr::Has(key) => labels.label(key).is_some(),
            Expr::Equal(key, value) => labels.label(key) == Some(value),
            Expr::NotEqual(key, value) => labels.label(key) != Some(value),
            Expr::Contains(key, part) => labels.label(key).is_some_and(|v| v.contains(&**part)),
            Expr::StartsWith(key, part) => {
                labels.label(key).is_some_and(|v| v.starts_with(&**part))
            }
            Expr::EndsWith(key, part) => labels.label(key).is_some_and(|v| v.ends_with(&**part)),
            Expr::In(key, values) => labels.label(key).is_some_and(|v| values.contains(v)),
            Expr::NotIn(key, values) => labels.label(key).is_none_or(|v| !values.contains(v)),
            Expr::Not(operand) => !operand.evaluate(labels),
            Expr::And(operands) => operands.iter().all(|each| each.evaluate(labels)),
            Expr::Or(operands) => operands.iter().any(|each| each.evaluate(labels)),
        }
    }
}
