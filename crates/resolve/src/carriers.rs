//! Shapes filed by the labels that they carry, so that a selector finds the few that it may select. The counterpart
//! of [`crate::filing`], where labels find selectors, and like it by hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt as _};
use oncilla_selector::LabelRestriction;

use crate::labels::LabelView;
use crate::shapes::ShapeId;

/// What a selector demands of single labels.
pub(crate) type Demands = BTreeMap<Arc<str>, LabelRestriction>;

/// The hash of a label's name, or of its name and value.
type Word = u64;

/// The shapes, by label.
#[derive(Debug)]
pub(crate) struct Carriers {
    shapes: HashMap<Word, BTreeSet<ShapeId>>,
    /// Under what each shape is filed.
    carried: BTreeMap<ShapeId, Box<[Word]>>,
    hasher: RandomState,
}

impl Carriers {
    pub(crate) fn new() -> Self {
        Self {
            shapes: HashMap::new(),
            carried: BTreeMap::new(),
            hasher: RandomState::default(),
        }
    }

    /// Files a shape under its labels.
    pub(crate) fn put(&mut self, shape: ShapeId, labels: &LabelView<'_>) {
        self.remove(shape);
        let words = labels
            .iter()
            .flat_map(|(name, value)| [self.name(name), self.value(name, value)]);
        let words: Box<[Word]> = words.collect();
        for word in &words {
            self.shapes.entry(*word).or_default().insert(shape);
        }
        self.carried.insert(shape, words);
    }

    pub(crate) fn remove(&mut self, shape: ShapeId) {
        for word in self.carried.remove(&shape).into_iter().flatten() {
            if let Some(shapes) = self.shapes.get_mut(&word) {
                shapes.remove(&shape);
                if shapes.is_empty() {
                    self.shapes.remove(&word);
                }
            }
        }
    }

    /// The shapes that may fulfil all demands, ascending: those that fulfil the one that the fewest do.
    pub(crate) fn candidates(&self, demands: &Demands) -> Vec<ShapeId> {
        let mut fewest: Option<(usize, Vec<&BTreeSet<ShapeId>>)> = None;
        for (name, demand) in demands {
            if demand.is_impossible() {
                return Vec::new();
            }
            let found: Vec<&BTreeSet<ShapeId>> = match (&demand.one_of, demand.must_be_present) {
                (Some(values), _) => {
                    let words = values.iter().map(|value| self.value(name, value));
                    words.filter_map(|word| self.shapes.get(&word)).collect()
                }
                (None, true) => self.shapes.get(&self.name(name)).into_iter().collect(),
                (None, false) => continue,
            };
            let size = found.iter().map(|shapes| shapes.len()).sum();
            if fewest.as_ref().is_none_or(|(least, _)| size < *least) {
                fewest = Some((size, found));
            }
            if size == 0 {
                return Vec::new();
            }
        }
        let Some((_, fewest)) = fewest else {
            return self.carried.keys().copied().collect();
        };
        let mut shapes: Vec<ShapeId> = fewest.into_iter().flatten().copied().collect();
        shapes.sort_unstable();
        shapes.dedup();
        shapes
    }

    fn name(&self, name: &str) -> Word {
        self.hasher.hash_one(name)
    }

    fn value(&self, name: &str, value: &str) -> Word {
        self.hasher.hash_one((name, value))
    }
}
