//! Policies of the cluster, in both tiers, with every field that is supported.

use oncilla_api::npa::{
    Action, ClusterNetworkPolicy, ClusterNetworkPolicySpec, EgressPeer, EgressRule, IngressPeer,
    IngressRule, NamespacedPod, Port, PortRange, Protocol, Subject, Tier, Transport,
};
use oncilla_api::{LabelSelector, Object, ObjectMeta};

use super::endpoints::PORT_NAMES;
use super::selectors::{self, LABELS, NAMESPACE_LABELS, NODE_LABELS};
use super::traffic::{NETS_V4, NETS_V6, PORTS};
use crate::rng::Rng;

/// Few priorities, so that names break ties as well.
const PRIORITIES: [i64; 4] = [0, 7, 7, 1000];

/// A policy of either tier.
pub(super) fn policy(rng: &mut Rng, name: String) -> Object {
    let metadata = ObjectMeta {
        name,
        ..ObjectMeta::default()
    };
    let (namespaces, pods) = who(rng);
    let spec = ClusterNetworkPolicySpec {
        tier: Some(*rng.pick(&[Tier::Admin, Tier::Baseline])),
        priority: Some(*rng.pick(&PRIORITIES)),
        subject: Subject { namespaces, pods },
        ingress: (0..rng.below(4)).map(|_| ingress(rng)).collect(),
        egress: (0..rng.below(4)).map(|_| egress(rng)).collect(),
    };
    let policy = ClusterNetworkPolicy {
        metadata,
        spec,
        status: None,
    };
    policy.into()
}

fn action(rng: &mut Rng) -> Action {
    *rng.pick(&[
        Action::Accept,
        Action::Accept,
        Action::Deny,
        Action::Pass,
        Action::Pass,
    ])
}

/// All pods of some namespaces, or some of their pods.
fn who(rng: &mut Rng) -> (Option<LabelSelector>, Option<NamespacedPod>) {
    let namespaces = selectors::kubernetes(rng, &NAMESPACE_LABELS);
    if rng.chance(1, 2) {
        return (Some(namespaces), None);
    }
    let pods = NamespacedPod {
        namespace_selector: namespaces,
        pod_selector: selectors::kubernetes(rng, &LABELS),
    };
    (None, Some(pods))
}

fn ingress(rng: &mut Rng) -> IngressRule {
    IngressRule {
        name: String::new(),
        action: action(rng),
        from: (0..rng.between(1, 2))
            .map(|_| {
                let (namespaces, pods) = who(rng);
                IngressPeer { namespaces, pods }
            })
            .collect(),
        protocols: protocols(rng, true),
    }
}

fn egress(rng: &mut Rng) -> EgressRule {
    let action = action(rng);
    let to: Vec<EgressPeer> = (0..rng.between(1, 2)).map(|_| destination(rng)).collect();
    // Only pods name their ports.
    let may_name = to
        .iter()
        .all(|peer| peer.networks.is_none() && peer.nodes.is_none());
    EgressRule {
        name: "a rule".to_owned(),
        action,
        to,
        protocols: protocols(rng, may_name),
    }
}

fn destination(rng: &mut Rng) -> EgressPeer {
    if rng.chance(2, 3) {
        let (namespaces, pods) = who(rng);
        return EgressPeer {
            namespaces,
            pods,
            ..EgressPeer::default()
        };
    }
    if rng.chance(1, 2) {
        return EgressPeer {
            nodes: Some(selectors::kubernetes(rng, &NODE_LABELS)),
            ..EgressPeer::default()
        };
    }
    let mut networks = Vec::new();
    for pool in [&NETS_V4, &NETS_V6] {
        if rng.chance(2, 3) {
            networks.push((*rng.pick(pool)).to_owned());
        }
    }
    if networks.is_empty() {
        networks.push((*rng.pick(&NETS_V4)).to_owned());
    }
    EgressPeer {
        networks: Some(networks),
        ..EgressPeer::default()
    }
}

fn protocols(rng: &mut Rng, may_name: bool) -> Option<Vec<Protocol>> {
    let count = rng.below(3);
    let list: Vec<Protocol> = (0..count).map(|_| protocol(rng, may_name)).collect();
    (!list.is_empty()).then_some(list)
}

fn protocol(rng: &mut Rng, may_name: bool) -> Protocol {
    let mut protocol = Protocol::default();
    if may_name && rng.chance(1, 4) {
        protocol.destination_named_port = Some((*rng.pick(&PORT_NAMES)).to_owned());
        return protocol;
    }
    let first = i64::from(*rng.pick(&PORTS));
    let length = i64::from(*rng.pick(&[0, 0, 3, 63, 64, 900_u16]));
    let port = if length == 0 {
        Port {
            number: Some(first),
            range: None,
        }
    } else {
        let (start, end) = (first, first + length);
        Port {
            number: None,
            range: Some(PortRange { start, end }),
        }
    };
    let transport = Some(Transport {
        destination_port: Some(port),
    });
    match rng.below(4) {
        0 | 1 => protocol.tcp = transport,
        2 => protocol.udp = transport,
        _ => protocol.sctp = transport,
    }
    protocol
}
