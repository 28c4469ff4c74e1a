//! The one way out: answers to standard output, everything else to standard error. A closed pipe is the end
//! and no error.

use std::io::{self, Write as _};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use oncilla_api::{Kind, ObjectKey};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Exit;

/// Blanks between two columns, as kubectl leaves them.
const COLUMN_GAP: u16 = 3;
/// Most names in one sentence.
const NAMED_MAX: usize = 50;

/// Prints an answer; a missing line end is added.
pub(crate) fn answer(text: &str) -> Exit {
    if text.is_empty() {
        return Exit::Done;
    }
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(end.as_bytes()))
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            note(&format!("error: cannot write the answer: {error}"));
            Exit::CannotJudge
        }
        _ => Exit::Done,
    }
}

/// Says something on standard error. Nobody can be told when that fails.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Says what went wrong, and what to do about it when that is known.
pub(crate) fn error(message: &str, help: Option<&str>) {
    match help {
        Some(help) => note(&format!("error: {message}\nhelp: {help}")),
        None => note(&format!("error: {message}")),
    }
}

/// `networkpolicy.networking.k8s.io`, `pod`: what kubectl calls a kind in answers.
pub(crate) fn resource(kind: Kind) -> String {
    match kind.group() {
        "" => kind.singular().to_owned(),
        group => format!("{}.{group}", kind.singular()),
    }
}

/// `networkpolicy.networking.k8s.io/allow`.
pub(crate) fn name(key: &ObjectKey) -> String {
    format!("{}/{}", resource(key.kind), key.name)
}

/// Names in a row; many are not all named, the others are counted.
pub(crate) fn names(keys: &[ObjectKey]) -> String {
    let more = keys.len().saturating_sub(NAMED_MAX);
    let mut names: Vec<String> = keys.iter().take(NAMED_MAX).map(name).collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// Indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

/// YAML that reads back as the same value.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String> {
    Ok(serde_saphyr::to_string(value)?)
}

/// Several objects as one, as kubectl prints them.
#[expect(
    clippy::needless_pass_by_value,
    reason = "they become a part of what is returned"
)]
pub(crate) fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "items": items, "kind": "List", "metadata": { "resourceVersion": "" } })
}

/// Columns without borders, one line a row, never wrapped: quiet in pipes.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty()
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, COLUMN_GAP));
    }
    table.trim_fmt()
}
