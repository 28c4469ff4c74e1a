//! Understanding a table that was read: what an agent that starts finds in the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::{Direction, IpNet, Ipv4Net, Ipv6Net, Mark, MarkMask};
use oncilla_program::{ALL_INTERFACES, AddressMap, ClassId, GroupId, Hook};

use crate::gate::{any_map, host_map};
use crate::group::Placement;
use crate::names::{BankPlace, BankSetName, ChainPlace, GroupChainName, Version};
use crate::object::{Element, FieldType, KeyPart, KeyType, Name, Rule};
use crate::ruleset::Ruleset;
use crate::skeleton::{dispatch_map, open_set};

/// Where the kernel sends one direction of an interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Destination {
    /// Nothing is evaluated.
    Open,
    /// To this version of this group.
    Group(GroupId, Version),
    /// To a chain that is not ours.
    Foreign(Name),
}

/// What a table holds, in our words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Adopted {
    /// Address to class number. Elements that make no sense are left out: they will be written again.
    pub addresses: AddressMap,
    /// Where interfaces go.
    pub dispatch: BTreeMap<(Direction, Arc<str>), Destination>,
    /// Where the host's own interfaces go; [`ALL_INTERFACES`] for those without an element of their own.
    pub hosts: BTreeMap<(Hook, Direction, Arc<str>), Destination>,
    /// Every version of every group that has a chain, and the versions of the banks it looks at.
    pub groups: BTreeMap<GroupId, BTreeMap<Version, Placement>>,
    /// Versions of bank sets that exist, used or not.
    pub bank_versions: BTreeMap<GroupId, BTreeMap<BankPlace, BTreeSet<Version>>>,
}

impl Adopted {
    /// The version that a group is dispatched to: the one most interfaces use, the larger on a tie.
    pub fn version_in_use(&self, group: &GroupId) -> Option<Version> {
        let mut uses: BTreeMap<Version, usize> = BTreeMap::new();
        for destination in self.dispatch.values().chain(self.hosts.values()) {
            if let Destination::Group(id, version) = destination
                && id == group
            {
                *uses.entry(*version).or_default() += 1;
            }
        }
        uses.into_iter()
            .max_by_key(|(version, count)| (*count, *version))
            .map(|(version, _)| version)
    }
}

/// Understands a table. Never fails: what is not understood is not adopted, and will be written again.
pub fn adopt(ruleset: &Ruleset, mask: MarkMask) -> Adopted {
    let mut adopted = Adopted::default();
    read_hosts(ruleset, mask, &mut adopted);
    read_nets(ruleset, mask, &mut adopted);
    for direction in Direction::ALL {
        read_dispatch(ruleset, direction, &mut adopted);
    }
    for way in Hook::ways() {
        read_hosts_dispatch(ruleset, way, &mut adopted);
    }
    for (name, chain) in &ruleset.chains {
        let Some(found) = GroupChainName::parse(name) else {
            continue;
        };
        let versions = adopted.groups.entry(found.group).or_default();
        let placement = versions
            .entry(found.version)
            .or_insert_with(|| Placement::fresh(found.version));
        for set in chain.rules.iter().flat_map(Rule::sets) {
            if let Some(bank) = BankSetName::parse(set)
                && bank.version != found.version
            {
                placement.banks.insert(bank.bank, bank.version);
            }
        }
    }
    for name in ruleset.sets.keys() {
        if let Some(found) = BankSetName::parse(name) {
            let banks = adopted.bank_versions.entry(found.group).or_default();
            banks.entry(found.bank).or_default().insert(found.version);
        }
    }
    adopted
}

fn class_of(element: &Element, mask: MarkMask) -> Option<ClassId> {
    let mark = element.mark_value()?;
    let class = ClassId(mask.decode(Mark(mark)));
    (mark & mask.foreign() == 0 && class >= ClassId::FIRST && class.0 < mask.max()).then_some(class)
}

pub(crate) fn address(element: &Element, field: FieldType) -> Option<IpAddr> {
    let bytes = element.key().as_bytes().get(..field.bytes())?;
    match KeyPart::read(field, bytes)? {
        KeyPart::Ipv4(addr) => Some(addr.into()),
        KeyPart::Ipv6(addr) => Some(addr.into()),
        KeyPart::Proto(_)
        | KeyPart::Port(_)
        | KeyPart::Mark(_)
        | KeyPart::IfName(_)
        | KeyPart::IcmpType(_)
        | KeyPart::NfProto(_)
        | KeyPart::Other(_) => None,
    }
}

