//! The supervisor: PID 1 of the lab, and the one process on which everything in it hangs.
//!
//! ```text
//!   followers of pods, services, nodes ─┐
//!   ends of processes, timers ──────────┼──▶ one loop ──▶ kubelet, agents ──▶ namespaces, processes, status
//!   control socket, guardian ───────────┘
//! ```
//! One task owns all state. What blocks (namespaces, netlink) is done on threads that the loop waits for.

pub(crate) mod addresses;
mod agents;
mod api;
mod clock;
mod control;
mod fabric;
mod killing;
mod knock;
mod kubelet;
mod listening;
mod names;
mod pod;
mod reaper;
mod responder;
mod rise;
mod sandbox;
mod sctp;
mod slices;
mod workload;

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use oncilla_api::{Kind, Object};
use oncilla_apiserver::ServeError;
use oncilla_kernel::netns::Netns;
use oncilla_kernel::process::{self, Namespaces};
use oncilla_store::rest::{Client, Collection, Event as ApiEvent, Follow};
use rustix::process::Signal as KernelSignal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::folder::Folder;
use crate::guardian::{chain, failed, standard_input};
use crate::options::OutsideHost;
use crate::place::Place;
use crate::protocol::{Event, Plan, encode_line};
use crate::status::{LabStatus, NodeStatus, OutsideStatus};
use addresses::Addresses;
use agents::Agents;
use control::{Control, Declared, Places, Query};
use fabric::{Fabric, NodeNet};
use kubelet::{Kubelet, Surroundings};
use names::Names;
use reaper::Reaper;
use responder::{Responder, ResponderThread, Sockets};
use rise::Rise;
use sandbox::Sandbox;

/// The namespace whose short names resolve on nodes and outside hosts.
const DEFAULT_NAMESPACE: &str = "default";

/// Runs the supervisor: its standard input is a socket to the guardian.
pub(crate) fn run() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    match supervise() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&error), "the lab ends");
            ExitCode::FAILURE
        }
    }
}

fn supervise() -> io::Result<()> {
    // The guardian's death is also the end of its socket, which covers the moment before this.
    process::die_with_parent(KernelSignal::KILL.as_raw())?;
    let guardian = standard_input()?;
    let mut line = String::new();
    BufReader::new(guardian.try_clone()?).read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line)?;
    process::unshare(Namespaces {
        mount: true,
        net: true,
        ..Namespaces::default()
    })?;
    process::make_mounts_private()?;
    if let Err(error) = process::mount_proc(Path::new("/proc")) {
        // Inside a container that hides parts of /proc. Then `ps` in a pod shows the machine's processes.
        tracing::warn!(%error, "/proc stays the machine's");
    }
    process::raise_open_files()?;
    guardian.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(live(plan, guardian))
}

/// Builds the lab and lives until it is to end; a failure to build is told to the caller.
async fn live(plan: Plan, guardian: BlockingStream) -> io::Result<()> {
    let (reader, mut writer) = UnixStream::from_std(guardian)?.into_split();
    match Lab::build(plan, &mut writer).await {
        Ok(lab) => lab.run(reader, writer).await,
        Err(error) => {
            let event = failed(chain(&error));
            writer.write_all(encode_line(&event).as_bytes()).await?;
            Err(error)
        }
    }
}

/// A node's network, and the same with mounts, for who enters it.
type Node = (Arc<NodeNet>, Arc<Sandbox>);

/// A host outside the cluster, as it runs.
#[derive(Debug)]
struct Outside {
    host: OutsideHost,
    sandbox: Arc<Sandbox>,
    responder: Responder,
}

/// Everything of a lab.
struct Lab {
    name: String,
    folder: Folder,
    nodes: Vec<Node>,
    outside: Vec<Outside>,
    kubelet: Kubelet,
    agents: Agents,
    reaper: Reaper,
    queries: mpsc::Receiver<Query>,
    follows: Follows,
    /// The API server.
    server: JoinSet<Result<(), ServeError>>,
    /// The control socket.
    control: JoinSet<()>,
    rise: Rise,
}

/// What nodes and outside hosts stand on.
struct Ground {
    fabric: Fabric,
    addresses: Addresses,
    hosts: PathBuf,
    resolv_conf: PathBuf,
}

impl Ground {
    fn nodes(mut self, count: u16) -> io::Result<(Self, Vec<Node>)> {
        let mut nodes = Vec::new();
        for number in 1..=count {
            let node = self.fabric.add_node(number).map_err(io::Error::other)?;
            let place = Place::Node(node.name.clone());
            let fixed = self.addresses.fix(&place, &node.addresses);
            fixed.map_err(io::Error::other)?;
            let net = node.netns.try_clone().map_err(io::Error::other)?;
            nodes.push((Arc::new(node), self.sandbox(net)?));
        }
        Ok((self, nodes))
    }

