//! Policies of the cluster.

use oncilla_api::{Kind, ObjectKey, Remains};
use oncilla_model::{Change, Converter, Order, Policy, PolicyKind};
use serde_json::{Value, json};

use super::render::{policy, rules};

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write json! in place"
)]
fn cluster(tier: &str, subject: Value, ingress: Value, egress: Value) -> Value {
    json!({"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"tier": tier, "priority": 30, "subject": subject, "ingress": ingress, "egress": egress}})
}

fn everywhere() -> Value {
    json!({"namespaces": {}})
}

#[test]
fn the_tier_and_the_priority_say_where_it_stands() {
    for (tier, built_in) in [("Admin", "kube-admin"), ("Baseline", "kube-baseline")] {
        let rule = json!([{"action": "Deny", "from": [everywhere()]}]);
        let policy = policy(cluster(tier, everywhere(), rule, json!([])));
        assert_eq!(policy.tier.to_string(), built_in);
        assert_eq!(policy.order, Order::new(Some(30.0)));
        assert_eq!(policy.key.kind, PolicyKind::KubernetesClusterNetworkPolicy);
        assert_eq!(policy.key.to_string(), "kcnp/p");
        assert!(policy.ingress.is_some() && policy.egress.is_none());
    }
}

#[test]
fn the_subject_is_pods_only() {
    let check = |subject: Value, expect: &str| {
        let rule = json!([{"action": "Deny", "from": [everywhere()]}]);
        let policy = policy(cluster("Admin", subject, rule, json!([])));
        assert_eq!(policy.selector.to_string(), expect);
    };
    check(
        json!({"namespaces": {}}),
        r#"(has(projectcalico.org/namespace) && projectcalico.org/orchestrator == "k8s")"#,
    );
    check(
        json!({"namespaces": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}),
        r#"(pcns.team not in {"a"} && projectcalico.org/orchestrator == "k8s")"#,
    );
    check(
        json!({"pods": {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "web"}}}}),
        r#"(pcns.team == "a" && (projectcalico.org/orchestrator == "k8s" && app == "web"))"#,
    );
}

#[test]
fn a_rule_becomes_one_for_each_protocol_and_peer() {
    let ports = json!([
        {"tcp": {"destinationPort": {"number": 80}}},
        {"sctp": {"destinationPort": {"range": {"start": 10, "end": 20}}}},
        {"destinationNamedPort": "web"}]);
    let app = json!({"pods": {"podSelector": {"matchLabels": {"app": "web"}}}});
    let policy = policy(cluster(
        "Admin",
        everywhere(),
        json!([
            {"action": "Pass", "from": [everywhere()]},
            {"action": "Accept", "from": [app], "protocols": ports}]),
        json!([
            {"action": "Deny", "to": [{"networks": ["10.0.0.0/8", "10.1.2.3/32"]}, {"networks": ["fd00::/8"]}]},
            {"action": "Accept", "to": [app], "protocols": [{"destinationNamedPort": "web"}]}]),
    ));
    let namespaced = "has(projectcalico.org/namespace)";
    let pods = format!(r#"{namespaced} && projectcalico.org/orchestrator == "k8s""#);
    let web =
        format!(r#"({namespaced} && (projectcalico.org/orchestrator == "k8s" && app == "web"))"#);
    assert_eq!(
        rules(policy.ingress.as_deref()),
        [
            format!("0 Pass from [selector ({pods})]"),
            format!("1 Allow tcp from [selector {web}] to ports 80"),
            format!("1 Allow sctp from [selector {web}] to ports 10:20"),
            format!(
                "1 Allow from [selector {web}] to ports  [port sctp/web] [port tcp/web] [port udp/web]"
            ),
        ]
    );
    assert_eq!(
        rules(policy.egress.as_deref()),
        [
            "0 Deny v4 to [nets 10.0.0.0/8,10.1.2.3/32]".to_owned(),
            "0 Deny v6 to [nets fd00::/8]".to_owned(),
            format!(
                "1 Allow to [selector {web}] ports  [port sctp/web of {web}] [port tcp/web of {web}] [port udp/web of {web}]"
            ),
        ]
    );
}

/// What goes in force instead of a policy with this specification.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write json! in place"
)]
fn closed(spec: Value) -> Policy {
    let key = ObjectKey::cluster(Kind::ClusterNetworkPolicy, "p");
    let value = json!({"metadata": {"name": "p"}, "spec": spec});
    let remains = Remains::new(key.kind, &value, &[]);
    assert!(!remains.errors().is_empty(), "{value} is valid");
    let closed = Converter::default().closed(&key, &remains);
    assert_eq!(closed.doubt, None);
    match &closed.changes[..] {
        [Change::Policy(_, Some(policy))] => (**policy).clone(),
        other => panic!("{other:?}"),
    }
}

