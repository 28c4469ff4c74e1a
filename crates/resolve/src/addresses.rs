//! Single addresses: who contributes to each, and which element the kernel has for it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use foldhash::{HashMap, HashMapExt as _};
use oncilla_net::{AddrMap4, IpNet};
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

/// One source, none or a list of them, in four bytes: what it is in the lowest two bits, its number above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Packed(u32);

const SEVERAL: u32 = 0;
const ROW: u32 = 1;
const SET: u32 = 2;
const PREDICATE: u32 = 3;

impl Packed {
    /// Nobody: the list zero, which is empty.
    const NONE: Self = Self(SEVERAL);

    fn new(kind: u32, number: u32) -> Self {
        assert!(number < 1 << 30, "fewer than 2^30 of a kind");
        Self(number << 2 | kind)
    }

    fn one(source: Source) -> Self {
        match source {
            Source::Row(row) => Self::new(ROW, row),
            Source::Set(row) => Self::new(SET, row),
            Source::Predicate(PredicateId(id)) => Self::new(PREDICATE, id),
        }
    }

    /// The one source, or the number of the list.
    const fn read(self) -> Result<Source, u32> {
        let number = self.0 >> 2;
        match self.0 & 3 {
            ROW => Ok(Source::Row(number)),
            SET => Ok(Source::Set(number)),
            PREDICATE => Ok(Source::Predicate(PredicateId(number))),
            _ => Err(number),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    sources: Packed,
    /// The class of its element; none: it has no element.
    class: ClassId,
}

/// One address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    one: Option<Source>,
    several: &'a [Source],
    /// The class of its element; `None`: it has no element.
    pub(crate) class: Option<ClassId>,
}

impl<'a> Address<'a> {
    /// Who contributes.
    pub(crate) fn sources(self) -> impl Iterator<Item = Source> + 'a {
        self.one.into_iter().chain(self.several.iter().copied())
    }

    /// Whether nobody contributes any more.
    pub(crate) const fn is_deserted(self) -> bool {
        self.one.is_none() && self.several.is_empty()
    }
}

/// All single addresses, in order.
#[derive(Debug)]
pub(crate) struct Addresses {
    v4: AddrMap4<Entry>,
    v6: BTreeMap<Ipv6Addr, Entry>,
    /// The lists of addresses with several sources, two or more. None has the number zero.
    several: HashMap<u32, Vec<Source>>,
    next_list: u32,
    free_lists: Vec<u32>,
}

impl Addresses {
    pub(crate) fn new() -> Self {
        Self {
            v4: AddrMap4::new(),
            v6: BTreeMap::new(),
            several: HashMap::new(),
            next_list: 1,
            free_lists: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, addr: IpAddr, source: Source) {
        let fresh = || Entry {
            sources: Packed::NONE,
            class: ClassId::NONE,
        };
        let entry = match addr {
            IpAddr::V4(addr) => self.v4.get_or_insert_with(addr, fresh),
            IpAddr::V6(addr) => self.v6.entry(addr).or_insert_with(fresh),
        };
        match entry.sources.read() {
            _ if entry.sources == Packed::NONE => entry.sources = Packed::one(source),
            Ok(one) if one == source => {}
            Ok(one) => {
                let list = self.free_lists.pop().unwrap_or_else(|| {
                    self.next_list += 1;
                    self.next_list - 1
                });
                self.several.insert(list, vec![one, source]);
                entry.sources = Packed::new(SEVERAL, list);
            }
            Err(list) => {
                let sources = self.several.entry(list).or_default();
                if !sources.contains(&source) {
                    sources.push(source);
                }
            }
        }
    }

    /// The address stays until its element is gone, see [`Self::set_class`].
    pub(crate) fn remove(&mut self, addr: IpAddr, source: Source) {
        let Some(sources) = self.entry_mut(addr).map(|entry| entry.sources) else {
            return;
        };
        let left = match sources.read() {
            Ok(one) if one != source => return,
            Ok(_) => Packed::NONE,
            Err(list) => {
                let Some(sources) = self.several.get_mut(&list) else {
                    return;
                };
                sources.retain(|each| *each != source);
                let [one] = sources[..] else {
                    return;
                };
                self.several.remove(&list);
                self.free_lists.push(list);
                Packed::one(one)
            }
        };
        if let Some(entry) = self.entry_mut(addr) {
            entry.sources = left;
        }
    }

    pub(crate) fn of(&self, addr: IpAddr) -> Option<Address<'_>> {
        let entry = match addr {
            IpAddr::V4(addr) => self.v4.get(addr),
            IpAddr::V6(addr) => self.v6.get(&addr),
        };
        entry.map(|entry| self.view(*entry))
    }

