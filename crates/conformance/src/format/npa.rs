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

/// The nodes that pods are on: a replica is called after its number, and those of one set are apart.
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
/// The peers that oncilla does not support yet: a test whose policies have one is left out whole.
const LEFT_OUT_PEERS: [&str; 1] = ["nodes"];

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
        if let Some(peer) = test.needs() {
            let pokes = test.events.iter();
            let pokes = pokes
                .filter(|event| matches!(event, Event::Poke(_)))
                .count();
            let name = format!("pokes of test {} (peers of {peer})", test.name);
            suite.left_out.add(name, pokes);
            continue;
        }
        suite.cases.push(Case {
            name: test.name.clone(),
            objects: file.cluster().map_err(meaningless)?,
            steps: test.steps().map_err(meaningless)?,
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
        Ok(objects)
    }

    fn pod(&self, path: &str, address: &str) -> Result<Object, String> {
        let (namespace, name) = split(path)?;
        let labels = self.namespace_labels.get(namespace);
        let set = labels.and_then(|labels| labels.get(SET_LABEL));
        let number = name
            .rsplit_once('-')
            .and_then(|(_, number)| number.parse::<usize>().ok());
        let number = number.ok_or_else(|| format!("pod {path:?} has no number"))?;
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
                "nodeName": NODES[number % NODES.len()],
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
    /// The peer in any policy of the test that is not supported yet.
    fn needs(&self) -> Option<&'static str> {
        let set = self.events.iter().filter_map(|event| match event {
            Event::SetClusterNetworkPolicy(policy) => Some(policy),
            _ => None,
        });
        let policies: Vec<&Value> = self.objects.iter().chain(set).collect();
        LEFT_OUT_PEERS
            .into_iter()
            .find(|peer| policies.iter().any(|policy| has_peer(policy, peer)))
    }

    /// A step is some changes and the pokes behind them. The manifests come first.
    fn steps(&self) -> Result<Vec<Step>, String> {
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
                        step.cells.push(poke.cell()?);
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
    fn cell(&self) -> Result<Cell, String> {
        let protocol = Protocol::from_name(&self.proto);
        let pod = |path: &str| split(path).map(|(namespace, name)| Party::pod(namespace, name));
        Ok(Cell {
            source: pod(&self.from)?,
            destination: pod(&self.to)?,
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

fn has_peer(policy: &Value, peer: &str) -> bool {
    let list = |value: &Value, path: &str| -> Vec<Value> {
        let list = value.pointer(path).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    list(policy, "/spec/egress")
        .iter()
        .flat_map(|rule| list(rule, "/to"))
        .any(|to| to.get(peer).is_some())
}
