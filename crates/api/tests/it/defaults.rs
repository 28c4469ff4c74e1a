//! What is filled in when it is not written, kind by kind: the server's answer and what the engine judges by.

use oncilla_api::{Kind, Object};
use serde_json::{Value, json};

/// What becomes of one field.
struct Row {
    kind: Kind,
    spec: Value,
    /// A JSON pointer.
    at: &'static str,
    becomes: Value,
}

fn row(kind: Kind, spec: Value, at: &'static str, becomes: Value) -> Row {
    Row {
        kind,
        spec,
        at,
        becomes,
    }
}

const CALICO: [Kind; 4] = [
    Kind::NetworkPolicy,
    Kind::GlobalNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
];

/// Semantics page §1.1 to §1.4 and §2.4.
fn policies() -> Vec<Row> {
    let allow = json!([{"action": "Allow"}]);
    let mut rows = Vec::new();
    for kind in CALICO {
        for (spec, types) in [
            (json!({}), json!(["Ingress"])),
            (json!({"ingress": allow}), json!(["Ingress"])),
            (json!({"egress": allow}), json!(["Egress"])),
            (
                json!({"ingress": allow, "egress": allow}),
                json!(["Ingress", "Egress"]),
            ),
            // An empty list is no list, as in upstream's own code; its admission policy differs (§9, quirk 2).
            (json!({"egress": []}), json!(["Ingress"])),
            (json!({"ingress": [], "egress": allow}), json!(["Egress"])),
            (
                json!({"types": ["Egress"], "ingress": allow}),
                json!(["Egress"]),
            ),
            (json!({"types": []}), json!(["Ingress"])),
        ] {
            rows.push(row(kind, spec, "/spec/types", types));
        }
        rows.push(row(kind, json!({}), "/spec/tier", json!("default")));
        rows.push(row(
            kind,
            json!({"tier": ""}),
            "/spec/tier",
            json!("default"),
        ));
        // No order stays no order: last in the tier.
        rows.push(row(kind, json!({}), "/spec/order", Value::Null));
    }
    for kind in [Kind::StagedNetworkPolicy, Kind::StagedGlobalNetworkPolicy] {
        rows.push(row(kind, json!({}), "/spec/stagedAction", json!("Set")));
        let delete = json!({"stagedAction": "Delete"});
        rows.push(row(kind, delete, "/spec/types", Value::Null));
    }
    rows
}

fn kubernetes() -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, with) in [
        (Kind::KubernetesNetworkPolicy, json!({"podSelector": {}})),
        (
            Kind::StagedKubernetesNetworkPolicy,
            json!({"stagedAction": "Set"}),
        ),
    ] {
        for (more, types) in [
            (json!({}), json!(["Ingress"])),
            (json!({"ingress": [{}]}), json!(["Ingress"])),
            (json!({"egress": [{}]}), json!(["Ingress", "Egress"])),
            (json!({"egress": []}), json!(["Ingress"])),
            (json!({"policyTypes": ["Egress"]}), json!(["Egress"])),
        ] {
            let mut spec = with.clone();
            if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
                spec.extend(more);
            }
            rows.push(row(kind, spec, "/spec/policyTypes", types));
        }
        let mut spec = with.clone();
        spec["ingress"] =
            json!([{"ports": [{"port": 80}], "from": [{"ipBlock": {"cidr": "10.1.2.3/8"}}]}]);
        rows.push(row(
            kind,
            spec.clone(),
            "/spec/ingress/0/ports/0/protocol",
            json!("TCP"),
        ));
        rows.push(row(
            kind,
            spec,
            "/spec/ingress/0/from/0/ipBlock/cidr",
            json!("10.0.0.0/8"),
        ));
    }
    rows
}

fn others() -> Vec<Row> {
    let mut rows = vec![
        row(Kind::Tier, json!({}), "/spec/defaultAction", json!("Deny")),
        row(Kind::Tier, json!({}), "/spec/order", Value::Null),
        row(
            Kind::NetworkPolicy,
            json!({}),
            "/metadata/namespace",
            json!("default"),
        ),
        row(
            Kind::NetworkSet,
            json!({}),
            "/metadata/namespace",
            json!("default"),
        ),
        row(
            Kind::GlobalNetworkPolicy,
            json!({}),
            "/metadata/namespace",
            Value::Null,
        ),
    ];
    for kind in [Kind::NetworkSet, Kind::GlobalNetworkSet] {
        let nets = json!({"nets": ["10.0.0.1", "fd00::1", "10.0.0.0/8"]});
        let becomes = json!(["10.0.0.1/32", "fd00::1/128", "10.0.0.0/8"]);
        rows.push(row(kind, nets, "/spec/nets", becomes));
    }
    // §1.12
    for (cidr, size) in [("10.0.0.0/16", 26), ("fd00::/48", 122)] {
        for (at, becomes) in [
            ("/spec/blockSize", json!(size)),
            ("/spec/nodeSelector", json!("all()")),
            ("/spec/ipipMode", json!("Never")),
            ("/spec/vxlanMode", json!("Never")),
            ("/spec/allowedUses", json!(["Workload", "Tunnel"])),
            ("/spec/assignmentMode", json!("Automatic")),
        ] {
            rows.push(row(Kind::IPPool, json!({ "cidr": cidr }), at, becomes));
        }
    }
    rows
}

#[test]
fn what_is_not_written_is_filled_in() {
    for row in [policies(), kubernetes(), others()].into_iter().flatten() {
        let value = json!({"metadata": {"name": "a"}, "spec": row.spec});
        let object = Object::from_value(row.kind, value);
        let object =
            object.unwrap_or_else(|errors| panic!("{} {}: {errors:?}", row.kind, row.spec));
        let found = object.to_value();
        let found = found.pointer(row.at).cloned().unwrap_or_default();
        assert_eq!(
            found, row.becomes,
            "{} {} at {}",
            row.kind, row.spec, row.at
        );
        let mut again = object.clone();
        again.default_fields();
        assert_eq!(again, object, "doing it again changes nothing");
        let is_asked = matches!(
            row.kind,
            Kind::GlobalNetworkPolicy
                | Kind::NetworkPolicy
                | Kind::KubernetesNetworkPolicy
                | Kind::GlobalNetworkSet
                | Kind::NetworkSet
        );
        assert_eq!(object.is_defaulted(), is_asked, "{} {}", row.kind, row.spec);
    }
}
