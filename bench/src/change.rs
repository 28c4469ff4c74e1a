//! A policy comes, changes or goes: from the API's answer to the first packet that meets it.
//!
//! Scale: 10 and 10,000 policies on the server, in one tier. A real server and agent; two pods of one node. Packets go
//! from client to server all the time, each from a port of its own, so each is a new flow: the time is that of the first
//! of [`STEADY`] packets on end that fare as the new policy wants, less that of the API's answer; one packet about every
//! [`PACE`] is what it can tell. Four changes a round: a deny before an allow comes, becomes an allow, a deny again, and goes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_kernel::conntrack::Conntrack;
use oncilla_kernel::netns::{Netns, NetnsError};
use oncilla_model::Converter;
use oncilla_testkit::topology::{NodeSpec, PodSpec, Topology, TopologySpec};
use serde_json::{Value, json};

use crate::node::Node;
use crate::report::{Against, Figure, Goal, Report, quantile};
use crate::scene::{NODE, client_kind, namespace, object, pod, policies};

const POLICIES: [usize; 2] = [10, 10_000];
/// Rounds of four changes.
const ROUNDS: usize = 50;
const PORT: u16 = 9000;
const CLIENT: &str = "client";
const SERVER: &str = "server";
/// The pause between two packets.
const PACE: Duration = Duration::from_micros(100);
/// So many packets on end fare as the new policy wants.
const STEADY: usize = 20;
/// A packet of this age has arrived, or never will.
const ON_THE_WAY: Duration = Duration::from_millis(20);
/// The pause between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(2);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most packets of one round.
const PACKETS_MAX: usize = 400_000;
/// The goals of the cost issue: microseconds, and the largest scale ÷ the smallest.
const P99_US: f64 = 10_000.0;
const FLATNESS: f64 = 1.5;

/// How long each change took, in microseconds.
#[derive(Default)]
struct Times {
    created: Vec<f64>,
    changed: Vec<f64>,
    deleted: Vec<f64>,
}

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut worst = Vec::new();
    for policies in POLICIES {
        let mut times = times(policies)?;
        let kinds = [&times.created, &times.changed, &times.deleted];
        let mut all: Vec<f64> = kinds.into_iter().flatten().copied().collect();
        let p99 = quantile(&mut all, 0.99);
        worst.push(p99);
        let figure = Figure {
            bench: format!("B7/{policies}-policies/p99"),
            value: p99,
            unit: "us",
        };
        let against = Against {
            name: "the goal",
            value: P99_US,
        };
        report.goal(&figure, against, Goal::Value(P99_US));
        let kinds = [
            ("created", &mut times.created),
            ("changed", &mut times.changed),
            ("deleted", &mut times.deleted),
        ];
        for (kind, samples) in kinds {
            for (what, part) in [("median", 0.5), ("p99", 0.99)] {
                let name = format!("X7/{policies}-policies/{kind}-{what}");
                report.figure(&name, quantile(samples, part), "us");
            }
        }
    }
    let (small, large) = worst.first().zip(worst.last()).context("no scale")?;
    let figure = Figure {
        bench: "B7/flatness/p99".to_owned(),
        value: *large,
        unit: "us",
    };
    let against = Against {
        name: "the smallest scale, same run",
        value: *small,
    };
    report.goal(&figure, against, Goal::Ratio(FLATNESS));
    Ok(())
}

/// The policy that comes and goes: it stands before the one that allows.
fn switch(action: &str) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "switch", "namespace": "bench"}, "spec": rule(1, action),
    })
}

fn rule(order: u32, action: &str) -> Value {
    json!({
        "order": order,
        "selector": "app == 'server'",
        "types": ["Ingress"],
        "ingress": [{"action": action, "protocol": "UDP", "destination": {"ports": [PORT]}}],
    })
}

fn objects(count: usize) -> anyhow::Result<Vec<Object>> {
    let mut objects = vec![namespace()?];
    objects.extend(policies(count - 1, PORT)?);
    objects.push(object(
        Kind::NetworkPolicy,
        json!({"metadata": {"name": "open", "namespace": "bench"}, "spec": rule(2_000, "Allow")}),
    )?);
    objects.push(pod(SERVER, NODE, "server", "10.65.0.2")?);
    objects.push(pod(CLIENT, NODE, &client_kind(0), "10.65.0.1")?);
    Ok(objects)
}

fn times(policies: usize) -> anyhow::Result<Times> {
    let topology = topology()?;
    let netns = Arc::clone(&topology.node(NODE)?.netns);
    let node = Node::start(&netns, &objects(policies)?)?;
    let mut conntrack = Conntrack::open_in(&netns)?;
    let mut times = Times::default();
    let key = ObjectKey::namespaced(Kind::NetworkPolicy, "bench", "switch");
    let turn = |action: &str| json!({"spec": rule(1, action)});
    for _ in 0..ROUNDS {
        conntrack.flush()?;
        let stream = Stream::start(&topology)?;
        let met = |stream: &Stream, arrives, answered| stream.first(arrives, answered);
        stream.first(true, Instant::now())?;
        node.create(&key, &switch("Deny"))?;
        times.created.push(met(&stream, false, Instant::now())?);
        node.patch(&key, &turn("Allow"))?;
        times.changed.push(met(&stream, true, Instant::now())?);
        node.patch(&key, &turn("Deny"))?;
        times.changed.push(met(&stream, false, Instant::now())?);
        node.delete(&key)?;
        times.deleted.push(met(&stream, true, Instant::now())?);
        stream.stop()?;
    }
    Ok(times)
}

