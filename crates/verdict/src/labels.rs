//! Selector evaluation of our own: walks the parsed tree over plain label maps.

use std::collections::BTreeMap;

use oncilla_api::{LabelOperator, LabelSelector};
use oncilla_selector::{Expr, Selector};

/// The labels of an endpoint or a network set, inherited ones included.
pub(crate) type LabelMap = BTreeMap<String, String>;

/// The namespace that a workload or network set belongs to.
pub(crate) const NAMESPACE: &str = "projectcalico.org/namespace";
/// Who runs a workload.
pub(crate) const ORCHESTRATOR: &str = "projectcalico.org/orchestrator";
/// The service account of a workload.
pub(crate) const SERVICE_ACCOUNT: &str = "projectcalico.org/serviceaccount";
/// Stands before the labels that an endpoint has from its namespace.
pub(crate) const NAMESPACE_PREFIX: &str = "pcns.";
/// Stands before the labels that an endpoint has from its service account.
pub(crate) const SERVICE_ACCOUNT_PREFIX: &str = "pcsa.";

/// How a selector is to be read: which labels its names mean, and what `all()` and `global()` mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Stands before every label name.
    pub(crate) prefix: &'static str,
    /// `all()` holds for labels that have this one; for all labels when `None`.
    pub(crate) all: Option<&'static str>,
    /// `global()` holds for labels that lack this one; for all labels when `None`.
    pub(crate) global: Option<&'static str>,
}

impl Reading {
    /// As written.
    pub(crate) const PLAIN: Self = Self {
        prefix: "",
        all: None,
        global: None,
    };
}

pub(crate) fn matches(selector: &Selector, labels: &LabelMap, reading: Reading) -> bool {
    let value = |name: &str| lookup(labels, reading.prefix, name);
    let each = |operand: &Selector| matches(operand, labels, reading);
    match selector.expr() {
        Expr::All => reading.all.is_none_or(|name| labels.contains_key(name)),
        Expr::Global => reading.global.is_none_or(|name| !labels.contains_key(name)),
        Expr::Has(name) => value(name).is_some(),
        Expr::Equal(name, wanted) => value(name).is_some_and(|v| v == &**wanted),
        Expr::NotEqual(name, unwanted) => value(name).is_none_or(|v| v != &**unwanted),
        Expr::Contains(name, part) => value(name).is_some_and(|v| v.contains(&**part)),
        Expr::StartsWith(name, part) => value(name).is_some_and(|v| v.starts_with(&**part)),
        Expr::EndsWith(name, part) => value(name).is_some_and(|v| v.ends_with(&**part)),
        Expr::In(name, set) => value(name).is_some_and(|v| set.iter().any(|each| &**each == v)),
        Expr::NotIn(name, set) => value(name).is_none_or(|v| set.iter().all(|each| &**each != v)),
        Expr::Not(operand) => !each(operand),
        Expr::And(operands) => operands.iter().all(each),
        Expr::Or(operands) => operands.iter().any(each),
    }
}

/// Whether labels match a selector in Kubernetes' form, with `prefix` before every name.
pub(crate) fn kubernetes_matches(
    selector: &LabelSelector,
    labels: &LabelMap,
    prefix: &'static str,
) -> bool {
    let value = |name: &str| lookup(labels, prefix, name);
    let named = selector
        .match_labels
        .iter()
        .all(|(name, wanted)| value(name).is_some_and(|v| v == wanted));
    named
        && selector.match_expressions.iter().all(|requirement| {
            let value = value(&requirement.key);
            let listed = value.is_some_and(|v| requirement.values.iter().any(|each| each == v));
            match requirement.operator {
                LabelOperator::In => listed,
                LabelOperator::NotIn => !listed,
                LabelOperator::Exists => value.is_some(),
                LabelOperator::DoesNotExist => value.is_none(),
            }
        })
}

fn lookup<'a>(labels: &'a LabelMap, prefix: &str, name: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        labels.get(name).map(String::as_str)
    } else {
        labels.get(&format!("{prefix}{name}")).map(String::as_str)
    }
}
