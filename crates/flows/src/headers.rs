//! The headers at the beginning of a logged packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_net::{Icmp, Packet, Protocol};

/// Extension headers of IPv6 that are looked behind, as the kernel does to find what rules ask about: hop-by-hop options,
/// routing, destination options.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
/// Extension headers of one packet. Each has 8 bytes at least, so what is copied of a packet ends before.
const EXTENSIONS_MAX: usize = 64;

/// What the headers of a logged packet say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers {
    /// What policy was asked about. What is missing is 0 or not there, and means nothing.
    pub packet: Packet,
    /// What policy may have asked about and these bytes do not say.
    pub missing: Option<Missing>,
}

/// What the first bytes of a packet do not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// The protocol, and what comes with it: there are more extension headers than were copied.
    Protocol,
    /// Ports, or the type of an ICMP message: they lie behind what was copied, or in another fragment.
    Ports,
}

/// The headers of a packet whose bytes start with the IP header; `None` when it is none, or when less than that was copied.
pub fn headers(bytes: &[u8]) -> Option<Headers> {
    match bytes.first()? >> 4 {
        4 => v4(bytes),
        6 => v6(bytes),
        _ => None,
    }
}

fn v4(bytes: &[u8]) -> Option<Headers> {
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
    let ends = (src.into(), dst.into());
    Some(with_body(ends, Protocol(header[9]), body))
}

