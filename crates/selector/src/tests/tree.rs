//! Evaluation, ids, rewriting, building and restrictions.

use super::{Selector, labels, selector};

/// Selector, then labels that match, then labels that do not.
const EVALUATED: &[(&str, &[&str], &[&str])] = &[
    ("", &["", "a=b"], &[]),
    ("all()", &["", "a=b"], &[]),
    ("global()", &["", "a=b"], &[]),
    ("!all()", &[], &["", "a=b"]),
    ("has(a)", &["a=", "a=b", "a=b c=d"], &["", "b=a"]),
    ("!has(a)", &["", "b=a"], &["a=", "a=b"]),
    (
        "a == 'b'",
        &["a=b", "a=b c=d"],
        &["", "a=", "a=c", "a=B", "A=b", "b=a"],
    ),
    ("a == ''", &["a="], &["", "a=b"]),
    ("a != 'b'", &["", "a=c", "a=", "c=b"], &["a=b", "a=b c=d"]),
    ("!a == 'b'", &["", "a=c"], &["a=b"]),
    ("!a != 'b'", &["a=b"], &["", "a=c"]),
    (
        "a contains 'b'",
        &["a=b", "a=abc", "a=bb"],
        &["", "a=", "a=c", "c=b"],
    ),
    ("a contains ''", &["a=", "a=x"], &["", "b=x"]),
    (
        "a starts with 'b'",
        &["a=b", "a=bcd"],
        &["", "a=ab", "a=", "b=b"],
    ),
    (
        "a ends with 'b'",
        &["a=b", "a=aab"],
        &["", "a=ba", "a=", "b=b"],
    ),
    ("!a contains 'b'", &["", "a=c"], &["a=b"]),
    (
        "a in {'b', 'c'}",
        &["a=b", "a=c"],
        &["", "a=d", "a=", "b=b"],
    ),
    ("a in {}", &[], &["", "a=", "a=b"]),
    ("a not in {'b', 'c'}", &["", "a=d", "b=b"], &["a=b", "a=c"]),
    ("a not in {}", &["", "a=", "a=b"], &[]),
    ("!a in {'b'}", &["", "a=c"], &["a=b"]),
    ("!a not in {'b'}", &["a=b"], &["", "a=c"]),
    ("has(a) && has(b)", &["a=1 b=2"], &["", "a=1", "b=2"]),
    ("has(a) || has(b)", &["a=1 b=2", "a=1", "b=2"], &["", "c=3"]),
    (
        "has(a) || has(b) && has(c)",
        &["a=1", "b=1 c=1"],
        &["b=1", "c=1", ""],
    ),
    (
        "(has(a) || has(b)) && has(c)",
        &["a=1 c=1", "b=1 c=1"],
        &["a=1", "c=1", ""],
    ),
    (
        "has(a) && has(b) || has(c)",
        &["a=1 b=1", "c=1"],
        &["a=1", "b=1"],
    ),
    ("!(has(a) || has(b))", &["", "c=1"], &["a=1", "b=1"]),
    ("!(has(a) && has(b))", &["", "a=1", "b=1"], &["a=1 b=1"]),
    ("a == 'x' && a != 'x'", &[], &["", "a=x", "a=y"]),
    ("a == 'x' || a != 'x'", &["", "a=x", "a=y"], &[]),
    (
        "role == 'db' && !tier in {'old'} || team starts with 'infra'",
        &["role=db", "role=db tier=new", "team=infra-7 tier=old"],
        &["", "role=db tier=old", "team=my-infra"],
    ),
];

#[test]
fn evaluation() {
    for (text, matching, others) in EVALUATED {
        for (set, expected) in [(matching, true), (others, false)] {
            for each in *set {
                assert_eq!(
                    selector(text).evaluate(&labels(each)),
                    expected,
                    "{text:?} on {each:?}"
                );
            }
        }
    }
}

