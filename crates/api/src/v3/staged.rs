//! Staged policies: what somebody means to write, kept beside what is in force.
//!
//! A staged kind has the fields of the enforced one and says in `stagedAction` what shall become of the
//! enforced policy of the same name. It is evaluated for reports and never enforced.

use serde::{Deserialize, Serialize};

use super::{
    GlobalNetworkPolicy, GlobalNetworkPolicySpec, NetworkPolicy, NetworkPolicySpec, Order,
    PerformanceHint, Rule,
};
use crate::absent::{is_default, serialize_order};
use crate::k8s::{
    EgressRule, IngressRule, NetworkPolicy as KubernetesPolicy,
    NetworkPolicySpec as KubernetesPolicySpec,
};
use crate::kind::Kind;
use crate::meta::{LabelSelector, ObjectMeta, PolicyType};
use crate::object::Object;

/// What shall become of the enforced policy of the same name and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StagedAction {
    /// It shall say what the staged one says.
    Set,
    /// It shall be deleted.
    Delete,
    /// Nothing: a tool collects what the policy could say.
    Learn,
    /// Nothing.
    Ignore,
}

macro_rules! staged {
    ($(#[$doc:meta])* $staged:ident: $(#[$spec_doc:meta])* $spec:ident,
    for $enforced:ident $rest:tt: $enforced_spec:ident {
        $($(#[$attribute:meta])* $field:ident: $type:ty,)*
    }, beside Delete [$($own:ident)?]) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $staged {
            /// Name and labels; the enforced policy has the same name.
            pub metadata: ObjectMeta,
            /// What is meant, whom it selects and its rules.
            pub spec: $spec,
        }

        $(#[$spec_doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $spec {
            /// What is meant; `None` when not given (defaulting says Set).
            #[serde(skip_serializing_if = "Option::is_none")]
            pub staged_action: Option<StagedAction>,
            $(
                /// As in the enforced kind.
                $(#[$attribute])*
                pub $field: $type,
            )*
        }

        impl $staged {
            /// The policy that would be in force if this one were set. It has no identity of its own yet.
            pub fn promoted(&self) -> $enforced {
                let $spec { staged_action: _, $($field,)* } = self.spec.clone();
                promoted!($enforced $rest, promoted_metadata(&self.metadata), $enforced_spec { $($field,)* })
            }
        }

        impl $spec {
            /// Whether no field is given but those that a deletion may have.
            pub(crate) fn is_bare(&self) -> bool {
                let bare = Self {
                    staged_action: self.staged_action,
                    $($own: self.$own.clone(),)?
                    ..Self::default()
                };
                *self == bare
            }
        }
    };
}

macro_rules! promoted {
    ($enforced:ident {$($rest:tt)*}, $metadata:expr, $spec:expr) => {
        $enforced { metadata: $metadata, spec: $spec, $($rest)* }
    };
}

staged! {
    /// A [`NetworkPolicy`] that is not enforced.
    StagedNetworkPolicy:
    /// What a [`StagedNetworkPolicy`] means, whom it selects and its rules.
    StagedNetworkPolicySpec,
    for NetworkPolicy {}: NetworkPolicySpec {
        #[serde(skip_serializing_if = "String::is_empty")]
        tier: String,
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_order")]
        order: Order,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ingress: Vec<Rule>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        egress: Vec<Rule>,
        #[serde(skip_serializing_if = "String::is_empty")]
        selector: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        types: Vec<PolicyType>,
        #[serde(skip_serializing_if = "String::is_empty")]
        service_account_selector: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        performance_hints: Vec<PerformanceHint>,
    },
    beside Delete [tier]
}

staged! {
    /// A [`GlobalNetworkPolicy`] that is not enforced.
    StagedGlobalNetworkPolicy:
    /// What a [`StagedGlobalNetworkPolicy`] means, whom it selects and its rules.
    StagedGlobalNetworkPolicySpec,
    for GlobalNetworkPolicy {}: GlobalNetworkPolicySpec {
        #[serde(skip_serializing_if = "String::is_empty")]
        tier: String,
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_order")]
        order: Order,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ingress: Vec<Rule>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        egress: Vec<Rule>,
        #[serde(skip_serializing_if = "String::is_empty")]
        selector: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        types: Vec<PolicyType>,
        #[serde(skip_serializing_if = "is_default")]
        do_not_track: bool,
        #[serde(rename = "preDNAT", skip_serializing_if = "is_default")]
        pre_dnat: bool,
        #[serde(skip_serializing_if = "is_default")]
        apply_on_forward: bool,
        #[serde(skip_serializing_if = "String::is_empty")]
        service_account_selector: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        namespace_selector: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        performance_hints: Vec<PerformanceHint>,
    },
    beside Delete [tier]
}

staged! {
    /// A [Kubernetes network policy](KubernetesPolicy) that is not enforced. It is in the tier `default`.
    StagedKubernetesNetworkPolicy:
    /// What a [`StagedKubernetesNetworkPolicy`] means, whom it selects and what it allows.
    StagedKubernetesNetworkPolicySpec,
    for KubernetesPolicy { status: None }: KubernetesPolicySpec {
        pod_selector: LabelSelector,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ingress: Vec<IngressRule>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        egress: Vec<EgressRule>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        policy_types: Vec<PolicyType>,
    },
    beside Delete []
}

/// Version, times and identity belong to the staged object alone.
fn promoted_metadata(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        ..ObjectMeta::default()
    }
}

impl Kind {
    /// The enforced kind that a staged kind stands for; `None` for all other kinds.
    pub fn promoted(self) -> Option<Self> {
        match self {
            Self::StagedNetworkPolicy => Some(Self::NetworkPolicy),
            Self::StagedGlobalNetworkPolicy => Some(Self::GlobalNetworkPolicy),
            Self::StagedKubernetesNetworkPolicy => Some(Self::KubernetesNetworkPolicy),
            _ => None,
        }
    }
}

impl Object {
    /// What a staged policy means, and the policy that would be in force if it were set; `None` for all
    /// other kinds.
    pub fn promoted(&self) -> Option<(StagedAction, Self)> {
        let (action, promoted) = match self {
            Self::StagedNetworkPolicy(policy) => {
                (policy.spec.staged_action, policy.promoted().into())
            }
            Self::StagedGlobalNetworkPolicy(policy) => {
                (policy.spec.staged_action, policy.promoted().into())
            }
            Self::StagedKubernetesNetworkPolicy(policy) => {
                (policy.spec.staged_action, policy.promoted().into())
            }
            _ => return None,
        };
        Some((action.unwrap_or(StagedAction::Set), promoted))
    }
}
