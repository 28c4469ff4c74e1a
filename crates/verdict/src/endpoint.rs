//! Who owns an address: endpoints, of which pods are made here, network sets, and nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::{FieldError, Kind, Object, ObjectKey, Remains, v1, v3};
use oncilla_net::{Family, IpNet, Protocol, family_of, parse_address, parse_cidr};

use crate::cluster::Cluster;
use crate::hidden::{HiddenSet, SERVICE_ACCOUNT_LENGTH_LIMIT};
use crate::labels::{
    LabelMap, NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX,
};
use crate::profile::Profile;

/// A pod with a network of its own, or a host endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) key: ObjectKey,
    /// `namespace/pod`, or `host:NODE`.
    pub(crate) name: Arc<str>,
    pub(crate) node: String,
    /// Own labels and inherited ones; own win.
    pub(crate) labels: LabelMap,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ports: Vec<NamedPort>,
    pub(crate) profiles: Vec<Profile>,
    /// What is known of its labels, when some that it inherits cannot be read. Nobody knows then which policies select
    /// it.
    pub(crate) vague: Option<HiddenSet>,
}

/// A container's name for a port.
#[derive(Debug)]
pub(crate) struct NamedPort {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// A network set.
#[derive(Debug)]
pub(crate) struct AddressSet {
    pub(crate) nets: Vec<IpNet>,
    /// Own labels and inherited ones; own win.
    pub(crate) labels: LabelMap,
    /// What is known of them, when some that it inherits cannot be read.
    pub(crate) vague: Option<HiddenSet>,
}

/// A node as a peer.
#[derive(Debug)]
pub(crate) struct NodePeer {
    pub(crate) labels: LabelMap,
    /// Every address in its status, whatever its type; names are none.
    pub(crate) addresses: Vec<IpAddr>,
}

impl NodePeer {
    pub(crate) fn of(node: &v1::Node) -> Self {
        let reported = node.status.addresses.iter();
        Self {
            labels: node.metadata.labels.clone(),
            addresses: reported.filter_map(|each| address(&each.address)).collect(),
        }
    }
}

/// Labels that pods and network sets inherit.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    /// Labels of each namespace, prefixed.
    namespaces: BTreeMap<String, LabelMap>,
    /// Labels of each service account, prefixed.
    accounts: BTreeMap<(String, String), LabelMap>,
    /// The namespaces whose labels cannot be read.
    hidden_namespaces: BTreeSet<String>,
    /// The service accounts whose labels cannot be read.
    hidden_accounts: BTreeSet<(String, String)>,
}

impl Inheritance {
    pub(crate) fn of(cluster: &Cluster, broken: &BTreeMap<ObjectKey, Remains>) -> Self {
        let mut all = Self::default();
        for object in cluster.objects() {
            let metadata = object.metadata();
            if matches!(object, Object::Namespace(_) | Object::ServiceAccount(_)) {
                all.add(&object.key(), Some(&metadata.labels));
            }
        }
        for (key, remains) in broken {
            if matches!(key.kind, Kind::Namespace | Kind::ServiceAccount) {
                // Nothing else matters of them.
                let labels: Option<LabelMap> = remains.read("metadata.labels");
                all.add(key, labels.as_ref());
            }
        }
        all
    }

    fn add(&mut self, key: &ObjectKey, labels: Option<&LabelMap>) {
        let name = key.name.clone();
        let account = key.namespace.clone().map(|space| (space, name.clone()));
        match (account, labels) {
            (None, Some(labels)) => {
                let labels = prefixed((&name, labels), NAMESPACE_PREFIX);
                self.namespaces.insert(name, labels);
            }
            (Some(account), Some(labels)) => {
                let labels = prefixed((&name, labels), SERVICE_ACCOUNT_PREFIX);
                self.accounts.insert(account, labels);
            }
            (None, None) => drop(self.hidden_namespaces.insert(name)),
            (Some(account), None) => drop(self.hidden_accounts.insert(account)),
        }
    }

    /// Whether nobody can read the labels of a namespace.
    pub(crate) fn hides_namespace(&self, namespace: &str) -> bool {
        self.hidden_namespaces.contains(namespace)
    }

    /// Whether nobody can read the labels of a service account.
    pub(crate) fn hides_account(&self, namespace: &str, account: &str) -> bool {
        let account = (namespace.to_owned(), account.to_owned());
        self.hidden_accounts.contains(&account)
    }

    /// The labels that a namespace gives; `None` when there is no such namespace.
    pub(crate) fn of_namespace(&self, namespace: &str) -> Option<&LabelMap> {
        self.namespaces.get(namespace)
    }

    /// The labels that a service account gives; `None` when there is no such account.
    pub(crate) fn of_account(&self, namespace: &str, account: &str) -> Option<&LabelMap> {
        self.accounts
            .get(&(namespace.to_owned(), account.to_owned()))
    }

