//! Policies of the cluster become policies of the tiers `kube-admin` and `kube-baseline` (§2.9).

use std::sync::Arc;

use oncilla_api::npa::{
    self, ClusterNetworkPolicy, EgressPeer, IngressPeer, NamespacedPod, Tier, Transport,
};
use oncilla_api::v3::Port;
use oncilla_api::{FieldError, LabelSelector, Remains};
use oncilla_net::{PortRange, Protocol, fault, parse_cidr_masking};
use oncilla_selector::Selector;

use super::entity::{both, families_of, of_namespaces, ports};
use super::kubernetes::{labels, pods};
use super::{policy, unconditional};
use crate::{
    Action, Applies, Order, Policy, PolicyKey, Ports, Predicate, ProtocolMatch, Rule, Side,
    TierName,
};

/// The policy of a defaulted, validated object.
pub(super) fn policy(
    key: PolicyKey,
    object: &ClusterNetworkPolicy,
) -> Result<Policy, Vec<FieldError>> {
    let spec = &object.spec;
    let mut errors = Vec::new();
    let ingress = spec.ingress.iter().enumerate();
    let ingress = ingress.map(|(index, rule)| ingress_rules(index, rule));
    let ingress = collect(ingress, &mut errors);
    let egress = spec.egress.iter().enumerate();
    let egress = egress.map(|(index, rule)| egress_rules(index, rule));
    let egress = collect(egress, &mut errors);
    match selects(object) {
        Ok(selector) if errors.is_empty() => Ok(Policy {
            key,
            tier: tier(object),
            order: order(object),
            applies: Applies::Normal,
            selector,
            ingress: governed(ingress),
            egress: governed(egress),
        }),
        other => {
            errors.extend(other.err().into_iter().flatten());
            Err(errors)
        }
    }
}

/// What stands for a policy that was refused: see [`Converter::closed`](super::Converter::closed).
pub(super) fn closed(key: PolicyKey, remains: &Remains) -> Policy {
    let in_rules = |fault: &FieldError| {
        fault.path.starts_with("spec.ingress[") || fault.path.starts_with("spec.egress[")
    };
    let deny: Arc<[Rule]> = [unconditional(Action::Deny)].into();
    let is_whole = !remains.errors().iter().all(in_rules);
    let list = |name: &str, read: &dyn Fn(usize) -> Option<Vec<Rule>>| {
        let path = format!("spec.{name}");
        match remains.count(&path) {
            Some(0) => None,
            Some(_) if !is_whole => {
                let items = remains.items(&path).iter().enumerate();
                let rules = items.flat_map(|(index, item)| {
                    let action = item.get("action").and_then(|action| action.as_str());
                    read(index).unwrap_or_else(|| instead(index, action))
                });
                Some(rules.collect())
            }
            _ => Some(Arc::clone(&deny)),
        }
    };
    let subject: Option<npa::Subject> = remains.read("spec.subject");
    let selects = subject.and_then(|who| selector(who.namespaces.as_ref(), who.pods.as_ref()));
    let tier: Option<Option<Tier>> = remains.read("spec.tier");
    let priority: Option<Option<f64>> = remains.read("spec.priority");
    Policy {
        key,
        tier: policy::tier(tier.flatten().unwrap_or(Tier::Admin).built_in()),
        order: Order::new(Some(priority.flatten().unwrap_or(f64::NEG_INFINITY))),
        applies: Applies::Normal,
        selector: selects.unwrap_or_else(Selector::all),
        ingress: list("ingress", &|index| {
            ingress_rules(index, &remains.item("spec.ingress", index)?).ok()
        }),
        egress: list("egress", &|index| {
            egress_rules(index, &remains.item("spec.egress", index)?).ok()
        }),
    }
}

/// What stands for a rule that cannot be understood.
fn instead(index: usize, action: Option<&str>) -> Vec<Rule> {
    match action {
        Some("Accept") => Vec::new(),
        _ => vec![numbered(index, Action::Deny)],
    }
}

/// Whom the policy selects.
fn selects(object: &ClusterNetworkPolicy) -> Result<Selector, Vec<FieldError>> {
    let subject = &object.spec.subject;
    let selector = selector(subject.namespaces.as_ref(), subject.pods.as_ref());
    selector.ok_or_else(|| one_of("spec.subject"))
}

