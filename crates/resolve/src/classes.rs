//! Class numbers: who has which signature, who is empty, and when a number may be used again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::{HashMap, HashMapExt as _};
use oncilla_net::{Family, MarkMask};
use oncilla_program::ClassId;

use crate::signature::{PredicateId, SigId, Signatures};

/// How long a released number rests before it is used again, in milliseconds (`engine.md` §6, i).
pub const CLASS_QUARANTINE_MS: u64 = 10_000;

/// A family and a signature: what a class is.
pub(crate) type Meaning = (Family, SigId);

#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassSlot {
    pub(crate) meaning: Meaning,
    /// Elements: single addresses and prefixes.
    pub(crate) members: usize,
}

/// The classes of a node.
#[derive(Debug)]
pub(crate) struct Classes {
    slots: BTreeMap<ClassId, ClassSlot>,
    by_meaning: HashMap<Meaning, ClassId>,
    holders: BTreeMap<PredicateId, BTreeSet<ClassId>>,
    unknown: [SigId; 2],
    empty: BTreeSet<ClassId>,
    next: u32,
    last: u32,
    free: BTreeSet<u32>,
    resting: VecDeque<(u64, u32)>,
}

/// How many classes a mask has room for, both families: all numbers but none, the unknown and all ones.
pub(crate) const fn classes_max(mask: MarkMask) -> usize {
    (mask.max() - 3) as usize
}

impl Classes {
    pub(crate) fn new(mask: MarkMask) -> Self {
        Self {
            slots: BTreeMap::new(),
            by_meaning: HashMap::new(),
            holders: BTreeMap::new(),
            unknown: [SigId::EMPTY; 2],
            empty: BTreeSet::new(),
            next: ClassId::FIRST.0,
            last: mask.max() - 1,
            free: BTreeSet::new(),
            resting: VecDeque::new(),
        }
    }

    pub(crate) fn slot(&self, id: ClassId) -> Option<&ClassSlot> {
        self.slots.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClassId, &ClassSlot)> {
        self.slots.iter().map(|(id, slot)| (*id, slot))
    }

