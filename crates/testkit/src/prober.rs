//! Thousands of real packets a second, each with a proven answer: arrived, or denied. No timeout decides anything.
//!
//! A probe is put on the source's own interface, below every hook of its namespace, so it takes the path of real
//! traffic: the cable, its node's connection tracking, nf_tables and routing, and so on to the destination. It is
//! captured twice: coming in on the other end of the source's cable ("left"), and coming in on the destination's own
//! interface ("arrived").
//!
//! # Why "not captured" means "denied"
//!
//! Sending on a veth puts the packet on the receive backlog of *the sending processor*, a first-in-first-out queue that
//! one softirq of that processor empties; forwarding over the next cable happens inside that softirq and appends to the
//! same backlog. Receive packet steering and veth GRO, which would move packets elsewhere, are off in a fresh namespace;
//! neighbours are permanent, so nothing waits for an answer. All packets of a run are sent by one thread that is pinned
//! to one processor. Hence, when a packet that was sent later has been captured after one crossing, everything that
//! stood in the backlog before it has been moved on by at least one crossing: captured, queued for the next, or dropped.
//!
//! So after a batch the thread sends a *sentinel* over one cable and waits for its capture, [`SETTLE_ROUNDS`] times, more
//! often than a path has crossings. After that no probe is under way any more, even if the softirq had been put off to
//! its kernel thread and the sentinels' path is shorter than the probes'. Then each destination gets a sentinel of its
//! own, from its node's side of the cable below the hooks, as traffic from the node to its own workload is never policed.
//! A probe that is not in the queue before the destination's sentinel never will be.
//!
//! A point can also be a host itself. Its probes pass its own output hooks: they are sent through a raw IP socket, which
//! answers at once when a hook drops them. They have arrived when a raw IP socket of the host gets them, above its input
//! hooks, in the same softirq in which its interface took them in.
//!
//! A capture can also be missing because a queue was full. Sockets and the processor's backlog count what they lose; if
//! a counter moved, the batch is sent again with fresh cookies and ports, at most [`TRIES_MAX`] times.
//!
//! # Connections
//!
//! Without a source port of its own each probe gets the next one from [`SRC_PORTS`], so none continues a connection that
//! an earlier one opened. When they have all been used, and before each batch in which a probe names its source port,
//! the connection tables of all nodes are emptied.

mod batch;
mod host;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use oncilla_kernel::conntrack::{Conntrack, ConntrackError};
use oncilla_kernel::host_ip::HostIpError;
use oncilla_kernel::link::{LinkError, Links, Mac};
use oncilla_kernel::netns::{Netns, NetnsError};
use oncilla_kernel::plumb::HOST_MAC;
use oncilla_kernel::process;
use oncilla_kernel::raw::{Layer, PacketError, PacketSocket};
use oncilla_net::{Icmp, Packet, Protocol, Verdict};
use thiserror::Error;

use crate::packet::MixedFamilies;

use host::Host;

/// Source ports (identifiers for ICMP) of probes that do not name one.
pub const SRC_PORTS: Range<u16> = 20_000..60_000;
/// Probes sent before anything is waited for. With the answers they provoke they must fit the kernel's backlog of 1,000.
pub const BATCH_PROBES: usize = 200;
/// Sentinels that must have passed before a batch is judged; a path has at most four crossings.
pub const SETTLE_ROUNDS: usize = 8;
/// How often one batch is sent at most.
pub const TRIES_MAX: usize = 6;

