//! Calico's checks of tiers, policies and network sets.

use oncilla_net::parse_cidr;

use super::rule::Place;
use super::table::metadata::NAMESPACE_LABEL as NAMESPACE_LABEL_SET;
use super::table::policy as table;
use super::{Errors, rule, selector};
use crate::field::FieldError;
use crate::kind::Kind;
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
        errors.push(table::TIER_ORDER.with("spec.order", &[&name, order]));
    }
    if tier.spec.default_action != Some(*action) {
        let action = format_args!("{action:?}");
        errors.push(table::TIER_ACTION.with("spec.defaultAction", &[&name, &action]));
    }
}

pub(super) fn network_set(metadata: &ObjectMeta, spec: &NetworkSetSpec, errors: &mut Errors) {
    if metadata.labels.contains_key(NAMESPACE_LABEL) {
        let path = format!("metadata.labels.{NAMESPACE_LABEL}");
        errors.push(NAMESPACE_LABEL_SET.at(path).pointing_at_key());
    }
    for (index, net) in spec.nets.iter().enumerate() {
        if let Err(error) = parse_cidr(net) {
            let fault = FieldError::of_cidr(format!("spec.nets[{index}]"), &error);
            errors.push(fault.of_check(table::SET_CIDR.id));
        }
    }
}

pub(super) fn policy(spec: &NetworkPolicySpec, errors: &mut Errors) {
    check_tier_name(&spec.tier, errors);
    check_order(spec.order, errors);
    check_rules(Kind::NetworkPolicy, (&spec.ingress, &spec.egress), errors);
    selector::check("spec.selector", &spec.selector, errors);
    check_types(&spec.types, errors);
    let accounts = &spec.service_account_selector;
    selector::check("spec.serviceAccountSelector", accounts, errors);
}

pub(super) fn global_policy(spec: &GlobalNetworkPolicySpec, errors: &mut Errors) {
    check_tier_name(&spec.tier, errors);
    check_order(spec.order, errors);
    check_rules(
        Kind::GlobalNetworkPolicy,
        (&spec.ingress, &spec.egress),
        errors,
    );
    selector::check("spec.selector", &spec.selector, errors);
    check_types(&spec.types, errors);
    check_stage(spec, errors);
    let accounts = &spec.service_account_selector;
    selector::check("spec.serviceAccountSelector", accounts, errors);
    selector::check("spec.namespaceSelector", &spec.namespace_selector, errors);
}

/// Policies that judge packets before connection tracking or address translation.
fn check_stage(spec: &GlobalNetworkPolicySpec, errors: &mut Errors) {
    if spec.pre_dnat && spec.do_not_track {
        errors.push(
            table::PRE_DNAT_UNTRACKED
                .at("spec.preDNAT")
                .pointing_at_key(),
        );
    }
    if spec.pre_dnat && !spec.egress.is_empty() {
        errors.push(table::PRE_DNAT_EGRESS.at("spec.egress").pointing_at_key());
    }
    if spec.pre_dnat && spec.types.contains(&PolicyType::Egress) {
        // Without `types:` the direction follows from the rules, which were reported.
        if spec.egress.is_empty() {
            errors.push(table::PRE_DNAT_TYPE.at("spec.types").pointing_at_key());
        }
    }
    if (spec.pre_dnat || spec.do_not_track) && !spec.apply_on_forward {
        let field = if spec.pre_dnat {
            "spec.preDNAT"
        } else {
            "spec.doNotTrack"
        };
        let error = table::APPLY_ON_FORWARD.at("spec.applyOnForward");
        errors.push(error.pointing_at(field).pointing_at_key());
    }
}

fn check_tier_name(tier: &str, errors: &mut Errors) {
    if let Err(error) = names::dns_label(tier)
        && !tier.is_empty()
    {
        errors.push(table::POLICY_TIER.with("spec.tier", &[&error]));
    }
}

fn check_order(order: Order, errors: &mut Errors) {
    if order.is_some_and(|order| !order.is_finite()) {
        errors.broken(&table::ORDER, "spec.order");
    }
}

pub(super) fn check_rules(kind: Kind, (ingress, egress): (&[Rule], &[Rule]), errors: &mut Errors) {
    let directions = [
        ("spec.ingress", PolicyType::Ingress, ingress),
        ("spec.egress", PolicyType::Egress, egress),
    ];
    for (field, direction, rules) in directions {
        errors.too_many(&table::RULES_MAX, field, rules.len(), RULES_MAX);
        for (index, rule) in rules.iter().enumerate() {
            let path = &format!("{field}[{index}]");
            let place = Place {
                path,
                kind,
                direction,
            };
            rule::check(place, rule, errors);
        }
    }
}

fn check_types(types: &[PolicyType], errors: &mut Errors) {
    for (index, policy_type) in types.iter().enumerate() {
        let before = types.get(..index).unwrap_or_default();
        if before.contains(policy_type) {
            let name = format_args!("{policy_type:?}");
            errors.push(table::TYPES_TWICE.with(format!("spec.types[{index}]"), &[&name]));
        }
    }
}
