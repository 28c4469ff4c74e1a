//! §2.9: Kubernetes' own policies.

use super::{check, gns, knp};

const ANY: &str = "203.0.113.1";

/// An ingress rule on `red/db`, and which sources it allows to port 8080.
fn check_sources(rule: &str, allowed: &[&str]) {
    let spec = format!("{{podSelector: {{matchLabels: {{app: db}}}}, ingress: [{rule}]}}");
    for source in [
        "red/web",
        "red/bare",
        "blue/web",
        "blue/db",
        ANY,
        "203.0.113.200",
    ] {
        let verdict = if allowed.contains(&source) {
            "allow"
        } else {
            "deny"
        };
        let question = format!("{source} -> red/db tcp/8080 = {verdict} red/db ingress default");
        check(&knp("p", &spec), &question);
    }
}

/// The ports of an ingress rule on `red/db` without peers.
fn check_ports(ports: &str, allowed: &str, denied: &str) {
    let spec =
        format!("{{podSelector: {{matchLabels: {{app: db}}}}, ingress: [{{ports: {ports}}}]}}");
    for (questions, verdict) in [(allowed, "allow"), (denied, "deny")] {
        for question in questions
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            check(
                &knp("p", &spec),
                &format!("red/web -> red/db {question} = {verdict} red/db ingress default"),
            );
        }
    }
}

#[test]
fn it_selects_pods_of_its_namespace() {
    check(
        &knp("p", "{podSelector: {}}"),
        "blue/web -> red/db tcp/1 = deny red/db ingress default end-of-tier <knp/red/p
         blue/web -> red/bare tcp/1 = deny
         red/web -> blue/db tcp/1 = allow",
    );
    check(
        &knp(
            "p",
            "{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}",
        ),
        "blue/web -> red/db tcp/1 = deny
         blue/web -> red/bare tcp/1 = deny
         blue/web -> red/web tcp/1 = allow",
    );
    check(
        &knp(
            "p",
            "{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: port, operator: DoesNotExist}]}}",
        ),
        "blue/web -> red/web tcp/1 = allow",
    );
}

#[test]
fn omitted_types_are_ingress_and_egress_only_with_egress_rules() {
    let cases = [
        ("{podSelector: {}}", "deny", "allow"),
        (
            "{podSelector: {}, egress: [{ports: [{port: 9}]}]}",
            "deny",
            "deny",
        ),
        (
            "{podSelector: {}, ingress: [{}], egress: []}",
            "allow",
            "allow",
        ),
        ("{podSelector: {}, policyTypes: [Egress]}", "allow", "deny"),
        (
            "{podSelector: {}, policyTypes: [Egress], ingress: [{}]}",
            "allow",
            "deny",
        ),
        (
            "{podSelector: {}, policyTypes: [Ingress], egress: [{}]}",
            "deny",
            "allow",
        ),
        (
            "{podSelector: {}, policyTypes: [Ingress, Egress]}",
            "deny",
            "deny",
        ),
    ];
    for (spec, ingress, egress) in cases {
        check(
            &knp("p", spec),
            &format!(
                "{ANY} -> red/db tcp/1 = {ingress} red/db ingress
                 red/db -> {ANY} tcp/1 = {egress} red/db egress"
            ),
        );
    }
}

#[test]
fn no_peers_are_everybody() {
    let everybody = [
        "red/web",
        "red/bare",
        "blue/web",
        "blue/db",
        ANY,
        "203.0.113.200",
    ];
    check_sources("{}", &everybody);
    check_sources("{from: []}", &everybody);
    check_sources("{ports: [{port: 8080}]}", &everybody);
}

#[test]
fn a_pod_selector_looks_in_the_policys_namespace() {
    check_sources("{from: [{podSelector: {}}]}", &["red/web", "red/bare"]);
    check_sources(
        "{from: [{podSelector: {matchLabels: {app: web}}}]}",
        &["red/web"],
    );
    check_sources(
        "{from: [{podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}}]}",
        &["red/bare"],
    );
    check_sources(
        "{from: [{podSelector: {matchExpressions: [{key: app, operator: Exists}, {key: app, operator: In, values: [x, web]}]}}]}",
        &["red/web"],
    );
}

#[test]
fn a_namespace_selector_looks_in_the_namespaces_it_chooses() {
    check_sources(
        "{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}",
        &["blue/web", "blue/db"],
    );
    check_sources(
        "{from: [{namespaceSelector: {}}]}",
        &["red/web", "red/bare", "blue/web", "blue/db"],
    );
    check_sources(
        "{from: [{namespaceSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]}",
        &["blue/web", "blue/db"],
    );
}

#[test]
fn both_selectors_in_one_element_hold_together_and_elements_are_alternatives() {
    let both = "{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}]}";
    check_sources(both, &["blue/web"]);
    let two = "{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: web}}}]}";
    check_sources(two, &["blue/web", "blue/db", "red/web"]);
    check_sources(
        "{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]}",
        &["red/web", "blue/web"],
    );
}

#[test]
fn pod_selectors_never_find_network_sets() {
    let set = gns("g", "{app: web}", "[203.0.113.0/24]");
    let spec = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}, namespaceSelector: {}}]}]}";
    check(
        &(set + &knp("p", spec)),
        "203.0.113.1 -> red/db tcp/1 = deny
         blue/web -> red/db tcp/1 = allow",
    );
}

