//! Rules in, banks out, as text. The world: class 3 is IPv4 and has `a`, class 4 is IPv6 and has `a`, class 5 is
//! IPv4 and has `a` and `b`; port `web` is tcp/80 on 3, tcp/81 on 4, tcp/80 and tcp/82 on 5. `many` holds of 300
//! classes from 1000 on, `far` is asked by address.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_model::{
    Action, Families, Order, Policy, PolicyKey, PolicyKind, Ports, Predicate, Profile, ProfileName,
    Rule, TierEnd, TierName,
};
use oncilla_net::{Direction, Family, PortRange, Protocol};
use oncilla_program::{
    AddressSet, ClassId, Dispatch, GroupId, Hook, HostEndpoint, LocalEndpoint, Program, ServiceSet,
    Settings,
};
use oncilla_resolve::node::{
    Class, GroupDef, LocalPorts, NodeDelta, NodeState, PredicateMode, TierDef,
};
use oncilla_selector::Selector;

use super::world::{allow_all, group_id};
use crate::Compiler;
use crate::answer::{SetKind, set_name};

#[derive(Default)]
struct Small {
    groups: BTreeMap<GroupId, Arc<GroupDef>>,
    endpoints: BTreeMap<Arc<str>, LocalEndpoint>,
    /// A class that appears later: like class 3.
    late: Option<ClassId>,
}

fn has(label: &str) -> Predicate {
    Predicate::selector(Selector::has(label))
}

fn web() -> Predicate {
    Predicate::named_port(None, "web", Protocol::TCP)
}

impl NodeState for Small {
    fn class(&self, id: ClassId) -> Option<Class> {
        let known = self.family_of(id)?;
        let predicates = [has("a"), has("b"), has("many")];
        let holds = predicates
            .into_iter()
            .filter(|p| self.classes_of(p).contains(&id))
            .collect();
        let ports = self
            .ports_of(&web())
            .into_iter()
            .filter(|(class, _)| *class == id);
        let ports: Vec<u16> = ports.map(|(_, port)| port).collect();
        let ports = [(web(), ports)]
            .into_iter()
            .filter(|(_, ports)| !ports.is_empty())
            .collect();
        Some(Class {
            id,
            family: known,
            holds,
            ports,
        })
    }

    fn classes_of(&self, predicate: &Predicate) -> Vec<ClassId> {
        let list: Vec<u32> = match &**predicate.text() {
            "selector has(a)" => vec![3, 4, 5],
            "selector has(b)" => vec![5],
            "selector has(many)" => (1000..1300).collect(),
            _ => Vec::new(),
        };
        let late = self.late.filter(|_| list.contains(&3));
        list.into_iter().map(ClassId).chain(late).collect()
    }

    fn ports_of(&self, _: &Predicate) -> Vec<(ClassId, u16)> {
        let late = self.late.map(|class| (class, 80));
        [(3, 80), (4, 81), (5, 80), (5, 82)]
            .map(|(class, port)| (ClassId(class), port))
            .into_iter()
            .chain(late)
            .collect()
    }

    fn family_of(&self, id: ClassId) -> Option<Family> {
        Some(if id.0 == 4 { Family::V6 } else { Family::V4 })
    }

    fn mode(&self, predicate: &Predicate) -> PredicateMode {
        if predicate.text().contains("far") {
            PredicateMode::ByAddress
        } else {
            PredicateMode::ByClass
        }
    }

    fn addresses_of(&self, predicate: &Predicate) -> AddressSet {
        let hosts = ["10.0.0.9".parse().unwrap()].into();
        AddressSet {
            text: Arc::clone(predicate.text()),
            hosts,
            nets: BTreeSet::new(),
        }
    }

    fn service_of(&self, predicate: &Predicate) -> ServiceSet {
        ServiceSet {
            text: Arc::clone(predicate.text()),
            ..ServiceSet::default()
        }
    }

