//! Owners of addresses that nobody knows, by what is known of their labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_selector::{Expr, Selector};

use super::Inherited;
use crate::ProfileName;
use crate::convert::{
    ACCOUNT_LABEL, ACCOUNT_PREFIX, KUBERNETES, NAMESPACE_LABEL, NAMESPACE_PREFIX,
    ORCHESTRATOR_LABEL, account_label, account_profile_name, namespace_profile_name,
};

/// An owner of addresses nobody knows which: a network set, a node, a host endpoint or a workload, by what is
/// known of its labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Obscure {
    /// What others say of it, and it cannot say of itself.
    fixed: BTreeMap<&'static str, Label>,
    /// Its own labels; `None` when they cannot be read.
    labels: Option<BTreeMap<Arc<str>, Arc<str>>>,
    /// The beginnings of labels that it inherits, and from which profile; `None` when nobody knows.
    heritage: Vec<(&'static str, Option<ProfileName>)>,
    /// Whether it has ports, which nobody knows either.
    serves: bool,
}

/// What is known of a label.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Label {
    Is(Arc<str>),
    Absent,
    Unknown,
}

/// Whether a selector can hold, and whether it can fail to.
#[derive(Clone, Copy)]
struct Can {
    hold: bool,
    fail: bool,
}

impl Obscure {
    /// A network set of a namespace, or of none, or a node, with these labels, or with labels that cannot be read.
    pub fn set(namespace: Option<&str>, labels: Option<&BTreeMap<String, String>>) -> Self {
        let heritage =
            namespace.map(|namespace| (NAMESPACE_PREFIX, Some(namespace_profile_name(namespace))));
        Self {
            fixed: [(NAMESPACE_LABEL, Label::known(namespace))].into(),
            labels: labels.map(shared),
            heritage: heritage.into_iter().collect(),
            serves: false,
        }
    }

    /// A host endpoint; without `inherits` it certainly has no profiles.
    pub fn host(labels: Option<&BTreeMap<String, String>>, inherits: bool) -> Self {
        Self {
            fixed: BTreeMap::new(),
            labels: labels.map(shared),
            heritage: inherits.then_some(("", None)).into_iter().collect(),
            serves: true,
        }
    }

    /// A pod of a namespace; without an account when that cannot be read.
    pub fn pod(
        namespace: &str,
        labels: Option<&BTreeMap<String, String>>,
        account: Option<&str>,
    ) -> Self {
        let of_account = account.map(|account| account_profile_name(namespace, account));
        let account = account.map_or(Label::Unknown, |name| Label::known(account_label(name)));
        Self {
            fixed: [
                (NAMESPACE_LABEL, Label::Is(namespace.into())),
                (ORCHESTRATOR_LABEL, Label::Is(KUBERNETES.into())),
                (ACCOUNT_LABEL, account),
            ]
            .into(),
            labels: labels.map(shared),
            heritage: vec![
                (NAMESPACE_PREFIX, Some(namespace_profile_name(namespace))),
                (ACCOUNT_PREFIX, of_account),
            ],
            serves: true,
        }
    }

    /// A workload of another orchestrator, of a namespace: whatever else it has may come from its profiles.
    pub fn workload(namespace: &str) -> Self {
        Self {
            fixed: [(NAMESPACE_LABEL, Label::Is(namespace.into()))].into(),
            labels: None,
            heritage: Vec::new(),
            serves: true,
        }
    }

    /// Whether it has ports, which nobody knows.
    pub(super) const fn serves(&self) -> bool {
        self.serves
    }

    /// Whether it inherits from a profile.
    pub(super) fn inherits_from(&self, profile: &ProfileName) -> bool {
        let mut heritage = self.heritage.iter();
        heritage.any(|(_, name)| name.as_ref() == Some(profile))
    }

    /// Whether a selector may select the owner.
    pub(super) fn may_match(&self, selector: &Selector, inherited: &Inherited) -> bool {
        self.can(selector, inherited).hold
    }

    fn label(&self, name: &str, inherited: &Inherited) -> Label {
        if let Some(fixed) = self.fixed.get(name) {
            return fixed.clone();
        }
        let Some(labels) = &self.labels else {
            return Label::Unknown;
        };
        if let Some(value) = labels.get(name) {
            return Label::Is(Arc::clone(value));
        }
        let mut heritage = self.heritage.iter();
        match heritage.find(|(prefix, _)| name.starts_with(prefix)) {
            None => Label::Absent,
            Some((_, None)) => Label::Unknown,
            Some((_, Some(profile))) => match inherited.get(profile) {
                // It may be on its way; or nobody can read it.
                None => Label::Unknown,
                Some(profile) if profile.is_obscure => Label::Unknown,
                Some(profile) => {
                    let mut labels = profile.labels.iter();
                    let found = labels.find(|(own, _)| **own == *name);
                    found.map_or(Label::Absent, |(_, value)| Label::Is(Arc::clone(value)))
                }
            },
        }
    }

    fn can(&self, selector: &Selector, inherited: &Inherited) -> Can {
        let of =
            |name: &str, holds: &dyn Fn(Option<&str>) -> bool| match self.label(name, inherited) {
                Label::Is(value) => Can::known(holds(Some(&value))),
                Label::Absent => Can::known(holds(None)),
                Label::Unknown => Can {
                    hold: true,
                    fail: true,
                },
            };
        let each = |operand: &Selector| self.can(operand, inherited);
        match selector.expr() {
            Expr::All | Expr::Global => Can::known(true),
            Expr::Has(name) => of(name, &|value| value.is_some()),
            Expr::Equal(name, wanted) => of(name, &|value| value == Some(wanted)),
            Expr::NotEqual(name, unwanted) => of(name, &|value| value != Some(unwanted)),
            Expr::Contains(name, part) => {
                of(name, &|value| value.is_some_and(|v| v.contains(&**part)))
            }
            Expr::StartsWith(name, part) => {
                of(name, &|value| value.is_some_and(|v| v.starts_with(&**part)))
            }
            Expr::EndsWith(name, part) => {
                of(name, &|value| value.is_some_and(|v| v.ends_with(&**part)))
            }
            Expr::In(name, set) => of(name, &|value| {
                value.is_some_and(|v| set.iter().any(|each| &**each == v))
            }),
            Expr::NotIn(name, set) => of(name, &|value| {
                value.is_none_or(|v| set.iter().all(|each| &**each != v))
            }),
            Expr::Not(operand) => {
                let Can { hold, fail } = each(operand);
                Can {
                    hold: fail,
                    fail: hold,
                }
            }
            Expr::And(operands) => Can {
                hold: operands.iter().all(|operand| each(operand).hold),
                fail: operands.iter().any(|operand| each(operand).fail),
            },
            Expr::Or(operands) => Can {
                hold: operands.iter().any(|operand| each(operand).hold),
                fail: operands.iter().all(|operand| each(operand).fail),
            },
        }
    }
}

impl Label {
    fn known(value: Option<&str>) -> Self {
        value.map_or(Self::Absent, |value| Self::Is(value.into()))
    }
}

impl Can {
    const fn known(holds: bool) -> Self {
        Self {
            hold: holds,
            fail: !holds,
        }
    }
}

fn shared(labels: &BTreeMap<String, String>) -> BTreeMap<Arc<str>, Arc<str>> {
    let labels = labels.iter();
    labels
        .map(|(name, value)| (Arc::from(name.as_str()), Arc::from(value.as_str())))
        .collect()
}
