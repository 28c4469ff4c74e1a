//! `labelSelector` and `fieldSelector` of lists and watches, in kubectl's syntax.

use oncilla_api::Kind;
use serde_json::Value;

use crate::admission::has_tier;
use crate::failure::Failure;

/// Which objects of a collection are meant; all of its parts must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    label: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Present,
    Absent,
    In(Vec<String>),
    /// Also true where the label is absent.
    NotIn(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
struct Field {
    path: String,
    value: String,
    equal: bool,
}

impl Selection {
    pub(crate) fn parse(kind: Kind, labels: &str, fields: &str) -> Result<Self, Failure> {
        Ok(Self {
            labels: clauses(labels)
                .map(|clause| requirement(clause, labels))
                .collect::<Result<_, _>>()?,
            fields: clauses(fields)
                .map(|clause| field(kind, clause))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |name: &str| labels.and_then(|labels| labels.get(name)?.as_str());
        self.labels
            .iter()
            .all(|requirement| requirement.test.holds(label(&requirement.label)))
            && self.fields.iter().all(|field| field.holds(object))
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let is_one_of = |values: &[String]| {
            value.is_some_and(|value| values.iter().any(|listed| listed == value))
        };
        match self {
            Self::Present => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => is_one_of(values),
            Self::NotIn(values) => !is_one_of(values),
        }
    }
}

impl Field {
    fn holds(&self, object: &Value) -> bool {
        let found = self
            .path
            .split('.')
            .try_fold(object, |value, part| value.get(part));
        let found = found.and_then(Value::as_str).unwrap_or_default();
        (found == self.value) == self.equal
    }
}

/// The parts between commas that are not inside parentheses.
fn clauses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    let parts = text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn requirement(clause: &str, whole: &str) -> Result<Requirement, Failure> {
    let unreadable = || {
        Failure::bad_request(format!(
            "unable to parse label selector {whole:?}: found {clause:?}, expected KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (A,B) or KEY notin (A,B)"
        ))
    };
    let (label, test) = if let Some(label) = clause.strip_prefix('!') {
        (label, Test::Absent)
    } else if let Some((label, value)) = clause.split_once("!=") {
        (label, Test::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((label, value)) = clause.split_once("==") {
        (label, Test::In(vec![value.trim().to_owned()]))
    } else if let Some((label, value)) = clause.split_once('=') {
        (label, Test::In(vec![value.trim().to_owned()]))
    } else if let Some((head, list)) = clause.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(unreadable)?;
        let values = list.split(',').map(|value| value.trim().to_owned());
        let (label, word) = head.trim().split_once(' ').ok_or_else(unreadable)?;
        match word.trim() {
            "in" => (label, Test::In(values.collect())),
            "notin" => (label, Test::NotIn(values.collect())),
            _ => return Err(unreadable()),
        }
    } else {
        (clause, Test::Present)
    };
    let label = label.trim();
    let strange =
        |letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_' | '.' | '/');
    if label.is_empty() || label.contains(strange) {
        return Err(unreadable());
    }
    Ok(Requirement {
        label: label.to_owned(),
        test,
    })
}

fn field(kind: Kind, clause: &str) -> Result<Field, Failure> {
    let (path, value, equal) = if let Some((path, value)) = clause.split_once("!=") {
        (path, value, false)
    } else if let Some((path, value)) = clause.split_once("==") {
        (path, value, true)
    } else if let Some((path, value)) = clause.split_once('=') {
        (path, value, true)
    } else {
        return Err(Failure::bad_request(format!(
            "invalid field selector {clause:?}: expected FIELD=VALUE or FIELD!=VALUE"
        )));
    };
    let path = path.trim();
    let known = match path {
        "metadata.name" => true,
        "metadata.namespace" => kind.namespaced(),
        "spec.nodeName" | "status.phase" => kind == Kind::Pod,
        "spec.tier" => has_tier(kind),
        _ => false,
    };
    if !known {
        return Err(Failure::bad_request(format!(
            "field label not supported: {path}"
        )));
    }
    Ok(Field {
        path: path.to_owned(),
        value: value.trim().to_owned(),
        equal,
    })
}
