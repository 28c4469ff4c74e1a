//! A small kubelet for all nodes of the lab: pods as the API has them become namespaces, cables and processes, and
//! what came of it becomes the pods' status.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oncilla_api::v1::{Pod, Service};
use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_kernel::plumb::PlumbError;
use oncilla_store::StoredObject;
use oncilla_store::rest::{Client, Event};
use serde_json::json;
use tokio::task::{JoinSet, spawn_blocking};

use super::addresses::{self, AddressError, Addresses};
use super::api::is_gone;
use super::clock;
use super::fabric::{self, Fabric, NodeNet};
use super::killing;
use super::knock;
use super::names::{Directory, Names};
use super::pod::{Identity, PodName, Process, RunningPod};
use super::reaper::End;
use super::responder::{ResponderThread, Sockets};
use super::sandbox::{Launch, Sandbox};
use super::slices::{Slices, named_ports, slices};
use super::workload::Workload;
use crate::folder::{Folder, tail};
use crate::guardian::chain;
use crate::options::IPS_ANNOTATION;

/// The first pause before a container is started again; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How much of a container's last line is told, in characters.
const WORDS_CHARS_MAX: usize = 200;
/// How long changes of names are collected before the hosts files are written.
const NAMES_DELAY: Duration = Duration::from_millis(5);

/// What a kubelet needs of the lab around it.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) client: Client,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) nodes: Vec<Arc<NodeNet>>,
    pub(crate) folder: Folder,
    pub(crate) names: Names,
    pub(crate) addresses: Addresses,
    pub(crate) responders: ResponderThread,
}

/// The kubelet.
#[derive(Debug)]
pub(crate) struct Kubelet {
    around: Surroundings,
    pods: BTreeMap<PodName, RunningPod>,
    services: BTreeMap<PodName, Service>,
    slices: Slices,
    /// Readiness probes that are under way; each ends when it succeeds.
    probes: JoinSet<(PodName, u64)>,
    next_node: usize,
    runs: u64,
    names_due: Option<Instant>,
    /// The revision of the last status written.
    written: u64,
}

