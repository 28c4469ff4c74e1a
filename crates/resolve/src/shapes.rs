//! Shapes: what endpoints and network sets look like to selectors. Hash-consed, so that the replicas of a
//! deployment share one.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_model::{EndpointPort, Labels, Predicate, ProfileName};
use oncilla_net::Protocol;

use crate::identity::IdentityId;
use crate::labels::{Pairs, TextId, Texts};

/// An interned shape.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ShapeId(u32);

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
}

/// What an object shows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) realm: Realm,
    pub(crate) labels: &'a Labels,
    pub(crate) profiles: &'a [ProfileName],
    pub(crate) ports: &'a [EndpointPort],
}

/// Own labels, profiles to inherit from in order, and named ports.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(crate) struct Shape {
    pub(crate) realm: Realm,
    pub(crate) labels: Pairs,
    pub(crate) profiles: Box<[TextId]>,
    pub(crate) ports: Box<[PortKey]>,
}

impl Shape {
    fn texts(&self) -> impl Iterator<Item = TextId> + '_ {
        let labels = self.labels.iter().flat_map(|(name, value)| [*name, *value]);
        labels
            .chain(self.profiles.iter().copied())
            .chain(self.ports.iter().map(|(name, ..)| *name))
    }
}

#[derive(Debug)]
struct Slot {
    shape: Arc<Shape>,
    references: u32,
    identity: Option<IdentityId>,
}

/// The shapes in use, counted.
#[derive(Debug)]
pub(crate) struct Shapes {
    ids: HashMap<Arc<Shape>, ShapeId>,
    slots: Vec<Option<Slot>>,
    free: Vec<ShapeId>,
}

impl Shapes {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The shape of a look, with one reference more.
    pub(crate) fn intern(&mut self, texts: &mut Texts, look: Look<'_>) -> ShapeId {
        let labels = look
            .labels
            .iter()
            .map(|(name, value)| (texts.intern(name), texts.intern(value)))
            .collect();
        let profiles = look
            .profiles
            .iter()
            .map(|profile| texts.intern(&profile.0))
            .collect();
        let ports = look
            .ports
            .iter()
            .map(|p| (texts.intern(&p.name), p.protocol, p.port))
            .collect();
        let shape = Shape {
            realm: look.realm,
            labels,
            profiles,
            ports,
        };
        if let Some(&id) = self.ids.get(&shape) {
            shape.texts().for_each(|text| texts.release(text));
            self.slot_mut(id).references += 1;
            return id;
        }
        let shape = Arc::new(shape);
        let slot = Some(Slot {
            shape: Arc::clone(&shape),
            references: 1,
            identity: None,
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                ShapeId(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 shapes"))
            }
        };
        self.ids.insert(shape, id);
        id
    }

    /// One reference more.
    pub(crate) fn retain(&mut self, id: ShapeId) {
        self.slot_mut(id).references += 1;
    }

    /// One reference less. With the last one the shape goes and its identity is handed back.
    pub(crate) fn release(&mut self, texts: &mut Texts, id: ShapeId) -> Option<IdentityId> {
        let slot = self.slot_mut(id);
        slot.references -= 1;
        if slot.references > 0 {
            return None;
        }
        let slot = self.slots[id.0 as usize].take()?;
        slot.shape.texts().for_each(|text| texts.release(text));
        self.ids.remove(&slot.shape);
        self.free.push(id);
        slot.identity
    }

    pub(crate) fn of(&self, id: ShapeId) -> &Arc<Shape> {
        &self.slots[id.0 as usize]
            .as_ref()
            .expect("a shape in use is there")
            .shape
    }

    pub(crate) fn identity(&self, id: ShapeId) -> Option<IdentityId> {
        self.slots[id.0 as usize]
            .as_ref()
            .and_then(|slot| slot.identity)
    }

    /// Sets the identity and hands back the one before.
    pub(crate) fn set_identity(&mut self, id: ShapeId, identity: IdentityId) -> Option<IdentityId> {
        self.slot_mut(id).identity.replace(identity)
    }

    /// Every shape, ascending.
    pub(crate) fn ids(&self) -> Vec<ShapeId> {
        let used = |(index, slot): (usize, &Option<Slot>)| slot.is_some().then_some(index);
        self.slots
            .iter()
            .enumerate()
            .filter_map(used)
            .map(|index| ShapeId(u32::try_from(index).expect("fewer than 2^32 shapes")))
            .collect()
    }

    fn slot_mut(&mut self, id: ShapeId) -> &mut Slot {
        self.slots[id.0 as usize]
            .as_mut()
            .expect("a shape in use is there")
    }
}
