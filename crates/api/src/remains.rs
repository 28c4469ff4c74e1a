//! What can still be read of an object that is not valid, field by field.
//!
//! Whoever puts something in force instead of a broken object must know what its author certainly wrote and
//! what nobody can say. A field is unknown when something at it, in it or around it is at fault, and when it
//! is not there while a field beside its place has a name that nobody knows: that may be it, misspelt. What
//! a field means, and what is safe without it, is the caller's business.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::field::{Code, ERRORS_MAX, FieldError, is_inside};
use crate::kind::Kind;
use crate::object::Object;

/// What can be read of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Remnant<'a> {
    /// It is certainly not given.
    Absent,
    /// It is given, without fault.
    Is(&'a Value),
    /// Nobody can say.
    Unknown,
}

/// An object that is not valid, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Remains {
    value: Value,
    errors: Vec<FieldError>,
    /// So much is wrong that the list of faults may be incomplete.
    is_ruin: bool,
}

impl Remains {
    /// The remains of an object in which somebody found faults; those that reading and validating it find
    /// are added.
    pub fn new(kind: Kind, value: &Value, faults: &[FieldError]) -> Self {
        let checked = Object::check(kind, value.clone());
        let mut errors = faults.to_vec();
        for error in checked.errors {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        // A fault of the object itself, or of what it says it is, ends the search for others.
        let of_all = |error: &FieldError| matches!(&*error.path, "" | "apiVersion" | "kind");
        Self {
            value: value.clone(),
            is_ruin: checked.object.is_none()
                || errors.len() >= ERRORS_MAX
                || errors.iter().any(of_all),
            errors,
        }
    }

    /// Everything that is wrong, each with its field path.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// A field by its path of names, as in `spec.order`.
    pub fn field(&self, path: &str) -> Remnant<'_> {
        let touches = |error: &FieldError| is_inside(&error.path, path);
        if self.errors.iter().any(touches) {
            return Remnant::Unknown;
        }
        self.outline(path)
    }

    /// The text in a field, at fault or not: only for what cannot open anything, whatever it says.
    pub fn written(&self, path: &str) -> Option<&str> {
        let mut names = path.split('.');
        let found = names.try_fold(&self.value, |found, name| found.get(name))?;
        found.as_str()
    }

    /// How many items a list has, also when some of them are at fault; none when it is certainly not given,
    /// `None` when nobody can say.
    pub fn count(&self, path: &str) -> Option<usize> {
        match self.outline(path) {
            Remnant::Absent => Some(0),
            Remnant::Is(value) => value.as_array().map(Vec::len),
            Remnant::Unknown => None,
        }
    }

    /// The items of a list, also when some of them are at fault; empty when nobody can say.
    pub fn items(&self, path: &str) -> &[Value] {
        match self.outline(path) {
            Remnant::Is(Value::Array(items)) => items,
            Remnant::Is(_) | Remnant::Absent | Remnant::Unknown => &[],
        }
    }

    /// An item of a list, of a type, when nothing in it is at fault.
    pub fn item<T: DeserializeOwned>(&self, list: &str, index: usize) -> Option<T> {
        let path = format!("{list}[{index}]");
        let touches = |error: &FieldError| is_inside(&error.path, &path);
        if self.errors.iter().any(touches) {
            return None;
        }
        T::deserialize(self.items(list).get(index)?).ok()
    }

    /// A field of a type; the type's default when it is certainly not given, `None` when nobody can say.
    pub fn read<T: DeserializeOwned + Default>(&self, path: &str) -> Option<T> {
        match self.field(path) {
            Remnant::Absent => Some(T::default()),
            Remnant::Is(value) => T::deserialize(value).ok(),
            Remnant::Unknown => None,
        }
    }

