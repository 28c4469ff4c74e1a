//! What bad input gets: each case by the whole text it prints.

use super::cluster::Cluster;

/// Applies one file to a fresh cluster: nothing may be written, unless it is only warned about.
#[track_caller]
fn check(text: &str, code: i32, expected: &str) {
    let cluster = Cluster::new();
    cluster.file("policy.yaml", text);
    let before = cluster.store.revision().unwrap();
    let said = cluster.run("apply -f policy.yaml");
    // Some editors and tools cut blanks at the ends of lines; nobody sees them.
    let lines: Vec<&str> = said.err.lines().map(str::trim_end).collect();
    assert_eq!(
        lines.join("\n"),
        expected.trim_matches('\n'),
        "{}",
        said.err
    );
    assert_eq!(said.code, code);
    if code != 0 {
        assert_eq!(said.out, "");
        assert_eq!(cluster.store.revision().unwrap(), before);
    }
}

#[test]
fn unknown_kind() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolcy
metadata:
  name: db
  namespace: default
spec:
  selector: app == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r#"
error: policy.yaml:2:7: NetworkPolcy default/db
       kind: unknown kind "NetworkPolcy" in "projectcalico.org/v3"
  |
1 | apiVersion: projectcalico.org/v3
2 | kind: NetworkPolcy
  |       ^^^^^^^^^^^^
  |
help: did you mean `NetworkPolicy`?
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn a_kind_that_is_not_supported_yet() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: IPReservation
metadata:
  name: db
spec:
  reservedCIDRs: [10.65.0.0/24]
",
        1,
        r"
error: policy.yaml:2:7: IPReservation db
       kind: IPReservation (projectcalico.org/v3) is not supported yet
  |
1 | apiVersion: projectcalico.org/v3
2 | kind: IPReservation
  |       ^^^^^^^^^^^^^
  |
help: remove this object from what you apply
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn unknown_field() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
spec:
  selektor: app == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r#"
error: policy.yaml:7:3: NetworkPolicy default/db
       spec.selektor: unknown field "selektor"
  |
3 | metadata:
4 |   name: db
5 |   namespace: default
6 | spec:
7 |   selektor: app == 'db'
  |   ^^^^^^^^
  |
help: did you mean `selector`?
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn wrong_type() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
spec:
  selector: app == 'db'
  order: first
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r#"
error: policy.yaml:8:10: NetworkPolicy default/db
       spec.order: expected a number, found string "first"
  |
4 |   name: db
5 |   namespace: default
6 | spec:
7 |   selector: app == 'db'
8 |   order: first
  |          ^^^^^
  |
help: write a number, as in 10
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn duplicate_key() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
  name: other
spec:
  selector: app == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r#"
error: policy.yaml:6:3: NetworkPolicy default/db
       metadata.name: duplicate key "name"
  |
2 | kind: NetworkPolicy
3 | metadata:
4 |   name: db
5 |   namespace: default
6 |   name: other
  |   ^^^^
  |
help: it is already on line 4: remove one of the two
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn bad_selector() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
spec:
  selector: app = 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r"
error: policy.yaml:7:17: NetworkPolicy default/db
       spec.selector: invalid selector: expected ==, at character 5, where it says = 'db'
  |
3 | metadata:
4 |   name: db
5 |   namespace: default
6 | spec:
7 |   selector: app = 'db'
  |                 ^
  |
help: write `==`
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn bad_cidr() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0/33
",
        1,
        r#"
error: policy.yaml:10:15: NetworkPolicy default/allow
       spec.ingress[0].from[0].ipBlock.cidr: invalid CIDR "10.0.0.0/33": IPv4 addresses have 32 bits
   |
 6 |   podSelector: {}
 7 |   ingress:
 8 |   - from:
 9 |     - ipBlock:
10 |         cidr: 10.0.0.0/33
   |               ^^^^^^^^^^^
   |
help: write a prefix length from 0 to 32
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn host_bits_in_a_calico_net() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
spec:
  selector: app == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      nets: [10.1.2.3/8]
    destination:
      ports: [5432]
",
        1,
        r#"
