//! Host endpoints: which interface they are, which chains they ask, failsafes, profiles, what nodes do.

use oncilla_api::{Kind, ObjectKey};
use oncilla_net::{Direction, Family, Icmp, Protocol};
use serde_json::json;

use super::{ask, check, cluster, gnp, kcnp, knp, line, np, tier};
use crate::{Evaluator, Party, Question, Way};

fn hep(name: &str, labels: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: {name}, labels: {labels}}}, spec: {spec}}}\n"
    )
}

fn felix(name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {{name: {name}}}, spec: {spec}}}\n"
    )
}

fn profile(name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {{name: {name}}}, spec: {spec}}}\n"
    )
}

/// n1 allows by profile, n2 has none.
fn both() -> String {
    hep(
        "one",
        "{host: one}",
        "{node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1], profiles: [projectcalico-default-allow]}",
    ) + &hep(
        "two",
        "{host: two}",
        "{node: n2, interfaceName: eth0, expectedIPs: [172.16.0.2]}",
    )
}

#[test]
fn a_host_without_policy_and_profile_drops_all_but_failsafes() {
    check(
        &both(),
        "203.0.113.1 -> host:n1 tcp/10250 = allow host:n1 ingress pro/projectcalico-default-allow profile
         203.0.113.1 -> host:n2 tcp/10250 = deny host:n2 ingress default
         203.0.113.1 -> host:n2 tcp/22 = allow host:n2 ingress failsafe
         203.0.113.1 -> host:n2 udp/68 = allow host:n2 ingress failsafe
         203.0.113.1 -> host:n2 udp/22 = deny host:n2 ingress default
         host:n2 -> 203.0.113.1 tcp/443 = deny host:n2 egress default
         host:n2 -> 203.0.113.1 udp/53 = allow host:n2 egress failsafe
         host:n2 -> 203.0.113.1 tcp/22 = deny host:n2 egress default
         host:n1 -> host:n2 tcp/1 = deny host:n2 ingress default
         host:n2 -> host:n1 tcp/1 = deny host:n2 egress default
         red/host -> blue/web tcp/1 = allow blue/web ingress pro/kns.blue profile
         blue/web -> red/host tcp/1 = allow host:n1 ingress pro/projectcalico-default-allow profile
         host:n2 -> blue/web tcp/1 = allow blue/web ingress no-policy",
    );
}

#[test]
fn failsafes_are_configured_field_by_field() {
    let inbound = |list: &str| format!("{{failsafeInboundHostPorts: {list}}}");
    let list = "[{protocol: TCP, port: 2222, net: 203.0.113.0/28}]";
    check(
        &(both() + &felix("default", &inbound(list))),
        "203.0.113.1 -> host:n2 tcp/2222 = allow host:n2 ingress failsafe
         203.0.113.99 -> host:n2 tcp/2222 = deny host:n2 ingress default
         203.0.113.1 -> host:n2 tcp/22 = deny host:n2 ingress default
         host:n2 -> 203.0.113.1 tcp/6443 = allow host:n2 egress failsafe",
    );
    check(
        &(both() + &felix("default", &inbound("[]")) + &felix("node.n2", &inbound("none"))),
        "203.0.113.1 -> host:n2 tcp/22 = deny host:n2 ingress default",
    );
    check(
        &(both() + &felix("default", &inbound("[]")) + &felix("node.n2", &inbound(list))),
        "203.0.113.1 -> host:n2 tcp/2222 = allow host:n2 ingress failsafe",
    );
    // What cannot be read of a list opens nothing, and the rest of it holds.
    let broken = "[{protocol: TCP, port: ssh}, {protocol: TCP, port: 2222}]";
    let mut faulty = cluster(&both());
    faulty.insert_stored(
        &ObjectKey::cluster(Kind::FelixConfiguration, "default"),
        &serde_saphyr::from_str(&format!(
            "{{metadata: {{name: default}}, spec: {}}}",
            inbound(broken)
        ))
        .expect("the fixture is YAML"),
    );
    let verdict = |text| ask(&faulty, text).map(|answer| line(&answer));
    assert_eq!(
        verdict("203.0.113.1 -> host:n2 tcp/22"),
        Ok("deny host:n2 ingress default".to_owned())
    );
    assert_eq!(
        verdict("203.0.113.1 -> host:n2 tcp/2222"),
        Ok("allow host:n2 ingress failsafe".to_owned())
    );
}