fn tier(object: &ClusterNetworkPolicy) -> TierName {
    let tier = match object.spec.tier {
        Some(Tier::Baseline) if !fault::is("model/baseline-is-admin") => Tier::Baseline,
        _ => Tier::Admin,
    };
    policy::tier(tier.built_in())
}

fn order(object: &ClusterNetworkPolicy) -> Order {
    if fault::is("model/priority-ignored") {
        return Order::new(Some(0.0));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "priorities beyond 1000 are a fault, and f64 keeps their order"
    )]
    Order::new(object.spec.priority.map(|priority| priority as f64))
}

fn governed(rules: Vec<Rule>) -> Option<Arc<[Rule]>> {
    (!rules.is_empty()).then(|| rules.into())
}

fn collect(
    rules: impl Iterator<Item = Result<Vec<Rule>, Vec<FieldError>>>,
    errors: &mut Vec<FieldError>,
) -> Vec<Rule> {
    let mut all = Vec::new();
    for rules in rules {
        match rules {
            Ok(rules) => all.extend(rules),
            Err(more) => errors.extend(more),
        }
    }
    all
}

fn numbered(index: usize, action: Action) -> Rule {
    Rule {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        ..unconditional(action)
    }
}

fn action(action: npa::Action) -> Action {
    match action {
        npa::Action::Accept if fault::is("model/accept-passes") => Action::Pass,
        npa::Action::Accept => Action::Allow,
        npa::Action::Deny => Action::Deny,
        npa::Action::Pass => Action::Pass,
    }
}

/// One rule for each protocol and peer.
fn ingress_rules(index: usize, rule: &npa::IngressRule) -> Result<Vec<Rule>, Vec<FieldError>> {
    let path = format!("spec.ingress[{index}]");
    let peers = rule.from.iter().enumerate();
    let peers = peers.map(|(place, peer)| source(&format!("{path}.from[{place}]"), peer));
    let peers = peers.collect::<Result<Vec<Side>, Vec<FieldError>>>();
    let matches = protocols(&path, rule.protocols.as_deref());
    let (peers, matches) = (peers?, matches?);
    let mut rules = Vec::with_capacity(peers.len() * matches.len());
    for each in &matches {
        for peer in &peers {
            rules.push(Rule {
                protocol: each.protocol,
                source: peer.clone(),
                destination: Side {
                    ports: each.of(None),
                    ..Side::default()
                },
                ..numbered(index, action(rule.action))
            });
        }
    }
    Ok(rules)
}

/// As [`ingress_rules`]; a port's name means what the peer calls so.
fn egress_rules(index: usize, rule: &npa::EgressRule) -> Result<Vec<Rule>, Vec<FieldError>> {
    let path = format!("spec.egress[{index}]");
    let peers = rule.to.iter().enumerate();
    let peers = peers.map(|(place, peer)| destination(&format!("{path}.to[{place}]"), peer));
    let peers = peers.collect::<Result<Vec<Side>, Vec<FieldError>>>();
    let matches = protocols(&path, rule.protocols.as_deref());
    let (peers, matches) = (peers?, matches?);
    let mut rules = Vec::with_capacity(peers.len() * matches.len());
    for each in &matches {
        for peer in &peers {
            let mut new = numbered(index, action(rule.action));
            new.protocol = each.protocol;
            for predicate in &peer.all {
                if let Predicate::Nets { nets, .. } = predicate {
                    new.families = new.families.and(families_of(nets));
                }
            }
            new.destination = Side {
                ports: each.of(Some(peer)),
                ..peer.clone()
            };
            rules.push(new);
        }
    }
    Ok(rules)
}

fn source(path: &str, peer: &IngressPeer) -> Result<Side, Vec<FieldError>> {
    let selector = selector(peer.namespaces.as_ref(), peer.pods.as_ref());
    selector.map(side).ok_or_else(|| one_of(path))
}

fn destination(path: &str, peer: &EgressPeer) -> Result<Side, Vec<FieldError>> {
    if peer.domain_names.is_some() {
        return Err(fault_at(path, "is not supported yet"));
    }
    let has_pods = peer.namespaces.is_some() || peer.pods.is_some();
    let selector = selector(peer.namespaces.as_ref(), peer.pods.as_ref());
    match (selector, &peer.networks, &peer.nodes) {
        (Some(selector), None, None) => Ok(side(selector)),
        (None, None, Some(nodes)) if !has_pods => Ok(Side {
            all: vec![Predicate::nodes(labels(nodes))],
            ..Side::default()
        }),
        (None, Some(networks), None) if !networks.is_empty() && !has_pods => {
            let nets = networks.iter().map(|text| {
                let net = parse_cidr_masking(text).map(|(net, _)| net);
                net.map_err(|error| fault_at(path, &error.to_string()))
            });
            let mut nets = nets.collect::<Result<Vec<_>, _>>()?;
            if fault::is("model/last-network-forgotten") && nets.len() > 1 {
                nets.pop();
            }
            Ok(Side {
                all: vec![Predicate::nets(nets)],
                ..Side::default()
            })
        }
        _ => Err(one_of(path)),
    }
}

