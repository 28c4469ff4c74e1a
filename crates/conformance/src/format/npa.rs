//! The tests of `ClusterNetworkPolicy`: manifests, and an ordered list of events that change the cluster or poke
//! a pod.

use std::collections::BTreeMap;
use std::path::Path;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_net::{Family, Protocol, Verdict};
use oncilla_verdict::Party;
use serde::Deserialize;
use serde_json::{Value, json};

use super::FormatError;
use super::objects::object;
use crate::case::{Case, Cell, Change, Step, Suite};

/// The nodes that pods are on.
const NODES: [&str; 2] = ["n1", "n2"];
/// The pods of this namespace use the network of their node.
const HOST_NETWORK_NAMESPACE: &str = "network-policy-conformance-forbidden-forrest";
/// The label that says of which set a pod is; its namespace has the same from the start.
const SET_LABEL: &str = "conformance-house";
/// Protocol, port and name of what every container listens on.
const PORTS: [(&str, u16, &str); 6] = [
    ("TCP", 80, "web"),
    ("TCP", 8080, ""),
    ("UDP", 53, "dns"),
    ("UDP", 5353, ""),
    ("SCTP", 9003, ""),
    ("SCTP", 9005, ""),
];
/// What every node is labelled with.
const NODE_LABEL: (&str, &str) = ("kubernetes.io/os", "linux");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    namespace_labels: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(rename = "podIPs")]
    pod_ips: BTreeMap<String, String>,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    name: String,
    #[serde(default)]
    objects: Vec<Value>,
    events: Vec<Event>,
}

/// An event of another name is a fault of the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Event {
    Test(String),
    SetClusterNetworkPolicy(Value),
    SetNamespaceLabels(NamespaceLabels),
    DeleteNetworkPolicy(String),
    Poke(Poke),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamespaceLabels {
    namespace: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Poke {
    from: String,
    to: String,
    proto: String,
    port: u16,
    connect: bool,
}

pub(super) fn read(path: &Path, file: &File) -> Result<Suite, FormatError> {
    let mut suite = Suite::default();
    for test in &file.tests {
        let meaningless = |message: String| FormatError::Meaningless {
            path: path.to_owned(),
            message: format!("test {}: {message}", test.name),
        };
        suite.cases.push(Case {
            name: test.name.clone(),
            objects: file.cluster().map_err(meaningless)?,
            steps: test.steps(&file.pod_ips).map_err(meaningless)?,
        });
    }
    Ok(suite)
}

impl File {
    fn cluster(&self) -> Result<Vec<Object>, String> {
        let namespaces = self.namespace_labels.iter();
        let mut objects: Vec<Object> = namespaces
            .map(|(name, labels)| namespace(name, labels))
            .collect::<Result<_, _>>()?;
        for (name, address) in &self.pod_ips {
            objects.push(self.pod(name, address)?);
        }
        for node in NODES {
            objects.push(self.node(node)?);
        }
        Ok(objects)
    }

    /// A node has the addresses of its pods with the host's network: they are in its status, and not called
    /// internal, because the cases do not say which of several nodes a packet comes from.
    fn node(&self, name: &str) -> Result<Object, String> {
        let mut addresses = Vec::new();
        for (path, address) in &self.pod_ips {
            let (namespace, pod) = split(path)?;
            if namespace == HOST_NETWORK_NAMESPACE && node_of(pod)? == name {
                addresses.push(json!({"type": "ExternalIP", "address": address}));
            }
        }
        object(json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {NODE_LABEL.0: NODE_LABEL.1}},
            "status": {"addresses": addresses},
        }))
    }

    fn pod(&self, path: &str, address: &str) -> Result<Object, String> {
        let (namespace, name) = split(path)?;
        let labels = self.namespace_labels.get(namespace);
        let set = labels.and_then(|labels| labels.get(SET_LABEL));
        let ports = PORTS.map(|(protocol, port, name)| {
            let mut port = json!({"containerPort": port, "protocol": protocol});
            if !name.is_empty() {
                port["name"] = name.into();
            }
            port
        });
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {}},
            "spec": {
                "nodeName": node_of(name)?,
                "hostNetwork": namespace == HOST_NETWORK_NAMESPACE,
                "containers": [{"name": "main", "image": "main", "ports": ports}],
            },
            "status": {"phase": "Running", "podIPs": [{"ip": address}]},
        });
        if let Some(set) = set {
            pod["metadata"]["labels"][SET_LABEL] = set.as_str().into();
        }
        object(pod)
    }
}

