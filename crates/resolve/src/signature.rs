//! Signatures: which predicates hold, and to which ports named ones lead. Hash-consed.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

/// An active peer predicate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PredicateId(pub(crate) u32);

/// An interned signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SigId(u32);

impl SigId {
    /// Nothing holds.
    pub(crate) const EMPTY: Self = Self(0);
}

/// What holds of an address, an identity or a prefix. Both lists ascend, each entry once.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Signature {
    pub(crate) holds: Box<[PredicateId]>,
    pub(crate) ports: Box<[(PredicateId, u16)]>,
}

impl Signature {
    pub(crate) fn new(mut holds: Vec<PredicateId>, mut ports: Vec<(PredicateId, u16)>) -> Self {
        holds.sort_unstable();
        holds.dedup();
        ports.sort_unstable();
        ports.dedup();
        Self {
            holds: holds.into(),
            ports: ports.into(),
        }
    }

    /// Every predicate that has an answer, ascending.
    pub(crate) fn predicates(&self) -> BTreeSet<PredicateId> {
        self.holds
            .iter()
            .copied()
            .chain(self.ports.iter().map(|(id, _)| *id))
            .collect()
    }

    fn union(&self, other: &Self) -> Self {
        Self::new(
            self.holds.iter().chain(&*other.holds).copied().collect(),
            self.ports.iter().chain(&*other.ports).copied().collect(),
        )
    }

    pub(crate) fn restricted(&self, keep: &BTreeSet<PredicateId>) -> Self {
        Self {
            holds: self
                .holds
                .iter()
                .copied()
                .filter(|id| keep.contains(id))
                .collect(),
            ports: self
                .ports
                .iter()
                .copied()
                .filter(|(id, _)| keep.contains(id))
                .collect(),
        }
    }
}

/// Slots that may be garbage before a sweep is worth it.
const SWEEP_SLACK: usize = 1024;

/// The signatures in use, and a memory of unions. Garbage is swept at settling.
#[derive(Debug)]
pub(crate) struct Signatures {
    ids: HashMap<Arc<Signature>, SigId>,
    slots: Vec<Option<Arc<Signature>>>,
    free: Vec<SigId>,
    unions: HashMap<(SigId, SigId), SigId>,
    live_after_sweep: usize,
}

impl Signatures {
    pub(crate) fn new() -> Self {
        let mut made = Self {
            ids: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            unions: HashMap::new(),
            live_after_sweep: 0,
        };
        made.intern(Signature::default());
        made
    }

    pub(crate) fn intern(&mut self, signature: Signature) -> SigId {
        if let Some(&id) = self.ids.get(&signature) {
            return id;
        }
        let signature = Arc::new(signature);
        let slot = Some(Arc::clone(&signature));
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                SigId(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 signatures"))
            }
        };
        self.ids.insert(signature, id);
        id
    }

    pub(crate) fn of(&self, id: SigId) -> &Arc<Signature> {
        self.slots[id.0 as usize]
            .as_ref()
            .expect("a signature in use is not swept")
    }

    pub(crate) fn union(&mut self, one: SigId, other: SigId) -> SigId {
        let (low, high) = if one <= other {
            (one, other)
        } else {
            (other, one)
        };
        if low == high || low == SigId::EMPTY {
            return high;
        }
        if let Some(&known) = self.unions.get(&(low, high)) {
            return known;
        }
        let union = self.of(low).union(self.of(high));
        let union = self.intern(union);
        self.unions.insert((low, high), union);
        union
    }

    /// Only the answers of these predicates.
    pub(crate) fn restrict(&mut self, id: SigId, keep: &BTreeSet<PredicateId>) -> SigId {
        let signature = self.of(id);
        let all = signature
            .holds
            .iter()
            .chain(signature.ports.iter().map(|(id, _)| id));
        if all.into_iter().all(|id| keep.contains(id)) {
            return id;
        }
        let restricted = signature.restricted(keep);
        self.intern(restricted)
    }

    /// Whether a sweep is worth its cost.
    pub(crate) fn wants_sweep(&self) -> bool {
        self.ids.len() > 2 * self.live_after_sweep + SWEEP_SLACK
            || self.unions.len() > 64 * SWEEP_SLACK
    }

    /// Forgets everything that is not live.
    pub(crate) fn sweep(&mut self, live: &BTreeSet<SigId>) {
        self.unions = HashMap::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let id = SigId(u32::try_from(index).expect("fewer than 2^32 signatures"));
            if id != SigId::EMPTY
                && !live.contains(&id)
                && let Some(signature) = slot.take()
            {
                self.ids.remove(&signature);
                self.free.push(id);
            }
        }
        self.live_after_sweep = self.ids.len();
    }
}
