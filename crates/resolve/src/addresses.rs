//! Single addresses: who contributes to each, and which element the kernel has for it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_net::IpNet;
use oncilla_program::ClassId;

use crate::signature::PredicateId;

/// Who says something about an address or prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Source {
    /// An endpoint, by its row.
    Row(u32),
    /// A network set, by its row.
    Set(u32),
    /// A CIDR predicate.
    Predicate(PredicateId),
}

/// Nearly always one endpoint; several when an address is shared.
#[derive(Debug)]
enum Sources {
    None,
    One(Source),
    Many(Vec<Source>),
}

/// One address.
#[derive(Debug)]
pub(crate) struct Address {
    sources: Sources,
    /// The class of its element; `None`: it has no element.
    pub(crate) class: Option<ClassId>,
}

impl Address {
    pub(crate) fn sources(&self) -> &[Source] {
        match &self.sources {
            Sources::None => &[],
            Sources::One(source) => std::slice::from_ref(source),
            Sources::Many(sources) => sources,
        }
    }
}

/// All single addresses, in order.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    map: BTreeMap<IpAddr, Address>,
}

impl Addresses {
    pub(crate) fn add(&mut self, addr: IpAddr, source: Source) {
        let address = self.map.entry(addr).or_insert(Address {
            sources: Sources::None,
            class: None,
        });
        match &mut address.sources {
            Sources::None => address.sources = Sources::One(source),
            Sources::One(one) if *one == source => {}
            Sources::One(one) => address.sources = Sources::Many(vec![*one, source]),
            Sources::Many(many) if many.contains(&source) => {}
            Sources::Many(many) => many.push(source),
        }
    }

    /// The address stays until its element is gone, see [`Self::set_class`].
    pub(crate) fn remove(&mut self, addr: IpAddr, source: Source) {
        let Some(address) = self.map.get_mut(&addr) else {
            return;
        };
        match &mut address.sources {
            Sources::None => {}
            Sources::One(one) if *one != source => {}
            Sources::One(_) => address.sources = Sources::None,
            Sources::Many(many) => {
                many.retain(|each| *each != source);
                match many.as_slice() {
                    [] => address.sources = Sources::None,
                    [one] => address.sources = Sources::One(*one),
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn of(&self, addr: IpAddr) -> Option<&Address> {
        self.map.get(&addr)
    }

    pub(crate) fn set_class(&mut self, addr: IpAddr, class: Option<ClassId>) {
        if let Some(address) = self.map.get_mut(&addr) {
            address.class = class;
            if class.is_none() && matches!(address.sources, Sources::None) {
                self.map.remove(&addr);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Address)> {
        self.map.iter().map(|(addr, address)| (*addr, address))
    }

    /// The addresses of a region, in order.
    pub(crate) fn inside(&self, region: IpNet) -> impl Iterator<Item = IpAddr> + '_ {
        self.map
            .range(region.network()..=region.broadcast())
            .map(|(addr, _)| *addr)
    }
}