/// What went wrong while probing: never a verdict.
#[derive(Debug, Error)]
pub enum ProberError {
    /// A point's interface or socket.
    #[error("{point} cannot be probed")]
    Link {
        /// The point.
        point: String,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// A socket.
    #[error("packets at {point} cannot be sent or captured")]
    Packet {
        /// The point.
        point: String,
        /// Why.
        #[source]
        source: PacketError,
    },
    /// A host's own sockets.
    #[error("host {point} cannot send or receive")]
    Host {
        /// The point.
        point: String,
        /// Why.
        #[source]
        source: HostIpError,
    },
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A connection table.
    #[error(transparent)]
    Conntrack(#[from] ConntrackError),
    /// A probe that cannot exist.
    #[error(transparent)]
    Families(#[from] MixedFamilies),
    /// A point that is not this prober's.
    #[error("the prober has no point number {0}")]
    UnknownPoint(usize),
    /// The thread.
    #[error("the probing thread could not be set up")]
    Thread(#[source] io::Error),
    /// The kernel's own counters.
    #[error("/proc/net/softnet_stat could not be read")]
    Counters(#[source] io::Error),
    /// A sentinel that was never captured: the cable is cut.
    #[error("the sentinel to {point} never arrived: is its interface up?")]
    SentinelLost {
        /// The point.
        point: String,
    },
    /// Loss in every try.
    #[error("a batch of {probes} probes lost captures in each of {TRIES_MAX} tries")]
    Lossy {
        /// How many probes it had.
        probes: usize,
    },
}

/// Which connections a batch of probes meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Connections {
    /// None of its own: the tables are emptied before it where it names ports.
    Fresh,
    /// Those that earlier probes opened.
    Kept,
}

/// Where probes start and end: an interface in its own namespace, and the other end of its cable.
#[derive(Clone, Debug)]
pub struct ProbePoint {
    /// How it is called.
    pub name: String,
    /// Its namespace.
    pub netns: Arc<Netns>,
    /// Its interface.
    pub iface: String,
    /// The namespace of the cable's other end: a pod's node.
    pub peer_netns: Arc<Netns>,
    /// The cable's other end.
    pub peer_iface: String,
    /// Whether it is the host itself: probes start behind its sockets and end there, above its hooks.
    pub is_host: bool,
}

/// A point of one prober.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PointId(pub usize);

/// A probe to be sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Probe {
    /// Whose interface it leaves by.
    pub from: PointId,
    /// Whose interface it should arrive at.
    pub to: PointId,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// TCP sends a SYN, SCTP an INIT, ICMP a message, other protocols without ports a bare packet.
    pub protocol: Protocol,
    /// Which ICMP message; an echo request when none.
    pub icmp: Option<Icmp>,
    /// Source port; the prober's choice when none.
    pub src_port: Option<u16>,
    /// Destination port; 0 without ports.
    pub dst_port: u16,
}

impl Probe {
    /// The probe that asks about `packet`; source port 0 means any.
    pub fn of_packet(from: PointId, to: PointId, packet: &Packet) -> Self {
        Self {
            from,
            to,
            src: packet.src,
            dst: packet.dst,
            protocol: packet.protocol,
            icmp: packet.icmp,
            src_port: (packet.src_port != 0).then_some(packet.src_port),
            dst_port: packet.dst_port,
        }
    }
}

impl Probe {
    /// The answer to a probe that was sent with `src_port`, of the protocols whose answers one packet can be: datagrams
    /// and echoes. It comes from where the probe arrived, `dst`, behind any translation.
    pub fn answer(&self, src_port: u16, (dst, dst_port): (IpAddr, u16)) -> Option<Self> {
        let (port, icmp) = match (self.protocol, self.icmp) {
            (Protocol::UDP, _) => (dst_port, None),
            (Protocol::ICMP, Some(Icmp { kind: 8, code })) => {
                (src_port, Some(Icmp { kind: 0, code }))
            }
            (Protocol::ICMPV6, Some(Icmp { kind: 128, code })) => {
                (src_port, Some(Icmp { kind: 129, code }))
            }
            _ => return None,
        };
        Some(Self {
            from: self.to,
            to: self.from,
            src: dst,
            dst: self.src,
            protocol: self.protocol,
            icmp,
            src_port: Some(port),
            dst_port: if icmp.is_some() { 0 } else { src_port },
        })
    }
}

/// What became of a probe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Outcome {
    /// It was seen at the other end of the source's cable, or a host's own hooks had it. Always so in an answer: a batch in which a probe did not
    /// leave is sent again, and an error in the end.
    pub left: bool,
    /// It was captured at the destination's interface.
    pub arrived: bool,
    /// The source port (identifier for ICMP) it was sent with.
    pub src_port: u16,
}

impl Outcome {
    /// What the network decided.
    pub const fn verdict(&self) -> Verdict {
        if self.arrived {
            Verdict::Allow
        } else {
            Verdict::Deny
        }
    }
}

/// What a prober has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ProberCounters {
    /// Probes judged.
    pub probes: u64,
    /// Batches judged.
    pub batches: u64,
    /// Batches sent again because captures were lost.
    pub repeated: u64,
    /// Times the connection tables were emptied.
    pub flushes: u64,
}

/// Sends probes between points and judges them.
#[derive(Debug)]
pub struct Prober {
    points: Vec<Point>,
    names: BTreeMap<String, PointId>,
    tables: Vec<Conntrack>,
    cpu: usize,
    next_cookie: u64,
    next_port: u16,
    counters: ProberCounters,
}

/// A point with its sockets. Each one both sends and captures: what comes in, not what itself sends.
#[derive(Debug)]
struct Point {
    name: String,
    own: PacketSocket,
    own_index: u32,
    own_mac: Mac,
    peer: PacketSocket,
    peer_index: u32,
    peer_mac: Mac,
    host: Option<Host>,
}

impl Prober {
    /// Opens sockets at every point.
    pub fn new(points: Vec<ProbePoint>) -> Result<Self, ProberError> {
        static PROBERS: AtomicU32 = AtomicU32::new(0);
        let mut tables = BTreeMap::new();
        let mut names = BTreeMap::new();
        let mut opened = Vec::with_capacity(points.len());
        for point in points {
            let own = point.is_host.then_some(&point.netns);
            for netns in own.into_iter().chain([&point.peer_netns]) {
                if let Entry::Vacant(slot) = tables.entry(netns.id()?) {
                    slot.insert(Conntrack::open_in(netns)?);
                }
            }
            names.insert(point.name.clone(), PointId(opened.len()));
            opened.push(open(point)?);
        }
        let cpus = process::cpu_affinity().map_err(ProberError::Thread)?;
        // Two probers at work in one process get processors of their own where there are enough.
        let number = PROBERS.fetch_add(1, Ordering::Relaxed);
        let cpu = cpus.get(number as usize % cpus.len().max(1)).copied();
        Ok(Self {
            points: opened,
            names,
            tables: tables.into_values().collect(),
            cpu: cpu.unwrap_or(0),
            // Probers of several processes may share a network.
            next_cookie: u64::from(std::process::id()) << 44 | u64::from(number & 0xfff) << 32,
            next_port: SRC_PORTS.start,
            counters: ProberCounters::default(),
        })
    }