    fn groups(&self) -> &BTreeMap<GroupId, Arc<GroupDef>> {
        &self.groups
    }

    fn endpoints(&self) -> &BTreeMap<Arc<str>, LocalEndpoint> {
        &self.endpoints
    }
}

impl Small {
    fn everything(&self) -> NodeDelta {
        NodeDelta {
            groups: self
                .groups
                .iter()
                .map(|(id, def)| (id.clone(), Some(Arc::clone(def))))
                .collect(),
            ..NodeDelta::default()
        }
    }
}

fn def(direction: Direction, rules: Vec<Rule>, profiles: Vec<Option<Arc<Profile>>>) -> GroupDef {
    let mut rules = rules;
    for (index, rule) in (0..).zip(&mut rules) {
        rule.index = index;
    }
    let rules: Option<Arc<[Rule]>> = Some(rules.into());
    let policy = Policy {
        key: PolicyKey {
            kind: PolicyKind::NetworkPolicy,
            namespace: Some("ns".into()),
            name: "p".into(),
        },
        tier: TierName("default".into()),
        order: Order::LAST,
        applies: oncilla_model::Applies::Normal,
        selector: Selector::all(),
        ingress: rules.clone(),
        egress: rules,
    };
    let tier = TierDef {
        name: TierName("default".into()),
        end: TierEnd::Deny,
        policies: vec![Arc::new(policy)],
    };
    GroupDef {
        id: group_id(0),
        hook: Hook::Normal,
        direction,
        tiers: vec![tier],
        profiles,
        local_ports: LocalPorts::Exact([(web(), vec![8080])].into()),
    }
}

fn compile(def: GroupDef) -> Program {
    let mut state = Small::default();
    state.groups.insert(def.id.clone(), Arc::new(def));
    let mut compiler = Compiler::new(Settings::default());
    compiler.apply(&state, &state.everything());
    compiler.program().clone()
}

/// Set names by what they stand for, so that the expectation can be read.
fn readable(text: &str) -> String {
    let mut text = text.to_owned();
    for predicate in [has("a"), has("b"), has("many"), has("far"), web()] {
        let name = predicate.text().split_whitespace().last().unwrap();
        for (kind, letter) in [
            (SetKind::Classes, "p"),
            (SetKind::Ports, "n"),
            (SetKind::Addresses, "a"),
        ] {
            text = text.replace(&*set_name(kind, &predicate).0, &format!("{letter}[{name}]"));
        }
    }
    text
}

/// Checks the banks that rules become.
#[track_caller]
fn check(direction: Direction, rules: Vec<Rule>, expected: &[&str]) {
    let program = compile(def(direction, rules, Vec::new()));
    let text = readable(&program.groups[&group_id(0)].to_string());
    let lines: Vec<&str> = text.lines().skip(2).map(str::trim).collect();
    let lines = &lines[..lines.len() - 2];
    assert_eq!(lines, expected, "\n{text}");
}

fn rule(action: Action) -> Rule {
    Rule {
        action,
        ..allow_all()
    }
}

