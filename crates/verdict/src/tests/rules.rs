//! §2.7: what a Calico rule matches.

use oncilla_net::{Icmp, Verdict};

use super::{check, cluster, gnp, gns, np, ns, question};
use crate::Evaluator;

const ANY: &str = "203.0.113.1";

/// A rule of a namespaced policy on `red/db`, and which sources it allows.
fn check_sources(more: &str, rule: &str, allowed: &[&str]) {
    let spec = format!(
        "{{selector: app == 'db', types: [Ingress], ingress: [{{action: Allow, {rule}}}]}}"
    );
    check_allowed(&(more.to_owned() + &np("p", &spec)), allowed);
}

/// The same of a global policy.
fn check_global_sources(more: &str, rule: &str, allowed: &[&str]) {
    let spec = format!(
        "{{selector: app == 'db' && projectcalico.org/namespace == 'red', types: [Ingress], ingress: [{{action: Allow, {rule}}}]}}"
    );
    check_allowed(&(more.to_owned() + &gnp("p", &spec)), allowed);
}

fn check_allowed(manifests: &str, allowed: &[&str]) {
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
        check(
            manifests,
            &format!("{source} -> red/db tcp/1 = {verdict} red/db ingress default"),
        );
    }
}

/// A rule of a policy on `red/db`; each question is `protocol/port` with an optional `v6`.
fn check_ports(rule: &str, allowed: &str, denied: &str) {
    let spec = format!(
        "{{selector: app == 'db', types: [Ingress], ingress: [{{action: Allow, {rule}}}]}}"
    );
    let policy = np("p", &spec);
    for (questions, verdict) in [(allowed, "allow"), (denied, "deny")] {
        for question in questions
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            check(
                &policy,
                &format!("red/web -> red/db {question} = {verdict} red/db ingress default"),
            );
        }
    }
}

#[test]
fn a_rule_without_criteria_matches_everything() {
    check_ports(
        "source: {}",
        "tcp/1, udp/2, icmp/0, proto/47/0, tcp/1 v6, icmpv6/0 v6",
        "",
    );
}

#[test]
fn protocol_and_not_protocol() {
    check_ports(
        "protocol: TCP",
        "tcp/1, tcp/1 v6",
        "udp/1, icmp/0, udplite/1",
    );
    check_ports("protocol: 47", "proto/47/0", "tcp/1");
    check_ports("protocol: '6'", "tcp/1", "udp/1");
    check_ports("protocol: UDPLite", "udplite/1", "udp/1");
    check_ports("notProtocol: TCP", "udp/1, icmp/0", "tcp/1");
    check_ports("protocol: TCP, notProtocol: UDP", "tcp/1", "udp/1, sctp/1");
}

#[test]
fn the_icmps_belong_to_one_family_each() {
    check_ports("protocol: ICMP", "icmp/0", "icmpv6/0 v6, icmp/0 v6");
    check_ports("protocol: ICMPv6", "icmpv6/0 v6", "icmp/0, icmpv6/0");
}

#[test]
fn icmp_asks_for_a_type_and_perhaps_a_code() {
    check_ports(
        "protocol: ICMP, icmp: {type: 8}",
        "icmp/8, icmp/8:3",
        "icmp/13, icmp/0, tcp/8, icmpv6/8 v6",
    );
    check_ports(
        "protocol: ICMP, icmp: {type: 3, code: 1}",
        "icmp/3:1",
        "icmp/3, icmp/1:1",
    );
    check_ports("protocol: 1, icmp: {type: 0}", "icmp/0", "icmp/8");
    check_ports(
        "protocol: ICMPv6, icmp: {type: 128, code: 0}",
        "icmpv6/128 v6",
        "icmpv6/128:1 v6, icmp/128",
    );
    check_ports("protocol: ICMP, icmp: {}", "icmp/8, icmp/13:1", "udp/8");
}

#[test]
fn not_icmp_leaves_out_a_type_or_one_code_of_it() {
    check_ports(
        "protocol: ICMP, notICMP: {type: 8}",
        "icmp/13, icmp/0",
        "icmp/8, icmp/8:1, tcp/1",
    );
    check_ports(
        "protocol: ICMP, notICMP: {type: 8, code: 0}",
        "icmp/8:1, icmp/13",
        "icmp/8",
    );
    check_ports(
        "protocol: ICMPv6, icmp: {type: 128}, notICMP: {type: 128, code: 1}",
        "icmpv6/128 v6",
        "icmpv6/128:1 v6, icmpv6/139 v6",
    );
    check_ports("protocol: ICMP, notICMP: {}", "icmp/8", "tcp/1");
}

