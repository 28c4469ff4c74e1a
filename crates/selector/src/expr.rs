//! The expression tree, and building trees without text.

use std::collections::BTreeSet;
use std::sync::Arc;

/// A parsed selector. Cloning is cheap; equal expressions are equal values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Selector(Arc<Expr>);

/// One node of a selector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Expr {
    /// `all()`: true.
    All,
    /// `global()`: true; what it selects is decided where it is written.
    Global,
    /// `has(label)`.
    Has(Arc<str>),
    /// `label == "value"`: false when the label is absent.
    Equal(Arc<str>, Arc<str>),
    /// `label != "value"`: true when the label is absent.
    NotEqual(Arc<str>, Arc<str>),
    /// `label contains "value"`: false when the label is absent.
    Contains(Arc<str>, Arc<str>),
    /// `label starts with "value"`: false when the label is absent.
    StartsWith(Arc<str>, Arc<str>),
    /// `label ends with "value"`: false when the label is absent.
    EndsWith(Arc<str>, Arc<str>),
    /// `label in {"a", "b"}`: false when the label is absent.
    In(Arc<str>, BTreeSet<Arc<str>>),
    /// `label not in {"a", "b"}`: true when the label is absent.
    NotIn(Arc<str>, BTreeSet<Arc<str>>),
    /// `!operand`. The operand is never itself a `Not`.
    Not(Selector),
    /// All operands hold. Two or more.
    And(Vec<Selector>),
    /// Any operand holds. Two or more.
    Or(Vec<Selector>),
}

impl Selector {
    /// The tree's top node, for walking it.
    pub fn expr(&self) -> &Expr {
        &self.0
    }

    /// `all()`.
    pub fn all() -> Self {
        Self::from(Expr::All)
    }

    /// `has(label)`. Label names and values given to this and the other builders must be ones that the
    /// language can write: identifiers, and values without a double or without a single quote; otherwise
    /// the canonical form does not parse.
    pub fn has(label: &str) -> Self {
        Self::from(Expr::Has(label.into()))
    }

    /// `label == "value"`.
    pub fn eq(label: &str, value: &str) -> Self {
        Self::from(Expr::Equal(label.into(), value.into()))
    }

    /// `label in {…}`.
    pub fn in_set(label: &str, values: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let values = values.into_iter().map(|v| v.as_ref().into()).collect();
        Self::from(Expr::In(label.into(), values))
    }

    /// `label not in {…}`.
    pub fn not_in_set(label: &str, values: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let values = values.into_iter().map(|v| v.as_ref().into()).collect();
        Self::from(Expr::NotIn(label.into(), values))
    }

    /// `(self && other)`.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::from(Expr::And(vec![self.clone(), other.clone()]))
    }

    /// `(self || other)`.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self::from(Expr::Or(vec![self.clone(), other.clone()]))
    }

    /// `!self`; a double negation disappears, so that the canonical form survives re-parsing.
    #[must_use]
    pub fn not(&self) -> Self {
        match self.expr() {
            Expr::Not(operand) => operand.clone(),
            _ => Self::from(Expr::Not(self.clone())),
        }
    }

    /// All operands hold: `all()` for none, the operand itself for one.
    pub fn and_all(operands: Vec<Self>) -> Self {
        Self::fold(operands, Expr::And).unwrap_or_else(Self::all)
    }

    /// The same selector with `prefix` before every label name, as in `pcns.` for namespace labels.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        self.map_leaves(&|leaf| {
            let prefixed = |label: &Arc<str>| -> Arc<str> { format!("{prefix}{label}").into() };
            Self::from(match leaf {
                Expr::All | Expr::Global | Expr::Not(_) | Expr::And(_) | Expr::Or(_) => {
                    leaf.clone()
                }
                Expr::Has(label) => Expr::Has(prefixed(label)),
                Expr::Equal(label, value) => Expr::Equal(prefixed(label), Arc::clone(value)),
                Expr::NotEqual(label, value) => Expr::NotEqual(prefixed(label), Arc::clone(value)),
                Expr::Contains(label, value) => Expr::Contains(prefixed(label), Arc::clone(value)),
                Expr::StartsWith(label, value) => {
                    Expr::StartsWith(prefixed(label), Arc::clone(value))
                }
                Expr::EndsWith(label, value) => Expr::EndsWith(prefixed(label), Arc::clone(value)),
                Expr::In(label, values) => Expr::In(prefixed(label), values.clone()),
                Expr::NotIn(label, values) => Expr::NotIn(prefixed(label), values.clone()),
            })
        })
    }

    /// The same selector with every `all()` replaced, as Calico does when a namespace or service account
    /// selector narrows what "all" means.
    #[must_use]
    pub fn replacing_all(&self, replacement: &Self) -> Self {
        self.map_leaves(&|leaf| match leaf {
            Expr::All => replacement.clone(),
            _ => Self::from(leaf.clone()),
        })
    }

    /// The label names that the selector mentions.
    pub fn keys(&self) -> BTreeSet<Arc<str>> {
        let mut keys = BTreeSet::new();
        self.collect_keys(&mut keys);
        keys
    }

    /// One operand stays itself, several become one node, none is `None`.
    pub(crate) fn fold(mut operands: Vec<Self>, join: fn(Vec<Self>) -> Expr) -> Option<Self> {
        match operands.len() {
            0 | 1 => operands.pop(),
            _ => Some(Self::from(join(operands))),
        }
    }

    fn map_leaves(&self, map: &impl Fn(&Expr) -> Self) -> Self {
        match self.expr() {
            Expr::Not(operand) => operand.map_leaves(map).not(),
            Expr::And(operands) => Self::from(Expr::And(
                operands.iter().map(|each| each.map_leaves(map)).collect(),
            )),
            Expr::Or(operands) => Self::from(Expr::Or(
                operands.iter().map(|each| each.map_leaves(map)).collect(),
            )),
            leaf => map(leaf),
        }
    }

    fn collect_keys(&self, keys: &mut BTreeSet<Arc<str>>) {
        match self.expr() {
            Expr::All | Expr::Global => {}
            Expr::Has(label)
            | Expr::Equal(label, _)
            | Expr::NotEqual(label, _)
            | Expr::Contains(label, _)
            | Expr::StartsWith(label, _)
            | Expr::EndsWith(label, _)
            | Expr::In(label, _)
            | Expr::NotIn(label, _) => {
                keys.insert(Arc::clone(label));
            }
            Expr::Not(operand) => operand.collect_keys(keys),
            Expr::And(operands) | Expr::Or(operands) => {
                for operand in operands {
                    operand.collect_keys(keys);
                }
            }
        }
    }
}

impl From<Expr> for Selector {
    /// Wraps a node. Use [`Selector::not`] and [`Selector::and_all`] to build compound nodes: they keep
    /// what [`Expr`] promises.
    fn from(expr: Expr) -> Self {
        Self(Arc::new(expr))
    }
}
