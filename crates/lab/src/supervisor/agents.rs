//! One agent process a node, started again when it ends.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oncilla_api::v1::Node;
use serde_json::Value;

use super::clock;
use super::fabric::NodeNet;
use super::reaper::End;
use super::sandbox::{Launch, start_in};
use crate::folder::Folder;
use crate::options::AGENT_ANNOTATION;
use crate::status::AgentStatus;

/// The first pause before an agent is started again; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// An agent that lived this long is healthy again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// How often an agent may end without ever having reported, before the lab gives up coming up.
pub(crate) const STARTS_MAX: u32 = 3;

/// The agents of a lab, in the order of its nodes; empty in a lab without agents.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    agents: Vec<Agent>,
}

#[derive(Debug)]
pub(crate) struct Agent {
    node: Arc<NodeNet>,
    launch: Launch,
    pid: Option<u32>,
    started: Instant,
    start_at: Option<Instant>,
    /// Ends in a row, without a healthy life in between.
    failures: u32,
    restarts: u32,
    last_end: Option<String>,
    revision: Option<u64>,
}

impl Agents {
    /// Starts an agent on each node.
    pub(crate) fn start(
        command: &[OsString],
        nodes: &[Arc<NodeNet>],
        folder: &Folder,
    ) -> io::Result<Self> {
        let mut agents = Self::default();
        let Some((program, arguments)) = command.split_first() else {
            return Ok(agents);
        };
        for node in nodes {
            let mut arguments = arguments.to_vec();
            arguments.extend(["--node".into(), OsString::from(&node.name)]);
            arguments.extend(["--server".into(), folder.api_socket().into()]);
            let mut agent = Agent {
                node: Arc::clone(node),
                launch: Launch {
                    program: PathBuf::from(program),
                    arguments,
                    environment: None,
                    working_folder: PathBuf::from("/"),
                    log: folder.log(&format!("agent-{}", node.name)),
                },
                pid: None,
                started: clock::now(),
                start_at: None,
                failures: 0,
                restarts: 0,
                last_end: None,
                revision: None,
            };
            agent.start()?;
            agents.agents.push(agent);
        }
        Ok(agents)
    }

    /// Takes note of the end of process `pid`; true when it was an agent.
    pub(crate) fn ended(&mut self, pid: u32, end: End) -> bool {
        let now = clock::now();
        let Some(agent) = self.agents.iter_mut().find(|agent| agent.pid == Some(pid)) else {
            return false;
        };
        agent.pid = None;
        agent.last_end = Some(end.to_string());
        if now.duration_since(agent.started) >= HEALTHY_AFTER {
            agent.failures = 0;
        }
        let pause = PAUSE_MIN.saturating_mul(1 << agent.failures.min(16));
        agent.failures += 1;
        agent.start_at = Some(now + pause.min(PAUSE_MAX));
        tracing::warn!(node = agent.node.name, pid, %end, "an agent ended");
        true
    }

    /// When [`Agents::restart`] has something to do.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.agents.iter().filter_map(|agent| agent.start_at).min()
    }

    /// Starts what is due.
    pub(crate) fn restart(&mut self) {
        let now = clock::now();
        for agent in &mut self.agents {
            if agent.start_at.is_none_or(|at| at > now) {
                continue;
            }
            agent.restarts += 1;
            if let Err(error) = agent.start() {
                agent.last_end = Some(error.to_string());
                agent.start_at = Some(now + PAUSE_MAX);
            }
        }
    }

    /// Takes note of what a node object says.
    pub(crate) fn report(&mut self, node: &Node) {
        let name = &node.metadata.name;
        let Some(agent) = self.agents.iter_mut().find(|a| a.node.name == *name) else {
            return;
        };
        agent.revision = revision(node).or(agent.revision);
    }

    /// Nodes whose agents do not yet enforce `revision`.
    pub(crate) fn behind(&self, revision: u64) -> Vec<String> {
        let behind = self
            .agents
            .iter()
            .filter(|agent| agent.revision.is_none_or(|enforced| enforced < revision));
        behind.map(|agent| agent.node.name.clone()).collect()
    }

    /// An agent that keeps ending before it has ever reported: its node, how it ended, and its log.
    pub(crate) fn hopeless(&self) -> Option<(String, String, PathBuf)> {
        let agent = self
            .agents
            .iter()
            .find(|agent| agent.revision.is_none() && agent.failures >= STARTS_MAX)?;
        let end = agent.last_end.clone().unwrap_or_default();
        Some((agent.node.name.clone(), end, agent.launch.log.clone()))
    }

    pub(crate) fn status(&self, node: &str) -> Option<AgentStatus> {
        let agent = self.agents.iter().find(|agent| agent.node.name == node)?;
        Some(AgentStatus {
            pid: agent.pid,
            revision: agent.revision,
            restarts: agent.restarts,
            last_end: agent.last_end.clone(),
        })
    }
}

impl Agent {
    fn start(&mut self) -> io::Result<()> {
        self.start_at = None;
        self.started = clock::now();
        self.pid = Some(start_in(&self.node.netns, &self.launch)?);
        Ok(())
    }
}

/// The revision that an agent says it enforces.
fn revision(node: &Node) -> Option<u64> {
    let text = node.metadata.annotations.get(AGENT_ANNOTATION)?;
    let report: Value = serde_json::from_str(text).ok()?;
    report.get("revision")?.as_u64()
}

#[cfg(test)]
mod tests {
    use oncilla_api::v1::Node;

    use super::revision;

    #[test]
    fn a_report_is_read_from_the_annotation() {
        let mut node = Node::default();
        assert_eq!(revision(&node), None);
        for (text, expected) in [
            (r#"{"revision":7,"state":"current"}"#, Some(7)),
            (r#"{"state":"starting"}"#, None),
            ("7", None),
        ] {
            let annotations = &mut node.metadata.annotations;
            annotations.insert("oncilla.io/agent".to_owned(), text.to_owned());
            assert_eq!(revision(&node), expected, "{text}");
        }
    }
}
