//! Revocation: a deny ends connections that are open (`engine.md` §7).
//!
//! Deleting the conntrack entry is not enough: the server's next segment would open it again in reverse. So
//! a tombstone stops both directions first, then the entry goes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_kernel::conntrack::{Conntrack, Flow};
use oncilla_net::{Icmp, Packet, Verdict};
use oncilla_nft::TOMBSTONES_MAX;
use oncilla_program::{ALL_INTERFACES, Passage, Program, Way};

use crate::dataplane::Dataplane;
use crate::edit::{self, Edit};
use crate::elements::ElementEdits;
use crate::error::DataplaneError;
use crate::tombs::Tomb;

/// A flow without a known end is kept out this long.
const TOMB_DEFAULT_S: u32 = 600;
/// Two elements stop a flow.
const TOMBS_MAX: usize = TOMBSTONES_MAX as usize / 2;
/// Tombstones in one transaction.
const CHUNK: usize = 512;

/// What a pass over the connections did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Revoked {
    /// Flows that were cut, by their first packet.
    pub cut: Vec<Packet>,
    /// Flows whose tombstone was lifted, because policy allows them again.
    pub lifted: usize,
    /// Flows that were cut without a tombstone, because there are too many: only their entry is gone.
    pub without_tombstone: usize,
}

/// Which interface packets take.
pub struct Ways<'a> {
    /// The node's own addresses with their interfaces.
    pub host: &'a BTreeMap<IpAddr, Arc<str>>,
    /// The interface by which the node's routes reach an address; none when they do not.
    pub route: &'a dyn Fn(IpAddr) -> Option<Arc<str>>,
    /// All interfaces that the node has.
    pub interfaces: &'a dyn Fn() -> Vec<Arc<str>>,
}

impl fmt::Debug for Ways<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways")
            .field("host", self.host)
            .finish_non_exhaustive()
    }
}

impl Dataplane {
    /// Looks at every connection that this node has an end of or forwards, cuts those that the program in force denies,
    /// and lifts the tombstones of those that it allows again.
    ///
    /// # Errors
    /// When connections cannot be read or deleted, or the kernel refuses a tombstone.
    pub fn revoke(
        &mut self,
        conntrack: &mut Conntrack,
        ways: &Ways<'_>,
    ) -> Result<Revoked, DataplaneError> {
        let mut revoked = Revoked {
            lifted: self.lift(ways)?,
            ..Revoked::default()
        };
        let places = Places::new(&self.held.program, ways);
        let denied: Vec<(Flow, Packet)> = conntrack
            .dump()?
            .into_iter()
            .map(|flow| (first_packet(&flow), flow))
            .filter(|(packet, flow)| places.judge(packet, original(flow)) == Some(Verdict::Deny))
            .map(|(packet, flow)| (flow, packet))
            .collect();
        for chunk in denied.chunks(CHUNK) {
            self.bury(chunk, &mut revoked)?;
            for (flow, packet) in chunk {
                if conntrack.delete(flow)? {
                    revoked.cut.push(*packet);
                }
            }
        }
        Ok(revoked)
    }

    fn bury(
        &mut self,
        flows: &[(Flow, Packet)],
        revoked: &mut Revoked,
    ) -> Result<(), DataplaneError> {
        let mut edits = ElementEdits::default();
        for (flow, packet) in flows
            .iter()
            .filter(|(_, packet)| packet.protocol.has_ports())
        {
            if self.tombs.len() >= TOMBS_MAX {
                revoked.without_tombstone += 1;
                continue;
            }
            let tomb = Tomb::of(packet);
            let timeout_s = flow.timeout_s.unwrap_or(TOMB_DEFAULT_S).max(1);
            for placed in tomb.elements(u64::from(timeout_s) * 1000) {
                edits.add(placed);
            }
            self.tombs.insert(tomb);
        }
        let skeleton = &self.held.skeleton;
        let added = edits.edits(|name| skeleton.sets.get(name).map(|filled| filled.set.clone()));
        // A tombstone that is still there from an earlier cut gives way to the new one.
        let mut transaction = Vec::with_capacity(added.len() * 2);
        for edit in added {
            if let Edit::AddElements(set, elements) = &edit {
                transaction.push(Edit::DestroyElements(set.clone(), elements.clone()));
            }
            transaction.push(edit);
        }
        if !transaction.is_empty() {
            self.socket.commit(&edit::batch(&transaction))?;
        }
        Ok(())
    }

    fn lift(&mut self, ways: &Ways<'_>) -> Result<usize, DataplaneError> {
        let places = Places::new(&self.held.program, ways);
        let allows = |tomb: &Tomb| places.judge(&tomb.packet(), None) == Some(Verdict::Allow);
        let lifted = self.tombs.that(allows);
        for chunk in lifted.chunks(CHUNK) {
            let mut edits = ElementEdits::default();
            for placed in chunk.iter().flat_map(|tomb| tomb.elements(0)) {
                edits.delete(placed);
            }
            let skeleton = &self.held.skeleton;
            let gone = edits.edits(|name| skeleton.sets.get(name).map(|filled| filled.set.clone()));
            let transaction: Vec<Edit> = gone
                .into_iter()
                .map(|edit| match edit {
                    Edit::DeleteElements(set, elements) => Edit::DestroyElements(set, elements),
                    other => other,
                })
                .collect();
            self.socket.commit(&edit::batch(&transaction))?;
            self.tombs.forget(chunk);
        }
        Ok(lifted.len())
    }
}

