//! Calico's checks of staged policies: those of the enforced kind, and that a deletion says nothing else.

use super::{Errors, k8s, table, v3};
use crate::object::Object;
use crate::v3::StagedAction;

pub(super) fn policy(object: &Object, errors: &mut Errors) {
    let (is_bare, check) = match object {
        Object::StagedGlobalNetworkPolicy(policy) => {
            (policy.spec.is_bare(), &table::policy::STAGED_DELETE)
        }
        Object::StagedNetworkPolicy(policy) => {
            (policy.spec.is_bare(), &table::policy::STAGED_DELETE)
        }
        Object::StagedKubernetesNetworkPolicy(policy) => (
            policy.spec.is_bare(),
            &table::policy::STAGED_DELETE_KUBERNETES,
        ),
        _ => return,
    };
    let Some((action, promoted)) = object.promoted() else {
        return;
    };
    if action == StagedAction::Delete && !is_bare {
        errors.push(check.at("spec.stagedAction"));
    }
    match &promoted {
        Object::GlobalNetworkPolicy(policy) => v3::global_policy(&policy.spec, errors),
        Object::NetworkPolicy(policy) => v3::policy(&policy.spec, errors),
        Object::KubernetesNetworkPolicy(policy) => k8s::policy(policy, errors),
        _ => {}
    }
}
