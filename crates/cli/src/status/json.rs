//! What agents say of themselves as it is printed: they write `rss_bytes` into their annotation, and everything that
//! is printed says `rssBytes`.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// The status with the names of its fields in camel case. No key of it is somebody else's name.
pub(super) fn in_camel_case<S: Serializer>(
    status: &impl Serialize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let value = serde_json::to_value(status).map_err(serde::ser::Error::custom)?;
    renamed(value).serialize(serializer)
}

fn renamed(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter();
            Value::Object(
                fields
                    .map(|(name, value)| (camel(&name), renamed(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(renamed).collect()),
        other => other,
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}
