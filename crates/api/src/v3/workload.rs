//! A workload as Calico stores it. In a Kubernetes cluster the pods say all that is in one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Protocol;
use crate::absent::is_default;
use crate::meta::ObjectMeta;

/// A workload's interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkloadEndpoint {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// Where it runs and which addresses it has.
    pub spec: WorkloadEndpointSpec,
}

/// Where the workload of a [`WorkloadEndpoint`] runs and which addresses it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkloadEndpointSpec {
    /// Who runs the workload: `k8s`, `cni`, `libnetwork`, `openstack`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub orchestrator: String,
    /// The workload, for orchestrators that name it so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload: String,
    /// The node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The container, for the orchestrator `cni`.
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// The pod, for the orchestrator `k8s`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// The interface inside the workload.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// The service account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// The addresses, each with the length of a single one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_networks: Vec<String>,
    /// Floating addresses.
    #[serde(rename = "ipNATs", skip_serializing_if = "Vec::is_empty")]
    pub ip_nats: Vec<FloatingAddress>,
    /// The IPv4 gateway.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipv4_gateway: String,
    /// The IPv6 gateway.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipv6_gateway: String,
    /// Profiles, asked in this order when no tier has decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// The interface on the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interface_name: String,
    /// The hardware address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Ports by the names that rules may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<WorkloadEndpointPort>,
    /// Foreign source addresses that the workload may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_spoofed_source_prefixes: Vec<String>,
    /// Limits of bandwidth, kept as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos_controls: Option<Value>,
}

/// A floating address of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FloatingAddress {
    /// The workload's own address.
    #[serde(rename = "internalIP")]
    pub internal_ip: String,
    /// The address that others use.
    #[serde(rename = "externalIP")]
    pub external_ip: String,
}

/// A named port of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadEndpointPort {
    /// The name; empty when the port only has a port on the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port, 1 to 65535 once validated.
    pub port: i64,
    /// The port on the host that leads here; 0 when none does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host_port: i64,
    /// The host's address that leads here; empty means all.
    #[serde(rename = "hostIP", default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}