/// A configuration of which nobody knows whether it is for the node: only what is let through with it and without it is.
#[test]
fn a_configuration_whose_selector_cannot_be_read_opens_nothing() {
    let list = "[{protocol: TCP, port: 22, net: 203.0.113.0/28}, {protocol: TCP, port: 9000}]";
    let spec = format!("{{nodeSelector: 'rack ==', failsafeInboundHostPorts: {list}}}");
    check(
        &(both() + &felix("racks", &spec)),
        "203.0.113.1 -> host:n2 tcp/22 = allow host:n2 ingress failsafe
         203.0.113.99 -> host:n2 tcp/22 = deny host:n2 ingress default
         203.0.113.1 -> host:n2 tcp/9000 = deny host:n2 ingress default
         203.0.113.1 -> host:n2 tcp/6443 = deny host:n2 ingress default
         host:n2 -> 203.0.113.1 tcp/6443 = allow host:n2 egress failsafe",
    );
}

/// An interface takes packets for more addresses than the expected ones: a name may mean the host endpoint's own port at
/// any of them, and at an address that somebody has it means what he calls so.
#[test]
fn a_port_name_of_the_hosts_own_side_is_looked_up_by_address_and_may_be_the_hosts() {
    let host = |addresses: &str| {
        format!(
            "\n---\n{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: named, labels: {{role: named}}}}, \
             spec: {{node: n2, interfaceName: eth0, expectedIPs: [{addresses}], \
             ports: [{{name: web, protocol: TCP, port: 8080}}]}}}}\n"
        )
    };
    let rule = |action: &str, ports: &str| {
        let rest = if action == "Allow" {
            ""
        } else {
            ", {action: Allow}"
        };
        gnp(
            "p",
            &format!(
                "{{selector: role == 'named', ingress: [{{action: {action}, protocol: TCP, destination: {{{ports}: [web]}}}}{rest}]}}"
            ),
        )
    };
    let to = |port: u16, verdict: &str| format!("203.0.113.1 -> host:n2 tcp/{port} = {verdict}\n");
    let rule0 = "host:n2 ingress default gnp/p 0";
    let rule1 = "host:n2 ingress default gnp/p 1";
    let end = "host:n2 ingress default end-of-tier";
    // Nobody said that the address is the host's.
    let unknown = host("");
    check(
        &(unknown.clone() + &rule("Allow", "ports")),
        &to(8080, &format!("deny {end}")),
    );
    check(
        &(unknown.clone() + &rule("Deny", "ports")),
        &(to(8080, &format!("deny {rule0}")) + &to(80, &format!("allow {rule1}"))),
    );
    check(
        &(unknown.clone() + &rule("Pass", "ports")),
        &to(8080, &format!("deny {rule0}")),
    );
    check(
        &(unknown.clone() + &rule("Allow", "notPorts")),
        &to(8080, &format!("deny {end}")),
    );
    check(
        &(unknown + &rule("Deny", "notPorts")),
        &to(8080, &format!("deny {rule0}")),
    );
    // It is.
    let known = host("172.16.0.2");
    check(
        &(known.clone() + &rule("Allow", "ports")),
        &(to(8080, &format!("allow {rule0}")) + &to(80, &format!("deny {end}"))),
    );
    check(
        &(known + &rule("Deny", "notPorts")),
        &to(8080, &format!("allow {rule1}")),
    );
}

#[test]
fn a_selector_finds_the_nodes_of_a_configuration() {
    let labelled = "\n---\n{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {rack: b}}, status: {addresses: [{type: InternalIP, address: 172.16.0.2}]}}\n";
    let of = |name: &str, created: &str, port: u16| {
        felix(
            &format!("{name}, creationTimestamp: '{created}'"),
            &format!(
                "{{nodeSelector: rack == 'b', failsafeInboundHostPorts: [{{protocol: TCP, port: {port}}}]}}"
            ),
        )
    };
    check(
        &(both()
            + labelled
            + &of("young", "2026-01-02T00:00:00Z", 1)
            + &of("zebra", "2026-01-01T00:00:00Z", 2)
            + &of("old", "2026-01-01T00:00:00Z", 3)
            + &felix("default", "{failsafeInboundHostPorts: []}")),
        "203.0.113.1 -> host:n2 tcp/3 = allow host:n2 ingress failsafe
         203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress default
         203.0.113.1 -> host:n2 tcp/2 = deny host:n2 ingress default",
    );
}

