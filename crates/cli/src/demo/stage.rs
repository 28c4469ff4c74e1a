//! Where the story is played: a lab, its server, and real connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use oncilla_agent::{AGENT_ANNOTATION, AgentStatus};
use oncilla_api::manifest::Located;
use oncilla_api::{Kind, Object};
use oncilla_lab::{
    Hold, HoldEvent, HoldRequest, Lab, LabError, Outcome, Place, Probe, ProbeProtocol, ProbeResult,
};
use oncilla_net::{Family, Protocol, Verdict};
use oncilla_store::rest::{Client, Collection, Event};
use oncilla_store::{Revision, StoredObject};
use oncilla_verdict::{Evaluator, Party};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::matrix::{Cell, Matrix};
use super::story::{ASKER, HERO, Pod, pairs};
use crate::why::traffic::Traffic;
use crate::why::world::World;
use crate::why::{input, question};

/// How long agents may take to report what was applied.
const ENFORCED_TIMEOUT: Duration = Duration::from_secs(30);
/// After how many milliseconds silence is a deny. The first packet is sent at once; the second, after a second, is
/// not waited for.
const DENY_DEADLINE_MS: u64 = 500;
/// How long an expected answer may take in milliseconds on a busy machine.
const ALLOW_DEADLINE_MS: u64 = 10_000;
/// How long connections may go on being made after a deny was applied.
const FIRST_DENY_TIMEOUT: Duration = Duration::from_secs(30);
/// The held connection: a line so often, in milliseconds, and dead after so long without an answer.
const HOLD_INTERVAL_MS: u64 = 10;
const HOLD_DEADLINE_MS: u64 = 2_000;

/// A lab with the story's pods.
#[derive(Debug)]
pub(crate) struct Stage {
    lab: Arc<Lab>,
    client: Client,
    addresses: BTreeMap<String, IpAddr>,
    /// What was applied so far.
    files: Vec<Located<Object>>,
}

/// When the kernel refused the first packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstDeny {
    /// How long after the policy was sent to the server.
    pub(crate) after_apply: Duration,
    /// When it was certain.
    pub(crate) proven_at: Instant,
}

impl Stage {
    pub(crate) async fn new(lab: Arc<Lab>, files: Vec<Located<Object>>) -> Result<Self> {
        let client = Client::unix(&lab.socket());
        let mut addresses = BTreeMap::new();
        for pod in client.list(&Collection::of(Kind::Pod)).await?.objects {
            let ip = pod
                .value
                .pointer("/status/podIP")
                .and_then(|ip| ip.as_str()?.parse().ok());
            addresses.extend(ip.map(|ip| (pod.key.path(), ip)));
        }
        Ok(Self {
            lab,
            client,
            addresses,
            files,
        })
    }

    /// Writes objects as `apply` does; says what became of each, and returns the last revision.
    pub(crate) async fn apply(
        &mut self,
        objects: Vec<Located<Object>>,
    ) -> Result<(Revision, Vec<String>)> {
        let mut said = Vec::new();
        let mut last = Revision::ZERO;
        for located in objects {
            let key = located.object.key();
            let value = located.object.to_value();
            let (stored, word) = match self.client.create(&key, &value).await {
                Err(error) if error.is_already_exists() => {
                    (self.client.merge_patch(&key, &value).await, "configured")
                }
                other => (other, "created"),
            };
            let stored = stored.with_context(|| key.to_string())?;
            last = last.max(stored.revision);
            said.push(format!("{key} {word}"));
            self.files.retain(|before| before.object.key() != key);
            self.files.push(located);
        }
        Ok((last, said))
    }

    /// Waits until every node's agent says that everything up to `revision` is in force.
    pub(crate) async fn enforced(&self, revision: Revision) -> Result<()> {
        let mut nodes: BTreeMap<String, Option<u64>> = BTreeMap::new();
        let mut follow = self.client.follow(Collection::of(Kind::Node));
        let all = async {
            loop {
                match follow.next().await {
                    Event::Snapshot(listed) | Event::Restarted(listed) => {
                        nodes = listed.iter().map(reported).collect();
                    }
                    Event::Applied(node) => nodes.extend([reported(&node)]),
                    _ => {}
                }
                let reached = |r: &Option<u64>| r.is_some_and(|reported| reported >= revision.0);
                if !nodes.is_empty() && nodes.values().all(reached) {
                    return;
                }
            }
        };
        let in_time = timeout(ENFORCED_TIMEOUT, all).await;
        in_time.map_err(|_late| {
            let logs = self.lab.logs();
            anyhow!(
                "revision {revision} is not in force after {} s: {nodes:?} (logs: {})",
                ENFORCED_TIMEOUT.as_secs(),
                logs.display()
            )
        })
    }

    /// The objects as the server has them.
    pub(crate) async fn world(&self) -> Result<World> {
        let mut world = input::list(&self.client).await?;
        world.written_in(&self.files);
        Ok(world)
    }

