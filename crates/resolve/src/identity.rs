//! Identities: shapes projected on the words that active predicates use. Predicates are evaluated once per
//! identity.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::labels::{Pairs, TextId, Texts};
use crate::shapes::{PortKey, Realm};
use crate::signature::SigId;

/// An interned identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct IdentityId(u32);

/// What is left of a shape after projection: labels, own and inherited, and ports, both sorted.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(crate) struct IdentityKey {
    pub(crate) realm: Realm,
    pub(crate) labels: Pairs,
    pub(crate) ports: Box<[PortKey]>,
}

impl IdentityKey {
    fn texts(&self) -> impl Iterator<Item = TextId> + '_ {
        let labels = self.labels.iter().flat_map(|(name, value)| [*name, *value]);
        labels.chain(self.ports.iter().map(|(name, ..)| *name))
    }
}

#[derive(Debug)]
struct Slot {
    key: Arc<IdentityKey>,
    references: u32,
    answers: SigId,
}

/// The identities in use, counted by shapes.
#[derive(Debug)]
pub(crate) struct Identities {
    ids: HashMap<Arc<IdentityKey>, IdentityId>,
    slots: Vec<Option<Slot>>,
    free: Vec<IdentityId>,
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The identity of a key with one reference more, when it is known.
    pub(crate) fn retain(&mut self, key: &IdentityKey) -> Option<IdentityId> {
        let id = *self.ids.get(key)?;
        if let Some(slot) = &mut self.slots[id.0 as usize] {
            slot.references += 1;
        }
        Some(id)
    }

    /// A new identity with one reference.
    pub(crate) fn insert(
        &mut self,
        texts: &mut Texts,
        key: IdentityKey,
        answers: SigId,
    ) -> IdentityId {
        key.texts().for_each(|text| texts.retain(text));
        let key = Arc::new(key);
        let slot = Some(Slot {
            key: Arc::clone(&key),
            references: 1,
            answers,
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                IdentityId(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 identities"))
            }
        };
        self.ids.insert(key, id);
        id
    }

    /// One reference less; the last one takes the identity with it.
    pub(crate) fn release(&mut self, texts: &mut Texts, id: IdentityId) {
        let entry = &mut self.slots[id.0 as usize];
        let Some(slot) = entry else {
            return;
        };
        slot.references -= 1;
        if slot.references == 0 {
            slot.key.texts().for_each(|text| texts.release(text));
            self.ids.remove(&slot.key);
            *entry = None;
            self.free.push(id);
        }
    }

    pub(crate) fn key(&self, id: IdentityId) -> &Arc<IdentityKey> {
        &self.slot(id).key
    }

    pub(crate) fn answers(&self, id: IdentityId) -> SigId {
        self.slot(id).answers
    }

    pub(crate) fn set_answers(&mut self, id: IdentityId, answers: SigId) {
        if let Some(slot) = &mut self.slots[id.0 as usize] {
            slot.answers = answers;
        }
    }

    /// Every identity, ascending.
    pub(crate) fn ids(&self) -> Vec<IdentityId> {
        let used = |(index, slot): (usize, &Option<Slot>)| slot.is_some().then_some(index);
        self.slots
            .iter()
            .enumerate()
            .filter_map(used)
            .map(|index| IdentityId(u32::try_from(index).expect("fewer than 2^32 identities")))
            .collect()
    }

    fn slot(&self, id: IdentityId) -> &Slot {
        self.slots[id.0 as usize]
            .as_ref()
            .expect("an identity in use is there")
    }
}
