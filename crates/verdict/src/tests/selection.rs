//! §2.3, §2.4: whom a policy selects, and for which direction.

use super::{check, gnp, np, tier};

/// A global policy that denies ingress, after a criterion of selection.
fn global(criterion: &str) -> String {
    gnp("p", &format!("{{{criterion}, types: [Ingress]}}"))
}

const DENIED: &str = "deny";
const ALLOWED: &str = "allow";

/// Which pods a policy selects: each of them in the list is denied ingress, no other.
fn check_selected(manifests: &str, selected: &[&str]) {
    for pod in ["red/web", "red/db", "red/bare", "blue/web", "blue/db"] {
        let expected = if selected.contains(&pod) {
            DENIED
        } else {
            ALLOWED
        };
        check(
            manifests,
            &format!("203.0.113.1 -> {pod} tcp/1 = {expected} {pod} ingress"),
        );
    }
}

#[test]
fn a_network_policy_selects_in_its_own_namespace_only() {
    check_selected(
        &np("p", "{types: [Ingress]}"),
        &["red/web", "red/db", "red/bare"],
    );
    check_selected(
        &np("p", "{selector: all(), types: [Ingress]}"),
        &["red/web", "red/db", "red/bare"],
    );
    check_selected(
        &np("p", "{selector: app == 'db', types: [Ingress]}"),
        &["red/db"],
    );
    check_selected(
        &np("p", "{selector: has(app) || all(), types: [Ingress]}"),
        &["red/web", "red/db", "red/bare"],
    );
}

#[test]
fn a_network_policy_narrows_by_service_account() {
    check_selected(
        &np(
            "p",
            "{serviceAccountSelector: trust == 'high', types: [Ingress]}",
        ),
        &["red/db"],
    );
    check_selected(
        &np(
            "p",
            "{serviceAccountSelector: projectcalico.org/name == 'default', types: [Ingress]}",
        ),
        &["red/web", "red/bare"],
    );
    check_selected(
        &np(
            "p",
            "{selector: app == 'web', serviceAccountSelector: trust == 'high', types: [Ingress]}",
        ),
        &[],
    );
}

#[test]
fn a_global_policy_selects_everywhere_by_labels() {
    check_selected(
        &gnp("p", "{types: [Ingress]}"),
        &["red/web", "red/db", "red/bare", "blue/web", "blue/db"],
    );
    check_selected(&global("selector: app == 'db'"), &["red/db", "blue/db"]);
    check_selected(&global("selector: '!has(app)'"), &["red/bare"]);
    check_selected(
        &global("selector: projectcalico.org/namespace == 'blue'"),
        &["blue/web", "blue/db"],
    );
    check_selected(
        &global("selector: projectcalico.org/serviceaccount == 'robot'"),
        &["red/db", "blue/db"],
    );
    check_selected(
        &global("selector: projectcalico.org/orchestrator == 'k8s' && app == 'web'"),
        &["red/web", "blue/web"],
    );
}

#[test]
fn endpoints_inherit_the_labels_of_namespace_and_service_account() {
    check_selected(
        &global("selector: pcns.team == 'red'"),
        &["red/web", "red/db", "red/bare"],
    );
    check_selected(
        &global("selector: pcns.projectcalico.org/name == 'blue'"),
        &["blue/web", "blue/db"],
    );
    check_selected(&global("selector: pcsa.trust == 'low'"), &["blue/db"]);
}

#[test]
fn a_global_policy_narrows_by_namespace_and_service_account() {
    check_selected(
        &global("namespaceSelector: team == 'red'"),
        &["red/web", "red/db", "red/bare"],
    );
    check_selected(
        &global("namespaceSelector: team == 'red', selector: app == 'db'"),
        &["red/db"],
    );
    check_selected(
        &global("namespaceSelector: '!has(tier)'"),
        &["blue/web", "blue/db"],
    );
    check_selected(
        &global("namespaceSelector: all(), selector: app == 'db'"),
        &["red/db", "blue/db"],
    );
    check_selected(
        &global("serviceAccountSelector: trust == 'low'"),
        &["blue/db"],
    );
    check_selected(
        &global("serviceAccountSelector: has(trust), namespaceSelector: team == 'red'"),
        &["red/db"],
    );
    // A selector with || stays one criterion beside the others.
    check_selected(
        &global("selector: app == 'web' || app == 'db', namespaceSelector: team == 'blue'"),
        &["blue/web", "blue/db"],
    );
}

