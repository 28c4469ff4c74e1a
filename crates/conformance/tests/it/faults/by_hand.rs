//! A cluster made by hand, in which few real packets show what random clusters hardly ever meet: codes of messages,
//! services by their ports, what a host endpoint denies before translation and forwards.

use std::net::SocketAddr;

use oncilla_api::Object;
use oncilla_conformance::case::Change;
use oncilla_conformance::rig::Rig;
use oncilla_net::{Icmp, Packet, Protocol, Verdict};
use oncilla_testkit::cluster::Flight;
use oncilla_verdict::{Cluster, Evaluator};
use serde_json::{Value, json};

use crate::differential::Failure;
use crate::hosts::question;
use crate::real::ground::{Service, flight, shot, translate};

const NODE: &str = "172.31.0.1";
const WEB: &str = "10.65.0.1";
const DB: &str = "10.65.0.2";
const FAR: &str = "203.0.113.9";
/// The port of the node that leads to the database.
const NODE_PORT: u16 = 30_080;
const DB_PORT: u16 = 8080;

fn calico(kind: &str, name: &str, spec: &Value) -> Value {
    let mut metadata = json!({"name": name});
    if kind == "NetworkPolicy" {
        metadata["namespace"] = json!("red");
    }
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})
}

fn pod(name: &str, address: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "red", "labels": {"app": name}},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "main"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]}})
}

fn objects() -> Vec<Object> {
    let values = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red"}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
            "status": {"addresses": [{"type": "InternalIP", "address": NODE}]}}),
        pod("web", WEB),
        pod("db", DB),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "db-1", "namespace": "red", "labels": {"kubernetes.io/service-name": "db"}},
            "endpoints": [{"addresses": [DB]}], "ports": [{"port": DB_PORT, "protocol": "TCP"}]}),
        calico(
            "NetworkPolicy",
            "messages",
            &json!({"selector": "app == 'db'", "ingress": [
            {"action": "Deny", "protocol": "ICMP", "ipVersion": 4, "icmp": {"type": 8, "code": 1}},
            {"action": "Allow"}]}),
        ),
        calico(
            "NetworkPolicy",
            "services",
            &json!({"selector": "app == 'web'", "egress": [
            {"action": "Allow", "destination": {"services": {"name": "db", "namespace": "red"}}}]}),
        ),
        json!({"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
            "metadata": {"name": "n1-eth0", "labels": {"host": "n1"}},
            "spec": {"node": "n1", "interfaceName": "eth0", "expectedIPs": [NODE],
                "profiles": ["projectcalico-default-allow"]}}),
        calico(
            "GlobalNetworkPolicy",
            "node-ports",
            &json!({"selector": "has(host)", "preDNAT": true,
            "applyOnForward": true, "types": ["Ingress"], "ingress": [{"action": "Deny", "protocol": "TCP",
                "destination": {"ports": [NODE_PORT]}}]}),
        ),
        calico(
            "GlobalNetworkPolicy",
            "forwarded",
            &json!({"selector": "has(host)", "applyOnForward": true,
            "types": ["Ingress"], "ingress": [
                {"action": "Deny", "protocol": "TCP", "destination": {"ports": [8081]}},
                {"action": "Allow"}]}),
        ),
    ];
    let objects = values.into_iter();
    objects
        .map(|value| Object::from_manifest(value).expect("a valid manifest"))
        .collect()
}

fn packet(src: &str, dst: &str, protocol: Protocol, ports: (u16, u16)) -> Packet {
    Packet {
        src: src.parse().expect("a constant of this module"),
        dst: dst.parse().expect("a constant of this module"),
        protocol,
        src_port: ports.0,
        dst_port: ports.1,
        icmp: Icmp::echo(protocol),
    }
}

/// Packets, and whether they arrive.
fn flights() -> Vec<(Flight, Verdict)> {
    use Verdict::{Allow, Deny};
    let tcp = |src, dst, ports| flight(packet(src, dst, Protocol::TCP, ports));
    let echo = |code| {
        let mut flight = flight(packet(FAR, DB, Protocol::ICMP, (0, 0)));
        flight.packet.icmp = Some(Icmp { kind: 8, code });
        flight
    };
    let node_port = Flight {
        original: Some(SocketAddr::new(
            NODE.parse().expect("a constant of this module"),
            NODE_PORT,
        )),
        ..tcp(FAR, DB, (40_001, DB_PORT))
    };
    vec![
        (echo(0), Allow),
        (echo(1), Deny),
        (tcp(WEB, DB, (40_000, DB_PORT)), Allow),
        (tcp(WEB, DB, (DB_PORT, 81)), Deny),
        (node_port, Deny),
        (tcp(FAR, DB, (40_000, DB_PORT)), Allow),
        (tcp(FAR, WEB, (40_000, 8081)), Deny),
        (tcp(FAR, WEB, (40_000, 8082)), Allow),
    ]
}

/// Sends the packets, and compares with what the judge says.
pub(super) fn send() -> Result<(), Failure> {
    let objects = objects();
    let cluster: Cluster = objects.iter().cloned().collect();
    let mut rig = Rig::new(&["n1".to_owned()])?;
    let changes: Vec<Change> = objects.into_iter().map(Change::Apply).collect();
    rig.apply(&changes)?;
    rig.add_outside([FAR.parse().expect("a constant of this module")])?;
    let flights = flights();
    let services: Vec<Service> = { flights.iter() }
        .filter_map(|(flight, _)| {
            Some(Service {
                protocol: flight.packet.protocol,
                front: flight.original?,
                back: SocketAddr::new(flight.packet.dst, flight.packet.dst_port),
            })
        })
        .collect();
    translate(&rig, &["n1"], &services)?;
    let shots: Vec<_> = flights.iter().map(|(flight, _)| shot(flight)).collect();
    let evaluator = Evaluator::new(&cluster);
    for ((flight, expected), found) in flights.iter().zip(rig.shoot(&shots)?) {
        let answer = evaluator.decide(&question(flight));
        let answer = answer.map_err(|error| Failure::Broken(error.to_string()))?;
        if answer.verdict != *expected {
            return Err(Failure::Broken(format!(
                "the judge on {flight:#?}: {answer:#?}"
            )));
        }
        if found != answer.verdict {
            return Err(Failure::Mismatch(format!(
                "{flight:#?}: the kernel says {found}, the judge {answer:#?}"
            )));
        }
    }
    Ok(())
}
