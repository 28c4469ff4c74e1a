//! Packet sockets (`AF_PACKET`): whole packets out of and in from interfaces, below every firewall hook.
//!
//! A socket counts what it lost, so "never came" and "was not captured" can be told apart.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use thiserror::Error;

use crate::link::Mac;

/// Bytes asked for a capture queue: about 8,000 small packets.
pub const QUEUE_BYTES: usize = 8 * 1024 * 1024;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_ALL: u16 = 0x0003;

/// What went wrong with a packet socket.
#[derive(Debug, Error)]
pub enum PacketError {
    /// It could not be opened.
    #[error("no packet socket could be opened: CAP_NET_RAW is needed")]
    Open(#[source] io::Error),
    /// It could not be bound.
    #[error("the packet socket could not be bound to interface number {index}")]
    Bind {
        /// The interface; 0 is all.
        index: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An option was refused.
    #[error("the packet socket refused option {option}")]
    Option {
        /// Which.
        option: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A packet could not be sent.
    #[error("a packet could not be sent out of interface number {index}")]
    Send {
        /// The interface.
        index: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Bytes that begin like no IP packet.
    #[error("these {bytes} bytes are neither an IPv4 nor an IPv6 packet")]
    NotIp {
        /// How many.
        bytes: usize,
    },
    /// Receiving failed.
    #[error("packets could not be received")]
    Receive(#[source] io::Error),
}

/// What a socket's packets begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// The network header: the kernel writes and strips the hardware header.
    Network,
    /// The hardware header: whole frames.
    Frame,
}

/// Where a captured packet was going, as the capturing interface saw it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PacketKind {
    /// In, to this machine's hardware address.
    Host,
    /// In, broadcast.
    Broadcast,
    /// In, multicast.
    Multicast,
    /// In, to somebody else.
    OtherHost,
    /// Out.
    Outgoing,
    /// Anything else, by the kernel's number.
    Other(u8),
}

/// One captured packet, without its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capture {
    /// How many bytes are in the buffer.
    pub length: usize,
    /// How many bytes the packet had.
    pub original_length: usize,
    /// The interface it was seen on.
    pub iface_index: u32,
    /// Where it was going.
    pub kind: PacketKind,
    /// Its ethertype.
    pub ethertype: u16,
    /// When the kernel saw it, since 1970.
    pub timestamp: Duration,
}

/// What a socket has counted since it was last asked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PacketCounters {
    /// Packets seen, lost ones included.
    pub packets: u32,
    /// Packets lost because the queue was full.
    pub lost: u32,
}

/// A non-blocking packet socket of the namespace it was opened in.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket that sends and also captures: on interface `index`, or on all when none.
    pub fn open(layer: Layer, index: Option<u32>) -> Result<Self, PacketError> {
        let socket = Self::create(layer)?;
        socket.queue()?;
        socket.enable("SO_TIMESTAMPNS", libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        socket.bind(index.unwrap_or(0), ETHERTYPE_ALL)?;
        Ok(socket)
    }

    /// Opens a socket that captures incoming packets only. Minimum kernel 4.20.
    pub fn open_incoming(layer: Layer, index: Option<u32>) -> Result<Self, PacketError> {
        let socket = Self::create(layer)?;
        socket.queue()?;
        socket.enable("SO_TIMESTAMPNS", libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        socket.enable(
            "PACKET_IGNORE_OUTGOING",
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
        )?;
        socket.bind(index.unwrap_or(0), ETHERTYPE_ALL)?;
        Ok(socket)
    }

    /// Opens a socket that sends and captures nothing.
    pub fn open_sender(layer: Layer) -> Result<Self, PacketError> {
        Self::create(layer)
    }

    /// Sends an IP packet out of interface `index` to hardware address `to`; for [`Layer::Network`].
    pub fn send_ip(&self, packet: &[u8], index: u32, to: Mac) -> Result<(), PacketError> {
        let ethertype = match packet.first().map(|byte| byte >> 4) {
            Some(4) => ETHERTYPE_IPV4,
            Some(6) => ETHERTYPE_IPV6,
            _ => {
                return Err(PacketError::NotIp {
                    bytes: packet.len(),
                });
            }
        };
        let mut address = link_address(index, ethertype);
        address.sll_halen = 6;
        for (slot, byte) in address.sll_addr.iter_mut().zip(to.0) {
            *slot = byte;
        }
        self.send(packet, &address, index)
    }

    /// Sends a whole frame out of interface `index`; for [`Layer::Frame`].
    pub fn send_frame(&self, frame: &[u8], index: u32) -> Result<(), PacketError> {
        self.send(frame, &link_address(index, ETHERTYPE_ALL), index)
    }

    /// Takes the next captured packet into `buffer`; none when the queue is empty. Longer packets are cut.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<Capture>, PacketError> {
        let mut address = link_address(0, 0);
        // Aligned as `cmsghdr` wants it; one timestamp takes 32 bytes.
        let mut control = [0_u64; 16];
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let mut message = blank_message();
        message.msg_name = (&raw mut address).cast();
        message.msg_namelen = ADDRESS_BYTES;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = CONTROL_BYTES.into();
        let original_length = loop {
            // SAFETY: every pointer in `message` is to a live local or to `buffer`, with its true length.
            let length =
                unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, libc::MSG_TRUNC) };
            if let Ok(length) = usize::try_from(length) {
                break length;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(None),
                _ => return Err(PacketError::Receive(error)),
            }
        };
        Ok(Some(Capture {
            length: original_length.min(buffer.len()),
            original_length,
            iface_index: u32::try_from(address.sll_ifindex).unwrap_or(0),
            kind: kind(address.sll_pkttype),
            ethertype: u16::from_be(address.sll_protocol),
            timestamp: timestamp(&control),
        }))
    }

    /// Waits until a packet can be taken; false when `timeout` passed first.
    pub fn wait(&self, timeout: Duration) -> Result<bool, PacketError> {
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec {
            tv_sec: i64::from(i32::MAX),
            tv_nsec: 0,
        });
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            // A signal is not a packet: the caller asks again if it still wants to wait.
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(PacketError::Receive(errno.into())),
        }
    }

    /// What was counted since the last call; the kernel starts again from zero.
    pub fn counters(&self) -> Result<PacketCounters, PacketError> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = bytes_of(&statistics);
        // SAFETY: the buffer is a `tpacket_stats` and `length` is its size.
        let code = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        option("PACKET_STATISTICS", code)?;
        Ok(PacketCounters {
            packets: statistics.tp_packets,
            lost: statistics.tp_drops,
        })
    }

    fn create(layer: Layer) -> Result<Self, PacketError> {
        let kind = match layer {
            Layer::Network => libc::SOCK_DGRAM,
            Layer::Frame => libc::SOCK_RAW,
        };
        let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // Protocol 0: nothing is captured before `bind`.
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(PacketError::Open(io::Error::last_os_error()));
        }
        // SAFETY: the descriptor is new and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    fn queue(&self) -> Result<(), PacketError> {
        let error = |errno: rustix::io::Errno| PacketError::Option {
            option: "SO_RCVBUF",
            source: errno.into(),
        };
        if sockopt::set_socket_recv_buffer_size_force(&self.fd, QUEUE_BYTES).is_ok() {
            return Ok(());
        }
        // In a user namespace only the ordinary limit is ours.
        sockopt::set_socket_recv_buffer_size(&self.fd, QUEUE_BYTES).map_err(error)
    }

    fn enable(&self, name: &'static str, level: i32, number: i32) -> Result<(), PacketError> {
        let on: libc::c_int = 1;
        // SAFETY: the value is an int and its size is given.
        let code = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                number,
                (&raw const on).cast(),
                bytes_of(&on),
            )
        };
        option(name, code)
    }

    fn bind(&self, index: u32, ethertype: u16) -> Result<(), PacketError> {
        let address = link_address(index, ethertype);
        // SAFETY: the address is a `sockaddr_ll` of the given size.
        let code = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                ADDRESS_BYTES,
            )
        };
        if code == 0 {
            return Ok(());
        }
        Err(PacketError::Bind {
            index,
            source: io::Error::last_os_error(),
        })
    }

    fn send(
        &self,
        bytes: &[u8],
        address: &libc::sockaddr_ll,
        index: u32,
    ) -> Result<(), PacketError> {
        loop {
            // SAFETY: bytes and address are live, with their true lengths.
            let sent = unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    0,
                    std::ptr::from_ref(address).cast(),
                    ADDRESS_BYTES,
                )
            };
            if sent >= 0 {
                return Ok(());
            }
            let source = io::Error::last_os_error();
            if source.kind() != io::ErrorKind::Interrupted {
                return Err(PacketError::Send { index, source });
            }
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Bytes of the control buffer. A byte, because its field's type differs between C libraries.
const CONTROL_BYTES: u8 = 128;
/// Bytes of a `sockaddr_ll`.
const ADDRESS_BYTES: libc::socklen_t = 20;

