//! Port ranges and port sets.

use std::fmt;

/// A port set of at most this many ports becomes one lookup key a port; a larger one is a linear rule
/// (`engine.md` §8, "port ranges").
pub const PORTS_KEYED_MAX: u32 = 64;

/// An inclusive range of ports, 0 to 65535, never reversed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A reversed port range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("minimum port number ({first}) is greater than maximum port number ({last}) in port range")]
pub struct PortRangeError {
    /// The lower end as written.
    pub first: u16,
    /// The upper end as written.
    pub last: u16,
}

impl PortRange {
    /// All ports.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// A range from `first` to `last`, both included.
    ///
    /// # Errors
    /// When `first` is greater than `last`.
    pub const fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        if first > last {
            Err(PortRangeError { first, last })
        } else {
            Ok(Self { first, last })
        }
    }

    /// One port.
    pub const fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The lowest port of the range.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port of the range.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports the range holds, 1 to 65536.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// Whether the range holds this port.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}:{}", self.first, self.last)
        }
    }
}

/// A set of ports: sorted ranges that neither overlap nor touch. Equal sets are equal values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PortSet {
    ranges: Vec<PortRange>,
}

impl PortSet {
    /// The empty set: holds no port.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Whether the set holds no port.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ports the set holds, 0 to 65536.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|range| range.count()).sum()
    }

    /// Whether the set holds this port.
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(port))
    }

    /// The disjoint ranges, ascending.
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// Every port of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.ranges
            .iter()
            .flat_map(|range| range.first..=range.last)
    }
}

impl FromIterator<PortRange> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut sorted: Vec<PortRange> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self { ranges: merged }
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        ports.into_iter().map(PortRange::single).collect()
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_canonical() {
        let range = |first, last| PortRange::new(first, last).unwrap();
        let set: PortSet = [range(10, 20), range(80, 80), range(15, 30), range(31, 31)]
            .into_iter()
            .collect();
        assert_eq!(set.to_string(), "10:31,80");
        assert_eq!(set.count(), 23);
        assert!(set.contains(31) && !set.contains(32) && set.contains(80));
        assert_eq!(set.iter().count(), 23);
        let all: PortSet = [range(0, 65534), range(65535, 65535)].into_iter().collect();
        assert_eq!((all.count(), all.ranges().len()), (65536, 1));
        assert_eq!(PortSet::default(), std::iter::empty::<u16>().collect());
    }

    #[test]
    fn reversed_ranges_are_refused() {
        assert_eq!(
            PortRange::new(2, 1).unwrap_err().to_string(),
            "minimum port number (2) is greater than maximum port number (1) in port range"
        );
    }
}
