//! Policies of all three kinds.

use oncilla_model::Converter;
use serde_json::{Value, json};

use super::render::{object, policy, rules};

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write json! in place"
)]
fn calico(kind: &str, spec: Value) -> Value {
    let namespace = (kind == "NetworkPolicy").then_some("shop");
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind,
        "metadata": {"name": "p", "namespace": namespace}, "spec": spec})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write json! in place"
)]
fn kubernetes(spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": spec})
}

#[test]
fn selectors_are_folded() {
    let check = |kind: &str, spec: Value, expect: &str| {
        assert_eq!(policy(calico(kind, spec)).selector.to_string(), expect);
    };
    check(
        "NetworkPolicy",
        json!({}),
        r#"projectcalico.org/namespace == "shop""#,
    );
    check(
        "NetworkPolicy",
        json!({"selector": "app == 'web'", "serviceAccountSelector": "role == 'x'"}),
        r#"(app == "web" && projectcalico.org/namespace == "shop" && pcsa.role == "x")"#,
    );
    check("GlobalNetworkPolicy", json!({}), "all()");
    check(
        "GlobalNetworkPolicy",
        json!({"selector": "all()", "namespaceSelector": "env == 'prod'"}),
        r#"(has(projectcalico.org/namespace) && pcns.env == "prod")"#,
    );
    check(
        "GlobalNetworkPolicy",
        json!({"selector": "all()", "serviceAccountSelector": "role == 'x'"}),
        r#"(has(projectcalico.org/serviceaccount) && pcsa.role == "x")"#,
    );
    // A pod whose account has a long name has no account label, and is selected all the same.
    check(
        "GlobalNetworkPolicy",
        json!({"selector": "all()", "namespaceSelector": "env == 'prod'",
            "serviceAccountSelector": "role == 'x'"}),
        r#"(has(projectcalico.org/namespace) && pcns.env == "prod" && pcsa.role == "x")"#,
    );
    check(
        "GlobalNetworkPolicy",
        json!({"selector": "a == 'all()'", "namespaceSelector": "all()"}),
        r#"(a == "all()" && has(projectcalico.org/namespace))"#,
    );
}

#[test]
fn types_default_to_the_directions_with_rules() {
    let governs = |spec: Value| {
        let policy = policy(calico("NetworkPolicy", spec));
        (policy.ingress.is_some(), policy.egress.is_some())
    };
    let rule = json!([{"action": "Allow"}]);
    assert_eq!(governs(json!({})), (true, false));
    assert_eq!(governs(json!({"egress": rule})), (false, true));
    assert_eq!(
        governs(json!({"ingress": rule, "egress": rule})),
        (true, true)
    );
    assert_eq!(
        governs(json!({"ingress": rule, "types": ["Egress"]})),
        (false, true)
    );
}

#[test]
fn entities_become_predicates() {
    let check = |kind: &str, source: Value, expect: &str| {
        let spec = json!({"ingress": [{"action": "Allow", "protocol": "TCP", "source": source}]});
        let policy = policy(calico(kind, spec));
        assert_eq!(rules(policy.ingress.as_deref()), [expect]);
    };
    let global = "GlobalNetworkPolicy";
    let own = "NetworkPolicy";
    check(
        global,
        json!({"notSelector": "a == 'x'"}),
        r#"0 Allow tcp from ![selector a == "x"]"#,
    );
    check(
        own,
        json!({"notSelector": "a == 'x'"}),
        r#"0 Allow tcp from [selector (projectcalico.org/namespace == "shop" && !a == "x")]"#,
    );
    check(
        own,
        json!({"nets": ["10.0.0.0/8"]}),
        "0 Allow v4 tcp from [nets 10.0.0.0/8]",
    );
    check(
        own,
        json!({"nets": ["10.0.0.0/8", "11.0.0.0/8"], "notNets": ["10.1.0.0/16"]}),
        "0 Allow v4 tcp from [nets 10.0.0.0/8,11.0.0.0/8] ![nets 10.1.0.0/16]",
    );
    check(
        own,
        json!({"notNets": ["fd00::/8"]}),
        "0 Allow v6 tcp from ![nets fd00::/8]",
    );
    check(
        own,
        json!({"selector": "a == 'x'", "namespaceSelector": "global()"}),
        r#"0 Allow tcp from [selector (!has(projectcalico.org/namespace) && a == "x")]"#,
    );
    check(
        own,
        json!({"selector": "a == 'x'", "namespaceSelector": "all()"}),
        r#"0 Allow tcp from [selector (has(projectcalico.org/namespace) && a == "x")]"#,
    );
    check(
        global,
        json!({"serviceAccounts": {"names": ["b", "a"], "selector": "r == 'x'"}}),
        r#"0 Allow tcp from [selector (projectcalico.org/serviceaccount in {"a", "b"} && pcsa.r == "x")]"#,
    );
    check(
        global,
        json!({"selector": "all()", "ports": [80, "http", "8000:8080"]}),
        "0 Allow tcp from [selector all()] ports 80,8000:8080 [port tcp/http of all()]",
    );
}

