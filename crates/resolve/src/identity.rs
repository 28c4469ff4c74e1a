//! Identities: shapes projected on the words that active predicates use. Predicates are evaluated once per
//! identity.

use crate::labels::{Pair, TextId, Texts, pairs, put_pair};
use crate::packs::{Gaps, Packs, put_number, take_number};
use crate::shapes::{PortKey, Realm, put_port, take_port};
use crate::signature::SigId;

/// An interned identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct IdentityId(u32);

/// What is left of a shape after projection: labels, own and inherited, and ports, both sorted.
#[derive(Debug)]
pub(crate) struct IdentityKey<'a> {
    pub(crate) realm: Realm,
    pub(crate) ports: Vec<PortKey>,
    pub(crate) labels: Vec<Pair<'a>>,
}

impl<'a> IdentityKey<'a> {
    /// The key as it is kept.
    pub(crate) fn packed(&self) -> Vec<u8> {
        let mut bytes = vec![self.realm.number()];
        put_number(&mut bytes, self.ports.len());
        for port in &self.ports {
            put_port(&mut bytes, *port);
        }
        for pair in &self.labels {
            put_pair(&mut bytes, *pair);
        }
        bytes
    }

    fn read(mut bytes: &'a [u8]) -> Self {
        let realm = Realm::numbered(take_number(&mut bytes));
        let count = take_number(&mut bytes);
        let ports = (0..count).map(|_| take_port(&mut bytes)).collect();
        Self {
            realm,
            ports,
            labels: pairs(bytes).collect(),
        }
    }

    fn texts(&self) -> Vec<TextId> {
        let ports = self.ports.iter().map(|(name, ..)| *name);
        ports
            .chain(self.labels.iter().map(|(name, _)| *name))
            .collect()
    }
}

/// The identities in use, counted by shapes.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    keys: Packs,
    answers: Vec<SigId>,
}

impl Identities {
    /// The identity of a packed key with one reference more, and whether it is new.
    pub(crate) fn intern(&mut self, texts: &mut Texts, key: &[u8]) -> (IdentityId, bool) {
        let (id, is_new) = self.keys.intern(key);
        if is_new {
            let key = IdentityKey::read(key);
            for text in key.texts() {
                texts.retain(text);
            }
            let known = self.answers.len().max(id as usize + 1);
            self.answers.resize(known, SigId::EMPTY);
            self.answers[id as usize] = SigId::EMPTY;
        }
        (IdentityId(id), is_new)
    }

    /// One reference less; the last one takes the identity with it.
    pub(crate) fn release(&mut self, texts: &mut Texts, IdentityId(id): IdentityId) {
        if self.keys.references(id) == 1 {
            for text in self.key(IdentityId(id)).texts() {
                texts.release(text);
            }
        }
        self.keys.release(id);
    }

    pub(crate) fn key(&self, IdentityId(id): IdentityId) -> IdentityKey<'_> {
        IdentityKey::read(self.keys.bytes(id))
    }

    pub(crate) fn answers(&self, IdentityId(id): IdentityId) -> SigId {
        self.answers[id as usize]
    }

    pub(crate) fn set_answers(&mut self, IdentityId(id): IdentityId, answers: SigId) {
        self.answers[id as usize] = answers;
    }

    /// Every identity, ascending.
    pub(crate) fn ids(&self) -> Vec<IdentityId> {
        self.keys.ids().map(IdentityId).collect()
    }

    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.keys.compact(gaps);
    }
}
