//! What faulty Calico objects get.

use crate::check;

#[test]
fn ports_need_a_protocol() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny-database-from-frontend
  namespace: production
spec:
  selector: app == 'database'
  ingress:
    - action: Deny
      source:
        selector: app == 'frontend'
    - action: Allow
      source:
        selector: app == 'backend'
      destination:
        ports:
          - 5432
",
        r"error: policy.yaml:16:9: NetworkPolicy production/deny-database-from-frontend
       spec.ingress[1]: rules with numeric port or port range must set protocol to TCP or UDP or SCTP
help: add `protocol: TCP` beside `action:` (line 12)
",
    );
}

#[test]
fn ports_need_a_protocol_that_has_ports() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    protocol: ICMP
    destination:
      ports: [http]
",
        r"error: policy.yaml:11:7: NetworkPolicy production/deny
       spec.ingress[0]: rules that specify ports must set protocol to TCP or UDP or SCTP
help: remove the ports, or change `protocol:` (line 9)
",
    );
}

#[test]
fn a_bad_selector_is_marked() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  selector: app = 'web'
",
        r"error: policy.yaml:7:17: NetworkPolicy production/deny
       spec.selector: invalid selector: expected ==, at character 5, where it says = 'web'
help: write `==`
",
    );
}

#[test]
fn a_bad_selector_in_quotes_is_marked() {
    check(
        r#"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Deny
    source:
      selector: "app == 'a' && (role == 'b'"
      notSelector: 'app in {''x''} has(y)'
"#,
        r"error: policy.yaml:10:44: NetworkPolicy production/deny
       spec.ingress[0].source.selector: invalid selector: expected ), at the end
help: close the parenthesis
error: policy.yaml:11:20: NetworkPolicy production/deny
       spec.ingress[0].source.notSelector: invalid selector: unexpected content at end of selector: has(y), at character 14, where it says has(y)
help: selectors look like: app == 'web' && role in {'a', 'b'} && !has(legacy)
",
    );
}

#[test]
fn a_selector_is_one_line() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  selector: |
    a == 'x' &&
    b == 'y'
",
        r"error: policy.yaml:8:5: NetworkPolicy production/deny
       spec.selector: invalid selector: unexpected character '\n', at character 12, where a line ends
help: a selector is one line: write it behind its field, or fold it with `>-`
",
    );
}

#[test]
fn a_selector_that_is_a_word() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  serviceAccountSelector: frontend
",
        r"error: policy.yaml:7:35: NetworkPolicy production/deny
       spec.serviceAccountSelector: invalid selector: unexpected end of string looking for op, at the end
help: selectors look like: app == 'web' && role in {'a', 'b'} && !has(legacy)
",
    );
}

#[test]
fn a_long_selector_is_refused() {
    let text = format!(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  selector: app == '{}'
",
        "x".repeat(1100)
    );
    check(
        &text,
        r"error: policy.yaml:7:13: NetworkPolicy production/deny
       spec.selector: the selector has 1109 characters, more than the limit of 1024
help: give the endpoints a label of their own, or split the policy
",
    );
}

#[test]
fn global_has_one_place() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: deny
spec:
  namespaceSelector: global()
  ingress:
  - action: Allow
    source:
      namespaceSelector: global() || all()
  - action: Allow
    source:
      namespaceSelector: global()
",
        r"error: policy.yaml:6:22: GlobalNetworkPolicy deny
       spec.namespaceSelector: global() can only be used in an EntityRule namespaceSelector
help: move it to the `namespaceSelector:` of a rule's source or destination
error: policy.yaml:10:26: GlobalNetworkPolicy deny
       spec.ingress[0].source.namespaceSelector: global() cannot be combined with other selectors
help: write `namespaceSelector: global()`, or another selector without it
",
    );
}

#[test]
fn a_bad_cidr_is_refused() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    source:
      nets: [10.0.0.0/33, internet, 10.0.0.1]
",
        r#"error: policy.yaml:10:14: NetworkPolicy production/deny
       spec.ingress[0].source.nets[0]: invalid CIDR "10.0.0.0/33": IPv4 addresses have 32 bits
help: write a prefix length from 0 to 32
error: policy.yaml:10:27: NetworkPolicy production/deny
       spec.ingress[0].source.nets[1]: invalid CIDR "internet"
help: write an address, a slash and a prefix length, as in 10.0.0.0/8
error: policy.yaml:10:37: NetworkPolicy production/deny
       spec.ingress[0].source.nets[2]: invalid CIDR "10.0.0.1": the prefix length is missing
help: write 10.0.0.1/32 for the one address
"#,
    );
}

#[test]
fn host_bits_are_refused() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    source:
      nets:
      - 10.0.0.0/8
      - 10.1.2.3/8
",
        r#"error: policy.yaml:12:9: NetworkPolicy production/deny
       spec.ingress[0].source.nets[1]: invalid CIDR "10.1.2.3/8": host bits are set
help: write 10.0.0.0/8
"#,
    );
}

#[test]
fn families_do_not_mix() {
    check(
        r#"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    source:
      nets: [10.0.0.0/8, "fd00::/8"]
  - action: Allow
    ipVersion: 6
    destination:
      notNets: [10.0.0.0/8]
"#,
        r"error: policy.yaml:10:26: NetworkPolicy production/deny
       spec.ingress[0].source.nets[1]: rule contains both IPv4 and IPv6 CIDRs
help: write one rule for each IP version
error: policy.yaml:14:17: NetworkPolicy production/deny
       spec.ingress[1].destination.notNets[0]: rule IP version doesn't match CIDR version
help: write one rule for each IP version
",
    );
}

#[test]
fn nothing_is_outside_everything() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    source:
      notNets: [0.0.0.0/0]
