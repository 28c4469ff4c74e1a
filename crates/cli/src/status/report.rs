//! What nodes and their agents say of themselves, as a value and as text.

use std::collections::{BTreeMap, BTreeSet};

use oncilla_agent::{AGENT_ANNOTATION, AgentState, AgentStatus, Problem};
use oncilla_store::StoredObject;
use serde::Serialize;
use serde_json::Value;

use super::json;

/// Problems shown of one node unless everything is asked for.
const PROBLEMS_SHOWN: usize = 5;
/// Pods shown of a node that is not there.
const PODS_SHOWN: usize = 5;

/// The whole answer. Fields are only ever added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Whether every node enforces and nothing is amiss.
    pub(crate) healthy: bool,
    /// The newest revision that policy can depend on.
    pub(crate) revision: u64,
    pub(crate) pods: usize,
    pub(crate) nodes: Vec<NodeReport>,
    /// Nodes that pods say they run on and that are not there: nobody says whether their policy is in force.
    pub(crate) missing_nodes: Vec<MissingNode>,
}

/// A node without a Node object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MissingNode {
    pub(crate) name: String,
    /// `namespace/name` of the pods that say they run there.
    pub(crate) pods: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeReport {
    pub(crate) name: String,
    /// `enforcing`, `starting`, `stale`, `stopped` or `none`: no agent ever reported.
    pub(crate) state: &'static str,
    /// Whether everything up to the newest revision is in force.
    pub(crate) is_current: bool,
    /// How long ago the agent reported, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age_ms: Option<u64>,
    /// For how long the agent has had no store, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) away_ms: Option<u64>,
    /// What it said.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "json::in_camel_case"
    )]
    pub(crate) agent: Option<AgentStatus>,
}

impl Report {
    pub(crate) fn new(
        nodes: &[StoredObject],
        pods: &[StoredObject],
        revision: u64,
        unix_ms: u64,
    ) -> Self {
        let missing_nodes = missing_nodes(nodes, pods);
        let nodes = nodes
            .iter()
            .map(|node| NodeReport::new(node, revision, unix_ms));
        let nodes: Vec<NodeReport> = nodes.collect();
        Self {
            healthy: !nodes.is_empty()
                && missing_nodes.is_empty()
                && nodes.iter().all(NodeReport::is_healthy),
            revision,
            pods: pods.len(),
            nodes,
            missing_nodes,
        }
    }

    /// Whether an agent that enforces has something new before it: that takes a moment.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.nodes.iter().any(NodeReport::is_behind)
    }

    pub(crate) fn names(&self) -> String {
        let names = self.nodes.iter().map(|node| format!("node/{}", node.name));
        names.collect::<Vec<_>>().join("\n")
    }

    /// The answer in one line.
    pub(crate) fn headline(&self) -> String {
        let nodes = match self.nodes.len() {
            0 if self.pods == 0 => return "no nodes: nobody enforces anything".to_owned(),
            0 => "no nodes".to_owned(),
            1 => "1 node".to_owned(),
            many => format!("{many} nodes"),
        };
        let what = self.verdict();
        format!("{nodes}, {} pods, rev {}: {what}", self.pods, self.revision)
    }

    /// What is amiss, counted, or that nothing is.
    fn verdict(&self) -> String {
        let nodes = |is: fn(&NodeReport) -> bool| self.nodes.iter().filter(|node| is(node)).count();
        let mut parts = Vec::new();
        match nodes(|node| node.state != "enforcing") {
            0 => {}
            count => parts.push(format!("{count} NOT enforcing the store's policy")),
        }
        match nodes(NodeReport::is_behind) {
            0 => {}
            count => parts.push(format!("{count} behind")),
        }
        let lost = self.missing_nodes.iter().map(|node| node.pods.len());
        match lost.sum::<usize>() {
            0 => {}
            1 => parts.push("1 pod on a node that is not there".to_owned()),
            count => parts.push(format!("{count} pods on nodes that are not there")),
        }
        if self.nodes.is_empty() {
            parts.push("nobody enforces anything".to_owned());
        } else if parts.is_empty() {
            parts.push("all enforcing".to_owned());
        }
        match self.nodes.iter().map(NodeReport::problems).sum::<usize>() {
            0 => {}
            1 => parts.push("1 problem".to_owned()),
            count => parts.push(format!("{count} problems")),
        }
        parts.join(", ")
    }

    pub(crate) fn text(&self, wide: bool) -> String {
        let mut lines = vec![self.headline()];
        let missing = self.missing_nodes.iter().map(|node| &node.name);
        let names = self.nodes.iter().map(|node| &node.name).chain(missing);
        let widths = names.map(|name| name.chars().count());
        let width = widths.max().unwrap_or_default();
        for node in &self.nodes {
            lines.push(String::new());
            lines.extend(node.lines(width, wide, self.revision));
        }
        for node in &self.missing_nodes {
            lines.push(String::new());
            lines.extend(node.lines(width, wide));
        }
        if self.nodes.is_empty() {
            lines.push("next: oncilla lab up, or on a node: oncilla agent --node NAME".to_owned());
        }
        lines.join("\n")
    }
}