error: policy.yaml:12:14: NetworkPolicy default/db
       spec.ingress[0].source.nets[0]: invalid CIDR "10.1.2.3/8": host bits are set
   |
 8 |   ingress:
 9 |   - action: Allow
10 |     protocol: TCP
11 |     source:
12 |       nets: [10.1.2.3/8]
   |              ^^^^^^^^^^
   |
help: write 10.0.0.0/8
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn host_bits_in_a_kubernetes_block_are_masked() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.1.2.3/8
",
        0,
        r#"
warning: policy.yaml:10:15: NetworkPolicy default/allow
         spec.ingress[0].from[0].ipBlock.cidr: host bits are set in "10.1.2.3/8": read as 10.0.0.0/8, as the API server does
   |
 6 |   podSelector: {}
 7 |   ingress:
 8 |   - from:
 9 |     - ipBlock:
10 |         cidr: 10.1.2.3/8
   |               ^^^^^^^^^^
   |
help: write 10.0.0.0/8
"#,
    );
}

#[test]
fn ports_without_a_protocol() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
spec:
  selector: app == 'db'
  ingress:
  - action: Allow
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r"
error: policy.yaml:13:7: NetworkPolicy default/db
       spec.ingress[0]: rules with numeric port or port range must set protocol to TCP or UDP or SCTP
   |
 9 |   - action: Allow
10 |     source:
11 |       selector: app == 'web'
12 |     destination:
13 |       ports: [5432]
   |       ^^^^^
   |
help: add `protocol: TCP` beside `action:` (line 9)
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn port_range_reversed() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
spec:
  selector: app == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: ['6000:5000']
",
        1,
        r#"
error: policy.yaml:14:15: NetworkPolicy default/db
       spec.ingress[0].destination.ports[0]: minimum port number (6000) is greater than maximum port number (5000) in port range
   |
10 |     protocol: TCP
11 |     source:
12 |       selector: app == 'web'
13 |     destination:
14 |       ports: ['6000:5000']
   |               ^^^^^^^^^^^
   |
help: write "5000:6000"
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn unknown_tier() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db
  namespace: default
spec:
  tier: defualt
  selector: app == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r#"
error: policy.yaml:7:9: NetworkPolicy default/db
       spec.tier: tier "defualt" is neither on the server nor in these files
  |
3 | metadata:
4 |   name: db
5 |   namespace: default
6 | spec:
7 |   tier: defualt
  |         ^^^^^^^
  |
help: did you mean `default`?
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn a_name_that_is_not_dns() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: My_DB
  namespace: default
spec:
  selector: app == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
",
        1,
        r"
error: policy.yaml:4:9: NetworkPolicy default/My_DB
       metadata.name: name must consist of lower case alphanumeric characters or '-', with at most one '.', and start and end with an alphanumeric character
  |
1 | apiVersion: projectcalico.org/v3
2 | kind: NetworkPolicy
3 | metadata:
4 |   name: My_DB
  |         ^^^^^
  |
help: write `name: my-db`
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn two_objects_of_one_name() {
    check(
        r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0/8
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0/8
",
        1,
        r"
error: policy.yaml:15:9: NetworkPolicy default/allow
       metadata.name: NetworkPolicy default/allow is already at policy.yaml:4
   |
12 | apiVersion: networking.k8s.io/v1
13 | kind: NetworkPolicy
14 | metadata:
15 |   name: allow
   |         ^^^^^
   |
help: give it another name, or remove one of the two
nothing was applied: 1 of 2 documents is invalid
",
    );
}

