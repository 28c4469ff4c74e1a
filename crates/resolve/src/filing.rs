//! Selectors filed by the rarest label that they demand, so that labels find the few that may match.
//!
//! The drawers bear hashes instead of words. Two words with one hash share a drawer: then candidates are too many, never
//! too few, and whoever asks evaluates them anyway.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt as _};
use oncilla_selector::{LabelRestriction, Selector};

use crate::carriers::Demands;
use crate::labels::LabelView;

/// The hash of a label's name, or of its name and value.
type Word = u64;

/// Where a selector is filed. Labels have one value a name, so one place is enough, or one for each of some values.
#[derive(Clone, Debug)]
enum Place {
    /// Matches nothing.
    Nowhere,
    /// Demands nothing: a candidate for all labels.
    Everywhere,
    /// Demands the name, or the one value.
    At(Word),
    /// Demands one of the values.
    AtAny(Box<[Word]>),
}

impl Place {
    fn words(&self) -> &[Word] {
        match self {
            Self::Nowhere | Self::Everywhere => &[],
            Self::At(word) => std::slice::from_ref(word),
            Self::AtAny(words) => words,
        }
    }
}

/// What is filed in one place: nearly always one or many.
#[derive(Debug)]
enum Drawer<T> {
    One(T),
    #[expect(
        clippy::box_collection,
        reason = "most are One, which is to stay small"
    )]
    Many(Box<BTreeSet<T>>),
}

/// The filing cabinet.
#[derive(Debug)]
pub(crate) struct Filing<T> {
    drawers: HashMap<Word, Drawer<T>>,
    everywhere: BTreeSet<T>,
    places: HashMap<T, Place>,
    hasher: RandomState,
}

impl<T: Ord + Copy + Hash> Filing<T> {
    pub(crate) fn new() -> Self {
        Self {
            drawers: HashMap::new(),
            everywhere: BTreeSet::new(),
            places: HashMap::new(),
            hasher: RandomState::default(),
        }
    }

    pub(crate) fn insert(&mut self, item: T, selector: &Selector) {
        self.insert_demanding(item, &selector.restrictions());
    }

    /// Files the item of a selector with these restrictions.
    pub(crate) fn insert_demanding(&mut self, item: T, demands: &Demands) {
        self.remove(&item);
        let place = self.place(demands);
        if matches!(place, Place::Everywhere) {
            self.everywhere.insert(item);
        }
        for word in place.words() {
            self.put(*word, item);
        }
        self.places.insert(item, place);
    }

    pub(crate) fn remove(&mut self, item: &T) {
        let Some(place) = self.places.remove(item) else {
            return;
        };
        if matches!(place, Place::Everywhere) {
            self.everywhere.remove(item);
        }
        for word in place.words() {
            self.take_out(*word, item);
        }
    }

