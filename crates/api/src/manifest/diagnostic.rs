//! One fault or warning, with its place in a file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::source::{Position, Source};
use super::span::Node;
use crate::field::{Code, FieldError};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing of this apply may be written.
    Error,
    /// Worth knowing; the object means something slightly different from what is written.
    Warning,
}

/// One fault or warning in a file. Serialises as the machine form of `-o json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What sort of fault.
    pub code: Code,
    /// The file, as named by the caller.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The object as `NetworkPolicy production/deny`; `None` when the fault is the file's.
    pub object: Option<String>,
    /// The field, from the object's top; empty for the object or file itself.
    pub path: String,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// How to mend it, when we know.
    pub help: Option<String>,
    /// The bytes of the file at fault; empty at the end of the file.
    #[serde(skip)]
    pub span: Range<usize>,
    /// The file's text, for showing the lines around; `None` when it is no text.
    #[serde(skip)]
    pub source: Option<Arc<Source>>,
}

impl Diagnostic {
    /// A fault of a whole file that has no text to show.
    pub(super) fn of_file(file: &str, position: &Position, error: FieldError) -> Self {
        Self {
            severity: Severity::Error,
            code: error.code,
            file: file.to_owned(),
            line: position.line,
            column: position.column,
            object: None,
            path: error.path,
            message: error.message,
            help: error.help,
            span: position.span.clone(),
            source: None,
        }
    }

    /// A fault at these bytes.
    pub(super) fn at(source: &Arc<Source>, span: Range<usize>, error: FieldError) -> Self {
        let mut diagnostic = Self::of_file(&source.name, &source.position(span), error);
        diagnostic.source = Some(Arc::clone(source));
        diagnostic
    }

    /// A fault of a field.
    pub(super) fn of_field(
        source: &Arc<Source>,
        spans: &Node,
        object: Option<String>,
        mut error: FieldError,
    ) -> Self {
        let found = spans.find(error.at.as_deref().unwrap_or(&error.path));
        // A number or text points at itself, a list or mapping at its name.
        let mut span = match &error.mark {
            _ if error.at_key || !found.complete => found.node.field_span(),
            Some(mark) => source.inside_scalar(&found.node.value, mark),
            None => found.node.value_span(),
        };
        if span.is_empty() && error.mark.is_none() {
            span = found.node.field_span();
        }
        if let (Some(help), Some(see)) = (&mut error.help, &error.see) {
            let seen = spans.find(see);
            if seen.complete {
                let line = source.position(seen.node.field_span()).line;
                help.extend([" (line ", &line.to_string(), ")"]);
            }
        }
        let mut diagnostic = Self::at(source, span, error);
        diagnostic.object = object;
        diagnostic
    }

    /// The same as a warning.
    pub(super) fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Where in the file it is, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.span.start
    }
}

/// Two or three lines: place and object, path and message, remedy. Without the lines around.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Self {
            file, line, column, ..
        } = self;
        write!(f, "{severity}: {file}:{line}:{column}: ")?;
        if let Some(object) = &self.object {
            writeln!(f, "{object}")?;
            f.write_str("       ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}
