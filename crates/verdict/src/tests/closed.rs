//! Fail closed: what cannot be read never lets more through. The API refuses all of this earlier.

use super::{ask, check, cluster, gnp, gns, knp, np, tier};

/// A policy on `red/db` with a rule that cannot be read between two that can.
fn check_broken_rule(broken: &str) {
    let policy = |action: &str| {
        let spec = format!(
            "{{selector: app == 'db', types: [Ingress], ingress: [
                {{action: Allow, protocol: UDP}}, {{action: {action}, {broken}}}, {{action: Allow, protocol: SCTP}}]}}"
        );
        np("p", &spec)
    };
    for action in ["Allow", "Deny", "Pass", "Log"] {
        check(
            &policy(action),
            "red/web -> red/db udp/1 = deny red/db ingress default np/red/p 0
             red/web -> red/db tcp/1 = deny red/db ingress default np/red/p 0
             red/web -> red/db sctp/1 = deny red/db ingress default np/red/p 0
             red/db -> red/web tcp/1 = allow
             blue/db -> red/web tcp/1 = allow",
        );
    }
}

#[test]
fn rules_that_cannot_be_read() {
    for broken in [
        "source: {selector: 'app =='}",
        "source: {notSelector: '((('}",
        "destination: {namespaceSelector: 'team = x'}",
        "source: {serviceAccounts: {selector: '!'}}",
        "source: {nets: [nonsense]}",
        "source: {nets: [10.0.0.1]}",
        "source: {nets: [10.0.0.1/8]}",
        "destination: {notNets: [10.0.0.0/33]}",
        "protocol: nonsense",
        "notProtocol: tcp",
        "protocol: 0",
        "ipVersion: 5",
        "source: {notNets: [0.0.0.0/0]}",
        "source: {nets: [10.0.0.0/8]}, destination: {nets: ['fd00::/8']}",
        "destination: {ports: [80]}",
        "ipVersion: 6, source: {nets: [10.0.0.0/8]}",
    ] {
        check_broken_rule(broken);
    }
}

#[test]
fn rules_that_are_not_supported_yet() {
    for broken in [
        "protocol: ICMP, icmp: {type: 8}",
        "notICMP: {type: 8}",
        "http: {methods: [GET]}",
        "destination: {services: {name: x}}",
    ] {
        check_broken_rule(broken);
    }
}

#[test]
fn a_policy_whose_selector_cannot_be_read_denies_whomever_it_could_select() {
    let spec = "{selector: 'app == ', types: [Ingress], ingress: [{action: Allow}]}";
    check(
        &np("p", spec),
        "blue/web -> red/db tcp/1 = deny red/db ingress default np/red/p 0
         blue/web -> red/bare tcp/1 = deny
         red/web -> blue/db tcp/1 = allow",
    );
    for criterion in [
        "selector: '&&'",
        "namespaceSelector: 'team'",
        "serviceAccountSelector: ')'",
    ] {
        let spec = format!("{{{criterion}, types: [Egress]}}");
        check(
            &gnp("p", &spec),
            "blue/web -> red/db tcp/1 = deny blue/web egress default gnp/p 0
             203.0.113.1 -> red/db tcp/1 = allow",
        );
    }
    let answer = ask(&cluster(&np("p", spec)), "blue/web -> red/db tcp/1").unwrap();
    let problem = answer.legs[1].tiers[0].policies[0].problem.as_deref();
    assert_eq!(problem, Some("bad selector: expected string, at byte 7"));
}

#[test]
fn kubernetes_policies_that_cannot_be_read_allow_nothing() {
    for rule in [
        "{from: [{}]}",
        "{from: [{ipBlock: {cidr: nonsense}}]}",
        "{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [nonsense]}}]}",
        "{from: [{ipBlock: {cidr: 0.0.0.0/0}, podSelector: {}}]}",
        "{from: [{podSelector: {}}, {}]}",
        "{ports: [{port: http, endPort: 9000}]}",
        "{ports: [{endPort: 9000}]}",
        "{ports: [{port: 90, endPort: 80}]}",
    ] {
        let spec = format!("{{podSelector: {{}}, ingress: [{rule}, {{ports: [{{port: 7}}]}}]}}");
        check(
            &knp("p", &spec),
            "red/web -> red/db tcp/85 = deny red/db ingress default knp/red/p 0
             red/web -> red/db tcp/8080 = deny
             red/web -> red/db tcp/7 = deny
             red/db -> blue/db tcp/7 = allow",
        );
    }
}

#[test]
fn host_policies_deny_the_pods_they_select_until_they_are_supported() {
    for field in ["doNotTrack", "preDNAT", "applyOnForward"] {
        let spec = format!("{{selector: app == 'db', types: [Ingress], {field}: true}}");
        check(
            &gnp("p", &spec),
            "red/web -> red/db tcp/1 = deny red/db ingress default gnp/p 0
             red/db -> red/web tcp/1 = allow",
        );
    }
}

#[test]
fn a_tier_that_is_refused_is_none() {
    let policy = "{tier: odd, selector: app == 'db', types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}";
    check(
        &(tier("odd", "{order: 1, defaultAction: Pass}") + &gnp("p", policy)),
        "red/web -> red/db tcp/1 = allow red/db ingress pro/kns.red profile",
    );
    check(
        &(tier(
            "odd, labels: {'bad label': x}",
            "{order: 1, defaultAction: Pass}",
        ) + &gnp("p", policy)),
        "red/web -> red/db udp/1 = allow red/db ingress odd gnp/p 0
         red/web -> red/db tcp/1 = deny red/db ingress odd end-of-tier <gnp/p",
    );
}

#[test]
fn a_network_set_that_is_refused_holds_no_address() {
    let policy = gnp(
        "p",
        "{selector: app == 'db', ingress: [{action: Allow, source: {selector: has(zone)}}]}",
    );
    check(
        &(policy.clone() + &gns("g", "{zone: x}", "[203.0.113.0/24]")),
        "203.0.113.1 -> red/db tcp/1 = allow",
    );
    check(
        &(policy + &gns("g", "{zone: x}", "[203.0.113.0/24, nonsense]")),
        "203.0.113.1 -> red/db tcp/1 = deny",
    );
}
