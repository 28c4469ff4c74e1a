//! Byte strings, each kept once and counted, side by side in large pieces of memory.
//!
//! ```text
//!   table: hash ─▶ number    slots: number ─▶ place, references    chunks: length, bytes, length, bytes, …
//! ```
//! What was released leaves a gap, and gaps are closed at [`Packs::compact`], for quiet moments. Knows nothing of what
//! the bytes mean.

use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use oncilla_net::IpNet;

/// The size of a piece of memory, in bytes; a longer string has one of its own.
const CHUNK_BYTES: usize = 256 * 1024;
/// The bits of a place that say where in its chunk.
const OFFSET_BITS: u32 = 18;
/// The place of a number that is free.
const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    place: u32,
    references: u32,
}

/// Which gaps are closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gaps {
    /// Those that are more than what is between them: closing costs what stays.
    Large,
    /// Every one.
    All,
}

/// The strings in use. A number is another's when its string is gone.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    chunks: Vec<Vec<u8>>,
    slots: Vec<Slot>,
    table: HashTable<u32>,
    free: Vec<u32>,
    live_bytes: usize,
    gap_bytes: usize,
    hasher: RandomState,
}

impl Packs {
    /// The number of a string, with one reference more, and whether it is new.
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> (u32, bool) {
        let hash = self.hasher.hash_one(bytes);
        if let Some(&id) = self.table.find(hash, |id| self.bytes(*id) == bytes) {
            self.retain(id);
            return (id, false);
        }
        let slot = Slot {
            place: append(&mut self.chunks, bytes),
            references: 1,
        };
        self.live_bytes += bytes.len();
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 strings")
            }
        };
        let (slots, chunks, hasher) = (&self.slots, &self.chunks, &self.hasher);
        let rehash = |id: &u32| hasher.hash_one(read(chunks, slots[*id as usize].place));
        self.table.insert_unique(hash, id, rehash);
        (id, true)
    }

    /// The number of a string that is in use.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(bytes);
        let found = self.table.find(hash, |id| self.bytes(*id) == bytes);
        found.copied()
    }

    /// The string of a number in use.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        read(&self.chunks, self.slots[id as usize].place)
    }

    /// How often a number is referred to.
    pub(crate) fn references(&self, id: u32) -> u32 {
        self.slots[id as usize].references
    }

    pub(crate) fn retain(&mut self, id: u32) {
        self.slots[id as usize].references += 1;
    }

    /// One reference less; `true`: the string is gone.
    pub(crate) fn release(&mut self, id: u32) -> bool {
        let slot = &mut self.slots[id as usize];
        slot.references -= 1;
        if slot.references > 0 {
            return false;
        }
        let place = std::mem::replace(&mut slot.place, NOWHERE);
        let bytes = read(&self.chunks, place);
        self.live_bytes -= bytes.len();
        self.gap_bytes += bytes.len();
        let hash = self.hasher.hash_one(bytes);
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.free.push(id);
        true
    }

    /// Every number in use, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        let ids = 0..u32::try_from(self.slots.len()).expect("fewer than 2^32 strings");
        ids.filter(|id| self.slots[*id as usize].place != NOWHERE)
    }

    /// Closes the gaps.
    pub(crate) fn compact(&mut self, gaps: Gaps) {
        let is_worth_it = match gaps {
            Gaps::Large => self.gap_bytes > self.live_bytes + CHUNK_BYTES,
            Gaps::All => self.gap_bytes > 0,
        };
        if !is_worth_it {
            return;
        }
        let mut chunks = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.place != NOWHERE) {
            slot.place = append(&mut chunks, read(&self.chunks, slot.place));
        }
        self.chunks = chunks;
        self.gap_bytes = 0;
        let (slots, chunks, hasher) = (&self.slots, &self.chunks, &self.hasher);
        let rehash = |id: &u32| hasher.hash_one(read(chunks, slots[*id as usize].place));
        self.table.shrink_to_fit(rehash);
    }
}

fn append(chunks: &mut Vec<Vec<u8>>, bytes: &[u8]) -> u32 {
    // The length takes five bytes at most.
    let size = 5 + bytes.len();
    match chunks.last() {
        Some(last) if last.len() + size <= CHUNK_BYTES => {}
        // The first one grows: most nodes of most clusters need no second.
        None => chunks.push(Vec::with_capacity(size)),
        Some(_) => chunks.push(Vec::with_capacity(size.max(CHUNK_BYTES))),
    }
    let index = u32::try_from(chunks.len() - 1).expect("fewer than 2^32 chunks");
    let chunk = chunks.last_mut().expect("a chunk is there");
    let offset = u32::try_from(chunk.len()).expect("an offset in a chunk");
    put_number(chunk, bytes.len());
    chunk.extend_from_slice(bytes);
    let place = (u64::from(index) << OFFSET_BITS) | u64::from(offset);
    let place = u32::try_from(place).expect("fewer than 4 GiB of strings");
    assert!(place != NOWHERE, "fewer than 4 GiB of strings");
    place
}