impl Test {
    /// A step is some changes and the pokes behind them. The manifests come first.
    fn steps(&self, pod_ips: &BTreeMap<String, String>) -> Result<Vec<Step>, String> {
        let manifests = self.objects.iter();
        let manifests = manifests.map(|manifest| object(manifest.clone()).map(Change::Apply));
        let mut steps = vec![step("the manifests", manifests.collect())];
        for event in &self.events {
            let change = match event {
                Event::Test(name) => {
                    steps.push(step(name, Ok(Vec::new())));
                    continue;
                }
                Event::Poke(poke) => {
                    if let Some(step) = steps.last_mut() {
                        step.cells.push(poke.cell(pod_ips)?);
                    }
                    continue;
                }
                Event::SetClusterNetworkPolicy(policy) => object(policy.clone()).map(Change::Apply),
                Event::SetNamespaceLabels(set) => {
                    namespace(&set.namespace, &set.labels).map(Change::Apply)
                }
                Event::DeleteNetworkPolicy(path) => {
                    let (namespace, name) = split(path)?;
                    let kind = Kind::KubernetesNetworkPolicy;
                    Ok(Change::Delete(ObjectKey::namespaced(kind, namespace, name)))
                }
            };
            match steps.last_mut() {
                Some(last) if last.cells.is_empty() => match (&mut last.changes, change) {
                    (Ok(changes), Ok(change)) => changes.push(change),
                    (changes, Err(refused)) => *changes = Err(refused),
                    (Err(_), Ok(_)) => {}
                },
                last => {
                    let name = last.map_or("", |last| &last.name).to_owned();
                    steps.push(step(&name, change.map(|change| vec![change])));
                }
            }
        }
        Ok(steps)
    }
}

impl Poke {
    fn cell(&self, pod_ips: &BTreeMap<String, String>) -> Result<Cell, String> {
        let protocol = Protocol::from_name(&self.proto);
        let (to, name) = split(&self.to)?;
        let address = pod_ips.get(&self.to).and_then(|text| text.parse().ok());
        let destination = match address {
            // All that a policy sees of a pod with the host's network.
            Some(address) if to == HOST_NETWORK_NAMESPACE => Party::Address(address),
            _ => Party::pod(to, name),
        };
        let (from, pod) = split(&self.from)?;
        Ok(Cell {
            source: Party::pod(from, pod),
            destination,
            protocol: protocol
                .ok_or_else(|| format!("unknown protocol {:?} in a poke", self.proto))?,
            port: self.port,
            family: Family::V4,
            expect: if self.connect {
                Verdict::Allow
            } else {
                Verdict::Deny
            },
            decided_by: None,
            before: None,
        })
    }
}

/// A replica is called after its number, and those of one set are apart.
fn node_of(pod: &str) -> Result<&'static str, String> {
    let number = pod
        .rsplit_once('-')
        .and_then(|(_, number)| number.parse::<usize>().ok());
    let number = number.ok_or_else(|| format!("pod {pod:?} has no number"))?;
    Ok(NODES[number % NODES.len()])
}

fn step(name: &str, changes: Result<Vec<Change>, String>) -> Step {
    Step {
        name: name.to_owned(),
        changes,
        refused_with: None,
        cells: Vec::new(),
    }
}

fn namespace(name: &str, labels: &BTreeMap<String, String>) -> Result<Object, String> {
    object(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }))
}

fn split(path: &str) -> Result<(&str, &str), String> {
    path.split_once('/')
        .ok_or_else(|| format!("{path:?} is not a namespace, a slash and a name"))
}