    /// The point called `name`.
    pub fn point(&self, name: &str) -> Option<PointId> {
        self.names.get(name).copied()
    }

    /// What was done so far.
    pub const fn counters(&self) -> ProberCounters {
        self.counters
    }

    /// Sends all `probes` and judges each; the answer has their order.
    pub fn run(&mut self, probes: &[Probe]) -> Result<Vec<Outcome>, ProberError> {
        self.run_with(probes, Connections::Fresh)
    }

    /// Sends probes that belong to connections which earlier ones opened, and judges each.
    pub fn run_on(&mut self, probes: &[Probe]) -> Result<Vec<Outcome>, ProberError> {
        self.run_with(probes, Connections::Kept)
    }

    fn run_with(
        &mut self,
        probes: &[Probe],
        connections: Connections,
    ) -> Result<Vec<Outcome>, ProberError> {
        for id in probes.iter().flat_map(|probe| [probe.from, probe.to]) {
            if id.0 >= self.points.len() {
                return Err(ProberError::UnknownPoint(id.0));
            }
        }
        thread::scope(|scope| {
            thread::Builder::new()
                .name("prober".to_owned())
                .spawn_scoped(scope, || {
                    process::pin_to_cpu(self.cpu).map_err(ProberError::Thread)?;
                    let mut outcomes = Vec::with_capacity(probes.len());
                    for batch in probes.chunks(BATCH_PROBES) {
                        outcomes.extend(self.judge(batch, connections)?);
                    }
                    Ok(outcomes)
                })
                .map_err(ProberError::Thread)?
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }

    /// Sends one probe and judges it.
    pub fn run_one(&mut self, probe: &Probe) -> Result<Outcome, ProberError> {
        let outcomes = self.run(std::slice::from_ref(probe))?;
        Ok(*outcomes.first().expect("one probe gives one outcome"))
    }

    /// Forgets every connection in every node's table.
    pub fn flush_connections(&mut self) -> Result<(), ProberError> {
        for table in &mut self.tables {
            table.flush()?;
        }
        self.counters.flushes += 1;
        Ok(())
    }
}

fn open(point: ProbePoint) -> Result<Point, ProberError> {
    let side = |netns: &Netns, iface: &str| {
        let link = Links::open_in(netns)
            .and_then(|mut links| links.link(iface))
            .map_err(|source| ProberError::Link {
                point: point.name.clone(),
                source,
            })?;
        let socket = netns
            .run(|| PacketSocket::open_incoming(Layer::Network, Some(link.index)))?
            .map_err(|source| ProberError::Packet {
                point: point.name.clone(),
                source,
            })?;
        Ok::<_, ProberError>((socket, link.index, link.mac.unwrap_or(HOST_MAC)))
    };
    let (own, own_index, own_mac) = side(&point.netns, &point.iface)?;
    let (peer, peer_index, peer_mac) = side(&point.peer_netns, &point.peer_iface)?;
    let host = if point.is_host {
        let opened = Host::open(&point.netns)?;
        Some(opened.map_err(host::at(&point.name))?)
    } else {
        None
    };
    Ok(Point {
        own,
        own_index,
        own_mac,
        peer,
        peer_index,
        peer_mac,
        host,
        name: point.name,
    })
}
