//! From a delta to transactions: prepare, flip, clean (`engine.md` §6).
//!
//! ```text
//!   prepare    entries of new classes ─▶ sets ─▶ bridges ─▶ addresses ─▶ new versions
//!   flip       dispatch elements and in-place additions, one transaction          old ▶ new
//!   settle     in-place removals
//!   clean      old versions, entries no packet can meet, sets nobody asks         100 ms later or more
//! ```
//!
//! Pure: made from what the kernel holds and the delta; nothing is asked while it is made. The held state
//! is taken to its end as the plan is made: when sending fails, it is thrown away and read anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_net::{Family, fault};
use oncilla_nft::object::{Element, Name, Set};
use oncilla_nft::{
    AddressForm, BankSetName, FilledSet, GroupObjects, Placement, Surroundings, address_sets,
    banks, class_set, host_element, lower_group, net_element, port_set, service_sets,
};
use oncilla_program::{
    AddressChange, AddressSet, Group, GroupId, Peer, ProgramDelta, SetName, SetRef,
};

use crate::edit::{Edit, Transaction, create};
use crate::elements::ElementEdits;
use crate::held::{Held, host_class, net_class};
use crate::place::{Change, InPlace, SetElements, change, same_banks};

/// Address elements in one transaction: short enough that nobody waits for it.
const ADDRESSES_CHUNK: usize = 512;

/// What to send, in order; never an empty transaction.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Transactions in order.
    pub(crate) transactions: Vec<Transaction>,
    /// How many of them change verdicts.
    pub(crate) flips: usize,
}

/// Makes the plan that leads from what is held to the program after the delta.
pub(crate) fn plan(held: &mut Held, delta: &ProgramDelta) -> Plan {
    let mut planner = Planner::new(held);
    if delta.is_addresses_only() {
        planner.addresses(delta);
        return planner.plan;
    }
    planner.reshaped = reshaped_sets(planner.held, delta);
    planner.prepare_groups(delta);
    planner.prepare_sets(delta);
    planner.bridge_endpoints(delta);
    planner.addresses(delta);
    let renewed = planner.groups(delta);
    planner.dispatch_endpoints(delta, &renewed);
    planner.dispatch_hosts(delta, &renewed);
    planner.end_flip();
    planner.plan
}

pub(crate) struct Planner<'a> {
    pub(crate) held: &'a mut Held,
    plan: Plan,
    /// Edits that change verdicts: one transaction.
    pub(crate) flip: Transaction,
    /// Removals that change verdicts: right after the flip.
    settle: Transaction,
    /// Address sets that get or lose one of their kernel sets: rules that ask them change.
    reshaped: BTreeSet<SetName>,
}

impl<'a> Planner<'a> {
    fn new(held: &'a mut Held) -> Self {
        let (flip, settle, reshaped) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self {
            held,
            plan: Plan::default(),
            flip,
            settle,
            reshaped,
        }
    }

    pub(crate) fn send(&mut self, transaction: Transaction) {
        if !transaction.is_empty() {
            self.plan.transactions.push(transaction);
        }
    }

    pub(crate) fn static_set(&self, name: &str) -> Option<Set> {
        self.held
            .skeleton
            .sets
            .get(name)
            .map(|filled| filled.set.clone())
    }

    fn lower(&self, group: &Group, placement: &Placement) -> GroupObjects {
        let program = &self.held.program;
        let mask = program.settings.mask;
        lower_group(
            group,
            placement,
            Surroundings {
                mask,
                address_sets: &program.address_sets,
                log_rate: program.settings.log_rate,
            },
        )
    }

    /// Old definitions over new classes: additions that no packet can meet yet. Where even the rules differ
    /// (a set had no entry before), the group is flipped first, to the same verdicts.
    fn prepare_groups(&mut self, delta: &ProgramDelta) {
        let mut renewed = BTreeSet::new();
        for (id, group) in &delta.prepared {
            if self.held.group(id).is_some() && self.replace_group(id, group) {
                renewed.insert(id.clone());
            }
        }
        let nothing = ProgramDelta::default();
        self.dispatch_endpoints(&nothing, &renewed);
        self.dispatch_hosts(&nothing, &renewed);
        self.end_flip();
    }

