//! A program again, from what a table holds.
//!
//! What stands in elements (addresses, dispatch, banks, the sets of predicates) is read from the table. Rules are not
//! read backwards: a chain that has exactly the rules that the expected group lowers to means what that group means,
//! and any other chain means nothing, so that its group denies everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_net::{Direction, Family, Mark, MarkMask, Protocol};
use oncilla_program::{
    AddressSet, Bank, ClassId, ClassPort, ClassSet, Dispatch, Group, GroupId, Levels,
    LocalEndpoint, PortSetOfClasses, ProfileEnd, Program, ServiceSet, SetName,
};

use crate::content::{AddressForm, address_set_name, service_set_name};
use crate::group::{Placement, Surroundings, lower_group};
use crate::names::{BankPlace, BankSetName, ChainPlace, Level, set_kinds};
use crate::object::{Element, FieldType, KeyPart};
use crate::read::{Adopted, Destination, address, adopt, prefix};
use crate::ruleset::{FilledSet, Ruleset};

/// The program that a table enforces on workloads, with `expected` for what only people see and for rules that are as
/// they should be.
pub fn rebuild(
    expected: &Program,
    placements: &BTreeMap<GroupId, Placement>,
    found: &Ruleset,
) -> Program {
    let mask = expected.settings.mask;
    let adopted = adopt(found, mask);
    let reading = Reading { found, mask };
    let around = Surroundings {
        mask,
        address_sets: &expected.address_sets,
        log_rate: expected.settings.log_rate,
    };
    let mut program = expected.clone();
    program.addresses = adopted.addresses.clone();
    for (name, set) in &mut program.class_sets {
        *set = reading.class_set(name, set);
    }
    for (name, set) in &mut program.port_sets {
        *set = reading.port_set(name, set);
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
        let is_whole = lowered
            .chains
            .iter()
            .all(|(name, chain)| found.chains.get(name) == Some(chain));
        *group = Arc::new(reading.group(group, placement));
        is_whole
    });
    program.endpoints = endpoints(expected, &adopted, placements);
    program
}

/// Where the table sends interfaces; one without an element is dropped, as a group that is not there is.
fn endpoints(
    expected: &Program,
    adopted: &Adopted,
    placements: &BTreeMap<GroupId, Placement>,
) -> BTreeMap<Arc<str>, LocalEndpoint> {
    let mut interfaces: BTreeSet<&Arc<str>> = expected.endpoints.keys().collect();
    interfaces.extend(adopted.dispatch.keys().map(|(_, interface)| interface));
    let dispatch = |direction: Direction, interface: &Arc<str>| {
        let found = adopted.dispatch.get(&(direction, Arc::clone(interface)));
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
    };
    let endpoint = |interface: &Arc<str>| {
        let known = expected.endpoints.get(interface);
        let endpoint = LocalEndpoint {
            name: known.map_or_else(|| Arc::clone(interface), |known| Arc::clone(&known.name)),
            addresses: known
                .map(|known| known.addresses.clone())
                .unwrap_or_default(),
            ingress: dispatch(Direction::Ingress, interface),
            egress: dispatch(Direction::Egress, interface),
        };
        (Arc::clone(interface), endpoint)
    };
    interfaces.into_iter().map(endpoint).collect()
}

struct Reading<'a> {
    found: &'a Ruleset,
    mask: MarkMask,
}

impl Reading<'_> {
    fn filled(&self, name: &str) -> Option<&FilledSet> {
        self.found.sets.get(name)
    }

    /// The keys of a set, part by part; what cannot be read is left out.
    fn keys(&self, name: &str) -> Vec<Vec<KeyPart>> {
        let filled = self.filled(name).into_iter();
        let keys = filled.flat_map(|filled| {
            let parts = |element: &Element| filled.set.key.parts(element.key());
            filled.elements.iter().filter_map(parts)
        });
        keys.collect()
    }

    fn class(&self, mark: u32) -> ClassId {
        ClassId(self.mask.decode(Mark(mark)))
    }

    fn class_set(&self, name: &SetName, expected: &ClassSet) -> ClassSet {
        let keys = self.keys(&name.0).into_iter();
        let classes = keys.filter_map(|key| match key.as_slice() {
            [KeyPart::Mark(mark)] => Some(self.class(*mark)),
            _ => None,
        });
        ClassSet {
            text: Arc::clone(&expected.text),
            classes: classes.collect(),
        }
    }

    fn service_set(&self, name: &SetName, expected: &ServiceSet) -> ServiceSet {
        let names = Family::ALL.map(|family| service_set_name(name, family));
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
            text: Arc::clone(&expected.text),
            members: members.collect(),
        }
    }

    fn port_set(&self, name: &SetName, expected: &PortSetOfClasses) -> PortSetOfClasses {
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
            text: Arc::clone(&expected.text),
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

    fn group(&self, expected: &Group, placement: &Placement) -> Group {
        let mut group = expected.clone();
        let tiers = group.tiers.iter_mut().zip(0..);
        for (tier, at) in tiers {
            self.banks(expected, placement, ChainPlace::Tier(at), &mut tier.banks);
        }
        if let ProfileEnd::Banks(banks) = &mut group.profiles {
            self.banks(expected, placement, ChainPlace::Profiles, banks);
        }
        group
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
    fn enter(
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
mod tests {
    use oncilla_program::Program;

    use super::rebuild;
    use crate::lower::lower;
    use crate::skeleton::table;

    #[test]
    fn an_empty_program_comes_back() {
        let program = Program::default();
        let placements = std::collections::BTreeMap::new();
        let ruleset = lower(&program, &placements, table());
        assert_eq!(rebuild(&program, &placements, &ruleset), program);
    }
}