    /// A text; empty when it is certainly not given, `None` when nobody can say.
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.field(path) {
            Remnant::Absent => Some(""),
            Remnant::Is(value) => value.as_str(),
            Remnant::Unknown => None,
        }
    }

    /// [`Remains::field`] without regard to faults inside it.
    fn outline(&self, path: &str) -> Remnant<'_> {
        let is_over = |error: &FieldError| is_inside(path, &error.path);
        if self.is_ruin || self.errors.iter().any(is_over) {
            return Remnant::Unknown;
        }
        let mut found = &self.value;
        let mut walked = String::new();
        for name in path.split('.') {
            match found.get(name) {
                None | Some(Value::Null) if self.has_stranger(found, &walked) => {
                    return Remnant::Unknown;
                }
                None | Some(Value::Null) => return Remnant::Absent,
                Some(inner) => found = inner,
            }
            if !walked.is_empty() {
                walked.push('.');
            }
            walked.push_str(name);
        }
        Remnant::Is(found)
    }

    /// Whether a mapping has a field that nobody knows.
    fn has_stranger(&self, mapping: &Value, path: &str) -> bool {
        let unknown = |error: &&FieldError| error.code == Code::UnknownField;
        self.errors.iter().filter(unknown).any(|error| {
            let name = match error.path.strip_prefix(path) {
                Some(rest) if path.is_empty() => rest,
                Some(rest) => rest.strip_prefix('.').unwrap_or_default(),
                None => "",
            };
            mapping.get(name).is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(spec: &Value) -> Remains {
        let value = json!({ "metadata": { "name": "p", "namespace": "a" }, "spec": spec });
        Remains::new(Kind::NetworkPolicy, &value, &[])
    }

    #[test]
    fn what_is_not_at_fault_is_as_written() {
        let remains = policy(&json!({ "tier": "security", "order": 7, "ingress": 7 }));
        assert_eq!(remains.text("spec.tier"), Some("security"));
        assert_eq!(remains.field("spec.order"), Remnant::Is(&json!(7)));
        assert_eq!(remains.field("spec.ingress"), Remnant::Unknown);
        assert_eq!(remains.count("spec.ingress"), None);
        assert_eq!(remains.count("spec.egress"), Some(0));
        assert_eq!(remains.text("spec.selector"), Some(""));
        assert_eq!(remains.errors().len(), 1);
    }

    #[test]
    fn a_fault_inside_a_field_leaves_its_outline() {
        let remains = policy(&json!({ "egress": [{ "action": "Allow" }, { "action": "Maybe" }] }));
        assert_eq!(remains.field("spec.egress"), Remnant::Unknown);
        assert_eq!(remains.count("spec.egress"), Some(2));
        assert_eq!(remains.items("spec.egress").len(), 2);
        let rule = |index| remains.item::<crate::v3::Rule>("spec.egress", index);
        assert!(rule(0).is_some() && rule(1).is_none() && rule(2).is_none());
        assert_eq!(remains.text("spec.tier"), Some(""));
    }

    #[test]
    fn what_validation_refuses_is_unknown_too() {
        let remains = policy(&json!({ "tier": "No Name", "ingress": 7 }));
        assert_eq!(remains.text("spec.tier"), None);
        assert_eq!(remains.errors().len(), 2);
    }

    #[test]
    fn a_field_that_is_missing_may_be_the_one_that_is_misspelt() {
        let remains = policy(&json!({ "teir": "security", "order": 7 }));
        assert_eq!(remains.text("spec.tier"), None);
        assert_eq!(remains.field("spec.order"), Remnant::Is(&json!(7)));
        let remains = policy(&json!({ "ingress": [{ "action": "Allow", "to": 7 }] }));
        assert_eq!(
            remains.text("spec.tier"),
            Some(""),
            "the stranger is deeper"
        );
        let value = json!({ "metadata": { "name": "p" }, "sepc": { "tier": "security" } });
        let remains = Remains::new(Kind::GlobalNetworkPolicy, &value, &[]);
        assert_eq!(remains.text("spec.tier"), None);
    }

    #[test]
    fn of_what_is_no_object_nothing_is_known() {
        for value in [json!(7), json!([]), json!({ "kind": "Pod", "spec": {} })] {
            let remains = Remains::new(Kind::NetworkPolicy, &value, &[]);
            assert_eq!(remains.field("spec.tier"), Remnant::Unknown, "{value}");
            assert_eq!(remains.count("spec.ingress"), None);
        }
        let many: serde_json::Map<String, Value> =
            (0..100).map(|i| (format!("x{i}"), json!(1))).collect();
        let remains = policy(&many.into());
        assert_eq!(remains.field("spec.tier"), Remnant::Unknown);
    }
}
