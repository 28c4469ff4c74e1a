//! Policies of namespaces and of Calico, with every field that is supported.

use oncilla_api::k8s::{
    self, EgressRule, IngressRule, IpBlock, NetworkPolicyPeer, NetworkPolicyPort,
};
use oncilla_api::v3::{
    Action, EntityRule, GlobalNetworkPolicy, IcmpFields, NetworkPolicy, Port, Protocol, Rule,
    ServiceAccountMatch,
};
use oncilla_api::{IntOrString, Object, PolicyType, TransportProtocol};
use oncilla_net::{Family, PortRange};

use super::endpoints::{ACCOUNTS, PORT_NAMES};
use super::selectors::{self, LABELS, NAMESPACE_LABELS};
use super::traffic::{CODES, MESSAGES, MESSAGES_V6, NETS_V4, NETS_V6, OTHERS, PORTS, SOURCE_PORTS};
use super::{Edit, NAMESPACES, POLICIES, RandomCluster, TIERS, listed, npa};
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
        let rng = &mut self.rng;
        match rng.below(10) {
            0..=3 => global(rng, name),
            4 | 5 => namespaced(rng, name),
            6 | 7 => kubernetes(rng, name),
            _ => npa::policy(rng, name),
        }
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
            oncilla_api::Kind::GlobalNetworkPolicy => global(rng, key.name),
            oncilla_api::Kind::NetworkPolicy => namespaced(rng, key.name),
            oncilla_api::Kind::ClusterNetworkPolicy => npa::policy(rng, key.name),
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

fn rules(rng: &mut Rng, direction: PolicyType, has_namespace: bool) -> Vec<Rule> {
    if rng.chance(1, 3) {
        let count = rng.below(5);
        return (0..count).map(|_| simple(rng, direction)).collect();
    }
    let count = rng.below(4);
    let mut rules: Vec<Rule> = (0..count).map(|_| rule(rng)).collect();
    if rng.chance(1, 4) {
        rules.push(listed::rule(rng, direction, has_namespace));
    }
    if rng.chance(2, 5) {
        rules.push(bare(*rng.pick(&[
            Action::Allow,
            Action::Allow,
            Action::Pass,
            Action::Deny,
        ])));
    }
    rules
}

pub(super) fn bare(action: Action) -> Rule {
    Rule {
        action,
        ip_version: None,
        protocol: None,
        not_protocol: None,
        icmp: None,
        not_icmp: None,
        source: EntityRule::default(),
        destination: EntityRule::default(),
        http: None,
        metadata: None,
    }
}

/// A rule that asks for the peer or for the port, seldom both: many of them overlap in part.
fn simple(rng: &mut Rng, direction: PolicyType) -> Rule {
    let mut rule = bare(*rng.pick(&[Action::Allow, Action::Deny, Action::Pass]));
    let what = rng.below(5);
    if what < 3 {
        let peer = match direction {
            PolicyType::Ingress => &mut rule.source,
            PolicyType::Egress => &mut rule.destination,
        };
        if rng.chance(1, 4) {
            let pool = if what == 0 { &NETS_V4 } else { &NETS_V6 };
            peer.nets = vec![(*rng.pick(pool)).to_owned()];
        } else {
            peer.selector = selectors::endpoints(rng);
        }
    }
    if what > 1 {
        let name = *rng.pick(&["TCP", "TCP", "UDP"]);
        rule.protocol = Some(Protocol::Name(name.to_owned()));
        if rng.chance(2, 3) {
            let single = PortRange::single(*rng.pick(&PORTS));
            rule.destination.ports = vec![Port::Range(single)];
        }
    }
    rule
}

fn rule(rng: &mut Rng) -> Rule {
    let action = match rng.below(20) {
        0..=9 => Action::Allow,
        10..=12 => Action::Deny,
        13..=17 => Action::Pass,
        _ => Action::Log,
    };
    let mut rule = bare(action);
    let family = if rng.chance(1, 2) {
        Family::V4
    } else {
        Family::V6
    };
    if rng.chance(1, 10) {
        rule.ip_version = Some(if family == Family::V4 { 4 } else { 6 });
    }
    let mut with_ports = false;
    match rng.below(10) {
        0..=3 => {
            with_ports = true;
            let name = *rng.pick(&["TCP", "TCP", "UDP", "SCTP"]);
            rule.protocol = Some(match rng.below(4) {
                0 => Protocol::Number(if name == "UDP" { 17 } else { 6 }),
                _ => Protocol::Name(name.to_owned()),
            });
        }
        4 => icmp(rng, &mut rule, family),
        5 => {
            rule.protocol = Some(match rng.below(2) {
                0 => Protocol::Name("UDPLite".to_owned()),
                _ => Protocol::Number(*rng.pick(&OTHERS)),
            });
        }
        6 => {
            let name = *rng.pick(&["TCP", "UDP"]);
            rule.not_protocol = Some(Protocol::Name(name.to_owned()));
        }
        _ => {}
    }
    // One end or the other, sometimes both, sometimes none: then only the protocol counts.
    match rng.below(8) {
        0..=2 => rule.source = entity(rng, family),
        3..=5 => rule.destination = entity(rng, family),
        6 => {
            rule.source = entity(rng, family);
            rule.destination = entity(rng, family);
        }
        _ => {}
    }
    if with_ports {
        ports(rng, &mut rule);
    } else if rule.protocol.is_none() && rng.chance(1, 8) {
        // A name alone needs no protocol.
        rule.destination.ports = vec![Port::Name((*rng.pick(&PORT_NAMES)).to_owned())];
    }
    rule
}

