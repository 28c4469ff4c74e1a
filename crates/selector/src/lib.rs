//! The selector language: parse, canonical form, evaluate, label restrictions.
//!
//! A selector is a boolean expression over labels, as in `app == "web" && !has(legacy)`. Level 1: knows no
//! endpoints, no policies, no namespaces; labels are whatever the caller's [`Labels`] says.
//!
//! ```text
//! text ──lexer──▶ tokens ──parser──▶ Selector (shared AST) ──▶ canonical text, id, evaluate, restrictions
//! ```
#![forbid(unsafe_code)]

mod canonical;
mod error;
mod evaluate;
mod expr;
mod lexer;
mod parser;
mod restriction;
#[cfg(test)]
mod tests;

pub use error::{ParseError, ParseErrorKind};
pub use evaluate::Labels;
pub use expr::{Expr, Selector};
pub use parser::{NESTING_MAX, parse};
pub use restriction::LabelRestriction;

/// The longest label name in a selector, in bytes.
pub const LABEL_LENGTH_MAX: usize = 512;
