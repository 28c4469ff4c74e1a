//! What files that are too large, binary or built to hurt get.

use std::fmt::Write as _;

use oncilla_api::manifest::{Limits, decode};
use oncilla_api::{Code, Kind, Object, Remains, Remnant};

use crate::{pretty_compare, rendered};

#[track_caller]
fn check_bytes(bytes: &[u8], limits: &Limits, expected: &str) {
    let manifest = decode("policy.yaml", bytes, limits);
    pretty_compare(&rendered(&manifest), expected);
    assert!(manifest.objects.is_empty());
}

#[test]
fn a_file_above_the_limit_is_refused_before_parsing() {
    // Not even text: parsing it would say so.
    let bytes = vec![0xFF; 32 * 1024 * 1024 + 1];
    check_bytes(
        &bytes,
        &Limits::default(),
        "error: policy.yaml:1:1: the file has 33554433 bytes, more than the limit of 33554432 (32 MiB)\n\
         help: split it into several files\n",
    );
}

#[test]
fn a_binary_file_is_named_so() {
    check_bytes(
        b"\x7fELF\x02\x01\x01\x00\x00",
        &Limits::default(),
        "error: policy.yaml:1:8: the file is binary: it has a zero byte here\n\
         help: manifests are YAML or JSON in UTF-8\n",
    );
}

#[test]
fn other_encodings_are_refused_at_the_first_byte_that_shows_them() {
    check_bytes(
        b"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: \xe4\n",
        &Limits::default(),
        "error: policy.yaml:4:9: byte 0xe4 is not UTF-8\n\
         help: manifests are YAML or JSON in UTF-8: is this file binary, or in another encoding?\n",
    );
    check_bytes(
        b"\xff\xfea\0p\0i\0",
        &Limits::default(),
        "error: policy.yaml:1:1: the file is UTF-16\nhelp: save it as UTF-8\n",
    );
}

#[test]
fn a_byte_order_mark_is_no_fault() {
    let bytes = b"\xef\xbb\xbfapiVersion: v1\nkind: Namespace\nmetadata:\n  name: A\n";
    check_bytes(
        bytes,
        &Limits::default(),
        "error: policy.yaml:4:9: Namespace A\n       metadata.name: name must consist of lower case alphanumeric \
         characters or '-', and start and end with an alphanumeric character\nhelp: write `name: a`\n",
    );
}

/// Ten aliases of ten aliases of …, ten levels: ten thousand million values in 600 bytes.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..=9 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{below}]").unwrap();
    }
    text
}

#[test]
fn an_alias_bomb_is_stopped() {
    check_bytes(
        bomb().as_bytes(),
        &Limits::default(),
        "error: policy.yaml:5:45: aliases expand to more values than the limit of 100000\n\
         help: write the values out instead of nesting aliases\n",
    );
}

#[test]
fn a_bomb_of_merges_is_stopped() {
    let mut text = String::from("a0: &a0 {x: 1}\n");
    for level in 1..=40 {
        let below = format!("*a{}", level - 1);
        writeln!(
            text,
            "a{level}: &a{level} {{<<: [{below}, {below}], k{level}: {below}}}"
        )
        .unwrap();
    }
    let manifest = decode("policy.yaml", text.as_bytes(), &Limits::default());
    assert_eq!(manifest.diagnostics.len(), 1);
    assert_eq!(manifest.diagnostics[0].code, Code::Limit);
}

#[test]
fn an_alias_of_itself_is_refused() {
    check_bytes(
        b"a: &a [1, *a]\n",
        &Limits::default(),
        "error: policy.yaml:1:11: the alias stands inside the value that it repeats\n\
         help: write the value out\n",
    );
}

#[test]
fn deep_nesting_is_stopped_in_every_style() {
    let flow = format!("a: {}", "[".repeat(100_000));
    check_bytes(
        flow.as_bytes(),
        &Limits::default(),
        "error: policy.yaml:1:68: lists and mappings are nested deeper than the limit of 64\n\
         help: close brackets earlier, or check the indentation: no object needs so many\n",
    );
    let json = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    check_bytes(
        json.as_bytes(),
        &Limits::default(),
        "error: policy.yaml:1:321: lists and mappings are nested deeper than the limit of 64\n\
         help: close brackets earlier, or check the indentation: no object needs so many\n",
    );
    let mut block = String::new();
    for depth in 0..65 {
        writeln!(block, "{}a:", " ".repeat(depth)).unwrap();
    }
    let manifest = decode("policy.yaml", block.as_bytes(), &Limits::default());
    assert_eq!(manifest.diagnostics[0].code, Code::Limit);
    // Aliases count with what they repeat.
    let mut ladder = String::from("a0: &a0 [x]\n");
    for level in 1..=70 {
        writeln!(ladder, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    let manifest = decode("policy.yaml", ladder.as_bytes(), &Limits::default());
    assert_eq!(manifest.diagnostics[0].code, Code::Limit);
    assert_eq!(manifest.diagnostics[0].line, 64);
}

#[test]
fn sixty_four_levels_are_enough_for_everybody() {
    let json = format!("{}1{}", "{\"a\":".repeat(64), "}".repeat(64));
    let manifest = decode("policy.json", json.as_bytes(), &Limits::default());
    assert_eq!(manifest.diagnostics[0].code, Code::MissingField);
}

#[test]
fn values_are_counted() {
    let limits = Limits {
        nodes_max: 10,
        ..Limits::default()
    };
    check_bytes(
        b"- 1\n- 2\n- 3\n- 4\n- 5\n---\n- 6\n- 7\n- 8\n- 9\n",
        &limits,
        "error: policy.yaml:1:1: expected an object\n\
         help: an object starts with `apiVersion:` and `kind:`\n\
         error: policy.yaml:10:3: the file has more values than the limit of 10\n\
         help: split it into several files\n",
    );
}

#[test]
fn an_honest_list_of_a_hundred_thousand_items_is_read() {
    let mut text = String::from(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata:\n  name: big\nspec:\n  nets:\n",
    );
    for number in 0..100_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        writeln!(text, "  - 10.{a}.{b}.{c}/32").unwrap();
    }
    let manifest = decode("big.yaml", text.as_bytes(), &Limits::default());
    assert_eq!(rendered(&manifest), "");
    assert_eq!(manifest.objects.len(), 1);
}

/// Fifty faults are told, and how many there are besides; and asking for what is left of it takes no time that grows
/// with the square of them.
#[test]
fn a_hundred_thousand_faults_are_counted() {
    let nets: Vec<String> = (0..100_000).map(|number| format!("net-{number}")).collect();
    let value = serde_json::json!({"metadata": {"name": "a"}, "spec": {"nets": nets}});
    let errors = Object::from_value(Kind::GlobalNetworkSet, value.clone()).unwrap_err();
    assert_eq!(errors.len(), 51);
    assert_eq!(errors[49].path, "spec.nets[49]");
    assert_eq!(errors[50].to_string(), "99950 more faults are not told");
    let remains = Remains::new(Kind::GlobalNetworkSet, &value, &errors);
    // Nobody can say what it holds: every rule that names it is closed.
    assert_eq!(remains.field("spec.nets"), Remnant::Unknown);
    assert_eq!(remains.count("spec.nets"), None);
}
