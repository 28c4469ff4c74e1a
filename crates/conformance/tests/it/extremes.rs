//! Input at its edges, through the whole street: what is accepted has the right verdict, by the judge and by the
//! interpreter of the compiled programs; what is refused says which limit it broke.

use std::fmt::Write as _;
use std::net::IpAddr;

use oncilla_api::manifest::{Limits, decode};
use oncilla_conformance::case::Change;
use oncilla_net::{Packet, Protocol, Verdict};
use oncilla_verdict::{Cluster, Evaluator, Question};

use super::differential::{feed, new_engine};

use Verdict::{Allow, Deny};

/// Two pods of the namespace `shop`: `web` at 10.65.0.1 and `fd65::1`, `db.main` at 10.65.0.2 and `fd65::2`.
const TOWN: &str = "apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: v1, kind: Node, metadata: {name: n1}}
- apiVersion: v1
  kind: Pod
  metadata: {name: web, namespace: shop, labels: {app: web, empty: ''}}
  spec: {nodeName: n1, containers: [{name: c, image: i}]}
  status: {phase: Running, podIP: 10.65.0.1, podIPs: [{ip: 10.65.0.1}, {ip: 'fd65::1'}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: db.main, namespace: shop, labels: {app: db}}
  spec: {nodeName: n1, serviceAccountName: db.account, containers: [{name: c, image: i}]}
  status: {phase: Running, podIP: 10.65.0.2, podIPs: [{ip: 10.65.0.2}, {ip: 'fd65::2'}]}
";

/// A packet's source, destination and port, and what becomes of it over TCP.
type Expected<'a> = (&'a str, &'a str, u16, Verdict);

const WEB: &str = "10.65.0.1";
const WEB6: &str = "fd65::1";
const DB: &str = "10.65.0.2";
const DB6: &str = "fd65::2";
const STRANGER: &str = "198.51.100.7";
const STRANGER6: &str = "2001:db8::7";

/// Puts objects beside the two pods and judges packets twice.
#[track_caller]
fn check(text: &str, expected: &[Expected<'_>]) {
    let text = format!("{TOWN}---\n{text}");
    let manifest = decode("town.yaml", text.as_bytes(), &Limits::default());
    assert!(!manifest.has_errors(), "{:#?}", manifest.diagnostics);
    let objects = manifest.objects.into_iter().map(|located| located.object);
    let objects: Vec<_> = objects.collect();
    let cluster: Cluster = objects.iter().cloned().collect();
    let evaluator = Evaluator::new(&cluster);
    let mut engine = new_engine();
    let changes: Vec<Change> = objects.into_iter().map(Change::Apply).collect();
    feed(&mut engine, &changes).unwrap_or_else(|failure| panic!("{failure}"));
    for (src, dst, port, verdict) in expected {
        let packet = packet(src, dst, *port);
        let judged = evaluator.decide(&Question::from(packet));
        let judged = judged.expect("the question has an answer").verdict;
        let interpreted = engine.judge(&packet).verdict;
        assert_eq!((judged, interpreted), (*verdict, *verdict), "{packet:?}");
    }
}

/// What is said of an object that is refused.
#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let manifest = decode("town.yaml", text.as_bytes(), &Limits::default());
    let found: Vec<String> = manifest
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(manifest.objects.is_empty(), "it was accepted");
    assert_eq!(found.len(), says.len(), "{found:#?}");
    for (found, says) in found.iter().zip(says) {
        assert!(found.contains(says), "{says}: {found}");
    }
}

fn packet(src: &str, dst: &str, port: u16) -> Packet {
    Packet {
        src: address(src),
        dst: address(dst),
        protocol: Protocol::TCP,
        src_port: 40_000,
        dst_port: port,
        icmp: None,
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A policy of the namespace `shop` over its pod `web`.
fn policy(rules: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {{name: guard, namespace: shop}}\n\
         spec: {{selector: app == 'web', ingress: [{rules}]}}\n"
    )
}

/// That many rules, each for another port.
fn rules(count: u16) -> String {
    let rule = |port| format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}");
    (1..=count).map(rule).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_policy_has_1024_rules_and_no_more() {
    check(
        &policy(&rules(1024)),
        &[
            (DB, WEB, 1, Allow),
            (DB6, WEB6, 1024, Allow),
            (DB, WEB, 1025, Deny),
            (STRANGER6, WEB6, 512, Allow),
        ],
    );
    refused(
        &policy(&rules(10_000)),
        &["spec.ingress: has 10000 items, more than the limit of 1024"],
    );
}

/// As many ports as there are rules, one after the other, and every second denied: nothing can be joined.
#[test]
fn the_order_of_1024_rules_is_kept() {
    let rule = |number: u16| {
        let action = if number.is_multiple_of(2) {
            "Allow"
        } else {
            "Deny"
        };
        let (first, last) = (number, 2048 - number);
        format!("{{action: {action}, protocol: TCP, destination: {{ports: ['{first}:{last}']}}}}")
    };
    // From the narrowest range to the widest: the first that holds a port decides.
    let rules: Vec<String> = (1..=1023).rev().map(rule).collect();
    check(
        &policy(&rules.join(", ")),
        &[
            (DB, WEB, 1024, Deny),
            (DB, WEB, 1022, Allow),
            (DB, WEB, 1021, Deny),
            (DB6, WEB6, 2, Allow),
            (DB6, WEB6, 2047, Deny),
            (DB6, WEB6, 2048, Deny),
        ],
    );
}

#[test]
fn a_set_may_have_100_000_networks() {
    let mut set = String::from(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: many, labels: {role: many}}\n\
         spec:\n  nets:\n",
    );
    // Every second address of 100.64.0.0/10: none can be joined with its neighbour.
    for number in 0..100_000_u32 {
        let [_, a, b, c] = (2 * number).to_be_bytes();
        writeln!(set, "  - 100.{}.{b}.{c}", 64 + a).unwrap();
    }
    let rule = "{action: Allow, source: {selector: role == 'many', namespaceSelector: global()}}";
    check(
        &format!("{set}---\n{}", policy(rule)),
        &[
            ("100.64.0.0", WEB, 80, Allow),
            ("100.64.0.1", WEB, 80, Deny),
            ("100.67.13.62", WEB, 80, Allow),
            ("100.67.13.64", WEB, 80, Deny),
            (DB, WEB, 80, Deny),
        ],
    );
}

#[test]
fn networks_may_overlap() {
    let sets = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: wide, labels: {role: wide}}
spec: {nets: [198.51.0.0/16, 198.51.100.0/24, 198.51.100.0/24, 198.51.100.7, 198.51.100.7/32, '2001:db8::/32', '2001:db8::7']}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: narrow, labels: {role: narrow}}
spec: {nets: [198.51.100.7, '2001:db8::/64']}
---
";
    let rules = "{action: Deny, source: {selector: role == 'narrow', namespaceSelector: global()}}, \
        {action: Allow, source: {nets: [198.51.100.0/24, 198.51.0.0/16, 198.51.100.128/25], notNets: [198.51.100.0/30, 198.51.100.0/31]}}, \
        {action: Allow, source: {selector: role == 'wide', namespaceSelector: global(), nets: ['2001:db8::/33']}}";
    check(
        &format!("{sets}{}", policy(rules)),
        &[
            (STRANGER, WEB, 80, Deny),
            ("198.51.100.8", WEB, 80, Allow),
            ("198.51.100.1", WEB, 80, Deny),
            ("198.51.7.1", WEB, 80, Allow),
            ("198.52.7.1", WEB, 80, Deny),
            (STRANGER6, WEB6, 80, Deny),
            ("2001:db8:1::1", WEB6, 80, Allow),
            ("2001:db8:8000::1", WEB6, 80, Deny),
        ],
    );
}

