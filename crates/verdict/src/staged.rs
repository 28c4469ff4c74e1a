//! What staged policies would do: the answer as if they were set, and what each of them says.
//!
//! Staged policies are never enforced: the [`Evaluator`] of a cluster does not see them. Here the cluster is
//! judged once more as it would be if somebody did what they mean: `Set` puts the policy in force, in the
//! place of the enforced one of its kind and name; `Delete` takes that one away; `Learn` and `Ignore` change
//! nothing. Policies of equal order stand as they would then: by name, namespace and enforced kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::v3::StagedAction;
use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_net::Direction;

use crate::answer::{Answer, Decision, PolicyOutcome, PolicyTrace, TierTrace};
use crate::cluster::Cluster;
use crate::evaluator::Evaluator;
use crate::question::{Question, QuestionError};

/// The staged policies of a cluster, read once.
#[derive(Debug)]
pub struct Staged {
    policies: Vec<StagedPolicy>,
    /// The cluster as if all were done; `None` when nothing would change.
    set: Option<Evaluator>,
    /// Nothing but the policies that change nothing, to see what they match.
    idle: Option<Evaluator>,
}

/// A staged policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StagedPolicy {
    /// The object.
    pub key: ObjectKey,
    /// `snp/ns/name`, `sknp/ns/name` or `sgnp/name`.
    pub id: Arc<str>,
    /// What it means.
    pub action: StagedAction,
    /// Why it is not counted, when it is not.
    pub problem: Option<Arc<str>>,
    promoted: ObjectKey,
}

/// What would become of a packet if the staged policies were set.
#[derive(Clone, PartialEq, Debug)]
pub struct StagedAnswer {
    /// The answer, in which staged policies go by their own names.
    pub answer: Answer,
    /// What each staged policy says that selects one of the ends: in path order, then in the order in which
    /// they are asked; ties by name, namespace and staged kind.
    pub traces: Vec<StagedTrace>,
}

/// What one staged policy says at one end.
#[derive(Clone, PartialEq, Debug)]
pub struct StagedTrace {
    /// The object.
    pub key: ObjectKey,
    /// `snp/ns/name`, `sknp/ns/name` or `sgnp/name`.
    pub id: Arc<str>,
    /// What it means.
    pub action: StagedAction,
    /// The pod that it selects.
    pub endpoint: ObjectKey,
    /// Egress of the source, or ingress of the destination.
    pub direction: Direction,
    /// What comes of the policy if it is set; of a deletion: what comes of the enforced policy as long as
    /// that is there; otherwise what the policy would say alone.
    pub outcome: PolicyOutcome,
}

impl Staged {
    /// Reads the staged policies of a cluster.
    pub fn new(cluster: &Cluster) -> Self {
        let (mut set, mut idle) = (cluster.clone(), cluster.clone());
        let is_policy = |object: &&Object| object.kind().is_policy();
        for object in cluster.objects().filter(is_policy) {
            idle.remove(&object.key());
        }
        let mut policies = Vec::new();
        for object in cluster.objects() {
            let Some((action, promoted)) = object.promoted() else {
                continue;
            };
            let mut policy = StagedPolicy::new(object.key(), action, promoted.key());
            policy.problem = problem(object, action, cluster);
            if policy.problem.is_none() {
                match action {
                    StagedAction::Set => drop(set.insert(promoted)),
                    StagedAction::Delete => drop(set.remove(&policy.promoted)),
                    StagedAction::Learn | StagedAction::Ignore => drop(idle.insert(promoted)),
                }
            }
            policies.push(policy);
        }
        for (key, reason) in cluster.unreadable_of(|kind| kind.promoted().is_some()) {
            let promoted = ObjectKey {
                kind: key.kind.promoted().unwrap_or(key.kind),
                ..key.clone()
            };
            let mut policy = StagedPolicy::new(key.clone(), StagedAction::Ignore, promoted);
            policy.problem = Some(reason);
            policies.push(policy);
        }
        let counts = |is_idle: bool| {
            policies.iter().any(|policy: &StagedPolicy| {
                policy.problem.is_none() && is_idle == policy.is_idle()
            })
        };
        Self {
            set: counts(false).then(|| Evaluator::new(&set)),
            idle: counts(true).then(|| Evaluator::new(&idle)),
            policies,
        }
    }

    /// All staged policies, in the order of their keys; those that cannot be read last.
    pub fn policies(&self) -> &[StagedPolicy] {
        &self.policies
    }

