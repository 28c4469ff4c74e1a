//! Properties over arbitrary texts and arbitrary trees.

use std::collections::BTreeSet;
use std::sync::Arc;

use bolero::check;

use super::{LabelMap, Selector, parse};
use crate::Expr;

/// Bytes as choices: a tree or labels from any input.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, limit: u8) -> u8 {
        self.0.next().copied().unwrap_or(0) % limit
    }

    fn name(&mut self) -> Arc<str> {
        ["a", "b", "in", "not", "has", "p/q.r-s_t"][usize::from(self.below(6))].into()
    }

    fn value(&mut self) -> Arc<str> {
        ["", "x", "xy", "y'z", "say \"x\"", "ü"][usize::from(self.below(6))].into()
    }

    fn values(&mut self) -> BTreeSet<Arc<str>> {
        (0..self.below(4)).map(|_| self.value()).collect()
    }

    fn selector(&mut self, depth: usize) -> Selector {
        let kinds = if depth == 0 { 10 } else { 16 };
        match self.below(kinds) {
            0 => Expr::All,
            1 => Expr::Global,
            2 => Expr::Has(self.name()),
            3 => Expr::Equal(self.name(), self.value()),
            4 => Expr::NotEqual(self.name(), self.value()),
            5 => Expr::Contains(self.name(), self.value()),
            6 => Expr::StartsWith(self.name(), self.value()),
            7 => Expr::EndsWith(self.name(), self.value()),
            8 => Expr::In(self.name(), self.values()),
            9 => Expr::NotIn(self.name(), self.values()),
            10 | 11 => return self.selector(depth - 1).not(),
            12 | 13 => Expr::And(self.operands(depth)),
            _ => Expr::Or(self.operands(depth)),
        }
        .into()
    }

    fn operands(&mut self, depth: usize) -> Vec<Selector> {
        let count = 2 + self.below(3);
        (0..count).map(|_| self.selector(depth - 1)).collect()
    }

    fn labels(&mut self) -> LabelMap {
        (0..self.below(6))
            .map(|_| (self.name().to_string(), self.value().to_string()))
            .collect()
    }
}

#[test]
fn any_text_is_a_selector_or_an_error_inside_the_text() {
    check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        match parse(&text) {
            Ok(selector) => {
                let canonical = selector.to_string();
                let again = parse(&canonical).expect("the canonical form parses");
                assert_eq!(again, selector);
            }
            Err(error) => {
                let end = error.offset + error.length;
                assert!(text.get(error.offset..end).is_some(), "{error:?}");
            }
        }
    });
}

#[test]
fn texts_of_selector_words_never_panic() {
    const WORDS: [&str; 24] = [
        "(",
        ")",
        "!",
        "&&",
        "||",
        "==",
        "!=",
        "in",
        "not in",
        "contains",
        "starts with",
        "has(",
        "all()",
        "global()",
        "{",
        "}",
        ",",
        "'x'",
        "\"y\"",
        "a",
        " ",
        "has(b)",
        "a=='b'",
        "notin",
    ];
    check!().for_each(|input: &[u8]| {
        let text: String = input
            .iter()
            .map(|byte| WORDS[usize::from(*byte) % WORDS.len()])
            .collect();
        if let Ok(selector) = parse(&text) {
            let canonical = selector.to_string();
            assert_eq!(parse(&canonical).expect("parses").to_string(), canonical);
        }
    });
}

#[test]
fn the_canonical_form_is_stable_and_means_the_same() {
    let mut outcomes = [0_usize; 2];
    check!().for_each(|input: &[u8]| {
        let mut choices = Choices(input.iter());
        let selector = choices.selector(4);
        let canonical = selector.to_string();
        let again = parse(&canonical).unwrap_or_else(|error| panic!("{canonical}: {error}"));
        assert_eq!(again, selector, "{canonical}");
        assert_eq!(again.to_string(), canonical);
        assert_eq!(again.unique_id(), selector.unique_id());
        let keys = selector.keys();
        let restrictions = selector.restrictions();
        assert!(restrictions.keys().all(|label| keys.contains(label)));
        for _ in 0..8 {
            let labels = choices.labels();
            let verdict = selector.evaluate(&labels);
            outcomes[usize::from(verdict)] += 1;
            assert_eq!(again.evaluate(&labels), verdict);
            assert_eq!(selector.not().evaluate(&labels), !verdict);
            let prefixed: LabelMap = labels
                .iter()
                .map(|(key, value)| (format!("p.{key}"), value.clone()))
                .collect();
            assert_eq!(selector.with_prefix("p.").evaluate(&prefixed), verdict);
            // Restrictions are necessary conditions.
            if verdict {
                for (label, restriction) in &restrictions {
                    let value = labels.get(&**label).map(String::as_str);
                    assert!(restriction.admits(value), "{canonical} {labels:?} {label}");
                    assert!(!restriction.is_impossible());
                }
            }
        }
    });
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
}
