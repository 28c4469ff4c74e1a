//! Selectors filed by the rarest label that they demand, so that labels find the few that may match.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_selector::{LabelRestriction, Selector};

use crate::carriers::Demands;
use crate::labels::LabelView;

/// Where a selector is filed. One place each: labels have one value a name, so no candidate comes twice.
#[derive(Clone, Debug)]
enum Place {
    /// Matches nothing.
    Nowhere,
    /// Demands nothing: a candidate for all labels.
    Everywhere,
    /// Demands the name.
    Name(Arc<str>),
    /// Demands one of the values.
    Values(Arc<str>, BTreeSet<Arc<str>>),
}

#[derive(Debug)]
struct Drawer<T> {
    any: BTreeSet<T>,
    values: HashMap<Arc<str>, BTreeSet<T>>,
}

impl<T> Drawer<T> {
    fn new() -> Self {
        Self {
            any: BTreeSet::new(),
            values: HashMap::new(),
        }
    }
}

/// The filing cabinet.
#[derive(Debug)]
pub(crate) struct Filing<T> {
    drawers: HashMap<Arc<str>, Drawer<T>>,
    everywhere: BTreeSet<T>,
    places: BTreeMap<T, Place>,
}

impl<T: Ord + Clone> Filing<T> {
    pub(crate) fn new() -> Self {
        Self {
            drawers: HashMap::new(),
            everywhere: BTreeSet::new(),
            places: BTreeMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, item: T, selector: &Selector) {
        self.insert_demanding(item, selector.restrictions());
    }

    /// Files the item of a selector with these restrictions.
    pub(crate) fn insert_demanding(&mut self, item: T, demands: Demands) {
        self.remove(&item);
        let place = self.place(demands);
        match &place {
            Place::Nowhere => {}
            Place::Everywhere => drop(self.everywhere.insert(item.clone())),
            Place::Name(name) => {
                let drawer = self
                    .drawers
                    .entry(Arc::clone(name))
                    .or_insert_with(Drawer::new);
                drawer.any.insert(item.clone());
            }
            Place::Values(name, values) => {
                let drawer = self
                    .drawers
                    .entry(Arc::clone(name))
                    .or_insert_with(Drawer::new);
                for value in values {
                    drawer
                        .values
                        .entry(Arc::clone(value))
                        .or_default()
                        .insert(item.clone());
                }
            }
        }
        self.places.insert(item, place);
    }

    pub(crate) fn remove(&mut self, item: &T) {
        match self.places.remove(item) {
            None | Some(Place::Nowhere) => {}
            Some(Place::Everywhere) => drop(self.everywhere.remove(item)),
            Some(Place::Name(name)) => {
                if let Some(drawer) = self.drawers.get_mut(&name) {
                    drawer.any.remove(item);
                }
                self.drop_empty(&name);
            }
            Some(Place::Values(name, values)) => {
                if let Some(drawer) = self.drawers.get_mut(&name) {
                    for value in &values {
                        remove_value(drawer, value, item);
                    }
                }
                self.drop_empty(&name);
            }
        }
    }

    /// What may match the labels, ascending.
    pub(crate) fn candidates(&self, labels: &LabelView<'_>) -> Vec<T> {
        let mut found: Vec<T> = self.everywhere.iter().cloned().collect();
        for (name, value) in labels.iter() {
            if let Some(drawer) = self.drawers.get(name) {
                found.extend(drawer.any.iter().cloned());
                found.extend(drawer.values.get(value).into_iter().flatten().cloned());
            }
        }
        found.sort_unstable();
        found
    }

    /// The restriction under which the fewest others are filed; a value says more than a name.
    fn place(&self, restrictions: Demands) -> Place {
        if restrictions.values().any(LabelRestriction::is_impossible) {
            return Place::Nowhere;
        }
        let mut best: Option<((bool, usize), Place)> = None;
        for (name, restriction) in restrictions {
            let place = match restriction.one_of {
                Some(values) => Place::Values(name, values),
                None if restriction.must_be_present => Place::Name(name),
                None => continue,
            };
            let rank = self.rank(&place);
            if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                best = Some((rank, place));
            }
        }
        best.map_or(Place::Everywhere, |(_, place)| place)
    }

    fn rank(&self, place: &Place) -> (bool, usize) {
        match place {
            Place::Nowhere | Place::Everywhere => (true, usize::MAX),
            Place::Name(name) => (true, self.drawers.get(name).map_or(0, |d| d.any.len())),
            Place::Values(name, values) => {
                let drawer = self.drawers.get(name);
                let filed = |value| {
                    drawer
                        .and_then(|d| d.values.get(value))
                        .map_or(0, BTreeSet::len)
                };
                (false, values.iter().map(|value| 1 + filed(value)).sum())
            }
        }
    }

    fn drop_empty(&mut self, name: &str) {
        if self
            .drawers
            .get(name)
            .is_some_and(|d| d.any.is_empty() && d.values.is_empty())
        {
            self.drawers.remove(name);
        }
    }
}

fn remove_value<T: Ord>(drawer: &mut Drawer<T>, value: &Arc<str>, item: &T) {
    if let Some(items) = drawer.values.get_mut(value) {
        items.remove(item);
        if items.is_empty() {
            drawer.values.remove(value);
        }
    }
}
