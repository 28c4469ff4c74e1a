//! §1.10, §2.1: pods as endpoints, and the profiles behind all tiers.

use super::{ask, check, cluster, gnp, line};
use crate::ProfileOutcome;

fn pod(name: &str, namespace: &str, rest: &str) -> String {
    format!(
        "\n---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}}}, {rest}}}\n"
    )
}

#[test]
fn a_pod_whose_namespace_is_unknown_gets_nothing_that_no_policy_allows() {
    let orphan = pod(
        "x",
        "gone",
        "spec: {nodeName: n1, containers: []}, status: {podIP: 10.9.0.1}",
    );
    check(
        &orphan,
        "red/web -> gone/x tcp/1 = deny gone/x ingress pro/kns.gone profile
         gone/x -> red/web tcp/1 = deny gone/x egress pro/kns.gone profile",
    );
    let allow = gnp(
        "a",
        "{selector: projectcalico.org/namespace == 'gone', ingress: [{action: Allow}]}",
    );
    check(
        &(orphan + &allow),
        "red/web -> gone/x tcp/1 = allow gone/x ingress default gnp/a 0",
    );
}

#[test]
fn a_service_account_profile_has_no_rules() {
    let answer = ask(&cluster(""), "red/web -> red/db tcp/1").unwrap();
    let profiles = &answer.legs[1].profiles;
    let names: Vec<(&str, ProfileOutcome)> = profiles
        .iter()
        .map(|profile| (&*profile.name, profile.outcome))
        .collect();
    assert_eq!(
        names,
        [
            ("kns.red", ProfileOutcome::Allow),
            ("ksa.red.robot", ProfileOutcome::NotReached)
        ]
    );
    let orphan = pod(
        "x",
        "gone",
        "spec: {nodeName: n1, containers: []}, status: {podIP: 10.9.0.1}",
    );
    let answer = ask(&cluster(&orphan), "red/web -> gone/x tcp/1").unwrap();
    let outcomes: Vec<ProfileOutcome> = answer.legs[1]
        .profiles
        .iter()
        .map(|profile| profile.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [ProfileOutcome::Missing, ProfileOutcome::NotReached]
    );
    assert_eq!(line(&answer), "deny gone/x ingress pro/kns.gone profile");
}

#[test]
fn an_empty_service_account_is_default() {
    check(
        &gnp(
            "p",
            "{selector: pcsa.projectcalico.org/name == 'default', types: [Ingress]}",
        ),
        "blue/web -> red/web tcp/1 = deny
         blue/web -> red/db tcp/1 = allow",
    );
}

#[test]
fn the_old_name_of_the_service_account_still_counts() {
    let x = |spec: &str| {
        pod(
            "x",
            "red",
            &format!("spec: {{nodeName: n1, {spec}, containers: []}}, status: {{podIP: 10.9.0.1}}"),
        )
    };
    let deny = gnp(
        "p",
        "{selector: projectcalico.org/serviceaccount == 'old', types: [Ingress]}",
    );
    check(
        &(x("serviceAccount: old") + &deny),
        "red/web -> red/x tcp/1 = deny",
    );
    check(
        &(x("serviceAccount: old, serviceAccountName: new") + &deny),
        "red/web -> red/x tcp/1 = allow",
    );
}

#[test]
fn host_network_and_unscheduled_pods_are_no_endpoints() {
    let deny = gnp("p", "{types: [Ingress, Egress]}");
    let waiting = pod(
        "waiting",
        "red",
        "spec: {containers: []}, status: {podIP: 10.0.0.50}",
    );
    check(
        &(deny + &waiting),
        "203.0.113.1 -> red/host tcp/1 = allow red/host ingress no-policy
         203.0.113.1 -> 10.0.0.50 tcp/1 = allow 10.0.0.50 ingress no-policy
         203.0.113.1 -> red/waiting tcp/1 = red/waiting has no IPv4 address",
    );
}

#[test]
fn a_finished_pod_has_no_addresses_and_names_nobody() {
    let policy = gnp(
        "p",
        "{selector: app == 'db', ingress: [{action: Allow, source: {selector: job == 'x'}}]}",
    );
    let running = "
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: red, labels: {job: x}}
spec: {nodeName: n1, containers: []}
status: {phase: Running, podIP: 10.0.0.60}
";
    check(
        &(policy.clone() + running),
        "10.0.0.60 -> red/db tcp/1 = allow red/db ingress default gnp/p 0",
    );
    for phase in ["Failed", "Succeeded", "Completed"] {
        check(
            &(policy.clone() + &running.replace("Running", phase)),
            "10.0.0.60 -> red/db tcp/1 = deny
             red/job -> red/db tcp/1 = red/job has no IPv4 address",
        );
    }
    let given_back = running.replace(
        "labels: {job: x}",
        "labels: {job: x}, deletionTimestamp: '2026-01-01T00:00:00Z', annotations: {cni.projectcalico.org/podIP: ''}",
    );
    check(
        &(policy.clone() + &given_back),
        "10.0.0.60 -> red/db tcp/1 = deny",
    );
    let still_there = given_back.replace("podIP: ''", "podIP: 10.0.0.60/32");
    check(
        &(policy + &still_there),
        "10.0.0.60 -> red/db tcp/1 = allow",
    );
}

#[test]
fn addresses_come_from_the_status_before_the_annotations() {
    let policy = gnp(
        "p",
        "{selector: app == 'db', ingress: [{action: Allow, source: {selector: '!has(app)'}}]}",
    );
    let pod = |metadata: &str, status: &str| {
        format!(
            "\n---\n{{apiVersion: v1, kind: Pod, metadata: {{name: x, namespace: red, {metadata}}}, spec: {{nodeName: n1, containers: []}}, status: {status}}}\n"
        )
    };
    let annotated = "annotations: {cni.projectcalico.org/podIPs: '10.0.0.71/32,fd00::71/128', cni.projectcalico.org/podIP: 10.0.0.72/32}";
    check(
        &(policy.clone() + &pod(annotated, "{}")),
        "10.0.0.71 -> red/db tcp/1 = allow
         fd00::71 -> red/db tcp/1 = allow
         10.0.0.72 -> red/db tcp/1 = deny",
    );
    check(
        &(policy.clone()
            + &pod(
                "annotations: {cni.projectcalico.org/podIP: 10.0.0.72/32}",
                "{}",
            )),
        "10.0.0.72 -> red/db tcp/1 = allow",
    );
    check(
        &(policy.clone() + &pod("annotations: {vpc.amazonaws.com/pod-ips: 10.0.0.73}", "{}")),
        "10.0.0.73 -> red/db tcp/1 = allow",
    );
    check(
        &(policy + &pod(annotated, "{podIP: 10.0.0.74}")),
        "10.0.0.74 -> red/db tcp/1 = allow
         10.0.0.71 -> red/db tcp/1 = deny",
    );
}
