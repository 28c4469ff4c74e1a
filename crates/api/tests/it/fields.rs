//! What fields that do not fit get.

use crate::check;

#[test]
fn an_unknown_field_is_suggested() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  selectr: app == 'x'
  types: [Ingress]
",
        r#"error: policy.yaml:7:3: NetworkPolicy production/deny
       spec.selectr: unknown field "selectr"
help: did you mean `selector`?
"#,
    );
}

#[test]
fn a_field_of_another_kind_is_unknown() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  preDNAT: true
",
        r#"error: policy.yaml:7:3: NetworkPolicy production/deny
       spec.preDNAT: unknown field "preDNAT"
help: known here: tier, order, ingress, egress, selector, types, serviceAccountSelector, performanceHints
"#,
    );
}

#[test]
fn all_unknown_fields_are_reported_at_once() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  oder: 1
  ingress:
  - acton: Allow
  - action: Allow
    source:
      net: [10.0.0.0/8]
  - action: allow
",
        r#"error: policy.yaml:7:3: NetworkPolicy production/deny
       spec.oder: unknown field "oder"
help: did you mean `order`?
error: policy.yaml:9:5: NetworkPolicy production/deny
       spec.ingress[0].acton: unknown field "acton"
help: did you mean `action`?
error: policy.yaml:9:5: NetworkPolicy production/deny
       spec.ingress[0]: "action" is required
help: add `action:`
error: policy.yaml:12:7: NetworkPolicy production/deny
       spec.ingress[1].source.net: unknown field "net"
help: did you mean `nets`?
error: policy.yaml:13:13: NetworkPolicy production/deny
       spec.ingress[2].action: unknown value "allow"
help: did you mean `Allow`?
"#,
    );
}

#[test]
fn a_wrong_type_says_what_was_expected() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  order: first
",
        r#"error: policy.yaml:7:10: NetworkPolicy production/deny
       spec.order: expected a number, found string "first"
help: write a number, as in 10
"#,
    );
}

#[test]
fn a_quoted_number_is_no_number() {
    check(
        r#"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  order: "10"
"#,
        r#"error: policy.yaml:7:10: NetworkPolicy production/deny
       spec.order: expected a number, found string "10"
help: write 10 without quotes
"#,
    );
}

#[test]
fn a_label_must_be_a_text() {
    check(
        r"apiVersion: v1
kind: Namespace
metadata:
  name: a
  labels:
    version: 1.5
    active: true
",
        r#"error: policy.yaml:6:14: Namespace a
       metadata.labels.version: expected a string, found number 1.5
help: put it in quotes: "1.5"
error: policy.yaml:7:13: Namespace a
       metadata.labels.active: expected a string, found boolean true
help: put it in quotes: "true"
"#,
    );
}

#[test]
fn a_mapping_where_a_list_belongs() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
    action: Allow
",
        r"error: policy.yaml:7:3: NetworkPolicy production/deny
       spec.ingress: expected a list, found a mapping
help: start each item with `- `
",
    );
}

#[test]
fn a_list_where_a_mapping_belongs() {
    check(
        r"apiVersion: v1
kind: Namespace
metadata:
- name: a
",
        r"error: policy.yaml:3:1: Namespace
       metadata: expected a mapping, found a list
help: remove the `- `
",
    );
}

#[test]
fn an_unknown_action_is_suggested() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Alow
  - action: Drop
",
        r#"error: policy.yaml:8:13: NetworkPolicy production/deny
       spec.ingress[0].action: unknown value "Alow"
help: did you mean `Allow`?
error: policy.yaml:9:13: NetworkPolicy production/deny
       spec.ingress[1].action: unknown value "Drop"
help: expected one of: Allow, Deny, Log, Pass
"#,
    );
}

#[test]
fn a_missing_action_is_required() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - source: {}
",
        r#"error: policy.yaml:8:5: NetworkPolicy production/deny
       spec.ingress[0]: "action" is required
help: add `action:`
"#,
    );
}

#[test]
fn an_unknown_direction_is_suggested() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  types:
  - ingress
",
        r#"error: policy.yaml:8:5: NetworkPolicy production/deny
       spec.types[0]: unknown value "ingress"
help: did you mean `Ingress`?
"#,
    );
}

#[test]
fn a_protocol_of_another_type() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    protocol: true
",
        r"error: policy.yaml:9:15: NetworkPolicy production/deny
       spec.ingress[0].protocol: expected a protocol name or a number from 1 to 255, found boolean true
help: write a protocol name or a number from 1 to 255
",
    );
}

#[test]
fn a_faulty_field_hides_no_fault_beside_it() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    protocol: 300
    source:
      nets: [internet]
      ports: ['80:']
  - action: Alow
    ipVersion: 5
    destination:
      nets: [010.0.0.0/8]
",
        r#"error: policy.yaml:9:15: NetworkPolicy production/deny
       spec.ingress[0].protocol: protocol number invalid: expected 1 to 255
help: write a name, as in TCP, or a number from 1 to 255
error: policy.yaml:11:14: NetworkPolicy production/deny
       spec.ingress[0].source.nets[0]: invalid CIDR "internet"
help: write an address, a slash and a prefix length, as in 10.0.0.0/8
error: policy.yaml:12:15: NetworkPolicy production/deny
       spec.ingress[0].source.ports[0]: invalid port format (80:)
help: write a port, as in 80, a range, as in "8000:8080", or the name of a port
error: policy.yaml:13:13: NetworkPolicy production/deny
       spec.ingress[1].action: unknown value "Alow"
help: did you mean `Allow`?
error: policy.yaml:14:16: NetworkPolicy production/deny
       spec.ingress[1].ipVersion: expected 4 or 6
help: write `ipVersion: 4` or `ipVersion: 6`, or leave it out for both
error: policy.yaml:16:14: NetworkPolicy production/deny
       spec.ingress[1].destination.nets[0]: invalid CIDR "010.0.0.0/8": a number has a leading zero
help: write 10.0.0.0/8
"#,
    );
}

#[test]
fn what_is_missing_only_because_it_is_faulty_is_not_reported_twice() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny
spec:
  podSelector: {}
  ingress:
  - ports:
    - port: [80]
      endPort: 90
    from:
    - podSelector: all
",
        r"error: policy.yaml:9:7: NetworkPolicy default/deny
       spec.ingress[0].ports[0].port: expected a port number or a port name, found a list
help: write a port number or a port name
error: policy.yaml:12:20: NetworkPolicy default/deny
       spec.ingress[0].from[0].podSelector: expected a mapping, found a string
help: write a mapping: its fields on the lines below, indented
",
    );
}