    /// New contents of groups. Returns those whose endpoints must be sent to a new version.
    fn groups(&mut self, delta: &ProgramDelta) -> BTreeSet<GroupId> {
        let mut renewed = BTreeSet::new();
        for (id, group) in &delta.groups {
            match group {
                Some(group) => {
                    if self.replace_group(id, group) {
                        renewed.insert(id.clone());
                    }
                }
                None => self.remove_group(id),
            }
        }
        let reshaped: Vec<(GroupId, Arc<Group>)> = self
            .held
            .program
            .groups
            .iter()
            .filter(|(id, group)| !delta.groups.contains_key(*id) && self.asks_reshaped(group))
            .map(|(id, group)| (id.clone(), Arc::clone(group)))
            .collect();
        for (id, group) in reshaped {
            if self.replace_group(&id, &group) {
                renewed.insert(id);
            }
        }
        renewed
    }

    /// Puts a group in force: in place where that is safe, else as a new version. True when endpoints must
    /// be sent to the new version.
    pub(crate) fn replace_group(&mut self, id: &GroupId, group: &Arc<Group>) -> bool {
        let Some(old) = self.held.program.groups.get(id).cloned() else {
            self.new_version(id, group, Placement::fresh(self.held.free_version(id)));
            return true;
        };
        let placement = self.held.placements.get(id).cloned().unwrap_or_default();
        let (before, after) = (self.lower(&old, &placement), self.lower(group, &placement));
        if before.chains == after.chains && !self.asks_reshaped(&old) {
            match change((&old, group), &before, &after, self.held) {
                Change::None => {
                    self.held
                        .program
                        .groups
                        .insert(id.clone(), Arc::clone(group));
                    return false;
                }
                Change::InPlace(edits) => {
                    self.change_in_place(edits);
                    self.held
                        .program
                        .groups
                        .insert(id.clone(), Arc::clone(group));
                    return false;
                }
                Change::NewVersion => {}
            }
        }
        let version = self.held.free_version(id);
        let kept = same_banks(&old, group);
        let banks = kept
            .into_iter()
            .map(|place| (place, placement.bank(place)))
            .collect();
        let next = Placement { version, banks };
        self.discard(id, &placement, before, &next);
        self.new_version(id, group, next);
        true
    }

    fn change_in_place(&mut self, edits: InPlace) {
        let add = |(set, elements): SetElements| Edit::AddElements(set, elements);
        for (set, elements) in edits.unmet_additions.iter().chain(&edits.additions) {
            for element in elements {
                self.held.garbage.rescue(&set.name, element);
            }
        }
        let unmet = edits.unmet_additions.into_iter().map(add).collect();
        self.send(unmet);
        if !fault::is("dataplane/addition-in-place-forgotten") {
            self.flip.extend(edits.additions.into_iter().map(add));
        }
        let remove = |(set, elements): SetElements| Edit::DeleteElements(set, elements);
        if !fault::is("dataplane/removal-in-place-forgotten") {
            self.settle.extend(edits.removals.into_iter().map(remove));
        }
        for (set, elements) in edits.unmet_removals {
            self.held.garbage.leave_elements(&set, elements);
        }
    }

    /// Creates what a version does not share with an earlier one.
    fn new_version(&mut self, id: &GroupId, group: &Arc<Group>, placement: Placement) {
        let objects = self.lower(group, &placement);
        let is_new = |filled: &&FilledSet| {
            BankSetName::parse(&filled.set.name)
                .is_none_or(|name| !placement.banks.contains_key(&name.bank))
        };
        let created = create(
            objects.sets.values().filter(is_new),
            objects.chains.values(),
        );
        self.send(created);
        self.held
            .program
            .groups
            .insert(id.clone(), Arc::clone(group));
        self.held.placements.insert(id.clone(), placement);
    }

