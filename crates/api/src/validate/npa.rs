//! The checks of `ClusterNetworkPolicy`.

use std::collections::BTreeSet;

use oncilla_net::parse_cidr_masking;

use super::v1::{PORT_RANGE, is_port};
use super::{Errors, k8s, labels};
use crate::field::{Code, FieldError};
use crate::meta::LabelSelector;
use crate::names;
use crate::npa::{ClusterNetworkPolicy, EgressPeer, NamespacedPod, Port, Protocol, Transport};

/// The priorities that a policy can have.
const PRIORITY_MAX: i64 = 1000;
/// Rules of one policy in one direction.
const RULES_MAX: usize = 25;
/// Peers of one rule.
const PEERS_MAX: usize = 25;
/// Protocols of one rule.
const PROTOCOLS_MAX: usize = 25;
/// Networks, or domain names, of one peer.
const NETWORKS_MAX: usize = 25;
/// A rule's name, in characters.
const RULE_NAME_CHARS_MAX: usize = 100;

pub(super) fn policy(policy: &ClusterNetworkPolicy, errors: &mut Errors) {
    let spec = &policy.spec;
    if spec.tier.is_none() {
        let error = FieldError::new("spec.tier", "\"tier\" is required");
        let error = error.with_code(Code::MissingField);
        errors.push(error.with_help("add `tier: Admin` or `tier: Baseline`"));
    }
    match spec.priority {
        None => errors.push(
            FieldError::new("spec.priority", "\"priority\" is required")
                .with_code(Code::MissingField)
                .with_help("add `priority:` with a number from 0 (first) to 1000 (last)"),
        ),
        Some(priority) if !(0..=PRIORITY_MAX).contains(&priority) => {
            errors.invalid("spec.priority", "must be between 0 and 1000");
        }
        Some(_) => {}
    }
    let subject = &spec.subject;
    check_pods(
        "spec.subject",
        (subject.namespaces.as_ref(), subject.pods.as_ref()),
        errors,
    );
    let given = [
        ("namespaces", subject.namespaces.is_some()),
        ("pods", subject.pods.is_some()),
    ];
    check_one("spec.subject", "subject", &given, errors);
    errors.count("spec.ingress", spec.ingress.len(), RULES_MAX);
    for (index, rule) in spec.ingress.iter().enumerate() {
        let path = format!("spec.ingress[{index}]");
        check_name(&path, &rule.name, errors);
        check_peer_count(&format!("{path}.from"), rule.from.len(), errors);
        for (index, peer) in rule.from.iter().enumerate() {
            let path = format!("{path}.from[{index}]");
            check_pods(
                &path,
                (peer.namespaces.as_ref(), peer.pods.as_ref()),
                errors,
            );
            let given = [
                ("namespaces", peer.namespaces.is_some()),
                ("pods", peer.pods.is_some()),
            ];
            check_one(&path, "peer", &given, errors);
        }
        check_protocols(&path, rule.protocols.as_deref(), errors);
    }
    errors.count("spec.egress", spec.egress.len(), RULES_MAX);
    for (index, rule) in spec.egress.iter().enumerate() {
        let path = format!("spec.egress[{index}]");
        check_name(&path, &rule.name, errors);
        check_peer_count(&format!("{path}.to"), rule.to.len(), errors);
        for (index, peer) in rule.to.iter().enumerate() {
            check_destination(&format!("{path}.to[{index}]"), peer, errors);
        }
        check_protocols(&path, rule.protocols.as_deref(), errors);
        let protocols = rule.protocols.as_deref().unwrap_or_default();
        check_named_ports(&path, &rule.to, protocols, errors);
    }
}

/// Every network whose host bits are masked away.
pub(super) fn warnings(policy: &ClusterNetworkPolicy) -> Vec<FieldError> {
    let mut warnings = Vec::new();
    for (rule, list) in policy.spec.egress.iter().enumerate() {
        for (peer, to) in list.to.iter().enumerate() {
            for (index, net) in to.networks.iter().flatten().enumerate() {
                let path = format!("spec.egress[{rule}].to[{peer}].networks[{index}]");
                warnings.extend(k8s::masked(path, net));
            }
        }
    }
    warnings
}

