//! Raw IP sockets (`SOCK_RAW`): packets that a host sends itself, and packets that are delivered to it.
//!
//! Where a packet socket stands below every firewall hook, these stand above: what is sent passes the host's output
//! hooks like anything that one of its processes sends, and what is received has passed its input hooks.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use oncilla_net::{Family, Protocol};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with, sockopt,
};
use thiserror::Error;

use crate::raw::QUEUE_BYTES;

/// The 32-bit counters of `SO_MEMINFO`, the last of which is what the socket lost.
const MEMORY_COUNTERS: usize = 9;
const IPV4_BYTES_MIN: usize = 20;

/// What went wrong with a host's raw socket.
#[derive(Debug, Error)]
pub enum HostIpError {
    /// It could not be opened.
    #[error("no raw IP socket could be opened: CAP_NET_RAW is needed")]
    Open(#[source] io::Error),
    /// A packet could not be sent, and no policy was the reason.
    #[error("a packet to {dst} could not be sent")]
    Send {
        /// Where to.
        dst: IpAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Receiving failed.
    #[error("packets could not be received")]
    Receive(#[source] io::Error),
    /// The kernel does not say what was lost.
    #[error("the socket does not say what it lost")]
    Counters(#[source] io::Error),
}

/// What the host's own output hooks made of a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sent {
    /// It left.
    Left,
    /// A hook dropped it.
    Dropped,
}

/// Sends packets, headers included, as the host that it was opened in.
#[derive(Debug)]
pub struct HostSender {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl HostSender {
    /// Opens a sender in the present network namespace.
    pub fn open() -> Result<Self, HostIpError> {
        let protocol = Some(ipproto::RAW);
        Ok(Self {
            v4: open(AddressFamily::INET, protocol)?,
            v6: open(AddressFamily::INET6, protocol)?,
        })
    }

    /// Sends a whole IP packet, whose destination is `dst`. All hooks have seen it when this returns.
    pub fn send(&self, packet: &[u8], dst: IpAddr) -> Result<Sent, HostIpError> {
        let socket = match dst {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        loop {
            return match sendto(socket, packet, SendFlags::empty(), &SocketAddr::new(dst, 0)) {
                Ok(_) => Ok(Sent::Left),
                // The firewall's way of saying no to a sender.
                Err(Errno::PERM) => Ok(Sent::Dropped),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(HostIpError::Send {
                    dst,
                    source: errno.into(),
                }),
            };
        }
    }
}

/// Takes what is delivered to the host under one protocol of one family. Others get it as well.
#[derive(Debug)]
pub struct HostReceiver {
    fd: OwnedFd,
    family: Family,
    protocol: Protocol,
    lost_before: u32,
}

impl HostReceiver {
    /// Opens a receiver in the present network namespace.
    pub fn open(family: Family, protocol: Protocol) -> Result<Self, HostIpError> {
        let domain = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let number = u32::from(protocol.0).try_into().ok();
        let fd = open(domain, number.map(rustix::net::Protocol::from_raw))?;
        let queue = sockopt::set_socket_recv_buffer_size_force(&fd, QUEUE_BYTES);
        queue.map_err(|errno| HostIpError::Open(errno.into()))?;
        Ok(Self {
            fd,
            family,
            protocol,
            lost_before: 0,
        })
    }

    /// The protocol.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes the next packet and returns what follows its IP header; none when the queue is empty. Longer ones are cut.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, HostIpError> {
        let length = loop {
            match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) => break length,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(HostIpError::Receive(errno.into())),
            }
        };
        let packet = buffer.get(..length).unwrap_or_default();
        // Only IPv4 keeps its header.
        let header = match (self.family, packet.first()) {
            (Family::V4, Some(first)) => (usize::from(first & 0xf) * 4).max(IPV4_BYTES_MIN),
            (Family::V4, None) | (Family::V6, _) => 0,
        };
        Ok(Some(packet.get(header..).unwrap_or_default()))
    }

    /// How many packets were lost since the last call because the queue was full. Minimum kernel 4.12.
    pub fn lost(&mut self) -> Result<u32, HostIpError> {
        let mut counters = [0_u32; MEMORY_COUNTERS];
        let mut length =
            libc::socklen_t::try_from(size_of_val(&counters)).expect("36 bytes are few");
        // SAFETY: the buffer is live and `length` is its size.
        let code = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                (&raw mut counters).cast(),
                &raw mut length,
            )
        };
        if code != 0 {
            return Err(HostIpError::Counters(io::Error::last_os_error()));
        }
        let [.., now] = counters;
        let lost = now.wrapping_sub(self.lost_before);
        self.lost_before = now;
        Ok(lost)
    }
}

fn open(
    domain: AddressFamily,
    protocol: Option<rustix::net::Protocol>,
) -> Result<OwnedFd, HostIpError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let opened = socket_with(domain, SocketType::RAW, flags, protocol);
    opened.map_err(|errno| HostIpError::Open(errno.into()))
}
