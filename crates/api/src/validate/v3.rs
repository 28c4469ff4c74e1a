//! Calico's checks of tiers, policies and network sets.

use oncilla_net::parse_cidr;

use super::{Errors, rule, selector};
use crate::field::FieldError;
use crate::meta::{ObjectMeta, PolicyType};
use crate::names;
use crate::v3::{
    BUILT_IN_TIERS, GlobalNetworkPolicySpec, NetworkPolicySpec, NetworkSetSpec, Order, Rule, Tier,
};

/// Rules of one policy in one direction.
const RULES_MAX: usize = 1024;
/// A label that membership in a namespace gives; network sets must not claim it.
const NAMESPACE_LABEL: &str = "projectcalico.org/namespace";

/// The order that no order means.
const ORDER_DEFAULT: f64 = 1_000_000.0;

pub(super) fn tier(tier: &Tier, errors: &mut Errors) {
    let name = tier.metadata.name.as_str();
    check_order(tier.spec.order, errors);
    let Some((_, order, action)) = BUILT_IN_TIERS.iter().find(|(known, ..)| *known == name) else {
        return;
    };
    let written = tier.spec.order.unwrap_or(ORDER_DEFAULT);
    if (written - order).abs() > 0.0 {
        let error = FieldError::new("spec.order", format!("{name} tier order must be {order}"));
        errors.push(error.with_help(format!("write `order: {order}`")));
    }
    if tier.spec.default_action != Some(*action) {
        let message = format!("the '{name}' tier must have default action '{action:?}'");
        let error = FieldError::new("spec.defaultAction", message);
        errors.push(error.with_help(format!("write `defaultAction: {action:?}`")));
    }
}

pub(super) fn network_set(metadata: &ObjectMeta, spec: &NetworkSetSpec, errors: &mut Errors) {
    if metadata.labels.contains_key(NAMESPACE_LABEL) {
        errors.push(
            FieldError::new(
                format!("metadata.labels.{NAMESPACE_LABEL}"),
                format!("{NAMESPACE_LABEL} is not a valid label name"),
            )
            .pointing_at_key()
            .with_help("remove it: a NetworkSet gets it from its namespace"),
        );
    }
    for (index, net) in spec.nets.iter().enumerate() {
        errors.cidr(&format!("spec.nets[{index}]"), parse_cidr(net));
    }
}

pub(super) fn policy(spec: &NetworkPolicySpec, errors: &mut Errors) {
    check_tier_name(&spec.tier, errors);
    check_order(spec.order, errors);
    check_rules(&spec.ingress, &spec.egress, errors);
    selector::check("spec.selector", &spec.selector, errors);
    check_types(&spec.types, errors);
    let accounts = &spec.service_account_selector;
    selector::check("spec.serviceAccountSelector", accounts, errors);
}

pub(super) fn global_policy(spec: &GlobalNetworkPolicySpec, errors: &mut Errors) {
    check_tier_name(&spec.tier, errors);
    check_order(spec.order, errors);
    check_rules(&spec.ingress, &spec.egress, errors);
    selector::check("spec.selector", &spec.selector, errors);
    check_types(&spec.types, errors);
    let host_only = [
        (spec.do_not_track, "doNotTrack"),
        (spec.pre_dnat, "preDNAT"),
        (spec.apply_on_forward, "applyOnForward"),
    ];
    for (set, field) in host_only {
        if set {
            errors.push(
                FieldError::not_supported(format!("spec.{field}"), &format!("{field}: true"))
                    .with_help("remove it: only workloads are protected yet, not hosts"),
            );
        }
    }
    let accounts = &spec.service_account_selector;
    selector::check("spec.serviceAccountSelector", accounts, errors);
    selector::check("spec.namespaceSelector", &spec.namespace_selector, errors);
}

fn check_tier_name(tier: &str, errors: &mut Errors) {
    if !tier.is_empty() {
        errors.check("spec.tier", names::dns_label(tier));
    }
}

fn check_order(order: Order, errors: &mut Errors) {
    if order.is_some_and(|order| !order.is_finite()) {
        errors.push(
            FieldError::new("spec.order", "expected a finite number")
                .with_help("write a number, as in `order: 10`, or leave it out for the last place"),
        );
    }
}

fn check_rules(ingress: &[Rule], egress: &[Rule], errors: &mut Errors) {
    for (field, rules) in [("spec.ingress", ingress), ("spec.egress", egress)] {
        errors.count(field, rules.len(), RULES_MAX);
        for (index, rule) in rules.iter().enumerate() {
            rule::check(&format!("{field}[{index}]"), rule, errors);
        }
    }
}

fn check_types(types: &[PolicyType], errors: &mut Errors) {
    for (index, policy_type) in types.iter().enumerate() {
        let before = types.get(..index).unwrap_or_default();
        if before.contains(policy_type) {
            let message = format!("'{policy_type:?}' type specified more than once");
            errors.invalid(format!("spec.types[{index}]"), message);
        }
    }
}