#[test]
fn all_of_a_family_is_that_family_only() {
    let v4 = policy("{action: Allow, source: {nets: [0.0.0.0/0]}}");
    check(
        &v4,
        &[
            (DB, WEB, 80, Allow),
            (STRANGER, WEB, 80, Allow),
            (DB6, WEB6, 80, Deny),
            (STRANGER6, WEB6, 80, Deny),
        ],
    );
    let v6 = policy("{action: Deny, source: {nets: ['::/0']}}, {action: Allow}");
    check(
        &v6,
        &[
            (DB, WEB, 80, Allow),
            (DB6, WEB6, 80, Deny),
            (STRANGER6, WEB6, 80, Deny),
        ],
    );
    let set = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: all, labels: {role: all}}
spec: {nets: [0.0.0.0/0, '::/0']}
---
";
    let rule = "{action: Allow, source: {selector: role == 'all', namespaceSelector: global()}}";
    check(
        &format!("{set}{}", policy(rule)),
        &[
            (STRANGER, WEB, 80, Allow),
            (STRANGER6, WEB6, 80, Allow),
            (DB, WEB, 80, Allow),
        ],
    );
    refused(
        &policy(
            "{action: Allow, source: {notNets: [0.0.0.0/0]}}, {action: Allow, source: {notNets: ['::/0']}}",
        ),
        &[
            "spec.ingress[0].source.notNets[0]: catch-all",
            "spec.ingress[1].source.notNets[0]: catch-all",
        ],
    );
}

