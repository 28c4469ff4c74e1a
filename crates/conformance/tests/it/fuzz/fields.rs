//! Arbitrary fields in objects of every kind: they are read, filled in and judged, or refused, and what is accepted is
//! written and read again as itself.

use oncilla_api::{Kind, Object, Remains};
use oncilla_testkit::fuzz::Run;
use oncilla_testkit::rng::Rng;
use serde_json::{Value, json};

use super::objects::change;

/// Objects of a run of the tests.
const OBJECTS: u64 = 10_000;
const CHANGES_MAX: u64 = 3;

/// A valid object of a kind, with as many fields as one can have.
fn sample(kind: Kind) -> Value {
    let rule = json!({"action": "Allow", "protocol": "TCP", "ipVersion": 4,
        "source": {"nets": ["10.0.0.0/8"], "selector": "has(a)", "namespaceSelector": "all()"},
        "destination": {"ports": [80, "90:99", "http"], "serviceAccounts": {"names": ["x"]}},
        "metadata": {"annotations": {"a": "b"}}});
    let icmp = json!({"action": "Deny", "protocol": "ICMPv6", "notICMP": {"type": 128, "code": 0}});
    let calico = json!({"tier": "default", "order": 10.5, "selector": "a == 'b'", "types": ["Ingress", "Egress"],
        "serviceAccountSelector": "has(x)", "ingress": [rule, icmp], "egress": [rule]});
    let kubernetes = json!({"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": 80, "endPort": 90}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8",
            "except": ["10.1.0.0/16"]}}, {"namespaceSelector": {"matchExpressions":
            [{"key": "a", "operator": "In", "values": ["b"]}]}}]}]});
    let spec = match kind {
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => calico,
        Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy => {
            with(calico, "stagedAction", "Set")
        }
        Kind::KubernetesNetworkPolicy => kubernetes,
        Kind::StagedKubernetesNetworkPolicy => with(kubernetes, "stagedAction", "Set"),
        Kind::ClusterNetworkPolicy => {
            json!({"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
            "ingress": [{"action": "Accept", "from": [{"namespaces": {}}],
                "protocols": [{"tcp": {"destinationPort": {"range": {"start": 1, "end": 9}}}}]}],
            "egress": [{"action": "Deny", "to": [{"networks": ["10.0.0.0/8"]}]}]})
        }
        Kind::Tier => json!({"order": 5, "defaultAction": "Pass"}),
        Kind::NetworkSet | Kind::GlobalNetworkSet => json!({"nets": ["10.0.0.0/8", "fd00::1"]}),
        Kind::HostEndpoint => {
            json!({"node": "n1", "interfaceName": "*", "expectedIPs": ["10.0.0.1"],
            "profiles": ["a"], "ports": [{"name": "x", "protocol": "TCP", "port": 1}]})
        }
        Kind::Profile => json!({"ingress": [rule], "egress": [icmp], "labelsToApply": {"a": "b"}}),
        Kind::FelixConfiguration => {
            json!({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}],
            "defaultEndpointToHostAction": "Drop", "interfacePrefix": "cali", "routeTableRanges": [{"min": 1, "max": 9}],
            "kubeNodePortRanges": ["1:9"], "vxlanPort": 1})
        }
        Kind::IPPool => {
            json!({"cidr": "10.0.0.0/16", "ipipMode": "Always", "blockSize": 26, "allowedUses": ["Workload"],
            "nodeSelector": "all()"})
        }
        Kind::WorkloadEndpoint => {
            json!({"node": "n1", "ipNetworks": ["10.0.0.1/32"], "ipNATs": [{"internalIP": "10.0.0.1",
            "externalIP": "192.0.2.1"}], "ports": [{"name": "x", "protocol": "TCP", "port": 1, "hostPort": 2}]})
        }
        Kind::Pod => {
            json!({"nodeName": "n1", "containers": [{"name": "c", "image": "i", "ports": [{"name": "x",
            "containerPort": 80}]}]})
        }
        Kind::Service => {
            json!({"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "x"}]})
        }
        Kind::Node => json!({"podCIDR": "10.0.0.0/24"}),
        _ => json!({}),
    };
    let mut object =
        json!({"metadata": {"name": "a", "labels": {"a": "b"}, "annotations": {"c": "d"}}});
    if spec != json!({}) {
        object["spec"] = spec;
    }
    if kind == Kind::EndpointSlice {
        object["addressType"] = json!("IPv4");
        object["endpoints"] = json!([{"addresses": ["10.0.0.1"]}]);
        object["ports"] = json!([{"name": "x", "port": 80, "protocol": "TCP"}]);
    }
    object
}

fn with(mut value: Value, field: &str, text: &str) -> Value {
    value[field] = json!(text);
    value
}

fn judge(rng: &mut Rng, outcomes: &mut [u64; 2]) {
    let kind = *rng.pick(&Kind::ALL);
    let mut value = sample(kind);
    for _ in 0..=rng.below(CHANGES_MAX) {
        change(rng, &mut value, 8);
    }
    match Object::from_value(kind, value.clone()) {
        Ok(object) => {
            outcomes[0] += 1;
            let again = Object::from_value(kind, object.to_value());
            assert_eq!(again.as_ref(), Ok(&object), "{value}");
            let mut defaulted = object.clone();
            defaulted.default_fields();
            assert_eq!(defaulted, object, "{value}");
        }
        Err(errors) => {
            outcomes[1] += 1;
            assert!(!errors.is_empty(), "{value}");
            for error in &errors {
                assert!(
                    !error.message.is_empty() && !error.message.contains('\n'),
                    "{error:?}"
                );
            }
            // What is left of it can be asked for.
            drop(Remains::new(kind, &value, &errors));
        }
    }
}

#[test]
fn samples_are_valid() {
    for kind in Kind::ALL {
        let read = Object::from_value(kind, sample(kind));
        assert!(read.is_ok(), "{kind}: {read:?}");
    }
}

#[test]
fn arbitrary_fields() {
    let mut outcomes = [0; 2];
    Run::new("fields", OBJECTS).generators(|rng| judge(rng, &mut outcomes));
    assert!(outcomes.iter().all(|count| *count > 500), "{outcomes:?}");
}