#[test]
fn ids_are_the_same_as_calicos() {
    let cases = [
        ("", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"),
        (" (all() )", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"),
        (
            "! (has( b)||! has(a ))",
            "s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q",
        ),
        (
            "! (a == \"b\"&&! c != \"d\")",
            "s:lh3haoY1ikTRkd4UZu0nWSaIBknYLPJLX16d-w",
        ),
    ];
    for (text, id) in cases {
        assert_eq!(selector(text).unique_id(), id, "{text:?}");
    }
    assert_ne!(
        selector("a == 'b'").unique_id(),
        selector("a == 'c'").unique_id()
    );
}

#[test]
fn prefixes_reach_every_label_and_nothing_else() {
    let cases = [
        ("k == 'v'", r#"p.k == "v""#),
        ("k != 'v'", r#"p.k != "v""#),
        ("k contains 'v'", r#"p.k contains "v""#),
        ("k starts with 'v'", r#"p.k starts with "v""#),
        ("k ends with 'v'", r#"p.k ends with "v""#),
        ("k in {'v'}", r#"p.k in {"v"}"#),
        ("k not in {'v'}", r#"p.k not in {"v"}"#),
        ("has(k)", "has(p.k)"),
        ("all()", "all()"),
        ("global()", "global()"),
        (
            "!(!(k == 'v' && has(t) || all()) && a in {'b', 'c'})",
            r#"!(!((p.k == "v" && has(p.t)) || all()) && p.a in {"b", "c"})"#,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            selector(text).with_prefix("p.").to_string(),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn building_and_reading_trees() {
    let both = Selector::eq("a", "x").and(&Selector::has("b").not());
    assert_eq!(both.to_string(), r#"(a == "x" && !has(b))"#);
    assert_eq!(selector(&both.to_string()), both);
    assert_eq!(both.not().not(), both);
    let either = both.or(&Selector::in_set("c", ["z", "y", "z"]));
    assert_eq!(
        either.to_string(),
        r#"((a == "x" && !has(b)) || c in {"y", "z"})"#
    );
    assert_eq!(
        Selector::not_in_set("c", ["y"]).to_string(),
        r#"c not in {"y"}"#
    );
    assert_eq!(Selector::and_all(vec![]), Selector::all());
    assert_eq!(
        Selector::and_all(vec![Selector::has("a")]),
        Selector::has("a")
    );
    assert_eq!(
        Selector::and_all(vec![
            Selector::has("a"),
            Selector::has("b"),
            Selector::all()
        ])
        .to_string(),
        "(has(a) && has(b) && all())"
    );
    let keys: Vec<_> = selector("a == 'x' || !(has(b) && c in {'y'}) && a != 'z' && all()")
        .keys()
        .into_iter()
        .collect();
    assert_eq!(
        keys.iter().map(|key| &**key).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(
        selector("all() || !all() && has(x)")
            .replacing_all(&Selector::has("n"))
            .to_string(),
        "(has(n) || (!has(n) && has(x)))"
    );
    // Upstream replaces the text wherever it stands, in values too (semantics page §9, quirk 3).
    assert_eq!(
        selector("a == 'all()' && all()")
            .replacing_all(&Selector::has("n"))
            .to_string(),
        r#"(a == "all()" && has(n))"#
    );
    assert_eq!(
        selector("!all()")
            .replacing_all(&selector("!has(n)"))
            .to_string(),
        "has(n)"
    );
}

/// The restrictions as text: `+` present, `-` absent, then the values.
fn restrictions(text: &str) -> String {
    let mut lines = Vec::new();
    for (label, restriction) in selector(text).restrictions() {
        let mut line = label.to_string();
        if restriction.must_be_present {
            line.push('+');
        }
        if restriction.must_be_absent {
            line.push('-');
        }
        if let Some(values) = restriction.one_of {
            line.push_str(&values.into_iter().collect::<Vec<_>>().join("|"));
        }
        lines.push(line);
    }
    lines.join(" ")
}

#[test]
fn restrictions_per_label() {
    let cases = [
        ("", ""),
        ("global()", ""),
        ("!all()", ""),
        ("has(a)", "a+"),
        ("!has(a)", "a-"),
        ("a == 'x'", "a+x"),
        ("!a == 'x'", ""),
        ("a != 'x'", ""),
        ("!a != 'x'", "a+x"),
        ("a in {'x', 'y'}", "a+x|y"),
        ("a in {}", "a+"),
        ("a not in {'x'}", ""),
        ("!a not in {'x'}", "a+x"),
        ("a contains 'x'", "a+"),
        ("a starts with 'x'", "a+"),
        ("a ends with 'x'", "a+"),
        ("!a contains 'x'", ""),
        ("has(a) && b == 'y'", "a+ b+y"),
        ("a in {'x', 'y'} && a in {'y', 'z'}", "a+y"),
        ("a == 'x' && a == 'y'", "a+"),
        ("a == 'x' && has(a)", "a+x"),
        ("has(a) && !has(a)", "a+-"),
        ("a == 'x' || a == 'y'", "a+x|y"),
        ("a == 'x' || b == 'y'", ""),
        ("a == 'x' && c == 'z' || b == 'y' && c == 'z'", "c+z"),
        ("a == 'x' || has(a)", "a+"),
        ("a == 'x' || !has(a)", ""),
        ("!has(a) || !has(a) && has(b)", "a-"),
        ("a == 'x' || all()", ""),
        ("!(has(a) || has(b))", "a- b-"),
        ("!(has(a) && has(b))", ""),
        ("!(a != 'x' || b != 'y')", "a+x b+y"),
        ("!(a != 'x' && a != 'y')", "a+x|y"),
        ("all() && a == 'x'", "a+x"),
    ];
    for (text, expected) in cases {
        assert_eq!(restrictions(text), expected, "{text:?}");
    }
    let impossible = selector("a == 'x' && a == 'y'").restrictions();
    assert!(impossible["a"].is_impossible());
    assert!(selector("has(a) && !has(a)").restrictions()["a"].is_impossible());
    assert!(!selector("has(a)").restrictions()["a"].is_impossible());
}
