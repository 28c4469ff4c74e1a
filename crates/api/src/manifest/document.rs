//! One document to objects: what kind it is, `List`s taken apart, read, defaulted, validated.

use std::sync::Arc;

use serde_json::Value;

use super::diagnostic::Diagnostic;
use super::source::Source;
use super::span::{Children, Node};
use super::tree::Document;
use super::{Located, Manifest};
use crate::field::{Code, FieldError};
use crate::kind::{Kind, KindError};
use crate::object::{Checked, Object};

/// Adds a document's objects and faults to the manifest.
pub(super) fn decode(
    source: &Arc<Source>,
    index: usize,
    document: Document,
    manifest: &mut Manifest,
) {
    let mut items = Items {
        source,
        index,
        broken: document.broken,
        manifest,
    };
    let kind = text(&document.value, "kind").to_owned();
    match kind.strip_suffix("List") {
        Some(item_kind) if document.value.get("items").is_some() || item_kind.is_empty() => {
            items.list(document, item_kind);
        }
        _ => items.object(document.value, document.spans),
    }
}

/// Where the objects of one document go.
struct Items<'a> {
    source: &'a Arc<Source>,
    index: usize,
    broken: bool,
    manifest: &'a mut Manifest,
}

impl Items<'_> {
    /// `v1` List, and typed lists such as `NetworkPolicyList`, whose items may leave out what they are.
    fn list(&mut self, document: Document, item_kind: &str) {
        let Document {
            mut value,
            mut spans,
            ..
        } = document;
        let api_version = text(&value, "apiVersion").to_owned();
        let places = spans.take("items");
        let key_span = places.field_span();
        let items = value.get_mut("items").map(Value::take);
        let (items, places) = match (items, places.children) {
            (Some(Value::Array(items)), Children::List(places)) => (items, places),
            (None | Some(Value::Null), _) => return,
            (Some(_), _) => {
                let error = FieldError::new("items", "expected a list")
                    .with_code(Code::WrongType)
                    .with_help("write the objects below it, each behind `- `");
                let span = key_span;
                self.manifest
                    .diagnostics
                    .push(Diagnostic::at(self.source, span, error));
                return;
            }
        };
        for (mut item, place) in items.into_iter().zip(places) {
            if let (Value::Object(fields), false) = (&mut item, item_kind.is_empty()) {
                fields
                    .entry("apiVersion")
                    .or_insert_with(|| api_version.clone().into());
                fields.entry("kind").or_insert_with(|| item_kind.into());
            }
            self.object(item, place);
        }
    }

    fn object(&mut self, value: Value, spans: Node) {
        let label = label(&value);
        let checked = match kind_of(&value) {
            Ok(kind) => Object::check(kind, value),
            Err(error) => Checked {
                object: None,
                errors: vec![*error],
                warnings: Vec::new(),
            },
        };
        let usable = checked.errors.is_empty() && !self.broken;
        let diagnose = |error| Diagnostic::of_field(self.source, &spans, label.clone(), error);
        let errors = checked.errors.into_iter().map(diagnose);
        self.manifest.diagnostics.extend(errors);
        let warnings = checked.warnings.into_iter().map(diagnose);
        let warnings = warnings.map(Diagnostic::into_warning);
        self.manifest.diagnostics.extend(warnings);
        if let Some(object) = checked.object.filter(|_| usable) {
            self.manifest.objects.push(Located {
                object,
                document: self.index,
                source: Arc::clone(self.source),
                spans,
            });
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// What messages call an object that may not have been understood.
pub(super) fn label(value: &Value) -> Option<String> {
    let kind = Some(text(value, "kind")).filter(|kind| !kind.is_empty())?;
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    let name = text(metadata, "name");
    let namespaced = Kind::of_manifest(text(value, "apiVersion"), kind).is_ok_and(Kind::namespaced);
    let namespace = match text(metadata, "namespace") {
        "" if namespaced => "default",
        namespace => namespace,
    };
    Some(match (namespace, name) {
        (_, "") => kind.to_owned(),
        ("", name) => format!("{kind} {name}"),
        (namespace, name) => format!("{kind} {namespace}/{name}"),
    })
}

/// What every object has.
const TYPE_HELP: &str = "an object starts with `apiVersion:` and `kind:`";

/// What kind an object says it is.
fn kind_of(value: &Value) -> Result<Kind, Box<FieldError>> {
    let Value::Object(fields) = value else {
        let error = FieldError::new("", "expected an object").with_code(Code::WrongType);
        return Err(Box::new(error.with_help(TYPE_HELP)));
    };
    for field in ["apiVersion", "kind"] {
        match fields.get(field) {
            Some(Value::String(text)) if !text.is_empty() => {}
            None | Some(Value::Null | Value::String(_)) => {
                let error = FieldError::new("", format!("{field:?} is required"))
                    .with_code(Code::MissingField);
                return Err(Box::new(error.with_help(missing_type_help(fields))));
            }
            Some(found) => {
                let inner = found.as_array().and_then(|items| items.first());
                let help = match inner.and_then(Value::as_str) {
                    Some(text) => format!("write `{field}: {text}`"),
                    None => TYPE_HELP.to_owned(),
                };
                let error = FieldError::new(field, "expected a string").with_help(help);
                return Err(Box::new(error.with_code(Code::WrongType)));
            }
        }
    }
    Kind::of_manifest(text(value, "apiVersion"), text(value, "kind"))
        .map_err(|error| Box::new(kind_fault(&error)))
}

fn missing_type_help(fields: &serde_json::Map<String, Value>) -> String {
    let kind = fields
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let versions: Vec<&str> = Kind::ALL
        .into_iter()
        .filter(|known| known.kind_name() == kind)
        .map(Kind::api_version)
        .collect();
    if versions.is_empty() {
        TYPE_HELP.to_owned()
    } else {
        format!("add `apiVersion: {}`", versions.join("` or `apiVersion: "))
    }
}

fn kind_fault(error: &KindError) -> FieldError {
    let fault = |field: &str, code| FieldError::new(field, error.to_string()).with_code(code);
    match error {
        KindError::NotSupported { .. } => {
            fault("kind", Code::NotSupported).with_help("remove this object from what you apply")
        }
        KindError::WrongVersion { expected, .. } => fault("apiVersion", Code::UnknownKind)
            .with_help(format!(
                "write `apiVersion: {}`",
                expected.replace(" or ", "` or `apiVersion: ")
            )),
        KindError::Unknown { nearest, .. } | KindError::UnknownResource { nearest, .. } => {
            let fault = fault("kind", Code::UnknownKind);
            match nearest {
                Some(nearest) => fault.with_help(format!("did you mean `{nearest}`?")),
                None => fault.with_help(format!("known kinds: {}", known_kinds())),
            }
        }
    }
}

fn known_kinds() -> String {
    let mut names: Vec<&str> = Kind::ALL.into_iter().map(Kind::kind_name).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
