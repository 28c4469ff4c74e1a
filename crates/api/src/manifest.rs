//! Files of objects: YAML or JSON bytes in, objects with their places and every fault out.
//!
//! ```text
//! bytes ──source──▶ text ──tree──▶ values + spans, a document each ──▶ objects: read, default, validate
//! ```
//! One pass: a bad document does not stop the next one. Knows no files; the caller reads them.

mod diagnostic;
mod document;
mod scalar;
mod source;
mod span;
mod tree;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::field::{Code, FieldError};
use crate::object::{Object, ObjectKey};

pub use diagnostic::{Diagnostic, Severity};
pub use source::{Position, Source};

use span::Node;

/// What [`decode`] accepts; above, it stops with a diagnostic that names the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file, checked before anything is parsed; at most `u32::MAX`.
    pub bytes_max: usize,
    /// Values in one file: texts, numbers, lists and mappings.
    pub nodes_max: usize,
    /// Values in one file that come from aliases.
    pub alias_nodes_max: usize,
    /// Lists and mappings inside each other.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 32 * 1024 * 1024,
            nodes_max: 4_000_000,
            alias_nodes_max: 100_000,
            depth_max: 64,
        }
    }
}

/// What files hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The valid objects, defaulted, in the order of the files.
    pub objects: Vec<Located<Object>>,
    /// Every fault and warning, in the order of the files. With one error among them nothing should be applied.
    pub diagnostics: Vec<Diagnostic>,
}

impl Manifest {
    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The contents of several files as one; objects that two files hold become errors.
    pub fn join(manifests: impl IntoIterator<Item = Self>) -> Self {
        let mut joined = Self::default();
        let mut first: BTreeMap<ObjectKey, String> = BTreeMap::new();
        for manifest in manifests {
            joined.diagnostics.extend(manifest.diagnostics);
            let mut own = BTreeMap::new();
            for located in manifest.objects {
                let key = located.object.key();
                if let Some(place) = first.get(&key) {
                    joined.diagnostics.push(located.duplicate_of(place));
                } else {
                    own.insert(key, located.place());
                    joined.objects.push(located);
                }
            }
            // Doubles inside one file were reported when it was decoded.
            first.extend(own);
        }
        joined
    }
}

/// Something read from a file, with the places of its fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// What was read.
    pub object: T,
    /// Which document of the file it is, from 0.
    pub document: usize,
    /// The file.
    pub source: Arc<Source>,
    spans: Node,
}

impl<T> Located<T> {
    /// The file's name as given to [`decode`].
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// Where a field is: `spec.ingress[1]`, `metadata.name`; the empty path is the object itself. `None`
    /// when the file does not have the field, because it was defaulted for example.
    pub fn position(&self, path: &str) -> Option<Position> {
        let found = self.spans.find(path);
        found
            .complete
            .then(|| self.source.position(found.node.field_span()))
    }

    /// `file:line` of a field, or of the nearest thing around it that the file has.
    pub fn place_of(&self, path: &str) -> String {
        let span = self.spans.find(path).node.field_span();
        format!("{}:{}", self.source.name, self.source.position(span).line)
    }

    /// The diagnostic for a fault that somebody else, a server for example, found in this object.
    pub fn diagnose(&self, object: &str, error: FieldError) -> Diagnostic {
        Diagnostic::of_field(&self.source, &self.spans, Some(object.to_owned()), error)
    }
}

impl Located<Object> {
    /// `file:line` of the object's name.
    fn place(&self) -> String {
        self.place_of("metadata.name")
    }

    fn duplicate_of(&self, place: &str) -> Diagnostic {
        let key = self.object.key();
        let error = FieldError::new("metadata.name", format!("{key} is already at {place}"))
            .with_code(Code::DuplicateObject)
            .with_help("give it another name, or remove one of the two");
        self.diagnose(&key.to_string(), error)
    }
}

/// Reads every object of a file. `file` is what messages call it.
pub fn decode(file: &str, bytes: &[u8], limits: &Limits) -> Manifest {
    let source = match Source::new(file, bytes, limits) {
        Ok(source) => Arc::new(source),
        Err(diagnostic) => {
            return Manifest {
                objects: Vec::new(),
                diagnostics: vec![*diagnostic],
            };
        }
    };
    let mut manifest = Manifest::default();
    let documents = tree::read(&source, limits, &mut manifest.diagnostics);
    let any = !documents.is_empty() || !manifest.diagnostics.is_empty();
    for (index, document) in documents.into_iter().enumerate() {
        document::decode(&source, index, document, &mut manifest);
    }
    if !any {
        let message = if source.text.trim().is_empty() {
            "the file is empty"
        } else {
            "the file holds no object"
        };
        let error = FieldError::new("", message)
            .with_code(Code::Empty)
            .with_help("an object starts with `apiVersion:` and `kind:`");
        manifest
            .diagnostics
            .push(Diagnostic::at(&source, Range::default(), error));
    }
    report_doubles(&mut manifest);
    manifest.diagnostics.sort_by_key(Diagnostic::offset);
    manifest
}

/// Two objects of one name in a file are an error; the second is not kept.
fn report_doubles(manifest: &mut Manifest) {
    let mut first: BTreeMap<ObjectKey, String> = BTreeMap::new();
    let mut doubles = Vec::new();
    manifest.objects.retain(|located| {
        let key = located.object.key();
        if let Some(place) = first.get(&key) {
            doubles.push(located.duplicate_of(place));
            return false;
        }
        first.insert(key, located.place());
        true
    });
    manifest.diagnostics.append(&mut doubles);
}
