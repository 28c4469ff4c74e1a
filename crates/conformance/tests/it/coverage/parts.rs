//! What objects that are no policies change: the same packets are judged with and without them. A sort of object that
//! never turns a verdict was never tested; staged policies must not turn any.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use oncilla_api::{Kind, Object};
use oncilla_net::Verdict;
use oncilla_verdict::{Cluster, Evaluator, Question, Staged};

/// How often taking objects of a sort away must turn verdicts one way or the other.
const TURNED_MIN: u64 = 50;
/// The sort that turns nothing.
const STAGED: &str = "staged policies";
/// What staged policies would turn if they were set.
const STAGED_SET: &str = "staged policies, if they were set";

/// Whether an object is of a sort.
type Sort = fn(&Object) -> bool;

const SORTS: [(&str, Sort); 9] = [
    (STAGED, |object| object.kind().promoted().is_some()),
    ("NetworkSet", |object| object.kind() == Kind::NetworkSet),
    ("GlobalNetworkSet", |object| {
        object.kind() == Kind::GlobalNetworkSet
    }),
    ("EndpointSlice", |object| {
        object.kind() == Kind::EndpointSlice
    }),
    ("Profile", |object| object.kind() == Kind::Profile),
    ("HostEndpoint", |object| object.kind() == Kind::HostEndpoint),
    ("FelixConfiguration default", |object| {
        is_felix(object, |name| name == "default")
    }),
    ("FelixConfiguration node.NAME", |object| {
        is_felix(object, |name| name.starts_with("node."))
    }),
    ("FelixConfiguration nodeSelector", |object| {
        is_felix(object, |name| {
            name != "default" && !name.starts_with("node.")
        })
    }),
];

fn is_felix(object: &Object, is_meant: impl Fn(&str) -> bool) -> bool {
    object.kind() == Kind::FelixConfiguration && is_meant(&object.metadata().name)
}

/// How many verdicts each sort turned.
#[derive(Clone, Default, Debug)]
pub(crate) struct Parts {
    turned: BTreeMap<&'static str, u64>,
}

impl Parts {
    /// Judges questions of a cluster without each sort of objects.
    pub(crate) fn count(&mut self, cluster: &Cluster, evaluator: &Evaluator, asked: &[Question]) {
        let verdict = |evaluator: &Evaluator, question: &Question| {
            let answer = evaluator.decide(question);
            answer.ok().map(|answer| answer.verdict)
        };
        let with: Vec<Option<Verdict>> = asked
            .iter()
            .map(|question| verdict(evaluator, question))
            .collect();
        for (sort, is_of) in SORTS {
            if !cluster.objects().any(is_of) {
                continue;
            }
            let without: Cluster = { cluster.objects() }
                .filter(|object| !is_of(object))
                .cloned()
                .collect();
            let without = Evaluator::new(&without);
            for (question, with) in asked.iter().zip(&with) {
                let differs = verdict(&without, question) != *with;
                *self.turned.entry(sort).or_default() += u64::from(differs);
            }
        }
        let staged = Staged::new(cluster);
        for question in asked {
            let Ok(now) = evaluator.explain(question) else {
                continue;
            };
            let then = staged.explain(question, &now);
            let differs = then.is_ok_and(|then| then.answer.verdict != now.verdict);
            *self.turned.entry(STAGED_SET).or_default() += u64::from(differs);
        }
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (sort, more) in &other.turned {
            *self.turned.entry(sort).or_default() += more;
        }
    }

    fn of(&self, sort: &str) -> u64 {
        self.turned.get(sort).copied().unwrap_or_default()
    }

    /// One line a sort.
    pub(crate) fn table(&self) -> String {
        let mut text = "verdicts that turn without\n".to_owned();
        for (sort, turned) in &self.turned {
            let _infallible = writeln!(text, "{sort:<44}{turned:>12}");
        }
        text
    }

    /// What is wrong with the counts, a line each.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for sort in SORTS.map(|(sort, _)| sort).into_iter().chain([STAGED_SET]) {
            let turned = self.of(sort);
            if sort == STAGED && turned > 0 {
                faults.push(format!(
                    "{sort} turn {turned} verdicts, which cannot be: §2.8"
                ));
            } else if sort != STAGED && turned < TURNED_MIN {
                faults.push(format!("{sort}: {turned} verdicts turn only"));
            }
        }
        faults
    }
}
