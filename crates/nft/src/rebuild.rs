//! A program again, from what a table holds.
//!
//! What stands in elements (addresses, dispatch, banks, failsafes, the sets of predicates) is read from the table. A
//! chain that has exactly the rules that the expected group lowers to means what that group means; any other is read
//! backwards, rule by rule, and one that is not understood means that its group denies everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_net::{Direction, Family, Mark, MarkMask, Protocol};
use oncilla_program::{
    ALL_INTERFACES, AddressSet, Bank, ClassId, ClassPort, ClassSet, Dispatch, Failsafe, Failsafes,
    Group, GroupId, Hook, HostEndpoint, Levels, LocalEndpoint, PortSetOfClasses, ProfileEnd,
    Program, ServiceSet, SetName, TierEnd,
};

use crate::backward::Place;
use crate::content::{AddressForm, address_set_name, service_set_name};
use crate::gate::any_map;
use crate::group::{GroupObjects, Placement, Surroundings, chain_name, lower_group};
use crate::names::{BankPlace, BankSetName, ChainPlace, Level, set_kinds};
use crate::object::{Element, FieldType, KeyPart, Name, SetFlags};
use crate::read::{Adopted, Destination, address, adopt, prefix};
use crate::ruleset::{FilledChain, FilledSet, Ruleset};
use crate::skeleton::deny_chain;

/// The program that a table enforces, with `expected` for what only people see and for the meaning of chains that are
/// as they should be.
pub fn rebuild(
    expected: &Program,
    placements: &BTreeMap<GroupId, Placement>,
    found: &Ruleset,
) -> Program {
    read(expected, (placements, true), found)
}

/// The same with every chain read backwards, also those that are as they should be: another program, of one bank a
/// rule, that judges every packet alike.
pub fn reread(
    expected: &Program,
    placements: &BTreeMap<GroupId, Placement>,
    found: &Ruleset,
) -> Program {
    read(expected, (placements, false), found)
}

fn read(
    expected: &Program,
    (placements, trusts): (&BTreeMap<GroupId, Placement>, bool),
    found: &Ruleset,
) -> Program {
    let mask = expected.settings.mask;
    let adopted = adopt(found, mask);
    let mut reading = Reading {
        found,
        mask,
        trusts,
        noted: Program::default(),
    };
    let around = Surroundings {
        mask,
        address_sets: &expected.address_sets,
        log_rate: expected.settings.log_rate,
    };
    let mut program = expected.clone();
    program.addresses = adopted.addresses.clone();
    for (name, set) in &mut program.class_sets {
        *set = reading.class_set(name, &set.text);
    }
    for (name, set) in &mut program.port_sets {
        *set = reading.port_set(name, &set.text);
    }
    for (name, set) in &mut program.address_sets {
        *set = reading.address_set(name, set);
    }
    for (name, set) in &mut program.service_sets {
        *set = reading.service_set(name, set);
    }
    program.groups.retain(|id, group| {
        let Some(placement) = placements.get(id) else {
            return false;
        };
        let lowered = lower_group(group, placement, around);
        match reading.group(group, placement, &lowered) {
            Some(read) => *group = Arc::new(read),
            None => return false,
        }
        true
    });
    // What rules that were read backwards ask.
    let noted = reading.noted;
    for (name, set) in noted.class_sets {
        program.class_sets.entry(name).or_insert(set);
    }
    for (name, set) in noted.port_sets {
        program.port_sets.entry(name).or_insert(set);
    }
    program.address_sets.extend(noted.address_sets);
    program.service_sets.extend(noted.service_sets);
    program.endpoints = endpoints(expected, &adopted, placements);
    program.hosts = hosts(expected, &without_halves(found, adopted), placements);
    if found.sets.contains_key("failsafe_in") {
        program.settings.failsafes = failsafes(found, mask, &expected.settings.failsafes);
    }
    program
}

/// The group that a table sends to; [`Dispatch::Open`] where it lets pass, a group that is not there where it denies.
fn dispatch(found: Option<&Destination>, placements: &BTreeMap<GroupId, Placement>) -> Dispatch {
    match found {
        Some(Destination::Open) => Dispatch::Open,
        Some(Destination::Group(id, version))
            if placements
                .get(id)
                .is_some_and(|placement| placement.version == *version) =>
        {
            Dispatch::Group(id.clone())
        }
        _ => Dispatch::Group(GroupId("".into())),
    }
}

