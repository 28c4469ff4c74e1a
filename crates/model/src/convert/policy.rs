//! Calico policies, and the frame that all policies share (§2.3, §2.4).

use std::sync::Arc;

use oncilla_api::v3::IcmpFields;
use oncilla_api::{FieldError, Object, PolicyType, v3};
use oncilla_net::{Family, IcmpMatch, Protocol};
use oncilla_selector::Selector;

use super::entity::{Scope, both, in_namespace, of_namespaces, selector, side};
use super::{ACCOUNT_LABEL, ACCOUNT_PREFIX, NAMESPACE_LABEL, cluster, kubernetes, policy_key};
use crate::{Action, Applies, Families, Order, Policy, PolicyKey, ProtocolMatch, Rule, TierName};

/// The policy of a defaulted, validated object.
pub(super) fn convert(object: &Object) -> Result<Policy, Vec<FieldError>> {
    let Some(key) = policy_key(&object.key()) else {
        return Err(vec![FieldError::new("kind", "is no policy")]);
    };
    match object {
        Object::GlobalNetworkPolicy(policy) => global(key, &policy.spec),
        Object::NetworkPolicy(policy) => namespaced(key, &policy.spec),
        Object::KubernetesNetworkPolicy(policy) => kubernetes::policy(key, &policy.spec),
        Object::ClusterNetworkPolicy(policy) => cluster::policy(key, policy),
        _ => Err(vec![FieldError::new("kind", "is no policy")]),
    }
}

fn global(key: PolicyKey, spec: &v3::GlobalNetworkPolicySpec) -> Result<Policy, Vec<FieldError>> {
    let mut errors = Vec::new();
    let applies = match (spec.do_not_track, spec.pre_dnat, spec.apply_on_forward) {
        (true, true, _) => {
            let message = "cannot stand beside doNotTrack: a policy applies before one of the two";
            errors.push(FieldError::new("spec.preDNAT", message));
            Applies::Everywhere
        }
        (true, false, _) => Applies::Untracked,
        (false, true, _) => Applies::PreDnat,
        (false, false, true) => Applies::Forward,
        (false, false, false) => Applies::Normal,
    };
    let selector = global_selector(spec);
    let lists = rules(None, &spec.types, &spec.ingress, &spec.egress);
    match (selector, lists) {
        (Ok(selector), Ok((ingress, egress))) if errors.is_empty() => Ok(Policy {
            key,
            tier: tier(&spec.tier),
            order: Order::new(spec.order),
            applies,
            selector,
            ingress,
            egress,
        }),
        (selector, lists) => {
            errors.extend(selector.err().into_iter().flatten());
            errors.extend(lists.err().into_iter().flatten());
            Err(errors)
        }
    }
}

fn namespaced(key: PolicyKey, spec: &v3::NetworkPolicySpec) -> Result<Policy, Vec<FieldError>> {
    let namespace = key.namespace.clone().unwrap_or_else(|| "default".into());
    let selector = namespaced_selector(&namespace, spec);
    let lists = rules(Some(&namespace), &spec.types, &spec.ingress, &spec.egress);
    match (selector, lists) {
        (Ok(selector), Ok((ingress, egress))) => Ok(Policy {
            key,
            tier: tier(&spec.tier),
            order: Order::new(spec.order),
            applies: Applies::Normal,
            selector,
            ingress,
            egress,
        }),
        (selector, lists) => {
            let mut errors = selector.err().unwrap_or_default();
            errors.extend(lists.err().into_iter().flatten());
            Err(errors)
        }
    }
}

pub(super) fn tier(name: &str) -> TierName {
    TierName(if name.is_empty() { "default" } else { name }.into())
}

/// A namespace or service account selector narrows what `all()` means, wherever it stands.
pub(super) fn global_selector(
    spec: &v3::GlobalNetworkPolicySpec,
) -> Result<Selector, Vec<FieldError>> {
    let mut errors = Vec::new();
    let scope = Scope {
        path: "spec",
        namespace: None,
        protocol: ProtocolMatch::default(),
    };
    let mut own = selector(&spec.selector, scope, "selector", &mut errors);
    let mut accounts = selector(
        &spec.service_account_selector,
        scope,
        "serviceAccountSelector",
        &mut errors,
    )
    .map(|accounts| accounts.with_prefix(ACCOUNT_PREFIX));
    let namespaces = selector(
        &spec.namespace_selector,
        scope,
        "namespaceSelector",
        &mut errors,
    );
    if !errors.is_empty() {
        return Err(errors);
    }
    // Namespaces first, as upstream does: accounts find no `all()` any more where those put theirs.
    if namespaces.is_some() {
        own = own.map(|own| own.replacing_all(&Selector::has(NAMESPACE_LABEL)));
    }
    if accounts.is_some() {
        let with_account = Selector::has(ACCOUNT_LABEL);
        own = own.map(|own| own.replacing_all(&with_account));
        accounts = accounts.map(|accounts| accounts.replacing_all(&with_account));
    }
    let namespaces = namespaces.map(|namespaces| of_namespaces(&namespaces));
    Ok(both(
        [own, namespaces, accounts].into_iter().flatten().collect(),
    ))
}

pub(super) fn namespaced_selector(
    namespace: &str,
    spec: &v3::NetworkPolicySpec,
) -> Result<Selector, Vec<FieldError>> {
    let mut errors = Vec::new();
    let scope = Scope {
        path: "spec",
        namespace: None,
        protocol: ProtocolMatch::default(),
    };
    let own = selector(&spec.selector, scope, "selector", &mut errors);
    let accounts = selector(
        &spec.service_account_selector,
        scope,
        "serviceAccountSelector",
        &mut errors,
    )
    .map(|accounts| accounts.with_prefix(ACCOUNT_PREFIX));
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(both(
        [own, Some(in_namespace(namespace)), accounts]
            .into_iter()
            .flatten()
            .collect(),
    ))
}

