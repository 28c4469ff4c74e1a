//! Round trips, known checksums, and garbage.

use super::*;

fn every_transport(dst: IpAddr) -> Vec<Transport> {
    vec![
        Transport::syn(1234, 80),
        Transport::Tcp {
            src_port: 80,
            dst_port: 1234,
            flags: tcp_flags::SYN | tcp_flags::ACK,
        },
        Transport::Udp {
            src_port: 5353,
            dst_port: 53,
        },
        Transport::UdpLite {
            src_port: 1,
            dst_port: 2,
        },
        Transport::SctpInit {
            src_port: 40_000,
            dst_port: 38_412,
        },
        Transport::echo(dst, 77),
        Transport::Bare {
            protocol: Protocol(47),
        },
    ]
}

fn pairs() -> [(IpAddr, IpAddr); 2] {
    [
        ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()),
        ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap()),
    ]
}

#[test]
fn every_kind_round_trips() {
    for (src, dst) in pairs() {
        for transport in every_transport(dst) {
            let cookie = 0xfeed_0123_4567_89ab;
            let packet = build(&PacketSpec {
                src,
                dst,
                transport,
                cookie,
                hops_max: 64,
            })
            .unwrap();
            let parsed = parse(&packet).unwrap();
            assert_eq!((parsed.src, parsed.dst), (src, dst));
            assert_eq!(parsed.cookie, Some(cookie), "{transport:?}");
            if let Transport::SctpInit { src_port, dst_port } = transport {
                assert_eq!((parsed.src_port, parsed.dst_port), (src_port, dst_port));
                assert_eq!(parsed.protocol, Protocol::SCTP);
            }
        }
    }
}

#[test]
fn checksums_verify() {
    // A sum over a block that holds its own right checksum is zero.
    for (src, dst) in pairs() {
        for transport in [
            Transport::syn(1, 2),
            Transport::Udp {
                src_port: 3,
                dst_port: 4,
            },
        ] {
            let spec = PacketSpec {
                src,
                dst,
                transport,
                cookie: 99,
                hops_max: 3,
            };
            let packet = build(&spec).unwrap();
            let (header, start) = match src {
                IpAddr::V4(_) => (&packet[12..20], 20),
                IpAddr::V6(_) => (&packet[8..40], 40),
            };
            let payload = &packet[start..];
            let protocol = parse(&packet).unwrap().protocol.0;
            let mut pseudo = header.to_vec();
            pseudo.extend([0, protocol]);
            pseudo.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            assert_eq!(internet(&[&pseudo, payload]), 0);
            if src.is_ipv4() {
                assert_eq!(internet(&[&packet[..20]]), 0);
            }
        }
    }
}

#[test]
fn crc32c_matches_the_published_check_value() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn two_families_do_not_mix() {
    let [(v4, _), (v6, _)] = pairs();
    let spec = PacketSpec {
        src: v4,
        dst: v6,
        transport: Transport::syn(1, 2),
        cookie: 0,
        hops_max: 64,
    };
    assert_eq!(build(&spec), Err(MixedFamilies { src: v4, dst: v6 }));
}

#[test]
fn garbage_never_panics() {
    bolero::check!().for_each(|bytes| {
        let _parsed = parse(bytes);
        // Random bytes rarely begin like a packet.
        for first in [0x45, 0x4f, 0x60] {
            let mut packet = bytes.to_vec();
            if let Some(byte) = packet.first_mut() {
                *byte = first;
            }
            let _parsed = parse(&packet);
        }
    });
}

#[test]
fn cut_packets_never_panic_and_lose_their_cookie() {
    for (src, dst) in pairs() {
        for transport in every_transport(dst) {
            let spec = PacketSpec {
                src,
                dst,
                transport,
                cookie: 1,
                hops_max: 64,
            };
            let packet = build(&spec).unwrap();
            for length in 0..packet.len() {
                let cut = parse(&packet[..length]);
                assert_eq!(cut.and_then(|parsed| parsed.cookie), None);
            }
        }
    }
}
