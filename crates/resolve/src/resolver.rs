//! The resolver of one node: batches of model changes in, deltas out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{Change, DEFAULT_ALLOW, EndpointKey, Predicate, ProfileName};
use oncilla_net::{Family, IpNet, MarkMask};
use oncilla_program::{AddressSet, ClassId, GroupId, HostEndpoint, LocalEndpoint, ServiceSet};

use crate::classes::{Classes, Meaning, classes_max};
use crate::dirty::Dirty;
use crate::fallback::CLASSES_SETTLED_MAX_PERCENT;
use crate::groups;
use crate::index::Index;
use crate::lists::Lists;
use crate::locals::Locals;
use crate::node::{Class, GroupDef, NodeDelta, NodeState, PredicateMode};
use crate::own_ports::OwnPorts;
use crate::packs::Gaps;
use crate::plane::Plane;
use crate::publish::{Occasion, Piece};
use crate::sets::Sets;
use crate::signature::{PredicateId, Signatures};
use crate::work::Work;

/// What a node has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// The mark bits that carry class numbers.
    pub mask: MarkMask,
}

/// What the kernel holds when an agent starts: its class numbers are taken over where they fit.
pub struct Adoption<'a> {
    /// The class of the element that the kernel has for exactly this prefix; a single address is asked for
    /// as a full-length prefix.
    pub class_of: &'a dyn Fn(IpNet) -> Option<ClassId>,
    /// Every class number that the kernel refers to. Those that are not taken over rest before their
    /// first use.
    pub used: BTreeSet<ClassId>,
}

impl std::fmt::Debug for Adoption<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adoption")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// Class numbers ran out. The published state stays what it was and the changes stay pending: the next call
/// tries again. Never a wrong verdict, only an old one. The way out is to settle, again and again until
/// [`Resolver::is_settled`]: then everything pending is in force. When settling fails too, released numbers
/// rest; wait for [`Self::retry_at_ms`] or choose a wider mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "class numbers ran out: {needed} more are needed and {room} are free; choose a mark mask with more bits"
)]
pub struct Exhausted {
    /// How many are needed.
    pub needed: usize,
    /// How many are free now.
    pub room: usize,
    /// When released numbers are free again, in milliseconds of the caller's clock; `None`: when something
    /// else changes.
    pub retry_at_ms: Option<u64>,
}

/// The state of one node. Every output depends on the present input only, up to class numbers, once it has
/// settled; before, predicates that nobody uses any more may keep classes finer than needed.
#[derive(Debug)]
pub struct Resolver {
    pub(crate) node: Arc<str>,
    limits: Limits,
    pub(crate) index: Index,
    pub(crate) signatures: Signatures,
    pub(crate) plane: Plane,
    pub(crate) locals: Locals,
    pub(crate) dirty: Dirty,
    pub(crate) classes: Classes,
    pub(crate) pieces: BTreeMap<IpNet, Piece>,
    /// The predicates that classes know.
    pub(crate) in_class: BTreeSet<PredicateId>,
    /// The predicates that are asked by address.
    pub(crate) by_address: BTreeSet<PredicateId>,
    pub(crate) sets: Sets,
    pub(crate) lists: Lists,
    pub(crate) own_ports: OwnPorts,
    pub(crate) groups: BTreeMap<GroupId, Arc<GroupDef>>,
    pub(crate) endpoints: BTreeMap<Arc<str>, LocalEndpoint>,
    pub(crate) hosts: BTreeMap<Arc<str>, HostEndpoint>,
    retired: BTreeMap<ClassId, Class>,
    /// Whether fewer predicates are asked by class than fit: numbers were short.
    pub(crate) is_retreating: bool,
    has_changed: bool,
}

impl Resolver {
    /// The resolver of a node that knows nothing yet.
    pub fn new(node: &str, limits: Limits) -> Self {
        let mut index = Index::new();
        let default_allow = groups::allow_all(DEFAULT_ALLOW);
        index.set_profile(&ProfileName(DEFAULT_ALLOW.into()), Some(&default_allow));
        Self {
            node: node.into(),
            limits,
            index,
            signatures: Signatures::new(),
            plane: Plane::new(),
            locals: Locals::new(),
            dirty: Dirty::default(),
            classes: Classes::new(limits.mask),
            pieces: BTreeMap::new(),
            in_class: BTreeSet::new(),
            by_address: BTreeSet::new(),
            sets: Sets::default(),
            lists: Lists::default(),
            own_ports: OwnPorts::default(),
            groups: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            hosts: BTreeMap::new(),
            retired: BTreeMap::new(),
            is_retreating: false,
            has_changed: false,
        }
    }

    /// The host endpoints by interface.
    pub fn hosts(&self) -> &BTreeMap<Arc<str>, HostEndpoint> {
        &self.hosts
    }

    /// What was done so far.
    pub fn work(&self) -> Work {
        self.index.work
    }

