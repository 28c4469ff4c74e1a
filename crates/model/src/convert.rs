//! From `api` objects to model changes: the one place where Kubernetes kinds become ordinary policies.
//!
//! Conversion never guesses: what cannot be carried over exactly is refused, with reasons. What happens to a
//! refused policy is decided by [`Converter::closed`].

mod closed;
mod cluster;
mod entity;
mod host;
mod kubernetes;
mod listed;
mod pod;
mod policy;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use oncilla_api::{FieldError, Kind, Object, ObjectKey, v1, v3};
use oncilla_net::{IpNet, parse_address, parse_cidr};

pub use closed::{Closed, FIRST_TIER};
pub(crate) use entity::in_namespace;
pub(crate) use pod::account_label;

use crate::{
    Action, Change, EndpointKey, Families, Labels, NetworkSet, NetworkSetKey, Node, Order,
    PolicyKey, PolicyKind, Profile, ProfileName, ProtocolMatch, Rule, Side, SliceKey, Tier,
    TierEnd, TierName,
};

/// The label that tells an endpoint's namespace.
pub(crate) const NAMESPACE_LABEL: &str = "projectcalico.org/namespace";
/// The label that tells who runs an endpoint.
pub(crate) const ORCHESTRATOR_LABEL: &str = "projectcalico.org/orchestrator";
/// The orchestrator of pods.
pub(crate) const KUBERNETES: &str = "k8s";
/// The label that tells an endpoint's service account.
pub(crate) const ACCOUNT_LABEL: &str = "projectcalico.org/serviceaccount";
/// Before the labels that endpoints inherit from their namespace.
pub(crate) const NAMESPACE_PREFIX: &str = "pcns.";
/// Before the labels that endpoints inherit from their service account.
pub(crate) const ACCOUNT_PREFIX: &str = "pcsa.";
/// Before the name of a profile, a label of everybody but pods that lists it. No label and no selector that people write
/// can have a colon.
pub(crate) const LISTS_PREFIX: &str = "profile:";
/// The inherited label with the name of the namespace or account, behind the prefix.
const NAME_LABEL: &str = "projectcalico.org/name";
/// The order of a tier that has none (§1.1).
const TIER_ORDER: f64 = 1_000_000.0;

/// An object that is not carried over, because that could widen what its author meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{object} is not in force: {}", list(reasons))]
pub struct Refused {
    /// The object.
    pub object: ObjectKey,
    /// Everything that is wrong with it, each with its field path.
    pub reasons: Vec<FieldError>,
}

