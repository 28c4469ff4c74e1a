//! `policy.networking.k8s.io/v1alpha2`: the cluster's own network policy of Kubernetes, for administrators.
//!
//! Fields that oncilla does not support yet are here too: validation refuses them by name instead of calling
//! them unknown.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::{LabelSelector, ObjectMeta};

/// A policy of the whole cluster, before or behind those of the namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterNetworkPolicy {
    /// Name and labels.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Whom it selects and its rules.
    pub spec: ClusterNetworkPolicySpec,
    /// Conditions, kept as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

/// Whom a [`ClusterNetworkPolicy`] selects and its rules. A direction without rules is not governed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterNetworkPolicySpec {
    /// Before the policies of namespaces, or behind them; always given once validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The policy's place in its tier, smaller is earlier; always given once validated, which says also which
    /// numbers may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// The pods.
    #[serde(default)]
    pub subject: Subject,
    /// Rules for traffic to the pods, first match decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<IngressRule>,
    /// Rules for traffic from the pods, first match decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<EgressRule>,
}

/// Where a [`ClusterNetworkPolicy`] stands among all policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Before the policies of namespaces, which cannot override it.
    Admin,
    /// Behind the policies of namespaces: for what those leave undecided.
    Baseline,
}

impl Tier {
    /// The built-in tier that holds these policies.
    pub const fn built_in(self) -> &'static str {
        match self {
            Self::Admin => "kube-admin",
            Self::Baseline => "kube-baseline",
        }
    }
}

/// The pods that a policy selects. Exactly one field is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Subject {
    /// All pods of these namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
}

/// Some pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespacedPod {
    /// The namespaces; the empty selector is all of them.
    #[serde(default)]
    pub namespace_selector: LabelSelector,
    /// The pods; the empty selector is all of them.
    pub pod_selector: LabelSelector,
}

/// A rule for traffic that comes in: from one of the peers, by one of the protocols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressRule {
    /// What people call the rule.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it does.
    pub action: Action,
    /// The sources; never empty once validated.
    pub from: Vec<IngressPeer>,
    /// What the traffic is; `None` means everything, and validation refuses an empty list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Protocol>>,
}

/// A rule for traffic that goes out: to one of the peers, by one of the protocols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressRule {
    /// What people call the rule.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it does.
    pub action: Action,
    /// The destinations; never empty once validated.
    pub to: Vec<EgressPeer>,
    /// What the traffic is; `None` means everything, and validation refuses an empty list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Protocol>>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// This end accepts.
    Accept,
    /// Drop.
    Deny,
    /// Go to the next tier.
    Pass,
}

/// A source. Exactly one field is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IngressPeer {
    /// All pods of these namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
}

/// A destination. Exactly one field is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EgressPeer {
    /// All pods of these namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
    /// The addresses in the status of these nodes, by the labels of the Node objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<LabelSelector>,
    /// CIDRs as written; host bits are masked away once defaulted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// What these names resolve to. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_names: Option<Vec<String>>,
}

/// What traffic is. Exactly one field is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Protocol {
    /// TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Transport>,
    /// UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<Transport>,
    /// SCTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sctp: Option<Transport>,
    /// A port by the name that a container gives it, of any protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_named_port: Option<String>,
}

/// What is asked of a protocol with ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Transport {
    /// The destination port; always given once validated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<Port>,
}

/// One port or a range of them. Exactly one field is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Port {
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// The ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<PortRange>,
}

/// Ports from the first to the last, both included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortRange {
    /// The first.
    pub start: i64,
    /// The last.
    pub end: i64,
}

impl Port {
    /// The first and the last port as written; `None` when not exactly one field is given.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match (self.number, &self.range) {
            (Some(number), None) => Some((number, number)),
            (None, Some(range)) => Some((range.start, range.end)),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}
