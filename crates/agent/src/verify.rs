//! Whether the kernel enforces what the store says: by somebody who owns nothing and changes nothing.
//!
//! ```text
//!   store objects ─▶ intake ─▶ resolver ─▶ compiler ─▶ expected program ─┐
//!   kernel ─▶ table ─▶ rebuilt program ───────────────────────────────────┼─▶ objects and packets compared
//!   store objects ─▶ judge ───────────────────────────────────────────────┘
//! ```

mod trip;

use std::collections::BTreeSet;
use std::net::IpAddr;

use oncilla_compile::Compiler;
use oncilla_dataplane::{Fault, Finding, Inspection};
use oncilla_model::Change;
use oncilla_net::{Direction, Icmp, IpNet, Packet, PortSet, Protocol, Verdict, family_of};
use oncilla_program::{Group, Program, Settings};
use oncilla_resolve::{Adoption, Limits, Resolver};
use oncilla_store::StoredObject;

use self::trip::Trips;
use crate::error::AgentError;
use crate::follow::News;
use crate::hints::{class_of, used};
use crate::intake::Intake;
use crate::links::{self, Interfaces, own_interfaces};
use crate::options::Options;

/// Packets that both programs are asked about, and as many that the judge is asked about too.
pub const PACKETS: usize = 20_000;
/// Differing packets that are named.
const MISJUDGED_MAX: usize = 10;
/// Ports that no rule need mention.
const PORTS: [u16; 4] = [0, 22, 443, 40_000];
const PROTOCOLS: [Protocol; 6] = [
    Protocol::TCP,
    Protocol::UDP,
    Protocol::SCTP,
    Protocol::ICMP,
    Protocol::ICMPV6,
    Protocol(47),
];
/// Addresses that nobody has: for documentation.
const STRANGERS: [&str; 2] = ["203.0.113.77", "2001:db8:77::1"];

/// A packet that the kernel's program judges otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misjudged {
    /// The workload whose policy is meant, or `host:NODE`.
    pub endpoint: String,
    /// Seen from the workload, or from the host.
    pub direction: Direction,
    /// By which interfaces it comes and goes: `eth0 -> the host`; empty where one end alone was asked.
    pub way: String,
    /// The packet.
    pub packet: Packet,
    /// What the store's policy says: the judge's word where the judge was asked.
    pub expected: Verdict,
    /// What the kernel's objects say.
    pub found: Verdict,
    /// What the program of the store's policy says. Other than `expected`: a fault of ours, not the kernel's.
    pub meant: Verdict,
}

/// What came of a verification.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// How many packets both programs were asked about, one end alone.
    pub packets: usize,
    /// How many packets the judge was asked about too, on their whole way through the node.
    pub judged: usize,
    /// How many of all these are judged otherwise.
    pub misjudged: usize,
    /// Some of those.
    pub examples: Vec<Misjudged>,
    /// Local workloads under policy.
    pub endpoints: usize,
}

impl Verified {
    /// Whether the kernel holds what the store says, and nobody takes from it what it judges by.
    pub fn is_same(&self) -> bool {
        self.differences().next().is_none() && self.misjudged == 0
    }

    /// What is not as it should be.
    pub fn differences(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.fault != Fault::Beside)
    }

    /// What others have beside us, which may deny more than policy does.
    pub fn beside(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.fault == Fault::Beside)
    }

    fn note(&mut self, misjudged: Misjudged) {
        self.misjudged += 1;
        if self.examples.len() < MISJUDGED_MAX {
            self.examples.push(misjudged);
        }
    }
}

/// Compares the tables of the calling thread's network namespace with what `objects`, all that a store holds, mean for
/// this node. Random packets follow from `seed`.
///
/// # Errors
/// When the tables or interfaces cannot be read, or the node has not enough class numbers.
pub fn verify(
    options: &Options,
    objects: impl IntoIterator<Item = StoredObject>,
    seed: u64,
) -> Result<Verified, AgentError> {
    let inspection = Inspection::read().map_err(AgentError::Dataplane)?;
    let mut intake = Intake::new(options);
    let objects: Vec<StoredObject> = objects.into_iter().collect();
    let mut news = changes(&mut intake, objects.iter().cloned());
    let interfaces = own_interfaces(&options.interface_prefixes).map_err(AgentError::Interfaces)?;
    news.extend(links::changes(&Interfaces::new(), &interfaces));
    let program = expected(options, intake.settings().clone(), &news, &inspection)?;
    let compared = inspection.compare(&program);
    let mut verified = Verified {
        findings: compared.findings,
        endpoints: program.endpoints.len(),
        ..Verified::default()
    };
    if let Some(rebuilt) = &compared.rebuilt {
        let mut random = Random(seed | 1);
        let known = (addresses(&program, rebuilt), ports(&program, rebuilt));
        judge((&program, rebuilt), &known, &mut random, &mut verified);
        let cluster = trip::cluster(options, &objects, &interfaces);
        let trips = Trips::new(
            options.node.as_str(),
            (&program, &interfaces),
            (&cluster, &objects),
            (&known.0, known.1),
        );
        trips.judge((&program, rebuilt), &mut random, &mut verified);
    }
    Ok(verified)
}

/// What the objects mean, as the agent takes them in.
fn changes(intake: &mut Intake, objects: impl IntoIterator<Item = StoredObject>) -> Vec<Change> {
    let mut changes = Vec::new();
    for object in objects {
        intake.take(News::Applied(object), 0, &mut changes);
    }
    changes
}