fn check_name(rule: &str, name: &str, errors: &mut Errors) {
    let over = name.chars().count().saturating_sub(RULE_NAME_CHARS_MAX);
    if over > 0 {
        let message = format!("name is too long by {over} characters");
        errors.invalid(format!("{rule}.name"), message);
    }
}

/// No peer at all would read like everybody, and mean nobody.
fn check_peer_count(path: &str, count: usize, errors: &mut Errors) {
    if count == 0 {
        errors.push(
            FieldError::new(path, "must have at least one peer")
                .with_code(Code::MissingField)
                .with_help("add a peer; `- namespaces: {}` is every pod of every namespace"),
        );
    }
    errors.count(path, count, PEERS_MAX);
}

/// Exactly one of some fields is given.
fn check_one(path: &str, what: &str, fields: &[(&str, bool)], errors: &mut Errors) {
    let names = |given: bool| -> Vec<&str> {
        let fields = fields.iter().filter(|(_, is)| !given || *is);
        fields.map(|(name, _)| *name).collect()
    };
    let given = names(true);
    match given.as_slice() {
        [_] => {}
        [] => errors.push(
            FieldError::new(path, format!("must specify a {what}"))
                .with_code(Code::MissingField)
                .with_help(format!("add one of `{}:`", names(false).join(":`, `"))),
        ),
        many => errors.push(
            FieldError::new(
                path,
                format!("may not specify {} together", many.join(" and ")),
            )
            .with_help(format!(
                "keep one of them; make the other a {what} of its own"
            )),
        ),
    }
}

type Pods<'a> = (Option<&'a LabelSelector>, Option<&'a NamespacedPod>);

fn check_pods(path: &str, (namespaces, pods): Pods<'_>, errors: &mut Errors) {
    if let Some(selector) = namespaces {
        labels::check_selector(&format!("{path}.namespaces"), selector, errors);
    }
    if let Some(pods) = pods {
        let path = format!("{path}.pods");
        labels::check_selector(
            &format!("{path}.namespaceSelector"),
            &pods.namespace_selector,
            errors,
        );
        labels::check_selector(&format!("{path}.podSelector"), &pods.pod_selector, errors);
    }
}

fn check_destination(path: &str, peer: &EgressPeer, errors: &mut Errors) {
    check_pods(path, (peer.namespaces.as_ref(), peer.pods.as_ref()), errors);
    if let Some(nodes) = &peer.nodes {
        labels::check_selector(&format!("{path}.nodes"), nodes, errors);
    }
    if let Some(networks) = &peer.networks {
        check_networks(&format!("{path}.networks"), networks, errors);
    }
    if peer.domain_names.is_some() {
        errors.push(
            FieldError::not_supported(format!("{path}.domainNames"), "a peer of domain names")
                .with_help("name the addresses in `networks:`"),
        );
    }
    let given = [
        ("namespaces", peer.namespaces.is_some()),
        ("pods", peer.pods.is_some()),
        ("nodes", peer.nodes.is_some()),
        ("networks", peer.networks.is_some()),
        ("domainNames", peer.domain_names.is_some()),
    ];
    check_one(path, "peer", &given, errors);
}

fn check_networks(path: &str, networks: &[String], errors: &mut Errors) {
    if networks.is_empty() {
        errors.push(
            FieldError::new(path, "must have at least one CIDR")
                .with_code(Code::MissingField)
                .with_help("add a CIDR, such as 10.0.0.0/8"),
        );
    }
    errors.count(path, networks.len(), NETWORKS_MAX);
    let mut seen = BTreeSet::new();
    for (index, text) in networks.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let net = errors.cidr(&path, parse_cidr_masking(text).map(|(net, _)| net));
        if net.is_some() && !seen.insert(text) {
            errors.push(
                FieldError::new(path, format!("{text} is there twice")).with_help("remove one"),
            );
        }
    }
}

