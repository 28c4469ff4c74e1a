//! Packets, names and commands between pods, nodes and the outside.

use std::net::IpAddr;

use oncilla_lab::{
    HoldEvent, HoldRequest, ListenPort, Outcome, OutsideHost, Place, Probe, ProbeProtocol,
};

use crate::census::{Census, Machine, assert_empty};
use crate::fixture::{Home, cluster, objects, options, pod};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "pods_on_two_nodes_reach_each_other",
        pods_on_two_nodes_reach_each_other,
    ),
    ("names_resolve_inside_pods", names_resolve_inside_pods),
    (
        "exec_passes_the_exit_code_through",
        exec_passes_the_exit_code_through,
    ),
    (
        "fixed_addresses_and_outside_hosts_are_reached",
        fixed_addresses_and_outside_hosts_are_reached,
    ),
    (
        "a_held_connection_lives_and_dies_with_its_pod",
        a_held_connection_lives_and_dies_with_its_pod,
    ),
    ("the_responder_speaks_http", the_responder_speaks_http),
    ("sctp_is_answered", sctp_is_answered),
];

fn probe(from: &str, to: IpAddr, port: ListenPort) -> Probe {
    Probe {
        from: from.parse().unwrap(),
        to,
        protocol: match port.to_string().split('/').next() {
            Some("udp") => ProbeProtocol::Udp,
            Some("sctp") => ProbeProtocol::Sctp,
            _ => ProbeProtocol::Tcp,
        },
        port: port.port,
        deadline_ms: 5000,
    }
}

fn outcomes(lab: &oncilla_lab::Lab, probes: &[Probe]) -> Vec<Outcome> {
    let results = lab.connect_all(probes).unwrap();
    results.iter().map(|result| result.outcome).collect()
}

fn pods_on_two_nodes_reach_each_other() {
    let before = Machine::now();
    let home = Home::new();
    let lab = home.up(&options("t1", &cluster()));
    let census = Census::of(&home.base().join("t1"));
    let status = lab.status().unwrap();
    assert!(status.ready, "{status:?}");
    assert_eq!(status.nodes.len(), 2);
    let backend = pod(&status, "backend-1");
    assert_eq!(backend.node, "n2");
    assert_eq!(backend.listens, ["tcp/8000", "udp/53"]);
    assert_eq!(pod(&status, "quiet").notes, ["nothing listens"]);
    // A process is not yet a listener.
    assert_eq!(pod(&status, "sleeper").pids.len(), 1);
    assert_eq!(pod(&status, "sleeper").notes, ["nothing listens on tcp/9"]);
    let mut probes = Vec::new();
    for &address in &backend.addresses {
        for from in [
            "production/frontend",
            "quiet",
            "sleeper",
            "node:n1",
            "node:n2",
            "production/backend-1",
        ] {
            probes.push(probe(from, address, ListenPort::tcp(8000)));
            probes.push(probe(from, address, ListenPort::udp(53)));
        }
    }
    assert_eq!(probes.len(), 24);
    let found = outcomes(&lab, &probes);
    assert!(
        found.iter().all(|o| *o == Outcome::Connected),
        "{probes:?} {found:?}"
    );
    let address = *backend.addresses.first().unwrap();
    let nobody: IpAddr = "10.65.1.200".parse().unwrap();
    let others = [
        probe("production/frontend", address, ListenPort::tcp(8001)),
        probe("production/frontend", address, ListenPort::udp(54)),
        probe("no/pod", address, ListenPort::tcp(8000)),
        Probe {
            deadline_ms: 300,
            ..probe("production/frontend", nobody, ListenPort::tcp(80))
        },
    ];
    assert_eq!(
        outcomes(&lab, &others),
        [
            Outcome::Refused,
            Outcome::Refused,
            Outcome::Failed,
            Outcome::Silent
        ]
    );
    lab.down().unwrap();
    census.assert_gone();
    assert_empty(home.folder.path());
    before.assert_untouched();
}

