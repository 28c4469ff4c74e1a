//! Staged policies: the fields of the enforced kinds, and what is meant.

use oncilla_api::v3::StagedAction;
use oncilla_api::{Kind, Object};
use serde_json::{Value, json};

fn staged(kind: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "projectcalico.org/v3", "kind": kind,
        "metadata": { "name": "p" }, "spec": spec })
}

fn read(kind: &str, spec: &Value) -> Object {
    Object::from_manifest(staged(kind, spec)).unwrap_or_else(|errors| panic!("{errors:?}"))
}

#[track_caller]
fn refused(kind: &str, spec: &Value, path: &str, message: &str) {
    let errors = Object::from_manifest(staged(kind, spec)).expect_err("it is refused");
    let found = errors.iter().find(|error| error.path == path);
    let found = found.unwrap_or_else(|| panic!("{path}: {errors:?}"));
    assert_eq!(found.message, message);
}

#[test]
fn what_is_not_given_is_filled_in_as_for_the_enforced_kind() {
    let deny = json!([{ "action": "Deny" }]);
    for (kind, spec, expected) in [
        (
            "StagedNetworkPolicy",
            json!({}),
            json!({ "stagedAction": "Set", "tier": "default", "types": ["Ingress"] }),
        ),
        (
            "StagedGlobalNetworkPolicy",
            json!({ "egress": deny }),
            json!({ "stagedAction": "Set", "tier": "default", "types": ["Egress"], "egress": deny }),
        ),
        (
            "StagedNetworkPolicy",
            json!({ "stagedAction": "Learn", "ingress": deny, "egress": deny }),
            json!({ "stagedAction": "Learn", "tier": "default", "types": ["Ingress", "Egress"],
                "ingress": deny, "egress": deny }),
        ),
        // Unlike Calico's kinds: with egress rules both directions are governed.
        (
            "StagedKubernetesNetworkPolicy",
            json!({ "egress": [{ "ports": [{ "port": 80 }],
                "to": [{ "ipBlock": { "cidr": "10.1.2.3/8" } }] }] }),
            json!({ "stagedAction": "Set", "podSelector": {},
                "egress": [{ "ports": [{ "port": 80, "protocol": "TCP" }],
                    "to": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] }],
                "policyTypes": ["Ingress", "Egress"] }),
        ),
        (
            "StagedKubernetesNetworkPolicy",
            json!({ "ingress": [{}] }),
            json!({ "stagedAction": "Set", "podSelector": {}, "ingress": [{}],
                "policyTypes": ["Ingress"] }),
        ),
        // A deletion says nothing else.
        (
            "StagedNetworkPolicy",
            json!({ "stagedAction": "Delete", "tier": "security" }),
            json!({ "stagedAction": "Delete", "tier": "security" }),
        ),
        (
            "StagedKubernetesNetworkPolicy",
            json!({ "stagedAction": "Delete" }),
            json!({ "stagedAction": "Delete", "podSelector": {} }),
        ),
    ] {
        let object = read(kind, &spec);
        let value = object.to_value();
        assert_eq!(value["spec"], expected, "{kind}");
        assert_eq!(Object::from_manifest(value).unwrap(), object, "{kind}");
    }
}

#[test]
fn a_deletion_says_nothing_but_its_tier() {
    let calico = "Spec fields, except Tier, should all be zero-value if stagedAction is Delete";
    let kubernetes = "Spec fields should all be zero-value if stagedAction is Delete";
    for (kind, field, value, message) in [
        ("StagedNetworkPolicy", "order", json!(1), calico),
        ("StagedNetworkPolicy", "types", json!(["Ingress"]), calico),
        ("StagedNetworkPolicy", "selector", json!("all()"), calico),
        (
            "StagedNetworkPolicy",
            "egress",
            json!([{ "action": "Deny" }]),
            calico,
        ),
        (
            "StagedGlobalNetworkPolicy",
            "namespaceSelector",
            json!("all()"),
            calico,
        ),
        (
            "StagedGlobalNetworkPolicy",
            "ingress",
            json!([{ "action": "Deny" }]),
            calico,
        ),
        (
            "StagedKubernetesNetworkPolicy",
            "policyTypes",
            json!(["Ingress"]),
            kubernetes,
        ),
        (
            "StagedKubernetesNetworkPolicy",
            "podSelector",
            json!({ "matchLabels": { "a": "b" } }),
            kubernetes,
        ),
    ] {
        let spec = json!({ "stagedAction": "Delete", field: value });
        refused(kind, &spec, "spec.stagedAction", message);
    }
}

#[test]
fn the_rules_of_the_enforced_kind_hold() {
    let ports = json!([{ "action": "Deny", "destination": { "ports": [80] } }]);
    let message = "rules with numeric port or port range must set protocol to TCP or UDP or SCTP";
    for kind in ["StagedNetworkPolicy", "StagedGlobalNetworkPolicy"] {
        refused(
            kind,
            &json!({ "ingress": ports }),
            "spec.ingress[0]",
            message,
        );
    }
    refused(
        "StagedKubernetesNetworkPolicy",
        &json!({ "ingress": [{ "from": [{}] }] }),
        "spec.ingress[0].from[0]",
        "must specify a peer",
    );
    refused(
        "StagedKubernetesNetworkPolicy",
        &json!({ "tier": "default" }),
        "spec.tier",
        "unknown field \"tier\"",
    );
    let errors = Object::from_manifest(staged(
        "StagedNetworkPolicy",
        &json!({ "stagedAction": "Try" }),
    ));
    let errors = errors.expect_err("there is no such action");
    assert_eq!(errors[0].path, "spec.stagedAction");
    let mut named = staged("StagedGlobalNetworkPolicy", &json!({}));
    named["metadata"]["name"] = "a.b.c".into();
    assert_eq!(
        Object::from_manifest(named).expect_err("the name")[0].path,
        "metadata.name"
    );
}

#[test]
fn the_enforced_policy_has_the_same_name_and_says_the_same() {
    for (kind, enforced) in [
        (Kind::StagedNetworkPolicy, Kind::NetworkPolicy),
        (Kind::StagedGlobalNetworkPolicy, Kind::GlobalNetworkPolicy),
        (
            Kind::StagedKubernetesNetworkPolicy,
            Kind::KubernetesNetworkPolicy,
        ),
    ] {
        let mut value = staged(kind.kind_name(), &json!({ "stagedAction": "Ignore" }));
        value["metadata"]["labels"] = json!({ "a": "b" });
        value["metadata"]["uid"] = json!("1");
        let object = Object::from_manifest(value.clone()).unwrap();
        let (action, promoted) = object.promoted().unwrap();
        assert_eq!((action, promoted.kind()), (StagedAction::Ignore, enforced));
        assert_eq!(kind.promoted(), Some(enforced));
        let mut wanted = value;
        wanted["apiVersion"] = enforced.api_version().into();
        wanted["kind"] = enforced.kind_name().into();
        wanted["metadata"].as_object_mut().unwrap().remove("uid");
        wanted["spec"]
            .as_object_mut()
            .unwrap()
            .remove("stagedAction");
        assert_eq!(promoted, Object::from_manifest(wanted).unwrap());
        assert_eq!(promoted.promoted(), None);
    }
}
