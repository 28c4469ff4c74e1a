//! What host endpoints, profiles, Felix's configuration and pools get.

use oncilla_api::manifest::{Limits, decode};
use oncilla_api::v3::{EndpointToHostAction, Failsafes};
use oncilla_api::{Kind, Object};
use serde_json::json;

use crate::check;

/// Everything that is said of an object with this specification.
fn faults(kind: Kind, name: &str, spec: &serde_json::Value) -> Vec<String> {
    let value = json!({ "metadata": { "name": name }, "spec": spec });
    let errors = Object::from_value(kind, value).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn accepted(kind: Kind, name: &str, spec: &serde_json::Value) -> Object {
    let value = json!({ "metadata": { "name": name }, "spec": spec });
    let object = Object::from_value(kind, value).unwrap();
    let again = Object::from_value(kind, object.to_value()).unwrap();
    assert_eq!(again, object, "reading what was written");
    object
}

#[test]
fn a_host_endpoint_is_an_interface_of_a_node() {
    let kind = Kind::HostEndpoint;
    for spec in [
        json!({"node": "node-1", "interfaceName": "eth0"}),
        json!({"node": "node-1", "interfaceName": "*"}),
        json!({"node": "node-1", "expectedIPs": ["10.0.0.1", "fd00::1"]}),
        json!({"node": "node-1", "interfaceName": "bond0.100", "profiles": ["kns.default"],
            "ports": [{"name": "ssh", "protocol": "TCP", "port": 22}]}),
    ] {
        accepted(kind, "eth0", &spec);
    }
    let refused = [
        (
            json!({"interfaceName": "eth0"}),
            "spec.node: node must be specified",
        ),
        (
            json!({"node": "node-1"}),
            "spec: at least one of interfaceName or expectedIPs must be specified",
        ),
        (
            json!({"node": "node-1", "interfaceName": "an-interface-too-long"}),
            "spec.interfaceName: invalid interface name \"an-interface-too-long\"",
        ),
        (
            json!({"node": "node-1", "interfaceName": "cali*"}),
            "spec.interfaceName: invalid interface name \"cali*\"",
        ),
        (
            json!({"node": "node-1", "expectedIPs": ["10.0.0.0/8"]}),
            "spec.expectedIPs[0]: invalid IP address \"10.0.0.0/8\"",
        ),
        (
            json!({"node": "n", "interfaceName": "e",
                "ports": [{"name": "ssh", "protocol": "ICMP", "port": 22}]}),
            "spec.ports[0].protocol: protocol must be 'TCP' or 'UDP' or 'SCTP'.",
        ),
        (
            json!({"node": "n", "interfaceName": "e",
                "ports": [{"name": "ssh", "protocol": "TCP", "port": 0}]}),
            "spec.ports[0].port: must be between 1 and 65535",
        ),
        (
            json!({"node": "n", "interfaceName": "e",
                "ports": [{"name": "a b", "protocol": "TCP", "port": 1}]}),
            "spec.ports[0].name: invalid port name \"a b\"",
        ),
    ];
    for (spec, fault) in refused {
        let found = faults(kind, "eth0", &spec);
        assert!(found.len() == 1 && found[0].starts_with(fault), "{found:?}");
    }
}

#[test]
fn policies_for_hosts_say_what_cannot_be() {
    let kind = Kind::GlobalNetworkPolicy;
    let forward = "applyOnForward must be true if either preDNAT or doNotTrack is true";
    for spec in [
        json!({"preDNAT": true, "applyOnForward": true, "types": ["Ingress"]}),
        json!({"doNotTrack": true, "applyOnForward": true, "types": ["Ingress", "Egress"]}),
        json!({"applyOnForward": true}),
    ] {
        accepted(kind, "hosts", &spec);
    }
    let refused = [
        (
            json!({"preDNAT": true, "doNotTrack": true, "applyOnForward": true}),
            "spec.preDNAT: preDNAT and doNotTrack cannot both be true".to_owned(),
        ),
        (
            json!({"preDNAT": true, "applyOnForward": true, "types": ["Ingress"],
                "egress": [{"action": "Allow"}]}),
            "spec.egress: preDNAT policy cannot have any egress rules".to_owned(),
        ),
        (
            json!({"preDNAT": true, "applyOnForward": true, "types": ["Ingress", "Egress"]}),
            "spec.types: preDNAT policy cannot have 'Egress' type".to_owned(),
        ),
        (
            json!({"preDNAT": true}),
            format!("spec.applyOnForward: {forward}"),
        ),
        (
            json!({"doNotTrack": true}),
            format!("spec.applyOnForward: {forward}"),
        ),
    ];
    for (spec, fault) in refused {
        assert_eq!(faults(kind, "hosts", &spec), [fault]);
    }
}

#[test]
fn a_profile_has_labels_and_rules() {
    accepted(
        Kind::Profile,
        "hosts",
        &json!({"labelsToApply": {"zone": "a"}, "ingress": [{"action": "Allow"}]}),
    );
    let found = faults(
        Kind::Profile,
        "hosts",
        &json!({"labelsToApply": {"a b": "c"}}),
    );
    assert!(
        found[0].starts_with("spec.labelsToApply.a b: label name"),
        "{found:?}"
    );
    let found = faults(
        Kind::Profile,
        "hosts",
        &json!({"egress": [{"action": "Drop"}]}),
    );
    assert_eq!(found, ["spec.egress[0].action: unknown value \"Drop\""]);
}

#[test]
fn felix_knows_the_fields_of_upstream_and_no_others() {
    let object = accepted(
        Kind::FelixConfiguration,
        "default",
        &json!({
            "bpfEnabled": false, "wireguardMTU": 1420, "defaultEndpointToHostAction": "accept",
            "failsafeInboundHostPorts": "none", "failsafeOutboundHostPorts": [
                {"protocol": "UDP", "port": 53, "net": "10.0.0.0/8"}
            ],
        }),
    );
    let Object::FelixConfiguration(found) = object else {
        panic!("another kind")
    };
    let spec = found.spec;
    assert_eq!(
        spec.default_endpoint_to_host_action,
        Some(EndpointToHostAction::Accept)
    );
    assert_eq!(spec.failsafe_inbound_host_ports, Some(Failsafes::default()));
    assert_eq!(
        spec.failsafe_outbound_host_ports.map(|list| list.0.len()),
        Some(1)
    );
    assert_eq!(
        spec.kept.keys().collect::<Vec<_>>(),
        ["bpfEnabled", "wireguardMTU"]
    );
    check(
        r"apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata:
  name: default
spec:
  failsafeInboundHostPort: []
  defaultEndpointToHostAction: Allow
",
        r#"error: policy.yaml:6:3: FelixConfiguration default
       spec.failsafeInboundHostPort: unknown field "failsafeInboundHostPort"
help: did you mean `failsafeInboundHostPorts`?
error: policy.yaml:7:32: FelixConfiguration default
       spec.defaultEndpointToHostAction: unknown value "Allow"
help: expected one of: Drop, Accept, Return
"#,
    );
}

#[test]
fn felix_refuses_what_cannot_be() {
    let kind = Kind::FelixConfiguration;
    let selector = "spec.nodeSelector: nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration";
    accepted(kind, "racks", &json!({"nodeSelector": "rack == 'a'"}));
    let refused = [
        ("default", json!({"nodeSelector": "all()"}), selector),
        ("node.node-1", json!({"nodeSelector": "all()"}), selector),
        (
            "default",
            json!({"failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22}]}),
            "spec.failsafeInboundHostPorts[0].protocol: protocol must be 'TCP' or 'UDP' or 'SCTP'.",
        ),
        (
            "default",
            json!({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 65536}]}),
            "spec.failsafeInboundHostPorts[0].port: must be between 0 and 65535",
        ),
        (
            "default",
            json!({"failsafeOutboundHostPorts": [{"protocol": "TCP", "port": 1, "net": "10.0.0.1/8"}]}),
            "spec.failsafeOutboundHostPorts[0].net: ",
        ),
        (
            "default",
            json!({"failsafeOutboundHostPorts": "all"}),
            "spec.failsafeOutboundHostPorts: unknown value \"all\"",
        ),
        (
            "default",
            json!({"logActionRateLimit": "ten"}),
            "spec.logActionRateLimit: invalid rate \"ten\"",
        ),
        (
            "default",
            json!({"logActionRateLimitBurst": 10_000}),
            "spec.logActionRateLimitBurst: must be between 0 and 9999",
        ),
        (
            "default",
            json!({"vxlanPort": -1}),
            "spec.vxlanPort: must be between 0 and 65535",
        ),
        (
            "default",
            json!({"interfacePrefix": "cali,tap *"}),
            "spec.interfacePrefix: invalid interface name \"tap *\"",
        ),
    ];
    for (name, spec, fault) in refused {
        let found = faults(kind, name, &spec);
        assert!(found.len() == 1 && found[0].starts_with(fault), "{found:?}");
    }
    for rate in ["1/second", "9999/day", "10/minute", "5/hour"] {
        accepted(kind, "default", &json!({"logActionRateLimit": rate}));
    }
}

#[test]
fn a_pool_is_filled_in() {
    let Object::IPPool(pool) = accepted(Kind::IPPool, "pods", &json!({"cidr": "10.244.0.0/16"}))
    else {
        panic!("another kind")
    };
    assert_eq!(
        serde_json::to_value(&pool.spec).unwrap(),
        json!({
            "cidr": "10.244.0.0/16", "vxlanMode": "Never", "ipipMode": "Never", "blockSize": 26,
            "nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"],
            "assignmentMode": "Automatic",
        })
    );
    let six = accepted(Kind::IPPool, "pods", &json!({"cidr": "fd00::/48"}));
    assert_eq!(six.to_value()["spec"]["blockSize"], 122);
}

