//! An endpoint whose own class changes in the same delta as its groups: a label went or came.
//!
//! A packet is judged at both of its ends, at one by the endpoint's group, at the other by its class, and the two
//! cannot change at one instant. In between a packet could meet the old group and the new class, which neither the old
//! policy nor the new one means. So the endpoint goes over a bridge: while its addresses move, its packets need the old
//! group's word and the new one's. Whatever passes then passes by the old policy as a whole or by the new one; whatever
//! is denied is denied by one of them.
//!
//! ```text
//!   open  → group      the new group judges before the addresses move
//!   group → open       the old group judges until they have moved
//!   group → group      a chain that asks both
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::Direction;
use oncilla_nft::object::Name;
use oncilla_nft::{bridge_chain, dispatch_element, dispatch_of, entry_chain};
use oncilla_program::{Dispatch, GroupId, LocalEndpoint, ProgramDelta};

use crate::edit::create;
use crate::elements::ElementEdits;
use crate::plan::Planner;

impl Planner<'_> {
    /// Leads endpoints that get another class and another group onto their bridge.
    pub(crate) fn bridge_endpoints(&mut self, delta: &ProgramDelta) {
        let moving: BTreeSet<IpAddr> = delta.addresses.iter().map(|change| change.addr).collect();
        if moving.is_empty() {
            return;
        }
        for (interface, after) in &delta.endpoints {
            let before = self.held.program.endpoints.get(interface).cloned();
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            if before.addresses.iter().any(|addr| moving.contains(addr)) {
                for direction in Direction::ALL {
                    self.bridge((interface, direction), &before, after, delta);
                }
            }
        }
        self.end_flip();
    }

    fn bridge(
        &mut self,
        (interface, direction): (&Arc<str>, Direction),
        before: &LocalEndpoint,
        after: &LocalEndpoint,
        delta: &ProgramDelta,
    ) {
        let (was, is) = (
            dispatch_of(before, direction),
            dispatch_of(after, direction),
        );
        let Dispatch::Group(next) = is else {
            return;
        };
        if was == is {
            return;
        }
        let Some(entry) = self.entry_of(next, delta) else {
            return;
        };
        let place = |chain| dispatch_element(interface, before, direction, chain);
        let mut edits = ElementEdits::default();
        match was {
            Dispatch::Open => {
                edits.delete(place(None));
                self.enter(place(Some(entry)), &mut edits);
                if let Some(held) = self.held.program.endpoints.get_mut(interface) {
                    match direction {
                        Direction::Ingress => held.ingress = is.clone(),
                        Direction::Egress => held.egress = is.clone(),
                    }
                }
            }
            Dispatch::Group(last) => {
                let Some(old) = self.entry_of(last, delta) else {
                    return;
                };
                let number = self.held.next_bridge();
                let bridge = bridge_chain(interface, direction, number, [old, entry]);
                let name = Name::clone(&bridge.chain.name);
                self.send(create([], [&bridge]));
                self.held.garbage.leave_chain(Name::clone(&name));
                edits.delete(place(Some("gone".into())));
                edits.add(place(Some(name)));
            }
        }
        let edits = edits.edits(|name| self.static_set(name));
        self.flip.extend(edits);
    }

    /// Where packets enter a group, which is made when it is not there yet.
    fn entry_of(&mut self, id: &GroupId, delta: &ProgramDelta) -> Option<Name> {
        if self.held.group(id).is_none() {
            let group = delta.groups.get(id)?.as_ref()?;
            self.replace_group(id, group);
        }
        let (group, placement) = self.held.group(id)?;
        Some(entry_chain(group, placement.version))
    }
}
