//! The endpoints of services, which rules ask for by name. No class knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{List, Predicate, ServiceKey, Slice, SliceKey};
use oncilla_program::ServiceSet;

use crate::resolver::Resolver;
use crate::sets::address_set;

/// The lists, and which of them rules ask for. Owned by the resolver.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    slices: BTreeMap<SliceKey, Arc<Slice>>,
    by_service: BTreeMap<ServiceKey, BTreeSet<SliceKey>>,
    /// The predicates in use, each with what was published of it when it is a service with its ports.
    wanted: BTreeMap<Predicate, ServiceSet>,
    /// Predicates whose list may have changed.
    dirty: BTreeSet<Predicate>,
}

impl Lists {
    pub(crate) fn put_slice(&mut self, key: &SliceKey, slice: Option<&Arc<Slice>>) {
        let old = match slice {
            Some(slice) => self.slices.insert(key.clone(), Arc::clone(slice)),
            None => self.slices.remove(key),
        };
        if old.as_ref() == slice {
            return;
        }
        if let Some(old) = &old
            && let Some(slices) = self.by_service.get_mut(&old.service)
        {
            slices.remove(key);
            if slices.is_empty() {
                self.by_service.remove(&old.service);
            }
        }
        if let Some(slice) = slice {
            let slices = self.by_service.entry(slice.service.clone()).or_default();
            slices.insert(key.clone());
        }
        for service in old.iter().chain(slice).map(|slice| &slice.service) {
            self.mark(service);
        }
    }

    /// Follows a predicate that rules began or ceased to ask.
    pub(crate) fn want(&mut self, predicate: &Predicate, is_wanted: bool) {
        if is_wanted {
            self.wanted.entry(predicate.clone()).or_default();
        } else {
            self.wanted.remove(predicate);
        }
        self.dirty.insert(predicate.clone());
    }

    pub(crate) fn is_wanted(&self, predicate: &Predicate) -> bool {
        self.wanted.contains_key(predicate)
    }

    pub(crate) fn service(&self, predicate: &Predicate) -> ServiceSet {
        let empty = || ServiceSet {
            text: Arc::clone(predicate.text()),
            ..ServiceSet::default()
        };
        self.wanted.get(predicate).cloned().unwrap_or_else(empty)
    }

    fn mark(&mut self, service: &ServiceKey) {
        if self.wanted.is_empty() {
            return;
        }
        // Rules can ask for a service in two ways only, so nobody needs to look through all that they ask for.
        for list in [List::Service, List::ServicePorts] {
            let predicate = Predicate::listed(list(service.clone()));
            if self.wanted.contains_key(&predicate) {
                self.dirty.insert(predicate);
            }
        }
    }

    fn slices_of(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<Slice>> {
        let keys = self.by_service.get(service).into_iter().flatten();
        keys.filter_map(|key| self.slices.get(key))
    }

    fn addresses(&self, service: &ServiceKey) -> Vec<IpAddr> {
        let slices = self.slices_of(service);
        slices.flat_map(|slice| &slice.addresses).copied().collect()
    }

    fn members(&self, predicate: &Predicate, service: &ServiceKey) -> ServiceSet {
        let members = self.slices_of(service).flat_map(|slice| {
            let ports = slice.ports.iter();
            ports.flat_map(|(protocol, port)| {
                let addresses = slice.addresses.iter();
                addresses.map(move |address| (*address, *protocol, *port))
            })
        });
        ServiceSet {
            text: Arc::clone(predicate.text()),
            members: members.collect(),
        }
    }
}

impl Resolver {
    /// Fills the sets of the lists that changed.
    pub(crate) fn publish_lists(&mut self) {
        for predicate in std::mem::take(&mut self.lists.dirty) {
            let Some(list) = predicate.list() else {
                continue;
            };
            if !self.lists.is_wanted(&predicate) {
                self.sets.remove(&predicate);
                continue;
            }
            let service = list.service();
            if matches!(list, List::ServicePorts(_)) {
                let members = self.lists.members(&predicate, service);
                if self.lists.wanted.get(&predicate) != Some(&members) {
                    self.lists.wanted.insert(predicate.clone(), members);
                    self.sets.note(&predicate);
                }
            } else {
                let addresses = self.lists.addresses(service);
                let set = address_set(predicate.text(), addresses, []);
                self.sets.put(&predicate, set);
            }
        }
    }
}
