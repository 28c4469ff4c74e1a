//! One policy, read once: whom it selects, and its rules for each direction.

mod closed;

use std::sync::Arc;

use oncilla_api::{LabelSelector, Object, ObjectKey, PolicyType, k8s, npa, v3};
use oncilla_net::Direction;
use oncilla_selector::{ParseError, Selector, parse};

use crate::answer::Chain;
use crate::endpoint::{Endpoint, namespace_of};
use crate::hidden::HiddenSet;
use crate::labels::{
    NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR, Reading, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX,
    kubernetes_matches, matches,
};
use crate::lists::{HiddenSlice, Lists};
use crate::rule::{Pods, Rule};

/// The tier of Kubernetes policies, and of Calico policies that name none.
pub(crate) const DEFAULT_TIER: &str = "default";
/// The tier of policies whose tier is unknown; no tier can be called so.
pub(crate) const FIRST_TIER: &str = "oncilla.unreadable";
/// What a cluster's policy is called where kinds break ties.
const CLUSTER_KIND: &str = "KubernetesClusterNetworkPolicy";
/// The order of every Kubernetes policy.
const KUBERNETES_ORDER: f64 = 1000.0;

/// The problem of a policy that the API would let through and this crate cannot read.
const UNREADABLE_RULE: &str = "a rule cannot be read";

#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) key: ObjectKey,
    /// `np/ns/name`, `knp/ns/name`, `gnp/name` or `kcnp/name`.
    pub(crate) id: Arc<str>,
    pub(crate) tier: String,
    pub(crate) order: Option<f64>,
    /// Decides between equal orders: `name/namespace/kind`.
    pub(crate) tie_break: String,
    /// Why the policy could not be read as written.
    pub(crate) problem: Option<Arc<str>>,
    /// Which packets of hosts it judges.
    stage: Stage,
    subject: Subject,
    /// `None` when the policy does not govern the direction.
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

/// Which packets of hosts a policy judges, and whether it judges workloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Their own, and what they forward when this is set; workloads too.
    Normal { forward: bool },
    /// Those before destination NAT.
    PreDnat,
    /// Those before connection tracking.
    Untracked,
    /// All of these: nobody can say which.
    Everywhere,
}

impl Stage {
    const NORMAL: Self = Self::Normal { forward: false };

    /// By `doNotTrack`, `preDNAT` and `applyOnForward`.
    const fn new([untracked, pre_dnat, forward]: [bool; 3]) -> Self {
        match (untracked, pre_dnat) {
            (true, _) => Self::Untracked,
            (false, true) => Self::PreDnat,
            (false, false) => Self::Normal { forward },
        }
    }
}

/// Whom a policy selects.
#[derive(Debug)]
enum Subject {
    /// By Calico's selectors, each `None` when not given; all must hold.
    Calico {
        namespace: Option<String>,
        selector: Option<Selector>,
        namespaces: Option<Selector>,
        accounts: Option<Selector>,
    },
    /// Pods of a namespace.
    Kubernetes {
        namespace: String,
        pods: LabelSelector,
    },
    /// Pods, by the labels of their namespaces and their own.
    Cluster(Pods),
    /// Everybody in a namespace, or everybody: the widest meaning of selectors that cannot be read.
    Everybody { namespace: Option<String> },
}

/// The parts that both Calico kinds have.
struct Calico<'a> {
    key: ObjectKey,
    tier: &'a str,
    order: Option<f64>,
    types: &'a [PolicyType],
    ingress: &'a [v3::Rule],
    egress: &'a [v3::Rule],
    subject: Result<Subject, ParseError>,
    stage: Stage,
}

impl Policy {
    /// The policy that a valid object is; `None` for other kinds.
    ///
    /// One that this crate cannot read denies, in its directions, whatever it selects: its author wanted
    /// something else than no policy, and nobody can say what.
    pub(crate) fn read(object: &Object) -> Option<Self> {
        let mut policy = Self::as_written(object)?;
        if policy.problem.is_some() {
            for rules in policy.all_rules() {
                *rules = vec![Rule::deny_everything()];
            }
        }
        Some(policy)
    }

