//! From the API's JSON to stored objects.

use serde_json::Value;

use super::error::RestError;
use crate::object::{Kind, ObjectKey, Revision, StoredObject};

/// The object in a JSON value, whose kind is known from the request.
pub(super) fn object(
    server: &str,
    kind: Kind,
    mut value: Value,
) -> Result<StoredObject, RestError> {
    let malformed = |what| RestError::Malformed {
        server: server.to_owned(),
        what,
    };
    let metadata = value.get("metadata");
    let text = |field: &str| {
        let field = metadata.and_then(|metadata| metadata.get(field));
        field.and_then(Value::as_str)
    };
    let name = text("name").ok_or_else(|| malformed("an object without metadata.name"))?;
    let namespace = match (kind.namespaced(), text("namespace")) {
        (true, Some(namespace)) => Some(namespace.to_owned()),
        (false, _) => None,
        (true, None) => return Err(malformed("an object without metadata.namespace")),
    };
    let key = ObjectKey {
        kind,
        namespace,
        name: name.to_owned(),
    };
    let revision = revision(metadata)
        .ok_or_else(|| malformed("an object without a numeric metadata.resourceVersion"))?;
    // Items of a list of a built-in kind come without these two from a kube-apiserver.
    if let Some(fields) = value.as_object_mut() {
        for (field, text) in [
            ("apiVersion", kind.api_version()),
            ("kind", kind.kind_name()),
        ] {
            if !fields.contains_key(field) {
                fields.insert(field.to_owned(), text.into());
            }
        }
    }
    Ok(StoredObject {
        key,
        revision,
        value,
    })
}

/// The revision in an object's or list's metadata.
pub(super) fn revision(metadata: Option<&Value>) -> Option<Revision> {
    let text = metadata?.get("resourceVersion")?.as_str()?;
    text.parse().ok()
}
