//! An answer as text: the answer, then both ends with tiers and policies in the order visited.

use super::report::{End, Explained, LegReport, PolicyReport, ProfileReport, Report, TierReport};
use super::staged;

/// The order of tiers that have none, and of the tier everybody has: not worth a word.
const ORDER_UNSAID: f64 = 1_000_000.0;
const MARK: &str = "<- decides";

/// One or two lines: names, verdict and reason.
pub(crate) fn short(explained: &Explained) -> String {
    let Explained {
        source,
        destination,
        traffic,
        decided_by,
        ..
    } = explained;
    format!(
        "{} -> {} {traffic} is {}",
        source.name, destination.name, decided_by.text
    )
}

/// The first line alone.
pub(crate) fn headline(report: &Report) -> String {
    match (&report.service, report.answers.as_slice()) {
        (_, [one]) => head(one),
        (service, answers) => {
            let denied = answers
                .iter()
                .filter(|answer| answer.verdict == "deny")
                .count();
            let source = answers
                .first()
                .map(|first| named(&first.source))
                .unwrap_or_default();
            format!(
                "{:<7}{source} -> service {} {}: {denied} of {} ready pods denied",
                report.verdict.to_uppercase(),
                service.as_deref().unwrap_or_default(),
                report.traffic,
                answers.len(),
            )
        }
    }
}

/// The whole answer.
pub(crate) fn full(report: &Report) -> String {
    let mut lines = vec![headline(report)];
    for answer in &report.answers {
        lines.push(String::new());
        if report.answers.len() > 1 {
            lines.push(head(answer));
        }
        lines.extend(ends(answer));
        lines.extend(answer.staged.iter().flat_map(staged::lines));
    }
    if !report.notes.is_empty() {
        lines.push(String::new());
        lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    }
    lines.join("\n")
}

fn head(answer: &Explained) -> String {
    format!(
        "{:<7}{} -> {} {}",
        answer.verdict.to_uppercase(),
        named(&answer.source),
        named(&answer.destination),
        answer.traffic,
    )
}

/// Names first, addresses second.
fn named(end: &End) -> String {
    match (&end.node, end.name == end.address) {
        (_, true) => end.name.clone(),
        (Some(node), false) => format!("{} ({}, node {node})", end.name, end.address),
        (None, false) => format!("{} ({})", end.name, end.address),
    }
}

fn ends(answer: &Explained) -> Vec<String> {
    let mut lines = Vec::new();
    let legs = &answer.legs;
    let is_of = |leg: &LegReport, direction: &str, end: &End| {
        // What a node forwards is not its own.
        leg.direction == direction && leg.chain != "forward" && leg.at == end.name
    };
    let source = legs.iter().any(|leg| is_of(leg, "egress", &answer.source));
    if !source {
        lines.push(unjudged("leaving", &answer.source));
    }
    lines.extend(legs.iter().flat_map(leg_lines));
    let mut entering = legs.iter();
    if !entering.any(|leg| is_of(leg, "ingress", &answer.destination)) {
        lines.push(unjudged("entering", &answer.destination));
    }
    lines
}

fn unjudged(verb: &str, end: &End) -> String {
    let why = if end.name.contains('/') {
        "not judged: a pod reaches itself, and a node its own pods"
    } else if end.name.starts_with("node:") {
        "not judged: no host endpoint of the node is asked"
    } else {
        "not judged: it is no pod of this cluster"
    };
    format!("  {verb} {}: {why}", end.name)
}

/// Where a leg is and what it says, as in `leaving node:n1 (HostEndpoint eth0)`.
fn place(leg: &LegReport) -> String {
    let verb = match (leg.chain.as_str(), leg.direction.as_str()) {
        ("forward", "ingress") => "forwarded into",
        ("forward", _) => "forwarded out of",
        (_, "ingress") => "entering",
        (_, _) => "leaving",
    };
    let host = match leg.at.strip_prefix("node:") {
        Some(node) if node != leg.endpoint => format!(" (HostEndpoint {})", leg.endpoint),
        _ => String::new(),
    };
    let early = match leg.chain.as_str() {
        "pre-dnat" => ", before destination NAT",
        "untracked" => ", before connection tracking",
        _ => "",
    };
    format!("{verb} {}{host}{early}", leg.at)
}

fn leg_lines(leg: &LegReport) -> Vec<String> {
    let said = match (leg.reached, leg.verdict) {
        (true, "allow") => "allowed",
        (true, _) => "denied",
        (false, "allow") => "not reached; would be allowed",
        (false, _) => "not reached; would be denied",
    };
    let mut lines = vec![format!("  {}: {said}", place(leg))];
    if let Some(settled) = &leg.settled_by {
        let mark = if leg.decides { MARK } else { "" };
        let line = format!("    {}  {mark}", settled_words(settled));
        lines.push(line.trim_end().to_owned());
    }
    let names = leg.tiers.iter().map(|tier| tier.name.chars().count());
    let width = names.max().unwrap_or_default().max(10);
    let heading = if leg.direction == "ingress" {
        "Ingress"
    } else {
        "Egress"
    };
    for tier in &leg.tiers {
        lines.extend(tier_lines(tier, width, heading));
    }
    lines.extend(profile_line(&leg.profiles, width));
    lines
}