#[test]
fn only_policies_of_the_whole_cluster_select_hosts() {
    let deny = "{types: [Ingress, Egress]}";
    let forged =
        "{host: two, projectcalico.org/namespace: red, projectcalico.org/orchestrator: k8s}";
    let host = hep(
        "two",
        forged,
        "{node: n2, interfaceName: eth0, profiles: [projectcalico-default-allow]}",
    );
    check(
        &(host.clone()
            + &np("p", deny)
            + &knp("k", "{podSelector: {}, policyTypes: [Ingress, Egress]}")
            + &kcnp(
                "c",
                "Admin",
                "priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]",
            )),
        "203.0.113.1 -> host:n2 tcp/1 = allow host:n2 ingress pro/projectcalico-default-allow profile",
    );
    check(
        &(host + &gnp("g", "{selector: host == 'two', types: [Ingress]}")),
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress default end-of-tier <gnp/g
         203.0.113.1 -> host:n2 tcp/22 = allow host:n2 ingress failsafe
         203.0.113.1 -> red/db tcp/1 = allow red/db ingress pro/kns.red profile",
    );
    check(
        &(both() + &gnp("g", "{namespaceSelector: all(), types: [Ingress]}")),
        "203.0.113.1 -> host:n1 tcp/1 = allow host:n1 ingress pro/projectcalico-default-allow profile
         203.0.113.1 -> red/db tcp/1 = deny",
    );
}

#[test]
fn a_host_is_known_by_its_expected_addresses_only() {
    let hosts = hep("one", "{host: one}", "{node: n1, interfaceName: eth0}")
        + &hep(
            "two",
            "{host: two}",
            "{node: n2, interfaceName: '*', expectedIPs: [172.16.0.2], profiles: [projectcalico-default-allow], ports: [{name: kubelet, protocol: TCP, port: 10250}]}",
        );
    let policy = "{selector: app == 'db', types: [Ingress, Egress], ingress: [{action: Allow, source: {selector: has(host)}}], egress: [{action: Allow, protocol: TCP, destination: {selector: has(host), ports: [kubelet]}}]}";
    check(
        &(hosts
            + &gnp("p", policy)
            + &felix(
                "default",
                "{failsafeOutboundHostPorts: [{protocol: TCP, port: 1}]}",
            )),
        "host:n2 -> red/db tcp/1 = allow red/db ingress default gnp/p 0
         host:n1 -> blue/db tcp/1 = deny blue/db ingress default end-of-tier <gnp/p
         red/db -> host:n2 tcp/10250 = allow host:n2 ingress pro/projectcalico-default-allow profile
         red/db -> host:n2 tcp/10251 = deny red/db egress default end-of-tier <gnp/p",
    );
}