#[test]
fn an_ip_block_is_a_cidr_without_its_exceptions() {
    check_sources(
        "{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}",
        &[ANY, "203.0.113.200"],
    );
    check_sources(
        "{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}]}",
        &[ANY],
    );
    check_sources(
        "{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}",
        &["blue/web", "blue/db"],
    );
    // Host bits are masked, as the API server does.
    check_sources("{from: [{ipBlock: {cidr: 203.0.113.77/25}}]}", &[ANY]);
    check_sources(
        "{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.200/25]}}]}",
        &[ANY],
    );
    let spec = "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}";
    check(
        &knp("p", spec),
        "red/web -> red/db tcp/1 = allow
         red/web -> red/db tcp/1 v6 = deny",
    );
    let spec = "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0', except: ['fd00::1/128']}}]}]}";
    check(
        &knp("p", spec),
        "red/web -> red/db tcp/1 = deny
         red/web -> red/db tcp/1 v6 = deny
         blue/web -> red/db tcp/1 v6 = allow",
    );
}

#[test]
fn ports_are_tcp_unless_said_otherwise() {
    check_ports(
        "[{port: 80}]",
        "tcp/80, tcp/80 v6",
        "udp/80, tcp/81, sctp/80",
    );
    check_ports("[{port: 80, protocol: UDP}]", "udp/80", "tcp/80");
    check_ports(
        "[{port: 80, protocol: SCTP}, {port: 81}]",
        "sctp/80, tcp/81",
        "tcp/80, sctp/81",
    );
    check_ports("[{protocol: UDP}]", "udp/1, udp/65535", "tcp/1");
    check_ports("[{}]", "tcp/1", "udp/1, icmp/0");
    check_ports("[]", "tcp/1, udp/1, icmp/0, proto/47/0", "");
}

#[test]
fn a_port_range_ends_at_end_port() {
    check_ports(
        "[{port: 80, endPort: 82}]",
        "tcp/80, tcp/81, tcp/82",
        "tcp/79, tcp/83, udp/81",
    );
    check_ports("[{port: 80, endPort: 80}]", "tcp/80", "tcp/81");
}

#[test]
fn a_port_name_is_the_destination_pods() {
    check_ports(
        "[{port: http}]",
        "tcp/8080, tcp/8080 v6",
        "tcp/80, udp/8080",
    );
    check_ports("[{port: admin}]", "tcp/9000", "tcp/8080");
    check_ports("[{port: http, protocol: UDP}]", "", "udp/8080, tcp/8080");
    let spec = "{podSelector: {matchLabels: {app: bare}}, policyTypes: [Egress]}";
    check(&knp("none", spec), "red/web -> red/db tcp/1 = allow");
}

#[test]
fn a_port_name_of_an_egress_rule_is_its_peers() {
    let egress = |to: &str| {
        let spec = format!(
            "{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: {to}, ports: [{{port: http}}]}}]}}"
        );
        knp("p", &spec)
    };
    check(
        &egress("[{podSelector: {matchLabels: {app: db}}}]"),
        "red/web -> red/db tcp/8080 = allow
         red/db -> red/web tcp/80 = deny red/db egress
         red/web -> red/db tcp/80 = deny red/web egress",
    );
    check(
        &egress("[{ipBlock: {cidr: 10.0.0.0/24}}]"),
        "red/web -> red/db tcp/8080 = allow
         red/db -> red/web tcp/80 = allow
         red/db -> red/web tcp/8080 = deny",
    );
    check(
        &egress("[]"),
        "red/db -> red/web tcp/80 = allow
         red/db -> red/web tcp/8080 = deny",
    );
}

#[test]
fn rules_are_alternatives_and_numbered_as_written() {
    let spec = "{podSelector: {matchLabels: {app: db}}, ingress: [
        {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}, {port: 2, protocol: UDP}]},
        {ports: [{port: 2}]},
        {from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}";
    check(
        &knp("p", spec),
        "red/web -> red/db tcp/1 = allow red/db ingress default knp/red/p 0
         red/web -> red/db udp/2 = allow red/db ingress default knp/red/p 0
         red/web -> red/db tcp/2 = allow red/db ingress default knp/red/p 1
         blue/web -> red/db tcp/2 = allow red/db ingress default knp/red/p 1
         blue/web -> red/db icmp/0 = allow red/db ingress default knp/red/p 2
         red/web -> red/db tcp/3 = deny red/db ingress default end-of-tier <knp/red/p",
    );
}

#[test]
fn policies_of_one_pod_add_up() {
    let one = knp(
        "one",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}]}]}",
    );
    let two = knp("two", "{podSelector: {}, ingress: [{ports: [{port: 2}]}]}");
    check(
        &(two + &one),
        "red/web -> red/db tcp/1 = allow red/db ingress default knp/red/one 0
         red/web -> red/db tcp/2 = allow red/db ingress default knp/red/two 0
         red/web -> red/db tcp/3 = deny red/db ingress default end-of-tier <knp/red/one <knp/red/two
         red/web -> red/bare tcp/1 = deny red/bare ingress default end-of-tier <knp/red/two",
    );
}