/// Where the table sends interfaces; one without an element is dropped, as a group that is not there is.
fn endpoints(
    expected: &Program,
    adopted: &Adopted,
    placements: &BTreeMap<GroupId, Placement>,
) -> BTreeMap<Arc<str>, LocalEndpoint> {
    let mut interfaces: BTreeSet<&Arc<str>> = expected.endpoints.keys().collect();
    interfaces.extend(adopted.dispatch.keys().map(|(_, interface)| interface));
    let endpoint = |interface: &Arc<str>| {
        let known = expected.endpoints.get(interface);
        let way = |direction: Direction| {
            let found = adopted.dispatch.get(&(direction, Arc::clone(interface)));
            dispatch(found, placements)
        };
        let endpoint = LocalEndpoint {
            name: known.map_or_else(|| Arc::clone(interface), |known| Arc::clone(&known.name)),
            addresses: known
                .map(|known| known.addresses.clone())
                .unwrap_or_default(),
            ingress: way(Direction::Ingress),
            egress: way(Direction::Egress),
        };
        (Arc::clone(interface), endpoint)
    };
    interfaces.into_iter().map(endpoint).collect()
}

/// Without what all interfaces have in one family only: the other one is let pass.
fn without_halves(found: &Ruleset, mut adopted: Adopted) -> Adopted {
    adopted.hosts.retain(|(hook, direction, interface), _| {
        let map = any_map(*hook, *direction).filter(|_| **interface == *ALL_INTERFACES);
        let verdicts = map.map(|map| {
            let elements = found.sets.get(map).into_iter();
            let elements = elements.flat_map(|filled| &filled.elements);
            elements.map(Element::verdict_value).collect::<Vec<_>>()
        });
        verdicts.is_none_or(|verdicts| matches!(verdicts.as_slice(), [v4, v6] if v4 == v6))
    });
    adopted
}

/// Where the table sends the host's own interfaces. One without an element is judged as all others are, or not at all.
fn hosts(
    expected: &Program,
    adopted: &Adopted,
    placements: &BTreeMap<GroupId, Placement>,
) -> BTreeMap<Arc<str>, HostEndpoint> {
    let mut interfaces: BTreeSet<&Arc<str>> = expected.hosts.keys().collect();
    interfaces.extend(adopted.hosts.keys().map(|(_, _, interface)| interface));
    let all: Arc<str> = ALL_INTERFACES.into();
    let host = |interface: &Arc<str>| {
        let known = expected.hosts.get(interface);
        let way = |(hook, direction): (Hook, Direction)| {
            let at =
                |interface: &Arc<str>| adopted.hosts.get(&(hook, direction, Arc::clone(interface)));
            let found = at(interface).or_else(|| at(&all).filter(|_| hook != Hook::Untracked))?;
            // A group that nobody made is closed, and an element that denies is how.
            let closed = known
                .and_then(|known| known.groups.get(&(hook, direction)))
                .filter(|id| !expected.groups.contains_key(*id))
                .filter(|_| *found == Destination::Foreign(deny_chain(direction).into()));
            let group = match (closed, dispatch(Some(found), placements)) {
                (Some(id), _) => id.clone(),
                (None, Dispatch::Group(id)) => id,
                (None, Dispatch::Open) => return None,
            };
            Some(((hook, direction), group))
        };
        let endpoint = HostEndpoint {
            name: known.map_or_else(|| Arc::clone(interface), |known| Arc::clone(&known.name)),
            groups: Hook::ways().filter_map(way).collect(),
        };
        (Arc::clone(interface), endpoint)
    };
    interfaces.into_iter().map(host).collect()
}

/// The failsafes of the table. Those for some peers only stand in rules, which are not read here; nor is what an early
/// allow does.
fn failsafes(found: &Ruleset, mask: MarkMask, expected: &Failsafes) -> Failsafes {
    let reading = Reading {
        found,
        mask,
        trusts: true,
        noted: Program::default(),
    };
    let list = |set: &str, expected: &[Failsafe]| -> Vec<Failsafe> {
        let keys = reading.keys(set).into_iter();
        let read = keys.filter_map(|key| match key.as_slice() {
            [KeyPart::Proto(protocol), KeyPart::Port(port)] => Some(Failsafe {
                protocol: Protocol(*protocol),
                port: *port,
                net: None,
            }),
            _ => None,
        });
        let for_some = expected.iter().filter(|each| each.net.is_some()).copied();
        read.chain(for_some).collect()
    };
    let read = Failsafes::new(
        list("failsafe_in", &expected.inbound),
        list("failsafe_out", &expected.outbound),
    );
    Failsafes {
        are_certain: expected.are_certain,
        ..read
    }
}

/// What a table has of a chain.
enum Found<'a> {
    Nothing,
    /// What it should.
    Whole,
    /// Something that must be read.
    Other(&'a FilledChain),
}

/// A table while it is read.
pub(crate) struct Reading<'a> {
    found: &'a Ruleset,
    pub(crate) mask: MarkMask,
    /// Whether a chain that is as it should be is taken to mean what it should.
    trusts: bool,
    /// The sets that rules ask which were read backwards, by their names in the kernel.
    noted: Program,
}