#[test]
fn an_interface_is_the_first_host_endpoint_that_names_it() {
    let allow = "profiles: [projectcalico-default-allow]";
    let by = |name: &str, which: &str| hep(name, "{}", &format!("{{node: n2, {which}, {allow}}}"));
    // By its name, by an address, by the star; the first by name wins, the star last.
    for (manifests, at) in [
        (by("c", "interfaceName: eth0"), true),
        (by("c", "expectedIPs: [172.16.0.2]"), true),
        (by("c", "interfaceName: '*'"), true),
        (
            by("c", "interfaceName: eth1, expectedIPs: [10.9.9.9]")
                + &by("d", "interfaceName: eth2"),
            false,
        ),
        (by("c", "expectedIPs: [172.16.0.9]"), false),
    ] {
        let other = hep("z", "{}", "{node: n2, interfaceName: '*'}");
        let wanted = if at {
            "allow host:n2 ingress pro/projectcalico-default-allow profile"
        } else {
            "deny host:n2 ingress default"
        };
        check(
            &(manifests + &other),
            &format!("203.0.113.1 -> host:n2 tcp/1 = {wanted}"),
        );
    }
    let two =
        by("b", "expectedIPs: [172.16.0.2]") + &hep("a", "{}", "{node: n2, interfaceName: eth0}");
    check(
        &two,
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress default",
    );
    // The question may name another interface.
    let second =
        hep("a", "{}", "{node: n2, interfaceName: eth1}") + &by("b", "interfaceName: eth0");
    check(
        &second,
        "203.0.113.1 -> host:n2 tcp/1 in eth1 = deny host:n2 ingress default
         203.0.113.1 -> host:n2 tcp/1 in eth0 = allow host:n2 ingress pro/projectcalico-default-allow profile
         203.0.113.1 -> host:n2 tcp/1 in eth9 = allow host:n2 ingress no-policy
         host:n2 -> 203.0.113.1 tcp/1 out eth1 = deny host:n2 egress default",
    );
    // A node may list its interfaces.
    let listed = "\n---\n{apiVersion: v1, kind: Node, metadata: {name: n2, annotations: {projectcalico.org/Interfaces: '[{\"name\":\"bond0\",\"addresses\":[\"172.16.0.2\"]}]'}}, status: {addresses: [{type: InternalIP, address: 172.16.0.2}]}}\n";
    check(
        &(hep("a", "{}", "{node: n2, interfaceName: bond0}")
            + &by("b", "interfaceName: eth0")
            + listed),
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress default",
    );
}

#[test]
fn forwarded_packets_meet_only_policies_that_say_so() {
    let policy = |more: &str| {
        gnp(
            "p",
            &format!(
                "{{selector: has(host), types: [Ingress, Egress], ingress: [{{action: Allow, protocol: UDP}}], egress: [{{action: Allow}}]{more}}}"
            ),
        )
    };
    check(
        &(both() + &policy("")),
        "203.0.113.1 -> blue/web tcp/22 = allow blue/web ingress pro/kns.blue profile",
    );
    check(
        &(both() + &policy(", applyOnForward: true")),
        "203.0.113.1 -> blue/web tcp/22 = deny host:n2 ingress default end-of-tier forward <gnp/p
         203.0.113.1 -> blue/web udp/22 = allow blue/web ingress pro/kns.blue profile
         red/web -> blue/web tcp/1 = deny host:n2 ingress default end-of-tier forward <gnp/p
         blue/web -> blue/db tcp/1 = allow blue/db ingress pro/kns.blue profile
         203.0.113.1 -> 203.0.113.2 tcp/1 through n2 eth0 eth1 = deny host:n2 ingress default end-of-tier forward <gnp/p
         203.0.113.1 -> 203.0.113.2 tcp/1 through n2 eth1 eth0 = allow host:n2 egress default gnp/p 0 forward
         203.0.113.1 -> host:n2 tcp/22 = allow host:n2 ingress failsafe",
    );
    // Passed on at the end of all tiers: let through, without profiles.
    let pass = "{tier: t, selector: has(host), applyOnForward: true, types: [Ingress], ingress: [{action: Pass}]}";
    check(
        &(both() + &tier("t", "{order: 1}") + &gnp("p", pass)),
        "203.0.113.1 -> blue/web tcp/1 = allow blue/web ingress pro/kns.blue profile
         203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress default",
    );
}

#[test]
fn the_star_also_forwards_for_workloads() {
    let star = hep(
        "star",
        "{host: star}",
        "{node: n1, interfaceName: '*', profiles: [projectcalico-default-allow]}",
    );
    let rules = "applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Deny, protocol: UDP}, {action: Allow}], egress: [{action: Deny, protocol: SCTP}, {action: Allow}]";
    check(
        &(star + &gnp("p", &format!("{{selector: has(host), {rules}}}"))),
        "red/web -> red/db udp/1 = deny host:n1 ingress default gnp/p 0 forward
         red/web -> red/db sctp/1 = deny host:n1 egress default gnp/p 0 forward
         red/web -> red/db tcp/1 = allow host:n1 egress default gnp/p 1 forward
         host:n1 -> red/db udp/1 = allow red/db ingress no-policy",
    );
}

