//! Which predicates the rules of local groups use, counted: on the peer's side and on the local side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_model::{Predicate, Rule, Side};
use oncilla_net::Direction;
use oncilla_program::Hook;

use crate::node::{GroupDef, LocalPorts};

/// What the local side of a group's packets can be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Scope {
    /// A workload of this node.
    Workload,
    /// This node.
    Host,
    /// Anything: the packet may be on its way through.
    Wide,
}

#[derive(Debug)]
struct Owner {
    /// Keeps the address, which is the owner's key, from being used again.
    rules: Arc<[Rule]>,
    groups: u32,
}

/// Counts of uses. Rules are counted once, however many groups share them.
#[derive(Debug)]
pub(crate) struct Usage {
    owners: HashMap<(usize, Direction, Scope), Owner>,
    peers: BTreeMap<Predicate, u32>,
    locals: BTreeMap<Predicate, u32>,
    /// Those of the local side where that is not this node's: packets that a host forwards.
    wide: BTreeMap<Predicate, u32>,
    /// Port names of the local side where that is a host's.
    own_names: BTreeMap<Predicate, u32>,
    /// Peer predicates whose count became or left zero.
    pub(crate) peers_changed: BTreeSet<Predicate>,
    /// Whether a local predicate came or went.
    pub(crate) locals_changed: bool,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self {
            owners: HashMap::new(),
            peers: BTreeMap::new(),
            locals: BTreeMap::new(),
            wide: BTreeMap::new(),
            own_names: BTreeMap::new(),
            peers_changed: BTreeSet::new(),
            locals_changed: false,
        }
    }

    pub(crate) fn is_peer(&self, predicate: &Predicate) -> bool {
        self.peers.contains_key(predicate)
    }

    pub(crate) fn locals(&self) -> impl Iterator<Item = &Predicate> {
        self.locals.keys()
    }

    /// The port names that are asked by address.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = &Predicate> {
        self.own_names.keys()
    }

    /// Whether a local predicate is asked of addresses that are not this node's.
    pub(crate) fn is_wide(&self, predicate: &Predicate) -> bool {
        self.wide.contains_key(predicate)
    }

    pub(crate) fn has_wide(&self) -> bool {
        !self.wide.is_empty()
    }

    pub(crate) fn add(&mut self, group: &GroupDef) {
        for rules in rules_of(group) {
            let key = (rules.as_ptr().addr(), group.direction, scope(group));
            let fresh = || Owner {
                rules: Arc::clone(rules),
                groups: 0,
            };
            let owner = self.owners.entry(key).or_insert_with(fresh);
            owner.groups += 1;
            if owner.groups == 1 {
                self.count((group.direction, scope(group)), rules, true);
            }
        }
    }

    pub(crate) fn remove(&mut self, group: &GroupDef) {
        for rules in rules_of(group) {
            let key = (rules.as_ptr().addr(), group.direction, scope(group));
            let Some(owner) = self.owners.get_mut(&key) else {
                continue;
            };
            owner.groups -= 1;
            if owner.groups == 0 {
                let rules = Arc::clone(&owner.rules);
                self.owners.remove(&key);
                self.count((group.direction, scope(group)), &rules, false);
            }
        }
    }

    fn count(&mut self, (direction, scope): (Direction, Scope), rules: &[Rule], more: bool) {
        for rule in rules {
            let (peer, local) = sides(rule, direction);
            for predicate in peer_predicates(peer) {
                if bump(&mut self.peers, predicate, more) {
                    self.peers_changed.insert(predicate.clone());
                }
            }
            for predicate in local.all.iter().chain(&local.none) {
                self.locals_changed |= bump(&mut self.locals, predicate, more);
                if scope == Scope::Wide {
                    self.locals_changed |= bump(&mut self.wide, predicate, more);
                }
            }
            for predicate in port_names(local).filter(|_| scope != Scope::Workload) {
                self.locals_changed |= bump(&mut self.own_names, predicate, more);
                if scope == Scope::Wide {
                    self.locals_changed |= bump(&mut self.wide, predicate, more);
                }
            }
        }
    }
}

fn scope(group: &GroupDef) -> Scope {
    match group.local_ports {
        LocalPorts::Exact(_) => Scope::Workload,
        LocalPorts::ByAddress(_) if group.hook == Hook::Normal => Scope::Host,
        LocalPorts::ByAddress(_) => Scope::Wide,
    }
}

/// The peer's and the local side of a rule, seen from the endpoint.
pub(crate) fn sides(rule: &Rule, direction: Direction) -> (&Side, &Side) {
    match direction {
        Direction::Ingress => (&rule.source, &rule.destination),
        Direction::Egress => (&rule.destination, &rule.source),
    }
}

/// The named-port predicates of one side.
pub(crate) fn port_names(side: &Side) -> impl Iterator<Item = &Predicate> {
    side.ports
        .iter()
        .chain(&side.not_ports)
        .flat_map(|ports| &ports.names)
}

/// The lists of rules of a group, policies' and profiles'. Empty lists share one address and use nothing.
pub(crate) fn rules_of(group: &GroupDef) -> impl Iterator<Item = &Arc<[Rule]>> {
    let direction = group.direction;
    let policies = group.tiers.iter().flat_map(|tier| &tier.policies);
    let policies = policies.filter_map(move |policy| match direction {
        Direction::Ingress => policy.ingress.as_ref(),
        Direction::Egress => policy.egress.as_ref(),
    });
    let profiles = group.profiles.iter().flatten();
    let profiles = profiles.map(move |profile| match direction {
        Direction::Ingress => &profile.ingress,
        Direction::Egress => &profile.egress,
    });
    policies.chain(profiles).filter(|rules| !rules.is_empty())
}

fn peer_predicates(side: &Side) -> impl Iterator<Item = &Predicate> {
    side.all.iter().chain(&side.none).chain(port_names(side))
}

/// Whether the count became or left zero.
fn bump(counts: &mut BTreeMap<Predicate, u32>, predicate: &Predicate, more: bool) -> bool {
    if more {
        let count = counts.entry(predicate.clone()).or_default();
        *count += 1;
        return *count == 1;
    }
    let Some(count) = counts.get_mut(predicate) else {
        return false;
    };
    *count -= 1;
    if *count == 0 {
        counts.remove(predicate);
        return true;
    }
    false
}
