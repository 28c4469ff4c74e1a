//! What `ClusterNetworkPolicy` objects get: the whole language read back, and every refusal.

use oncilla_api::manifest::{Limits, decode};
use oncilla_api::{Kind, Object, npa};
use serde_json::{Value, json};

use crate::check;

/// A valid policy; `change` breaks it.
fn policy(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "a"},
        "spec": {
            "tier": "Admin",
            "priority": 7,
            "subject": {"namespaces": {}},
            "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
            "egress": [{
                "action": "Accept",
                "to": [{"networks": ["10.0.0.0/8"]}],
                "protocols": [{"tcp": {"destinationPort": {"number": 80}}}],
            }],
        },
    });
    change(&mut value);
    value
}

fn at<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    value.pointer_mut(path).expect("the field is there")
}

#[track_caller]
fn refused(value: Value, expected: &[(&str, &str)]) {
    let errors = Object::from_manifest(value).expect_err("it is refused");
    let found: Vec<(&str, &str)> = errors
        .iter()
        .map(|error| (error.path.as_str(), error.message.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_whole_language_is_read_and_written_back() {
    let text = r"apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: everything.in-it
spec:
  tier: Baseline
  priority: 1000
  subject:
    pods:
      namespaceSelector: {matchLabels: {team: a}}
      podSelector:
        matchExpressions: [{key: app, operator: In, values: [web, db]}]
  ingress:
  - name: the first
    action: Accept
    from:
    - namespaces: {}
    - pods: {podSelector: {}}
    protocols:
    - tcp: {destinationPort: {number: 80}}
    - udp: {destinationPort: {range: {start: 53, end: 54}}}
    - sctp: {destinationPort: {number: 9003}}
    - destinationNamedPort: web
  egress:
  - action: Pass
    to:
    - networks: [10.0.0.0/8, 'fd00::/8']
status:
  conditions: []
";
    let manifest = decode("a.yaml", text.as_bytes(), &Limits::default());
    assert!(
        manifest.diagnostics.is_empty(),
        "{:?}",
        manifest.diagnostics
    );
    let object = &manifest.objects[0].object;
    assert_eq!(object.kind(), Kind::ClusterNetworkPolicy);
    let again = Object::from_manifest(object.to_value());
    assert_eq!(again.as_ref(), Ok(object));
    let Object::ClusterNetworkPolicy(policy) = object else {
        panic!("{object:?}");
    };
    let spec = &policy.spec;
    assert_eq!(
        (spec.tier, spec.priority),
        (Some(npa::Tier::Baseline), Some(1000))
    );
    assert_eq!(npa::Tier::Baseline.built_in(), "kube-baseline");
    assert_eq!(npa::Tier::Admin.built_in(), "kube-admin");
    let rule = &spec.ingress[0];
    assert_eq!(rule.action, npa::Action::Accept);
    assert_eq!(
        (rule.from.len(), spec.egress[0].protocols.as_ref()),
        (2, None)
    );
    let bounds = |protocol: &npa::Protocol| {
        let transport = [&protocol.tcp, &protocol.udp, &protocol.sctp];
        let port = transport
            .into_iter()
            .flatten()
            .find_map(|t| t.destination_port.clone());
        port.and_then(|port| port.bounds())
    };
    let protocols: Vec<_> = rule.protocols.iter().flatten().map(bounds).collect();
    assert_eq!(
        protocols,
        [Some((80, 80)), Some((53, 54)), Some((9003, 9003)), None]
    );
}

#[test]
fn what_is_required_is_asked_for_with_its_place() {
    check(
        r"apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: a
spec:
  tier: admin
  ingress:
  - action: Allow
    from:
    - namespaces: {}
",
        r#"error: policy.yaml:5:1: ClusterNetworkPolicy a
       spec.priority: "priority" is required
help: add `priority:` with a number from 0 (first) to 1000 (last)
error: policy.yaml:5:1: ClusterNetworkPolicy a
       spec.subject: must specify a subject
help: add one of `namespaces:`, `pods:`
error: policy.yaml:6:9: ClusterNetworkPolicy a
       spec.tier: unknown value "admin"
help: did you mean `Admin`?
error: policy.yaml:8:13: ClusterNetworkPolicy a
       spec.ingress[0].action: unknown value "Allow"
help: expected one of: Accept, Deny, Pass
"#,
    );
    check(
        r"apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: a
spec:
  tier: Admin
  subject: {namespaces: {}}
",
        r#"error: policy.yaml:5:1: ClusterNetworkPolicy a
       spec.priority: "priority" is required
help: add `priority:` with a number from 0 (first) to 1000 (last)
"#,
    );
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    check(
        r"apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: a
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - action: Accept
    to:
    - nodes: {matchLabels: {zone: a}}
    - domainNames: ['*.example.com']
",
        r"error: policy.yaml:13:7: ClusterNetworkPolicy a
       spec.egress[0].to[1].domainNames: a peer of domain names is not supported yet
help: name the addresses in `networks:`
",
    );
}

#[test]
fn host_bits_of_networks_are_masked_with_a_warning() {
    check(
        r"apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: a
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - action: Deny
    to:
    - networks: [10.1.2.3/8]
",
        r#"warning: policy.yaml:12:18: ClusterNetworkPolicy a
       spec.egress[0].to[0].networks[0]: host bits are set in "10.1.2.3/8": read as 10.0.0.0/8, as the API server does
help: write 10.0.0.0/8
"#,
    );
    let masked = policy(|p| *at(p, "/spec/egress/0/to/0/networks/0") = json!("10.1.2.3/8"));
    let object = Object::from_manifest(masked).unwrap();
    let text = object.to_value().to_string();
    assert!(text.contains("\"10.0.0.0/8\""), "{text}");
}

#[test]
fn the_subject_is_exactly_one_thing() {
    refused(
        policy(|p| *at(p, "/spec/subject") = json!({})),
        &[("spec.subject", "must specify a subject")],
    );
    refused(
        policy(|p| {
            *at(p, "/spec/subject") = json!({"namespaces": {}, "pods": {"podSelector": {}}});
        }),
        &[(
            "spec.subject",
            "may not specify namespaces and pods together",
        )],
    );
    refused(
        policy(|p| *at(p, "/spec/subject") = json!({"pods": {"namespaceSelector": {}}})),
        &[("spec.subject.pods", "\"podSelector\" is required")],
    );
    refused(
        policy(|p| {
            *at(p, "/spec/subject") = json!({"namespaces": {"matchLabels": {"-": "x"}}});
        }),
        &[(
            "spec.subject.namespaces.matchLabels.-",
            "label name must consist of alphanumeric characters, '-', '_' or '.', start and end with an alphanumeric character, optionally with a DNS name and '/' in front",
        )],
    );
}

#[test]
fn numbers_stay_in_their_ranges() {
    for priority in [-1, 1001] {
        refused(
            policy(|p| *at(p, "/spec/priority") = json!(priority)),
            &[("spec.priority", "must be between 0 and 1000")],
        );
    }
    for priority in [0, 1000] {
        let value = policy(|p| *at(p, "/spec/priority") = json!(priority));
        Object::from_manifest(value).unwrap();
    }
    let with_port =
        |port: Value| policy(|p| *at(p, "/spec/egress/0/protocols/0/tcp/destinationPort") = port);
    let path = "spec.egress[0].protocols[0].tcp.destinationPort";
    for number in [0, 65_536, -1] {
        refused(
            with_port(json!({"number": number})),
            &[(&format!("{path}.number"), "must be between 1 and 65535")],
        );
    }
    refused(
        with_port(json!({"range": {"start": 0, "end": 80}})),
        &[(
            &format!("{path}.range.start"),
            "must be between 1 and 65535",
        )],
    );
    for start in [80, 81] {
        refused(
            with_port(json!({"range": {"start": start, "end": 80}})),
            &[(
                &format!("{path}.range.end"),
                &format!("must be greater than start, which is {start}"),
            )],
        );
    }
    refused(with_port(json!({})), &[(path, "must specify a port")]);
    refused(
        with_port(json!({"number": 80, "range": {"start": 1, "end": 2}})),
        &[(path, "may not specify number and range together")],
    );
}

#[test]
fn lists_have_limits() {
    let rule = json!({"action": "Deny", "from": [{"namespaces": {}}]});
    let rules =
        |count: usize| policy(|p| *at(p, "/spec/ingress") = json!(vec![rule.clone(); count]));
    Object::from_manifest(rules(25)).unwrap();
    refused(
        rules(26),
        &[("spec.ingress", "has 26 items, more than the limit of 25")],
    );
    refused(
        policy(|p| {
            *at(p, "/spec/ingress/0/from") = json!(vec![json!({"namespaces": {}}); 26]);
        }),
        &[(
            "spec.ingress[0].from",
            "has 26 items, more than the limit of 25",
        )],
    );
    let tcp = json!({"tcp": {"destinationPort": {"number": 80}}});
    refused(
        policy(|p| *at(p, "/spec/egress/0/protocols") = json!(vec![tcp; 26])),
        &[(
            "spec.egress[0].protocols",
            "has 26 items, more than the limit of 25",
        )],
    );
    let nets: Vec<String> = (0..26).map(|each| format!("10.{each}.0.0/16")).collect();
    refused(
        policy(|p| *at(p, "/spec/egress/0/to/0/networks") = json!(nets)),
        &[(
            "spec.egress[0].to[0].networks",
            "has 26 items, more than the limit of 25",
        )],
    );
    refused(
        policy(|p| p["spec"]["ingress"][0]["name"] = json!("x".repeat(101))),
        &[("spec.ingress[0].name", "name is too long by 1 characters")],
    );
}

/// An empty list would read like everything, and upstream's means nothing.
#[test]
fn empty_lists_are_refused() {
    refused(
        policy(|p| *at(p, "/spec/ingress/0/from") = json!([])),
        &[("spec.ingress[0].from", "must have at least one peer")],
    );
    refused(
        policy(|p| *at(p, "/spec/egress/0/to") = json!([])),
        &[("spec.egress[0].to", "must have at least one peer")],
    );
    refused(
        policy(|p| *at(p, "/spec/egress/0/to/0") = json!({})),
        &[("spec.egress[0].to[0]", "must specify a peer")],
    );
    refused(
        policy(|p| *at(p, "/spec/egress/0/to/0/networks") = json!([])),
        &[(
            "spec.egress[0].to[0].networks",
            "must have at least one CIDR",
        )],
    );
    refused(
        policy(|p| *at(p, "/spec/egress/0/protocols") = json!([])),
        &[(
            "spec.egress[0].protocols",
            "must have at least one protocol",
        )],
    );
    refused(
        policy(|p| *at(p, "/spec/egress/0/protocols/0") = json!({})),
        &[("spec.egress[0].protocols[0]", "must specify a protocol")],
    );
    refused(
        policy(|p| *at(p, "/spec/egress/0/protocols/0/tcp") = json!({})),
        &[(
            "spec.egress[0].protocols[0].tcp",
            "must specify a destinationPort",
        )],
    );
}

#[test]
fn peers_and_protocols_are_one_thing_each() {
    refused(
        policy(|p| {
            *at(p, "/spec/egress/0/to/0") = json!({"networks": ["10.0.0.0/8"], "namespaces": {}});
        }),
        &[(
            "spec.egress[0].to[0]",
            "may not specify namespaces and networks together",
        )],
    );
    refused(
        policy(|p| {
            let port = json!({"destinationPort": {"number": 80}});
            *at(p, "/spec/egress/0/protocols/0") = json!({"tcp": port, "udp": port});
        }),
        &[(
            "spec.egress[0].protocols[0]",
            "may not specify tcp and udp together",
        )],
    );
    refused(
        policy(|p| {
            *at(p, "/spec/egress/0/to/0/networks") =
                json!(["10.0.0.0", "10.0.0.0/8", "10.0.0.0/8"]);
        }),
        &[
            (
                "spec.egress[0].to[0].networks[0]",
                "invalid CIDR \"10.0.0.0\": the prefix length is missing",
            ),
            (
                "spec.egress[0].to[0].networks[2]",
                "10.0.0.0/8 is there twice",
            ),
        ],
    );
    refused(
        policy(|p| *at(p, "/spec/egress/0/protocols/0") = json!({"destinationNamedPort": "web"})),
        &[(
            "spec.egress[0].protocols[0].destinationNamedPort",
            "may not be specified beside a peer of networks, nodes or domainNames",
        )],
    );
    refused(
        policy(|p| {
            p["spec"]["ingress"][0]["protocols"] = json!([{"destinationNamedPort": "80"}]);
        }),
        &[(
            "spec.ingress[0].protocols[0].destinationNamedPort",
            "port name must consist of lower case alphanumeric characters or '-', with at least one letter, no '--', and start and end with an alphanumeric character",
        )],
    );
    refused(
        policy(|p| *at(p, "/spec/ingress/0/from/0") = json!({"networks": ["10.0.0.0/8"]})),
        &[
            (
                "spec.ingress[0].from[0].networks",
                "unknown field \"networks\"",
            ),
            ("spec.ingress[0].from[0]", "must specify a peer"),
        ],
    );
}
