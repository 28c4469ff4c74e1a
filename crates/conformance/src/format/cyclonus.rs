//! Cyclonus' generated cases: nine pods in three namespaces, one or more steps, a full matrix each.
//!
//! The spread format is the same with other pod addresses, a layout for each set of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_net::{Family, Verdict, family_of};
use oncilla_verdict::Party;
use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::object;
use super::{FormatError, protocol_and_port};
use crate::case::{Case, Cell, Change, Step, Suite};
use crate::left_out::LeftOut;

type Labels = BTreeMap<String, String>;

/// The label that the API server keeps on every namespace.
const METADATA_NAME: &str = "kubernetes.io/metadata.name";
/// The nodes: the cases know of none, so pods are spread over two by their names.
const NODES: [&str; 2] = ["n1", "n2"];
/// What every container serves, by the name `serve-<port>-<protocol>`.
const PORTS: [u16; 2] = [80, 81];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// What a step can do.
const ACTIONS: [&str; 10] = [
    "CreatePolicy",
    "UpdatePolicy",
    "DeletePolicy",
    "CreateNamespace",
    "SetNamespaceLabels",
    "DeleteNamespace",
    "CreatePod",
    "SetPodLabels",
    "DeletePod",
    "ReadNetworkPolicies",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compact {
    #[serde(rename = "podIPs")]
    pod_ips: BTreeMap<String, IpAddr>,
    namespace_labels: BTreeMap<String, Labels>,
    cases: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spread {
    namespace_labels: BTreeMap<String, Labels>,
    layouts: BTreeMap<String, Layout>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    #[serde(rename = "podIPs")]
    pod_ips: BTreeMap<String, IpAddr>,
    /// The address of a pod that a step creates; the next one gets the next address.
    #[serde(rename = "newPodIP")]
    new_pod_ip: IpAddr,
    cases: Vec<RawCase>,
}

#[derive(Deserialize)]
struct RawCase {
    n: u64,
    desc: String,
    steps: Vec<RawStep>,
}

#[derive(Deserialize)]
struct RawStep {
    actions: Vec<BTreeMap<String, Value>>,
    cols: Vec<String>,
    expect: BTreeMap<String, BTreeMap<String, String>>,
}

/// The arguments of every action; each uses some.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Arguments {
    policy: Value,
    namespace: String,
    name: String,
    pod: String,
    labels: Labels,
}

pub(super) fn read_compact(path: &Path, file: Compact) -> Result<Suite, FormatError> {
    let last = file.pod_ips.values().max().copied();
    let mut suite = Suite::default();
    let world = World::new(&file.namespace_labels, &file.pod_ips, last.and_then(next));
    read_cases(path, "", &world, file.cases, &mut suite)?;
    Ok(suite)
}

pub(super) fn read_spread(path: &Path, file: Spread) -> Result<Suite, FormatError> {
    let mut suite = Suite::default();
    for (name, layout) in file.layouts {
        let first = Some(layout.new_pod_ip);
        let world = World::new(&file.namespace_labels, &layout.pod_ips, first);
        let prefix = format!("{name} ");
        read_cases(path, &prefix, &world, layout.cases, &mut suite)?;
    }
    Ok(suite)
}

fn read_cases(
    path: &Path,
    prefix: &str,
    world: &World,
    cases: Vec<RawCase>,
    suite: &mut Suite,
) -> Result<(), FormatError> {
    for raw in cases {
        let name = format!("{prefix}{} {}", raw.n, raw.desc);
        let mut world = world.clone();
        let objects = world.objects.values().cloned().collect();
        let mut steps = Vec::with_capacity(raw.steps.len());
        for (index, step) in raw.steps.into_iter().enumerate() {
            let meaningless = |message| FormatError::Meaningless {
                path: path.to_owned(),
                message: format!("case {name:?}, step {index}: {message}"),
            };
            let changes = world.act_all(step.actions);
            let cells = cells(&world, &step.cols, &step.expect, &mut suite.left_out);
            steps.push(Step {
                name: format!("step {index}"),
                changes,
                refused_with: None,
                cells: cells.map_err(meaningless)?,
            });
        }
        suite.cases.push(Case {
            name,
            objects,
            steps,
        });
    }
    Ok(())
}

/// The objects as they are after the actions so far.
#[derive(Clone)]
struct World {
    objects: BTreeMap<ObjectKey, Object>,
    /// Every pod that ever was, for its family.
    addresses: BTreeMap<String, IpAddr>,
    next_address: Option<IpAddr>,
}

impl World {
    fn new(
        namespaces: &BTreeMap<String, Labels>,
        pods: &BTreeMap<String, IpAddr>,
        next_address: Option<IpAddr>,
    ) -> Self {
        let mut world = Self {
            objects: BTreeMap::new(),
            addresses: pods.clone(),
            next_address,
        };
        let nodes = NODES
            .map(|name| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
        let namespaces = namespaces
            .iter()
            .map(|(name, labels)| namespace(name, labels));
        let pods = pods.iter().map(|(path, address)| {
            let (namespace, name) = path.split_once('/').unwrap_or(("default", path));
            let labels = Labels::from([("pod".to_owned(), name.to_owned())]);
            pod(namespace, name, &labels, *address)
        });
        for manifest in nodes.into_iter().chain(namespaces).chain(pods) {
            let object = object(manifest).expect("the manifests of this module are valid");
            world.objects.insert(object.key(), object);
        }
        world
    }

    /// What the actions of a step change. An action that makes no sense, or none that we know, fails the step.
    fn act_all(&mut self, actions: Vec<BTreeMap<String, Value>>) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        for (action, arguments) in actions.into_iter().flatten() {
            if arguments.is_null() && ACTIONS.contains(&action.as_str()) {
                // The tool writes an action as all kinds, one of them filled in.
                continue;
            }
            let arguments = serde_json::from_value(arguments)
                .map_err(|error| format!("action {action}: {error}"))?;
            let made = self
                .act(&action, arguments)
                .map_err(|message| format!("action {action}: {message}"))?;
            for change in &made {
                match change {
                    Change::Apply(object) => self.objects.insert(object.key(), object.clone()),
                    Change::Delete(key) => self.objects.remove(key),
                };
            }
            changes.extend(made);
        }
        Ok(changes)
    }

    fn act(&mut self, action: &str, arguments: Arguments) -> Result<Vec<Change>, String> {
        let Arguments {
            policy,
            namespace: in_namespace,
            name,
            pod: pod_name,
            labels,
        } = arguments;
        let pod_key = ObjectKey::namespaced(Kind::Pod, &*in_namespace, &*pod_name);
        let namespace_key = ObjectKey::cluster(Kind::Namespace, &*in_namespace);
        let policy_key =
            ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, &*in_namespace, &*name);
        match action {
            "CreatePolicy" => self.create(with_type(policy)),
            "UpdatePolicy" => self.update(with_type(policy)),
            "DeletePolicy" => self.delete(policy_key),
            "CreateNamespace" => self.create(namespace(&in_namespace, &labels)),
            "SetNamespaceLabels" => self.update(namespace(&in_namespace, &labels)),
            "DeleteNamespace" => {
                // Everything in it goes with it.
                let inside = self.objects.keys();
                let inside = inside.filter(|key| key.namespace.as_deref() == Some(&in_namespace));
                let mut changes: Vec<_> = inside.cloned().map(Change::Delete).collect();
                changes.extend(self.delete(namespace_key)?);
                Ok(changes)
            }
            "CreatePod" => {
                let address = self.next_address.ok_or("no address is left for the pod")?;
                self.next_address = next(address);
                self.addresses
                    .insert(format!("{in_namespace}/{pod_name}"), address);
                self.create(pod(&in_namespace, &pod_name, &labels, address))
            }
            "SetPodLabels" => match self.objects.get(&pod_key) {
                Some(Object::Pod(pod)) => {
                    let mut pod = pod.clone();
                    pod.metadata.labels = labels;
                    Ok(vec![Change::Apply(pod.into())])
                }
                _ => Err(format!("{pod_key} does not exist")),
            },
            "DeletePod" => self.delete(pod_key),
            // Reads the cluster's policies into the tool's own memory; here they are the same thing.
            "ReadNetworkPolicies" => Ok(Vec::new()),
            _ => Err("unknown action".to_owned()),
        }
    }

    fn create(&self, manifest: Value) -> Result<Vec<Change>, String> {
        let object = object(manifest)?;
        let key = object.key();
        if self.objects.contains_key(&key) {
            return Err(format!("{key} already exists"));
        }
        Ok(vec![Change::Apply(object)])
    }

    fn update(&self, manifest: Value) -> Result<Vec<Change>, String> {
        let object = object(manifest)?;
        let key = object.key();
        if !self.objects.contains_key(&key) {
            return Err(format!("{key} does not exist"));
        }
        Ok(vec![Change::Apply(object)])
    }

    fn delete(&self, key: ObjectKey) -> Result<Vec<Change>, String> {
        if !self.objects.contains_key(&key) {
            return Err(format!("{key} does not exist"));
        }
        Ok(vec![Change::Delete(key)])
    }
}

