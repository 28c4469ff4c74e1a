//! A host's raw sockets stand above its hooks: what policy drops is not sent and does not arrive.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_kernel::host_ip::{HostReceiver, HostSender, Sent};
use oncilla_kernel::netns::Netns;
use oncilla_net::{Protocol, family_of};

use crate::nf_tables::nft;

const UNKNOWN: Protocol = Protocol(253);
/// Drops what says 2 on its way out, and 3 on its way in.
const RULES: &str = "table inet t {
    chain o { type filter hook output priority 0;
        meta nfproto ipv4 @nh,160,8 2 drop
        meta nfproto ipv6 @nh,320,8 2 drop
    }
    chain i { type filter hook input priority 0;
        meta nfproto ipv4 @nh,160,8 3 drop
        meta nfproto ipv6 @nh,320,8 3 drop
    }
}";

/// A packet to itself, with `mark` behind its header.
fn packet(address: IpAddr, mark: u8) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = vec![0x45, 0, 0, 21, 0, 0, 0, 0, 64, UNKNOWN.0, 0, 0];
            bytes.extend(v4.octets());
            bytes.extend(v4.octets());
            bytes.push(mark);
            bytes
        }
        IpAddr::V6(v6) => {
            let mut bytes = vec![0x60, 0, 0, 0, 0, 1, UNKNOWN.0, 64];
            bytes.extend(v6.octets());
            bytes.extend(v6.octets());
            bytes.push(mark);
            bytes
        }
    }
}

#[test]
fn what_is_sent_is_delivered_unless_a_hook_drops_it() {
    let netns = Netns::new().unwrap();
    netns.loopback_up().unwrap();
    netns
        .run(|| {
            nft(&["-f", "-"], RULES).unwrap();
            let sender = HostSender::open().unwrap();
            for address in [
                IpAddr::from(Ipv4Addr::LOCALHOST),
                IpAddr::from(Ipv6Addr::LOCALHOST),
            ] {
                let family = family_of(address);
                let mut receiver = HostReceiver::open(family, UNKNOWN).unwrap();
                let sent = [1, 2, 3, 4].map(|mark| {
                    let packet = packet(address, mark);
                    sender.send(&packet, address).unwrap()
                });
                assert_eq!(sent, [Sent::Left, Sent::Dropped, Sent::Left, Sent::Left]);
                let mut buffer = [0; 64];
                for mark in [1, 4] {
                    let found = receiver.receive(&mut buffer).unwrap();
                    assert_eq!(found, Some(&[mark][..]), "{address}");
                }
                assert_eq!(receiver.receive(&mut buffer).unwrap(), None);
                assert_eq!(receiver.lost().unwrap(), 0);
            }
        })
        .unwrap();
}
