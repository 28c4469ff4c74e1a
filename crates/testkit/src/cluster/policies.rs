//! Policies of namespaces and of Calico, with every field that is supported.

use oncilla_api::k8s::{
    self, EgressRule, IngressRule, IpBlock, NetworkPolicyPeer, NetworkPolicyPort,
};
use oncilla_api::v1::Rest;
use oncilla_api::v3::{GlobalNetworkPolicy, NetworkPolicy};
use oncilla_api::{IntOrString, Kind, Object, PolicyType, TransportProtocol};

use super::endpoints::PORT_NAMES;
use super::rules::{rules, single};
use super::selectors::{self, LABELS, NAMESPACE_LABELS};
use super::traffic::PORTS;
use super::{Edit, NAMESPACES, POLICIES, RandomCluster, TIERS, npa};
use crate::rng::Rng;

/// Orders of policies; equal ones are told apart by name.
const ORDERS: [Option<f64>; 5] = [None, Some(-5.0), Some(10.0), Some(10.0), Some(1000.0)];
const TYPES: [&[PolicyType]; 4] = [
    &[],
    &[PolicyType::Ingress],
    &[PolicyType::Egress],
    &[PolicyType::Ingress, PolicyType::Egress],
];

impl RandomCluster {
    pub(super) fn new_policy(&mut self) -> Object {
        let name = format!("policy-{}", self.number());
        let has_hosts = self.has_hosts;
        let rng = &mut self.rng;
        match rng.below(10) {
            _ if has_hosts && rng.chance(1, 2) => of_single_rules(rng, name),
            0..=3 => global(rng, name),
            4 | 5 => namespaced(rng, name),
            6 | 7 => kubernetes(rng, name),
            _ => npa::policy(rng, name),
        }
    }

    /// A staged policy: beside an enforced one of its name now and then, or in its place if it were set.
    pub(super) fn new_staged(&mut self) -> Object {
        let enforced = self.keys(&[
            Kind::GlobalNetworkPolicy,
            Kind::NetworkPolicy,
            Kind::KubernetesNetworkPolicy,
        ]);
        let number = self.number();
        let rng = &mut self.rng;
        let of_another = (rng.chance(1, 2) && !enforced.is_empty()).then(|| rng.pick(&enforced));
        let name = match of_another {
            Some(key) => key.name.clone(),
            None => format!("staged-{number}"),
        };
        let kind = of_another.map_or_else(|| rng.pick(&STAGED).1, |key| key.kind);
        let mut object = match kind {
            Kind::GlobalNetworkPolicy => global(rng, name),
            Kind::NetworkPolicy => namespaced(rng, name),
            _ => kubernetes(rng, name),
        };
        if let Some(namespace) = of_another.and_then(|key| key.namespace.clone()) {
            object.metadata_mut().namespace = Some(namespace);
        }
        staged(rng, &object)
    }

    pub(super) fn rewrite_policy(&mut self) -> Edit {
        let keys = self.keys(&POLICIES);
        let key = self.rng.pick(&keys).clone();
        if let Some(Object::KubernetesNetworkPolicy(policy)) = self.objects.get(&key)
            && self.rng.chance(1, 2)
        {
            // One rule more or less: what changes is allowed by one bank.
            let mut policy = policy.clone();
            if policy.spec.ingress.pop().is_none() || self.rng.chance(1, 2) {
                policy.spec.ingress.push(IngressRule {
                    ports: kubernetes_ports(&mut self.rng),
                    from: peers(&mut self.rng),
                });
            }
            return self.put(policy.into());
        }
        let rng = &mut self.rng;
        let mut object = match key.kind {
            Kind::GlobalNetworkPolicy => global(rng, key.name),
            Kind::NetworkPolicy => namespaced(rng, key.name),
            Kind::ClusterNetworkPolicy => npa::policy(rng, key.name),
            _ => kubernetes(rng, key.name),
        };
        if key.namespace.is_some() {
            object.metadata_mut().namespace = key.namespace;
        }
        self.put(object)
    }
}

fn tier(rng: &mut Rng) -> String {
    match rng.below(9) {
        0 | 1 => String::new(),
        2 => "default".to_owned(),
        3 => "kube-admin".to_owned(),
        4 => "kube-baseline".to_owned(),
        _ => (*rng.pick(&TIERS)).to_owned(),
    }
}

fn global(rng: &mut Rng, name: String) -> Object {
    let mut policy = GlobalNetworkPolicy::default();
    policy.metadata.name = name;
    let spec = &mut policy.spec;
    spec.tier = tier(rng);
    spec.order = *rng.pick(&ORDERS);
    spec.types = rng.pick(&TYPES).to_vec();
    spec.selector = selector_or_none(rng);
    if rng.chance(1, 5) {
        spec.namespace_selector = selectors::namespaces(rng);
    }
    if rng.chance(1, 8) {
        spec.service_account_selector = selectors::accounts(rng);
    }
    spec.ingress = rules(rng, PolicyType::Ingress, false);
    spec.egress = rules(rng, PolicyType::Egress, false);
    policy.into()
}

/// A policy of rules with one criterion each, for hosts too: every one of them decides in every chain.
fn of_single_rules(rng: &mut Rng, name: String) -> Object {
    let mut policy = GlobalNetworkPolicy::default();
    policy.metadata.name = name;
    let spec = &mut policy.spec;
    spec.tier = tier(rng);
    spec.order = *rng.pick(&ORDERS);
    match rng.below(6) {
        0 => spec.selector = selectors::endpoints(rng),
        1 => spec.service_account_selector = selectors::accounts(rng),
        _ => {}
    }
    for (direction, rules) in [
        (PolicyType::Ingress, &mut spec.ingress),
        (PolicyType::Egress, &mut spec.egress),
    ] {
        let count = rng.between(1, 5);
        rules.extend((0..count).map(|_| single(rng, direction, false)));
    }
    policy.into()
}