#[test]
fn a_question_without_a_type_is_an_echo_request() {
    let policy = np(
        "p",
        "{selector: app == 'db', types: [Ingress], ingress: [{action: Allow, protocol: ICMP, icmp: {type: 8, code: 0}}]}",
    );
    let mut ping = question("red/web -> red/db icmp/13");
    ping.icmp = None;
    let answer = Evaluator::new(&cluster(&policy)).decide(&ping).unwrap();
    assert_eq!(answer.verdict, Verdict::Allow);
    assert_eq!(answer.packet.icmp, Some(Icmp { kind: 8, code: 0 }));
}

#[test]
fn ip_version_is_the_packets_family() {
    check_ports("ipVersion: 4", "tcp/1", "tcp/1 v6");
    check_ports("ipVersion: 6", "tcp/1 v6", "tcp/1");
}

#[test]
fn ports_are_numbers_ranges_and_names() {
    check_ports(
        "protocol: TCP, destination: {ports: [80, '90:92', 443]}",
        "tcp/80, tcp/90, tcp/91, tcp/92, tcp/443, tcp/80 v6",
        "tcp/79, tcp/81, tcp/89, tcp/93, udp/80",
    );
    check_ports(
        "protocol: TCP, destination: {ports: [http]}",
        "tcp/8080",
        "tcp/80, udp/8080",
    );
    check_ports(
        "protocol: TCP, destination: {ports: [admin]}",
        "tcp/9000",
        "tcp/9001",
    );
    check_ports(
        "protocol: UDP, destination: {ports: [http]}",
        "",
        "udp/8080, tcp/8080",
    );
    check_ports(
        "protocol: TCP, destination: {ports: [nobody]}",
        "",
        "tcp/8080",
    );
    check_ports(
        "protocol: TCP, destination: {ports: [http, 1]}",
        "tcp/8080, tcp/1",
        "tcp/80",
    );
    check_ports(
        "protocol: TCP, source: {ports: [5]}",
        "tcp/1 from 5",
        "tcp/5 from 6",
    );
}

#[test]
fn names_without_protocol_mean_any_protocol_with_ports() {
    check_ports(
        "destination: {ports: [http]}",
        "tcp/8080",
        "tcp/80, udp/8080, icmp/8",
    );
}

#[test]
fn not_ports_negate_the_whole_criterion() {
    check_ports(
        "protocol: TCP, destination: {notPorts: [80, '90:91']}",
        "tcp/1, tcp/92",
        "tcp/80, tcp/91, udp/1",
    );
    check_ports(
        "protocol: TCP, destination: {notPorts: [http]}",
        "tcp/80",
        "tcp/8080",
    );
    check_ports(
        "protocol: TCP, destination: {ports: ['80:90'], notPorts: [85]}",
        "tcp/80, tcp/90",
        "tcp/85, tcp/91",
    );
    check_ports(
        "protocol: TCP, source: {notPorts: [5]}",
        "tcp/1 from 6",
        "tcp/1 from 5",
    );
}

#[test]
fn a_named_port_is_looked_up_among_the_rules_own_peers() {
    let policy = |destination: &str| {
        gnp(
            "p",
            &format!(
                "{{selector: app == 'web', types: [Egress], egress: [{{action: Allow, protocol: TCP, destination: {{{destination}, ports: [http]}}}}]}}"
            ),
        )
    };
    check(
        &policy("selector: app == 'db'"),
        "red/web -> red/db tcp/8080 = allow red/db ingress
         red/web -> red/db tcp/80 = deny red/web egress
         blue/web -> red/web tcp/80 = deny blue/web egress
         red/web -> blue/db tcp/8080 = deny red/web egress",
    );
    // Without a selector everybody's names count.
    check(
        &policy("nets: [10.0.0.0/8]"),
        "blue/web -> red/web tcp/80 = allow
         blue/web -> red/db tcp/8080 = allow
         blue/web -> red/db tcp/80 = deny",
    );
    check(
        &policy("notSelector: app == 'db'"),
        "blue/web -> red/web tcp/80 = allow
         blue/web -> red/db tcp/8080 = deny",
    );
}

#[test]
fn negated_named_ports_use_the_positive_selector() {
    let spec = "{selector: app == 'web', types: [Egress], egress: [
        {action: Allow, protocol: TCP, destination: {selector: app == 'db', notPorts: [http]}}]}";
    check(
        &gnp("p", spec),
        "red/web -> red/db tcp/8080 = deny red/web egress
         red/web -> red/db tcp/80 = allow
         red/web -> blue/db tcp/8080 = allow
         blue/web -> red/web tcp/80 = deny blue/web egress",
    );
}