/// The elements come sorted, so that the maps are made at once: there are hundreds of thousands.
fn read_hosts(ruleset: &Ruleset, mask: MarkMask, adopted: &mut Adopted) {
    let pairs = |set, field| {
        let found = elements(ruleset, set);
        found.filter_map(move |element| Some((address(element, field)?, class_of(element, mask)?)))
    };
    let hosts4 = pairs("addr4", FieldType::Ipv4Addr);
    adopted.addresses.hosts4 = hosts4
        .filter_map(|(addr, class)| match addr {
            IpAddr::V4(addr) => Some((addr, class)),
            IpAddr::V6(_) => None,
        })
        .collect();
    let hosts6 = pairs("addr6", FieldType::Ipv6Addr);
    adopted.addresses.hosts6 = hosts6
        .filter_map(|(addr, class)| match addr {
            IpAddr::V6(addr) => Some((addr, class)),
            IpAddr::V4(_) => None,
        })
        .collect();
}

fn read_nets(ruleset: &Ruleset, mask: MarkMask, adopted: &mut Adopted) {
    for (set, field) in [("net4", FieldType::Ipv4Addr), ("net6", FieldType::Ipv6Addr)] {
        let Some(filled) = ruleset.sets.get(set) else {
            continue;
        };
        for element in &filled.elements {
            if let (Some(net), Some(class)) = (prefix(element, field), class_of(element, mask)) {
                adopted.addresses.set_net(net, Some(class));
            }
        }
    }
}

/// The prefix that a range of addresses is, when it is one.
pub(crate) fn prefix(element: &Element, field: FieldType) -> Option<IpNet> {
    let first = address(element, field)?;
    let last = match element.key_end() {
        Some(end) => address(&Element::new(end.clone()), field)?,
        None => first,
    };
    let net = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let span = u32::from(last).checked_sub(u32::from(first))?;
            let bits = 32 - span.checked_add(1).map_or(32, u32::trailing_zeros);
            IpNet::V4(Ipv4Net::new(first, u8::try_from(bits).ok()?).ok()?)
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let span = u128::from(last).checked_sub(u128::from(first))?;
            let bits = 128 - span.checked_add(1).map_or(128, u128::trailing_zeros);
            IpNet::V6(Ipv6Net::new(first, u8::try_from(bits).ok()?).ok()?)
        }
        _ => return None,
    };
    (net.network() == first && net.broadcast() == last).then_some(net)
}

fn read_dispatch(ruleset: &Ruleset, direction: Direction, adopted: &mut Adopted) {
    for element in elements(ruleset, dispatch_map(direction)) {
        let Some(interface) = interface(element) else {
            continue;
        };
        let Some(chain) = element.verdict_value().and_then(|verdict| verdict.chain()) else {
            continue;
        };
        let destination = destination(chain, direction);
        adopted.dispatch.insert((direction, interface), destination);
    }
    for element in elements(ruleset, open_set(direction)) {
        if let Some(interface) = interface(element) {
            // The open set is asked first.
            adopted
                .dispatch
                .insert((direction, interface), Destination::Open);
        }
    }
}

fn read_hosts_dispatch(
    ruleset: &Ruleset,
    (hook, direction): (Hook, Direction),
    adopted: &mut Adopted,
) {
    let all = any_map(hook, direction).into_iter();
    let all = all.flat_map(|map| elements(ruleset, map));
    let all = all.map(|element| (Some(ALL_INTERFACES.into()), element));
    let named = elements(ruleset, host_map(hook, direction));
    let named = named.map(|element| (interface(element), element));
    for (interface, element) in all.chain(named) {
        let Some(interface) = interface else {
            continue;
        };
        let chain = element.verdict_value().and_then(|verdict| verdict.chain());
        let destination = chain.map_or(Destination::Open, |chain| destination(chain, direction));
        adopted
            .hosts
            .insert((hook, direction, interface), destination);
    }
}

fn elements<'a>(ruleset: &'a Ruleset, set: &str) -> impl Iterator<Item = &'a Element> {
    let filled = ruleset.sets.get(set).into_iter();
    filled.flat_map(|filled| &filled.elements)
}

fn destination(chain: &Name, direction: Direction) -> Destination {
    match GroupChainName::parse(chain) {
        Some(found)
            if found.direction == direction
                && matches!(found.place, ChainPlace::Tier(0) | ChainPlace::Profiles) =>
        {
            Destination::Group(found.group, found.version)
        }
        _ => Destination::Foreign(Name::clone(chain)),
    }
}

fn interface(element: &Element) -> Option<Arc<str>> {
    match KeyType::single(FieldType::IfName)
        .parts(element.key())?
        .as_slice()
    {
        [KeyPart::IfName(name)] => Some(Arc::clone(name)),
        _ => None,
    }
}
