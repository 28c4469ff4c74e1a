//! Gates: the maps that lead packets from their interface to what judges them.
//!
//! ```text
//!   workloads   to_wl, from_wl
//!   hosts       hep_in, hep_out          normal        hep_any_in, …   for interfaces without one of their own
//!               hep_fwd_in, hep_fwd_out  forward       hep_any_fwd_in, …
//!               hep_pre                  pre-DNAT      hep_any_pre
//!               hep_raw_in, hep_raw_out  untracked
//! ```
//! A host endpoint of all interfaces is one element for each family: every packet has one of the two, so the
//! element decides for all that the map by interface did not hold. That way it changes as others do.

use oncilla_net::Direction;
use oncilla_program::{ALL_INTERFACES, Hook, HostEndpoint, Program};

use crate::content::Placed;
use crate::object::{Element, Name, Value, Verdict};

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const FAMILIES: [u8; 2] = [2, 10];

/// Which host endpoints a table must know of, beyond workloads. A table without any has none of their chains
/// and hooks; one more kind replaces the table (ADR 0003).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct HostHooks(u8);

impl HostHooks {
    const fn bit(hook: Hook) -> u8 {
        match hook {
            Hook::Normal => 1,
            Hook::Forward => 2,
            Hook::PreDnat => 4,
            Hook::Untracked => 8,
        }
    }

    /// What the host endpoints of a program ask for, and groups that no interface leads to at the moment: their
    /// chains name others of the hook. Normal policy is everywhere: without a policy a host endpoint is closed, or
    /// its profiles decide.
    pub fn of(program: &Program) -> Self {
        let hooks = program.hosts.values().flat_map(|host| {
            let asked = host.groups.keys().map(|(hook, _)| *hook);
            // A host endpoint without groups is open, and there.
            std::iter::once(Hook::Normal).chain(asked)
        });
        let groups = program.groups.values().map(|group| group.hook);
        // Workloads have normal groups too.
        let groups = groups.filter(|hook| *hook != Hook::Normal);
        hooks.chain(groups).fold(Self::default(), |hooks, hook| {
            // Also beside groups whose interface became a workload's: chains of any hook count on those of this one.
            Self(hooks.0 | Self::bit(hook) | Self::bit(Hook::Normal))
        })
    }

    /// Whether this hook is in.
    pub const fn has(self, hook: Hook) -> bool {
        self.0 & Self::bit(hook) != 0
    }

    /// Whether there is a host endpoint at all.
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// Whether a packet may have been accepted before connection tracking or before DNAT.
    pub const fn has_early(self) -> bool {
        self.has(Hook::PreDnat) || self.has(Hook::Untracked)
    }
}

/// Where the maps of one hook and direction are.
pub(crate) const fn host_map(hook: Hook, direction: Direction) -> &'static str {
    match (hook, direction) {
        (Hook::Normal, Direction::Ingress) => "hep_in",
        (Hook::Normal, Direction::Egress) => "hep_out",
        (Hook::Forward, Direction::Ingress) => "hep_fwd_in",
        (Hook::Forward, Direction::Egress) => "hep_fwd_out",
        (Hook::PreDnat, _) => "hep_pre",
        (Hook::Untracked, Direction::Ingress) => "hep_raw_in",
        (Hook::Untracked, Direction::Egress) => "hep_raw_out",
    }
}

/// The map for interfaces without a host endpoint of their own. Untracked policy has none (§2.5).
pub(crate) const fn any_map(hook: Hook, direction: Direction) -> Option<&'static str> {
    match (hook, direction) {
        (Hook::Normal, Direction::Ingress) => Some("hep_any_in"),
        (Hook::Normal, Direction::Egress) => Some("hep_any_out"),
        (Hook::Forward, Direction::Ingress) => Some("hep_any_fwd_in"),
        (Hook::Forward, Direction::Egress) => Some("hep_any_fwd_out"),
        (Hook::PreDnat, _) => Some("hep_any_pre"),
        (Hook::Untracked, _) => None,
    }
}

/// The set of interfaces that have a host endpoint of their own.
pub(crate) const NAMED: &str = "hep";
/// The set that holds both families when a host endpoint covers all interfaces.
pub(crate) const ANY: &str = "hep_any";

fn keys(interface: &str) -> Vec<Value> {
    if interface == ALL_INTERFACES {
        FAMILIES.map(Value::byte).into()
    } else {
        vec![Value::ifname(interface)]
    }
}

/// The elements that say that an interface has a host endpoint.
pub fn host_elements(interface: &str, host: &HostEndpoint) -> Vec<Placed> {
    let set = if interface == ALL_INTERFACES {
        ANY
    } else {
        NAMED
    };
    let elements = keys(interface).into_iter();
    elements
        .map(|key| Placed {
            set: set.into(),
            element: Element::new(key).comment(&host.name),
        })
        .collect()
}

/// The elements that send one way of a host endpoint to `chain`, or on where there is none. Empty where the
/// way does not exist. An interface's own element stands also where nothing is evaluated: it keeps the host
/// endpoint of all interfaces away.
pub(crate) fn host_dispatch(
    interface: &str,
    host: &HostEndpoint,
    (hook, direction): (Hook, Direction),
    chain: Option<Name>,
) -> Vec<Placed> {
    let set = if interface == ALL_INTERFACES {
        let Some(set) = any_map(hook, direction) else {
            return Vec::new();
        };
        set
    } else {
        host_map(hook, direction)
    };
    let verdict = chain.map_or(Verdict::Return, Verdict::Goto);
    let elements = keys(interface).into_iter();
    elements
        .map(|key| Placed {
            set: set.into(),
            element: Element::verdict(key, verdict.clone()).comment(&host.name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oncilla_net::Direction;
    use oncilla_program::{Group, GroupId, Hook, ProfileEnd, Program};

    use super::HostHooks;

    #[test]
    fn a_group_that_no_interface_leads_to_has_normal_policy_beside_it() {
        let (hook, direction) = (Hook::Forward, Direction::Ingress);
        let id = GroupId("0".into());
        let group = Group {
            id: id.clone(),
            hook,
            direction,
            tiers: Vec::new(),
            profiles: ProfileEnd::Continue,
        };
        let mut program = Program::default();
        assert!(!HostHooks::of(&program).any());
        program.groups.insert(id, Arc::new(group));
        let hooks = HostHooks::of(&program);
        assert!(hooks.has(Hook::Normal) && hooks.has(Hook::Forward));
        assert!(!hooks.has(Hook::PreDnat) && !hooks.has(Hook::Untracked));
    }
}
