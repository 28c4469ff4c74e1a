//! What is published beside classes: groups, endpoints, address sets and modes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::Predicate;
use oncilla_net::IpNet;

use crate::addresses::Source;
use crate::node::NodeDelta;
use crate::resolver::Resolver;
use crate::sets::address_set;
use crate::signature::PredicateId;

impl Resolver {
    /// Moves groups and endpoints that changed into the published state.
    pub(crate) fn publish_groups(&mut self, delta: &mut NodeDelta) {
        for id in std::mem::take(&mut self.dirty.groups) {
            let new = self.locals.group(&id).cloned();
            if self.groups.get(&id) == new.as_ref() {
                continue;
            }
            match &new {
                Some(new) => drop(self.groups.insert(id.clone(), Arc::clone(new))),
                None => drop(self.groups.remove(&id)),
            }
            delta.groups.insert(id, new);
        }
        self.publish_hosts(delta);
        for interface in std::mem::take(&mut self.dirty.interfaces) {
            let new = self.locals.endpoint(&interface);
            if self.endpoints.get(&interface) == new.as_ref() {
                continue;
            }
            match &new {
                Some(new) => drop(self.endpoints.insert(Arc::clone(&interface), new.clone())),
                None => drop(self.endpoints.remove(&interface)),
            }
            delta.endpoints.insert(interface, new);
        }
    }

    fn publish_hosts(&mut self, delta: &mut NodeDelta) {
        if !std::mem::take(&mut self.dirty.host_endpoints) {
            return;
        }
        let new = self.locals.hosts.resolve();
        let gone = self.hosts.keys().filter(|key| !new.contains_key(*key));
        delta.hosts.extend(gone.map(|key| (Arc::clone(key), None)));
        let changed = new
            .iter()
            .filter(|(key, host)| self.hosts.get(*key) != Some(*host));
        let changed = changed.map(|(key, host)| (Arc::clone(key), Some(host.clone())));
        delta.hosts.extend(changed);
        self.hosts = new;
    }

    /// Fills the address sets of the local side anew when something about them changed.
    pub(crate) fn publish_local_sets(&mut self) {
        if !std::mem::take(&mut self.dirty.whole.local_sets) {
            return;
        }
        let locals: Vec<Predicate> = self.locals.usage.locals().cloned().collect();
        for predicate in &locals {
            // Lists are of peers; the local side of a rule cannot ask for one.
            if !self.is_by_address(predicate) && predicate.list().is_none() {
                let hosts: Vec<IpAddr> = self
                    .local_candidates(predicate)
                    .into_iter()
                    .filter(|addr| self.holds_at(predicate, *addr))
                    .collect();
                let nets = self.nets_of(predicate);
                self.sets
                    .put(predicate, address_set(predicate.text(), hosts, nets));
            }
        }
        let by_address = self
            .by_address
            .iter()
            .map(|id| self.index.predicates.of(*id));
        let wanted = locals.iter().chain(by_address).cloned().collect();
        self.sets.keep(&wanted, &self.lists);
        self.publish_own_ports();
    }

    /// The addresses that the local side of rules may have which ask a predicate of it.
    pub(crate) fn local_candidates(&self, predicate: &Predicate) -> BTreeSet<IpAddr> {
        if self.locals.usage.is_wide(predicate) {
            self.plane.addresses.iter().map(|(addr, _)| addr).collect()
        } else {
            self.locals.addresses()
        }
    }

    /// Says which predicates are asked in another way than before.
    pub(crate) fn switch_modes(
        &mut self,
        wanted: &BTreeSet<PredicateId>,
        by_class: &BTreeSet<PredicateId>,
        delta: &mut NodeDelta,
    ) {
        let by_address: BTreeSet<PredicateId> = wanted.difference(by_class).copied().collect();
        for id in by_address.symmetric_difference(&self.by_address) {
            delta.modes.insert(self.index.predicates.of(*id).clone());
            self.dirty.whole.local_sets = true;
        }
        self.by_address = by_address;
    }

    /// Fills the address sets of all predicates that are asked by address.
    pub(crate) fn fill_by_address(&mut self) {
        for id in self.by_address.clone() {
            let predicate = self.index.predicates.of(id).clone();
            let addresses = self.plane.addresses.iter();
            let hosts: Vec<IpAddr> = addresses
                .filter(|(_, address)| address.sources().any(|each| self.says(each, id)))
                .map(|(addr, _)| addr)
                .collect();
            let nets = self.nets_of(&predicate);
            self.sets
                .put(&predicate, address_set(predicate.text(), hosts, nets));
        }
    }

    /// Follows marked addresses in the sets of predicates that are asked by address.
    pub(crate) fn update_by_address(&mut self) {
        if self.by_address.is_empty() {
            return;
        }
        if !self.dirty.regions.is_empty() {
            self.fill_by_address();
            return;
        }
        for id in self.by_address.clone() {
            let predicate = self.index.predicates.of(id).clone();
            for addr in &self.dirty.addresses {
                let mut sources = self.plane.addresses.sources(*addr);
                let holds = sources.any(|each| self.says(each, id));
                self.sets.set_host(&predicate, *addr, holds);
            }
        }
    }

    /// Whether a predicate is asked by address.
    pub(crate) fn is_by_address(&self, predicate: &Predicate) -> bool {
        let id = self.index.predicates.id(predicate);
        id.is_some_and(|id| self.by_address.contains(&id))
    }

    fn says(&self, source: Source, id: PredicateId) -> bool {
        let answers = self.plane.answers(&self.index, source);
        self.signatures.of(answers).holds.binary_search(&id).is_ok()
    }

    /// Whether an endpoint at the address is selected.
    fn holds_at(&mut self, predicate: &Predicate, addr: IpAddr) -> bool {
        let mut sources = self.plane.addresses.sources(addr);
        sources.any(|source| match source {
            Source::Row(row) => self
                .plane
                .shape_of(row)
                .is_some_and(|shape| self.index.holds(predicate, shape)),
            // Network sets and CIDR lists come as nets.
            Source::Set(_) | Source::Predicate(_) => false,
        })
    }

    /// The CIDRs of a predicate, its own or those of the network sets or nodes that it selects.
    fn nets_of(&mut self, predicate: &Predicate) -> Vec<IpNet> {
        match predicate {
            Predicate::Nets { nets, .. } => nets.to_vec(),
            Predicate::NamedPort { .. } | Predicate::Listed { .. } => Vec::new(),
            Predicate::Selector { .. } | Predicate::Nodes { .. } => {
                let mut nets = Vec::new();
                for row in self.plane.sets() {
                    if self.index.holds(predicate, row.shape) {
                        nets.extend(row.nets());
                    }
                }
                nets
            }
        }
    }
}
