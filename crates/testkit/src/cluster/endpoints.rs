//! Namespaces, accounts, pods, tiers and network sets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_api::v1::{
    Container, ContainerPort, Namespace, Node, NodeAddress, Pod, PodIp, PodSpec, Rest,
    ServiceAccount,
};
use oncilla_api::v3::{GlobalNetworkSet, NetworkSet, NetworkSetSpec, Tier, TierAction};
use oncilla_api::{Kind, Object, TransportProtocol};

use super::hosts::{INTERFACES, host_addresses};
use super::selectors::{self, ACCOUNT_LABELS, LABELS, NAMESPACE_LABELS, NODE_LABELS};
use super::traffic::{NETS_V4, NETS_V6, PORTS};
use super::{Edit, NAMESPACES, NODES, RandomCluster};

/// The last one is too long for a label.
pub(super) const ACCOUNTS: [&str; 3] = [
    "default",
    "robot",
    "a-name-of-sixty-three-characters-exactly-0123456789-01234567890",
];
/// The names of ports. Pods differ in what they mean by them.
pub(super) const PORT_NAMES: [&str; 3] = ["web", "dns", "admin"];

/// Where a network plugin lists the addresses of a pod that has more than its status can say.
pub(super) const ADDRESS_LIST: &str = "cni.projectcalico.org/podIPs";

impl RandomCluster {
    pub(super) fn namespace(&mut self, name: &str) -> Object {
        let mut namespace = Namespace::default();
        name.clone_into(&mut namespace.metadata.name);
        namespace.metadata.labels = selectors::labels(&mut self.rng, &NAMESPACE_LABELS);
        namespace.into()
    }

    /// A node with addresses that packets from outside have. They are external ones: to a node's own address no
    /// pod of it sends through the forward path.
    pub(super) fn node(&mut self, name: &str) -> Object {
        let mut node = Node::default();
        name.clone_into(&mut node.metadata.name);
        node.metadata.labels = selectors::labels(&mut self.rng, &NODE_LABELS);
        let outside = Self::outside_addresses();
        for _ in 0..self.rng.below(4) {
            let address = self.rng.pick(&outside).to_string();
            node.status.addresses.push(NodeAddress {
                address_type: "ExternalIP".to_owned(),
                address,
            });
        }
        node.status.addresses.push(NodeAddress {
            address_type: "Hostname".to_owned(),
            address: name.to_owned(),
        });
        node.into()
    }

    pub(super) fn account(&mut self, namespace: &str, name: &str) -> Object {
        let mut account = ServiceAccount::default();
        name.clone_into(&mut account.metadata.name);
        account.metadata.namespace = Some(namespace.to_owned());
        account.metadata.labels = selectors::labels(&mut self.rng, &ACCOUNT_LABELS);
        account.into()
    }

    pub(super) fn tier(&mut self, name: &str) -> Object {
        let mut tier = Tier::default();
        name.clone_into(&mut tier.metadata.name);
        tier.spec.order = match self.rng.below(4) {
            0 => None,
            1 => Some(2_000_000.0),
            _ => Some(10.0),
        };
        let end = match self.rng.below(5) {
            0 => TierAction::Deny,
            _ => TierAction::Pass,
        };
        tier.spec.default_action = (end == TierAction::Pass).then_some(end);
        tier.into()
    }

    pub(super) fn new_pod(&mut self) -> Object {
        let number = self.number();
        let rng = &mut self.rng;
        let mut pod = Pod::default();
        pod.metadata.name = format!("pod-{number}");
        pod.metadata.namespace = Some((*rng.pick(&NAMESPACES)).to_owned());
        pod.metadata.labels = pod_labels(rng);
        (*rng.pick(&NODES)).clone_into(&mut pod.spec.node_name);
        (*rng.pick(&ACCOUNTS)).clone_into(&mut pod.spec.service_account_name);
        fill(rng, &mut pod.spec);
        pod.spec.host_network = rng.chance(1, 30);
        "Running".clone_into(&mut pod.status.phase);
        let block = 1 + (number & 3);
        let [_, block_low] = block.to_be_bytes();
        let host = u8::try_from(number / 4).expect("no more than a thousand objects are made");
        let v4 = Ipv4Addr::new(10, 65, block_low, host);
        let v6 = Ipv6Addr::new(0xfd00, 0x65, 0, block, 0, 0, 0, number);
        // Also several of a family.
        let v4_too = Ipv4Addr::new(10, 65, block_low + 4, host);
        let v6_too = Ipv6Addr::new(0xfd00, 0x65, 0, block, 0, 0, 1, number);
        let addresses: &[IpAddr] = match rng.below(10) {
            0 => &[v4.into()],
            1 => &[v6.into()],
            2 => &[v4.into(), v6.into(), v4_too.into(), v6_too.into()],
            _ => &[v4.into(), v6.into()],
        };
        let of_host = host_addresses(&pod.spec.node_name, INTERFACES[0]);
        let addresses = if pod.spec.host_network {
            &of_host
        } else {
            addresses
        };
        if addresses.len() > 2 {
            // A status has one of a family at most.
            let all: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            let list = ADDRESS_LIST.to_owned();
            pod.metadata.annotations.insert(list, all.join(","));
            return pod.into();
        }
        pod.status.pod_ips = addresses
            .iter()
            .map(|address| PodIp {
                ip: address.to_string(),
            })
            .collect();
        pod.into()
    }