/// Why a pod cannot run.
#[derive(Debug, thiserror::Error)]
enum PodError {
    #[error("node \"{node}\" is not in this lab, which has n1 to n{count}")]
    NoNode { node: String, count: usize },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("its network could not be made")]
    Plumb(#[from] PlumbError),
    #[error("its mounts could not be made")]
    Mount(#[source] io::Error),
}

impl Kubelet {
    pub(crate) fn new(around: Surroundings) -> Self {
        Self {
            around,
            pods: BTreeMap::new(),
            services: BTreeMap::new(),
            slices: Slices::default(),
            probes: JoinSet::new(),
            next_node: 0,
            runs: 0,
            names_due: None,
            written: 0,
        }
    }

    pub(crate) fn pods(&self) -> &BTreeMap<PodName, RunningPod> {
        &self.pods
    }

    /// The revision of the last status written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// The last line that a container said; none when it said nothing.
    pub(crate) fn last_words(&self, pod: &PodName, container: &str) -> Option<String> {
        let lines = tail(&log(&self.around.folder, pod, container));
        let words = lines.iter().rev().map(|line| line.trim());
        let mut words = words.filter(|line| !line.is_empty());
        let words = words.next()?;
        Some(words.chars().take(WORDS_CHARS_MAX).collect())
    }

    /// Takes in what a follower of pods learned.
    pub(crate) async fn pods_changed(&mut self, event: Event) {
        match event {
            Event::Snapshot(objects) | Event::Restarted(objects) => {
                let present: BTreeSet<PodName> = objects.iter().map(name_of).collect();
                let gone = self.pods.keys().filter(|name| !present.contains(*name));
                for name in gone.cloned().collect::<Vec<_>>() {
                    self.remove(&name).await;
                }
                for object in objects {
                    self.apply(object).await;
                }
            }
            Event::Applied(object) => self.apply(object).await,
            Event::Deleted(object) => self.remove(&name_of(&object)).await,
            Event::Synced(_) | Event::Disconnected(_) => {}
        }
    }

    /// Takes in what a follower of services learned.
    pub(crate) fn services_changed(&mut self, event: Event) {
        match event {
            Event::Snapshot(objects) | Event::Restarted(objects) => {
                self.services.clear();
                for object in objects {
                    self.add_service(object);
                }
            }
            Event::Applied(object) => self.add_service(object),
            Event::Deleted(object) => drop(self.services.remove(&name_of(&object))),
            Event::Synced(_) | Event::Disconnected(_) => return,
        }
        self.names_changed();
    }

    /// Takes note of the end of process `pid`; true when it was a pod's.
    pub(crate) async fn ended(&mut self, pid: u32, end: End) -> bool {
        let name = self.pods.iter_mut().find_map(|(name, pod)| {
            let its = pod.ended(pid, end);
            its.then(|| name.clone())
        });
        let Some(name) = name else {
            return false;
        };
        tracing::info!(pod = %name_text(&name), pid, %end, "a container ended");
        self.report(&name).await;
        true
    }

    /// When [`Kubelet::wake`] has something to do.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let processes = self.pods.values().flat_map(|pod| &pod.processes);
        let starts = processes.filter_map(|process| process.start_at);
        starts.chain(self.names_due).min()
    }

    /// Starts containers that are due, and writes names that have changed.
    pub(crate) async fn wake(&mut self) {
        let now = clock::now();
        if self.names_due.is_some_and(|due| due <= now) {
            self.write_names();
            self.write_slices().await;
        }
        let due = |process: &Process| process.start_at.is_some_and(|at| at <= now);
        let pods = self.pods.iter();
        let names: Vec<PodName> = pods
            .filter(|(_, pod)| pod.processes.iter().any(due))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let Some(mut pod) = self.pods.remove(&name) else {
                continue;
            };
            for index in 0..pod.processes.len() {
                if pod.processes.get(index).is_some_and(due) {
                    self.start_process(&mut pod, index).await;
                }
            }
            self.pods.insert(name.clone(), pod);
            self.report(&name).await;
        }
    }

    /// Waits for a readiness probe to succeed; for ever when none is under way. Cancel-safe.
    pub(crate) async fn probed(&mut self) -> Option<(PodName, u64)> {
        if self.probes.is_empty() {
            std::future::pending::<()>().await;
        }
        self.probes.join_next().await?.ok()
    }

    /// Takes note of a readiness probe that succeeded.
    pub(crate) async fn probe_succeeded(&mut self, name: PodName, run: u64) {
        if let Some(pod) = self.pods.get_mut(&name).filter(|pod| pod.run == run) {
            pod.probing = pod.probing.saturating_sub(1);
            self.report(&name).await;
        }
    }

    /// Brings every hosts file up to date.
    pub(crate) fn write_names(&mut self) {
        self.names_due = None;
        let directory = self.directory();
        if let Err(error) = self.around.names.update(&directory) {
            tracing::warn!(%error, "names could not be written");
        }
    }

    /// Whether names and endpoints of services are as they should be.
    pub(crate) fn is_written(&self) -> bool {
        self.names_due.is_none()
    }

    /// Brings the endpoints of every service up to date.
    async fn write_slices(&mut self) {
        let services = self.services.iter();
        let wanted = services.flat_map(|(name, service)| slices(name, service, &self.pods));
        let wanted = wanted.collect();
        match self.slices.write(&self.around.client, wanted).await {
            Ok(revision) => self.written = self.written.max(revision.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "endpoints of services were not written"
                );
                self.names_due = Some(clock::now() + PAUSE_MIN);
            }
        }
    }

    fn names_changed(&mut self) {
        self.names_due.get_or_insert(clock::now() + NAMES_DELAY);
    }

    fn add_service(&mut self, object: StoredObject) {
        let name = name_of(&object);
        if let Ok(Object::Service(service)) = Object::from_value(Kind::Service, object.value) {
            self.services.insert(name, service);
        }
    }

    async fn apply(&mut self, object: StoredObject) {
        let name = name_of(&object);
        let pod = match Object::from_value(Kind::Pod, object.value) {
            Ok(Object::Pod(pod)) => pod,
            Ok(_) => return,
            Err(errors) => {
                tracing::warn!(pod = %name_text(&name), ?errors, "a pod cannot be read");
                return;
            }
        };
        if pod.spec.node_name.is_empty() {
            return self.schedule(&name).await;
        }
        let identity = Identity {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            node: pod.spec.node_name.clone(),
            host_network: pod.spec.host_network,
            wanted: pod.metadata.annotations.get(IPS_ANNOTATION).cloned(),
        };
        match self.pods.get(&name) {
            Some(running) if running.identity == identity => self.change(&name, &pod).await,
            _ => {
                self.remove(&name).await;
                self.start(name, identity, &pod).await;
            }
        }
    }

    /// Gives a pod a node, one after the other. The change comes back as an event.
    async fn schedule(&mut self, name: &PodName) {
        let count = self.around.nodes.len().max(1);
        let node = self.around.nodes.get(self.next_node % count);
        let patch = json!({ "spec": { "nodeName": node.map(|node| &node.name) } });
        self.next_node = (self.next_node + 1) % count;
        match self.around.client.merge_patch(&key_of(name), &patch).await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                tracing::warn!(pod = %name_text(name), error = chain(&error), "a pod got no node");
            }
        }
    }

    /// A pod that runs was changed. Labels are for others; what it runs is for us.
    async fn change(&mut self, name: &PodName, object: &Pod) {
        let Some(mut pod) = self.pods.remove(name) else {
            return;
        };
        let named = named_ports(object);
        if pod.labels != object.metadata.labels || pod.named_ports != named {
            pod.labels.clone_from(&object.metadata.labels);
            pod.named_ports = named;
            self.names_changed();
        }
        let workload = Workload::of(object);
        if workload != pod.workload && pod.sandbox.is_some() {
            halt(&mut pod).await;
            pod.workload = workload;
            self.launch(&mut pod).await;
        }
        self.pods.insert(name.clone(), pod);
        self.report(name).await;
    }

    async fn start(&mut self, name: PodName, identity: Identity, object: &Pod) {
        let mut pod = RunningPod::new(name.clone(), identity, Workload::of(object));
        pod.labels.clone_from(&object.metadata.labels);
        pod.named_ports = named_ports(object);
        match self.settle(&mut pod).await {
            Ok(()) => self.launch(&mut pod).await,
            Err(error) => {
                let trouble = chain(&error);
                tracing::warn!(pod = %name_text(&name), trouble, "a pod cannot run");
                pod.trouble = Some(trouble);
            }
        }
        self.pods.insert(name.clone(), pod);
        self.report(&name).await;
    }

    /// Gives a pod its network and mounts.
    async fn settle(&mut self, pod: &mut RunningPod) -> Result<(), PodError> {
        let nodes = &self.around.nodes;
        let node = nodes.iter().find(|node| node.name == pod.identity.node);
        let node = Arc::clone(node.ok_or_else(|| PodError::NoNode {
            node: pod.identity.node.clone(),
            count: nodes.len(),
        })?);
        pod.node = Some(Arc::clone(&node));
        let (namespace, name) = &pod.name;
        let hosts = self.around.names.file(namespace).map_err(PodError::Mount)?;
        let net = if pod.identity.host_network {
            pod.addresses = node.addresses.to_vec();
            node.netns.try_clone().map_err(PlumbError::from)?
        } else {
            pod.addresses = self.addresses_for(pod, node.number)?;
            let iface = fabric::pod_iface(namespace, name);
            pod.iface.clone_from(&iface);
            let addresses = pod.addresses.clone();
            let (fabric, all) = (Arc::clone(&self.around.fabric), self.around.nodes.clone());
            blocking(move || {
                fabric.lead(&addresses, &node, &all)?;
                fabric::add_pod(&node.netns, &iface, &addresses)
            })
            .await?
        };
        let resolv_conf = self.around.folder.resolv_conf();
        let sandbox = blocking(move || Sandbox::new(net, &hosts, &resolv_conf)).await;
        pod.sandbox = Some(Arc::new(sandbox.map_err(PodError::Mount)?));
        self.names_changed();
        Ok(())
    }

    fn addresses_for(&mut self, pod: &RunningPod, node: u16) -> Result<Vec<IpAddr>, AddressError> {
        let owner = pod.place();
        match &pod.identity.wanted {
            Some(text) => {
                let wanted = addresses::list(text)?;
                self.around.addresses.fix(&owner, &wanted)?;
                Ok(wanted)
            }
            None => self.around.addresses.allot(&owner, node),
        }
    }

    /// Starts what the pod runs.
    async fn launch(&mut self, pod: &mut RunningPod) {
        self.runs += 1;
        pod.run = self.runs;
        pod.probing = 0;
        pod.trouble = None;
        let Some(sandbox) = pod.sandbox.clone() else {
            return;
        };
        if !pod.workload.listen.is_empty() {
            let (ports, addresses) = (pod.workload.listen.clone(), pod.addresses.clone());
            let sockets = blocking(move || Sockets::open(&sandbox.net, &ports, &addresses)).await;
            match sockets {
                Ok(sockets) => {
                    let name = name_text(&pod.name);
                    pod.responder = Some(self.around.responders.serve(sockets, &name));
                }
                Err(error) => pod.trouble = Some(chain(&error)),
            }
        }
        pod.processes = vec![Process::default(); pod.workload.programs.len()];
        for index in 0..pod.processes.len() {
            self.start_process(pod, index).await;
            self.await_port(pod, index);
        }
    }

    async fn start_process(&mut self, pod: &mut RunningPod, index: usize) {
        let (Some(program), Some(process), Some(sandbox)) = (
            pod.workload.programs.get(index),
            pod.processes.get_mut(index),
            pod.sandbox.clone(),
        ) else {
            return;
        };
        let launch = Launch {
            program: program.path.clone(),
            arguments: program.arguments.iter().map(Into::into).collect(),
            environment: Some(program.environment.clone()),
            working_folder: program.working_folder.clone(),
            log: log(&self.around.folder, &pod.name, &program.container),
        };
        process.start_at = None;
        match blocking(move || sandbox.start(&launch)).await {
            Ok(pid) => {
                process.pid = Some(pid);
                process.started = Some(clock::now());
                process.trouble = None;
            }
            Err(error) => {
                process.trouble = Some(format!("{}: {error}", program.path.display()));
                process.start_at = Some(clock::now() + pause(process.failures));
                process.failures += 1;
            }
        }
    }

    /// A container with a readiness probe is ready once its port opens.
    fn await_port(&mut self, pod: &mut RunningPod, index: usize) {
        let program = pod.workload.programs.get(index);
        let port = program.and_then(|program| program.ready_port);
        if let (Some(port), Some(sandbox), Some(&address)) =
            (port, &pod.sandbox, pod.addresses.first())
        {
            pod.probing += 1;
            let (name, run, sandbox) = (pod.name.clone(), pod.run, Arc::clone(sandbox));
            self.probes.spawn(async move {
                knock::until_open(&sandbox.net, (address, port).into()).await;
                (name, run)
            });
        }
    }

    async fn remove(&mut self, name: &PodName) {
        let Some(mut pod) = self.pods.remove(name) else {
            return;
        };
        halt(&mut pod).await;
        self.around.addresses.give_back(&pod.place());
        self.names_changed();
        let Some(node) = pod.node.clone().filter(|_| !pod.identity.host_network) else {
            return;
        };
        let (fabric, all) = (Arc::clone(&self.around.fabric), self.around.nodes.clone());
        let removed = blocking(move || {
            fabric::remove_pod(&node.netns, &pod.iface)?;
            fabric
                .mislead(&pod.addresses, &node, &all)
                .map_err(PlumbError::from)
        });
        if let Err(error) = removed.await {
            tracing::warn!(pod = %name_text(name), error = chain(&error), "a pod's network stays");
        }
    }

    /// Writes the pod's status, when it says something new.
    async fn report(&mut self, name: &PodName) {
        let Some(pod) = self.pods.get_mut(name) else {
            return;
        };
        let Some(status) = pod.news() else {
            return;
        };
        let patch = json!({ "status": status });
        self.names_changed();
        let key = key_of(name);
        let written = self.around.client.merge_patch_status(&key, &patch);
        match written.await {
            Ok(object) => self.written = self.written.max(object.revision.0),
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                tracing::warn!(pod = %name_text(name), error = chain(&error), "a status was not written");
            }
        }
    }

    /// Who has which name.
    fn directory(&self) -> Directory {
        let mut directory = Directory::new();
        for (name, pod) in self.pods.iter().filter(|(_, pod)| pod.sandbox.is_some()) {
            directory.insert(name.clone(), pod.addresses.iter().copied().collect());
        }
        for ((namespace, name), service) in &self.services {
            let selector = &service.spec.selector;
            if selector.is_empty() {
                continue;
            }
            let chosen = self.pods.values().filter(|pod| {
                let (its, _) = &pod.name;
                its == namespace
                    && pod.is_ready()
                    && selector.iter().all(|(k, v)| pod.labels.get(k) == Some(v))
            });
            let addresses = chosen.flat_map(|pod| &pod.addresses).copied().collect();
            directory.insert((namespace.clone(), name.clone()), addresses);
        }
        directory
    }
}

