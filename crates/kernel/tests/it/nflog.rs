//! Packets that rules log: read, told apart, and counted when nobody read them in time.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use oncilla_kernel::netns::Netns;
use oncilla_kernel::nflog::{Nflog, Read, interface_name};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const RULES: &str = "table inet t {
    chain o {
        type filter hook output priority 0;
        udp dport 9 log prefix \"oncilla D out\" group 1 snaplen 40 drop
    }
}";
const GROUP: u16 = 1;
/// More than fit into the queue.
const FLOOD: u64 = 60_000;

#[expect(
    clippy::disallowed_methods,
    reason = "the test writes its rules with the user's own tools"
)]
fn node() -> Netns {
    let netns = Netns::new().unwrap();
    for (program, arguments) in [("ip", &["link", "set", "lo", "up"][..]), ("nft", &[RULES])] {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        let status = netns.run(move || command.status()).unwrap().unwrap();
        assert!(status.success(), "{program}");
    }
    netns
}

fn send(netns: &Netns, count: u64) {
    netns
        .run(move || {
            let socket = UdpSocket::bind("127.0.0.1:5555").unwrap();
            for _ in 0..count {
                // The rule drops it.
                let refused = socket.send_to(b"hello, hello, hello", "127.0.0.1:9");
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
            }
        })
        .unwrap();
}

/// Everything there is; waits for the first.
fn all(log: &mut Nflog) -> (usize, u64, Read) {
    let patience = Timespec::try_from(Duration::from_secs(10)).unwrap();
    let mut fds = [PollFd::new(&*log, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1, "nothing came");
    let (mut packets, mut lost) = (0, 0);
    loop {
        let read = log.read().unwrap();
        packets += read.packets.len();
        lost += read.lost;
        if !read.has_more {
            return (packets, lost, read);
        }
    }
}

#[test]
fn a_logged_packet_is_read_with_its_prefix_and_interface() {
    let netns = node();
    let mut log = netns.run(|| Nflog::open(GROUP, 80)).unwrap().unwrap();
    assert_eq!(log.read().unwrap(), Read::default());
    send(&netns, 1);
    let (packets, lost, read) = all(&mut log);
    assert_eq!((packets, lost), (1, 0));
    let packet = &read.packets[0];
    assert_eq!(packet.prefix, "oncilla D out");
    assert_eq!(packet.in_interface, None);
    let index = packet.out_interface.unwrap();
    let name = netns.run(move || interface_name(index)).unwrap();
    assert_eq!(name.as_deref(), Some("lo"));
    assert_eq!(netns.run(|| interface_name(4711)).unwrap(), None);
    assert_eq!(packet.payload.len(), 40, "the rule's length");
    assert_eq!(packet.payload[0], 0x45);
    assert_eq!(&packet.payload[12..20], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(&packet.payload[20..24], [0x15, 0xb3, 0, 9]);

    let second = netns.run(|| Nflog::open(GROUP, 80)).unwrap();
    assert_eq!(second.unwrap_err().raw_os_error(), Some(refused()));
    drop(log);
    netns.run(|| Nflog::open(GROUP, 80)).unwrap().unwrap();
}

fn refused() -> i32 {
    rustix::io::Errno::PERM.raw_os_error()
}

#[test]
fn what_nobody_read_is_counted_and_holds_nothing_up() {
    let netns = node();
    let mut log = netns.run(|| Nflog::open(GROUP, 80)).unwrap().unwrap();
    send(&netns, FLOOD);
    let (first, lost_before, _) = all(&mut log);
    // The next packet's number says how many are missing.
    send(&netns, 1);
    let (second, lost, _) = all(&mut log);
    assert!(lost_before + lost > 0, "{first} of {FLOOD} fitted");
    assert_eq!((first + second) as u64 + lost_before + lost, FLOOD + 1);
}