    /// What may match the labels, ascending.
    pub(crate) fn candidates(&self, labels: &LabelView<'_>) -> Vec<T> {
        let mut found: Vec<T> = self.everywhere.iter().copied().collect();
        if !self.drawers.is_empty() {
            for (name, value) in labels.iter() {
                self.open(self.name(name), &mut found);
                self.open(self.value(name, value), &mut found);
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn open(&self, word: Word, found: &mut Vec<T>) {
        match self.drawers.get(&word) {
            None => {}
            Some(Drawer::One(item)) => found.push(*item),
            Some(Drawer::Many(items)) => found.extend(items.iter().copied()),
        }
    }

    fn name(&self, name: &str) -> Word {
        self.hasher.hash_one(name)
    }

    fn value(&self, name: &str, value: &str) -> Word {
        self.hasher.hash_one((name, value))
    }

    fn put(&mut self, word: Word, item: T) {
        match self.drawers.get_mut(&word) {
            None => drop(self.drawers.insert(word, Drawer::One(item))),
            Some(Drawer::Many(items)) => drop(items.insert(item)),
            Some(Drawer::One(one)) if *one == item => {}
            Some(drawer) => {
                let mut items = BTreeSet::from([item]);
                if let Drawer::One(one) = drawer {
                    items.insert(*one);
                }
                *drawer = Drawer::Many(Box::new(items));
            }
        }
    }

    fn take_out(&mut self, word: Word, item: &T) {
        let is_empty = match self.drawers.get_mut(&word) {
            None => false,
            Some(Drawer::One(one)) => one == item,
            Some(Drawer::Many(items)) => {
                items.remove(item);
                items.is_empty()
            }
        };
        if is_empty {
            self.drawers.remove(&word);
        }
    }

    /// The restriction under which the fewest others are filed; a value says more than a name.
    fn place(&self, demands: &Demands) -> Place {
        if demands.values().any(LabelRestriction::is_impossible) {
            return Place::Nowhere;
        }
        let mut best: Option<((bool, usize), Place)> = None;
        for (name, demand) in demands {
            let (is_name, place) = match &demand.one_of {
                Some(values) if values.len() == 1 => {
                    let words = values.iter().map(|value| self.value(name, value));
                    (false, words.map(Place::At).next())
                }
                Some(values) => {
                    let words = values.iter().map(|value| self.value(name, value));
                    (false, Some(Place::AtAny(words.collect())))
                }
                None if demand.must_be_present => (true, Some(Place::At(self.name(name)))),
                None => continue,
            };
            let Some(place) = place else { continue };
            let filed = place.words().iter().map(|word| 1 + self.filed(*word)).sum();
            let rank = (is_name, filed);
            if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                best = Some((rank, place));
            }
        }
        best.map_or(Place::Everywhere, |(_, place)| place)
    }

    fn filed(&self, word: Word) -> usize {
        match self.drawers.get(&word) {
            None => 0,
            Some(Drawer::One(_)) => 1,
            Some(Drawer::Many(items)) => items.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    /// Numbers of a linear congruence: enough to mix cases.
    struct Mix(u64);

    impl Mix {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(self.0 >> 33).unwrap() % bound
        }
    }

    fn selector(mix: &mut Mix) -> Selector {
        let name = ["a", "b", "c"][mix.below(3)];
        let value = ["x", "y", "z"][mix.below(3)];
        let leaf = match mix.below(6) {
            0 => Selector::all(),
            1 => Selector::has(name),
            2 => Selector::eq(name, value),
            3 => Selector::in_set(name, [value, "y"]),
            4 => Selector::has(name).not(),
            _ => Selector::not_in_set(name, [value]),
        };
        match mix.below(4) {
            0 => leaf.and(&selector(mix)),
            1 => leaf.or(&selector(mix)),
            _ => leaf,
        }
    }

    /// Whatever matches is among the candidates, and what was taken out is not, against a list that is looked through.
    #[test]
    fn candidates_are_all_that_match() {
        let mut mix = Mix(7);
        let mut filing = Filing::new();
        let mut naive: BTreeMap<u32, Selector> = BTreeMap::new();
        let mut matched = 0;
        for _ in 0..20_000 {
            let item = u32::try_from(mix.below(40)).unwrap();
            if mix.below(3) == 0 {
                filing.remove(&item);
                naive.remove(&item);
            } else {
                let selector = selector(&mut mix);
                filing.insert(item, &selector);
                naive.insert(item, selector);
            }
            let texts: Vec<(Arc<str>, Arc<str>)> = ["a", "b", "c"]
                .into_iter()
                .filter_map(|name| {
                    let value = *["x", "y", "z", ""].get(mix.below(5))?;
                    Some((name.into(), value.into()))
                })
                .collect();
            let labels = LabelView::new(texts.iter().map(|(name, value)| (&**name, &**value)));
            let found = filing.candidates(&labels);
            assert!(found.is_sorted_by(|one, other| one < other));
            assert!(found.iter().all(|item| naive.contains_key(item)));
            let matches = naive.iter().filter(|(_, each)| each.evaluate(&labels));
            for (item, selector) in matches {
                assert!(found.contains(item), "{selector} of {item}");
                matched += 1;
            }
        }
        assert!(matched > 10_000, "{matched}");
    }
}
