//! The schemas in `docs/`, and whether an answer is as they say.

use serde_json::Value;

use super::home::root;

/// `docs/NAME.schema.json`.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn read(name: &str) -> Self {
        let path = root().join(format!("docs/{name}.schema.json"));
        let text = std::fs::read_to_string(path).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    /// What is not as documented.
    pub(crate) fn faults(&self, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        conforms(&self.0, &self.0, value, "$", &mut faults);
        faults
    }

    pub(crate) fn assert(&self, value: &Value) {
        assert_eq!(self.faults(value), [] as [String; 0], "{value}");
    }
}

/// The parts of JSON Schema that our schemas use.
fn conforms(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).unwrap();
        return conforms(root, target, value, at, faults);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let fits = types.iter().any(|name| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{other} at {at}"),
    });
    if !fits {
        faults.push(format!("{at}: {value} is not {types:?}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        faults.push(format!("{at}: {value} is none of {allowed:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            faults.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => conforms(root, schema, field, &format!("{at}.{name}"), faults),
            None if schema["additionalProperties"].is_object() => {
                let others = &schema["additionalProperties"];
                conforms(root, others, field, &format!("{at}.{name}"), faults);
            }
            None => faults.push(format!("{at}: {name} is not documented")),
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(
            root,
            &schema["items"],
            item,
            &format!("{at}[{index}]"),
            faults,
        );
    }
}
