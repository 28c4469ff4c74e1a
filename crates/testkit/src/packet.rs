//! Packets as bytes: built with right checksums and a cookie by which a capture is matched to what was sent, and
//! parsed back. The parser takes anything and never panics.

mod checksum;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_net::Protocol;

pub use checksum::internet;
pub use oncilla_net::crc32c;

/// What marks our payloads; the cookie follows.
const MAGIC: [u8; 4] = *b"ONCL";
const COOKIE_BYTES: usize = 12;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
/// An SCTP parameter type that receivers skip in silence (highest bits 10).
const SCTP_PARAMETER: u16 = 0x8abc;

/// The TCP flag bits.
pub mod tcp_flags {
    /// No more to send.
    pub const FIN: u8 = 0x01;
    /// Opening.
    pub const SYN: u8 = 0x02;
    /// Refused or cut.
    pub const RST: u8 = 0x04;
    /// Acknowledges.
    pub const ACK: u8 = 0x10;
}

/// What follows the IP header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// A TCP segment.
    Tcp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// See [`tcp_flags`].
        flags: u8,
    },
    /// A UDP datagram.
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
    },
    /// A lightweight UDP datagram (protocol 136), wholly covered by its checksum.
    UdpLite {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
    },
    /// An SCTP packet with one INIT chunk.
    SctpInit {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
    },
    /// An ICMP or `ICMPv6` message, by the family of the addresses.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Identifier, where the type has one.
        id: u16,
    },
    /// Nothing but the cookie, under any protocol number.
    Bare {
        /// The protocol.
        protocol: Protocol,
    },
}

impl Transport {
    /// A TCP SYN.
    pub const fn syn(src_port: u16, dst_port: u16) -> Self {
        Self::Tcp {
            src_port,
            dst_port,
            flags: tcp_flags::SYN,
        }
    }

    /// An echo request of the family of `dst`.
    pub const fn echo(dst: IpAddr, id: u16) -> Self {
        let kind = match dst {
            IpAddr::V4(_) => 8,
            IpAddr::V6(_) => 128,
        };
        Self::Icmp { kind, code: 0, id }
    }

    /// What opens a flow under `protocol`: SYN, datagram, INIT, echo request, or a bare packet.
    pub fn opening(protocol: Protocol, dst: IpAddr, src_port: u16, dst_port: u16) -> Self {
        match protocol {
            Protocol::TCP => Self::syn(src_port, dst_port),
            Protocol::UDP => Self::Udp { src_port, dst_port },
            Protocol::UDPLITE => Self::UdpLite { src_port, dst_port },
            Protocol::SCTP => Self::SctpInit { src_port, dst_port },
            Protocol::ICMP | Protocol::ICMPV6 => Self::echo(dst, src_port),
            _ => Self::Bare { protocol },
        }
    }
}

/// A packet to be built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PacketSpec {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// What follows.
    pub transport: Transport,
    /// By what a capture recognises it; its lowest 16 bits are the IPv4 identification too.
    pub cookie: u64,
    /// Routers it may pass.
    pub hops_max: u8,
}

/// The addresses were of two families.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a packet cannot go from {src} to {dst}: two address families")]
pub struct MixedFamilies {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
}

/// What was found in a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Parsed {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol after the IP header; IPv6 extension headers are not walked.
    pub protocol: Protocol,
    /// Source port; 0 without ports.
    pub src_port: u16,
    /// Destination port; 0 without ports.
    pub dst_port: u16,
    /// TCP flag bits.
    pub tcp_flags: Option<u8>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// The cookie, if it is one of ours.
    pub cookie: Option<u64>,
}

/// Builds the packet, from the IP header on.
pub fn build(spec: &PacketSpec) -> Result<Vec<u8>, MixedFamilies> {
    match (spec.src, spec.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Ok(build_v4(spec, src, dst)),
        (IpAddr::V6(src), IpAddr::V6(dst)) => Ok(build_v6(spec, src, dst)),
        (src, dst) => Err(MixedFamilies { src, dst }),
    }
}

/// Reads a packet from its IP header on; none when even that is not whole.
pub fn parse(packet: &[u8]) -> Option<Parsed> {
    match packet.first()? >> 4 {
        4 => parse_v4(packet),
        6 => parse_v6(packet),
        _ => None,
    }
}

/// The cookie of a packet of which only what follows the IP header is there.
pub fn cookie_behind(protocol: Protocol, payload: &[u8]) -> Option<u64> {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    parse_transport(nobody, nobody, protocol, payload).cookie
}