#[test]
fn policies_before_nat_see_where_a_packet_was_sent() {
    let pre = |more: &str| {
        gnp(
            "pre",
            &format!(
                "{{selector: has(host), preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{more}]}}"
            ),
        )
    };
    let port = "{action: Deny, protocol: TCP, destination: {nets: [172.16.0.2/32], ports: [30080]}}, {action: Allow, protocol: TCP, destination: {ports: [30081]}}";
    check(
        &(both() + &pre(port)),
        "203.0.113.1 -> blue/web tcp/80 original 172.16.0.2:30080 = deny host:n2 ingress default gnp/pre 0 pre-dnat
         203.0.113.1 -> blue/web tcp/80 original 172.16.0.2:30082 = allow blue/web ingress pro/kns.blue profile
         203.0.113.1 -> blue/web tcp/30080 = allow blue/web ingress pro/kns.blue profile
         203.0.113.1 -> host:n2 tcp/30081 = allow host:n2 ingress default gnp/pre 1 pre-dnat
         203.0.113.1 -> host:n2 tcp/30082 = deny host:n2 ingress default
         host:n2 -> 203.0.113.1 tcp/30081 = deny host:n2 egress default",
    );
    // Failsafes come first, and workloads are not judged by it.
    let all = pre("{action: Deny}");
    check(
        &(both() + &all),
        "203.0.113.1 -> host:n2 tcp/22 = allow host:n2 ingress failsafe
         203.0.113.1 -> host:n1 tcp/1 = deny host:n1 ingress default gnp/pre 0 pre-dnat
         red/web -> red/db tcp/1 = allow red/db ingress pro/kns.red profile",
    );
    let everybody = gnp(
        "pre",
        "{preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}",
    );
    check(
        &everybody,
        "red/web -> red/db tcp/1 = allow red/db ingress pro/kns.red profile",
    );
    // The star judges workloads' interfaces too.
    let star = hep("star", "{host: star}", "{node: n1, interfaceName: '*'}");
    check(
        &(star + &all),
        "red/web -> red/db tcp/1 = deny host:n1 ingress default gnp/pre 0 pre-dnat",
    );
}

#[test]
fn untracked_policies_need_rules_for_both_directions() {
    let raw = |types: &str, rules: &str| {
        gnp(
            "raw",
            &format!(
                "{{selector: has(host), doNotTrack: true, applyOnForward: true, types: {types}, {rules}}}"
            ),
        )
    };
    let asked = "ingress: [{action: Allow, protocol: UDP, destination: {ports: [7]}}]";
    let answered = "egress: [{action: Allow, protocol: UDP, source: {ports: [7]}}]";
    check(
        &(both() + &raw("[Ingress]", asked)),
        "203.0.113.1 -> host:n2 udp/7 = allow host:n2 ingress default gnp/raw 0 untracked
         203.0.113.1 -> host:n2 udp/8 = deny host:n2 ingress default
         host:n2 -> 203.0.113.1 udp/4000 from 7 = deny host:n2 egress default",
    );
    check(
        &(both() + &raw("[Ingress, Egress]", &format!("{asked}, {answered}"))),
        "203.0.113.1 -> host:n2 udp/7 = allow host:n2 ingress default gnp/raw 0 untracked
         host:n2 -> 203.0.113.1 udp/4000 from 7 = allow host:n2 egress default gnp/raw 0 untracked",
    );
    // Failsafes, and what answers them, are not its business; the star does not know it.
    let deny = raw(
        "[Ingress, Egress]",
        "ingress: [{action: Deny}], egress: [{action: Deny}]",
    );
    check(
        &(both() + &deny),
        "203.0.113.1 -> host:n1 tcp/22 = allow host:n1 ingress failsafe
         host:n1 -> 203.0.113.1 tcp/4000 from 22 = allow host:n1 egress pro/projectcalico-default-allow profile
         host:n1 -> 203.0.113.1 tcp/4000 from 23 = deny host:n1 egress default gnp/raw 0 untracked",
    );
    let star = hep(
        "star",
        "{host: star}",
        "{node: n2, interfaceName: '*', profiles: [projectcalico-default-allow]}",
    );
    check(
        &(star + &deny),
        "203.0.113.1 -> host:n2 tcp/1 = allow host:n2 ingress pro/projectcalico-default-allow profile",
    );
}

