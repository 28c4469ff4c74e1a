//! A group spelled out: every rule by itself and in order, so that the one that decides can be named.
//!
//! Banks answer with few lookups and do not say which rule an entry came from. This is the same definition over the
//! same answers without them: it judges every packet alike, slowly.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_model::Predicate;
use oncilla_net::Packet;
use oncilla_program::{
    AddressSet, Bank, ClassId, ClassSet, Group, GroupId, Judgement, Peer, PortSetOfClasses, Rule,
    ServiceSet, SetName, Sets,
};
use oncilla_resolve::node::NodeState;

use crate::answer::SetKind;
use crate::apply::Compiler;
use crate::bank::Lowered;
use crate::group::compile_with;

/// A group whose rules stand one by one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    group: Arc<Group>,
    classes: BTreeMap<SetName, ClassSet>,
    ports: BTreeMap<SetName, PortSetOfClasses>,
    addresses: BTreeMap<SetName, AddressSet>,
    services: BTreeMap<SetName, ServiceSet>,
}

impl Explanation {
    /// What the group says about a packet whose peer has this class; a rule that decides stands in a tail, with its
    /// comment.
    pub fn judge(&self, peer: ClassId, packet: &Packet) -> Judgement<'_> {
        let sets = Sets {
            classes: &self.classes,
            ports: &self.ports,
            addresses: &self.addresses,
            services: &self.services,
        };
        self.group.judge(sets, peer, packet)
    }

    /// The policies of a tier of the group, in order, for people.
    pub fn policies(&self, tier: usize) -> &str {
        let tier = self.group.tiers.get(tier);
        tier.map_or("", |tier| &tier.comment)
    }
}

impl Compiler {
    /// Spells a group out as it is now; `None` when there is no such group. `state` is the state that was compiled last.
    pub fn explain(&self, state: &dyn NodeState, id: &GroupId) -> Option<Explanation> {
        let answers = |predicate: &Predicate| self.answer(predicate);
        let compiled = compile_with(self.definition(id)?, &answers, &answers, (spelled_out, ""));
        let mut explanation = Explanation {
            group: compiled.group,
            classes: BTreeMap::new(),
            ports: BTreeMap::new(),
            addresses: BTreeMap::new(),
            services: BTreeMap::new(),
        };
        for (name, predicate) in compiled.sets {
            match SetKind::of(&name) {
                Some(SetKind::Classes) => {
                    let set = self.class_set(&predicate);
                    explanation.classes.insert(name, set);
                }
                Some(SetKind::Ports) => {
                    let set = self.port_set(&predicate);
                    explanation.ports.insert(name, set);
                }
                Some(SetKind::Addresses) => {
                    let set = state.addresses_of(&predicate);
                    explanation.addresses.insert(name, set);
                }
                Some(SetKind::Services) => {
                    let set = state.service_of(&predicate);
                    explanation.services.insert(name, set);
                }
                None => {}
            }
        }
        Some(explanation)
    }
}

/// One bank that is nothing but its tail.
fn spelled_out(rules: Vec<Lowered>) -> Vec<Bank> {
    let rule = |lowered: Lowered| match lowered.broad {
        Some(classes) => Rule {
            peer: Peer::Classes(classes),
            family: None,
            ..lowered.rule
        },
        None => lowered.rule,
    };
    vec![Bank {
        tail: rules.into_iter().map(rule).collect(),
        ..Bank::default()
    }]
}
