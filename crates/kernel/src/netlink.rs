//! One blocking netlink conversation at a time: send a request, take every reply up to its acknowledgement.
//!
//! Knows message framing and attributes (type, length, value), nothing of what they mean.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::Timeout;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, bind, socket_with, sockopt,
};

use crate::calls::{self, Call};

/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER_BYTES: usize = 16;
/// Bytes of the largest datagram taken from the kernel; it fills dumps up to 32 KiB.
const DATAGRAM_BYTES: usize = 64 * 1024;
/// Bytes asked for the receive queue, so that a burst of events or a dump is not lost.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// How long the kernel may take for the next datagram of an answer: far above anything it needs, so that a lost answer
/// is an error (`EAGAIN`) and not the end of the program.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a dump that the kernel says was inconsistent is asked for again.
const DUMP_TRIES: u32 = 8;

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

/// One message as it came: its type and what follows the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// A netlink socket and its buffer. It talks to the namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Channel {
    /// Opens a socket for `protocol` (none is rtnetlink, whose number is 0), member of the multicast groups whose bits are set in `groups`.
    pub(crate) fn open(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        // Without the capability the ordinary limit has to do.
        if sockopt::set_socket_recv_buffer_size_force(&fd, QUEUE_BYTES).is_err() {
            sockopt::set_socket_recv_buffer_size(&fd, QUEUE_BYTES)?;
        }
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; DATAGRAM_BYTES],
        })
    }

    /// Asks for one thing to be done and waits for the kernel's answer; replies before it go to `each`.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        each: &mut dyn FnMut(Message<'_>),
    ) -> io::Result<()> {
        self.send(kind, flags | NLM_F_REQUEST | NLM_F_ACK, body)?;
        self.collect(each).map(|_interrupted| ())
    }

    /// Asks for a dump and keeps what `decode` makes of each message. A dump that ran into a change is repeated.
    pub(crate) fn dump<T>(
        &mut self,
        kind: u16,
        body: &[u8],
        decode: &mut dyn FnMut(Message<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)?;
            let interrupted = self.collect(&mut |message| found.extend(decode(message)))?;
            if !interrupted {
                return Ok(found);
            }
        }
        Err(io::Error::other("the table changed during every dump"))
    }

    /// Takes the next datagram of events; `each` sees its messages. Blocks unless polled before.
    pub(crate) fn events(&mut self, each: &mut dyn FnMut(Message<'_>)) -> io::Result<()> {
        let length = self.receive()?;
        walk(self.buffer.get(..length).unwrap_or_default(), each);
        Ok(())
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADER_BYTES + body.len();
        let mut packet = Vec::with_capacity(length);
        let length = u32::try_from(length).map_err(io::Error::other)?;
        packet.extend_from_slice(&length.to_ne_bytes());
        packet.extend_from_slice(&kind.to_ne_bytes());
        packet.extend_from_slice(&flags.to_ne_bytes());
        packet.extend_from_slice(&self.sequence.to_ne_bytes());
        packet.extend_from_slice(&0_u32.to_ne_bytes());
        packet.extend_from_slice(body);
        loop {
            match calls::send(
                self.fd.as_fd(),
                Call::SendQuestion,
                &[IoSlice::new(&packet)],
            ) {
                Err(Errno::INTR) => {}
                sent => return Ok(sent?),
            }
        }
    }

    /// Takes datagrams until the present request is answered; true when the kernel marked the dump inconsistent.
    fn collect(&mut self, each: &mut dyn FnMut(Message<'_>)) -> io::Result<bool> {
        let mut interrupted = false;
        let mut finished = None;
        while finished.is_none() {
            let length = self.receive()?;
            let sequence = self.sequence;
            walk(
                self.buffer.get(..length).unwrap_or_default(),
                &mut |message| {
                    if message.sequence != sequence || finished.is_some() {
                        return;
                    }
                    interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                    match message.kind {
                        NLMSG_NOOP => {}
                        NLMSG_ERROR | NLMSG_DONE => finished = Some(outcome(message.body)),
                        NLMSG_OVERRUN => finished = Some(Err(Errno::NOBUFS.into())),
                        _ => each(message),
                    }
                },
            );
        }
        finished.unwrap_or(Ok(())).map(|()| interrupted)
    }

    fn receive(&mut self) -> io::Result<usize> {
        loop {
            let (fd, buffer) = (self.fd.as_fd(), self.buffer.as_mut_slice());
            match calls::receive(fd, Call::ReceiveAnswer, buffer, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(length) if length > DATAGRAM_BYTES => {
                    return Err(io::Error::other(
                        "a netlink datagram was larger than 64 KiB",
                    ));
                }
                Ok(length) => return Ok(length),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An acknowledgement's or a dump end's code as a result.
fn outcome(body: &[u8]) -> io::Result<()> {
    match body
        .first_chunk::<4>()
        .map(|bytes| i32::from_ne_bytes(*bytes))
    {
        None | Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
    }
}

/// Calls `each` for every whole message of a datagram; a broken one ends the walk.
pub(crate) fn walk(mut datagram: &[u8], each: &mut dyn FnMut(Message<'_>)) {
    while let Some(header) = datagram.first_chunk::<HEADER_BYTES>() {
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, _, _, _, _] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = datagram.get(HEADER_BYTES..length) else {
            return;
        };
        each(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body,
        });
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
}

/// The attributes of a buffer, type bits stripped of their flags; a broken one ends the list.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1] = *bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & 0x3fff, value))
    })
}

/// Appends one attribute, padded.
pub(crate) fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).expect("attributes built here are small");
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Appends one nested attribute whose content `fill` writes.
pub(crate) fn nest(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    const NLA_F_NESTED: u16 = 0x8000;
    let mut inner = Vec::new();
    fill(&mut inner);
    put(out, kind | NLA_F_NESTED, &inner);
}