#[test]
fn a_policy_of_which_nobody_knows_the_chain_is_asked_in_all() {
    let spec = "{node: n2, interfaceName: eth0, profiles: [projectcalico-default-allow]}";
    let mut cluster = cluster(&hep("two", "{}", spec));
    let key = ObjectKey::cluster(Kind::GlobalNetworkPolicy, "p");
    let spec = json!({"doNotTrack": 7, "types": ["Egress"]});
    cluster.insert_stored(&key, &json!({"metadata": {"name": "p"}, "spec": spec}));
    let answer = ask(&cluster, "host:n2 -> blue/web tcp/1 original 10.96.0.1:1").unwrap();
    let expected = "deny host:n2 egress default gnp/p 0 untracked";
    assert_eq!(line(&answer), expected);
}

/// What a host sends to a service leaves elsewhere behind the translation, or not at all.
#[test]
fn untracked_policies_judge_where_a_host_would_send_a_packet_untranslated() {
    let raw = gnp(
        "raw",
        "{selector: has(host), doNotTrack: true, applyOnForward: true, types: [Egress], egress: [{action: Deny, protocol: TCP, destination: {ports: [80]}}]}",
    );
    let at = |name: &str, interface: &str| {
        let spec = format!(
            "{{node: n2, interfaceName: {interface}, profiles: [projectcalico-default-allow]}}"
        );
        hep(name, "{host: n2}", &spec)
    };
    check(
        &(at("first", "eth0") + &raw),
        "host:n2 -> 203.0.113.1 tcp/8080 original 10.96.0.1:80 first eth0 out eth1 = deny host:n2 egress default gnp/raw 0 untracked
         host:n2 -> 203.0.113.1 tcp/8080 original 10.96.0.1:80 first eth1 out eth1 = allow host:n2 egress
         host:n2 -> 203.0.113.1 tcp/8080 original 10.96.0.1:81 first eth0 out eth0 = allow host:n2 egress pro/projectcalico-default-allow profile
         host:n2 -> blue/web tcp/8080 original 10.96.0.1:80 first eth0 = deny host:n2 egress default gnp/raw 0 untracked
         host:n2 -> blue/web tcp/8080 original 10.96.0.1:80 = deny host:n2 egress default gnp/raw 0 untracked
         host:n2 -> host:n2 tcp/8080 original 10.96.0.1:80 = deny host:n2 egress default gnp/raw 0 untracked
         host:n2 -> blue/web tcp/80 = allow blue/web",
    );
}

#[test]
fn profiles_are_asked_in_order_behind_the_tiers() {
    let host = |profiles: &str| {
        hep(
            "two",
            "{}",
            &format!("{{node: n2, interfaceName: eth0, profiles: {profiles}}}"),
        )
    };
    let own = profile(
        "own",
        "{labelsToApply: {zone: a}, ingress: [{action: Log}, {action: Pass, protocol: UDP}, {action: Deny, protocol: SCTP}, {action: Allow, protocol: TCP}]}",
    );
    check(
        &(host("[own, projectcalico-default-allow]") + &own),
        "203.0.113.1 -> host:n2 tcp/1 = allow host:n2 ingress pro/own profile
         203.0.113.1 -> host:n2 udp/1 = deny host:n2 ingress pro/own profile
         203.0.113.1 -> host:n2 sctp/1 = deny host:n2 ingress pro/own profile
         203.0.113.1 -> host:n2 icmp/8 = allow host:n2 ingress pro/projectcalico-default-allow profile
         host:n2 -> 203.0.113.1 tcp/1 = allow host:n2 egress pro/projectcalico-default-allow profile",
    );
    check(
        &(host("[gone, projectcalico-default-allow]")),
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress pro/gone profile",
    );
    check(
        &(host("[own, kns.red]") + &own + &gnp("p", "{selector: zone == 'a', types: [Ingress]}")),
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress default end-of-tier <gnp/p",
    );
    check(
        &(host("[kns.red]") + &gnp("p", "{namespaceSelector: all(), types: [Ingress]}")),
        "203.0.113.1 -> host:n2 tcp/1 = allow host:n2 ingress pro/kns.red profile",
    );
    check(
        &(host("[kns.red]") + &gnp("p", "{selector: pcns.team == 'red', types: [Ingress]}")),
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress default end-of-tier <gnp/p",
    );
}

