//! IPv4 addresses with something for each, in order and close together.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Addresses that differ in their last byte only, ascending.
type Block<V> = Vec<(u8, V)>;

/// A map from IPv4 addresses, in order. Addresses come in blocks, so each /24 that has any is one list: an address costs
/// its last byte and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddrMap4<V> {
    blocks: BTreeMap<u32, Block<V>>,
    len: usize,
}

impl<V> Default for AddrMap4<V> {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<V> AddrMap4<V> {
    /// A map without addresses.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many addresses there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no address.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What an address has.
    pub fn get(&self, addr: Ipv4Addr) -> Option<&V> {
        let (block, low) = split(addr);
        let block = self.blocks.get(&block)?;
        let place = place(block, low).ok()?;
        Some(&block[place].1)
    }

    /// What an address has, to be changed.
    pub fn get_mut(&mut self, addr: Ipv4Addr) -> Option<&mut V> {
        let (block, low) = split(addr);
        let block = self.blocks.get_mut(&block)?;
        let place = place(block, low).ok()?;
        Some(&mut block[place].1)
    }

    /// What an address has, put there when it has nothing.
    pub fn get_or_insert_with(&mut self, addr: Ipv4Addr, make: impl FnOnce() -> V) -> &mut V {
        let (block, low) = split(addr);
        let block = self.blocks.entry(block).or_default();
        let place = match place(block, low) {
            Ok(place) => place,
            Err(place) => {
                block.insert(place, (low, make()));
                self.len += 1;
                place
            }
        };
        &mut block[place].1
    }

    /// Gives an address a value and hands back what it had.
    pub fn insert(&mut self, addr: Ipv4Addr, value: V) -> Option<V> {
        let (block, low) = split(addr);
        let block = self.blocks.entry(block).or_default();
        match place(block, low) {
            Ok(place) => Some(std::mem::replace(&mut block[place].1, value)),
            Err(place) => {
                block.insert(place, (low, value));
                self.len += 1;
                None
            }
        }
    }

    /// Takes an address out and hands back what it had.
    pub fn remove(&mut self, addr: Ipv4Addr) -> Option<V> {
        let (number, low) = split(addr);
        let block = self.blocks.get_mut(&number)?;
        let place = place(block, low).ok()?;
        let (_, value) = block.remove(place);
        self.len -= 1;
        if block.is_empty() {
            self.blocks.remove(&number);
        } else if block.len() * 4 < block.capacity() {
            block.shrink_to_fit();
        }
        Some(value)
    }

    /// The addresses with what they have, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Addr, &V)> {
        self.blocks.iter().flat_map(|(block, entries)| {
            let entries = entries.iter();
            entries.map(|(low, value)| (joined(*block, *low), value))
        })
    }

    /// The same from one address to another, both in.
    pub fn range(&self, first: Ipv4Addr, last: Ipv4Addr) -> impl Iterator<Item = (Ipv4Addr, &V)> {
        let blocks = self.blocks.range(split(first).0..=split(last).0);
        let inside = blocks.flat_map(|(block, entries)| {
            let entries = entries.iter();
            entries.map(|(low, value)| (joined(*block, *low), value))
        });
        inside.filter(move |(addr, _)| (first..=last).contains(addr))
    }

    /// The addresses, in order.
    pub fn keys(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.iter().map(|(addr, _)| addr)
    }

    /// What the addresses have, in their order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V> FromIterator<(Ipv4Addr, V)> for AddrMap4<V> {
    fn from_iter<I: IntoIterator<Item = (Ipv4Addr, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (addr, value) in entries {
            map.insert(addr, value);
        }
        map
    }
}

fn split(addr: Ipv4Addr) -> (u32, u8) {
    let [.., low] = addr.octets();
    (u32::from(addr) >> 8, low)
}

fn joined(block: u32, low: u8) -> Ipv4Addr {
    Ipv4Addr::from(block << 8 | u32::from(low))
}

/// Where an address is in its block, or where it belongs. Addresses are often given out in order.
fn place<V>(block: &Block<V>, low: u8) -> Result<usize, usize> {
    if block.last().is_none_or(|(last, _)| *last < low) {
        return Err(block.len());
    }
    block.binary_search_by_key(&low, |(low, _)| *low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the standard library's map: dense blocks and lone addresses, the ends of the family among them.
    #[test]
    fn it_is_a_map() {
        let mut map = AddrMap4::new();
        let mut naive = BTreeMap::new();
        let mut state = 5_u64;
        let mut below = |bound: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u32::try_from((state >> 32) % u64::from(bound)).unwrap()
        };
        for step in 0..40_000 {
            let addr = match below(4) {
                0 => below(600),
                1 => u32::MAX - below(600),
                _ => below(40) << 20 | below(3),
            };
            let addr = Ipv4Addr::from(addr);
            match below(4) {
                0 => assert_eq!(map.remove(addr), naive.remove(&addr)),
                1 => assert_eq!(
                    *map.get_or_insert_with(addr, || step),
                    *naive.entry(addr).or_insert(step)
                ),
                2 => {
                    assert_eq!(map.get_mut(addr), naive.get_mut(&addr));
                    assert_eq!(map.get(addr), naive.get(&addr));
                }
                _ => assert_eq!(map.insert(addr, step), naive.insert(addr, step)),
            }
            assert_eq!((map.len(), map.is_empty()), (naive.len(), naive.is_empty()));
            if step % 500 == 0 {
                let all = naive.iter().map(|(addr, value)| (*addr, value));
                assert!(map.iter().eq(all));
                assert_eq!(
                    map,
                    naive.iter().map(|(addr, value)| (*addr, *value)).collect()
                );
                let (first, last) = (
                    Ipv4Addr::from(below(700)),
                    Ipv4Addr::from(below(1 << 21) + 700),
                );
                let inside = naive
                    .range(first..=last)
                    .map(|(addr, value)| (*addr, value));
                assert!(map.range(first, last).eq(inside));
            }
        }
        assert!(naive.len() > 500);
        for addr in naive.keys() {
            map.remove(*addr);
        }
        assert_eq!(map, AddrMap4::new());
    }
}
