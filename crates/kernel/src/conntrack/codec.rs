//! conntrack messages as bytes: requests out, entries in. Anything malformed decodes to nothing, never to a panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_net::Protocol;

use super::{Flow, FlowCounters, Icmp, Status, TcpState, Tuple};
use crate::netlink::{attributes, nest, put};

/// `NFNL_SUBSYS_CTNETLINK << 8`, with the message's number.
pub(super) const CT_NEW: u16 = 1 << 8;
pub(super) const CT_GET: u16 = (1 << 8) | 1;
pub(super) const CT_DELETE: u16 = (1 << 8) | 2;
/// Multicast groups 1 and 3 as bits.
pub(super) const GROUP_NEW: u32 = 1;
pub(super) const GROUP_DESTROY: u32 = 1 << 2;

/// Address families as one byte, as `struct nfgenmsg` has them.
pub(super) const ANY_FAMILY: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Bytes of `struct nfgenmsg`.
const NFGEN_BYTES: usize = 4;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_TIMEOUT: u16 = 7;
const CTA_MARK: u16 = 8;
const CTA_COUNTERS_ORIG: u16 = 9;
const CTA_COUNTERS_REPLY: u16 = 10;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;

const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_PROTO_ICMP_ID: u16 = 4;
const CTA_PROTO_ICMP_TYPE: u16 = 5;
const CTA_PROTO_ICMP_CODE: u16 = 6;
const CTA_PROTO_ICMPV6_ID: u16 = 7;
const CTA_PROTO_ICMPV6_TYPE: u16 = 8;
const CTA_PROTO_ICMPV6_CODE: u16 = 9;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const CTA_COUNTERS_PACKETS: u16 = 1;
const CTA_COUNTERS_BYTES: u16 = 2;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;

/// Which end of which direction a dump is filtered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    OrigSrc,
    OrigDst,
    ReplySrc,
    ReplyDst,
}

impl End {
    pub(super) const ALL: [Self; 4] =
        [Self::OrigSrc, Self::OrigDst, Self::ReplySrc, Self::ReplyDst];
}

/// The header alone: everything of that address family.
pub(super) fn dump_request(family: u8) -> Vec<u8> {
    vec![family, 0, 0, 0]
}

/// Everything with `addr` at that end.
pub(super) fn filtered_request(addr: IpAddr, end: End) -> Vec<u8> {
    let (direction, kind, bit) = match (end, addr) {
        (End::OrigSrc, IpAddr::V4(_)) => (CTA_TUPLE_ORIG, CTA_IP_V4_SRC, 1_u32),
        (End::OrigSrc, IpAddr::V6(_)) => (CTA_TUPLE_ORIG, CTA_IP_V6_SRC, 1),
        (End::OrigDst, IpAddr::V4(_)) => (CTA_TUPLE_ORIG, CTA_IP_V4_DST, 2),
        (End::OrigDst, IpAddr::V6(_)) => (CTA_TUPLE_ORIG, CTA_IP_V6_DST, 2),
        (End::ReplySrc, IpAddr::V4(_)) => (CTA_TUPLE_REPLY, CTA_IP_V4_SRC, 1),
        (End::ReplySrc, IpAddr::V6(_)) => (CTA_TUPLE_REPLY, CTA_IP_V6_SRC, 1),
        (End::ReplyDst, IpAddr::V4(_)) => (CTA_TUPLE_REPLY, CTA_IP_V4_DST, 2),
        (End::ReplyDst, IpAddr::V6(_)) => (CTA_TUPLE_REPLY, CTA_IP_V6_DST, 2),
    };
    let mut out = dump_request(family(addr));
    nest(&mut out, direction, |tuple| {
        nest(tuple, CTA_TUPLE_IP, |ip| put_address(ip, kind, addr));
    });
    let (orig_bits, reply_bits) = match direction {
        CTA_TUPLE_ORIG => (bit, 0),
        _ => (0, bit),
    };
    nest(&mut out, CTA_FILTER, |filter| {
        put(filter, CTA_FILTER_ORIG_FLAGS, &orig_bits.to_ne_bytes());
        put(filter, CTA_FILTER_REPLY_FLAGS, &reply_bits.to_ne_bytes());
    });
    out
}