#[test]
fn a_workload_to_its_own_host_meets_what_the_node_does_with_it() {
    let action = |action: &str| {
        felix(
            "default",
            &format!("{{defaultEndpointToHostAction: {action}}}"),
        )
    };
    let host = hep("one", "{}", "{node: n1, interfaceName: '*'}");
    let deny = np("p", "{selector: app == 'db', types: [Egress]}");
    check(
        &(host.clone() + &deny),
        "red/web -> host:n1 tcp/22 = deny host:n1 ingress endpoint-to-host
         red/db -> host:n1 tcp/22 = deny red/db egress default end-of-tier <np/red/p",
    );
    for word in ["Accept", "return"] {
        check(
            &(host.clone() + &deny + &action(word)),
            "red/web -> host:n1 tcp/1 = allow host:n1 ingress endpoint-to-host
             red/db -> host:n1 tcp/22 = deny red/db egress default end-of-tier <np/red/p
             red/web -> red/host tcp/1 = allow host:n1 ingress endpoint-to-host",
        );
    }
}

#[test]
fn workloads_send_no_packets_that_hide_others() {
    check(
        "",
        "red/web -> blue/web udp/4789 = deny red/web egress encapsulated
         red/web -> blue/web 4/0 = deny red/web egress encapsulated
         blue/web -> red/web udp/4790 = allow
         203.0.113.1 -> red/web udp/4789 = allow",
    );
    let allowed = "{allowVXLANPacketsFromWorkloads: true, allowIPIPPacketsFromWorkloads: true}";
    check(
        &felix("node.n1", allowed),
        "red/web -> blue/web udp/4789 = allow
         red/web -> blue/web 4/0 = allow
         blue/web -> red/web udp/4789 = deny blue/web egress encapsulated",
    );
    check(
        &felix("default", "{vxlanPort: 8472}"),
        "red/web -> blue/web udp/8472 = deny red/web egress encapsulated
         red/web -> blue/web udp/4789 = allow",
    );
    // Of a port that cannot be read nobody knows which of the known ones it is.
    let others = felix("default", "{vxlanPort: 9000}") + &felix("node.n3", "{vxlanPort: 9003}");
    check(
        &(others + &felix("node.n1", "{vxlanPort: 70000}")),
        "red/web -> blue/web udp/4789 = deny red/web egress encapsulated
         red/web -> blue/web udp/9000 = deny red/web egress encapsulated
         red/web -> blue/web udp/9003 = deny red/web egress encapsulated
         red/web -> blue/web udp/9001 = allow
         blue/web -> red/web udp/9000 = deny blue/web egress encapsulated
         blue/web -> red/web udp/4789 = allow",
    );
}

