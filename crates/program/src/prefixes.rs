//! Which interfaces are workloads', by the beginning of their names.

use std::sync::Arc;

/// What the names of workloads' interfaces begin with (Calico: `interfacePrefix`). There is always one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfacePrefixes(Arc<[Arc<str>]>);

impl InterfacePrefixes {
    /// Those of a list that is not empty, in one order whatever the list's is: an interface begins with one of them at
    /// most, as one that begins with another says nothing more.
    fn of(mut all: Vec<Arc<str>>) -> Self {
        all.sort_unstable();
        // Behind its beginning, and before everything that does not begin so.
        all.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        Self(all.into())
    }

    /// The same and others.
    #[must_use]
    pub fn with(&self, others: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self::of(self.0.iter().cloned().chain(others).collect())
    }

    /// All of them, sorted; none is the beginning of another.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|prefix| &**prefix)
    }

    /// Whether an interface is named like a workload's.
    pub fn cover(&self, interface: &str) -> bool {
        self.iter().any(|prefix| interface.starts_with(prefix))
    }

    /// Those of both: what either knows as a workload's is one.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.with(other.0.iter().cloned())
    }
}

impl From<&str> for InterfacePrefixes {
    fn from(only: &str) -> Self {
        Self::of(vec![only.into()])
    }
}

impl Default for InterfacePrefixes {
    /// Calico's.
    fn default() -> Self {
        Self::from("cali")
    }
}

#[cfg(test)]
mod tests {
    use super::InterfacePrefixes;

    #[test]
    fn they_are_sorted_and_none_is_the_beginning_of_another() {
        let of = |list: &str| {
            let (first, more) = list.split_once(',').unwrap_or((list, ""));
            let more = more.split(',').filter(|prefix| !prefix.is_empty());
            InterfacePrefixes::from(first).with(more.map(Into::into))
        };
        for (list, expected) in [
            ("cali", vec!["cali"]),
            ("tap,cali", vec!["cali", "tap"]),
            ("cali,cali", vec!["cali"]),
            ("calico,cal,cali,tap,tap0,t", vec!["cal", "t"]),
            ("a-b,a,ab", vec!["a"]),
        ] {
            assert_eq!(of(list).iter().collect::<Vec<_>>(), expected, "{list}");
        }
        let both = of("cali,veth").and(&of("tap"));
        assert_eq!(both, of("veth,tap,cali"));
        let covered = ["cali0", "tap", "tapes", "veth1"];
        assert!(covered.iter().all(|name| both.cover(name)));
        let others = ["cal", "eth0", "lo", "ta", ""];
        assert!(!others.iter().any(|name| both.cover(name)));
    }
}
