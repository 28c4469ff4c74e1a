//! What an object becomes when a file is applied again: fields that left the file go away, fields that others
//! set stay. Lists are taken whole.

use oncilla_api::manifest::Located;
use oncilla_api::{Kind, Object, ObjectKey};
use serde_json::{Map, Value};

use crate::origin::SOURCE;

/// What the file said when it was applied last, as JSON.
pub(crate) const LAST_APPLIED: &str = "oncilla.io/last-applied";
/// Largest remembered file, in bytes: annotations may have 256 KiB together. Of larger ones we remember only that
/// they were applied; the file then owns the whole specification.
const REMEMBERED_BYTES_MAX: usize = 192 * 1024;
/// What only a server writes.
const OWNED: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// What a file says about an object: without what was defaulted, so that others may set it.
pub(crate) fn as_written(located: &Located<Object>) -> Value {
    let mut value = located.object.to_value();
    if let Value::Object(fields) = &mut value {
        if matches!(located.object.kind(), Kind::Pod | Kind::Node) {
            fields.shift_remove("status");
        }
        fields.retain(|field, value| match field.as_str() {
            "apiVersion" | "kind" | "metadata" => true,
            _ => prune(located, field, value),
        });
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.retain(|field, _| !OWNED.contains(&field.as_str()));
            if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                annotations.shift_remove(LAST_APPLIED);
                annotations.shift_remove(SOURCE);
            }
        }
    }
    value
}

/// Whether the file has a field, whose own defaulted fields are taken away.
fn prune(located: &Located<Object>, path: &str, value: &mut Value) -> bool {
    // The directions follow from the rules: an egress rule that is added to the file must count.
    if matches!(path, "spec.types" | "spec.policyTypes") {
        return true;
    }
    if located.position(path).is_none() {
        return false;
    }
    if let Value::Object(fields) = value {
        fields.retain(|field, value| prune(located, &format!("{path}.{field}"), value));
    }
    true
}

/// A new object with what is remembered of its file.
pub(crate) fn created(written: &Value) -> Value {
    let mut value = written.clone();
    remember(&mut value, written);
    value
}

/// The live object as the file wants it.
pub(crate) fn merged(key: &ObjectKey, live: &Value, written: &Value) -> Value {
    let before = match remembered(live) {
        Some(Remembered::File(before)) => before,
        Some(Remembered::TooLarge) => specification(live),
        None => Value::Null,
    };
    let mut value = live.clone();
    merge(&mut value, &before, written);
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata.insert("name".to_owned(), key.name.clone().into());
        if let Some(namespace) = &key.namespace {
            metadata.insert("namespace".to_owned(), namespace.clone().into());
        }
    }
    remember(&mut value, written);
    value
}

fn merge(target: &mut Value, before: &Value, written: &Value) {
    let (Value::Object(fields), Value::Object(wanted)) = (&mut *target, written) else {
        target.clone_from(written);
        return;
    };
    for (field, before) in before.as_object().into_iter().flatten() {
        if !wanted.contains_key(field) && withdraw(fields.get_mut(field), before) {
            fields.shift_remove(field);
        }
    }
    for (field, value) in wanted {
        let before = before.get(field).unwrap_or(&Value::Null);
        match fields.get_mut(field) {
            Some(old) => merge(old, before, value),
            None => drop(fields.insert(field.clone(), value.clone())),
        }
    }
}

/// Takes what a file had said out of a value; whether nothing of others is left in it.
fn withdraw(value: Option<&mut Value>, before: &Value) -> bool {
    let (Some(Value::Object(fields)), Value::Object(before)) = (value, before) else {
        return true;
    };
    for (field, before) in before {
        if withdraw(fields.get_mut(field), before) {
            fields.shift_remove(field);
        }
    }
    fields.is_empty()
}

/// What a live object remembers of its file.
enum Remembered {
    File(Value),
    TooLarge,
}

fn remembered(live: &Value) -> Option<Remembered> {
    let text = live
        .get("metadata")?
        .get("annotations")?
        .get(LAST_APPLIED)?
        .as_str()?;
    // What cannot be read was changed by hand; then the file owns what it would own anew.
    Some(serde_json::from_str(text).map_or(Remembered::TooLarge, Remembered::File))
}

fn specification(live: &Value) -> Value {
    let fields = live.as_object().into_iter().flatten();
    let fields = fields.filter(|(field, _)| !matches!(field.as_str(), "metadata" | "status"));
    Value::Object(
        fields
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect(),
    )
}

fn remember(value: &mut Value, written: &Value) {
    let text = written.to_string();
    let text = if text.len() > REMEMBERED_BYTES_MAX {
        String::new()
    } else {
        text
    };
    let Some(Value::Object(metadata)) = value.get_mut("metadata") else {
        return;
    };
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(annotations) = annotations {
        annotations.insert(LAST_APPLIED.to_owned(), text.into());
    }
}

/// An object without what `apply` and the server keep for themselves: only what is left is a change to people.
pub(crate) fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata.shift_remove("resourceVersion");
        metadata.shift_remove("generation");
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.shift_remove(LAST_APPLIED);
            annotations.shift_remove(SOURCE);
            if annotations.is_empty() {
                metadata.shift_remove("annotations");
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(spec: &Value) -> Value {
        json!({ "metadata": { "name": "s" }, "spec": spec })
    }

    #[test]
    fn what_left_the_file_goes_and_what_others_set_stays() {
        let key = ObjectKey::cluster(Kind::Tier, "s");
        let mut live = created(&set(
            &json!({ "order": 1, "mine": { "a": 1, "b": 2 }, "list": [1, 2] }),
        ));
        live["spec"]["theirs"] = json!(true);
        live["spec"]["mine"]["theirs"] = json!(3);
        live["metadata"]["labels"] = json!({ "theirs": "x" });
        let merged = merged(
            &key,
            &live,
            &set(&json!({ "mine": { "a": 5 }, "list": [3] })),
        );
        assert_eq!(
            merged["spec"],
            json!({ "theirs": true, "mine": { "a": 5, "theirs": 3 }, "list": [3] })
        );
        assert_eq!(merged["metadata"]["labels"], json!({ "theirs": "x" }));
    }

    #[test]
    fn a_file_too_large_to_remember_owns_the_specification() {
        let key = ObjectKey::cluster(Kind::Tier, "s");
        let large = "x".repeat(REMEMBERED_BYTES_MAX);
        let mut live = created(&set(&json!({ "large": large, "gone": 1 })));
        assert_eq!(live["metadata"]["annotations"][LAST_APPLIED], "");
        live["metadata"]["labels"] = json!({ "theirs": "x" });
        let merged = merged(&key, &live, &set(&json!({ "large": large })));
        assert_eq!(merged["spec"], json!({ "large": large }));
        assert_eq!(merged["metadata"]["labels"], json!({ "theirs": "x" }));
    }
}
