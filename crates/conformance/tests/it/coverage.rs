//! Which fields of the language met which outcomes. A run in which a field never decided proves nothing about it.
//!
//! The table is checked: every field of the list is seen, no other is, and each meets each outcome often enough in each
//! chain but for the pairs that cannot be (`coverage/impossible.rs`), which must not be.

#[path = "coverage/fields.rs"]
mod fields;
#[path = "coverage/impossible.rs"]
mod impossible;
#[path = "coverage/parts.rs"]
mod parts;
#[path = "coverage/tests.rs"]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use oncilla_api::{Kind, ObjectKey, v3};
use oncilla_net::{Direction, Protocol};
use oncilla_verdict::{
    Answer, Chain, Cluster, DecidedRule, Leg, PolicyOutcome, ProfileOutcome, TierOutcome,
};

use fields::{FIELDS, Rules};
use impossible::impossible;
pub(crate) use parts::Parts;

/// How often each pair must occur.
const PAIR_MIN: u64 = 50;

/// Fields that only clusters with hosts have, by their beginning.
const OF_HOSTS: [&str; 4] = [
    "felix ",
    "gnp applyOnForward",
    "gnp doNotTrack",
    "gnp preDNAT",
];

/// What becomes of a packet at a rule, or behind all rules of a tier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    Allow,
    Deny,
    Pass,
    EndOfTier,
}

const OUTCOMES: [Outcome; 4] = [
    Outcome::Allow,
    Outcome::Deny,
    Outcome::Pass,
    Outcome::EndOfTier,
];

/// Who asks: a workload, or a host endpoint in one of its chains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum At {
    Workload,
    Host(Chain),
}

const PLACES: [At; 5] = [
    At::Workload,
    At::Host(Chain::Normal),
    At::Host(Chain::Forward),
    At::Host(Chain::PreDnat),
    At::Host(Chain::Untracked),
];

/// One field's counts, by place and outcome.
type Row = [[u64; 4]; 5];

/// The table of a run.
#[derive(Clone, Default, Debug)]
pub(crate) struct Coverage {
    rows: BTreeMap<&'static str, Row>,
    /// Fields that nobody has listed.
    strangers: BTreeSet<String>,
}

/// What is counted of one state of a cluster.
pub(crate) struct Counting<'a> {
    rules: Rules<'a>,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self {
            rules: Rules::new(cluster),
        }
    }

    /// Counts the rules that decided one packet, those that a tier's end found not to, and what else decided.
    pub(crate) fn count(&mut self, answer: &Answer, coverage: &mut Coverage) {
        for leg in answer.legs.iter().filter(|leg| leg.reached) {
            let at = match leg.endpoint.kind {
                Kind::Pod => At::Workload,
                _ => At::Host(leg.chain),
            };
            self.count_tiers(at, leg, answer, coverage);
            count_profiles(at, leg, coverage);
            count_other(at, leg, answer, coverage);
        }
    }

    fn count_tiers(&mut self, at: At, leg: &Leg, answer: &Answer, coverage: &mut Coverage) {
        let endpoint = self.rules.of_endpoint(&leg.endpoint).to_vec();
        for tier in &leg.tiers {
            let is_end = matches!(tier.outcome, TierOutcome::EndDeny | TierOutcome::EndPass);
            for policy in &tier.policies {
                let (fields, found) = self.rules.of(&policy.key, leg.direction);
                coverage.strangers.extend(found);
                let outcome = match policy.outcome {
                    PolicyOutcome::Hit(hit) => outcome_of(hit.action).inspect(|outcome| {
                        let rule = fields.rules.get(hit.rule).into_iter().flatten();
                        coverage.add(at, *outcome, rule);
                    }),
                    PolicyOutcome::NoMatch if is_end => {
                        coverage.add(at, Outcome::EndOfTier, fields.rules.iter().flatten());
                        Some(Outcome::EndOfTier)
                    }
                    PolicyOutcome::NoMatch | PolicyOutcome::NotReached { .. } => None,
                };
                let Some(outcome) = outcome else { continue };
                let named = match policy.outcome {
                    PolicyOutcome::Hit(hit) if at == At::Workload => {
                        fields.has_named_port(hit.rule)
                    }
                    _ => false,
                };
                if named {
                    coverage.add(at, outcome, &self.rules.named(&answer.packet));
                }
                let fields = self.rules.known(&policy.key, leg.direction);
                coverage.add(at, outcome, &fields.policy);
                if !policy.logged.is_empty() {
                    coverage.add(at, outcome, &["v3 Log"]);
                }
                coverage.add(at, outcome, &endpoint);
            }
        }
    }
}

/// What a rule's action makes of a packet; a Log rule decides nothing.
const fn outcome_of(action: v3::Action) -> Option<Outcome> {
    match action {
        v3::Action::Allow => Some(Outcome::Allow),
        v3::Action::Deny => Some(Outcome::Deny),
        v3::Action::Pass => Some(Outcome::Pass),
        v3::Action::Log => None,
    }
}