fn check_protocols(rule: &str, protocols: Option<&[Protocol]>, errors: &mut Errors) {
    let Some(protocols) = protocols else {
        return;
    };
    let path = format!("{rule}.protocols");
    if protocols.is_empty() {
        errors.push(
            FieldError::new(&path, "must have at least one protocol")
                .with_code(Code::MissingField)
                .with_help("remove `protocols:` when the rule is about every protocol"),
        );
    }
    errors.count(&path, protocols.len(), PROTOCOLS_MAX);
    for (index, protocol) in protocols.iter().enumerate() {
        let path = format!("{rule}.protocols[{index}]");
        let transports = [
            ("tcp", &protocol.tcp),
            ("udp", &protocol.udp),
            ("sctp", &protocol.sctp),
        ];
        for (name, transport) in transports {
            if let Some(transport) = transport {
                check_transport(&format!("{path}.{name}"), transport, errors);
            }
        }
        if let Some(name) = &protocol.destination_named_port
            && let Err(error) = names::port_name(name)
        {
            let path = format!("{path}.destinationNamedPort");
            errors.invalid(path, format!("port name {error}"));
        }
        let given = [
            ("tcp", protocol.tcp.is_some()),
            ("udp", protocol.udp.is_some()),
            ("sctp", protocol.sctp.is_some()),
            (
                "destinationNamedPort",
                protocol.destination_named_port.is_some(),
            ),
        ];
        check_one(&path, "protocol", &given, errors);
    }
}

fn check_transport(path: &str, transport: &Transport, errors: &mut Errors) {
    let Some(port) = &transport.destination_port else {
        errors.push(
            FieldError::new(path, "must specify a destinationPort")
                .with_code(Code::MissingField)
                .with_help(
                    "add `destinationPort:` (`range: {start: 1, end: 65535}` is every port)",
                ),
        );
        return;
    };
    check_port(&format!("{path}.destinationPort"), port, errors);
}

fn check_port(path: &str, port: &Port, errors: &mut Errors) {
    if let Some(number) = port.number
        && !is_port(number)
    {
        errors.invalid(format!("{path}.number"), PORT_RANGE);
    }
    if let Some(range) = &port.range {
        let ends = [("start", range.start), ("end", range.end)];
        for (name, number) in ends {
            if !is_port(number) {
                errors.invalid(format!("{path}.range.{name}"), PORT_RANGE);
            }
        }
        if ends.iter().all(|(_, number)| is_port(*number)) && range.start >= range.end {
            let message = format!("must be greater than start, which is {}", range.start);
            let fault = FieldError::new(format!("{path}.range.end"), message);
            errors.push(if range.start == range.end {
                fault.with_help(format!("write `number: {}` for one port", range.start))
            } else {
                fault.with_help("swap start and end")
            });
        }
    }
    let given = [
        ("number", port.number.is_some()),
        ("range", port.range.is_some()),
    ];
    check_one(path, "port", &given, errors);
}

/// Only pods name their ports.
fn check_named_ports(
    rule: &str,
    peers: &[EgressPeer],
    protocols: &[Protocol],
    errors: &mut Errors,
) {
    let nameless = peers
        .iter()
        .any(|peer| peer.networks.is_some() || peer.nodes.is_some() || peer.domain_names.is_some());
    let named = protocols
        .iter()
        .position(|protocol| protocol.destination_named_port.is_some());
    if let Some(index) = named.filter(|_| nameless) {
        let path = format!("{rule}.protocols[{index}].destinationNamedPort");
        errors.push(
            FieldError::new(
                path,
                "may not be specified beside a peer of networks, nodes or domainNames",
            )
            .pointing_at_key()
            .with_help("only pods name their ports: make two rules, or write the number"),
        );
    }
}
