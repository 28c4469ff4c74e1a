//! Fail closed: what cannot be read never lets more through. The API refuses all of this earlier.

use oncilla_api::{Kind, ObjectKey};
use oncilla_net::Verdict;
use serde_json::{Value, json};

use super::{ask, check, cluster, gnp, gns, knp, line, np, tier};
use crate::Cluster;

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
        "icmp: {type: 8}",
        "protocol: TCP, icmp: {type: 8}",
        "protocol: ICMP, icmp: {code: 1}",
        "protocol: ICMP, icmp: {type: 255}",
        "protocol: ICMPv6, notICMP: {type: 1, code: 256}",
        "notProtocol: ICMP, notICMP: {type: 8}",
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
    for broken in ["http: {methods: [GET]}", "http: {}"] {
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
fn a_tier_that_is_refused_keeps_its_place_and_ends_with_deny() {
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
fn a_network_set_that_is_refused_keeps_what_can_be_read_and_may_hold_any_address() {
    let rules = |rules: &str| {
        gnp(
            "p",
            &format!("{{selector: app == 'db', ingress: [{rules}]}}"),
        )
    };
    let set = gns("g", "{zone: x}", "[203.0.113.0/24, nonsense]");
    check(
        &(rules("{action: Allow, source: {selector: has(zone)}}") + &set),
        "203.0.113.1 -> red/db tcp/1 = allow red/db ingress default gnp/p 0
         198.51.100.1 -> red/db tcp/1 = deny red/db ingress default end-of-tier",
    );
    check(
        &(rules("{action: Deny, protocol: TCP, source: {selector: has(zone)}}, {action: Allow}")
            + &set),
        "203.0.113.1 -> red/db tcp/1 = deny red/db ingress default gnp/p 0
         198.51.100.1 -> red/db tcp/1 = deny red/db ingress default gnp/p 0
         198.51.100.1 -> red/db udp/1 = allow red/db ingress default gnp/p 1",
    );
    check(
        &(rules("{action: Allow, source: {notSelector: has(zone)}}") + &set),
        "198.51.100.1 -> red/db tcp/1 = deny red/db ingress default end-of-tier",
    );
    check(
        &(rules("{action: Pass, source: {selector: has(zone)}}") + &set),
        "203.0.113.1 -> red/db tcp/1 = allow red/db ingress pro/kns.red
         198.51.100.1 -> red/db tcp/1 = deny red/db ingress default gnp/p 0",
    );
    let other = rules("{action: Deny, source: {selector: zone == 'y'}}, {action: Allow}");
    check(&(other + &set), "198.51.100.1 -> red/db tcp/1 = allow");
}

#[test]
fn the_trace_names_the_broken_set_and_the_broken_tier() {
    let problem_of = |manifests: &str| {
        let answer = ask(&cluster(manifests), "198.51.100.1 -> red/db tcp/1").unwrap();
        let problem = answer.legs[0].tiers[0].policies[0].problem.clone();
        problem.expect("a problem")
    };
    let policy = gnp(
        "p",
        "{tier: odd, ingress: [{action: Deny, source: {selector: has(zone)}}]}",
    );
    let set = gns("g", "{zone: x}", "[nonsense]");
    let problem = problem_of(&(policy.clone() + &set));
    assert!(
        problem.starts_with("GlobalNetworkSet g cannot be understood (spec.nets[0]: "),
        "{problem}"
    );
    let mut cluster = cluster(&policy);
    let tier = json!({"metadata": {"name": "odd"}, "spec": {"order": "first"}});
    cluster.insert_stored(&ObjectKey::cluster(Kind::Tier, "odd"), &tier);
    let answer = ask(&cluster, "198.51.100.1 -> red/db tcp/1").unwrap();
    let problem = answer.legs[0].tiers[0].policies[0].problem.as_deref();
    assert_eq!(
        problem,
        Some("the order of Tier odd cannot be read, so Allow goes on to the others")
    );
}

/// The key of an object, of the namespace `red` when its kind has namespaces.
fn key_of(kind: Kind, name: &str) -> ObjectKey {
    if kind.namespaced() {
        ObjectKey::namespaced(kind, "red", name)
    } else {
        ObjectKey::cluster(kind, name)
    }
}

/// Adds what a store holds although nobody can decode it.
fn with_stored(manifests: &str, kind: Kind, name: &str, value: &Value) -> Cluster {
    let mut cluster = cluster(manifests);
    let key = key_of(kind, name);
    cluster.insert_stored(&key, value);
    assert_eq!(cluster.object(&key), None, "{value} can be decoded");
    cluster
}

#[test]
fn a_policy_that_does_not_decode_denies_at_its_place_or_before_all() {
    let early =
        tier("early", "{order: 1}") + &gnp("a", "{tier: early, ingress: [{action: Allow}]}");
    let decided = |value: Value| {
        let cluster = with_stored(&early, Kind::NetworkPolicy, "b", &value);
        line(&ask(&cluster, "blue/web -> red/db tcp/1").unwrap())
    };
    assert_eq!(
        decided(json!({"spec": {"ingress": 7}})),
        "allow red/db ingress early gnp/a 0",
        "the tier default is later"
    );
    for value in [
        json!({"spec": {"tier": 7}}),
        json!({"spec": {"teir": "early"}}),
        json!({"sepc": {"tier": "early"}}),
        json!([]),
    ] {
        assert_eq!(
            decided(value),
            "deny red/db ingress oncilla.unreadable np/red/b 0"
        );
    }
    for spec in [
        json!({"tier": "early", "order": "1"}),
        json!({"tier": "early", "odrer": 1}),
    ] {
        assert_eq!(
            decided(json!({"spec": spec})),
            "deny red/db ingress early np/red/b 0"
        );
    }
    let egress = json!({"spec": {"tier": 7, "types": ["Egress"], "selector": "app == 'web'"}});
    assert_eq!(decided(egress), "allow red/db ingress early gnp/a 0");
}

/// Everybody to everybody.
fn questions() -> Vec<String> {
    let ends = [
        "red/web",
        "red/db",
        "red/bare",
        "blue/web",
        "blue/db",
        "203.0.113.1",
        "198.51.100.1",
    ];
    let mut questions = Vec::new();
    for source in ends {
        for destination in ends.into_iter().filter(|end| *end != source) {
            for port in ["tcp/1", "udp/1"] {
                questions.push(format!("{source} -> {destination} {port}"));
            }
        }
    }
    questions
}

fn is_allowed(cluster: &Cluster, question: &str) -> bool {
    ask(cluster, question).unwrap().verdict == Verdict::Allow
}

/// Whatever the author of the broken object meant, nothing is allowed that would be denied then.
fn check_never_wider(manifests: &str, (kind, name): (Kind, &str), broken: &Value, meant: &[Value]) {
    let broken = with_stored(manifests, kind, name, broken);
    let key = key_of(kind, name);
    let mut differences = 0;
    for value in meant {
        let mut mended = broken.clone();
        mended.insert_stored(&key, value);
        assert!(mended.object(&key).is_some(), "{value}");
        for question in questions() {
            let (closed, open) = (
                is_allowed(&broken, &question),
                is_allowed(&mended, &question),
            );
            assert!(
                open || !closed,
                "{question} is allowed, with {value} it is not"
            );
            differences += usize::from(open != closed);
        }
    }
    assert!(differences > 0, "it was not closed at all");
}

#[test]
fn a_broken_set_never_widens_access() {
    for rules in [
        "{action: Deny, source: {selector: zone == 'x'}}, {action: Allow}",
        "{action: Allow, source: {selector: zone == 'x'}}, {action: Deny}",
        "{action: Allow, source: {selector: app == 'web' || zone == 'x', notSelector: app == 'db'}}",
        "{action: Allow, source: {notSelector: zone == 'x'}}",
        "{action: Deny, source: {notSelector: zone == 'x'}}, {action: Allow}",
        "{action: Pass, source: {selector: zone == 'x'}}, {action: Allow, protocol: UDP}",
        "{action: Pass, source: {notSelector: zone == 'x'}}, {action: Allow, protocol: UDP}",
        "{action: Log, source: {selector: zone == 'x'}}, {action: Deny, protocol: UDP, source: {selector: '!has(app)', namespaceSelector: global()}}, {action: Allow}",
    ] {
        let policy = gnp("p", &format!("{{types: [Ingress], ingress: [{rules}]}}"));
        let last = gnp(
            "q",
            "{tier: late, types: [Ingress], ingress: [{action: Allow, source: {selector: app == 'web'}}]}",
        );
        let manifests = policy + &tier("late", "{order: 2000000}") + &last;
        let value = |labels: &Value, nets: &[&str]| json!({"metadata": {"name": "g", "labels": labels}, "spec": {"nets": nets}});
        let labels = json!({"zone": "x"});
        let meant: Vec<Value> = [
            &["203.0.113.0/24", "198.51.100.0/24"][..],
            &["203.0.113.0/24", "10.0.0.0/16"],
            &["203.0.113.0/24"],
            &["203.0.113.0/24", "0.0.0.0/0"],
        ]
        .map(|nets| value(&labels, nets))
        .into();
        let mut broken = value(&labels, &["203.0.113.0/24"]);
        broken["spec"]["nets"] = json!(["203.0.113.0/24", 7]);
        check_never_wider(&manifests, (Kind::GlobalNetworkSet, "g"), &broken, &meant);
        let mut broken = value(&labels, &["203.0.113.0/24"]);
        broken["metadata"]["labels"]["app"] = json!(7);
        check_never_wider(&manifests, (Kind::GlobalNetworkSet, "g"), &broken, &meant);
    }
}

#[test]
fn a_broken_tier_never_widens_access() {
    let other = "{tier: other, types: [Ingress], ingress: [{action: Deny, protocol: UDP, source: {selector: app == 'web'}}, {action: Allow, source: {selector: app == 'db'}}, {action: Pass}]}";
    let odd = "{tier: odd, types: [Ingress], selector: app == 'db' || app == 'web', ingress: [{action: Allow, protocol: UDP, source: {selector: app == 'web'}}, {action: Deny, source: {selector: app == 'db'}}]}";
    let manifests = tier("other", "{order: 10}") + &gnp("o", other) + &gnp("p", odd);
    let value = |spec: Value| json!({"metadata": {"name": "odd"}, "spec": spec});
    let meant = [
        json!({"order": 1}),
        json!({"order": 1, "defaultAction": "Pass"}),
        json!({"order": 100}),
        json!({"order": 100, "defaultAction": "Pass"}),
        json!({"order": 9e9, "defaultAction": "Pass"}),
    ]
    .map(value);
    let broken = value(json!({"order": "1"}));
    check_never_wider(&manifests, (Kind::Tier, "odd"), &broken, &meant);
    let broken = value(json!({"order": 1, "defaultAction": "Perhaps"}));
    check_never_wider(&manifests, (Kind::Tier, "odd"), &broken, &meant[..2]);
}

#[test]
fn a_broken_policy_never_widens_access() {
    let early = tier("early", "{order: 1}")
        + &gnp(
            "a",
            "{tier: early, order: 1, types: [Ingress], ingress: [{action: Allow, protocol: UDP}, {action: Pass}]}",
        );
    let value = |spec: Value| json!({"metadata": {"name": "p"}, "spec": spec});
    let spec = |tier: &str, order: i64, selector: &str| {
        let rules = [
            json!({"action": "Deny", "protocol": "UDP"}),
            json!({"action": "Allow"}),
        ];
        value(json!({"tier": tier, "order": order, "selector": selector, "ingress": rules}))
    };
    let meant = [
        spec("early", 0, "app == 'db'"),
        spec("early", 2, "app == 'db'"),
        spec("default", 2, "app == 'db'"),
    ];
    let mut broken = [
        meant[0].clone(),
        meant[0].clone(),
        meant[0].clone(),
        json!("nothing"),
    ];
    broken[0]["spec"]["tier"] = json!(["early"]);
    broken[1]["spec"]["selector"] = json!({"app": "db"});
    broken[2]["spec"]["order"] = json!("0");
    check_never_wider(&early, (Kind::GlobalNetworkPolicy, "p"), &broken[0], &meant);
    check_never_wider(
        &early,
        (Kind::GlobalNetworkPolicy, "p"),
        &broken[1],
        &meant[..1],
    );
    check_never_wider(
        &early,
        (Kind::GlobalNetworkPolicy, "p"),
        &broken[2],
        &meant[..2],
    );
    check_never_wider(&early, (Kind::GlobalNetworkPolicy, "p"), &broken[3], &meant);
}

/// A pod with the address 203.0.113.1 that nobody but policies for `app == 'db'` police.
#[test]
fn a_broken_pod_never_widens_access() {
    let labels = json!({"zone": "x"});
    let value = |labels: &Value, addresses: &[&str]| {
        let addresses: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let ports = json!([{"name": "odd", "containerPort": 1}]);
        json!({"metadata": {"name": "evil", "namespace": "red", "labels": labels},
            "spec": {"nodeName": "n2", "serviceAccountName": "robot", "containers": [{"name": "c", "ports": ports}]},
            "status": {"podIPs": addresses}})
    };
    for rules in [
        "{action: Deny, source: {selector: zone == 'x'}}, {action: Allow}",
        "{action: Allow, source: {notSelector: zone == 'x'}}",
        "{action: Pass, source: {selector: zone == 'x'}}",
        "{action: Deny, source: {namespaceSelector: team == 'red', notSelector: app == 'web'}}, {action: Allow}",
        "{action: Deny, source: {serviceAccounts: {selector: trust == 'high'}, notSelector: app == 'db'}}, {action: Allow}",
        "{action: Deny, source: {serviceAccounts: {names: [robot]}, notSelector: app == 'db'}}, {action: Allow}",
        "{action: Deny, protocol: TCP, source: {ports: [odd]}}, {action: Allow}",
        "{action: Allow, protocol: TCP, source: {notPorts: [odd]}}",
    ] {
        let policy = gnp(
            "p",
            &format!("{{selector: app == 'db', types: [Ingress], ingress: [{rules}]}}"),
        );
        let meant = [
            value(&labels, &["203.0.113.1"]),
            value(&labels, &["198.51.100.1"]),
            value(&json!({}), &["203.0.113.1"]),
        ];
        let mut broken = value(&labels, &["203.0.113.1"]);
        broken["spec"]["serviceAccountName"] = json!(7);
        check_never_wider(&policy, (Kind::Pod, "evil"), &broken, &meant);
        let mut broken = value(&labels, &["203.0.113.1"]);
        broken["metadata"]["labels"]["app"] = json!(7);
        check_never_wider(&policy, (Kind::Pod, "evil"), &broken, &meant);
    }
    let policy = gnp(
        "p",
        "{selector: app == 'db', types: [Egress], egress: [{action: Deny, protocol: TCP, destination: {ports: [odd]}}, {action: Allow}]}",
    );
    let mut broken = value(&labels, &[]);
    broken["status"]["podIPs"] = json!("203.0.113.1");
    let meant = [value(&labels, &["203.0.113.1"])];
    check_never_wider(&policy, (Kind::Pod, "evil"), &broken, &meant);
}

/// A host's address is known, and what cannot be read of its labels is not known to be missing.
#[test]
fn a_broken_host_endpoint_never_widens_access() {
    let value = |labels: &Value, profiles: &Value| {
        json!({"metadata": {"name": "evil", "labels": labels},
            "spec": {"node": "n2", "interfaceName": "eth0", "expectedIPs": ["203.0.113.1"], "profiles": profiles}})
    };
    let zone = json!({"zone": "x"});
    let none = json!([]);
    for rules in [
        "{action: Allow, source: {selector: '!has(zone)'}}",
        "{action: Allow, source: {notSelector: has(zone)}}",
        "{action: Deny, source: {selector: has(zone)}}, {action: Allow}",
    ] {
        let spec = format!("{{selector: app == 'db', types: [Ingress], ingress: [{rules}]}}");
        let policy = gnp("p", &spec);
        let meant = [value(&zone, &none)];
        let broken = value(&json!({"zone": 7}), &none);
        check_never_wider(&policy, (Kind::HostEndpoint, "evil"), &broken, &meant);
        let broken = value(&zone, &json!(7));
        check_never_wider(&policy, (Kind::HostEndpoint, "evil"), &broken, &meant);
    }
}

/// What is known of a broken pod is asked: its namespace, its account, and the labels of both.
#[test]
fn rules_that_cannot_mean_a_broken_pod_do_as_they_did() {
    let broken = json!({"metadata": {"name": "evil", "labels": {"zone": "x"}},
        "spec": {"nodeName": "n2", "serviceAccountName": "robot"}, "status": {"podIPs": 7}});
    let decided = |rule: &str, value: &Value| {
        let rules = format!("{{action: Deny, source: {{{rule}}}}}, {{action: Allow}}");
        let policy = gnp(
            "p",
            &format!("{{selector: app == 'db', types: [Ingress], ingress: [{rules}]}}"),
        );
        let cluster = with_stored(&policy, Kind::Pod, "evil", value);
        ask(&cluster, "203.0.113.1 -> red/db tcp/1")
            .unwrap()
            .verdict
    };
    for (rule, verdict) in [
        ("selector: zone == 'y'", Verdict::Allow),
        ("selector: zone == 'x'", Verdict::Deny),
        ("namespaceSelector: team == 'blue'", Verdict::Allow),
        ("namespaceSelector: team == 'red'", Verdict::Deny),
        ("serviceAccounts: {names: [other]}", Verdict::Allow),
        (
            "serviceAccounts: {selector: trust == 'low'}",
            Verdict::Allow,
        ),
        (
            "serviceAccounts: {selector: trust == 'high'}",
            Verdict::Deny,
        ),
        (
            "selector: zone == 'x', namespaceSelector: global()",
            Verdict::Allow,
        ),
    ] {
        assert_eq!(decided(rule, &broken), verdict, "{rule}");
    }
    for (field, value) in [("hostNetwork", json!(true)), ("nodeName", json!(""))] {
        let mut nobody = broken.clone();
        nobody["spec"][field] = value;
        assert_eq!(
            decided("selector: zone == 'x'", &nobody),
            Verdict::Allow,
            "{field}"
        );
    }
}

#[test]
fn a_broken_namespace_or_account_never_widens_access() {
    for rules in [
        "{action: Deny, source: {namespaceSelector: team == 'red'}}, {action: Allow}",
        "{action: Deny, source: {notSelector: '!has(pcns.team)', namespaceSelector: all()}}, {action: Allow}",
        "{action: Allow, source: {namespaceSelector: '!has(tier)'}}",
        "{action: Allow, source: {notSelector: has(pcns.tier)}}",
        "{action: Pass, source: {namespaceSelector: tier == 'gold', selector: app == 'web'}}, {action: Allow}",
        "{action: Deny, source: {serviceAccounts: {selector: trust == 'high'}}}, {action: Allow}",
        "{action: Allow, source: {serviceAccounts: {selector: '!has(trust)'}}}",
    ] {
        let policy = gnp("p", &format!("{{types: [Ingress], ingress: [{rules}]}}"));
        let value = |labels: Value| json!({"metadata": {"name": "red", "labels": labels}});
        let meant = [
            value(json!({"team": "red", "tier": "gold"})),
            value(json!({})),
        ];
        let broken = value(json!({"team": 7}));
        check_never_wider(&policy, (Kind::Namespace, "red"), &broken, &meant);
        let value = |labels: Value| json!({"metadata": {"name": "robot", "namespace": "red", "labels": labels}});
        let meant = [value(json!({"trust": "high"})), value(json!({}))];
        let broken = value(json!(["trust"]));
        check_never_wider(&policy, (Kind::ServiceAccount, "robot"), &broken, &meant);
    }
}

#[test]
fn pods_that_inherit_what_cannot_be_read_are_closed() {
    let broken = json!({"metadata": {"name": "red", "labels": 7}});
    let cluster = with_stored("", Kind::Namespace, "red", &broken);
    for question in [
        "red/web -> blue/db tcp/1",
        "blue/db -> red/web tcp/1",
        "203.0.113.1 -> red/bare tcp/1",
    ] {
        let answer = ask(&cluster, question).unwrap();
        assert_eq!(answer.verdict, Verdict::Deny, "{question}");
        assert_eq!(answer.decided_by.rule, crate::DecidedRule::Unreadable);
    }
    assert!(is_allowed(&cluster, "blue/web -> blue/db tcp/1"));
    // All that matters of it can be read.
    let broken = json!({"metadata": {"name": "red", "annotations": 7}});
    let cluster = with_stored("", Kind::Namespace, "red", &broken);
    assert!(is_allowed(&cluster, "red/web -> blue/db tcp/1"));
}
