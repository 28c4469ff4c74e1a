//! Revocation: a deny ends connections that are open (`engine.md` §7).
//!
//! Deleting the conntrack entry is not enough: the server's next segment would open it again in reverse. So
//! a tombstone stops both directions first, then the entry goes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use oncilla_kernel::conntrack::{Conntrack, Flow};
use oncilla_net::{Icmp, Packet, Verdict};
use oncilla_nft::TOMBSTONES_MAX;
use oncilla_program::{Passage, Program, Way};

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
    /// lifts the tombstones of those that it allows again. `host` are the node's own addresses: what the
    /// host opened to its own workloads is never policed.
    ///
    /// # Errors
    /// When connections cannot be read or deleted, or the kernel refuses a tombstone.
    pub fn revoke(
        &mut self,
        conntrack: &mut Conntrack,
        host: &BTreeSet<IpAddr>,
    ) -> Result<Revoked, DataplaneError> {
        let mut revoked = Revoked {
            lifted: self.lift()?,
            ..Revoked::default()
        };
        let local = local_interfaces(&self.held.program);
        let denied: Vec<(Flow, Packet)> = conntrack
            .dump()?
            .into_iter()
            .map(|flow| (first_packet(&flow), flow))
            .filter(|(packet, _)| !host.contains(&packet.src))
            .filter(|(packet, _)| is_denied(&self.held.program, &local, packet))
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

    fn lift(&mut self) -> Result<usize, DataplaneError> {
        let program = &self.held.program;
        let local = local_interfaces(program);
        let lifted = self
            .tombs
            .take(|tomb| !is_denied(program, &local, &tomb.packet()));
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

fn local_interfaces(program: &Program) -> BTreeMap<IpAddr, &str> {
    let endpoints = program.endpoints.iter();
    endpoints
        .flat_map(|(interface, endpoint)| {
            endpoint
                .addresses
                .iter()
                .map(|addr| (*addr, interface.as_ref()))
        })
        .collect()
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

fn is_denied(program: &Program, local: &BTreeMap<IpAddr, &str>, packet: &Packet) -> bool {
    let in_interface = local.get(&packet.src).copied();
    let out_interface = local.get(&packet.dst).copied();
    if in_interface.is_none() && out_interface.is_none() {
        return false;
    }
    let passage = Passage {
        in_interface,
        out_interface,
        way: Way::Forward,
        original: None,
    };
    program.judge(&passage, packet).verdict == Verdict::Deny
}