#[test]
fn empty_file() {
    check(
        r"",
        1,
        r"
error: policy.yaml:1:1: the file is empty
help: an object starts with `apiVersion:` and `kind:`
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn binary_file() {
    check(
        "\x7fELF\x02\x01\x01\x00\x00",
        2,
        r"
error: policy.yaml:1:8: the file is binary: it has a zero byte here
help: manifests are YAML or JSON in UTF-8
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn no_yaml() {
    check(
        r"apiVersion: v1
kind: [Namespace
metadata: {}
",
        2,
        r"
error: policy.yaml:3:9: neither YAML nor JSON: illegal placement of ':' indicator
  |
1 | apiVersion: v1
2 | kind: [Namespace
3 | metadata: {}
  |         ^
  |
help: check the indentation, quotes and colons around this place
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn deep_nesting() {
    check(
        r"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
",
        2,
        r"
error: policy.yaml:1:68: lists and mappings are nested deeper than the limit of 64
  |
1 | a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]...
  |                                                                    ^
  |
help: close brackets earlier, or check the indentation: no object needs so many
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn alias_bomb() {
    check(
        r"a: &a [x,x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]
f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]
g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]
h: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]
i: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]
",
        2,
        r"
error: policy.yaml:5:29: aliases expand to more values than the limit of 100000
  |
1 | a: &a [x,x,x,x,x,x,x,x,x,x]
2 | b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
3 | c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]
4 | d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]
5 | e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]
  |                             ^^
  |
help: write the values out instead of nesting aliases
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn several_at_once() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: My_DB
  namespace: default
spec:
  selector: app == 'db'
  ingress:
  - action: Alow
    protocol: TCP
    source:
      selector: app == 'web'
    destination:
      ports: [5432]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0/8
",
        1,
        r#"
error: policy.yaml:4:9: NetworkPolicy default/My_DB
       metadata.name: name must consist of lower case alphanumeric characters or '-', with at most one '.', and start and end with an alphanumeric character
  |
1 | apiVersion: projectcalico.org/v3
2 | kind: NetworkPolicy
3 | metadata:
4 |   name: My_DB
  |         ^^^^^
  |
help: write `name: my-db`
error: policy.yaml:9:13: NetworkPolicy default/My_DB
       spec.ingress[0].action: unknown value "Alow"
  |
5 |   namespace: default
6 | spec:
7 |   selector: app == 'db'
8 |   ingress:
9 |   - action: Alow
  |             ^^^^
  |
help: did you mean `Allow`?
nothing was applied: 1 of 2 documents is invalid
"#,
    );
}

#[test]
fn a_file_above_the_limit_is_refused_before_parsing() {
    let cluster = Cluster::new();
    cluster.file("large.yaml", vec![b'#'; 32 * 1024 * 1024 + 1]);
    let said = cluster.run("apply -f large.yaml");
    let expected = "\
error: large.yaml:1:1: the file is larger than the limit of 33554432 bytes (32 MiB)
help: split it into several files
nothing was applied: 1 of 1 document is invalid
";
    let lines: Vec<&str> = said
        .err
        .lines()
        .map(str::trim_end)
        .filter(|line| *line != "  |")
        .collect();
    assert_eq!(
        (said.code, lines.join("\n")),
        (2, expected.trim_end().to_owned())
    );
}

#[test]
fn a_kind_that_is_a_list() {
    check(
        r"apiVersion: v1
kind: [Pod]
",
        1,
        r"
error: policy.yaml:2:1: kind: expected a string
  |
1 | apiVersion: v1
2 | kind: [Pod]
  | ^^^^
  |
help: write `kind: Pod`
nothing was applied: 1 of 1 document is invalid
",
    );
}

#[test]
fn a_misspelt_field_of_a_pod() {
    check(
        r"apiVersion: v1
kind: Pod
metadata: {name: dns}
spec:
  containers:
  - name: c
    ports: [{containerPort: 53, protcol: UDP}]
",
        1,
        r#"
error: policy.yaml:7:33: Pod default/dns
       spec.containers[0].ports[0].protcol: unknown field "protcol"
  |
3 | metadata: {name: dns}
4 | spec:
5 |   containers:
6 |   - name: c
7 |     ports: [{containerPort: 53, protcol: UDP}]
  |                                 ^^^^^^^
  |
help: did you mean `protocol`?
nothing was applied: 1 of 1 document is invalid
"#,
    );
}

#[test]
fn a_number_that_is_not_finite() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db}
spec:
  order: 1e400
",
        2,
        r"
error: policy.yaml:5:10: NetworkPolicy default/db
       1e400 is not a finite number
  |
1 | apiVersion: projectcalico.org/v3
2 | kind: NetworkPolicy
3 | metadata: {name: db}
4 | spec:
5 |   order: 1e400
  |          ^^^^^
  |
help: leave the field out, or put the text in quotes
nothing was applied: 1 of 1 document is invalid
",
    );
}