    fn outside(
        mut self,
        hosts: Vec<OutsideHost>,
        responders: &ResponderThread,
    ) -> io::Result<(Self, Vec<Outside>)> {
        let mut outside = Vec::new();
        for host in hosts {
            let place = host.addresses.first().copied().map(Place::Outside);
            let place = place.ok_or(io::ErrorKind::InvalidInput)?;
            let fixed = self.addresses.fix(&place, &host.addresses);
            fixed.map_err(io::Error::other)?;
            let net = self.fabric.add_outside(&host.addresses);
            let net = net.map_err(io::Error::other)?;
            let sockets = Sockets::open(&net, &host.listen, &host.addresses);
            let sockets = sockets.map_err(io::Error::other)?;
            outside.push(Outside {
                host,
                responder: responders.serve(sockets, &place.to_string()),
                sandbox: self.sandbox(net)?,
            });
        }
        Ok((self, outside))
    }

    fn sandbox(&self, net: Netns) -> io::Result<Arc<Sandbox>> {
        Sandbox::new(net, &self.hosts, &self.resolv_conf).map(Arc::new)
    }
}

struct Follows {
    pods: Follow,
    services: Follow,
    nodes: Follow,
}

impl Follows {
    fn of(client: &Client) -> Self {
        let follow = |kind| client.follow(Collection::of(kind));
        Self {
            pods: follow(Kind::Pod),
            services: follow(Kind::Service),
            nodes: follow(Kind::Node),
        }
    }
}

impl Lab {
    async fn build(plan: Plan, writer: &mut OwnedWriteHalf) -> io::Result<Self> {
        let count = plan.nodes;
        let text = format!("making {count} nodes and the network between them");
        progress(writer, text).await;
        let reaper = Reaper::new()?;
        let responders = ResponderThread::start()?;
        let folder = Folder::at(plan.folder.clone());
        let mut names = Names::new(folder.hosts(), &folder.resolv_conf())?;
        let ground = Ground {
            hosts: names.file(DEFAULT_NAMESPACE)?,
            resolv_conf: folder.resolv_conf(),
            fabric: Fabric::new().map_err(io::Error::other)?,
            addresses: Addresses::default(),
        };
        let (ground, nodes) = ground.nodes(count)?;
        let (ground, outside) = ground.outside(plan.outside, &responders)?;
        let mut server = JoinSet::new();
        let client = api::start(&folder.api_socket(), &mut server).map_err(io::Error::other)?;
        let bare: Vec<Arc<NodeNet>> = nodes.iter().map(|(node, _)| Arc::clone(node)).collect();
        api::create_nodes(&client, &bare)
            .await
            .map_err(io::Error::other)?;
        progress(writer, "starting the agents".to_owned()).await;
        let agents = Agents::start(&plan.agent_command, &bare, &folder)?;
        progress(writer, "creating objects and pods".to_owned()).await;
        let keys = api::apply(&client, plan.objects)
            .await
            .map_err(io::Error::other)?;
        let user_namespace = in_user_namespace();
        let (serving, queries) = Control::bind(&folder.control_socket(), user_namespace)?;
        let mut control = JoinSet::new();
        control.spawn(serving.serve());
        Ok(Self {
            name: plan.name,
            nodes,
            outside,
            agents,
            reaper,
            queries,
            follows: Follows::of(&client),
            server,
            control,
            rise: Rise::new(keys, plan.ready_timeout_ms),
            kubelet: Kubelet::new(Surroundings {
                client,
                fabric: Arc::new(ground.fabric),
                nodes: bare,
                folder: folder.clone(),
                names,
                addresses: ground.addresses,
                responders,
            }),
            folder,
        })
    }

