//! Networks are made, work, and leave the machine's own alone.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use oncilla_kernel::link::Links;
use oncilla_testkit::connect::{Connection, connect, listen};
use oncilla_testkit::net::Net;
use oncilla_testkit::topology::{OutsideSpec, PodSpec, Topology, TopologyError};

const DEADLINE: Duration = Duration::from_millis(300);

fn host_links() -> Vec<(u32, String, bool)> {
    let links = Links::open().unwrap().list().unwrap();
    links
        .into_iter()
        .map(|link| (link.index, link.name, link.up))
        .collect()
}

#[test]
fn every_pod_reaches_every_other_and_the_outside_on_both_families() {
    let before = host_links();
    let topology = Topology::two_nodes(2).unwrap();
    let mut listeners = Vec::new();
    let mut targets = Vec::new();
    for pod in topology.pods().values() {
        for addr in &pod.addresses {
            let addr = SocketAddr::new(*addr, 8000);
            listeners.push(listen(&pod.netns, addr).unwrap());
            targets.push(addr);
        }
    }
    let outside = topology.outside("outside").unwrap();
    for addr in &outside.addresses {
        let addr = SocketAddr::new(*addr, 8000);
        listeners.push(listen(&outside.netns, addr).unwrap());
        targets.push(addr);
    }
    let sources: Vec<_> = topology.pods().values().map(|pod| &pod.netns).collect();
    for netns in sources.into_iter().chain([&outside.netns]) {
        for addr in &targets {
            assert_eq!(
                connect(netns, *addr, DEADLINE).unwrap(),
                Connection::Connected
            );
        }
    }
    // A port without a listener is refused, not silent.
    let closed = SocketAddr::new("10.0.2.1".parse().unwrap(), 1);
    let pod = topology.pod("pod-1-1").unwrap();
    assert_eq!(
        connect(&pod.netns, closed, DEADLINE).unwrap(),
        Connection::Refused
    );
    drop(topology);
    assert_eq!(host_links(), before);
}

#[test]
fn nodes_reach_their_pods_and_each_other() {
    let topology = Topology::two_nodes(1).unwrap();
    let node = topology.node("node-1").unwrap();
    for addr in ["10.0.1.1", "10.0.2.1", "fd00::1:1", "fd00::2:1"] {
        let addr: std::net::IpAddr = addr.parse().unwrap();
        let pod = topology
            .pods()
            .values()
            .find(|pod| pod.addresses.contains(&addr))
            .unwrap();
        let addr = SocketAddr::new(addr, 80);
        let _listener = listen(&pod.netns, addr).unwrap();
        assert_eq!(
            connect(&node.netns, addr, DEADLINE).unwrap(),
            Connection::Connected
        );
    }
    let addr: SocketAddr = "192.168.0.2:81".parse().unwrap();
    let _listener = listen(&topology.node("node-2").unwrap().netns, addr).unwrap();
    assert_eq!(
        connect(&node.netns, addr, DEADLINE).unwrap(),
        Connection::Connected
    );
}

#[test]
fn arbitrary_pods_come_and_go() {
    let mut topology = Topology::two_nodes(0).unwrap();
    let pod = PodSpec {
        name: "red/web".to_owned(),
        node: "node-2".to_owned(),
        host_iface: Some("cali0123456789a".to_owned()),
        addresses: vec!["100.64.3.9".parse().unwrap()],
    };
    topology.add_pod(&pod).unwrap();
    assert!(matches!(
        topology.add_pod(&pod),
        Err(TopologyError::Duplicate { .. })
    ));
    let addr: SocketAddr = "100.64.3.9:7".parse().unwrap();
    let listener = listen(&topology.pod("red/web").unwrap().netns, addr).unwrap();
    let outside = OutsideSpec {
        name: "far".to_owned(),
        addresses: vec!["8.8.8.8".parse().unwrap()],
    };
    let from = std::sync::Arc::clone(&topology.add_outside(&outside).unwrap().netns);
    assert_eq!(
        connect(&from, addr, DEADLINE).unwrap(),
        Connection::Connected
    );
    drop(listener);
    topology.remove_pod("red/web").unwrap();
    let node = topology.node("node-2").unwrap();
    let links = Links::open_in(&node.netns).unwrap().list().unwrap();
    assert!(links.iter().all(|link| !link.name.starts_with("cali")));
    assert!(matches!(
        topology.remove_pod("red/web"),
        Err(TopologyError::Unknown { .. })
    ));
}

#[test]
fn a_panic_leaves_nothing() {
    let before = host_links();
    let id = std::panic::catch_unwind(|| {
        let topology = Topology::two_nodes(1).unwrap();
        let weak = std::sync::Arc::downgrade(&topology.node("node-1").unwrap().netns);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _topology = topology;
            panic!("on purpose");
        }));
        drop(result.unwrap_err());
        weak.upgrade().is_none()
    });
    assert!(id.unwrap());
    assert_eq!(host_links(), before);
}

#[test]
fn a_net_by_hand() {
    let mut net = Net::new();
    net.add_host("a").unwrap();
    net.add_node("router").unwrap();
    net.add_host("b").unwrap();
    net.join(("a", "eth0"), ("router", "left")).unwrap();
    net.join(("b", "eth0"), ("router", "right")).unwrap();
    for (place, address) in [
        (("a", "eth0"), "10.1.0.2/24"),
        (("router", "left"), "10.1.0.1/24"),
        (("b", "eth0"), "10.2.0.2/24"),
        (("router", "right"), "10.2.0.1/24"),
    ] {
        net.address(place, address.parse().unwrap()).unwrap();
    }
    net.route(
        "a",
        "0.0.0.0/0".parse().unwrap(),
        "10.1.0.1".parse().unwrap(),
    )
    .unwrap();
    net.route(
        "b",
        "0.0.0.0/0".parse().unwrap(),
        "10.2.0.1".parse().unwrap(),
    )
    .unwrap();
    let addr: SocketAddr = "10.2.0.2:99".parse().unwrap();
    let _listener = listen(net.netns("b").unwrap(), addr).unwrap();
    // The first packet may wait for a neighbour's answer here.
    let seconds = Duration::from_secs(5);
    assert_eq!(
        connect(net.netns("a").unwrap(), addr, seconds).unwrap(),
        Connection::Connected
    );
    drop(net.netns("c").unwrap_err());
}

/// Runs `nft` with `rules` inside a namespace.
#[expect(
    clippy::disallowed_methods,
    reason = "the test writes its rules with the user's own tool"
)]
pub(crate) fn nft(netns: &oncilla_kernel::netns::Netns, rules: &str) {
    let status = netns
        .run(|| Command::new("nft").arg(rules).status())
        .unwrap()
        .unwrap();
    assert!(status.success(), "nft refused {rules}");
}
