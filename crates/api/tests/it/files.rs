//! What files that are no manifests get.

use crate::check;

#[test]
fn an_empty_file_is_refused() {
    check(
        r"",
        r"error: policy.yaml:1:1: the file is empty
help: an object starts with `apiVersion:` and `kind:`
",
    );
}

#[test]
fn a_file_of_comments_is_refused() {
    check(
        r"# nothing here
---
---
",
        r"error: policy.yaml:1:1: the file holds no object
help: an object starts with `apiVersion:` and `kind:`
",
    );
}

#[test]
fn a_tab_is_no_indentation() {
    check(
        r"apiVersion: v1
kind: Namespace
metadata:
	name: a
",
        r"error: policy.yaml:4:2: neither YAML nor JSON: tabs disallowed within this context (block indentation)
help: indent with spaces
",
    );
}

#[test]
fn an_unclosed_quote_is_found() {
    check(
        r#"apiVersion: v1
kind: Namespace
metadata:
  name: "a
"#,
        r"error: policy.yaml:5:1: neither YAML nor JSON: invalid indentation in multiline quoted scalar
help: close the quotes of the text before this place
",
    );
}

#[test]
fn a_broken_document_does_not_hide_the_next() {
    check(
        r"apiVersion: v1
kind: Namespace
metadata:
  name: good
---
apiVersion: v1
kind: [Namespace
---
apiVersion: v1
kind: Namespace
metadata:
  name: UPPER
",
        r"error: policy.yaml:7:7: neither YAML nor JSON: unclosed bracket '['
help: close the bracket
error: policy.yaml:12:9: Namespace UPPER
       metadata.name: name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character
help: write `name: upper`
",
    );
}

#[test]
fn a_text_is_no_object() {
    check(
        r"just some words
",
        r"error: policy.yaml:1:1: expected an object
help: an object starts with `apiVersion:` and `kind:`
",
    );
}

#[test]
fn a_duplicate_key_is_refused() {
    check(
        r"apiVersion: v1
kind: Pod
metadata:
  name: a
  labels:
    app: web
    tier: x
    app: api
spec:
  containers:
  - name: c
",
        r#"error: policy.yaml:8:5: Pod default/a
       metadata.labels.app: duplicate key "app"
help: it is already on line 6: remove one of the two
"#,
    );
}

#[test]
fn a_duplicate_field_in_json_is_refused() {
    check(
        r#"{"apiVersion":"v1","kind":"Namespace",
 "metadata":{"name":"a","name":"b"}}
"#,
        r#"error: policy.yaml:2:25: Namespace a
       metadata.name: duplicate key "name"
help: it is already on line 2: remove one of the two
"#,
    );
}

#[test]
fn a_leading_zero_is_ambiguous() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  order: 010
",
        r#"error: policy.yaml:7:10: NetworkPolicy production/deny
       the number 010 has a leading zero, which some readers take for octal
help: write 10 for the number, or "010" for the text
"#,
    );
}

#[test]
fn not_a_number_is_refused() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  order: .nan
",
        r"error: policy.yaml:7:10: NetworkPolicy production/deny
       .nan is not a finite number
help: leave the field out, or put the text in quotes
",
    );
    check(
        r"kind: NetworkPolicy
metadata:
  namespace: production
  name: deny
  generation: 1e400
",
        r"error: policy.yaml:5:15: NetworkPolicy production/deny
       1e400 is not a finite number
help: leave the field out, or put the text in quotes
",
    );
}

#[test]
fn an_unknown_alias_is_explained() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  selector: *web
",
        r"error: policy.yaml:7:13: neither YAML nor JSON: while parsing node, found unknown anchor
help: an alias (`*name`) needs an anchor (`&name`) before it; put the text in quotes if it is no alias
",
    );
}

#[test]
fn an_unknown_tag_is_refused() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  selector: !vault x
",
        r"error: policy.yaml:7:20: NetworkPolicy production/deny
       the tag !vault is not supported
help: remove the tag
",
    );
}

#[test]
fn two_objects_of_one_name_are_refused() {
    check(
        r"apiVersion: v1
kind: Namespace
metadata:
  name: a
---
apiVersion: v1
kind: Namespace
metadata:
  name: b
---
apiVersion: v1
kind: Namespace
metadata:
  name: a
",
        r"error: policy.yaml:14:9: Namespace a
       metadata.name: Namespace a is already at policy.yaml:4
help: give it another name, or remove one of the two
",
    );
}

#[test]
fn a_merge_of_a_text_is_refused() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  <<: words
",
        r"error: policy.yaml:7:3: NetworkPolicy production/deny
       `<<` needs a mapping or a list of mappings
help: write `<<: *name` with an anchor on a mapping
",
    );
}
