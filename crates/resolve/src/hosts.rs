//! This node's host endpoints: which interfaces they are about, and which groups judge them.
//!
//! ```text
//!   host endpoints ─┬─▶ by name, by `*`
//!   own interfaces ─┴─▶ by address          ─▶ one host endpoint an interface: the first by name
//! ```
//! There are few of them, so they are looked at as a whole when anything about them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{Applies, HostEndpoint, HostInterface, Policy, PolicyKey, PolicyKind, TierEnd};
use oncilla_net::{Direction, fault};
use oncilla_program::{ALL_INTERFACES, GroupId, Hook};

use crate::dirty::Dirty;
use crate::groups;
use crate::index::Index;
use crate::locals::{Locals, Of, define_with};
use crate::node::GroupDef;
use crate::shapes::ShapeId;

/// A host endpoint of this node.
#[derive(Debug)]
pub(crate) struct LocalHost {
    endpoint: Arc<HostEndpoint>,
    shape: ShapeId,
    /// It, or the labels that one of its profiles gives, cannot be understood.
    is_closed: bool,
    selected: BTreeSet<PolicyKey>,
    groups: BTreeMap<(Hook, Direction), GroupId>,
}

impl LocalHost {
    fn program(&self) -> oncilla_program::HostEndpoint {
        oncilla_program::HostEndpoint {
            name: Arc::clone(&self.endpoint.name),
            groups: self.groups.clone(),
        }
    }
}

/// Host endpoints and the interfaces of this node. Part of [`Locals`].
#[derive(Debug, Default)]
pub(crate) struct LocalHosts {
    hosts: BTreeMap<Arc<str>, LocalHost>,
    /// The node's own interfaces with their addresses.
    interfaces: BTreeMap<Arc<str>, Arc<[IpAddr]>>,
}

impl LocalHosts {
    /// The addresses of the node's own interfaces, and those that its host endpoints expect: a route can make an
    /// address the host's that no interface has.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let own = self.interfaces.values().flat_map(|list| list.iter());
        let expected = self
            .hosts
            .values()
            .flat_map(|host| &host.endpoint.addresses);
        own.chain(expected).copied()
    }

    /// The policies that select a host endpoint of this node, some more than once.
    pub(crate) fn selected(&self) -> impl Iterator<Item = &PolicyKey> {
        self.hosts.values().flat_map(|host| &host.selected)
    }

    /// The host endpoint of each interface, and of all others. Of several that are about one interface the
    /// first by name has it, but one that cannot be understood comes before all others.
    pub(crate) fn resolve(&self) -> BTreeMap<Arc<str>, oncilla_program::HostEndpoint> {
        let mut resolved = BTreeMap::new();
        let is_closed = |host: &&LocalHost| host.is_closed;
        let (closed, sound): (Vec<_>, Vec<_>) = self.hosts.values().partition(is_closed);
        let covers_all = |host: &&&LocalHost| host.endpoint.interface == HostInterface::All;
        if let Some(all) = closed.iter().find(covers_all) {
            // Before connection tracking only named interfaces are asked, and one of them may be meant, or have been
            // judged there before.
            let named = self.hosts.values().filter_map(|host| host.endpoint.named());
            let interfaces = self.interfaces.keys().chain(named);
            resolved.extend(interfaces.map(|name| (Arc::clone(name), all.program())));
            let mut others = all.program();
            others
                .groups
                .retain(|(hook, _), _| *hook != Hook::Untracked);
            resolved.insert(ALL_INTERFACES.into(), others);
            return resolved;
        }
        for host in closed.into_iter().chain(sound) {
            for interface in self.interfaces_of(&host.endpoint) {
                resolved.entry(interface).or_insert_with(|| host.program());
            }
        }
        resolved
    }

    fn interfaces_of(&self, host: &HostEndpoint) -> Vec<Arc<str>> {
        match &host.interface {
            // Also before the interface is there: it must not be open for a moment when it comes.
            HostInterface::Named(name) => vec![Arc::clone(name)],
            HostInterface::All => vec![ALL_INTERFACES.into()],
            HostInterface::ByAddress => {
                let has = |addresses: &Arc<[IpAddr]>| {
                    host.addresses.iter().any(|addr| addresses.contains(addr))
                };
                let found = self
                    .interfaces
                    .iter()
                    .filter(|(_, addresses)| has(addresses));
                found.map(|(name, _)| Arc::clone(name)).collect()
            }
        }
    }
}

