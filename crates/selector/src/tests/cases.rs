//! The language as a table: texts that are selectors, with canonical form, id and what they match, and texts that are
//! none, with the fault and its place. The table is written by `tests/cases.py` from structures, without this parser.

use super::{LabelMap, parse, refusal, selector};

const TABLE: &str = include_str!("../../tests/cases.tsv");
/// Fewer cases would mean that a part of the table is lost.
const CASES_MIN: usize = 1_000;

/// A column without its escapes.
fn plain(column: &str) -> String {
    let mut text = String::with_capacity(column.len());
    let mut letters = column.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('s') => ' ',
                Some('p') => '|',
                Some('\\') => '\\',
                other => panic!("the escape {other:?} in {column:?}"),
            },
            letter => letter,
        });
    }
    text
}

/// `k=v k=v|-` as maps of labels.
fn label_maps(column: &str) -> Vec<LabelMap> {
    let maps = column.split('|').filter(|map| !map.is_empty());
    maps.map(|map| {
        let pairs = map.split(' ').filter(|pair| *pair != "-");
        pairs
            .map(|pair| pair.split_once('=').expect("labels are written k=v"))
            .map(|(key, value)| (key.to_owned(), plain(value)))
            .collect()
    })
    .collect()
}

fn accepts(columns: &[&str]) {
    let [text, canonical, id, matching, others] = columns else {
        panic!("five columns, not {columns:?}");
    };
    let (text, canonical) = (plain(text), plain(canonical));
    let parsed = selector(&text);
    assert_eq!(parsed.to_string(), canonical, "{text:?}");
    assert_eq!(parsed.unique_id(), *id, "{text:?}");
    let again = selector(&canonical);
    assert_eq!(again, parsed, "{canonical:?}");
    assert_eq!(again.to_string(), canonical, "canonical form of {text:?}");
    for (maps, expected) in [(matching, true), (others, false)] {
        for labels in label_maps(maps) {
            assert_eq!(parsed.evaluate(&labels), expected, "{text:?} on {labels:?}");
            assert_eq!(
                parsed.not().evaluate(&labels),
                !expected,
                "{text:?} on {labels:?}"
            );
        }
    }
}

fn refuses(columns: &[&str]) {
    let [text, offset, message] = columns else {
        panic!("three columns, not {columns:?}");
    };
    let text = plain(text);
    let error = refusal(&text);
    let found = (error.offset.to_string(), error.kind.to_string());
    assert_eq!(found, ((*offset).to_owned(), plain(message)), "{text:?}");
    let end = error.offset + error.length;
    assert!(text.get(error.offset..end).is_some(), "{text:?}: {error:?}");
}

#[test]
fn every_case_of_the_table() {
    let (mut accepted, mut refused) = (0, 0);
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns.split_first() {
            Some((&"accept", columns)) => {
                accepts(columns);
                accepted += 1;
            }
            Some((&"refuse", columns)) => {
                refuses(columns);
                refused += 1;
            }
            _ => panic!("no case: {line:?}"),
        }
    }
    assert!(
        accepted + refused >= CASES_MIN,
        "{accepted} accepted, {refused} refused"
    );
    assert!(accepted > CASES_MIN / 3 && refused > CASES_MIN / 3);
    assert_eq!(
        parse("").map(|all| all.unique_id()).ok().as_deref(),
        Some(ALL)
    );
}

/// The id that upstream's own tests have for `all()`: the table's ids were not read off this crate.
const ALL: &str = "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug";