fn list(reasons: &[FieldError]) -> String {
    reasons
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Converts objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Converter {
    interface_prefix: Arc<str>,
}

impl Default for Converter {
    /// With Calico's interface prefix, `cali`.
    fn default() -> Self {
        Self::new("cali")
    }
}

impl Converter {
    /// With a prefix for workload interfaces; its hash part has 11 characters.
    pub fn new(interface_prefix: &str) -> Self {
        Self {
            interface_prefix: interface_prefix.into(),
        }
    }

    /// What an object means. Objects that policy does not know (services) and staged policies, which are never
    /// enforced, mean nothing.
    ///
    /// # Errors
    /// [`Refused`]: nothing changes by itself; for policies ask [`Self::closed`].
    pub fn convert(&self, object: &Object) -> Result<Vec<Change>, Refused> {
        let change = match object {
            Object::Service(_) | Object::ClusterInformation(_) | Object::IPPool(_) => {
                return Ok(Vec::new());
            }
            Object::Node(node) => node_change(node),
            Object::EndpointSlice(slice) => {
                listed::slice(slice).map_err(|reasons| refused(object, reasons))?
            }
            Object::Namespace(namespace) => {
                let v1::Namespace { metadata, .. } = namespace;
                profile_change(namespace_profile(&metadata.name, &metadata.labels))
            }
            Object::ServiceAccount(account) => {
                let metadata = &account.metadata;
                let namespace = metadata.namespace.as_deref().unwrap_or("default");
                let profile = account_profile(namespace, &metadata.name, &metadata.labels);
                profile_change(profile)
            }
            Object::Pod(pod) => self.pod(pod).map_err(|reasons| refused(object, reasons))?,
            Object::Tier(_)
            | Object::GlobalNetworkSet(_)
            | Object::NetworkSet(_)
            | Object::GlobalNetworkPolicy(_)
            | Object::NetworkPolicy(_)
            | Object::KubernetesNetworkPolicy(_)
            | Object::ClusterNetworkPolicy(_) => {
                checked(object).map_err(|reasons| refused(object, reasons))?
            }
            Object::HostEndpoint(_)
            | Object::Profile(_)
            | Object::WorkloadEndpoint(_)
            | Object::FelixConfiguration(_) => {
                let object = validated(object).map_err(|reasons| refused(object, reasons))?;
                let change = match &*object {
                    Object::HostEndpoint(found) => host::host_endpoint(found).map(Some),
                    Object::Profile(profile) => host::profile(profile),
                    Object::WorkloadEndpoint(workload) => host::workload(workload),
                    // Not of the cluster but of nodes: see [`crate::Configuration`].
                    _ => Ok(None),
                };
                let change = change.map_err(|reasons| refused(&object, reasons))?;
                return Ok(change.into_iter().collect());
            }
            Object::StagedGlobalNetworkPolicy(_)
            | Object::StagedNetworkPolicy(_)
            | Object::StagedKubernetesNetworkPolicy(_) => {
                validated(object).map_err(|reasons| refused(object, reasons))?;
                return Ok(Vec::new());
            }
        };
        Ok(vec![change])
    }

    /// What the removal of an object means.
    pub fn removed(&self, object: &ObjectKey) -> Vec<Change> {
        let name: Arc<str> = object.name.as_str().into();
        let namespace = || -> Arc<str> { object.namespace.as_deref().unwrap_or_default().into() };
        vec![match object.kind {
            Kind::Service
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy
            | Kind::ClusterInformation
            | Kind::FelixConfiguration
            | Kind::IPPool => return Vec::new(),
            Kind::Profile => return host::removed_profile(&name).into_iter().collect(),
            Kind::HostEndpoint => Change::HostEndpoint(name, None),
            Kind::Node => Change::Node(name, None),
            Kind::EndpointSlice => {
                let namespace = namespace();
                Change::Slice(SliceKey { namespace, name }, None)
            }
            Kind::Namespace => Change::Profile(namespace_profile_name(&name), None),
            Kind::ServiceAccount => {
                Change::Profile(account_profile_name(&namespace(), &name), None)
            }
            Kind::WorkloadEndpoint => {
                Change::Endpoint(host::workload_key(&namespace(), &name), None)
            }
            Kind::Pod => Change::Endpoint(
                EndpointKey {
                    namespace: namespace(),
                    name,
                },
                None,
            ),
            Kind::Tier => Change::Tier(TierName(name), None),
            Kind::GlobalNetworkSet => Change::NetworkSet(
                NetworkSetKey {
                    namespace: None,
                    name,
                },
                None,
            ),
            Kind::NetworkSet => Change::NetworkSet(
                NetworkSetKey {
                    namespace: Some(namespace()),
                    name,
                },
                None,
            ),
            Kind::GlobalNetworkPolicy
            | Kind::NetworkPolicy
            | Kind::KubernetesNetworkPolicy
            | Kind::ClusterNetworkPolicy => {
                return policy_key(object)
                    .map(|key| Change::Policy(key, None))
                    .into_iter()
                    .collect();
            }
        }]
    }
}

/// The key of a policy object's policy; `None` for other kinds.
pub fn policy_key(object: &ObjectKey) -> Option<PolicyKey> {
    let kind = match object.kind {
        Kind::GlobalNetworkPolicy => PolicyKind::GlobalNetworkPolicy,
        Kind::NetworkPolicy => PolicyKind::NetworkPolicy,
        Kind::KubernetesNetworkPolicy => PolicyKind::KubernetesNetworkPolicy,
        Kind::ClusterNetworkPolicy => PolicyKind::KubernetesClusterNetworkPolicy,
        _ => return None,
    };
    let namespace = object
        .namespace
        .as_deref()
        .filter(|_| object.kind.namespaced());
    Some(PolicyKey {
        kind,
        namespace: namespace.map(Into::into),
        name: object.name.as_str().into(),
    })
}

/// A rule that matches every packet.
pub(crate) fn unconditional(action: Action) -> Rule {
    Rule {
        action,
        families: Families::BOTH,
        protocol: ProtocolMatch::default(),
        icmp: None,
        not_icmp: None,
        source: Side::default(),
        destination: Side::default(),
        index: 0,
    }
}

/// Labels from pairs; of two pairs with one name the later wins.
pub(crate) fn labels(pairs: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Labels {
    let mut sorted: Vec<(Arc<str>, Arc<str>)> = pairs.into_iter().collect();
    // Stable: of one name the last comes last.
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    sorted.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            std::mem::swap(later, kept);
        }
        is_same
    });
    sorted.into()
}

fn refused(object: &Object, reasons: Vec<FieldError>) -> Refused {
    Refused {
        object: object.key(),
        reasons,
    }
}

/// Defaults and validates once more, whatever the store did.
fn validated(object: &Object) -> Result<Cow<'_, Object>, Vec<FieldError>> {
    let mut object = Cow::Borrowed(object);
    if !object.is_defaulted() {
        object.to_mut().default_fields();
    }
    let errors = object.validate();
    if errors.is_empty() {
        Ok(object)
    } else {
        Err(errors)
    }
}

