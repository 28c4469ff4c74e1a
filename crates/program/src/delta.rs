//! The difference between two programs of one node, in the order in which it is safe to apply.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::IpNet;

use crate::{
    AddressSet, ClassId, ClassSet, Group, GroupId, HostEndpoint, LocalEndpoint, PortSetOfClasses,
    Program, ServiceSet, SetName,
};

/// A single address gets, changes or loses its element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AddressChange {
    /// The address.
    pub addr: IpAddr,
    /// Its class from now on; `None`: no element.
    pub class: Option<ClassId>,
}

/// A prefix gets, changes or loses its element. Prefixes stay disjoint when a whole delta is applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NetChange {
    /// The prefix.
    pub net: IpNet,
    /// Its class from now on; `None`: no element.
    pub class: Option<ClassId>,
}

/// What changes. Applying it to the program before gives the program after.
///
/// The order for a backend: `prepared` (old definitions over old and new classes: additions of entries
/// whose class no address has yet), the sets' additions, `addresses` and `nets`, then the new versions of
/// `groups`, then `endpoints` (the flip), and what is gone last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProgramDelta {
    /// Groups as they were, with the entries of new classes added. Changes no verdict.
    pub prepared: BTreeMap<GroupId, Arc<Group>>,
    /// Class sets after the change; `None`: no rule uses it any more.
    pub class_sets: BTreeMap<SetName, Option<ClassSet>>,
    /// Port sets after the change; `None`: no rule uses it any more.
    pub port_sets: BTreeMap<SetName, Option<PortSetOfClasses>>,
    /// Address sets after the change; `None`: no rule uses it any more.
    pub address_sets: BTreeMap<SetName, Option<AddressSet>>,
    /// Service sets after the change; `None`: no rule uses it any more.
    pub service_sets: BTreeMap<SetName, Option<ServiceSet>>,
    /// Single addresses, sorted, one entry an address.
    pub addresses: Vec<AddressChange>,
    /// Prefixes, sorted, one entry a prefix.
    pub nets: Vec<NetChange>,
    /// Groups after the change; `None`: no endpoint uses it any more.
    pub groups: BTreeMap<GroupId, Option<Arc<Group>>>,
    /// Endpoints after the change, by interface; `None`: gone.
    pub endpoints: BTreeMap<Arc<str>, Option<LocalEndpoint>>,
    /// Host endpoints after the change, by interface; `None`: gone.
    pub hosts: BTreeMap<Arc<str>, Option<HostEndpoint>>,
}

impl ProgramDelta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether only single addresses change: one element each, whatever the number of policies.
    pub fn is_addresses_only(&self) -> bool {
        let Self {
            prepared,
            class_sets,
            port_sets,
            address_sets,
            service_sets,
            addresses,
            nets,
            groups,
            endpoints,
            hosts,
        } = self;
        let groups_unchanged = prepared.is_empty() && groups.is_empty();
        let ends_unchanged = endpoints.is_empty() && hosts.is_empty();
        let lists_unchanged = address_sets.is_empty() && service_sets.is_empty();
        let sets_unchanged = class_sets.is_empty() && port_sets.is_empty() && lists_unchanged;
        !addresses.is_empty()
            && nets.is_empty()
            && groups_unchanged
            && ends_unchanged
            && sets_unchanged
    }
}

fn put<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
}

impl Program {
    /// Applies a delta: afterwards this is the program that the delta leads to.
    pub fn apply(&mut self, delta: &ProgramDelta) {
        for (id, group) in &delta.prepared {
            self.groups.insert(id.clone(), Arc::clone(group));
        }
        put(&mut self.class_sets, &delta.class_sets);
        put(&mut self.port_sets, &delta.port_sets);
        put(&mut self.address_sets, &delta.address_sets);
        put(&mut self.service_sets, &delta.service_sets);
        for change in &delta.addresses {
            self.addresses.set_host(change.addr, change.class);
        }
        for change in delta.nets.iter().filter(|change| change.class.is_none()) {
            self.addresses.set_net(change.net, None);
        }
        for change in delta.nets.iter().filter(|change| change.class.is_some()) {
            self.addresses.set_net(change.net, change.class);
        }
        put(&mut self.groups, &delta.groups);
        put(&mut self.endpoints, &delta.endpoints);
        put(&mut self.hosts, &delta.hosts);
    }
}
