//! Who reaches whom: what was measured beside what was expected.

use std::collections::BTreeMap;

use oncilla_net::Verdict;
use serde_json::{Map, Value};

use super::story::{DESTINATIONS, Pod, SOURCES};
use crate::why::report::word;

/// Width of the first column, and of the others.
const WHO_WIDTH: usize = 20;
const CELL_WIDTH: usize = 30;
/// What stands where nobody asks.
const NO_QUESTION: &str = "·";

/// What came of one question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    pub(crate) seen: Verdict,
    pub(crate) expected: Verdict,
}

/// What came of all questions of a step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Matrix {
    cells: BTreeMap<(Pod, Pod), Cell>,
}

impl Matrix {
    pub(crate) fn set(&mut self, source: Pod, destination: Pod, cell: Cell) {
        self.cells.insert((source, destination), cell);
    }

    /// How many real connections differ from what the reference evaluator said.
    pub(crate) fn mismatches(&self) -> usize {
        self.cells
            .values()
            .filter(|cell| cell.seen != cell.expected)
            .count()
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The table, with what changed since the step before.
    pub(crate) fn text(&self, before: Option<&Self>) -> String {
        let header = DESTINATIONS
            .iter()
            .map(|(pod, port)| format!("{} tcp/{port}", pod.path()));
        let mut lines = vec![row("who \\ to", header)];
        for source in SOURCES {
            let cells = DESTINATIONS.iter().map(|(destination, _)| {
                let key = (source, *destination);
                let before = before.and_then(|before| before.cells.get(&key));
                match self.cells.get(&key) {
                    Some(cell) => cell_text(*cell, before.map(|cell| cell.seen)),
                    None => NO_QUESTION.to_owned(),
                }
            });
            lines.push(row(source.name, cells));
        }
        lines.join("\n")
    }

    /// `{SRC:{DST:{"tcp/8000":"allow"}}}`.
    pub(crate) fn to_value(&self) -> Value {
        let mut rows = Map::new();
        for source in SOURCES {
            let mut columns = Map::new();
            for (destination, port) in DESTINATIONS {
                if let Some(cell) = self.cells.get(&(source, destination)) {
                    let seen = Map::from_iter([(format!("tcp/{port}"), word(cell.seen).into())]);
                    columns.insert(destination.path(), seen.into());
                }
            }
            rows.insert(source.path(), columns.into());
        }
        rows.into()
    }
}

fn row(who: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| format!("{cell:CELL_WIDTH$}")).collect();
    let cells = cells.concat();
    format!("{who:WHO_WIDTH$}{cells}").trim_end().to_owned()
}

fn cell_text(cell: Cell, before: Option<Verdict>) -> String {
    let seen = word(cell.seen);
    if cell.seen != cell.expected {
        return format!("{seen:<6} <- EXPECTED {}", word(cell.expected));
    }
    match before {
        Some(before) if before != cell.seen => format!("{seen:<6} <- was {}", word(before)),
        _ => seen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use oncilla_net::Verdict::{Allow, Deny};

    use super::super::story::pairs;
    use super::{Cell, Matrix};

    fn matrix(denied: &[(&str, &str)]) -> Matrix {
        let mut matrix = Matrix::default();
        for (source, (destination, _)) in pairs().iter() {
            let is_denied = denied.contains(&(source.name, destination.name));
            let seen = if is_denied { Deny } else { Allow };
            matrix.set(
                *source,
                *destination,
                Cell {
                    seen,
                    expected: seen,
                },
            );
        }
        matrix
    }

    #[test]
    fn a_matrix_shows_what_changed() {
        let before = matrix(&[("attacker", "api")]);
        let after = matrix(&[("frontend", "backend"), ("attacker", "backend")]);
        let expect = "\
who \\ to            production/backend tcp/8000   production/database tcp/5432  production/api tcp/9000
frontend            deny   <- was allow           allow                         allow
backend             ·                             allow                         allow
api                 allow                         allow                         ·
attacker            deny   <- was allow           allow                         allow  <- was deny";
        assert_eq!(after.text(Some(&before)), expect);
        assert_eq!(after.mismatches(), 0);
        assert!(!after.text(None).contains("was"));
    }

    #[test]
    fn a_difference_is_counted_and_shouted() {
        let mut matrix = matrix(&[]);
        let (source, (destination, _)) = pairs()[0];
        let cell = Cell {
            seen: Allow,
            expected: Deny,
        };
        matrix.set(source, destination, cell);
        assert_eq!((matrix.mismatches(), matrix.len()), (1, 10));
        assert!(matrix.text(None).contains("allow  <- EXPECTED deny"));
    }

    #[test]
    fn the_json_form_has_source_destination_and_traffic() {
        let value = matrix(&[("frontend", "backend")]).to_value();
        assert_eq!(
            value["production/frontend"]["production/backend"]["tcp/8000"],
            "deny"
        );
        assert_eq!(
            value["default/attacker"]["production/api"]["tcp/9000"],
            "allow"
        );
        assert!(
            value["production/backend"]
                .get("production/backend")
                .is_none()
        );
    }
}
