//! One endpoint's policy against one packet: tiers, then profiles.

use std::sync::Arc;

use oncilla_api::v3::{Action, TierAction};
use oncilla_net::{Direction, Verdict};

use crate::answer::{
    DecidedRule, Decision, Hit, Leg, PolicyOutcome, PolicyTrace, ProfileOutcome, ProfileTrace,
    TierOutcome, TierTrace,
};
use crate::endpoint::Endpoint;
use crate::policy::Policy;
use crate::rule::{Rule, Traffic};
use crate::tier::Tier;

/// How much of the trace is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// Up to the decision.
    Decision,
    /// Also what would have happened behind it.
    Everything,
}

/// The tiers that apply to an endpoint in one direction, with the policies that make them apply.
pub(crate) type Applicable<'a> = Vec<(&'a Tier, Vec<&'a Policy>)>;

/// Judges one leg.
pub(crate) fn judge(
    endpoint: &Endpoint,
    direction: Direction,
    applicable: &Applicable<'_>,
    traffic: &Traffic<'_>,
    detail: Detail,
) -> Leg {
    let mut settled: Option<(Verdict, Decision)> = None;
    let mut tiers = Vec::with_capacity(applicable.len());
    for (tier, policies) in applicable {
        if settled.is_some() {
            if detail == Detail::Everything {
                let would = |policy: &&Policy| unreached(policy, direction, traffic, detail);
                let policies = policies.iter().map(would).collect();
                tiers.push(tier_trace(tier, policies, TierOutcome::NotReached));
            }
            continue;
        }
        let walk = walk_tier(policies, direction, traffic, detail);
        let outcome = match (walk.hit, tier.default_action) {
            (Some((_, Hit { action, .. })), _) => match action {
                Action::Allow => TierOutcome::Decided(Verdict::Allow),
                Action::Deny => TierOutcome::Decided(Verdict::Deny),
                // A hit is never Log.
                Action::Pass | Action::Log => TierOutcome::Passed,
            },
            (None, TierAction::Pass) => TierOutcome::EndPass,
            (None, TierAction::Deny) => TierOutcome::EndDeny,
        };
        let undecided = Decision {
            at: Arc::clone(&endpoint.name),
            direction,
            tier: Some(Arc::clone(&tier.name)),
            policy: None,
            key: None,
            rule: DecidedRule::EndOfTier,
            isolated_by: Vec::new(),
        };
        settled = match (outcome, walk.hit) {
            (TierOutcome::Decided(verdict), Some((policy, hit))) => {
                let decision = Decision {
                    policy: Some(Arc::clone(&policy.id)),
                    key: Some(policy.key.clone()),
                    rule: DecidedRule::Number(hit.rule),
                    ..undecided
                };
                Some((verdict, decision))
            }
            (TierOutcome::EndDeny, _) => {
                let isolated_by = policies.iter().map(|policy| Arc::clone(&policy.id));
                let isolated_by = isolated_by.collect();
                let decision = Decision {
                    isolated_by,
                    ..undecided
                };
                Some((Verdict::Deny, decision))
            }
            _ => None,
        };
        tiers.push(tier_trace(tier, walk.traces, outcome));
    }
    let profiles = walk_profiles(endpoint, settled.is_some());
    let (verdict, decided_by) =
        settled.unwrap_or_else(|| decide_by_profile(endpoint, direction, &profiles));
    Leg {
        endpoint: endpoint.key.clone(),
        direction,
        verdict,
        reached: true,
        decided_by,
        tiers,
        profiles,
    }
}

/// What came of one tier's policies.
struct TierWalk<'a> {
    hit: Option<(&'a Policy, Hit)>,
    traces: Vec<PolicyTrace>,
}