    /// The endpoints of the cluster that have an address, in order.
    pub fn endpoints_at(&self, addr: IpAddr) -> Vec<EndpointKey> {
        self.plane.endpoints_at(addr)
    }

    /// Takes changes in and publishes nothing: for large batches by pieces, so that nobody needs to hold all changes
    /// at once. The next [`Self::apply`] or [`Self::load`] publishes them.
    pub fn take(&mut self, changes: &[Change]) {
        self.has_changed |= !changes.is_empty();
        for change in changes {
            self.absorb_one(change);
        }
    }

    /// Takes changes in. An empty batch tries again what failed before.
    ///
    /// # Errors
    /// [`Exhausted`]: nothing is published, everything stays pending.
    pub fn apply(&mut self, changes: &[Change], now_ms: u64) -> Result<NodeDelta, Exhausted> {
        self.take(changes);
        self.catch_up();
        self.publish(now_ms, Occasion::Change)
    }

    /// Takes the first changes in, and class numbers from the kernel. The delta is the whole state.
    ///
    /// # Errors
    /// [`Exhausted`]: nothing is published, everything stays pending.
    pub fn load(
        &mut self,
        changes: &[Change],
        adoption: &Adoption<'_>,
        now_ms: u64,
    ) -> Result<NodeDelta, Exhausted> {
        self.take(changes);
        self.catch_up();
        self.dirty.whole.plane = true;
        self.publish(now_ms, Occasion::Adoption(adoption, now_ms))
    }

    /// Forgets predicates that nobody uses, merges classes that became equal and retires empty ones. For
    /// quiet moments, 100 ms or more after the last change.
    ///
    /// # Errors
    /// [`Exhausted`]: nothing is published, everything stays pending.
    pub fn settle(&mut self, now_ms: u64) -> Result<NodeDelta, Exhausted> {
        self.retire_idle();
        if self.has_changed && !self.by_address.is_empty() {
            self.dirty.whole.plane = true;
        }
        let mut delta = self.publish(now_ms, Occasion::Settling)?;
        if self.dirty.whole.plane {
            return Ok(delta);
        }
        self.index.predicates.recycle();
        self.has_changed = !self.is_settled();
        self.retired.clear();
        for (id, meaning) in self.classes.retire_empty(&self.signatures, now_ms) {
            let class = self.describe(id, meaning);
            self.retired.insert(id, class);
            // Added and emptied between two looks of the caller: it never saw it.
            delta.classes_added.retain(|added| *added != id);
            delta.classes_retired.push(id);
        }
        self.sweep();
        Ok(delta)
    }

    /// Closes every gap that what is gone left in packed memory; [`Self::settle`] closes those only that are worth it. For
    /// who wants to know how much is in use.
    pub fn close_gaps(&mut self) {
        self.compact(Gaps::All);
    }

    /// Whether everything is in force and another [`Self::settle`] would change nothing. Only false right
    /// after one when class numbers are short: predicates are on their way between the two modes, or changes
    /// are still pending.
    pub fn is_settled(&self) -> bool {
        let known = self.in_class.union(&self.by_address).count();
        let is_disjoint = self.in_class.is_disjoint(&self.by_address);
        !self.is_retreating
            && !self.dirty.whole.plane
            && is_disjoint
            && known == self.index.predicates.iter().count()
    }

    /// How many classes may be in use once settled.
    pub(crate) fn settled_max(&self) -> usize {
        classes_max(self.limits.mask) * CLASSES_SETTLED_MAX_PERCENT / 100
    }

    /// The predicates in use on the peer's side.
    pub(crate) fn wanted(&self) -> BTreeSet<PredicateId> {
        let active = self.index.predicates.iter();
        active
            .filter(|(_, each)| self.locals.usage.is_peer(each))
            .map(|(id, _)| id)
            .collect()
    }

    /// Brings up to date what depends on what was taken in.
    fn catch_up(&mut self) {
        let names = std::mem::take(&mut self.dirty.profiles);
        if !names.is_empty() {
            let mut changed = BTreeSet::new();
            for shape in self.index.shapes_of_profiles(&names) {
                if self.index.reproject(&mut self.signatures, shape) {
                    changed.insert(shape);
                }
                self.locals
                    .reselect(&mut self.index, &mut self.dirty, shape);
            }
            if !changed.is_empty() {
                self.plane
                    .shapes_changed(&mut self.index, &mut self.dirty, &changed);
            }
            self.dirty.whole.local_sets = true;
        }
        self.locals.regroup(&mut self.index, &mut self.dirty);
        self.dirty.whole.local_sets |= std::mem::take(&mut self.locals.usage.locals_changed);
        self.activate_used();
    }

