//! Shapes: what endpoints and network sets look like to selectors. Hash-consed, so that the replicas of a
//! deployment share one.
//!
//! A shape is two parts that vary apart from each other: the labels and ports that somebody gave, which the pods of a
//! deployment share, and the surroundings, which the pods of a namespace share.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use oncilla_model::{EndpointPort, Labels, Predicate, ProfileName};
use oncilla_net::Protocol;

use crate::identity::IdentityId;
use crate::labels::{Pair, TextId, Texts, named_pairs, pairs, put_id, put_labels, take_id};
use crate::packs::{Gaps, Packs, put_number, take_number};

/// An interned shape.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ShapeId(u32);

impl ShapeId {
    /// The number, which is below [`u32::MAX`].
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The shape of a number.
    pub(crate) const fn numbered(number: u32) -> Self {
        Self(number)
    }
}

/// A named port with its name interned.
pub(crate) type PortKey = (TextId, Protocol, u16);

/// Who is asked. A selector of endpoints never means a node, and the other way round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Realm {
    /// Endpoints and network sets.
    Endpoints,
    /// Nodes as peers.
    Nodes,
}

impl Realm {
    /// Whom a predicate asks; CIDRs and lists ask nobody.
    pub(crate) const fn of(predicate: &Predicate) -> Self {
        match predicate {
            Predicate::Nodes { .. } => Self::Nodes,
            Predicate::Selector { .. }
            | Predicate::Nets { .. }
            | Predicate::NamedPort { .. }
            | Predicate::Listed { .. } => Self::Endpoints,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) const fn numbered(number: usize) -> Self {
        if number == Self::Nodes as usize {
            Self::Nodes
        } else {
            Self::Endpoints
        }
    }
}

/// What an object shows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) realm: Realm,
    pub(crate) labels: &'a Labels,
    pub(crate) profiles: &'a [ProfileName],
    pub(crate) ports: &'a [EndpointPort],
}

/// What the labels begin with that say where something is, not what it is.
const SURROUNDINGS: &str = "projectcalico.org/";

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Ports and labels.
    set: u32,
    /// Realm, profiles to inherit from, and labels of the surroundings.
    context: u32,
    references: u32,
    identity: Option<IdentityId>,
}

/// The shapes in use, counted.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    sets: Packs,
    contexts: Packs,
    table: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hasher: RandomState,
}

impl Shapes {
    /// The shape of a look, with one reference more.
    pub(crate) fn intern(&mut self, texts: &mut Texts, look: Look<'_>) -> ShapeId {
        let set = packed_set(texts, look);
        let context = packed_context(texts, look);
        let (set_id, is_new_set) = self.sets.intern(&set);
        let (context_id, is_new_context) = self.contexts.intern(&context);
        if !is_new_set {
            release_texts(texts, set_texts(&set));
        }
        if !is_new_context {
            release_texts(texts, context_texts(&context));
        }
        let key = (set_id, context_id);
        let hash = self.hasher.hash_one(key);
        let slots = &self.slots;
        let parts = |id: &u32| (slots[*id as usize].set, slots[*id as usize].context);
        if let Some(&id) = self.table.find(hash, |id| parts(id) == key) {
            self.slots[id as usize].references += 1;
            // The shape refers to its parts already.
            self.sets.release(set_id);
            self.contexts.release(context_id);
            return ShapeId(id);
        }
        let slot = Slot {
            set: set_id,
            context: context_id,
            references: 1,
            identity: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 shapes")
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |id: &u32| {
            let slot = &slots[*id as usize];
            hasher.hash_one((slot.set, slot.context))
        };
        self.table.insert_unique(hash, id, rehash);
        ShapeId(id)
    }

    /// One reference more.
    pub(crate) fn retain(&mut self, id: ShapeId) {
        self.slots[id.0 as usize].references += 1;
    }

    /// One reference less. With the last one the shape goes and its identity is handed back.
    pub(crate) fn release(
        &mut self,
        texts: &mut Texts,
        ShapeId(id): ShapeId,
    ) -> Option<IdentityId> {
        let slot = &mut self.slots[id as usize];
        slot.references -= 1;
        if slot.references > 0 {
            return None;
        }
        let slot = *slot;
        let hash = self.hasher.hash_one((slot.set, slot.context));
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        if self.sets.references(slot.set) == 1 {
            release_texts(texts, set_texts(self.sets.bytes(slot.set)));
        }
        if self.contexts.references(slot.context) == 1 {
            release_texts(texts, context_texts(self.contexts.bytes(slot.context)));
        }
        self.sets.release(slot.set);
        self.contexts.release(slot.context);
        self.free.push(id);
        slot.identity
    }

    pub(crate) fn realm(&self, id: ShapeId) -> Realm {
        let context = self.contexts.bytes(self.slot(id).context);
        Realm::numbered(usize::from(context.first().copied().unwrap_or_default()))
    }

    /// The profiles to inherit from, in order.
    pub(crate) fn profiles(&self, id: ShapeId) -> impl Iterator<Item = TextId> + '_ {
        profiles(self.contexts.bytes(self.slot(id).context))
            .0
            .into_iter()
    }

