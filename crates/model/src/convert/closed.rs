//! What stands in for an object that cannot be understood: never more access than it could have given.
//!
//! What its author certainly wrote is read from the [`Remains`]; all else is closed.
//!
//! - **Policy**: it denies everything that it may select, in the directions that it may govern, at its
//!   place. An unknown selector selects everybody (of its namespace), an unknown order is first in its tier,
//!   and a policy of which even the tier is unknown denies in a tier of its own, before all others.
//!   Of a policy of the cluster a faulty rule fails closed alone, as its standard asks: one that would accept
//!   matches nothing, any other denies everything. Its tier, when unknown, is the first of the two it can have.
//!   A packet that meets such a policy is denied; one that does not is judged as if nothing were broken.
//! - **Tier**: it denies at its end. With an unknown order it is first, and its rules doubt, see
//!   [`Doubts`](crate::Doubts): whatever its place, its Deny comes first and its Allow does not come early.
//! - **Network set**: the CIDRs that can be read stay, when its labels can be read; and as nobody knows
//!   which others it holds, rules doubt, see [`Doubts`](crate::Doubts).
//! - **Pod**: its interface is cut off; and as nobody knows which addresses and ports it has, rules doubt.
//! - **Namespace, service account**: all that matters of them are their labels. When those cannot be read, the pods that
//!   inherit them are closed, as nobody knows which policies select them, and rules doubt whether they mean them.
//! - **Node**: nobody knows its addresses, so rules that may mean it doubt.
//! - **Profile**: it denies; without its labels the host endpoints that list it are closed.
//! - **Slice of endpoints**: it lists nothing, and rules that ask for its service doubt.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::discovery::SERVICE_NAME_LABEL;
use oncilla_api::v3::{GlobalNetworkPolicySpec, NetworkPolicySpec, NetworkSetSpec};
use oncilla_api::{Kind, LabelSelector, ObjectKey, PolicyType, Remains, Remnant};
use oncilla_net::{IpNet, parse_address, parse_cidr};
use oncilla_selector::Selector;

use super::entity::in_namespace;
use super::{
    Converter, TIER_ORDER, account_profile, account_profile_name, cluster, host, kubernetes,
    namespace_profile, namespace_profile_name, network_set, pod, policy, policy_key,
    profile_change, unconditional,
};
use crate::doubt::{Doubt, Heirs, Obscure};
use crate::{
    Action, Applies, Change, Labels, NetworkSetKey, Order, Policy, PolicyKey, PolicyKind, Profile,
    ProfileName, Rule, SliceKey, Tier, TierEnd, TierName,
};

/// The tier of policies whose tier is unknown. No tier can be called so: it is no DNS label.
pub const FIRST_TIER: &str = "oncilla.unreadable";
/// Nothing sorts before it.
const FIRST: f64 = f64::NEG_INFINITY;
/// The order of the tiers that exist in every cluster; nothing can move them.
const BUILT_IN_TIERS: [(&str, f64, TierEnd); 3] = [
    ("kube-admin", 1000.0, TierEnd::Pass),
    ("default", TIER_ORDER, TierEnd::Deny),
    ("kube-baseline", 10_000_000.0, TierEnd::Pass),
];

/// What goes in force instead of an object.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Closed {
    /// The changes; none for kinds that policy does not know.
    pub changes: Vec<Change>,
    /// What rules cannot know as long as the object stays as it is.
    pub doubt: Option<Doubt>,
}

impl Converter {
    /// What the agent puts in force instead of an object that was refused, when no version before it is
    /// known; such a one stays in force.
    pub fn closed(&self, key: &ObjectKey, remains: &Remains) -> Closed {
        match key.kind {
            Kind::GlobalNetworkPolicy
            | Kind::NetworkPolicy
            | Kind::KubernetesNetworkPolicy
            | Kind::ClusterNetworkPolicy => Closed {
                changes: policy_key(key)
                    .map(|key| closed_policy(key, remains))
                    .unwrap_or_default(),
                doubt: None,
            },
            Kind::Tier => closed_tier(&key.name, remains),
            Kind::HostEndpoint => host::closed_host(key, remains),
            Kind::Namespace => closed_namespace(&key.name, remains),
            Kind::ServiceAccount => closed_account(key, remains),
            Kind::Pod => pod::closed_pod(key, remains),
            Kind::WorkloadEndpoint => host::closed_workload(key, remains),
            Kind::GlobalNetworkSet | Kind::NetworkSet => closed_set(key, remains),
            Kind::EndpointSlice => closed_slice(key, remains),
            Kind::Service
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy
            | Kind::ClusterInformation
            | Kind::FelixConfiguration
            | Kind::IPPool => Closed::default(),
            Kind::Profile => host::closed_profile(key, remains),
            Kind::Node => closed_node(key, remains),
        }
    }
}

