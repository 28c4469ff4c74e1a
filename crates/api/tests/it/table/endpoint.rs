//! Host endpoints, workload endpoints and profiles.

use super::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    hosts().into_iter().chain(workloads()).collect()
}

/// Two host endpoints, which differ in some fields.
fn host(check: &'static str, accepts: &str, refuses: &str, at: &'static str) -> Case {
    let spec = |fields: &str| format!("spec: {{node: node-1, {fields}}}");
    case(check, spec(accepts), spec(refuses), at)
}

fn hosts() -> Vec<Case> {
    vec![
        case(
            "host.node-missing",
            "spec: {node: node-1, interfaceName: eth0}",
            "spec: {interfaceName: eth0}",
            "spec.node",
        ),
        case(
            "endpoint.node",
            "spec: {node: node-1.example, interfaceName: eth0}",
            "spec: {node: Node, interfaceName: eth0}",
            "spec.node",
        )
        .says("node name must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character"),
        host(
            "host.interface-or-addresses",
            "expectedIPs: [10.0.0.1]",
            "profiles: [a]",
            "spec",
        ),
        case(
            "endpoint.interface",
            "spec: {node: node-1, interfaceName: bond0.100}",
            "spec: {node: node-1, interfaceName: eth0:1}",
            "spec.interfaceName",
        )
        .says("invalid interface name \"eth0:1\""),
        host(
            "host.expected-ips",
            "expectedIPs: [10.0.0.1, 'fd00::1']",
            "expectedIPs: [10.0.0.0/8]",
            "spec.expectedIPs[0]",
        )
        .says("invalid IP address \"10.0.0.0/8\""),
        host(
            "host.profiles",
            "interfaceName: '*', profiles: [projectcalico-default-allow]",
            "interfaceName: '*', profiles: [My_Profile]",
            "spec.profiles[0]",
        )
        .says("name must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character"),
        case(
            "endpoint.port-name",
            "spec: {node: node-1, interfaceName: e, ports: [{name: My_Port.1, protocol: TCP, port: 1}]}",
            "spec: {node: node-1, interfaceName: e, ports: [{name: a b, protocol: TCP, port: 1}]}",
            "spec.ports[0].name",
        )
        .says("invalid port name \"a b\""),
        host(
            "host.port-protocol",
            "interfaceName: e, ports: [{name: a, protocol: SCTP, port: 1}]",
            "interfaceName: e, ports: [{name: a, protocol: UDPLite, port: 1}]",
            "spec.ports[0].protocol",
        ),
        case(
            "endpoint.port",
            "spec: {node: node-1, interfaceName: e, ports: [{name: a, protocol: TCP, port: 65535}]}",
            "spec: {node: node-1, interfaceName: e, ports: [{name: a, protocol: TCP, port: 65536}]}",
            "spec.ports[0].port",
        ),
    ]
}

fn workloads() -> Vec<Case> {
    let mut cases = vec![
        case(
            "workload.network",
            "spec: {ipNetworks: [10.0.0.1/32, 'fd00::1/128']}",
            "spec: {ipNetworks: [internet]}",
            "spec.ipNetworks[0]",
        )
        .says("invalid CIDR \"internet\""),
        case(
            "workload.network-single",
            "spec: {ipNetworks: [10.0.0.1]}",
            "spec: {ipNetworks: [10.0.0.0/8]}",
            "spec.ipNetworks[0]",
        ),
        case(
            "workload.nat-address",
            "spec: {ipNetworks: [10.0.0.1], ipNATs: [{internalIP: 10.0.0.1, externalIP: 192.0.2.1}]}",
            "spec: {ipNetworks: [10.0.0.1], ipNATs: [{internalIP: 10.0.0.1, externalIP: a}]}",
            "spec.ipNATs[0].externalIP",
        )
        .says("invalid IP address \"a\""),
        case(
            "workload.nat-inside",
            "spec: {ipNetworks: [10.0.0.1], ipNATs: [{internalIP: 10.0.0.1, externalIP: 192.0.2.1}]}",
            "spec: {ipNetworks: [10.0.0.1], ipNATs: [{internalIP: 10.0.0.2, externalIP: 192.0.2.1}]}",
            "spec.ipNATs[0].internalIP",
        ),
        case(
            "workload.gateway-ipv4",
            "spec: {ipv4Gateway: 169.254.1.1}",
            "spec: {ipv4Gateway: 'fe80::1'}",
            "spec.ipv4Gateway",
        ),
        case(
            "workload.gateway-ipv6",
            "spec: {ipv6Gateway: 'fe80::1'}",
            "spec: {ipv6Gateway: 169.254.1.1}",
            "spec.ipv6Gateway",
        ),
        case(
            "workload.port-nameless",
            "spec: {ports: [{protocol: TCP, port: 80, hostPort: 8080}]}",
            "spec: {ports: [{protocol: TCP, port: 80}]}",
            "spec.ports[0].name",
        ),
        case(
            "workload.port-protocol",
            "spec: {ports: [{name: a, protocol: UDP, port: 80}]}",
            "spec: {ports: [{name: a, protocol: udp, port: 80}]}",
            "spec.ports[0].protocol",
        )
        .says("protocol name invalid: \"udp\""),
        case(
            "workload.host-port",
            "spec: {ports: [{name: a, protocol: TCP, port: 80, hostPort: 1}]}",
            "spec: {ports: [{name: a, protocol: TCP, port: 80, hostPort: 65536}]}",
            "spec.ports[0].hostPort",
        ),
        case(
            "workload.spoofed",
            "spec: {allowSpoofedSourcePrefixes: [192.0.2.0/24]}",
            "spec: {allowSpoofedSourcePrefixes: [192.0.2.1/24]}",
            "spec.allowSpoofedSourcePrefixes[0]",
        )
        .says("invalid CIDR \"192.0.2.1/24\": host bits are set"),
    ];
    cases.extend(names());
    cases
}

/// The name of a workload endpoint says where it is.
fn names() -> [Case; 2] {
    let named = |name: &str, spec: &str| format!("metadata: {{name: {name}}}\nspec: {{{spec}}}");
    let whole = "node: node-1, orchestrator: k8s, pod: web-0, endpoint: eth0";
    [
        case(
            "workload.name",
            named("node--1-k8s-web--0-eth0", whole),
            named("node-1-k8s-web-0-eth0", whole),
            "metadata.name",
        )
        .says("the name must be \"node--1-k8s-web--0-eth0\", which says where the endpoint is"),
        case(
            "workload.name-part",
            named("node--1-k8s-web--0-eth0", whole),
            named("a", "node: node-1, orchestrator: k8s, endpoint: eth0"),
            "spec.pod",
        )
        .says("\"pod\" is required: the object's name is made of it"),
    ]
}
