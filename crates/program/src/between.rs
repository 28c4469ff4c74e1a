//! The difference between two programs when the steps between them are not known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use oncilla_net::{AddrMap4, Protocol};

use crate::canonical::Numbers;
use crate::{
    AddressChange, AddressMap, Bank, ClassId, Group, NetChange, Peer, ProfileEnd, Program,
    ProgramDelta,
};

impl ProgramDelta {
    /// The whole difference between two programs whose class numbers are of one history.
    ///
    /// Without that history `prepared` is inferred. A class is new when only the new program has addresses of
    /// it. A group that differs in entries of new classes only is prepared as it will be. Any other gets the
    /// entries of each new class's parent: the class that most of its addresses have in the old program
    /// (ties: the lower number). An address that comes from another class than the parent is judged as the
    /// parent until the flip.
    pub fn between(old: &Program, new: &Program) -> Self {
        let parents = old.addresses.parents_of_new_classes(&new.addresses);
        let mut prepared = BTreeMap::new();
        let mut groups = changes(&old.groups, &new.groups);
        groups.retain(|id, group| {
            let (Some(old), Some(new)) = (old.groups.get(id), &group) else {
                return true;
            };
            if new.without_classes(&parents) == old.without_classes(&parents) {
                prepared.insert(id.clone(), Arc::clone(new));
                return false;
            }
            let copied = old.with_entries_of_parents(&parents);
            if copied != **old {
                prepared.insert(id.clone(), Arc::new(copied));
            }
            true
        });
        let hosts4 = host_changes(&old.addresses.hosts4, &new.addresses.hosts4);
        let hosts6 = changes(&old.addresses.hosts6, &new.addresses.hosts6);
        let nets4 = changes(&old.addresses.nets4, &new.addresses.nets4);
        let nets6 = changes(&old.addresses.nets6, &new.addresses.nets6);
        let hosts4 = hosts4.into_iter().map(|(addr, class)| (addr.into(), class));
        let hosts = hosts4.chain(hosts6.into_iter().map(|(addr, class)| (addr.into(), class)));
        let nets4 = nets4.into_iter().map(|(net, class)| (net.into(), class));
        let nets = nets4.chain(nets6.into_iter().map(|(net, class)| (net.into(), class)));
        Self {
            prepared,
            class_sets: changes(&old.class_sets, &new.class_sets),
            port_sets: changes(&old.port_sets, &new.port_sets),
            address_sets: changes(&old.address_sets, &new.address_sets),
            service_sets: changes(&old.service_sets, &new.service_sets),
            addresses: hosts
                .map(|(addr, class)| AddressChange { addr, class })
                .collect(),
            nets: nets.map(|(net, class)| NetChange { net, class }).collect(),
            groups,
            endpoints: changes(&old.endpoints, &new.endpoints),
            hosts: changes(&old.hosts, &new.hosts),
        }
    }
}

fn host_changes(
    old: &AddrMap4<ClassId>,
    new: &AddrMap4<ClassId>,
) -> BTreeMap<Ipv4Addr, Option<ClassId>> {
    if old == new {
        return BTreeMap::new();
    }
    let gone = old.keys().filter(|addr| new.get(*addr).is_none());
    let changed = new
        .iter()
        .filter(|(addr, class)| old.get(*addr) != Some(*class));
    let changed = changed.map(|(addr, class)| (addr, Some(*class)));
    gone.map(|addr| (addr, None)).chain(changed).collect()
}

fn changes<K: Ord + Clone, V: PartialEq + Clone>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> BTreeMap<K, Option<V>> {
    // What a start finds is nearly always this, and then nothing has to be looked up.
    if old == new {
        return BTreeMap::new();
    }
    let gone = old
        .keys()
        .filter(|key| !new.contains_key(*key))
        .map(|key| (key.clone(), None));
    let changed = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(*value));
    gone.chain(changed.map(|(key, value)| (key.clone(), Some(value.clone()))))
        .collect()
}

