//! What the agent says of itself, and when it is worth saying.

use std::fs;

use oncilla_api::Kind;
use oncilla_api::ObjectKey;

use super::Enforcer;
use crate::clock::Clock;
use crate::status::{AgentState, AgentStatus, Isolated, KernelStatus, PROBLEMS_MAX, Problem};
use crate::timers::{HEARTBEAT_MS, take_due};

/// What was said last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    state: Option<AgentState>,
    revision: Option<u64>,
    problems_version: u64,
    /// Which of our own problems there are: changes that are not in force, connections that are not judged, denials that
    /// are not read.
    amiss: [bool; 3],
    repairs: u64,
}

impl Enforcer {
    /// Says what is new, when somebody may wait for it, and that we live, now and then. Another agent's
    /// report is no reason: agents would keep each other talking.
    pub(super) fn report(&mut self) {
        let now_ms = self.clock.now_ms();
        if self.timers.revoke.is_none() {
            self.in_force = self.applied;
        }
        let heartbeat = take_due(&mut self.timers.heartbeat, now_ms);
        let wanted = self.intake.wanted();
        let reached = self.in_force.is_some_and(|revision| revision >= wanted);
        let is_awaited = self.reported.revision.is_none_or(|before| before < wanted);
        let is_blocked = self.blocked.is_some();
        let present = Reported {
            state: Some(self.state()),
            revision: if reached && is_awaited {
                self.in_force
            } else {
                self.reported.revision
            },
            problems_version: self.intake.problems_version(),
            amiss: [
                is_blocked,
                self.unjudged.is_some(),
                self.denials.silence().is_some(),
            ],
            repairs: self.counts.repairs,
        };
        // Not worth a request: the first complete report follows in a moment.
        let is_early = present.state == Some(AgentState::Starting) && !is_blocked;
        if !heartbeat && (present == self.reported || is_early) {
            return;
        }
        self.timers.heartbeat = Some(now_ms + HEARTBEAT_MS);
        self.reported = Reported {
            revision: self.in_force,
            ..present
        };
        self.statuses.send_replace(Some(self.status(self.state())));
    }

    /// Says that this agent ends and the kernel goes on.
    pub(super) fn report_end(&self) {
        self.statuses
            .send_replace(Some(self.status(AgentState::Stopped)));
    }

    fn state(&self) -> AgentState {
        if !self.started {
            AgentState::Starting
        } else if self.intake.away_since_unix_ms().is_some() {
            AgentState::Stale
        } else {
            AgentState::Enforcing
        }
    }

    fn status(&self, state: AgentState) -> AgentStatus {
        let own = |what: &str, (message, since): &(String, u64)| Problem {
            object: ObjectKey::cluster(Kind::Node, self.options.node.as_str()).to_string(),
            message: format!("{what}: {message}"),
            since_unix_ms: *since,
        };
        let blocked = self.blocked.iter();
        let blocked = blocked.map(|why| own("the last changes are not in force", why));
        let unjudged = self.unjudged.iter();
        let unjudged = unjudged.map(|why| own("open connections are not judged again", why));
        let deaf = self.denials.silence();
        let deaf = deaf.map(|why| {
            own(
                "denied packets are not read, so `oncilla log` shows none",
                &why,
            )
        });
        let own = blocked.chain(unjudged).chain(deaf);
        let mut problems: Vec<Problem> = own.chain(self.intake.problems()).collect();
        let problems_left_out = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        let policies = [
            Kind::GlobalNetworkPolicy,
            Kind::NetworkPolicy,
            Kind::KubernetesNetworkPolicy,
            Kind::ClusterNetworkPolicy,
        ];
        AgentStatus {
            state,
            revision: self.in_force,
            updated_unix_ms: Clock::unix_ms(),
            stale_since_unix_ms: self.intake.away_since_unix_ms(),
            pods: self.pipeline.program().endpoints.len(),
            policies: policies.map(|kind| self.intake.count(kind)).iter().sum(),
            tiers: self.intake.count(Kind::Tier),
            problems,
            problems_left_out,
            kernel: self.kernel_status(),
            rss_bytes: resident_bytes(),
        }
    }

    fn kernel_status(&self) -> KernelStatus {
        let dataplane = &self.pipeline.dataplane;
        let now_ms = self.clock.now_ms();
        let isolated = self.pipeline.isolated.iter().map(|(id, words)| {
            let group = self.pipeline.program().groups.get(id);
            let tiers = group.into_iter().flat_map(|group| &group.tiers);
            let policies: Vec<&str> = tiers.map(|tier| tier.comment.as_ref()).collect();
            Isolated {
                group: id.to_string(),
                message: format!("{words}; what {} select is denied", policies.join(", ")),
            }
        });
        KernelStatus {
            verified_ms_ago: self.counts.verified_at.map(|at| now_ms.saturating_sub(at)),
            repairs: self.counts.repairs,
            last_change_us: self.counts.last_change_us,
            writes: self.counts.writes_before + dataplane.writes(),
            owns_table: dataplane.owns_table(),
            isolated: isolated.collect(),
            tombstones: dataplane.tombstones(),
            connections_cut: self.counts.connections_cut,
        }
    }
}

/// This process' resident memory; 0 where it cannot be read.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