/// Every policy of a case is Kubernetes' own, and some do not say so.
fn with_type(mut policy: Value) -> Value {
    if let Value::Object(fields) = &mut policy {
        for (field, value) in [
            ("apiVersion", "networking.k8s.io/v1"),
            ("kind", "NetworkPolicy"),
        ] {
            fields.entry(field).or_insert_with(|| value.into());
        }
    }
    policy
}

fn namespace(name: &str, labels: &Labels) -> Value {
    let mut labels = labels.clone();
    labels.insert(METADATA_NAME.to_owned(), name.to_owned());
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn pod(namespace: &str, name: &str, labels: &Labels, address: IpAddr) -> Value {
    let serve = |port: u16, protocol: &str| {
        let name = format!("serve-{port}-{}", protocol.to_ascii_lowercase());
        json!({"name": name, "containerPort": port, "protocol": protocol})
    };
    let ports = PORTS
        .into_iter()
        .flat_map(|port| PROTOCOLS.map(|protocol| serve(port, protocol)));
    let ports: Vec<Value> = ports.collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": node(namespace, name),
            "containers": [{"name": "serve", "image": "serve", "ports": ports}],
        },
        "status": {
            "phase": "Running",
            "podIP": address.to_string(),
            "podIPs": [{"ip": address.to_string()}],
        },
    })
}

