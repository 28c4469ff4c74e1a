//! Node state to program, in small pure passes.
//!
//! ```text
//!   NodeState ──answer──▶ classes, ports per predicate ─┐
//!   GroupDef ──group──▶ model::Rule ──lower──▶ program::Rule ──bank──▶ banks ──▶ Group
//!   NodeDelta ──apply──▶ only what it touches ──▶ ProgramDelta
//! ```
//!
//! [`Compiler`] owns the program of the node: [`Compiler::apply`] takes what changed in the node's state and
//! returns what changed in the program. The program depends on the present state only, never on the way that
//! led there. It knows classes and predicates, not labels, selectors' meaning or nf_tables.
//!
//! Input that cannot be (a port name where an address is asked for, a named port whose classes ran out)
//! fails closed: a rule that would deny matches everything of its families and protocol, any other is
//! dropped.
#![forbid(unsafe_code)]

mod answer;
mod apply;
mod bank;
mod explain;
mod group;
mod lower;
mod settings;
#[cfg(test)]
mod tests;

pub use apply::Compiler;
pub use bank::{BROAD_ENTRIES_MAX, CLASSES_KEYED_MAX, CUTS_MAX, LINEAR_RULES_MAX};
pub use explain::Explanation;
pub use settings::settings_of;