#[test]
fn mapped_addresses_are_refused_wherever_they_stand() {
    let mapped = "IPv4-mapped IPv6 addresses never appear in packets";
    refused(
        &policy(
            "{action: Allow, source: {nets: ['::ffff:10.0.0.0/104'], notNets: ['::ffff:0:0/96']}}",
        ),
        &[mapped, mapped],
    );
    refused(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: a}\nspec: {nets: ['::ffff:10.0.0.1']}\n",
        &[mapped],
    );
}

#[test]
fn ports_are_1_to_65535() {
    let rule = |ports: &str| {
        policy(&format!(
            "{{action: Allow, protocol: TCP, destination: {{ports: [{ports}]}}}}"
        ))
    };
    check(
        &rule("1, 65535"),
        &[
            (DB, WEB, 1, Allow),
            (DB, WEB, 65535, Allow),
            (DB, WEB, 2, Deny),
            (DB, WEB, 65534, Deny),
        ],
    );
    check(
        &rule("'1:65535'"),
        &[(DB, WEB, 1, Allow), (DB6, WEB6, 65535, Allow)],
    );
    let range = "port range invalid, port number must be between 1 and 65535";
    refused(&rule("0, 65536, '0:80'"), &[range, range, range]);
    refused(
        &rule("'65536', '1:65536'"),
        &[
            "invalid port format (65536)",
            "invalid port format (1:65536)",
        ],
    );
}

#[test]
fn names_may_have_dots() {
    let text = "apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: my.guard, namespace: shop}
spec:
  selector: app == 'web'
  ingress:
  - {action: Allow, source: {serviceAccounts: {names: [db.account]}}}
---
apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: a.b.c, namespace: shop, labels: {example.org/role.of: a.b}}
spec: {nets: [198.51.100.7]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: other.guard}
spec:
  selector: app == 'web'
  ingress:
  - {action: Allow, source: {selector: example.org/role.of == 'a.b'}}
";
    check(
        text,
        &[
            (DB, WEB, 80, Allow),
            (DB6, WEB6, 80, Allow),
            (STRANGER, WEB, 80, Allow),
            ("198.51.100.8", WEB, 80, Deny),
        ],
    );
}

#[test]
fn labels_may_have_63_characters_and_values_may_be_empty() {
    let (key, value) = ("k".repeat(63), "v".repeat(63));
    let set = format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\n\
         metadata: {{name: a, labels: {{example.org/{key}: {value}, empty: ''}}}}\nspec: {{nets: [198.51.100.7]}}\n---\n"
    );
    let source = |selector: &str| {
        format!(
            "{{action: Allow, source: {{selector: \"{selector}\", namespaceSelector: global()}}}}"
        )
    };
    let long = policy(&source(&format!("example.org/{key} == '{value}'")));
    check(
        &format!("{set}{long}"),
        &[(STRANGER, WEB, 80, Allow), (DB, WEB, 80, Deny)],
    );
    // The empty value is a value: it is there, it equals itself, and every text ends with it.
    for selector in [
        "empty == ''",
        "has(empty)",
        "empty ends with ''",
        "empty in {''}",
        "empty != 'x' && has(empty)",
    ] {
        let expected = [(STRANGER, WEB, 80, Allow), (DB, WEB, 80, Deny)];
        check(&format!("{set}{}", policy(&source(selector))), &expected);
    }
    let guard = policy("{action: Allow}").replace("app == 'web'", "\"empty == ''\"");
    let guard = guard.replace("{action: Allow}", "");
    check(&guard, &[(DB, WEB, 80, Deny), (WEB, DB, 80, Allow)]);
}