fn tcp(action: Action, change: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = rule(action);
    rule.protocol.is = Some(Protocol::TCP);
    change(&mut rule);
    rule
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of rules are options")]
fn numbers(numbers: &[u16]) -> Option<Ports> {
    Some(Ports {
        numbers: numbers.iter().copied().collect(),
        names: Vec::new(),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of rules are options")]
fn named(numbers: &[u16]) -> Option<Ports> {
    Some(Ports {
        numbers: numbers.iter().copied().collect(),
        names: vec![web()],
    })
}

#[test]
fn narrow_rules_become_keys() {
    let rules = vec![
        tcp(Action::Allow, |rule| {
            rule.source.all = vec![has("a"), has("b")];
            rule.destination.ports = numbers(&[80, 443]);
        }),
        tcp(Action::Deny, |rule| rule.source.all = vec![has("b")]),
        tcp(Action::Pass, |rule| rule.destination.ports = numbers(&[22])),
    ];
    let expected = [
        "bank 0",
        "K1 allow: 5.tcp.80, 5.tcp.443",
        "K2 deny: 5.tcp",
        "K4 pass: tcp.22",
    ];
    check(Direction::Ingress, rules, &expected);
}

#[test]
fn families_choose_classes_and_make_anonymous_peers_linear() {
    let mut first = rule(Action::Allow);
    first.families = Families::only(Family::V6);
    first.source.all = vec![has("a")];
    let mut second = rule(Action::Deny);
    second.families = Families::only(Family::V4);
    let mut never = rule(Action::Deny);
    never.families = Families {
        v4: false,
        v6: false,
    };
    let expected = [
        "bank 0",
        "K3 allow: 4",
        "deny IPv4  # default/np/ns/p ingress[1]",
    ];
    check(Direction::Ingress, vec![first, second, never], &expected);
}

#[test]
fn what_cannot_be_keyed_is_linear() {
    let wide = Ports {
        numbers: [PortRange::new(1024, 65535).unwrap()].into_iter().collect(),
        names: Vec::new(),
    };
    let rules = vec![
        tcp(Action::Allow, |rule| {
            rule.source.all = vec![has("a")];
            rule.destination.ports = Some(wide);
        }),
        tcp(Action::Allow, |rule| {
            rule.source.none = vec![has("b")];
            rule.destination.not_ports = numbers(&[1]);
        }),
        tcp(Action::Allow, |rule| rule.source.all = vec![has("many")]),
        tcp(Action::Allow, |rule| {
            rule.source.all = vec![has("far")];
            rule.destination.none = vec![has("a")];
        }),
        tcp(Action::Allow, |rule| rule.source.all = vec![has("b")]),
        tcp(Action::Deny, |rule| rule.source.all = vec![has("b")]),
        rule(Action::Log),
    ];
    let expected = [
        "bank 0",
        "K2 allow: 5.tcp",
        "allow peer @p[has(a)] tcp dst 1024:65535  # default/np/ns/p ingress[0]",
        "allow peer !@p[has(b)] tcp dst ! 1  # default/np/ns/p ingress[1]",
        "allow peer @p[has(many)] tcp  # default/np/ns/p ingress[2]",
        "allow peer @a[has(far)] local !@a[has(a)] tcp  # default/np/ns/p ingress[3]",
        "bank 1",
        "K2 deny: 5.tcp",
        "log \"calico-packet: \"  # default/np/ns/p ingress[6]",
    ];
    check(Direction::Ingress, rules, &expected);
}

#[test]
fn the_prefix_of_log_rules_has_its_words_filled_in() {
    for (prefix, expected) in [
        ("calico-packet", "calico-packet: "),
        ("%t/%k/%n", "default/NetworkPolicy/p: "),
        ("%p %x %% 100%", "ns/p %x %% 100%: "),
        ("", ": "),
    ] {
        let settings = Settings {
            log_prefix: prefix.into(),
            ..Settings::default()
        };
        let state = Small {
            groups: [(
                group_id(0),
                Arc::new(def(Direction::Egress, vec![rule(Action::Log)], Vec::new())),
            )]
            .into(),
            ..Small::default()
        };
        let delta = NodeDelta {
            groups: [(group_id(0), state.groups.get(&group_id(0)).cloned())].into(),
            ..NodeDelta::default()
        };
        let mut compiler = Compiler::new(settings);
        compiler.apply(&state, &delta);
        let written = |compiler: &Compiler| {
            let group = &compiler.program().groups[&group_id(0)];
            let rule = group.banks().flat_map(|bank| &bank.tail).next().unwrap();
            rule.log_prefix.as_deref().unwrap_or_default().to_owned()
        };
        assert_eq!(written(&compiler), expected);
        assert!(compiler.set_settings(Settings {
            log_prefix: "later".into(),
            ..Settings::default()
        }));
        assert_eq!(
            written(&compiler),
            "later: ",
            "also of groups that nobody changed"
        );
    }
}

/// Whatever comes first: the host endpoint, or the setting that makes its interface a workload's.
#[test]
fn no_host_endpoint_is_about_a_workloads_interface() {
    let told = |name: &str, host: Option<HostEndpoint>| NodeDelta {
        hosts: [(name.into(), host)].into(),
        ..NodeDelta::default()
    };
    let (state, host) = (Small::default(), HostEndpoint::default());
    let with_tap = Settings {
        interface_prefixes: Settings::default().interface_prefixes.with(["tap".into()]),
        ..Settings::default()
    };
    let names = |compiler: &Compiler| -> Vec<String> {
        let hosts = compiler.program().hosts.keys();
        hosts.map(ToString::to_string).collect()
    };
    let mut compiler = Compiler::new(Settings::default());
    for name in ["eth0", "tap0", "cali0", "*"] {
        compiler.apply(&state, &told(name, Some(host.clone())));
    }
    assert_eq!(names(&compiler), ["*", "eth0", "tap0"]);
    assert!(compiler.set_settings(with_tap));
    assert_eq!(names(&compiler), ["*", "eth0"]);
    let delta = compiler.apply(&state, &told("tap1", Some(host)));
    assert!(delta.hosts.is_empty());
    compiler.apply(&state, &told("tap0", None));
    assert!(compiler.set_settings(Settings::default()));
    assert_eq!(names(&compiler), ["*", "eth0", "tap1"]);
}

#[test]
fn what_has_no_port_has_none_of_the_excluded_ones() {
    // Names need no protocol. ICMP, for example, is not excluded by them.
    let rules = vec![tcp(Action::Allow, |rule| {
        rule.protocol.is = None;
        rule.destination.not_ports = named(&[]);
    })];
    let expected = [
        "bank 0",
        "K5 allow: udp, sctp, udplite",
        "allow tcp dst !@n[tcp/web]  # default/np/ns/p egress[0]",
        "allow without ports  # default/np/ns/p egress[0]",
    ];
    check(Direction::Egress, rules, &expected);
    // A port that is wanted is another thing.
    let rules = vec![tcp(Action::Allow, |rule| {
        rule.protocol.is = None;
        rule.destination.ports = named(&[]);
        rule.source.not_ports = named(&[]);
    })];
    let program = compile(def(Direction::Egress, rules, Vec::new()));
    let lowered = program.groups[&group_id(0)].to_string();
    assert!(!lowered.contains("without ports"), "{lowered}");
}

#[test]
fn port_names_of_peers_are_keys_per_class() {
    let destination = |action, change: fn(&mut Rule)| {
        tcp(action, |rule| {
            rule.destination.ports = named(&[9]);
            change(rule);
        })
    };
    let rules = vec![destination(Action::Allow, |rule| {
        rule.destination.all = vec![has("b")];
    })];
    let expected = ["bank 0", "K1 allow: 5.tcp.9, 5.tcp.80, 5.tcp.82"];
    check(Direction::Egress, rules, &expected);
    let rules = vec![destination(Action::Allow, |rule| rule.protocol.is = None)];
    // Without a protocol the numbers are about every protocol with ports, the name about its own.
    let expected = [
        "bank 0",
        "K1 allow: 3.tcp.80, 4.tcp.81, 5.tcp.80, 5.tcp.82",
        "K4 allow: tcp.9, udp.9, sctp.9, udplite.9",
    ];
    check(Direction::Egress, rules, &expected);
    let rules = vec![destination(Action::Allow, |rule| {
        rule.destination.none = vec![has("b")];
    })];
    let expected = [
        "bank 0",
        "allow peer !@p[has(b)] tcp dst 9  # default/np/ns/p egress[0]",
        "allow peer !@p[has(b)] tcp dst @n[tcp/web]  # default/np/ns/p egress[0]",
    ];
    check(Direction::Egress, rules, &expected);
    // Of the local side they are known numbers.
    let rules = vec![destination(Action::Deny, |rule| {
        rule.source.all = vec![has("b")];
    })];
    check(
        Direction::Ingress,
        rules,
        &["bank 0", "K1 deny: 5.tcp.9, 5.tcp.8080"],
    );
    let rules = vec![tcp(Action::Allow, |rule| {
        rule.source.ports = named(&[]);
        rule.destination.not_ports = named(&[1]);
    })];
    let expected = [
        "bank 0",
        "allow tcp dst ! 1,8080 src @n[tcp/web]  # default/np/ns/p ingress[0]",
    ];
    check(Direction::Ingress, rules, &expected);
}

#[test]
fn what_cannot_be_asked_fails_closed() {
    let absurd = |action| tcp(action, |rule| rule.source.all = vec![web()]);
    check(
        Direction::Ingress,
        vec![absurd(Action::Allow), absurd(Action::Log)],
        &[],
    );
    let expected = ["bank 0", "K5 deny: tcp"];
    for action in [Action::Deny, Action::Pass] {
        check(
            Direction::Ingress,
            vec![absurd(action), absurd(Action::Allow)],
            &expected,
        );
    }
    let far = Predicate::named_port(Some(Selector::has("far")), "web", Protocol::TCP);
    let by_address = |action| {
        tcp(action, |rule| {
            rule.destination.ports = Some(Ports {
                names: vec![far.clone()],
                ..Ports::default()
            });
        })
    };
    let rules = vec![by_address(Action::Allow), by_address(Action::Deny)];
    check(Direction::Egress, rules, &["bank 0", "K5 deny: tcp"]);
}

/// An interface of the host takes packets for other addresses than its own: a name is asked together with the address,
/// and at an address that nobody knows the host endpoint's own port (8080) counts for what denies.
#[test]
fn port_names_of_a_hosts_own_side_are_asked_by_address() {
    let tail = |action, rule: fn(&mut Rule)| {
        let known = [(web(), vec![8080])].into();
        let group = GroupDef {
            local_ports: LocalPorts::ByAddress(known),
            ..def(Direction::Ingress, vec![tcp(action, rule)], Vec::new())
        };
        let program = compile(group);
        let name = set_name(SetKind::Services, &web()).to_string();
        let text = program.groups[&group_id(0)]
            .to_string()
            .replace(&name, "s[web]");
        let rules = text.lines().map(str::trim);
        let rules = rules.filter(|line| line.contains("local port") || line.contains("8080"));
        rules
            .map(|line| line.split("  #").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let is_named: fn(&mut Rule) = |rule| rule.destination.ports = named(&[9]);
    let is_not_named: fn(&mut Rule) = |rule| rule.destination.not_ports = named(&[9]);
    assert_eq!(
        tail(Action::Allow, is_named),
        ["allow tcp local port @s[web]"]
    );
    assert_eq!(
        tail(Action::Deny, is_named),
        ["K4 deny: tcp.9, tcp.8080", "deny tcp local port @s[web]"]
    );
    assert_eq!(
        tail(Action::Pass, is_named),
        [
            "pass tcp local port @s[web]",
            "K4 deny: tcp.9, tcp.8080",
            "deny tcp local port @s[web]"
        ]
    );
    assert_eq!(
        tail(Action::Allow, is_not_named),
        ["allow tcp dst ! 9,8080 local port !@s[web]"]
    );
    assert_eq!(
        tail(Action::Deny, is_not_named),
        ["deny tcp dst ! 9 local port !@s[web]"]
    );
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of rules are options")]
fn profile(name: &str, ingress: Vec<Rule>) -> Option<Arc<Profile>> {
    let name = ProfileName(name.into());
    Some(Arc::new(Profile {
        name,
        labels: Vec::new().into(),
        ingress: ingress.into(),
        egress: Vec::new().into(),
        is_obscure: false,
    }))
}

#[test]
fn profiles_end_a_group() {
    let end = |profiles: Vec<Option<Arc<Profile>>>| {
        let program = compile(def(Direction::Ingress, Vec::new(), profiles));
        let text = readable(&program.groups[&group_id(0)].to_string());
        assert!(text.contains("tier default: np/ns/p\n"), "{text}");
        let (_, end) = text.split_once("  profiles").unwrap();
        end.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let open = || profile("kns.open", vec![allow_all()]);
    assert_eq!(end(vec![]), "deny");
    assert_eq!(end(vec![open(), None]), "allow");
    assert_eq!(end(vec![None, open()]), "deny");
    let pass = || {
        profile(
            "kns.pass",
            vec![tcp(Action::Pass, |rule| rule.source.all = vec![has("b")])],
        )
    };
    assert_eq!(end(vec![pass()]), "deny");
    let expected = "bank 0 K2 deny: 5.tcp K6 allow: all end deny";
    assert_eq!(end(vec![pass(), open()]), expected);
}

#[test]
fn a_new_class_only_adds_entries() {
    let rules = vec![
        tcp(Action::Deny, |rule| rule.source.none = vec![has("a")]),
        tcp(Action::Allow, |rule| rule.source.all = vec![has("a")]),
    ];
    let mut state = Small::default();
    state.groups.insert(
        group_id(0),
        Arc::new(def(Direction::Ingress, rules, Vec::new())),
    );
    let endpoint = LocalEndpoint {
        name: "ns/pod eth0".into(),
        addresses: vec!["10.0.0.1".parse().unwrap()],
        ingress: Dispatch::Group(group_id(0)),
        egress: Dispatch::Open,
    };
    state.endpoints.insert("calia".into(), endpoint.clone());
    let mut compiler = Compiler::new(Settings::default());
    let mut all = state.everything();
    all.endpoints.insert("calia".into(), Some(endpoint));
    let first = compiler.apply(&state, &all);
    assert_eq!(
        (
            first.groups.len(),
            first.endpoints.len(),
            first.class_sets.len()
        ),
        (1, 1, 1)
    );
    assert!(
        compiler.apply(&state, &all).is_empty(),
        "the same again changes nothing"
    );

    state.late = Some(ClassId(7));
    let delta = NodeDelta {
        classes_added: vec![ClassId(7)],
        ..NodeDelta::default()
    };
    let change = compiler.apply(&state, &delta);
    assert!(change.groups.is_empty() && change.endpoints.is_empty());
    let levels = &change.prepared[&group_id(0)].tiers[0].banks[1].levels;
    assert!(levels.k2.contains_key(&(ClassId(7), Protocol::TCP)));
    let name = set_name(SetKind::Classes, &has("a"));
    let set = change.class_sets[&name].as_ref().unwrap();
    assert!(set.classes.contains(&ClassId(7)) && change.class_sets.len() == 1);

    // Gone again: the entries go, while the state still knows the class.
    let delta = NodeDelta {
        classes_retired: vec![ClassId(7)],
        ..NodeDelta::default()
    };
    let change = compiler.apply(&state, &delta);
    assert!(change.prepared.is_empty() && change.groups.len() == 1);
    assert_eq!(
        compiler.program().groups,
        first
            .groups
            .into_iter()
            .map(|(id, group)| (id, group.unwrap()))
            .collect()
    );
    // An address of its own brings it back, announced or not.
    let addr = "10.0.0.7".parse().unwrap();
    let address = oncilla_program::AddressChange {
        addr,
        class: Some(ClassId(7)),
    };
    let delta = NodeDelta {
        addresses: vec![address],
        ..NodeDelta::default()
    };
    assert_eq!(compiler.apply(&state, &delta).prepared.len(), 1);
    assert!(compiler.apply(&state, &delta).is_addresses_only());
}
