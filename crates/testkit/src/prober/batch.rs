//! One batch of probes: send, settle, judge; again when captures were lost.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use oncilla_kernel::link::Mac;
use oncilla_kernel::raw::{PacketError, PacketSocket};

use super::{
    Connections, Outcome, Point, PointId, Probe, Prober, ProberError, SETTLE_ROUNDS, SRC_PORTS,
    TRIES_MAX, host,
};
use crate::packet::{self, PacketSpec, Transport};

/// How long one wait for a sentinel lasts, and how many empty waits mean that it is lost.
const WAIT: Duration = Duration::from_millis(200);
const WAITS_MAX: usize = 25;
/// Bytes kept of a capture; probes are shorter.
const CAPTURE_BYTES: usize = 256;
/// Sentinels are addressed to nobody: captured below the network layer, then dropped by it, never answered.
const SENTINEL_SRC: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SENTINEL_DST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
/// Hosts forward: what is for nobody's hardware they leave alone, so a host's sentinels are for this.
const NOBODY: Mac = Mac([2, 0, 0, 0, 0, 9]);
const HOPS: u8 = 64;

/// The cookies of one try: probe `i` has `first + i`.
struct Cookies {
    first: u64,
    outcomes: Vec<Outcome>,
}

impl Cookies {
    fn outcome(&mut self, cookie: u64) -> Option<&mut Outcome> {
        let index = usize::try_from(cookie.checked_sub(self.first)?).ok()?;
        self.outcomes.get_mut(index)
    }
}

impl Prober {
    pub(super) fn judge(
        &mut self,
        probes: &[Probe],
        connections: Connections,
    ) -> Result<Vec<Outcome>, ProberError> {
        let sources: BTreeSet<PointId> = probes.iter().map(|probe| probe.from).collect();
        let targets: BTreeSet<PointId> = probes.iter().map(|probe| probe.to).collect();
        self.listen(probes)?;
        for _ in 0..TRIES_MAX {
            let named = probes.iter().any(|probe| probe.src_port.is_some());
            if named && connections == Connections::Fresh {
                self.flush_connections()?;
            }
            self.forget(&sources, &targets)?;
            let before = backlog_losses(self.cpu)?;
            let mut cookies = self.send(probes)?;
            if let Some(any) = targets.first() {
                for _ in 0..SETTLE_ROUNDS {
                    self.sentinel(*any, probes, &mut cookies)?;
                }
            }
            for target in &targets {
                self.sentinel(*target, probes, &mut cookies)?;
            }
            for source in &sources {
                self.departures(*source, probes, &mut cookies)?;
            }
            let lost = self.lost(&sources, &targets)? + (backlog_losses(self.cpu)? - before);
            let all_left = cookies.outcomes.iter().all(|outcome| outcome.left);
            self.counters.repeated += 1;
            if lost == 0 && all_left {
                self.counters.repeated -= 1;
                self.counters.batches += 1;
                self.counters.probes += probes.len() as u64;
                return Ok(cookies.outcomes);
            }
        }
        Err(ProberError::Lossy {
            probes: probes.len(),
        })
    }

    /// Hosts get what is sent to them.
    fn listen(&mut self, probes: &[Probe]) -> Result<(), ProberError> {
        for probe in probes {
            let Some(point) = self.points.get_mut(probe.to.0) else {
                continue;
            };
            if let Some(host) = &mut point.host {
                let listened = host.listen(probe.dst, probe.protocol)?;
                listened.map_err(host::at(&point.name))?;
            }
        }
        Ok(())
    }

    /// Empties the queues and counters of every socket the batch will read.
    fn forget(
        &mut self,
        sources: &BTreeSet<PointId>,
        targets: &BTreeSet<PointId>,
    ) -> Result<(), ProberError> {
        for target in targets {
            let point = self.at(*target);
            drain(&point.own, |_| ()).map_err(at(point))?;
            if let Some(host) = &point.host {
                host.drain(|_| ()).map_err(host::at(&point.name))?;
            }
        }
        for source in sources {
            let point = self.at(*source);
            drain(&point.peer, |_| ()).map_err(at(point))?;
        }
        self.lost(sources, targets).map(|_before| ())
    }

    /// What those sockets lost since they were last asked.
    fn lost(
        &mut self,
        sources: &BTreeSet<PointId>,
        targets: &BTreeSet<PointId>,
    ) -> Result<u64, ProberError> {
        let mut lost = 0;
        for target in targets {
            let point = self.at(*target);
            lost += u64::from(point.own.counters().map_err(at(point))?.lost);
            let point = self.points.get_mut(target.0);
            if let Some((name, host)) =
                point.and_then(|point| Some((&point.name, point.host.as_mut()?)))
            {
                lost += host.lost().map_err(host::at(name))?;
            }
        }
        for source in sources {
            let point = self.at(*source);
            lost += u64::from(point.peer.counters().map_err(at(point))?.lost);
        }
        Ok(lost)
    }

