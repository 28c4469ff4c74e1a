//! The prober tells allowed from denied, on every protocol and both families, and fast.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use oncilla_kernel::conntrack::Conntrack;
use oncilla_net::{Icmp, Protocol, Verdict};
use oncilla_testkit::connect::{Connection, connect, listen};
use oncilla_testkit::prober::{Outcome, Probe, Prober, ProberError};
use oncilla_testkit::rng::Rng;
use oncilla_testkit::topology::{OutsideSpec, Topology};

use crate::topology::nft;

const PROTOCOLS: [Protocol; 4] = [
    Protocol::TCP,
    Protocol::UDP,
    Protocol::SCTP,
    Protocol::UDPLITE,
];

/// Drops port 81 of every protocol towards workloads, established flows aside.
const RULES: &str = "table inet t {
    chain f { type filter hook forward priority 0;
        ct state established,related accept
        meta l4proto { tcp, udp, sctp, udplite } th dport 81 drop
        meta l4proto { icmp, icmpv6 } oifname \"cali2\" drop
    }
}";

fn address(name: &str, v6: bool) -> IpAddr {
    let (node, pod) = name
        .strip_prefix("pod-")
        .and_then(|rest| rest.split_once('-'))
        .unwrap();
    let text = if v6 {
        format!("fd00::{node}:{pod}")
    } else {
        format!("10.0.{node}.{pod}")
    };
    text.parse().unwrap()
}

fn probe(
    prober: &Prober,
    (from, to): (&str, &str),
    v6: bool,
    protocol: Protocol,
    port: u16,
) -> Probe {
    Probe {
        from: prober.point(from).unwrap(),
        to: prober.point(to).unwrap(),
        src: address(from, v6),
        dst: address(to, v6),
        protocol,
        icmp: None,
        src_port: None,
        dst_port: port,
    }
}

const PAIRS: [(&str, &str); 3] = [
    ("pod-1-1", "pod-1-2"),
    ("pod-1-1", "pod-2-1"),
    ("pod-2-2", "pod-1-1"),
];

#[test]
fn tells_allow_from_deny_on_every_protocol() {
    let topology = Topology::two_nodes(2).unwrap();
    for node in topology.nodes().values() {
        nft(&node.netns, RULES);
    }
    let mut prober = topology.prober().unwrap();
    let mut probes = Vec::new();
    let mut expected = Vec::new();
    for pair in PAIRS {
        for v6 in [false, true] {
            for protocol in PROTOCOLS {
                for (port, verdict) in [(80, Verdict::Allow), (81, Verdict::Deny)] {
                    probes.push(probe(&prober, pair, v6, protocol, port));
                    expected.push(verdict);
                }
            }
        }
    }
    let outcomes = prober.run(&probes).unwrap();
    let verdicts: Vec<_> = outcomes.iter().map(Outcome::verdict).collect();
    assert_eq!(verdicts, expected);
    assert!(outcomes.iter().all(|outcome| outcome.left));
}

#[test]
fn tells_allow_from_deny_for_pings_and_bare_protocols() {
    let topology = Topology::two_nodes(2).unwrap();
    for node in topology.nodes().values() {
        nft(&node.netns, RULES);
    }
    let denied_at: Vec<&str> = topology
        .pods()
        .iter()
        .filter(|(_, pod)| pod.host_iface == "cali2")
        .map(|(name, _)| name.as_str())
        .collect();
    let mut prober = topology.prober().unwrap();
    for v6 in [false, true] {
        let icmp = if v6 { Protocol::ICMPV6 } else { Protocol::ICMP };
        for to in ["pod-1-1", "pod-1-2", "pod-2-1"] {
            let outcome = prober
                .run_one(&probe(&prober, ("pod-2-2", to), v6, icmp, 0))
                .unwrap();
            let allowed = !denied_at.contains(&to);
            assert_eq!(outcome.arrived, allowed, "{to} {v6}");
            let bare = probe(&prober, ("pod-2-2", to), v6, Protocol(47), 0);
            assert!(prober.run_one(&bare).unwrap().arrived);
        }
    }
}

#[test]
fn an_open_connection_does_not_colour_later_probes() {
    // Source ports named by the probe repeat; the listener's answers make the flow established.
    let topology = Topology::two_nodes(1).unwrap();
    let node = topology.node("node-2").unwrap();
    nft(
        &node.netns,
        "table inet t { chain f { type filter hook forward priority 0;\n ct state established accept\n}\n}",
    );
    let dst = address("pod-2-1", false);
    let _listener = listen(&topology.pod("pod-2-1").unwrap().netns, (dst, 80).into()).unwrap();
    let mut prober = topology.prober().unwrap();
    let mut named = probe(&prober, ("pod-1-1", "pod-2-1"), false, Protocol::TCP, 80);
    named.src_port = Some(1024);
    let free = probe(&prober, ("pod-1-1", "pod-2-1"), false, Protocol::TCP, 80);
    assert!(prober.run_one(&named).unwrap().arrived);
    assert!(prober.run_one(&free).unwrap().arrived);
    assert!(
        !Conntrack::open_in(&node.netns)
            .unwrap()
            .dump()
            .unwrap()
            .is_empty()
    );
    nft(&node.netns, "add rule inet t f tcp dport 80 drop");
    assert_eq!(prober.run_one(&named).unwrap().verdict(), Verdict::Deny);
    assert_eq!(prober.run_one(&free).unwrap().verdict(), Verdict::Deny);
}