impl AddressMap {
    /// For each class that has addresses only in `new`: the class that most of them have here.
    fn parents_of_new_classes(&self, new: &Self) -> Numbers {
        let known: BTreeSet<ClassId> = self.elements().map(|(_, class)| class).collect();
        let mut votes: BTreeMap<ClassId, BTreeMap<ClassId, usize>> = BTreeMap::new();
        for (addr, class) in new.elements().filter(|(_, class)| !known.contains(class)) {
            *votes
                .entry(class)
                .or_default()
                .entry(self.class_of(addr))
                .or_default() += 1;
        }
        let most = |votes: BTreeMap<ClassId, usize>| {
            votes
                .into_iter()
                .max_by_key(|(class, count)| (*count, std::cmp::Reverse(*class)))
        };
        let parents = votes.into_iter().map(|(class, votes)| (class, most(votes)));
        parents
            .filter_map(|(class, most)| Some((class, most?.0)))
            .collect()
    }

    /// Every element: single addresses, and the first address of each prefix.
    fn elements(&self) -> impl Iterator<Item = (IpAddr, ClassId)> {
        let hosts4 = self
            .hosts4
            .iter()
            .map(|(addr, class)| (IpAddr::V4(addr), *class));
        let hosts6 = self
            .hosts6
            .iter()
            .map(|(addr, class)| (IpAddr::V6(*addr), *class));
        let nets4 = self
            .nets4
            .iter()
            .map(|(net, class)| (IpAddr::V4(net.network()), *class));
        let nets6 = self
            .nets6
            .iter()
            .map(|(net, class)| (IpAddr::V6(net.network()), *class));
        hosts4.chain(hosts6).chain(nets4).chain(nets6)
    }
}

impl Group {
    /// Without the entries of the classes that are keys of `new`, and without what becomes empty by that.
    fn without_classes(&self, new: &Numbers) -> Self {
        let classes = self
            .banks()
            .flat_map(Bank::classes)
            .filter(|class| !new.contains_key(class));
        self.renumbered(&classes.map(|class| (class, class)).collect())
    }

    /// Each key of `parents` gets the entries of its parent.
    fn with_entries_of_parents(&self, parents: &Numbers) -> Self {
        let mut group = self.clone();
        let profiles: &mut [Bank] = match &mut group.profiles {
            ProfileEnd::Banks(banks) => banks,
            ProfileEnd::Allow | ProfileEnd::Deny | ProfileEnd::Continue => &mut [],
        };
        let tiers = group.tiers.iter_mut().flat_map(|tier| &mut tier.banks);
        for bank in tiers.chain(profiles) {
            for (child, parent) in parents {
                bank.copy_entries(*parent, *child);
            }
        }
        group
    }
}

impl Bank {
    /// The classes that have entries here, repeated as often as they occur.
    fn classes(&self) -> impl Iterator<Item = ClassId> {
        let tail = self.tail.iter().flat_map(|rule| match &rule.peer {
            Peer::Classes(classes) => classes.iter().copied(),
            Peer::Any | Peer::Sets(_) => [].iter().copied(),
        });
        let levels = &self.levels;
        let k1 = levels.k1.keys().map(|(class, ..)| *class);
        let k2 = levels.k2.keys().map(|(class, _)| *class);
        k1.chain(k2).chain(levels.k3.keys().copied()).chain(tail)
    }

    fn copy_entries(&mut self, from: ClassId, to: ClassId) {
        let levels = &mut self.levels;
        let first = (from, Protocol(0), 0);
        let last = (from, Protocol(u8::MAX), u16::MAX);
        let k1 = levels.k1.range(first..=last);
        let k1: Vec<_> = k1
            .map(|(&(_, protocol, port), entry)| ((to, protocol, port), *entry))
            .collect();
        levels.k1.extend(k1);
        let k2 = levels
            .k2
            .range((from, Protocol(0))..=(from, Protocol(u8::MAX)));
        let k2: Vec<_> = k2
            .map(|(&(_, protocol), entry)| ((to, protocol), *entry))
            .collect();
        levels.k2.extend(k2);
        if let Some(entry) = levels.k3.get(&from).copied() {
            levels.k3.insert(to, entry);
        }
        for rule in &mut self.tail {
            let Peer::Classes(classes) = &rule.peer else {
                continue;
            };
            if classes.contains(&from) {
                let both: BTreeSet<ClassId> = classes.iter().copied().chain([to]).collect();
                rule.peer = Peer::Classes(both.into_iter().collect());
            }
        }
    }
}