#[test]
fn nets_and_not_nets() {
    check_sources("", "source: {nets: [203.0.113.0/25]}", &[ANY]);
    check_sources(
        "",
        "source: {nets: [203.0.113.0/25, 203.0.113.200/32]}",
        &[ANY, "203.0.113.200"],
    );
    check_sources(
        "",
        "source: {notNets: [203.0.113.0/24, 10.0.1.0/24]}",
        &["red/web", "red/bare"],
    );
    check_sources(
        "",
        "source: {nets: [203.0.113.0/24], notNets: [203.0.113.128/25]}",
        &[ANY],
    );
    check_sources(
        "",
        "destination: {nets: [10.0.0.2/32]}, source: {nets: [10.0.1.0/24]}",
        &["blue/web", "blue/db"],
    );
    check_sources("", "destination: {nets: [10.0.0.3/32]}", &[]);
}

#[test]
fn nets_of_the_other_family_only_make_the_rule_pass_over() {
    check_ports("source: {nets: [10.0.0.0/8]}", "tcp/1", "tcp/1 v6");
    check_ports("source: {nets: ['fd00::/16']}", "tcp/1 v6", "tcp/1");
    check_ports("source: {notNets: [10.99.0.0/16]}", "tcp/1", "tcp/1 v6");
    check_ports("source: {notNets: ['fd99::/16']}", "tcp/1 v6", "tcp/1");
    check_ports(
        "destination: {notNets: ['fd00::2/128']}",
        "",
        "tcp/1, tcp/1 v6",
    );
}

#[test]
fn a_selector_in_a_namespaced_policy_looks_in_its_own_namespace() {
    check_sources("", "source: {selector: app == 'web'}", &["red/web"]);
    check_sources("", "source: {selector: all()}", &["red/web", "red/bare"]);
    check_sources("", "source: {selector: '!has(app)'}", &["red/bare"]);
    check_sources("", "source: {notSelector: app == 'web'}", &["red/bare"]);
    check_sources(
        "",
        "source: {selector: all(), notSelector: app == 'web'}",
        &["red/bare"],
    );
}

#[test]
fn a_selector_in_a_global_policy_looks_everywhere() {
    check_global_sources(
        "",
        "source: {selector: app == 'web'}",
        &["red/web", "blue/web"],
    );
    check_global_sources(
        "",
        "source: {selector: all()}",
        &["red/web", "red/bare", "blue/web", "blue/db"],
    );
    check_global_sources(
        "",
        "source: {notSelector: app == 'web'}",
        &["red/bare", "blue/db", ANY, "203.0.113.200"],
    );
    check_global_sources(
        "",
        "source: {selector: has(app), notSelector: app == 'web'}",
        &["blue/db"],
    );
}

#[test]
fn a_namespace_selector_folds_into_the_selector() {
    for check in [check_sources, check_global_sources] {
        check(
            "",
            "source: {namespaceSelector: team == 'blue'}",
            &["blue/web", "blue/db"],
        );
        check(
            "",
            "source: {namespaceSelector: team == 'blue', selector: app == 'web'}",
            &["blue/web"],
        );
        check(
            "",
            "source: {namespaceSelector: has(team), selector: app == 'web'}",
            &["red/web", "blue/web"],
        );
        check(
            "",
            "source: {namespaceSelector: all()}",
            &["red/web", "red/bare", "blue/web", "blue/db"],
        );
        check(
            "",
            "source: {namespaceSelector: projectcalico.org/name == 'blue'}",
            &["blue/web", "blue/db"],
        );
        check(
            "",
            "source: {namespaceSelector: all(), notSelector: app == 'web'}",
            &["red/bare", "blue/db"],
        );
        check("", "source: {namespaceSelector: team == 'none'}", &[]);
    }
}

#[test]
fn global_means_outside_namespaces() {
    let sets = gns("g", "{zone: x}", "[203.0.113.0/25]")
        + &ns("local", "red", "{zone: x}", "[203.0.113.128/25]");
    for check in [check_sources, check_global_sources] {
        check(&sets, "source: {namespaceSelector: global()}", &[ANY]);
        check(
            &sets,
            "source: {namespaceSelector: global(), selector: zone == 'x'}",
            &[ANY],
        );
        check(
            &sets,
            "source: {namespaceSelector: global(), selector: zone == 'y'}",
            &[],
        );
    }
}

#[test]
fn network_sets_are_found_by_their_labels() {
    let sets = gns("g", "{zone: x}", "[203.0.113.0/25, 10.0.1.1]")
        + &ns("local", "red", "{zone: x}", "[203.0.113.200/32]");
    // A namespaced policy's bare selector finds the namespace's own sets, not the global ones.
    check_sources(&sets, "source: {selector: zone == 'x'}", &["203.0.113.200"]);
    check_global_sources(
        &sets,
        "source: {selector: zone == 'x'}",
        &[ANY, "203.0.113.200", "blue/web"],
    );
    check_global_sources(
        &sets,
        "source: {notSelector: zone == 'x'}",
        &["red/web", "red/bare", "blue/db"],
    );
    // A namespaced set inherits its namespace's labels.
    check_global_sources(
        &sets,
        "source: {namespaceSelector: team == 'red', selector: zone == 'x'}",
        &["203.0.113.200"],
    );
    check_global_sources(
        &sets,
        "source: {selector: zone == 'x' && pcns.tier == 'gold'}",
        &["203.0.113.200"],
    );
}