    /// Leaves a version to the cleaning, but for the banks that the next one keeps.
    fn discard(&mut self, id: &GroupId, old: &Placement, objects: GroupObjects, next: &Placement) {
        let taken = self.held.taken.entry(id.clone()).or_default();
        taken.insert(old.version);
        taken.extend(old.banks.values().copied());
        for name in objects.chains.into_keys() {
            self.held.garbage.leave_chain(name);
        }
        for filled in objects.sets.into_values() {
            let kept = BankSetName::parse(&filled.set.name)
                .is_some_and(|name| next.banks.get(&name.bank) == Some(&name.version));
            if !kept {
                self.held.garbage.leave_set(filled);
            }
        }
    }

    fn remove_group(&mut self, id: &GroupId) {
        let removed = self.held.program.groups.remove(id);
        if let (Some(group), Some(placement)) = (removed, self.held.placements.remove(id)) {
            let objects = self.lower(&group, &placement);
            self.discard(id, &placement, objects, &Placement::default());
        }
    }

    fn asks_reshaped(&self, group: &Group) -> bool {
        !self.reshaped.is_empty()
            && banks(group).flat_map(|(_, bank)| &bank.tail).any(|rule| {
                let peer = match &rule.peer {
                    Peer::Sets(sets) => sets.iter().any(|found| match &found.set {
                        SetRef::Addresses(name) => self.reshaped.contains(name),
                        // A service has a set a family, whatever is in it.
                        SetRef::Classes(_) | SetRef::Service(_) => false,
                    }),
                    Peer::Any | Peer::Classes(_) => false,
                };
                peer || rule
                    .local
                    .iter()
                    .any(|found| self.reshaped.contains(&found.set))
            })
    }

    /// Class sets and port sets get their new members; members that go are of classes that no address has.
    /// Address sets change as they are: memberships change per address.
    fn prepare_sets(&mut self, delta: &ProgramDelta) {
        let (classes_before, addresses_before) = kernel_sets(self.held, delta);
        let program = &mut self.held.program;
        put(&mut program.class_sets, &delta.class_sets);
        put(&mut program.port_sets, &delta.port_sets);
        put(&mut program.address_sets, &delta.address_sets);
        put(&mut program.service_sets, &delta.service_sets);
        let (classes, addresses) = kernel_sets(self.held, delta);
        let additions = self.replace_sets(classes_before, &classes, false);
        self.send(additions);
        let changes = self.replace_sets(addresses_before, &addresses, true);
        self.send(changes);
    }

    fn replace_sets(
        &mut self,
        before: BTreeMap<Name, FilledSet>,
        after: &BTreeMap<Name, FilledSet>,
        remove_now: bool,
    ) -> Transaction {
        let mut edits = Vec::new();
        for (name, new) in after {
            let left = || self.held.garbage.take_set(name);
            let held = before.get(name).cloned().or_else(left);
            let none = BTreeSet::new();
            let had = held.as_ref().map_or(&none, |held| &held.elements);
            let added: Vec<Element> = new.elements.difference(had).cloned().collect();
            let gone: Vec<Element> = had.difference(&new.elements).cloned().collect();
            for element in &new.elements {
                self.held.garbage.rescue(name, element);
            }
            if held.is_none() {
                edits.push(Edit::AddSet(new.set.clone()));
            }
            if !gone.is_empty() && remove_now {
                edits.push(Edit::DeleteElements(new.set.clone(), gone));
            } else {
                self.held.garbage.leave_elements(&new.set, gone);
            }
            if !added.is_empty() {
                edits.push(Edit::AddElements(new.set.clone(), added));
            }
        }
        for (name, old) in before {
            if !after.contains_key(&name) {
                self.held.garbage.leave_set(old);
            }
        }
        edits
    }

    /// Single addresses get their elements, then prefixes change, then single addresses lose theirs: what is
    /// covered by a prefix is covered by it before it stands alone no more.
    fn addresses(&mut self, delta: &ProgramDelta) {
        let (set, gone): (Vec<AddressChange>, Vec<AddressChange>) = delta
            .addresses
            .iter()
            .partition(|change| change.class.is_some());
        self.hosts(&set);
        self.nets(delta);
        self.hosts(&gone);
    }