    /// What would become of a packet. `enforced` is the whole answer of today to the same question.
    ///
    /// # Errors
    /// When the question names something that is not there.
    pub fn explain(
        &self,
        question: &Question,
        enforced: &Answer,
    ) -> Result<StagedAnswer, QuestionError> {
        let mut answer = match &self.set {
            Some(set) => set.explain(question)?,
            None => enforced.clone(),
        };
        let counted = || self.policies.iter().filter(|each| each.problem.is_none());
        let names: BTreeMap<ObjectKey, &StagedPolicy> = counted()
            .filter(|policy| policy.action == StagedAction::Set)
            .map(|policy| (policy.promoted.clone(), policy))
            .collect();
        rename(&mut answer, &names);
        let idle = match &self.idle {
            Some(idle) => Some(idle.explain(question)?),
            None => None,
        };
        let mut found = Vec::new();
        for policy in counted() {
            let (answer, wanted) = match policy.action {
                StagedAction::Set => (Some(&answer), &policy.key),
                StagedAction::Delete => (Some(enforced), &policy.promoted),
                StagedAction::Learn | StagedAction::Ignore => (idle.as_ref(), &policy.promoted),
            };
            found.extend(
                answer
                    .iter()
                    .flat_map(|answer| policy.traces(answer, wanted)),
            );
        }
        found.sort_by(|(one, _), (other, _)| {
            one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal)
        });
        Ok(StagedAnswer {
            answer,
            traces: found.into_iter().map(|(_, trace)| trace).collect(),
        })
    }
}

/// Where a trace stands: the leg, a missing tier last, the tier's order and name, the policy's order, the tie
/// break. Orders are never NaN here.
type Rank = (usize, bool, f64, Arc<str>, f64, String);

impl StagedPolicy {
    fn new(key: ObjectKey, action: StagedAction, promoted: ObjectKey) -> Self {
        let short = match key.kind {
            Kind::StagedGlobalNetworkPolicy => "sgnp",
            Kind::StagedKubernetesNetworkPolicy => "sknp",
            _ => "snp",
        };
        Self {
            id: format!("{short}/{}", key.path()).into(),
            key,
            action,
            problem: None,
            promoted,
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self.action, StagedAction::Learn | StagedAction::Ignore)
    }

    fn traces(&self, answer: &Answer, wanted: &ObjectKey) -> Vec<(Rank, StagedTrace)> {
        let mut found = Vec::new();
        for (at, leg) in answer.legs.iter().enumerate() {
            for tier in &leg.tiers {
                let own = tier.policies.iter().filter(|trace| trace.key == *wanted);
                found.extend(own.map(|trace| {
                    let staged = StagedTrace {
                        key: self.key.clone(),
                        id: Arc::clone(&self.id),
                        action: self.action,
                        endpoint: leg.endpoint.clone(),
                        direction: leg.direction,
                        outcome: trace.outcome,
                    };
                    (self.rank(at, tier, trace), staged)
                }));
            }
        }
        found
    }

    fn rank(&self, leg: usize, tier: &TierTrace, trace: &PolicyTrace) -> Rank {
        let namespace = self.key.namespace.as_deref().unwrap_or_default();
        let tie_break = format!("{}/{namespace}/{}", self.key.name, self.key.kind);
        let order = trace.order.unwrap_or(f64::INFINITY);
        let name = Arc::clone(&tier.name);
        (leg, !tier.exists, tier.order, name, order, tie_break)
    }
}

/// Why a staged policy is not counted.
fn problem(object: &Object, action: StagedAction, cluster: &Cluster) -> Option<Arc<str>> {
    let mut defaulted = object.clone();
    defaulted.default_fields();
    let errors: Vec<String> = defaulted
        .validate()
        .iter()
        .map(ToString::to_string)
        .collect();
    if !errors.is_empty() {
        return Some(format!("it cannot be set: {}", errors.join("; ")).into());
    }
    let (_, promoted) = object.promoted()?;
    let key = promoted.key();
    (action == StagedAction::Delete && !cluster.holds(&key))
        .then(|| format!("{key} does not exist, so there is nothing to delete").into())
}

/// Puts the staged policies' own names where the judge, who took them for enforced ones, wrote others.
fn rename(answer: &mut Answer, names: &BTreeMap<ObjectKey, &StagedPolicy>) {
    let ids: BTreeMap<Arc<str>, Arc<str>> = answer
        .legs
        .iter()
        .flat_map(|leg| &leg.tiers)
        .flat_map(|tier| &tier.policies)
        .filter_map(|trace| {
            let staged = names.get(&trace.key)?;
            Some((Arc::clone(&trace.id), Arc::clone(&staged.id)))
        })
        .collect();
    let decision = |decision: &mut Decision| {
        let renamed = decision.policy.iter_mut().chain(&mut decision.isolated_by);
        for id in renamed {
            if let Some(own) = ids.get(id) {
                *id = Arc::clone(own);
            }
        }
        let staged = decision.key.as_ref().and_then(|key| names.get(key));
        if let Some(staged) = staged {
            decision.key = Some(staged.key.clone());
        }
    };
    decision(&mut answer.decided_by);
    for leg in &mut answer.legs {
        decision(&mut leg.decided_by);
        for trace in leg.tiers.iter_mut().flat_map(|tier| &mut tier.policies) {
            if let Some(staged) = names.get(&trace.key) {
                trace.key = staged.key.clone();
                trace.id = Arc::clone(&staged.id);
            }
        }
    }
}
