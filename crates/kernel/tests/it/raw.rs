//! Packet sockets: what goes out comes in, and what was lost is counted.

use std::time::Duration;

use oncilla_kernel::link::{Links, Mac, VethSpec};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::raw::{Layer, PacketError, PacketKind, PacketSocket};

const NEAR: Mac = Mac([2, 0, 0, 0, 0, 1]);
const FAR: Mac = Mac([2, 0, 0, 0, 0, 2]);
const WAIT: Duration = Duration::from_secs(5);

/// Two namespaces joined by a cable, without any protocol on it; interface numbers of both ends.
fn cable() -> (Netns, u32, Netns, u32) {
    let (near, far) = (Netns::new().unwrap(), Netns::new().unwrap());
    for netns in [&near, &far] {
        oncilla_kernel::sysctl::write_in(netns, &[("ipv6/conf/default/disable_ipv6", "1")])
            .unwrap();
    }
    let mut links = Links::open_in(&near).unwrap();
    let spec = VethSpec {
        name: "one".to_owned(),
        mac: Some(NEAR),
        peer_name: "two".to_owned(),
        peer_mac: Some(FAR),
        mtu_bytes: None,
    };
    links.create_veth(&spec, Some(&far)).unwrap();
    links.set_up("one").unwrap();
    let mut beyond = Links::open_in(&far).unwrap();
    beyond.set_up("two").unwrap();
    let (one, two) = (links.index("one").unwrap(), beyond.index("two").unwrap());
    (near, one, far, two)
}

/// An IPv4 header to nobody, with `mark` behind it.
fn packet(mark: u8) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 21, 0, 0, 0, 0, 1, 253, 0, 0];
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2, mark]);
    bytes
}

#[test]
fn packets_cross_in_order_with_their_particulars() {
    let (near, one, far, two) = cable();
    let sender = near
        .run(|| PacketSocket::open(Layer::Network, Some(one)))
        .unwrap()
        .unwrap();
    let receiver = far
        .run(|| PacketSocket::open_incoming(Layer::Network, None))
        .unwrap()
        .unwrap();
    for mark in 0..10 {
        sender.send_ip(&packet(mark), one, FAR).unwrap();
    }
    let mut buffer = [0; 64];
    let mut last = Duration::ZERO;
    for mark in 0..10 {
        assert!(receiver.wait(WAIT).unwrap());
        let capture = receiver.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..capture.length], packet(mark));
        assert_eq!((capture.iface_index, capture.kind), (two, PacketKind::Host));
        assert_eq!((capture.ethertype, capture.original_length), (0x0800, 21));
        assert!(capture.timestamp >= last && capture.timestamp > Duration::from_secs(1 << 30));
        last = capture.timestamp;
    }
    assert_eq!(receiver.receive(&mut buffer).unwrap(), None);
    assert!(!receiver.wait(Duration::from_millis(1)).unwrap());
    // Its own packets are seen by a socket that did not ask to be spared, save the one that sent them.
    let watcher = near
        .run(|| PacketSocket::open(Layer::Network, Some(one)))
        .unwrap()
        .unwrap();
    sender.send_ip(&packet(77), one, FAR).unwrap();
    assert!(watcher.wait(WAIT).unwrap());
    assert_eq!(
        watcher.receive(&mut buffer).unwrap().unwrap().kind,
        PacketKind::Outgoing
    );
}

#[test]
fn frames_carry_their_hardware_header() {
    let (near, one, far, two) = cable();
    let sender = near
        .run(|| PacketSocket::open_sender(Layer::Frame))
        .unwrap()
        .unwrap();
    let receiver = far
        .run(|| PacketSocket::open_incoming(Layer::Frame, Some(two)))
        .unwrap()
        .unwrap();
    let mut frame: Vec<u8> = FAR
        .0
        .into_iter()
        .chain(NEAR.0)
        .chain([0x08, 0x00])
        .collect();
    frame.extend(packet(5));
    sender.send_frame(&frame, one).unwrap();
    assert!(receiver.wait(WAIT).unwrap());
    let mut buffer = [0; 20];
    let capture = receiver.receive(&mut buffer).unwrap().unwrap();
    assert_eq!((capture.length, capture.original_length), (20, frame.len()));
    assert_eq!(buffer.as_slice(), &frame[..20]);
}

#[test]
fn a_full_queue_is_counted() {
    let (near, one, far, two) = cable();
    let sender = near
        .run(|| PacketSocket::open_sender(Layer::Network))
        .unwrap()
        .unwrap();
    let receiver = far
        .run(|| PacketSocket::open_incoming(Layer::Network, Some(two)))
        .unwrap()
        .unwrap();
    assert_eq!(receiver.counters().unwrap().lost, 0);
    let sent = 40_000;
    for _ in 0..sent {
        sender.send_ip(&packet(0), one, FAR).unwrap();
    }
    let counters = receiver.counters().unwrap();
    assert!(counters.lost > 0, "{counters:?}");
    let mut buffer = [0; 64];
    let mut received = 0;
    while receiver.receive(&mut buffer).unwrap().is_some() {
        received += 1;
    }
    assert_eq!(received, counters.packets - counters.lost);
    // Asking resets.
    assert_eq!(receiver.counters().unwrap().lost, 0);
}

#[test]
fn what_cannot_be_sent_says_so() {
    let (near, one, _far, _two) = cable();
    let sender = near
        .run(|| PacketSocket::open_sender(Layer::Network))
        .unwrap()
        .unwrap();
    assert!(matches!(
        sender.send_ip(&[], one, FAR),
        Err(PacketError::NotIp { bytes: 0 })
    ));
    assert!(matches!(
        sender.send_ip(&packet(0), 9999, FAR),
        Err(PacketError::Send { index: 9999, .. })
    ));
    let absent = near
        .run(|| PacketSocket::open(Layer::Network, Some(9999)))
        .unwrap();
    assert!(matches!(absent, Err(PacketError::Bind { index: 9999, .. })));
}
