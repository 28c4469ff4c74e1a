//! Tests of the selector language: the grammar, evaluation, the canonical form, restrictions, properties.

use std::collections::BTreeMap;

use crate::{LABEL_LENGTH_MAX, NESTING_MAX, ParseError, Selector, parse};

mod cases;
mod grammar;
mod properties;
mod tree;

type LabelMap = BTreeMap<String, String>;

/// `k=v k2=v2` as labels; `k=` is the empty value.
fn labels(text: &str) -> LabelMap {
    text.split_whitespace()
        .map(|pair| pair.split_once('=').expect("labels are written k=v"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn canonical(text: &str) -> String {
    parse(text)
        .unwrap_or_else(|error| panic!("{text:?}: {error}"))
        .to_string()
}

fn refusal(text: &str) -> ParseError {
    match parse(text) {
        Ok(selector) => panic!("{text:?} was accepted as {selector}"),
        Err(error) => error,
    }
}

fn selector(text: &str) -> Selector {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}