impl<'a> Reading<'a> {
    fn filled(&self, name: &str) -> Option<&FilledSet> {
        self.found.sets.get(name)
    }

    /// The keys of a set, part by part; what cannot be read is left out.
    pub(crate) fn keys(&self, name: &str) -> Vec<Vec<KeyPart>> {
        let filled = self.filled(name).into_iter();
        let keys = filled.flat_map(|filled| {
            let parts = |element: &Element| filled.set.key.parts(element.key());
            filled.elements.iter().filter_map(parts)
        });
        keys.collect()
    }

    pub(crate) fn class(&self, mark: u32) -> ClassId {
        ClassId(self.mask.decode(Mark(mark)))
    }

    fn class_set(&self, name: &SetName, text: &Arc<str>) -> ClassSet {
        let keys = self.keys(&name.0).into_iter();
        let classes = keys.filter_map(|key| match key.as_slice() {
            [KeyPart::Mark(mark)] => Some(self.class(*mark)),
            _ => None,
        });
        ClassSet {
            text: Arc::clone(text),
            classes: classes.collect(),
        }
    }

    fn service_set(&self, name: &SetName, expected: &ServiceSet) -> ServiceSet {
        let names = Family::ALL.map(|family| service_set_name(name, family));
        self.services(&names, &expected.text)
    }

    fn services(&self, names: &[Name], text: &Arc<str>) -> ServiceSet {
        let keys = names.iter().flat_map(|name| self.keys(name));
        let members = keys.filter_map(|key| match key.as_slice() {
            [
                KeyPart::Ipv4(addr),
                KeyPart::Proto(proto),
                KeyPart::Port(port),
            ] => Some(((*addr).into(), Protocol(*proto), *port)),
            [
                KeyPart::Ipv6(addr),
                KeyPart::Proto(proto),
                KeyPart::Port(port),
            ] => Some(((*addr).into(), Protocol(*proto), *port)),
            _ => None,
        });
        ServiceSet {
            text: Arc::clone(text),
            members: members.collect(),
        }
    }

    fn port_set(&self, name: &SetName, text: &Arc<str>) -> PortSetOfClasses {
        let keys = self.keys(&name.0).into_iter();
        let members = keys.filter_map(|key| match key.as_slice() {
            [
                KeyPart::Mark(mark),
                KeyPart::Proto(protocol),
                KeyPart::Port(port),
            ] => Some(ClassPort {
                class: self.class(*mark),
                protocol: Protocol(*protocol),
                port: *port,
            }),
            _ => None,
        });
        PortSetOfClasses {
            text: Arc::clone(text),
            members: members.collect(),
        }
    }

    fn address_set(&self, name: &SetName, expected: &AddressSet) -> AddressSet {
        let mut set = AddressSet {
            text: Arc::clone(&expected.text),
            ..AddressSet::default()
        };
        for (family, field) in [
            (Family::V4, FieldType::Ipv4Addr),
            (Family::V6, FieldType::Ipv6Addr),
        ] {
            let elements = |form| {
                let filled = self
                    .filled(&address_set_name(name, family, form))
                    .into_iter();
                filled.flat_map(|filled| &filled.elements)
            };
            let hosts = elements(AddressForm::Hosts);
            set.hosts
                .extend(hosts.filter_map(|element| address(element, field)));
            let nets = elements(AddressForm::Nets);
            set.nets
                .extend(nets.filter_map(|element| prefix(element, field)));
        }
        set
    }

    /// The types of a set's key; `None` when there is no such set.
    pub(crate) fn fields(&self, name: &str) -> Option<Vec<FieldType>> {
        Some(self.filled(name)?.set.key.fields().to_vec())
    }

    pub(crate) fn note_classes(&mut self, name: &Name) {
        let name = SetName(Arc::clone(name));
        let set = self.class_set(&name, &Arc::clone(&name.0));
        self.noted.class_sets.insert(name, set);
    }

    pub(crate) fn note_ports(&mut self, name: &Name) {
        let name = SetName(Arc::clone(name));
        let set = self.port_set(&name, &Arc::clone(&name.0));
        self.noted.port_sets.insert(name, set);
    }

    pub(crate) fn note_service(&mut self, name: &Name) {
        let set = self.services(&[Arc::clone(name)], name);
        let name = SetName(Arc::clone(name));
        self.noted.service_sets.insert(name, set);
    }