    fn apply(&self, labels: &mut LabelMap, namespace: &str, account: Option<&str>) {
        let inherited = self.namespaces.get(namespace).into_iter().chain(
            account.and_then(|name| self.accounts.get(&(namespace.to_owned(), name.to_owned()))),
        );
        for (name, value) in inherited.flatten() {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// What is known of the labels of somebody in a namespace, when something of it cannot be read.
    fn vague(
        &self,
        labels: &LabelMap,
        namespace: &str,
        account: Option<&str>,
    ) -> Option<HiddenSet> {
        let mut masked = Vec::new();
        if self.hides_namespace(namespace) {
            masked.push(NAMESPACE_PREFIX);
        }
        if account.is_some_and(|account| self.hides_account(namespace, account)) {
            masked.push(SERVICE_ACCOUNT_PREFIX);
        }
        let problem = "labels that it inherits cannot be read";
        (!masked.is_empty()).then(|| HiddenSet::vague(labels.clone(), masked, problem))
    }
}

fn prefixed((name, labels): (&str, &LabelMap), prefix: &str) -> LabelMap {
    let mut labels: LabelMap = labels
        .iter()
        .map(|(name, value)| (format!("{prefix}{name}"), value.clone()))
        .collect();
    labels.insert(format!("{prefix}projectcalico.org/name"), name.to_owned());
    labels
}

/// The namespace of a namespaced object; `default` when it names none.
pub(crate) fn namespace_of(metadata: &oncilla_api::ObjectMeta) -> String {
    match metadata.namespace.as_deref() {
        None | Some("") => "default".to_owned(),
        Some(namespace) => namespace.to_owned(),
    }
}

impl Endpoint {
    pub(crate) fn is_host(&self) -> bool {
        self.key.kind == Kind::HostEndpoint
    }

    /// The endpoint that a pod is; none for pods of the host network and pods without a node.
    pub(crate) fn of_pod(pod: &v1::Pod, inheritance: &Inheritance) -> Option<Self> {
        if pod.spec.host_network || pod.spec.node_name.is_empty() {
            return None;
        }
        let namespace = namespace_of(&pod.metadata);
        // `serviceAccount` is the old name of the field.
        let given = [&pod.spec.service_account_name, &pod.spec.service_account];
        let mut given = given.into_iter().filter(|name| !name.is_empty());
        let account = given.next().map_or("default", String::as_str);
        let mut labels = pod.metadata.labels.clone();
        labels.insert(NAMESPACE.to_owned(), namespace.clone());
        labels.insert(ORCHESTRATOR.to_owned(), "k8s".to_owned());
        // A pod's author must not be able to claim another account, so a label of that name never stays.
        labels.remove(SERVICE_ACCOUNT);
        if account.len() < SERVICE_ACCOUNT_LENGTH_LIMIT {
            labels.insert(SERVICE_ACCOUNT.to_owned(), account.to_owned());
        }
        inheritance.apply(&mut labels, &namespace, Some(account));
        Some(Self {
            vague: inheritance.vague(&labels, &namespace, Some(account)),
            name: format!("{namespace}/{}", pod.metadata.name).into(),
            node: pod.spec.node_name.clone(),
            labels,
            addresses: pod_addresses(pod),
            ports: named_ports(pod),
            profiles: vec![
                Profile::of_namespace(&namespace, inheritance),
                Profile::of_account(&namespace, account, inheritance),
            ],
            key: ObjectKey::namespaced(Kind::Pod, namespace, pod.metadata.name.clone()),
        })
    }
}

impl AddressSet {
    pub(crate) fn of_global(set: &v3::GlobalNetworkSet) -> Self {
        Self {
            nets: set_nets(&set.spec),
            labels: set.metadata.labels.clone(),
            vague: None,
        }
    }

    pub(crate) fn of_namespaced(set: &v3::NetworkSet, inheritance: &Inheritance) -> Self {
        let namespace = namespace_of(&set.metadata);
        let mut labels = set.metadata.labels.clone();
        labels.insert(NAMESPACE.to_owned(), namespace.clone());
        inheritance.apply(&mut labels, &namespace, None);
        Self {
            nets: set_nets(&set.spec),
            vague: inheritance.vague(&labels, &namespace, None),
            labels,
        }
    }

    /// What is certain of a broken set: the nets that can be read, with its labels.
    pub(crate) fn of_remains(
        namespace: Option<&str>,
        own: &LabelMap,
        remains: &Remains,
        inheritance: &Inheritance,
    ) -> Self {
        let mut labels = own.clone();
        let mut vague = None;
        if let Some(namespace) = namespace {
            labels.insert(NAMESPACE.to_owned(), namespace.to_owned());
            inheritance.apply(&mut labels, namespace, None);
            vague = inheritance.vague(&labels, namespace, None);
        }
        let nets = remains.items("spec.nets").iter();
        Self {
            nets: readable_nets(nets.filter_map(|net| net.as_str())),
            labels,
            vague,
        }
    }
}

/// CIDRs and single addresses; what is neither is no address of the set.
fn readable_nets(texts: impl Iterator<Item: AsRef<str>>) -> Vec<IpNet> {
    let parse = |text: &str| {
        let addr = parse_address(text).ok().map(IpNet::from);
        addr.or_else(|| parse_cidr(text).ok())
    };
    texts.filter_map(|text| parse(text.as_ref())).collect()
}

fn set_nets(spec: &v3::NetworkSetSpec) -> Vec<IpNet> {
    readable_nets(spec.nets.iter())
}

/// Whether a pod has no addresses any more.
fn is_finished(pod: &v1::Pod) -> bool {
    let given_back = |name: &str| {
        pod.metadata
            .annotations
            .get(name)
            .is_some_and(String::is_empty)
    };
    has_ended(&pod.status.phase)
        || (pod.metadata.deletion_timestamp.is_some()
            && (given_back("cni.projectcalico.org/podIP")
                || given_back("vpc.amazonaws.com/pod-ips")))
}

fn has_ended(phase: &str) -> bool {
    matches!(phase, "Failed" | "Succeeded" | "Completed")
}

/// Where a pod's addresses are written, by precedence: status, then the annotations of the network plugins.
fn address_texts(pod: &v1::Pod) -> Vec<&str> {
    let listed = |name: &str| {
        let listed = pod.metadata.annotations.get(name);
        listed
            .map(|text| text.split(',').collect())
            .unwrap_or_default()
    };
    let places = [
        pod.status.pod_ips.iter().map(|each| &*each.ip).collect(),
        vec![&*pod.status.pod_ip],
        listed("cni.projectcalico.org/podIPs"),
        listed("cni.projectcalico.org/podIP"),
        listed("vpc.amazonaws.com/pod-ips"),
    ];
    let written = places.into_iter().map(|mut texts| {
        texts.retain(|text| !text.trim().is_empty());
        texts
    });
    written
        .into_iter()
        .find(|texts| !texts.is_empty())
        .unwrap_or_default()
}

/// The addresses; a finished pod has none.
pub(crate) fn pod_addresses(pod: &v1::Pod) -> Vec<IpAddr> {
    if is_finished(pod) {
        return Vec::new();
    }
    address_texts(pod).into_iter().filter_map(address).collect()
}

/// What is wrong with a pod that can be decoded: an address that is none, a named port without a number.
pub(crate) fn pod_faults(pod: &v1::Pod) -> Vec<FieldError> {
    if pod.spec.host_network || pod.spec.node_name.is_empty() {
        return Vec::new();
    }
    let texts = if is_finished(pod) {
        Vec::new()
    } else {
        address_texts(pod)
    };
    let texts = texts.into_iter().filter(|text| address(text).is_none());
    let addresses =
        texts.map(|text| FieldError::new("status.podIPs", format!("{text:?} is no address")));
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let ports = containers.flat_map(|container| &container.ports);
    let wrong =
        ports.filter(|port| !port.name.is_empty() && u16::try_from(port.container_port).is_err());
    let ports = wrong.map(|port| {
        let message = format!("{} is no port number", port.container_port);
        FieldError::new("spec.containers", message)
    });
    addresses.chain(ports).collect()
}

/// Whether a pod that cannot be read certainly has no network of its own, or none any more.
pub(crate) fn is_nobody(remains: &Remains) -> bool {
    remains.read::<bool>("spec.hostNetwork") == Some(true)
        || remains.text("spec.nodeName") == Some("")
        || remains.text("status.phase").is_some_and(has_ended)
}

/// An address, possibly with a prefix length behind it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let (addr, _) = text.split_once('/').unwrap_or((text, ""));
    addr.parse().ok()
}

fn named_ports(pod: &v1::Pod) -> Vec<NamedPort> {
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    containers
        .flat_map(|container| &container.ports)
        .filter(|port| !port.name.is_empty())
        .filter_map(|port| {
            Some(NamedPort {
                name: port.name.clone(),
                protocol: port.protocol.unwrap_or_default().into(),
                port: u16::try_from(port.container_port).ok().filter(|n| *n > 0)?,
            })
        })
        .collect()
}

/// A node's own addresses: its annotations first, then what it reports as internal.
pub(crate) fn node_addresses(node: &v1::Node) -> Vec<IpAddr> {
    let annotated = ["IPv4Address", "IPv6Address"]
        .into_iter()
        .filter_map(|name| {
            let name = format!("projectcalico.org/{name}");
            node.metadata.annotations.get(&name).map(String::as_str)
        });
    let reported = node.status.addresses.iter();
    let internal = reported
        .filter(|each| each.address_type == "InternalIP")
        .map(|each| each.address.as_str());
    annotated.chain(internal).filter_map(address).collect()
}

/// The first address of a family.
pub(crate) fn of_family(addresses: &[IpAddr], family: Family) -> Option<IpAddr> {
    let mut addresses = addresses.iter().copied();
    addresses.find(|addr| family_of(*addr) == family)
}
