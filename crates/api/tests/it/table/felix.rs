//! Felix's configuration.

use super::{Case, case};

/// Two configurations, which differ in some fields.
fn felix(check: &'static str, accepts: &str, refuses: &str, at: &'static str) -> Case {
    case(
        check,
        format!("spec: {{{accepts}}}"),
        format!("spec: {{{refuses}}}"),
        at,
    )
}

pub(super) fn cases() -> Vec<Case> {
    [verdicts(), words(), failsafes(), tables(), kept()]
        .into_iter()
        .flatten()
        .collect()
}

fn verdicts() -> Vec<Case> {
    vec![
        case(
            "felix.node-selector",
            "metadata: {name: edge}\nspec: {nodeSelector: has(edge)}",
            "metadata: {name: node.n1}\nspec: {nodeSelector: has(edge)}",
            "spec.nodeSelector",
        ),
        felix(
            "felix.log-rate",
            "logActionRateLimit: 10/minute",
            "logActionRateLimit: 10/week",
            "spec.logActionRateLimit",
        )
        .says("invalid rate \"10/week\""),
        felix(
            "felix.log-burst",
            "logActionRateLimitBurst: 9999",
            "logActionRateLimitBurst: 10000",
            "spec.logActionRateLimitBurst",
        ),
        felix(
            "felix.vxlan-port",
            "vxlanPort: 4789",
            "vxlanPort: 65536",
            "spec.vxlanPort",
        ),
        felix(
            "felix.interface-prefix",
            "interfacePrefix: 'cali,veth.x'",
            "interfacePrefix: 'cali,a/b'",
            "spec.interfacePrefix",
        )
        .says("invalid interface name \"a/b\""),
        felix(
            "felix.interface-prefix-length",
            "interfacePrefix: fourteen-bytes",
            "interfacePrefix: fifteen--bytes-",
            "spec.interfacePrefix",
        )
        .says("\"fifteen--bytes-\" leaves no room for the rest of an interface's name"),
        felix(
            "felix.interface-prefixes",
            &prefixes(32),
            &prefixes(33),
            "spec.interfacePrefix",
        )
        .says("names more than 32 beginnings"),
    ]
}

fn prefixes(count: usize) -> String {
    let all: Vec<String> = (0..count).map(|number| format!("tap{number}-")).collect();
    format!("interfacePrefix: '{}'", all.join(","))
}

/// Words of a list; capitals do not count, as upstream.
fn words() -> Vec<Case> {
    vec![
        felix(
            "felix.endpoint-to-host-value",
            "defaultEndpointToHostAction: ACCEPT",
            "defaultEndpointToHostAction: Allow",
            "spec.defaultEndpointToHostAction",
        )
        .says("unknown value \"Allow\""),
        felix(
            "felix.allow-action-value",
            "nftablesFilterAllowAction: Return",
            "nftablesFilterAllowAction: Drop",
            "spec.nftablesFilterAllowAction",
        )
        .says("unknown value \"Drop\""),
        felix(
            "felix.source-spoofing-value",
            "workloadSourceSpoofing: Any",
            "workloadSourceSpoofing: Enabled",
            "spec.workloadSourceSpoofing",
        )
        .says("unknown value \"Enabled\""),
        felix(
            "felix.failsafes-value",
            "failsafeOutboundHostPorts: none",
            "failsafeOutboundHostPorts: all",
            "spec.failsafeOutboundHostPorts",
        )
        .says("unknown value \"all\""),
    ]
}

fn failsafes() -> Vec<Case> {
    let list = |fields: &str| format!("failsafeInboundHostPorts: [{{{fields}}}]");
    let of =
        |check, accepts: &str, refuses: &str, at| felix(check, &list(accepts), &list(refuses), at);
    vec![
        of(
            "felix.failsafe-protocol",
            "protocol: UDP, port: 53",
            "protocol: ICMP, port: 53",
            "spec.failsafeInboundHostPorts[0].protocol",
        ),
        of(
            "felix.failsafe-port",
            "protocol: TCP, port: 65535",
            "protocol: TCP, port: 65536",
            "spec.failsafeInboundHostPorts[0].port",
        ),
        of(
            "felix.failsafe-net",
            "protocol: TCP, port: 22, net: 10.0.0.0/8",
            "protocol: TCP, port: 22, net: 10.0.0.1/8",
            "spec.failsafeInboundHostPorts[0].net",
        )
        .says("invalid CIDR \"10.0.0.1/8\": host bits are set"),
    ]
}

fn tables() -> Vec<Case> {
    vec![
        felix(
            "felix.route-tables-both",
            "routeTableRanges: [{min: 1, max: 250}]",
            "routeTableRanges: [{min: 1, max: 250}], routeTableRange: {min: 1, max: 250}",
            "spec.routeTableRange",
        ),
        felix(
            "felix.route-table-range",
            "routeTableRange: {min: 1, max: 250}",
            "routeTableRange: {min: 1, max: 251}",
            "spec.routeTableRange",
        ),
        felix(
            "felix.route-tables-order",
            "routeTableRanges: [{min: 5, max: 5}]",
            "routeTableRanges: [{min: 5, max: 4}]",
            "spec.routeTableRanges[0]",
        ),
        felix(
            "felix.route-tables-high",
            "routeTableRanges: [{min: 4294967295, max: 4294967295}]",
            "routeTableRanges: [{min: 4294967295, max: 4294967296}]",
            "spec.routeTableRanges[0]",
        ),
        felix(
            "felix.route-tables-many",
            "routeTableRanges: [{min: 1, max: 65535}]",
            "routeTableRanges: [{min: 1, max: 65535}, {min: 70000, max: 70000}]",
            "spec.routeTableRanges",
        ),
    ]
}

/// Fields that change no verdict.
fn kept() -> Vec<Case> {
    let ranges = |count: usize| {
        format!(
            "kubeNodePortRanges: [{}]",
            vec!["'30000:30100'"; count].join(", ")
        )
    };
    vec![
        felix(
            "felix.address",
            "natOutgoingAddress: 192.0.2.1, deviceRouteSourceAddressIPv6: 'fd00::1'",
            "natOutgoingAddress: 'fd00::1'",
            "spec.natOutgoingAddress",
        )
        .says("\"fd00::1\" is not a valid IP address"),
        felix(
            "felix.node-ports",
            &ranges(7),
            &ranges(8),
            "spec.kubeNodePortRanges",
        ),
        felix(
            "felix.node-ports-named",
            "kubeNodePortRanges: [30000, '30000:32767']",
            "kubeNodePortRanges: [http]",
            "spec.kubeNodePortRanges[0]",
        ),
        felix(
            "felix.external-nodes",
            "externalNodesList: [10.0.0.0/8, 'fd00::/8']",
            "externalNodesList: [10.0.0.0]",
            "spec.externalNodesList[0]",
        )
        .says("has invalid CIDR(s): \"10.0.0.0\""),
        felix(
            "felix.openstack-region",
            "openstackRegion: region-1",
            "openstackRegion: Region",
            "spec.openstackRegion",
        ),
        felix(
            "felix.health-name",
            "healthTimeoutOverrides: [{name: Calculation graph, timeout: 30s}]",
            "healthTimeoutOverrides: [{name: a/b, timeout: 30s}]",
            "spec.healthTimeoutOverrides[0].name",
        )
        .says("invalid name \"a/b\""),
        felix(
            "felix.health-timeout",
            "healthTimeoutOverrides: [{name: a, timeout: 0s}]",
            "healthTimeoutOverrides: [{name: a, timeout: -1s}]",
            "spec.healthTimeoutOverrides[0].timeout",
        ),
    ]
}
