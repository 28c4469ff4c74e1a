//! A whole program as a table: what the kernel should hold.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_net::{Direction, IpNet};
use oncilla_program::{ALL_INTERFACES, ClassId, Dispatch, GroupId, Hook, HostEndpoint, Program};

use crate::content::{
    Placed, address_sets, class_set, dispatch_element, dispatch_of, host_entry, net_element,
    port_set, service_sets,
};
use crate::gate::{HostHooks, host_dispatch, host_elements};
use crate::group::{Placement, Surroundings, entry_chain, lower_group};
use crate::object::{Name, Table};
use crate::ruleset::{FilledSet, Ruleset};
use crate::skeleton::{deny_chain, skeleton};

/// The table of a program, with its groups in the versions that `placements` says (0 where it says
/// nothing).
pub fn lower(
    program: &Program,
    placements: &BTreeMap<GroupId, Placement>,
    table: Table,
) -> Ruleset {
    let mut ruleset = skeleton(&program.settings, HostHooks::of(program), table);
    let mask = program.settings.mask;
    let around = Surroundings {
        mask,
        address_sets: &program.address_sets,
        log_rate: program.settings.log_rate,
    };
    for (name, set) in &program.class_sets {
        put(&mut ruleset, class_set(name, set, mask));
    }
    for (name, set) in &program.port_sets {
        put(&mut ruleset, port_set(name, set, mask));
    }
    for (name, set) in &program.address_sets {
        for filled in address_sets(name, set) {
            put(&mut ruleset, filled);
        }
    }
    for (name, set) in &program.service_sets {
        for filled in service_sets(name, set) {
            put(&mut ruleset, filled);
        }
    }
    put_addresses(&mut ruleset, program);
    let first = Placement::default();
    for (id, group) in &program.groups {
        let objects = lower_group(group, placements.get(id).unwrap_or(&first), around);
        ruleset.sets.extend(objects.sets);
        ruleset.chains.extend(objects.chains);
    }
    for (interface, endpoint) in &program.endpoints {
        for direction in Direction::ALL {
            let chain = match dispatch_of(endpoint, direction) {
                Dispatch::Open => None,
                // A group that does not exist: no element, so the packets are dropped.
                Dispatch::Group(id) => match program.groups.get(id) {
                    Some(group) => {
                        let version = placements.get(id).unwrap_or(&first).version;
                        Some(entry_chain(group, version))
                    }
                    None => continue,
                },
            };
            let placed = dispatch_element(interface, endpoint, direction, chain);
            ruleset.put_element(&placed.set, placed.element);
        }
    }
    put_hosts(&mut ruleset, program, placements);
    ruleset
}

fn put_hosts(ruleset: &mut Ruleset, program: &Program, placements: &BTreeMap<GroupId, Placement>) {
    let hooks = HostHooks::of(program);
    for (interface, host) in &program.hosts {
        let mut placed = host_elements(interface, host);
        for way in Hook::ways().filter(|(hook, _)| hooks.has(*hook)) {
            placed.extend(host_way(interface, host, way, &|id| {
                let placement = placements.get(id).cloned().unwrap_or_default();
                let group = program.groups.get(id)?;
                Some(entry_chain(group, placement.version))
            }));
        }
        for placed in placed {
            ruleset.put_element(&placed.set, placed.element);
        }
    }
}

/// The elements of one way of a host endpoint, given where groups are entered. A group that is not there
/// denies.
pub fn host_way(
    interface: &str,
    host: &HostEndpoint,
    way: (Hook, Direction),
    entry: &dyn Fn(&GroupId) -> Option<Name>,
) -> Vec<Placed> {
    let chain = match host.groups.get(&way) {
        // For all interfaces nothing needs to stand in the way of anybody.
        None if interface == ALL_INTERFACES => return Vec::new(),
        None => None,
        Some(id) => Some(entry(id).unwrap_or_else(|| deny_chain(way.1).into())),
    };
    host_dispatch(interface, host, way, chain)
}

fn put(ruleset: &mut Ruleset, filled: FilledSet) {
    ruleset.sets.insert(Name::clone(&filled.set.name), filled);
}

fn put_addresses(ruleset: &mut Ruleset, program: &Program) {
    let (mask, addresses) = (program.settings.mask, &program.addresses);
    let entry = |addr: IpAddr, class: ClassId| host_entry(mask, addr, class);
    let hosts4 = addresses.hosts4.iter();
    ruleset.put_elements(
        "addr4",
        hosts4.map(|(addr, class)| entry(addr.into(), *class)),
    );
    let hosts6 = addresses.hosts6.iter();
    ruleset.put_elements(
        "addr6",
        hosts6.map(|(addr, class)| entry((*addr).into(), *class)),
    );
    let nets4 = addresses
        .nets4
        .iter()
        .map(|(net, class)| (IpNet::V4(*net), *class));
    let nets6 = addresses
        .nets6
        .iter()
        .map(|(net, class)| (IpNet::V6(*net), *class));
    for (net, class) in nets4.chain(nets6) {
        let placed = net_element(mask, net, class);
        ruleset.put_element(&placed.set, placed.element);
    }
}
