//! Revocation: a deny ends connections that are open (`engine.md` §7).
//!
//! Deleting the conntrack entry is not enough: the server's next segment would open it again in reverse. So
//! a tombstone stops both directions first, then the entry goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_kernel::conntrack::{Conntrack, Flow};
use oncilla_net::{Icmp, Packet, Verdict};
use oncilla_nft::TOMBSTONES_MAX;
use oncilla_program::{ALL_INTERFACES, LOOPBACK, Passage, Program, Way};

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

impl Dataplane {
    /// Looks at every connection with an end on this node, cuts those that the program in force denies, and
    /// lifts the tombstones of those that it allows again. `host` are the node's own addresses with their
    /// interfaces.
    ///
    /// # Errors
    /// When connections cannot be read or deleted, or the kernel refuses a tombstone.
    pub fn revoke(
        &mut self,
        conntrack: &mut Conntrack,
        host: &BTreeMap<IpAddr, Arc<str>>,
    ) -> Result<Revoked, DataplaneError> {
        let mut revoked = Revoked {
            lifted: self.lift(host)?,
            ..Revoked::default()
        };
        let places = Places::new(&self.held.program, host);
        let denied: Vec<(Flow, Packet)> = conntrack
            .dump()?
            .into_iter()
            .map(|flow| (first_packet(&flow), flow))
            .filter(|(packet, flow)| places.deny(packet, original(flow)))
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

    fn lift(&mut self, host: &BTreeMap<IpAddr, Arc<str>>) -> Result<usize, DataplaneError> {
        let places = Places::new(&self.held.program, host);
        let lifted = self.tombs.take(|tomb| !places.deny(&tomb.packet(), None));
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
    host: &'a BTreeMap<IpAddr, Arc<str>>,
    /// Where everybody else is. Known when the host has one way out, or one host endpoint is for all ways.
    abroad: Option<&'a str>,
}

impl<'a> Places<'a> {
    fn new(program: &'a Program, host: &'a BTreeMap<IpAddr, Arc<str>>) -> Self {
        let endpoints = program.endpoints.iter();
        let workloads = endpoints.flat_map(|(interface, endpoint)| {
            let addresses = endpoint.addresses.iter();
            addresses.map(|addr| (*addr, interface.as_ref()))
        });
        let mut ways: Vec<&str> = host.values().map(|name| &**name).collect();
        ways.retain(|name| *name != LOOPBACK);
        ways.sort_unstable();
        ways.dedup();
        let abroad = match ways.as_slice() {
            [only] => Some(*only),
            _ if program.hosts.keys().all(|key| **key == *ALL_INTERFACES) => Some(ALL_INTERFACES),
            _ => None,
        };
        Self {
            program,
            workloads: workloads.collect(),
            host,
            abroad,
        }
    }

    /// Whether policy denies the packet that opened a flow. Not where nobody can say which way it took.
    fn deny(&self, packet: &Packet, original: Option<(IpAddr, u16)>) -> bool {
        let workload = |addr| self.workloads.get(&addr).copied();
        let host = |addr| self.host.get(&addr).map(|name| &**name);
        let (from, to) = (workload(packet.src), workload(packet.dst));
        let (own_src, own_dst) = (host(packet.src), host(packet.dst));
        let mut passage = match (own_src, own_dst) {
            // A host speaks to itself.
            (Some(_), Some(_)) => return false,
            (Some(own), None) => Passage::output(to.unwrap_or(own)),
            (None, Some(own)) => Passage::input(from.unwrap_or(own)),
            (None, None) if from.is_none() && to.is_none() => return false,
            (None, None) => Passage {
                in_interface: from.or(self.abroad),
                out_interface: to.or(self.abroad),
                way: Way::Forward,
                original: None,
            },
        };
        passage.original = original;
        self.program.judge(&passage, packet).verdict == Verdict::Deny
    }
}
