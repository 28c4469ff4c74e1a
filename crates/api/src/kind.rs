//! The kinds of objects: names, groups, aliases, and what is known but not supported yet.

mod catalogue;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;
use catalogue::{FOREIGN, Names};

/// A supported kind. Sorts in the order in which objects can be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `v1` `Namespace`.
    Namespace,
    /// `v1` `Node`.
    Node,
    /// `v1` `ServiceAccount`.
    ServiceAccount,
    /// `v1` `Service`.
    Service,
    /// `discovery.k8s.io/v1` `EndpointSlice`.
    EndpointSlice,
    /// `projectcalico.org/v3` `Tier`.
    Tier,
    /// `projectcalico.org/v3` `ClusterInformation`.
    ClusterInformation,
    /// `projectcalico.org/v3` `FelixConfiguration`.
    FelixConfiguration,
    /// `projectcalico.org/v3` `IPPool`.
    IPPool,
    /// `projectcalico.org/v3` `Profile`.
    Profile,
    /// `projectcalico.org/v3` `GlobalNetworkSet`.
    GlobalNetworkSet,
    /// `projectcalico.org/v3` `NetworkSet`.
    NetworkSet,
    /// `projectcalico.org/v3` `GlobalNetworkPolicy`.
    GlobalNetworkPolicy,
    /// `projectcalico.org/v3` `NetworkPolicy`.
    NetworkPolicy,
    /// `networking.k8s.io/v1` `NetworkPolicy`.
    KubernetesNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2` `ClusterNetworkPolicy`.
    ClusterNetworkPolicy,
    /// `projectcalico.org/v3` `StagedGlobalNetworkPolicy`.
    StagedGlobalNetworkPolicy,
    /// `projectcalico.org/v3` `StagedNetworkPolicy`.
    StagedNetworkPolicy,
    /// `projectcalico.org/v3` `StagedKubernetesNetworkPolicy`.
    StagedKubernetesNetworkPolicy,
    /// `projectcalico.org/v3` `HostEndpoint`.
    HostEndpoint,
    /// `projectcalico.org/v3` `WorkloadEndpoint`.
    WorkloadEndpoint,
    /// `v1` `Pod`.
    Pod,
}

impl Kind {
    /// Every supported kind, in creation order.
    pub const ALL: [Self; 22] = [
        Self::Namespace,
        Self::Node,
        Self::ServiceAccount,
        Self::Service,
        Self::EndpointSlice,
        Self::Tier,
        Self::ClusterInformation,
        Self::FelixConfiguration,
        Self::IPPool,
        Self::Profile,
        Self::GlobalNetworkSet,
        Self::NetworkSet,
        Self::GlobalNetworkPolicy,
        Self::NetworkPolicy,
        Self::KubernetesNetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::StagedGlobalNetworkPolicy,
        Self::StagedNetworkPolicy,
        Self::StagedKubernetesNetworkPolicy,
        Self::HostEndpoint,
        Self::WorkloadEndpoint,
        Self::Pod,
    ];

    /// The API group; empty for the core group.
    pub fn group(self) -> &'static str {
        self.names().group
    }

    /// The version in the group.
    pub fn version(self) -> &'static str {
        self.names().version
    }

    /// `apiVersion` as written in manifests: `v1`, `projectcalico.org/v3`.
    pub fn api_version(self) -> &'static str {
        self.names().api_version
    }

    /// `kind` as written in manifests. Two kinds are called `NetworkPolicy`.
    pub fn kind_name(self) -> &'static str {
        self.names().kind
    }

    /// The resource in URLs: `networkpolicies`.
    pub fn plural(self) -> &'static str {
        self.names().plural
    }

    /// The singular on command lines: `networkpolicy`.
    pub fn singular(self) -> &'static str {
        self.names().singular
    }

    /// Aliases that kubectl and calicoctl know.
    pub fn short_names(self) -> &'static [&'static str] {
        self.names().short
    }

    /// Whether objects live in a namespace.
    pub fn namespaced(self) -> bool {
        self.names().namespaced
    }

    /// The kind that a command line means, as in `get networkpolicy.p`: a plural, singular, alias or kind
    /// name in any case, optionally with a dot and the beginning of its group, or version and group.
    ///
    /// Where names clash kubectl's answer is taken: `networkpolicy` is Kubernetes' own.
    ///
    /// # Errors
    /// [`KindError`] for kinds that are not supported yet and for unknown ones.
    pub fn parse(resource: &str) -> Result<Self, KindError> {
        let wanted = resource.to_ascii_lowercase();
        let (name, suffix) = match wanted.split_once('.') {
            Some((name, suffix)) => (name, Some(suffix)),
            None => (wanted.as_str(), None),
        };
        // Kubernetes' own kinds win a clash, as kubectl prefers them; hence not creation order.
        let by_preference = Self::ALL
            .into_iter()
            .filter(|kind| !kind.is_calico())
            .chain(Self::ALL.into_iter().filter(|kind| kind.is_calico()));
        for kind in by_preference {
            if kind.names().answers_to(name, suffix) {
                return Ok(kind);
            }
        }
        if let Some(names) = FOREIGN.iter().find(|names| names.answers_to(name, suffix)) {
            return Err(names.not_supported());
        }
        let known = Self::ALL
            .into_iter()
            .flat_map(|kind| [kind.singular(), kind.plural()]);
        Err(KindError::UnknownResource {
            resource: resource.to_owned(),
            nearest: nearest(name, known),
        })
    }

    /// The kind that `apiVersion` and `kind` of a manifest name.
    ///
    /// # Errors
    /// [`KindError`] for kinds that are not supported yet, unknown ones, and known ones of another version.
    pub fn of_manifest(api_version: &str, kind: &str) -> Result<Self, KindError> {
        let exact = Self::ALL
            .into_iter()
            .find(|known| known.api_version() == api_version && known.kind_name() == kind);
        if let Some(found) = exact {
            return Ok(found);
        }
        let foreign = FOREIGN
            .iter()
            .find(|names| names.kind == kind && names.api_version == api_version);
        if let Some(names) = foreign {
            return Err(names.not_supported());
        }
        let supported = || Self::ALL.into_iter().map(Self::names);
        let mut versions: Vec<&'static str> = supported()
            .filter(|names| names.kind == kind)
            .map(|names| names.api_version)
            .collect();
        if versions.is_empty() {
            if let Some(names) = FOREIGN.iter().find(|names| names.kind == kind) {
                return Err(names.not_supported());
            }
            return Err(KindError::Unknown {
                kind: kind.to_owned(),
                api_version: api_version.to_owned(),
                nearest: nearest(kind, supported().map(|names| names.kind)),
            });
        }
        versions.sort_unstable();
        Err(KindError::WrongVersion {
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
            expected: versions.join(" or "),
        })
    }

    /// Whether objects of the kind are policies that are enforced.
    pub fn is_policy(self) -> bool {
        matches!(
            self,
            Self::GlobalNetworkPolicy
                | Self::NetworkPolicy
                | Self::KubernetesNetworkPolicy
                | Self::ClusterNetworkPolicy
        )
    }

    /// Whether the kind is one of Calico's.
    pub fn is_calico(self) -> bool {
        self.group() == catalogue::CALICO_GROUP
    }

    fn names(self) -> &'static Names {
        catalogue::of(self)
    }
}

/// The kind's name as in manifests; the two network policies read alike.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind_name())
    }
}

/// A kind that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// A kind that people use with Kubernetes or Calico, and that oncilla does not know how to serve.
    #[error("{kind} ({api_version}) is not supported yet")]
    NotSupported {
        /// The kind's name.
        kind: &'static str,
        /// The API version that has it.
        api_version: &'static str,
    },
    /// A known kind in an API version that does not have it.
    #[error("kind {kind:?} is not in {api_version:?}: expected {expected}")]
    WrongVersion {
        /// The kind as written.
        kind: String,
        /// The API version as written.
        api_version: String,
        /// The API versions that have the kind.
        expected: String,
    },
    /// A kind that nobody knows.
    #[error("unknown kind {kind:?} in {api_version:?}")]
    Unknown {
        /// The kind as written.
        kind: String,
        /// The API version as written.
        api_version: String,
        /// A known kind that is written nearly so.
        nearest: Option<String>,
    },
    /// A word on a command line that names no kind.
    #[error("unknown kind {resource:?}{}", did_you_mean(nearest.as_deref()))]
    UnknownResource {
        /// The word as written.
        resource: String,
        /// A known name that is written nearly so.
        nearest: Option<String>,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}
