//! A packet's walk through a host: which endpoints are asked at which hooks, in the order of the kernel's
//! chains (`engine.md` §5, `calico-semantics.md` §2.5).
//!
//! ```text
//!   comes in  ─▶ untracked ─▶ pre-DNAT ─┬─▶ from a workload to the host: its egress, then the host's action
//!                  │ allowed   │ allowed ├─▶ to the host: failsafes, host endpoint's ingress
//!                  ╰───────────┴─ ─ ─ ─ ─┴─▶ on: forward ingress, workloads' ends, forward egress
//!   sent here ─▶ untracked ─▶ to a workload: allowed │ failsafes, host endpoint's egress
//! ```
//! An early allow skips only what its own interface would ask later: workloads are asked, and so is the
//! forward policy of the interface that the packet leaves by.

use oncilla_net::{Direction, IpNet, Packet, Protocol, Verdict};

use crate::{
    ALL_INTERFACES, Dispatch, EndpointToHost, Failsafe, GroupId, Hook, HostEndpoint, Judgement,
    LOOPBACK, Outcome, Passage, Place, Program, Settings, Way,
};

impl Program {
    /// What becomes of the first packet of a flow.
    pub fn judge<'a>(&'a self, passage: &Passage<'a>, packet: &Packet) -> Outcome<'a> {
        let outcome = self.judge_early(passage, packet);
        if outcome.verdict == Verdict::Deny {
            return outcome;
        }
        match passage.way {
            Way::Input => self.judge_input(outcome, passage, packet),
            Way::Forward => self.judge_forward(outcome, passage, packet),
            Way::Output => self.judge_output(outcome, passage, packet),
        }
    }

    /// The hooks before connection tracking and before destination NAT.
    fn judge_early<'a>(&'a self, passage: &Passage<'a>, packet: &Packet) -> Outcome<'a> {
        let mut sent = *packet;
        if let Some((dst, port)) = passage.original {
            (sent.dst, sent.dst_port) = (dst, port);
        }
        let direction = match passage.way {
            Way::Output => Direction::Egress,
            Way::Forward | Way::Input => Direction::Ingress,
        };
        let mut outcome = Outcome::unpoliced();
        let Some(interface) = passage.early_interface() else {
            return outcome;
        };
        for hook in [Hook::Untracked, Hook::PreDnat] {
            let is_asked = hook.directions().contains(&direction);
            if !is_asked
                || outcome.accepted.is_some()
                || is_neighbour(&sent)
                || self.settings.is_failsafe(hook, direction, &sent)
            {
                continue;
            }
            let Some((key, group)) = self.group_at(interface, (hook, direction)) else {
                continue;
            };
            let end = self.judge_group(group, direction, &sent);
            let is_decided = end.place != Place::Undecided;
            let before = outcome;
            outcome = outcome.then(key, (hook, direction), end);
            if !is_decided {
                // What was not decided here is decided elsewhere, if only by nobody.
                (outcome.verdict, outcome.decided) = (before.verdict, before.decided);
            } else if outcome.verdict == Verdict::Deny {
                return outcome;
            } else if self.settings.failsafes.are_certain {
                outcome.accepted = Some(hook);
            }
        }
        outcome
    }

