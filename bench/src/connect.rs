//! New connections a second through a node with 1 to 10,000 policies on the server.
//!
//! Scale: two pods of one node; a connection is a handshake, one byte each way and both ends closed; 16
//! clients have one each under way at a time, and one server answers all. Everybody shares one core, as where
//! the goal was set: client, forwarding and server are one cost. Value: the time of all connections ÷ their
//! number, the inverse of the rate, which stands beside it. Against: a node with
//! `ct state established,related accept` only. A round is one burst of the one, two of the other, one of the
//! one. Figures are medians over rounds, with the quartiles of the rounds' ratios beside them. The row
//! `connect/conntrack-only` compares two such nodes: its distance from 1 is noise.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use oncilla_api::Object;
use oncilla_kernel::conntrack::Conntrack;
use oncilla_kernel::netns::Netns;
use oncilla_kernel::nf_tables::{Batch, Socket};
use oncilla_model::Converter;
use oncilla_nft::object::{Chain, CtState, Hook, Name, Rule, Table};
use oncilla_testkit::connect::{Connection, connect};
use oncilla_testkit::topology::{NodeSpec, PodSpec, Topology, TopologySpec};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::engine::Engine;
use crate::quiet::alone;
use crate::report::{Against, Figure, Goal, Report, quantile};
use crate::scene::{CLIENT_KINDS, NODE, client_kind, ground, pod, policies, remote_address};

const POLICIES: [usize; 4] = [1, 100, 1_000, 10_000];
/// Many short rounds: what disturbs one burst disturbs its neighbours.
const ROUNDS: usize = 101;
/// Rounds that nobody counts: caches, and the first fill of the connection table.
const WARM_UP: usize = 4;
/// After so many rounds the connection tables are emptied: before ports come again.
const FLUSH_ROUNDS: usize = 20;
/// Clients of a burst, each with one connection at a time, and how many connections each makes.
const IN_FLIGHT: usize = 16;
const CONNECTIONS_EACH: usize = 20;
const PORT: u16 = 8000;
const CLIENT: &str = "client";
const SERVER: &str = "server";
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the proof waits that a port nobody allows is silent.
const SILENCE: Duration = Duration::from_millis(200);
/// The goal of the street issue.
const RATIO_MAX: f64 = 1.03;

/// One node with its two pods and what enforces on it.
pub(crate) struct Bed<E> {
    topology: Topology,
    conntrack: Conntrack,
    _engine: E,
}

/// Policies on a node, and the floor next to it, which meets the same number of connections.
struct Row {
    policies: Option<usize>,
    ours: Bed<Option<Engine>>,
    floor: Bed<Option<Engine>>,
    costs: Vec<f64>,
    floors: Vec<f64>,
    ratios: Vec<f64>,
}

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let scales = [None].into_iter().chain(POLICIES.map(Some));
    let mut rows: Vec<Row> = scales.map(Row::new).collect::<anyhow::Result<_>>()?;
    for round in 0..WARM_UP + ROUNDS {
        for row in &mut rows {
            if round % FLUSH_ROUNDS == 0 {
                row.ours.flush()?;
                row.floor.flush()?;
            }
            row.round(round)?;
        }
    }
    for row in &mut rows {
        row.print(report);
    }
    Ok(())
}

impl Row {
    fn new(policies: Option<usize>) -> anyhow::Result<Self> {
        Ok(Self {
            policies,
            ours: bed(policies)?,
            floor: bed(None)?,
            costs: Vec::new(),
            floors: Vec::new(),
            ratios: Vec::new(),
        })
    }

    /// The one, the other twice, the one: a machine that gets faster or slower meanwhile does so to both.
    fn round(&mut self, number: usize) -> anyhow::Result<()> {
        let (ours, floor) = if number.is_multiple_of(2) {
            let outer = self.floor.burst()?;
            let inner = f64::midpoint(self.ours.burst()?, self.ours.burst()?);
            (inner, f64::midpoint(outer, self.floor.burst()?))
        } else {
            let outer = self.ours.burst()?;
            let inner = f64::midpoint(self.floor.burst()?, self.floor.burst()?);
            (f64::midpoint(outer, self.ours.burst()?), inner)
        };
        if number >= WARM_UP {
            self.costs.push(ours);
            self.floors.push(floor);
            self.ratios.push(ours / floor);
        }
        Ok(())
    }

    fn print(&mut self, report: &mut Report) {
        let cost = quantile(&mut self.costs, 0.5);
        let ratio = quantile(&mut self.ratios, 0.5);
        let name = self.policies.map_or_else(
            || "conntrack-only".to_owned(),
            |policies| format!("{policies}-policies"),
        );
        // The median of the ratios is the measurement, so the floor is what goes with it and the median cost.
        let against = Against {
            name: "conntrack only, same run",
            value: cost / ratio,
        };
        let figure = Figure {
            bench: format!("connect/{name}"),
            value: cost,
            unit: "us",
        };
        match self.policies {
            Some(_) => report.goal(&figure, against, Goal::Ratio(RATIO_MAX)),
            None => report.compare(&figure, against),
        }
        let floor = quantile(&mut self.floors, 0.5);
        for (what, value, unit) in [
            ("rate", 1e6 / cost, "1/s"),
            ("added", cost - cost / ratio, "us"),
            ("floor-rate", 1e6 / floor, "1/s"),
            ("ratio-q1", quantile(&mut self.ratios, 0.25), "ratio"),
            ("ratio-q3", quantile(&mut self.ratios, 0.75), "ratio"),
        ] {
            report.figure(&format!("X/connect/{name}/{what}"), value, unit);
        }
    }
}