fn v6(bytes: &[u8]) -> Option<Headers> {
    let header = bytes.first_chunk::<40>()?;
    let address = |from: usize| {
        let octets: [u8; 16] = header.get(from..from + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    let ends = (address(8)?, address(24)?);
    let (mut next, mut body) = (header[6], bytes.get(40..).unwrap_or_default());
    for _ in 0..EXTENSIONS_MAX {
        if !EXTENSIONS.contains(&next) && ![FRAGMENT, AUTHENTICATION].contains(&next) {
            return Some(with_body(ends, Protocol(next), body));
        }
        let Some([behind, size, offset_high, offset_low]) = body.first_chunk::<4>() else {
            break;
        };
        let length = match next {
            FRAGMENT => {
                if u16::from_be_bytes([*offset_high, *offset_low]) & 0xfff8 != 0 {
                    return Some(with_body(ends, Protocol(*behind), &[]));
                }
                8
            }
            AUTHENTICATION => (usize::from(*size) + 2) * 4,
            _ => (usize::from(*size) + 1) * 8,
        };
        next = *behind;
        body = body.get(length..).unwrap_or_default();
    }
    let mut headers = with_body(ends, Protocol(next), &[]);
    headers.missing = Some(Missing::Protocol);
    Some(headers)
}

fn with_body((src, dst): (IpAddr, IpAddr), protocol: Protocol, body: &[u8]) -> Headers {
    let ports = body.first_chunk::<4>().filter(|_| protocol.has_ports());
    let [s0, s1, d0, d1] = ports.copied().unwrap_or_default();
    let is_icmp = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
    let icmp = body.first_chunk::<2>().filter(|_| is_icmp);
    let is_short = (protocol.has_ports() && ports.is_none()) || (is_icmp && icmp.is_none());
    Headers {
        packet: Packet {
            src,
            dst,
            protocol,
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            icmp: icmp.map(|[kind, code]| Icmp {
                kind: *kind,
                code: *code,
            }),
        },
        missing: is_short.then_some(Missing::Ports),
    }
}

#[cfg(test)]
mod tests {
    use super::{Headers, Missing, headers};

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
        let Headers { packet, missing } = headers(bytes).unwrap();
        let icmp = packet.icmp.map_or(String::new(), |icmp| format!(" {icmp}"));
        let missing = missing.map_or(String::new(), |missing| format!(" without {missing:?}"));
        let found = format!(
            "{} {} {} {} {}{icmp}{missing}",
            packet.src, packet.dst, packet.protocol.0, packet.src_port, packet.dst_port
        );
        assert_eq!(found, expected);
    }

    /// An extension header of so many bytes, a multiple of 8.
    fn extension(next: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        (bytes[0], bytes[1]) = (next, u8::try_from(length / 8 - 1).unwrap());
        bytes
    }

    const PORTS: [u8; 4] = [0x9c, 0x40, 0, 80];

    #[test]
    fn ports_and_types_are_found_behind_every_header() {
        let ports = PORTS;
        check(&v4(6, 0, &ports), "10.0.0.1 10.0.0.2 6 40000 80");
        check(&v4(17, 0x2000, &ports), "10.0.0.1 10.0.0.2 17 40000 80");
        check(&v4(1, 0, &[8, 0, 1, 2]), "10.0.0.1 10.0.0.2 1 0 0 8");
        check(&v4(47, 0, &ports), "10.0.0.1 10.0.0.2 47 0 0");
        check(&v6(132, &ports), "fd00::1 fd00::2 132 40000 80");
        check(&v6(58, &[128, 0]), "fd00::1 fd00::2 58 0 0 128");
        check(&v6(59, &[]), "fd00::1 fd00::2 59 0 0");
        check(&v6(50, &ports), "fd00::1 fd00::2 50 0 0");
        let first = [&[17, 0, 0, 1, 0, 0, 0, 0], &ports[..]].concat();
        check(&v6(44, &first), "fd00::1 fd00::2 17 40000 80");
        let mut options = v4(6, 0, &[&[1, 1, 1, 1], &ports[..]].concat());
        options[0] = 0x46;
        check(&options, "10.0.0.1 10.0.0.2 6 40000 80");
        // An authentication header counts in units of 4 bytes.
        let authenticated = [&[6, 4], &[0; 22][..], &ports].concat();
        check(&v6(51, &authenticated), "fd00::1 fd00::2 6 40000 80");
        for kind in [0, 43, 60] {
            for length in [8, 16, 24, 200] {
                let body = [extension(6, length), ports.to_vec()].concat();
                check(&v6(kind, &body), "fd00::1 fd00::2 6 40000 80");
                let cut = &v6(kind, &body)[..40 + length + 3];
                check(cut, "fd00::1 fd00::2 6 0 0 without Ports");
            }
        }
        for bytes in [&[][..], &[0x45], &v4(6, 0, &[])[..19], &[0x51; 60]] {
            assert_eq!(headers(bytes), None);
        }
    }

    /// Hop-by-hop options, a route of six segments, a first fragment, authentication and destination options: 40 bytes and
    /// 192 of extensions.
    #[test]
    fn a_chain_of_all_of_them_fits_into_what_is_copied() {
        let chain = [
            extension(43, 16),
            extension(44, 8 + 6 * 16),
            vec![51, 0, 0, 1, 0, 0, 0, 1],
            [&[60, 4], &[0; 22][..]].concat(),
            extension(17, 40),
        ];
        let chain = chain.concat();
        let whole = v6(0, &[&chain, &PORTS[..]].concat());
        assert_eq!(whole.len(), 40 + 192 + 4);
        check(&whole, "fd00::1 fd00::2 17 40000 80");
        for length in 40..whole.len() {
            let Headers { packet, missing } = headers(&whole[..length]).unwrap();
            let expected = if length < 40 + 152 + 4 {
                Missing::Protocol
            } else {
                Missing::Ports
            };
            assert_eq!(missing, Some(expected), "{length} bytes");
            assert_eq!((packet.src_port, packet.dst_port), (0, 0));
        }
    }

    #[test]
    fn what_is_not_there_is_said_to_be_missing() {
        check(&v4(6, 0, &[1]), "10.0.0.1 10.0.0.2 6 0 0 without Ports");
        check(&v4(1, 0, &[8]), "10.0.0.1 10.0.0.2 1 0 0 without Ports");
        check(
            &v4(17, 0x2010, &PORTS),
            "10.0.0.1 10.0.0.2 17 0 0 without Ports",
        );
        let later = [&[17, 0, 0, 9, 0, 0, 0, 0], &PORTS[..]].concat();
        check(&v6(44, &later), "fd00::1 fd00::2 17 0 0 without Ports");
        let later = [&[47, 0, 0, 9, 0, 0, 0, 0], &PORTS[..]].concat();
        check(&v6(44, &later), "fd00::1 fd00::2 47 0 0");
        check(&v6(0, &[6, 9, 0, 0]), "fd00::1 fd00::2 6 0 0 without Ports");
        check(
            &v6(0, &[43, 9, 0, 0]),
            "fd00::1 fd00::2 43 0 0 without Protocol",
        );
        check(&v6(60, &[6]), "fd00::1 fd00::2 60 0 0 without Protocol");
        let endless = extension(60, 8).repeat(80);
        check(&v6(60, &endless), "fd00::1 fd00::2 60 0 0 without Protocol");
    }

    #[test]
    fn no_bytes_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            headers(bytes);
            for first in [0x45, 0x4f, 0x60] {
                let mut bytes = bytes.clone();
                bytes.insert(0, first);
                headers(&bytes);
            }
        });
    }
}