type Rules = Option<Arc<[Rule]>>;

/// The rules of the directions that the policy governs.
fn rules(
    namespace: Option<&str>,
    types: &[PolicyType],
    ingress: &[v3::Rule],
    egress: &[v3::Rule],
) -> Result<(Rules, Rules), Vec<FieldError>> {
    let one = |governs: PolicyType, name: &str, list: &[v3::Rule]| {
        types
            .contains(&governs)
            .then(|| convert_rules(namespace, name, list))
            .transpose()
    };
    match (
        one(PolicyType::Ingress, "ingress", ingress),
        one(PolicyType::Egress, "egress", egress),
    ) {
        (Ok(ingress), Ok(egress)) => Ok((ingress, egress)),
        (ingress, egress) => {
            let mut errors = ingress.err().unwrap_or_default();
            errors.extend(egress.err().into_iter().flatten());
            Err(errors)
        }
    }
}

pub(super) fn convert_rules(
    namespace: Option<&str>,
    name: &str,
    list: &[v3::Rule],
) -> Result<Arc<[Rule]>, Vec<FieldError>> {
    let mut rules = Vec::new();
    let mut errors = Vec::new();
    for (index, rule) in list.iter().enumerate() {
        match convert_rule(namespace, &format!("spec.{name}[{index}]"), rule, index) {
            Ok(rule) => rules.push(rule),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() {
        Ok(rules.into())
    } else {
        Err(errors)
    }
}

fn convert_rule(
    namespace: Option<&str>,
    path: &str,
    rule: &v3::Rule,
    index: usize,
) -> Result<Rule, Vec<FieldError>> {
    let mut errors = Vec::new();
    if rule.http.is_some() {
        errors.push(FieldError::new(
            format!("{path}.http"),
            "is not supported yet",
        ));
    }
    let mut number = |given: &Option<v3::Protocol>, field: &str| {
        let found = given.as_ref()?.number();
        if found.is_none() {
            errors.push(FieldError::new(format!("{path}.{field}"), "is no protocol"));
        }
        found
    };
    let protocol = ProtocolMatch {
        is: number(&rule.protocol, "protocol"),
        is_not: number(&rule.not_protocol, "notProtocol"),
    };
    let mut messages = |given: &Option<IcmpFields>, field: &str| {
        icmp(given.as_ref()?, protocol)
            .map_err(|message| errors.push(FieldError::new(format!("{path}.{field}"), message)))
            .ok()?
    };
    let (icmp, not_icmp) = (
        messages(&rule.icmp, "icmp"),
        messages(&rule.not_icmp, "notICMP"),
    );
    let version = version(path, rule.ip_version, &mut errors);
    let at = |end: &str| format!("{path}.{end}");
    let (source_path, destination_path) = (at("source"), at("destination"));
    let source = side(
        &rule.source,
        Scope {
            path: &source_path,
            namespace,
            protocol,
        },
    );
    let destination = side(
        &rule.destination,
        Scope {
            path: &destination_path,
            namespace,
            protocol,
        },
    );
    match (source, destination) {
        (Ok((source, from)), Ok((destination, to))) if errors.is_empty() => Ok(Rule {
            action: action(rule.action),
            families: version.and(protocol_families(protocol)).and(from).and(to),
            protocol,
            icmp,
            not_icmp,
            source,
            destination,
            index: u32::try_from(index).unwrap_or(u32::MAX),
        }),
        (source, destination) => {
            errors.extend(source.err().into_iter().flatten());
            errors.extend(destination.err().into_iter().flatten());
            Err(errors)
        }
    }
}

/// The families of `ipVersion`.
fn version(path: &str, given: Option<i64>, errors: &mut Vec<FieldError>) -> Families {
    match given {
        None => Families::BOTH,
        Some(4) => Families::only(Family::V4),
        Some(6) => Families::only(Family::V6),
        Some(_) => {
            let path = format!("{path}.ipVersion");
            errors.push(FieldError::new(path, "must be 4 or 6"));
            Families::BOTH
        }
    }
}

/// The messages of a criterion; `None` when it names no type, which asks nothing.
fn icmp(given: &IcmpFields, protocol: ProtocolMatch) -> Result<Option<IcmpMatch>, &'static str> {
    if !matches!(protocol.is, Some(Protocol::ICMP | Protocol::ICMPV6)) {
        return Err("needs protocol ICMP or ICMPv6");
    }
    let Some(kind) = given.icmp_type else {
        return if given.code.is_none() {
            Ok(None)
        } else {
            Err("code needs a type")
        };
    };
    let kind = u8::try_from(kind).map_err(|_range| "type is out of range")?;
    let code = given.code.map(u8::try_from).transpose();
    let code = code.map_err(|_range| "code is out of range")?;
    Ok(Some(IcmpMatch { kind, code }))
}

fn action(action: v3::Action) -> Action {
    match action {
        v3::Action::Allow => Action::Allow,
        v3::Action::Deny => Action::Deny,
        v3::Action::Log => Action::Log,
        v3::Action::Pass => Action::Pass,
    }
}

/// `ICMP` is of IPv4, `ICMPv6` of IPv6 (§2.7).
fn protocol_families(protocol: ProtocolMatch) -> Families {
    match protocol.is {
        Some(Protocol::ICMP) => Families::only(Family::V4),
        Some(Protocol::ICMPV6) => Families::only(Family::V6),
        _ => Families::BOTH,
    }
}