#[test]
fn with_several_owners_of_an_address_one_of_them_must_match_whole() {
    let sets =
        gns("g1", "{a: x}", "[203.0.113.1/32]") + &gns("g2", "{b: x, bad: x}", "[203.0.113.0/25]");
    check_global_sources(&sets, "source: {selector: has(a) && has(b)}", &[]);
    check_global_sources(&sets, "source: {selector: has(a) || has(b)}", &[ANY]);
    check_global_sources(
        &sets,
        "source: {selector: has(a), notSelector: has(bad)}",
        &[ANY],
    );
    check_global_sources(
        &sets,
        "source: {selector: has(b), notSelector: has(bad)}",
        &[],
    );
    // Alone, notSelector excludes an address as soon as one owner matches.
    check_global_sources(
        &sets,
        "source: {notSelector: has(bad)}",
        &[
            "red/web",
            "red/bare",
            "blue/web",
            "blue/db",
            "203.0.113.200",
        ],
    );
}

#[test]
fn service_accounts_by_name_and_label() {
    // red/db and blue/db run as robot; in a namespaced policy only the own namespace counts.
    check_sources(
        "",
        "source: {serviceAccounts: {names: [default]}}",
        &["red/web", "red/bare"],
    );
    check_sources("", "source: {serviceAccounts: {names: [robot]}}", &[]);
    check_global_sources(
        "",
        "source: {serviceAccounts: {names: [robot]}}",
        &["blue/db"],
    );
    check_global_sources(
        "",
        "source: {serviceAccounts: {names: [robot, default]}}",
        &["red/web", "red/bare", "blue/web", "blue/db"],
    );
    check_global_sources(
        "",
        "source: {serviceAccounts: {selector: trust == 'low'}}",
        &["blue/db"],
    );
    check_global_sources(
        "",
        "source: {serviceAccounts: {selector: trust == 'high', names: [robot]}}",
        &[],
    );
    check_global_sources(
        "",
        "source: {serviceAccounts: {names: [robot]}, selector: app == 'web'}",
        &[],
    );
    check_sources(
        "",
        "source: {serviceAccounts: {names: [robot]}, namespaceSelector: team == 'blue'}",
        &["blue/db"],
    );
    check_sources(
        "",
        "source: {serviceAccounts: {selector: has(trust)}, namespaceSelector: all()}",
        &["blue/db"],
    );
}

#[test]
fn nets_and_ports_alone_are_not_limited_to_the_namespace() {
    check_sources(
        "",
        "source: {nets: [0.0.0.0/0]}",
        &[
            "red/web",
            "red/bare",
            "blue/web",
            "blue/db",
            ANY,
            "203.0.113.200",
        ],
    );
    check_sources(
        "",
        "protocol: TCP, destination: {ports: [1]}",
        &[
            "red/web",
            "red/bare",
            "blue/web",
            "blue/db",
            ANY,
            "203.0.113.200",
        ],
    );
    check_sources(
        "",
        "source: {nets: [10.0.0.0/8], selector: all()}",
        &["red/web", "red/bare"],
    );
}

#[test]
fn all_criteria_of_a_rule_hold_together() {
    check_sources(
        "",
        "protocol: TCP, source: {selector: app == 'web', nets: [10.0.0.0/24], notNets: [10.0.0.3/32]}, destination: {ports: [1], selector: app == 'db'}",
        &["red/web"],
    );
    check_sources(
        "",
        "source: {selector: app == 'web'}, destination: {selector: app == 'web'}",
        &[],
    );
}

#[test]
fn egress_rules_look_at_the_destination() {
    let spec = "{selector: app == 'web', types: [Egress], egress: [
        {action: Allow, destination: {selector: app == 'db'}},
        {action: Deny, destination: {namespaceSelector: team == 'blue'}},
        {action: Allow, destination: {nets: [203.0.113.0/25]}}]}";
    check(
        &np("p", spec),
        "red/web -> red/db tcp/1 = allow red/db ingress pro/kns.red profile
         red/web -> blue/web tcp/1 = deny red/web egress default np/red/p 1
         red/web -> 203.0.113.1 tcp/1 = allow red/web egress default np/red/p 2
         red/web -> 203.0.113.200 tcp/1 = deny red/web egress default end-of-tier <np/red/p",
    );
}
