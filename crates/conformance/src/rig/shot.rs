//! Sending packets through the rig: which can be under way together, what became of them and of their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use oncilla_kernel::conntrack::Conntrack;
use oncilla_net::{Packet, Protocol, Verdict};
use oncilla_testkit::prober::{BATCH_PROBES, Outcome, Probe, Prober};
use oncilla_testkit::topology::Topology;

use super::{Rig, RigError};

/// A packet to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shot {
    /// The packet as its receiver gets it. Source port 0 is any.
    pub packet: Packet,
    /// Where it is sent to, when the first node on its way translates that to the packet's destination.
    pub original: Option<SocketAddr>,
}

/// What became of a packet that was sent, and of its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// Whether it arrived.
    pub verdict: Verdict,
    /// Whether its answer did; none where there was none: for what did not arrive, and for protocols whose answers are
    /// more than a packet.
    pub answer: Option<Verdict>,
    /// The nodes that follow its connection, where connections are known by ports.
    pub followed_by: Vec<String>,
}

impl Rig {
    /// Sends packets, each of a new flow, and says what became of each. Source port 0 is any.
    ///
    /// # Errors
    /// When nobody has an address; when packets get lost.
    pub fn probe(&mut self, packets: &[Packet]) -> Result<Vec<Verdict>, RigError> {
        let shots = packets.iter().map(|packet| Shot {
            packet: *packet,
            original: None,
        });
        self.shoot(&shots.collect::<Vec<_>>())
    }

    /// Sends packets as [`Self::probe`] does, some of them to where they are translated.
    ///
    /// # Errors
    /// When nobody has an address; when packets get lost.
    pub fn shoot(&mut self, shots: &[Shot]) -> Result<Vec<Verdict>, RigError> {
        let mut verdicts = vec![Verdict::Deny; shots.len()];
        self.each_batch(shots, |_, _, batch| {
            for (index, _, outcome) in batch {
                if let Some(verdict) = verdicts.get_mut(*index) {
                    *verdict = outcome.verdict();
                }
            }
            Ok(())
        })?;
        Ok(verdicts)
    }

    /// Sends packets as [`Self::shoot`] does, and then the answers to those that arrived.
    ///
    /// # Errors
    /// When nobody has an address; when packets get lost.
    pub fn exchange(&mut self, shots: &[Shot]) -> Result<Vec<Exchange>, RigError> {
        let nothing = Exchange {
            verdict: Verdict::Deny,
            answer: None,
            followed_by: Vec::new(),
        };
        let mut exchanges = vec![nothing; shots.len()];
        self.each_batch(shots, |topology, prober, batch| {
            let mut answers = Vec::new();
            for (index, probe, outcome) in batch {
                let (Some(shot), Some(exchange)) = (shots.get(*index), exchanges.get_mut(*index))
                else {
                    continue;
                };
                exchange.verdict = outcome.verdict();
                let packet = &shot.packet;
                let answer = probe.answer(outcome.src_port, (packet.dst, packet.dst_port));
                answers.extend(
                    answer
                        .filter(|_| outcome.arrived)
                        .map(|each| (*index, each)),
                );
            }
            let probes: Vec<Probe> = answers.iter().map(|(_, probe)| *probe).collect();
            let outcomes = prober.run_on(&probes).map_err(RigError::Prober)?;
            for ((index, _), outcome) in answers.iter().zip(&outcomes) {
                if let Some(exchange) = exchanges.get_mut(*index) {
                    exchange.answer = Some(outcome.verdict());
                }
            }
            note_followers(topology, (shots, batch), &mut exchanges)
        })?;
        Ok(exchanges)
    }

