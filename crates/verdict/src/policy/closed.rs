//! The policy that denies all that a broken one may mean, by what can be read of it.

use std::sync::Arc;

use oncilla_api::{Kind, Object, ObjectKey, PolicyType, Remains, Remnant, npa};
use oncilla_net::Direction;

use super::{
    CLUSTER_KIND, DEFAULT_TIER, FIRST_TIER, KUBERNETES_ORDER, Policy, Stage, Subject, cluster_tier,
    optional, tie_break,
};
use crate::rule::{Pods, Rule};

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
            Kind::ClusterNetworkPolicy => return Some(Self::closed_cluster(key, remains)),
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
            stage: stage(key, remains),
            subject: subject(key, remains).unwrap_or_else(|| Subject::Everybody {
                namespace: key.namespace.clone(),
            }),
            ingress: deny(Direction::Ingress),
            egress: deny(Direction::Egress),
            key: key.clone(),
        })
    }
}

impl Policy {
    /// A fault in a rule is that rule's, the others hold as written; any other fault is the whole policy's.
    fn closed_cluster(key: &ObjectKey, remains: &Remains) -> Self {
        let faults: Vec<String> = remains.errors().iter().map(ToString::to_string).collect();
        let lists = ["spec.ingress[", "spec.egress["];
        let is_whole = !remains
            .errors()
            .iter()
            .all(|fault| lists.iter().any(|list| fault.path.starts_with(list)));
        let rules = |list: &str| match remains.count(list) {
            Some(0) => None,
            Some(_) if !is_whole => {
                let rules = 0..remains.items(list).len();
                let rules = rules.map(|number| cluster_rule(list, number, remains));
                Some(rules.collect())
            }
            _ => Some(vec![Rule::deny_everything()]),
        };
        let subject: Option<npa::Subject> = remains.read("spec.subject");
        let pods = subject.and_then(|who| Pods::read(who.namespaces.as_ref(), who.pods.as_ref()));
        let tier: Option<Option<npa::Tier>> = remains.read("spec.tier");
        let priority: Option<Option<f64>> = remains.read("spec.priority");
        Self {
            id: format!("kcnp/{}", key.path()).into(),
            tier: cluster_tier(tier.flatten()).to_owned(),
            order: Some(priority.flatten().unwrap_or(f64::NEG_INFINITY)),
            tie_break: tie_break(key, CLUSTER_KIND),
            problem: Some(faults.join("; ").into()),
            stage: Stage::NORMAL,
            subject: pods.map_or(Subject::Everybody { namespace: None }, Subject::Cluster),
            ingress: rules("spec.ingress"),
            egress: rules("spec.egress"),
            key: key.clone(),
        }
    }
}

/// One rule as written when nothing in it is at fault.
fn cluster_rule(list: &str, number: usize, remains: &Remains) -> Rule {
    let read = match list {
        "spec.ingress" => remains
            .item(list, number)
            .and_then(|rule| Rule::cluster_ingress(&rule)),
        _ => remains
            .item(list, number)
            .and_then(|rule| Rule::cluster_egress(&rule)),
    };
    read.unwrap_or_else(|| {
        let action = &remains.items(list)[number]["action"];
        Rule::cluster_broken(action.as_str() == Some("Accept"))
    })
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

/// Which packets of hosts the policy judges: when nobody can say, all, and workloads'.
fn stage(key: &ObjectKey, remains: &Remains) -> Stage {
    if key.kind != Kind::GlobalNetworkPolicy {
        return Stage::NORMAL;
    }
    let flags = ["spec.doNotTrack", "spec.preDNAT", "spec.applyOnForward"];
    match flags.map(|flag| remains.read::<bool>(flag)) {
        [Some(true), Some(false), _] => Stage::Untracked,
        [Some(false), Some(true), _] => Stage::PreDnat,
        [Some(false), Some(false), Some(forward)] => Stage::Normal { forward },
        _ => Stage::Everywhere,
    }
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