fn build_v4(spec: &PacketSpec, src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
    let (protocol, payload) = transport(spec);
    let mut out = Vec::with_capacity(IPV4_BYTES + payload.len());
    out.extend([0x45, 0]);
    out.extend(length(IPV4_BYTES + payload.len()));
    out.extend(low16(spec.cookie));
    // Don't fragment.
    out.extend([0x40, 0, spec.hops_max, protocol.0, 0, 0]);
    out.extend(src.octets());
    out.extend(dst.octets());
    let sum = internet(&[&out]);
    write_at(&mut out, 10, sum.to_be_bytes());
    out.extend(payload);
    out
}

fn build_v6(spec: &PacketSpec, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let (protocol, payload) = transport(spec);
    let mut out = Vec::with_capacity(IPV6_BYTES + payload.len());
    out.extend([0x60, 0, 0, 0]);
    out.extend(length(payload.len()));
    out.extend([protocol.0, spec.hops_max]);
    out.extend(src.octets());
    out.extend(dst.octets());
    out.extend(payload);
    out
}

/// The protocol and everything after the IP header, checksum included.
fn transport(spec: &PacketSpec) -> (Protocol, Vec<u8>) {
    let tail = cookie_bytes(spec.cookie);
    match spec.transport {
        Transport::Tcp {
            src_port,
            dst_port,
            flags,
        } => {
            let mut out = ports(src_port, dst_port);
            // The sequence number says which probe it was even where the payload is cut off.
            out.extend(low32(spec.cookie).to_be_bytes());
            out.extend([0; 4]);
            out.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            out.extend(tail);
            (Protocol::TCP, summed(spec, Protocol::TCP, out, 16))
        }
        Transport::Udp { src_port, dst_port } => {
            let mut out = ports(src_port, dst_port);
            out.extend(length(8 + tail.len()));
            out.extend([0, 0]);
            out.extend(tail);
            (Protocol::UDP, summed(spec, Protocol::UDP, out, 6))
        }
        Transport::UdpLite { src_port, dst_port } => {
            let mut out = ports(src_port, dst_port);
            // Coverage 0 is everything.
            out.extend([0, 0, 0, 0]);
            out.extend(tail);
            (Protocol::UDPLITE, summed(spec, Protocol::UDPLITE, out, 6))
        }
        Transport::SctpInit { src_port, dst_port } => {
            (Protocol::SCTP, sctp_init(src_port, dst_port, spec.cookie))
        }
        Transport::Icmp { kind, code, id } => {
            let mut out = vec![kind, code, 0, 0];
            out.extend(id.to_be_bytes());
            out.extend(low16(spec.cookie));
            out.extend(tail);
            icmp(spec, out)
        }
        Transport::Bare { protocol } => (protocol, tail.to_vec()),
    }
}

fn icmp(spec: &PacketSpec, mut out: Vec<u8>) -> (Protocol, Vec<u8>) {
    if spec.src.is_ipv6() {
        return (Protocol::ICMPV6, summed(spec, Protocol::ICMPV6, out, 2));
    }
    let sum = internet(&[&out]);
    write_at(&mut out, 2, sum.to_be_bytes());
    (Protocol::ICMP, out)
}

fn sctp_init(src_port: u16, dst_port: u16, cookie: u64) -> Vec<u8> {
    let mut out = ports(src_port, dst_port);
    // Verification tag 0, as an INIT must have; the checksum comes last.
    out.extend([0; 8]);
    let tail = cookie_bytes(cookie);
    let parameter_bytes = 4 + tail.len();
    out.extend([1, 0]);
    out.extend(length(20 + parameter_bytes));
    // The tag must not be 0.
    out.extend((low32(cookie) | 1).to_be_bytes());
    out.extend(0x0001_0000_u32.to_be_bytes());
    out.extend([0, 1, 0, 1]);
    out.extend(low32(cookie).to_be_bytes());
    out.extend(SCTP_PARAMETER.to_be_bytes());
    out.extend(length(parameter_bytes));
    out.extend(tail);
    let sum = crc32c(&out);
    write_at(&mut out, 8, sum.to_le_bytes());
    out
}

