//! Many denied packets to few lines: the first of its kind at once, its repetitions summed.

use std::collections::BTreeMap;

/// How long repetitions are summed up.
pub const WINDOW_MS: u64 = 10_000;
/// Kinds of denied packets that are told apart at once; packets of further ones are only counted.
pub const DENIALS_MAX: usize = 1_024;

/// What is told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial<K> {
    /// What is told.
    pub key: K,
    /// How many packets.
    pub count: u64,
    /// In how many milliseconds; 0: the first one, at once.
    pub over_ms: u64,
}

#[derive(Debug)]
struct Window {
    begun_ms: u64,
    /// Packets since then, without the one that was told.
    count: u64,
}

/// Sums denied packets up. Milliseconds are of the caller's clock.
#[derive(Debug)]
pub struct Aggregator<K> {
    windows: BTreeMap<K, Window>,
    overflow: u64,
}

impl<K> Default for Aggregator<K> {
    fn default() -> Self {
        Self {
            windows: BTreeMap::new(),
            overflow: 0,
        }
    }
}

impl<K: Ord + Clone> Aggregator<K> {
    /// Takes a packet in. The first of its kind is to be told at once.
    pub fn note(&mut self, key: K, now_ms: u64) -> Option<Denial<K>> {
        if let Some(window) = self.windows.get_mut(&key) {
            window.count += 1;
            return None;
        }
        if self.windows.len() >= DENIALS_MAX {
            self.overflow += 1;
            return None;
        }
        let window = Window {
            begun_ms: now_ms,
            count: 0,
        };
        self.windows.insert(key.clone(), window);
        Some(Denial {
            key,
            count: 1,
            over_ms: 0,
        })
    }

    /// What is to be told now: the repetitions of windows that are over. A kind that was not seen again is forgotten.
    pub fn due(&mut self, now_ms: u64) -> Vec<Denial<K>> {
        let mut due = Vec::new();
        self.windows.retain(|key, window| {
            let over_ms = now_ms.saturating_sub(window.begun_ms);
            if over_ms < WINDOW_MS {
                return true;
            }
            let count = std::mem::take(&mut window.count);
            window.begun_ms = now_ms;
            if count > 0 {
                due.push(Denial {
                    key: key.clone(),
                    count,
                    over_ms,
                });
            }
            count > 0
        });
        due
    }

    /// When [`Self::due`] has something to do.
    pub fn next_ms(&self) -> Option<u64> {
        let begun = self.windows.values().map(|window| window.begun_ms);
        begun.min().map(|begun| begun + WINDOW_MS)
    }

    /// How many packets were not told apart since this was asked last.
    pub fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::{Aggregator, DENIALS_MAX, Denial, WINDOW_MS};

    fn denial(key: &str, count: u64, over_ms: u64) -> Denial<&str> {
        Denial {
            key,
            count,
            over_ms,
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_repetitions_are_summed() {
        let mut all = Aggregator::default();
        assert_eq!(all.next_ms(), None);
        assert_eq!(all.note("a", 100), Some(denial("a", 1, 0)));
        for _ in 0..14 {
            assert_eq!(all.note("a", 200), None);
        }
        assert_eq!(all.note("b", 200), Some(denial("b", 1, 0)));
        assert_eq!(all.next_ms(), Some(100 + WINDOW_MS));
        assert_eq!(all.due(99 + WINDOW_MS), []);
        let end = 200 + WINDOW_MS;
        assert_eq!(all.due(end), [denial("a", 14, WINDOW_MS + 100)]);
        // `b` was not seen again: its next packet is a first one.
        assert_eq!(all.note("b", end), Some(denial("b", 1, 0)));
        assert_eq!(all.note("a", end), None);
        assert_eq!(all.due(end + WINDOW_MS), [denial("a", 1, WINDOW_MS)]);
        assert_eq!(all.due(end + 2 * WINDOW_MS), []);
        assert_eq!(all.next_ms(), None);
    }

    #[test]
    fn too_many_kinds_are_counted_and_nothing_grows() {
        let mut all = Aggregator::default();
        for key in 0..DENIALS_MAX + 5 {
            all.note(key, 0);
        }
        assert_eq!((all.take_overflow(), all.take_overflow()), (5, 0));
        all.due(WINDOW_MS);
        assert!(all.note(DENIALS_MAX, WINDOW_MS).is_some());
    }
}
