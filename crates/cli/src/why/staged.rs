//! What the staged policies would change in an answer: as a value and in words.

use oncilla_api::ObjectKey;
use oncilla_api::v3::StagedAction;
use oncilla_net::Verdict;
use oncilla_verdict::{Answer, Hit, PolicyOutcome, Staged, StagedAnswer, StagedTrace};
use serde::Serialize;

use super::report::{DecidedBy, Explained, LegReport, RuleReport, decided_by, rule_report, word};
use super::traffic::Traffic;
use super::world::World;

const MARK: &str = "<- would decide";

/// The answer as it would be if the staged policies were set.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StagedReport {
    pub(crate) verdict: &'static str,
    /// Whether the verdict is another one than today's.
    pub(crate) differs: bool,
    pub(crate) decided_by: DecidedBy,
    /// The staged policies that select one of the ends, in the order in which they are asked.
    pub(crate) policies: Vec<StagedPolicyReport>,
    pub(crate) legs: Vec<LegReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StagedPolicyReport {
    pub(crate) id: String,
    /// `Set`, `Delete`, `Learn` or `Ignore`.
    pub(crate) action: &'static str,
    pub(crate) endpoint: String,
    pub(crate) direction: String,
    /// `decides`, `matches`, `no-match`, `not-reached`, `removes` or `none`.
    pub(crate) effect: &'static str,
    /// The rule that would match; of a deletion the enforced policy's, which would be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<RuleReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
}

impl StagedReport {
    pub(crate) fn new(
        staged: &StagedAnswer,
        enforced: &Answer,
        world: &World,
        traffic: Traffic,
    ) -> Self {
        let answer = &staged.answer;
        let policies = staged.traces.iter();
        Self {
            verdict: word(answer.verdict),
            differs: answer.verdict != enforced.verdict,
            decided_by: decided_by(&answer.decided_by, answer.verdict, world),
            policies: policies.map(|trace| policy(trace, answer, world)).collect(),
            legs: Explained::new(answer, world, traffic).legs,
        }
    }
}

fn policy(trace: &StagedTrace, answer: &Answer, world: &World) -> StagedPolicyReport {
    let (mut effect, hit) = match trace.outcome {
        PolicyOutcome::NoMatch => ("no-match", None),
        PolicyOutcome::Hit(hit) => ("matches", Some(hit)),
        PolicyOutcome::NotReached { would } => ("not-reached", would),
    };
    let owner = match trace.action {
        StagedAction::Set => {
            let decision = &answer.decided_by;
            if decision.key.as_ref() == Some(&trace.key) && decision.direction == trace.direction {
                effect = "decides";
            }
            trace.key.clone()
        }
        StagedAction::Delete => {
            effect = "removes";
            ObjectKey {
                kind: trace.key.kind.promoted().unwrap_or(trace.key.kind),
                ..trace.key.clone()
            }
        }
        StagedAction::Learn | StagedAction::Ignore => {
            effect = "none";
            trace.key.clone()
        }
    };
    let rule = |hit: Hit| rule_report(world, &owner, trace.direction, hit);
    let number = hit.map(|hit| (trace.direction, hit.rule));
    StagedPolicyReport {
        id: trace.id.to_string(),
        action: match trace.action {
            StagedAction::Set => "Set",
            StagedAction::Delete => "Delete",
            StagedAction::Learn => "Learn",
            StagedAction::Ignore => "Ignore",
        },
        endpoint: trace.endpoint.path(),
        direction: trace.direction.to_string(),
        effect,
        rule: hit.map(rule),
        place: match trace.action {
            StagedAction::Delete => world.place(&trace.key, None),
            _ => world.place(&trace.key, number),
        },
    }
}

/// Why some staged policies are not counted, and that there are none.
pub(crate) fn notes(staged: &Staged) -> Vec<String> {
    if staged.policies().is_empty() {
        return vec!["there are no staged policies".to_owned()];
    }
    let problems = staged.policies().iter().filter_map(|policy| {
        let problem = policy.problem.as_ref()?;
        Some(format!("{} is not counted: {problem}", policy.key))
    });
    problems.collect()
}

/// The lines below an answer.
pub(crate) fn lines(staged: &StagedReport) -> Vec<String> {
    let said = match (staged.differs, staged.verdict == word(Verdict::Allow)) {
        (true, true) => "allowed, not denied",
        (true, false) => "denied, not allowed",
        (false, true) => "allowed, as now",
        (false, false) => "denied, as now",
    };
    let mut lines = vec![format!("  if the staged policies were set: {said}")];
    if staged.policies.is_empty() {
        lines.push("    no staged policy selects one of these ends".to_owned());
        return lines;
    }
    lines.push(format!("    {}", staged.decided_by.text));
    let width = |of: fn(&StagedPolicyReport) -> &str| {
        let widths = staged.policies.iter().map(|each| of(each).chars().count());
        widths.max().unwrap_or_default()
    };
    let (name_width, action_width) = (width(|each| &each.id), width(|each| each.action));
    for policy in &staged.policies {
        let mark = if policy.effect == "decides" { MARK } else { "" };
        let line = format!(
            "    {:name_width$}  {:action_width$}  {}  {mark}",
            policy.id,
            policy.action,
            effect(policy),
        );
        lines.push(line.trim_end().to_owned());
        let indent = " ".repeat(4 + name_width + 2 + action_width + 2);
        let place = policy.place.as_ref();
        lines.extend(place.map(|place| format!("{indent}{place}")));
    }
    lines
}

fn effect(policy: &StagedPolicyReport) -> String {
    let rule = policy.rule.as_ref();
    let field = || rule.map_or_else(String::new, |rule| rule.field.clone());
    match policy.effect {
        "removes" => match rule {
            Some(rule) => format!("removes the policy whose {} matches now", rule.field),
            None => format!(
                "removes a policy of which no {} rule matches",
                policy.direction
            ),
        },
        "none" => match rule {
            Some(_) => format!("changes nothing; {} matches", field()),
            None => format!("changes nothing; no {} rule matches", policy.direction),
        },
        "not-reached" => match rule {
            Some(_) => format!("not reached; {} would match", field()),
            None => format!("not reached; no {} rule would match", policy.direction),
        },
        "no-match" => format!("no {} rule matches", policy.direction),
        _ => rule.map_or_else(String::new, |rule| {
            format!("{}  {}  {}", rule.field, rule.action, rule.text)
        }),
    }
}
