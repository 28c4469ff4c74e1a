//! §2.9: `ClusterNetworkPolicy`, its two tiers, and its rules that cannot be understood.

use super::{ask, check, cluster, gnp, kcnp, knp, np};

const DB: &str = "subject: {pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: db}}}}";

fn on_db(name: &str, tier: &str, priority: u16, rules: &str) -> String {
    kcnp(name, tier, &format!("priority: {priority}, {DB}, {rules}"))
}

const FROM_ALL: &str = "from: [{namespaces: {}}]";

#[test]
fn admin_comes_before_and_baseline_behind_the_policies_of_namespaces() {
    let rule = |action: &str, port: u16| {
        format!(
            "{{action: {action}, {FROM_ALL}, protocols: [{{tcp: {{destinationPort: {{number: {port}}}}}}}]}}"
        )
    };
    let admin = on_db(
        "admin",
        "Admin",
        5,
        &format!(
            "ingress: [{}, {}, {}]",
            rule("Accept", 1),
            rule("Deny", 2),
            rule("Pass", 3)
        ),
    );
    let baseline = on_db(
        "base",
        "Baseline",
        5,
        &format!("ingress: [{}, {}]", rule("Deny", 3), rule("Deny", 4)),
    );
    check(
        &(admin.clone() + &baseline),
        "red/web -> red/db tcp/1 = allow red/db ingress kube-admin kcnp/admin 0
         red/web -> red/db tcp/2 = deny red/db ingress kube-admin kcnp/admin 1
         red/web -> red/db tcp/3 = deny red/db ingress kube-baseline kcnp/base 0
         red/web -> red/db tcp/4 = deny red/db ingress kube-baseline kcnp/base 1
         red/web -> red/db tcp/5 = allow red/db ingress pro/kns.red profile
         red/web -> blue/db tcp/2 = allow blue/db ingress pro/kns.blue profile
         red/bare -> red/web tcp/2 = allow red/web ingress pro/kns.red profile",
    );
    // A policy of the namespace leaves nothing for the baseline.
    let own = "{podSelector: {}, ingress: [{ports: [{port: 3}]}]}";
    check(
        &(admin + &baseline + &knp("own", own)),
        "red/web -> red/db tcp/2 = deny red/db ingress kube-admin kcnp/admin 1
         red/web -> red/db tcp/3 = allow red/db ingress default knp/red/own 0
         red/web -> red/db tcp/4 = deny red/db ingress default end-of-tier <knp/red/own",
    );
}

#[test]
fn priority_then_name_order_the_policies_of_a_tier() {
    let one = |name: &str, priority: u16, action: &str| {
        let rules = format!("ingress: [{{action: {action}, {FROM_ALL}}}]");
        on_db(name, "Admin", priority, &rules)
    };
    check(
        &(one("a", 10, "Deny") + &one("z", 9, "Accept")),
        "red/web -> red/db tcp/1 = allow red/db ingress kube-admin kcnp/z 0",
    );
    check(
        &(one("a", 7, "Accept") + &one("b", 7, "Deny")),
        "red/web -> red/db tcp/1 = allow red/db ingress kube-admin kcnp/a 0",
    );
    // Beside a Calico policy of the tier: by the kind's name at last.
    let global = "{tier: kube-admin, order: 7, selector: app == 'db', types: [Ingress], ingress: [{action: Deny}]}";
    check(
        &(one("a", 7, "Accept") + &gnp("a", global)),
        "red/web -> red/db tcp/1 = deny red/db ingress kube-admin gnp/a 0",
    );
}

#[test]
fn only_directions_with_rules_are_governed_and_the_tier_ends_with_pass() {
    let out = on_db(
        "out",
        "Admin",
        1,
        "egress: [{action: Deny, to: [{networks: [203.0.113.0/24]}]}]",
    );
    check(
        &out,
        "red/db -> 203.0.113.1 tcp/1 = deny red/db egress kube-admin kcnp/out 0
         red/db -> blue/web tcp/1 = allow blue/web ingress pro/kns.blue profile
         red/web -> red/db tcp/1 = allow red/db ingress pro/kns.red profile",
    );
}

