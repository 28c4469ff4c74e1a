//! The trace: every step on the way, also those behind the decision.

use std::fmt::Write as _;

use super::{ask, cluster, gnp, knp, np, question, tier};
use crate::{Answer, Evaluator, Leg, PolicyOutcome, TierOutcome};

/// A leg as indented text.
fn leg_text(leg: &Leg) -> String {
    let mut text = format!(
        "{} of {}: {}{}\n",
        leg.direction,
        leg.endpoint.path(),
        leg.verdict,
        if leg.reached { "" } else { " (not reached)" }
    );
    for tier in &leg.tiers {
        let outcome = match tier.outcome {
            TierOutcome::Decided(verdict) => format!("decided {verdict}"),
            other => format!("{other:?}"),
        };
        writeln!(text, "  {} ({}) {outcome}", tier.name, tier.order).unwrap();
        for policy in &tier.policies {
            let order = policy
                .order
                .map_or("last".to_owned(), |order| order.to_string());
            let outcome = match policy.outcome {
                PolicyOutcome::NoMatch => "no match".to_owned(),
                PolicyOutcome::Hit(hit) => format!("rule {} {:?}", hit.rule, hit.action),
                PolicyOutcome::NotReached { would: None } => "not reached".to_owned(),
                PolicyOutcome::NotReached { would: Some(hit) } => {
                    format!("not reached, would {:?} by rule {}", hit.action, hit.rule)
                }
            };
            write!(text, "    {} ({order}) {outcome}", policy.id).unwrap();
            if !policy.logged.is_empty() {
                write!(text, " logged by {:?}", policy.logged).unwrap();
            }
            text.push('\n');
        }
    }
    for profile in &leg.profiles {
        writeln!(text, "  {} {:?}", profile.name, profile.outcome).unwrap();
    }
    text
}

fn text(answer: &Answer) -> String {
    answer.legs.iter().map(leg_text).collect()
}

fn fixture() -> String {
    tier("sec", "{order: 10}")
        + &gnp(
            "log",
            "{tier: sec, order: 1, selector: app == 'db', types: [Ingress], ingress: [{action: Log}, {action: Deny, protocol: SCTP}]}",
        )
        + &gnp(
            "pass",
            "{tier: sec, order: 2.5, selector: app == 'db', types: [Ingress], ingress: [{action: Pass, protocol: TCP}]}",
        )
        + &gnp(
            "never",
            "{tier: sec, selector: app == 'db', types: [Ingress], ingress: [{action: Deny}]}",
        )
        + &np(
            "first",
            "{order: 1, selector: app == 'db', types: [Ingress], ingress: [{action: Allow, source: {selector: app == 'web'}}]}",
        )
        + &knp(
            "second",
            "{podSelector: {}, ingress: [{ports: [{port: 1}]}, {}]}",
        )
        + &np(
            "third",
            "{selector: app == 'db', types: [Ingress], ingress: [{action: Deny, protocol: UDP}]}",
        )
        + &gnp(
            "out",
            "{selector: app == 'web', types: [Egress], egress: [{action: Deny, protocol: UDP}, {action: Allow}]}",
        )
        + &gnp(
            "base",
            "{tier: kube-baseline, selector: app == 'db', types: [Ingress], ingress: [{action: Deny}]}",
        )
}

#[test]
fn every_step_of_an_allow() {
    let answer = ask(&cluster(&fixture()), "red/web -> red/db tcp/5").unwrap();
    assert_eq!(
        text(&answer),
        "egress of red/web: allow
  default (1000000) decided allow
    gnp/out (last) rule 1 Allow
  kns.red NotReached
  ksa.red.default NotReached
ingress of red/db: allow
  sec (10) Passed
    gnp/log (1) no match logged by [0]
    gnp/pass (2.5) rule 0 Pass
    gnp/never (last) not reached, would Deny by rule 0
  default (1000000) decided allow
    np/red/first (1) rule 0 Allow
    knp/red/second (1000) not reached, would Allow by rule 1
    np/red/third (last) not reached
  kube-baseline (10000000) NotReached
    gnp/base (last) not reached, would Deny by rule 0
  kns.red NotReached
  ksa.red.robot NotReached
"
    );
}

#[test]
fn the_other_end_of_a_deny_is_told_too() {
    let answer = ask(&cluster(&fixture()), "red/web -> red/db udp/5").unwrap();
    assert_eq!(
        text(&answer),
        "egress of red/web: deny
  default (1000000) decided deny
    gnp/out (last) rule 0 Deny
  kns.red NotReached
  ksa.red.default NotReached
ingress of red/db: deny (not reached)
  sec (10) decided deny
    gnp/log (1) no match logged by [0]
    gnp/pass (2.5) no match
    gnp/never (last) rule 0 Deny
  default (1000000) NotReached
    np/red/first (1) not reached, would Allow by rule 0
    knp/red/second (1000) not reached, would Allow by rule 1
    np/red/third (last) not reached, would Deny by rule 0
  kube-baseline (10000000) NotReached
    gnp/base (last) not reached, would Deny by rule 0
  kns.red NotReached
  ksa.red.robot NotReached
"
    );
}

#[test]
fn the_short_trace_ends_at_the_decision() {
    let evaluator = Evaluator::new(&cluster(&fixture()));
    let answer = evaluator
        .decide(&question("red/web -> red/db udp/5"))
        .unwrap();
    assert_eq!(
        text(&answer),
        "egress of red/web: deny
  default (1000000) decided deny
    gnp/out (last) rule 0 Deny
  kns.red NotReached
  ksa.red.default NotReached
"
    );
    let answer = evaluator
        .decide(&question("blue/web -> red/db sctp/5"))
        .unwrap();
    assert_eq!(answer.legs[1].tiers.len(), 1);
    assert_eq!(answer.legs[1].tiers[0].policies.len(), 1);
}

#[test]
fn the_end_of_a_tier_is_told() {
    let manifests = tier("open", "{order: 1, defaultAction: Pass}")
        + &gnp(
            "quiet",
            "{tier: open, selector: app == 'db', types: [Ingress]}",
        )
        + &gnp(
            "lost",
            "{tier: gone, selector: app == 'db', types: [Ingress]}",
        );
    let answer = ask(&cluster(&manifests), "203.0.113.1 -> red/db tcp/5").unwrap();
    assert_eq!(
        text(&answer),
        "ingress of red/db: deny
  open (1) EndPass
    gnp/quiet (last) no match
  gone (inf) EndDeny
    gnp/lost (last) no match
  kns.red NotReached
  ksa.red.robot NotReached
"
    );
    assert!(!answer.legs[0].tiers[1].exists && answer.legs[0].tiers[0].exists);
}
