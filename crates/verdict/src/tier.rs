//! Tiers in their order, each with its policies in theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::v3::{self, TierAction};
use oncilla_api::{Kind, Object, ObjectKey, Remains, Remnant};

use crate::cluster::Cluster;
use crate::policy::{FIRST_TIER, Policy};

/// The order of a tier that has none.
const DEFAULT_ORDER: f64 = 1_000_000.0;

/// The tiers that exist in every cluster; nothing can move or change them.
const BUILT_IN: [(&str, f64, TierAction); 3] = [
    ("kube-admin", 1_000.0, TierAction::Pass),
    ("default", DEFAULT_ORDER, TierAction::Deny),
    ("kube-baseline", 10_000_000.0, TierAction::Pass),
];

#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) name: Arc<str>,
    /// Infinite for a missing tier.
    pub(crate) order: f64,
    /// Whether there is such a tier; its policies are enforced anyhow, behind all others.
    pub(crate) exists: bool,
    pub(crate) default_action: TierAction,
    pub(crate) policies: Vec<Policy>,
}

impl Tier {
    fn existing(tier: &v3::Tier) -> Self {
        Self {
            name: tier.metadata.name.as_str().into(),
            order: tier
                .spec
                .order
                .filter(|order| !order.is_nan())
                .unwrap_or(DEFAULT_ORDER),
            exists: true,
            default_action: tier.spec.default_action.unwrap_or(TierAction::Deny),
            policies: Vec::new(),
        }
    }

    /// A tier that the API would refuse: at its place when that can be read, else first of all.
    fn broken(name: &str, remains: &Remains) -> (Self, bool) {
        let order = match remains.field("spec.order") {
            Remnant::Absent => Some(DEFAULT_ORDER),
            Remnant::Is(order) => order.as_f64(),
            Remnant::Unknown => None,
        };
        let tier = Self {
            name: name.into(),
            order: order.unwrap_or(f64::NEG_INFINITY),
            exists: true,
            default_action: TierAction::Deny,
            policies: Vec::new(),
        };
        (tier, order.is_none())
    }

    /// The place of policies whose tier is unknown.
    fn first() -> Self {
        Self {
            name: FIRST_TIER.into(),
            order: f64::NEG_INFINITY,
            exists: true,
            default_action: TierAction::Deny,
            policies: Vec::new(),
        }
    }

    fn missing(name: &str) -> Self {
        Self {
            name: name.into(),
            order: f64::INFINITY,
            exists: false,
            default_action: TierAction::Deny,
            policies: Vec::new(),
        }
    }

    /// All tiers of a cluster with their policies, in the order in which they are asked. `broken` is what
    /// the API would refuse.
    pub(crate) fn all(cluster: &Cluster, broken: &BTreeMap<ObjectKey, Remains>) -> Vec<Self> {
        let mut tiers = Self::without_policies(cluster, broken);
        let whole = cluster
            .objects()
            .filter(|object| !broken.contains_key(&object.key()));
        let closed = broken.iter().filter_map(|(key, remains)| {
            let object = cluster.object(key);
            Policy::closed(key, remains, object)
        });
        for policy in whole.filter_map(Policy::read).chain(closed) {
            let (tier, is_lost) =
                tiers
                    .entry(policy.tier.clone())
                    .or_insert_with_key(|name| match name.as_str() {
                        FIRST_TIER => (Self::first(), false),
                        name => (Self::missing(name), false),
                    });
            tier.policies.push(if *is_lost {
                policy.passing(&tier.name)
            } else {
                policy
            });
        }
        let tiers = tiers.into_values().map(|(tier, _)| tier);
        let mut tiers: Vec<Self> = tiers.collect();
        tiers.sort_by(|a, b| {
            let existing_first = b.exists.cmp(&a.exists);
            let by_order = || compare_orders(a.order, b.order);
            existing_first
                .then_with(by_order)
                .then_with(|| a.name.cmp(&b.name))
        });
        for tier in &mut tiers {
            tier.policies.sort_by(|a, b| {
                let last = f64::INFINITY;
                compare_orders(a.order.unwrap_or(last), b.order.unwrap_or(last))
                    .then_with(|| a.tie_break.cmp(&b.tie_break))
            });
        }
        tiers
    }

    /// The tiers by name, each with whether its place is unknown.
    fn without_policies(
        cluster: &Cluster,
        broken: &BTreeMap<ObjectKey, Remains>,
    ) -> BTreeMap<String, (Self, bool)> {
        let mut tiers = BTreeMap::new();
        for object in cluster.objects() {
            if let Object::Tier(tier) = object {
                tiers.insert(tier.metadata.name.clone(), (Self::existing(tier), false));
            }
        }
        for (key, remains) in broken.iter().filter(|(key, _)| key.kind == Kind::Tier) {
            tiers.insert(key.name.clone(), Self::broken(&key.name, remains));
        }
        for (name, order, default_action) in BUILT_IN {
            let built_in = Self {
                name: name.into(),
                order,
                exists: true,
                default_action,
                policies: Vec::new(),
            };
            tiers.insert(name.to_owned(), (built_in, false));
        }
        tiers
    }
}

/// Orders are never NaN here.
fn compare_orders(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)
}