    fn hosts(&mut self, changes: &[AddressChange]) {
        let mask = self.held.program.settings.mask;
        for chunk in changes.chunks(ADDRESSES_CHUNK) {
            let mut edits = ElementEdits::default();
            for change in chunk {
                let held = host_class(&self.held.program.addresses, change.addr);
                if held == change.class {
                    continue;
                }
                let left = change.class.is_none() && fault::is("dataplane/address-not-removed");
                if let Some(class) = held.filter(|_| !left) {
                    edits.delete(host_element(mask, change.addr, class));
                }
                if let Some(class) = change.class {
                    edits.add(host_element(mask, change.addr, class));
                }
                self.held.set_host(change.addr, change.class);
            }
            let transaction = edits.edits(|name| self.static_set(name));
            self.send(transaction);
        }
    }

    /// All prefixes in one transaction: the pieces of a prefix overlap what they replace.
    fn nets(&mut self, delta: &ProgramDelta) {
        let mask = self.held.program.settings.mask;
        let mut edits = ElementEdits::default();
        if fault::is("dataplane/prefixes-forgotten") {
            return;
        }
        for change in &delta.nets {
            let held = net_class(&self.held.program.addresses, change.net);
            if held == change.class {
                continue;
            }
            if let Some(class) = held {
                edits.delete(net_element(mask, change.net, class));
            }
            if let Some(class) = change.class {
                edits.add(net_element(mask, change.net, class));
            }
            self.held.set_net(change.net, change.class);
        }
        let transaction = edits.edits(|name| self.static_set(name));
        self.send(transaction);
    }

    pub(crate) fn end_flip(&mut self) {
        let flip = std::mem::take(&mut self.flip);
        let settle = std::mem::take(&mut self.settle);
        self.plan.flips += [&flip, &settle]
            .into_iter()
            .filter(|edits| !edits.is_empty())
            .count();
        if fault::is("dataplane/flip-forgotten") {
            return;
        }
        self.send(flip);
        self.send(settle);
    }
}

fn put<V: Clone>(map: &mut BTreeMap<SetName, V>, changes: &BTreeMap<SetName, Option<V>>) {
    for (name, value) in changes {
        match value {
            Some(value) => drop(map.insert(name.clone(), value.clone())),
            None => drop(map.remove(name)),
        }
    }
}

fn forms(set: Option<&AddressSet>) -> Vec<Vec<AddressForm>> {
    let of = |family| {
        set.map(|set| AddressForm::of(set, family))
            .unwrap_or_default()
    };
    Family::ALL.into_iter().map(of).collect()
}

fn reshaped_sets(held: &Held, delta: &ProgramDelta) -> BTreeSet<SetName> {
    let changed = |name: &SetName, after: Option<&AddressSet>| {
        let before = held.program.address_sets.get(name);
        before.is_some() && forms(before) != forms(after)
    };
    let sets = delta.address_sets.iter();
    sets.filter(|(name, after)| changed(name, after.as_ref()))
        .map(|(name, _)| name.clone())
        .collect()
}

type KernelSets = BTreeMap<Name, FilledSet>;

/// The kernel's sets for what the delta mentions, as the held program has them: of classes, of addresses.
fn kernel_sets(held: &Held, delta: &ProgramDelta) -> (KernelSets, KernelSets) {
    let program = &held.program;
    let mask = program.settings.mask;
    let mut classes = Vec::new();
    for name in delta.class_sets.keys() {
        classes.extend(
            program
                .class_sets
                .get(name)
                .map(|set| class_set(name, set, mask)),
        );
    }
    for name in delta.port_sets.keys() {
        classes.extend(
            program
                .port_sets
                .get(name)
                .map(|set| port_set(name, set, mask)),
        );
    }
    let sets = delta
        .address_sets
        .keys()
        .filter_map(|name| Some(address_sets(name, program.address_sets.get(name)?)));
    let services = delta
        .service_sets
        .keys()
        .filter_map(|name| Some(service_sets(name, program.service_sets.get(name)?)));
    let by_name = |filled: FilledSet| (Name::clone(&filled.set.name), filled);
    (
        classes.into_iter().map(by_name).collect(),
        sets.flatten()
            .chain(services.flatten())
            .map(by_name)
            .collect(),
    )
}
