//! Staged policies: not seen by the judge, and what would be if they were set.

use oncilla_api::v3::StagedAction;

use super::{ask, cluster, gnp, knp, line, np, question, tier};
use crate::{PolicyOutcome, Staged, StagedAnswer};

fn staged(kind: &str, name: &str, spec: &str) -> String {
    let namespace = if kind.contains("Global") {
        ""
    } else {
        ", namespace: red"
    };
    format!(
        "\n---\n{{apiVersion: projectcalico.org/v3, kind: {kind}, metadata: {{name: {name}{namespace}}}, spec: {spec}}}\n"
    )
}

fn snp(name: &str, spec: &str) -> String {
    staged("StagedNetworkPolicy", name, spec)
}

fn explain(manifests: &str, text: &str) -> (String, StagedAnswer) {
    let cluster = cluster(manifests);
    let enforced = ask(&cluster, text).unwrap();
    let staged = Staged::new(&cluster).explain(&question(text), &enforced);
    (line(&enforced), staged.unwrap())
}

/// The answer of today, the answer if the staged policies were set, and what each of them says.
#[track_caller]
fn check(manifests: &str, text: &str, enforced: &str, set: &str, traces: &[&str]) {
    let (today, staged) = explain(manifests, text);
    assert_eq!(today, enforced);
    assert_eq!(line(&staged.answer), set);
    let said: Vec<String> = staged
        .traces
        .iter()
        .map(|trace| {
            let outcome = match trace.outcome {
                PolicyOutcome::NoMatch => "no match".to_owned(),
                PolicyOutcome::Hit(hit) => format!("{:?} by {}", hit.action, hit.rule),
                PolicyOutcome::NotReached { would: None } => "not reached".to_owned(),
                PolicyOutcome::NotReached { would: Some(hit) } => {
                    format!("not reached, {:?} by {}", hit.action, hit.rule)
                }
            };
            let (action, direction) = (trace.action, trace.direction);
            format!(
                "{} {action:?} {} {direction}: {outcome}",
                trace.id,
                trace.endpoint.path()
            )
        })
        .collect();
    assert_eq!(said, traces);
}

const DENY: &str = "{ingress: [{action: Deny}]}";

#[test]
fn they_are_never_enforced() {
    for manifests in [
        snp("deny", DENY),
        staged("StagedGlobalNetworkPolicy", "deny", DENY),
        staged("StagedKubernetesNetworkPolicy", "deny", "{podSelector: {}}"),
        knp("all", "{podSelector: {}, ingress: [{}]}") + &snp("all", "{stagedAction: Delete}"),
    ] {
        let answer = ask(&cluster(&manifests), "red/web -> red/db tcp/80").unwrap();
        assert_eq!(answer.verdict, oncilla_net::Verdict::Allow, "{manifests}");
    }
}

#[test]
fn set_puts_it_in_force_under_its_own_name() {
    check(
        &snp(
            "deny",
            "{selector: app == 'db', ingress: [{action: Allow, protocol: UDP}, {action: Deny}]}",
        ),
        "red/web -> red/db tcp/80",
        "allow red/db ingress pro/kns.red profile",
        "deny red/db ingress default snp/red/deny 1",
        &["snp/red/deny Set red/db ingress: Deny by 1"],
    );
    check(
        &staged(
            "StagedKubernetesNetworkPolicy",
            "isolate",
            "{podSelector: {}}",
        ),
        "red/web -> red/db tcp/80",
        "allow red/db ingress pro/kns.red profile",
        "deny red/db ingress default end-of-tier <sknp/red/isolate",
        &["sknp/red/isolate Set red/db ingress: no match"],
    );
}

#[test]
fn set_replaces_the_policy_of_its_name_and_kind_and_no_other() {
    let allow = "{order: 5, ingress: [{action: Allow}]}";
    let manifests = np("p", DENY)
        + &gnp(
            "p",
            "{order: 9, selector: app == 'db', ingress: [{action: Deny}]}",
        );
    check(
        &(manifests + &snp("p", allow)),
        "red/web -> red/db tcp/80",
        "deny red/db ingress default gnp/p 0",
        "allow red/db ingress default snp/red/p 0",
        &["snp/red/p Set red/db ingress: Allow by 0"],
    );
}

