//! Tiers in their order, each with its policies in theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::Object;
use oncilla_api::v3::{self, TierAction};

use crate::cluster::Cluster;
use crate::policy::{Policy, problem};

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

    fn missing(name: &str) -> Self {
        Self {
            name: name.into(),
            order: f64::INFINITY,
            exists: false,
            default_action: TierAction::Deny,
            policies: Vec::new(),
        }
    }

    /// All tiers of a cluster with their policies, in the order in which they are asked.
    pub(crate) fn all(cluster: &Cluster) -> Vec<Self> {
        let mut tiers: BTreeMap<String, Self> = BTreeMap::new();
        for object in cluster.objects() {
            // A tier that the API would refuse is none: its policies then end with Deny.
            if let Object::Tier(tier) = object
                && problem(object).is_none()
            {
                tiers.insert(tier.metadata.name.clone(), Self::existing(tier));
            }
        }
        for (name, order, default_action) in BUILT_IN {
            let built_in = Self {
                name: name.into(),
                order,
                exists: true,
                default_action,
                policies: Vec::new(),
            };
            tiers.insert(name.to_owned(), built_in);
        }
        for object in cluster.objects() {
            let Some(policy) = Policy::read(object) else {
                continue;
            };
            let tier = tiers.entry(policy.tier.clone());
            let tier = tier.or_insert_with_key(|name| Self::missing(name));
            tier.policies.push(policy);
        }
        let mut tiers: Vec<Self> = tiers.into_values().collect();
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
}

/// Orders are never NaN here.
fn compare_orders(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)
}