#[test]
fn all_beside_a_namespace_selector_means_everything_in_namespaces() {
    check_selected(&global("selector: '!all()', namespaceSelector: all()"), &[]);
    check_selected(
        &global("selector: all(), serviceAccountSelector: all()"),
        &["red/web", "red/db", "red/bare", "blue/web", "blue/db"],
    );
}

#[test]
fn own_labels_win_over_inherited_ones() {
    let pod = "
---
apiVersion: v1
kind: Pod
metadata: {name: own, namespace: red, labels: {pcns.team: mine}}
spec: {nodeName: n1, containers: []}
status: {podIP: 10.0.0.9}
";
    check(
        &(pod.to_owned() + &global("selector: pcns.team == 'mine'")),
        "203.0.113.1 -> red/own tcp/1 = deny
         203.0.113.1 -> red/web tcp/1 = allow",
    );
}

#[test]
fn a_pod_cannot_claim_a_namespace_or_an_account_by_label() {
    let long = "s".repeat(63);
    let pod = format!("
---
apiVersion: v1
kind: Pod
metadata: {{name: liar, namespace: red, labels: {{projectcalico.org/namespace: blue, projectcalico.org/serviceaccount: robot}}}}
spec: {{nodeName: n1, serviceAccountName: {long}, containers: []}}
status: {{podIP: 10.0.0.9}}
");
    check(
        &(pod.clone() + &global("selector: projectcalico.org/namespace == 'red'")),
        "203.0.113.1 -> red/liar tcp/1 = deny",
    );
    // Account names of 63 characters and more are no label, and the pod's own never stands in.
    check(
        &(pod + &global("selector: has(projectcalico.org/serviceaccount)")),
        "203.0.113.1 -> red/liar tcp/1 = allow
         203.0.113.1 -> red/web tcp/1 = deny",
    );
}

#[test]
fn omitted_types_are_the_directions_with_rules_and_else_ingress() {
    let rule = "[{action: Deny}]";
    let cases = [
        ("{selector: app == 'db'}".to_owned(), true, false),
        (
            format!("{{selector: app == 'db', ingress: {rule}}}"),
            true,
            false,
        ),
        (
            format!("{{selector: app == 'db', egress: {rule}}}"),
            false,
            true,
        ),
        (
            format!("{{selector: app == 'db', ingress: {rule}, egress: {rule}}}"),
            true,
            true,
        ),
        (
            "{selector: app == 'db', types: [Egress]}".to_owned(),
            false,
            true,
        ),
        (
            "{selector: app == 'db', types: [Ingress, Egress]}".to_owned(),
            true,
            true,
        ),
        (
            format!("{{selector: app == 'db', types: [Egress], ingress: {rule}}}"),
            false,
            true,
        ),
        (
            format!("{{selector: app == 'db', types: [Ingress], egress: {rule}}}"),
            true,
            false,
        ),
    ];
    for (spec, ingress, egress) in cases {
        for policy in [np("p", &spec), gnp("p", &spec)] {
            let verdict = |governed: bool| if governed { DENIED } else { ALLOWED };
            let expected = format!(
                "203.0.113.1 -> red/db tcp/1 = {} red/db ingress
                 red/db -> 203.0.113.1 tcp/1 = {} red/db egress",
                verdict(ingress),
                verdict(egress)
            );
            check(&policy, &expected);
        }
    }
}

#[test]
fn a_policy_without_a_tier_is_in_the_default_tier() {
    check(
        &(tier("late", "{order: 2000000}")
            + &gnp("a", "{selector: app == 'db', types: [Ingress]}")
            + &gnp(
                "b",
                "{tier: late, selector: app == 'db', ingress: [{action: Allow}]}",
            )),
        "red/web -> red/db tcp/1 = deny red/db ingress default end-of-tier <gnp/a",
    );
}