/// Delete the entry of that original direction; with an id, only that very entry.
pub(super) fn delete_request(orig: &Tuple, zone: u16, id: Option<u32>) -> Vec<u8> {
    let mut out = dump_request(family(orig.src));
    nest(&mut out, CTA_TUPLE_ORIG, |tuple| put_tuple(tuple, orig));
    if zone != 0 {
        put(&mut out, CTA_ZONE, &zone.to_be_bytes());
    }
    if let Some(id) = id {
        put(&mut out, CTA_ID, &id.to_be_bytes());
    }
    out
}

/// Decodes one entry from the bytes after the netlink header; none when either direction is not whole.
pub fn decode_flow(body: &[u8]) -> Option<Flow> {
    let mut orig = None;
    let mut reply = None;
    let mut rest = Rest::default();
    for (kind, value) in attributes(body.get(NFGEN_BYTES..)?) {
        match kind {
            CTA_TUPLE_ORIG => orig = tuple(value),
            CTA_TUPLE_REPLY => reply = tuple(value),
            _ => rest.take(kind, value),
        }
    }
    Some(Flow {
        orig: orig?,
        reply: reply?,
        zone: rest.zone,
        id: rest.id,
        status: rest.status,
        timeout_s: rest.timeout_s,
        mark: rest.mark,
        tcp_state: rest.tcp_state,
        orig_counters: rest.orig_counters,
        reply_counters: rest.reply_counters,
    })
}

/// Everything but the two directions: all of it may be absent.
#[derive(Default)]
struct Rest {
    zone: u16,
    id: Option<u32>,
    status: Status,
    timeout_s: Option<u32>,
    mark: u32,
    tcp_state: Option<TcpState>,
    orig_counters: Option<FlowCounters>,
    reply_counters: Option<FlowCounters>,
}

impl Rest {
    fn take(&mut self, kind: u16, value: &[u8]) {
        match kind {
            CTA_STATUS => self.status = Status(be32(value).unwrap_or(0)),
            CTA_PROTOINFO => self.tcp_state = tcp_state(value),
            CTA_TIMEOUT => self.timeout_s = be32(value),
            CTA_MARK => self.mark = be32(value).unwrap_or(0),
            CTA_COUNTERS_ORIG => self.orig_counters = counters(value),
            CTA_COUNTERS_REPLY => self.reply_counters = counters(value),
            CTA_ID => self.id = be32(value),
            CTA_ZONE => self.zone = be16(value).unwrap_or(0),
            _ => {}
        }
    }
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let mut src = None;
    let mut dst = None;
    let mut proto = None;
    for (kind, value) in attributes(bytes) {
        match kind {
            CTA_TUPLE_IP => {
                for (kind, value) in attributes(value) {
                    match kind {
                        CTA_IP_V4_SRC | CTA_IP_V6_SRC => src = address(value),
                        CTA_IP_V4_DST | CTA_IP_V6_DST => dst = address(value),
                        _ => {}
                    }
                }
            }
            CTA_TUPLE_PROTO => proto = Some(ports(value)),
            _ => {}
        }
    }
    let (protocol, src_port, dst_port, icmp) = proto?;
    let (src, dst) = (src?, dst?);
    if src.is_ipv4() != dst.is_ipv4() {
        return None;
    }
    Some(Tuple {
        src,
        dst,
        protocol: protocol?,
        src_port,
        dst_port,
        icmp,
    })
}

