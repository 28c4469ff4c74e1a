//! The kernel's table of connections: read it, take entries out, follow what begins and ends.
//!
//! A handle talks to the namespace it was opened in. The table fills only where something asks for connection state
//! (a rule with `ct`, or NAT).

mod codec;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use oncilla_net::Protocol;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::NETFILTER;
use thiserror::Error;

use crate::netlink::Channel;
use crate::netns::{Netns, NetnsError};

pub use codec::decode_flow;

/// What went wrong with the table of connections.
#[derive(Debug, Error)]
pub enum ConntrackError {
    /// The socket could not be opened.
    #[error("no conntrack socket could be opened")]
    Open(#[source] io::Error),
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The table could not be read.
    #[error("the table of connections could not be read")]
    Dump(#[source] io::Error),
    /// An entry could not be taken out.
    #[error("the entry of {src} to {dst}, protocol {protocol}, could not be deleted")]
    Delete {
        /// Original source.
        src: IpAddr,
        /// Original destination.
        dst: IpAddr,
        /// Protocol.
        protocol: Protocol,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The table could not be emptied.
    #[error("the table of connections could not be emptied")]
    Flush(#[source] io::Error),
    /// Events could not be received.
    #[error("connection events could not be received")]
    Events(#[source] io::Error),
}

/// What tells ICMP exchanges apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Icmp {
    /// Identifier of the exchange.
    pub id: u16,
    /// ICMP or `ICMPv6` type.
    pub kind: u8,
    /// ICMP or `ICMPv6` code.
    pub code: u8,
}

/// One direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Source port; 0 without ports.
    pub src_port: u16,
    /// Destination port; 0 without ports.
    pub dst_port: u16,
    /// Present for ICMP and `ICMPv6` only.
    pub icmp: Option<Icmp>,
}

/// A TCP connection's state as the table knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TcpState {
    /// Nothing known.
    None,
    /// The opening segment was seen.
    SynSent,
    /// It was answered.
    SynRecv,
    /// Open.
    Established,
    /// One side is closing.
    FinWait,
    /// The other side has not closed yet.
    CloseWait,
    /// Both are closing.
    LastAck,
    /// Closed in order.
    TimeWait,
    /// Closed.
    Close,
    /// Both sides opened at once.
    SynSent2,
    /// A number this program does not know.
    Other(u8),
}

/// The entry's status bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Status(pub u32);

impl Status {
    /// Packets were seen in both directions.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// The flow will not be dropped early.
    pub const ASSURED: Self = Self(1 << 2);
    /// The first packet left the machine.
    pub const CONFIRMED: Self = Self(1 << 3);
    /// The source is translated.
    pub const SRC_NAT: Self = Self(1 << 4);
    /// The destination is translated.
    pub const DST_NAT: Self = Self(1 << 5);
    /// The entry is on its way out.
    pub const DYING: Self = Self(1 << 9);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Packets and bytes of one direction; counted only where `nf_conntrack_acct` is on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct FlowCounters {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// One entry of the table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Flow {
    /// As the first packet was sent.
    pub orig: Tuple,
    /// As answers are expected: `reply.src` is where the flow really goes, after destination NAT.
    pub reply: Tuple,
    /// Zone.
    pub zone: u16,
    /// The kernel's number of this entry, so that it is not mistaken for a later one of the same tuple.
    pub id: Option<u32>,
    /// Status bits.
    pub status: Status,
    /// Seconds until it ends if nothing more is seen; absent in events of its end.
    pub timeout_s: Option<u32>,
    /// Mark; 0 where the kernel has none.
    pub mark: u32,
    /// TCP only.
    pub tcp_state: Option<TcpState>,
    /// Original direction.
    pub orig_counters: Option<FlowCounters>,
    /// Reply direction.
    pub reply_counters: Option<FlowCounters>,
}

impl Flow {
    /// Whether `addr` is an end of the flow, before or after NAT.
    pub fn touches(&self, addr: IpAddr) -> bool {
        [self.orig.src, self.orig.dst, self.reply.src, self.reply.dst].contains(&addr)
    }
}

/// A handle on one namespace's table.
#[derive(Debug)]
pub struct Conntrack {
    channel: Channel,
}

impl Conntrack {
    /// Opens a handle on the calling thread's namespace.
    pub fn open() -> Result<Self, ConntrackError> {
        let channel = Channel::open(Some(NETFILTER), 0).map_err(ConntrackError::Open)?;
        Ok(Self { channel })
    }

    /// Opens a handle on `netns`; it may be used from any thread.
    pub fn open_in(netns: &Netns) -> Result<Self, ConntrackError> {
        netns.run(Self::open)?
    }

    /// Every entry, both families, sorted.
    pub fn dump(&mut self) -> Result<Vec<Flow>, ConntrackError> {
        let mut found = self.fetch(&codec::dump_request(codec::ANY_FAMILY))?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Every entry with `addr` as one of its ends, before or after NAT, sorted. Kernels from 5.8 on filter by
    /// themselves; older ones send everything, and it is filtered here.
    pub fn dump_address(&mut self, addr: IpAddr) -> Result<Vec<Flow>, ConntrackError> {
        let mut found = BTreeSet::new();
        for end in codec::End::ALL {
            let flows = self.fetch(&codec::filtered_request(addr, end))?;
            found.extend(flows.into_iter().filter(|flow| flow.touches(addr)));
        }
        // Between two passes a counter or a timeout may have moved: one entry stays one.
        let mut seen = BTreeSet::new();
        let unique = |flow: &Flow| seen.insert((flow.orig, flow.zone));
        Ok(found.into_iter().filter(unique).collect())
    }

    /// Takes an entry out; false when it was gone already, or when another one has its place.
    pub fn delete(&mut self, flow: &Flow) -> Result<bool, ConntrackError> {
        self.remove(
            &flow.orig,
            &codec::delete_request(&flow.orig, flow.zone, flow.id),
        )
    }

    /// Takes out whatever entry has this original direction in zone 0; false when there is none.
    pub fn delete_tuple(&mut self, orig: &Tuple) -> Result<bool, ConntrackError> {
        self.remove(orig, &codec::delete_request(orig, 0, None))
    }

    /// Empties the table of this namespace.
    pub fn flush(&mut self) -> Result<(), ConntrackError> {
        let body = codec::dump_request(codec::ANY_FAMILY);
        self.channel
            .request(codec::CT_DELETE, 0, &body, &mut |_| {})
            .map_err(ConntrackError::Flush)
    }

    fn remove(&mut self, orig: &Tuple, body: &[u8]) -> Result<bool, ConntrackError> {
        match self.channel.request(codec::CT_DELETE, 0, body, &mut |_| {}) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(source) => Err(ConntrackError::Delete {
                src: orig.src,
                dst: orig.dst,
                protocol: orig.protocol,
                source,
            }),
        }
    }

    fn fetch(&mut self, body: &[u8]) -> Result<Vec<Flow>, ConntrackError> {
        self.channel
            .dump(codec::CT_GET, body, &mut |message| {
                (message.kind == codec::CT_NEW).then(|| decode_flow(message.body))?
            })
            .map_err(ConntrackError::Dump)
    }
}

/// Something that happened in the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FlowEvent {
    /// A flow's first packet passed.
    New(Flow),
    /// An entry ended or was deleted.
    Destroy(Flow),
    /// The queue was full and events were lost: read the whole table again.
    Lost,
}

/// Follows beginnings and ends of flows in one namespace. It sees what begins after it was opened.
#[derive(Debug)]
pub struct Monitor {
    channel: Channel,
    pending: std::collections::VecDeque<FlowEvent>,
}

impl Monitor {
    /// Opens a subscription in the calling thread's namespace.
    pub fn open() -> Result<Self, ConntrackError> {
        let groups = codec::GROUP_NEW | codec::GROUP_DESTROY;
        let channel = Channel::open(Some(NETFILTER), groups).map_err(ConntrackError::Open)?;
        Ok(Self {
            channel,
            pending: std::collections::VecDeque::new(),
        })
    }

    /// Opens a subscription in `netns`; it may be read from any thread.
    pub fn open_in(netns: &Netns) -> Result<Self, ConntrackError> {
        netns.run(Self::open)?
    }

    /// The next event; none when `timeout` passed first.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<FlowEvent>, ConntrackError> {
        let timeout = Timespec::try_from(timeout)
            .map_err(|error| ConntrackError::Events(io::Error::other(error)))?;
        while self.pending.is_empty() {
            let mut fds = [PollFd::from_borrowed_fd(
                self.channel.as_fd(),
                PollFlags::IN,
            )];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
                Ok(_ready) => self.receive()?,
                Err(errno) => return Err(ConntrackError::Events(errno.into())),
            }
        }
        Ok(self.pending.pop_front())
    }

    fn receive(&mut self) -> Result<(), ConntrackError> {
        let pending = &mut self.pending;
        let received = self.channel.events(&mut |message| {
            let event = match message.kind {
                codec::CT_NEW => decode_flow(message.body).map(FlowEvent::New),
                codec::CT_DELETE => decode_flow(message.body).map(FlowEvent::Destroy),
                _ => None,
            };
            pending.extend(event);
        });
        match received {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.pending.push_back(FlowEvent::Lost);
                Ok(())
            }
            other => other.map_err(ConntrackError::Events),
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
