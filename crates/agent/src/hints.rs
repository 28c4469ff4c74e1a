//! The classes that the kernel's elements have when an agent starts.

use std::collections::BTreeSet;

use oncilla_net::IpNet;
use oncilla_program::{AddressMap, ClassId};

/// The class of the element that the kernel has for exactly this prefix.
pub(crate) fn class_of(hints: &AddressMap, net: IpNet) -> Option<ClassId> {
    match net {
        IpNet::V4(net) if net.prefix_len() == 32 => hints.hosts4.get(net.addr()).copied(),
        IpNet::V6(net) if net.prefix_len() == 128 => hints.hosts6.get(&net.addr()).copied(),
        IpNet::V4(net) => hints.nets4.get(&net).copied(),
        IpNet::V6(net) => hints.nets6.get(&net).copied(),
    }
}

/// Every class number that the kernel refers to.
pub(crate) fn used(hints: &AddressMap) -> BTreeSet<ClassId> {
    let hosts = hints.hosts4.values().chain(hints.hosts6.values());
    let nets = hints.nets4.values().chain(hints.nets6.values());
    hosts.chain(nets).copied().collect()
}
