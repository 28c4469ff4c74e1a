//! Rules and their two ends.

use super::{Case, case};

/// A policy with one ingress rule.
fn ingress(rule: &str) -> String {
    format!("spec: {{ingress: [{{{rule}}}]}}")
}

fn egress(rule: &str) -> String {
    format!("spec: {{egress: [{{{rule}}}]}}")
}

/// One ingress rule that is accepted and one that is refused.
fn of_rule(check: &'static str, accepts: &str, refuses: &str, at: &'static str) -> Case {
    case(
        check,
        ingress(&format!("action: Allow, {accepts}")),
        ingress(&format!("action: Allow, {refuses}")),
        at,
    )
}

/// The same of a rule's source.
fn of_source(check: &'static str, accepts: &str, refuses: &str, at: &'static str) -> Case {
    of_rule(
        check,
        &format!("source: {{{accepts}}}"),
        &format!("source: {{{refuses}}}"),
        at,
    )
}

/// That many items, numbered.
fn many(count: usize, item: impl Fn(usize) -> String) -> String {
    (1..=count).map(item).collect::<Vec<_>>().join(", ")
}

pub(super) fn cases() -> Vec<Case> {
    [
        matching(),
        icmp(),
        http(),
        nets(),
        ports(),
        peers(),
        services(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn matching() -> Vec<Case> {
    vec![
        case(
            "rule.action-missing",
            ingress("action: Log"),
            ingress("protocol: TCP"),
            "spec.ingress[0]",
        ),
        case(
            "rule.action-value",
            ingress("action: Pass"),
            ingress("action: allow"),
            "spec.ingress[0].action",
        )
        .says("unknown value \"allow\""),
        of_rule(
            "rule.ip-version",
            "ipVersion: 6",
            "ipVersion: 5",
            "spec.ingress[0].ipVersion",
        ),
        of_rule(
            "rule.protocol-number",
            "protocol: 255",
            "protocol: 0",
            "spec.ingress[0].protocol",
        ),
        of_rule(
            "rule.protocol-name",
            "notProtocol: UDPLite",
            "notProtocol: udplite",
            "spec.ingress[0].notProtocol",
        )
        .says("protocol name invalid: \"udplite\""),
        of_rule(
            "rule.icmp-ip-version",
            "protocol: ICMP, ipVersion: 4",
            "protocol: 1, ipVersion: 6",
            "spec.ingress[0].protocol",
        ),
        of_rule(
            "rule.icmpv6-ip-version",
            "notProtocol: ICMPv6, ipVersion: 6",
            "notProtocol: ICMPv6, ipVersion: 4",
            "spec.ingress[0].notProtocol",
        ),
    ]
}

fn icmp() -> Vec<Case> {
    vec![
        of_rule(
            "rule.icmp-protocol",
            "protocol: 58, icmp: {type: 128}",
            "protocol: TCP, icmp: {type: 128}",
            "spec.ingress[0].icmp",
        ),
        of_rule(
            "rule.icmp-type",
            "protocol: ICMP, icmp: {type: 254}",
            "protocol: ICMP, icmp: {type: 255}",
            "spec.ingress[0].icmp.type",
        ),
        of_rule(
            "rule.icmp-code",
            "protocol: ICMP, notICMP: {type: 3, code: 255}",
            "protocol: ICMP, notICMP: {type: 3, code: 256}",
            "spec.ingress[0].notICMP.code",
        ),
        of_rule(
            "rule.icmp-code-alone",
            "protocol: ICMP, notICMP: {type: 3, code: 1}",
            "protocol: ICMP, notICMP: {code: 1}",
            "spec.ingress[0].notICMP.code",
        ),
    ]
}

/// HTTP clauses are refused whatever they say; what upstream refuses of them is said besides.
fn http() -> Vec<Case> {
    let refused = "rule.http";
    let mut cases = vec![
        of_rule(
            "rule.http-protocol",
            "protocol: 6, http: {methods: [GET]}",
            "protocol: UDP, http: {methods: [GET]}",
            "spec.ingress[0].http",
        ),
        case(
            "rule.http-action",
            ingress("action: Allow, http: {methods: [GET]}"),
            ingress("action: Deny, http: {methods: [GET]}"),
            "spec.ingress[0].http",
        ),
        case(
            "rule.http-egress",
            egress("action: Allow"),
            egress("action: Allow, http: {methods: [GET]}"),
            "spec.egress[0].http",
        ),
        of_rule(
            "rule.http-methods-twice",
            "http: {methods: [GET, PUT]}",
            "http: {methods: [GET, GET]}",
            "spec.ingress[0].http.methods[1]",
        )
        .says("Invalid methods (duplicates): GET"),
        of_rule(
            "rule.http-methods",
            &format!("http: {{methods: [{}]}}", many(20, |n| format!("M{n}"))),
            &format!("http: {{methods: [{}]}}", many(21, |n| format!("M{n}"))),
            "spec.ingress[0].http.methods",
        )
        .says("has 21 items, more than the limit of 20"),
        of_rule(
            "rule.http-paths",
            &format!(
                "http: {{paths: [{}]}}",
                many(20, |n| format!("{{exact: /{n}}}"))
            ),
            &format!(
                "http: {{paths: [{}]}}",
                many(21, |n| format!("{{exact: /{n}}}"))
            ),
            "spec.ingress[0].http.paths",
        )
        .says("has 21 items, more than the limit of 20"),
    ];
    cases.extend(http_paths());
    for case in &mut cases {
        case.also = &["rule.http"];
    }
    let plain = of_rule(
        refused,
        "protocol: TCP",
        "http: {methods: [GET]}",
        "spec.ingress[0].http",
    );
    cases.push(plain);
    cases
}

fn http_paths() -> Vec<Case> {
    vec![
        of_rule(
            "rule.http-path-both",
            "http: {paths: [{exact: /a}, {prefix: /b}]}",
            "http: {paths: [{exact: /a, prefix: /b}]}",
            "spec.ingress[0].http.paths[0]",
        ),
        of_rule(
            "rule.http-path-neither",
            "http: {paths: [{exact: /a}]}",
            "http: {paths: [{}]}",
            "spec.ingress[0].http.paths[0]",
        ),
        of_rule(
            "rule.http-path",
            "http: {paths: [{prefix: /a}]}",
            "http: {paths: [{prefix: '/a?b'}]}",
            "spec.ingress[0].http.paths[0].prefix",
        )
        .says("Invalid path \"/a?b\" (must start with `/` and not contain `?` or `#`)"),
        of_rule(
            "rule.http-path-length",
            &format!("http: {{paths: [{{exact: /{}}}]}}", "a".repeat(1023)),
            &format!("http: {{paths: [{{exact: /{}}}]}}", "a".repeat(1024)),
            "spec.ingress[0].http.paths[0].exact",
        )
        .says("the path has 1025 characters, more than the limit of 1024"),
    ]
}

fn nets() -> Vec<Case> {
    let net = |number: usize| format!("10.0.{}.{}/32", number / 256, number % 256);
    vec![
        of_source(
            "rule.nets",
            &format!("nets: [{}]", many(256, net)),
            &format!("nets: [{}]", many(257, net)),
            "spec.ingress[0].source.nets",
        )
        .says("has 257 items, more than the limit of 256"),
        of_source(
            "rule.cidr",
            "nets: [0.0.0.0/0, 10.0.0.0/8, 10.1.0.0/16]",
            "nets: ['::ffff:10.0.0.0/104']",
            "spec.ingress[0].source.nets[0]",
        )
        .says("invalid CIDR \"::ffff:10.0.0.0/104\": IPv4-mapped IPv6 addresses never appear in packets"),
        of_source(
            "rule.cidr-prefix",
            "nets: [10.0.0.1/32]",
            "nets: [10.0.0.1]",
            "spec.ingress[0].source.nets[0]",
        )
        .says("invalid CIDR \"10.0.0.1\": the prefix length is missing"),
        of_source(
            "rule.cidr-masked",
            "notNets: ['fd00::/8']",
            "notNets: ['fd00::1/8']",
            "spec.ingress[0].source.notNets[0]",
        )
        .says("invalid CIDR \"fd00::1/8\": host bits are set"),
        of_source(
            "rule.nets-negated-all",
            "nets: ['::/0']",
            "notNets: ['::/0']",
            "spec.ingress[0].source.notNets[0]",
        ),
        of_rule(
            "rule.nets-families",
            "source: {nets: [10.0.0.0/8]}, destination: {notNets: [10.1.0.0/16]}",
            "source: {nets: [10.0.0.0/8]}, destination: {notNets: ['fd00::/8']}",
            "spec.ingress[0].destination.notNets[0]",
        ),
        of_rule(
            "rule.nets-ip-version",
            "ipVersion: 4, source: {nets: [10.0.0.0/8]}",
            "ipVersion: 6, source: {nets: [10.0.0.0/8]}",
            "spec.ingress[0].source.nets[0]",
        ),
    ]
}

fn ports() -> Vec<Case> {
    let port = |number: usize| number.to_string();
    vec![
        of_rule(
            "rule.ports",
            &format!(
                "protocol: TCP, destination: {{ports: [{}]}}",
                many(50, port)
            ),
            &format!(
                "protocol: TCP, destination: {{ports: [{}]}}",
                many(51, port)
            ),
            "spec.ingress[0].destination.ports",
        )
        .says("has 51 items, more than the limit of 50"),
        of_rule(
            "rule.port-range",
            "protocol: TCP, destination: {notPorts: [1, 65535, '1:65535']}",
            "protocol: TCP, destination: {notPorts: [0]}",
            "spec.ingress[0].destination.notPorts[0]",
        ),
        of_rule(
            "rule.port-format",
            "protocol: TCP, source: {ports: ['80', 'http_Alt.x-1']}",
            "protocol: TCP, source: {ports: ['65536']}",
            "spec.ingress[0].source.ports[0]",
        )
        .says("invalid port format (65536)"),
        of_rule(
            "rule.port-order",
            "protocol: UDP, source: {ports: ['80:80']}",
            "protocol: UDP, source: {ports: ['81:80']}",
            "spec.ingress[0].source.ports[0]",
        )
        .says("minimum port number (81) is greater than maximum port number (80) in port range"),
        of_rule(
            "rule.ports-without-protocol",
            "destination: {ports: [http]}",
            "destination: {ports: [http, 80]}",
            "spec.ingress[0]",
        ),
        of_rule(
            "rule.ports-protocol",
            "protocol: SCTP, destination: {ports: [80]}",
            "protocol: UDPLite, destination: {ports: [http]}",
            "spec.ingress[0]",
        ),
    ]
}

fn peers() -> Vec<Case> {
    vec![
        of_source(
            "rule.service-account-name",
            "serviceAccounts: {names: [web.shop]}",
            "serviceAccounts: {names: [Web]}",
            "spec.ingress[0].source.serviceAccounts.names[0]",
        )
        .says("name must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character"),
        of_source(
            "rule.global-alone",
            "namespaceSelector: global()",
            "namespaceSelector: global() || all()",
            "spec.ingress[0].source.namespaceSelector",
        ),
    ]
}

/// What stands for any service.
const SERVICE: &str = "services: {name: web, namespace: shop}";

fn services() -> Vec<Case> {
    let beside = |check, accepts: &str, refuses: &str| {
        let with = |more: &str| format!("source: {{{SERVICE}}}, {more}");
        let case = of_rule(
            check,
            &with(accepts),
            &with(refuses),
            "spec.ingress[0].source.services",
        );
        // What stands beside the service is in the same end.
        let refuses = case.refuses.replace("}, source: {", ", ");
        Case { refuses, ..case }
    };
    let mut cases = vec![
        case(
            "rule.services-ports",
            egress(&format!("action: Allow, destination: {{{SERVICE}}}")),
            egress(&format!(
                "action: Allow, destination: {{{SERVICE}, ports: [http]}}"
            )),
            "spec.egress[0].destination.services",
        ),
        of_source(
            "rule.services-name",
            SERVICE,
            "services: {namespace: shop}",
            "spec.ingress[0].source.services",
        ),
        of_source(
            "rule.services-length",
            &format!("services: {{name: {}, namespace: shop}}", "a".repeat(253)),
            &format!("services: {{name: {}, namespace: shop}}", "a".repeat(254)),
            "spec.ingress[0].source.services.name",
        )
        .says("is too long by 1 bytes"),
        beside(
            "rule.services-selector",
            "destination: {selector: has(a)}",
            "source: {notSelector: has(a)}",
        ),
        beside(
            "rule.services-namespace-selector",
            "destination: {namespaceSelector: has(a)}",
            "source: {namespaceSelector: has(a)}",
        ),
        beside(
            "rule.services-service-accounts",
            "destination: {serviceAccounts: {names: [a]}}",
            "source: {serviceAccounts: {names: [a]}}",
        ),
        beside(
            "rule.services-nets",
            "destination: {nets: [10.0.0.0/8]}",
            "source: {notNets: [10.0.0.0/8]}",
        ),
    ];
    cases.extend(service_places());
    cases
}

fn service_places() -> Vec<Case> {
    vec![
        case(
            "rule.services-egress-source",
            egress(&format!("action: Deny, destination: {{{SERVICE}}}")),
            egress(&format!("action: Deny, source: {{{SERVICE}}}")),
            "spec.egress[0].source.services",
        ),
        case(
            "rule.services-ingress-destination",
            ingress(&format!("action: Deny, source: {{{SERVICE}}}")),
            ingress(&format!("action: Deny, destination: {{{SERVICE}}}")),
            "spec.ingress[0].destination.services",
        ),
        of_source(
            "rule.services-namespace",
            SERVICE,
            "services: {name: web}",
            "spec.ingress[0].source.services",
        ),
    ]
}
