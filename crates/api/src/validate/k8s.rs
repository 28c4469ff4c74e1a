//! Kubernetes' checks of its network policy.

use std::fmt::Display;

use oncilla_net::{IpNet, parse_cidr_masking};

use super::v1::{PORT_RANGE, is_port};
use super::{Errors, labels};
use crate::field::{Code, FieldError};
use crate::k8s::{IpBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use crate::meta::IntOrString;
use crate::names;

/// More directions than there are.
const POLICY_TYPES_MAX: usize = 2;

pub(super) fn policy(policy: &NetworkPolicy, errors: &mut Errors) {
    let spec = &policy.spec;
    labels::check_selector("spec.podSelector", &spec.pod_selector, errors);
    for rule in rules(policy) {
        for (index, port) in rule.ports.iter().enumerate() {
            check_port(format_args!("{}.ports[{index}]", rule.path), port, errors);
        }
        for (index, peer) in rule.peers.iter().enumerate() {
            let path = format_args!("{}.{}[{index}]", rule.path, rule.peers_field);
            check_peer(path, peer, errors);
        }
    }
    errors.count(
        "spec.policyTypes",
        spec.policy_types.len(),
        POLICY_TYPES_MAX,
    );
}

/// Every `ipBlock` whose host bits the API server masks away.
pub(super) fn warnings(policy: &NetworkPolicy) -> Vec<FieldError> {
    let mut warnings = Vec::new();
    for rule in rules(policy) {
        for (index, peer) in rule.peers.iter().enumerate() {
            let Some(block) = &peer.ip_block else {
                continue;
            };
            let path = format!("{}.{}[{index}].ipBlock", rule.path, rule.peers_field);
            warnings.extend(masked(format!("{path}.cidr"), &block.cidr));
            for (index, except) in block.except.iter().enumerate() {
                warnings.extend(masked(format!("{path}.except[{index}]"), except));
            }
        }
    }
    warnings
}

pub(super) fn masked(path: String, text: &str) -> Option<FieldError> {
    let Ok((net, true)) = parse_cidr_masking(text) else {
        return None;
    };
    let message = format!("host bits are set in {text:?}: read as {net}, as the API server does");
    Some(
        FieldError::new(path, message)
            .with_code(Code::HostBitsMasked)
            .with_help(format!("write {net}")),
    )
}

/// Where a rule is, put in words only when there is a fault.
#[derive(Clone, Copy)]
struct RulePath(&'static str, usize);

impl Display for RulePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "spec.{}[{}]", self.0, self.1)
    }
}

/// One rule of either direction.
struct RuleRef<'a> {
    path: RulePath,
    ports: &'a [NetworkPolicyPort],
    peers_field: &'static str,
    peers: &'a [NetworkPolicyPeer],
}

fn rules(policy: &NetworkPolicy) -> impl Iterator<Item = RuleRef<'_>> {
    let ingress = policy.spec.ingress.iter().enumerate();
    let egress = policy.spec.egress.iter().enumerate();
    ingress
        .map(|(index, rule)| RuleRef {
            path: RulePath("ingress", index),
            ports: &rule.ports,
            peers_field: "from",
            peers: &rule.from,
        })
        .chain(egress.map(|(index, rule)| RuleRef {
            path: RulePath("egress", index),
            ports: &rule.ports,
            peers_field: "to",
            peers: &rule.to,
        }))
}

fn check_port(path: impl Display + Copy, port: &NetworkPolicyPort, errors: &mut Errors) {
    let port_path = format_args!("{path}.port");
    match &port.port {
        Some(IntOrString::Int(number)) if !is_port(*number) => {
            errors.port(port_path.to_string(), PORT_RANGE);
        }
        Some(IntOrString::String(name)) => check_port_name(port_path, name, errors),
        Some(IntOrString::Int(_)) | None => {}
    }
    let Some(end) = port.end_port else {
        return;
    };
    let end_path = || format!("{path}.endPort");
    match &port.port {
        None => errors.push(
            FieldError::new(
                end_path(),
                "may not be specified when port is not specified",
            )
            .with_help("add `port:` with the first port of the range"),
        ),
        Some(IntOrString::String(_)) => errors.push(
            FieldError::new(end_path(), "may not be specified when port is a name")
                .with_help("write the first port as a number, or remove `endPort:`"),
        ),
        Some(IntOrString::Int(_)) if !is_port(end) => errors.port(end_path(), PORT_RANGE),
        Some(IntOrString::Int(first)) if end < *first => errors.push(
            FieldError::new(
                end_path(),
                format!("must be greater than or equal to port, which is {first}"),
            )
            .with_help("swap port and endPort"),
        ),
        Some(IntOrString::Int(_)) => {}
    }
}

fn check_port_name(path: impl Display, name: &str, errors: &mut Errors) {
    if let Err(error) = names::port_name(name) {
        let fault = FieldError::new(path.to_string(), format!("port name {error}"));
        let quoted_number = name.parse::<i64>().is_ok_and(is_port);
        errors.push(if quoted_number {
            fault.with_help(format!("write {name} without quotes for the number"))
        } else {
            fault
        });
    }
}

fn check_peer(path: impl Display + Copy, peer: &NetworkPolicyPeer, errors: &mut Errors) {
    let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
    if let Some(selector) = &peer.pod_selector {
        labels::check_selector(format_args!("{path}.podSelector"), selector, errors);
    }
    if let Some(selector) = &peer.namespace_selector {
        labels::check_selector(format_args!("{path}.namespaceSelector"), selector, errors);
    }
    match &peer.ip_block {
        Some(_) if selects => errors.push(
            FieldError::new(path.to_string(), "may not specify both ipBlock and another peer")
                .with_help("make the ipBlock an item of its own"),
        ),
        Some(block) => check_block(format_args!("{path}.ipBlock"), block, errors),
        None if !selects => errors.push(
            FieldError::new(path.to_string(), "must specify a peer")
                .with_help("add `podSelector:`, `namespaceSelector:` or `ipBlock:` (`podSelector: {}` is every pod of this namespace)"),
        ),
        None => {}
    }
}

fn check_block(path: impl Display + Copy, block: &IpBlock, errors: &mut Errors) {
    let net = |text: &str| parse_cidr_masking(text).map(|(net, _)| net);
    let cidr = errors.cidr(format_args!("{path}.cidr"), net(&block.cidr));
    for (index, text) in block.except.iter().enumerate() {
        let path = format_args!("{path}.except[{index}]");
        match (errors.cidr(path, net(text)), cidr) {
            (Some(except), Some(cidr)) if !strictly_inside(&cidr, &except) => errors.push(
                FieldError::new(
                    path.to_string(),
                    format!("must be a strict subset of cidr, which is {cidr}"),
                )
                .with_help("write a smaller block inside it, or remove it"),
            ),
            (Some(_) | None, _) => {}
        }
    }
}

fn strictly_inside(outer: &IpNet, inner: &IpNet) -> bool {
    outer != inner && outer.contains(inner)
}
