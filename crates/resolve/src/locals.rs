//! This node's endpoints: which policies select them and which groups judge them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{Endpoint, EndpointKey, Policy, PolicyKey, Tier, TierName};
use oncilla_net::Direction;
use oncilla_program::{Dispatch, GroupId, Hook, LocalEndpoint};

use crate::carriers::Carriers;
use crate::dirty::Dirty;
use crate::filing::Filing;
use crate::groups;
use crate::hosts::{LocalHosts, applies};
use crate::index::Index;
use crate::node::{GroupDef, TierDef};
use crate::shapes::ShapeId;
use crate::usage::Usage;

/// A shape that local endpoints have.
#[derive(Debug)]
struct LocalShape {
    endpoints: u32,
    selected: BTreeSet<PolicyKey>,
    /// Ingress and egress; `None` until the groups are found.
    dispatch: Option<[Dispatch; 2]>,
}

#[derive(Debug)]
struct GroupSlot {
    def: Arc<GroupDef>,
    shapes: u32,
}

/// Local endpoints, policies and groups as the input wants them. Owned by the resolver.
#[derive(Debug)]
pub(crate) struct Locals {
    pub(crate) tiers: BTreeMap<TierName, Arc<Tier>>,
    pub(crate) policies: BTreeMap<PolicyKey, Arc<Policy>>,
    pub(crate) hosts: LocalHosts,
    filing: Filing<PolicyKey>,
    carriers: Carriers,
    rows: BTreeMap<EndpointKey, (Arc<Endpoint>, ShapeId)>,
    interfaces: BTreeMap<Arc<str>, BTreeSet<EndpointKey>>,
    addresses: BTreeMap<IpAddr, u32>,
    shapes: BTreeMap<ShapeId, LocalShape>,
    groups: BTreeMap<GroupId, GroupSlot>,
    pub(crate) usage: Usage,
}

impl Locals {
    pub(crate) fn new() -> Self {
        Self {
            tiers: BTreeMap::new(),
            policies: BTreeMap::new(),
            hosts: LocalHosts::default(),
            filing: Filing::new(),
            carriers: Carriers::new(),
            rows: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            addresses: BTreeMap::new(),
            shapes: BTreeMap::new(),
            groups: BTreeMap::new(),
            usage: Usage::new(),
        }
    }