    fn judge_input<'a>(
        &'a self,
        outcome: Outcome<'a>,
        passage: &Passage<'a>,
        packet: &Packet,
    ) -> Outcome<'a> {
        let Some(interface) = passage.in_interface else {
            return outcome;
        };
        if !self.settings.is_workload(interface) {
            return self.judge_host(outcome, (interface, Direction::Ingress), packet);
        }
        let egress = (Hook::Normal, Direction::Egress);
        if is_neighbour(packet) {
            let end = Judgement::at(Verdict::Allow, Place::Neighbour);
            return outcome.then(interface, egress, end);
        }
        let end = self.judge_end(interface, Direction::Egress, packet);
        let outcome = outcome.then(interface, egress, end);
        if outcome.verdict == Verdict::Deny {
            return outcome;
        }
        let action = self.settings.endpoint_to_host;
        let verdict = match action {
            EndpointToHost::Drop => Verdict::Deny,
            EndpointToHost::Accept | EndpointToHost::Return => Verdict::Allow,
        };
        let mut end = Judgement::at(verdict, Place::ToHost(action));
        end.group = outcome.decided.group;
        outcome.then(interface, egress, end)
    }

    fn judge_forward<'a>(
        &'a self,
        mut outcome: Outcome<'a>,
        passage: &Passage<'a>,
        packet: &Packet,
    ) -> Outcome<'a> {
        let is_accepted = outcome.accepted.is_some();
        let forward_in = passage.in_interface.filter(|_| !is_accepted);
        let workload = |interface: &&str| self.settings.is_workload(interface);
        let ends = [
            (forward_in, Hook::Forward, Direction::Ingress),
            (
                passage.in_interface.filter(workload),
                Hook::Normal,
                Direction::Egress,
            ),
            (
                passage.out_interface.filter(workload),
                Hook::Normal,
                Direction::Ingress,
            ),
            (passage.out_interface, Hook::Forward, Direction::Egress),
        ];
        for (interface, hook, direction) in ends {
            let Some(interface) = interface else {
                continue;
            };
            let (key, end) = if hook == Hook::Forward {
                let Some((key, group)) = self.group_at(interface, (hook, direction)) else {
                    continue;
                };
                (key, self.judge_group(group, direction, packet))
            } else {
                (interface, self.judge_end(interface, direction, packet))
            };
            outcome = outcome.then(key, (hook, direction), end);
            if outcome.verdict == Verdict::Deny {
                return outcome;
            }
        }
        outcome
    }

    fn judge_output<'a>(
        &'a self,
        outcome: Outcome<'a>,
        passage: &Passage<'a>,
        packet: &Packet,
    ) -> Outcome<'a> {
        match passage.out_interface {
            Some(interface) if !self.settings.is_workload(interface) => {
                self.judge_host(outcome, (interface, Direction::Egress), packet)
            }
            _ => outcome,
        }
    }

    /// A host endpoint's normal policy.
    fn judge_host<'a>(
        &'a self,
        outcome: Outcome<'a>,
        (interface, direction): (&'a str, Direction),
        packet: &Packet,
    ) -> Outcome<'a> {
        let Some((key, host)) = self
            .host_at(interface)
            .filter(|_| outcome.accepted.is_none())
        else {
            return outcome;
        };
        let end = if is_neighbour(packet) {
            Judgement::at(Verdict::Allow, Place::Neighbour)
        } else if self.settings.is_failsafe(Hook::Normal, direction, packet) {
            Judgement::at(Verdict::Allow, Place::Failsafe)
        } else {
            match host.groups.get(&(Hook::Normal, direction)) {
                None => Judgement::at(Verdict::Allow, Place::Open),
                Some(group) => self.judge_group(group, direction, packet),
            }
        };
        outcome.then(key, (Hook::Normal, direction), end)
    }

    /// The host endpoint that an interface has: its own, or the one for all. A workload's interface has
    /// none of its own, and that of the host with itself has none at all.
    fn host_at<'a>(&'a self, interface: &'a str) -> Option<(&'a str, &'a HostEndpoint)> {
        if interface == LOOPBACK {
            return None;
        }
        let own = self
            .hosts
            .get(interface)
            .filter(|_| !self.settings.is_workload(interface));
        let all = || {
            self.hosts
                .get(ALL_INTERFACES)
                .map(|host| (ALL_INTERFACES, host))
        };
        own.map(|host| (interface, host)).or_else(all)
    }

    /// The group that judges a way of an interface; none where nothing is to be evaluated. Untracked policy
    /// reaches interfaces of their own host endpoint only (`calico-felix.md` §2.5).
    fn group_at<'a>(
        &'a self,
        interface: &'a str,
        way: (Hook, Direction),
    ) -> Option<(&'a str, &'a GroupId)> {
        let (key, host) = self.host_at(interface)?;
        if way.0 == Hook::Untracked && key == ALL_INTERFACES {
            return None;
        }
        Some((key, host.groups.get(&way)?))
    }
}

/// Whether a packet is neighbour discovery or a report of multicast listeners: hosts get and send it whatever policy
/// says, as they have no IPv6 without it.
fn is_neighbour(packet: &Packet) -> bool {
    let kind = packet.icmp.map(|icmp| icmp.kind);
    packet.protocol == Protocol::ICMPV6
        && kind.is_some_and(|kind| (130..=136).contains(&kind) || kind == 143)
}