    /// Who contributes to an address.
    pub(crate) fn sources(&self, addr: IpAddr) -> impl Iterator<Item = Source> + '_ {
        self.of(addr).into_iter().flat_map(Address::sources)
    }

    pub(crate) fn set_class(&mut self, addr: IpAddr, class: Option<ClassId>) {
        let Some(entry) = self.entry_mut(addr) else {
            return;
        };
        entry.class = class.unwrap_or(ClassId::NONE);
        if class.is_none() && entry.sources == Packed::NONE {
            match addr {
                IpAddr::V4(addr) => drop(self.v4.remove(addr)),
                IpAddr::V6(addr) => drop(self.v6.remove(&addr)),
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, Address<'_>)> {
        let v4 = self.v4.iter().map(|(addr, entry)| (addr.into(), *entry));
        let v6 = self.v6.iter().map(|(addr, entry)| ((*addr).into(), *entry));
        v4.chain(v6).map(|(addr, entry)| (addr, self.view(entry)))
    }

    /// The addresses of a region, in order.
    pub(crate) fn inside(&self, region: IpNet) -> Vec<IpAddr> {
        match region {
            IpNet::V4(net) => {
                let inside = self.v4.range(net.network(), net.broadcast());
                inside.map(|(addr, _)| addr.into()).collect()
            }
            IpNet::V6(net) => {
                let inside = self.v6.range(net.network()..=net.broadcast());
                inside.map(|(addr, _)| (*addr).into()).collect()
            }
        }
    }

    fn view(&self, entry: Entry) -> Address<'_> {
        let (one, several) = match entry.sources.read() {
            Ok(one) => (Some(one), None),
            Err(list) => (None, self.several.get(&list)),
        };
        Address {
            one,
            several: several.map_or(&[], Vec::as_slice),
            class: (entry.class != ClassId::NONE).then_some(entry.class),
        }
    }

    fn entry_mut(&mut self, addr: IpAddr) -> Option<&mut Entry> {
        match addr {
            IpAddr::V4(addr) => self.v4.get_mut(addr),
            IpAddr::V6(addr) => self.v6.get_mut(&addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_and_go_like_those_of_a_list() {
        let addresses: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2", "10.9.0.1", "fd00::1", "fd00::2"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let mut found = Addresses::new();
        let mut naive: BTreeMap<IpAddr, (Vec<Source>, Option<ClassId>)> = BTreeMap::new();
        let mut state = 9_u64;
        let mut below = |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u32::try_from((state >> 33) % bound).unwrap()
        };
        let mut shared = 0;
        for _ in 0..30_000 {
            let addr = addresses[below(5) as usize];
            let source = match below(3) {
                0 => Source::Row(below(3)),
                1 => Source::Set(below(2)),
                _ => Source::Predicate(PredicateId(below(2))),
            };
            match below(5) {
                0 | 1 => {
                    found.add(addr, source);
                    let (sources, _) = naive.entry(addr).or_default();
                    if !sources.contains(&source) {
                        sources.push(source);
                    }
                }
                2 | 3 => {
                    found.remove(addr, source);
                    if let Some((sources, _)) = naive.get_mut(&addr) {
                        sources.retain(|each| *each != source);
                    }
                }
                _ => {
                    let class = Some(ClassId(3 + below(2))).filter(|_| below(2) == 0);
                    found.set_class(addr, class);
                    if let Some((_, known)) = naive.get_mut(&addr) {
                        *known = class;
                    }
                    naive.retain(|each, (sources, class)| {
                        *each != addr || class.is_some() || !sources.is_empty()
                    });
                }
            }
            let mut all = naive.iter();
            for (addr, address) in found.iter() {
                let (known, (sources, class)) = all.next().unwrap();
                assert_eq!((addr, address.class), (*known, *class));
                let mut left: Vec<Source> = address.sources().collect();
                left.sort_unstable();
                let mut sources = sources.clone();
                sources.sort_unstable();
                assert_eq!(left, sources);
                assert_eq!(address.is_deserted(), sources.is_empty());
                shared += u32::from(sources.len() > 1);
            }
            assert!(all.next().is_none());
        }
        assert!(shared > 10_000, "{shared}");
        let region = "10.0.0.0/24".parse().unwrap();
        assert!(
            found
                .inside(region)
                .iter()
                .all(|addr| region.contains(addr))
        );
    }
}