#[test]
fn delete_takes_the_enforced_one_away() {
    let policies = np("deny", DENY) + &snp("deny", "{stagedAction: Delete}");
    check(
        &policies,
        "red/web -> red/db tcp/80",
        "deny red/db ingress default np/red/deny 0",
        "allow red/db ingress pro/kns.red profile",
        &["snp/red/deny Delete red/db ingress: Deny by 0"],
    );
    let other = gnp("deny", DENY) + &snp("deny", "{stagedAction: Delete}");
    let read = Staged::new(&cluster(&other));
    let problem = read.policies()[0].problem.as_deref().unwrap();
    assert_eq!(
        problem,
        "NetworkPolicy red/deny does not exist, so there is nothing to delete"
    );
}

#[test]
fn learn_and_ignore_change_nothing_and_say_what_they_match() {
    for action in ["Learn", "Ignore"] {
        let spec =
            format!("{{stagedAction: {action}, ingress: [{{action: Deny, protocol: TCP}}]}}");
        check(
            &(np("allow", "{ingress: [{action: Allow}]}") + &snp("deny", &spec)),
            "red/web -> red/db tcp/80",
            "allow red/db ingress default np/red/allow 0",
            "allow red/db ingress default np/red/allow 0",
            &[&format!("snp/red/deny {action} red/db ingress: Deny by 0")],
        );
    }
}

#[test]
fn a_tier_with_only_staged_policies_does_not_end_with_deny() {
    let staged_only = tier("security", "{order: 1}")
        + &snp(
            "watch",
            "{tier: security, ingress: [{action: Allow, protocol: UDP}]}",
        );
    check(
        &staged_only,
        "red/web -> red/db tcp/80",
        "allow red/db ingress pro/kns.red profile",
        "deny red/db ingress security end-of-tier <snp/red/watch",
        &["snp/red/watch Set red/db ingress: no match"],
    );
    // One for the other direction changes nothing here.
    let other_way = staged_only
        + &np(
            "out",
            "{tier: security, types: [Egress], egress: [{action: Allow}]}",
        );
    let (today, _) = explain(&other_way, "red/web -> red/db tcp/80");
    assert_eq!(today, "allow red/db ingress pro/kns.red profile");
}

#[test]
fn the_list_goes_by_leg_tier_order_name_namespace_and_staged_kind() {
    let log = "ingress: [{action: Allow}], egress: [{action: Pass}]";
    let manifests = tier("early", "{order: 1, defaultAction: Pass}")
        + &staged(
            "StagedGlobalNetworkPolicy",
            "z",
            &format!("{{tier: early, {log}}}"),
        )
        + &snp("b", &format!("{{order: 1000, {log}}}"))
        + &staged(
            "StagedKubernetesNetworkPolicy",
            "b",
            "{podSelector: {}, ingress: [{}], egress: [{}]}",
        )
        + &snp("a", &format!("{{order: 1000, {log}}}"))
        + &snp(
            "idle",
            &format!("{{stagedAction: Ignore, order: 1, {log}}}"),
        );
    let (_, staged) = explain(&manifests, "red/web -> red/db tcp/80");
    let ids: Vec<&str> = staged.traces.iter().map(|trace| &*trace.id).collect();
    let one = [
        "sgnp/z",
        "snp/red/idle",
        "snp/red/a",
        "sknp/red/b",
        "snp/red/b",
    ];
    assert_eq!(ids, [one, one].concat());
    assert_eq!(staged.traces[1].action, StagedAction::Ignore);
}

#[test]
fn what_cannot_be_set_is_said_and_not_counted() {
    let bad = snp(
        "bad",
        "{ingress: [{action: Deny, source: {nets: [nowhere]}}]}",
    );
    let objects = cluster(&bad);
    let staged = Staged::new(&objects);
    let problem = staged.policies()[0].problem.as_deref().unwrap();
    assert!(
        problem.contains("spec.ingress[0].source.nets[0]"),
        "{problem}"
    );
    let text = "red/web -> red/db tcp/80";
    let enforced = ask(&objects, text).unwrap();
    let answer = staged.explain(&question(text), &enforced).unwrap();
    assert_eq!(answer.answer, enforced);
    assert!(answer.traces.is_empty());
}
