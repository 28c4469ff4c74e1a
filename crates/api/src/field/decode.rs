//! Reading JSON values into types strictly, with all faults in one go.
//!
//! Serde stops at the first fault. So the faulty field is reported and taken away, and the rest is read
//! again, until nothing is left to report.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::strict::Strict;
use super::{Code, FieldError};
use crate::nearest::nearest;
use crate::validate::checks;

/// How many faults of one object are reported.
pub(crate) const ERRORS_MAX: usize = 50;
/// Stands between a fault and its remedy in the one text that serde carries.
const HELP_MARK: &str = "\nhelp: ";
/// Stands before the row of the table that is broken.
const CHECK_MARK: &str = "\ncheck: ";

/// The text of a fault that a type finds while it is read, with its remedy and its row of the table.
pub(crate) fn with_help(message: &str, help: &str, check: Option<&str>) -> String {
    let check = check.map_or_else(String::new, |id| format!("{CHECK_MARK}{id}"));
    format!("{message}{HELP_MARK}{help}{check}")
}

/// Fields beside each other, the second of which is only right with the first.
const TOGETHER: [(&str, &str); 1] = [("port", "endPort")];
/// How many known fields or values a message lists.
const LISTED_MAX: usize = 12;

/// What could be read of a value.
#[derive(Debug)]
pub(crate) struct Partial<T> {
    /// The type, without the faulty fields; `None` when too much is wrong.
    pub(crate) object: Option<T>,
    /// The faults.
    pub(crate) errors: Vec<FieldError>,
    removed: Removed,
}

impl<T> Partial<T> {
    /// The same with another object.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Partial<U> {
        Partial {
            object: self.object.map(change),
            errors: self.errors,
            removed: self.removed,
        }
    }

    /// The faults, followed by those that validation found in what could be read: with the paths of the
    /// value as written, and without those that exist only because a faulty field was taken away.
    pub(crate) fn with_validation(self, found: Vec<FieldError>) -> Vec<FieldError> {
        let Self {
            mut errors,
            removed,
            ..
        } = self;
        let more = found.into_iter().map(|mut error| {
            error.path = removed.original_text(&error.path);
            error.at = error.at.map(|path| removed.original_text(&path));
            error.see = error.see.map(|path| removed.original_text(&path));
            error
        });
        errors.extend(more.filter(|error| !removed.may_have_caused(&error.path)));
        errors
    }
}

/// Reads a value into a type as far as possible; fields that are `null` count as absent, as in Kubernetes.
pub(crate) fn decode_strict<T: DeserializeOwned>(mut value: Value) -> Partial<T> {
    strip_nulls(&mut value);
    let mut errors = Vec::new();
    let mut removed = Removed::default();
    let mut object = None;
    while errors.len() < ERRORS_MAX {
        let error = match serde_path_to_error::deserialize(Strict(&value)) {
            Ok(read) => {
                object = Some(read);
                break;
            }
            Err(error) => error,
        };
        let steps: Vec<Step> = error.path().iter().filter_map(Step::of).collect();
        let fault = Fault::of(&error.inner().to_string());
        let original = removed.original(&steps);
        let surplus = matches!(fault, Fault::UnknownField { .. });
        let stand_in = match (&fault, steps.last()) {
            (Fault::UnknownVariant { known, .. }, Some(Step::Field(_))) => known.first().cloned(),
            _ => None,
        };
        if !removed.caused(&original, &fault) {
            errors.push(fault.describe(&original));
        }
        let done = match stand_in {
            // Read on with a value that is allowed: without one the whole item would have to go.
            Some(known) => removed.replace(&mut value, &steps, original, known),
            None => removed.remove(&mut value, &steps, original, surplus),
        };
        if !done {
            break;
        }
    }
    Partial {
        object,
        errors,
        removed,
    }
}

/// Kubernetes reads `field: null` as if the field were not there.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One step of a field path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

