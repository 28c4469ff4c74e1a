//! What a run did not judge, counted by name: nothing is skipped in silence.

use std::collections::BTreeMap;

/// Counts of what was left out, by what it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LeftOut {
    counts: BTreeMap<String, usize>,
}

impl LeftOut {
    /// Counts one more of a name.
    pub fn count(&mut self, name: impl Into<String>) {
        self.add(name, 1);
    }

    /// Counts `number` more of a name.
    pub fn add(&mut self, name: impl Into<String>, number: usize) {
        *self.counts.entry(name.into()).or_default() += number;
    }

    /// Counts everything of another as well.
    pub fn join(&mut self, other: &Self) {
        for (name, number) in other.iter() {
            self.add(name, number);
        }
    }

    /// Every name with its count, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.counts.iter().map(|(name, count)| (&**name, *count))
    }

    /// How many of one name were left out.
    pub fn of(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or(0)
    }
}
