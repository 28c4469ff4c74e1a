//! The answer: verdict, who decided it, and the trace of both ends.

use std::fmt;
use std::sync::Arc;

use oncilla_api::ObjectKey;
use oncilla_api::v3::{Action, TierAction};
use oncilla_net::{Direction, Packet, Verdict};

/// The answer to a question.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// What becomes of the packet: it must pass every leg.
    pub verdict: Verdict,
    /// Who settled it: the first leg that denies, or else the last leg.
    pub decided_by: Decision,
    /// The packet's headers.
    pub packet: Packet,
    /// Who sends: `namespace/pod`, `host:NODE` or the address.
    pub source: Arc<str>,
    /// Who receives, written alike.
    pub destination: Arc<str>,
    /// The endpoints that judge the packet, in path order: the source pod's egress, host endpoints on the way, the
    /// destination pod's ingress. Empty when nobody does.
    pub legs: Vec<Leg>,
}

/// At which point of a packet's way an endpoint is asked. Workloads are asked at one only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Chain {
    /// What a workload sends and gets, what a host itself sends and gets.
    Normal,
    /// What a host forwards.
    Forward,
    /// What comes to a host's interface, before its destination is translated.
    PreDnat,
    /// What passes a host's interface, before connections are followed.
    Untracked,
}

/// `normal`, `forward`, `pre-dnat` or `untracked`.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Forward => "forward",
            Self::PreDnat => "pre-dnat",
            Self::Untracked => "untracked",
        })
    }
}

/// Who settled a packet, or one leg of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// At whose end: `namespace/pod`, `host:NODE` or an address.
    pub at: Arc<str>,
    /// Which way, seen from that end.
    pub direction: Direction,
    /// At which point of the way.
    pub chain: Chain,
    /// The tier, when one decided.
    pub tier: Option<Arc<str>>,
    /// The policy or profile whose rule decided: `np/ns/name`, `knp/ns/name`, `gnp/name`, `kcnp/name`,
    /// `pro/kns.ns`.
    pub policy: Option<Arc<str>>,
    /// The deciding policy's object.
    pub key: Option<ObjectKey>,
    /// The rule, or what decided instead of one.
    pub rule: DecidedRule,
    /// For [`DecidedRule::EndOfTier`]: the policies that made the tier apply, in the order visited.
    pub isolated_by: Vec<Arc<str>>,
}

/// The rule that decided, or what did instead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DecidedRule {
    /// The rule's place in the manifest's own `ingress` or `egress` list, from 0.
    Number(usize),
    /// No policy of the tier matched, and the tier's default action is Deny.
    EndOfTier,
    /// No tier decided, the endpoint's profile did. Denied when no profile allows.
    Profile,
    /// Nothing judges this traffic.
    NoPolicy,
    /// A host's port that no policy closes.
    Failsafe,
    /// A message of neighbour discovery or about multicast listeners, without which a host has no IPv6.
    Neighbour,
    /// Nothing of a host endpoint matched: dropped.
    Default,
    /// What the node does with packets of its own workloads to itself.
    EndpointToHost,
    /// Workloads may not send packets that may hide others.
    Encapsulated,
    /// The interface is called like a workload's, and no workload is known there.
    UnknownInterface,
    /// The host endpoint cannot be understood.
    Unreadable,
}

/// The number, `end-of-tier`, `profile`, `no-policy`, `failsafe`, `neighbour`, `default`, `endpoint-to-host`,
/// `encapsulated`, `unknown-interface` or `unreadable`.
impl fmt::Display for DecidedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::EndOfTier => f.write_str("end-of-tier"),
            Self::Profile => f.write_str("profile"),
            Self::NoPolicy => f.write_str("no-policy"),
            Self::Failsafe => f.write_str("failsafe"),
            Self::Neighbour => f.write_str("neighbour"),
            Self::Default => f.write_str("default"),
            Self::EndpointToHost => f.write_str("endpoint-to-host"),
            Self::Encapsulated => f.write_str("encapsulated"),
            Self::UnknownInterface => f.write_str("unknown-interface"),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

/// What one endpoint's policy says, in the order visited.
#[derive(Clone, PartialEq, Debug)]
pub struct Leg {
    /// The pod or host endpoint whose policy this is, or the node that decides on what its workloads send to it.
    pub endpoint: ObjectKey,
    /// Out of the endpoint, or into it.
    pub direction: Direction,
    /// At which point of the way.
    pub chain: Chain,
    /// What this end alone says.
    pub verdict: Verdict,
    /// Whether the packet gets here: not when an earlier leg denied it.
    pub reached: bool,
    /// Who settled this leg.
    pub decided_by: Decision,
    /// The tiers that apply to this endpoint and direction, in order.
    pub tiers: Vec<TierTrace>,
    /// The profiles, in order.
    pub profiles: Vec<ProfileTrace>,
}

/// What one tier said.
#[derive(Clone, PartialEq, Debug)]
pub struct TierTrace {
    /// The tier's name.
    pub name: Arc<str>,
    /// Whether there is such a tier. Policies of a missing tier are enforced behind all tiers.
    pub exists: bool,
    /// The tier's order; infinite for a missing tier.
    pub order: f64,
    /// What its end does.
    pub default_action: TierAction,
    /// The policies of the tier that select the endpoint and govern the direction, in order.
    pub policies: Vec<PolicyTrace>,
    /// What came of it.
    pub outcome: TierOutcome,
}

/// What came of a tier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TierOutcome {
    /// A rule allowed or denied.
    Decided(Verdict),
    /// A rule passed to the next tier.
    Passed,
    /// No rule matched, and the tier ends with Pass.
    EndPass,
    /// No rule matched, and the tier ends with Deny.
    EndDeny,
    /// An earlier tier had decided.
    NotReached,
}

/// What one policy said.
#[derive(Clone, PartialEq, Debug)]
pub struct PolicyTrace {
    /// The object.
    pub key: ObjectKey,
    /// `np/ns/name`, `knp/ns/name`, `gnp/name` or `kcnp/name`.
    pub id: Arc<str>,
    /// Its order in the tier; `None` is last.
    pub order: Option<f64>,
    /// Log rules that matched before anything else did.
    pub logged: Vec<usize>,
    /// What came of it.
    pub outcome: PolicyOutcome,
    /// Why the policy could not be read as written, when it could not; it then denies.
    pub problem: Option<Arc<str>>,
}

/// What came of a policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PolicyOutcome {
    /// No rule matched, or none but Log.
    NoMatch,
    /// This rule matched, and nothing after it was asked.
    Hit(Hit),
    /// Something before it had decided. What it would have said, when the question was for the whole trace.
    NotReached {
        /// The rule that would have matched.
        would: Option<Hit>,
    },
}

/// A rule that matched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hit {
    /// Its place in the manifest's own list, from 0.
    pub rule: usize,
    /// What it does. Never Log.
    pub action: Action,
}

/// What one profile said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProfileTrace {
    /// `kns.<namespace>`, `ksa.<namespace>.<account>` or the name of an object.
    pub name: Arc<str>,
    /// What came of it.
    pub outcome: ProfileOutcome,
}

/// What came of a profile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProfileOutcome {
    /// A rule allows.
    Allow,
    /// A rule denies, or passes: there is no tier to pass to.
    Deny,
    /// It has no rule that matches.
    NoMatch,
    /// It does not exist, or the namespace or service account that it stands for does not: denied.
    Missing,
    /// Something before it had decided.
    NotReached,
}
