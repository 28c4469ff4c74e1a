//! Why a text is no selector, and at which byte.

use std::fmt;

/// A text that is no selector.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind}, at byte {offset}")]
pub struct ParseError {
    /// Where the fault is: a byte offset into the parsed text, at most its length, on a character boundary.
    pub offset: usize,
    /// How many bytes of the text the fault covers; 0 at the end of the text.
    pub length: usize,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong with a text that is no selector. The phrases are those that Calico users know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A quote without its partner.
    UnterminatedString,
    /// One `=`.
    ExpectedDoubleEqual,
    /// One `&`.
    ExpectedDoubleAnd,
    /// One `|`.
    ExpectedDoubleOr,
    /// A label name above [`LABEL_LENGTH_MAX`](crate::LABEL_LENGTH_MAX) bytes.
    LabelTooLong,
    /// A label name that no operator follows.
    ExpectedOperator {
        /// The label name.
        label: String,
    },
    /// `has(` without a label name.
    NoLabelInHas,
    /// `has(`, `all(` or `global(` that nothing closes.
    NoClosing {
        /// `has`, `all` or `global`.
        function: &'static str,
    },
    /// A character that no selector has outside quotes.
    UnexpectedCharacter {
        /// The character.
        character: char,
    },
    /// The text ends where an expression should be.
    UnexpectedEnd,
    /// An opening parenthesis without its partner.
    ExpectedParen,
    /// A set that nothing closes.
    ExpectedBrace,
    /// An operator that needs a quoted string, without one.
    ExpectedString,
    /// `in` or `not in` without a set.
    ExpectedSet,
    /// A label name with something other than an operator behind it.
    ExpectedComparison {
        /// What is there instead.
        found: String,
    },
    /// Something other than an expression.
    UnexpectedToken {
        /// What is there.
        found: String,
    },
    /// A complete selector with more text behind it.
    TrailingContent {
        /// The first surplus token.
        found: String,
    },
    /// Parentheses nested deeper than [`NESTING_MAX`](crate::NESTING_MAX).
    NestingTooDeep,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnterminatedString => f.write_str("unterminated string"),
            Self::ExpectedDoubleEqual => f.write_str("expected =="),
            Self::ExpectedDoubleAnd => f.write_str("expected &&"),
            Self::ExpectedDoubleOr => f.write_str("expected ||"),
            Self::LabelTooLong => write!(
                f,
                "label too long: at most {} bytes",
                crate::LABEL_LENGTH_MAX
            ),
            Self::ExpectedOperator { label } => {
                write!(f, "expected operator after label {label:?}")
            }
            Self::NoLabelInHas => f.write_str("no label name in has( expression"),
            Self::NoClosing { function } => write!(f, "no closing ')' after {function}("),
            Self::UnexpectedCharacter { character } => {
                write!(f, "unexpected character {character:?}")
            }
            Self::UnexpectedEnd => f.write_str("unexpected end of string looking for op"),
            Self::ExpectedParen => f.write_str("expected )"),
            Self::ExpectedBrace => f.write_str("expected }"),
            Self::ExpectedString => f.write_str("expected string"),
            Self::ExpectedSet => f.write_str("expected set literal"),
            Self::ExpectedComparison { found } => write!(f, "expected == or != not: {found}"),
            Self::UnexpectedToken { found } => write!(f, "unexpected token: {found}"),
            Self::TrailingContent { found } => {
                write!(f, "unexpected content at end of selector: {found}")
            }
            Self::NestingTooDeep => write!(
                f,
                "nesting too deep: at most {} levels of parentheses",
                crate::NESTING_MAX
            ),
        }
    }
}
