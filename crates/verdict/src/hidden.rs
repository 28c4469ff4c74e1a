//! Owners of addresses nobody knows which, and owners of labels nobody knows.
//!
//! A set of which a CIDR cannot be read may hold any address, and a pod that cannot be read may have any. What is known
//! of its labels says which selectors can mean it at all. Such a rule allows or passes on what it matches whatever is
//! so, and denies what it may match, unless it is an Allow: then the next rule is asked. Kubernetes' rules only allow,
//! and have no negative part: what they match, they match without the owner.
//!
//! The pods and sets of a namespace that cannot be read have their addresses, and what selectors say of them is known
//! unless they ask what is inherited ([`HiddenSet::vague`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::{Kind, LabelOperator, LabelSelector, ObjectKey, Remains};
use oncilla_selector::{Expr, Selector};

use crate::endpoint::Inheritance;
use crate::labels::{
    LabelMap, NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR, Reading, SERVICE_ACCOUNT,
    SERVICE_ACCOUNT_PREFIX,
};

/// Service account names of this length and longer are no label.
pub(crate) const SERVICE_ACCOUNT_LENGTH_LIMIT: usize = 63;

/// What is known of the labels of a network set, node, host endpoint or pod of which something is broken.
#[derive(Debug)]
pub(crate) struct HiddenSet {
    /// A node, which only a peer of nodes can mean.
    pub(crate) is_node: bool,
    /// Whether it has ports, by names that nobody knows.
    pub(crate) has_ports: bool,
    /// What is certain whatever it says itself; `None` is no label.
    told: BTreeMap<&'static str, Option<String>>,
    /// The beginnings of labels that nobody knows, whatever it says itself.
    masked: Vec<&'static str>,
    /// Its own, and inherited ones that are known; `None` when its own cannot be read.
    labels: Option<LabelMap>,
    /// The beginnings of labels that it may have besides.
    open: Vec<&'static str>,
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
    pub(crate) fn of(key: &ObjectKey, remains: &Remains, inheritance: &Inheritance) -> Self {
        let errors: Vec<String> = remains.errors().iter().map(ToString::to_string).collect();
        let mut hidden = Self {
            is_node: key.kind == Kind::Node,
            has_ports: matches!(key.kind, Kind::Pod | Kind::HostEndpoint),
            told: BTreeMap::new(),
            masked: Vec::new(),
            labels: remains.read("metadata.labels"),
            open: Vec::new(),
            problem: format!(
                "{key} cannot be understood ({}), so nobody knows which addresses it holds",
                errors.join("; ")
            )
            .into(),
        };
        if key.kind == Kind::HostEndpoint {
            if remains.count("spec.profiles") != Some(0) {
                // They may give it any label.
                hidden.open.push("");
            }
            return hidden;
        }
        hidden.told.insert(NAMESPACE, key.namespace.clone());
        if let Some(namespace) = &key.namespace {
            let labels = inheritance.of_namespace(namespace);
            hidden.inherit(NAMESPACE_PREFIX, labels);
        }
        if key.kind == Kind::Pod {
            hidden.told.insert(ORCHESTRATOR, Some("k8s".to_owned()));
            hidden.be_of_account(key, remains, inheritance);
        }
        hidden
    }

    /// What is known of those that inherit from a namespace or a service account that cannot be read: all but that.
    pub(crate) fn vague(labels: LabelMap, masked: Vec<&'static str>, problem: &str) -> Self {
        Self {
            is_node: false,
            has_ports: false,
            told: BTreeMap::new(),
            masked,
            labels: Some(labels),
            open: Vec::new(),
            problem: problem.into(),
        }
    }

    fn be_of_account(&mut self, key: &ObjectKey, remains: &Remains, inheritance: &Inheritance) {
        let names = ["spec.serviceAccountName", "spec.serviceAccount"];
        let [Some(name), Some(old_name)] = names.map(|name| remains.text(name)) else {
            self.masked.push(SERVICE_ACCOUNT);
            self.open.push(SERVICE_ACCOUNT_PREFIX);
            return;
        };
        let mut given = [name, old_name, "default"].into_iter();
        let account = given.find(|name| !name.is_empty()).unwrap_or_default();
        let label = (account.len() < SERVICE_ACCOUNT_LENGTH_LIMIT).then(|| account.to_owned());
        self.told.insert(SERVICE_ACCOUNT, label);
        let namespace = key.namespace.as_deref().unwrap_or("default");
        let labels = inheritance.of_account(namespace, account);
        self.inherit(SERVICE_ACCOUNT_PREFIX, labels);
    }

    /// Takes labels that it inherits; `None`: those that begin so are not known.
    fn inherit(&mut self, prefix: &'static str, labels: Option<&LabelMap>) {
        let Some(labels) = labels else {
            self.open.push(prefix);
            return;
        };
        if let Some(own) = &mut self.labels {
            for (name, value) in labels {
                own.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    /// Whether it has a label whose value is as wanted; `None` is no label.
    pub(crate) fn has(
        &self,
        prefix: &str,
        name: &str,
        wanted: impl Fn(Option<&str>) -> bool,
    ) -> Truth {
        let name = format!("{prefix}{name}");
        let begins = |with: &&str| name.starts_with(*with);
        if let Some(told) = self.told.get(name.as_str()) {
            return Truth::of(wanted(told.as_deref()));
        }
        if self.masked.iter().any(begins) {
            return Truth::Perhaps;
        }
        match &self.labels {
            None => Truth::Perhaps,
            Some(labels) => match labels.get(&name) {
                Some(value) => Truth::of(wanted(Some(value))),
                None if self.open.iter().any(begins) => Truth::Perhaps,
                None => Truth::of(wanted(None)),
            },
        }
    }

    /// Whether a selector in Kubernetes' form means it, with `prefix` before every name.
    pub(crate) fn meets(&self, selector: &LabelSelector, prefix: &str) -> Truth {
        let equal = selector.match_labels.iter();
        let equal = equal.map(|(name, wanted)| self.has(prefix, name, |v| v == Some(&**wanted)));
        let required = selector.match_expressions.iter().map(|requirement| {
            let listed = |value: &str| requirement.values.iter().any(|each| each == value);
            let key = &requirement.key;
            match requirement.operator {
                LabelOperator::In => self.has(prefix, key, |v| v.is_some_and(listed)),
                LabelOperator::NotIn => self.has(prefix, key, |v| !v.is_some_and(listed)),
                LabelOperator::Exists => self.has(prefix, key, |v| v.is_some()),
                LabelOperator::DoesNotExist => self.has(prefix, key, |v| v.is_none()),
            }
        });
        Truth::all(equal.chain(required))
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
