//! The canonical text, the same for every way to write one expression, and the id made from it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha224};

use crate::{Expr, ParseError, Selector, parse};

/// The canonical form. Parsing it gives the same selector again.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expr() {
            Expr::All => f.write_str("all()"),
            Expr::Global => f.write_str("global()"),
            Expr::Has(label) => write!(f, "has({label})"),
            Expr::Equal(label, value) => comparison(f, label, "==", value),
            Expr::NotEqual(label, value) => comparison(f, label, "!=", value),
            Expr::Contains(label, value) => comparison(f, label, "contains", value),
            Expr::StartsWith(label, value) => comparison(f, label, "starts with", value),
            Expr::EndsWith(label, value) => comparison(f, label, "ends with", value),
            Expr::In(label, values) => membership(f, label, "in", values),
            Expr::NotIn(label, values) => membership(f, label, "not in", values),
            Expr::Not(operand) => {
                f.write_char('!')?;
                fmt::Display::fmt(operand, f)
            }
            Expr::And(operands) => joined(f, operands, " && "),
            Expr::Or(operands) => joined(f, operands, " || "),
        }
    }
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}

impl Selector {
    /// A short id of the canonical form, 40 characters: `s:` and the unpadded base64url of its SHA-224,
    /// the same as Calico's.
    pub fn unique_id(&self) -> String {
        let digest = Sha224::digest(format!("s:{self}"));
        format!("s:{}", base64url(&digest))
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let quote = if value.contains('"') { '\'' } else { '"' };
    f.write_char(quote)?;
    f.write_str(value)?;
    f.write_char(quote)
}

fn comparison(f: &mut fmt::Formatter<'_>, label: &str, operator: &str, value: &str) -> fmt::Result {
    spaced(f, label, operator)?;
    quoted(f, value)
}

/// Every predicate's text is made of these: written piece by piece, which costs a quarter of a format.
fn spaced(f: &mut fmt::Formatter<'_>, label: &str, operator: &str) -> fmt::Result {
    f.write_str(label)?;
    f.write_char(' ')?;
    f.write_str(operator)?;
    f.write_char(' ')
}

fn membership(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    operator: &str,
    values: &BTreeSet<Arc<str>>,
) -> fmt::Result {
    spaced(f, label, operator)?;
    f.write_char('{')?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        quoted(f, value)?;
    }
    f.write_char('}')
}

fn joined(f: &mut fmt::Formatter<'_>, operands: &[Selector], operator: &str) -> fmt::Result {
    f.write_char('(')?;
    for (index, operand) in operands.iter().enumerate() {
        if index > 0 {
            f.write_str(operator)?;
        }
        fmt::Display::fmt(operand, f)?;
    }
    f.write_char(')')
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for index in 0..=chunk.len() {
            let sextet = (bits >> (18 - 6 * index)) & 0x3f;
            text.push(char::from(ALPHABET[sextet as usize]));
        }
    }
    text
}
