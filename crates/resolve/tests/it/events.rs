//! Single events and what they may touch.

use std::sync::Arc;

use oncilla_model::{
    Action, Change, Endpoint, EndpointKey, Order, Policy, PolicyKey, PolicyKind, Predicate, Rule,
    TierName,
};
use oncilla_net::Family;
use oncilla_program::{ClassId, Dispatch};
use oncilla_resolve::node::NodeState as _;
use oncilla_resolve::{CLASS_QUARANTINE_MS, Limits, Resolver};
use oncilla_selector::parse;

use super::world::{labels, plain};

fn pod(name: &str, app: &str, addr: &str) -> Change {
    let key = EndpointKey {
        namespace: "shop".into(),
        name: name.into(),
    };
    let endpoint = Endpoint {
        key: key.clone(),
        node: "n0".into(),
        interface: format!("cali{name}").into(),
        labels: labels(&[("app", app)]),
        profiles: Vec::new(),
        addresses: vec![addr.parse().unwrap()],
        ports: Vec::new(),
    };
    Change::Endpoint(key, Some(Arc::new(endpoint)))
}

fn policy(name: &str, peers: &[Predicate]) -> Change {
    let key = PolicyKey {
        kind: PolicyKind::GlobalNetworkPolicy,
        namespace: None,
        name: name.into(),
    };
    let rules: Arc<[Rule]> = peers
        .iter()
        .map(|peer| {
            let mut rule = plain(Action::Allow);
            rule.source.all.push(peer.clone());
            rule
        })
        .collect();
    let policy = Policy {
        key: key.clone(),
        tier: TierName("default".into()),
        order: Order::LAST,
        applies: oncilla_model::Applies::Normal,
        selector: parse("all()").unwrap(),
        ingress: Some(rules),
        egress: None,
    };
    Change::Policy(key, Some(Arc::new(policy)))
}

fn selector(text: &str) -> Predicate {
    Predicate::selector(parse(text).unwrap())
}

fn nets(texts: &[&str]) -> Predicate {
    Predicate::nets(texts.iter().map(|text| text.parse().unwrap()))
}

fn class_of(resolver: &Resolver, delta: &oncilla_resolve::NodeDelta, addr: &str) -> ClassId {
    let addr: std::net::IpAddr = addr.parse().unwrap();
    let change = delta
        .addresses
        .iter()
        .find(|change| change.addr == addr)
        .unwrap();
    let id = change.class.unwrap();
    assert!(resolver.class(id).is_some());
    id
}

#[test]
fn a_split_moves_the_smaller_side_only() {
    let mut resolver = Resolver::new("n0", Limits::default());
    let mut changes: Vec<Change> = (0..10)
        .map(|n| pod(&format!("web{n}"), "web", &format!("10.0.0.{n}")))
        .collect();
    changes.push(policy("one", &[selector("has(app)")]));
    let delta = resolver.apply(&changes, 0).unwrap();
    assert_eq!((delta.addresses.len(), delta.classes_added.len()), (10, 1));
    let delta = resolver
        .apply(&[policy("two", &[nets(&["10.0.0.0/29"])])], 0)
        .unwrap();
    // Eight of ten are inside: they keep the number, two move and the prefix is new.
    assert_eq!(delta.addresses.len(), 2, "{:?}", delta.addresses);
    assert_eq!(delta.nets.len(), 1);
    let covered = resolver
        .apply(&[policy("three", &[selector("app == 'web'")])], 0)
        .unwrap();
    assert_eq!(
        covered.addresses,
        [],
        "a class wholly covered costs no write"
    );
    assert_eq!(covered.nets, []);
    assert_eq!(covered.classes_added, []);
    assert_eq!(resolver.classes_of(&selector("app == 'web'")).len(), 2);
}