/// Converts what is valid.
fn checked(object: &Object) -> Result<Change, Vec<FieldError>> {
    let object = validated(object)?;
    match &*object {
        Object::Tier(tier) => Ok(tier_change(tier)),
        Object::GlobalNetworkSet(set) => {
            network_set(&set.metadata.name, None, &set.metadata.labels, &set.spec)
        }
        Object::NetworkSet(set) => {
            let namespace = set.metadata.namespace.as_deref();
            network_set(
                &set.metadata.name,
                namespace,
                &set.metadata.labels,
                &set.spec,
            )
        }
        _ => policy::convert(&object)
            .map(|policy| Change::Policy(policy.key.clone(), Some(Arc::new(policy)))),
    }
}

/// Names among a node's addresses are left out: only what a packet can carry is a peer.
fn node_change(node: &v1::Node) -> Change {
    let name: Arc<str> = node.metadata.name.as_str().into();
    let reported = node.status.addresses.iter();
    let mut addresses: Vec<_> = reported
        .filter_map(|each| parse_address(&each.address).ok())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let node = Node {
        name: Arc::clone(&name),
        labels: labels(pairs("", &node.metadata.labels)),
        addresses,
    };
    Change::Node(name, Some(Arc::new(node)))
}

fn tier_change(tier: &v3::Tier) -> Change {
    let name = TierName(tier.metadata.name.as_str().into());
    let end = match tier.spec.default_action {
        Some(v3::TierAction::Pass) => TierEnd::Pass,
        Some(v3::TierAction::Deny) | None => TierEnd::Deny,
    };
    let order = Order::new(Some(tier.spec.order.unwrap_or(TIER_ORDER)));
    Change::Tier(name.clone(), Some(Arc::new(Tier { name, order, end })))
}

fn network_set(
    name: &str,
    namespace: Option<&str>,
    own: &BTreeMap<String, String>,
    spec: &v3::NetworkSetSpec,
) -> Result<Change, Vec<FieldError>> {
    let mut nets: Vec<IpNet> = Vec::new();
    let mut errors = Vec::new();
    for (index, text) in spec.nets.iter().enumerate() {
        match parse_cidr(text) {
            Ok(net) => nets.push(net),
            Err(error) => {
                errors.push(FieldError::new(
                    format!("spec.nets[{index}]"),
                    error.to_string(),
                ));
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    nets.sort_unstable();
    nets.dedup();
    let key = NetworkSetKey {
        namespace: namespace.map(Into::into),
        name: name.into(),
    };
    let of_namespace = namespace.map(|namespace| (NAMESPACE_LABEL.into(), namespace.into()));
    let set = NetworkSet {
        labels: labels(pairs("", own).chain(of_namespace)),
        profiles: namespace.map(namespace_profile_name).into_iter().collect(),
        nets,
        key: key.clone(),
    };
    Ok(Change::NetworkSet(key, Some(Arc::new(set))))
}

pub(crate) fn pairs(
    prefix: &str,
    labels: &BTreeMap<String, String>,
) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    labels.iter().map(move |(name, value)| {
        let name = match prefix {
            "" => Arc::from(name.as_str()),
            prefix => Arc::from([prefix, name].concat()),
        };
        (name, Arc::from(value.as_str()))
    })
}

pub(crate) fn namespace_profile_name(namespace: &str) -> ProfileName {
    ProfileName(["kns.", namespace].concat().into())
}

pub(crate) fn account_profile_name(namespace: &str, account: &str) -> ProfileName {
    ProfileName(["ksa.", namespace, ".", account].concat().into())
}

/// A namespace allows everything; policies take away.
fn namespace_profile(name: &str, given: &BTreeMap<String, String>) -> Profile {
    // The same for all of them: there are as many as namespaces.
    static ALLOW: LazyLock<Arc<[Rule]>> = LazyLock::new(|| [unconditional(Action::Allow)].into());
    let own = (
        format!("{NAMESPACE_PREFIX}{NAME_LABEL}").into(),
        name.into(),
    );
    let allow = Arc::clone(&ALLOW);
    Profile {
        name: namespace_profile_name(name),
        labels: labels(pairs(NAMESPACE_PREFIX, given).chain([own])),
        ingress: Arc::clone(&allow),
        egress: allow,
        is_obscure: false,
    }
}

fn account_profile(namespace: &str, name: &str, given: &BTreeMap<String, String>) -> Profile {
    let own = (format!("{ACCOUNT_PREFIX}{NAME_LABEL}").into(), name.into());
    Profile {
        name: account_profile_name(namespace, name),
        labels: labels(pairs(ACCOUNT_PREFIX, given).chain([own])),
        ingress: [].into(),
        egress: [].into(),
        is_obscure: false,
    }
}

fn profile_change(profile: Profile) -> Change {
    Change::Profile(profile.name.clone(), Some(Arc::new(profile)))
}
