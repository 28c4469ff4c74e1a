//! Where an object was written, kept in an annotation, so that `why` can name `file:line` when it asks a server.
//!
//! ```text
//! policies/db.yaml:12 ingress=15,20 egress=31
//! └ file, line of the name   └ the lines of the rules, in their order
//! ```
//! The annotation is bookkeeping and never worth an error: it is left out where it does not fit, and one that
//! somebody else wrote counts only as far as it can be true.

use std::fmt;

use oncilla_api::Object;
use oncilla_api::manifest::Located;
use oncilla_net::Direction;
use serde_json::{Map, Value};

use crate::apply::LAST_APPLIED;
use crate::files::STDIN;
use crate::why::rule;

/// The annotation.
pub(crate) const SOURCE: &str = "oncilla.io/source";
/// Its largest value, in bytes. Rules whose lines do not fit are told by the object's line.
const SOURCE_BYTES_MAX: usize = 4096;
/// All annotations of an object together, names and values, in bytes: what servers accept.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// A rule's place in its policy.
pub(crate) type RulePlace = (Direction, usize);

/// Where an object was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    file: String,
    line: usize,
    ingress: Vec<usize>,
    egress: Vec<usize>,
}

impl Origin {
    /// Where a file has an object; `None` when it came from no file, or from one whose name is too long to keep.
    fn of(located: &Located<Object>) -> Option<Self> {
        if located.file() == STDIN {
            return None;
        }
        let name = located
            .position("metadata.name")
            .or_else(|| located.position(""))?;
        let mut origin = Self {
            file: readable(located.file()),
            line: name.line,
            ingress: Vec::new(),
            egress: Vec::new(),
        };
        if origin.to_string().len() > SOURCE_BYTES_MAX {
            return None;
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            let mut more = origin.clone();
            *more.lines_mut(direction) = rule_lines(located, direction).unwrap_or_default();
            if more.to_string().len() <= SOURCE_BYTES_MAX {
                origin = more;
            }
        }
        Some(origin)
    }

    /// What an object's annotation says, if it can be read.
    pub(crate) fn read(object: &Object) -> Option<Self> {
        Self::parse(object.metadata().annotations.get(SOURCE)?)
    }

    fn parse(text: &str) -> Option<Self> {
        // Anybody may have written it, and it ends up on a terminal.
        if text.len() > SOURCE_BYTES_MAX || text.chars().any(char::is_control) {
            return None;
        }
        let (rest, egress) = split_lines(text, Direction::Egress);
        let (rest, ingress) = split_lines(rest, Direction::Ingress);
        let (file, line) = rest.rsplit_once(':')?;
        let line = line.parse().ok().filter(|line| *line > 0)?;
        (!file.is_empty()).then(|| Self {
            file: file.to_owned(),
            line,
            ingress,
            egress,
        })
    }

    /// `file:line` of a rule of the object that this is the origin of. The object's own place when no rule is asked
    /// for, or the rule's line is not known, or the rule is not what the file said any more.
    pub(crate) fn place(&self, object: &Object, rule: Option<RulePlace>) -> String {
        let line = rule.and_then(|(direction, number)| {
            let lines = self.lines(direction);
            let line = lines.get(number).copied().filter(|line| *line > 0)?;
            let is_whole = lines.len() == rule::count(object, direction);
            (is_whole && is_as_applied(object, (direction, number))).then_some(line)
        });
        format!("{}:{}", self.file, line.unwrap_or(self.line))
    }