fn closed_policy(key: PolicyKey, remains: &Remains) -> Vec<Change> {
    if key.kind == PolicyKind::KubernetesClusterNetworkPolicy {
        let policy = cluster::closed(key.clone(), remains);
        return vec![Change::Policy(key, Some(Arc::new(policy)))];
    }
    let (tier, order) = place(key.kind, remains);
    let types = directions(key.kind, remains);
    let deny: Arc<[Rule]> = [unconditional(Action::Deny)].into();
    let governs = |direction| types.contains(&direction).then(|| Arc::clone(&deny));
    let selector = selects(&key, remains).unwrap_or_else(|| match &key.namespace {
        Some(namespace) => in_namespace(namespace),
        None => Selector::all(),
    });
    let own_tier = tier.is_none().then(|| {
        let tier = Tier {
            name: TierName(FIRST_TIER.into()),
            order: Order::new(Some(FIRST)),
            end: TierEnd::Deny,
        };
        Change::Tier(tier.name.clone(), Some(Arc::new(tier)))
    });
    let policy = Policy {
        key: key.clone(),
        tier: tier.unwrap_or_else(|| TierName(FIRST_TIER.into())),
        order,
        applies: applies(key.kind, remains),
        selector,
        ingress: governs(PolicyType::Ingress),
        egress: governs(PolicyType::Egress),
    };
    let policy = Change::Policy(key, Some(Arc::new(policy)));
    own_tier.into_iter().chain([policy]).collect()
}

/// To which packets the policy may have applied: to all, where that cannot be read.
fn applies(kind: PolicyKind, remains: &Remains) -> Applies {
    if kind != PolicyKind::GlobalNetworkPolicy {
        return Applies::Normal;
    }
    let flag = |path| match remains.field(path) {
        Remnant::Absent => Some(false),
        Remnant::Is(value) => value.as_bool(),
        Remnant::Unknown => None,
    };
    let flags = ["spec.doNotTrack", "spec.preDNAT", "spec.applyOnForward"].map(flag);
    match flags {
        [Some(false), Some(false), Some(false)] => Applies::Normal,
        [Some(false), Some(false), Some(true)] => Applies::Forward,
        [Some(true), Some(false), _] => Applies::Untracked,
        [Some(false), Some(true), _] => Applies::PreDnat,
        _ => Applies::Everywhere,
    }
}

/// The tier, when it is known, and the place in it.
fn place(kind: PolicyKind, remains: &Remains) -> (Option<TierName>, Order) {
    if kind == PolicyKind::KubernetesNetworkPolicy {
        let order = Order::new(Some(kubernetes::ORDER));
        return (Some(policy::tier("")), order);
    }
    let order = order(remains, Order::LAST).unwrap_or(Order::new(Some(FIRST)));
    (remains.text("spec.tier").map(policy::tier), order)
}

fn order(remains: &Remains, default: Order) -> Option<Order> {
    match remains.field("spec.order") {
        Remnant::Absent => Some(default),
        Remnant::Is(order) => order.as_f64().map(|order| Order::new(Some(order))),
        Remnant::Unknown => None,
    }
}

/// The directions that the policy may govern; the default is that of its kind.
fn directions(kind: PolicyKind, remains: &Remains) -> Vec<PolicyType> {
    let field = match kind {
        PolicyKind::KubernetesNetworkPolicy => "spec.policyTypes",
        PolicyKind::GlobalNetworkPolicy
        | PolicyKind::NetworkPolicy
        | PolicyKind::KubernetesClusterNetworkPolicy => "spec.types",
    };
    let both = vec![PolicyType::Ingress, PolicyType::Egress];
    match remains.read::<Vec<PolicyType>>(field) {
        Some(types) if !types.is_empty() => types,
        Some(_) => match (remains.count("spec.ingress"), remains.count("spec.egress")) {
            (Some(_), Some(0)) => vec![PolicyType::Ingress],
            (Some(0), Some(_)) if kind != PolicyKind::KubernetesNetworkPolicy => {
                vec![PolicyType::Egress]
            }
            _ => both,
        },
        None => both,
    }
}

/// Whom the policy selects, when all of its selectors can be read.
fn selects(key: &PolicyKey, remains: &Remains) -> Option<Selector> {
    let text = |path| remains.text(path).map(str::to_owned);
    let namespace = key.namespace.as_deref().unwrap_or("default");
    match key.kind {
        PolicyKind::GlobalNetworkPolicy => policy::global_selector(&GlobalNetworkPolicySpec {
            selector: text("spec.selector")?,
            service_account_selector: text("spec.serviceAccountSelector")?,
            namespace_selector: text("spec.namespaceSelector")?,
            ..GlobalNetworkPolicySpec::default()
        })
        .ok(),
        PolicyKind::NetworkPolicy => {
            let spec = NetworkPolicySpec {
                selector: text("spec.selector")?,
                service_account_selector: text("spec.serviceAccountSelector")?,
                ..NetworkPolicySpec::default()
            };
            policy::namespaced_selector(namespace, &spec).ok()
        }
        PolicyKind::KubernetesNetworkPolicy => {
            let pods: LabelSelector = remains.read("spec.podSelector")?;
            Some(kubernetes::selects(namespace, &pods))
        }
        // Closed by itself.
        PolicyKind::KubernetesClusterNetworkPolicy => None,
    }
}

