//! New connections through a node with 1 to 10,000 policies on the server.
//!
//! Scale: two pods of one node, one connection at a time, one byte each way, both ends on one core. Against:
//! the same node with `ct state established,related accept` only, in the same run, rounds interleaved.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use oncilla_kernel::netns::Netns;
use oncilla_kernel::nf_tables::{Batch, Socket};
use oncilla_kernel::process::pin_to_cpu;
use oncilla_model::Converter;
use oncilla_nft::object::{Chain, CtState, Hook, Name, Rule, Table};
use oncilla_testkit::topology::{NodeSpec, PodSpec, Topology, TopologySpec};

use crate::engine::Engine;
use crate::report::{Against, Report, quantile};
use crate::scene::{CLIENT_KINDS, NODE, client_kind, ground, pod, policies, remote_address};

const POLICIES: [usize; 4] = [1, 100, 1_000, 10_000];
const ROUNDS: usize = 9;
const CONNECTIONS: usize = 600;
const PORT: u16 = 8000;
const CLIENT: &str = "client";
const SERVER: &str = "server";
const PATIENCE: Duration = Duration::from_secs(5);

/// One node with its two pods and what enforces on it.
struct Bed {
    topology: Topology,
    _engine: Option<Engine>,
}

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let floor = Bed::new(None)?;
    let beds: Vec<(usize, Bed)> = POLICIES
        .into_iter()
        .map(|count| Ok((count, Bed::new(Some(count))?)))
        .collect::<anyhow::Result<_>>()?;
    let mut floors = Vec::new();
    let mut ratios = vec![Vec::new(); beds.len()];
    let mut costs = vec![Vec::new(); beds.len()];
    for _ in 0..ROUNDS {
        for ((_, bed), (ratios, costs)) in beds.iter().zip(ratios.iter_mut().zip(&mut costs)) {
            // The floor before and after: the machine's speed drifts.
            let before = floor.round()?;
            let cost = bed.round()?;
            let after = floor.round()?;
            ratios.push(cost / f64::midpoint(before, after));
            costs.push(cost);
            floors.extend([before, after]);
        }
    }
    let spread = quantile(&mut floors, 0.75) / quantile(&mut floors, 0.25);
    report.figure("connect/conntrack-only", quantile(&mut floors, 0.5), "us");
    report.figure("X/connect/noise", spread, "count");
    for (((count, _), ratios), costs) in beds.iter().zip(&mut ratios).zip(&mut costs) {
        let (cost, ratio) = (quantile(costs, 0.5), quantile(ratios, 0.5));
        let against = Against {
            name: "conntrack only, same run",
            value: cost / ratio,
        };
        report.goal(&format!("connect/{count}-policies"), cost, "us", &against);
    }
    Ok(())
}

impl Bed {
    fn new(policies: Option<usize>) -> anyhow::Result<Self> {
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
        let engine = match policies {
            None => {
                netns.run(conntrack_only)??;
                None
            }
            Some(count) => Some(enforce(&netns, count)?),
        };
        Ok(Self {
            topology,
            _engine: engine,
        })
    }

    /// One round: the cost of a connection in microseconds, its quietest tenth left in as the rest.
    fn round(&self) -> anyhow::Result<f64> {
        let at = SocketAddr::new([10, 65, 0, 2].into(), PORT);
        let listener = self
            .topology
            .pod(SERVER)?
            .netns
            .run(|| TcpListener::bind(at))??;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let answering = thread::spawn(move || answer(&listener, &over));
        let mut samples = self.topology.pod(CLIENT)?.netns.run(|| connections(at))??;
        is_over.store(true, Ordering::Release);
        // One more connection, so that the listener looks.
        self.topology
            .pod(CLIENT)?
            .netns
            .run(|| TcpStream::connect_timeout(&at, PATIENCE))??;
        answering
            .join()
            .map_err(|panic| anyhow::anyhow!("the answering thread panicked: {panic:?}"))??;
        Ok(quantile(&mut samples, 0.1))
    }
}

/// Policies on the server, the last of which lets the client in.
fn enforce(netns: &Netns, count: usize) -> anyhow::Result<Engine> {
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
    netns.run(|| Engine::start(NODE, &objects))?
}

fn connections(at: SocketAddr) -> anyhow::Result<Vec<f64>> {
    pin_to_cpu(0)?;
    let mut samples = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let start = Instant::now();
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        drop(stream);
        samples.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(samples)
}

fn answer(listener: &TcpListener, is_over: &AtomicBool) -> anyhow::Result<()> {
    pin_to_cpu(0)?;
    loop {
        let (mut stream, _) = listener.accept()?;
        if is_over.load(Ordering::Acquire) {
            return Ok(());
        }
        stream.read_exact(&mut [0])?;
        stream.write_all(b"x")?;
    }
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
