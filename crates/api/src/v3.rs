//! `projectcalico.org/v3`: tiers, policies, network sets and what policy knows of hosts, as people write them.
//!
//! Every field of the upstream schema is here, also those that oncilla does not support yet: validation
//! refuses them by name instead of calling them unknown. Empty texts and empty lists mean "not given", as
//! upstream.

mod cluster;
mod felix;
mod host;
mod port;
mod rule;
mod staged;
mod workload;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::absent::{is_default, serialize_order};
use crate::meta::{ObjectMeta, PolicyType};

pub use cluster::{
    AllowedUse, AssignmentMode, ClusterInformation, ClusterInformationSpec, EncapsulationMode,
    IPPool, IPPoolSpec,
};
pub use felix::{
    AllowAction, EndpointToHostAction, FailsafePort, Failsafes, FelixConfiguration,
    FelixConfigurationSpec, INTERFACE_PREFIX_BYTES_MAX, INTERFACE_PREFIXES_MAX, SourceSpoofing,
    is_interface_prefix,
};
pub use host::{
    ALL_INTERFACES, DEFAULT_ALLOW_PROFILE, EndpointPort, HostEndpoint, HostEndpointSpec, Profile,
    ProfileSpec,
};
pub(crate) use port::PORT_NAME_LENGTH_MAX;
pub use port::{Port, Protocol};
pub use rule::{
    Action, EntityRule, HttpMatch, HttpPath, IcmpFields, Rule, RuleMetadata, ServiceAccountMatch,
    ServiceMatch,
};
pub use staged::{
    StagedAction, StagedGlobalNetworkPolicy, StagedGlobalNetworkPolicySpec,
    StagedKubernetesNetworkPolicy, StagedKubernetesNetworkPolicySpec, StagedNetworkPolicy,
    StagedNetworkPolicySpec,
};
pub use workload::{FloatingAddress, WorkloadEndpoint, WorkloadEndpointPort, WorkloadEndpointSpec};

/// Where a tier stands among tiers, or a policy in its tier; smaller is earlier, `None` as upstream: last
/// for policies, 1,000,000 for tiers.
pub type Order = Option<f64>;

/// A tier: policies that are judged together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tier {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// Place and end of the tier.
    pub spec: TierSpec,
    /// Conditions, kept as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

/// Place and end of a [`Tier`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TierSpec {
    /// The tier's place among tiers.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_order"
    )]
    pub order: Order,
    /// What happens to traffic that no policy of the tier decided; `None` when not given (defaulting says Deny).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_action: Option<TierAction>,
}

/// What the end of a tier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TierAction {
    /// Go on to the next tier.
    Pass,
    /// Drop.
    Deny,
}

/// Name, order and end of the tiers that are always there; nobody can move, change or delete them.
pub const BUILT_IN_TIERS: [(&str, f64, TierAction); 3] = [
    ("kube-admin", 1_000.0, TierAction::Pass),
    ("default", 1_000_000.0, TierAction::Deny),
    ("kube-baseline", 10_000_000.0, TierAction::Pass),
];

/// A policy of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkPolicy {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// Whom it selects and its rules.
    pub spec: NetworkPolicySpec,
}

/// Whom a [`NetworkPolicy`] selects and its rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkPolicySpec {
    /// The tier; empty when not given (defaulting says `default`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tier: String,
    /// The policy's place in its tier.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_order"
    )]
    pub order: Order,
    /// Rules for traffic to the selected endpoints, first match decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Rule>,
    /// Rules for traffic from the selected endpoints, first match decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Rule>,
    /// The endpoints; empty means all of the namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The directions that the policy governs; never empty once defaulted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<PolicyType>,
    /// Narrows the endpoints by labels of their service account; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account_selector: String,
    /// Hints that change no verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub performance_hints: Vec<PerformanceHint>,
}

/// A policy of the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GlobalNetworkPolicy {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// Whom it selects and its rules.
    pub spec: GlobalNetworkPolicySpec,
}

/// Whom a [`GlobalNetworkPolicy`] selects and its rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields are upstream's schema"
)]
pub struct GlobalNetworkPolicySpec {
    /// The tier; empty when not given (defaulting says `default`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tier: String,
    /// The policy's place in its tier.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_order"
    )]
    pub order: Order,
    /// Rules for traffic to the selected endpoints, first match decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Rule>,
    /// Rules for traffic from the selected endpoints, first match decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Rule>,
    /// The endpoints; empty means all, host endpoints included.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The directions that the policy governs; never empty once defaulted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<PolicyType>,
    /// Judge host traffic before connection tracking.
    #[serde(skip_serializing_if = "is_default")]
    pub do_not_track: bool,
    /// Judge host traffic before destination NAT.
    #[serde(rename = "preDNAT", skip_serializing_if = "is_default")]
    pub pre_dnat: bool,
    /// Judge traffic that a host forwards.
    #[serde(skip_serializing_if = "is_default")]
    pub apply_on_forward: bool,
    /// Narrows the endpoints by labels of their service account; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account_selector: String,
    /// Narrows the endpoints by labels of their namespace; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace_selector: String,
    /// Hints that change no verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub performance_hints: Vec<PerformanceHint>,
}

/// A hint that changes no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PerformanceHint {
    /// Every node should treat the policy as in use.
    AssumeNeededOnEveryNode,
}

/// Addresses of one namespace that selectors find by the set's labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkSet {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// The addresses.
    pub spec: NetworkSetSpec,
}

/// Addresses that selectors find by the set's labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GlobalNetworkSet {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// The addresses.
    pub spec: NetworkSetSpec,
}

/// The addresses of a [`NetworkSet`] or [`GlobalNetworkSet`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkSetSpec {
    /// CIDRs, or single addresses (defaulting gives those their prefix length).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nets: Vec<String>,
}
