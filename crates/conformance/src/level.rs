//! Where a case is judged: a part of the engine that takes objects and says verdicts.

mod kernel;
mod program;
mod verdict;

use oncilla_net::Verdict;

use crate::case::{Case, Cell, Change, DecidedBy};

pub use kernel::KernelLevel;
pub use program::ProgramLevel;
pub use verdict::VerdictLevel;

/// What went wrong inside a level; ends the case.
pub type LevelError = Box<dyn std::error::Error + Send + Sync>;

/// A part of the engine under judgement. One value judges many cases, one after the other.
pub trait Level {
    /// What the level is called on the command line.
    fn name(&self) -> &'static str;

    /// Forgets the case before, and takes the objects of this one. The steps are given for planning ahead
    /// only: which pods, nodes and outside addresses will appear.
    ///
    /// # Errors
    /// When the level cannot set itself up.
    fn begin(&mut self, case: &Case) -> Result<(), LevelError>;

    /// Takes changes in order; they are in force when this returns.
    ///
    /// # Errors
    /// When the level cannot put them in force.
    fn apply(&mut self, changes: &[Change]) -> Result<(), LevelError>;

    /// Says what becomes of each cell, in the cells' order.
    ///
    /// # Errors
    /// When the level cannot tell.
    fn judge(&mut self, cells: &[Cell]) -> Result<Vec<Judgement>, LevelError>;
}

/// What a level says about one cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Whether the connection comes about.
    pub verdict: Verdict,
    /// Who settled it, when the level can tell.
    pub decided_by: Option<DecidedBy>,
    /// What the earlier ends said, when the level can tell.
    pub before: Option<Vec<String>>,
    /// Somebody said no aloud, by a reset or an ICMP error. Never expected: a denied connection is silent.
    pub refused: bool,
}

impl Judgement {
    /// A judgement without a reason: what packets alone can tell.
    pub const fn bare(verdict: Verdict) -> Self {
        Self {
            verdict,
            decided_by: None,
            before: None,
            refused: false,
        }
    }

    /// A judgement of a connection that was refused aloud.
    pub const fn refused() -> Self {
        let mut judgement = Self::bare(Verdict::Deny);
        judgement.refused = true;
        judgement
    }

    /// Whether the judgement is what the cell expects. What the level cannot tell is not compared.
    pub fn fulfils(&self, cell: &Cell) -> bool {
        fn agrees<T: PartialEq>(expected: Option<&T>, told: Option<&T>) -> bool {
            match (expected, told) {
                (Some(expected), Some(told)) => expected == told,
                (None, _) | (_, None) => true,
            }
        }
        !self.refused
            && self.verdict == cell.expect
            && agrees(cell.decided_by.as_ref(), self.decided_by.as_ref())
            && agrees(cell.before.as_ref(), self.before.as_ref())
    }
}