    /// The named ports.
    pub(crate) fn ports(&self, id: ShapeId) -> impl Iterator<Item = PortKey> + '_ {
        ports(self.sets.bytes(self.slot(id).set)).0.into_iter()
    }

    /// The own labels whose name is wanted.
    pub(crate) fn labels<'a, F>(
        &'a self,
        id: ShapeId,
        is_wanted: F,
    ) -> impl Iterator<Item = Pair<'a>>
    where
        F: Fn(TextId) -> bool + Copy + 'a,
    {
        let slot = self.slot(id);
        let set = ports(self.sets.bytes(slot.set)).1;
        let context = profiles(self.contexts.bytes(slot.context)).1;
        named_pairs(set, is_wanted).chain(named_pairs(context, is_wanted))
    }

    pub(crate) fn identity(&self, id: ShapeId) -> Option<IdentityId> {
        self.slot(id).identity
    }

    /// Sets the identity and hands back the one before.
    pub(crate) fn set_identity(&mut self, id: ShapeId, identity: IdentityId) -> Option<IdentityId> {
        self.slots[id.0 as usize].identity.replace(identity)
    }

    /// Every shape, ascending.
    pub(crate) fn ids(&self) -> Vec<ShapeId> {
        let ids = 0..u32::try_from(self.slots.len()).expect("fewer than 2^32 shapes");
        let used = ids.filter(|id| self.slots[*id as usize].references > 0);
        used.map(ShapeId).collect()
    }

    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.sets.compact(gaps);
        self.contexts.compact(gaps);
    }

    fn slot(&self, id: ShapeId) -> &Slot {
        &self.slots[id.0 as usize]
    }
}

fn is_of_set(name: &str) -> bool {
    !name.starts_with(SURROUNDINGS)
}

fn packed_set(texts: &mut Texts, look: Look<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    put_number(&mut bytes, look.ports.len());
    for port in look.ports {
        put_port(
            &mut bytes,
            (texts.intern(&port.name), port.protocol, port.port),
        );
    }
    let labels = look.labels.iter().filter(|(name, _)| is_of_set(name));
    put_labels(&mut bytes, texts, labels);
    bytes
}

fn packed_context(texts: &mut Texts, look: Look<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(look.realm.number());
    put_number(&mut bytes, look.profiles.len());
    for profile in look.profiles {
        put_id(&mut bytes, texts.intern(&profile.0));
    }
    let labels = look.labels.iter().filter(|(name, _)| !is_of_set(name));
    put_labels(&mut bytes, texts, labels);
    bytes
}

/// The ports of a set, and its labels behind them.
fn ports(mut bytes: &[u8]) -> (Vec<PortKey>, &[u8]) {
    let count = take_number(&mut bytes);
    let ports = (0..count).map(|_| take_port(&mut bytes)).collect();
    (ports, bytes)
}

/// The profiles of a context, and its labels behind them.
fn profiles(mut bytes: &[u8]) -> (Vec<TextId>, &[u8]) {
    take_number(&mut bytes);
    let count = take_number(&mut bytes);
    let profiles = (0..count).map(|_| take_id(&mut bytes)).collect();
    (profiles, bytes)
}

fn set_texts(bytes: &[u8]) -> impl Iterator<Item = TextId> {
    let (ports, labels) = ports(bytes);
    let ports = ports.into_iter().map(|(name, ..)| name);
    ports.chain(pairs(labels).map(|(name, _)| name))
}

fn context_texts(bytes: &[u8]) -> impl Iterator<Item = TextId> {
    let (profiles, labels) = profiles(bytes);
    profiles
        .into_iter()
        .chain(pairs(labels).map(|(name, _)| name))
}

fn release_texts(texts: &mut Texts, released: impl Iterator<Item = TextId>) {
    released.for_each(|text| texts.release(text));
}

/// Writes a named port.
pub(crate) fn put_port(bytes: &mut Vec<u8>, (name, protocol, port): PortKey) {
    put_id(bytes, name);
    put_number(bytes, usize::from(protocol.0));
    put_number(bytes, usize::from(port));
}

/// Reads a named port from the front.
pub(crate) fn take_port(bytes: &mut &[u8]) -> PortKey {
    let name = take_id(bytes);
    let protocol = u8::try_from(take_number(bytes)).expect("a protocol was written");
    let port = u16::try_from(take_number(bytes)).expect("a port was written");
    (name, Protocol(protocol), port)
}
