//! What stands in for a policy that cannot be understood: never more access than it could have given.

use std::sync::Arc;

use oncilla_api::{Object, ObjectKey, PolicyType};
use oncilla_selector::Selector;

use super::entity::in_namespace;
use super::{Converter, policy, policy_key, unconditional};
use crate::{Action, Change, Order, Policy, Rule, TierName};

impl Converter {
    /// What the agent does with a policy object that was refused.
    ///
    /// 1. A previous version is known: it stays in force, nothing changes.
    /// 2. The selector can be read: what it selects is denied everything in the policy's directions, at
    ///    the policy's place.
    /// 3. It cannot: everything in the policy's namespace is denied, for a global policy every workload.
    /// 4. There is no object at all, only its key (it did not even decode): as 3, in both directions, first
    ///    in the tier `default`.
    ///
    /// Earlier tiers and policies still decide what they decide. Kinds that are no policies: nothing.
    pub fn closed(
        &self,
        key: &ObjectKey,
        object: Option<&Object>,
        previous: Option<&Arc<Policy>>,
    ) -> Vec<Change> {
        if previous.is_some() {
            return Vec::new();
        }
        self.deny_version(key, object)
            .map(|policy| Change::Policy(policy.key.clone(), Some(Arc::new(policy))))
            .into_iter()
            .collect()
    }

    /// The policy that denies everything that an object could have meant; `None` for other kinds.
    pub fn deny_version(&self, key: &ObjectKey, object: Option<&Object>) -> Option<Policy> {
        let key = policy_key(key)?;
        let object = object.map(|object| {
            let mut object = object.clone();
            object.default_fields();
            object
        });
        let readable = object
            .as_ref()
            .and_then(|object| policy::selects(object).ok());
        let selector = readable.unwrap_or_else(|| match &key.namespace {
            Some(namespace) => in_namespace(namespace),
            None => Selector::all(),
        });
        let (tier, order, types) = object.as_ref().map_or_else(unreadable, place);
        let deny: Arc<[Rule]> = [unconditional(Action::Deny)].into();
        let governs = |direction| types.contains(&direction).then(|| Arc::clone(&deny));
        Some(Policy {
            key,
            tier,
            order,
            selector,
            ingress: governs(PolicyType::Ingress),
            egress: governs(PolicyType::Egress),
        })
    }
}

type Place = (TierName, Order, Vec<PolicyType>);

/// First of all: an order that nothing sorts before.
fn unreadable() -> Place {
    let both = vec![PolicyType::Ingress, PolicyType::Egress];
    (
        policy::tier("default"),
        Order::new(Some(f64::NEG_INFINITY)),
        both,
    )
}

fn place(object: &Object) -> Place {
    match object {
        Object::GlobalNetworkPolicy(policy) => {
            let spec = &policy.spec;
            (
                policy::tier(&spec.tier),
                Order::new(spec.order),
                spec.types.clone(),
            )
        }
        Object::NetworkPolicy(policy) => {
            let spec = &policy.spec;
            (
                policy::tier(&spec.tier),
                Order::new(spec.order),
                spec.types.clone(),
            )
        }
        Object::KubernetesNetworkPolicy(policy) => (
            policy::tier("default"),
            Order::new(Some(1000.0)),
            policy.spec.policy_types.clone(),
        ),
        _ => unreadable(),
    }
}
