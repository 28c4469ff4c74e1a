//! Everybody who inherits labels that nobody can read: the addresses are known, those labels are not.

use oncilla_selector::{Expr, Selector};

use crate::Predicate;
use crate::ProfileName;
use crate::convert::{
    ACCOUNT_LABEL, ACCOUNT_PREFIX, KUBERNETES, LISTS_PREFIX, NAMESPACE_PREFIX, ORCHESTRATOR_LABEL,
    account_label, account_profile_name, in_namespace, namespace_profile_name,
};

/// The pods and network sets of a namespace, the pods of a service account, or whoever lists a profile, whose labels
/// cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heirs {
    /// Who they are.
    whom: Selector,
    /// Before the labels that they inherit.
    prefix: &'static str,
}

/// Which packets are to be counted when something makes that uncertain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bound {
    /// Those that match whatever is so.
    Certain,
    /// Those that match if the right things are so.
    Possible,
}

impl Bound {
    /// The bound of what a negation excludes.
    pub(super) const fn not(self) -> Self {
        match self {
            Self::Certain => Self::Possible,
            Self::Possible => Self::Certain,
        }
    }
}

impl Heirs {
    /// Of a namespace.
    pub fn of_namespace(namespace: &str) -> Self {
        Self {
            whom: in_namespace(namespace).or(&lists(&namespace_profile_name(namespace))),
            prefix: NAMESPACE_PREFIX,
        }
    }

    /// Of a service account. One whose name is too long for a label is told by having none.
    pub fn of_account(namespace: &str, account: &str) -> Self {
        let own = match account_label(account) {
            Some(account) => Selector::eq(ACCOUNT_LABEL, account),
            None => Selector::has(ACCOUNT_LABEL).not(),
        };
        let is_pod = Selector::eq(ORCHESTRATOR_LABEL, KUBERNETES);
        let pods = Selector::and_all(vec![in_namespace(namespace), is_pod, own]);
        Self {
            whom: pods.or(&lists(&account_profile_name(namespace, account))),
            prefix: ACCOUNT_PREFIX,
        }
    }

    /// Of a profile that may give labels of any name.
    pub(crate) fn of_profile(name: &str) -> Self {
        Self {
            whom: lists(&ProfileName(name.into())),
            prefix: "",
        }
    }

    /// Whether the predicate asks for labels that they may or may not have.
    pub(super) fn are_asked_by(&self, predicate: &Predicate) -> bool {
        let (Predicate::Selector { selector, .. }
        | Predicate::NamedPort {
            selector: Some(selector),
            ..
        }) = predicate
        else {
            return false;
        };
        selector.keys().iter().any(|key| self.is_unknown(key))
    }

    /// The selector with every term about such a label at its bound: it surely holds of others only, and may
    /// hold of all heirs.
    pub(super) fn bounded(&self, selector: &Selector, bound: Bound) -> Selector {
        let each = |operands: &[Selector], bound| -> Vec<Selector> {
            let operands = operands.iter();
            operands
                .map(|operand| self.bounded(operand, bound))
                .collect()
        };
        match selector.expr() {
            Expr::Not(operand) => self.bounded(operand, bound.not()).not(),
            Expr::And(operands) => Expr::And(each(operands, bound)).into(),
            Expr::Or(operands) => Expr::Or(each(operands, bound)).into(),
            _ if !selector.keys().iter().any(|key| self.is_unknown(key)) => selector.clone(),
            _ => match bound {
                Bound::Possible => selector.or(&self.whom),
                Bound::Certain => selector.and(&self.whom.not()),
            },
        }
    }

    fn is_unknown(&self, label: &str) -> bool {
        label.starts_with(self.prefix)
    }
}

/// Whether somebody that is no pod lists a profile.
fn lists(profile: &ProfileName) -> Selector {
    Selector::has(&format!("{LISTS_PREFIX}{profile}"))
}
