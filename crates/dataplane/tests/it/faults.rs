//! Planted faults of host endpoints: real connections differ from the interpreter, or the kernel holds something
//! else than the program.

use std::net::SocketAddr;
use std::sync::Arc;

use oncilla_kernel::conntrack::Conntrack;
use oncilla_kernel::netns::Netns;
use oncilla_net::{Packet, Protocol, Verdict, fault};
use oncilla_program::{Hook, Passage, Program, ProgramDelta, TierEnd};
use oncilla_testkit::connect::{Connection, connect, listen};

use super::hosts::{ALLOW, FAR, IN, NODE, OUT, POD, SILENCE, World, program};

/// The ports that are tried: one that policy opens, one that it does not, a failsafe.
const PORTS: [u16; 4] = [8000, 8001, 22, FREE];
/// The port that untracked policy opens.
const FREE: u16 = 8002;

/// A host that is closed but for one port, on all interfaces; the same on its own interface and untracked.
fn programs() -> [Program; 2] {
    let star = program(&[(
        "*",
        &[
            (Hook::Normal, IN, &[(8000, ALLOW)], TierEnd::Deny),
            (Hook::Normal, OUT, &[], TierEnd::Deny),
        ],
    )]);
    let named = program(&[(
        "eth0",
        &[
            (Hook::Untracked, IN, &[(FREE, ALLOW)], TierEnd::Deny),
            (Hook::Normal, IN, &[], TierEnd::Deny),
            (Hook::Normal, OUT, &[], TierEnd::Pass),
        ],
    )]);
    [star, named]
}

/// What differs, first.
fn difference(name: Option<&'static str>) -> Option<String> {
    let [star, named] = programs();
    let mut world = World::start(&star, name);
    let before = compare(&world, &star).or_else(|| untracked(&world, &star));
    before.or_else(|| {
        let _armed = name.map(fault::arm);
        let named = world.with_pod(&named);
        let dataplane = world.dataplane.as_mut().unwrap();
        // A step that changes elements only, then one that replaces the table.
        let mut moved = dataplane.program().clone();
        let host = moved.hosts.remove("*").unwrap();
        moved.hosts.insert("eth0".into(), host);
        for next in [&moved, &named] {
            let delta = ProgramDelta::between(dataplane.program(), next);
            dataplane.apply(&delta, next).unwrap();
            let differences = dataplane.verify().unwrap();
            if let Some(difference) = differences.first() {
                return Some(difference.to_string());
            }
        }
        compare(&world, &named).or_else(|| untracked(&world, &named))
    })
}

fn compare(world: &World, program: &Program) -> Option<String> {
    let cases: [(&Netns, &Netns, [&str; 2], Passage<'_>); 3] = [
        (
            &world.far,
            &world.node,
            [FAR[0], NODE[0]],
            Passage::input("eth0"),
        ),
        (
            &world.node,
            &world.far,
            [NODE[0], FAR[0]],
            Passage::output("eth0"),
        ),
        (
            &world.node,
            &world.pod,
            [NODE[0], POD[0]],
            Passage::output("cali0"),
        ),
    ];
    for (from, to, [src, dst], passage) in cases {
        for port in PORTS {
            let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
            let packet = Packet {
                src,
                dst,
                protocol: Protocol::TCP,
                src_port: 40_000,
                dst_port: port,
                icmp: None,
            };
            let outcome = program.judge(&passage, &packet);
            let _listener = listen(to, SocketAddr::new(dst, port)).unwrap();
            let found = connect(from, SocketAddr::new(dst, port), SILENCE).unwrap();
            // An untracked connection needs rules for both ways, which one packet cannot say.
            let is_expected = outcome.accepted == Some(Hook::Untracked)
                || (found == Connection::Connected) == (outcome.verdict == Verdict::Allow);
            if !is_expected {
                return Some(format!(
                    "{src} to {dst} port {port}: {found:?}, {:?}",
                    outcome.decided
                ));
            }
        }
    }
    None
}

/// A flow that is followed though an untracked rule allowed it.
fn untracked(world: &World, program: &Program) -> Option<String> {
    let is_untracked =
        |host: &oncilla_program::HostEndpoint| host.groups.contains_key(&(Hook::Untracked, IN));
    if !program.hosts.values().any(is_untracked) {
        return None;
    }
    let node = Arc::clone(&world.node);
    let flows = node
        .run(|| Conntrack::open().unwrap().dump().unwrap())
        .unwrap();
    let own: std::net::IpAddr = NODE[0].parse().unwrap();
    let followed = flows
        .iter()
        .find(|flow| (flow.orig.dst, flow.orig.dst_port) == (own, FREE) && flow.orig.src != own);
    followed.map(|flow| format!("followed: {flow:?}"))
}

#[test]
fn every_fault_of_host_endpoints_is_caught() {
    assert_eq!(difference(None), None, "nothing is armed");
    for name in [
        "nft/failsafes-forgotten",
        "nft/star-covers-nothing",
        "nft/host-to-workload-policed",
        "nft/untracked-is-tracked",
        "dataplane/host-dispatch-forgotten",
    ] {
        assert!(difference(Some(name)).is_some(), "{name} is not caught");
    }
}

/// Whether the pod is reached whose interface nobody knows, and is of the second of two prefixes.
fn reaches_unknown(name: Option<&'static str>) -> bool {
    let first = program(&[]);
    let mut world = World::start(&first, None);
    let _armed = name.map(fault::arm);
    let mut both = first.clone();
    both.settings.interface_prefixes = first.settings.interface_prefixes.with(["aa".into()]);
    let dataplane = world.dataplane.as_mut().unwrap();
    let delta = ProgramDelta::between(dataplane.program(), &both);
    dataplane.apply(&delta, &both).unwrap();
    let at = SocketAddr::new(POD[0].parse().unwrap(), 8000);
    let _listener = listen(&world.pod, at).unwrap();
    connect(&world.far, at, SILENCE).unwrap() == Connection::Connected
}

#[test]
fn a_prefix_of_workloads_that_is_forgotten_is_caught() {
    assert!(!reaches_unknown(None));
    assert!(reaches_unknown(Some("nft/first-interface-prefix-only")));
}
