//! Faults of single fields, with their path and remedy.

mod decode;
mod strict;

use std::fmt;
use std::ops::Range;

use oncilla_net::{AddressError, CidrError};
use serde::Serialize;

pub(crate) use decode::{ERRORS_MAX, Partial, decode_strict, is_inside, with_help};

/// What sort of fault it is: the `code` of the machine form. Only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// The file is empty or holds no object.
    Empty,
    /// The file is binary or not UTF-8.
    Encoding,
    /// A limit on size, depth, nodes or aliases.
    Limit,
    /// Neither YAML nor JSON.
    Syntax,
    /// A key that is there twice.
    DuplicateKey,
    /// A kind, or `apiVersion`, that nobody knows.
    UnknownKind,
    /// A kind or field that is known and not supported yet.
    NotSupported,
    /// A field that the kind does not have.
    UnknownField,
    /// A field that must be there.
    MissingField,
    /// A value of another JSON type.
    WrongType,
    /// A value that is not allowed.
    InvalidValue,
    /// A selector that does not parse.
    InvalidSelector,
    /// Two objects of one kind, namespace and name.
    DuplicateObject,
    /// Host bits were masked away (a warning).
    HostBitsMasked,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// What sort of fault.
    pub code: Code,
    /// The field, from the object's top: `spec.ingress[1].source.nets[0]`; empty for the object itself.
    pub path: String,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// How to mend it, when we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The [`Check`](crate::Check) that is broken, by its id; `None` for what no row of the table says.
    #[serde(skip)]
    pub check: Option<&'static str>,
    /// Where to point when that is not `path` itself: the path of another field.
    #[serde(skip)]
    pub at: Option<String>,
    /// The field that `help` speaks of; its line number is added when the file is known.
    #[serde(skip)]
    pub see: Option<String>,
    /// Whether to point at the field's name rather than at its value.
    #[serde(skip)]
    pub at_key: bool,
    /// The bytes at fault inside the field's text, when only a part of it is.
    #[serde(skip)]
    pub mark: Option<Range<usize>>,
}

impl FieldError {
    /// An invalid value.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: Code::InvalidValue,
            path: path.into(),
            message: message.into(),
            help: None,
            check: None,
            at: None,
            see: None,
            at_key: false,
            mark: None,
        }
    }

    /// A text that is no CIDR.
    pub fn of_cidr(path: impl Into<String>, error: &CidrError) -> Self {
        Self::new(path, error.to_string()).with_help(error.help())
    }

    /// A text that is no address.
    pub fn of_address(path: impl Into<String>, error: &AddressError) -> Self {
        Self::new(path, error.to_string()).with_help(error.help())
    }

    /// The same fault as another sort.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same fault with a remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same fault, said by this row of the table.
    #[must_use]
    pub(crate) fn of_check(mut self, id: &'static str) -> Self {
        self.check = Some(id);
        self
    }

    /// The same fault, pointing at the field's name.
    #[must_use]
    pub(crate) fn pointing_at_key(mut self) -> Self {
        self.at_key = true;
        self
    }

    /// A feature that upstream has and oncilla does not support yet.
    pub(crate) fn not_supported(path: impl Into<String>, feature: &str) -> Self {
        Self::new(path, format!("{feature} is not supported yet"))
            .with_code(Code::NotSupported)
            .pointing_at_key()
    }

    /// The same fault, pointing at another field.
    #[must_use]
    pub(crate) fn pointing_at(mut self, path: impl Into<String>) -> Self {
        self.at = Some(path.into());
        self
    }

    /// The same fault with a remedy that speaks of another field.
    #[must_use]
    pub(crate) fn seeing(mut self, path: impl Into<String>) -> Self {
        self.see = Some(path.into());
        self
    }

    /// The same fault, of these bytes of the field's text only.
    #[must_use]
    pub(crate) fn marking(mut self, bytes: Range<usize>) -> Self {
        self.mark = Some(bytes);
        self
    }
}

/// `spec.order: expected a number`; the remedy is left out.
impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for FieldError {}