fn tier_lines(tier: &TierReport, width: usize, heading: &str) -> Vec<String> {
    let order = match tier.order {
        None => "(unknown tier) ".to_owned(),
        Some(ORDER_UNSAID) => String::new(),
        Some(order) => format!("(order {order}) "),
    };
    let rest = match tier.outcome {
        "not-selected" => format!("no policy selects it for {heading}"),
        "not-reached" => "not reached".to_owned(),
        _ => String::new(),
    };
    let title = format!("    tier {:width$} {order}{rest}", tier.name);
    let mut lines = vec![title.trim_end().to_owned()];
    let rows: Vec<[String; 3]> = tier.policies.iter().map(row).collect();
    let width_of = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
    let name_width = width_of(0).unwrap_or_default();
    let kind_width = width_of(1).unwrap_or_default();
    for ([name, kind, said], policy) in rows.iter().zip(&tier.policies) {
        let mark = if policy.decides { MARK } else { "" };
        let line = format!("      {name:name_width$}  {kind:kind_width$}  {said}  {mark}");
        lines.push(line.trim_end().to_owned());
        let indent = " ".repeat(6 + name_width + 2 + kind_width + 2);
        lines.extend(
            policy
                .place
                .as_ref()
                .map(|place| format!("{indent}{place}")),
        );
        let problem = policy.problem.as_ref();
        lines.extend(problem.map(|text| format!("{indent}not enforced as written: {text}")));
    }
    match tier.outcome {
        "end-deny" => {
            let mark = if tier.decides { MARK } else { "" };
            let line = format!("      end of tier: no rule matched, so Deny  {mark}");
            lines.push(line.trim_end().to_owned());
        }
        "end-pass" => lines.push("      end of tier: no rule matched, so Pass".to_owned()),
        _ => {}
    }
    lines
}

/// Name, kind and order, and what it says.
fn row(policy: &PolicyReport) -> [String; 3] {
    let kind = match (policy.kind, policy.order) {
        ("Kubernetes", _) => "(Kubernetes, 1000)".to_owned(),
        (kind, Some(order)) => format!("({kind}, order {order})"),
        (kind, None) => format!("({kind}, no order: last)"),
    };
    let mut said = match (policy.outcome, &policy.rule) {
        ("hit", Some(rule)) => format!("{}  {}  {}", rule.field, rule.action, rule.text),
        ("not-reached", Some(rule)) => {
            let would = rule.action.to_lowercase();
            format!("not reached; would {would} by {}", rule.field)
        }
        ("not-reached", None) => "not reached; no rule would match".to_owned(),
        _ => "no rule matches".to_owned(),
    };
    if !policy.logged.is_empty() {
        let logged: Vec<String> = policy.logged.iter().map(usize::to_string).collect();
        said = format!("{said} (logged by rule {})", logged.join(", "));
    }
    [policy.name.clone(), kind, said]
}

/// What settled a leg without a policy, in a few words.
fn settled_words(settled: &str) -> &'static str {
    match settled {
        "failsafe" => "failsafe: no policy closes this port",
        "neighbour" => "neighbour discovery: hosts always get and send it",
        "default" => "no policy and no profile decided, so Deny",
        "endpoint-to-host" => "defaultEndpointToHostAction of the node",
        "encapsulated" => "pods may not send VXLAN or IPIP",
        "unknown-interface" => "called like a workload's interface, and no pod is known there",
        _ => "the endpoint or what it inherits from cannot be understood, so Deny",
    }
}

fn profile_line(profiles: &[ProfileReport], width: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for profile in profiles {
        let name = &profile.name;
        match profile.outcome {
            "allow" => texts.push(format!("{name} allows")),
            "deny" => texts.push(format!("{name} denies")),
            "missing" => texts.push(format!("{name} does not exist and allows nothing")),
            _ => {}
        }
    }
    // Behind a decision profiles have nothing to say.
    if profiles
        .iter()
        .all(|profile| profile.outcome == "not-reached")
    {
        return Vec::new();
    }
    let said = if texts.is_empty() {
        "none allows".to_owned()
    } else {
        texts.join("; ")
    };
    let mark = if profiles.iter().any(|profile| profile.decides) {
        MARK
    } else {
        ""
    };
    let line = format!(
        "    {:indent$} {said}  {mark}",
        "profile",
        indent = width + 5
    );
    vec![line.trim_end().to_owned()]
}
