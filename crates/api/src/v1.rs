//! `v1`: the cluster's own kinds. Only the fields that policy and the lab use are typed; everything else a
//! person wrote is kept verbatim in `rest`, so that reading and writing an object loses nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::absent::is_default;
use crate::meta::{IntOrString, ObjectMeta, TransportProtocol};

/// The fields of an object that this crate does not interpret, as written.
pub type Rest = Map<String, Value>;

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Namespace {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A service account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccount {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// What should run, and where.
    pub spec: PodSpec,
    /// What runs.
    #[serde(skip_serializing_if = "is_default")]
    pub status: PodStatus,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a pod should run, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node that runs the pod; empty when nobody chose one yet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// Whether the pod lives in its node's own network; policy for pods never applies to it then.
    #[serde(skip_serializing_if = "is_default")]
    pub host_network: bool,
    /// The service account; empty when not given (defaulting says `default`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// The old name of `service_account_name`, which wins when both are given; empty when not given.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account: String,
    /// Containers that run one after the other before the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<Container>,
    /// Containers.
    pub containers: Vec<Container>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// The name, unique in its pod.
    pub name: String,
    /// The image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The program and its first arguments; empty means the image's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Further arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The folder that the program starts in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// The program's environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// The ports that the container serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    /// How to tell that the container serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One environment variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// The name.
    pub name: String,
    /// The value; empty when it comes from elsewhere (`valueFrom` is in `rest`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One port that a container serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// The name that policies may use for the port; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The port, 1 to 65535 once validated.
    pub container_port: i64,
    /// The port on the node that leads here; 0 when not given.
    #[serde(skip_serializing_if = "is_default")]
    pub host_port: i64,
    /// The protocol; `None` when not given (defaulting says TCP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TransportProtocol>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// How to tell whether a container serves. Timing and other kinds of probe are in `rest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// A connection that must succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<ProbeTarget>,
    /// An HTTP request that must succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<ProbeTarget>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a probe connects to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeTarget {
    /// The port, or a container port's name.
    pub port: IntOrString,
    /// Everything else: `path`, `scheme`, `host`, …
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a pod does now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`; empty when nobody said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// The pod's main address; empty before it has one.
    #[serde(rename = "podIP", skip_serializing_if = "String::is_empty")]
    pub pod_ip: String,
    /// All addresses of the pod, at most one a family.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
    /// The node's address; empty when nobody said.
    #[serde(rename = "hostIP", skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// Conditions, `Ready` among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// One condition of a pod or node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What it is about, `Ready` for example.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Everything else: `reason`, `message`, times.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// The node's share of the cluster.
    #[serde(skip_serializing_if = "is_default")]
    pub spec: NodeSpec,
    /// The node's addresses.
    #[serde(skip_serializing_if = "is_default")]
    pub status: NodeStatus,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A node's share of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// The first of `pod_cidrs`; empty when not given.
    #[serde(rename = "podCIDR", skip_serializing_if = "String::is_empty")]
    pub pod_cidr: String,
    /// The addresses that pods of this node come from, at most one CIDR a family.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// Addresses and names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NodeAddress>,
    /// Conditions, `Ready` among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One address or name of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`, …
    #[serde(rename = "type")]
    pub address_type: String,
    /// The address or name.
    pub address: String,
}

/// A service: a name for the ready pods that its selector chooses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// Whom it stands for.
    pub spec: ServiceSpec,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Whom a service stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`; empty when not given.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub service_type: String,
    /// The service's own address, or `None`; empty when not given.
    #[serde(rename = "clusterIP", skip_serializing_if = "String::is_empty")]
    pub cluster_ip: String,
    /// The service's own addresses, at most one a family.
    #[serde(rename = "clusterIPs", skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<String>,
    /// Labels of the pods behind the service; empty means that somebody else lists them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// The ports that clients use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One port of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// The name; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The port that clients use, 1 to 65535 once validated.
    pub port: i64,
    /// The pods' port, by number or container port name; `None` means the same as `port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_port: Option<IntOrString>,
    /// The protocol; `None` when not given (defaulting says TCP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TransportProtocol>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}