    /// Registers predicates that rules began to use.
    fn activate_used(&mut self) {
        let changed = std::mem::take(&mut self.locals.usage.peers_changed);
        let (listed, changed): (BTreeSet<Predicate>, BTreeSet<Predicate>) =
            changed.into_iter().partition(|each| each.list().is_some());
        for predicate in &listed {
            let is_wanted = self.locals.usage.is_peer(predicate);
            self.lists.want(predicate, is_wanted);
        }
        let fresh: BTreeSet<Predicate> = changed
            .into_iter()
            .filter(|each| self.locals.usage.is_peer(each))
            .filter(|each| self.index.predicates.id(each).is_none())
            .collect();
        if fresh.is_empty() {
            return;
        }
        for id in self.index.activate(&mut self.signatures, &fresh) {
            let predicate = self.index.predicates.of(id);
            self.plane
                .add_predicate(&mut self.signatures, id, predicate);
        }
        self.plane.predicates_changed(&self.index, &mut self.dirty);
        self.dirty.whole.plane = true;
    }

    /// Retires predicates that nobody uses any more.
    fn retire_idle(&mut self) {
        let wanted = self.wanted();
        let active = self.index.predicates.iter().map(|(id, _)| id);
        let idle: BTreeSet<PredicateId> = active.filter(|id| !wanted.contains(id)).collect();
        if idle.is_empty() {
            return;
        }
        for id in &idle {
            self.plane
                .remove_predicate(*id, self.index.predicates.of(*id));
        }
        self.index.retire(&mut self.signatures, &idle);
        self.plane.predicates_changed(&self.index, &mut self.dirty);
        self.dirty.whole.plane = true;
        self.dirty.whole.local_sets = true;
    }

    fn compact(&mut self, gaps: Gaps) {
        self.index.compact(gaps);
        self.plane.compact(gaps);
        self.locals.compact(gaps);
    }

    fn sweep(&mut self) {
        self.compact(Gaps::Large);
        if !self.signatures.wants_sweep() {
            return;
        }
        let mut live = self.index.live_signatures();
        live.extend(self.plane.live_signatures());
        live.extend(self.pieces.values().map(|piece| piece.full));
        live.extend(self.classes.iter().map(|(_, slot)| slot.meaning.1));
        live.extend(Family::ALL.map(|family| self.classes.unknown(family)));
        self.signatures.sweep(&live);
    }

    fn describe(&self, id: ClassId, (family, signature): Meaning) -> Class {
        let signature = self.signatures.of(signature);
        let predicate = |id: &PredicateId| self.index.predicates.of(*id).clone();
        let mut ports: BTreeMap<Predicate, Vec<u16>> = BTreeMap::new();
        for (id, port) in &signature.ports {
            ports.entry(predicate(id)).or_default().push(*port);
        }
        Class {
            id,
            family,
            holds: signature.holds.iter().map(predicate).collect(),
            ports,
        }
    }

    fn meaning(&self, id: ClassId) -> Option<Meaning> {
        let family = Family::ALL
            .into_iter()
            .find(|family| ClassId::unknown(*family) == id);
        match family {
            Some(family) => Some((family, self.classes.unknown(family))),
            None => self.classes.slot(id).map(|slot| slot.meaning),
        }
    }
}

impl NodeState for Resolver {
    fn class(&self, id: ClassId) -> Option<Class> {
        match self.meaning(id) {
            Some(meaning) => Some(self.describe(id, meaning)),
            None => self.retired.get(&id).cloned(),
        }
    }

    fn classes_of(&self, predicate: &Predicate) -> Vec<ClassId> {
        let id = self.index.predicates.id(predicate);
        id.map(|id| self.classes.holders(id).collect())
            .unwrap_or_default()
    }

    fn ports_of(&self, predicate: &Predicate) -> Vec<(ClassId, u16)> {
        let Some(id) = self.index.predicates.id(predicate) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for class in self.classes.holders(id) {
            if let Some((_, signature)) = self.meaning(class) {
                let ports = self.signatures.of(signature).ports.iter();
                let ports = ports.filter(|(of, _)| *of == id);
                found.extend(ports.map(|(_, port)| (class, *port)));
            }
        }
        found
    }

    fn family_of(&self, id: ClassId) -> Option<Family> {
        let retired = || self.retired.get(&id).map(|class| class.family);
        self.meaning(id).map(|(family, _)| family).or_else(retired)
    }

    fn mode(&self, predicate: &Predicate) -> PredicateMode {
        if predicate.list().is_some() || self.is_by_address(predicate) {
            PredicateMode::ByAddress
        } else {
            PredicateMode::ByClass
        }
    }

    fn addresses_of(&self, predicate: &Predicate) -> AddressSet {
        let empty = || AddressSet {
            text: Arc::clone(predicate.text()),
            ..AddressSet::default()
        };
        self.sets.of(predicate).cloned().unwrap_or_else(empty)
    }

    fn service_of(&self, predicate: &Predicate) -> ServiceSet {
        let own = self.own_ports.of(predicate).cloned();
        own.unwrap_or_else(|| self.lists.service(predicate))
    }

    fn groups(&self) -> &BTreeMap<GroupId, Arc<GroupDef>> {
        &self.groups
    }

    fn endpoints(&self) -> &BTreeMap<Arc<str>, LocalEndpoint> {
        &self.endpoints
    }
}