/// Puts the checksum over pseudo header and payload at `offset`.
fn summed(spec: &PacketSpec, protocol: Protocol, mut out: Vec<u8>, offset: usize) -> Vec<u8> {
    let mut pseudo = Vec::with_capacity(40);
    for addr in [spec.src, spec.dst] {
        match addr {
            IpAddr::V4(v4) => pseudo.extend(v4.octets()),
            IpAddr::V6(v6) => pseudo.extend(v6.octets()),
        }
    }
    pseudo.extend([0, protocol.0]);
    pseudo.extend(length(out.len()));
    let sum = match internet(&[&pseudo, &out]) {
        // 0 would mean "no checksum".
        0 if protocol == Protocol::UDP || protocol == Protocol::UDPLITE => 0xffff,
        sum => sum,
    };
    write_at(&mut out, offset, sum.to_be_bytes());
    out
}

fn parse_v4(packet: &[u8]) -> Option<Parsed> {
    let header = packet.first_chunk::<IPV4_BYTES>()?;
    let [
        first,
        _,
        _,
        _,
        _,
        _,
        f0,
        f1,
        _,
        protocol,
        _,
        _,
        addresses @ ..,
    ] = *header;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    // Only the first fragment has a transport header.
    let fragmented = u16::from_be_bytes([f0, f1]) & 0x1fff != 0;
    let start = usize::from(first & 0xf) * 4;
    let payload = packet.get(start..).filter(|_| !fragmented);
    Some(parse_transport(
        Ipv4Addr::new(s0, s1, s2, s3).into(),
        Ipv4Addr::new(d0, d1, d2, d3).into(),
        Protocol(protocol),
        payload.unwrap_or_default(),
    ))
}

fn parse_v6(packet: &[u8]) -> Option<Parsed> {
    let (header, payload) = packet.split_first_chunk::<IPV6_BYTES>()?;
    let (start, addresses) = header.split_first_chunk::<8>()?;
    let (src, dst) = addresses.split_first_chunk::<16>()?;
    let dst = dst.first_chunk::<16>()?;
    let [_, _, _, _, _, _, protocol, _] = *start;
    Some(parse_transport(
        Ipv6Addr::from(*src).into(),
        Ipv6Addr::from(*dst).into(),
        Protocol(protocol),
        payload,
    ))
}

fn parse_transport(src: IpAddr, dst: IpAddr, protocol: Protocol, payload: &[u8]) -> Parsed {
    let mut parsed = Parsed {
        src,
        dst,
        protocol,
        src_port: 0,
        dst_port: 0,
        tcp_flags: None,
        icmp: None,
        cookie: None,
    };
    if protocol.has_ports()
        && let Some([s0, s1, d0, d1]) = payload.first_chunk()
    {
        parsed.src_port = u16::from_be_bytes([*s0, *s1]);
        parsed.dst_port = u16::from_be_bytes([*d0, *d1]);
    }
    let tail_start = match protocol {
        Protocol::TCP => {
            parsed.tcp_flags = payload.get(13).copied();
            payload
                .get(12)
                .map_or(20, |byte| usize::from(byte >> 4) * 4)
        }
        Protocol::UDP | Protocol::UDPLITE => 8,
        // Common header, INIT chunk, parameter header.
        Protocol::SCTP => 12 + 20 + 4,
        Protocol::ICMP | Protocol::ICMPV6 => {
            parsed.icmp = payload.first_chunk().map(|[kind, code]| (*kind, *code));
            8
        }
        _ => 0,
    };
    parsed.cookie = payload.get(tail_start..).and_then(cookie);
    parsed
}

fn cookie(tail: &[u8]) -> Option<u64> {
    let (magic, rest) = tail.split_first_chunk::<4>()?;
    let number = u64::from_be_bytes(*rest.first_chunk()?);
    (*magic == MAGIC).then_some(number)
}

fn cookie_bytes(cookie: u64) -> [u8; COOKIE_BYTES] {
    let mut out = [0; COOKIE_BYTES];
    for (slot, byte) in out
        .iter_mut()
        .zip(MAGIC.into_iter().chain(cookie.to_be_bytes()))
    {
        *slot = byte;
    }
    out
}

fn ports(src_port: u16, dst_port: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend(src_port.to_be_bytes());
    out.extend(dst_port.to_be_bytes());
    out
}

fn low16(cookie: u64) -> [u8; 2] {
    let [.., high, low] = cookie.to_be_bytes();
    [high, low]
}

fn low32(cookie: u64) -> u32 {
    let [.., a, b, c, d] = cookie.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("packets built here are below 200 bytes")
        .to_be_bytes()
}

fn write_at<const N: usize>(out: &mut [u8], offset: usize, bytes: [u8; N]) {
    let place = out
        .get_mut(offset..offset + N)
        .expect("the header was written before its checksum");
    place.copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests;
