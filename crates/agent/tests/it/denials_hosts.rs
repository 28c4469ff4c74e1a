//! Packets denied at a host's own interface, in words: every chain of a host endpoint, by real packets.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use oncilla_agent::TableOwner;
use oncilla_api::{Kind, ObjectKey};
use oncilla_flows::{Blame, Record};
use oncilla_testkit::connect::{Connection, connect};
use serde_json::{Value, json};

use super::denials::{Listener, SOON};
use super::field::{Field, Flow, OUTSIDE};
use super::harness::{Agent, NODE};

fn gnp(name: &str) -> ObjectKey {
    ObjectKey::cluster(Kind::GlobalNetworkPolicy, name)
}

fn node() -> SocketAddr {
    SocketAddr::new(IpAddr::from([192, 168, 0, 1]), 8001)
}

/// Sends again and again, until the rule is certain.
fn denied(listener: &mut Listener, send: &dyn Fn()) -> Record {
    loop {
        send();
        let Some(record) = listener.soon() else {
            continue;
        };
        match &record.blame {
            Blame::Unknown { why } => assert!(why.contains("changing"), "{record}"),
            _ => return record,
        }
    }
}

/// From outside to the node.
fn knock(field: &Field) {
    let far = &field.topology.outside(OUTSIDE).unwrap().netns;
    assert_ne!(connect(far, node(), SOON).unwrap(), Connection::Connected);
}

/// One datagram from outside.
fn send_udp(field: &Field, to: SocketAddr) {
    let far = &field.topology.outside(OUTSIDE).unwrap().netns;
    far.run(move || {
        UdpSocket::bind("0.0.0.0:0")
            .unwrap()
            .send_to(b"x", to)
            .unwrap()
    })
    .unwrap();
}

fn rules(direction: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["selector"] = "role == 'node'".into();
    spec["types"] = json!([direction]);
    json!({ "spec": spec })
}

/// Puts a policy in force and sends until what is denied is told.
fn then(
    (field, listener): (&Field, &mut Listener),
    (name, policy): (&str, Value),
    send: &dyn Fn(),
) -> Record {
    let revision = field.world.create(&gnp(name), policy);
    field.world.in_force(revision);
    denied(listener, send)
}

/// A node whose interface has a host endpoint and no policy yet, and who listens to its agent.
fn closed() -> (Field, Agent, Listener) {
    let field = Field::new(&[("a", json!({ "app": "a" }))]);
    let world = &field.world;
    let agent = world.agent(TableOwner::Auto);
    world.wait("first", |status| status.revision.is_some());
    let (listener, _) = Listener::new(&field);
    listener.patience(SOON);
    let host = json!({ "metadata": { "name": "n1-eth0", "labels": { "role": "node" } },
        "spec": { "node": NODE, "interfaceName": "eth0", "expectedIPs": ["192.168.0.1"] } });
    let revision = world.create(&ObjectKey::cluster(Kind::HostEndpoint, "n1-eth0"), host);
    world.in_force(revision);
    (field, agent, listener)
}

#[test]
fn the_rule_of_a_host_endpoint_that_denied_is_named() {
    let (field, agent, mut listener) = closed();
    let knock = || knock(&field);
    let record = denied(&mut listener, &knock);
    let said = |by: &str, chain: &str| {
        format!("deny 198.51.100.1 -> host:n1 tcp/8001 by {by} ({chain}, host endpoint n1-eth0)")
    };
    let none = "no profile: no policy decided and none allows";
    assert_eq!(record.to_string(), said(none, "normal"));
    assert_eq!(record.in_interface.as_deref(), Some("eth0"));

    let deny = json!({ "action": "Deny", "protocol": "TCP" });
    let spec = json!({ "order": 9, "ingress": [{ "action": "Allow", "protocol": "UDP" }, deny] });
    let record = then(
        (&field, &mut listener),
        ("normal", rules("Ingress", &spec)),
        &knock,
    );
    assert_eq!(
        record.to_string(),
        said("default/gnp/normal ingress[1]", "normal")
    );

    let mut spec =
        json!({ "order": 9, "preDNAT": true, "applyOnForward": true, "ingress": [deny] });
    let record = then(
        (&field, &mut listener),
        ("early", rules("Ingress", &spec)),
        &knock,
    );
    assert_eq!(
        record.to_string(),
        said("default/gnp/early ingress[0]", "preDNAT")
    );

    spec["preDNAT"] = false.into();
    spec["doNotTrack"] = true.into();
    let record = then(
        (&field, &mut listener),
        ("raw", rules("Ingress", &spec)),
        &knock,
    );
    assert_eq!(
        record.to_string(),
        said("default/gnp/raw ingress[0]", "untracked")
    );
    agent.stop();
}

#[test]
fn a_host_endpoints_forward_policy_is_told_from_the_workloads() {
    let (field, agent, mut listener) = closed();
    let pod = SocketAddr::new(field.address("a", false), 9);
    let spec = json!({ "order": 9, "applyOnForward": true,
        "ingress": [{ "action": "Allow", "protocol": "TCP" }] });
    let send = || send_udp(&field, pod);
    let record = then(
        (&field, &mut listener),
        ("forward", rules("Ingress", &spec)),
        &send,
    );
    assert_eq!(
        record.to_string(),
        "deny 198.51.100.1 -> team/a udp/9 by the end of tier default (gnp/forward) \
         (forward, host endpoint n1-eth0)"
    );

    // And out of the node by the same interface.
    let deny = json!({ "action": "Deny", "protocol": "TCP" });
    let spec = json!({ "order": 9, "applyOnForward": true, "egress": [deny] });
    let leave = || {
        let flow = Flow {
            from: "a".to_owned(),
            to: OUTSIDE.to_owned(),
            port: 80,
            v6: false,
        };
        field.probe(&[flow]);
    };
    let record = then(
        (&field, &mut listener),
        ("out", rules("Egress", &spec)),
        &leave,
    );
    assert_eq!(
        record.to_string(),
        "deny team/a -> 198.51.100.1 tcp/80 by default/gnp/out egress[0] \
         (forward, host endpoint n1-eth0)"
    );
    assert_eq!(record.out_interface.as_deref(), Some("eth0"));
    agent.stop();
}