fn read(chunks: &[Vec<u8>], place: u32) -> &[u8] {
    let chunk = &chunks[(place >> OFFSET_BITS) as usize];
    let mut rest = &chunk[(place & ((1 << OFFSET_BITS) - 1)) as usize..];
    let length = take_number(&mut rest);
    &rest[..length]
}

/// Writes a number, small ones in one byte: seven bits a byte, the lowest first.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low_bits(number));
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7f).expect("seven bits are a byte")
}

/// Reads a number from the front of what [`put_number`] wrote.
pub(crate) fn take_number(bytes: &mut &[u8]) -> usize {
    let mut number = 0;
    let mut shift = 0;
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}

/// Writes a text behind its length.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// Reads a text from the front of what [`put_text`] wrote, as bytes.
pub(crate) fn take_text_bytes<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = take_number(bytes);
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    text
}

/// Reads a text from the front of what [`put_text`] wrote.
pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> &'a str {
    as_text(take_text_bytes(bytes))
}

/// Bytes that were a text.
pub(crate) fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("a text was written")
}

/// What is added to the prefix length of an IPv6 net: more than any of IPv4.
const V6: u8 = 64;

/// Writes a net: the prefix length, behind those of the other family for IPv6, and the address.
pub(crate) fn put_net(bytes: &mut Vec<u8>, net: IpNet) {
    match net {
        IpNet::V4(net) => {
            bytes.push(net.prefix_len());
            bytes.extend(net.addr().octets());
        }
        IpNet::V6(net) => {
            bytes.push(V6 + net.prefix_len());
            bytes.extend(net.addr().octets());
        }
    }
}

/// Reads a net from the front of what [`put_net`] wrote.
pub(crate) fn take_net(bytes: &mut &[u8]) -> IpNet {
    let [length] = take_octets(bytes);
    let (addr, length): (IpAddr, u8) = match length.checked_sub(V6) {
        Some(length) => (Ipv6Addr::from(take_octets(bytes)).into(), length),
        None => (Ipv4Addr::from(take_octets(bytes)).into(), length),
    };
    IpNet::new(addr, length).expect("a net was written")
}

/// Reads some bytes from the front.
pub(crate) fn take_octets<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (octets, rest) = bytes.split_first_chunk().expect("bytes were written");
    *bytes = rest;
    *octets
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_and_texts_come_back() {
        let mut bytes = Vec::new();
        for text in [
            "0.0.0.0/0",
            "10.1.2.3/32",
            "::/0",
            "fd00::/8",
            "fd00::1/128",
        ] {
            let net: IpNet = text.parse().unwrap();
            put_net(&mut bytes, net);
            assert_eq!(take_net(&mut bytes.as_slice()), net);
            bytes.clear();
        }
        let numbers = [0, 1, 127, 128, 16_383, 16_384, usize::MAX];
        for number in numbers {
            put_number(&mut bytes, number);
            put_text(&mut bytes, &"x".repeat(number % 1000));
        }
        let mut rest = bytes.as_slice();
        for number in numbers {
            assert_eq!(take_number(&mut rest), number);
            assert_eq!(take_text(&mut rest), "x".repeat(number % 1000));
        }
        assert!(rest.is_empty());
    }

    /// Against a map that counts: short strings and ones longer than a chunk, come, go and come again.
    #[test]
    fn each_string_is_there_once_as_long_as_it_is_referred_to() {
        let mut packs = Packs::default();
        let mut naive: BTreeMap<Vec<u8>, (u32, u32)> = BTreeMap::new();
        let mut state = 11_u64;
        let mut below = |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % bound
        };
        let (mut gone, mut compacted) = (0, 0);
        for step in 0..60_000 {
            let key = below(3_000);
            let length = if key < 3 {
                CHUNK_BYTES + 9
            } else {
                usize::try_from(key % 400).unwrap()
            };
            let mut bytes = key.to_be_bytes().to_vec();
            bytes.resize(8 + length, 7);
            if below(2) == 0 {
                let (id, is_new) = packs.intern(&bytes);
                let entry = naive.entry(bytes).or_insert((id, 0));
                assert_eq!((entry.0, is_new), (id, entry.1 == 0));
                entry.1 += 1;
            } else if let Some((id, references)) = naive.get_mut(&bytes) {
                *references -= 1;
                assert_eq!(packs.release(*id), *references == 0);
                if *references == 0 {
                    naive.remove(&bytes);
                    gone += 1;
                }
            }
            if step % 1000 == 0 {
                let before = packs.gap_bytes;
                packs.compact(if step % 2000 == 0 {
                    Gaps::All
                } else {
                    Gaps::Large
                });
                compacted += u32::from(packs.gap_bytes < before);
                assert_eq!(packs.ids().count(), naive.len());
                for (bytes, (id, references)) in &naive {
                    assert_eq!(packs.find(bytes), Some(*id));
                    assert_eq!(packs.bytes(*id), bytes);
                    assert_eq!(packs.references(*id), *references);
                }
            }
        }
        assert_eq!(packs.find(b"never"), None);
        assert!(gone > 1000 && compacted > 0, "{gone} {compacted}");
    }
}