fn closed_tier(name: &str, remains: &Remains) -> Closed {
    let built_in = BUILT_IN_TIERS.iter().find(|(known, ..)| *known == name);
    let (order, end) = match built_in {
        Some((_, order, end)) => (Some(Order::new(Some(*order))), *end),
        None => (order(remains, Order::new(Some(TIER_ORDER))), TierEnd::Deny),
    };
    let name = TierName(name.into());
    let tier = Tier {
        name: name.clone(),
        order: order.unwrap_or(Order::new(Some(FIRST))),
        end,
    };
    Closed {
        changes: vec![Change::Tier(name.clone(), Some(Arc::new(tier)))],
        doubt: order.is_none().then_some(Doubt::Place(name)),
    }
}

fn closed_set(key: &ObjectKey, remains: &Remains) -> Closed {
    let namespace = key.namespace.as_deref().filter(|_| key.kind.namespaced());
    let labels: Option<BTreeMap<String, String>> = remains.read("metadata.labels");
    let change = labels.as_ref().and_then(|labels| {
        let nets = remains.items("spec.nets").iter();
        let readable = nets.filter_map(|net| readable_net(net.as_str()?));
        let spec = NetworkSetSpec {
            nets: readable.map(|net| net.to_string()).collect(),
        };
        network_set(&key.name, namespace, labels, &spec).ok()
    });
    let gone = || {
        let key = NetworkSetKey {
            namespace: namespace.map(Into::into),
            name: key.name.as_str().into(),
        };
        Change::NetworkSet(key, None)
    };
    Closed {
        changes: vec![change.unwrap_or_else(gone)],
        doubt: Some(Doubt::Holds(Obscure::set(namespace, labels.as_ref()))),
    }
}

fn closed_namespace(name: &str, remains: &Remains) -> Closed {
    let labels: Option<BTreeMap<String, String>> = remains.read("metadata.labels");
    match labels {
        Some(labels) => Closed {
            changes: vec![profile_change(namespace_profile(name, &labels))],
            doubt: None,
        },
        None => Closed {
            changes: vec![profile_change(obscure(namespace_profile_name(name)))],
            doubt: Some(Doubt::Inherits(Heirs::of_namespace(name))),
        },
    }
}

fn closed_account(key: &ObjectKey, remains: &Remains) -> Closed {
    let namespace = key.namespace.as_deref().unwrap_or("default");
    let labels: Option<BTreeMap<String, String>> = remains.read("metadata.labels");
    match labels {
        Some(labels) => Closed {
            changes: vec![profile_change(account_profile(
                namespace, &key.name, &labels,
            ))],
            doubt: None,
        },
        None => Closed {
            changes: vec![profile_change(obscure(account_profile_name(
                namespace, &key.name,
            )))],
            doubt: Some(Doubt::Inherits(Heirs::of_account(namespace, &key.name))),
        },
    }
}

/// A profile of which nobody knows what labels it gives.
fn obscure(name: ProfileName) -> Profile {
    let deny: Arc<[Rule]> = [unconditional(Action::Deny)].into();
    Profile {
        name,
        labels: Labels::from([]),
        ingress: Arc::clone(&deny),
        egress: deny,
        is_obscure: true,
    }
}

fn closed_node(key: &ObjectKey, remains: &Remains) -> Closed {
    let labels: Option<BTreeMap<String, String>> = remains.read("metadata.labels");
    Closed {
        changes: vec![Change::Node(key.name.as_str().into(), None)],
        doubt: Some(Doubt::Node(Obscure::set(None, labels.as_ref()))),
    }
}

/// Nobody knows whose endpoints an unreadable slice lists but for its namespace, or which.
fn closed_slice(key: &ObjectKey, remains: &Remains) -> Closed {
    let namespace: Arc<str> = key.namespace.as_deref().unwrap_or("default").into();
    let labels: Option<BTreeMap<String, String>> = remains.read("metadata.labels");
    let gone = SliceKey {
        namespace: Arc::clone(&namespace),
        name: key.name.as_str().into(),
    };
    let doubt = match labels {
        // A slice without the label is nobody's, whatever it holds.
        Some(labels) => labels.get(SERVICE_NAME_LABEL).map(|name| Doubt::Serves {
            namespace,
            service: Some(name.as_str().into()),
        }),
        None => Some(Doubt::Serves {
            namespace,
            service: None,
        }),
    };
    Closed {
        changes: vec![Change::Slice(gone, None)],
        doubt,
    }
}

fn readable_net(text: &str) -> Option<IpNet> {
    let address = parse_address(text).ok().map(IpNet::from);
    address.or_else(|| parse_cidr(text).ok())
}