impl MissingNode {
    fn lines(&self, width: usize, wide: bool) -> [String; 2] {
        let head = format!("node {:width$}   ", self.name);
        let indent = " ".repeat(head.chars().count());
        let shown = if wide { usize::MAX } else { PODS_SHOWN };
        let mut pods: Vec<&str> = self.pods.iter().map(String::as_str).collect();
        let left = pods.len().saturating_sub(shown);
        pods.truncate(shown);
        let more = match left {
            0 => String::new(),
            left => format!(" and {left} more"),
        };
        [
            format!(
                "{head}{:<12}no Node object, so nobody says whether policy is in force there",
                "MISSING"
            ),
            format!("{indent}{:<12}{}{more}", "pods", pods.join(", ")),
        ]
    }
}

/// Nodes that are not there and that pods which have not ended name, with those pods.
fn missing_nodes(nodes: &[StoredObject], pods: &[StoredObject]) -> Vec<MissingNode> {
    let there: BTreeSet<&str> = nodes.iter().map(|node| node.key.name.as_str()).collect();
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pod in pods {
        let text = |pointer| pod.value.pointer(pointer).and_then(Value::as_str);
        let has_ended = matches!(text("/status/phase"), Some("Succeeded" | "Failed"));
        let node = text("/spec/nodeName").filter(|node| !node.is_empty() && !has_ended);
        if let Some(node) = node.filter(|node| !there.contains(node)) {
            missing.entry(node).or_default().push(pod.key.path());
        }
    }
    let missing = missing.into_iter().map(|(name, pods)| MissingNode {
        name: name.to_owned(),
        pods,
    });
    missing.collect()
}

impl NodeReport {
    fn new(node: &StoredObject, revision: u64, unix_ms: u64) -> Self {
        let annotations = node.value.pointer("/metadata/annotations");
        let text = annotations.and_then(|all| all.get(AGENT_ANNOTATION)?.as_str());
        let agent = text.and_then(|text| serde_json::from_str::<AgentStatus>(text).ok());
        let state = match (&agent, text) {
            (Some(agent), _) => match agent.state_at(unix_ms) {
                AgentState::Starting => "starting",
                AgentState::Enforcing => "enforcing",
                AgentState::Stale => "stale",
                AgentState::Stopped => "stopped",
            },
            // A report that cannot be read is of another version: nothing can be said for it.
            (None, Some(_)) => "stale",
            (None, None) => "none",
        };
        Self {
            name: node.key.name.clone(),
            state,
            is_current: agent.as_ref().and_then(|agent| agent.revision) >= Some(revision),
            age_ms: agent
                .as_ref()
                .map(|a| unix_ms.saturating_sub(a.updated_unix_ms)),
            away_ms: agent
                .as_ref()
                .and_then(|agent| agent.stale_since_unix_ms)
                .map(|since| unix_ms.saturating_sub(since)),
            agent,
        }
    }

    fn is_healthy(&self) -> bool {
        self.state == "enforcing" && self.is_current && self.problems() == 0
    }