    fn send(&mut self, probes: &[Probe]) -> Result<Cookies, ProberError> {
        let first = self.next_cookie;
        self.next_cookie += probes.len() as u64;
        let mut outcomes = Vec::with_capacity(probes.len());
        for (cookie, probe) in (first..).zip(probes) {
            let src_port = match probe.src_port {
                Some(port) => port,
                None => self.fresh_port()?,
            };
            let mut transport =
                Transport::opening(probe.protocol, probe.dst, src_port, probe.dst_port);
            if let (Some(icmp), Transport::Icmp { kind, code, .. }) = (probe.icmp, &mut transport) {
                (*kind, *code) = (icmp.kind, icmp.code);
            }
            let bytes = packet::build(&PacketSpec {
                src: probe.src,
                dst: probe.dst,
                transport,
                cookie,
                hops_max: HOPS,
            })?;
            let point = self.at(probe.from);
            match &point.host {
                Some(host) => {
                    // Left or dropped: either way the host's own hooks have had it.
                    let sent = host.send(&bytes, probe.dst);
                    let _hooks = sent.map_err(host::at(&point.name))?;
                }
                None => point
                    .own
                    .send_ip(&bytes, point.own_index, point.peer_mac)
                    .map_err(at(point))?,
            }
            outcomes.push(Outcome {
                left: point.host.is_some(),
                arrived: false,
                src_port,
            });
        }
        Ok(Cookies { first, outcomes })
    }

    fn fresh_port(&mut self) -> Result<u16, ProberError> {
        let port = self.next_port;
        self.next_port += 1;
        if self.next_port >= SRC_PORTS.end {
            self.next_port = SRC_PORTS.start;
            self.flush_connections()?;
        }
        Ok(port)
    }

    /// Sends a sentinel to `target`, and takes what arrived there until the sentinel does.
    fn sentinel(
        &mut self,
        target: PointId,
        probes: &[Probe],
        cookies: &mut Cookies,
    ) -> Result<(), ProberError> {
        let sentinel = self.next_cookie;
        self.next_cookie += 1;
        let bytes = packet::build(&PacketSpec {
            src: SENTINEL_SRC,
            dst: SENTINEL_DST,
            transport: Transport::Udp {
                src_port: 9,
                dst_port: 9,
            },
            cookie: sentinel,
            hops_max: 1,
        })?;
        let point = self.at(target);
        let to = match &point.host {
            Some(_) => NOBODY,
            None => point.own_mac,
        };
        point
            .peer
            .send_ip(&bytes, point.peer_index, to)
            .map_err(at(point))?;
        let mut empty_waits = 0;
        let mut arrived = false;
        while !arrived {
            drain(&point.own, |cookie| {
                arrived |= cookie == sentinel;
                if point.host.is_none() {
                    arrive(cookies, cookie, probes, target);
                }
            })
            .map_err(at(point))?;
            if !arrived && !point.own.wait(WAIT).map_err(at(point))? {
                empty_waits += 1;
            }
            if empty_waits > WAITS_MAX {
                return Err(ProberError::SentinelLost {
                    point: point.name.clone(),
                });
            }
        }
        if let Some(host) = &point.host {
            host.drain(|cookie| arrive(cookies, cookie, probes, target))
                .map_err(host::at(&point.name))?;
        }
        Ok(())
    }

    /// Takes what came out of the source's cable.
    fn departures(
        &self,
        source: PointId,
        probes: &[Probe],
        cookies: &mut Cookies,
    ) -> Result<(), ProberError> {
        let point = self.at(source);
        if point.host.is_some() {
            return Ok(());
        }
        drain(&point.peer, |cookie| {
            mark(cookies, cookie, probes, |probe, outcome| {
                outcome.left |= probe.from == source;
            });
        })
        .map_err(at(point))
    }

    fn at(&self, id: PointId) -> &Point {
        self.points
            .get(id.0)
            .expect("every probe's points were looked up before")
    }
}

fn arrive(cookies: &mut Cookies, cookie: u64, probes: &[Probe], target: PointId) {
    mark(cookies, cookie, probes, |probe, outcome| {
        outcome.arrived |= probe.to == target;
    });
}

fn mark(
    cookies: &mut Cookies,
    cookie: u64,
    probes: &[Probe],
    change: impl FnOnce(&Probe, &mut Outcome),
) {
    let first = cookies.first;
    let Some(outcome) = cookies.outcome(cookie) else {
        return;
    };
    let probe = usize::try_from(cookie - first)
        .ok()
        .and_then(|index| probes.get(index));
    if let Some(probe) = probe {
        change(probe, outcome);
    }
}

/// Takes every packet out of a queue; `each` sees the cookies.
fn drain(socket: &PacketSocket, mut each: impl FnMut(u64)) -> Result<(), PacketError> {
    let mut buffer = [0; CAPTURE_BYTES];
    while let Some(capture) = socket.receive(&mut buffer)? {
        let packet = buffer.get(..capture.length).unwrap_or_default();
        if let Some(cookie) = packet::parse(packet).and_then(|parsed| parsed.cookie) {
            each(cookie);
        }
    }
    Ok(())
}

fn at(point: &Point) -> impl FnOnce(PacketError) -> ProberError {
    let point = point.name.clone();
    move |source| ProberError::Packet { point, source }
}

/// Packets that processor `cpu` dropped because its backlog was full, since boot. Each line has the counters of one
/// processor in hexadecimal: the second is the drops, the thirteenth the processor's number where the kernel prints it.
fn backlog_losses(cpu: usize) -> Result<u64, ProberError> {
    let text = fs::read_to_string("/proc/net/softnet_stat").map_err(ProberError::Counters)?;
    let mut lost = 0;
    for (line_number, line) in text.lines().enumerate() {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(|number| u64::from_str_radix(number, 16).unwrap_or(0))
            .collect();
        let line_cpu = numbers.get(12).copied().unwrap_or(line_number as u64);
        if line_cpu == cpu as u64 {
            lost += numbers.get(1).copied().unwrap_or(0);
        }
    }
    Ok(lost)
}
