//! The tests of `ClusterNetworkPolicy`: events in order.

use serde_json::{Value, json};

use super::{Folder, judge};
use crate::format::{self, FormatError};

fn policy(name: &str, action: &str, peer: &Value) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "tier": "Admin",
            "priority": 5,
            "subject": {"namespaces": {}},
            "egress": [{"action": action, "to": [peer]}],
        },
    })
}

/// A file with one test of these manifests and events.
fn file(name: &str, objects: &Value, events: &Value) -> Folder {
    let text = json!({
        "hostNetworkPorts": [],
        "namespaceLabels": {"x": {"conformance-house": "x"}, "y": {"conformance-house": "y"}},
        "podIPs": {
            "x/a-0": "10.244.0.1",
            "x/a-1": "10.244.0.2",
            "y/b-0": "10.244.0.3",
            "network-policy-conformance-forbidden-forrest/centaur-0": "172.18.0.1",
        },
        "tests": [{"name": "T", "objects": objects, "events": events}],
    });
    Folder::new(name, &[("npa.json", text.to_string())])
}

fn poke(from: &str, to: &str, connect: bool) -> Value {
    json!({"poke": {"from": from, "to": to, "proto": "tcp", "port": 80, "connect": connect}})
}

fn to_house(house: &str) -> Value {
    json!({"namespaces": {"matchLabels": {"conformance-house": house}}})
}

#[test]
fn events_happen_in_their_order() {
    let own = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "own", "namespace": "x"}, "spec": {"podSelector": null}});
    let folder = file(
        "npa-order",
        &json!([policy("p", "Deny", &to_house("y")), own]),
        &json!([
            {"test": "first"},
            poke("x/a-0", "y/b-0", false),
            poke("y/b-0", "x/a-0", false),
            {"deleteNetworkPolicy": "x/own"},
            poke("y/b-0", "x/a-0", true),
            {"test": "second"},
            {"setNamespaceLabels": {"namespace": "y", "labels": {"conformance-house": "z"}}},
            poke("x/a-0", "y/b-0", true),
            {"setClusterNetworkPolicy": policy("p", "Deny", &to_house("x"))},
            poke("x/a-0", "x/a-1", false),
            poke("x/a-0", "y/b-0", true),
        ]),
    );
    let (report, out) = judge(&folder.file("npa.json"));
    assert_eq!((report.passed, report.failed), (6, 0), "{out}");
    assert_eq!((report.cases, report.steps), (1, 5));
}

#[test]
fn a_poke_with_another_outcome_fails_by_name() {
    let folder = file(
        "npa-mismatch",
        &json!([]),
        &json!([{"test": "named"}, poke("x/a-0", "y/b-0", false), poke("x/a-0", "y/b-0", true)]),
    );
    let (report, out) = judge(&folder.file("npa.json"));
    assert_eq!((report.passed, report.failed), (1, 1));
    assert!(out.contains("FAIL T, named: x/a-0 -> y/b-0"), "{out}");
}

#[test]
fn a_refused_policy_fails_the_test() {
    let faulty = policy("p", "Allow", &to_house("y"));
    for (objects, events) in [
        (json!([faulty]), json!([poke("x/a-0", "y/b-0", true)])),
        (
            json!([]),
            json!([{"setClusterNetworkPolicy": faulty}, poke("x/a-0", "y/b-0", true)]),
        ),
    ] {
        let folder = file("npa-refused", &objects, &events);
        let (report, out) = judge(&folder.file("npa.json"));
        assert_eq!((report.passed, report.failed), (0, 1), "{out}");
        assert!(out.contains("refused: spec.egress[0].action"), "{out}");
    }
}

/// A pod with the host's network has an address of its node, which selectors of pods never mean.
#[test]
fn peers_of_nodes_are_addresses_of_hosts() {
    let host = "network-policy-conformance-forbidden-forrest/centaur-0";
    for (labels, connects) in [
        (json!({"kubernetes.io/os": "linux"}), false),
        (json!({"kubernetes.io/os": "plan9"}), true),
    ] {
        let nodes = json!({"nodes": {"matchLabels": labels}});
        let folder = file(
            "npa-nodes",
            &json!([policy("p", "Deny", &nodes)]),
            &json!([{"test": "a"}, poke("x/a-1", host, connects), poke("x/a-1", "y/b-0", true)]),
        );
        let (report, out) = judge(&folder.file("npa.json"));
        assert_eq!((report.passed, report.failed), (2, 0), "{out}");
    }
}

#[test]
fn unknown_events_and_fields_are_refused() {
    for events in [
        json!([{"restartNode": "n1"}]),
        json!([{"poke": {"from": "x/a-0", "to": "y/b-0", "proto": "tcp", "port": 80, "connect": true, "twice": true}}]),
        json!([{"setNamespaceLabels": {"namespace": "x", "labels": {}, "keep": true}}]),
    ] {
        let folder = file("npa-unknown", &json!([]), &events);
        let error = format::read(&folder.file("npa.json")).expect_err("it is refused");
        assert!(matches!(error, FormatError::Json { .. }), "{error}");
    }
    for events in [
        json!([{"poke": {"from": "x/a-0", "to": "y/b-0", "proto": "tpc", "port": 80, "connect": true}}]),
        json!([{"deleteNetworkPolicy": "own"}]),
    ] {
        let folder = file("npa-meaningless", &json!([]), &events);
        let error = format::read(&folder.file("npa.json")).expect_err("it is refused");
        assert!(matches!(error, FormatError::Meaningless { .. }), "{error}");
    }
}
