//! Counted work: what an event cost, whatever the machine.

/// How much was done since the resolver was made. Differences between two readings are the cost of what
/// happened between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Selectors evaluated on labels, policies' and predicates' alike.
    pub predicates_evaluated: u64,
    /// Endpoints, addresses, prefixes, label shapes and local shapes looked at.
    pub rows_touched: u64,
    /// Identities that were new.
    pub identities_created: u64,
    /// Classes that were new.
    pub classes_created: u64,
    /// Groups whose definition was built.
    pub groups_built: u64,
    /// Scans of every address: predicates came or went.
    pub scans: u64,
}

impl Work {
    /// Everything added up: one number for "the same cost".
    pub fn total(&self) -> u64 {
        self.predicates_evaluated
            + self.rows_touched
            + self.identities_created
            + self.classes_created
            + self.groups_built
            + self.scans
    }

    /// What was done since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            predicates_evaluated: self.predicates_evaluated - earlier.predicates_evaluated,
            rows_touched: self.rows_touched - earlier.rows_touched,
            identities_created: self.identities_created - earlier.identities_created,
            classes_created: self.classes_created - earlier.classes_created,
            groups_built: self.groups_built - earlier.groups_built,
            scans: self.scans - earlier.scans,
        }
    }
}
