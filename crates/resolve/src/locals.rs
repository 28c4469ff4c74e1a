//! This node's endpoints: which policies select them and which groups judge them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{Endpoint, EndpointKey, Policy, PolicyKey, Tier, TierName};
use oncilla_net::Direction;
use oncilla_program::{Dispatch, GroupId, Hook, LocalEndpoint};

use crate::carriers::Carriers;
use crate::dirty::Dirty;
use crate::groups;
use crate::hosts::LocalHosts;
use crate::index::Index;
use crate::node::{GroupDef, TierDef};
use crate::packs::Gaps;
use crate::policies::{Policies, PolicyId};
use crate::regroup::PolicyIds;
use crate::shapes::ShapeId;
use crate::usage::Usage;

/// A shape that local endpoints have.
#[derive(Debug)]
pub(crate) struct LocalShape {
    endpoints: u32,
    pub(crate) selected: PolicyIds,
    /// Ingress and egress; `None` until the groups are found.
    pub(crate) dispatch: Option<[Dispatch; 2]>,
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
    pub(crate) policies: Policies,
    pub(crate) hosts: LocalHosts,
    carriers: Carriers,
    pub(crate) rows: BTreeMap<EndpointKey, (Arc<Endpoint>, ShapeId)>,
    interfaces: BTreeMap<Arc<str>, BTreeSet<EndpointKey>>,
    addresses: BTreeMap<IpAddr, u32>,
    pub(crate) shapes: BTreeMap<ShapeId, LocalShape>,
    groups: BTreeMap<GroupId, GroupSlot>,
    pub(crate) usage: Usage,
}

impl Locals {
    pub(crate) fn new() -> Self {
        Self {
            tiers: BTreeMap::new(),
            policies: Policies::new(),
            hosts: LocalHosts::default(),
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
        let of_tier = |policy: Option<Arc<Policy>>| policy.is_some_and(|p| p.tier == *name);
        let concerns = |shape: &LocalShape| {
            let mut selected = shape.selected.iter();
            selected.any(|id| of_tier(self.policies.of(*id)))
        };
        let shapes = self.shapes.iter().filter(|(_, shape)| concerns(shape));
        dirty.shapes.extend(shapes.map(|(id, _)| *id));
        self.mark_hosts(dirty, |key| of_tier(self.policies.get(key)));
    }

    pub(crate) fn put_policy(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        key: &PolicyKey,
        policy: Option<&Arc<Policy>>,
    ) {
        let old = self.policies.get(key);
        if old.as_ref() == policy {
            return;
        }
        let is_same =
            old.as_ref().map(|old| &old.selector) == policy.map(|policy| &policy.selector);
        // A policy that was not there selected nobody: then there is nothing to look through.
        let known = self.policies.id(key);
        let mut is_used = known.is_some_and(|id| self.mark_selected(dirty, id, is_same));
        match policy {
            Some(policy) => {
                let id = self.policies.put(policy);
                if !is_same {
                    is_used = self.select_shapes(index, dirty, (id, policy));
                }
                is_used |= self.put_policy_on_hosts(index, dirty, key, Some(policy));
                if !is_used {
                    self.policies.pack(id);
                }
            }
            None => {
                self.policies.remove(key);
                self.put_policy_on_hosts(index, dirty, key, None);
            }
        }
    }

    /// Marks the shapes that a policy selects; unless it stays, it selects none of them afterwards. Whether there
    /// are any.
    fn mark_selected(&mut self, dirty: &mut Dirty, id: PolicyId, stays: bool) -> bool {
        let mut is_used = false;
        for (shape, local) in &mut self.shapes {
            if let Ok(place) = local.selected.binary_search(&id) {
                dirty.shapes.insert(*shape);
                is_used = true;
                if !stays {
                    Arc::make_mut(&mut local.selected).remove(place);
                }
            }
        }
        is_used
    }

    /// Files a policy and finds the shapes that it selects. Whether there are any.
    fn select_shapes(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        (id, policy): (PolicyId, &Policy),
    ) -> bool {
        let demands = policy.selector.restrictions();
        let mut is_used = false;
        for shape in self.carriers.candidates(&demands) {
            if let Some(local) = self.shapes.get_mut(&shape)
                && index.selects(&policy.selector, shape)
                && let Err(place) = local.selected.binary_search(&id)
            {
                Arc::make_mut(&mut local.selected).insert(place, id);
                dirty.shapes.insert(shape);
                is_used = true;
            }
        }
        self.policies.file(id, &demands);
        is_used
    }

    /// Closes gaps in memory, for quiet moments.
    pub(crate) fn compact(&mut self, gaps: Gaps) {
        if self.policies.take_idle() {
            let of_shapes = self.shapes.values();
            let of_shapes = of_shapes.flat_map(|shape| shape.selected.iter().copied());
            let of_hosts = self.hosts.selected();
            let of_hosts = of_hosts.filter_map(|key| self.policies.id(key));
            let used: BTreeSet<PolicyId> = of_shapes.chain(of_hosts).collect();
            self.policies.pack_others(&used);
        }
        self.policies.compact(gaps);
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
            let selected = self.selecting(index, shape);
            if let Some(local) = self.shapes.get_mut(&shape) {
                local.selected = selected;
            }
            self.carriers.put(shape, &index.labels(shape));
            self.policies.mark_idle();
            dirty.shapes.insert(shape);
        }
        self.reselect_hosts(index, dirty, shape);
    }

    fn enter(&mut self, index: &mut Index, dirty: &mut Dirty, shape: ShapeId) {
        if let Some(local) = self.shapes.get_mut(&shape) {
            local.endpoints += 1;
            return;
        }
        let selected = self.selecting(index, shape);
        self.carriers.put(shape, &index.labels(shape));
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
            self.policies.mark_idle();
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

    fn selecting(&mut self, index: &mut Index, shape: ShapeId) -> PolicyIds {
        let policies = &self.policies;
        let selector = |id: &PolicyId| policies.selector(*id);
        let selected = index.selected(shape, policies.filing(), selector);
        for id in &selected {
            self.policies.open(*id);
        }
        Arc::new(selected)
    }

    pub(crate) fn select(&mut self, index: &mut Index, shape: ShapeId) -> BTreeSet<PolicyKey> {
        let selecting = self.selecting(index, shape);
        let policies = selecting.iter().filter_map(|id| self.policies.of(*id));
        policies.map(|policy| policy.key.clone()).collect()
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

    /// One shape more in a group that is there.
    pub(crate) fn join_known(&mut self, id: &GroupId) {
        if let Some(slot) = self.groups.get_mut(id) {
            slot.shapes += 1;
        }
    }

    pub(crate) fn leave_groups(&mut self, dirty: &mut Dirty, dispatch: Option<[Dispatch; 2]>) {
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
    let profiles: Vec<Option<Arc<oncilla_model::Profile>>> = index.profiles_of(shape).collect();
    let profiles: Vec<_> = profiles.iter().map(Option::as_ref).collect();
    let mut ports_of = |name: &oncilla_model::Predicate| index.ports_of(shape, name);
    groups::define((of, way), tiers, &profiles, &mut ports_of)
}
