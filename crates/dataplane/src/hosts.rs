//! Where the host's own interfaces go: the edits of a flip, as `dispatch` has them for workloads.
//!
//! All elements of a host endpoint change in one transaction. A packet that asked one map before and the
//! next one after it meets either endpoint, or none where the new state has none.

use std::collections::BTreeSet;
use std::sync::Arc;

use oncilla_net::{Direction, fault};
use oncilla_nft::object::Name;
use oncilla_nft::{Placed, entry_chain, host_elements, host_way};
use oncilla_program::{GroupId, Hook, HostEndpoint, ProgramDelta};

use crate::elements::ElementEdits;
use crate::plan::Planner;

impl Planner<'_> {
    /// Host endpoints that change, and those whose group has a new version.
    pub(crate) fn dispatch_hosts(&mut self, delta: &ProgramDelta, renewed: &BTreeSet<GroupId>) {
        let uses = |host: &HostEndpoint| host.groups.values().any(|id| renewed.contains(id));
        let held = self.held.program.hosts.iter();
        let others =
            held.filter(|(interface, host)| uses(host) && !delta.hosts.contains_key(*interface));
        let others: Vec<(Arc<str>, Option<HostEndpoint>)> = others
            .map(|(interface, host)| (Arc::clone(interface), Some(host.clone())))
            .collect();
        let changed = delta.hosts.iter();
        let changed = changed.map(|(interface, host)| (Arc::clone(interface), host.clone()));
        let all: Vec<_> = changed.chain(others).collect();
        let mut edits = ElementEdits::default();
        for (interface, after) in all {
            let before = self.held.program.hosts.get(&interface).cloned();
            let ends = (before.as_ref(), after.as_ref());
            self.move_host(&interface, ends, renewed, &mut edits);
            let hosts = &mut self.held.program.hosts;
            match after {
                Some(host) => drop(hosts.insert(interface, host)),
                None => drop(hosts.remove(&interface)),
            }
        }
        let edits = edits.edits(|name| self.static_set(name));
        if !fault::is("dataplane/host-dispatch-forgotten") {
            self.flip.extend(edits);
        }
    }

    fn move_host(
        &self,
        interface: &str,
        (before, after): (Option<&HostEndpoint>, Option<&HostEndpoint>),
        renewed: &BTreeSet<GroupId>,
        edits: &mut ElementEdits,
    ) {
        let is_same = before.map(|host| &host.name) == after.map(|host| &host.name);
        if !is_same {
            replace(
                edits,
                before.map(|host| host_elements(interface, host)),
                after.map(|host| host_elements(interface, host)),
            );
        }
        let there = |way: &(Hook, Direction)| self.held.has_way(way.0);
        for way in Hook::ways().filter(there) {
            let group =
                |host: Option<&HostEndpoint>| host.map(|host| host.groups.get(&way).cloned());
            let (was, is) = (group(before), group(after));
            let is_renewed = matches!(&is, Some(Some(id)) if renewed.contains(id));
            if was == is && is_same && !is_renewed {
                continue;
            }
            // Elements go by key: the chain they lead to does not matter.
            let gone = before.map(|host| host_way(interface, host, way, &|_| Some("gone".into())));
            let new = after.map(|host| host_way(interface, host, way, &|id| self.entry(id)));
            replace(edits, gone, new);
        }
    }

    fn entry(&self, id: &GroupId) -> Option<Name> {
        let (group, placement) = self.held.group(id)?;
        Some(entry_chain(group, placement.version))
    }
}

fn replace(edits: &mut ElementEdits, old: Option<Vec<Placed>>, new: Option<Vec<Placed>>) {
    old.into_iter()
        .flatten()
        .for_each(|placed| edits.delete(placed));
    new.into_iter()
        .flatten()
        .for_each(|placed| edits.add(placed));
}
