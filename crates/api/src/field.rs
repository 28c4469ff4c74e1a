//! Reading JSON values into types strictly, with all faults in one go.

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field, from the object's top: `spec.ingress[1].destination.ports[0]`; empty for the object itself.
    pub path: String,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// How to mend it, when we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The bytes at fault inside the field's text, when only a part of it is.
    #[serde(skip)]
    pub mark: Option<Range<usize>>,
}

impl FieldError {
    /// A fault without a remedy.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            help: None,
            mark: None,
        }
    }

    /// The same fault with a remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
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

/// Reads a value into a type; fields that are `null` count as absent, as in Kubernetes.
pub(crate) fn decode_strict<T: DeserializeOwned>(value: Value) -> Result<T, Vec<FieldError>> {
    serde_path_to_error::deserialize(&value).map_err(|error| {
        vec![FieldError::new(
            error.path().to_string(),
            error.inner().to_string(),
        )]
    })
}