    /// It enforces what was there before, not what is there now.
    fn is_behind(&self) -> bool {
        self.state == "enforcing" && !self.is_current
    }

    /// How many things are not in force as written.
    fn problems(&self) -> usize {
        self.agent.as_ref().map_or(0, |agent| {
            agent.problems.len() + agent.problems_left_out + agent.kernel.isolated.len()
        })
    }

    fn lines(&self, width: usize, wide: bool, revision: u64) -> Vec<String> {
        let head = format!("node {:width$}   ", self.name);
        let indent = " ".repeat(head.chars().count());
        let state = match self.state {
            "stale" => "STALE",
            "stopped" => "STOPPED",
            other => other,
        };
        let Some(agent) = &self.agent else {
            let said = match self.state {
                "none" => "no agent ever reported; on the node: oncilla agent --node",
                _ => "its report cannot be read; does another version run there? oncilla get node",
            };
            return vec![format!("{head}{state:<12}{said} {}", self.name)];
        };
        let mut lines = vec![format!("{head}{state:<12}{}", self.said(agent, revision))];
        lines.push(format!("{indent}{:<12}{}", "kernel", kernel_line(agent)));
        if wide {
            lines.push(format!(
                "{indent}{:<12}{} transactions, {} connections cut, {} tombstones, table {}, {:.1} MiB resident",
                "",
                agent.kernel.writes,
                agent.kernel.connections_cut,
                agent.kernel.tombstones,
                if agent.kernel.owns_table { "owned" } else { "not owned" },
                mebibytes(agent.rss_bytes),
            ));
        }
        lines.extend(self.problem_lines(agent, &indent, wide));
        lines
    }

    fn said(&self, agent: &AgentStatus, revision: u64) -> String {
        let counts = format!(
            "{} pods, {} policies, {} tiers",
            agent.pods, agent.policies, agent.tiers
        );
        let enforced = agent.revision.map_or_else(
            || "nothing yet".to_owned(),
            |revision| format!("rev {revision}"),
        );
        let age = self.age_ms.map(seconds).unwrap_or_default();
        if self.state == "stale" {
            let why = match self.away_ms {
                Some(away) => format!("store unreachable for {}", seconds(away)),
                None => format!("no report for {age}; is the agent running?"),
            };
            return format!("{why}; still enforcing {enforced}   {counts}");
        }
        if self.state == "stopped" {
            let kept = match agent.revision {
                Some(_) => format!("still enforces {enforced}"),
                None => "keeps what it held before".to_owned(),
            };
            return format!("{age} ago; the kernel {kept}   {counts}");
        }
        let lag = match agent.revision {
            _ if self.is_current => "current".to_owned(),
            Some(_) => format!("behind rev {revision}"),
            None => format!("the store is at rev {revision}"),
        };
        format!("{enforced} ({lag}, {age} ago)   {counts}")
    }

    fn problem_lines(&self, agent: &AgentStatus, indent: &str, wide: bool) -> Vec<String> {
        let count = self.problems();
        if count == 0 {
            return Vec::new();
        }
        let shown = if wide { usize::MAX } else { PROBLEMS_SHOWN };
        let mut texts: Vec<[String; 2]> = Vec::new();
        for isolated in &agent.kernel.isolated {
            texts.push([
                format!(
                    "group {} was refused by the kernel, its pods are denied: {}",
                    isolated.group, isolated.message
                ),
                "see `oncilla status --kernel`, and the agent's log".to_owned(),
            ]);
        }
        texts.extend(agent.problems.iter().map(problem));
        let left = count - texts.len().min(shown);
        let mut lines = Vec::new();
        for (at, [what, next]) in texts.iter().take(shown).enumerate() {
            let label = if at == 0 {
                format!("{count}: ")
            } else {
                String::new()
            };
            let name = if at == 0 { "problems" } else { "" };
            let pad = " ".repeat(count.to_string().len() + 2);
            let first = if at == 0 { label } else { pad.clone() };
            lines.push(format!("{indent}{name:<12}{first}{what}"));
            lines.push(format!("{indent}{:<12}{pad}({next})", ""));
        }
        if left > 0 {
            lines.push(format!(
                "{indent}{:<12}and {left} more; see `oncilla status -o wide`",
                ""
            ));
        }
        lines
    }
}

