//! The resident memory of an idle agent: the executable that people run, as a process of its own, against a
//! real `oncilla server`, in a network namespace that ends with the measurement.
//!
//! Scale: a node alone; and 100 policies on one local pod with 1,000 endpoints known. Read from
//! `/proc/PID/status` after the agent says that it enforces everything there is and was left alone for a
//! while. Wants `ONCILLA_BIN`, as `make bench` sets it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use oncilla_agent::{AGENT_ANNOTATION, AgentState, AgentStatus};
use oncilla_api::{Kind, Object};
use oncilla_kernel::netns::Netns;
use oncilla_store::rest::{Client, Collection, Event};
use oncilla_store::{ObjectKey, StoredObject};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::report::{Against, Figure, Goal, Report};
use crate::scene::{NODE, client_kind, pod, policies, remote_address};

/// The goal of the street issue.
const RSS_MB: f64 = 20.0;
const POLICIES: usize = 100;
const ENDPOINTS: usize = 1_000;
/// How long the agent may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the agent is left alone before it counts as idle: longer than its timers for cleaning.
const IDLE: Duration = Duration::from_secs(2);
/// The pause between two looks at a server that is starting, and how many there are at most.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 500;

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let binary = env::var_os("ONCILLA_BIN").map(PathBuf::from);
    let binary = binary.context("ONCILLA_BIN is not set: run `make bench`")?;
    let against = Against {
        name: "the goal",
        value: RSS_MB,
    };
    let scale = format!("{POLICIES}-policies-{ENDPOINTS}-endpoints");
    for (name, objects) in [("alone", Vec::new()), (scale.as_str(), busy()?)] {
        let value = resident(&binary, &objects)?;
        let figure = Figure {
            bench: format!("agent-rss-idle/{name}"),
            value,
            unit: "MB",
        };
        report.goal(&figure, against, Goal::Value(RSS_MB));
    }
    Ok(())
}

/// What a cluster holds; tiers are the server's.
fn busy() -> anyhow::Result<Vec<Object>> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}});
    let namespace = Object::from_manifest(namespace);
    let mut objects = vec![namespace.map_err(|errors| anyhow::anyhow!("{errors:?}"))?];
    objects.extend(policies(POLICIES, 8000)?);
    objects.push(pod("server", NODE, "server", "10.65.0.2")?);
    for number in 1..ENDPOINTS {
        let (name, app) = (format!("pod-{number}"), client_kind(number));
        objects.push(pod(&name, "n2", &app, &remote_address(number))?);
    }
    Ok(objects)
}

/// A process that ends with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to end.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    fn start(netns: &Netns, binary: &Path, arguments: &[&OsStr]) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.args(arguments).stdin(Stdio::null());
        // A socket of somebody's lab must not be taken for ours.
        command
            .env_remove("ONCILLA_SERVER")
            .env_remove("ONCILLA_LAB");
        command.arg("--log-level").arg("warn");
        let child = netns.run(|| command.spawn())?;
        let child = child.with_context(|| format!("cannot run {}", binary.display()))?;
        Ok(Self(child))
    }

    /// Resident memory in MB.
    fn resident_mb(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.0.id());
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        let kib: u32 = kib
            .with_context(|| format!("no VmRSS in {path}"))?
            .parse()?;
        Ok(f64::from(kib) * 1024.0 / 1e6)
    }
}

fn resident(binary: &Path, objects: &[Object]) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let (socket, store) = (folder.path().join("api.sock"), folder.path().join("store"));
    let netns = Netns::new()?;
    let arguments = ["server", "--socket"].map(OsStr::new);
    let arguments = [
        &arguments[..],
        &[socket.as_os_str(), "--store".as_ref(), store.as_os_str()],
    ];
    let _server = Process::start(&netns, binary, &arguments.concat())?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = Client::unix(&socket);
    wait_for_server(&runtime, &client)?;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
    let node_key = ObjectKey::cluster(Kind::Node, NODE);
    let wanted = runtime.block_on(async {
        let mut last = client.create(&node_key, &node).await?;
        for object in objects {
            last = client.create(&object.key(), &object.to_value()).await?;
        }
        anyhow::Ok(last.revision.0)
    })?;
    let arguments = ["agent", "--node", NODE, "--server"].map(OsStr::new);
    let arguments = [&arguments[..], &[socket.as_os_str()]].concat();
    let agent = Process::start(&netns, binary, &arguments)?;
    let said = runtime.block_on(async { timeout(PATIENCE, enforcing(&client, wanted)).await });
    said.context("the agent does not say that it enforces")??;
    thread::sleep(IDLE);
    agent.resident_mb()
}

fn wait_for_server(runtime: &Runtime, client: &Client) -> anyhow::Result<()> {
    for _ in 0..LOOKS_MAX {
        if runtime.block_on(client.read_text("/readyz")).is_ok() {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    bail!("the server does not answer on {}", client.server())
}

/// Returns when the agent says that everything up to a revision is in force.
async fn enforcing(client: &Client, wanted: u64) -> anyhow::Result<()> {
    let mut nodes = client.follow(Collection::of(Kind::Node));
    loop {
        let told = match nodes.next().await {
            Event::Snapshot(nodes) | Event::Restarted(nodes) => nodes,
            Event::Applied(node) => vec![node],
            Event::Deleted(_) | Event::Synced(_) => Vec::new(),
            Event::Disconnected(error) => {
                return Err(anyhow::Error::new(error).context("the server"));
            }
        };
        if told.iter().any(|node| says_enforcing(node, wanted)) {
            return Ok(());
        }
    }
}

fn says_enforcing(node: &StoredObject, wanted: u64) -> bool {
    let annotations = node
        .value
        .get("metadata")
        .and_then(|it| it.get("annotations"));
    let text = annotations.and_then(|it| it.get(AGENT_ANNOTATION)?.as_str());
    let status = text.and_then(|text| serde_json::from_str::<AgentStatus>(text).ok());
    status.is_some_and(|status| {
        status.state == AgentState::Enforcing && status.revision.is_some_and(|at| at >= wanted)
    })
}