    fn random_pod(&mut self) -> Pod {
        let keys = self.keys(&[Kind::Pod]);
        let key = self.rng.pick(&keys);
        match self.objects.get(key) {
            Some(Object::Pod(pod)) => pod.clone(),
            _ => unreachable!("the key is a pod's"),
        }
    }

    pub(super) fn relabel_pod(&mut self) -> Edit {
        let mut pod = self.random_pod();
        pod.metadata.labels = pod_labels(&mut self.rng);
        if self.rng.chance(1, 4) {
            fill(&mut self.rng, &mut pod.spec);
        }
        self.put(pod.into())
    }

    pub(super) fn finish_or_move_pod(&mut self) -> Edit {
        let mut pod = self.random_pod();
        if self.rng.chance(1, 2) {
            let running = pod.status.phase == "Running";
            let phase = if running { "Succeeded" } else { "Running" };
            phase.clone_into(&mut pod.status.phase);
        } else {
            (*self.rng.pick(&NODES)).clone_into(&mut pod.spec.node_name);
        }
        self.put(pod.into())
    }

    pub(super) fn new_set(&mut self) -> Object {
        // Few names, so that sets are changed as well.
        let name = format!("set-{}", self.rng.below(6));
        let labels = selectors::labels(&mut self.rng, &LABELS);
        let count = self.rng.between(1, 4);
        let mut spec = NetworkSetSpec::default();
        for _ in 0..count {
            let pool: &[&str] = if self.rng.chance(1, 2) {
                &NETS_V4
            } else {
                &NETS_V6
            };
            let net = (*self.rng.pick(pool)).to_owned();
            spec.nets.push(net);
        }
        if self.rng.chance(1, 2) {
            let mut set = GlobalNetworkSet {
                spec,
                ..GlobalNetworkSet::default()
            };
            set.metadata.name = name;
            set.metadata.labels = labels;
            set.into()
        } else {
            let mut set = NetworkSet {
                spec,
                ..NetworkSet::default()
            };
            set.metadata.name = name;
            set.metadata.namespace = Some((*self.rng.pick(&NAMESPACES)).to_owned());
            set.metadata.labels = labels;
            set.into()
        }
    }
}

fn pod_labels(rng: &mut crate::rng::Rng) -> std::collections::BTreeMap<String, String> {
    let mut labels = selectors::labels(rng, &LABELS);
    // What a pod claims of itself must not become what the platform says of it.
    for (name, value) in [
        ("projectcalico.org/namespace", "red"),
        ("projectcalico.org/serviceaccount", "forged"),
        ("projectcalico.org/orchestrator", "cni"),
        ("pcns.env", "prod"),
    ] {
        if rng.chance(1, 12) {
            labels.insert(name.to_owned(), value.to_owned());
        }
    }
    labels
}

/// Gives a pod its containers. One name means several ports now and then, also of several protocols.
fn fill(rng: &mut crate::rng::Rng, spec: &mut PodSpec) {
    spec.containers = vec![container(rng, "main")];
    spec.init_containers.clear();
    if rng.chance(1, 4) {
        spec.containers.push(container(rng, "more"));
    }
    if rng.chance(1, 4) {
        spec.init_containers.push(container(rng, "first"));
    }
    if rng.chance(1, 4) {
        let mut sidecar = container(rng, "beside");
        sidecar.rest = Rest::from_iter([("restartPolicy".to_owned(), "Always".into())]);
        spec.init_containers.push(sidecar);
    }
}

fn container(rng: &mut crate::rng::Rng, name: &str) -> Container {
    let mut container = Container {
        name: name.to_owned(),
        ..Container::default()
    };
    for name in PORT_NAMES {
        if rng.chance(1, 3) {
            continue;
        }
        container.ports.push(ContainerPort {
            name: name.to_owned(),
            container_port: i64::from(*rng.pick(&PORTS)),
            protocol: *rng.pick(&[
                None,
                Some(TransportProtocol::Tcp),
                Some(TransportProtocol::Udp),
                Some(TransportProtocol::Sctp),
            ]),
            ..ContainerPort::default()
        });
    }
    container
}
