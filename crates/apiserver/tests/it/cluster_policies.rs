//! Policies of the cluster, and the tiers that hold them.

use serde_json::{Value, json};

use super::server::Served;

const POLICIES: &str = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
const TIERS: &str = "/apis/projectcalico.org/v3/tiers";

fn policy(name: &str, tier: &str) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "tier": tier,
            "priority": 10,
            "subject": {"namespaces": {}},
            "egress": [{"action": "Deny", "to": [{"networks": ["10.1.2.3/8"]}]}],
        },
    })
}

#[test]
fn they_are_kept_and_found_like_any_other_object() {
    let served = Served::new();
    let made = served.made(POLICIES, &policy("wall", "Admin"));
    assert_eq!(
        made["spec"]["egress"][0]["to"][0]["networks"],
        json!(["10.0.0.0/8"])
    );
    let path = format!("{POLICIES}/wall");
    assert_eq!(served.get(&path).0, 200);
    let (code, list) = served.get(POLICIES);
    assert_eq!(
        (code, &list["kind"]),
        (200, &json!("ClusterNetworkPolicyList"))
    );
    let (code, patched) = served.patch(&path, &json!({"spec": {"priority": 11}}));
    assert_eq!(
        (code, &patched["spec"]["priority"]),
        (200, &json!(11)),
        "{patched}"
    );
    let (code, groups) = served.get("/apis");
    assert_eq!(code, 200);
    assert!(
        groups
            .to_string()
            .contains("policy.networking.k8s.io/v1alpha2"),
        "{groups}"
    );
    let (code, resources) = served.get("/apis/policy.networking.k8s.io/v1alpha2");
    assert_eq!(code, 200);
    let resource = &resources["resources"][0];
    assert_eq!(
        (
            &resource["name"],
            &resource["namespaced"],
            &resource["shortNames"]
        ),
        (
            &json!("clusternetworkpolicies"),
            &json!(false),
            &json!(["kcnp"])
        )
    );
    assert_eq!(served.delete(&path).0, 200);
    assert_eq!(served.get(&path).0, 404);
}

#[test]
fn what_is_wrong_is_said_with_its_field() {
    let served = Served::new();
    for (field, value, said) in [
        ("tier", json!("Middle"), "unknown value"),
        ("priority", json!(1001), "must be between 0 and 1000"),
        ("subject", json!({}), "must specify a subject"),
        (
            "egress",
            json!([{"action": "Accept", "to": [{"domainNames": ["example.org"]}]}]),
            "is not supported yet",
        ),
    ] {
        let mut faulty = policy("wall", "Admin");
        faulty["spec"][field] = value;
        let (code, status) = served.post(POLICIES, &faulty);
        assert_eq!(code, 422, "{status}");
        let cause = &status["details"]["causes"][0];
        let place = cause["field"].as_str().unwrap();
        assert!(place.starts_with(&format!("spec.{field}")), "{status}");
        assert!(
            cause["message"].as_str().unwrap().contains(said),
            "{status}"
        );
    }
    assert_eq!(served.get(POLICIES).1["items"], json!([]));
}

/// Whoever could move a built-in tier could take an administrator's policy out of the way.
#[test]
fn built_in_tiers_can_neither_be_moved_nor_end_otherwise() {
    let served = Served::new();
    for (name, order, action) in [
        ("kube-admin", 1000, "Pass"),
        ("default", 1_000_000, "Deny"),
        ("kube-baseline", 10_000_000, "Pass"),
    ] {
        let path = format!("{TIERS}/{name}");
        let before = served.get(&path).1;
        let other = if action == "Pass" { "Deny" } else { "Pass" };
        for (change, said) in [
            (
                json!({"order": 5}),
                format!("{name} tier order must be {order}"),
            ),
            (
                json!({"defaultAction": other}),
                format!("the '{name}' tier must have default action '{action}'"),
            ),
        ] {
            let (code, status) = served.patch(&path, &json!({"spec": change}));
            assert_eq!(code, 422, "{status}");
            let message = status["message"].as_str().unwrap();
            assert!(message.contains(&said), "{message}");
        }
        if name != "default" {
            // No order would be the order of `default`.
            let (code, status) = served.patch(&path, &json!({"spec": {"order": null}}));
            assert_eq!(code, 422, "{status}");
        }
        assert_eq!(served.get(&path).1, before, "nothing changed");
    }
}

/// With every kind of policy that can be in it.
#[test]
fn a_tier_that_holds_policies_cannot_be_deleted() {
    let served = Served::new();
    for (name, kind, path) in [
        (
            "one",
            "GlobalNetworkPolicy",
            "/apis/projectcalico.org/v3/globalnetworkpolicies",
        ),
        (
            "two",
            "NetworkPolicy",
            "/apis/projectcalico.org/v3/namespaces/default/networkpolicies",
        ),
    ] {
        let tier = json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier",
            "metadata": {"name": name}, "spec": {"order": 100}});
        served.made(TIERS, &tier);
        let policy = json!({"apiVersion": "projectcalico.org/v3", "kind": kind,
            "metadata": {"name": "p"}, "spec": {"tier": name, "selector": "all()"}});
        served.made(path, &policy);
        let tier = format!("{TIERS}/{name}");
        let (code, status) = served.delete(&tier);
        assert_eq!(code, 403, "{status}");
        let message = status["message"].as_str().unwrap();
        assert!(
            message.contains("Cannot delete a non-empty tier"),
            "{message}"
        );
        assert_eq!(served.delete(&format!("{path}/p")).0, 200);
        assert_eq!(served.delete(&tier).0, 200);
    }
    // Those of the cluster are in built-in tiers, which stay, empty or not.
    for (tier, name) in [("Admin", "kube-admin"), ("Baseline", "kube-baseline")] {
        served.made(POLICIES, &policy(name, tier));
        let (code, status) = served.delete(&format!("{TIERS}/{name}"));
        assert_eq!(code, 403, "{status}");
        assert_eq!(served.delete(&format!("{POLICIES}/{name}")).0, 200);
        assert_eq!(served.delete(&format!("{TIERS}/{name}")).0, 403);
    }
}
