//! A server, an agent, and what both say. Nothing here waits for time: only for the agent's own reports.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, UNIX_EPOCH};

use oncilla_agent::{AGENT_ANNOTATION, AgentError, AgentStatus, Options, TableOwner, run};
use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_apiserver::{bind, serve};
use oncilla_kernel::netns::{Netns, NetnsError};
use oncilla_store::rest::{Client, Collection, Event};
use oncilla_store::{MemoryStore, Store, StoredObject};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) const NODE: &str = "n1";
const PATIENCE: Duration = Duration::from_secs(30);

/// A store, and the server that can be stopped and started over it.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) netns: Arc<Netns>,
    folder: TempDir,
    runtime: Runtime,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl World {
    /// A served store with a node, a namespace with its account, and two pods on the node.
    pub(crate) fn new() -> Self {
        let world = Self::without_pods(Arc::new(Netns::new().unwrap()));
        for (name, ip) in [("a", "10.65.0.1"), ("b", "10.65.0.2")] {
            world.pod(name, &json!({ "app": name }), &[ip.parse().unwrap()]);
        }
        world
    }

    /// A served store with a node, which is the given namespace, and the namespace `team` with its account.
    pub(crate) fn without_pods(netns: Arc<Netns>) -> Self {
        let mut world = Self::silent(netns);
        world.serve();
        for (kind, name) in [(Kind::Node, NODE), (Kind::Namespace, "team")] {
            world.create(&ObjectKey::cluster(kind, name), json!({}));
        }
        let account = ObjectKey::namespaced(Kind::ServiceAccount, "team", "default");
        if world.store.object(&account).unwrap().is_none() {
            world.create(&account, json!({}));
        }
        world
    }

    /// An empty store that nobody serves yet.
    pub(crate) fn silent(netns: Arc<Netns>) -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            netns,
            folder: tempfile::tempdir().unwrap(),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            server: None,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    fn client(&self) -> Client {
        Client::unix(&self.socket())
    }

    pub(crate) fn serve(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel::<()>();
        let (store, socket) = (Arc::clone(&self.store), self.socket());
        let server = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = bind(&socket).unwrap();
                drop(ready);
                let clock: oncilla_apiserver::Clock =
                    Arc::new(|| UNIX_EPOCH + Duration::from_hours(500_000));
                let options = oncilla_apiserver::Options { clock };
                let stop = async move { drop(stopped.await) };
                serve(store, listener, options, stop).await.unwrap();
            });
        });
        self.server = Some((stop, server));
        drop(is_ready.blocking_recv());
        let answer = self.runtime.block_on(self.client().read_text("/readyz"));
        assert_eq!(answer.unwrap(), "ok");
    }

    pub(crate) fn stop_serving(&mut self) {
        let (stop, server) = self.server.take().unwrap();
        drop(stop);
        server.join().unwrap();
    }

    fn value(key: &ObjectKey, fields: Value) -> Value {
        let mut value = json!({
            "apiVersion": key.kind.api_version(),
            "kind": key.kind.kind_name(),
            "metadata": { "name": key.name },
        });
        if let Some(namespace) = &key.namespace {
            value["metadata"]["namespace"] = namespace.as_str().into();
        }
        if let (Value::Object(value), Value::Object(fields)) = (&mut value, fields) {
            value.extend(fields);
        }
        value
    }

    /// Creates an object and returns its revision.
    pub(crate) fn create(&self, key: &ObjectKey, fields: Value) -> u64 {
        let client = self.client();
        let value = Self::value(key, fields);
        let made = self.runtime.block_on(client.create(key, &value));
        made.unwrap_or_else(|error| panic!("{key}: {error}"))
            .revision
            .0
    }

    /// Puts an object into the store past everything that would refuse it.
    pub(crate) fn smuggle(&self, key: &ObjectKey, fields: Value) -> u64 {
        let value = Self::value(key, fields);
        let made = if self.store.object(key).unwrap().is_some() {
            self.store.update(key, None, value)
        } else {
            self.store.create(key, value)
        };
        made.unwrap().revision.0
    }

    pub(crate) fn patch(&self, key: &ObjectKey, patch: &Value) -> u64 {
        let patched = self.runtime.block_on(self.client().merge_patch(key, patch));
        patched.unwrap().revision.0
    }

    pub(crate) fn delete(&self, key: &ObjectKey) {
        self.runtime
            .block_on(self.client().delete(key, None))
            .unwrap();
    }

    /// A pod of the node.
    pub(crate) fn pod(&self, name: &str, labels: &Value, addresses: &[IpAddr]) {
        let key = ObjectKey::namespaced(Kind::Pod, "team", name);
        self.create(
            &key,
            json!({
                "metadata": { "name": name, "namespace": "team", "labels": labels },
                "spec": { "nodeName": NODE, "containers": [{ "name": "c", "image": "none" }] },
            }),
        );
        let all: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        self.report(&key, &json!({ "podIP": addresses.first(), "podIPs": all }));
    }

    /// Writes an object's status.
    pub(crate) fn report(&self, key: &ObjectKey, status: &Value) -> u64 {
        let status = json!({ "status": status });
        let client = self.client();
        let patched = self
            .runtime
            .block_on(client.merge_patch_status(key, &status));
        patched.unwrap().revision.0
    }

    /// Lets only pods with label `app=a` reach those with `app=b`.
    pub(crate) fn allow_a(&self, name: &str) -> u64 {
        let key = ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "team", name);
        self.create(&key, allow_a())
    }

    pub(crate) fn options(&self, table_owner: TableOwner) -> Options {
        let mut options = Options::new(NODE.parse().unwrap(), self.socket());
        options.table_owner = table_owner;
        options
    }

    pub(crate) fn agent(&self, table_owner: TableOwner) -> Agent {
        let options = self.options(table_owner);
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || run(options, async move { drop(stopped.await) });
        Agent {
            stop,
            thread: self.netns.spawn(work).unwrap(),
        }
    }

    /// The agent's report as the store has it now.
    pub(crate) fn reported(&self) -> Option<AgentStatus> {
        let node = self.store.object(&ObjectKey::cluster(Kind::Node, NODE));
        reported(node.unwrap()?)
    }

    /// Waits until the agent's report is as wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&AgentStatus) -> bool) -> AgentStatus {
        let mut last = None;
        let heard = async {
            let mut follow = self.client().follow(Collection::of(Kind::Node));
            loop {
                let objects = match follow.next().await {
                    Event::Snapshot(objects) | Event::Restarted(objects) => objects,
                    Event::Applied(object) => vec![object],
                    _ => continue,
                };
                let mut statuses = objects.into_iter().filter_map(reported);
                if let Some(status) = statuses.find(|status| {
                    last = Some(status.clone());
                    wanted(status)
                }) {
                    return status;
                }
            }
        };
        // A timeout must be made inside the runtime.
        let found = self
            .runtime
            .block_on(async { timeout(PATIENCE, heard).await });
        found.unwrap_or_else(|_| panic!("{what}: the last report was {last:?}"))
    }

    /// Waits until everything up to a revision is in force.
    pub(crate) fn in_force(&self, revision: u64) -> AgentStatus {
        self.wait("in force", |status| status.revision >= Some(revision))
    }

    /// What `nft` prints inside our table, but for flags: its owner comes and goes. `None` when there is none.
    pub(crate) fn table(&self) -> Option<String> {
        let listed = self.nft(&["list", "table", "inet", "oncilla"])?;
        let inside = listed.lines().skip(1);
        let lines = inside.filter(|line| !line.trim_start().starts_with("flags"));
        Some(lines.collect::<Vec<_>>().join("\n"))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the user's own tool looks at the kernel"
    )]
    pub(crate) fn nft(&self, arguments: &[&str]) -> Option<String> {
        let output = self
            .netns
            .run(|| Command::new("nft").args(arguments).output());
        let output = output.unwrap().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }
}

pub(crate) fn allow_a() -> Value {
    let a = json!({ "podSelector": { "matchLabels": { "app": "a" } } });
    json!({ "spec": {
        "podSelector": { "matchLabels": { "app": "b" } },
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": [a], "ports": [{ "protocol": "TCP", "port": 80 }] }],
    }})
}

/// The report in a node object.
fn reported(node: StoredObject) -> Option<AgentStatus> {
    let node = Object::from_value(Kind::Node, node.value).unwrap();
    let text = node.metadata().annotations.get(AGENT_ANNOTATION)?;
    Some(serde_json::from_str(text).unwrap())
}

/// A running agent.
pub(crate) struct Agent {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Result<(), AgentError>, NetnsError>>,
}

impl Agent {
    /// Tells it to stop and waits for its end.
    pub(crate) fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap().unwrap().unwrap();
    }
}

/// The class mark of an address in a listing.
pub(crate) fn class_of(table: &str, address: &str) -> Option<String> {
    let element = format!("{address} : ");
    let (_, rest) = table.split_once(&element)?;
    Some(rest.split([',', ' ', '\n']).next().unwrap().to_owned())
}
