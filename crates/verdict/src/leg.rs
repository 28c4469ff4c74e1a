//! One endpoint's policy against one packet: tiers, then profiles.

use std::sync::Arc;

use oncilla_api::v3::{Action, TierAction};
use oncilla_net::{Direction, Verdict};

use crate::answer::{
    Chain, DecidedRule, Decision, Hit, Leg, PolicyOutcome, PolicyTrace, ProfileOutcome,
    ProfileTrace, TierOutcome, TierTrace,
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

/// What one leg is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) direction: Direction,
    pub(crate) chain: Chain,
    /// What settles it before any policy.
    pub(crate) before: Option<(Verdict, DecidedRule)>,
    pub(crate) traffic: &'a Traffic<'a>,
    pub(crate) detail: Detail,
}

impl Asked<'_> {
    /// A decision without a tier.
    fn decision(&self, rule: DecidedRule) -> Decision {
        Decision {
            at: Arc::clone(&self.endpoint.name),
            direction: self.direction,
            chain: self.chain,
            tier: None,
            policy: None,
            key: None,
            rule,
            isolated_by: Vec::new(),
        }
    }
}

/// Judges one leg.
pub(crate) fn judge(asked: &Asked<'_>, applicable: &Applicable<'_>) -> Leg {
    let Asked {
        endpoint,
        direction,
        chain,
        traffic,
        detail,
        ..
    } = *asked;
    let before = asked.before;
    let mut settled = before.map(|(verdict, rule)| (verdict, asked.decision(rule)));
    // Before connection tracking and destination NAT the end of a tier decides nothing.
    let is_early = matches!(chain, Chain::PreDnat | Chain::Untracked);
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
            (None, _) if is_early => TierOutcome::EndPass,
            (Some((_, Hit { action, .. })), _) => match action {
                Action::Allow => TierOutcome::Decided(Verdict::Allow),
                Action::Deny => TierOutcome::Decided(Verdict::Deny),
                // A hit is never Log.
                Action::Pass | Action::Log => TierOutcome::Passed,
            },
            (None, TierAction::Pass) => TierOutcome::EndPass,
            (None, TierAction::Deny) => TierOutcome::EndDeny,
        };
        settled = decide_by_tier(asked, (tier, policies), (outcome, walk.hit));
        tiers.push(tier_trace(tier, walk.traces, outcome));
    }
    let profiles = match chain {
        Chain::Normal => walk_profiles(asked, settled.is_some()),
        Chain::Forward | Chain::PreDnat | Chain::Untracked => Vec::new(),
    };
    let (verdict, decided_by) = settled.unwrap_or_else(|| match chain {
        Chain::Normal => decide_by_profile(asked, &profiles),
        // It goes on.
        _ => (Verdict::Allow, asked.decision(DecidedRule::NoPolicy)),
    });
    Leg {
        endpoint: endpoint.key.clone(),
        direction,
        chain,
        verdict,
        reached: true,
        decided_by,
        tiers,
        profiles,
    }
}

/// The decision of a tier, when it made one.
fn decide_by_tier(
    asked: &Asked<'_>,
    (tier, policies): (&Tier, &[&Policy]),
    (outcome, hit): (TierOutcome, Option<(&Policy, Hit)>),
) -> Option<(Verdict, Decision)> {
    let undecided = Decision {
        tier: Some(Arc::clone(&tier.name)),
        ..asked.decision(DecidedRule::EndOfTier)
    };
    match (outcome, hit) {
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
            let decision = Decision {
                isolated_by: isolated_by.collect(),
                ..undecided
            };
            Some((Verdict::Deny, decision))
        }
        _ => None,
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

/// Profiles in their order. The first that decides settles it; Pass denies, as there is no tier to pass to.
fn walk_profiles(asked: &Asked<'_>, settled: bool) -> Vec<ProfileTrace> {
    let mut settled = settled;
    let profiles = asked.endpoint.profiles.iter();
    profiles
        .map(|profile| {
            let outcome = match profile.rules(asked.direction) {
                _ if settled => ProfileOutcome::NotReached,
                None => ProfileOutcome::Missing,
                Some(rules) => match first_match(rules, asked.traffic).0 {
                    None => ProfileOutcome::NoMatch,
                    Some(hit) if hit.action == Action::Allow => ProfileOutcome::Allow,
                    Some(_) => ProfileOutcome::Deny,
                },
            };
            settled |= outcome != ProfileOutcome::NoMatch;
            ProfileTrace {
                name: Arc::clone(&profile.name),
                outcome,
            }
        })
        .collect()
}

/// The profile that decides; without one the endpoint's traffic is dropped.
fn decide_by_profile(asked: &Asked<'_>, profiles: &[ProfileTrace]) -> (Verdict, Decision) {
    let decides = |profile: &&ProfileTrace| {
        !matches!(
            profile.outcome,
            ProfileOutcome::NoMatch | ProfileOutcome::NotReached
        )
    };
    let profile = profiles.iter().find(decides);
    let allows = profile.is_some_and(|profile| profile.outcome == ProfileOutcome::Allow);
    let rule = if profile.is_none() && asked.endpoint.is_host() {
        DecidedRule::Default
    } else {
        DecidedRule::Profile
    };
    let decision = Decision {
        policy: profile.map(|profile| format!("pro/{}", profile.name).into()),
        ..asked.decision(rule)
    };
    let verdict = if allows {
        Verdict::Allow
    } else {
        Verdict::Deny
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