#[test]
fn a_pool_says_what_cannot_be() {
    let refused = [
        (json!({}), "spec.cidr: IPPool CIDR must be specified"),
        (
            json!({"cidr": "10.0.0.1/8"}),
            "spec.cidr: IPPool CIDR must be strictly masked",
        ),
        (
            json!({"cidr": "pods"}),
            "spec.cidr: IPPool CIDR must be a valid subnet",
        ),
        (
            json!({"cidr": "169.254.1.0/24"}),
            "spec.cidr: IPPool CIDR overlaps with the link-local range 169.254.0.0/16",
        ),
        (
            json!({"cidr": "10.0.0.0/8", "ipipMode": "Always", "vxlanMode": "CrossSubnet"}),
            "spec.ipipMode: ipipMode and vxlanMode cannot both be enabled",
        ),
        (
            json!({"cidr": "fd00::/48", "ipipMode": "Always"}),
            "spec.ipipMode: IPIP is not supported on IPv6 pools",
        ),
        (
            json!({"cidr": "10.0.0.0/8", "blockSize": 19}),
            "spec.blockSize: blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools",
        ),
        (
            json!({"cidr": "10.0.0.0/27"}),
            "spec.cidr: IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.",
        ),
        (
            json!({"cidr": "10.0.0.0/8", "namespaceSelector": "all()"}),
            "spec.namespaceSelector: IP Pool with AllowedUse Tunnel cannot have namespaceSelector",
        ),
        (
            json!({"cidr": "10.0.0.0/8", "allowedUses": ["LoadBalancer", "Workload"]}),
            "spec.allowedUses: LoadBalancer cannot be combined with Workload or Tunnel allowed uses",
        ),
        (
            json!({"cidr": "10.0.0.0/8", "allowedUses": ["LoadBalancer"], "vxlanMode": "Always"}),
            "spec.vxlanMode: LoadBalancer IP pool cannot have IPIP or VXLAN enabled",
        ),
        (
            json!({"cidr": "10.0.0.0/8", "allowedUses": ["LoadBalancer"], "nodeSelector": "a == 'b'"}),
            "spec.nodeSelector: IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()",
        ),
        (
            json!({"cidr": "10.0.0.0/8", "allowedUses": ["LoadBalancer"], "disableBGPExport": true}),
            "spec.disableBGPExport: LoadBalancer IP pools cannot disable BGP export",
        ),
    ];
    for (spec, fault) in refused {
        let found = faults(Kind::IPPool, "pods", &spec);
        assert!(found.len() == 1 && found[0].starts_with(fault), "{found:?}");
    }
    accepted(
        Kind::IPPool,
        "pods",
        &json!({"cidr": "10.0.0.0/27", "disabled": true}),
    );
}