impl Locals {
    /// Puts or removes one of the node's own interfaces.
    pub(crate) fn put_interface(
        &mut self,
        dirty: &mut Dirty,
        name: &Arc<str>,
        addresses: Option<&Arc<[IpAddr]>>,
    ) {
        let interfaces = &mut self.hosts.interfaces;
        if interfaces.get(name) == addresses {
            return;
        }
        match addresses {
            Some(list) => drop(interfaces.insert(Arc::clone(name), Arc::clone(list))),
            None => drop(interfaces.remove(name)),
        }
        dirty.host_endpoints = true;
        dirty.whole.local_sets = true;
    }

    /// Puts or removes a host endpoint of this node.
    pub(crate) fn put_host(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        name: &Arc<str>,
        new: Option<(ShapeId, &Arc<HostEndpoint>)>,
    ) {
        if let Some((shape, _)) = new {
            index.retain(shape);
        }
        let mut old = self.hosts.hosts.remove(name);
        if let Some((shape, endpoint)) = new {
            let is_closed = is_closed(index, endpoint, shape);
            let selected = self.select_for_host(index, shape, is_closed);
            let groups = old.as_mut().map(|old| std::mem::take(&mut old.groups));
            let host = LocalHost {
                endpoint: Arc::clone(endpoint),
                shape,
                is_closed,
                selected,
                groups: groups.unwrap_or_default(),
            };
            self.hosts.hosts.insert(Arc::clone(name), host);
            dirty.hosts.insert(Arc::clone(name));
        }
        if let Some(old) = old {
            self.leave_all(dirty, old.groups.into_values());
            index.release(old.shape);
        }
        dirty.host_endpoints = true;
        dirty.whole.local_sets = true;
    }

    /// Marks the host endpoints for which `concerns` holds of a policy that selects them.
    pub(crate) fn mark_hosts(&self, dirty: &mut Dirty, concerns: impl Fn(&PolicyKey) -> bool) {
        let hosts = self.hosts.hosts.iter();
        let concerned = hosts.filter(|(_, host)| host.selected.iter().any(&concerns));
        dirty
            .hosts
            .extend(concerned.map(|(name, _)| Arc::clone(name)));
    }

    /// A policy came, went or changed: whom it selects, and whether anybody.
    pub(crate) fn put_policy_on_hosts(
        &mut self,
        index: &mut Index,
        dirty: &mut Dirty,
        key: &PolicyKey,
        policy: Option<&Arc<Policy>>,
    ) -> bool {
        let mut is_used = false;
        for (name, host) in &mut self.hosts.hosts {
            let was = host.selected.remove(key);
            let is = policy.is_some_and(|policy| {
                !host.is_closed && selects_hosts(key) && index.selects(&policy.selector, host.shape)
            });
            if is {
                host.selected.insert(key.clone());
            }
            if was || is {
                dirty.hosts.insert(Arc::clone(name));
            }
            is_used |= is;
        }
        is_used
    }

