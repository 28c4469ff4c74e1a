//! Kubernetes network policies become policies of the tier `default` at order 1000 (§2.9).

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, LazyLock};

use oncilla_api::k8s::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use oncilla_api::{
    FieldError, IntOrString, LabelOperator, LabelSelector, PolicyType, TransportProtocol,
};
use oncilla_net::{IpNet, PortRange, Protocol, parse_cidr_masking};
use oncilla_selector::Selector;

use super::entity::{both, families_of, in_namespace, of_namespaces};
use super::{KUBERNETES, ORCHESTRATOR_LABEL, policy, unconditional};
use crate::{
    Action, Applies, Order, Policy, PolicyKey, Ports, Predicate, ProtocolMatch, Rule, Side,
};

/// Where Kubernetes policies stand in their tier.
pub(super) const ORDER: f64 = 1000.0;

/// The policy of a defaulted object.
pub(super) fn policy(key: PolicyKey, spec: &NetworkPolicySpec) -> Result<Policy, Vec<FieldError>> {
    let namespace = key.namespace.clone().unwrap_or_else(|| "default".into());
    let governs = |direction| spec.policy_types.contains(&direction);
    let mut errors = Vec::new();
    let ingress = spec.ingress.iter().map(|rule| (&rule.from, &rule.ports));
    let egress = spec.egress.iter().map(|rule| (&rule.to, &rule.ports));
    let ingress = governs(PolicyType::Ingress)
        .then(|| rules(&namespace, PolicyType::Ingress, ingress, &mut errors));
    let egress = governs(PolicyType::Egress)
        .then(|| rules(&namespace, PolicyType::Egress, egress, &mut errors));
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Policy {
        key,
        tier: policy::tier("default"),
        order: Order::new(Some(ORDER)),
        applies: Applies::Normal,
        selector: selects(&namespace, &spec.pod_selector),
        ingress,
        egress,
    })
}

/// Whom the policy selects.
pub(super) fn selects(namespace: &str, selected: &LabelSelector) -> Selector {
    both(vec![pods(selected), in_namespace(namespace)])
}

fn rules<'a>(
    namespace: &str,
    direction: PolicyType,
    list: impl Iterator<Item = (&'a Vec<NetworkPolicyPeer>, &'a Vec<NetworkPolicyPort>)>,
    errors: &mut Vec<FieldError>,
) -> Arc<[Rule]> {
    let (name, end) = match direction {
        PolicyType::Ingress => ("ingress", "from"),
        PolicyType::Egress => ("egress", "to"),
    };
    let home = in_namespace(namespace);
    let mut rules = Vec::new();
    for (index, (peers, ports)) in list.enumerate() {
        let path = format_args!("spec.{name}[{index}]");
        let ports = by_protocol(path, ports, errors);
        let peers = if peers.is_empty() {
            vec![Side::default()]
        } else {
            let peers = peers.iter().enumerate();
            peers
                .map(|(place, each)| {
                    let path = format_args!("{path}.{end}[{place}]");
                    peer(&home, path, each, errors)
                })
                .collect()
        };
        for (protocol, ports) in &ports {
            for peer in &peers {
                rules.push(rule(
                    direction,
                    index,
                    *protocol,
                    ports.as_ref(),
                    peer.clone(),
                ));
            }
        }
    }
    rules.into()
}

fn rule(
    direction: PolicyType,
    index: usize,
    protocol: Option<Protocol>,
    ports: Option<&NamedPorts>,
    peer: Side,
) -> Rule {
    let mut rule = unconditional(Action::Allow);
    rule.index = u32::try_from(index).unwrap_or(u32::MAX);
    rule.protocol = ProtocolMatch {
        is: protocol,
        is_not: None,
    };
    for predicate in peer.all.iter().chain(&peer.none) {
        if let Predicate::Nets { nets, .. } = predicate {
            rule.families = rule.families.and(families_of(nets));
        }
    }
    let (source, destination) = match direction {
        PolicyType::Ingress => (peer, Side::default()),
        PolicyType::Egress => (Side::default(), peer),
    };
    let selected = destination
        .all
        .iter()
        .find_map(|predicate| match predicate {
            Predicate::Selector { selector, .. } => Some(selector.clone()),
            Predicate::Nets { .. }
            | Predicate::Nodes { .. }
            | Predicate::NamedPort { .. }
            | Predicate::Listed { .. } => None,
        });
    rule.source = source;
    rule.destination = destination;
    rule.destination.ports = ports.zip(protocol).map(|(ports, protocol)| Ports {
        numbers: ports.numbers.iter().copied().collect(),
        names: ports
            .names
            .iter()
            .map(|name| Predicate::named_port(selected.clone(), name, protocol))
            .collect(),
    });
    rule
}

