//! The table of connections: read, filtered, deleted from, followed.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use oncilla_kernel::conntrack::{
    Conntrack, Flow, FlowEvent, Monitor, Status, TcpState, Tuple, decode_flow,
};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::plumb::{self, PodCable};
use oncilla_net::Protocol;
use rustix::net::{AddressFamily, SocketType, ipproto, socket};

const RULES: &str = "table inet t {
    chain f {
        type filter hook forward priority 0;
        ct state new counter
    }
    chain n {
        type nat hook prerouting priority -100;
        ip daddr 10.99.0.1 tcp dport 80 dnat ip to 10.7.0.2:8000
    }
}";

/// A node with two pods, 10.7.0.1 and 10.7.0.2 (`fd07::1`, `fd07::2`), and a service address 10.99.0.1:80 in front of the
/// second's port 8000. Accounting is on.
fn node_with_pods() -> (Netns, Netns, Netns) {
    let node = Netns::new().unwrap();
    plumb::prepare_node(&node).unwrap();
    let mut pods = [1, 2].map(|number| {
        let pod = Netns::new().unwrap();
        plumb::prepare_pod(&pod).unwrap();
        let cable = PodCable {
            host_iface: format!("cali{number}"),
            pod_iface: "eth0".to_owned(),
            addresses: vec![
                [10, 7, 0, number].into(),
                [0xfd07, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
            ],
            mtu_bytes: None,
        };
        plumb::plumb_pod(&node, &pod, &cable).unwrap();
        Some(pod)
    });
    nft(&node);
    oncilla_kernel::sysctl::write_in(&node, &[("netfilter/nf_conntrack_acct", "1")]).unwrap();
    let [one, two] = &mut pods;
    (node, one.take().unwrap(), two.take().unwrap())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test writes its rules with the user's own tool"
)]
fn nft(netns: &Netns) {
    let status = netns
        .run(|| Command::new("nft").arg(RULES).stdin(Stdio::null()).status())
        .unwrap();
    assert!(status.unwrap().success());
}

