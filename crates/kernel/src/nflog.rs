//! Packets that rules hand to a log group (NFLOG), as the kernel copies them.
//!
//! Reading never holds anything up: what nobody reads in time the kernel throws away, and the numbers that it gives
//! to packets say how many were lost. One reader a group and network namespace.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use oncilla_nft::object::Hook;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use crate::netlink::{Channel, attributes, put};

/// `NFNL_SUBSYS_ULOG`, with the messages' own numbers.
const MESSAGE_PACKET: u16 = 0x400;
const MESSAGE_CONFIG: u16 = 0x401;
/// `NFULNL_CFG_CMD_BIND`.
const COMMAND_BIND: u8 = 1;
/// `NFULNL_COPY_PACKET`.
const MODE_PACKET: u8 = 2;
/// `NFULNL_CFG_F_SEQ`: number the packets.
const FLAG_SEQUENCE: u16 = 1;
/// Attributes of a configuration.
mod config {
    pub(super) const COMMAND: u16 = 1;
    pub(super) const MODE: u16 = 2;
    pub(super) const TIMEOUT: u16 = 4;
    pub(super) const THRESHOLD: u16 = 5;
    pub(super) const FLAGS: u16 = 6;
}
/// Attributes of a packet.
mod packet {
    pub(super) const HEADER: u16 = 1;
    pub(super) const IN_INTERFACE: u16 = 4;
    pub(super) const OUT_INTERFACE: u16 = 5;
    pub(super) const PAYLOAD: u16 = 9;
    pub(super) const PREFIX: u16 = 10;
    pub(super) const SEQUENCE: u16 = 12;
}
/// Datagrams read in one go.
const DATAGRAMS_MAX: usize = 64;

/// A packet that a rule logged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Logged {
    /// The prefix that the rule gave.
    pub prefix: String,
    /// The hook that the rule was asked at.
    pub hook: Option<Hook>,
    /// The interface it came in by, by number.
    pub in_interface: Option<u32>,
    /// The interface it goes out by, by number.
    pub out_interface: Option<u32>,
    /// The first bytes, from the IP header on.
    pub payload: Vec<u8>,
}

/// The hooks of IPv4 and IPv6 by netfilter's numbers.
const HOOKS: [Hook; 5] = [
    Hook::Prerouting,
    Hook::Input,
    Hook::Forward,
    Hook::Output,
    Hook::Postrouting,
];

/// What was read at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Read {
    /// The packets, in order.
    pub packets: Vec<Logged>,
    /// How many the kernel threw away since the last reading, because nobody had read them.
    pub lost: u64,
    /// There may be more.
    pub has_more: bool,
}

/// The reader of one log group of the network namespace it was opened in. Readable when there are packets.
#[derive(Debug)]
pub struct Nflog {
    channel: Channel,
    next: Option<u32>,
}

impl Nflog {
    /// Becomes the reader of `group`, which copies at most `bytes` of a packet. Every packet is handed over at once.
    ///
    /// # Errors
    /// `EPERM` when somebody else reads the group, or without the right to.
    pub fn open(group: u16, bytes: u32) -> io::Result<Self> {
        let mut channel = Channel::open(Some(NETFILTER), 0)?;
        let mut configure = |kind: u16, value: &[u8]| {
            let mut body = header(group);
            put(&mut body, kind, value);
            channel.request(MESSAGE_CONFIG, 0, &body, &mut |_| {})
        };
        configure(config::COMMAND, &[COMMAND_BIND, 0, 0, 0])?;
        let [b0, b1, b2, b3] = bytes.to_be_bytes();
        configure(config::MODE, &[b0, b1, b2, b3, MODE_PACKET, 0])?;
        // Without these the kernel collects packets for up to a second.
        configure(config::THRESHOLD, &1_u32.to_be_bytes())?;
        configure(config::TIMEOUT, &1_u32.to_be_bytes())?;
        configure(config::FLAGS, &FLAG_SEQUENCE.to_be_bytes())?;
        Ok(Self {
            channel,
            next: None,
        })
    }