/// The program of the store, with the kernel's class numbers where they fit.
fn expected(
    options: &Options,
    settings: Settings,
    changes: &[Change],
    inspection: &Inspection,
) -> Result<Program, AgentError> {
    let hints = inspection.hints(settings.mask);
    let adoption = Adoption {
        class_of: &|net| class_of(&hints, net),
        used: used(&hints),
    };
    let limits = Limits {
        mask: settings.mask,
    };
    let mut resolver = Resolver::new(options.node.as_str(), limits);
    let delta = resolver.load(changes, &adoption, 0);
    let delta = delta.map_err(AgentError::Exhausted)?;
    let mut compiler = Compiler::new(settings);
    compiler.apply(&resolver, &delta);
    Ok(compiler.program().clone())
}

/// Asks both programs about random packets of every workload, also of those that only the kernel knows.
fn judge(
    (expected, found): (&Program, &Program),
    (addresses, ports): &(Vec<IpAddr>, Vec<u16>),
    random: &mut Random,
    verified: &mut Verified,
) {
    let mut interfaces: BTreeSet<&str> = expected.endpoints.keys().map(|name| &**name).collect();
    interfaces.extend(found.endpoints.keys().map(|name| &**name));
    let interfaces: Vec<&str> = interfaces.into_iter().collect();
    if interfaces.is_empty() {
        return;
    }
    for _ in 0..PACKETS {
        let interface = *random.pick(&interfaces);
        let endpoint = expected.endpoints.get(interface);
        let own = endpoint.map_or(&[][..], |endpoint| &endpoint.addresses);
        let local = if own.is_empty() {
            *random.pick(addresses)
        } else {
            *random.pick(own)
        };
        let peers: Vec<IpAddr> = addresses
            .iter()
            .filter(|addr| family_of(**addr) == family_of(local))
            .copied()
            .collect();
        let peer = *random.pick(&peers);
        let direction = *random.pick(&Direction::ALL);
        let (src, dst) = match direction {
            Direction::Ingress => (peer, local),
            Direction::Egress => (local, peer),
        };
        let protocol = *random.pick(&PROTOCOLS);
        let port = |random: &mut Random| {
            if protocol.has_ports() {
                *random.pick(ports)
            } else {
                0
            }
        };
        let packet = Packet {
            src,
            dst,
            protocol,
            src_port: port(random),
            dst_port: port(random),
            icmp: Icmp::echo(protocol),
        };
        verified.packets += 1;
        let one = expected.judge_end(interface, direction, &packet).verdict;
        let other = found.judge_end(interface, direction, &packet).verdict;
        if one == other {
            continue;
        }
        verified.note(Misjudged {
            endpoint: endpoint
                .map_or(interface, |endpoint| &endpoint.name)
                .to_owned(),
            direction,
            way: String::new(),
            packet,
            expected: one,
            found: other,
            meant: one,
        });
    }
}

/// The addresses that either program knows, and some that neither does.
fn addresses(expected: &Program, found: &Program) -> Vec<IpAddr> {
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    for program in [expected, found] {
        let map = &program.addresses;
        addresses.extend(map.hosts4.keys().map(IpAddr::from));
        addresses.extend(map.hosts6.keys().map(|addr| IpAddr::from(*addr)));
        addresses.extend(map.nets4.keys().map(|net| IpAddr::from(net.addr())));
        addresses.extend(map.nets6.keys().map(|net| IpAddr::from(net.addr())));
        for set in program.address_sets.values() {
            addresses.extend(&set.hosts);
            addresses.extend(set.nets.iter().map(IpNet::network));
        }
        let endpoints = program.endpoints.values();
        addresses.extend(endpoints.flat_map(|endpoint| &endpoint.addresses));
    }
    let strangers = STRANGERS
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok());
    addresses.extend(strangers);
    addresses.into_iter().collect()
}

/// The ports that rules mention, those beside them, and some others.
fn ports(expected: &Program, found: &Program) -> Vec<u16> {
    let mut ports: BTreeSet<u16> = PORTS.into();
    let groups = expected.groups.values().chain(found.groups.values());
    for bank in groups.flat_map(|group| Group::banks(group)) {
        ports.extend(bank.levels.k1.keys().map(|(_, _, port)| *port));
        ports.extend(bank.levels.k4.keys().map(|(_, port)| *port));
        let sets = bank.tail.iter().flat_map(|rule| {
            let sets = [
                &rule.dst_ports,
                &rule.not_dst_ports,
                &rule.src_ports,
                &rule.not_src_ports,
            ];
            sets.into_iter().flatten()
        });
        let ranges = sets.flat_map(PortSet::ranges);
        ports.extend(ranges.flat_map(|range| [range.first(), range.last()]));
    }
    let failsafes = &expected.settings.failsafes;
    let failsafes = failsafes.inbound.iter().chain(&*failsafes.outbound);
    ports.extend(failsafes.map(|failsafe| failsafe.port));
    let beside: Vec<u16> = ports
        .iter()
        .flat_map(|port| [port.saturating_sub(1), port.saturating_add(1)])
        .collect();
    ports.extend(beside);
    ports.into_iter().collect()
}

/// xorshift64: the same packets for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One of several; there is at least one.
    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        let count = u64::try_from(among.len()).unwrap_or(1).max(1);
        let at = usize::try_from(self.next() % count).unwrap_or_default();
        &among[at]
    }
}
