//! The headers at the beginning of a logged packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_net::{Icmp, Packet, Protocol};

/// Extension headers of IPv6 that are looked behind: hop-by-hop options, routing, destination options.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
const FRAGMENT: u8 = 44;
/// Extension headers of one packet.
const EXTENSIONS_MAX: usize = 8;

/// What policy was asked about a packet whose bytes start with the IP header; `None` when it is none, or too little of it was
/// copied. Of a fragment that is not the first, ports are 0.
pub fn packet(bytes: &[u8]) -> Option<Packet> {
    match bytes.first()? >> 4 {
        4 => v4(bytes),
        6 => v6(bytes),
        _ => None,
    }
}

fn v4(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.first_chunk::<20>()?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let is_later_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    let src = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let dst = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    let body = if is_later_fragment {
        &[]
    } else {
        bytes.get(length.max(20)..).unwrap_or_default()
    };
    Some(with_body(
        (src.into(), dst.into()),
        Protocol(header[9]),
        body,
    ))
}

fn v6(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.first_chunk::<40>()?;
    let address = |from: usize| {
        let octets: [u8; 16] = header.get(from..from + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    let ends = (address(8)?, address(24)?);
    let (mut next, mut body) = (header[6], bytes.get(40..).unwrap_or_default());
    for _ in 0..EXTENSIONS_MAX {
        let Some([behind, size, offset_high, offset_low]) = body.first_chunk::<4>() else {
            break;
        };
        let length = if next == FRAGMENT {
            if u16::from_be_bytes([*offset_high, *offset_low]) & 0xfff8 != 0 {
                return Some(with_body(ends, Protocol(*behind), &[]));
            }
            8
        } else if EXTENSIONS.contains(&next) {
            (usize::from(*size) + 1) * 8
        } else {
            break;
        };
        next = *behind;
        body = body.get(length..).unwrap_or_default();
    }
    Some(with_body(ends, Protocol(next), body))
}

fn with_body((src, dst): (IpAddr, IpAddr), protocol: Protocol, body: &[u8]) -> Packet {
    let ports = body.first_chunk::<4>().filter(|_| protocol.has_ports());
    let [s0, s1, d0, d1] = ports.copied().unwrap_or_default();
    let is_icmp = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
    let icmp = body.first_chunk::<2>().filter(|_| is_icmp);
    Packet {
        src,
        dst,
        protocol,
        src_port: u16::from_be_bytes([s0, s1]),
        dst_port: u16::from_be_bytes([d0, d1]),
        icmp: icmp.map(|[kind, code]| Icmp {
            kind: *kind,
            code: *code,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::packet;

    fn v4(protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
        let [f0, f1] = fragment.to_be_bytes();
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, f0, f1, 64, protocol, 0, 0];
        bytes.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend(body);
        bytes
    }

    fn v6(next: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        for last in [1, 2] {
            bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        bytes.extend(body);
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let packet = packet(bytes).unwrap();
        let icmp = packet.icmp.map_or(String::new(), |icmp| format!(" {icmp}"));
        let found = format!(
            "{} {} {} {} {}{icmp}",
            packet.src, packet.dst, packet.protocol.0, packet.src_port, packet.dst_port
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn ports_and_types_are_found_behind_every_header() {
        let ports = [0x9c, 0x40, 0, 80];
        check(&v4(6, 0, &ports), "10.0.0.1 10.0.0.2 6 40000 80");
        check(&v4(17, 0x2000, &ports), "10.0.0.1 10.0.0.2 17 40000 80");
        check(&v4(17, 0x2010, &ports), "10.0.0.1 10.0.0.2 17 0 0");
        check(&v4(1, 0, &[8, 0, 1, 2]), "10.0.0.1 10.0.0.2 1 0 0 8");
        check(&v4(47, 0, &ports), "10.0.0.1 10.0.0.2 47 0 0");
        check(&v4(6, 0, &[1]), "10.0.0.1 10.0.0.2 6 0 0");
        check(&v6(132, &ports), "fd00::1 fd00::2 132 40000 80");
        check(&v6(58, &[128, 0]), "fd00::1 fd00::2 58 0 0 128");
        let hop_by_hop = [&[6, 0, 0, 0, 0, 0, 0, 0], &ports[..]].concat();
        check(&v6(0, &hop_by_hop), "fd00::1 fd00::2 6 40000 80");
        let first = [&[17, 0, 0, 1, 0, 0, 0, 0], &ports[..]].concat();
        check(&v6(44, &first), "fd00::1 fd00::2 17 40000 80");
        let later = [&[17, 0, 0, 9, 0, 0, 0, 0], &ports[..]].concat();
        check(&v6(44, &later), "fd00::1 fd00::2 17 0 0");
        let mut options = v4(6, 0, &[&[1, 1, 1, 1], &ports[..]].concat());
        options[0] = 0x46;
        check(&options, "10.0.0.1 10.0.0.2 6 40000 80");
        for bytes in [&[][..], &[0x45], &v4(6, 0, &[])[..19], &[0x51; 60]] {
            assert_eq!(packet(bytes), None);
        }
    }

    #[test]
    fn no_bytes_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            packet(bytes);
            for first in [0x45, 0x4f, 0x60] {
                let mut bytes = bytes.clone();
                bytes.insert(0, first);
                packet(&bytes);
            }
        });
    }
}