    fn as_written(object: &Object) -> Option<Self> {
        match object {
            Object::NetworkPolicy(policy) => Some(Self::of_network_policy(policy)),
            Object::GlobalNetworkPolicy(policy) => Some(Self::of_global(policy)),
            Object::KubernetesNetworkPolicy(policy) => Some(Self::of_kubernetes(policy)),
            Object::ClusterNetworkPolicy(policy) => Some(Self::of_cluster(policy)),
            _ => None,
        }
    }

    fn all_rules(&mut self) -> impl Iterator<Item = &mut Vec<Rule>> {
        [&mut self.ingress, &mut self.egress].into_iter().flatten()
    }

    /// The policy in a tier of which nobody knows the place: what it allows, the other tiers must allow too.
    pub(crate) fn passing(mut self, tier: &str) -> Self {
        for rule in self.all_rules().flatten() {
            rule.goes_on = true;
        }
        self.problem.get_or_insert_with(|| {
            let problem =
                format!("the order of Tier {tier} cannot be read, so Allow goes on to the others");
            problem.into()
        });
        self
    }

    /// Says what of the broken sets and slices changes what the policy does, when something does.
    pub(crate) fn note_hidden(&mut self, sets: &[HiddenSet], lists: &Lists) {
        if self.problem.is_some() {
            return;
        }
        let rules: Vec<&Rule> = [&self.ingress, &self.egress]
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        let means = |set: &&HiddenSet| rules.iter().any(|rule| rule.may_mean(set));
        let asks = |slice: &&HiddenSlice| rules.iter().any(|rule| rule.may_ask(slice));
        let of_sets = sets.iter().find(means).map(|set| &set.problem);
        let of_slices = lists.slices_hidden().iter().find(asks);
        let problem = of_sets.or(of_slices.map(|slice| &slice.problem));
        self.problem = problem.map(Arc::clone);
    }

    fn of_network_policy(policy: &v3::NetworkPolicy) -> Self {
        let namespace = namespace_of(&policy.metadata);
        let spec = &policy.spec;
        let subject = || {
            Ok(Subject::Calico {
                namespace: Some(namespace.clone()),
                selector: optional(&spec.selector)?,
                namespaces: None,
                accounts: optional(&spec.service_account_selector)?,
            })
        };
        Self::calico(Calico {
            subject: subject(),
            key: ObjectKey::namespaced(
                oncilla_api::Kind::NetworkPolicy,
                namespace.clone(),
                policy.metadata.name.clone(),
            ),
            tier: &spec.tier,
            order: spec.order,
            types: &spec.types,
            ingress: &spec.ingress,
            egress: &spec.egress,
            stage: Stage::NORMAL,
        })
    }

    fn of_global(policy: &v3::GlobalNetworkPolicy) -> Self {
        let spec = &policy.spec;
        let subject = || {
            Ok(Subject::Calico {
                namespace: None,
                selector: optional(&spec.selector)?,
                namespaces: optional(&spec.namespace_selector)?,
                accounts: optional(&spec.service_account_selector)?,
            })
        };
        Self::calico(Calico {
            subject: subject(),
            key: ObjectKey::cluster(
                oncilla_api::Kind::GlobalNetworkPolicy,
                policy.metadata.name.clone(),
            ),
            tier: &spec.tier,
            order: spec.order,
            types: &spec.types,
            ingress: &spec.ingress,
            egress: &spec.egress,
            stage: Stage::new([spec.do_not_track, spec.pre_dnat, spec.apply_on_forward]),
        })
    }