#[test]
fn a_host_endpoint_that_cannot_be_understood_denies_wherever_it_may_be() {
    let broken = |spec: &str| hep("a", "{host: a}", spec);
    let allow = hep(
        "b",
        "{}",
        "{node: n2, interfaceName: eth0, profiles: [projectcalico-default-allow]}",
    );
    for spec in [
        "{node: n2, interfaceName: eth0, expectedIPs: [here]}",
        "{node: n2, interfaceName: 'eth*'}",
        "{node: n2}",
        "{interfaceName: eth0}",
        "{node: n2, expectedIPs: [172.16.0.2], profiles: ['No Name']}",
    ] {
        check(
            &(broken(spec) + &allow),
            "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress unreadable
             203.0.113.1 -> host:n2 tcp/22 = allow host:n2 ingress failsafe
             203.0.113.1 -> blue/web tcp/1 = deny host:n2 ingress unreadable
             host:n2 -> 203.0.113.1 tcp/1 = deny host:n2 egress unreadable",
        );
    }
    // What its untracked and preDNAT policies may have denied by the port that it was sent to.
    check(
        &broken("{node: n2, interfaceName: eth0, expectedIPs: [here]}"),
        "203.0.113.1 -> host:n2 tcp/22 original 172.16.0.2:30022 = deny host:n2 ingress unreadable untracked
         203.0.113.1 -> host:n2 tcp/9022 original 172.16.0.2:22 = deny host:n2 ingress unreadable
         host:n2 -> 203.0.113.1 tcp/6443 original 10.96.0.1:80 = deny host:n2 egress unreadable untracked
         host:n2 -> blue/web tcp/80 original 10.96.0.1:80 first eth0 = deny host:n2 egress unreadable untracked
         host:n2 -> blue/web tcp/80 = allow",
    );
    check(
        &hep(
            "a",
            "{host: a}",
            "{node: n1, interfaceName: '*', expectedIPs: [here]}",
        ),
        "red/web -> host:n1 tcp/8000 = deny host:n1 ingress unreadable pre-dnat
         red/web -> host:n1 tcp/22 = deny host:n1 ingress endpoint-to-host
         host:n1 -> red/web tcp/80 = allow",
    );
    check(
        &(broken("{node: n1, interfaceName: eth0, expectedIPs: [here]}") + &allow),
        "203.0.113.1 -> host:n2 tcp/1 = allow host:n2 ingress pro/projectcalico-default-allow profile",
    );
    // Its addresses may be anybody's.
    let deny = gnp(
        "p",
        "{selector: app == 'db', types: [Ingress], ingress: [{action: Deny, source: {selector: host == 'a'}}, {action: Allow}]}",
    );
    check(
        &(broken("{node: n3, interfaceName: eth0, expectedIPs: [here]}") + &deny),
        "203.0.113.1 -> red/db tcp/1 = deny red/db ingress default gnp/p 0",
    );
    let listed = "{node: n2, interfaceName: eth0, profiles: [own]}";
    check(
        &(hep("c", "{}", listed)
            + &profile(
                "own",
                "{labelsToApply: {'a b': c}, ingress: [{action: Allow}]}",
            )),
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress unreadable",
    );
    check(
        &(hep("c", "{}", listed)
            + &profile(
                "own",
                "{ingress: [{action: Allow, ipVersion: 5}], egress: [{action: Allow}]}",
            )),
        "203.0.113.1 -> host:n2 tcp/1 = deny host:n2 ingress pro/own profile
         host:n2 -> 203.0.113.1 tcp/1 = deny host:n2 egress pro/own profile",
    );
}

#[test]
fn the_whole_trace_shows_every_chain() {
    let policy = gnp(
        "p",
        "{applyOnForward: true, selector: has(host), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Deny}]}",
    );
    let answer = ask(&cluster(&(both() + &policy)), "red/web -> blue/web tcp/1").unwrap();
    let legs: Vec<String> = { answer.legs.iter() }
        .map(|leg| {
            let reached = if leg.reached { "" } else { " not reached" };
            let at = &leg.decided_by.at;
            format!(
                "{at} {} {} {}{reached}",
                leg.chain, leg.direction, leg.verdict
            )
        })
        .collect();
    assert_eq!(
        legs,
        [
            "red/web normal egress allow",
            "host:n1 forward egress deny",
            "host:n2 forward ingress allow not reached",
            "blue/web normal ingress allow not reached",
        ]
    );
}

#[test]
fn hosts_get_and_send_neighbour_discovery_whatever_policy_says() {
    let node = "\n---\n{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 'fd01::2'}]}}\n";
    let deny = gnp(
        "deny",
        "{selector: has(host), applyOnForward: true, doNotTrack: true, ingress: [{action: Deny}], egress: [{action: Deny}]}",
    );
    let cluster = cluster(&(both() + node + &deny));
    let evaluator = Evaluator::new(&cluster);
    let far = || Party::Address("2001:db8::1".parse().expect("an address"));
    let host = || Party::Node("n2".to_owned());
    for (source, destination, way) in [
        (far(), host(), Direction::Ingress),
        (host(), far(), Direction::Egress),
    ] {
        let said = |kind| {
            let answer = evaluator.decide(&Question {
                source: source.clone(),
                destination: destination.clone(),
                family: Family::V6,
                protocol: Protocol::ICMPV6,
                source_port: 0,
                destination_port: 0,
                icmp: Some(Icmp { kind, code: 0 }),
                way: Way::default(),
            });
            line(&answer.expect("both are there"))
        };
        for kind in [130, 132, 133, 136, 143] {
            assert_eq!(said(kind), format!("allow host:n2 {way} neighbour"));
        }
        for kind in [128, 129, 137, 144] {
            assert_eq!(
                said(kind),
                format!("deny host:n2 {way} default gnp/deny 0 untracked")
            );
        }
    }
}