impl Step {
    fn of(segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Seq { index } => Some(Self::Item(*index)),
            Segment::Map { key } => Some(Self::Field(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        }
    }
}

fn path_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Item(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

/// What was taken away so far, by its path in the value as written.
#[derive(Debug, Default)]
struct Removed {
    paths: Vec<Vec<Step>>,
    /// The paths whose absence may make validation complain.
    missed: Vec<Vec<Step>>,
}

impl Removed {
    /// The path in the value as written of a path in what is left: list items may have moved up.
    fn original(&self, steps: &[Step]) -> Vec<Step> {
        let mut original: Vec<Step> = Vec::with_capacity(steps.len());
        for step in steps {
            let step = match step {
                Step::Field(name) => Step::Field(name.clone()),
                Step::Item(index) => Step::Item(self.original_index(&original, *index)),
            };
            original.push(step);
        }
        original
    }

    fn original_index(&self, list: &[Step], index: usize) -> usize {
        let mut gone: Vec<usize> = self
            .paths
            .iter()
            .filter(|path| path.len() == list.len() + 1 && path.starts_with(list))
            .filter_map(|path| match path.last() {
                Some(Step::Item(index)) => Some(*index),
                Some(Step::Field(_)) | None => None,
            })
            .collect();
        gone.sort_unstable();
        gone.into_iter().fold(
            index,
            |index, gone| if gone <= index { index + 1 } else { index },
        )
    }

    /// [`Removed::original`] for a path in text form.
    fn original_text(&self, path: &str) -> String {
        let mut original = String::new();
        let mut rest = path;
        while let Some((before, after)) = rest.split_once('[') {
            original.push_str(before);
            let (index, after) = after.split_once(']').unwrap_or((after, ""));
            let index = match index.parse() {
                Ok(index) => self.original_index_of(&original, index).to_string(),
                Err(_not_an_index) => index.to_owned(),
            };
            original.extend(["[", &index, "]"]);
            rest = after;
        }
        original.push_str(rest);
        original
    }

    fn original_index_of(&self, list: &str, index: usize) -> usize {
        self.paths
            .iter()
            .filter_map(|path| path.split_last())
            .find(|(_, parent)| path_text(parent) == list)
            .map_or(index, |(_, parent)| self.original_index(parent, index))
    }

    /// Whether a complaint about a field may only be there because something was taken away.
    fn may_have_caused(&self, path: &str) -> bool {
        self.missed.iter().any(|missed| {
            let Some((last, parent)) = missed.split_last() else {
                return false;
            };
            let parent_text = path_text(parent);
            match last {
                // The list may look too short now.
                Step::Item(_) => path == parent_text,
                // Of a list item, of a rule for example, it may be said that something is missing.
                Step::Field(_)
                    if matches!(parent.last(), Some(Step::Item(_))) && path == parent_text =>
                {
                    true
                }
                Step::Field(name) => {
                    let with = TOGETHER.iter().filter(|(missing, _)| missing == name);
                    let mut with = with.map(|(_, with)| format!("{parent_text}.{with}"));
                    // Whoever asks for one of several fields asks it of the whole.
                    path == parent_text
                        || is_inside(path, &path_text(missed))
                        || with.any(|with| with == path)
                }
            }
        })
    }

    /// Whether a field is only missing because it was wrong and taken away.
    fn caused(&self, parent: &[Step], fault: &Fault) -> bool {
        let Fault::Missing(name) = fault else {
            return false;
        };
        self.paths.iter().any(|path| {
            path.split_last()
                .is_some_and(|(last, rest)| rest == parent && *last == Step::Field(name.clone()))
        })
    }

    /// Puts an allowed text in the place of the value at `steps`; `false` when there is none.
    fn replace(
        &mut self,
        value: &mut Value,
        steps: &[Step],
        original: Vec<Step>,
        text: String,
    ) -> bool {
        let found = steps.iter().try_fold(value, |value, step| match step {
            Step::Field(name) => value.get_mut(name.as_str()),
            Step::Item(index) => value.get_mut(*index),
        });
        match found {
            Some(found) if *found != text => {
                *found = Value::String(text);
                self.missed.push(original);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes the value at `steps` away; `false` when there is nothing to take.
    fn remove(
        &mut self,
        value: &mut Value,
        steps: &[Step],
        original: Vec<Step>,
        surplus: bool,
    ) -> bool {
        let Some((last, parents)) = steps.split_last() else {
            return false;
        };
        let mut parent = value;
        for step in parents {
            let child = match step {
                Step::Field(name) => parent.get_mut(name.as_str()),
                Step::Item(index) => parent.get_mut(*index),
            };
            match child {
                Some(child) => parent = child,
                None => return false,
            }
        }
        let found = match (last, parent) {
            (Step::Field(name), Value::Object(fields)) => fields.shift_remove(name).is_some(),
            (Step::Item(index), Value::Array(items)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        };
        if found && !surplus {
            self.missed.push(original.clone());
        }
        if found {
            self.paths.push(original);
        }
        found
    }
}

/// Whether a path is another one or leads further into it.
pub(crate) fn is_inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// One of serde's messages, understood.
#[derive(Debug)]
enum Fault {
    UnknownField { name: String, known: Vec<String> },
    UnknownVariant { name: String, known: Vec<String> },
    Missing(String),
    Type { found: String, expected: String },
    Other(String),
}

impl Fault {
    fn of(message: &str) -> Self {
        let names = || -> Vec<String> {
            message
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        if message.starts_with("unknown field `") {
            let (name, known) = split_first(names());
            return Self::UnknownField { name, known };
        }
        if message.starts_with("unknown variant `") {
            let (name, known) = split_first(names());
            return Self::UnknownVariant { name, known };
        }
        if message.starts_with("missing field `") {
            return Self::Missing(split_first(names()).0);
        }
        let typed = message
            .strip_prefix("invalid type: ")
            .or_else(|| message.strip_prefix("invalid value: "))
            .and_then(|rest| rest.rsplit_once(", expected "));
        match typed {
            Some((found, expected)) => Self::Type {
                found: found_in_words(found),
                expected: expected_in_words(expected),
            },
            None => Self::Other(message.to_owned()),
        }
    }

    fn describe(self, steps: &[Step]) -> FieldError {
        let path = path_text(steps);
        match self {
            Self::UnknownField { name, known } => {
                FieldError::new(path, format!("unknown field {name:?}"))
                    .with_code(Code::UnknownField)
                    .pointing_at_key()
                    .with_help(suggest(&name, &known, "known here"))
            }
            Self::UnknownVariant { name, known } => FieldError::new(
                path,
                format!("unknown value {name:?}"),
            )
            .with_help(suggest(&name, &known, "expected one of")),
            Self::Missing(name) => FieldError::new(path, format!("{name:?} is required"))
                .with_code(Code::MissingField)
                .with_help(format!("add `{name}:`")),
            Self::Type { found, expected } => {
                let help = retype(&found, &expected).unwrap_or_else(|| type_help(&expected));
                FieldError::new(path, format!("expected {expected}, found {found}"))
                    .with_code(Code::WrongType)
                    .with_help(help)
            }
            Self::Other(message) => match message.split_once(HELP_MARK) {
                Some((message, rest)) => {
                    let (help, id) = rest.split_once(CHECK_MARK).unwrap_or((rest, ""));
                    let mut error = FieldError::new(path, message).with_help(help);
                    error.check = checks().map(|check| check.id).find(|known| *known == id);
                    error
                }
                None => FieldError::new(path, message),
            },
        }
    }
}

fn split_first(names: Vec<String>) -> (String, Vec<String>) {
    let mut names = names.into_iter();
    (names.next().unwrap_or_default(), names.collect())
}

fn suggest(name: &str, known: &[String], intro: &str) -> String {
    if let Some(nearest) = nearest(name, known) {
        return format!("did you mean `{nearest}`?");
    }
    let listed = known.get(..LISTED_MAX).unwrap_or(known).join(", ");
    let more = if known.len() > LISTED_MAX {
        ", …"
    } else {
        ""
    };
    format!("{intro}: {listed}{more}")
}

fn expected_in_words(expected: &str) -> String {
    match expected {
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "f64" => "a number",
        "i64" | "u64" | "i32" | "u16" | "u8" => "an integer",
        "string or map" | "variant identifier" => "a string",
        other if other.starts_with("struct ") => "a mapping",
        other => other,
    }
    .to_owned()
}

fn found_in_words(found: &str) -> String {
    match found {
        "map" => "a mapping".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit value" => "nothing".to_owned(),
        other => other.replace('`', "").replace("floating point", "number"),
    }
}

/// How to write a value of a type.
fn type_help(expected: &str) -> String {
    match expected {
        "true or false" => "write true or false, without quotes".to_owned(),
        "a list" => "write a list, each item behind `- `".to_owned(),
        "a mapping" => "write a mapping: its fields on the lines below, indented".to_owned(),
        "a number" | "an integer" => format!("write {expected}, as in 10"),
        "a string" => "write a text, in quotes if it looks like something else".to_owned(),
        other => format!("write {other}"),
    }
}

/// How to turn what was found into what was expected, when quotes are all that is wrong.
fn retype(found: &str, expected: &str) -> Option<String> {
    match (expected, found) {
        ("a list", "a mapping") => return Some("start each item with `- `".to_owned()),
        ("a mapping", "a list") => return Some("remove the `- `".to_owned()),
        _ => {}
    }
    let (sort, value) = found.split_once(' ')?;
    match sort {
        "integer" | "number" | "boolean" if expected == "a string" => {
            Some(format!("put it in quotes: \"{value}\""))
        }
        "string" if matches!(expected, "an integer" | "a number" | "true or false") => {
            let bare = value.trim_matches('"');
            let fits = match expected {
                "true or false" => bare == "true" || bare == "false",
                _ => bare.parse::<f64>().is_ok_and(f64::is_finite),
            };
            fits.then(|| format!("write {bare} without quotes"))
        }
        _ => None,
    }
}