/// What is wrong, and the next command.
fn problem(problem: &Problem) -> [String; 2] {
    let (kind, path) = problem
        .object
        .split_once(' ')
        .unwrap_or((&problem.object, ""));
    let kind = kind.to_lowercase();
    [
        format!(
            "{} is not enforced as written: {}",
            problem.object, problem.message
        ),
        match path.split_once('/') {
            Some((namespace, name)) => {
                format!("see `oncilla describe {kind} -n {namespace} {name}`")
            }
            None => format!("see `oncilla describe {kind} {path}`"),
        },
    ]
}

fn kernel_line(agent: &AgentStatus) -> String {
    let kernel = &agent.kernel;
    let verified = match kernel.verified_ms_ago {
        Some(ms) => format!("verified {} before its report", seconds(ms)),
        None => "not verified yet".to_owned(),
    };
    let last = match kernel.last_change_us {
        Some(us) => format!(", last change {}.{} ms", us / 1000, us % 1000 / 100),
        None => String::new(),
    };
    format!("{verified}, {} repairs{last}", kernel.repairs)
}

/// `0.3 s`, `41 s`.
fn seconds(ms: u64) -> String {
    if ms < 10_000 {
        format!("{}.{} s", ms / 1000, ms % 1000 / 100)
    } else {
        format!("{} s", ms / 1000)
    }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use oncilla_agent::AGENT_ANNOTATION;
    use oncilla_api::{Kind, ObjectKey};
    use oncilla_store::{Revision, StoredObject};
    use serde_json::{Value, json};

    use super::Report;

    const NOW: u64 = 1_000_000;

    fn node(name: &str, agent: Option<Value>) -> StoredObject {
        let annotations = match agent {
            Some(agent) => json!({ AGENT_ANNOTATION: agent.to_string() }),
            None => json!({}),
        };
        StoredObject {
            key: ObjectKey::cluster(Kind::Node, name),
            revision: Revision(9999),
            value: json!({ "metadata": { "name": name, "annotations": annotations } }),
        }
    }

    /// Pods p0, p1, … on these nodes.
    fn pods<const COUNT: usize>(nodes: [Option<&str>; COUNT]) -> Vec<StoredObject> {
        let pods = nodes.iter().enumerate().map(|(number, node)| StoredObject {
            key: ObjectKey::namespaced(Kind::Pod, "web", format!("p{number}")),
            revision: Revision(7),
            value: json!({ "spec": { "nodeName": node.unwrap_or_default() } }),
        });
        pods.collect()
    }

    fn agent(revision: u64, age_ms: u64, problems: &Value) -> Value {
        json!({
            "state": "enforcing", "revision": revision, "updated_unix_ms": NOW - age_ms,
            "pods": 5, "policies": 12, "tiers": 3, "problems": problems, "rss_bytes": 12_582_912,
            "kernel": {
                "verified_ms_ago": 2000, "repairs": 0, "last_change_us": 3140, "writes": 7, "owns_table": true,
                "tombstones": 1, "connections_cut": 2,
            },
        })
    }

    #[test]
    fn healthy_nodes_are_told_in_two_lines_each() {
        let nodes = [
            node("n1", Some(agent(1841, 300, &json!([])))),
            node("n2", Some(agent(1850, 0, &json!([])))),
        ];
        let report = Report::new(&nodes, &pods([None; 10]), 1841, NOW);
        assert!(report.healthy);
        assert_eq!(
            report.text(false),
            "\
2 nodes, 10 pods, rev 1841: all enforcing

node n1   enforcing   rev 1841 (current, 0.3 s ago)   5 pods, 12 policies, 3 tiers
          kernel      verified 2.0 s before its report, 0 repairs, last change 3.1 ms

node n2   enforcing   rev 1850 (current, 0.0 s ago)   5 pods, 12 policies, 3 tiers
          kernel      verified 2.0 s before its report, 0 repairs, last change 3.1 ms"
        );
    }

    #[test]
    fn stale_behind_and_troubled_nodes_are_told_with_what_to_do() {
        let problems = json!([{
            "object": "NetworkPolicy staging/old-db",
            "message": "unknown tier \"legacy\"; what the policy selects is denied there",
            "since_unix_ms": 1,
        }]);
        let mut away = agent(1839, 1000, &json!([]));
        away["state"] = "stale".into();
        away["stale_since_unix_ms"] = (NOW - 41_000).into();
        let mut stopped = agent(1838, 60_000, &json!([]));
        stopped["state"] = "stopped".into();
        let nodes = [
            node("n1", Some(agent(1841, 300, &problems))),
            node("n2", Some(away)),
            node("n3", Some(agent(1842, 15_001, &json!([])))),
            node("n4", None),
            node("n5", Some(json!({ "state": "dancing" }))),
            node("n6", Some(stopped)),
        ];
        let report = Report::new(&nodes, &pods([None; 3]), 1842, NOW);
        assert!(!report.healthy);
        let states: Vec<&str> = report.nodes.iter().map(|node| node.state).collect();
        assert_eq!(
            states,
            ["enforcing", "stale", "stale", "none", "stale", "stopped"]
        );
        let text = report.text(true);
        for expect in [
            "6 nodes, 3 pods, rev 1842: 5 NOT enforcing the store's policy, 1 behind, 1 problem",
            "node n1   enforcing   rev 1841 (behind rev 1842, 0.3 s ago)",
            "          problems    1: NetworkPolicy staging/old-db is not enforced as written: unknown tier \"legacy\"",
            "                         (see `oncilla describe networkpolicy -n staging old-db`)",
            "node n2   STALE       store unreachable for 41 s; still enforcing rev 1839",
            "node n3   STALE       no report for 15 s; is the agent running?; still enforcing rev 1842",
            "node n4   none        no agent ever reported; on the node: oncilla agent --node n4",
            "node n5   STALE       its report cannot be read",
            "node n6   STOPPED     60 s ago; the kernel still enforces rev 1838   5 pods",
            "7 transactions, 2 connections cut, 1 tombstones, table owned, 12.0 MiB resident",
        ] {
            assert!(text.contains(expect), "{expect}\n{text}");
        }
    }

    #[test]
    fn no_nodes_is_not_healthy() {
        let report = Report::new(&[], &[], 3, NOW);
        assert!(!report.healthy);
        assert!(report.text(false).contains("oncilla agent --node NAME"));
    }

    #[test]
    fn a_node_that_is_only_behind_is_no_enforcing_of_all() {
        let nodes = [
            node("n1", Some(agent(1841, 300, &json!([])))),
            node("n2", Some(agent(1840, 300, &json!([])))),
        ];
        let report = Report::new(&nodes, &[], 1841, NOW);
        assert!(!report.healthy && report.is_catching_up());
        let first = "2 nodes, 0 pods, rev 1841: 1 behind\n";
        assert!(
            report.text(false).starts_with(first),
            "{}",
            report.text(false)
        );
        let report = Report::new(&nodes, &[], 1840, NOW);
        assert!(report.healthy && !report.is_catching_up());
    }

    #[test]
    fn pods_on_a_node_that_is_not_there_are_told() {
        let nodes = [node("n1", Some(agent(1841, 300, &json!([]))))];
        let mut pods = pods([Some("n1"), Some("gone"), None, Some("gone"), Some("n9")]);
        pods[4].value["status"] = json!({ "phase": "Succeeded" });
        let report = Report::new(&nodes, &pods, 1841, NOW);
        assert!(!report.healthy);
        let text = report.text(false);
        let first = "1 node, 5 pods, rev 1841: 2 pods on nodes that are not there\n";
        assert!(text.starts_with(first), "{text}");
        let last = "
node gone   MISSING     no Node object, so nobody says whether policy is in force there
            pods        web/p1, web/p3";
        assert!(text.ends_with(last), "{text}");
        let report = Report::new(&[], &pods, 1841, NOW);
        let first = "no nodes, 5 pods, rev 1841: 3 pods on nodes that are not there, nobody enforces anything";
        assert_eq!(report.headline(), first);
    }
}