#[test]
fn the_whole_family_needs_no_element() {
    let mut resolver = Resolver::new("n0", Limits::default());
    let everybody = nets(&["0.0.0.0/0"]);
    let changes = [
        pod("web", "web", "10.0.0.1"),
        policy("any", std::slice::from_ref(&everybody)),
    ];
    let delta = resolver.apply(&changes, 0).unwrap();
    assert_eq!((delta.addresses, delta.nets), (vec![], vec![]));
    assert_eq!(resolver.classes_of(&everybody), [ClassId::UNKNOWN_V4]);
    assert!(
        resolver
            .class(ClassId::UNKNOWN_V6)
            .unwrap()
            .holds
            .is_empty()
    );
    assert_eq!(resolver.family_of(ClassId::UNKNOWN_V6), Some(Family::V6));
}

#[test]
fn an_address_like_its_prefix_needs_no_element() {
    let mut resolver = Resolver::new("n0", Limits::default());
    let changes = [
        pod("web", "web", "10.0.0.1"),
        policy("net", &[nets(&["10.0.0.0/24", "10.0.0.1/32"])]),
    ];
    let delta = resolver.apply(&changes, 0).unwrap();
    assert_eq!((delta.addresses.len(), delta.nets.len()), (0, 1));
}

#[test]
fn numbers_rest_before_they_are_used_again() {
    let mut resolver = Resolver::new("n0", Limits::default());
    let app = |n| pod(&format!("p{n}"), &format!("v{n}"), &format!("10.0.0.{n}"));
    let peers: Vec<Predicate> = (0..4)
        .map(|n| selector(&format!("app == 'v{n}'")))
        .collect();
    let delta = resolver
        .apply(&[policy("p", &peers), app(0), app(1)], 0)
        .unwrap();
    let first = class_of(&resolver, &delta, "10.0.0.0");
    let Change::Endpoint(key, _) = app(0) else {
        unreachable!("a pod is an endpoint")
    };
    let gone = resolver.apply(&[Change::Endpoint(key, None)], 1).unwrap();
    assert_eq!(gone.classes_retired, [], "entries go when things are quiet");
    assert_eq!(resolver.settle(100).unwrap().classes_retired, [first]);
    assert!(
        resolver.class(first).is_some(),
        "still described until the next settling"
    );
    let delta = resolver
        .apply(&[app(2)], 100 + CLASS_QUARANTINE_MS - 1)
        .unwrap();
    assert_ne!(class_of(&resolver, &delta, "10.0.0.2"), first);
    assert!(
        resolver
            .settle(100 + CLASS_QUARANTINE_MS - 1)
            .unwrap()
            .is_empty()
    );
    assert!(resolver.class(first).is_none());
    let delta = resolver
        .apply(&[app(3)], 100 + CLASS_QUARANTINE_MS)
        .unwrap();
    assert_eq!(class_of(&resolver, &delta, "10.0.0.3"), first);
}

#[test]
fn a_class_that_comes_back_before_settling_is_itself_again() {
    let mut resolver = Resolver::new("n0", Limits::default());
    let web = pod("web", "web", "10.0.0.1");
    let changes = [policy("p", &[selector("app == 'web'")]), web.clone()];
    let delta = resolver.apply(&changes, 0).unwrap();
    let id = class_of(&resolver, &delta, "10.0.0.1");
    let Change::Endpoint(key, _) = &web else {
        unreachable!("a pod is an endpoint")
    };
    resolver
        .apply(&[Change::Endpoint(key.clone(), None)], 1)
        .unwrap();
    let delta = resolver.apply(&[web], 2).unwrap();
    assert_eq!(class_of(&resolver, &delta, "10.0.0.1"), id);
    assert!(delta.classes_added.is_empty());
}

#[test]
fn endpoints_without_profiles_or_policies_are_closed() {
    let mut resolver = Resolver::new("n0", Limits::default());
    let delta = resolver.apply(&[pod("web", "web", "10.0.0.1")], 0).unwrap();
    let endpoint = delta.endpoints["caliweb"].clone().unwrap();
    let Dispatch::Group(id) = endpoint.ingress else {
        panic!("closed, not open")
    };
    let group = &resolver.groups()[&id];
    assert_eq!((group.tiers.len(), group.profiles.len()), (0, 0));
    assert_eq!(id.0.len(), 16);
}
