//! A file's text, and lines and columns in it.

use std::ops::Range;

use super::Limits;
use super::diagnostic::Diagnostic;
use crate::field::{Code, FieldError};

/// A file's text with the starts of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name that messages use.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
    line_starts: Vec<usize>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes, for marking them.
    pub span: Range<usize>,
}

impl Source {
    /// Checks size and encoding before anything is parsed.
    pub(super) fn new(file: &str, bytes: &[u8], limits: &Limits) -> Result<Self, Box<Diagnostic>> {
        let refuse =
            |position: Position, error| Err(Box::new(Diagnostic::of_file(file, &position, error)));
        let top = Position {
            line: 1,
            column: 1,
            span: 0..0,
        };
        let bytes_max = limits.bytes_max.min(u32::MAX as usize);
        if bytes.len() > bytes_max {
            let message = format!(
                "the file has {} bytes, more than the limit of {bytes_max} ({} MiB)",
                bytes.len(),
                bytes_max >> 20
            );
            let error = FieldError::new("", message)
                .with_code(Code::Limit)
                .with_help("split it into several files");
            return refuse(top, error);
        }
        if bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) {
            let error = FieldError::new("", "the file is UTF-16")
                .with_code(Code::Encoding)
                .with_help("save it as UTF-8");
            return refuse(top, error);
        }
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let (valid, _) = bytes.split_at(error.valid_up_to());
                std::str::from_utf8(valid).unwrap_or_default()
            }
        };
        let nul = valid.find('\0');
        let source = Self::of_text(file, valid.strip_prefix('\u{FEFF}').unwrap_or(valid));
        if let Some(offset) = nul {
            let error = FieldError::new("", "the file is binary: it has a zero byte here")
                .with_code(Code::Encoding)
                .with_help("manifests are YAML or JSON in UTF-8");
            return refuse(source.position(offset..offset + 1), error);
        }
        if valid.len() < bytes.len() {
            let message = format!("byte 0x{:02x} is not UTF-8", bytes[valid.len()]);
            let error = FieldError::new("", message)
                .with_code(Code::Encoding)
                .with_help("manifests are YAML or JSON in UTF-8: is this file binary, or in another encoding?");
            return refuse(source.position(valid.len()..valid.len() + 1), error);
        }
        Ok(source)
    }

    fn of_text(name: &str, text: &str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(index, _)| index + 1))
            .collect();
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            line_starts,
        }
    }

    /// Line and column of these bytes.
    pub fn position(&self, span: Range<usize>) -> Position {
        let start = span.start.min(self.text.len());
        let line = self.line_starts.partition_point(|&first| first <= start);
        let first = self.line_starts[line - 1];
        let before = self.text.get(first..start).unwrap_or_default();
        Position {
            line,
            column: before.chars().count() + 1,
            span: span.start.min(self.text.len())..span.end.min(self.text.len()),
        }
    }

    /// The bytes of the file for some bytes of a scalar's value; the whole scalar when they cannot be told
    /// apart, because the file escapes or folds them.
    pub(super) fn inside_scalar(&self, scalar: &Range<u32>, mark: &Range<usize>) -> Range<usize> {
        let whole = scalar.start as usize..scalar.end as usize;
        let Some(written) = self.text.get(whole.clone()) else {
            return whole;
        };
        let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
        let plain = match quote {
            Some('"') => !written.contains('\\'),
            Some(quote) => written.matches(quote).count() == 2,
            None => true,
        };
        if !plain || written.contains('\n') {
            return whole;
        }
        let first = whole.start + usize::from(quote.is_some());
        let span = first + mark.start..first + mark.end;
        if self.text.get(span.clone()).is_some() && span.end <= whole.end {
            span
        } else {
            whole
        }
    }
}