/// An end that a packet on a certain way through the host may be asked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndAsked<'a> {
    /// Where on the way.
    pub hook: Hook,
    /// As seen from the end.
    pub direction: Direction,
    /// The group; none where nothing is evaluated.
    pub group: Option<&'a GroupId>,
    /// The host endpoint's name; none of a workload.
    pub host: Option<&'a str>,
}

impl Program {
    /// The ends that a packet on this way may be asked at, in order, whatever they say.
    pub fn ends<'a>(&'a self, passage: &Passage<'a>) -> Vec<EndAsked<'a>> {
        let is_workload = |interface: &&str| self.settings.is_workload(interface);
        let (from, to) = (passage.in_interface, passage.out_interface);
        let mut ends = Vec::new();
        let first = match passage.way {
            Way::Output => Direction::Egress,
            Way::Forward | Way::Input => Direction::Ingress,
        };
        let early = passage.early_interface();
        for hook in [Hook::Untracked, Hook::PreDnat] {
            if hook.directions().contains(&first) {
                ends.extend(self.host_end(early, (hook, first)));
            }
        }
        let normal = Hook::Normal;
        let local = |interface| self.workload_end(interface);
        match passage.way {
            Way::Input if from.as_ref().is_some_and(is_workload) => {
                ends.extend(local((from, Direction::Egress)));
            }
            Way::Input => ends.extend(self.host_end(from, (normal, Direction::Ingress))),
            Way::Output if to.as_ref().is_some_and(is_workload) => {}
            Way::Output => ends.extend(self.host_end(to, (normal, Direction::Egress))),
            Way::Forward => {
                ends.extend(self.host_end(from, (Hook::Forward, Direction::Ingress)));
                ends.extend(local((from.filter(is_workload), Direction::Egress)));
                ends.extend(local((to.filter(is_workload), Direction::Ingress)));
                ends.extend(self.host_end(to, (Hook::Forward, Direction::Egress)));
            }
        }
        ends
    }

    fn host_end<'a>(
        &'a self,
        interface: Option<&'a str>,
        (hook, direction): (Hook, Direction),
    ) -> Option<EndAsked<'a>> {
        let (key, group) = self.group_at(interface?, (hook, direction))?;
        let host = self.hosts.get(key)?;
        Some(EndAsked {
            hook,
            direction,
            group: Some(group),
            host: Some(&host.name),
        })
    }

    fn workload_end(
        &self,
        (interface, direction): (Option<&str>, Direction),
    ) -> Option<EndAsked<'_>> {
        let endpoint = self.endpoints.get(interface?)?;
        let dispatch = match direction {
            Direction::Ingress => &endpoint.ingress,
            Direction::Egress => &endpoint.egress,
        };
        let group = match dispatch {
            Dispatch::Group(id) => Some(id),
            Dispatch::Open => None,
        };
        Some(EndAsked {
            hook: Hook::Normal,
            direction,
            group,
            host: None,
        })
    }
}

impl Settings {
    /// Whether a failsafe lets a packet pass a host endpoint at a hook. Forwarded packets know none. Where
    /// connections are not followed yet, the answers of the other direction's failsafes pass too.
    pub fn is_failsafe(&self, hook: Hook, direction: Direction, packet: &Packet) -> bool {
        let (here, there) = match direction {
            Direction::Ingress => (&self.failsafes.inbound, &self.failsafes.outbound),
            Direction::Egress => (&self.failsafes.outbound, &self.failsafes.inbound),
        };
        let peer = match direction {
            Direction::Ingress => packet.src,
            Direction::Egress => packet.dst,
        };
        let holds = |failsafe: &Failsafe, port: u16| {
            (failsafe.protocol, failsafe.port) == (packet.protocol, port)
                && failsafe
                    .net
                    .is_none_or(|net| net.contains(&IpNet::from(peer)))
        };
        let asks = here.iter().any(|failsafe| holds(failsafe, packet.dst_port));
        let answers = || {
            there
                .iter()
                .any(|failsafe| holds(failsafe, packet.src_port))
        };
        match hook {
            Hook::Forward => false,
            Hook::Normal | Hook::PreDnat => asks,
            Hook::Untracked => asks || answers(),
        }
    }
}