    fn lines(&self, direction: Direction) -> &Vec<usize> {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    fn lines_mut(&mut self, direction: Direction) -> &mut Vec<usize> {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        for direction in [Direction::Ingress, Direction::Egress] {
            let lines: Vec<String> = self
                .lines(direction)
                .iter()
                .map(ToString::to_string)
                .collect();
            if !lines.is_empty() {
                write!(f, " {direction}={}", lines.join(","))?;
            }
        }
        Ok(())
    }
}

/// Writes the origin into an object that is to be stored. What an earlier file left there goes in any case.
pub(crate) fn record(value: &mut Value, located: &Located<Object>) {
    let Some(Value::Object(metadata)) = value.get_mut("metadata") else {
        return;
    };
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.shift_remove(SOURCE);
    }
    let Some(origin) = Origin::of(located) else {
        return;
    };
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(annotations) = annotations {
        let others = annotations
            .iter()
            .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len));
        let text = origin.to_string();
        if fits(others.sum(), &text) {
            annotations.insert(SOURCE.to_owned(), text.into());
        }
    }
}

/// The object with its origin, for those who store it without merging.
pub(crate) fn recorded(located: Located<Object>) -> Object {
    let origin = Origin::of(&located);
    let mut object = located.object;
    let annotations = &mut object.metadata_mut().annotations;
    annotations.remove(SOURCE);
    let others = annotations
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let others: usize = others.sum();
    let text = origin.map(|origin| origin.to_string());
    if let Some(text) = text.filter(|text| fits(others, text)) {
        annotations.insert(SOURCE.to_owned(), text);
    }
    object
}

/// Whether the annotation may stand beside others of so many bytes.
fn fits(others: usize, text: &str) -> bool {
    others + SOURCE.len() + text.len() <= ANNOTATIONS_BYTES_MAX
}

/// A file's name in one line.
fn readable(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// The lines of all rules of a direction; `None` when the file does not show one.
fn rule_lines(located: &Located<Object>, direction: Direction) -> Option<Vec<usize>> {
    (0..rule::count(&located.object, direction))
        .map(|number| {
            let position = located.position(&format!("spec.{direction}[{number}]"));
            position.map(|position| position.line)
        })
        .collect()
}

/// Takes ` ingress=15,20` off the end of a text.
fn split_lines(text: &str, direction: Direction) -> (&str, Vec<usize>) {
    let split = text.rsplit_once(' ').and_then(|(rest, last)| {
        let list = last.strip_prefix(&format!("{direction}="))?;
        let lines = list.split(',').map(|line| line.parse().ok());
        Some((rest, lines.collect::<Option<Vec<usize>>>()?))
    });
    split.unwrap_or((text, Vec::new()))
}

/// Whether a rule is still the one that was applied: others may have edited the object since. Without a memory of
/// the file nothing speaks against it.
fn is_as_applied(object: &Object, (direction, number): RulePlace) -> bool {
    let Some(text) = object.metadata().annotations.get(LAST_APPLIED) else {
        return true;
    };
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return true;
    };
    match Object::decode(object.kind(), value) {
        Ok(mut applied) => {
            applied.default_fields();
            rule::is_same(object, &applied, direction, number)
        }
        Err(_of_another_version) => false,
    }
}

#[cfg(test)]
mod tests {
    use oncilla_api::manifest::{Limits, decode};
    use oncilla_net::Direction::{Egress, Ingress};

    use super::*;

    const POLICY: &str = "\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: both
  namespace: x
spec:
  types: [Ingress, Egress]
  ingress:
  - action: Deny

  - {action: Allow}
  egress:
  - action: Pass
";

    fn located(file: &str, text: &str) -> Located<Object> {
        let mut manifest = decode(file, text.as_bytes(), &Limits::default());
        assert!(!manifest.has_errors(), "{:?}", manifest.diagnostics);
        manifest.objects.remove(0)
    }