/// The ports of one protocol.
#[derive(Default)]
struct NamedPorts {
    numbers: Vec<PortRange>,
    names: Vec<String>,
}

/// The ports of each protocol in the order of their names; `None`: every port. No port at all: everything.
fn by_protocol(
    path: impl Display + Copy,
    ports: &[NetworkPolicyPort],
    errors: &mut Vec<FieldError>,
) -> Vec<(Option<Protocol>, Option<NamedPorts>)> {
    if ports.is_empty() {
        return vec![(None, None)];
    }
    let mut grouped: BTreeMap<&str, (Protocol, Option<NamedPorts>)> = BTreeMap::new();
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.unwrap_or_default();
        let name = match protocol {
            TransportProtocol::Sctp => "SCTP",
            TransportProtocol::Tcp => "TCP",
            TransportProtocol::Udp => "UDP",
        };
        let fresh = || (Protocol::from(protocol), Some(NamedPorts::default()));
        let (_, listed) = grouped.entry(name).or_insert_with(fresh);
        let mut refuse = |message: String| {
            errors.push(FieldError::new(format!("{path}.ports[{index}]"), message));
        };
        match (&port.port, port.end_port) {
            (None, None) => *listed = None,
            (None, Some(_)) => refuse("endPort needs a port".to_owned()),
            (Some(IntOrString::String(_)), Some(_)) => {
                refuse("endPort needs a port number, not a name".to_owned());
            }
            (Some(IntOrString::String(name)), None) => {
                if let Some(listed) = listed {
                    listed.names.push(name.clone());
                }
            }
            (Some(IntOrString::Int(first)), last) => match range(*first, last.unwrap_or(*first)) {
                Ok(range) => {
                    if let Some(listed) = listed {
                        listed.numbers.push(range);
                    }
                }
                Err(message) => refuse(message),
            },
        }
    }
    grouped
        .into_values()
        .map(|(protocol, ports)| (Some(protocol), ports))
        .collect()
}

fn range(first: i64, last: i64) -> Result<PortRange, String> {
    let number =
        |port: i64| u16::try_from(port).map_err(|_range| format!("port {port} is no port number"));
    PortRange::new(number(first)?, number(last)?).map_err(|error| error.to_string())
}

fn peer(
    home: &Selector,
    path: impl Display + Copy,
    peer: &NetworkPolicyPeer,
    errors: &mut Vec<FieldError>,
) -> Side {
    let mut side = Side::default();
    if let Some(block) = &peer.ip_block {
        let mut net = |path: fmt::Arguments<'_>, text: &str| -> Option<IpNet> {
            match parse_cidr_masking(text) {
                Ok((net, _)) => Some(net),
                Err(error) => {
                    errors.push(FieldError::new(path.to_string(), error.to_string()));
                    None
                }
            }
        };
        side.all.push(Predicate::nets(net(
            format_args!("{path}.ipBlock.cidr"),
            &block.cidr,
        )));
        let except = block.except.iter().enumerate();
        let except: Vec<IpNet> = except
            .filter_map(|(index, text)| net(format_args!("{path}.ipBlock.except[{index}]"), text))
            .collect();
        if !except.is_empty() {
            side.none.push(Predicate::nets(except));
        }
        return side;
    }
    let place = match &peer.namespace_selector {
        None => home.clone(),
        Some(selector) => of_namespaces(&labels(selector)),
    };
    let pods = pods(
        peer.pod_selector
            .as_ref()
            .unwrap_or(&LabelSelector::default()),
    );
    side.all.push(Predicate::selector(both(vec![place, pods])));
    side
}

/// Pods with these labels: never host endpoints or network sets.
pub(super) fn pods(selector: &LabelSelector) -> Selector {
    static PODS: LazyLock<Selector> =
        LazyLock::new(|| Selector::eq(ORCHESTRATOR_LABEL, KUBERNETES));
    both(vec![PODS.clone(), labels(selector)])
}

pub(super) fn labels(selector: &LabelSelector) -> Selector {
    let equal = selector
        .match_labels
        .iter()
        .map(|(name, value)| Selector::eq(name, value));
    let require = selector
        .match_expressions
        .iter()
        .map(|each| match each.operator {
            LabelOperator::In => Selector::in_set(&each.key, &each.values),
            LabelOperator::NotIn => Selector::not_in_set(&each.key, &each.values),
            LabelOperator::Exists => Selector::has(&each.key),
            LabelOperator::DoesNotExist => Selector::has(&each.key).not(),
        });
    Selector::and_all(equal.chain(require).collect())
}