    /// The addresses of this node's workloads and of its own interfaces, in order.
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        let workloads = self.addresses.keys().copied();
        workloads.chain(self.hosts.addresses()).collect()
    }

    pub(crate) fn is_local(&self, addr: IpAddr) -> bool {
        self.addresses.contains_key(&addr) || self.hosts.addresses().any(|own| own == addr)
    }

    /// The definition of a group.
    pub(crate) fn group(&self, id: &GroupId) -> Option<&Arc<GroupDef>> {
        self.groups.get(id).map(|slot| &slot.def)
    }

    /// The endpoint behind an interface. Two pods whose names hash alike: the first in order has it.
    pub(crate) fn endpoint(&self, interface: &str) -> Option<LocalEndpoint> {
        let key = self.interfaces.get(interface)?.first()?;
        let (endpoint, shape) = self.rows.get(key)?;
        let [ingress, egress] = self.shapes.get(shape)?.dispatch.clone()?;
        Some(LocalEndpoint {
            name: format!("{key} eth0").into(),
            addresses: endpoint.addresses.clone(),
            ingress,
            egress,
        })
    }

    pub(crate) fn put_tier(
        &mut self,
        dirty: &mut Dirty,
        name: &TierName,
        tier: Option<&Arc<Tier>>,
    ) {
        if self.tiers.get(name) == tier {
            return;
        }
        match tier {
            Some(tier) => drop(self.tiers.insert(name.clone(), Arc::clone(tier))),
            None => drop(self.tiers.remove(name)),
        }
        let of_tier = |key: &PolicyKey| self.policies.get(key).is_some_and(|p| p.tier == *name);
        let shapes = self
            .shapes
            .iter()
            .filter(|(_, shape)| shape.selected.iter().any(of_tier));
        dirty.shapes.extend(shapes.map(|(id, _)| *id));
        self.mark_hosts(dirty, of_tier);
    }

    pub(crate) fn put_policy(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        key: &PolicyKey,
        policy: Option<&Arc<Policy>>,
    ) {
        let old = self.policies.get(key).cloned();
        if old.as_ref() == policy {
            return;
        }
        let is_same =
            old.as_ref().map(|old| &old.selector) == policy.map(|policy| &policy.selector);
        match policy {
            Some(policy) => drop(self.policies.insert(key.clone(), Arc::clone(policy))),
            None => drop(self.policies.remove(key)),
        }
        self.put_policy_on_hosts(index, dirty, key, policy);
        // A policy that was not there selected nobody: then there is nothing to look through.
        if old.is_some() {
            for (id, shape) in &mut self.shapes {
                let is_selected = if is_same {
                    shape.selected.contains(key)
                } else {
                    shape.selected.remove(key)
                };
                if is_selected {
                    dirty.shapes.insert(*id);
                }
            }
        }
        match policy.filter(|_| !is_same) {
            Some(policy) => self.select_shapes(index, dirty, policy),
            None if policy.is_none() => self.filing.remove(key),
            None => {}
        }
    }

    /// Files a policy and finds the shapes that it selects.
    fn select_shapes(&mut self, index: &mut Index, dirty: &mut Dirty, policy: &Policy) {
        let demands = policy.selector.restrictions();
        for id in index.candidates(&self.carriers, &demands) {
            if let Some(shape) = self.shapes.get_mut(&id)
                && index.selects(&policy.selector, id)
            {
                shape.selected.insert(policy.key.clone());
                dirty.shapes.insert(id);
            }
        }
        self.filing.insert_demanding(policy.key.clone(), demands);
    }

    /// Puts or removes a local endpoint.
    pub(crate) fn put_endpoint(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        key: &EndpointKey,
        new: Option<(ShapeId, &Arc<Endpoint>)>,
    ) {
        if let Some((shape, endpoint)) = new {
            index.retain(shape);
            self.enter(index, dirty, shape);
            let keys = self
                .interfaces
                .entry(Arc::clone(&endpoint.interface))
                .or_default();
            keys.insert(key.clone());
            dirty.interfaces.insert(Arc::clone(&endpoint.interface));
            for addr in &endpoint.addresses {
                *self.addresses.entry(*addr).or_default() += 1;
            }
            dirty.whole.local_sets = true;
        }
        let old = match new {
            Some((shape, endpoint)) => self.rows.insert(key.clone(), (Arc::clone(endpoint), shape)),
            None => self.rows.remove(key),
        };
        let Some((old, shape)) = old else {
            return;
        };
        dirty.whole.local_sets = true;
        dirty.interfaces.insert(Arc::clone(&old.interface));
        if new.is_none_or(|(_, new)| new.interface != old.interface) {
            self.leave_interface(&old.interface, key);
        }
        for addr in &old.addresses {
            if let Some(count) = self.addresses.get_mut(addr) {
                *count -= 1;
                if *count == 0 {
                    self.addresses.remove(addr);
                }
            }
        }
        self.leave(dirty, shape);
        index.release(shape);
    }

    /// Finds the policies of shapes anew whose inherited labels or profiles changed.
    pub(crate) fn reselect(&mut self, index: &mut Index, dirty: &mut Dirty, shape: ShapeId) {
        if self.shapes.contains_key(&shape) {
            let selected = self.select(index, shape);
            if let Some(local) = self.shapes.get_mut(&shape) {
                local.selected = selected;
            }
            self.carriers.put(shape, index.carried(shape));
            dirty.shapes.insert(shape);
        }
        self.reselect_hosts(index, dirty, shape);
    }

    /// Finds the groups of the marked shapes and host endpoints.
    pub(crate) fn regroup(&mut self, index: &mut Index, dirty: &mut Dirty) {
        self.regroup_hosts(index, dirty);
        let mut moved = BTreeSet::new();
        for shape in std::mem::take(&mut dirty.shapes) {
            if !self.shapes.contains_key(&shape) {
                continue;
            }
            index.work.rows_touched += 1;
            let dispatch =
                Direction::ALL.map(|direction| match self.define(index, shape, direction) {
                    Some(group) => Dispatch::Group(self.join_group(dirty, group)),
                    None => Dispatch::Open,
                });
            let Some(local) = self.shapes.get_mut(&shape) else {
                continue;
            };
            let old = local.dispatch.replace(dispatch.clone());
            if old.as_ref() != Some(&dispatch) {
                moved.insert(shape);
            }
            self.leave_groups(dirty, old);
        }
        if !moved.is_empty() {
            let rows = self
                .rows
                .values()
                .filter(|(_, shape)| moved.contains(shape));
            dirty
                .interfaces
                .extend(rows.map(|(endpoint, _)| Arc::clone(&endpoint.interface)));
        }
    }

    fn enter(&mut self, index: &mut Index, dirty: &mut Dirty, shape: ShapeId) {
        if let Some(local) = self.shapes.get_mut(&shape) {
            local.endpoints += 1;
            return;
        }
        let selected = self.select(index, shape);
        self.carriers.put(shape, index.carried(shape));
        self.shapes.insert(
            shape,
            LocalShape {
                endpoints: 1,
                selected,
                dispatch: None,
            },
        );
        dirty.shapes.insert(shape);
    }

    fn leave(&mut self, dirty: &mut Dirty, shape: ShapeId) {
        let Some(local) = self.shapes.get_mut(&shape) else {
            return;
        };
        local.endpoints -= 1;
        if local.endpoints == 0
            && let Some(local) = self.shapes.remove(&shape)
        {
            self.carriers.remove(shape);
            dirty.shapes.remove(&shape);
            self.leave_groups(dirty, local.dispatch);
        }
    }

    fn leave_interface(&mut self, interface: &Arc<str>, key: &EndpointKey) {
        if let Some(keys) = self.interfaces.get_mut(interface) {
            keys.remove(key);
            if keys.is_empty() {
                self.interfaces.remove(interface);
            }
        }
    }

    pub(crate) fn select(&self, index: &mut Index, shape: ShapeId) -> BTreeSet<PolicyKey> {
        let selector = |key: &PolicyKey| self.policies.get(key).map(|policy| &policy.selector);
        index
            .selected(shape, &self.filing, selector)
            .into_iter()
            .collect()
    }

    fn define(&self, index: &mut Index, shape: ShapeId, direction: Direction) -> Option<GroupDef> {
        index.work.groups_built += 1;
        if index.is_obscure(shape) {
            return Some(groups::closed((Of::Workload, (Hook::Normal, direction))));
        }
        let selected = &self.shapes.get(&shape)?.selected;
        let policies: Vec<&Arc<Policy>> = selected
            .iter()
            .filter_map(|key| self.policies.get(key))
            .filter(|policy| applies(policy.applies, Hook::Normal))
            .collect();
        let tiers = groups::tiers(&self.tiers, direction, &policies);
        define_with(
            index,
            (Of::Workload, shape),
            (Hook::Normal, direction),
            tiers,
        )
    }

    pub(crate) fn join_group(&mut self, dirty: &mut Dirty, group: GroupDef) -> GroupId {
        let id = group.id.clone();
        match self.groups.get_mut(&id) {
            Some(slot) => {
                slot.shapes += 1;
                if *slot.def != group {
                    let group = Arc::new(group);
                    self.usage.add(&group);
                    self.usage.remove(&slot.def);
                    slot.def = group;
                    dirty.groups.insert(id.clone());
                }
            }
            None => {
                let def = Arc::new(group);
                self.usage.add(&def);
                self.groups.insert(id.clone(), GroupSlot { def, shapes: 1 });
                dirty.groups.insert(id.clone());
            }
        }
        id
    }

    fn leave_groups(&mut self, dirty: &mut Dirty, dispatch: Option<[Dispatch; 2]>) {
        let groups = dispatch.into_iter().flatten();
        let groups = groups.filter_map(|dispatch| match dispatch {
            Dispatch::Group(id) => Some(id),
            Dispatch::Open => None,
        });
        self.leave_all(dirty, groups);
    }

    pub(crate) fn leave_all(&mut self, dirty: &mut Dirty, groups: impl Iterator<Item = GroupId>) {
        for id in groups {
            let Some(slot) = self.groups.get_mut(&id) else {
                continue;
            };
            slot.shapes -= 1;
            if slot.shapes == 0 {
                self.usage.remove(&slot.def);
                self.groups.remove(&id);
                dirty.groups.insert(id);
            }
        }
    }
}

/// Whose group it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    /// A workload: what passes its interface is for its addresses.
    Workload,
    /// An interface of the host: for many.
    Host,
}

/// A group of these tiers and the profiles of a shape.
pub(crate) fn define_with(
    index: &mut Index,
    (of, shape): (Of, ShapeId),
    way: (Hook, Direction),
    tiers: Vec<TierDef>,
) -> Option<GroupDef> {
    let profiles: Vec<Option<Arc<oncilla_model::Profile>>> = index
        .profiles_of(shape)
        .map(Option::<&Arc<oncilla_model::Profile>>::cloned)
        .collect();
    let profiles: Vec<_> = profiles.iter().map(Option::as_ref).collect();
    let mut ports_of = |name: &oncilla_model::Predicate| index.ports_of(shape, name);
    groups::define((of, way), tiers, &profiles, &mut ports_of)
}