#[test]
fn from_and_to_the_outside() {
    let topology = Topology::two_nodes(1).unwrap();
    nft(&topology.node("node-1").unwrap().netns, RULES);
    let mut prober = topology.prober().unwrap();
    let outside: IpAddr = "198.51.100.1".parse().unwrap();
    for (port, allowed) in [(80, true), (81, false)] {
        let inward = Probe {
            from: prober.point("outside").unwrap(),
            src: outside,
            ..probe(&prober, ("pod-2-1", "pod-1-1"), false, Protocol::TCP, port)
        };
        let outward = Probe {
            to: prober.point("outside").unwrap(),
            dst: outside,
            ..probe(&prober, ("pod-1-1", "pod-2-1"), false, Protocol::UDP, port)
        };
        assert_eq!(prober.run_one(&inward).unwrap().arrived, allowed);
        assert_eq!(prober.run_one(&outward).unwrap().arrived, allowed);
    }
}

#[test]
fn true_connections_agree_with_probes() {
    let topology = Topology::two_nodes(1).unwrap();
    nft(&topology.node("node-2").unwrap().netns, RULES);
    let mut prober = topology.prober().unwrap();
    for v6 in [false, true] {
        let dst = address("pod-2-1", v6);
        let netns = &topology.pod("pod-2-1").unwrap().netns;
        let _listeners = [80, 81].map(|port| listen(netns, (dst, port).into()).unwrap());
        for (port, connection) in [(80, Connection::Connected), (81, Connection::Silent)] {
            let deadline = Duration::from_millis(300);
            let from = &topology.pod("pod-1-1").unwrap().netns;
            assert_eq!(
                connect(from, (dst, port).into(), deadline).unwrap(),
                connection
            );
            let probe = probe(&prober, ("pod-1-1", "pod-2-1"), v6, Protocol::TCP, port);
            let arrived = prober.run_one(&probe).unwrap().arrived;
            assert_eq!(arrived, connection == Connection::Connected);
        }
    }
}

#[test]
fn a_cut_cable_is_an_error_and_no_verdict() {
    let topology = Topology::two_nodes(1).unwrap();
    let mut prober = topology.prober().unwrap();
    let probe = probe(&prober, ("pod-1-1", "pod-2-1"), false, Protocol::TCP, 80);
    let pod = topology.pod("pod-2-1").unwrap();
    oncilla_kernel::link::Links::open_in(&pod.netns)
        .unwrap()
        .set_down("eth0")
        .unwrap();
    assert!(matches!(
        prober.run_one(&probe),
        Err(ProberError::SentinelLost { .. } | ProberError::Packet { .. })
    ));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test prints a rate")]
fn thousands_a_second_and_every_one_right() {
    let topology = Topology::two_nodes(8).unwrap();
    for node in topology.nodes().values() {
        nft(&node.netns, RULES);
    }
    let mut prober = topology.prober().unwrap();
    let names: Vec<&str> = topology.pods().keys().map(String::as_str).collect();
    let mut rng = Rng::new(11);
    let mut probes = Vec::new();
    while probes.len() < 50_000 {
        let (from, to) = (*rng.pick(&names), *rng.pick(&names));
        if from != to {
            let port = if rng.chance(1, 2) { 80 } else { 81 };
            let protocol = *rng.pick(&PROTOCOLS);
            probes.push(probe(&prober, (from, to), rng.chance(1, 2), protocol, port));
        }
    }
    let start = Instant::now();
    let outcomes = prober.run(&probes).unwrap();
    let rate = 50_000.0 / start.elapsed().as_secs_f64();
    for (probe, outcome) in probes.iter().zip(&outcomes) {
        assert_eq!(
            outcome.arrived,
            probe.dst_port == 80,
            "{probe:?} {outcome:?}"
        );
        assert!(outcome.left);
    }
    println!("{rate:.0} probes a second, {:?}", prober.counters());
    assert_eq!(prober.counters().probes, 50_000);
    // More probes than source ports: the tables were emptied on the way.
    assert!(prober.counters().flushes >= 1);
}

/// Drops port 81 of what the host sends and port 82 of what it gets.
const HOST_RULES: &str = "table inet t {
    chain o { type filter hook output priority 0;
        meta l4proto { tcp, udp, sctp, udplite } th dport 81 drop
        meta l4proto 253 ip daddr 198.51.100.1 drop
    }
    chain i { type filter hook input priority 0;
        meta l4proto { tcp, udp, sctp, udplite } th dport 82 drop
        icmp code 3 drop
    }
}";