/// The rules that can be understood hold as written; the others never let more through.
#[test]
fn a_faulty_rule_fails_closed_alone() {
    let rule = |action: &str, faulty: &Value| json!({"action": action, "to": faulty});
    for faulty in [
        json!([{"nodes": {}, "networks": ["10.0.0.0/8"]}]),
        json!([{"domainNames": ["example.com"]}]),
        json!([{"notInventedYet": {}}]),
        json!([{"networks": ["nonsense"]}]),
        json!([{"networks": []}]),
        json!([{}]),
        json!([]),
        json!(7),
        json!([{"namespaces": {}, "networks": ["10.0.0.0/8"]}]),
    ] {
        let policy = closed(json!({
            "tier": "Baseline", "priority": 3, "subject": {"namespaces": {"matchLabels": {"team": "a"}}},
            "egress": [rule("Accept", &faulty), rule("Accept", &json!([everywhere()])),
                rule("Pass", &faulty), rule("Deny", &faulty), rule("Maybe", &faulty)]}));
        let pods = r#"[selector (has(projectcalico.org/namespace) && projectcalico.org/orchestrator == "k8s")]"#;
        assert_eq!(
            rules(policy.egress.as_deref()),
            [
                format!("1 Allow to {pods}"),
                "2 Deny".to_owned(),
                "3 Deny".to_owned(),
                "4 Deny".to_owned()
            ],
            "{faulty}"
        );
        assert!(policy.ingress.is_none());
        assert_eq!(policy.tier.to_string(), "kube-baseline");
        assert_eq!(policy.order, Order::new(Some(3.0)));
        assert_eq!(
            policy.selector.to_string(),
            r#"(pcns.team == "a" && projectcalico.org/orchestrator == "k8s")"#
        );
    }
    let protocols = json!([{"tcp": {"destinationPort": {"number": 65_536}}}]);
    let policy = closed(json!({
        "tier": "Admin", "priority": 3, "subject": {"namespaces": {}},
        "ingress": [{"action": "Accept", "from": [everywhere()], "protocols": protocols}]}));
    assert_eq!(rules(policy.ingress.as_deref()), [""; 0]);
}

#[test]
fn with_another_fault_it_denies_all_that_it_may_mean() {
    let accept = json!([{"action": "Accept", "from": [everywhere()]}]);
    let spec = |field: &str, value: Value| {
        let mut spec = json!({
            "tier": "Baseline", "priority": 30, "ingress": accept,
            "subject": {"namespaces": {"matchLabels": {"team": "a"}}}});
        spec[field] = value;
        let policy = closed(spec);
        assert_eq!(rules(policy.ingress.as_deref()), ["0 Deny"]);
        let selector = policy.selector.to_string();
        let egress = policy.egress.is_some();
        (
            policy.tier.to_string(),
            policy.order.value(),
            selector,
            egress,
        )
    };
    let team = r#"(pcns.team == "a" && projectcalico.org/orchestrator == "k8s")"#;
    let (baseline, first) = ("kube-baseline", f64::NEG_INFINITY);
    let (all, admin) = ("all()", "kube-admin");
    for (field, value, expected) in [
        ("priority", json!(1001), (baseline, first, team, false)),
        ("priority", json!("7"), (baseline, first, team, false)),
        ("tier", json!("Middle"), (admin, 30.0, team, false)),
        ("subject", json!({}), (baseline, 30.0, all, false)),
        ("subject", json!(7), (baseline, 30.0, all, false)),
        ("notInventedYet", json!(7), (baseline, 30.0, team, true)),
        ("egress", json!(7), (baseline, 30.0, team, true)),
        (
            "ingress",
            json!(vec![accept[0].clone(); 26]),
            (baseline, 30.0, team, false),
        ),
    ] {
        let told = spec(field, value.clone());
        let told = (&*told.0, told.1, &*told.2, told.3);
        assert_eq!(told, expected, "{field}: {value}");
    }
    // Without a tier nobody can say: the first of the two. Where nothing can be read, it denies everybody.
    let policy = closed(json!({"priority": 1, "subject": {"namespaces": {}}, "egress": accept}));
    assert_eq!(policy.tier.to_string(), "kube-admin");
    let policy = closed(json!(7));
    assert_eq!(policy.tier.to_string(), "kube-admin");
    assert_eq!(policy.order, Order::new(Some(f64::NEG_INFINITY)));
    assert_eq!(rules(policy.egress.as_deref()), ["0 Deny"]);
}
