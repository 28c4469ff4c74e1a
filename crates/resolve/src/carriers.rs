//! Shapes filed by the labels that they carry, so that a selector finds the few that it may select. The counterpart
//! of [`crate::filing`], where labels find selectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_selector::LabelRestriction;

use crate::labels::{Pairs, TextId, Texts};
use crate::shapes::ShapeId;

/// What a selector demands of single labels.
pub(crate) type Demands = BTreeMap<Arc<str>, LabelRestriction>;

/// The shapes, by label.
#[derive(Debug)]
pub(crate) struct Carriers {
    names: HashMap<TextId, BTreeSet<ShapeId>>,
    pairs: HashMap<(TextId, TextId), BTreeSet<ShapeId>>,
    /// Under what each shape is filed. Texts may have gone since, and their numbers be others' by now: until a shape is
    /// put again, as everything is whose labels changed, candidates are too many, never wrong.
    carried: BTreeMap<ShapeId, Pairs>,
}

impl Carriers {
    pub(crate) fn new() -> Self {
        Self {
            names: HashMap::new(),
            pairs: HashMap::new(),
            carried: BTreeMap::new(),
        }
    }

    /// Files a shape under its labels, each name once.
    pub(crate) fn put(&mut self, shape: ShapeId, carried: Pairs) {
        self.remove(shape);
        for (name, value) in &carried {
            self.names.entry(*name).or_default().insert(shape);
            self.pairs.entry((*name, *value)).or_default().insert(shape);
        }
        self.carried.insert(shape, carried);
    }

    pub(crate) fn remove(&mut self, shape: ShapeId) {
        for (name, value) in self.carried.remove(&shape).into_iter().flatten() {
            take_out(&mut self.names, name, shape);
            take_out(&mut self.pairs, (name, value), shape);
        }
    }

    /// The shapes that may fulfil all demands, ascending: those that fulfil the one that the fewest do.
    pub(crate) fn candidates(&self, texts: &Texts, demands: &Demands) -> Vec<ShapeId> {
        let mut fewest: Option<Vec<&BTreeSet<ShapeId>>> = None;
        let mut least = self.carried.len();
        for (name, demand) in demands {
            if demand.is_impossible() {
                return Vec::new();
            }
            let found = match (&demand.one_of, demand.must_be_present) {
                (Some(values), _) => {
                    let values = values.iter().filter_map(|value| texts.find(value));
                    texts.find(name).map_or_else(Vec::new, |name| {
                        let pairs = values.map(|value| (name, value));
                        pairs.filter_map(|pair| self.pairs.get(&pair)).collect()
                    })
                }
                (None, true) => {
                    let name = texts.find(name).and_then(|name| self.names.get(&name));
                    name.into_iter().collect()
                }
                (None, false) => continue,
            };
            let size = found.iter().map(|set| set.len()).sum();
            if fewest.is_none() || size < least {
                (fewest, least) = (Some(found), size);
            }
            if least == 0 {
                return Vec::new();
            }
        }
        let Some(fewest) = fewest else {
            return self.carried.keys().copied().collect();
        };
        // A shape has one value of a name: no shape comes twice.
        let mut shapes: Vec<ShapeId> = fewest.into_iter().flatten().copied().collect();
        shapes.sort_unstable();
        shapes
    }
}

fn take_out<K: Eq + std::hash::Hash>(
    filed: &mut HashMap<K, BTreeSet<ShapeId>>,
    key: K,
    shape: ShapeId,
) {
    if let Some(shapes) = filed.get_mut(&key) {
        shapes.remove(&shape);
        if shapes.is_empty() {
            filed.remove(&key);
        }
    }
}
