//! One rule in a few words, as its author wrote it.

use oncilla_api::v3::{EntityRule, IcmpFields, Port, ServiceAccountMatch};
use oncilla_api::{IntOrString, LabelOperator, LabelSelector, Object, k8s, v3};
use oncilla_net::Direction;

use crate::cluster_policy;

/// The rule `number` of a policy's list for a direction, in words; `None` when there is none.
pub(crate) fn words(policy: &Object, direction: Direction, number: usize) -> Option<String> {
    match policy {
        Object::NetworkPolicy(policy) => {
            let spec = &policy.spec;
            calico(pick(direction, &spec.ingress, &spec.egress).get(number)?)
        }
        Object::GlobalNetworkPolicy(policy) => {
            let spec = &policy.spec;
            calico(pick(direction, &spec.ingress, &spec.egress).get(number)?)
        }
        Object::KubernetesNetworkPolicy(policy) => match direction {
            Direction::Ingress => {
                let rule = policy.spec.ingress.get(number)?;
                kubernetes("from", &rule.from, &rule.ports)
            }
            Direction::Egress => {
                let rule = policy.spec.egress.get(number)?;
                kubernetes("to", &rule.to, &rule.ports)
            }
        },
        Object::ClusterNetworkPolicy(policy) => {
            return cluster_policy::words(policy, direction, number);
        }
        staged => return words(&staged.promoted()?.1, direction, number),
    }
    .into()
}

/// How many rules a policy has for a direction.
pub(crate) fn count(policy: &Object, direction: Direction) -> usize {
    match (policy, direction) {
        (Object::NetworkPolicy(policy), Direction::Ingress) => policy.spec.ingress.len(),
        (Object::NetworkPolicy(policy), Direction::Egress) => policy.spec.egress.len(),
        (Object::GlobalNetworkPolicy(policy), Direction::Ingress) => policy.spec.ingress.len(),
        (Object::GlobalNetworkPolicy(policy), Direction::Egress) => policy.spec.egress.len(),
        (Object::KubernetesNetworkPolicy(policy), Direction::Ingress) => policy.spec.ingress.len(),
        (Object::KubernetesNetworkPolicy(policy), Direction::Egress) => policy.spec.egress.len(),
        (Object::ClusterNetworkPolicy(policy), _) => cluster_policy::count(policy, direction),
        (staged, _) => {
            let promoted = staged.promoted();
            promoted.map_or(0, |(_, policy)| count(&policy, direction))
        }
    }
}

/// Whether two versions of a policy have the same rule at a place.
pub(crate) fn is_same(one: &Object, other: &Object, direction: Direction, number: usize) -> bool {
    fn at<T: PartialEq>(one: &[T], other: &[T], number: usize) -> bool {
        one.get(number)
            .is_some_and(|rule| other.get(number) == Some(rule))
    }
    match (one, other) {
        (Object::NetworkPolicy(one), Object::NetworkPolicy(other)) => {
            let (one, other) = (&one.spec, &other.spec);
            let rules = pick(direction, &one.ingress, &one.egress);
            at(
                rules,
                pick(direction, &other.ingress, &other.egress),
                number,
            )
        }
        (Object::GlobalNetworkPolicy(one), Object::GlobalNetworkPolicy(other)) => {
            let (one, other) = (&one.spec, &other.spec);
            let rules = pick(direction, &one.ingress, &one.egress);
            at(
                rules,
                pick(direction, &other.ingress, &other.egress),
                number,
            )
        }
        (Object::KubernetesNetworkPolicy(one), Object::KubernetesNetworkPolicy(other)) => {
            let (one, other) = (&one.spec, &other.spec);
            match direction {
                Direction::Ingress => at(&one.ingress, &other.ingress, number),
                Direction::Egress => at(&one.egress, &other.egress, number),
            }
        }
        (Object::ClusterNetworkPolicy(one), Object::ClusterNetworkPolicy(other)) => {
            let (one, other) = (&one.spec, &other.spec);
            match direction {
                Direction::Ingress => at(&one.ingress, &other.ingress, number),
                Direction::Egress => at(&one.egress, &other.egress, number),
            }
        }
        (one, other) => match (one.promoted(), other.promoted()) {
            (Some((_, one)), Some((_, other))) => is_same(&one, &other, direction, number),
            _ => false,
        },
    }
}

