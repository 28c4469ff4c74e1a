//! Policies of the cluster in words, as their authors wrote them: for `describe` and for `why`.

use oncilla_api::npa::{
    Action, ClusterNetworkPolicy, EgressPeer, NamespacedPod, Port, Protocol, Subject, Transport,
};
use oncilla_api::{LabelSelector, PolicyType};
use oncilla_net::Direction;

use crate::get::label_selector;

/// The directions that a policy governs: those with rules.
pub(crate) fn types(policy: &ClusterNetworkPolicy) -> Vec<PolicyType> {
    let spec = &policy.spec;
    let directions = [
        (PolicyType::Ingress, spec.ingress.len()),
        (PolicyType::Egress, spec.egress.len()),
    ];
    let governed = directions.into_iter().filter(|(_, rules)| *rules > 0);
    governed.map(|(direction, _)| direction).collect()
}

/// `pods app=web of namespaces team=a`.
pub(crate) fn subject(subject: &Subject) -> String {
    who(subject.namespaces.as_ref(), subject.pods.as_ref())
}

/// How many rules a policy has for a direction.
pub(crate) fn count(policy: &ClusterNetworkPolicy, direction: Direction) -> usize {
    match direction {
        Direction::Ingress => policy.spec.ingress.len(),
        Direction::Egress => policy.spec.egress.len(),
    }
}

/// What the rule `number` of a direction does; `None` when there is none.
pub(crate) fn action(
    policy: &ClusterNetworkPolicy,
    direction: Direction,
    number: usize,
) -> Option<Action> {
    match direction {
        Direction::Ingress => policy.spec.ingress.get(number).map(|rule| rule.action),
        Direction::Egress => policy.spec.egress.get(number).map(|rule| rule.action),
    }
}

/// Which traffic the rule `number` of a direction is about; `None` when there is none.
pub(crate) fn words(
    policy: &ClusterNetworkPolicy,
    direction: Direction,
    number: usize,
) -> Option<String> {
    let (end, peers, protocols) = match direction {
        Direction::Ingress => {
            let rule = policy.spec.ingress.get(number)?;
            let peers = rule.from.iter();
            let peers = peers.map(|peer| who(peer.namespaces.as_ref(), peer.pods.as_ref()));
            ("from", peers.collect::<Vec<_>>(), &rule.protocols)
        }
        Direction::Egress => {
            let rule = policy.spec.egress.get(number)?;
            let peers = rule.to.iter().map(destination);
            ("to", peers.collect(), &rule.protocols)
        }
    };
    let mut words = format!("{end} {}", peers.join(" or "));
    if let Some(protocols) = protocols {
        let protocols: Vec<String> = protocols.iter().map(protocol).collect();
        words = format!("{words}, {}", protocols.join(" or "));
    }
    Some(words)
}

fn who(namespaces: Option<&LabelSelector>, pods: Option<&NamespacedPod>) -> String {
    let of = |selector: &LabelSelector| match label_selector(selector).as_str() {
        "<all pods>" => "all namespaces".to_owned(),
        labels => format!("namespaces {labels}"),
    };
    match (namespaces, pods) {
        (Some(namespaces), _) => format!("all pods of {}", of(namespaces)),
        (None, Some(pods)) => {
            let own = match label_selector(&pods.pod_selector).as_str() {
                "<all pods>" => "all pods".to_owned(),
                labels => format!("pods {labels}"),
            };
            format!("{own} of {}", of(&pods.namespace_selector))
        }
        (None, None) => "nobody".to_owned(),
    }
}

fn destination(peer: &EgressPeer) -> String {
    if let Some(networks) = &peer.networks {
        return networks.join(", ");
    }
    if let Some(nodes) = &peer.nodes {
        return format!(
            "nodes {}",
            label_selector(nodes).replace("<all pods>", "<all>")
        );
    }
    if let Some(names) = &peer.domain_names {
        return names.join(", ");
    }
    who(peer.namespaces.as_ref(), peer.pods.as_ref())
}

fn protocol(protocol: &Protocol) -> String {
    let transports = [
        ("tcp", &protocol.tcp),
        ("udp", &protocol.udp),
        ("sctp", &protocol.sctp),
    ];
    for (name, transport) in transports {
        if let Some(transport) = transport {
            return format!("{name}/{}", port(transport));
        }
    }
    let name = protocol.destination_named_port.as_deref();
    format!("port {}", name.unwrap_or_default())
}

fn port(transport: &Transport) -> String {
    match transport.destination_port.as_ref().and_then(Port::bounds) {
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}-{last}"),
        None => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use oncilla_api::manifest::{Limits, decode};
    use oncilla_api::npa::Action;
    use oncilla_api::{Object, PolicyType};
    use oncilla_net::Direction;

    use super::{action, count, subject, types, words};

    #[test]
    fn rules_are_told_as_written() {
        let text = "\
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: a}
spec:
  tier: Admin
  priority: 1
  subject: {pods: {namespaceSelector: {matchLabels: {team: a}}, podSelector: {}}}
  ingress:
    - action: Pass
      from:
        - namespaces: {}
        - pods: {namespaceSelector: {matchLabels: {team: b}}, podSelector: {matchLabels: {app: web}}}
      protocols:
        - tcp: {destinationPort: {number: 80}}
        - udp: {destinationPort: {range: {start: 1, end: 9}}}
        - destinationNamedPort: http
    - {action: Deny, from: [{namespaces: {matchLabels: {team: c}}}]}
  egress:
    - {action: Accept, to: [{networks: [10.0.0.0/8, 'fd00::/8']}]}
";
        let manifest = decode("a.yaml", text.as_bytes(), &Limits::default());
        assert!(!manifest.has_errors(), "{:?}", manifest.diagnostics);
        let Object::ClusterNetworkPolicy(policy) = &manifest.objects[0].object else {
            panic!("{:?}", manifest.objects);
        };
        let (ingress, egress) = (Direction::Ingress, Direction::Egress);
        assert_eq!(
            subject(&policy.spec.subject),
            "all pods of namespaces team=a"
        );
        assert_eq!(types(policy), [PolicyType::Ingress, PolicyType::Egress]);
        assert_eq!((count(policy, ingress), count(policy, egress)), (2, 1));
        assert_eq!(action(policy, ingress, 0), Some(Action::Pass));
        assert_eq!(
            words(policy, ingress, 0).unwrap(),
            "from all pods of all namespaces or pods app=web of namespaces team=b, \
             tcp/80 or udp/1-9 or port http"
        );
        assert_eq!(
            words(policy, ingress, 1).unwrap(),
            "from all pods of namespaces team=c"
        );
        assert_eq!(words(policy, egress, 0).unwrap(), "to 10.0.0.0/8, fd00::/8");
        assert_eq!(words(policy, egress, 1), None);
        assert_eq!(action(policy, egress, 1), None);
    }
}