fn ports(bytes: &[u8]) -> (Option<Protocol>, u16, u16, Option<Icmp>) {
    let mut protocol = None;
    let (mut src_port, mut dst_port) = (0, 0);
    let (mut id, mut icmp_kind, mut code) = (None, 0, 0);
    for (kind, value) in attributes(bytes) {
        let first = value.first().copied();
        match kind {
            CTA_PROTO_NUM => protocol = first.map(Protocol),
            CTA_PROTO_SRC_PORT => src_port = be16(value).unwrap_or(0),
            CTA_PROTO_DST_PORT => dst_port = be16(value).unwrap_or(0),
            CTA_PROTO_ICMP_ID | CTA_PROTO_ICMPV6_ID => id = be16(value),
            CTA_PROTO_ICMP_TYPE | CTA_PROTO_ICMPV6_TYPE => icmp_kind = first.unwrap_or(0),
            CTA_PROTO_ICMP_CODE | CTA_PROTO_ICMPV6_CODE => code = first.unwrap_or(0),
            _ => {}
        }
    }
    let icmp = id.map(|id| Icmp {
        id,
        kind: icmp_kind,
        code,
    });
    (protocol, src_port, dst_port, icmp)
}

fn tcp_state(bytes: &[u8]) -> Option<TcpState> {
    let (_, tcp) = attributes(bytes).find(|(kind, _)| *kind == CTA_PROTOINFO_TCP)?;
    let (_, state) = attributes(tcp).find(|(kind, _)| *kind == CTA_PROTOINFO_TCP_STATE)?;
    Some(match *state.first()? {
        0 => TcpState::None,
        1 => TcpState::SynSent,
        2 => TcpState::SynRecv,
        3 => TcpState::Established,
        4 => TcpState::FinWait,
        5 => TcpState::CloseWait,
        6 => TcpState::LastAck,
        7 => TcpState::TimeWait,
        8 => TcpState::Close,
        9 => TcpState::SynSent2,
        other => TcpState::Other(other),
    })
}

fn counters(bytes: &[u8]) -> Option<FlowCounters> {
    let mut found = FlowCounters::default();
    for (kind, value) in attributes(bytes) {
        let number = u64::from_be_bytes(*value.first_chunk()?);
        match kind {
            CTA_COUNTERS_PACKETS => found.packets = number,
            CTA_COUNTERS_BYTES => found.bytes = number,
            _ => {}
        }
    }
    Some(found)
}

fn put_tuple(out: &mut Vec<u8>, tuple: &Tuple) {
    let (src, dst) = match tuple.src {
        IpAddr::V4(_) => (CTA_IP_V4_SRC, CTA_IP_V4_DST),
        IpAddr::V6(_) => (CTA_IP_V6_SRC, CTA_IP_V6_DST),
    };
    nest(out, CTA_TUPLE_IP, |ip| {
        put_address(ip, src, tuple.src);
        put_address(ip, dst, tuple.dst);
    });
    nest(out, CTA_TUPLE_PROTO, |proto| {
        put(proto, CTA_PROTO_NUM, &[tuple.protocol.0]);
        let Some(icmp) = tuple.icmp else {
            put(proto, CTA_PROTO_SRC_PORT, &tuple.src_port.to_be_bytes());
            put(proto, CTA_PROTO_DST_PORT, &tuple.dst_port.to_be_bytes());
            return;
        };
        let (id, kind, code) = match tuple.src {
            IpAddr::V4(_) => (CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE),
            IpAddr::V6(_) => (
                CTA_PROTO_ICMPV6_ID,
                CTA_PROTO_ICMPV6_TYPE,
                CTA_PROTO_ICMPV6_CODE,
            ),
        };
        put(proto, id, &icmp.id.to_be_bytes());
        put(proto, kind, &[icmp.kind]);
        put(proto, code, &[icmp.code]);
    });
}

fn put_address(out: &mut Vec<u8>, kind: u16, addr: IpAddr) {
    match addr {
        IpAddr::V4(v4) => put(out, kind, &v4.octets()),
        IpAddr::V6(v6) => put(out, kind, &v6.octets()),
    }
}

fn family(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(value).ok()?;
    Some(Ipv6Addr::from(v6).into())
}

fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn be16(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}