/// Where a container's output goes.
fn log(folder: &Folder, (namespace, name): &PodName, container: &str) -> PathBuf {
    folder.log(&format!("pod-{namespace}-{name}-{container}"))
}

/// The pause before something that failed `failures` times in a row is started again.
pub(crate) fn pause(failures: u32) -> Duration {
    PAUSE_MIN
        .saturating_mul(1 << failures.min(16))
        .min(PAUSE_MAX)
}

/// Ends everything that runs in a pod. There is no grace: a lab's pods have nothing to save.
async fn halt(pod: &mut RunningPod) {
    let groups: Vec<u32> = pod.processes.iter().filter_map(|p| p.pid).collect();
    pod.processes.clear();
    let whole = pod.sandbox.clone().filter(|_| !pod.identity.host_network);
    blocking(move || {
        for group in groups {
            killing::group(group);
        }
        if let Some(sandbox) = whole {
            killing::all_in(&sandbox.net);
        }
    })
    .await;
    if let Some(responder) = pod.responder.take() {
        responder.close().await;
    }
}

/// Runs what blocks on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn name_of(object: &StoredObject) -> PodName {
    let namespace = object.key.namespace.clone().unwrap_or_default();
    (namespace, object.key.name.clone())
}

fn key_of((namespace, name): &PodName) -> ObjectKey {
    ObjectKey::namespaced(Kind::Pod, namespace, name)
}

fn name_text((namespace, name): &PodName) -> String {
    format!("{namespace}/{name}")
}