    /// Lives until the guardian, a signal or a lost server ends it.
    async fn run(
        mut self,
        mut guardian: OwnedReadHalf,
        mut writer: OwnedWriteHalf,
    ) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut nothing = [0; 1];
        loop {
            if let Some(event) = self.rise.advance(&mut self.kubelet, &self.agents) {
                let over = matches!(event, Event::Failed { .. });
                writer.write_all(encode_line(&event).as_bytes()).await?;
                if over {
                    return Ok(());
                }
            }
            let wakes_at = self.wakes_at();
            tokio::select! {
                _ = guardian.read(&mut nothing) => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                Some(ended) = self.server.join_next() => return server_ended(ended),
                Some(_) = self.control.join_next() => {
                    return Err(io::Error::other("the control socket ended"));
                }
                Some(query) = self.queries.recv() => self.answer(query),
                (pid, end) = self.reaper.next() => {
                    if !self.agents.ended(pid, end) {
                        self.kubelet.ended(pid, end).await;
                    }
                }
                event = self.follows.pods.next() => self.kubelet.pods_changed(event).await,
                event = self.follows.services.next() => self.kubelet.services_changed(event),
                event = self.follows.nodes.next() => self.nodes_changed(event),
                Some((name, run)) = self.kubelet.probed() => {
                    self.kubelet.probe_succeeded(name, run).await;
                }
                () = until(wakes_at) => {
                    self.agents.restart();
                    self.kubelet.wake().await;
                }
            }
        }
    }

    fn wakes_at(&self) -> Option<Instant> {
        let times = [
            self.agents.wakes_at(),
            self.kubelet.wakes_at(),
            self.rise.wakes_at(),
        ];
        times.into_iter().flatten().min()
    }

    fn nodes_changed(&mut self, event: ApiEvent) {
        let objects = match event {
            ApiEvent::Snapshot(objects) | ApiEvent::Restarted(objects) => objects,
            ApiEvent::Applied(object) => vec![object],
            ApiEvent::Deleted(_) | ApiEvent::Synced(_) | ApiEvent::Disconnected(_) => return,
        };
        for object in objects {
            if let Ok(Object::Node(node)) = Object::from_value(Kind::Node, object.value) {
                self.agents.report(&node);
            }
        }
    }

    /// Who asked may be gone by now; then nobody reads the answer.
    fn answer(&self, query: Query) {
        match query {
            Query::Status(sender) => drop(sender.send((self.status(), self.declared()))),
            Query::Places(places, sender) => {
                let found = places.into_iter().filter_map(|place| {
                    let sandbox = self.place(&place)?;
                    Some((place, sandbox))
                });
                drop(sender.send(found.collect::<Places>()));
            }
        }
    }

    fn place(&self, place: &Place) -> Option<Arc<Sandbox>> {
        match place {
            Place::Pod { namespace, name } => {
                let key = (namespace.clone(), name.clone());
                self.kubelet.pods().get(&key)?.sandbox.clone()
            }
            Place::Node(name) => {
                let node = self.nodes.iter().find(|(node, _)| node.name == *name);
                node.map(|(_, sandbox)| Arc::clone(sandbox))
            }
            Place::Outside(address) => {
                let its = |outside: &&Outside| outside.host.addresses.contains(address);
                let outside = self.outside.iter().find(its);
                outside.map(|outside| Arc::clone(&outside.sandbox))
            }
        }
    }

    /// What is to be looked up for the status, by pods in its order.
    fn declared(&self) -> Declared {
        let pods = self.kubelet.pods().values();
        pods.map(pod::RunningPod::declared).collect()
    }

    fn status(&self) -> LabStatus {
        let pods: Vec<_> = self
            .kubelet
            .pods()
            .values()
            .map(pod::RunningPod::status)
            .collect();
        let nodes = self.nodes.iter().map(|(node, _)| NodeStatus {
            name: node.name.clone(),
            addresses: node.addresses.to_vec(),
            pods: pods.iter().filter(|pod| pod.node == node.name).count(),
            agent: self.agents.status(&node.name),
        });
        let outside = self.outside.iter().map(|outside| OutsideStatus {
            addresses: outside.host.addresses.clone(),
            listens: outside
                .responder
                .listens
                .iter()
                .map(ToString::to_string)
                .collect(),
        });
        LabStatus {
            name: self.name.clone(),
            server: self.folder.api_socket(),
            logs: self.folder.logs(),
            ready: self.rise.is_over()
                && self
                    .kubelet
                    .pods()
                    .values()
                    .all(pod::RunningPod::is_settled)
                && self.agents.behind(self.kubelet.written()).is_empty(),
            nodes: nodes.collect(),
            outside: outside.collect(),
            pods,
        }
    }
}

async fn progress(writer: &mut OwnedWriteHalf, text: String) {
    let event = Event::Progress { text };
    // Without a listener the lab comes up all the same.
    drop(writer.write_all(encode_line(&event).as_bytes()).await);
}

/// Waits until a moment; for ever when there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

fn server_ended(ended: Result<Result<(), ServeError>, tokio::task::JoinError>) -> io::Result<()> {
    match ended {
        Ok(Ok(())) => Err(io::Error::other("the API server ended")),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Whether this is not the machine's own user namespace: there, all numbers mean themselves.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut numbers = map.split_whitespace();
    numbers.next_back() != Some("4294967295")
}