fn walk_tier<'a>(
    policies: &[&'a Policy],
    direction: Direction,
    traffic: &Traffic<'_>,
    detail: Detail,
) -> TierWalk<'a> {
    let mut walk = TierWalk {
        hit: None,
        traces: Vec::with_capacity(policies.len()),
    };
    for policy in policies {
        if walk.hit.is_some() {
            if detail == Detail::Everything {
                let trace = unreached(policy, direction, traffic, detail);
                walk.traces.push(trace);
            }
            continue;
        }
        let (hit, logged) = first_match(policy.rules(direction).unwrap_or_default(), traffic);
        walk.hit = hit.map(|hit| (*policy, hit));
        let outcome = hit.map_or(PolicyOutcome::NoMatch, PolicyOutcome::Hit);
        walk.traces.push(policy_trace(policy, logged, outcome));
    }
    walk
}

/// The first rule that matches and does more than log, and the Log rules that match before it.
fn first_match(rules: &[Rule], traffic: &Traffic<'_>) -> (Option<Hit>, Vec<usize>) {
    let mut logged = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        match rule.takes(traffic) {
            None => {}
            Some(Action::Log) => logged.push(index),
            Some(action) => {
                return (
                    Some(Hit {
                        rule: index,
                        action,
                    }),
                    logged,
                );
            }
        }
    }
    (None, logged)
}

fn unreached(
    policy: &Policy,
    direction: Direction,
    traffic: &Traffic<'_>,
    detail: Detail,
) -> PolicyTrace {
    let would = match detail {
        Detail::Decision => None,
        Detail::Everything => first_match(policy.rules(direction).unwrap_or_default(), traffic).0,
    };
    policy_trace(policy, Vec::new(), PolicyOutcome::NotReached { would })
}

/// Profiles in their order; a namespace's allows everything.
fn walk_profiles(endpoint: &Endpoint, settled: bool) -> Vec<ProfileTrace> {
    let mut allowed = settled;
    let profiles = endpoint.profiles.iter();
    profiles
        .map(|profile| {
            let outcome = match (allowed, profile.exists, profile.allows) {
                (true, _, _) => ProfileOutcome::NotReached,
                (false, false, _) => ProfileOutcome::Missing,
                (false, true, false) => ProfileOutcome::NoMatch,
                (false, true, true) => ProfileOutcome::Allow,
            };
            allowed |= outcome == ProfileOutcome::Allow;
            ProfileTrace {
                name: Arc::clone(&profile.name),
                outcome,
            }
        })
        .collect()
}

/// The profile that allows; without one the endpoint's traffic is dropped, and the first missing profile
/// is to blame.
fn decide_by_profile(
    endpoint: &Endpoint,
    direction: Direction,
    profiles: &[ProfileTrace],
) -> (Verdict, Decision) {
    let with = |outcome| profiles.iter().find(|profile| profile.outcome == outcome);
    let (verdict, profile) = match with(ProfileOutcome::Allow) {
        Some(profile) => (Verdict::Allow, Some(profile)),
        None => (Verdict::Deny, with(ProfileOutcome::Missing)),
    };
    let decision = Decision {
        at: Arc::clone(&endpoint.name),
        direction,
        tier: None,
        policy: profile.map(|profile| format!("pro/{}", profile.name).into()),
        key: None,
        rule: DecidedRule::Profile,
        isolated_by: Vec::new(),
    };
    (verdict, decision)
}

fn tier_trace(tier: &Tier, policies: Vec<PolicyTrace>, outcome: TierOutcome) -> TierTrace {
    TierTrace {
        name: Arc::clone(&tier.name),
        exists: tier.exists,
        order: tier.order,
        default_action: tier.default_action,
        policies,
        outcome,
    }
}

fn policy_trace(policy: &Policy, logged: Vec<usize>, outcome: PolicyOutcome) -> PolicyTrace {
    PolicyTrace {
        key: policy.key.clone(),
        id: Arc::clone(&policy.id),
        order: policy.order,
        logged,
        outcome,
        problem: policy.problem.clone(),
    }
}
