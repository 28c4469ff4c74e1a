//! The policy that denies all that a broken one may mean, by what can be read of it.

use std::sync::Arc;

use oncilla_api::{Kind, Object, ObjectKey, PolicyType, Remains, Remnant};
use oncilla_net::Direction;

use super::{DEFAULT_TIER, FIRST_TIER, KUBERNETES_ORDER, Policy, Subject, optional, tie_break};
use crate::rule::Rule;

impl Policy {
    /// What stands for a policy that the API would refuse; `None` for other kinds. The object is there when
    /// at least its form is right.
    ///
    /// Whatever cannot be read is at its worst: every tier's first place, everybody, both directions.
    pub(crate) fn closed(
        key: &ObjectKey,
        remains: &Remains,
        object: Option<&Object>,
    ) -> Option<Self> {
        let short = match key.kind {
            Kind::NetworkPolicy => "np",
            Kind::GlobalNetworkPolicy => "gnp",
            Kind::KubernetesNetworkPolicy => "knp",
            _ => return None,
        };
        let faults: Vec<String> = remains.errors().iter().map(ToString::to_string).collect();
        // A selector that cannot be read is worth more words than the API has.
        let own_words = object
            .and_then(Self::as_written)
            .and_then(|own| own.problem);
        let (tier, order) = if key.kind == Kind::KubernetesNetworkPolicy {
            (DEFAULT_TIER, Some(KUBERNETES_ORDER))
        } else {
            let tier = match remains.text("spec.tier") {
                None => FIRST_TIER,
                Some("") => DEFAULT_TIER,
                Some(tier) => tier,
            };
            let order = match remains.field("spec.order") {
                Remnant::Absent => None,
                Remnant::Is(order) => order.as_f64(),
                Remnant::Unknown => Some(f64::NEG_INFINITY),
            };
            (tier, order)
        };
        let deny = |direction| {
            may_govern(key.kind, remains, direction).then(|| vec![Rule::deny_everything()])
        };
        let kind_name = match key.kind {
            Kind::KubernetesNetworkPolicy => "KubernetesNetworkPolicy",
            kind => kind.kind_name(),
        };
        Some(Self {
            id: format!("{short}/{}", key.path()).into(),
            tier: tier.to_owned(),
            order,
            tie_break: tie_break(key, kind_name),
            problem: Some(own_words.unwrap_or_else(|| Arc::from(faults.join("; ")))),
            subject: subject(key, remains).unwrap_or_else(|| Subject::Everybody {
                namespace: key.namespace.clone(),
            }),
            ingress: deny(Direction::Ingress),
            egress: deny(Direction::Egress),
            key: key.clone(),
        })
    }
}

/// Whom the policy selects; `None` when one of its selectors cannot be read.
fn subject(key: &ObjectKey, remains: &Remains) -> Option<Subject> {
    let selector = |path: &str| optional(remains.text(path)?).ok();
    Some(match key.kind {
        Kind::KubernetesNetworkPolicy => Subject::Kubernetes {
            namespace: key.namespace.clone().unwrap_or_default(),
            pods: remains.read("spec.podSelector")?,
        },
        Kind::NetworkPolicy => Subject::Calico {
            namespace: key.namespace.clone(),
            selector: selector("spec.selector")?,
            namespaces: None,
            accounts: selector("spec.serviceAccountSelector")?,
        },
        _ => Subject::Calico {
            namespace: None,
            selector: selector("spec.selector")?,
            namespaces: selector("spec.namespaceSelector")?,
            accounts: selector("spec.serviceAccountSelector")?,
        },
    })
}

/// Whether the policy may govern a direction: it says so, or its rules do, or nobody can say.
fn may_govern(kind: Kind, remains: &Remains, direction: Direction) -> bool {
    let is_kubernetes = kind == Kind::KubernetesNetworkPolicy;
    let field = if is_kubernetes {
        "spec.policyTypes"
    } else {
        "spec.types"
    };
    let Some(types) = remains.read::<Vec<PolicyType>>(field) else {
        return true;
    };
    if !types.is_empty() {
        return types.iter().any(|each| Direction::from(*each) == direction);
    }
    let has = |field| remains.count(field).map(|count| count > 0);
    match (has("spec.ingress"), has("spec.egress")) {
        (None, _) | (_, None) => true,
        (Some(ingress), Some(egress)) => match direction {
            Direction::Ingress => is_kubernetes || ingress || !egress,
            Direction::Egress => egress,
        },
    }
}