fn open(from: &Netns, to: &Netns, listen: &str, dial: &str) -> (TcpStream, TcpStream) {
    let listen: SocketAddr = listen.parse().unwrap();
    let dial: SocketAddr = dial.parse().unwrap();
    let listener = to.run(|| TcpListener::bind(listen)).unwrap().unwrap();
    let near = from
        .run(|| TcpStream::connect_timeout(&dial, Duration::from_secs(5)))
        .unwrap()
        .unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn tcp_through_a_service_address() {
    let (node, one, two) = node_with_pods();
    let (mut near, mut far) = open(&one, &two, "10.7.0.2:8000", "10.99.0.1:80");
    near.write_all(b"hello").unwrap();
    far.read_exact(&mut [0; 5]).unwrap();
    let mut table = Conntrack::open_in(&node).unwrap();
    let flows = table.dump().unwrap();
    let [flow] = flows.as_slice() else {
        panic!("{flows:?}")
    };
    let port = near.local_addr().unwrap().port();
    let tuple = |src: &str, dst: &str, src_port, dst_port| Tuple {
        src: addr(src),
        dst: addr(dst),
        protocol: Protocol::TCP,
        src_port,
        dst_port,
        icmp: None,
    };
    assert_eq!(flow.orig, tuple("10.7.0.1", "10.99.0.1", port, 80));
    assert_eq!(flow.reply, tuple("10.7.0.2", "10.7.0.1", 8000, port));
    assert_eq!(flow.tcp_state, Some(TcpState::Established));
    for bit in [
        Status::SEEN_REPLY,
        Status::ASSURED,
        Status::CONFIRMED,
        Status::DST_NAT,
    ] {
        assert!(flow.status.contains(bit), "{flow:?}");
    }
    assert!(!flow.status.contains(Status::SRC_NAT) && !flow.status.contains(Status::DYING));
    assert!(flow.timeout_s.unwrap() > 1000 && flow.id.is_some() && flow.zone == 0);
    assert!(flow.orig_counters.unwrap().packets >= 3);
    assert!(flow.reply_counters.unwrap().bytes >= 100);
}

#[test]
fn filtered_by_any_end_on_both_families() {
    let (node, one, two) = node_with_pods();
    let _service = open(&one, &two, "10.7.0.2:8000", "10.99.0.1:80");
    let _plain = open(&two, &one, "[fd07::1]:9", "[fd07::1]:9");
    let mut table = Conntrack::open_in(&node).unwrap();
    let count = |table: &mut Conntrack, text: &str| {
        let flows = table.dump_address(addr(text)).unwrap();
        assert!(flows.iter().all(|flow| flow.touches(addr(text))));
        flows.len()
    };
    assert_eq!(table.dump().unwrap().len(), 2);
    // Source, destination before NAT, destination after it.
    for ours in ["10.7.0.1", "10.99.0.1", "10.7.0.2", "fd07::1", "fd07::2"] {
        assert_eq!(count(&mut table, ours), 1, "{ours}");
    }
    for nobody in ["10.7.0.3", "fd07::3"] {
        assert_eq!(count(&mut table, nobody), 0, "{nobody}");
    }
}

#[test]
fn udp_and_pings_are_read_and_deleted() {
    let (node, one, two) = node_with_pods();
    for (from, to) in [
        ("10.7.0.1:0", "10.7.0.2:53"),
        ("[fd07::1]:0", "[fd07::2]:53"),
    ] {
        let to: SocketAddr = to.parse().unwrap();
        let _server = two.run(|| UdpSocket::bind(to)).unwrap().unwrap();
        let client = one.run(|| UdpSocket::bind(from)).unwrap().unwrap();
        client.send_to(b"?", to).unwrap();
    }
    ping(&one, "10.7.0.2");
    ping(&one, "fd07::2");
    let mut table = Conntrack::open_in(&node).unwrap();
    let flows = table.dump().unwrap();
    let protocols: Vec<u8> = flows.iter().map(|flow| flow.orig.protocol.0).collect();
    assert_eq!(flows.len(), 4, "{flows:?}");
    for protocol in [1, 17, 58] {
        assert!(protocols.contains(&protocol), "{protocols:?}");
    }
    for flow in &flows {
        if let Some(icmp) = flow.orig.icmp {
            let answer = flow.reply.icmp.unwrap();
            assert!(matches!((icmp.kind, answer.kind), (8, 0) | (128, 129)));
            assert_eq!((icmp.id, icmp.code), (answer.id, 0));
        }
        let stranger = Flow {
            id: flow.id.map(|id| id ^ 1),
            ..flow.clone()
        };
        assert!(
            !table.delete(&stranger).unwrap(),
            "another entry's id must not match"
        );
        assert!(table.delete(flow).unwrap());
        assert!(!table.delete(flow).unwrap());
    }
    assert_eq!(table.dump().unwrap(), []);
}

#[test]
fn deleted_by_tuple_and_flushed() {
    let (node, one, two) = node_with_pods();
    let _plain = open(&one, &two, "10.7.0.2:1", "10.7.0.2:1");
    let _other = open(&one, &two, "10.7.0.2:2", "10.7.0.2:2");
    let mut table = Conntrack::open_in(&node).unwrap();
    let flows = table.dump().unwrap();
    assert!(table.delete_tuple(&flows.first().unwrap().orig).unwrap());
    assert_eq!(table.dump().unwrap().len(), 1);
    table.flush().unwrap();
    assert_eq!(table.dump().unwrap(), []);
}

#[test]
fn beginnings_and_ends_are_followed() {
    let (node, one, two) = node_with_pods();
    let mut monitor = Monitor::open_in(&node).unwrap();
    assert_eq!(monitor.next(Duration::from_millis(1)).unwrap(), None);
    let _plain = open(&one, &two, "10.7.0.2:1", "10.7.0.2:1");
    let wait = Duration::from_secs(5);
    let Some(FlowEvent::New(begun)) = monitor.next(wait).unwrap() else {
        panic!("no beginning")
    };
    assert_eq!((begun.orig.dst, begun.orig.dst_port), (addr("10.7.0.2"), 1));
    let mut table = Conntrack::open_in(&node).unwrap();
    // What the event says is enough to find the entry again.
    assert_eq!(table.dump().unwrap().first().unwrap().id, begun.id);
    assert!(table.delete(&begun).unwrap());
    let Some(FlowEvent::Destroy(ended)) = monitor.next(wait).unwrap() else {
        panic!("no end")
    };
    assert_eq!((ended.orig, ended.id), (begun.orig, begun.id));
}

#[test]
fn garbage_decodes_to_nothing_and_never_panics() {
    bolero::check!().for_each(|bytes| {
        let _flow = decode_flow(bytes);
        // Random bytes rarely nest: lengths that fit are put where attributes are looked for.
        let mut shaped = bytes.to_vec();
        let total = shaped.len();
        for (start, kind) in [(4, 1_u16), (8, 1), (12, 1)] {
            if total > start + 4 {
                let length = u16::try_from(total - start).unwrap_or(u16::MAX);
                shaped[start..start + 2].copy_from_slice(&length.to_ne_bytes());
                shaped[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
            }
        }
        let _flow = decode_flow(&shaped);
    });
    assert_eq!(decode_flow(&[]), None);
}

/// One echo request through a ping socket, answered by the other side's kernel.
fn ping(netns: &Netns, to: &str) {
    oncilla_kernel::sysctl::write_in(netns, &[("ipv4/ping_group_range", "0 0")]).unwrap();
    let to = SocketAddr::new(addr(to), 0);
    let (family, protocol, kind) = match to {
        SocketAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        SocketAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let socket = netns
        .run(|| socket(family, SocketType::DGRAM, Some(protocol)))
        .unwrap()
        .unwrap();
    let socket = UdpSocket::from(socket);
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.send_to(&[kind, 0, 0, 0, 0, 0, 0, 1], to).unwrap();
    socket.recv(&mut [0; 64]).unwrap();
}
