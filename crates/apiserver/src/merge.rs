//! JSON merge patch (RFC 7386).

use serde_json::{Map, Value};

/// Changes `target` as `patch` says: objects are merged, `null` removes, all else replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else {
        return;
    };
    for (field, change) in changes {
        if change.is_null() {
            fields.shift_remove(field);
        } else {
            merge(fields.entry(field).or_insert(Value::Null), change);
        }
    }
}
