//! What a lab says of itself.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a lab says of itself. Fields are only ever added.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabStatus {
    /// Its name.
    pub name: String,
    /// The API server's socket.
    pub server: PathBuf,
    /// Where its processes log.
    pub logs: PathBuf,
    /// Whether all pods are ready and all agents current.
    pub ready: bool,
    /// Its nodes, in order.
    pub nodes: Vec<NodeStatus>,
    /// Its pods, by namespace and name.
    pub pods: Vec<PodStatus>,
    /// Hosts outside the cluster.
    pub outside: Vec<OutsideStatus>,
}

impl LabStatus {
    /// As YAML.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("texts, numbers and lists always have a YAML form")
    }
}

/// One node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// How many pods run on it.
    pub pods: usize,
    /// Its agent; none in a lab without agents.
    pub agent: Option<AgentStatus>,
}

/// One agent process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Its process, as the supervisor numbers it; none while it waits to be started again.
    pub pid: Option<u32>,
    /// The store revision it enforces; none when it never said.
    pub revision: Option<u64>,
    /// How often it ended and was started again.
    pub restarts: u32,
    /// How it ended last.
    pub last_end: Option<String>,
}

/// One pod.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node it runs on; empty before it has one.
    pub node: String,
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its interface on the node; empty for a pod in its node's network.
    pub interface: String,
    /// What the built-in responder answers on, as `tcp/8000`.
    pub listens: Vec<String>,
    /// Processes of the pod, as the supervisor numbers them.
    pub pids: Vec<u32>,
    /// What a person should know: "nothing listens", why it is not ready, …
    pub notes: Vec<String>,
}

/// One host outside the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutsideStatus {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What it answers on, as `tcp/443`.
    pub listens: Vec<String>,
}
