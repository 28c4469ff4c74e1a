//! Labels and selectors over the same few names, so that they meet.

use std::collections::BTreeMap;

use oncilla_api::{LabelOperator, LabelRequirement, LabelSelector};

use crate::rng::Rng;

/// Label names with their values. Values contain each other.
pub(super) const LABELS: [(&str, &[&str]); 5] = [
    ("a", &["x", "y", "xy"]),
    ("b", &["x", "z", ""]),
    ("tier", &["front", "back", "front-end"]),
    ("example.org/c", &["one", "two"]),
    (LONG, &[LONG, "short"]),
];
/// As long as the name and the value of a label may be.
const LONG: &str = "a-label-of-sixty-three-characters-exactly-0123456789-0123456789";
/// Labels of namespaces.
pub(super) const NAMESPACE_LABELS: [(&str, &[&str]); 2] =
    [("env", &["prod", "test"]), ("team", &["x", "y"])];
/// Labels of service accounts.
pub(super) const ACCOUNT_LABELS: [(&str, &[&str]); 1] = [("role", &["api", "batch"])];
/// Labels of nodes. Pods have some of the same, which must not matter.
pub(super) const NODE_LABELS: [(&str, &[&str]); 2] =
    [("a", &["x", "y"]), ("zone", &["one", "two"])];
/// What endpoints have beside their own labels.
const INHERITED: [(&str, &[&str]); 6] = [
    ("pcns.env", &["prod", "test"]),
    ("pcns.team", &["x", "y"]),
    ("pcsa.role", &["api", "batch"]),
    ("projectcalico.org/namespace", &["red", "green"]),
    (
        "projectcalico.org/serviceaccount",
        &["default", "robot", "forged"],
    ),
    ("projectcalico.org/orchestrator", &["k8s", "cni"]),
];

type Pool = [(&'static str, &'static [&'static str])];

/// Some of the labels of a pool.
pub(super) fn labels(rng: &mut Rng, pool: &Pool) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, values) in pool {
        if rng.chance(2, 3) {
            labels.insert((*name).to_owned(), (*rng.pick(values)).to_owned());
        }
    }
    labels
}

/// A selector for endpoints, in Calico's language.
pub(super) fn endpoints(rng: &mut Rng) -> String {
    let mut pool = LABELS.to_vec();
    pool.extend(LABELS);
    pool.extend(INHERITED);
    tree(rng, &pool, 2)
}

/// A selector for the labels of namespaces.
pub(super) fn namespaces(rng: &mut Rng) -> String {
    tree(rng, &NAMESPACE_LABELS, 1)
}

/// A selector for the labels of service accounts.
pub(super) fn accounts(rng: &mut Rng) -> String {
    tree(rng, &ACCOUNT_LABELS, 1)
}

/// A selector for the labels of nodes.
pub(super) fn nodes(rng: &mut Rng) -> String {
    tree(rng, &NODE_LABELS, 1)
}

fn tree(rng: &mut Rng, pool: &Pool, depth: u32) -> String {
    if depth > 0 && rng.chance(1, 3) {
        let (left, right) = (tree(rng, pool, depth - 1), tree(rng, pool, depth - 1));
        return match rng.below(4) {
            0 => format!("({left}) && ({right})"),
            1 => format!("!({left})"),
            _ => format!("({left}) || ({right})"),
        };
    }
    let (name, values) = *rng.pick(pool);
    let value = *rng.pick(values);
    let other = *rng.pick(values);
    let part = value.get(..1).unwrap_or_default();
    match rng.below(12) {
        0 => "all()".to_owned(),
        1 => format!("has({name})"),
        2 => format!("!has({name})"),
        3 | 4 => format!("{name} == '{value}'"),
        5 => format!("{name} != \"{value}\""),
        6 => format!("{name} contains '{part}'"),
        7 => format!("{name} starts with '{part}'"),
        8 => format!("{name} ends with \"{part}\""),
        9 | 10 => format!("{name} in {{'{value}', '{other}'}}"),
        _ => format!("{name} not in {{'{value}'}}"),
    }
}

/// A selector in Kubernetes' form.
pub(super) fn kubernetes(rng: &mut Rng, pool: &Pool) -> LabelSelector {
    let mut selector = LabelSelector::default();
    let (name, values) = *rng.pick(pool);
    match rng.below(4) {
        0 => {}
        1 | 2 => {
            let value = (*rng.pick(values)).to_owned();
            selector.match_labels.insert(name.to_owned(), value);
        }
        _ => {
            let operator = *rng.pick(&[
                LabelOperator::In,
                LabelOperator::NotIn,
                LabelOperator::Exists,
                LabelOperator::DoesNotExist,
            ]);
            let values = match operator {
                LabelOperator::In | LabelOperator::NotIn => vec![(*rng.pick(values)).to_owned()],
                LabelOperator::Exists | LabelOperator::DoesNotExist => Vec::new(),
            };
            selector.match_expressions.push(LabelRequirement {
                key: name.to_owned(),
                operator,
                values,
            });
        }
    }
    selector
}