    /// Finds the policies of host endpoints of a shape anew.
    pub(crate) fn reselect_hosts(&mut self, index: &mut Index, dirty: &mut Dirty, shape: ShapeId) {
        let hosts = self.hosts.hosts.iter();
        let names = hosts.filter(|(_, host)| host.shape == shape);
        let names = names.map(|(name, host)| (Arc::clone(name), Arc::clone(&host.endpoint)));
        let names: Vec<(Arc<str>, Arc<HostEndpoint>)> = names.collect();
        for (name, endpoint) in names {
            let is_closed = is_closed(index, &endpoint, shape);
            let selected = self.select_for_host(index, shape, is_closed);
            if let Some(host) = self.hosts.hosts.get_mut(&name) {
                (host.selected, host.is_closed) = (selected, is_closed);
            }
            dirty.hosts.insert(name);
        }
    }

    /// Finds the groups of the marked host endpoints.
    pub(crate) fn regroup_hosts(&mut self, index: &mut Index, dirty: &mut Dirty) {
        for name in std::mem::take(&mut dirty.hosts) {
            let Some(host) = self.hosts.hosts.get(&name) else {
                continue;
            };
            index.work.rows_touched += 1;
            let (shape, selected) = (host.shape, host.selected.clone());
            let is_closed = host.is_closed;
            // Untracked policy is not for the endpoint of all interfaces (`calico-felix.md` §2.5).
            let is_all = host.endpoint.interface == HostInterface::All && !is_closed;
            let ways = Hook::ways().filter(|(hook, _)| !(is_all && *hook == Hook::Untracked));
            let mut groups = BTreeMap::new();
            for way in ways {
                let group = if is_closed {
                    Some(groups::closed((Of::Host, way)))
                } else {
                    self.define_for_host(index, shape, &selected, way)
                };
                if let Some(group) = group {
                    groups.insert(way, self.join_group(dirty, group));
                }
            }
            let Some(host) = self.hosts.hosts.get_mut(&name) else {
                continue;
            };
            let old = std::mem::replace(&mut host.groups, groups);
            dirty.host_endpoints = true;
            self.leave_all(dirty, old.into_values());
        }
    }

    fn define_for_host(
        &self,
        index: &mut Index,
        shape: ShapeId,
        selected: &BTreeSet<PolicyKey>,
        (hook, direction): (Hook, Direction),
    ) -> Option<GroupDef> {
        index.work.groups_built += 1;
        let policies: Vec<Arc<Policy>> = selected
            .iter()
            .filter_map(|key| self.policies.get(key))
            .filter(|policy| applies(policy.applies, hook))
            .collect();
        let policies: Vec<&Arc<Policy>> = policies.iter().collect();
        let mut tiers = groups::tiers(&self.tiers, direction, &policies);
        if hook.is_early() && !fault::is("resolve/early-hook-ends-tiers") {
            for tier in &mut tiers {
                tier.end = TierEnd::Pass;
            }
        }
        define_with(index, (Of::Host, shape), (hook, direction), tiers)
    }

    fn select_for_host(
        &mut self,
        index: &mut Index,
        shape: ShapeId,
        is_closed: bool,
    ) -> BTreeSet<PolicyKey> {
        if is_closed {
            return BTreeSet::new();
        }
        let mut selected = self.select(index, shape);
        selected.retain(selects_hosts);
        selected
    }
}

/// Whether nobody knows which policies select a host endpoint of this shape.
fn is_closed(index: &Index, endpoint: &HostEndpoint, shape: ShapeId) -> bool {
    endpoint.is_closed || index.is_obscure(shape)
}

/// Whether policies of this kind are for hosts at all, whatever labels a host endpoint bears.
fn selects_hosts(key: &PolicyKey) -> bool {
    key.kind == PolicyKind::GlobalNetworkPolicy
}

/// Whether a policy is asked at a hook.
pub(crate) fn applies(applies: Applies, hook: Hook) -> bool {
    match applies {
        Applies::Normal => hook == Hook::Normal,
        Applies::Forward => {
            hook == Hook::Normal
                || (hook == Hook::Forward && !fault::is("resolve/forward-policy-not-on-forward"))
        }
        Applies::PreDnat => hook == Hook::PreDnat,
        Applies::Untracked => hook == Hook::Untracked,
        Applies::Everywhere => true,
    }
}