#[test]
fn a_workload_endpoint_is_called_by_its_place() {
    let spec = json!({"orchestrator": "k8s", "node": "node-1", "pod": "web-0", "endpoint": "eth0",
        "ipNetworks": ["10.0.0.1/32", "fd00::1"], "interfaceName": "cali0",
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}]});
    accepted(Kind::WorkloadEndpoint, "node--1-k8s-web--0-eth0", &spec);
    assert_eq!(
        faults(Kind::WorkloadEndpoint, "web", &spec),
        [
            "metadata.name: the name must be \"node--1-k8s-web--0-eth0\", which says where the endpoint is"
        ]
    );
    let found = faults(
        Kind::WorkloadEndpoint,
        "n-cni-c-eth0",
        &json!({"orchestrator": "cni", "node": "n", "containerID": "c", "endpoint": "eth0",
            "ipNetworks": ["10.0.0.0/8"], "ipNATs": [{"internalIP": "11.0.0.1", "externalIP": "12.0.0.1"}],
            "ports": [{"protocol": "TCP", "port": 80}]}),
    );
    assert_eq!(
        found,
        [
            "spec.ipNetworks[0]: IP network contains multiple addresses",
            "spec.ipNATs[0].internalIP: NAT is not in the endpoint networks",
            "spec.ports[0].name: WorkloadEndpointPort name must not be empty if no HostPort is specified",
        ]
    );
}

#[test]
fn positions_lead_into_felix() {
    let text = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec:\n  failsafeInboundHostPorts:\n  - {protocol: TCP, port: x}\n";
    let manifest = decode("felix.yaml", text.as_bytes(), &Limits::default());
    let said = manifest.diagnostics[0].to_string();
    assert!(said.starts_with("error: felix.yaml:6:27:"), "{said}");
}
