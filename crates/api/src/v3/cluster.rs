//! What policy takes from the cluster's set-up: address pools, and what the cluster says of itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::absent::is_default;
use crate::meta::ObjectMeta;

/// Addresses that workloads get. An input: nothing is allocated here yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IPPool {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// The addresses and how they are used.
    pub spec: IPPoolSpec,
    /// Conditions, kept as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

/// The addresses of an [`IPPool`] and how they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields are upstream's schema"
)]
pub struct IPPoolSpec {
    /// The addresses; can never be changed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cidr: String,
    /// Whether packets between nodes are wrapped in VXLAN; `None` means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vxlan_mode: Option<EncapsulationMode>,
    /// Whether packets between nodes are wrapped in IP; `None` means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipip_mode: Option<EncapsulationMode>,
    /// Whether packets that leave all pools get their node's address.
    #[serde(skip_serializing_if = "is_default")]
    pub nat_outgoing: bool,
    /// Whether new workloads get no address from here.
    #[serde(skip_serializing_if = "is_default")]
    pub disabled: bool,
    /// Whether the pool's routes are kept from BGP peers.
    #[serde(rename = "disableBGPExport", skip_serializing_if = "is_default")]
    pub disable_bgp_export: bool,
    /// The prefix length of one node's share; `None`: 26 for IPv4, 122 for IPv6. Can never be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_size: Option<i64>,
    /// The nodes that take shares; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_selector: String,
    /// The namespaces whose workloads get addresses from here; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace_selector: String,
    /// What the addresses are for; empty means workloads and tunnels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_uses: Vec<AllowedUse>,
    /// Whether only workloads that ask for the pool get addresses from it; `None` means automatic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment_mode: Option<AssignmentMode>,
}

/// When packets between nodes are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EncapsulationMode {
    /// Never.
    Never,
    /// Always.
    Always,
    /// Only between nodes of different subnets.
    CrossSubnet,
}

/// What the addresses of an [`IPPool`] are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AllowedUse {
    /// Workloads.
    Workload,
    /// Tunnel ends of nodes.
    Tunnel,
    /// Services of the type `LoadBalancer`.
    LoadBalancer,
}

/// Who gets addresses of an [`IPPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AssignmentMode {
    /// Every workload that the pool's selectors let.
    Automatic,
    /// Only workloads that ask for it.
    Manual,
}

/// What the cluster says of itself; one object, `default`, that only the server writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterInformation {
    /// The name.
    pub metadata: ObjectMeta,
    /// What it says.
    pub spec: ClusterInformationSpec,
}

/// What a [`ClusterInformation`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterInformationSpec {
    /// A number that tells clusters apart, 32 hexadecimal digits.
    #[serde(rename = "clusterGUID", skip_serializing_if = "String::is_empty")]
    pub cluster_guid: String,
    /// Words for the sort of cluster, separated by commas.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_type: String,
    /// The version of Calico that wrote this; empty when none did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub calico_version: String,
    /// `false` while the store is locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datastore_ready: Option<bool>,
    /// The product.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}