fn pick<'a>(
    direction: Direction,
    ingress: &'a [v3::Rule],
    egress: &'a [v3::Rule],
) -> &'a [v3::Rule] {
    match direction {
        Direction::Ingress => ingress,
        Direction::Egress => egress,
    }
}

fn calico(rule: &v3::Rule) -> String {
    let mut parts = Vec::new();
    if let Some(version) = rule.ip_version {
        parts.push(format!("IPv{version}"));
    }
    if let Some(protocol) = &rule.protocol {
        parts.push(protocol.to_string());
    }
    if let Some(protocol) = &rule.not_protocol {
        parts.push(format!("not {protocol}"));
    }
    parts.extend(rule.icmp.and_then(messages));
    let others = rule.not_icmp.and_then(messages);
    parts.extend(others.map(|messages| format!("not {messages}")));
    for (name, end) in [("source", &rule.source), ("destination", &rule.destination)] {
        let conditions = conditions(end);
        if !conditions.is_empty() {
            parts.push(format!("{name} {}", conditions.join(" and ")));
        }
    }
    everything_if_empty(&parts, ", ")
}

fn messages(icmp: IcmpFields) -> Option<String> {
    let kind = icmp.icmp_type?;
    Some(match icmp.code {
        Some(code) => format!("type {kind} code {code}"),
        None => format!("type {kind}"),
    })
}

fn conditions(end: &EntityRule) -> Vec<String> {
    let mut parts = Vec::new();
    if !end.selector.is_empty() {
        parts.push(end.selector.clone());
    }
    if !end.not_selector.is_empty() {
        parts.push(format!("not ({})", end.not_selector));
    }
    if !end.namespace_selector.is_empty() {
        parts.push(format!("in namespaces {}", end.namespace_selector));
    }
    if let Some(services) = &end.services {
        let namespace = match services.namespace.as_str() {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        parts.push(format!("service {namespace}{}", services.name));
    }
    if let Some(accounts) = &end.service_accounts {
        parts.extend(service_accounts(accounts));
    }
    let lists = [("in", &end.nets), ("not in", &end.not_nets)];
    for (word, nets) in lists.into_iter().filter(|(_, nets)| !nets.is_empty()) {
        parts.push(format!("{word} {}", nets.join(", ")));
    }
    let ports = [("port", &end.ports), ("not port", &end.not_ports)];
    for (word, ports) in ports.into_iter().filter(|(_, ports)| !ports.is_empty()) {
        let ports: Vec<String> = ports.iter().map(Port::to_string).collect();
        parts.push(format!("{word} {}", ports.join(", ")));
    }
    parts
}

fn service_accounts(accounts: &ServiceAccountMatch) -> Vec<String> {
    let mut parts = Vec::new();
    if !accounts.names.is_empty() {
        parts.push(format!("service account {}", accounts.names.join(" or ")));
    }
    if !accounts.selector.is_empty() {
        parts.push(format!("service accounts {}", accounts.selector));
    }
    parts
}

fn kubernetes(
    word: &str,
    peers: &[k8s::NetworkPolicyPeer],
    ports: &[k8s::NetworkPolicyPort],
) -> String {
    let mut parts = Vec::new();
    if !peers.is_empty() {
        let peers: Vec<String> = peers.iter().map(peer).collect();
        parts.push(format!("{word} {}", peers.join(" or ")));
    }
    if !ports.is_empty() {
        let ports: Vec<String> = ports.iter().map(port).collect();
        parts.push(ports.join(" or "));
    }
    everything_if_empty(&parts, ", ")
}

fn peer(peer: &k8s::NetworkPolicyPeer) -> String {
    if let Some(block) = &peer.ip_block {
        let except = match block.except.as_slice() {
            [] => String::new(),
            nets => format!(" except {}", nets.join(", ")),
        };
        return format!("{}{except}", block.cidr);
    }
    let pods = match &peer.pod_selector {
        Some(selector) => labels(selector, "pods"),
        None => "all pods".to_owned(),
    };
    match &peer.namespace_selector {
        Some(selector) => format!("{pods} in {}", labels(selector, "namespaces")),
        None => pods,
    }
}

fn labels(selector: &LabelSelector, noun: &str) -> String {
    let equal = selector.match_labels.iter();
    let mut parts: Vec<String> = equal
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for requirement in &selector.match_expressions {
        let (key, values) = (&requirement.key, requirement.values.join(", "));
        parts.push(match requirement.operator {
            LabelOperator::In => format!("{key} in ({values})"),
            LabelOperator::NotIn => format!("{key} not in ({values})"),
            LabelOperator::Exists => key.clone(),
            LabelOperator::DoesNotExist => format!("!{key}"),
        });
    }
    if parts.is_empty() {
        format!("all {noun}")
    } else {
        format!("{noun} {}", parts.join(","))
    }
}

fn port(port: &k8s::NetworkPolicyPort) -> String {
    let protocol = oncilla_net::Protocol::from(port.protocol.unwrap_or_default());
    let first = match &port.port {
        None => return protocol.to_string(),
        Some(IntOrString::Int(number)) => number.to_string(),
        Some(IntOrString::String(name)) => name.clone(),
    };
    match port.end_port {
        Some(last) => format!("{protocol}/{first}-{last}"),
        None => format!("{protocol}/{first}"),
    }
}

fn everything_if_empty(parts: &[String], between: &str) -> String {
    if parts.is_empty() {
        "everything".to_owned()
    } else {
        parts.join(between)
    }
}

#[cfg(test)]
mod tests {
    use oncilla_api::manifest::{Limits, decode};
    use oncilla_net::Direction;

    use super::{count, words};

    #[test]
    fn rules_are_told_as_written() {
        let text = "\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: a, namespace: x}
spec:
  types: [Ingress, Egress]
  ingress:
    - {action: Deny, source: {selector: app == 'frontend'}}
    - action: Allow
      protocol: TCP
      source: {namespaceSelector: all(), notNets: [10.0.0.0/8], serviceAccounts: {names: [a, b], selector: has(x)}}
      destination: {ports: [80, '8000:8080', web], notPorts: [81]}
    - {action: Pass}
    - {action: Deny, protocol: ICMP, icmp: {type: 8}, notICMP: {type: 8, code: 1}}
  egress:
    - {action: Allow, ipVersion: 6, notProtocol: UDP, destination: {nets: ['fd00::/8'], notSelector: has(y)}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: k, namespace: x}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [a, b]}]}
          namespaceSelector: {}
        - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
      ports: [{port: 80}, {port: dns, protocol: UDP}, {protocol: SCTP}, {port: 1, endPort: 9}]
  egress: [{}]