fn topology() -> anyhow::Result<Topology> {
    // The interface names that the agent expects, so that it polices real traffic.
    let converter = Converter::default();
    let pod = |name: &str, last: u8| PodSpec {
        name: name.to_owned(),
        node: NODE.to_owned(),
        host_iface: Some(converter.interface("bench", name).to_string()),
        addresses: vec![[10, 65, 0, last].into()],
    };
    Ok(Topology::build(&TopologySpec {
        nodes: vec![NodeSpec {
            name: NODE.to_owned(),
            addresses: vec![[10, 64, 0, 1].into()],
        }],
        pods: vec![pod(CLIENT, 1), pod(SERVER, 2)],
        outside: Vec::new(),
    })?)
}

/// Packets that are sent until it ends.
struct Stream {
    log: Arc<Log>,
    ends: [JoinHandle<Result<anyhow::Result<()>, NetnsError>>; 2],
}

/// What became of packets, by their numbers.
struct Log {
    started: Instant,
    is_over: AtomicBool,
    /// When each was sent, in nanoseconds since the start; 0: not yet.
    sent: Vec<AtomicU64>,
    arrived: Vec<AtomicBool>,
}

impl Stream {
    fn start(topology: &Topology) -> anyhow::Result<Self> {
        let log = Arc::new(Log {
            started: Instant::now(),
            is_over: AtomicBool::new(false),
            sent: (0..PACKETS_MAX).map(|_| AtomicU64::default()).collect(),
            arrived: (0..PACKETS_MAX).map(|_| AtomicBool::new(false)).collect(),
        });
        let at = SocketAddr::new([10, 65, 0, 2].into(), PORT);
        let netns = |name: &str| -> anyhow::Result<Arc<Netns>> {
            Ok(Arc::clone(&topology.pod(name)?.netns))
        };
        let (server, client) = (netns(SERVER)?, netns(CLIENT)?);
        let socket = server.run(|| UdpSocket::bind(at))??;
        socket.set_read_timeout(Some(ON_THE_WAY))?;
        let (receives, sends) = (Arc::clone(&log), Arc::clone(&log));
        let ends = [
            thread::spawn(move || Ok(receives.receive(&socket))),
            thread::spawn(move || client.run(|| sends.send(at))),
        ];
        Ok(Self { log, ends })
    }

    /// Microseconds from `answered` until packets arrive, or do not.
    fn first(&self, arrive: bool, answered: Instant) -> anyhow::Result<f64> {
        let since = |at: Instant| at.saturating_duration_since(self.log.started);
        let since = u64::try_from(since(answered).as_nanos())?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            thread::sleep(LOOK);
            if let Some(at) = self.log.first(arrive, since) {
                #[expect(clippy::cast_precision_loss, reason = "less than ten seconds")]
                return Ok((at - since) as f64 / 1e3);
            }
        }
        bail!(
            "no change after {PATIENCE:?}: packets are to {}",
            if arrive { "arrive" } else { "be refused" }
        )
    }

    fn stop(self) -> anyhow::Result<()> {
        self.log.is_over.store(true, Ordering::Relaxed);
        for end in self.ends {
            match end.join() {
                Ok(ended) => ended??,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    }
}

impl Log {
    /// When the first of a steady run was sent that arrives, or does not.
    fn first(&self, arrive: bool, since: u64) -> Option<u64> {
        let elapsed = self.started.elapsed().checked_sub(ON_THE_WAY)?;
        let settled = u64::try_from(elapsed.as_nanos()).ok()?;
        let mut run = (0, 0);
        for (sent, arrived) in self.sent.iter().zip(&self.arrived) {
            let sent = sent.load(Ordering::Relaxed);
            if sent == 0 || sent > settled {
                return None;
            }
            if sent < since {
                continue;
            }
            run = match (arrived.load(Ordering::Relaxed) == arrive, run) {
                (false, _) => (0, 0),
                (true, (0, _)) => (1, sent),
                (true, (length, first)) => (length + 1, first),
            };
            if run.0 == STEADY {
                return Some(run.1);
            }
        }
        None
    }

    fn send(&self, at: SocketAddr) -> anyhow::Result<()> {
        let own = SocketAddr::new(IpAddr::from([10, 65, 0, 1]), 0);
        for (number, sent) in self.sent.iter().enumerate() {
            if self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let socket = UdpSocket::bind(own)?;
            let now = u64::try_from(self.started.elapsed().as_nanos())?;
            sent.store(now.max(1), Ordering::Relaxed);
            socket.send_to(&u64::try_from(number)?.to_be_bytes(), at)?;
            thread::sleep(PACE);
        }
        bail!("more than {PACKETS_MAX} packets")
    }

    fn receive(&self, socket: &UdpSocket) -> anyhow::Result<()> {
        let mut bytes = [0; 8];
        while !self.is_over.load(Ordering::Relaxed) {
            match socket.recv(&mut bytes) {
                Ok(length) => {
                    ensure!(length == bytes.len(), "a packet of {length} bytes");
                    let number = usize::try_from(u64::from_be_bytes(bytes))?;
                    let arrived = self.arrived.get(number).context("a stranger's packet")?;
                    arrived.store(true, Ordering::Relaxed);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