fn side(selector: Selector) -> Side {
    Side {
        all: vec![Predicate::selector(selector)],
        ..Side::default()
    }
}

fn one_of(path: &str) -> Vec<FieldError> {
    fault_at(path, "must say in exactly one way whom it means")
}

fn fault_at(path: &str, message: &str) -> Vec<FieldError> {
    vec![FieldError::new(path, message)]
}

/// Pods by the labels of their namespace and their own; never host endpoints or network sets. `None` when
/// not exactly one of the two is given.
fn selector(namespaces: Option<&LabelSelector>, named: Option<&NamespacedPod>) -> Option<Selector> {
    let everything = LabelSelector::default();
    let (namespaces, own) = match (namespaces, named) {
        (Some(namespaces), None) => (namespaces, &everything),
        (None, Some(_)) if fault::is("model/pods-of-any-namespace") => {
            (&everything, &named?.pod_selector)
        }
        (None, Some(named)) => (&named.namespace_selector, &named.pod_selector),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Some(both(vec![of_namespaces(&labels(namespaces)), pods(own)]))
}

/// One protocol of a rule and its ports.
struct Match {
    protocol: ProtocolMatch,
    port: Option<Port>,
}

impl Match {
    /// The port criterion of the destination.
    fn of(&self, peer: Option<&Side>) -> Option<Ports> {
        let predicates = peer.into_iter().flat_map(|peer| &peer.all);
        let selector = predicates
            .into_iter()
            .find_map(|predicate| match predicate {
                Predicate::Selector { selector, .. } => Some(selector),
                Predicate::Nets { .. }
                | Predicate::Nodes { .. }
                | Predicate::NamedPort { .. }
                | Predicate::Listed { .. } => None,
            });
        let mut ports = ports(self.port.as_slice(), selector, self.protocol)?;
        if fault::is("model/port-name-of-tcp-only") {
            ports.names.truncate(1);
        }
        Some(ports)
    }
}

/// The protocols of a rule; everything when it names none.
fn protocols(path: &str, list: Option<&[npa::Protocol]>) -> Result<Vec<Match>, Vec<FieldError>> {
    let Some(list) = list else {
        return Ok(vec![Match {
            protocol: ProtocolMatch::default(),
            port: None,
        }]);
    };
    let list = list.iter().enumerate();
    list.map(|(index, each)| protocol(&format!("{path}.protocols[{index}]"), each))
        .collect()
}

fn protocol(path: &str, given: &npa::Protocol) -> Result<Match, Vec<FieldError>> {
    let transports = [
        (Protocol::TCP, &given.tcp),
        (Protocol::UDP, &given.udp),
        (Protocol::SCTP, &given.sctp),
    ];
    let mut found = Vec::new();
    for (is, transport) in transports {
        if let Some(transport) = transport {
            found.push(Match {
                protocol: ProtocolMatch {
                    is: Some(is),
                    is_not: None,
                },
                port: Some(Port::Range(range(path, transport)?)),
            });
        }
    }
    if let Some(name) = &given.destination_named_port {
        found.push(Match {
            protocol: ProtocolMatch::default(),
            port: Some(Port::Name(name.clone())),
        });
    }
    match <[Match; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(_) => Err(fault_at(path, "must name exactly one protocol")),
    }
}

fn range(path: &str, transport: &Transport) -> Result<PortRange, Vec<FieldError>> {
    let fault = |message: &str| fault_at(path, message);
    let port = transport.destination_port.as_ref();
    let (first, last) = port
        .and_then(npa::Port::bounds)
        .ok_or_else(|| fault("must name exactly one port or range"))?;
    let number = |port: i64| u16::try_from(port).ok().filter(|port| *port > 0);
    match (number(first), number(last)) {
        (Some(first), Some(last)) => {
            PortRange::new(first, last).map_err(|error| fault(&error.to_string()))
        }
        _ => Err(fault("must be between 1 and 65535")),
    }
}