    /// How many there are, empty ones included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn of(&self, meaning: Meaning) -> Option<ClassId> {
        self.by_meaning.get(&meaning).copied()
    }

    /// What holds of the unknown addresses of a family.
    pub(crate) fn unknown(&self, family: Family) -> SigId {
        self.unknown[family as usize]
    }

    /// The classes that have an answer to a predicate.
    pub(crate) fn holders(&self, id: PredicateId) -> impl Iterator<Item = ClassId> + '_ {
        self.holders.get(&id).into_iter().flatten().copied()
    }

    /// Numbers that are to be had now.
    pub(crate) fn room(&self, now_ms: u64) -> usize {
        let ahead = (self.last + 1).saturating_sub(self.next) as usize;
        let adopted = self.slots.range(ClassId(self.next)..).count();
        let resting = self
            .resting
            .iter()
            .filter(|(_, number)| *number >= self.next)
            .count();
        let rested = self
            .resting
            .iter()
            .filter(|(until, _)| *until <= now_ms)
            .count();
        ahead.saturating_sub(adopted + resting) + self.free.len() + rested
    }

    /// When the next resting number is free again.
    pub(crate) fn next_room_ms(&self) -> Option<u64> {
        self.resting.iter().map(|(until, _)| *until).min()
    }

    /// A new class with the lowest free number. The caller asked [`Self::room`] before.
    pub(crate) fn open(
        &mut self,
        signatures: &Signatures,
        meaning: Meaning,
        now_ms: u64,
    ) -> ClassId {
        while self
            .resting
            .front()
            .is_some_and(|(until, _)| *until <= now_ms)
        {
            if let Some((_, number)) = self.resting.pop_front() {
                self.free.insert(number);
            }
        }
        let number = self.free.pop_first().unwrap_or_else(|| {
            while self.is_taken(self.next) {
                self.next += 1;
            }
            self.next += 1;
            self.next - 1
        });
        assert!(
            number <= self.last,
            "the caller asks for room before it opens a class"
        );
        let id = ClassId(number);
        self.place(signatures, id, meaning);
        id
    }

    /// A class with a number of the caller's choice, which nobody else has.
    pub(crate) fn adopt(&mut self, signatures: &Signatures, id: ClassId, meaning: Meaning) {
        self.free.remove(&id.0);
        self.resting.retain(|(_, number)| *number != id.0);
        self.place(signatures, id, meaning);
    }

    fn place(&mut self, signatures: &Signatures, id: ClassId, meaning: Meaning) {
        self.slots.insert(
            id,
            ClassSlot {
                meaning,
                members: 0,
            },
        );
        self.by_meaning.insert(meaning, id);
        self.empty.insert(id);
        self.hold(signatures, id, SigId::EMPTY, meaning.1);
    }

    /// Whether a number can be allotted at all.
    pub(crate) fn is_valid(&self, id: ClassId) -> bool {
        (ClassId::FIRST.0..=self.last).contains(&id.0)
    }

    /// Lets numbers that the kernel may still refer to rest before their first use.
    pub(crate) fn rest(&mut self, ids: impl IntoIterator<Item = ClassId>, now_ms: u64) {
        for id in ids {
            if self.is_valid(id) && !self.slots.contains_key(&id) && !self.is_resting(id.0) {
                self.free.remove(&id.0);
                self.resting.push_back((now_ms + CLASS_QUARANTINE_MS, id.0));
            }
        }
    }

    /// Gives classes new meanings at once: predicates came or went. Meanings are a permutation of nothing:
    /// each is had by at most one class afterwards; an empty class that lost its meaning keeps its slot.
    pub(crate) fn redefine(
        &mut self,
        signatures: &Signatures,
        unknown: [SigId; 2],
        meanings: &BTreeMap<ClassId, Meaning>,
    ) {
        for (&id, &meaning) in meanings {
            if let Some(slot) = self.slots.get_mut(&id) {
                let before = std::mem::replace(&mut slot.meaning, meaning);
                self.hold(signatures, id, before.1, meaning.1);
            }
        }
        for family in Family::ALL {
            let now = unknown[family as usize];
            let before = std::mem::replace(&mut self.unknown[family as usize], now);
            self.hold(signatures, ClassId::unknown(family), before, now);
        }
        self.by_meaning = HashMap::new();
        for (&id, slot) in &self.slots {
            // Of two with one meaning the elected one wins; the other is empty and on its way out.
            if meanings.contains_key(&id) || !self.by_meaning.contains_key(&slot.meaning) {
                self.by_meaning.insert(slot.meaning, id);
            }
        }
    }

    /// Gives one class another meaning; who answers for it is settled by [`Self::redefine`].
    pub(crate) fn redefine_one(&mut self, signatures: &Signatures, id: ClassId, meaning: Meaning) {
        if let Some(slot) = self.slots.get_mut(&id) {
            let before = std::mem::replace(&mut slot.meaning, meaning);
            self.hold(signatures, id, before.1, meaning.1);
        }
    }

    /// An element joins or leaves.
    pub(crate) fn count(&mut self, id: ClassId, joins: bool) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if joins {
            slot.members += 1;
            self.empty.remove(&id);
        } else {
            slot.members -= 1;
            if slot.members == 0 {
                self.empty.insert(id);
            }
        }
    }

    /// Takes the empty classes out, ascending. Their numbers rest.
    pub(crate) fn retire_empty(
        &mut self,
        signatures: &Signatures,
        now_ms: u64,
    ) -> Vec<(ClassId, Meaning)> {
        let mut retired = Vec::new();
        for id in std::mem::take(&mut self.empty) {
            if let Some(slot) = self.slots.remove(&id) {
                self.hold(signatures, id, slot.meaning.1, SigId::EMPTY);
                if self.by_meaning.get(&slot.meaning) == Some(&id) {
                    self.by_meaning.remove(&slot.meaning);
                }
                self.resting.push_back((now_ms + CLASS_QUARANTINE_MS, id.0));
                retired.push((id, slot.meaning));
            }
        }
        retired
    }

    fn is_taken(&self, number: u32) -> bool {
        self.slots.contains_key(&ClassId(number)) || self.is_resting(number)
    }

    fn is_resting(&self, number: u32) -> bool {
        self.resting.iter().any(|(_, resting)| *resting == number)
    }

    fn hold(&mut self, signatures: &Signatures, id: ClassId, before: SigId, now: SigId) {
        if before == now {
            return;
        }
        let before = signatures.of(before).predicates();
        let now = signatures.of(now).predicates();
        for predicate in before.difference(&now) {
            if let Some(holders) = self.holders.get_mut(predicate) {
                holders.remove(&id);
                if holders.is_empty() {
                    self.holders.remove(predicate);
                }
            }
        }
        for predicate in now.difference(&before) {
            self.holders.entry(*predicate).or_default().insert(id);
        }
    }
}