    fn calico(policy: Calico<'_>) -> Self {
        let namespace = policy.key.namespace.clone();
        let governs = |direction, own: &[v3::Rule]| match policy.types {
            // Ingress, unless there are only egress rules.
            [] => !own.is_empty() || (direction == Direction::Ingress && policy.egress.is_empty()),
            types => types.iter().any(|each| Direction::from(*each) == direction),
        };
        let mut unreadable = None;
        // What a host forwards, or has not translated yet, may be for anybody.
        let own_side = |direction| (policy.stage == Stage::NORMAL).then_some(direction);
        let mut rules = |direction, own: &[v3::Rule]| {
            let read = own
                .iter()
                .map(|rule| Rule::calico(rule, namespace.as_deref(), own_side(direction)));
            let rules: Option<Vec<Rule>> = read.collect();
            if rules.is_none() {
                unreadable = Some(UNREADABLE_RULE.into());
            }
            governs(direction, own).then(|| rules.unwrap_or_default())
        };
        let ingress = rules(Direction::Ingress, policy.ingress);
        let egress = rules(Direction::Egress, policy.egress);
        let (subject, problem) = match policy.subject {
            Ok(subject) => (subject, unreadable),
            Err(error) => {
                let namespace = namespace.clone();
                let problem = format!("bad selector: {error}").into();
                (Subject::Everybody { namespace }, Some(problem))
            }
        };
        let kind = if namespace.is_some() {
            ("np", "NetworkPolicy")
        } else {
            ("gnp", "GlobalNetworkPolicy")
        };
        Self {
            id: format!("{}/{}", kind.0, policy.key.path()).into(),
            tie_break: tie_break(&policy.key, kind.1),
            key: policy.key,
            tier: match policy.tier {
                "" => DEFAULT_TIER.to_owned(),
                tier => tier.to_owned(),
            },
            order: policy.order.filter(|order| !order.is_nan()),
            problem,
            stage: policy.stage,
            subject,
            ingress,
            egress,
        }
    }

    fn of_kubernetes(policy: &k8s::NetworkPolicy) -> Self {
        let namespace = namespace_of(&policy.metadata);
        let spec = &policy.spec;
        let governs = |direction| match spec.policy_types.as_slice() {
            [] => direction == Direction::Ingress || !spec.egress.is_empty(),
            types => types.iter().any(|each| Direction::from(*each) == direction),
        };
        let ingress = spec.ingress.iter();
        let egress = spec.egress.iter();
        let ingress: Option<Vec<Rule>> = ingress
            .map(|rule| Rule::kubernetes_ingress(rule, &namespace))
            .collect();
        let egress: Option<Vec<Rule>> = egress
            .map(|rule| Rule::kubernetes_egress(rule, &namespace))
            .collect();
        let readable = ingress.is_some() && egress.is_some();
        let key = ObjectKey::namespaced(
            oncilla_api::Kind::KubernetesNetworkPolicy,
            namespace.clone(),
            policy.metadata.name.clone(),
        );
        Self {
            id: format!("knp/{}", key.path()).into(),
            tier: DEFAULT_TIER.to_owned(),
            order: Some(KUBERNETES_ORDER),
            tie_break: tie_break(&key, "KubernetesNetworkPolicy"),
            problem: (!readable).then(|| UNREADABLE_RULE.into()),
            key,
            ingress: governs(Direction::Ingress).then(|| ingress.unwrap_or_default()),
            egress: governs(Direction::Egress).then(|| egress.unwrap_or_default()),
            stage: Stage::NORMAL,
            subject: Subject::Kubernetes {
                namespace,
                pods: spec.pod_selector.clone(),
            },
        }
    }

