//! The plane of addresses: endpoints and network sets as rows, and what they and the CIDR predicates say
//! about single addresses and prefixes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{EndpointKey, NetworkSet, NetworkSetKey, Node, Predicate};
use oncilla_net::{Family, IpNet, fault};

use crate::addresses::{Addresses, Source};
use crate::dirty::Dirty;
use crate::index::Index;
use crate::packs::{Gaps, put_net, take_net};
use crate::prefixes::{Extent, Prefixes, extent, halves};
use crate::rows::{RowKey, Rows};
use crate::shapes::ShapeId;
use crate::signature::{PredicateId, SigId, Signature, Signatures};

/// Which row of nets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SetKey {
    /// A network set.
    Set(NetworkSetKey),
    /// A node, as a peer.
    Node(Arc<str>),
}

/// Where a row's nets stand.
#[derive(Clone, Debug)]
pub(crate) enum Nets {
    /// In a network set.
    Set(Arc<NetworkSet>),
    /// In a node's addresses.
    Node(Arc<Node>),
}

/// A row's nets as they are kept.
#[derive(Clone, Debug)]
enum Kept {
    /// Those of a network set, packed.
    Set(Box<[u8]>),
    /// Those of a node.
    Node(Arc<Node>),
}

impl From<Nets> for Kept {
    fn from(nets: Nets) -> Self {
        match nets {
            Nets::Set(set) => {
                let mut bytes = Vec::new();
                for net in &set.nets {
                    put_net(&mut bytes, *net);
                }
                Self::Set(bytes.into())
            }
            Nets::Node(node) => Self::Node(node),
        }
    }
}

impl Kept {
    fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        let (mut nets, addresses): (&[u8], &[IpAddr]) = match self {
            Self::Set(nets) => (nets, &[]),
            Self::Node(node) => (&[], &node.addresses),
        };
        let addresses = addresses.iter().map(|addr| IpNet::from(*addr));
        let nets = std::iter::from_fn(move || (!nets.is_empty()).then(|| take_net(&mut nets)));
        nets.chain(addresses)
    }
}

/// A network set, or a node as a peer.
#[derive(Debug)]
pub(crate) struct SetRow {
    pub(crate) shape: ShapeId,
    nets: Kept,
    /// Whether its nets are in the plane: only while an active predicate selects it.
    is_installed: bool,
}

impl SetRow {
    /// What it holds.
    pub(crate) fn nets(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.nets.iter()
    }
}

/// The plane. Owned by the resolver.
#[derive(Debug)]
pub(crate) struct Plane {
    rows: Rows,
    set_ids: BTreeMap<SetKey, u32>,
    set_rows: BTreeMap<u32, SetRow>,
    next_set: u32,
    singles: BTreeMap<PredicateId, SigId>,
    whole: [BTreeSet<PredicateId>; 2],
    pub(crate) addresses: Addresses,
    pub(crate) prefixes: Prefixes,
}

impl Plane {
    pub(crate) fn new() -> Self {
        Self {
            rows: Rows::new(),
            set_ids: BTreeMap::new(),
            set_rows: BTreeMap::new(),
            next_set: 0,
            singles: BTreeMap::new(),
            whole: [BTreeSet::new(), BTreeSet::new()],
            addresses: Addresses::new(),
            prefixes: Prefixes::default(),
        }
    }

    /// What a source says.
    pub(crate) fn answers(&self, index: &Index, source: Source) -> SigId {
        match source {
            Source::Row(row) => self
                .shape_of(row)
                .map_or(SigId::EMPTY, |shape| index.answers(shape)),
            Source::Set(set) => self
                .set_rows
                .get(&set)
                .map_or(SigId::EMPTY, |set| index.answers(set.shape)),
            Source::Predicate(id) => self.singles.get(&id).copied().unwrap_or(SigId::EMPTY),
        }
    }

