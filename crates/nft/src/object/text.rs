//! Texts that people read in `nft list ruleset` and that must survive being loaded again.

use std::fmt;
use std::sync::Arc;

/// A comment or a log prefix has at most this many bytes: nft refuses longer ones (128 with the final zero).
pub const TEXT_BYTES_MAX: usize = 127;

/// A comment on a table, chain, set, element or rule. What nft could not read back (quotes, control characters, more
/// than [`TEXT_BYTES_MAX`] bytes) is replaced or cut when the comment is made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Comment(Arc<str>);

impl Comment {
    /// A comment of this text; quotes become `'`, control characters a space, an overlong end is cut.
    pub fn new(text: &str) -> Self {
        Self(printable(text, |c| match c {
            '"' => '\'',
            c if c.is_control() => ' ',
            c => c,
        }))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text in front of a log line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogPrefix(Arc<str>);

impl LogPrefix {
    /// A prefix of this text. Beside what [`Comment::new`] replaces, `$` becomes `_`: nft reads it as a variable.
    pub fn new(text: &str) -> Self {
        Self(printable(text, |c| match c {
            '"' => '\'',
            '$' => '_',
            c if c.is_control() => ' ',
            c => c,
        }))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn printable(text: &str, replace: impl Fn(char) -> char) -> Arc<str> {
    let mut out = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    for c in text.chars().map(replace) {
        if out.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out.into()
}
