//! §2.7: rules that ask for services.

use super::{check, gnp, np};

/// A slice of service `red/web` in its own words.
fn slice(name: &str, namespace: &str, service: &str, rest: &str) -> String {
    format!(
        "\n---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {name}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {service}}}}}, {rest}}}\n"
    )
}

/// Two of red's pods behind `web`, one not ready; blue has a service of the same name.
fn slices() -> String {
    let ports = "ports: [{port: 80}, {port: 53, protocol: UDP}, {name: any}]";
    slice(
        "one",
        "red",
        "web",
        &format!("addressType: IPv4, endpoints: [{{addresses: [10.0.0.1]}}], {ports}"),
    ) + &slice(
        "two",
        "red",
        "web",
        "addressType: IPv4, endpoints: [{addresses: [10.0.0.3], conditions: {ready: false}}], ports: [{port: 90}]",
    ) + &slice(
        "six",
        "red",
        "web",
        "addressType: IPv6, endpoints: [{addresses: ['fd00::1']}]",
    ) + &slice(
        "named",
        "red",
        "web",
        "addressType: FQDN, endpoints: [{addresses: ['10.0.1.1']}], ports: [{port: 80}]",
    ) + &slice(
        "blue",
        "blue",
        "web",
        "addressType: IPv4, endpoints: [{addresses: [10.0.1.1]}], ports: [{port: 80}]",
    )
}

#[test]
fn a_destination_is_a_services_addresses_with_their_ports() {
    let policy = np(
        "p",
        "{selector: app == 'db', types: [Egress], egress: [{action: Allow, destination: {services: {name: web}}}]}",
    );
    check(
        &(slices() + &policy),
        "red/db -> red/web tcp/80 = allow
         red/db -> red/web udp/53 = allow
         red/db -> red/web tcp/53 = deny red/db egress default
         red/db -> red/web tcp/90 = deny red/db egress default
         red/db -> red/bare tcp/90 = allow
         red/db -> red/bare tcp/80 = deny red/db egress default
         red/db -> blue/web tcp/80 = deny red/db egress default
         red/db -> red/web tcp/80 v6 = deny red/db egress default
         red/db -> red/web icmp/8 = deny red/db egress default",
    );
}

#[test]
fn a_source_is_a_services_addresses() {
    let policy = np(
        "p",
        "{selector: app == 'db', types: [Ingress], ingress: [{action: Allow, protocol: TCP, source: {services: {name: web, namespace: red}}}]}",
    );
    check(
        &(slices() + &policy),
        "red/web -> red/db tcp/7 = allow
         red/web -> red/db tcp/7 v6 = allow
         red/bare -> red/db tcp/7 = allow
         red/web -> red/db udp/7 = deny
         blue/web -> red/db tcp/7 = deny",
    );
}

#[test]
fn a_service_of_another_namespace_is_named_with_it() {
    let policy = gnp(
        "p",
        "{selector: app == 'db', types: [Egress], egress: [{action: Allow, destination: {services: {name: web, namespace: blue}}}]}",
    );
    check(
        &(slices() + &policy),
        "red/db -> blue/web tcp/80 = allow
         blue/db -> red/web tcp/80 = deny blue/db egress default",
    );
    let nobody = np(
        "p",
        "{selector: app == 'db', types: [Egress], egress: [{action: Allow, destination: {services: {name: nobody}}}]}",
    );
    check(
        &(slices() + &nobody),
        "red/db -> red/web tcp/80 = deny red/db egress default",
    );
}

/// Nobody knows what a broken slice lists: Allow counts the others, Deny and Pass stop all that may match.
#[test]
fn a_broken_slice_closes_the_rules_of_its_service() {
    let broken = slice(
        "broken",
        "red",
        "web",
        "addressType: IPv4, endpoints: [{addresses: [nowhere]}], ports: [{port: 80}]",
    );
    let policy = |action: &str, name: &str| {
        np(
            "p",
            &format!(
                "{{selector: app == 'db', types: [Egress], egress: [{{action: {action}, destination: {{services: {{name: {name}}}}}}}, {{action: Allow}}]}}"
            ),
        )
    };
    for (action, name, verdict) in [
        ("Deny", "web", "deny red/db egress default np/red/p 0"),
        ("Pass", "web", "deny red/db egress default np/red/p 0"),
        ("Allow", "web", "allow"),
        ("Deny", "other", "allow"),
    ] {
        check(
            &(slices() + &broken + &policy(action, name)),
            &format!("red/db -> 203.0.113.1 tcp/9 = {verdict}"),
        );
    }
    let strict = np(
        "p",
        "{selector: app == 'db', types: [Egress], egress: [{action: Allow, destination: {services: {name: web}}}]}",
    );
    check(
        &(slices() + &broken + &strict),
        "red/db -> red/web tcp/80 = allow
         red/db -> 203.0.113.1 tcp/80 = deny red/db egress default",
    );
}
