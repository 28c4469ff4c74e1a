//! Coming up: when a lab is ready, and when it never will be.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use oncilla_api::{Kind, ObjectKey};

use super::agents::Agents;
use super::clock;
use super::kubelet::Kubelet;
use super::pod::{PodName, RunningPod};
use crate::folder::tail;
use crate::protocol::Event;

/// How many pods a message names.
const NAMED_MAX: usize = 5;

/// A lab that comes up.
#[derive(Debug)]
pub(crate) struct Rise {
    /// The pods it is asked to run.
    pods: BTreeSet<PodName>,
    deadline: Instant,
    /// When a container that was started again may be believed in.
    look_again: Option<Instant>,
    over: bool,
    told: String,
}

impl Rise {
    pub(crate) fn new(objects: Vec<ObjectKey>, timeout_ms: u64) -> Self {
        let pods = objects.into_iter().filter(|key| key.kind == Kind::Pod);
        Self {
            pods: pods
                .map(|key| (key.namespace.unwrap_or_default(), key.name))
                .collect(),
            deadline: clock::now() + Duration::from_millis(timeout_ms),
            look_again: None,
            over: false,
            told: String::new(),
        }
    }

    /// Whether the lab is up.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// When [`Rise::advance`] has something to say even if nothing happens.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let next = self
            .look_again
            .map_or(self.deadline, |at| at.min(self.deadline));
        (!self.over).then_some(next)
    }

    /// What there is to tell the caller now, if anything.
    pub(crate) fn advance(&mut self, kubelet: &mut Kubelet, agents: &Agents) -> Option<Event> {
        if self.over {
            return None;
        }
        if let Some((node, end, log)) = agents.hopeless() {
            let message = format!("the agent of node {node} ended again and again ({end})");
            return Some(self.fail(message, tail(&log)));
        }
        let waiting = waiting(&self.pods, kubelet);
        let steady = waiting
            .iter()
            .filter_map(|name| kubelet.pods().get(*name)?.steady_at());
        self.look_again = steady.filter(|at| *at > clock::now()).min();
        let pods = kubelet.pods();
        let stuck = waiting.iter().find_map(|name| {
            let trouble = pods.get(*name)?.trouble.as_ref()?;
            let (namespace, pod) = name;
            Some(format!("pod {namespace}/{pod} cannot run: {trouble}"))
        });
        if let Some(message) = stuck {
            return Some(self.fail(message, Vec::new()));
        }
        let behind = if waiting.is_empty() {
            agents.behind(kubelet.written())
        } else {
            Vec::new()
        };
        let waits_for = match (waiting.len(), behind.as_slice()) {
            // What is written now is in force before the lab is ready.
            (0, []) if !kubelet.is_written() => "writing names and endpoints".to_owned(),
            (0, []) => {
                kubelet.write_names();
                self.over = true;
                return Some(Event::Ready);
            }
            (0, nodes) => format!("waiting for the agents of {}", nodes.join(", ")),
            (count, _) => format!("waiting for {count} of {} pods", self.pods.len()),
        };
        let failing = failing(kubelet, &waiting);
        if clock::now() >= self.deadline {
            let named: Vec<String> = waiting
                .iter()
                .filter(|name| !failing.iter().any(|(failing, _)| failing == *name))
                .map(|name| {
                    let running = pods.get(*name).map(RunningPod::notes);
                    let (namespace, pod) = name;
                    format!(
                        "{namespace}/{pod} ({})",
                        running.unwrap_or_default().join("; ")
                    )
                })
                .collect();
            let failing = failing.iter().map(|(_, text)| text.clone());
            let named: Vec<String> = failing.chain(named).take(NAMED_MAX).collect();
            let message = format!("not ready in time, still {}", listed(&waits_for, &named));
            return Some(self.fail(message, Vec::new()));
        }
        let named = failing.into_iter().map(|(_, text)| text).take(NAMED_MAX);
        let text = listed(&waits_for, &named.collect::<Vec<_>>());
        if text == self.told {
            return None;
        }
        self.told.clone_from(&text);
        Some(Event::Progress { text })
    }

    fn fail(&mut self, message: String, log: Vec<String>) -> Event {
        self.over = true;
        Event::Failed { message, log }
    }
}

/// The pods that are not yet what they will be.
fn waiting<'a>(pods: &'a BTreeSet<PodName>, kubelet: &Kubelet) -> Vec<&'a PodName> {
    let now = clock::now();
    let settled = |name: &&PodName| {
        let pod = kubelet.pods().get(*name);
        pod.is_some_and(|pod| pod.is_settled() && pod.steady_at().is_none_or(|at| at <= now))
    };
    pods.iter().filter(|name| !settled(name)).collect()
}

/// Pods that are waited for and of which a container ended or cannot be started, with how and its last words.
fn failing<'a>(kubelet: &Kubelet, waiting: &[&'a PodName]) -> Vec<(&'a PodName, String)> {
    let failing = waiting.iter().filter_map(|name| {
        let failures = kubelet.pods().get(*name)?.failures();
        let told = failures.iter().map(|(container, how)| {
            let words = kubelet.last_words(name, container);
            let words = words.map(|words| format!(", its last words: {words}"));
            format!("container {container} {how}{}", words.unwrap_or_default())
        });
        let told: Vec<String> = told.collect();
        let (namespace, pod) = name;
        (!told.is_empty()).then(|| (*name, format!("{namespace}/{pod} ({})", told.join("; "))))
    });
    failing.take(NAMED_MAX).collect()
}

fn listed(what: &str, named: &[String]) -> String {
    if named.is_empty() {
        return what.to_owned();
    }
    format!("{what}: {}", named.join(", "))
}