fn names_resolve_inside_pods() {
    let home = Home::new();
    let lab = home.up(&options("t2", &cluster()));
    let status = lab.status().unwrap();
    let address = pod(&status, "backend-1")
        .addresses
        .first()
        .unwrap()
        .to_string();
    for (place, name) in [
        ("production/frontend", "backend"),
        ("production/frontend", "backend-1"),
        ("default/quiet", "backend.production"),
        ("default/quiet", "backend.production.svc.cluster.local"),
        ("node:n1", "backend.production"),
    ] {
        let text = home.text("t2", place, &["getent", "ahostsv4", name]);
        assert!(text.starts_with(&address), "{place} {name}: {text}");
    }
    // Another namespace's short names, and names that nobody has, are unknown at once.
    for name in ["backend", "no.such.name"] {
        let output = home.exec("t2", "default/quiet", &["getent", "ahostsv4", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
    lab.down().unwrap();
}

fn exec_passes_the_exit_code_through() {
    let home = Home::new();
    let lab = home.up(&options("t3", &cluster()));
    let output = home.exec("t3", "quiet", &["sh", "-c", "exit 7"]);
    assert_eq!(output.status.code(), Some(7));
    let output = home.exec("t3", "quiet", &["sh", "-c", "kill -9 $$"]);
    assert_eq!(output.status.code(), Some(137));
    let output = home.exec("t3", "default/nobody", &["true"]);
    assert_eq!(output.status.code(), Some(2));
    let text = home.text("t3", "quiet", &["cat", "/proc/1/comm", "/proc/net/dev"]);
    assert!(text.contains("eth0") && !text.contains("cali"), "{text}");
    let text = home.text("t3", "node:n1", &["ls", "/sys/class/net"]);
    assert!(text.contains("cali"), "{text}");
    lab.down().unwrap();
}

fn fixed_addresses_and_outside_hosts_are_reached() {
    let home = Home::new();
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: { name: a, annotations: { lab.oncilla/ips: "192.168.7.7,2001:db8:7::7" } }
spec: { nodeName: n1, containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: b }
spec: { nodeName: n2, containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }] }
status: { podIPs: [{ ip: 10.65.1.77 }] }
"#;
    let mut options = options("t4", &objects(manifest));
    let addresses = ["203.0.113.10", "2001:db8::10"].map(|ip| ip.parse::<IpAddr>().unwrap());
    options.outside = vec![OutsideHost {
        addresses: addresses.to_vec(),
        ..OutsideHost::new(addresses[0])
    }];
    let lab = home.up(&options);
    let status = lab.status().unwrap();
    let texts = |name: &str| -> Vec<String> {
        pod(&status, name)
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(texts("a"), ["192.168.7.7", "2001:db8:7::7"]);
    // A block's address may live on another node, and a pod may have one family only.
    assert_eq!(texts("b"), ["10.65.1.77"]);
    let mut probes = Vec::new();
    for (from, to) in [
        ("a", "10.65.1.77"),
        ("b", "192.168.7.7"),
        ("a", "203.0.113.10"),
        ("a", "2001:db8::10"),
        ("203.0.113.10", "192.168.7.7"),
        ("203.0.113.10", "2001:db8:7::7"),
        ("2001:db8::10", "10.65.1.77"),
    ] {
        probes.push(probe(from, to.parse().unwrap(), ListenPort::tcp(80)));
    }
    let found = outcomes(&lab, &probes);
    assert!(found.iter().all(|o| *o == Outcome::Connected), "{found:?}");
    let text = home.text("t4", "203.0.113.10", &["cat", "/proc/net/fib_trie"]);
    assert!(text.contains("203.0.113.10"), "{text}");
    lab.down().unwrap();
}

fn a_held_connection_lives_and_dies_with_its_pod() {
    let home = Home::new();
    let lab = home.up(&options("t5", &cluster()));
    let status = lab.status().unwrap();
    let request = HoldRequest {
        from: Place::pod("production", "frontend"),
        to: *pod(&status, "backend-1").addresses.first().unwrap(),
        port: 8000,
        interval_ms: 5,
        deadline_ms: 500,
    };
    let mut hold = lab.hold(&request).unwrap();
    for exchanges in 1..=10 {
        assert_eq!(hold.next_event().unwrap(), HoldEvent::Alive { exchanges });
    }
    // The way of the packets is cut, as a policy would.
    home.text("t5", "node:n2", &["ip", "link", "set", "eth0", "down"]);
    let (exchanges, reason) = hold.wait_dead().unwrap();
    assert!(exchanges >= 10, "{exchanges}");
    assert!(reason.contains("no answer within 500 ms"), "{reason}");
    let mut nobody = lab
        .hold(&HoldRequest {
            port: 1,
            to: "127.0.0.1".parse().unwrap(),
            ..request
        })
        .unwrap();
    let (exchanges, reason) = nobody.wait_dead().unwrap();
    assert_eq!(exchanges, 0);
    assert!(reason.contains("refused"), "{reason}");
    lab.down().unwrap();
}

fn the_responder_speaks_http() {
    let home = Home::new();
    let lab = home.up(&options("t6", &cluster()));
    let url = "http://backend:8000/";
    let text = home.text("t6", "production/frontend", &["curl", "-sS", url, url]);
    assert_eq!(text, "production/backend-1\nproduction/backend-1\n");
    let text = home.text(
        "t6",
        "production/frontend",
        &["curl", "-sSi", "-d", "a=b", url],
    );
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    lab.down().unwrap();
}

/// Where the kernel has no SCTP sockets (as here) as well as where it has.
fn sctp_is_answered() {
    let home = Home::new();
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: { name: client }
spec: { nodeName: n1, containers: [{ name: c, image: x }] }
---
apiVersion: v1
kind: Pod
metadata: { name: server, annotations: { lab.oncilla/listen: "sctp/9000,sctp/9002" } }
spec: { nodeName: n2, containers: [{ name: c, image: x }] }
"#;
    let lab = home.up(&options("t7", &objects(manifest)));
    let status = lab.status().unwrap();
    let server = pod(&status, "server");
    assert_eq!(server.listens, ["sctp/9000", "sctp/9002"]);
    assert_eq!(server.notes, [""; 0]);
    assert_eq!(server.addresses.len(), 2, "both families");
    for &address in &server.addresses {
        for (port, expected) in [
            (9000, Outcome::Connected),
            (9001, Outcome::Refused),
            (9002, Outcome::Connected),
        ] {
            let port: ListenPort = format!("sctp/{port}").parse().unwrap();
            let found = outcomes(&lab, &[probe("client", address, port)]);
            assert_eq!(found, [expected], "{address} {port}");
        }
    }
    // A kernel without the protocol, at the node itself, never accepts.
    let node: IpAddr = "127.0.0.1".parse().unwrap();
    let found = outcomes(
        &lab,
        &[Probe {
            deadline_ms: 300,
            ..probe("node:n1", node, "sctp/9000".parse().unwrap())
        }],
    );
    assert_ne!(found, [Outcome::Connected]);
    // The path to the pod is cut: silence, not refusal.
    home.text("t7", "node:n2", &["ip", "link", "set", "eth0", "down"]);
    let silent = Probe {
        deadline_ms: 300,
        ..probe("client", server.addresses[0], "sctp/9000".parse().unwrap())
    };
    assert_eq!(outcomes(&lab, &[silent]), [Outcome::Silent]);
    lab.down().unwrap();
}
