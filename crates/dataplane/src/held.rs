//! What the kernel holds, as far as we put it there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use oncilla_net::IpNet;
use oncilla_nft::{HostHooks, Placement, Ruleset, Version, skeleton, table};
use oncilla_program::{AddressMap, ClassId, Group, GroupId, Hook, Program};

use crate::garbage::Garbage;

/// What the kernel holds: the program, which version of each group, and what is left to clean.
#[derive(Debug)]
pub(crate) struct Held {
    /// The program in force.
    pub(crate) program: Program,
    /// The version of each group in force.
    pub(crate) placements: BTreeMap<GroupId, Placement>,
    /// Versions that still have objects in the kernel though nothing leads to them.
    pub(crate) taken: BTreeMap<GroupId, BTreeSet<Version>>,
    /// What the next cleaning removes.
    pub(crate) garbage: Garbage,
    /// How many elements have each class: what tells entries in use from those no packet can meet.
    uses: BTreeMap<ClassId, usize>,
    /// How many bridges were made: each has a name of its own.
    pub(crate) bridges: u32,
    /// The static part of the table: where the definitions of its sets stand.
    pub(crate) skeleton: Ruleset,
    /// The host hooks that the table has chains for.
    hooks: HostHooks,
}

impl Held {
    /// A table that holds this program.
    pub(crate) fn new(program: Program, placements: BTreeMap<GroupId, Placement>) -> Self {
        let hooks = HostHooks::of(&program);
        let skeleton = skeleton(&program.settings, hooks, table());
        let uses = count(&program.addresses);
        let (taken, garbage) = (BTreeMap::new(), Garbage::default());
        Self {
            program,
            placements,
            taken,
            garbage,
            uses,
            bridges: 0,
            skeleton,
            hooks,
        }
    }

    /// Whether the table has the chains and maps of a hook.
    pub(crate) fn has_way(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }

    /// Whether a program needs other static chains than the table has: it was told other settings, or a kind
    /// of host policy came or went.
    pub(crate) fn needs_other_chains(&self, desired: &Program) -> bool {
        self.program.settings != desired.settings || self.hooks != HostHooks::of(desired)
    }

    /// Whether a packet can meet entries of this class.
    pub(crate) fn in_use(&self, class: ClassId) -> bool {
        class < ClassId::FIRST || self.uses.get(&class).is_some_and(|uses| *uses > 0)
    }

    /// Sets the class of a single address; the class it had.
    pub(crate) fn set_host(&mut self, addr: IpAddr, class: Option<ClassId>) {
        let before = host_class(&self.program.addresses, addr);
        self.count(before, class);
        self.program.addresses.set_host(addr, class);
    }

    /// Sets the class of a prefix.
    pub(crate) fn set_net(&mut self, net: IpNet, class: Option<ClassId>) {
        let before = net_class(&self.program.addresses, net);
        self.count(before, class);
        self.program.addresses.set_net(net, class);
    }

    fn count(&mut self, before: Option<ClassId>, after: Option<ClassId>) {
        if let Some(class) = after {
            *self.uses.entry(class).or_default() += 1;
        }
        if let Some(class) = before
            && let Some(uses) = self.uses.get_mut(&class)
        {
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                self.uses.remove(&class);
            }
        }
    }

    /// The smallest version of a group that has no object in the kernel.
    pub(crate) fn free_version(&self, group: &GroupId) -> Version {
        let placement = self.placements.get(group);
        let placed = placement.into_iter().flat_map(|placement| {
            placement
                .banks
                .values()
                .chain(std::iter::once(&placement.version))
        });
        let taken = self.taken.get(group).into_iter().flatten();
        let used: BTreeSet<Version> = placed.chain(taken).copied().collect();
        // One of the first n+1 numbers is not among n.
        let numbers = (0..).map(Version).take(used.len() + 1);
        numbers
            .filter(|version| !used.contains(version))
            .min()
            .unwrap_or_default()
    }

    /// A number that no bridge has that may still be there.
    pub(crate) fn next_bridge(&mut self) -> u32 {
        let number = self.bridges;
        self.bridges = number.wrapping_add(1);
        number
    }

    /// What was left is gone from the kernel.
    pub(crate) fn cleaned(&mut self) {
        self.garbage = Garbage::default();
        self.taken.clear();
    }

    /// The group in force.
    pub(crate) fn group(&self, id: &GroupId) -> Option<(&Group, &Placement)> {
        Some((
            self.program.groups.get(id)?.as_ref(),
            self.placements.get(id)?,
        ))
    }
}

fn count(addresses: &AddressMap) -> BTreeMap<ClassId, usize> {
    let mut uses = BTreeMap::new();
    let hosts = addresses.hosts4.values().chain(addresses.hosts6.values());
    let nets = addresses.nets4.values().chain(addresses.nets6.values());
    for class in hosts.chain(nets) {
        *uses.entry(*class).or_default() += 1;
    }
    uses
}

/// The class in the element of a single address, when it has one.
pub(crate) fn host_class(addresses: &AddressMap, addr: IpAddr) -> Option<ClassId> {
    match addr {
        IpAddr::V4(addr) => addresses.hosts4.get(addr).copied(),
        IpAddr::V6(addr) => addresses.hosts6.get(&addr).copied(),
    }
}

/// The class in the element of a prefix, when it has one.
pub(crate) fn net_class(addresses: &AddressMap, net: IpNet) -> Option<ClassId> {
    match net {
        IpNet::V4(net) => addresses.nets4.get(&net).copied(),
        IpNet::V6(net) => addresses.nets6.get(&net).copied(),
    }
}
