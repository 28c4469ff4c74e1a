//! SCTP where the kernel has no SCTP sockets: the first packet of an association and its answer, by raw sockets.
//!
//! A probe sends INIT; a responder answers INIT ACK at a port that it serves, ABORT at any other. That is as much of an
//! association as connection tracking and policy need to decide. A pod without a responder answers as its kernel does:
//! "protocol unreachable". RFC 9260 §3 has the layout.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use oncilla_net::crc32c;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

/// The common header and the fixed part of INIT and INIT ACK.
const HEADER_BYTES: usize = 12;
const INIT_BYTES: usize = 20;
/// Longest packet that is looked at.
pub(crate) const PACKET_BYTES_MAX: usize = 2048;
/// Source ports of probes, one after the other.
const SRC_PORT_FIRST: u32 = 32_768;
const SRC_PORTS: u32 = 28_000;

/// The kinds of chunks that are spoken here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Chunk {
    Init = 1,
    InitAck = 2,
    Abort = 6,
}

/// A packet of one chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Packet {
    src_port: u16,
    dst_port: u16,
    /// The tag that the receiver chose; 0 in an INIT.
    tag: u32,
    chunk: Chunk,
    /// The tag that the sender chose; none in an ABORT.
    own_tag: u32,
}

impl Packet {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + INIT_BYTES + 8);
        out.extend(self.src_port.to_be_bytes());
        out.extend(self.dst_port.to_be_bytes());
        out.extend(self.tag.to_be_bytes());
        out.extend([0; 4]);
        out.extend([self.chunk as u8, 0]);
        if self.chunk == Chunk::Abort {
            out.extend(4_u16.to_be_bytes());
        } else {
            // An INIT ACK must have a cookie: here one of four bytes.
            let cookie = [0, 7, 0, 8, 0, 0, 0, 1];
            let parameters: &[u8] = if self.chunk == Chunk::InitAck {
                &cookie
            } else {
                &[]
            };
            let length = u16::try_from(INIT_BYTES + parameters.len()).unwrap_or(u16::MAX);
            out.extend(length.to_be_bytes());
            out.extend(self.own_tag.to_be_bytes());
            out.extend(0x0001_0000_u32.to_be_bytes());
            out.extend([0, 1, 0, 1]);
            out.extend(self.own_tag.to_be_bytes());
            out.extend(parameters);
        }
        let sum = crc32c(&out).to_le_bytes();
        if let Some(place) = out.get_mut(8..HEADER_BYTES) {
            place.copy_from_slice(&sum);
        }
        out
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        let (ports, tag) = (word(0)?, word(4)?);
        let chunk = match bytes.get(HEADER_BYTES)? {
            1 => Chunk::Init,
            2 => Chunk::InitAck,
            6 => Chunk::Abort,
            _ => return None,
        };
        let own_tag = if chunk == Chunk::Abort {
            0
        } else {
            word(HEADER_BYTES + 4)?
        };
        Some(Self {
            src_port: u16::try_from(ports >> 16).ok()?,
            dst_port: u16::try_from(ports & 0xffff).ok()?,
            tag,
            chunk,
            own_tag,
        })
    }
}

/// Opens a raw SCTP socket on an address, in the calling thread's namespace. It is handed out as a UDP socket: both send
/// and receive packets with an address, and nothing else is done with it.
fn raw(address: IpAddr) -> io::Result<UdpSocket> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(
        family,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::SCTP),
    )?;
    rustix::net::bind(&socket, &SocketAddr::new(address, 0))?;
    Ok(UdpSocket::from(socket))
}

/// What a raw socket received, without the header that it keeps in IPv4.
fn payload(bytes: &[u8], from: SocketAddr) -> Option<&[u8]> {
    if from.is_ipv6() {
        return Some(bytes);
    }
    let words = usize::from(bytes.first()? & 0x0f);
    bytes.get(words * 4..)
}

/// What answers SCTP at the addresses of one pod or host.
#[derive(Debug)]
pub(crate) struct RawResponder {
    pub(crate) sockets: Vec<UdpSocket>,
    pub(crate) ports: BTreeSet<u16>,
}

impl RawResponder {
    /// Opens it in the calling thread's namespace.
    pub(crate) fn open(addresses: &[IpAddr]) -> io::Result<Self> {
        let sockets = addresses.iter().map(|address| raw(*address));
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
            ports: BTreeSet::new(),
        })
    }
}

/// Answers what comes to a socket, for ever.
pub(crate) async fn answer(socket: UdpSocket, ports: BTreeSet<u16>) {
    let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else {
        return;
    };
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        // An error is about an earlier answer that could not be delivered; the socket goes on.
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let received = buffer.get(..length).and_then(|bytes| payload(bytes, peer));
        let Some(init) = received.and_then(Packet::parse) else {
            continue;
        };
        if init.chunk != Chunk::Init {
            continue;
        }
        let served = ports.contains(&init.dst_port);
        let reply = Packet {
            src_port: init.dst_port,
            dst_port: init.src_port,
            tag: init.own_tag,
            chunk: if served { Chunk::InitAck } else { Chunk::Abort },
            own_tag: init.own_tag.wrapping_add(1) | 1,
        };
        // Whoever does not get the answer asks again. A raw socket has no ports of its own.
        drop(
            socket
                .send_to(&reply.bytes(), SocketAddr::new(peer.ip(), 0))
                .await,
        );
    }
}

/// Opens the socket of a probe to an address, in the calling thread's namespace.
pub(crate) fn open(to: IpAddr) -> io::Result<UdpSocket> {
    raw(match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    })
}

/// Asks for an association, and waits for the answer.
pub(crate) async fn ask(socket: UdpSocket, to: SocketAddr) -> io::Result<()> {
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    socket.connect(SocketAddr::new(to.ip(), 0)).await?;
    let init = Packet {
        src_port: u16::try_from(SRC_PORT_FIRST + number % SRC_PORTS).unwrap_or(u16::MAX),
        dst_port: to.port(),
        tag: 0,
        chunk: Chunk::Init,
        own_tag: number << 1 | 1,
    };
    socket.send(&init.bytes()).await?;
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        let received = buffer.get(..length).and_then(|bytes| payload(bytes, peer));
        let Some(reply) = received.and_then(Packet::parse) else {
            continue;
        };
        // Every raw socket of the namespace gets every answer.
        if (reply.tag, reply.src_port, reply.dst_port) != (init.own_tag, to.port(), init.src_port) {
            continue;
        }
        match reply.chunk {
            Chunk::InitAck => return Ok(()),
            Chunk::Abort => return Err(io::ErrorKind::ConnectionRefused.into()),
            Chunk::Init => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Packet};

    #[test]
    fn packets_are_understood_again() {
        for chunk in [Chunk::Init, Chunk::InitAck, Chunk::Abort] {
            let packet = Packet {
                src_port: 40_000,
                dst_port: 9000,
                tag: 5,
                chunk,
                own_tag: if chunk == Chunk::Abort { 0 } else { 7 },
            };
            assert_eq!(Packet::parse(&packet.bytes()), Some(packet));
        }
        assert_eq!(Packet::parse(&[0; 12]), None);
        assert_eq!(Packet::parse(&[]), None);
    }
}
