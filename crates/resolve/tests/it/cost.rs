//! What one event costs, counted.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use oncilla_model::{
    Action, Change, Endpoint, EndpointKey, Order, Policy, PolicyKey, PolicyKind, Predicate, Rule,
    TierName,
};
use oncilla_selector::parse;

use super::mirror::Mirror;
use super::world::{labels, plain};

const DEPLOYMENTS: u32 = 50;

fn pod(number: u32, node: &str) -> Change {
    let key = EndpointKey {
        namespace: "shop".into(),
        name: format!("pod{number}").into(),
    };
    let app = format!("app{}", number % DEPLOYMENTS);
    let endpoint = Endpoint {
        key: key.clone(),
        node: node.into(),
        interface: format!("cali{number}").into(),
        labels: labels(&[("app", &app), ("projectcalico.org/namespace", "shop")]),
        profiles: Vec::new(),
        addresses: vec![IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))],
        ports: Vec::new(),
    };
    Change::Endpoint(key, Some(Arc::new(endpoint)))
}

/// Every deployment may be reached by the one before.
fn policy(number: u32) -> Change {
    let key = PolicyKey {
        kind: PolicyKind::NetworkPolicy,
        namespace: Some("shop".into()),
        name: format!("policy{number}").into(),
    };
    let from = parse(&format!(
        "app == 'app{}'",
        (number + DEPLOYMENTS - 1) % DEPLOYMENTS
    ))
    .unwrap();
    let mut allow = plain(Action::Allow);
    allow.source.all.push(Predicate::selector(from));
    let rules: Arc<[Rule]> = [allow].into();
    let policy = Policy {
        key: key.clone(),
        tier: TierName("default".into()),
        order: Order::LAST,
        applies: oncilla_model::Applies::Normal,
        selector: parse(&format!("app == 'app{number}'")).unwrap(),
        ingress: Some(rules),
        egress: None,
    };
    Change::Policy(key, Some(Arc::new(policy)))
}

fn cost_at(endpoints: u32) -> (u64, u64, u64) {
    let mut changes: Vec<Change> = (0..DEPLOYMENTS).map(policy).collect();
    // Every hundredth pod is here, so that all deployments are.
    let node = |number: u32| if number < 2 * DEPLOYMENTS { "n0" } else { "n1" };
    changes.extend((0..endpoints).map(|number| pod(number, node(number))));
    let mut resolver = Mirror::new(0xffff_0000).resolver;
    resolver.apply(&changes, 0).unwrap();
    resolver.settle(100).unwrap();
    let mut cost = |changes: &[Change]| {
        let before = resolver.work();
        let delta = resolver.apply(changes, 200).unwrap();
        assert_eq!(delta.addresses.len(), 1);
        assert!(delta.classes_added.is_empty() && delta.groups.is_empty());
        resolver.work().since(&before).total()
    };
    let join = cost(&[pod(endpoints, "n1")]);
    let join_here = cost(&[pod(endpoints + 1, "n0")]);
    let Change::Endpoint(key, _) = pod(endpoints, "n1") else {
        unreachable!("a pod is an endpoint")
    };
    let leave = cost(&[Change::Endpoint(key, None)]);
    (join, join_here, leave)
}

#[test]
fn one_pod_costs_the_same_however_many_there_are() {
    let (few, many) = (cost_at(1_000), cost_at(100_000));
    for (few, many) in [(few.0, many.0), (few.1, many.1), (few.2, many.2)] {
        assert!(few > 0);
        assert!(
            10 * many <= 11 * few && 10 * few <= 11 * many,
            "{few} against {many}"
        );
        assert!(many < 20, "{many} units of work for one pod");
    }
}
