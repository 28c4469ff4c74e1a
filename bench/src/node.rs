//! A node as people run it: the executable's server and agent, as processes of their own, in the network namespace of the
//! node. Both end with the value. Wants `ONCILLA_BIN`, as `make bench` sets it.

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
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::scene::NODE;

/// How long the agent may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two looks at a server that is starting, and how many there are at most.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 500;

/// A server with objects, and an agent that enforces them.
pub(crate) struct Node {
    agent: Process,
    _server: Process,
    runtime: Runtime,
    client: Client,
    _folder: TempDir,
}

impl Node {
    /// Returns when everything is in force.
    pub(crate) fn start(netns: &Netns, objects: &[Object]) -> anyhow::Result<Self> {
        let binary = env::var_os("ONCILLA_BIN").map(PathBuf::from);
        let binary = binary.context("ONCILLA_BIN is not set: run `make bench`")?;
        let folder = tempfile::tempdir()?;
        let (socket, store) = (folder.path().join("api.sock"), folder.path().join("store"));
        let arguments = ["server", "--socket"].map(OsStr::new);
        let arguments = [
            &arguments[..],
            &[socket.as_os_str(), "--store".as_ref(), store.as_os_str()],
        ];
        let server = Process::start(netns, &binary, &arguments.concat())?;
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
        let agent = Process::start(netns, &binary, &arguments)?;
        let said = runtime.block_on(async { timeout(PATIENCE, enforcing(&client, wanted)).await });
        said.context("the agent does not say that it enforces")??;
        Ok(Self {
            agent,
            _server: server,
            runtime,
            client,
            _folder: folder,
        })
    }

    /// Writes an object; returns when the API has answered.
    pub(crate) fn create(&self, key: &ObjectKey, value: &Value) -> anyhow::Result<()> {
        self.runtime.block_on(self.client.create(key, value))?;
        Ok(())
    }

    /// Changes a part of an object; returns when the API has answered.
    pub(crate) fn patch(&self, key: &ObjectKey, patch: &Value) -> anyhow::Result<()> {
        self.runtime.block_on(self.client.merge_patch(key, patch))?;
        Ok(())
    }

    /// Takes an object away; returns when the API has answered.
    pub(crate) fn delete(&self, key: &ObjectKey) -> anyhow::Result<()> {
        self.runtime.block_on(self.client.delete(key, None))?;
        Ok(())
    }

    /// Resident memory of the agent in MB.
    pub(crate) fn agent_resident_mb(&self) -> anyhow::Result<f64> {
        self.agent.resident_mb()
    }
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
