//! Which texts are selectors, how they read in canonical form, and what the others are told.

use super::{LABEL_LENGTH_MAX, NESTING_MAX, canonical, parse, refusal};

const ACCEPTED: &[(&str, &str)] = &[
    // Nothing and everything.
    ("", "all()"),
    ("   ", "all()"),
    ("\t \t", "all()"),
    ("all()", "all()"),
    ("all( \t)", "all()"),
    ("(((all())))", "all()"),
    ("global()", "global()"),
    ("global( )", "global()"),
    // has
    ("has(a)", "has(a)"),
    ("has( a\t)", "has(a)"),
    ("has(a.b/c-d_e)", "has(a.b/c-d_e)"),
    ("has(has)", "has(has)"),
    ("has(1)", "has(1)"),
    // Comparisons and quoting.
    ("a=='b'", r#"a == "b""#),
    ("a == \"b\"", r#"a == "b""#),
    ("a==''", r#"a == """#),
    (r#"a == "it's""#, r#"a == "it's""#),
    (r#"a == 'say "x"'"#, r#"a == 'say "x"'"#),
    ("a == ' b '", r#"a == " b ""#),
    ("a == 'x\ny'", "a == \"x\ny\""),
    ("a == 'ünïcode ✓'", r#"a == "ünïcode ✓""#),
    ("a == '&& || ! ( ) {'", r#"a == "&& || ! ( ) {""#),
    (r"a == 'back\slash'", r#"a == "back\slash""#),
    ("a!='b'", r#"a != "b""#),
    ("a != 'b'", r#"a != "b""#),
    ("a contains 'b'", r#"a contains "b""#),
    ("a contains'b'", r#"a contains "b""#),
    ("a starts with 'b'", r#"a starts with "b""#),
    ("a starts\t with 'b'", r#"a starts with "b""#),
    ("a startswith 'b'", r#"a starts with "b""#),
    ("a ends with 'b'", r#"a ends with "b""#),
    ("a endswith'b'", r#"a ends with "b""#),
    // Sets.
    ("a in {}", "a in {}"),
    ("a in { }", "a in {}"),
    ("a in {'b'}", r#"a in {"b"}"#),
    ("a in{'b'}", r#"a in {"b"}"#),
    ("a in {'b',}", r#"a in {"b"}"#),
    ("a in {'c','a' , 'b'}", r#"a in {"a", "b", "c"}"#),
    ("a in {'b','b',\"b\"}", r#"a in {"b"}"#),
    (r#"a in {'"', "'"}"#, r#"a in {'"', "'"}"#),
    ("a not in {'b'}", r#"a not in {"b"}"#),
    ("a notin {'b'}", r#"a not in {"b"}"#),
    ("a not \t in{'b'}", r#"a not in {"b"}"#),
    ("a not in {}", "a not in {}"),
    // Keywords are labels before an operator.
    (
        "contains contains 'contains'",
        r#"contains contains "contains""#,
    ),
    ("in in {'in'}", r#"in in {"in"}"#),
    ("not == 'x'", r#"not == "x""#),
    ("not not in {'x'}", r#"not not in {"x"}"#),
    ("starts starts with 'x'", r#"starts starts with "x""#),
    ("ends endswith 'x'", r#"ends ends with "x""#),
    ("all == 'x'", r#"all == "x""#),
    ("has != 'x'", r#"has != "x""#),
    ("global in {'x'}", r#"global in {"x"}"#),
    ("hasty == 'x'", r#"hasty == "x""#),
    ("allow == 'x'", r#"allow == "x""#),
    ("a.b/c-d_E9 == 'x'", r#"a.b/c-d_E9 == "x""#),
    ("-/. == 'x'", r#"-/. == "x""#),
    // Negation.
    ("!has(a)", "!has(a)"),
    ("! has(a)", "!has(a)"),
    ("!!has(a)", "has(a)"),
    ("! ! \t!has(a)", "!has(a)"),
    ("!(has(a))", "!has(a)"),
    ("!(!has(a))", "has(a)"),
    ("!!(!(has(a)))", "!has(a)"),
    ("!(k=='v')", r#"!k == "v""#),
    ("!a in {'x'}", r#"!a in {"x"}"#),
    ("!all()", "!all()"),
    ("!(a == 'b' || has(c))", r#"!(a == "b" || has(c))"#),
    // && binds tighter than ||; groups are always in parentheses.
    ("has(a)&&has(b)", "(has(a) && has(b))"),
    ("has(a)||has(b)", "(has(a) || has(b))"),
    (
        "has(a) || has(b) && has(c)",
        "(has(a) || (has(b) && has(c)))",
    ),
    (
        "has(a) && has(b) || has(c)",
        "((has(a) && has(b)) || has(c))",
    ),
    (
        "(has(a) || has(b)) && has(c)",
        "((has(a) || has(b)) && has(c))",
    ),
    ("has(a) && has(b) && has(c)", "(has(a) && has(b) && has(c))"),
    (
        "has(a) && (has(b) && has(c))",
        "(has(a) && (has(b) && has(c)))",
    ),
    ("!has(a) && !has(b)", "(!has(a) && !has(b))"),
    ("(has(a) && has(b))", "(has(a) && has(b))"),
    (
        "a == 'b' && b contains 'c' || c in {'d'} && !e != 'f'",
        r#"((a == "b" && b contains "c") || (c in {"d"} && !e != "f"))"#,
    ),
    ("(a == 'b')&&(has(c))", r#"(a == "b" && has(c))"#),
    ("all() && has(a)", "(all() && has(a))"),
];

#[test]
fn accepted_texts_have_one_canonical_form() {
    let long = "l".repeat(LABEL_LENGTH_MAX);
    for (text, expected) in ACCEPTED {
        assert_eq!(canonical(text), *expected, "{text:?}");
        assert_eq!(canonical(expected), *expected, "canonical form of {text:?}");
    }
    assert_eq!(canonical(&format!("has({long})")), format!("has({long})"));
}

const REFUSED: &[(&str, usize, &str)] = &[
    // Words and signs.
    ("'FOO", 0, "unterminated string"),
    ("\"FOO'", 0, "unterminated string"),
    ("a == 'b", 5, "unterminated string"),
    ("a == \"b'", 5, "unterminated string"),
    ("a = 'b'", 2, "expected =="),
    ("a =", 2, "expected =="),
    ("=", 0, "expected =="),
    ("has(a) & has(b)", 7, "expected &&"),
    ("has(a) &", 7, "expected &&"),
    ("has(a) | has(b)", 7, "expected ||"),
    ("has(a) |", 7, "expected ||"),
    ("a b", 2, r#"expected operator after label "a""#),
    ("a b == 'c'", 2, r#"expected operator after label "a""#),
    ("a all()", 2, r#"expected operator after label "a""#),
    ("a has(b)", 2, r#"expected operator after label "a""#),
    ("a starts 'b'", 2, r#"expected operator after label "a""#),
    ("a starts b", 2, r#"expected operator after label "a""#),
    ("a ends", 2, r#"expected operator after label "a""#),
    ("a not 'b'", 2, r#"expected operator after label "a""#),
    ("a not {'b'}", 2, r#"expected operator after label "a""#),
    ("a inx {'b'}", 2, r#"expected operator after label "a""#),
    ("a in2 {'b'}", 2, r#"expected operator after label "a""#),
    ("a in-x {'b'}", 2, r#"expected operator after label "a""#),
    ("a containsx 'b'", 2, r#"expected operator after label "a""#),
    (
        "a startswithx 'b'",
        2,
        r#"expected operator after label "a""#,
    ),
    ("a notinx {'b'}", 2, r#"expected operator after label "a""#),
    ("a IN {'b'}", 2, r#"expected operator after label "a""#),
    ("a Contains 'b'", 2, r#"expected operator after label "a""#),
    ("a ~ 'b'", 2, r#"expected operator after label "a""#),
    ("a\n== 'b'", 1, r#"expected operator after label "a""#),
    ("has(", 4, "no label name in has( expression"),
    ("has()", 4, "no label name in has( expression"),
    ("has( )", 5, "no label name in has( expression"),
    ("has('a')", 4, "no label name in has( expression"),
    ("has(a", 5, "no closing ')' after has("),
    ("has(a b)", 6, "no closing ')' after has("),
    ("has(a == 'b')", 6, "no closing ')' after has("),
    ("all(", 4, "no closing ')' after all("),
    ("all(x)", 4, "no closing ')' after all("),
    ("global(", 7, "no closing ')' after global("),
    ("global(x", 7, "no closing ')' after global("),
    ("%", 0, "unexpected character '%'"),
    ("a == 'b' && %", 12, "unexpected character '%'"),
    ("ä == 'b'", 0, "unexpected character 'ä'"),
    ("\nall()", 0, r"unexpected character '\n'"),
    ("all()\n", 5, r"unexpected character '\n'"),
    ("a == 'b'\r", 8, r"unexpected character '\r'"),
    (
        "a == 'b' && \u{a0}has(c)",
        12,
        r"unexpected character '\u{a0}'",
    ),
    (";", 0, "unexpected character ';'"),
    // Sentences.
    ("a", 1, "unexpected end of string looking for op"),
    ("a ", 2, "unexpected end of string looking for op"),
    ("has(foo) &&", 11, "unexpected end of string looking for op"),
    (
        "has(foo) || ",
        12,
        "unexpected end of string looking for op",
    ),
    ("!", 1, "unexpected end of string looking for op"),
    ("(", 1, "unexpected end of string looking for op"),
    ("(!", 2, "unexpected end of string looking for op"),
    ("(a == 'foo'", 11, "expected )"),
    ("((has(a))", 9, "expected )"),
    ("(has(a) has(b))", 8, "expected )"),
    ("(has(a) 'x')", 8, "expected )"),
    ("a in {'b'", 9, "expected }"),
    ("a in {'b' 'c'}", 10, "expected }"),
    ("a in {b}", 6, "expected }"),
    ("a in {,}", 6, "expected }"),
    ("a in {'b',,}", 10, "expected }"),
    ("foo in {\"\", ||", 12, "expected }"),
    ("a == b", 5, "expected string"),
    ("a == ", 5, "expected string"),
    ("a != has(b)", 5, "expected string"),
    ("a != ||", 5, "expected string"),
    ("a contains b", 11, "expected string"),
    ("a starts with b", 14, "expected string"),
    ("a ends with b", 12, "expected string"),
    ("a contains {'b'}", 11, "expected string"),
    ("a == {'b'}", 5, "expected string"),
    ("a in 'b'", 5, "expected set literal"),
    ("a in", 4, "expected set literal"),
    ("a not in b", 9, "expected set literal"),
    ("a in ('b')", 5, "expected set literal"),
    ("a 'b'", 2, "expected == or != not: string \"b\""),
    ("a && b == 'c'", 2, "expected == or != not: &&"),
    ("a )", 2, "expected == or != not: )"),
    ("a ! b", 2, "expected == or != not: !"),
    ("all ()", 4, "expected == or != not: ("),
    ("has (a)", 4, "expected == or != not: ("),
    ("'b1' == b", 0, "unexpected token: string \"b1\""),
    (")", 0, "unexpected token: )"),
    ("()", 1, "unexpected token: )"),
    ("!)", 1, "unexpected token: )"),
    ("&& has(a)", 0, "unexpected token: &&"),
    ("has(a) && && has(b)", 10, "unexpected token: &&"),
    ("has(a) || || has(b)", 10, "unexpected token: ||"),
    ("{}", 0, "unexpected token: {"),
    (",", 0, "unexpected token: ,"),
    ("!= 'a'", 0, "unexpected token: !="),
    ("== 'a'", 0, "unexpected token: =="),
    (
        "has(a) has(b)",
        7,
        "unexpected content at end of selector: has(b)",
    ),
    ("has(a) )", 7, "unexpected content at end of selector: )"),
    ("(has(a)))", 8, "unexpected content at end of selector: )"),
    (
        "all() b == 'c'",
        6,
        "unexpected content at end of selector: label \"b\"",
    ),
    (
        "a == 'b' 'c'",
        9,
        "unexpected content at end of selector: string \"c\"",
    ),
    (
        "a == 'b' == 'c'",
        9,
        "unexpected content at end of selector: ==",
    ),
    (
        "a in {'b'} {'c'}",
        11,
        "unexpected content at end of selector: {",
    ),
    ("all() !", 6, "unexpected content at end of selector: !"),
];

#[test]
fn refused_texts_say_what_and_where() {
    for (text, offset, phrase) in REFUSED {
        let error = refusal(text);
        assert_eq!(
            (error.offset, error.kind.to_string().as_str()),
            (*offset, *phrase),
            "{text:?}"
        );
        assert_eq!(error.to_string(), format!("{phrase}, at byte {offset}"));
        assert!(
            text.get(error.offset..error.offset + error.length)
                .is_some(),
            "{text:?}"
        );
    }
}

#[test]
fn labels_have_a_greatest_length() {
    let long = "l".repeat(LABEL_LENGTH_MAX + 1);
    for text in [format!("{long} == 'x'"), format!("has({long})"), long] {
        let error = refusal(&text);
        assert_eq!(error.kind.to_string(), "label too long: at most 512 bytes");
        assert_eq!(error.length, LABEL_LENGTH_MAX + 1);
    }
    let value = "v".repeat(100_000);
    parse(&format!("a == '{value}'")).expect("values have no limit");
}

#[test]
fn nesting_has_a_greatest_depth_and_never_the_stack() {
    let nested = |depth: usize| format!("{}has(a){}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(canonical(&nested(NESTING_MAX)), "has(a)");
    let error = refusal(&nested(NESTING_MAX + 1));
    assert_eq!(
        error.kind.to_string(),
        "nesting too deep: at most 512 levels of parentheses"
    );
    assert_eq!(error.offset, NESTING_MAX);

    // Each written level becomes two in the canonical form.
    let ladder = |depth: usize| {
        format!(
            "{}has(z){}",
            "has(a) || has(b) && (".repeat(depth),
            ")".repeat(depth)
        )
    };
    let deepest = canonical(&ladder(NESTING_MAX / 2));
    assert_eq!(canonical(&deepest), deepest);
    refusal(&ladder(NESTING_MAX / 2 + 1));

    // Attacks: none of them may use the stack.
    for attack in ["(", "!", "!(", "(!", "has(a)||(", "has(a)&&!("] {
        let text = attack.repeat(200_000);
        refusal(&text);
        assert!(parse(&format!("{text}has(a)")).is_err() || attack == "!");
    }
    let wide = vec!["has(a)"; 100_000].join(" || ");
    assert_eq!(canonical(&wide).len(), wide.len() + 2);
}

#[test]
fn the_deepest_selector_is_walked_on_a_small_stack() {
    let text = format!(
        "{}has(z){}",
        "has(a) || has(b) && !(".repeat(NESTING_MAX / 2),
        ")".repeat(NESTING_MAX / 2)
    );
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            let selector = parse(&text).expect("within the limit");
            let prefixed = selector.with_prefix("p.");
            assert_eq!(prefixed.keys().len(), 3);
            assert!(!prefixed.evaluate(&super::labels("")));
            assert!(prefixed.restrictions().is_empty());
            assert_eq!(selector.unique_id().len(), 40);
        })
        .expect("a thread starts")
        .join()
        .expect("the walk ends");
}
