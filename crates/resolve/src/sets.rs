//! Address sets: the addresses of predicates that are asked by address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::Predicate;
use oncilla_net::IpNet;
use oncilla_program::AddressSet;

use crate::lists::Lists;
use crate::prefixes::{Extent, extent};

/// The published address sets, and what changed in them since the last delta.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    sets: BTreeMap<Predicate, AddressSet>,
    changed: BTreeSet<Predicate>,
}

impl Sets {
    pub(crate) fn of(&self, predicate: &Predicate) -> Option<&AddressSet> {
        self.sets.get(predicate)
    }

    /// Puts a whole set.
    pub(crate) fn put(&mut self, predicate: &Predicate, set: AddressSet) {
        if self.sets.get(predicate) != Some(&set) {
            self.sets.insert(predicate.clone(), set);
            self.changed.insert(predicate.clone());
        }
    }

    /// Takes a set away.
    pub(crate) fn remove(&mut self, predicate: &Predicate) {
        self.sets.remove(predicate);
        self.note(predicate);
    }

    /// Notes a change of what is kept elsewhere.
    pub(crate) fn note(&mut self, predicate: &Predicate) {
        self.changed.insert(predicate.clone());
    }

    /// Lets only these remain, and the lists that rules ask for.
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<Predicate>, lists: &Lists) {
        let gone: Vec<Predicate> = self
            .sets
            .keys()
            .filter(|predicate| !wanted.contains(predicate) && !lists.is_wanted(predicate))
            .cloned()
            .collect();
        for predicate in gone {
            self.sets.remove(&predicate);
            self.changed.insert(predicate);
        }
    }

    /// Puts one address in or takes it out.
    pub(crate) fn set_host(&mut self, predicate: &Predicate, addr: IpAddr, is_member: bool) {
        let Some(set) = self.sets.get_mut(predicate) else {
            return;
        };
        let changed = if is_member {
            set.hosts.insert(addr)
        } else {
            set.hosts.remove(&addr)
        };
        if changed {
            self.changed.insert(predicate.clone());
        }
    }

    /// What changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<Predicate> {
        std::mem::take(&mut self.changed)
    }
}

/// A set of nets and single addresses; nets inside others are left out.
pub(crate) fn address_set(
    text: &Arc<str>,
    hosts: impl IntoIterator<Item = IpAddr>,
    nets: impl IntoIterator<Item = IpNet>,
) -> AddressSet {
    let mut set = AddressSet {
        text: Arc::clone(text),
        hosts: hosts.into_iter().collect(),
        nets: BTreeSet::new(),
    };
    let mut wide = Vec::new();
    for net in nets {
        match extent(net) {
            Extent::One(addr) => drop(set.hosts.insert(addr)),
            Extent::All(_) | Extent::Part(_) => wide.push(net),
        }
    }
    wide.sort_unstable();
    let mut last: Option<IpNet> = None;
    for net in wide {
        // A net that covers others sorts before them.
        if last.is_none_or(|last| !last.contains(&net)) {
            set.nets.insert(net);
            last = Some(net);
        }
    }
    set
}
