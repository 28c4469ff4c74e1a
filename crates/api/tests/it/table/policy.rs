//! Tiers, policies and network sets, apart from their rules.

use super::{Case, UNSUPPORTED, case};

/// A list of that many rules.
fn rules(count: usize) -> String {
    format!(
        "spec: {{ingress: [{}]}}",
        vec!["{action: Allow}"; count].join(", ")
    )
}

pub(super) fn cases() -> Vec<Case> {
    [policies(), stages(), staged(), selectors()]
        .into_iter()
        .flatten()
        .collect()
}

fn policies() -> Vec<Case> {
    vec![
        case(
            "tier.order",
            "metadata: {name: kube-admin}\nspec: {order: 1000, defaultAction: Pass}",
            "metadata: {name: kube-admin}\nspec: {order: 999, defaultAction: Pass}",
            "spec.order",
        )
        .says("kube-admin tier order must be 1000"),
        case(
            "tier.default-action",
            "metadata: {name: default}\nspec: {order: 1000000, defaultAction: Deny}",
            "metadata: {name: default}\nspec: {order: 1000000, defaultAction: Pass}",
            "spec.defaultAction",
        )
        .says("the 'default' tier must have default action 'Deny'"),
        case(
            "tier.default-action-value",
            "spec: {defaultAction: Pass}",
            "spec: {defaultAction: Allow}",
            "spec.defaultAction",
        )
        .says("unknown value \"Allow\""),
        case(
            "policy.tier",
            "spec: {tier: security}",
            "spec: {tier: a.b}",
            "spec.tier",
        )
        .says("tier name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character"),
        case("policy.rules", rules(1024), rules(1025), "spec.ingress")
            .says("has 1025 items, more than the limit of 1024"),
        case(
            "policy.types-twice",
            "spec: {types: [Egress, Ingress]}",
            "spec: {types: [Egress, Egress]}",
            "spec.types[1]",
        )
        .says("'Egress' type specified more than once"),
        case(
            "policy.types-value",
            "spec: {types: [Egress]}",
            "spec: {types: [egress]}",
            "spec.types[0]",
        )
        .says("unknown value \"egress\""),
        case(
            "policy.performance-hints",
            "spec: {performanceHints: [AssumeNeededOnEveryNode]}",
            "spec: {performanceHints: [Fast]}",
            "spec.performanceHints[0]",
        )
        .says("unknown value \"Fast\""),
    ]
}

/// Policies that judge before connection tracking or address translation.
fn stages() -> Vec<Case> {
    vec![
        case(
            "policy.pre-dnat-and-untracked",
            "spec: {preDNAT: true, doNotTrack: false, applyOnForward: true}",
            "spec: {preDNAT: true, doNotTrack: true, applyOnForward: true}",
            "spec.preDNAT",
        )
        .also(&[UNSUPPORTED]),
        case(
            "policy.pre-dnat-egress",
            "spec: {preDNAT: true, applyOnForward: true, ingress: [{action: Allow}]}",
            "spec: {preDNAT: true, applyOnForward: true, egress: [{action: Allow}]}",
            "spec.egress",
        )
        .also(&[UNSUPPORTED]),
        case(
            "policy.pre-dnat-type",
            "spec: {preDNAT: true, applyOnForward: true, types: [Ingress]}",
            "spec: {preDNAT: true, applyOnForward: true, types: [Ingress, Egress]}",
            "spec.types",
        )
        .also(&[UNSUPPORTED]),
        case(
            "policy.apply-on-forward",
            "spec: {doNotTrack: true, applyOnForward: true}",
            "spec: {doNotTrack: true}",
            "spec.applyOnForward",
        )
        .also(&[UNSUPPORTED]),
    ]
}

fn staged() -> Vec<Case> {
    vec![
        case(
            "staged.delete",
            "spec: {stagedAction: Delete, tier: security}",
            "spec: {stagedAction: Delete, tier: security, order: 1}",
            "spec.stagedAction",
        ),
        case(
            "staged.delete-kubernetes",
            "spec: {stagedAction: Delete}",
            "spec: {stagedAction: Delete, ingress: [{}]}",
            "spec.stagedAction",
        ),
        case(
            "staged.action-value",
            "spec: {stagedAction: Learn}",
            "spec: {stagedAction: Try}",
            "spec.stagedAction",
        )
        .says("unknown value \"Try\""),
    ]
}

fn selectors() -> Vec<Case> {
    vec![
        case(
            "selector.syntax",
            "spec: {selector: \"app == 'web'\"}",
            "spec: {selector: \"app = 'web'\"}",
            "spec.selector",
        )
        .says("invalid selector: expected ==, at character 5, where it says = 'web'"),
        case(
            "selector.length",
            format!("spec: {{selector: \"a == '{}'\"}}", "x".repeat(1017)),
            format!("spec: {{selector: \"a == '{}'\"}}", "x".repeat(1018)),
            "spec.selector",
        )
        .says("the selector has 1025 characters, more than the limit of 1024"),
        case(
            "selector.global",
            "spec: {selector: all()}",
            "spec: {selector: global()}",
            "spec.selector",
        ),
        case(
            "set.cidr",
            "spec: {nets: [10.0.0.0/8, 10.1.2.3, 'fd00::1', 0.0.0.0/0, '::/0', 10.1.0.0/16]}",
            "spec: {nets: [10.0.0.0/8, 10.0.0.1/8]}",
            "spec.nets[1]",
        )
        .says("invalid CIDR \"10.0.0.1/8\": host bits are set"),
    ]
}