/// What is no rule: failsafes, what becomes of packets to the own host, and tunnels.
fn count_other(at: At, leg: &Leg, answer: &Answer, coverage: &mut Coverage) {
    let outcome = match leg.verdict {
        oncilla_net::Verdict::Allow => Outcome::Allow,
        oncilla_net::Verdict::Deny => Outcome::Deny,
    };
    let is_workload_out = at == At::Workload && leg.direction == Direction::Egress;
    let field = match (leg.decided_by.rule, answer.packet.protocol) {
        (DecidedRule::Failsafe, _) => match leg.direction {
            Direction::Ingress => "felix failsafeInboundHostPorts",
            Direction::Egress => "felix failsafeOutboundHostPorts",
        },
        (DecidedRule::EndpointToHost, _) => "felix defaultEndpointToHostAction",
        (DecidedRule::UnknownInterface, _) => "felix interfacePrefix",
        (DecidedRule::Encapsulated, Protocol::UDP) => "felix allowVXLANPacketsFromWorkloads",
        (DecidedRule::Encapsulated, _) => "felix allowIPIPPacketsFromWorkloads",
        // Allowed all the way: nobody dropped it for what it may hide.
        (_, Protocol(4)) if is_workload_out && outcome == Outcome::Allow => {
            "felix allowIPIPPacketsFromWorkloads"
        }
        (_, Protocol::UDP)
            if is_workload_out
                && outcome == Outcome::Allow
                && answer.packet.dst_port == fields::VXLAN_PORT =>
        {
            "felix allowVXLANPacketsFromWorkloads"
        }
        _ => return,
    };
    coverage.add(at, outcome, &[field]);
}

/// Profiles pass to nobody; what no rule of theirs matches goes on to the next, which stands under the end of a tier.
fn count_profiles(at: At, leg: &Leg, coverage: &mut Coverage) {
    for profile in &leg.profiles {
        let field = match &*profile.name {
            v3::DEFAULT_ALLOW_PROFILE => "profile projectcalico-default-allow",
            name if name.starts_with("kns.") => "profile of a namespace",
            name if name.starts_with("ksa.") => "profile of a service account",
            _ if profile.outcome == ProfileOutcome::Missing => "profile that is missing",
            "missing" => continue,
            _ => "profile with rules",
        };
        let outcome = match profile.outcome {
            ProfileOutcome::Allow => Outcome::Allow,
            ProfileOutcome::Deny | ProfileOutcome::Missing => Outcome::Deny,
            ProfileOutcome::NoMatch => Outcome::EndOfTier,
            ProfileOutcome::NotReached => continue,
        };
        coverage.add(at, outcome, &[field]);
    }
}

impl Coverage {
    pub(crate) fn join(&mut self, other: &Self) {
        for (field, more) in &other.rows {
            let row = self.rows.entry(field).or_default();
            for (counts, more) in row.iter_mut().zip(more) {
                for (count, more) in counts.iter_mut().zip(more) {
                    *count += more;
                }
            }
        }
        self.strangers.extend(other.strangers.iter().cloned());
    }

    #[expect(
        single_use_lifetimes,
        reason = "an argument of an unnamed type needs a named lifetime"
    )]
    fn add<'a>(
        &mut self,
        at: At,
        outcome: Outcome,
        fields: impl IntoIterator<Item = &'a &'static str>,
    ) {
        let place = PLACES.iter().position(|each| *each == at);
        let (Some(place), column) = (place, outcome as usize) else {
            return;
        };
        for field in fields {
            self.rows.entry(field).or_default()[place][column] += 1;
        }
    }

    fn of(&self, field: &str, place: usize, outcome: Outcome) -> u64 {
        let row = self.rows.get(field);
        row.map_or(0, |row| row[place][outcome as usize])
    }

    /// One line a field: how often each outcome occurred, for workloads and in each chain of hosts.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:<44}", "allow/deny/pass/end of tier");
        for at in PLACES {
            let name = match at {
                At::Workload => "workload".to_owned(),
                At::Host(chain) => format!("host {chain}"),
            };
            let _infallible = write!(text, "{name:>28}");
        }
        text.push('\n');
        for field in FIELDS {
            let _infallible = write!(text, "{field:<44}");
            for place in 0..PLACES.len() {
                let counts = OUTCOMES.map(|outcome| self.of(field, place, outcome).to_string());
                let _infallible = write!(text, "{:>28}", counts.join("/"));
            }
            text.push('\n');
        }
        text
    }

    /// What is wrong with the table, a line each. Of hosts and what is said of them, or of everything else.
    pub(crate) fn faults(&self, of_hosts: bool) -> Vec<String> {
        let strangers = self.strangers.iter();
        let mut faults: Vec<String> = strangers
            .map(|field| format!("{field} is not in the list of fields"))
            .collect();
        for field in FIELDS {
            for (place, at) in PLACES.into_iter().enumerate() {
                let is_of_hosts =
                    at != At::Workload || OF_HOSTS.iter().any(|of| field.starts_with(of));
                let outcomes = OUTCOMES.into_iter().filter(|_| is_of_hosts == of_hosts);
                faults.extend(outcomes.filter_map(|outcome| {
                    fault(field, (at, outcome), self.of(field, place, outcome))
                }));
            }
        }
        faults
    }
}

/// What is wrong with how often a field met an outcome.
fn fault(field: &str, (at, outcome): (At, Outcome), count: u64) -> Option<String> {
    let met = format!("{field} met {outcome:?} at {at:?} {count} times");
    match impossible(field, at, outcome) {
        Some(reason) => (count > 0).then(|| format!("{met}, which cannot be: {reason}")),
        None => (count < PAIR_MIN).then(|| format!("{met} only")),
    }
}

/// What is known of a policy in one direction.
#[derive(Default, Debug)]
pub(crate) struct PolicyFields {
    /// Of the policy itself.
    policy: Vec<&'static str>,
    /// Of each rule.
    rules: Vec<Vec<&'static str>>,
}

impl PolicyFields {
    fn has_named_port(&self, rule: usize) -> bool {
        let fields = self.rules.get(rule);
        fields.is_some_and(|fields| {
            fields.iter().any(|field| {
                matches!(
                    *field,
                    "v3 destination.ports (name)"
                        | "knp ports.port (name)"
                        | "kcnp protocols.destinationNamedPort"
                )
            })
        })
    }
}

/// A policy and a direction.
type Place = (ObjectKey, Direction);