    /// Makes all connections at once and puts them beside what the reference evaluator says.
    pub(crate) async fn measure(&self, world: &World) -> Result<Matrix> {
        let evaluator = Evaluator::new(&world.cluster);
        let mut expected = Vec::new();
        let mut probes = Vec::new();
        for (source, (destination, port)) in pairs().iter() {
            let verdict = verdict(&evaluator, *source, *destination, *port)?;
            let deadline_ms = match verdict {
                Verdict::Allow => ALLOW_DEADLINE_MS,
                Verdict::Deny => DENY_DEADLINE_MS,
            };
            expected.push(verdict);
            probes.push(self.probe(*source, (*destination, *port), deadline_ms)?);
        }
        let lab = Arc::clone(&self.lab);
        let results = spawn_blocking(move || lab.connect_all(&probes)).await??;
        if results.len() != expected.len() {
            bail!(
                "the lab lost {} probes",
                expected.len().abs_diff(results.len())
            );
        }
        let mut matrix = Matrix::default();
        for (((source, (destination, _)), expected), result) in
            pairs().iter().zip(expected).zip(results)
        {
            let seen = seen(&result)
                .with_context(|| format!("{} -> {}", source.path(), destination.path()))?;
            matrix.set(*source, *destination, Cell { seen, expected });
        }
        Ok(matrix)
    }

    /// Knocks again and again while `objects` are applied, until a first packet is refused.
    pub(crate) async fn apply_until_denied(
        &mut self,
        objects: Vec<Located<Object>>,
    ) -> Result<(Revision, Vec<String>, FirstDeny)> {
        let probe = self.probe(ASKER, HERO, DENY_DEADLINE_MS)?;
        let lab = Arc::clone(&self.lab);
        let knocking = spawn_blocking(move || knock(&lab, &probe));
        let sent_at = Instant::now();
        let (revision, said) = self.apply(objects).await?;
        let (refused_at, proven_at) = knocking.await??;
        let deny = FirstDeny {
            after_apply: refused_at.saturating_duration_since(sent_at),
            proven_at,
        };
        Ok((revision, said, deny))
    }

    /// Opens the connection that will be cut.
    pub(crate) async fn hold(&self) -> Result<Hold> {
        let request = HoldRequest {
            from: place(ASKER),
            to: self.address(HERO.0)?,
            port: HERO.1,
            interval_ms: HOLD_INTERVAL_MS,
            deadline_ms: HOLD_DEADLINE_MS,
        };
        let lab = Arc::clone(&self.lab);
        spawn_blocking(move || {
            let mut hold = lab.hold(&request)?;
            match hold.next_event()? {
                HoldEvent::Alive { .. } => Ok(hold),
                HoldEvent::Dead { reason, .. } => {
                    bail!("the connection that is to be cut never came up: {reason}")
                }
            }
        })
        .await?
    }

    fn probe(&self, source: Pod, (pod, port): (Pod, u16), deadline_ms: u64) -> Result<Probe> {
        Ok(Probe {
            from: place(source),
            to: self.address(pod)?,
            protocol: ProbeProtocol::Tcp,
            port,
            deadline_ms,
        })
    }

    fn address(&self, pod: Pod) -> Result<IpAddr> {
        let found = self.addresses.get(&pod.path()).copied();
        found.with_context(|| format!("pod {} has no address", pod.path()))
    }
}

/// Waits for the end of a held connection: when it was, how many lines had gone there and back, and how it ended.
pub(crate) async fn cut(mut hold: Hold) -> Result<(Instant, u64, String)> {
    let waiting = spawn_blocking(move || {
        let (exchanges, reason) = hold.wait_dead()?;
        Ok::<_, LabError>((Instant::now(), exchanges, reason))
    });
    // The lab says so itself once no answer came for its deadline; before that, connections may live on.
    let in_time = timeout(FIRST_DENY_TIMEOUT, waiting).await;
    let ended = in_time.map_err(|_late| anyhow!("the open connection was never cut"))?;
    Ok(ended??)
}

fn knock(lab: &Lab, probe: &Probe) -> Result<(Instant, Instant)> {
    let start = Instant::now();
    while start.elapsed() < FIRST_DENY_TIMEOUT {
        let results = lab.connect_all(std::slice::from_ref(probe))?;
        let now = Instant::now();
        let Some(result) = results.first() else {
            bail!("the lab lost a probe")
        };
        if seen(result)? == Verdict::Deny {
            let sent_at = now - Duration::from_micros(result.elapsed_us);
            return Ok((sent_at, now));
        }
    }
    bail!(
        "connections are still made {} s after the deny",
        FIRST_DENY_TIMEOUT.as_secs()
    )
}

fn place(pod: Pod) -> Place {
    Place::pod(pod.namespace, pod.name)
}

/// What a connection attempt says about policy.
fn seen(result: &ProbeResult) -> Result<Verdict> {
    match result.outcome {
        Outcome::Connected => Ok(Verdict::Allow),
        Outcome::Silent => Ok(Verdict::Deny),
        // Policy drops: an answer of any other kind means that the pod or the lab is not as it should be.
        other => {
            let detail = result.detail.as_deref().unwrap_or("no reason given");
            bail!("the connection was neither made nor dropped: {other:?} ({detail})")
        }
    }
}

fn verdict(evaluator: &Evaluator, source: Pod, destination: Pod, port: u16) -> Result<Verdict> {
    let party = |pod: Pod| Party::pod(pod.namespace, pod.name);
    let traffic = Traffic {
        protocol: Protocol::TCP,
        port,
        icmp: None,
    };
    let question = question(&party(source), &party(destination), Family::V4, traffic);
    Ok(evaluator.decide(&question)?.verdict)
}

fn reported(node: &StoredObject) -> (String, Option<u64>) {
    let annotations = node.value.pointer("/metadata/annotations");
    let text = annotations.and_then(|all| all.get(AGENT_ANNOTATION)?.as_str());
    let status = text.and_then(|text| serde_json::from_str::<AgentStatus>(text).ok());
    (
        node.key.name.clone(),
        status.and_then(|status| status.revision),
    )
}