/// The packet that opened a flow, as policy saw it: behind destination NAT, before source NAT.
fn first_packet(flow: &Flow) -> Packet {
    Packet {
        src: flow.orig.src,
        dst: flow.reply.src,
        protocol: flow.orig.protocol,
        src_port: flow.orig.src_port,
        dst_port: flow.reply.src_port,
        icmp: flow.orig.icmp.map(|icmp| Icmp {
            kind: icmp.kind,
            code: icmp.code,
        }),
    }
}

/// Where a flow was sent before its destination was translated.
fn original(flow: &Flow) -> Option<(IpAddr, u16)> {
    let (sent, meant) = (
        (flow.orig.dst, flow.orig.dst_port),
        (flow.reply.src, flow.reply.src_port),
    );
    (sent != meant).then_some(sent)
}

/// Which interface an address is behind.
struct Places<'a> {
    program: &'a Program,
    workloads: BTreeMap<IpAddr, &'a str>,
    ways: &'a Ways<'a>,
    /// What the routes said. As many as connections have ends, which the kernel limits.
    routed: RefCell<BTreeMap<IpAddr, Option<Arc<str>>>>,
    /// Whether no interface has a host endpoint of its own: at most one is here, for all of them.
    is_one: bool,
    /// Whether there are interfaces of workloads that nobody knows.
    has_strangers: bool,
}

impl<'a> Places<'a> {
    fn new(program: &'a Program, ways: &'a Ways<'a>) -> Self {
        let endpoints = program.endpoints.iter();
        let workloads = endpoints.flat_map(|(interface, endpoint)| {
            let addresses = endpoint.addresses.iter();
            addresses.map(|addr| (*addr, interface.as_ref()))
        });
        let is_stranger = |interface: &Arc<str>| {
            program.settings.is_workload(interface) && !program.endpoints.contains_key(interface)
        };
        Self {
            program,
            workloads: workloads.collect(),
            ways,
            routed: RefCell::default(),
            is_one: program.hosts.keys().all(|key| **key == *ALL_INTERFACES),
            has_strangers: (ways.interfaces)().iter().any(is_stranger),
        }
    }

    /// The interface that leads to an address of another machine. What comes from there comes by it as well, unless
    /// routing is not the same both ways, which nobody can see.
    fn abroad(&self, addr: IpAddr) -> Option<Arc<str>> {
        let any = || self.is_one.then(|| ALL_INTERFACES.into());
        if (self.is_one && !self.has_strangers) || !is_of_one_machine(addr) {
            return any();
        }
        let mut routed = self.routed.borrow_mut();
        let found = routed
            .entry(addr)
            .or_insert_with(|| (self.ways.route)(addr));
        found.clone().or_else(any)
    }

    /// What policy says of the packet that opened a flow; none where nobody can say which way it took.
    fn judge(&self, packet: &Packet, original: Option<(IpAddr, u16)>) -> Option<Verdict> {
        let place = |addr| match (self.workloads.get(&addr), self.ways.host.get(&addr)) {
            (Some(interface), _) => Place::Workload((*interface).into()),
            (None, Some(own)) => Place::Host(own),
            (None, None) => Place::Abroad,
        };
        let (from, to) = (place(packet.src), place(packet.dst));
        let reach = |there: &Place<'_>, addr, own: Option<&Arc<str>>| match there {
            Place::Workload(interface) => Some(Arc::clone(interface)),
            Place::Host(_) | Place::Abroad => self.abroad(addr).or_else(|| own.map(Arc::clone)),
        };
        let (in_interface, out_interface, way) = match (&from, &to) {
            // A host speaks to itself.
            (Place::Host(_), Place::Host(_)) => return Some(Verdict::Allow),
            (Place::Host(own), _) => (None, reach(&to, packet.dst, Some(own)), Way::Output),
            (_, Place::Host(own)) => (reach(&from, packet.src, Some(own)), None, Way::Input),
            // Nobody judges what passes between other machines where no host endpoint does.
            (Place::Abroad, Place::Abroad)
                if self.program.hosts.is_empty() && !self.has_strangers =>
            {
                return Some(Verdict::Allow);
            }
            _ => {
                let ends = (reach(&from, packet.src, None), reach(&to, packet.dst, None));
                (ends.0, ends.1, Way::Forward)
            }
        };
        let first = original.filter(|_| way == Way::Output);
        let first = first.and_then(|(addr, _)| self.abroad(addr));
        let passage = Passage {
            in_interface: in_interface.as_deref(),
            out_interface: out_interface.as_deref(),
            way,
            original,
            first_out_interface: first.as_deref(),
        };
        let is_known = match way {
            Way::Forward => in_interface.is_some() && out_interface.is_some(),
            Way::Input | Way::Output => in_interface.is_some() || out_interface.is_some(),
        };
        let verdict = self.program.judge(&passage, packet).verdict;
        (is_known || verdict == Verdict::Deny).then_some(verdict)
    }
}

/// Whether routes lead to an address. What is sent to many leaves by the interface that the sender has chosen.
fn is_of_one_machine(addr: IpAddr) -> bool {
    let is_for_all = matches!(addr, IpAddr::V4(addr) if addr.is_broadcast());
    !addr.is_multicast() && !is_for_all
}

/// Whose an address is.
enum Place<'a> {
    /// A workload's, behind an interface.
    Workload(Arc<str>),
    /// The node's own, on an interface.
    Host(&'a Arc<str>),
    /// Another machine's.
    Abroad,
}