",
        r"error: policy.yaml:10:17: NetworkPolicy production/deny
       spec.ingress[0].source.notNets[0]: catch-all CIDR in negation creates logical contradiction (matches no traffic)
help: remove it, or leave the rule out: it never matches
",
    );
}

#[test]
fn a_reversed_range_is_refused() {
    check(
        r#"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    protocol: TCP
    destination:
      ports: ["90:80", "80:x", 0, 70000, -1, "a b"]
"#,
        r#"error: policy.yaml:11:15: NetworkPolicy production/deny
       spec.ingress[0].destination.ports[0]: minimum port number (90) is greater than maximum port number (80) in port range
help: write "80:90"
error: policy.yaml:11:24: NetworkPolicy production/deny
       spec.ingress[0].destination.ports[1]: invalid port format (80:x)
help: write a port, as in 80, a range, as in "8000:8080", or the name of a port
error: policy.yaml:11:32: NetworkPolicy production/deny
       spec.ingress[0].destination.ports[2]: port range invalid, port number must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:11:35: NetworkPolicy production/deny
       spec.ingress[0].destination.ports[3]: port range invalid, port number must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:11:42: NetworkPolicy production/deny
       spec.ingress[0].destination.ports[4]: port range invalid, port number must be between 1 and 65535
help: write a port from 1 to 65535
error: policy.yaml:11:46: NetworkPolicy production/deny
       spec.ingress[0].destination.ports[5]: invalid port format (a b)
help: write a port, as in 80, a range, as in "8000:8080", or the name of a port
"#,
    );
}

#[test]
fn a_protocol_has_its_own_capitals() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    protocol: tcp
  - action: Allow
    notProtocol: 0
  - action: Allow
    protocol: 256
  - action: Allow
    protocol: ICMP
    ipVersion: 6
  - action: Allow
    ipVersion: 5
",
        r#"error: policy.yaml:9:15: NetworkPolicy production/deny
       spec.ingress[0].protocol: protocol name invalid: "tcp"
help: did you mean `TCP`?
error: policy.yaml:11:18: NetworkPolicy production/deny
       spec.ingress[1].notProtocol: protocol number invalid: expected 1 to 255
help: write a name, as in TCP, or a number from 1 to 255
error: policy.yaml:13:15: NetworkPolicy production/deny
       spec.ingress[2].protocol: protocol number invalid: expected 1 to 255
help: write a name, as in TCP, or a number from 1 to 255
error: policy.yaml:15:15: NetworkPolicy production/deny
       spec.ingress[3].protocol: protocol ICMP requires ipVersion 4
help: write `ipVersion: 4`, or leave it out
error: policy.yaml:18:16: NetworkPolicy production/deny
       spec.ingress[4].ipVersion: expected 4 or 6
help: write `ipVersion: 4` or `ipVersion: 6`, or leave it out for both
"#,
    );
}

#[test]
fn types_are_named_once() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  types: [Ingress, Ingress]
",
        r"error: policy.yaml:7:20: NetworkPolicy production/deny
       spec.types[1]: 'Ingress' type specified more than once
help: name each direction once
",
    );
}

#[test]
fn what_is_not_supported_yet_is_named() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: deny
spec:
  order: 1
  types: [Ingress]
  applyOnForward: true
  performanceHints: [AssumeNeededOnEveryNode]
  ingress:
  - action: Allow
    protocol: ICMP
    icmp: {type: 8}
    notICMP: {type: 9, code: 1}
    source:
      services: {name: web, namespace: shop}
  - action: Allow
    http: {methods: [GET], paths: [{prefix: /a}]}
",
        r"error: policy.yaml:18:5: GlobalNetworkPolicy deny
       spec.ingress[1].http: http is not supported: rules judge packets, not requests
help: leave the rule out, or write it for every request, with `protocol: TCP` and ports
",
    );
}

#[test]
fn service_accounts_are_checked() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: deny
  namespace: production
spec:
  ingress:
  - action: Allow
    source:
      serviceAccounts:
        names: [Bad_Name]
        selector: role ==
",
        r"error: policy.yaml:11:17: NetworkPolicy production/deny
       spec.ingress[0].source.serviceAccounts.names[0]: name must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character
help: write the name of a service account
error: policy.yaml:12:26: NetworkPolicy production/deny
       spec.ingress[0].source.serviceAccounts.selector: invalid selector: expected string, at the end
help: put the value in quotes, as in app == 'web'
",
    );
}

#[test]
fn built_in_tiers_are_fixed() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: Tier
metadata:
  name: default
spec:
  order: 5
  defaultAction: Pass
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata:
  name: kube-admin
",
        r"error: policy.yaml:6:10: Tier default
       spec.order: default tier order must be 1000000
help: write `order: 1000000`
error: policy.yaml:7:18: Tier default
       spec.defaultAction: the 'default' tier must have default action 'Deny'
help: write `defaultAction: Deny`
error: policy.yaml:9:1: Tier kube-admin
       spec.order: kube-admin tier order must be 1000
help: write `order: 1000`
error: policy.yaml:9:1: Tier kube-admin
       spec.defaultAction: the 'kube-admin' tier must have default action 'Pass'
help: write `defaultAction: Pass`
",
    );
}

#[test]
fn a_network_set_has_cidrs() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata:
  name: a
spec:
  nets:
  - 10.0.0.1
  - 10.0.0.1/8
  - example.com
",
        r#"error: policy.yaml:8:5: NetworkSet default/a
       spec.nets[1]: invalid CIDR "10.0.0.1/8": host bits are set
help: write 10.0.0.0/8
error: policy.yaml:9:5: NetworkSet default/a
       spec.nets[2]: invalid CIDR "example.com"
help: write an address, a slash and a prefix length, as in 10.0.0.0/8
"#,
    );
}
