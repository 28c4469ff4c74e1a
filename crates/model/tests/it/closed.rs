//! Objects that cannot be understood: what goes in force instead.

use std::sync::Arc;

use oncilla_api::{Kind, Object, ObjectKey, Remains};
use oncilla_model::{
    Action, Change, Closed, Converter, Doubt, Doubts, FIRST_TIER, Order, Policy, Rule, Tier,
    TierEnd,
};
use serde_json::{Value, json};

fn closed(key: &ObjectKey, value: &Value) -> Closed {
    let remains = Remains::new(key.kind, value, &[]);
    assert!(!remains.errors().is_empty(), "{value} is valid");
    Converter::default().closed(key, &remains)
}

fn key(kind: Kind) -> ObjectKey {
    let namespace = kind.namespaced().then(|| "shop".to_owned());
    ObjectKey {
        kind,
        namespace,
        name: "x".to_owned(),
    }
}

/// The stand-in of a policy with this specification.
fn policy(kind: Kind, spec: &Value) -> Arc<Policy> {
    let metadata = json!({"name": "x", "namespace": key(kind).namespace});
    let closed = closed(&key(kind), &json!({"metadata": metadata, "spec": spec}));
    assert_eq!(closed.doubt, None);
    let Some(Change::Policy(_, Some(policy))) = closed.changes.last() else {
        panic!("{closed:?}");
    };
    for rules in [&policy.ingress, &policy.egress].into_iter().flatten() {
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].action, Action::Deny);
    }
    Arc::clone(policy)
}

/// Tier, order, selector and directions.
fn told(policy: &Policy) -> String {
    let mut told = format!(
        "{} {} {}",
        policy.tier,
        policy.order.value(),
        policy.selector
    );
    for (rules, name) in [(&policy.ingress, "in"), (&policy.egress, "out")] {
        if rules.is_some() {
            told = format!("{told} {name}");
        }
    }
    told
}