    /// What holds of a whole family.
    pub(crate) fn base(&self, signatures: &mut Signatures, family: Family) -> SigId {
        let holds = self.whole[family as usize].iter().copied().collect();
        signatures.intern(Signature::new(holds, Vec::new()))
    }

    /// Signatures that the plane refers to.
    pub(crate) fn live_signatures(&self) -> impl Iterator<Item = SigId> + '_ {
        self.singles.values().copied()
    }

    /// The workloads that have an address, in order.
    pub(crate) fn endpoints_at(&self, addr: IpAddr) -> Vec<EndpointKey> {
        let sources = self.addresses.sources(addr);
        let rows = sources.filter_map(|source| match source {
            Source::Row(row) => Some(self.rows.key(row)),
            Source::Set(_) | Source::Predicate(_) => None,
        });
        let mut keys: Vec<EndpointKey> = rows
            .filter_map(|key| match key {
                RowKey::Workload(key) => Some(key),
                RowKey::Host(_) => None,
            })
            .collect();
        keys.sort_unstable();
        keys
    }

    /// The shape of an endpoint's row.
    pub(crate) fn shape_of(&self, row: u32) -> Option<ShapeId> {
        self.rows.shape(row)
    }

    /// The network sets and nodes.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &SetRow> {
        self.set_rows.values()
    }

    /// A node as it is known.
    pub(crate) fn node(&self, name: &Arc<str>) -> Option<&Arc<Node>> {
        let row = self.set_ids.get(&SetKey::Node(Arc::clone(name)))?;
        match &self.set_rows.get(row)?.nets {
            Kept::Node(node) => Some(node),
            Kept::Set(_) => None,
        }
    }

    /// Puts or removes an endpoint. A shape comes with a reference, which the row keeps.
    pub(crate) fn put_endpoint(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        key: &RowKey,
        new: Option<(ShapeId, &[IpAddr])>,
    ) {
        index.work.rows_touched += 1;
        let row = match new {
            Some(_) => self.rows.open(key),
            None => match self.rows.find(key) {
                Some(row) => row,
                None => return,
            },
        };
        let old = self.rows.shape(row);
        let before = self.rows.addresses(row);
        let after: &[IpAddr] = new.map_or(&[], |(_, addresses)| addresses);
        let is_same_shape = old == new.map(|(shape, _)| shape);
        for &addr in &before {
            if !after.contains(&addr) {
                self.addresses.remove(addr, Source::Row(row));
                dirty.addresses.insert(addr);
            } else if !is_same_shape {
                dirty.addresses.insert(addr);
            }
        }
        for &addr in after.iter().filter(|addr| !before.contains(addr)) {
            self.addresses.add(addr, Source::Row(row));
            dirty.addresses.insert(addr);
        }
        if let Some(old) = old {
            index.release(old);
        }
        match new {
            Some((shape, _)) => self.rows.set(row, shape, after),
            None => self.rows.close(row),
        }
    }

    /// Puts or removes a network set or node. A shape comes with a reference, which the row keeps.
    pub(crate) fn put_set(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        key: &SetKey,
        new: Option<(ShapeId, Nets)>,
    ) {
        index.work.rows_touched += 1;
        let row = match self.set_ids.get(key) {
            Some(&row) => row,
            None if new.is_none() => return,
            None => {
                self.next_set += 1;
                self.set_ids.insert(key.clone(), self.next_set);
                self.next_set
            }
        };
        self.install(dirty, row, false);
        if let Some(old) = self.set_rows.remove(&row) {
            index.release(old.shape);
        }
        match new {
            Some((shape, nets)) => {
                let set = SetRow {
                    shape,
                    nets: nets.into(),
                    is_installed: false,
                };
                self.set_rows.insert(row, set);
                self.install(dirty, row, index.answers(shape) != SigId::EMPTY);
            }
            None => drop(self.set_ids.remove(key)),
        }
    }

    /// Marks everything of shapes whose answers changed. A scan of all rows.
    pub(crate) fn shapes_changed(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        shapes: &BTreeSet<ShapeId>,
    ) {
        index.work.rows_touched += (self.rows.len() + self.set_rows.len()) as u64;
        let rows = self.rows.iter();
        for (row, _) in rows.filter(|(_, shape)| shapes.contains(shape)) {
            dirty.addresses.extend(self.rows.addresses(row));
        }
        let rows = self
            .set_rows
            .iter()
            .filter(|(_, set)| shapes.contains(&set.shape));
        let rows: Vec<(u32, ShapeId)> = rows.map(|(row, set)| (*row, set.shape)).collect();
        for (row, shape) in rows {
            self.install(dirty, row, false);
            self.install(dirty, row, index.answers(shape) != SigId::EMPTY);
        }
    }

    /// Brings the network sets in or out after predicates came or went.
    pub(crate) fn predicates_changed(&mut self, index: &Index, dirty: &mut Dirty) {
        let rows: Vec<(u32, ShapeId)> = self
            .set_rows
            .iter()
            .map(|(row, set)| (*row, set.shape))
            .collect();
        for (row, shape) in rows {
            self.install(dirty, row, index.answers(shape) != SigId::EMPTY);
        }
    }

    /// Brings the nets of a CIDR predicate in.
    pub(crate) fn add_predicate(
        &mut self,
        signatures: &mut Signatures,
        id: PredicateId,
        predicate: &Predicate,
    ) {
        let Predicate::Nets { nets, .. } = predicate else {
            return;
        };
        self.singles
            .insert(id, signatures.intern(Signature::new(vec![id], Vec::new())));
        let source = Source::Predicate(id);
        for &net in nets.iter() {
            match extent(net) {
                Extent::All(family) => drop(self.whole[family as usize].insert(id)),
                Extent::Part(net) => self.prefixes.add(net, source),
                Extent::One(addr) => self.addresses.add(addr, source),
            }
        }
    }

    /// Closes gaps in memory, for quiet moments.
    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.rows.compact(gaps);
    }

    /// Takes the nets of a CIDR predicate out.
    pub(crate) fn remove_predicate(&mut self, id: PredicateId, predicate: &Predicate) {
        let Predicate::Nets { nets, .. } = predicate else {
            return;
        };
        self.singles.remove(&id);
        let source = Source::Predicate(id);
        for &net in nets.iter() {
            match extent(net) {
                Extent::All(family) => drop(self.whole[family as usize].remove(&id)),
                Extent::Part(net) => self.prefixes.remove(net, source),
                Extent::One(addr) => self.addresses.remove(addr, source),
            }
        }
    }

    fn install(&mut self, dirty: &mut Dirty, row: u32, is_wanted: bool) {
        let Some(set) = self.set_rows.get_mut(&row) else {
            return;
        };
        let skipped = is_wanted && fault::is("resolve/network-set-skipped");
        if set.is_installed == is_wanted || skipped {
            return;
        }
        set.is_installed = is_wanted;
        let nets = set.nets.clone();
        let source = Source::Set(row);
        for net in nets.iter() {
            match extent(net) {
                // Unknown addresses have no element whose class could say so: two prefixes do.
                Extent::All(_) => {
                    for half in halves(net) {
                        self.cover(dirty, half, source, is_wanted);
                    }
                }
                Extent::Part(net) => self.cover(dirty, net, source, is_wanted),
                Extent::One(addr) => {
                    if is_wanted {
                        self.addresses.add(addr, source);
                    } else {
                        self.addresses.remove(addr, source);
                    }
                    dirty.addresses.insert(addr);
                }
            }
        }
    }

    fn cover(&mut self, dirty: &mut Dirty, net: IpNet, source: Source, is_wanted: bool) {
        dirty.regions.insert(self.prefixes.root(net));
        if is_wanted {
            self.prefixes.add(net, source);
        } else {
            self.prefixes.remove(net, source);
        }
    }
}