/// A node with so many policies, or with connection tracking only.
fn bed(policies: Option<usize>) -> anyhow::Result<Bed<Option<Engine>>> {
    let bed = Bed::new(|netns| match policies {
        None => {
            netns.run(conntrack_only)??;
            Ok(None)
        }
        Some(count) => {
            let objects = objects(count)?;
            Ok(Some(netns.run(|| Engine::start(NODE, &objects))??))
        }
    })?;
    bed.prove(policies.is_some())?;
    Ok(bed)
}

impl<E> Bed<E> {
    pub(crate) fn new(enforce: impl FnOnce(&Netns) -> anyhow::Result<E>) -> anyhow::Result<Self> {
        // The interface names that the engine expects, so that it polices real traffic.
        let converter = Converter::default();
        let pod = |name: &str, last: u8| PodSpec {
            name: name.to_owned(),
            node: NODE.to_owned(),
            host_iface: Some(converter.interface("bench", name).to_string()),
            addresses: vec![[10, 65, 0, last].into()],
        };
        let topology = Topology::build(&TopologySpec {
            nodes: vec![NodeSpec {
                name: NODE.to_owned(),
                addresses: vec![[10, 64, 0, 1].into()],
            }],
            pods: vec![pod(CLIENT, 1), pod(SERVER, 2)],
            outside: Vec::new(),
        })?;
        let netns = Arc::clone(&topology.node(NODE)?.netns);
        Ok(Self {
            _engine: enforce(&netns)?,
            conntrack: Conntrack::open_in(&netns)?,
            topology,
        })
    }

    /// Forgets all connections, before ports come again.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.conntrack.flush()?)
    }

    /// A port that no policy allows is silent where policy is in force, and answers (nobody listens) elsewhere.
    pub(crate) fn prove(&self, is_policed: bool) -> anyhow::Result<()> {
        let client = &self.topology.pod(CLIENT)?.netns;
        let other = connect(client, address(PORT + 1), SILENCE)?;
        let expected = if is_policed {
            Connection::Silent
        } else {
            Connection::Refused
        };
        ensure!(
            other == expected,
            "port {} of the server: {other:?}, expected {expected:?}: the bed does not police as it should",
            PORT + 1
        );
        Ok(())
    }

    /// Microseconds a connection.
    pub(crate) fn burst(&self) -> anyhow::Result<f64> {
        let at = address(PORT);
        let server = &self.topology.pod(SERVER)?.netns;
        let listener = server.run(|| TcpListener::bind(at))??;
        let client = &self.topology.pod(CLIENT)?.netns;
        client.run(|| connections(at, &listener))?
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::new([10, 65, 0, 2].into(), port)
}

/// Policies on the server, the last of which lets the client in.
pub(crate) fn objects(count: usize) -> anyhow::Result<Vec<Object>> {
    let mut objects = ground()?;
    objects.push(pod(SERVER, NODE, "server", "10.65.0.2")?);
    objects.push(pod(CLIENT, NODE, &client_kind(0), "10.65.0.1")?);
    objects.extend(policies(count, PORT)?);
    for number in 1..CLIENT_KINDS {
        let name = format!("other-{number}");
        objects.push(pod(
            &name,
            "n2",
            &client_kind(number),
            &remote_address(number),
        )?);
    }
    Ok(objects)
}

/// Microseconds a connection, over all of a burst: from the first start to the last end.
fn connections(at: SocketAddr, listener: &TcpListener) -> anyhow::Result<f64> {
    alone()?;
    // A client that failed must not leave its server waiting. This one tells what would hang for minutes below.
    set_socket_timeout(listener, Timeout::Recv, Some(PATIENCE))?;
    let probe =
        TcpStream::connect_timeout(&at, PATIENCE).context("the server cannot be reached")?;
    drop((probe, listener.accept()?));
    let all_here = Barrier::new(IN_FLIGHT);
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let server = scope.spawn(|| answer(listener));
        let clients: Vec<_> = (0..IN_FLIGHT)
            .map(|_| scope.spawn(|| ask(at, &all_here)))
            .collect();
        let spans = clients.into_iter().map(|client| joined(client.join()));
        let spans = spans.collect::<anyhow::Result<_>>()?;
        joined(server.join())?;
        anyhow::Ok(spans)
    })?;
    let start = spans.iter().map(|(start, _)| *start).min();
    let end = spans.iter().map(|(_, end)| *end).max();
    let (start, end) = start.zip(end).context("nobody connected")?;
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let made = (IN_FLIGHT * CONNECTIONS_EACH) as f64;
    Ok((end - start).as_secs_f64() * 1e6 / made)
}

fn joined<T>(thread: thread::Result<anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A client's connections, one after the other; when it started and ended.
fn ask(at: SocketAddr, all_here: &Barrier) -> anyhow::Result<(Instant, Instant)> {
    all_here.wait();
    let start = Instant::now();
    for _ in 0..CONNECTIONS_EACH {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
    }
    Ok((start, Instant::now()))
}

/// The server of all clients. It closes first: the client's ports are free again at once.
fn answer(listener: &TcpListener) -> anyhow::Result<()> {
    let mut byte = [0];
    for _ in 0..IN_FLIGHT * CONNECTIONS_EACH {
        let (mut stream, _) = listener.accept().context("a client is missing")?;
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
    }
    Ok(())
}

fn conntrack_only() -> anyhow::Result<()> {
    let mut batch = Batch::new("floor");
    let chain = Chain::filter("forward", Hook::Forward, 0);
    let name = Name::clone(&chain.name);
    let rule = Rule::new()
        .ct_state(CtState::ESTABLISHED | CtState::RELATED)
        .accept();
    batch
        .add_table(&Table::new("floor"))
        .add_chain(&chain)
        .add_rule(&name, &rule);
    Ok(Socket::open()?.commit(&batch)?)
}
