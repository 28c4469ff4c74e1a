//! The endpoints of the cluster as rows: name, shape, addresses. Nearly all have one IPv4 address.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_model::EndpointKey;

use crate::packs::{Gaps, Packs, put_text, take_text};
use crate::shapes::ShapeId;

/// Whose row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RowKey {
    /// A workload's.
    Workload(EndpointKey),
    /// A host endpoint's, by its name.
    Host(Arc<str>),
}

/// What the kept form of a workload's key begins with, and that of a host endpoint's.
const WORKLOAD: u8 = 0;
const HOST: u8 = 1;

impl RowKey {
    fn packed(&self) -> Vec<u8> {
        match self {
            Self::Workload(key) => {
                let mut bytes = Vec::with_capacity(2 + key.namespace.len() + key.name.len());
                bytes.push(WORKLOAD);
                put_text(&mut bytes, &key.namespace);
                bytes.extend_from_slice(key.name.as_bytes());
                bytes
            }
            Self::Host(name) => [&[HOST], name.as_bytes()].concat(),
        }
    }

    fn read(bytes: &[u8]) -> Self {
        let text = |bytes: &[u8]| -> Arc<str> {
            std::str::from_utf8(bytes)
                .expect("a text was written")
                .into()
        };
        match bytes.split_first() {
            Some((&WORKLOAD, mut rest)) => {
                let namespace = take_text(&mut rest).into();
                let name = text(rest);
                Self::Workload(EndpointKey { namespace, name })
            }
            Some((_, name)) => Self::Host(text(name)),
            None => Self::Host("".into()),
        }
    }
}

/// The shape of a row that is free.
const NO_SHAPE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Row {
    shape: u32,
    /// The one IPv4 address; unspecified, which no endpoint has: see the others.
    only: Ipv4Addr,
}

/// The rows. The number of a row is that of its key.
#[derive(Debug)]
pub(crate) struct Rows {
    keys: Packs,
    slots: Vec<Row>,
    /// The addresses of rows that have not exactly one of IPv4.
    others: HashMap<u32, Box<[IpAddr]>>,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            keys: Packs::default(),
            slots: Vec::new(),
            others: HashMap::new(),
        }
    }

    /// How many there are room for: what a scan looks at.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, key: &RowKey) -> Option<u32> {
        self.keys.find(&key.packed())
    }

    pub(crate) fn key(&self, row: u32) -> RowKey {
        RowKey::read(self.keys.bytes(row))
    }

    pub(crate) fn shape(&self, row: u32) -> Option<ShapeId> {
        let shape = self.slots.get(row as usize)?.shape;
        (shape != NO_SHAPE).then(|| ShapeId::numbered(shape))
    }

    pub(crate) fn addresses(&self, row: u32) -> Vec<IpAddr> {
        let Some(found) = self.slots.get(row as usize) else {
            return Vec::new();
        };
        if !found.only.is_unspecified() {
            return vec![found.only.into()];
        }
        self.others
            .get(&row)
            .map(|all| all.to_vec())
            .unwrap_or_default()
    }

    /// The row of a key, opened when it is not there.
    pub(crate) fn open(&mut self, key: &RowKey) -> u32 {
        let key = key.packed();
        if let Some(known) = self.keys.find(&key) {
            return known;
        }
        let (row, _) = self.keys.intern(&key);
        if self.slots.len() <= row as usize {
            let free = Row {
                shape: NO_SHAPE,
                only: Ipv4Addr::UNSPECIFIED,
            };
            self.slots.resize(row as usize + 1, free);
        }
        row
    }

    pub(crate) fn set(&mut self, row: u32, shape: ShapeId, addresses: &[IpAddr]) {
        let only = match addresses {
            [IpAddr::V4(only)] => *only,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        if only.is_unspecified() && !addresses.is_empty() {
            self.others.insert(row, addresses.into());
        } else {
            self.others.remove(&row);
        }
        self.slots[row as usize] = Row {
            shape: shape.number(),
            only,
        };
    }

    /// Frees a row: its number is another's afterwards.
    pub(crate) fn close(&mut self, row: u32) {
        self.others.remove(&row);
        self.slots[row as usize] = Row {
            shape: NO_SHAPE,
            only: Ipv4Addr::UNSPECIFIED,
        };
        self.keys.release(row);
    }

    /// The rows in use with their shapes, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, ShapeId)> + '_ {
        let rows = (0..).zip(&self.slots);
        let used = rows.filter(|(_, found)| found.shape != NO_SHAPE);
        used.map(|(row, found)| (row, ShapeId::numbered(found.shape)))
    }

    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.keys.compact(gaps);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn rows_are_what_was_put() {
        let keys: Vec<RowKey> = (0..60)
            .map(|number: u32| match number % 3 {
                0 => RowKey::Host(format!("h{number}").into()),
                _ => RowKey::Workload(EndpointKey {
                    namespace: format!("n{}", number % 5).into(),
                    name: format!("p{number}").into(),
                }),
            })
            .collect();
        let addresses: [Vec<IpAddr>; 5] =
            ["", "10.0.0.1", "fd00::1", "0.0.0.0", "10.0.0.1 fd00::1"].map(|list| {
                list.split_whitespace()
                    .map(|each| each.parse().unwrap())
                    .collect()
            });
        let mut rows = Rows::new();
        let mut naive: BTreeMap<usize, (u32, u32, Vec<IpAddr>)> = BTreeMap::new();
        let mut state = 3_u64;
        let mut below = |bound: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % bound
        };
        for _ in 0..20_000 {
            let number = below(keys.len());
            if below(3) == 0 {
                if let Some((row, ..)) = naive.remove(&number) {
                    rows.close(row);
                }
            } else {
                let row = rows.open(&keys[number]);
                let (shape, all) = (u32::try_from(below(9)).unwrap(), &addresses[below(5)]);
                rows.set(row, ShapeId::numbered(shape), all);
                naive.insert(number, (row, shape, all.clone()));
            }
            let number = below(keys.len());
            let known = naive.get(&number);
            assert_eq!(rows.find(&keys[number]), known.map(|(row, ..)| *row));
            if let Some((row, shape, all)) = known {
                assert_eq!(rows.key(*row), keys[number]);
                assert_eq!(rows.shape(*row), Some(ShapeId::numbered(*shape)));
                assert_eq!(rows.addresses(*row), *all);
            }
        }
        assert_eq!(rows.iter().count(), naive.len());
    }
}
