//! Coming up: when a lab is ready, and when it never will be.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use oncilla_api::{Kind, ObjectKey};

use super::agents::Agents;
use super::clock;
use super::kubelet::Kubelet;
use super::pod::PodName;
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
        (!self.over).then_some(self.deadline)
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
        let waiting = self.waiting(kubelet);
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
            (0, []) => {
                kubelet.write_names();
                self.over = true;
                return Some(Event::Ready);
            }
            (0, nodes) => format!("waiting for the agents of {}", nodes.join(", ")),
            (count, _) => format!("waiting for {count} of {} pods", self.pods.len()),
        };
        if clock::now() >= self.deadline {
            let named: Vec<String> = waiting
                .iter()
                .take(NAMED_MAX)
                .map(|(namespace, pod)| {
                    let running = pods.get(&(namespace.clone(), pod.clone()));
                    let notes = running
                        .map(super::pod::RunningPod::notes)
                        .unwrap_or_default();
                    format!("{namespace}/{pod} ({})", notes.join("; "))
                })
                .collect();
            let message = if named.is_empty() {
                format!("not ready in time, still {waits_for}")
            } else {
                format!("not ready in time, still {waits_for}: {}", named.join(", "))
            };
            return Some(self.fail(message, Vec::new()));
        }
        if waits_for == self.told {
            return None;
        }
        self.told.clone_from(&waits_for);
        Some(Event::Progress { text: waits_for })
    }

    /// The pods that are not yet what they will be.
    fn waiting(&self, kubelet: &Kubelet) -> Vec<&PodName> {
        let settled = |name: &&PodName| {
            let pod = kubelet.pods().get(*name);
            pod.is_some_and(super::pod::RunningPod::is_settled)
        };
        self.pods.iter().filter(|name| !settled(name)).collect()
    }

    fn fail(&mut self, message: String, log: Vec<String>) -> Event {
        self.over = true;
        Event::Failed { message, log }
    }
}