    fn of_cluster(policy: &npa::ClusterNetworkPolicy) -> Self {
        let spec = &policy.spec;
        let ingress = spec.ingress.iter().map(Rule::cluster_ingress);
        let egress = spec.egress.iter().map(Rule::cluster_egress);
        let (ingress, egress): (Option<Vec<Rule>>, Option<Vec<Rule>>) =
            (ingress.collect(), egress.collect());
        let pods = Pods::read(spec.subject.namespaces.as_ref(), spec.subject.pods.as_ref());
        let readable = ingress.is_some() && egress.is_some() && pods.is_some();
        let key = ObjectKey::cluster(
            oncilla_api::Kind::ClusterNetworkPolicy,
            policy.metadata.name.clone(),
        );
        Self {
            id: format!("kcnp/{}", key.path()).into(),
            tier: cluster_tier(spec.tier).to_owned(),
            #[expect(clippy::cast_precision_loss, reason = "a priority is at most 1000")]
            order: spec.priority.map(|priority| priority as f64),
            tie_break: tie_break(&key, CLUSTER_KIND),
            problem: (!readable).then(|| UNREADABLE_RULE.into()),
            key,
            stage: Stage::NORMAL,
            subject: pods.map_or(Subject::Everybody { namespace: None }, Subject::Cluster),
            ingress: (!spec.ingress.is_empty()).then(|| ingress.unwrap_or_default()),
            egress: (!spec.egress.is_empty()).then(|| egress.unwrap_or_default()),
        }
    }

    /// The rules for a direction; `None` when the policy does not govern it.
    pub(crate) fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// Whether a chain of an endpoint asks the policy.
    pub(crate) fn is_asked(&self, endpoint: &Endpoint, chain: Chain) -> bool {
        let belongs = match (self.stage, chain) {
            (Stage::Everywhere, _)
            | (Stage::Normal { .. }, Chain::Normal)
            | (Stage::Normal { forward: true }, Chain::Forward)
            | (Stage::PreDnat, Chain::PreDnat)
            | (Stage::Untracked, Chain::Untracked) => true,
            (Stage::Normal { .. } | Stage::PreDnat | Stage::Untracked, _) => false,
        };
        // Only policies of the whole cluster are for hosts, whatever labels these have.
        let is_for_hosts = self.key.kind == oncilla_api::Kind::GlobalNetworkPolicy;
        belongs && (is_for_hosts || !endpoint.is_host()) && self.selects(endpoint)
    }

    fn selects(&self, endpoint: &Endpoint) -> bool {
        let labels = &endpoint.labels;
        let lives_in = |namespace: &String| labels.get(NAMESPACE) == Some(namespace);
        match &self.subject {
            Subject::Calico {
                namespace,
                selector,
                namespaces,
                accounts,
            } => {
                // A namespace or service account selector narrows what `all()` means, in the other
                // selectors too. A namespaced policy selects workloads anyhow.
                let all = match (namespace, namespaces, accounts) {
                    (None, Some(_), _) => Some(NAMESPACE),
                    (None, None, Some(_)) => Some(SERVICE_ACCOUNT),
                    _ => None,
                };
                let holds = |selector: &Option<Selector>, prefix, all| {
                    let reading = Reading {
                        prefix,
                        all,
                        global: None,
                    };
                    let mut selector = selector.iter();
                    selector.all(|selector| matches(selector, labels, reading))
                };
                let all_accounts = namespace.is_none().then_some(SERVICE_ACCOUNT);
                namespace.iter().all(lives_in)
                    && holds(selector, "", all)
                    && holds(namespaces, NAMESPACE_PREFIX, all)
                    && holds(accounts, SERVICE_ACCOUNT_PREFIX, all_accounts)
            }
            Subject::Kubernetes { namespace, pods } => {
                lives_in(namespace)
                    && labels.get(ORCHESTRATOR).is_some_and(|by| by == "k8s")
                    && kubernetes_matches(pods, labels, "")
            }
            Subject::Cluster(pods) => pods.mean(labels),
            Subject::Everybody { namespace } => namespace.iter().all(lives_in),
        }
    }
}

/// The built-in tier of a cluster's policy; the first of the two when nobody can say.
fn cluster_tier(tier: Option<npa::Tier>) -> &'static str {
    match tier {
        Some(npa::Tier::Baseline) => "kube-baseline",
        Some(npa::Tier::Admin) | None => "kube-admin",
    }
}

fn tie_break(key: &ObjectKey, kind: &str) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("{}/{namespace}/{kind}", key.name)
}

/// The empty text is no selector.
fn optional(text: &str) -> Result<Option<Selector>, ParseError> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}