#[test]
fn peers_are_pods_of_namespaces_and_networks() {
    let rules = "ingress: [
        {action: Accept, from: [{pods: {namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}},
                                {namespaces: {matchLabels: {tier: gold}}}]},
        {action: Deny, from: [{namespaces: {}}]}],
      egress: [
        {action: Deny, to: [{networks: [10.0.1.0/24, 'fd00::1:0/112']}]},
        {action: Deny, to: [{namespaces: {matchExpressions: [{key: team, operator: NotIn, values: [blue]}]}}]}]";
    check(
        &on_db("p", "Admin", 1, rules),
        "blue/web -> red/db tcp/1 = allow red/db ingress kube-admin kcnp/p 0
         blue/db -> red/db tcp/1 = deny red/db ingress kube-admin kcnp/p 1
         red/web -> red/db tcp/1 = allow red/db ingress kube-admin kcnp/p 0
         203.0.113.1 -> red/db tcp/1 = allow red/db ingress pro/kns.red profile
         red/db -> blue/web tcp/1 = deny red/db egress kube-admin kcnp/p 0
         red/db -> blue/web tcp/1 v6 = deny red/db egress kube-admin kcnp/p 0
         red/db -> red/web tcp/1 = deny red/db egress kube-admin kcnp/p 1
         red/db -> 203.0.113.1 tcp/1 = allow red/db egress pro/kns.red profile",
    );
}

/// Every address in the status counts, whatever its type; pods with the labels of a node are none.
#[test]
fn peers_of_nodes_are_the_addresses_in_their_status() {
    let nodes = "---
{apiVersion: v1, kind: Node, metadata: {name: n3, labels: {app: web, zone: a}},
 status: {addresses: [{type: InternalIP, address: 198.51.100.3}, {type: ExternalDNS, address: 10.0.1.1.example}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n4, labels: {zone: b}}, status: {addresses: [{type: ExternalIP, address: 198.51.100.4}]}}
";
    let rules = "egress: [
        {action: Accept, to: [{nodes: {matchLabels: {zone: b}}}]},
        {action: Deny, to: [{nodes: {matchExpressions: [{key: app, operator: Exists}]}}, {nodes: {matchLabels: {zone: b}}}]}]";
    check(
        &format!("{}{nodes}", on_db("p", "Admin", 1, rules)),
        "red/db -> 198.51.100.3 tcp/1 = deny red/db egress kube-admin kcnp/p 1
         red/db -> 198.51.100.4 tcp/1 = allow red/db egress kube-admin kcnp/p 0
         red/db -> 198.51.100.9 tcp/1 = allow red/db egress pro/kns.red profile
         red/db -> blue/web tcp/1 = allow blue/web ingress pro/kns.blue profile",
    );
}

/// Selectors of endpoints and of namespaces never mean a node.
#[test]
fn nothing_but_a_peer_of_nodes_means_a_node() {
    let node = "---
{apiVersion: v1, kind: Node, metadata: {name: n3, labels: {app: web, pcns.team: red, projectcalico.org/orchestrator: k8s}},
 status: {addresses: [{type: InternalIP, address: 198.51.100.3}]}}
";
    for rule in [
        "{action: Deny, destination: {selector: all()}}",
        "{action: Deny, destination: {selector: app == 'web'}}",
        "{action: Deny, destination: {selector: '!has(foo)'}}",
        "{action: Deny, destination: {namespaceSelector: global()}}",
    ] {
        let spec = format!("{{types: [Egress], egress: [{rule}, {{action: Allow}}]}}");
        check(
            &format!("{}{node}", gnp("p", &spec)),
            "red/db -> 198.51.100.3 tcp/1 = allow red/db egress default gnp/p 1",
        );
    }
}

#[test]
fn networks_of_one_family_say_nothing_about_the_other() {
    let rules = "egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]";
    check(
        &on_db("p", "Admin", 1, rules),
        "red/db -> red/web tcp/1 = deny red/db egress kube-admin kcnp/p 0
         red/db -> red/web icmp/0 = deny red/db egress kube-admin kcnp/p 0
         red/db -> red/web tcp/1 v6 = allow red/web ingress pro/kns.red profile",
    );
}

#[test]
fn a_ports_name_is_of_any_protocol_and_of_the_peer() {
    let web = "priority: 1, subject: {namespaces: {}},";
    let rules = "ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{destinationNamedPort: http}, {destinationNamedPort: dns}]}]";
    check(
        &kcnp("p", "Admin", &format!("{web} {rules}")),
        "red/bare -> red/web tcp/80 = deny red/web ingress kube-admin kcnp/p 0
         red/bare -> red/web udp/53 = deny red/web ingress kube-admin kcnp/p 0
         red/bare -> red/web udp/80 = allow
         red/bare -> red/web tcp/53 = allow
         red/bare -> red/db tcp/80 = allow
         red/bare -> red/db tcp/8080 = deny red/db ingress kube-admin kcnp/p 0",
    );
    let rules = "egress: [{action: Deny, to: [{pods: {podSelector: {matchLabels: {app: web}}}}], protocols: [{destinationNamedPort: http}]}]";
    check(
        &kcnp("p", "Admin", &format!("{web} {rules}")),
        "red/bare -> red/web tcp/80 = deny red/bare egress kube-admin kcnp/p 0
         red/bare -> red/db tcp/8080 = allow",
    );
}

