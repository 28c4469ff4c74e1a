//! Where the port names of a host's own side lead, address by address.
//!
//! A host's interface takes packets for many addresses: its own, those of workloads, others. So a name of the side that
//! is the host's is asked together with the address, and what is here are all addresses where it leads to a port.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::Predicate;
use oncilla_net::{Protocol, fault};
use oncilla_program::ServiceSet;

use crate::addresses::Source;
use crate::resolver::Resolver;

/// The names that rules ask of a host's own side, with what was published of each. Owned by the resolver.
#[derive(Debug, Default)]
pub(crate) struct OwnPorts {
    published: BTreeMap<Predicate, ServiceSet>,
}

impl OwnPorts {
    pub(crate) fn of(&self, predicate: &Predicate) -> Option<&ServiceSet> {
        self.published.get(predicate)
    }
}

impl Resolver {
    /// Fills the sets of port names anew.
    pub(crate) fn publish_own_ports(&mut self) {
        let wanted: Vec<Predicate> = self.locals.usage.own_names().cloned().collect();
        let mut published = BTreeMap::new();
        for predicate in wanted {
            let Predicate::NamedPort { protocol, .. } = &predicate else {
                continue;
            };
            let mut set = ServiceSet {
                text: Arc::clone(predicate.text()),
                ..ServiceSet::default()
            };
            for addr in self.local_candidates(&predicate) {
                set.members
                    .extend(self.ports_at(&predicate, addr, *protocol));
            }
            published.insert(predicate, set);
        }
        let old = std::mem::replace(&mut self.own_ports.published, published);
        let new = &self.own_ports.published;
        let gone = old.keys().filter(|each| !new.contains_key(*each));
        let changed = new
            .iter()
            .filter(|(each, set)| old.get(*each) != Some(*set));
        for predicate in gone.chain(changed.map(|(each, _)| each)) {
            self.sets.note(predicate);
        }
    }

    /// The ports to which a name leads at an address.
    fn ports_at(
        &mut self,
        predicate: &Predicate,
        addr: IpAddr,
        protocol: Protocol,
    ) -> Vec<(IpAddr, Protocol, u16)> {
        let sources = self.plane.addresses.sources(addr);
        let mut found = Vec::new();
        for source in sources {
            // Network sets serve nothing.
            let Source::Row(row) = source else { continue };
            if let Some(shape) = self.plane.shape_of(row) {
                let ports = self.index.ports_of(shape, predicate).into_iter();
                found.extend(ports.map(|port| (addr, protocol, port)));
            }
            if fault::is("resolve/port-names-of-first-owner") {
                break;
            }
        }
        found
    }
}