#[test]
fn a_policy_denies_what_it_selects_at_its_place() {
    const SHOP: &str = r#"projectcalico.org/namespace == "shop""#;
    let bad_rule = json!([{"action": "Allow", "destination": {"nets": ["nonsense"]}}]);
    for (spec, expected) in [
        (
            json!({"tier": "security", "order": 7, "selector": "app == 'web'", "egress": bad_rule}),
            format!(r#"security 7 (app == "web" && {SHOP}) out"#),
        ),
        (
            json!({"tier": "security", "selector": "app ==", "ingress": [{"action": "Allow"}]}),
            format!("security inf {SHOP} in"),
        ),
        (
            json!({"tier": "security", "order": "7", "types": ["Egress"]}),
            format!("security -inf {SHOP} out"),
        ),
        (
            json!({"tier": 7, "order": 7, "types": ["Egress"]}),
            format!("{FIRST_TIER} 7 {SHOP} out"),
        ),
        (
            json!({"teir": "security", "order": 7, "types": ["Egress"], "selector": "a == 'b'"}),
            format!("{FIRST_TIER} 7 {SHOP} out"),
        ),
        (
            json!({"tier": "default", "order": 7, "ingress": 7}),
            format!("default 7 {SHOP} in out"),
        ),
        (
            json!({"tier": "default", "order": 7, "types": ["Ingress", 7]}),
            format!("default 7 {SHOP} in out"),
        ),
    ] {
        assert_eq!(told(&policy(Kind::NetworkPolicy, &spec)), expected);
    }
}

#[test]
fn what_cannot_be_read_of_other_policies_is_closed_too() {
    let kubernetes = json!({"podSelector": {"matchExpressions": [
        {"key": "app", "operator": "In", "values": ["a", 7]}]}, "policyTypes": ["Ingress"]});
    assert_eq!(
        told(&policy(Kind::KubernetesNetworkPolicy, &kubernetes)),
        r#"default 1000 projectcalico.org/namespace == "shop" in"#
    );
    let kubernetes = json!({"podSelector": {}, "ingress": [7]});
    assert_eq!(
        told(&policy(Kind::KubernetesNetworkPolicy, &kubernetes)),
        r#"default 1000 (projectcalico.org/orchestrator == "k8s" && projectcalico.org/namespace == "shop") in"#
    );
    let kubernetes = json!({"podSelector": {}, "egress": [7]});
    let both = policy(Kind::KubernetesNetworkPolicy, &kubernetes);
    assert!(both.ingress.is_some() && both.egress.is_some());
    for spec in [json!(7), json!({"namespaceSelector": 7, "tier": []})] {
        let policy = policy(Kind::GlobalNetworkPolicy, &spec);
        assert!(told(&policy).starts_with(FIRST_TIER), "{policy:?}");
        assert_eq!(policy.selector.to_string(), "all()");
    }
}

#[test]
fn the_tier_of_unknown_tiers_is_before_all_others() {
    let key = key(Kind::GlobalNetworkPolicy);
    let closed = closed(&key, &json!([]));
    let [
        Change::Tier(name, Some(tier)),
        Change::Policy(_, Some(policy)),
    ] = &closed.changes[..]
    else {
        panic!("{closed:?}");
    };
    assert_eq!((&policy.tier, &*name.0), (name, FIRST_TIER));
    assert_eq!(tier.order, Order::new(Some(f64::NEG_INFINITY)));
    let mut object = Object::decode(Kind::Tier, json!({"metadata": {"name": FIRST_TIER}})).unwrap();
    object.default_fields();
    assert!(!object.validate().is_empty(), "nobody can claim its name");
}

/// The stand-in of a tier, and whether its place is doubtful.
fn tier(name: &str, spec: &Value) -> (Tier, bool) {
    let key = ObjectKey::cluster(Kind::Tier, name);
    let closed = closed(&key, &json!({"metadata": {"name": name}, "spec": spec}));
    match &closed.changes[..] {
        [Change::Tier(_, Some(tier))] => (Tier::clone(tier), closed.doubt.is_some()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tier_keeps_what_is_known_of_its_place_and_ends_with_deny() {
    let (found, is_doubtful) = tier("t", &json!({"order": 7, "defaultAction": "Perhaps"}));
    assert_eq!(
        (found.order, found.end),
        (Order::new(Some(7.0)), TierEnd::Deny)
    );
    assert!(!is_doubtful);
    let (found, is_doubtful) = tier("t", &json!({"defaultAction": "Perhaps"}));
    assert_eq!((found.order, is_doubtful), (Order::new(Some(1e6)), false));
    for spec in [
        json!({"order": "7", "defaultAction": "Pass"}),
        json!({"odrer": 7, "defaultAction": "Pass"}),
        json!(7),
    ] {
        let (found, is_doubtful) = tier("t", &spec);
        assert_eq!(found.order, Order::new(Some(f64::NEG_INFINITY)));
        assert_eq!((found.end, is_doubtful), (TierEnd::Deny, true));
    }
    let (found, is_doubtful) = tier("kube-admin", &json!(7));
    assert_eq!(
        (found.order, found.end),
        (Order::new(Some(1000.0)), TierEnd::Pass)
    );
    assert!(!is_doubtful, "nothing can move it");
}

/// The policy of these ingress rules, read while a set or tier is broken.
fn read(rules: &Value, broken: &ObjectKey, value: &Value) -> Vec<Rule> {
    let object = json!({"metadata": {"name": "p"}, "spec": {"tier": "x", "ingress": rules}});
    let mut object = Object::decode(Kind::GlobalNetworkPolicy, object).unwrap();
    object.default_fields();
    let changes = Converter::default().convert(&object).unwrap();
    let Some(Change::Policy(_, Some(policy))) = changes.first() else {
        panic!("{changes:?}");
    };
    let mut doubts = Doubts::default();
    assert!(doubts.put(broken, closed(broken, value).doubt));
    let read = doubts.read(policy);
    assert!(doubts.put(broken, None) && !doubts.put(broken, None));
    assert_eq!(doubts.read(policy), *policy);
    read.ingress.clone().unwrap().to_vec()
}

/// `Deny Selector…`: the action and what is asked of the source.
fn brief(rules: &[Rule]) -> Vec<String> {
    let brief = |rule: &Rule| {
        let mut text = format!("{:?} {}", rule.action, rule.index);
        for each in &rule.source.all {
            text = format!("{text} {each}");
        }
        for each in &rule.source.none {
            text = format!("{text} not {each}");
        }
        text
    };
    rules.iter().map(brief).collect()
}

fn set(labels: &Value) -> Value {
    json!({"metadata": {"name": "x", "labels": labels}, "spec": {"nets": ["10.0.0.0/8", "no"]}})
}

#[test]
fn rules_that_may_mean_a_broken_set_match_their_bounds() {
    let rules = json!([
        {"action": "Allow", "source": {"selector": "zone == 'a'"}},
        {"action": "Allow", "source": {"notSelector": "zone == 'a'"}},
        {"action": "Deny", "source": {"selector": "zone == 'a'", "nets": ["10.0.0.0/8"]}},
        {"action": "Deny", "source": {"notSelector": "zone == 'a'"}},
        {"action": "Pass", "source": {"selector": "zone == 'a'"}},
        {"action": "Pass", "source": {"notSelector": "zone == 'a'"}},
        {"action": "Deny", "source": {"selector": "zone == 'b'"}},
    ]);
    let key = key(Kind::GlobalNetworkSet);
    let found = read(&rules, &key, &set(&json!({"zone": "a"})));
    assert_eq!(
        brief(&found),
        [
            r#"Allow 0 selector zone == "a""#,
            "Deny 2 nets 10.0.0.0/8",
            r#"Deny 3 not selector zone == "a""#,
            r#"Pass 4 selector zone == "a""#,
            "Deny 4",
            r#"Deny 5 not selector zone == "a""#,
            r#"Deny 6 selector zone == "b""#,
        ]
    );
}

#[test]
fn labels_that_cannot_be_read_may_be_any() {
    let rules = json!([
        {"action": "Deny", "source": {"selector": "zone == 'b'"}},
        {"action": "Deny", "source": {"selector": "!has(zone)"}},
        {"action": "Deny", "source": {"selector": "zone == 'b'", "namespaceSelector": "all()"}},
    ]);
    let global = key(Kind::GlobalNetworkSet);
    let found = brief(&read(&rules, &global, &set(&json!({"zone": 7}))));
    assert_eq!(found[..2], ["Deny 0", "Deny 1"]);
    assert!(found[2].contains("zone"), "a global set has no namespace");
    let namespaced = key(Kind::NetworkSet);
    let found = brief(&read(&rules, &namespaced, &set(&json!({"zone": 7}))));
    assert_eq!(found, ["Deny 0", "Deny 1", "Deny 2"]);
}

/// A node of unknown addresses is doubted by peers of nodes and by nothing else.
#[test]
fn peers_of_nodes_doubt_a_broken_node() {
    let peer = |labels: Value| json!([{"nodes": {"matchLabels": labels}}]);
    let object = json!({"metadata": {"name": "p"}, "spec": {
        "tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
        "egress": [
            {"action": "Accept", "to": peer(json!({"zone": "a"}))},
            {"action": "Deny", "to": peer(json!({"zone": "a"}))},
            {"action": "Deny", "to": peer(json!({"zone": "b"}))},
            {"action": "Deny", "to": [{"namespaces": {}}]},
        ],
    }});
    let policy = Object::decode(Kind::ClusterNetworkPolicy, object).unwrap();
    let changes = Converter::default().convert(&policy).unwrap();
    let Some(Change::Policy(_, Some(policy))) = changes.first() else {
        panic!("{changes:?}");
    };
    let key = key(Kind::Node);
    let broken = json!({"metadata": {"name": "x", "labels": {"zone": "a"}}, "status": 7});
    let mut doubts = Doubts::default();
    let closed = closed(&key, &broken);
    assert_eq!(closed.changes, [Change::Node("x".into(), None)]);
    assert!(doubts.put(&key, closed.doubt));
    let read = doubts.read(policy);
    let rules = read.egress.clone().unwrap();
    let brief = |rule: &Rule| {
        let peers = rule.destination.all.iter();
        let peers: Vec<String> = peers.map(ToString::to_string).collect();
        format!("{:?} {} {}", rule.action, rule.index, peers.join(" "))
    };
    let found: Vec<String> = rules.iter().map(brief).collect();
    assert_eq!(
        found[..3],
        [
            r#"Allow 0 nodes zone == "a""#,
            "Deny 1 ",
            r#"Deny 2 nodes zone == "b""#,
        ]
    );
    assert!(found[3].starts_with("Deny 3 selector"), "{found:?}");
}

#[test]
fn labels_that_a_set_inherits_may_be_any() {
    let rules = json!([
        {"action": "Deny", "source": {"selector": "zone == 'a'", "namespaceSelector": "team == 'x'"}},
        {"action": "Deny", "source": {"selector": "zone == 'b'", "namespaceSelector": "team == 'x'"}},
    ]);
    let namespaced = key(Kind::NetworkSet);
    let found = brief(&read(&rules, &namespaced, &set(&json!({"zone": "a"}))));
    assert_eq!(found[0], "Deny 0");
    assert!(found[1].contains("zone"), "{found:?}");
}

#[test]
fn a_set_keeps_the_nets_that_can_be_read_unless_its_labels_cannot() {
    let key = key(Kind::GlobalNetworkSet);
    let value = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec":
        {"nets": ["10.0.0.0/8", "no", 7, "192.0.2.1", "10.0.0.1/8"]}});
    let found = closed(&key, &value);
    let [Change::NetworkSet(_, Some(kept))] = &found.changes[..] else {
        panic!("{found:?}");
    };
    let nets: Vec<String> = kept.nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert!(matches!(found.doubt, Some(Doubt::Holds(_))));
    let found = closed(&key, &set(&json!({"a": "b", "no name": "c"})));
    assert!(matches!(&found.changes[..], [Change::NetworkSet(_, None)]));
    assert!(matches!(found.doubt, Some(Doubt::Holds(_))));
}

#[test]
fn a_tier_of_unknown_place_allows_nothing_early() {
    let rules = json!([{"action": "Allow"}, {"action": "Deny"}, {"action": "Pass"}]);
    let tier = ObjectKey::cluster(Kind::Tier, "x");
    let value = json!({"metadata": {"name": "x"}, "spec": {"order": "first"}});
    let found = read(&rules, &tier, &value);
    assert_eq!(brief(&found), ["Pass 0", "Deny 1", "Pass 2"]);
    let other = ObjectKey::cluster(Kind::Tier, "y");
    let value = json!({"metadata": {"name": "y"}, "spec": {"order": "first"}});
    let found = read(&rules, &other, &value);
    assert_eq!(brief(&found), ["Allow 0", "Deny 1", "Pass 2"]);
}

fn pod(spec: &Value) -> Value {
    json!({"metadata": {"name": "x", "namespace": "shop", "labels": {"zone": "a"}},
        "spec": spec, "status": {"podIPs": 7}})
}

/// A pod asks for more than a set: orchestrator, account, ports, and the labels of its account.
#[test]
fn rules_doubt_a_broken_pod_by_all_that_is_known_of_it() {
    let source = |source: &str| -> Value {
        let source: Value = serde_json::from_str(source).unwrap();
        json!({"action": "Deny", "protocol": "TCP", "source": source})
    };
    let rules = [
        r#"{"selector": "zone == 'a'"}"#,
        r#"{"selector": "zone == 'b'"}"#,
        r#"{"namespaceSelector": "team == 'x'", "selector": "zone == 'a'"}"#,
        r#"{"serviceAccounts": {"names": ["robot"]}}"#,
        r#"{"serviceAccounts": {"names": ["other"]}}"#,
        r#"{"serviceAccounts": {"selector": "trust == 'low'"}}"#,
        r#"{"selector": "projectcalico.org/orchestrator == 'k8s' && has(zone)"}"#,
        r#"{"selector": "projectcalico.org/orchestrator != 'k8s' && has(zone)"}"#,
    ];
    let rules = Value::Array(rules.map(source).into());
    let broken = pod(&json!({"nodeName": "n1", "serviceAccountName": "robot"}));
    let doubted = |value: &Value| -> Vec<u32> {
        let found = read(&rules, &key(Kind::Pod), value);
        let rules = found.iter().filter(|rule| rule.source.all.is_empty());
        rules.map(|rule| rule.index).collect()
    };
    assert_eq!(doubted(&broken), [0, 2, 3, 5, 6]);
    let unknown = pod(&json!({"nodeName": "n1", "serviceAccountName": 7}));
    assert_eq!(doubted(&unknown), [0, 2, 3, 4, 5, 6]);
    let mut any = broken;
    any["metadata"]["labels"] = json!({"zone": 7});
    assert_eq!(doubted(&any), [0, 1, 2, 3, 5, 6]);
}

#[test]
fn a_broken_pod_is_no_endpoint_and_no_peer_when_it_certainly_has_no_network() {
    let nobody = [
        pod(&json!({"nodeName": "n1", "hostNetwork": true})),
        pod(&json!({"containers": []})),
        json!({"metadata": {"labels": 7}, "spec": {"nodeName": "n1"}, "status": {"phase": "Failed"}}),
    ];
    for value in nobody {
        assert_eq!(closed(&key(Kind::Pod), &value).doubt, None, "{value}");
    }
    let perhaps = [
        pod(&json!({"nodeName": "n1"})),
        pod(&json!({"nodename": "n1", "hostNetwork": 7})),
        pod(&json!({"nodeName": 7})),
        json!({"metadata": {"labels": 7}, "spec": {"nodeName": "n1"}, "status": {"phase": 7}}),
    ];
    for value in perhaps {
        let found = closed(&key(Kind::Pod), &value);
        assert!(matches!(found.doubt, Some(Doubt::Holds(_))), "{value}");
        let [Change::Endpoint(gone, None)] = &found.changes[..] else {
            panic!("{found:?}");
        };
        assert_eq!(gone.to_string(), "shop/x");
    }
}

/// The labels of its namespace are known as soon as they are told, and until they cannot be read.
#[test]
fn a_broken_pod_inherits_what_its_namespace_says() {
    let rules = json!([{"action": "Deny", "source": {"namespaceSelector": "team == 'x'"}}]);
    let policy = json!({"metadata": {"name": "p"}, "spec": {"ingress": rules}});
    let mut policy = Object::decode(Kind::GlobalNetworkPolicy, policy).unwrap();
    policy.default_fields();
    let converter = Converter::default();
    let changes = converter.convert(&policy).unwrap();
    let Some(Change::Policy(_, Some(policy))) = changes.first() else {
        panic!("{changes:?}");
    };
    let key = key(Kind::Pod);
    let mut doubts = Doubts::default();
    let broken = pod(&json!({"nodeName": "n1", "serviceAccountName": "robot"}));
    assert!(doubts.put(&key, closed(&key, &broken).doubt));
    let doubted = |doubts: &Doubts| {
        let read = doubts.read(policy);
        let rules = read.ingress.clone().unwrap();
        rules[0].source.all.is_empty()
    };
    assert!(doubted(&doubts), "nobody told of the namespace yet");
    let namespace = |value: Value| Object::decode(Kind::Namespace, value).unwrap();
    let told = |team: &str, name: &str| {
        namespace(json!({"metadata": {"name": name, "labels": {"team": team}}}))
    };
    let hear = |doubts: &mut Doubts, changes: Vec<Change>| {
        let mut changes = changes.iter();
        changes.any(|change| doubts.hear(change))
    };
    let convert = |object: Object| converter.convert(&object).unwrap();
    assert!(!hear(&mut doubts, convert(told("x", "other"))));
    assert!(hear(&mut doubts, convert(told("y", "shop"))));
    assert!(!doubted(&doubts));
    assert!(hear(&mut doubts, convert(told("x", "shop"))));
    assert!(doubted(&doubts));
    assert!(hear(&mut doubts, convert(told("y", "shop"))));
    let space = ObjectKey::cluster(Kind::Namespace, "shop");
    let unread = closed(&space, &json!({"metadata": {"labels": 7}}));
    assert!(hear(&mut doubts, unread.changes));
    assert!(doubted(&doubts));
    assert!(hear(&mut doubts, converter.removed(&space)));
    assert!(doubted(&doubts));
}

/// A port's name may mean any port of a pod of which nobody knows the ports; but not on the side that is asked.
#[test]
fn names_of_ports_doubt_a_broken_pod() {
    let object = json!({"metadata": {"name": "p"}, "spec": {
        "types": ["Ingress", "Egress"],
        "ingress": [
            {"action": "Deny", "protocol": "TCP", "destination": {"ports": ["web"]}},
            {"action": "Deny", "protocol": "TCP", "source": {"ports": ["web", 7]}},
        ],
        "egress": [
            {"action": "Deny", "protocol": "TCP", "destination": {"ports": ["web"]}},
            {"action": "Deny", "destination": {"ports": ["web"]}},
            {"action": "Allow", "protocol": "TCP", "destination": {"notPorts": ["web"]}},
            {"action": "Allow", "protocol": "TCP", "destination": {"ports": ["web"]}},
            {"action": "Deny", "protocol": "TCP", "destination": {"selector": "zone == 'b'", "ports": ["web"]}},
            {"action": "Allow", "destination": {"notPorts": ["web"]}},
        ],
    }});
    let mut policy = Object::decode(Kind::GlobalNetworkPolicy, object).unwrap();
    policy.default_fields();
    let changes = Converter::default().convert(&policy).unwrap();
    let Some(Change::Policy(_, Some(policy))) = changes.first() else {
        panic!("{changes:?}");
    };
    let key = key(Kind::Pod);
    let mut doubts = Doubts::default();
    let broken = pod(&json!({"nodeName": "n1"}));
    assert!(doubts.put(&key, closed(&key, &broken).doubt));
    let read = doubts.read(policy);
    let brief = |rule: &Rule| {
        let (source, destination) = (&rule.source, &rule.destination);
        let ports = [&source.ports, &destination.ports, &destination.not_ports];
        let ports: Vec<String> = ports
            .into_iter()
            .flatten()
            .map(|ports| format!("{} {}", ports.numbers.count(), ports.names.len()))
            .collect();
        let is = rule.protocol.is.map(|protocol| protocol.to_string());
        format!(
            "{} {} {}",
            rule.index,
            is.unwrap_or_default(),
            ports.join(" ")
        )
    };
    let briefly = |rules: &Option<Arc<[Rule]>>| -> Vec<String> {
        rules
            .iter()
            .flat_map(|rules| rules.iter())
            .map(brief)
            .collect()
    };
    assert_eq!(briefly(&read.ingress), ["0 tcp 0 1", "1 tcp 65536 0"]);
    assert_eq!(
        briefly(&read.egress),
        [
            "0 tcp 65536 0",
            "1 tcp 65536 0",
            "1 udp 65536 0",
            "1 sctp 65536 0",
            "3 tcp 0 1",
            "4 tcp 0 1",
            "5 udplite ",
            "5  65536 0"
        ]
    );
}

/// The heirs of a namespace are counted where that denies, and never where it allows.
#[test]
fn labels_that_nobody_can_read_are_at_their_bound() {
    let rules = json!([
        {"action": "Allow", "source": {"namespaceSelector": "team == 'x'"}},
        {"action": "Allow", "source": {"notSelector": "has(pcns.team)"}},
        {"action": "Deny", "source": {"namespaceSelector": "team != 'x' && !has(quiet)"}},
        {"action": "Deny", "source": {"notSelector": "has(pcns.team)"}},
        {"action": "Deny", "source": {"selector": "zone == 'b'", "namespaceSelector": "all()"}},
    ]);
    let space = ObjectKey::cluster(Kind::Namespace, "shop");
    let broken = json!({"metadata": {"name": "shop", "labels": ["team"]}});
    let heirs = r#"(projectcalico.org/namespace == "shop" || has(profile:kns.shop))"#;
    let read = brief(&read(&rules, &space, &broken));
    let read: Vec<String> = read
        .iter()
        .map(|text| text.replace(heirs, "HEIRS"))
        .collect();
    assert_eq!(
        read,
        [
            r#"Allow 0 selector (pcns.team == "x" && !HEIRS)"#,
            "Allow 1 not selector (has(pcns.team) || HEIRS)",
            r#"Deny 2 selector ((pcns.team != "x" || HEIRS) && !(has(pcns.quiet) && !HEIRS))"#,
            "Deny 3 not selector (has(pcns.team) && !HEIRS)",
            r#"Deny 4 selector (has(projectcalico.org/namespace) && zone == "b")"#,
        ]
    );
    let found = closed(&space, &broken);
    let [Change::Profile(name, Some(profile))] = &found.changes[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (name.to_string(), profile.is_obscure),
        ("kns.shop".to_owned(), true)
    );
    assert_eq!(profile.ingress[0].action, Action::Deny);
}

/// Whoever lists a profile whose labels cannot be read may have any label; only they may, and no selector that people
/// write asks who they are.
#[test]
fn whoever_lists_a_broken_profile_may_have_any_label() {
    let rules = json!([
        {"action": "Allow", "source": {"selector": "zone == 'a'"}},
        {"action": "Deny", "source": {"selector": "zone == 'b'"}},
        {"action": "Deny", "source": {"selector": "all()"}},
    ]);
    let broken = json!({"metadata": {"name": "x"}, "spec": {"labelsToApply": 7}});
    assert_eq!(
        brief(&read(&rules, &key(Kind::Profile), &broken)),
        [
            r#"Allow 0 selector (zone == "a" && !has(profile:x))"#,
            r#"Deny 1 selector (zone == "b" || has(profile:x))"#,
            "Deny 2 selector all()",
        ]
    );
    let host = json!({"metadata": {"name": "h"},
        "spec": {"node": "n", "interfaceName": "eth0", "profiles": ["x"]}});
    let host = Object::decode(Kind::HostEndpoint, host).unwrap();
    let changes = Converter::default().convert(&host).unwrap();
    let [Change::HostEndpoint(_, Some(host))] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(&*host.labels[0].0, "profile:x");
    oncilla_selector::parse("has(profile:x)").unwrap_err();
    let whole = json!({"metadata": {"name": "x"}, "spec": {"labelsToApply": {}, "ingress": 7}});
    assert_eq!(closed(&key(Kind::Profile), &whole).doubt, None);
}

/// As a peer it is judged by what is known of it only where that is all: a label that cannot be read is not missing.
#[test]
fn a_broken_host_endpoint_is_a_peer_only_when_all_is_known() {
    let host = |labels: Value, field: &str| {
        let mut value = json!({"metadata": {"name": "x", "labels": labels},
            "spec": {"node": "n", "interfaceName": "eth0", "expectedIPs": ["192.0.2.1"]}});
        value["spec"][field] = json!(7);
        let found = closed(&key(Kind::HostEndpoint), &value);
        let [Change::HostEndpoint(_, Some(host))] = &found.changes[..] else {
            panic!("{found:?}");
        };
        assert_eq!(host.is_peer, found.doubt.is_none());
        (host.is_closed, host.is_peer)
    };
    assert_eq!(host(json!({"a": "b"}), "node"), (true, true));
    assert_eq!(host(json!({"a": 7}), "node"), (true, false));
    assert_eq!(host(json!({"a": "b"}), "profiles"), (true, false));
    assert_eq!(host(json!({"a": "b"}), "ports"), (true, false));
    assert_eq!(host(json!({"a": "b"}), "expectedIPs"), (true, false));
}

/// A profile's rules doubt as those of policies do, as long as they must.
#[test]
fn rules_of_profiles_doubt_too() {
    let rules = json!([
        {"action": "Allow", "source": {"selector": "role == 'bad'"}},
        {"action": "Deny", "source": {"selector": "role == 'bad'"}},
    ]);
    let object = json!({"metadata": {"name": "p"}, "spec": {"ingress": rules}});
    let mut object = Object::decode(Kind::Profile, object).unwrap();
    object.default_fields();
    let change = Converter::default().convert(&object).unwrap().remove(0);
    let Change::Profile(_, Some(profile)) = &change else {
        panic!("{change:?}");
    };
    let mut doubts = Doubts::default();
    doubts.hear(&change);
    assert_eq!(doubts.asking_profiles().collect::<Vec<_>>(), [profile]);
    assert_eq!(doubts.read_profile(profile), *profile);
    let broken = key(Kind::GlobalNetworkSet);
    let value = json!({"metadata": {"name": "x", "labels": {"role": "bad"}}, "spec": {"nets": 7}});
    doubts.put(&broken, closed(&broken, &value).doubt);
    let read = doubts.read_profile(profile);
    assert_eq!(
        brief(&read.ingress),
        [r#"Allow 0 selector role == "bad""#, "Deny 1"]
    );
    doubts.put(&broken, None);
    assert_eq!(doubts.read_profile(profile), *profile);
}

/// Nothing else of a namespace or an account matters than its labels.
#[test]
fn a_broken_namespace_with_labels_is_whole() {
    for (key, prefix) in [
        (ObjectKey::cluster(Kind::Namespace, "shop"), "pcns."),
        (
            ObjectKey::namespaced(Kind::ServiceAccount, "shop", "robot"),
            "pcsa.",
        ),
    ] {
        let metadata = json!({"name": key.name, "labels": {"team": "x"}, "annotations": 7});
        let found = closed(&key, &json!({"metadata": metadata}));
        let [Change::Profile(_, Some(profile))] = &found.changes[..] else {
            panic!("{found:?}");
        };
        assert_eq!(found.doubt, None);
        let name = format!("{prefix}team");
        assert!(
            profile
                .labels
                .iter()
                .any(|(own, value)| **own == *name && **value == *"x")
        );
        assert!(!profile.is_obscure);
    }
}