/// The node of a pod: the same one in every run.
fn node(namespace: &str, name: &str) -> &'static str {
    let sum: usize = namespace.bytes().chain(name.bytes()).map(usize::from).sum();
    NODES[sum % NODES.len()]
}

/// The address behind this one.
fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V6(bits.into())),
    }
}

fn cells(
    world: &World,
    cols: &[String],
    expect: &BTreeMap<String, BTreeMap<String, String>>,
    left_out: &mut LeftOut,
) -> Result<Vec<Cell>, String> {
    let mut cells = Vec::new();
    for (service, rows) in expect {
        let (protocol, port) = protocol_and_port(service)
            .ok_or_else(|| format!("{service:?} is no protocol and port, as in TCP/80"))?;
        for (from, row) in rows {
            if row.chars().count() != cols.len() {
                return Err(format!("row {from:?} has not one character a column"));
            }
            for (to, mark) in cols.iter().zip(row.chars()) {
                let expect = match mark {
                    _ if from == to => {
                        left_out.count("cells of a pod to itself");
                        continue;
                    }
                    '.' => Verdict::Allow,
                    'X' => Verdict::Deny,
                    '-' | '?' => {
                        left_out.count("cells that the file does not judge");
                        continue;
                    }
                    other => return Err(format!("row {from:?} has the unknown mark {other:?}")),
                };
                cells.push(Cell {
                    source: party(from)?,
                    destination: party(to)?,
                    protocol,
                    port,
                    family: family(world, from),
                    expect,
                    decided_by: None,
                    before: None,
                });
            }
        }
    }
    Ok(cells)
}

fn party(path: &str) -> Result<Party, String> {
    match path.split_once('/') {
        Some((namespace, name)) => Ok(Party::pod(namespace, name)),
        None => Err(format!("{path:?} is no pod, as in x/a")),
    }
}

fn family(world: &World, path: &str) -> Family {
    let address = world.addresses.get(path);
    address.map_or(Family::V4, |address| family_of(*address))
}