    /// One of the kernel's sets of addresses.
    pub(crate) fn note_addresses(&mut self, name: &Name) {
        let mut set = AddressSet {
            text: Arc::clone(name),
            ..AddressSet::default()
        };
        if let Some(filled) = self.filled(name) {
            for field in filled.set.key.fields() {
                let elements = filled.elements.iter();
                if filled.set.flags.contains(SetFlags::INTERVAL) {
                    set.nets
                        .extend(elements.filter_map(|element| prefix(element, *field)));
                } else {
                    set.hosts
                        .extend(elements.filter_map(|element| address(element, *field)));
                }
            }
        }
        let name = SetName(Arc::clone(name));
        self.noted.address_sets.insert(name, set);
    }

    /// A group as the table has it; `None` when a chain of it is gone or not understood.
    fn group(
        &mut self,
        expected: &Group,
        placement: &Placement,
        lowered: &GroupObjects,
    ) -> Option<Group> {
        let mut group = expected.clone();
        for (tier, at) in group.tiers.iter_mut().zip(0..) {
            let chain = ChainPlace::Tier(at);
            match self.chain((expected, placement), chain, lowered) {
                Found::Nothing => return None,
                Found::Whole => self.banks(expected, placement, chain, &mut tier.banks),
                Found::Other(found) => {
                    let place = Place {
                        group: expected,
                        placement,
                        chain,
                    };
                    tier.banks = self.backward(place, found)?;
                    tier.end = TierEnd::Pass;
                }
            }
        }
        let chain = ChainPlace::Profiles;
        let has_chain =
            lowered
                .chains
                .contains_key(&chain_name(expected, placement.version, chain));
        if has_chain {
            match self.chain((expected, placement), chain, lowered) {
                Found::Nothing => return None,
                Found::Whole => {
                    if let ProfileEnd::Banks(banks) = &mut group.profiles {
                        self.banks(expected, placement, chain, banks);
                    }
                }
                // Where a pass goes on, profiles have no word for it: it is what was made, or nobody can say.
                Found::Other(found) if expected.hook.is_early() => {
                    let made = lowered
                        .chains
                        .get(&chain_name(expected, placement.version, chain));
                    if made != Some(found) {
                        return None;
                    }
                }
                Found::Other(found) => {
                    let place = Place {
                        group: expected,
                        placement,
                        chain,
                    };
                    let banks = self.backward(place, found)?;
                    group.profiles = ProfileEnd::Banks(banks);
                }
            }
        }
        Some(group)
    }

    /// A chain of a group.
    fn chain(
        &self,
        (group, placement): (&Group, &Placement),
        chain: ChainPlace,
        lowered: &GroupObjects,
    ) -> Found<'a> {
        let name = chain_name(group, placement.version, chain);
        let Some(found) = self.found.chains.get(&name) else {
            return Found::Nothing;
        };
        let is_whole = lowered.chains.get(&name) == Some(found);
        if is_whole && self.trusts {
            Found::Whole
        } else {
            Found::Other(found)
        }
    }

    fn banks(&self, group: &Group, placement: &Placement, chain: ChainPlace, banks: &mut [Bank]) {
        for (bank, at) in banks.iter_mut().zip(0..) {
            let place = BankPlace { chain, bank: at };
            let mut levels = Levels {
                k6: bank.levels.k6,
                ..Levels::default()
            };
            for (level, verdict) in set_kinds() {
                let name = BankSetName {
                    direction: group.direction,
                    group: group.id.clone(),
                    version: placement.bank(place),
                    bank: place,
                    level,
                    verdict,
                };
                for key in self.keys(&name.name()) {
                    self.enter(&mut levels, level, &key, verdict);
                }
            }
            bank.levels = levels;
        }
    }

    /// The first set of a level that has a key decides: later ones do not overwrite it.
    pub(crate) fn enter(
        &self,
        levels: &mut Levels,
        level: Level,
        key: &[KeyPart],
        verdict: oncilla_program::RuleVerdict,
    ) {
        match (level, key) {
            (
                Level::K1,
                [
                    KeyPart::Mark(mark),
                    KeyPart::Proto(protocol),
                    KeyPart::Port(port),
                ],
            ) => {
                let key = (self.class(*mark), Protocol(*protocol), *port);
                levels.k1.entry(key).or_insert(verdict);
            }
            (Level::K2, [KeyPart::Mark(mark), KeyPart::Proto(protocol)]) => {
                let key = (self.class(*mark), Protocol(*protocol));
                levels.k2.entry(key).or_insert(verdict);
            }
            (Level::K3, [KeyPart::Mark(mark)]) => {
                levels.k3.entry(self.class(*mark)).or_insert(verdict);
            }
            (Level::K4, [KeyPart::Proto(protocol), KeyPart::Port(port)]) => {
                let key = (Protocol(*protocol), *port);
                levels.k4.entry(key).or_insert(verdict);
            }
            (Level::K5, [KeyPart::Proto(protocol)]) => {
                levels.k5.entry(Protocol(*protocol)).or_insert(verdict);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