#[test]
fn named_ports_stand_for_every_allowed_protocol() {
    let spec = json!({"ingress": [
        {"action": "Allow", "protocol": "UDP", "destination": {"ports": ["dns"]}},
        {"action": "Deny", "protocol": "ICMPv6"},
    ]});
    let policy = policy(calico("NetworkPolicy", spec));
    assert_eq!(
        rules(policy.ingress.as_deref()),
        ["0 Allow udp to ports  [port udp/dns]", "1 Deny v6 icmpv6"]
    );
}

#[test]
fn icmp_is_a_type_with_or_without_a_code() {
    let spec = json!({"ingress": [
        {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8}, "notICMP": {"type": 8, "code": 3}},
        {"action": "Deny", "protocol": 58, "icmp": {"type": 0, "code": 0}},
        {"action": "Pass", "protocol": "ICMP", "notICMP": {}},
    ]});
    let policy = policy(calico("NetworkPolicy", spec));
    assert_eq!(
        rules(policy.ingress.as_deref()),
        [
            "0 Allow v4 icmp type 8 not type 8/3",
            "1 Deny v6 icmpv6 type 0/0",
            "2 Pass v4 icmp"
        ]
    );
}

#[test]
fn kubernetes_policies_become_ordinary_ones() {
    let policy = policy(kubernetes(json!({
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "front"}}},
                      {"namespaceSelector": {}},
                      {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
             "ports": [{"port": 80}, {"port": 8000, "endPort": 8080}, {"protocol": "UDP"}]},
            {},
        ],
        "egress": [{"to": [{"namespaceSelector": {"matchExpressions":
            [{"key": "env", "operator": "NotIn", "values": ["dev"]}]}}], "ports": [{"port": "http"}]}],
    })));
    assert_eq!(policy.order.value().to_bits(), 1000_f64.to_bits());
    assert_eq!(policy.tier.to_string(), "default");
    assert_eq!(policy.key.to_string(), "knp/shop/p");
    let k8s = r#"projectcalico.org/orchestrator == "k8s""#;
    assert_eq!(
        policy.selector.to_string(),
        format!(r#"(({k8s} && app == "web") && projectcalico.org/namespace == "shop")"#)
    );
    let front = format!(
        r#"[selector (projectcalico.org/namespace == "shop" && ({k8s} && app == "front"))]"#
    );
    let any = format!("[selector (has(projectcalico.org/namespace) && {k8s})]");
    let block = "[nets 10.0.0.0/8] ![nets 10.1.0.0/16]";
    let mut expected = Vec::new();
    for (protocol, ports) in [("tcp", " to ports 80,8000:8080"), ("udp", "")] {
        for (family, from) in [("", front.as_str()), ("", any.as_str()), (" v4", block)] {
            expected.push(format!("0 Allow{family} {protocol} from {from}{ports}"));
        }
    }
    expected.push("1 Allow".to_owned());
    assert_eq!(rules(policy.ingress.as_deref()), expected);
    let to = format!(r#"(pcns.env not in {{"dev"}} && {k8s})"#);
    assert_eq!(
        rules(policy.egress.as_deref()),
        [format!(
            "0 Allow tcp to [selector {to}] ports  [port tcp/http of {to}]"
        )]
    );
}

#[test]
fn what_cannot_be_carried_over_is_refused() {
    let check = |spec: Value, expect: &str| {
        let value = calico("GlobalNetworkPolicy", spec);
        let object =
            oncilla_api::Object::decode(oncilla_api::Kind::GlobalNetworkPolicy, value).unwrap();
        let refused = Converter::default().convert(&object).unwrap_err();
        assert!(refused.to_string().contains(expect), "{refused}");
        assert_eq!(refused.object, object.key());
    };
    check(json!({"doNotTrack": true}), "applyOnForward must be true");
    check(
        json!({"ingress": [{"action": "Allow", "http": {"methods": ["GET"]}}]}),
        "not supported",
    );
    check(json!({"selector": "a = b"}), "expected ==");
    check(
        json!({"ingress": [{"action": "Allow", "source": {"nets": ["10.0.0.1/8"]}}]}),
        "host bits",
    );
    let services = json!({"services": {"name": "db"}});
    check(
        json!({"egress": [{"action": "Allow", "destination": services}]}),
        "must specify a namespace",
    );
}

#[test]
fn the_removal_of_an_object_is_the_removal_of_what_it_meant() {
    let value = object(calico("NetworkPolicy", json!({})));
    let removed = Converter::default().removed(&value.key());
    let added = Converter::default().convert(&value).unwrap();
    match (&removed[..], &added[..]) {
        (
            [oncilla_model::Change::Policy(gone, None)],
            [oncilla_model::Change::Policy(there, Some(_))],
        ) => assert_eq!(gone, there),
        other => panic!("{other:?}"),
    }
}