    /// Sends packets in batches of different flows, and shows each batch to `seen` before its connections are forgotten.
    fn each_batch(
        &mut self,
        shots: &[Shot],
        mut seen: impl FnMut(&Topology, &mut Prober, &[Landed]) -> Result<(), RigError>,
    ) -> Result<(), RigError> {
        let mut prober = match self.prober.take() {
            Some(prober) => prober,
            None => self.topology.prober().map_err(RigError::Prober)?,
        };
        let point = |address| {
            let owner = self.owners.get(&address);
            let point = owner.and_then(|owner| prober.point(owner));
            point.ok_or(RigError::Nobody(address))
        };
        let probes: Vec<Probe> = shots
            .iter()
            .map(|shot| {
                let (from, to) = (point(shot.packet.src)?, point(shot.packet.dst)?);
                Ok(Probe::of_packet(from, to, &shot.sent()))
            })
            .collect::<Result<_, RigError>>()?;
        for batch in batches(shots) {
            let chosen: Vec<Probe> = { batch.iter() }
                .filter_map(|index| probes.get(*index).copied())
                .collect();
            prober.flush_connections().map_err(RigError::Prober)?;
            let outcomes = prober.run(&chosen).map_err(RigError::Prober)?;
            let landed: Vec<Landed> = { batch.into_iter().zip(chosen).zip(outcomes) }
                .map(|((index, probe), outcome)| (index, probe, outcome))
                .collect();
            seen(&self.topology, &mut prober, &landed)?;
        }
        self.prober = Some(prober);
        Ok(())
    }
}

impl Shot {
    /// The packet as it is sent.
    fn sent(&self) -> Packet {
        match self.original {
            Some(original) => Packet {
                dst: original.ip(),
                dst_port: original.port(),
                ..self.packet
            },
            None => self.packet,
        }
    }
}

/// Which nodes follow the packets' connections, at the moment.
fn note_followers(
    topology: &Topology,
    (shots, batch): (&[Shot], &[Landed]),
    exchanges: &mut [Exchange],
) -> Result<(), RigError> {
    for (name, node) in topology.nodes() {
        let mut table = Conntrack::open_in(&node.netns).map_err(RigError::Conntrack)?;
        let flows = table.dump().map_err(RigError::Conntrack)?;
        let flows: BTreeSet<_> = { flows.iter() }
            .map(|flow| {
                let source = (flow.orig.src, flow.orig.src_port);
                (
                    flow.orig.protocol,
                    source,
                    (flow.orig.dst, flow.orig.dst_port),
                )
            })
            .collect();
        for (index, probe, outcome) in batch {
            let (Some(shot), Some(exchange)) = (shots.get(*index), exchanges.get_mut(*index))
            else {
                continue;
            };
            // Behind the node that translated it a flow is another.
            let source = (probe.src, outcome.src_port);
            let packet = (shot.packet.dst, shot.packet.dst_port);
            let mut targets = [(probe.dst, probe.dst_port), packet].into_iter();
            if targets.any(|target| flows.contains(&(probe.protocol, source, target))) {
                exchange.followed_by.push(name.clone());
            }
        }
    }
    Ok(())
}

/// A packet's place among those to be sent, how it was sent, and what became of it.
type Landed = (usize, Probe, Outcome);

/// Places of packets that can be under way together, at most as many as the prober sends at once. A packet back along
/// the way of an earlier one would be its answer, and no new flow; one with the numbers of an earlier one behind its translation would get others.
fn batches(shots: &[Shot]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut taken: BTreeMap<Flow, usize> = BTreeMap::new();
    for (index, shot) in shots.iter().enumerate() {
        let flows = [flow(&shot.sent()), flow(&shot.packet)];
        let flows = || flows.iter().flatten();
        let batch = flows().filter_map(|flow| taken.get(flow)).max();
        let mut batch = batch.copied().unwrap_or_default();
        while batches
            .get(batch)
            .is_some_and(|batch| batch.len() >= BATCH_PROBES)
        {
            batch += 1;
        }
        taken.extend(flows().map(|flow| (*flow, batch + 1)));
        match batches.get_mut(batch) {
            Some(batch) => batch.push(index),
            None => batches.push(vec![index]),
        }
    }
    batches
}

/// What connection tracking tells flows apart by, whichever way they go.
type Flow = (Protocol, [(IpAddr, u16); 2]);

/// The packet's flow; `None` where each probe gets numbers of its own.
fn flow(packet: &Packet) -> Option<Flow> {
    let numbered =
        packet.protocol.has_ports() || matches!(packet.protocol, Protocol::ICMP | Protocol::ICMPV6);
    if numbered && packet.src_port == 0 {
        return None;
    }
    let mut ends = [(packet.src, packet.src_port), (packet.dst, packet.dst_port)];
    ends.sort_unstable();
    Some((packet.protocol, ends))
}