";
        let manifest = decode("a.yaml", text.as_bytes(), &Limits::default());
        assert!(!manifest.has_errors(), "{:?}", manifest.diagnostics);
        let (calico, kubernetes) = (&manifest.objects[0].object, &manifest.objects[1].object);
        let said = |policy, direction, number| words(policy, direction, number).unwrap();
        let (ingress, egress) = (Direction::Ingress, Direction::Egress);
        assert_eq!(said(calico, ingress, 0), "source app == 'frontend'");
        assert_eq!(
            said(calico, ingress, 1),
            "TCP, source in namespaces all() and service account a or b and service accounts has(x) \
             and not in 10.0.0.0/8, destination port 80, 8000:8080, web and not port 81"
        );
        assert_eq!(said(calico, ingress, 2), "everything");
        assert_eq!(said(calico, ingress, 3), "ICMP, type 8, not type 8 code 1");
        assert_eq!(
            said(calico, egress, 0),
            "IPv6, not UDP, destination not (has(y)) and in fd00::/8"
        );
        assert_eq!(
            said(kubernetes, ingress, 0),
            "from pods app=web,tier in (a, b) in all namespaces or 10.0.0.0/8 except 10.1.0.0/16, \
             tcp/80 or udp/dns or sctp or tcp/1-9"
        );
        assert_eq!(said(kubernetes, egress, 0), "everything");
        assert_eq!(words(kubernetes, egress, 1), None);
        assert_eq!((count(calico, ingress), count(kubernetes, egress)), (4, 1));
    }
}