    #[test]
    fn an_origin_reads_back_whatever_the_file_is_called() {
        for (file, expect) in [
            ("db.yaml", "db.yaml:4 ingress=9,11 egress=13"),
            (
                "my files/a:7.yaml",
                "my files/a:7.yaml:4 ingress=9,11 egress=13",
            ),
            ("x egress=1", "x egress=1:4 ingress=9,11 egress=13"),
            ("a\nb\u{1b}", "a\\nb\\u{1b}:4 ingress=9,11 egress=13"),
        ] {
            let origin = Origin::of(&located(file, POLICY)).unwrap();
            assert_eq!(origin.to_string(), expect);
            assert_eq!(Origin::parse(expect), Some(origin));
        }
        let tier =
            "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 1}\n";
        let origin = Origin::of(&located("x egress=1", tier)).unwrap();
        assert_eq!(origin.to_string(), "x egress=1:3");
        assert_eq!(Origin::parse("x egress=1:3"), Some(origin));
        assert_eq!(Origin::of(&located(STDIN, POLICY)), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        // Lines of five digits, of as many rules as a policy may have.
        let (front, rules) = ("#\n".repeat(10_000), "  - action: Pass\n".repeat(1023));
        let origin = Origin::of(&located("db.yaml", &format!("{front}{POLICY}{rules}"))).unwrap();
        assert_eq!(origin.to_string(), "db.yaml:10004 ingress=10009,10011");
        let long = "x".repeat(SOURCE_BYTES_MAX);
        assert_eq!(Origin::of(&located(&long, POLICY)), None);
    }

    #[test]
    fn an_object_without_room_is_stored_without_it() {
        let large = "x".repeat(ANNOTATIONS_BYTES_MAX - 20);
        let text = POLICY.replace(
            "  namespace: x",
            &format!("  namespace: x\n  annotations: {{a: {large}}}"),
        );
        let located = located("db.yaml", &text);
        let mut value = located.object.to_value();
        record(&mut value, &located);
        assert_eq!(value["metadata"]["annotations"].get(SOURCE), None);
        let object = recorded(located);
        assert_eq!(object.metadata().annotations.get(SOURCE), None);
    }

    #[test]
    fn a_rule_has_its_line_as_long_as_it_can_be_true() {
        let object = located("db.yaml", POLICY).object;
        let origin = |text: &str| Origin::parse(text).unwrap();
        let whole = origin("db.yaml:4 ingress=9,11 egress=13");
        for (rule, place) in [
            (None, "db.yaml:4"),
            (Some((Ingress, 0)), "db.yaml:9"),
            (Some((Ingress, 1)), "db.yaml:11"),
            (Some((Ingress, 2)), "db.yaml:4"),
            (Some((Egress, 0)), "db.yaml:13"),
        ] {
            assert_eq!(whole.place(&object, rule), place, "{rule:?}");
        }
        for text in [
            "db.yaml:4",
            "db.yaml:4 ingress=9",
            "db.yaml:4 ingress=9,11,12",
        ] {
            assert_eq!(
                origin(text).place(&object, Some((Ingress, 0))),
                "db.yaml:4",
                "{text}"
            );
        }
    }

    #[test]
    fn a_rule_that_others_changed_has_the_line_of_its_object() {
        let file = located("db.yaml", POLICY);
        let mut object = file.object.clone();
        let applied = file.object.to_value().to_string();
        let annotations = &mut object.metadata_mut().annotations;
        annotations.insert(LAST_APPLIED.to_owned(), applied);
        let origin = Origin::of(&file).unwrap();
        assert_eq!(origin.place(&object, Some((Ingress, 1))), "db.yaml:11");
        if let Object::NetworkPolicy(policy) = &mut object {
            policy.spec.ingress.swap(0, 1);
        }
        assert_eq!(origin.place(&object, Some((Ingress, 1))), "db.yaml:4");
        assert_eq!(origin.place(&object, Some((Egress, 0))), "db.yaml:13");
    }

    #[test]
    fn nonsense_is_no_origin() {
        for text in [
            "",
            "db.yaml",
            ":4",
            "db.yaml:",
            "db.yaml:0",
            "db.yaml:-1",
            "db.yaml:four",
            "db.yaml:4 ingress=nine",
            "db\u{1b}[31m.yaml:4",
            &"x:1".repeat(SOURCE_BYTES_MAX),
        ] {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }
}