fn namespaced(rng: &mut Rng, name: String) -> Object {
    let mut policy = NetworkPolicy::default();
    policy.metadata.name = name;
    policy.metadata.namespace = Some((*rng.pick(&NAMESPACES)).to_owned());
    let spec = &mut policy.spec;
    spec.tier = tier(rng);
    spec.order = *rng.pick(&ORDERS);
    spec.types = rng.pick(&TYPES).to_vec();
    spec.selector = selector_or_none(rng);
    if rng.chance(1, 8) {
        spec.service_account_selector = selectors::accounts(rng);
    }
    spec.ingress = rules(rng, PolicyType::Ingress, true);
    spec.egress = rules(rng, PolicyType::Egress, true);
    policy.into()
}

fn selector_or_none(rng: &mut Rng) -> String {
    if rng.chance(1, 4) {
        String::new()
    } else {
        selectors::endpoints(rng)
    }
}

/// The staged kinds, each with the kind that it stands for.
const STAGED: [(Kind, Kind); 3] = [
    (Kind::StagedGlobalNetworkPolicy, Kind::GlobalNetworkPolicy),
    (Kind::StagedNetworkPolicy, Kind::NetworkPolicy),
    (
        Kind::StagedKubernetesNetworkPolicy,
        Kind::KubernetesNetworkPolicy,
    ),
];

/// A policy as one that is only staged.
fn staged(rng: &mut Rng, enforced: &Object) -> Object {
    let kinds = STAGED.iter().find(|(_, of)| *of == enforced.kind());
    let (kind, _) = kinds.expect("a kind that can be staged");
    let action = *rng.pick(&["Set", "Set", "Set", "Delete", "Learn", "Ignore"]);
    let mut value = enforced.to_value();
    value["apiVersion"] = kind.api_version().into();
    value["kind"] = kind.kind_name().into();
    if action == "Delete" {
        // A deletion says nothing else.
        value["spec"] = Rest::new().into();
    }
    value["spec"]["stagedAction"] = action.into();
    let read = Object::decode(*kind, value);
    read.unwrap_or_else(|errors| panic!("a policy can be staged: {errors:?}"))
}

fn kubernetes(rng: &mut Rng, name: String) -> Object {
    let mut policy = k8s::NetworkPolicy::default();
    policy.metadata.name = name;
    // More of those that have services.
    let namespaces = if rng.chance(1, 2) {
        &NAMESPACES[..2]
    } else {
        &NAMESPACES[..]
    };
    policy.metadata.namespace = Some((*rng.pick(namespaces)).to_owned());
    let spec = &mut policy.spec;
    spec.pod_selector = selectors::kubernetes(rng, &LABELS);
    spec.policy_types = rng.pick(&TYPES).to_vec();
    for _ in 0..rng.below(3) {
        spec.ingress.push(IngressRule {
            ports: kubernetes_ports(rng),
            from: peers(rng),
        });
    }
    for _ in 0..rng.below(3) {
        spec.egress.push(EgressRule {
            ports: kubernetes_ports(rng),
            to: peers(rng),
        });
    }
    policy.into()
}

fn kubernetes_ports(rng: &mut Rng) -> Vec<NetworkPolicyPort> {
    let count = rng.below(3);
    (0..count)
        .map(|_| {
            let first = i64::from(*rng.pick(&PORTS));
            let port = match rng.below(4) {
                0 => None,
                1 => Some(IntOrString::String((*rng.pick(&PORT_NAMES)).to_owned())),
                _ => Some(IntOrString::Int(first)),
            };
            let is_number = matches!(port, Some(IntOrString::Int(_)));
            let end = first + i64::from(*rng.pick(&[0, 3, 63, 64, 900_u16]));
            NetworkPolicyPort {
                protocol: *rng.pick(&[
                    None,
                    Some(TransportProtocol::Tcp),
                    Some(TransportProtocol::Udp),
                    Some(TransportProtocol::Sctp),
                ]),
                port,
                end_port: (is_number && rng.chance(1, 3)).then_some(end),
            }
        })
        .collect()
}

fn peers(rng: &mut Rng) -> Vec<NetworkPolicyPeer> {
    let count = rng.below(3);
    (0..count)
        .map(|_| {
            let mut peer = NetworkPolicyPeer::default();
            match rng.below(6) {
                0 | 1 => peer.pod_selector = Some(selectors::kubernetes(rng, &LABELS)),
                2 => {
                    peer.namespace_selector = Some(selectors::kubernetes(rng, &NAMESPACE_LABELS));
                }
                3 => {
                    peer.pod_selector = Some(selectors::kubernetes(rng, &LABELS));
                    peer.namespace_selector = Some(selectors::kubernetes(rng, &NAMESPACE_LABELS));
                }
                family => peer.ip_block = Some(block(family == 4)),
            }
            peer
        })
        .collect()
}

fn block(is_v4: bool) -> IpBlock {
    let (cidr, except) = if is_v4 {
        ("10.65.0.0/16", "10.65.2.0/23")
    } else {
        ("fd00:65::/32", "fd00:65:0:2::/63")
    };
    IpBlock {
        cidr: cidr.to_owned(),
        except: vec![except.to_owned()],
    }
}
