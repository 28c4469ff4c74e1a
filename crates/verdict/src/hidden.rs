//! Owners of addresses nobody knows which: network sets and nodes that are broken.
//!
//! A set of which a CIDR cannot be read may hold any address. What is known of its labels says which
//! selectors can mean it at all. Such a rule allows or passes on what it matches whatever the set holds, and
//! denies what it may match, unless it is an Allow: then the next rule is asked. Kubernetes' rules only allow,
//! and have no negative part: what they match, they match without the set.

use std::sync::Arc;

use oncilla_api::{Kind, ObjectKey, Remains};
use oncilla_selector::{Expr, Selector};

use crate::labels::{LabelMap, NAMESPACE, NAMESPACE_PREFIX, Reading};

/// A broken network set, or a broken node.
#[derive(Debug)]
pub(crate) struct HiddenSet {
    /// A node, which only a peer of nodes can mean.
    pub(crate) is_node: bool,
    namespace: Option<String>,
    /// `None` when they cannot be read.
    labels: Option<LabelMap>,
    /// What is to be said of policies that may mean it.
    pub(crate) problem: Arc<str>,
}

/// What a condition comes to when some labels are unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Truth {
    No,
    Perhaps,
    Yes,
}

impl Truth {
    pub(crate) fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    pub(crate) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
            Self::Yes => Self::No,
        }
    }

    /// The least certain of all: every one must hold.
    pub(crate) fn all(truths: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for truth in truths {
            all = match (all, truth) {
                (Self::No, _) | (_, Self::No) => Self::No,
                (Self::Perhaps, _) | (_, Self::Perhaps) => Self::Perhaps,
                (Self::Yes, Self::Yes) => Self::Yes,
            };
        }
        all
    }

    fn any(truths: impl IntoIterator<Item = Self>) -> Self {
        Self::all(truths.into_iter().map(Self::not)).not()
    }
}

impl HiddenSet {
    pub(crate) fn of(key: &ObjectKey, remains: &Remains) -> Self {
        let errors: Vec<String> = remains.errors().iter().map(ToString::to_string).collect();
        Self {
            is_node: key.kind == Kind::Node,
            namespace: key.namespace.clone(),
            labels: remains.read("metadata.labels"),
            problem: format!(
                "{key} cannot be understood ({}), so nobody knows which addresses it holds",
                errors.join("; ")
            )
            .into(),
        }
    }

    /// The labels that the set itself has; `None` when they cannot be read.
    pub(crate) fn labels(&self) -> Option<&LabelMap> {
        self.labels.as_ref()
    }

    /// Whether the set has a label whose value is as wanted; `None` is no label.
    pub(crate) fn has(
        &self,
        prefix: &str,
        name: &str,
        wanted: impl Fn(Option<&str>) -> bool,
    ) -> Truth {
        let name = format!("{prefix}{name}");
        let own = self.labels.as_ref();
        let inherits = self.namespace.is_some() && name.starts_with(NAMESPACE_PREFIX);
        if name == NAMESPACE {
            Truth::of(wanted(self.namespace.as_deref()))
        } else if let Some(value) = own.and_then(|labels| labels.get(&name)) {
            Truth::of(wanted(Some(value)))
        } else if own.is_none() || inherits {
            Truth::Perhaps
        } else {
            Truth::of(wanted(None))
        }
    }

    /// Whether a selector means the set. None of endpoints means a node.
    pub(crate) fn matches(&self, selector: &Selector, reading: Reading) -> Truth {
        if self.is_node {
            return Truth::No;
        }
        self.evaluate(selector, reading)
    }

    fn evaluate(&self, selector: &Selector, reading: Reading) -> Truth {
        let of = |name: &str, wanted: &dyn Fn(Option<&str>) -> bool| {
            self.has(reading.prefix, name, wanted)
        };
        let each = |operand: &Selector| self.evaluate(operand, reading);
        let is_there = |value: Option<&str>| value.is_some();
        match selector.expr() {
            Expr::All => reading
                .all
                .map_or(Truth::Yes, |name| self.has("", name, is_there)),
            Expr::Global => reading
                .global
                .map_or(Truth::Yes, |name| self.has("", name, is_there).not()),
            Expr::Has(name) => of(name, &is_there),
            Expr::Equal(name, wanted) => of(name, &|v| v == Some(&**wanted)),
            Expr::NotEqual(name, unwanted) => of(name, &|v| v == Some(&**unwanted)).not(),
            Expr::Contains(name, part) => of(name, &|v| v.is_some_and(|v| v.contains(&**part))),
            Expr::StartsWith(name, part) => {
                of(name, &|v| v.is_some_and(|v| v.starts_with(&**part)))
            }
            Expr::EndsWith(name, part) => of(name, &|v| v.is_some_and(|v| v.ends_with(&**part))),
            Expr::In(name, set) => of(name, &|v| set.iter().any(|each| Some(&**each) == v)),
            Expr::NotIn(name, set) => {
                of(name, &|v| set.iter().any(|each| Some(&**each) == v)).not()
            }
            Expr::Not(operand) => each(operand).not(),
            Expr::And(operands) => Truth::all(operands.iter().map(each)),
            Expr::Or(operands) => Truth::any(operands.iter().map(each)),
        }
    }
}