#[test]
fn ports_are_numbers_and_ranges_of_one_protocol() {
    let rules = "ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [
        {tcp: {destinationPort: {number: 80}}},
        {udp: {destinationPort: {range: {start: 10, end: 12}}}},
        {sctp: {destinationPort: {number: 5}}}]}]";
    let deny = "deny red/db ingress kube-admin kcnp/p 0";
    check(
        &on_db("p", "Admin", 1, rules),
        &format!(
            "red/web -> red/db tcp/80 = {deny}
             red/web -> red/db udp/80 = allow
             red/web -> red/db udp/9 = allow
             red/web -> red/db udp/10 = {deny}
             red/web -> red/db udp/12 = {deny}
             red/web -> red/db udp/13 = allow
             red/web -> red/db sctp/5 = {deny}
             red/web -> red/db icmp/0 = allow"
        ),
    );
}

/// `Accept` that cannot be understood matches nothing, `Deny` and `Pass` deny everything; the rules beside
/// it hold as written.
#[test]
fn a_rule_that_cannot_be_understood_fails_closed() {
    for broken in [
        "to: [{nodes: {}, networks: [10.0.0.0/8]}]",
        "to: [{domainNames: ['*.example.com']}]",
        "to: []",
        "to: [{}]",
        "to: [{networks: [nonsense]}]",
        "to: [{networks: []}]",
        "to: [{namespaces: {}, networks: [10.0.0.0/8]}]",
        "to: [{namespaces: {matchExpressions: [{key: x, operator: In}]}}]",
        "to: [{namespaces: {}}], protocols: []",
        "to: [{namespaces: {}}], protocols: [{}]",
        "to: [{namespaces: {}}], protocols: [{tcp: {}}]",
        "to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 0}}}]",
        "to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]",
    ] {
        let policy = |action: &str| {
            let first = "{action: Accept, to: [{networks: [10.0.0.0/8]}], protocols: [{udp: {destinationPort: {number: 1}}}]}";
            let last = "{action: Deny, to: [{networks: [0.0.0.0/0]}], protocols: [{tcp: {destinationPort: {number: 2}}}]}";
            let rules = format!("egress: [{first}, {{action: {action}, {broken}}}, {last}]");
            on_db("p", "Admin", 1, &rules)
        };
        check(
            &policy("Accept"),
            "red/db -> red/web udp/1 = allow red/web ingress pro/kns.red profile
             red/db -> red/web tcp/2 = deny red/db egress kube-admin kcnp/p 2
             red/db -> red/web tcp/1 = allow red/web ingress pro/kns.red profile",
        );
        for action in ["Deny", "Pass"] {
            check(
                &policy(action),
                "red/db -> red/web udp/1 = allow red/web ingress pro/kns.red profile
                 red/db -> red/web tcp/2 = deny red/db egress kube-admin kcnp/p 1
                 red/db -> red/web tcp/1 = deny red/db egress kube-admin kcnp/p 1
                 red/web -> red/bare tcp/1 = allow",
            );
        }
        let answer = ask(&cluster(&policy("Deny")), "red/db -> red/web tcp/1");
        let problem = &answer.unwrap().legs[0].tiers[0].policies[0].problem;
        assert!(
            problem.as_deref().unwrap().contains("spec.egress[1]"),
            "{problem:?}"
        );
    }
}

#[test]
fn a_policy_that_cannot_be_understood_denies_whatever_it_may_select() {
    let rules = "ingress: [{action: Accept, from: [{namespaces: {}}]}]";
    // Its priority is a fault, its subject is not.
    check(
        &on_db("p", "Admin", 1001, rules),
        "red/web -> red/db tcp/1 = deny red/db ingress kube-admin kcnp/p 0
         red/web -> blue/db tcp/1 = allow
         red/db -> 203.0.113.1 tcp/1 = allow",
    );
    for subject in ["{}", "{namespaces: {}, pods: {podSelector: {}}}"] {
        check(
            &kcnp(
                "p",
                "Admin",
                &format!("priority: 1, subject: {subject}, {rules}"),
            ),
            "red/web -> blue/db tcp/1 = deny blue/db ingress kube-admin kcnp/p 0
             red/db -> 203.0.113.1 tcp/1 = allow",
        );
    }
    // The tiers before it still decide.
    let before = "{tier: kube-admin, order: 0, types: [Ingress], ingress: [{action: Allow}]}";
    check(
        &(on_db("p", "Baseline", 1001, rules) + &np("before", before)),
        "red/web -> red/db tcp/1 = allow red/db ingress kube-admin np/red/before 0",
    );
}