/// A small structure's size as socket calls want it.
fn bytes_of<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).expect("option values are small")
}

/// `libc::AF_PACKET` as addresses hold it.
const AF_PACKET: u16 = 17;

fn link_address(index: u32, ethertype: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: AF_PACKET,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: i32::try_from(index).unwrap_or(-1),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn blank_message() -> libc::msghdr {
    // SAFETY: all zero is a valid `msghdr`: null pointers with zero lengths. Its padding differs between C libraries.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn option(option: &'static str, code: libc::c_int) -> Result<(), PacketError> {
    if code == 0 {
        return Ok(());
    }
    Err(PacketError::Option {
        option,
        source: io::Error::last_os_error(),
    })
}

fn kind(number: u8) -> PacketKind {
    match number {
        0 => PacketKind::Host,
        1 => PacketKind::Broadcast,
        2 => PacketKind::Multicast,
        3 => PacketKind::OtherHost,
        4 => PacketKind::Outgoing,
        other => PacketKind::Other(other),
    }
}

/// The timestamp is the only control message asked for: header (16 bytes: length, level, type), seconds, nanoseconds.
/// Absent, the length is still zero.
fn timestamp(control: &[u64; CONTROL_BYTES as usize / 8]) -> Duration {
    let [length, _, seconds, nanoseconds, ..] = *control;
    if length < 32 {
        return Duration::ZERO;
    }
    let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
    Duration::new(seconds, nanoseconds.min(999_999_999))
}
