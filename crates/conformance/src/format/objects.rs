//! Objects from manifests, and the faults of those that are none.

use oncilla_api::Object;
use serde_json::Value;

/// Reads one manifest as the product does: fields, defaults, validation.
///
/// # Errors
/// Everything that is wrong, in one text.
pub(super) fn object(value: Value) -> Result<Object, String> {
    Object::from_manifest(value).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })
}
