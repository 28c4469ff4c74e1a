//! The policies of the cluster by number, filed by whom they select. Those that select nobody here are kept as bytes:
//! they are most of them.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use oncilla_model::{Policy, PolicyKey, PolicyKind};
use oncilla_selector::Selector;

use crate::carriers::Demands;
use crate::codec;
use crate::filing::Filing;
use crate::labels::Texts;
use crate::packs::{Gaps, Packs};

/// The number of a policy. It is another's when the policy is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PolicyId(u32);

#[derive(Debug)]
enum Slot {
    Free,
    /// Written, with its number among the written ones.
    Packed(u32),
    Open(Arc<Policy>),
}

/// Kind, namespace, name.
type Key<'a> = (PolicyKind, Option<&'a str>, &'a str);

/// The policies. Owned by [`crate::locals::Locals`].
#[derive(Debug)]
pub(crate) struct Policies {
    table: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    written: Packs,
    words: Texts,
    filing: Filing<PolicyId>,
    hasher: RandomState,
    /// Whether an open one may have ceased to select somebody.
    is_idle_likely: bool,
}

impl Policies {
    pub(crate) fn new() -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            written: Packs::default(),
            words: Texts::default(),
            filing: Filing::new(),
            hasher: RandomState::default(),
            is_idle_likely: false,
        }
    }

    pub(crate) fn id(&self, key: &PolicyKey) -> Option<PolicyId> {
        let key = parts(key);
        let hash = self.hasher.hash_one(key);
        let found = self.table.find(hash, |id| self.key(*id) == Some(key));
        found.copied().map(PolicyId)
    }

    pub(crate) fn get(&self, key: &PolicyKey) -> Option<Arc<Policy>> {
        self.of(self.id(key)?)
    }

    /// A policy, read when it is packed.
    pub(crate) fn of(&self, PolicyId(id): PolicyId) -> Option<Arc<Policy>> {
        match self.slots.get(id as usize)? {
            Slot::Free => None,
            Slot::Packed(written) => {
                let bytes = self.written.bytes(*written);
                Some(Arc::new(codec::read(&self.words, bytes)))
            }
            Slot::Open(policy) => Some(Arc::clone(policy)),
        }
    }

    /// Whom a policy selects.
    pub(crate) fn selector(&self, PolicyId(id): PolicyId) -> Option<Selector> {
        match self.slots.get(id as usize)? {
            Slot::Free => None,
            Slot::Packed(written) => {
                let bytes = self.written.bytes(*written);
                Some(codec::selector(&self.words, bytes))
            }
            Slot::Open(policy) => Some(policy.selector.clone()),
        }
    }

    /// Puts a policy in the place of its older version. Whoever selects by other labels now is to be filed anew.
    pub(crate) fn put(&mut self, policy: &Arc<Policy>) -> PolicyId {
        if let Some(PolicyId(id)) = self.id(&policy.key) {
            self.replace(id, Slot::Open(Arc::clone(policy)));
            return PolicyId(id);
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 policies")
        });
        self.slots[id as usize] = Slot::Open(Arc::clone(policy));
        let mut table = std::mem::take(&mut self.table);
        let rehash = |id: &u32| self.hasher.hash_one(self.key(*id).expect("it is in use"));
        let hash = self.hasher.hash_one(parts(&policy.key));
        table.insert_unique(hash, id, rehash);
        self.table = table;
        PolicyId(id)
    }

    /// Files a policy by what its selector demands.
    pub(crate) fn file(&mut self, id: PolicyId, demands: &Demands) {
        self.filing.insert_demanding(id, demands);
    }

    pub(crate) fn remove(&mut self, key: &PolicyKey) {
        let Some(PolicyId(id)) = self.id(key) else {
            return;
        };
        let hash = self.hasher.hash_one(parts(key));
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.filing.remove(&PolicyId(id));
        self.replace(id, Slot::Free);
        self.free.push(id);
    }

    pub(crate) fn filing(&self) -> &Filing<PolicyId> {
        &self.filing
    }

    /// Keeps a policy as bytes: it selects nobody.
    pub(crate) fn pack(&mut self, PolicyId(id): PolicyId) {
        let Some(Slot::Open(policy)) = self.slots.get(id as usize) else {
            return;
        };
        let Some(bytes) = codec::written(&mut self.words, policy) else {
            return;
        };
        debug_assert_eq!(codec::read(&self.words, &bytes), **policy);
        let (written, is_new) = self.written.intern(&bytes);
        assert!(is_new, "a key is in one place");
        self.slots[id as usize] = Slot::Packed(written);
    }

    /// Keeps a policy as it is: it selects somebody.
    pub(crate) fn open(&mut self, id: PolicyId) {
        if matches!(self.slots.get(id.0 as usize), Some(Slot::Packed(_)))
            && let Some(policy) = self.of(id)
        {
            self.replace(id.0, Slot::Open(policy));
        }
    }

    /// Somebody is gone whom policies may have selected.
    pub(crate) fn mark_idle(&mut self) {
        self.is_idle_likely = true;
    }

    /// Whether somebody was gone since this was last asked.
    pub(crate) fn take_idle(&mut self) -> bool {
        std::mem::take(&mut self.is_idle_likely)
    }

    /// Keeps those as bytes that select nobody any more, for quiet moments.
    pub(crate) fn pack_others(&mut self, used: &BTreeSet<PolicyId>) {
        let ids = 0..u32::try_from(self.slots.len()).expect("fewer than 2^32 policies");
        for id in ids.map(PolicyId) {
            if matches!(self.slots[id.0 as usize], Slot::Open(_)) && !used.contains(&id) {
                self.pack(id);
            }
        }
    }

    /// Closes gaps in memory, for quiet moments.
    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.written.compact(gaps);
        self.words.compact(gaps);
    }

    fn key(&self, id: u32) -> Option<Key<'_>> {
        match self.slots.get(id as usize)? {
            Slot::Free => None,
            Slot::Packed(written) => Some(codec::key(&self.words, self.written.bytes(*written))),
            Slot::Open(policy) => Some(parts(&policy.key)),
        }
    }

    fn replace(&mut self, id: u32, slot: Slot) {
        if let Slot::Packed(written) = std::mem::replace(&mut self.slots[id as usize], slot) {
            for word in codec::words(self.written.bytes(written)) {
                self.words.release(word);
            }
            self.written.release(written);
        }
    }
}

fn parts(key: &PolicyKey) -> Key<'_> {
    (key.kind, key.namespace.as_deref(), &key.name)
}
