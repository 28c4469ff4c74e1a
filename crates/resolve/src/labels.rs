//! Interned words, and labels as they are kept and as a selector sees them.

use std::borrow::Borrow;
use std::sync::Arc;

use oncilla_selector::Labels;

use crate::packs::{Gaps, Packs, as_text, put_number, put_text, take_number, take_text_bytes};

/// An interned word: a label's name, a port's name, a profile's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TextId(u32);

/// A label: its name as a number, its value.
pub(crate) type Pair<'a> = (TextId, &'a str);

/// The words in use, counted. A word goes with its last reference.
#[derive(Debug, Default)]
pub(crate) struct Texts(Packs);

impl Texts {
    /// The id of a word, with one reference more.
    pub(crate) fn intern(&mut self, text: &str) -> TextId {
        TextId(self.0.intern(text.as_bytes()).0)
    }

    /// The id of a word that is in use.
    pub(crate) fn find(&self, text: &str) -> Option<TextId> {
        self.0.find(text.as_bytes()).map(TextId)
    }

    pub(crate) fn retain(&mut self, id: TextId) {
        self.0.retain(id.0);
    }

    pub(crate) fn release(&mut self, id: TextId) {
        self.0.release(id.0);
    }

    /// How often a word is referred to.
    pub(crate) fn references(&self, id: TextId) -> u32 {
        self.0.references(id.0)
    }

    pub(crate) fn text(&self, id: TextId) -> &str {
        std::str::from_utf8(self.0.bytes(id.0)).expect("a text was interned")
    }

    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.0.compact(gaps);
    }
}

/// Writes a word's number.
pub(crate) fn put_id(bytes: &mut Vec<u8>, TextId(id): TextId) {
    put_number(bytes, id as usize);
}

/// Reads a word's number from the front.
pub(crate) fn take_id(bytes: &mut &[u8]) -> TextId {
    TextId(u32::try_from(take_number(bytes)).expect("a number of a word was written"))
}

/// Writes a label.
pub(crate) fn put_pair(bytes: &mut Vec<u8>, (name, value): Pair<'_>) {
    put_id(bytes, name);
    put_text(bytes, value);
}

/// Reads labels to the end.
pub(crate) fn pairs(bytes: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    named_pairs(bytes, |_| true)
}

/// Reads the labels whose name is wanted, to the end. Values of others are not looked at.
pub(crate) fn named_pairs(
    mut bytes: &[u8],
    is_wanted: impl Fn(TextId) -> bool,
) -> impl Iterator<Item = Pair<'_>> {
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            let (name, value) = (take_id(&mut bytes), take_text_bytes(&mut bytes));
            if is_wanted(name) {
                return Some((name, as_text(value)));
            }
        }
        None
    })
}

/// Labels sorted by name, as a selector sees them.
#[derive(Debug)]
pub(crate) struct LabelView<'a>(Vec<(&'a str, &'a str)>);

impl<'a> LabelView<'a> {
    /// The first pair of a name wins: own labels come before inherited ones.
    pub(crate) fn new(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(name, _)| *name);
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self(pairs)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.0.iter().copied()
    }
}

impl Labels for LabelView<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        let place = self
            .0
            .binary_search_by(|(name, _)| (**name).cmp(key))
            .ok()?;
        Some(self.0[place].1)
    }
}

/// Writes labels of a model object, each name with one reference more.
pub(crate) fn put_labels<L: Borrow<(Arc<str>, Arc<str>)>>(
    bytes: &mut Vec<u8>,
    texts: &mut Texts,
    labels: impl Iterator<Item = L>,
) {
    for label in labels {
        let (name, value) = label.borrow();
        put_pair(bytes, (texts.intern(name), value));
    }
}
