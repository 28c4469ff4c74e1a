//! Calico's selectors: they must parse, and `global()` has one place.

use std::fmt::Display;

use oncilla_selector::{ParseErrorKind, parse};

use super::Errors;
use super::table::policy::{SELECTOR, SELECTOR_GLOBAL, SELECTOR_LENGTH};
use super::table::rule::GLOBAL_ALONE;
use crate::field::Code;

/// The longest selector, in characters.
const SELECTOR_LENGTH_MAX: usize = 1024;
/// How much of a faulty selector a message repeats, in characters.
const REPEATED_MAX: usize = 24;

/// A selector anywhere but in a rule's `namespaceSelector`.
pub(super) fn check(path: impl Display + Copy, text: &str, errors: &mut Errors) {
    if is_short(path, text, errors) {
        check_of_any_length(path, text, errors);
    }
}

/// The same where upstream has no limit: the selector of a rule's service accounts.
pub(super) fn check_of_any_length(path: impl Display + Copy, text: &str, errors: &mut Errors) {
    if parses(path, text, errors) && text.contains("global(") {
        errors.broken(&SELECTOR_GLOBAL, path.to_string());
    }
}

/// The `namespaceSelector` of a rule's end: `global()` may stand there alone.
pub(super) fn check_rule_namespaces(path: impl Display + Copy, text: &str, errors: &mut Errors) {
    if !is_short(path, text, errors) || !parses(path, text, errors) {
        return;
    }
    let is_alone = || parse(text).is_ok_and(|selector| selector.to_string() == "global()");
    if text.contains("global(") && !is_alone() {
        errors.broken(&GLOBAL_ALONE, path.to_string());
    }
}

/// Reports a selector that is too long; `true` when it is not.
fn is_short(path: impl Display, text: &str, errors: &mut Errors) -> bool {
    // A text has no more characters than bytes.
    if text.len() <= SELECTOR_LENGTH_MAX {
        return true;
    }
    let length = text.chars().count();
    let short = length <= SELECTOR_LENGTH_MAX;
    if !short {
        let error = SELECTOR_LENGTH.with(path.to_string(), &[&length]);
        errors.push(error.with_code(Code::InvalidSelector));
    }
    short
}

/// Reports why a selector cannot be used; `true` when it can.
fn parses(path: impl Display, text: &str, errors: &mut Errors) -> bool {
    let Err(error) = parse(text) else {
        return true;
    };
    let (before, rest) = text.split_at_checked(error.offset).unwrap_or((text, ""));
    let line = rest.lines().next().unwrap_or_default();
    let character = before.chars().count() + 1;
    let place = if rest.is_empty() {
        "at the end".to_owned()
    } else if line.is_empty() {
        format!("at character {character}, where a line ends")
    } else {
        let repeated: String = line.chars().take(REPEATED_MAX).collect();
        let more = if repeated.len() < line.len() {
            "…"
        } else {
            ""
        };
        format!("at character {character}, where it says {repeated}{more}")
    };
    let end = (error.offset + error.length).min(text.len());
    errors.push(
        SELECTOR
            .with(
                path.to_string(),
                &[&format_args!("{}, {place}", error.kind)],
            )
            .with_code(Code::InvalidSelector)
            .with_help(help(&error.kind))
            .marking(error.offset..end),
    );
    false
}

fn help(kind: &ParseErrorKind) -> &'static str {
    match kind {
        ParseErrorKind::ExpectedDoubleEqual => "write `==`",
        ParseErrorKind::ExpectedDoubleAnd => "write `&&`",
        ParseErrorKind::ExpectedDoubleOr => "write `||`",
        ParseErrorKind::UnexpectedCharacter { character: '\n' } => {
            "a selector is one line: write it behind its field, or fold it with `>-`"
        }
        ParseErrorKind::UnterminatedString => "close the quotes",
        ParseErrorKind::ExpectedString => "put the value in quotes, as in app == 'web'",
        ParseErrorKind::ExpectedParen => "close the parenthesis",
        ParseErrorKind::ExpectedBrace | ParseErrorKind::ExpectedSet => {
            "write a set, as in app in {'web', 'api'}"
        }
        _ => SELECTOR.mend,
    }
}
