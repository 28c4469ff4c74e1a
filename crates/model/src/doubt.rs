//! What rules do while nobody knows which addresses a broken network set holds, or where a broken tier
//! stands.
//!
//! A rule that may mean the set is replaced, criterion by criterion, by the bounds of what it can match:
//!
//! | rule | what it becomes |
//! |---|---|
//! | Allow | matches what it matches whatever the set holds |
//! | Pass | the same, and behind it a Deny of all else that it may match |
//! | Deny | matches all that it may match |
//!
//! This never widens access. Take any packet and the first rule that changed for it: the packet is denied
//! there, which is the least; or an Allow let it go on, and whatever then happens is at most an Allow. All
//! other rules decide as they did.
//!
//! A tier of unknown place stands first, and its Allow passes to the next tier. So a packet is allowed when
//! the tier does not deny it **and** the others allow it, which holds of the tier at any place.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::ObjectKey;
use oncilla_selector::{Expr, Selector};

use crate::convert::{NAMESPACE_LABEL, NAMESPACE_PREFIX};
use crate::{Action, List, Policy, Predicate, Rule, TierName};

/// What nobody knows of one broken object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// Which addresses the owner of some labels holds.
    Holds(Obscure),
    /// Which addresses a node with some labels has.
    Node(Obscure),
    /// Which endpoints a service of a namespace has; of any of its services when its name is unknown.
    Serves {
        /// The namespace.
        namespace: Arc<str>,
        /// The service's name.
        service: Option<Arc<str>>,
    },
    /// Where a tier stands among the others.
    Place(TierName),
}

/// An owner of addresses nobody knows which: a network set or a node, by what is known of its labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Obscure {
    namespace: Option<Arc<str>>,
    /// `None` when the labels cannot be read.
    labels: Option<BTreeMap<Arc<str>, Arc<str>>>,
}

/// What is known of a label.
#[derive(Clone, Copy)]
enum Label<'a> {
    Is(&'a str),
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
    /// A set of a namespace, or of none, with these labels, or with labels that cannot be read.
    pub fn new(namespace: Option<&str>, labels: Option<&BTreeMap<String, String>>) -> Self {
        let shared = |(name, value): (&String, &String)| {
            (Arc::from(name.as_str()), Arc::from(value.as_str()))
        };
        Self {
            namespace: namespace.map(Into::into),
            labels: labels.map(|labels| labels.iter().map(shared).collect()),
        }
    }

    /// Whether a selector may select the owner.
    pub fn may_match(&self, selector: &Selector) -> bool {
        self.can(selector).hold
    }

    fn label(&self, name: &str) -> Label<'_> {
        if name == NAMESPACE_LABEL {
            return self.namespace.as_deref().map_or(Label::Absent, Label::Is);
        }
        let Some(labels) = &self.labels else {
            return Label::Unknown;
        };
        match labels.get(name) {
            Some(value) => Label::Is(value),
            // Inherited: namespaces come and go, the answer should not.
            None if self.namespace.is_some() && name.starts_with(NAMESPACE_PREFIX) => {
                Label::Unknown
            }
            None => Label::Absent,
        }
    }

    fn can(&self, selector: &Selector) -> Can {
        let of = |name: &str, holds: &dyn Fn(Option<&str>) -> bool| match self.label(name) {
            Label::Is(value) => Can::known(holds(Some(value))),
            Label::Absent => Can::known(holds(None)),
            Label::Unknown => Can {
                hold: true,
                fail: true,
            },
        };
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
                let Can { hold, fail } = self.can(operand);
                Can {
                    hold: fail,
                    fail: hold,
                }
            }
            Expr::And(operands) => Can {
                hold: operands.iter().all(|each| self.can(each).hold),
                fail: operands.iter().any(|each| self.can(each).fail),
            },
            Expr::Or(operands) => Can {
                hold: operands.iter().any(|each| self.can(each).hold),
                fail: operands.iter().all(|each| self.can(each).fail),
            },
        }
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

/// All doubts of a cluster. Owned by whoever feeds the resolver.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Doubts {
    all: BTreeMap<ObjectKey, Doubt>,
}