/// Every sort of place, with an address of each family.
const PLACES: [(&str, &str, &str); 6] = [
    ("node-1", "192.168.0.1", "fd01::1"),
    ("node-2", "192.168.0.2", "fd01::2"),
    ("pod-1-1", "10.0.1.1", "fd00::1:1"),
    ("pod-2-1", "10.0.2.1", "fd00::2:1"),
    ("outside", "198.51.100.1", "2001:db8::1"),
    ("beyond", "203.0.113.7", "3fff::7"),
];

/// Two nodes; one has rules for itself, a second interface with an address, and a host behind that.
fn network_with_hosts() -> Topology {
    let mut topology = Topology::two_nodes(1).unwrap();
    let spec = OutsideSpec {
        name: "beyond".to_owned(),
        addresses: vec!["203.0.113.7".parse().unwrap(), "3fff::7".parse().unwrap()],
    };
    topology.add_behind(&spec, ("node-1", "eth1")).unwrap();
    let own: IpAddr = "172.31.1.1".parse().unwrap();
    topology.add_node_address("node-1", "eth1", own).unwrap();
    nft(&topology.node("node-1").unwrap().netns, HOST_RULES);
    topology
}

#[test]
fn hosts_send_and_get_through_their_own_hooks() {
    let topology = network_with_hosts();
    let mut prober = topology.prober().unwrap();
    let mut probes = Vec::new();
    let mut expected = Vec::new();
    let pairs = { PLACES.iter() }.flat_map(|from| PLACES.iter().map(move |to| (from, to)));
    for ((from, src4, src6), (to, dst4, dst6)) in pairs.filter(|(from, to)| from != to) {
        for (src, dst) in [(src4, dst4), (src6, dst6)] {
            for (protocol, port) in { PROTOCOLS.into_iter() }
                .flat_map(|protocol| [80, 81, 82].map(|port| (protocol, port)))
            {
                probes.push(Probe {
                    from: prober.point(from).unwrap(),
                    to: prober.point(to).unwrap(),
                    src: src.parse().unwrap(),
                    dst: dst.parse().unwrap(),
                    protocol,
                    icmp: None,
                    src_port: None,
                    dst_port: port,
                });
                let is_dropped = *from == "node-1" && port == 81 || *to == "node-1" && port == 82;
                expected.push(!is_dropped);
            }
        }
    }
    let outcomes = prober.run(&probes).unwrap();
    for ((probe, outcome), expected) in probes.iter().zip(&outcomes).zip(expected) {
        assert_eq!(outcome.arrived, expected, "{probe:?}");
    }
}

/// A node's other address too, by the interface that does not have it; messages and bare packets.
#[test]
fn hosts_get_every_protocol_at_every_address() {
    let topology = network_with_hosts();
    let mut prober = topology.prober().unwrap();
    let mut judged = |from: &str, dst: &str, protocol, icmp| {
        let of = |address: &str| PLACES.iter().find(|(_, v4, _)| *v4 == address);
        let to = of(dst).map_or("node-1", |(name, ..)| name);
        let (_, src, _) = PLACES.iter().find(|(name, ..)| *name == from).unwrap();
        let probe = Probe {
            from: prober.point(from).unwrap(),
            to: prober.point(to).unwrap(),
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            protocol,
            icmp,
            src_port: None,
            dst_port: 0,
        };
        prober.run_one(&probe).unwrap().arrived
    };
    let icmp = |code| Some(Icmp { kind: 8, code });
    for from in ["outside", "beyond", "pod-1-1"] {
        for dst in ["192.168.0.1", "172.31.1.1"] {
            assert!(judged(from, dst, Protocol(89), None), "{from} {dst}");
            assert!(judged(from, dst, Protocol(253), None), "{from} {dst}");
            assert!(judged(from, dst, Protocol::ICMP, icmp(0)), "{from} {dst}");
            assert!(!judged(from, dst, Protocol::ICMP, icmp(3)), "{from} {dst}");
        }
    }
    assert!(judged("node-1", "198.51.100.1", Protocol(89), None));
    assert!(!judged("node-1", "198.51.100.1", Protocol(253), None));
}

#[test]
fn answers_belong_to_the_connections_of_their_probes() {
    let topology = network_with_hosts();
    let rules = "table inet a {
    chain f { type filter hook forward priority 0;
        ct state established accept
        ip saddr 10.0.1.1 drop
    }
}";
    nft(&topology.node("node-1").unwrap().netns, rules);
    let mut prober = topology.prober().unwrap();
    for (protocol, icmp) in [
        (Protocol::UDP, None),
        (Protocol::ICMP, Some(Icmp { kind: 8, code: 0 })),
    ] {
        let probe = Probe {
            icmp,
            ..probe(&prober, ("pod-2-1", "pod-1-1"), false, protocol, 80)
        };
        let outcome = prober.run_one(&probe).unwrap();
        assert!(outcome.arrived);
        let answer = probe.answer(outcome.src_port, (probe.dst, 80)).unwrap();
        assert!(prober.run_on(&[answer]).unwrap()[0].arrived, "{protocol}");
        prober.flush_connections().unwrap();
        assert!(!prober.run_on(&[answer]).unwrap()[0].arrived, "{protocol}");
    }
}