/// Messages of the family's ICMP: all, one type, one code, all others.
fn icmp(rng: &mut Rng, rule: &mut Rule, family: Family) {
    let (name, number, types): (_, _, &[u8]) = match family {
        Family::V4 => ("ICMP", 1, &MESSAGES),
        Family::V6 => ("ICMPv6", 58, &MESSAGES_V6),
    };
    rule.protocol = Some(match rng.below(4) {
        0 => Protocol::Number(number),
        _ => Protocol::Name(name.to_owned()),
    });
    let messages = |rng: &mut Rng| {
        // Echo requests are what most packets are.
        let kind = if rng.chance(1, 2) {
            types[0]
        } else {
            *rng.pick(types)
        };
        IcmpFields {
            icmp_type: Some(kind.into()),
            code: rng.chance(1, 2).then(|| (*rng.pick(&CODES)).into()),
        }
    };
    match rng.below(8) {
        0..=2 => rule.icmp = Some(messages(rng)),
        3 | 4 => rule.not_icmp = Some(messages(rng)),
        5 => {
            rule.icmp = Some(messages(rng));
            rule.not_icmp = Some(messages(rng));
        }
        6 => rule.icmp = Some(IcmpFields::default()),
        _ => {}
    }
}

fn entity(rng: &mut Rng, family: Family) -> EntityRule {
    let mut entity = EntityRule::default();
    let pool = match family {
        Family::V4 => &NETS_V4,
        Family::V6 => &NETS_V6,
    };
    let net = |rng: &mut Rng| (*rng.pick(pool)).to_owned();
    match rng.below(8) {
        0..=3 => entity.selector = selectors::endpoints(rng),
        4 => entity.not_selector = selectors::endpoints(rng),
        5 | 6 => entity.nets = (0..rng.between(1, 3)).map(|_| net(rng)).collect(),
        _ => {}
    }
    if rng.chance(1, 8) {
        // The whole family cannot be excluded.
        let count = rng.between(1, 2);
        let narrow = |rng: &mut Rng| (*rng.pick(&pool[1..])).to_owned();
        entity.not_nets = (0..count).map(|_| narrow(rng)).collect();
    }
    if rng.chance(1, 10) {
        entity.not_selector = selectors::endpoints(rng);
    }
    if rng.chance(1, 5) {
        entity.namespace_selector = match rng.below(4) {
            0 => "global()".to_owned(),
            1 => "all()".to_owned(),
            _ => selectors::namespaces(rng),
        };
    }
    if rng.chance(1, 10) {
        let mut accounts = ServiceAccountMatch::default();
        if rng.chance(2, 3) {
            accounts.names.push((*rng.pick(&ACCOUNTS)).to_owned());
        } else {
            accounts.selector = selectors::accounts(rng);
        }
        entity.service_accounts = Some(accounts);
    }
    entity
}

fn port(rng: &mut Rng) -> Port {
    let range = |first, last| Port::Range(PortRange::new(first, last).expect("in order"));
    match rng.below(8) {
        0 | 1 => Port::Name((*rng.pick(&PORT_NAMES)).to_owned()),
        2 => range(1_024, 65_535),
        3 => range(80, 90),
        4 => range(9_000, 9_063),
        5 => range(9_000, 9_064),
        _ => Port::Range(PortRange::single(*rng.pick(&PORTS))),
    }
}

fn ports(rng: &mut Rng, rule: &mut Rule) {
    if rng.chance(3, 4) {
        rule.destination.ports = (0..rng.between(1, 3)).map(|_| port(rng)).collect();
    }
    if rng.chance(1, 3) {
        rule.destination.not_ports = vec![port(rng)];
    }
    if rng.chance(1, 6) {
        let single = PortRange::single(*rng.pick(&SOURCE_PORTS));
        rule.source.ports = vec![Port::Range(single)];
    }
    if rng.chance(1, 12) {
        rule.source.not_ports = vec![port(rng)];
    }
}

fn kubernetes(rng: &mut Rng, name: String) -> Object {
    let mut policy = k8s::NetworkPolicy::default();
    policy.metadata.name = name;
    policy.metadata.namespace = Some((*rng.pick(&NAMESPACES)).to_owned());
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