impl Doubts {
    /// Notes what nobody knows of an object, or that all is known. Whether that changes anything: then
    /// every policy must be read again, see [`Doubts::read`].
    pub fn put(&mut self, key: &ObjectKey, doubt: Option<Doubt>) -> bool {
        match doubt {
            Some(doubt) => self.all.insert(key.clone(), doubt.clone()) != Some(doubt),
            None => self.all.remove(key).is_some(),
        }
    }

    /// The policy as it may be enforced while there are these doubts.
    pub fn read(&self, policy: &Arc<Policy>) -> Arc<Policy> {
        let is_lost = |doubt: &Doubt| matches!(doubt, Doubt::Place(tier) if *tier == policy.tier);
        let is_lost = self.all.values().any(is_lost);
        let is_doubtful = |rule: &Rule| {
            (is_lost && rule.action == Action::Allow) || self.reaches(&selectors(rule))
        };
        let mut rules = [&policy.ingress, &policy.egress].into_iter().flatten();
        if !rules.any(|rules| rules.iter().any(is_doubtful)) {
            return Arc::clone(policy);
        }
        let read = |rules: &Option<Arc<[Rule]>>| {
            // What one written rule became, one for each of its peers, is one rule: what one peer surely passes
            // on must not meet what another may deny.
            let written = rules
                .as_ref()?
                .chunk_by(|one, next| one.index == next.index);
            let rules = written.flat_map(|rules| {
                let bounds = rules.iter().map(|rule| self.bounds(rule));
                let (least, most): (Vec<_>, Vec<_>) = bounds.unzip();
                least.into_iter().chain(most).flatten()
            });
            let rules = rules.map(|mut rule| {
                if is_lost && rule.action == Action::Allow {
                    rule.action = Action::Pass;
                }
                rule
            });
            Some(rules.collect())
        };
        Arc::new(Policy {
            ingress: read(&policy.ingress),
            egress: read(&policy.egress),
            ..Policy::clone(policy)
        })
    }

    /// A rule as one that surely matches and one behind it that may match.
    fn bounds(&self, rule: &Rule) -> (Option<Rule>, Option<Rule>) {
        let excluded: Vec<&Predicate> = [&rule.source, &rule.destination]
            .into_iter()
            .flat_map(|side| &side.none)
            .collect();
        // What the set may exclude is not certain to match; without that the set only adds.
        let least = (!self.reaches(&excluded)).then(|| rule.clone());
        let most = || {
            let mut most = rule.clone();
            most.action = Action::Deny;
            for side in [&mut most.source, &mut most.destination] {
                side.all.retain(|each| !self.reaches(&[each]));
            }
            most
        };
        match rule.action {
            _ if !self.reaches(&selectors(rule)) => (Some(rule.clone()), None),
            Action::Allow | Action::Log => (least, None),
            Action::Pass => (least, Some(most())),
            Action::Deny => (None, Some(most())),
        }
    }

    /// Whether one of the predicates may mean an owner of unknown addresses. Sets serve no named ports.
    fn reaches(&self, predicates: &[&Predicate]) -> bool {
        let mut doubts = self.all.values();
        doubts.any(|doubt| predicates.iter().any(|predicate| doubt.bears_on(predicate)))
    }
}

impl Doubt {
    /// Whether it leaves open of which addresses the predicate holds.
    fn bears_on(&self, predicate: &Predicate) -> bool {
        match (self, predicate) {
            (Self::Holds(owner), Predicate::Selector { selector, .. }) => owner.may_match(selector),
            (
                Self::Serves { namespace, service },
                Predicate::Listed {
                    list: List::Service(key) | List::ServicePorts(key),
                    ..
                },
            ) => {
                *namespace == key.namespace && service.as_ref().is_none_or(|name| *name == key.name)
            }
            (Self::Node(owner), Predicate::Nodes { selector, .. }) => owner.may_match(selector),
            _ => false,
        }
    }
}

/// What a rule asks about its two addresses.
fn selectors(rule: &Rule) -> Vec<&Predicate> {
    let sides = [&rule.source, &rule.destination].into_iter();
    sides
        .flat_map(|side| side.all.iter().chain(&side.none))
        .collect()
}