    /// What there is, without waiting.
    ///
    /// # Errors
    /// When the socket is no longer usable.
    pub fn read(&mut self) -> io::Result<Read> {
        let mut read = Read::default();
        for _ in 0..DATAGRAMS_MAX {
            if !self.is_readable()? {
                return Ok(read);
            }
            let next = &mut self.next;
            let received = self.channel.events(&mut |message| {
                if message.kind != MESSAGE_PACKET {
                    return;
                }
                let (packet, sequence) = decode(message.body.get(4..).unwrap_or_default());
                read.lost += sequence.map_or(0, |sequence| missing(next, sequence));
                read.packets.push(packet);
            });
            match received {
                // The gap in the numbers says how many.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                other => other?,
            }
        }
        read.has_more = true;
        Ok(read)
    }

    fn is_readable(&self) -> io::Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match poll(&mut fds, Some(&now)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Nflog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// The name of an interface of the calling thread's network namespace; `None` when it is gone.
pub fn interface_name(index: u32) -> Option<String> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    );
    netdevice::index_to_name(socket.ok()?, index).ok()
}

/// How many numbers there are between the one that was expected and this one.
fn missing(next: &mut Option<u32>, sequence: u32) -> u64 {
    let expected = next.replace(sequence.wrapping_add(1));
    expected.map_or(0, |expected| u64::from(sequence.wrapping_sub(expected)))
}

/// `struct nfgenmsg`: any family, version 0, the group.
fn header(group: u16) -> Vec<u8> {
    let [high, low] = group.to_be_bytes();
    vec![0, 0, high, low]
}

/// A packet and its number. What is missing stays empty: there is nobody to complain to.
fn decode(body: &[u8]) -> (Logged, Option<u32>) {
    let number = |value: &[u8]| {
        value
            .first_chunk::<4>()
            .map(|bytes| u32::from_be_bytes(*bytes))
    };
    let (mut logged, mut sequence) = (Logged::default(), None);
    for (kind, value) in attributes(body) {
        match kind {
            packet::IN_INTERFACE => logged.in_interface = number(value),
            packet::OUT_INTERFACE => logged.out_interface = number(value),
            // `struct nfulnl_msg_packet_hdr`: the link's protocol, then the hook.
            packet::HEADER => {
                let number = value.get(2).map(|number| usize::from(*number));
                logged.hook = number.and_then(|number| HOOKS.get(number).copied());
            }
            packet::PAYLOAD => logged.payload = value.to_vec(),
            packet::PREFIX => {
                let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
                logged.prefix = String::from_utf8_lossy(text).into_owned();
            }
            packet::SEQUENCE => sequence = number(value),
            _ => {}
        }
    }
    (logged, sequence)
}

#[cfg(test)]
mod tests {
    use oncilla_testkit::fuzz::Run;

    use super::{Hook, Logged, decode};
    use crate::netlink::put;

    #[test]
    fn fuzz_logged() {
        let mut body = Vec::new();
        put(&mut body, 10, b"oncilla D in\0");
        put(&mut body, 4, &7_u32.to_be_bytes());
        put(&mut body, 9, &[0x45; 60]);
        put(&mut body, 12, &9_u32.to_be_bytes());
        let mut whole = 0_u64;
        Run::new("nflog", 20_000).bytes(&[&body], |bytes| {
            let (logged, sequence) = decode(bytes);
            assert!(logged.payload.len() <= bytes.len());
            whole += u64::from(sequence.is_some());
        });
        assert!(whole > 1_000, "{whole}");
    }

    #[test]
    fn broken_bytes_are_no_packet_and_no_panic() {
        let mut body = Vec::new();
        put(&mut body, 1, &[8, 0, 2, 0]);
        put(&mut body, 10, b"oncilla D in\0");
        put(&mut body, 5, &7_u32.to_be_bytes());
        put(&mut body, 9, &[0x45, 0, 0]);
        put(&mut body, 12, &9_u32.to_be_bytes());
        let whole = Logged {
            prefix: "oncilla D in".to_owned(),
            hook: Some(Hook::Forward),
            in_interface: None,
            out_interface: Some(7),
            payload: vec![0x45, 0, 0],
        };
        assert_eq!(decode(&body), (whole, Some(9)));
        for length in 0..body.len() {
            let (packet, _) = decode(&body[..length]);
            assert!(packet.payload.len() <= 3);
        }
    }
}
