//! Interned texts, and labels as a selector sees them.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_selector::Labels;

/// An interned text: a label's name or value, a port's name, a profile's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TextId(u32);

/// Interned label pairs: name and value.
pub(crate) type Pairs = Box<[(TextId, TextId)]>;

/// The texts in use, counted. A text goes with its last reference.
#[derive(Debug)]
pub(crate) struct Texts {
    ids: HashMap<Arc<str>, TextId>,
    slots: Vec<Option<(Arc<str>, u32)>>,
    free: Vec<TextId>,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The id of a text, with one reference more.
    pub(crate) fn intern(&mut self, text: &Arc<str>) -> TextId {
        if let Some(&id) = self.ids.get(text) {
            self.retain(id);
            return id;
        }
        let slot = Some((Arc::clone(text), 1));
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                TextId(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 texts"))
            }
        };
        self.ids.insert(Arc::clone(text), id);
        id
    }

    /// The id of a text that is in use.
    pub(crate) fn find(&self, text: &str) -> Option<TextId> {
        self.ids.get(text).copied()
    }

    pub(crate) fn retain(&mut self, id: TextId) {
        if let Some((_, references)) = &mut self.slots[id.0 as usize] {
            *references += 1;
        }
    }

    pub(crate) fn release(&mut self, id: TextId) {
        let slot = &mut self.slots[id.0 as usize];
        let Some((text, references)) = slot else {
            return;
        };
        *references -= 1;
        if *references == 0 {
            self.ids.remove(text);
            *slot = None;
            self.free.push(id);
        }
    }

    /// How often a text is referred to.
    pub(crate) fn references(&self, id: TextId) -> u32 {
        let slot = self.slots[id.0 as usize].as_ref();
        slot.map_or(0, |(_, references)| *references)
    }

    pub(crate) fn text(&self, id: TextId) -> &Arc<str> {
        let slot = self.slots[id.0 as usize].as_ref();
        &slot.expect("an id in use has its text").0
    }
}

/// Labels sorted by name, as a selector sees them.
#[derive(Debug)]
pub(crate) struct LabelView<'a>(Vec<(&'a Arc<str>, &'a Arc<str>)>);

impl<'a> LabelView<'a> {
    /// The first pair of a name wins: own labels come before inherited ones.
    pub(crate) fn new(pairs: impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)>) -> Self {
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(name, _)| *name);
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self(pairs)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)> + '_ {
        self.0.iter().copied()
    }
}

impl Labels for LabelView<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        let place = self
            .0
            .binary_search_by(|(name, _)| (***name).cmp(key))
            .ok()?;
        Some(self.0[place].1)
    }
}
