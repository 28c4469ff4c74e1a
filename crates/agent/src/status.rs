//! What an agent says of itself: JSON in an annotation of its Node object.

use serde::{Deserialize, Serialize};

/// The annotation of the Node object that holds an [`AgentStatus`] as JSON.
pub const AGENT_ANNOTATION: &str = "oncilla.io/agent";
/// A status that is older than this, in milliseconds, is of an agent that is gone or cut off: it is written
/// every 5 s.
pub const STALE_AFTER_MS: u64 = 15_000;
/// Most problems in one status; the rest is counted.
pub const PROBLEMS_MAX: usize = 64;

/// What an agent says of itself. All times are of the agent's own clock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentStatus {
    /// What it does.
    pub state: AgentState,
    /// The resource version up to which everything in the store is in force in the kernel; absent until the
    /// first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When this was written, in milliseconds since 1970.
    pub updated_unix_ms: u64,
    /// Since when the store is away, in milliseconds since 1970; absent when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since_unix_ms: Option<u64>,
    /// Local workloads under policy.
    pub pods: usize,
    /// Policies of the cluster.
    pub policies: usize,
    /// Tiers of the cluster.
    pub tiers: usize,
    /// What is not in force as written; at most [`PROBLEMS_MAX`].
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// How many problems are not in the list.
    #[serde(default)]
    pub problems_left_out: usize,
    /// What it did to the kernel.
    pub kernel: KernelStatus,
    /// The agent's resident memory in bytes.
    pub rss_bytes: u64,
}

impl AgentStatus {
    /// What the agent does as far as can be said at `unix_ms`: a status that nobody renewed is stale, unless it was
    /// the last word of an agent that stopped.
    pub fn state_at(&self, unix_ms: u64) -> AgentState {
        let age_ms = unix_ms.saturating_sub(self.updated_unix_ms);
        if self.state != AgentState::Stopped && age_ms > STALE_AFTER_MS {
            AgentState::Stale
        } else {
            self.state
        }
    }
}

/// What an agent does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// It has not yet put a policy in force: the kernel keeps what it held before.
    Starting,
    /// The policy of the store is in force.
    Enforcing,
    /// The store is away: the last policy it told is in force.
    Stale,
    /// It was told to stop, and this is its last report: the kernel keeps enforcing what was in force.
    Stopped,
}

/// An object that is not in force as written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// `NetworkPolicy staging/old-db`.
    pub object: String,
    /// What is wrong, and what is in force instead.
    pub message: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// What an agent did to the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KernelStatus {
    /// How long ago the table was read back and found as it should be, in milliseconds; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_ms_ago: Option<u64>,
    /// How often foreign changes were undone.
    pub repairs: u64,
    /// How long the last change took from the event to the kernel's acknowledgement, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_us: Option<u64>,
    /// Transactions sent since the start.
    pub writes: u64,
    /// Whether the kernel keeps others from changing our table.
    pub owns_table: bool,
    /// Groups that the kernel refused; their endpoints are denied.
    #[serde(default)]
    pub isolated: Vec<Isolated>,
    /// Cut connections that are still kept from coming back.
    pub tombstones: usize,
    /// Established connections that policy cut since the start.
    pub connections_cut: u64,
}

/// A policy group that the kernel refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Isolated {
    /// The group, as in the names of its chains.
    pub group: String,
    /// The kernel's words.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::{AgentState, AgentStatus, KernelStatus, STALE_AFTER_MS};

    #[test]
    fn a_report_that_nobody_renews_is_stale() {
        let status = AgentStatus {
            state: AgentState::Enforcing,
            revision: Some(7),
            updated_unix_ms: 1_000_000,
            stale_since_unix_ms: None,
            pods: 1,
            policies: 2,
            tiers: 3,
            problems: Vec::new(),
            problems_left_out: 0,
            kernel: KernelStatus::default(),
            rss_bytes: 4096,
        };
        assert_eq!(
            status.state_at(1_000_000 + STALE_AFTER_MS),
            AgentState::Enforcing
        );
        assert_eq!(
            status.state_at(1_000_001 + STALE_AFTER_MS),
            AgentState::Stale
        );
        let stopped = AgentStatus {
            state: AgentState::Stopped,
            ..status.clone()
        };
        assert_eq!(stopped.state_at(u64::MAX), AgentState::Stopped);
        let text = serde_json::to_string(&status).unwrap();
        assert!(
            text.starts_with(r#"{"state":"enforcing","revision":7,"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<AgentStatus>(&text).unwrap(), status);
    }
}
