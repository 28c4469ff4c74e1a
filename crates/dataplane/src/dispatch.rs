//! Where interfaces go: the edits that make a flip.
//!
//! The open set is asked before the dispatch map. So an endpoint that becomes open keeps its element in the
//! map until the cleaning: a packet that asked the open set just before still finds its group.

use std::collections::BTreeSet;
use std::sync::Arc;

use oncilla_net::{Direction, fault};
use oncilla_nft::object::Name;
use oncilla_nft::{Placed, dispatch_element, dispatch_of, entry_chain};
use oncilla_program::{Dispatch, GroupId, LocalEndpoint, ProgramDelta};

use crate::elements::ElementEdits;
use crate::plan::Planner;

impl Planner<'_> {
    /// Endpoints that change, and those whose group has a new version.
    pub(crate) fn dispatch_endpoints(&mut self, delta: &ProgramDelta, renewed: &BTreeSet<GroupId>) {
        for (interface, after) in &delta.endpoints {
            let before = self.held.program.endpoints.get(interface).cloned();
            for direction in Direction::ALL {
                self.dispatch(
                    interface,
                    direction,
                    (before.as_ref(), after.as_ref()),
                    renewed,
                );
            }
            let endpoints = &mut self.held.program.endpoints;
            match after {
                Some(endpoint) => drop(endpoints.insert(Arc::clone(interface), endpoint.clone())),
                None => drop(endpoints.remove(interface)),
            }
        }
        if renewed.is_empty() {
            return;
        }
        let others: Vec<(Arc<str>, LocalEndpoint)> = self
            .held
            .program
            .endpoints
            .iter()
            .filter(|(interface, _)| !delta.endpoints.contains_key(*interface))
            .map(|(interface, endpoint)| (Arc::clone(interface), endpoint.clone()))
            .collect();
        for (interface, endpoint) in others {
            for direction in Direction::ALL {
                let same = Some(&endpoint);
                self.dispatch(&interface, direction, (same, same), renewed);
            }
        }
    }

    fn dispatch(
        &mut self,
        interface: &str,
        direction: Direction,
        (before, after): (Option<&LocalEndpoint>, Option<&LocalEndpoint>),
        renewed: &BTreeSet<GroupId>,
    ) {
        let kind = |endpoint: &LocalEndpoint| dispatch_of(endpoint, direction).clone();
        let (was, is) = (before.map(kind), after.map(kind));
        let named_alike = before.map(|e| &e.name) == after.map(|e| &e.name);
        let renewed = matches!(&is, Some(Dispatch::Group(id)) if renewed.contains(id))
            && !fault::is("dataplane/dispatch-to-old-version");
        if was == is && named_alike && !renewed {
            return;
        }
        let place = |endpoint: &LocalEndpoint, chain| {
            dispatch_element(interface, endpoint, direction, chain)
        };
        let mut edits = ElementEdits::default();
        if let Some(endpoint) = before {
            match &was {
                Some(Dispatch::Open) => edits.delete(place(endpoint, None)),
                // Elements go by key: the chain it leads to does not matter.
                Some(Dispatch::Group(_)) => {
                    let gone = place(endpoint, Some("gone".into()));
                    if is == Some(Dispatch::Open) {
                        self.leave(gone);
                    } else {
                        edits.delete(gone);
                    }
                }
                None => {}
            }
        }
        if let Some(endpoint) = after {
            match &is {
                Some(Dispatch::Open) => edits.add(place(endpoint, None)),
                Some(Dispatch::Group(id)) => {
                    let chain = self
                        .held
                        .group(id)
                        .map(|(group, placement)| entry_chain(group, placement.version));
                    // Without a chain there is no element, and packets are dropped.
                    if let Some(chain) = chain {
                        self.enter(place(endpoint, Some(chain)), &mut edits);
                    }
                }
                None => {}
            }
        }
        let edits = edits.edits(|name| self.static_set(name));
        self.flip.extend(edits);
    }

    /// Leaves a map's element to the cleaning.
    fn leave(&mut self, placed: Placed) {
        if let Some(set) = self.static_set(&placed.set) {
            self.held.garbage.leave_elements(&set, [placed.element]);
        }
    }

    /// Adds a map's element, after the one that was left with its key.
    pub(crate) fn enter(&mut self, placed: Placed, edits: &mut ElementEdits) {
        let set = Name::clone(&placed.set);
        if let Some(element) = self.held.garbage.take_key(&set, placed.element.key()) {
            edits.delete(Placed { set, element });
        }
        edits.add(placed);
    }
}
