//! The active peer predicates: what rules of local groups ask about the other end.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt as _};
use oncilla_model::Predicate;
use oncilla_net::Protocol;

use crate::filing::Filing;
use crate::labels::{TextId, Texts};
use crate::signature::PredicateId;

/// Active predicates, filed for evaluation, and the words they use: label names and port names.
#[derive(Debug)]
pub(crate) struct Predicates {
    ids: HashMap<Predicate, PredicateId>,
    slots: BTreeMap<PredicateId, Predicate>,
    /// Retired, but still in the signatures of published classes.
    leaving: BTreeSet<PredicateId>,
    free: Vec<PredicateId>,
    filing: Filing<PredicateId>,
    by_port: BTreeMap<(TextId, Protocol), BTreeSet<PredicateId>>,
    names: HashMap<TextId, u32>,
}

impl Predicates {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            slots: BTreeMap::new(),
            leaving: BTreeSet::new(),
            free: Vec::new(),
            filing: Filing::new(),
            by_port: BTreeMap::new(),
            names: HashMap::new(),
        }
    }

    pub(crate) fn id(&self, predicate: &Predicate) -> Option<PredicateId> {
        self.ids.get(predicate).copied()
    }

    pub(crate) fn of(&self, id: PredicateId) -> &Predicate {
        self.slots
            .get(&id)
            .expect("an active predicate has its slot")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PredicateId, &Predicate)> {
        let active = self
            .slots
            .iter()
            .filter(|(id, _)| !self.leaving.contains(id));
        active.map(|(id, predicate)| (*id, predicate))
    }

    /// How many words identities are projected on. Grows only with a new word, until one retires.
    pub(crate) fn words(&self) -> usize {
        self.names.len() + self.by_port.len()
    }

    /// Whether identities keep a label of this name.
    pub(crate) fn uses_name(&self, name: TextId) -> bool {
        self.names.contains_key(&name)
    }

    /// Whether identities keep a port of this name and protocol.
    pub(crate) fn uses_port(&self, name: TextId, protocol: Protocol) -> bool {
        self.by_port.contains_key(&(name, protocol))
    }

    /// The named-port predicates of a name and protocol.
    pub(crate) fn of_port(
        &self,
        name: TextId,
        protocol: Protocol,
    ) -> impl Iterator<Item = PredicateId> + '_ {
        self.by_port
            .get(&(name, protocol))
            .into_iter()
            .flatten()
            .copied()
    }

    /// Where the selector predicates are filed.
    pub(crate) fn filing(&self) -> &Filing<PredicateId> {
        &self.filing
    }

    /// Registers a predicate that is not active yet.
    pub(crate) fn activate(&mut self, texts: &mut Texts, predicate: &Predicate) -> PredicateId {
        let id = self.free.pop().unwrap_or_else(|| {
            PredicateId(u32::try_from(self.slots.len()).expect("fewer than 2^32 predicates"))
        });
        for name in names_of(predicate) {
            let name = texts.intern(&name);
            *self.names.entry(name).or_default() += 1;
        }
        match predicate {
            Predicate::Selector { selector, .. } | Predicate::Nodes { selector, .. } => {
                self.filing.insert(id, selector);
            }
            Predicate::NamedPort { port, protocol, .. } => {
                let name = texts.intern(port);
                self.by_port
                    .entry((name, *protocol))
                    .or_default()
                    .insert(id);
            }
            Predicate::Nets { .. } | Predicate::Listed { .. } => {}
        }
        self.ids.insert(predicate.clone(), id);
        self.slots.insert(id, predicate.clone());
        id
    }

    /// Predicates that retired for good: no published class mentions them any more.
    pub(crate) fn recycle(&mut self) {
        for id in std::mem::take(&mut self.leaving) {
            self.slots.remove(&id);
            self.free.push(id);
        }
    }

    /// Answers a predicate no more. Its number is used again after [`Self::recycle`].
    pub(crate) fn retire(&mut self, texts: &mut Texts, id: PredicateId) {
        let Some(predicate) = self.slots.get(&id).cloned() else {
            return;
        };
        if !self.leaving.insert(id) {
            return;
        }
        self.ids.remove(&predicate);
        self.filing.remove(&id);
        for name in names_of(&predicate) {
            let Some(name) = texts.find(&name) else {
                continue;
            };
            if let Some(uses) = self.names.get_mut(&name) {
                *uses -= 1;
                if *uses == 0 {
                    self.names.remove(&name);
                }
            }
            texts.release(name);
        }
        if let Predicate::NamedPort { port, protocol, .. } = &predicate
            && let Some(name) = texts.find(port)
        {
            if let Some(ids) = self.by_port.get_mut(&(name, *protocol)) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_port.remove(&(name, *protocol));
                }
            }
            texts.release(name);
        }
    }
}

fn names_of(predicate: &Predicate) -> BTreeSet<std::sync::Arc<str>> {
    match predicate {
        Predicate::Selector { selector, .. } | Predicate::Nodes { selector, .. } => selector.keys(),
        Predicate::NamedPort { selector, .. } => selector
            .as_ref()
            .map(oncilla_selector::Selector::keys)
            .unwrap_or_default(),
        Predicate::Nets { .. } | Predicate::Listed { .. } => BTreeSet::new(),
    }
}
