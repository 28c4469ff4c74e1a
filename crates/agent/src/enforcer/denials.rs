//! Denied packets, named: from the kernel's log group to records, at the policy version in force.
//!
//! Everything here is for people. The kernel never waits for it, and enforcement never does: each turn of the policy
//! thread reads a bounded number of packets, and what is lost is counted and told.
//!
//! A packet that was logged just before policy changed may be read just after. So the log is emptied before every
//! change, and until it was found empty again, [`DOUBT_MS`] after the change or later, nothing is said of which rule
//! denied what the change may have touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use oncilla_compile::Explanation;
use oncilla_flows::{Aggregator, AtHost, Blame, Denial, End, Headers, Missing, Record, headers};
use oncilla_kernel::nflog::{Logged, interface_name};
use oncilla_net::{Direction, Packet, Verdict};
use oncilla_nft::object::Hook;
use oncilla_program::{
    BankPlace, EndAsked, GroupId, Hook as Asked, Passage, Place, ProgramDelta, Way,
};
use tokio::sync::mpsc;

use super::Enforcer;
use super::deny_log::DenyLog;
use crate::clock::Clock;
use crate::links;
use crate::pipeline::Pipeline;

/// How long after a change it is not certain which version denied.
const DOUBT_MS: u64 = 10;
/// Single addresses that a change moved, remembered one by one; more count as everything.
pub(crate) const MOVED_MAX: usize = 256;
/// Workloads that are named of those that claim one address.
const NAMES_MAX: usize = 3;
/// Groups spelled out at once, and names looked up.
const CACHED_MAX: usize = 256;

const CHANGING: &str = "policy was changing as it was denied";
const BEHIND: &str = "the last changes are not in force yet";
const NO_ENDPOINT: &str = "its interfaces have no policy";
const NO_RULE: &str = "no rule in force now denies it";
const NO_PORTS: &str = "its ports are not in what was copied of it";
const NO_PROTOCOL: &str = "its protocol is not in what was copied of it";

/// What one line tells apart: source ports come and go.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Kind {
    source: End,
    destination: End,
    traffic: String,
    direction: Direction,
    blame: Blame,
    host: Option<AtHost>,
    interfaces: Interfaces,
}

/// What a change touched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Touched {
    /// Rules, sets or endpoints; or more addresses than are worth remembering.
    pub(crate) whole: bool,
    pub(crate) addresses: BTreeSet<IpAddr>,
}

impl Touched {
    /// A change of the program.
    pub(crate) fn add(&mut self, delta: &ProgramDelta) {
        if delta.is_addresses_only() {
            let moved = delta.addresses.iter().map(|change| change.addr);
            self.addresses.extend(moved);
        } else if !delta.is_empty() {
            self.whole = true;
        }
    }
}

/// The reader of denied packets.
#[derive(Debug)]
pub(crate) struct Denials {
    log: DenyLog,
    outbox: mpsc::Sender<Record>,
    kinds: Aggregator<Kind>,
    /// Of the version in force.
    explained: BTreeMap<GroupId, Explanation>,
    names: BTreeMap<IpAddr, String>,
    /// What the last changes touched, and when the last was, as long as that casts doubt.
    touched: Touched,
    changed_ms: Option<u64>,
    /// Packets that nobody heard of.
    lost: u64,
}

impl Denials {
    /// Opens the log in the calling thread's network namespace, if that can be done now.
    pub(crate) fn open(outbox: mpsc::Sender<Record>, now_ms: u64) -> Self {
        let mut log = DenyLog::default();
        log.listen(now_ms);
        Self {
            log,
            outbox,
            kinds: Aggregator::default(),
            explained: BTreeMap::new(),
            names: BTreeMap::new(),
            touched: Touched::default(),
            changed_ms: None,
            lost: 0,
        }
    }

    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_fd()
    }

    /// When there is something to sum up, to be sure of again, or to be tried again.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let doubt = self.changed_ms.map(|at| at + DOUBT_MS);
        let due = [self.kinds.next_ms(), doubt, self.log.next_ms()];
        due.into_iter().flatten().min()
    }

    /// Why denied packets are not read, since when.
    pub(super) fn silence(&self) -> Option<(String, u64)> {
        self.log.silence()
    }

    /// Whether the version in force when a packet was denied is certain.
    fn is_in_doubt(&self, packet: &Packet) -> bool {
        self.changed_ms.is_some()
            && (self.touched.whole
                || self.touched.addresses.contains(&packet.src)
                || self.touched.addresses.contains(&packet.dst))
    }

    /// Who has an address; the node and its interfaces are ours.
    fn name(
        &mut self,
        pipeline: &Pipeline,
        (node, own): (&str, &links::Interfaces),
        addr: IpAddr,
    ) -> End {
        if self.names.len() >= CACHED_MAX {
            self.names.clear();
        }
        let name = self.names.entry(addr).or_insert_with(|| {
            let endpoints = pipeline.resolver.endpoints_at(addr).into_iter();
            let names: Vec<String> = endpoints
                .take(NAMES_MAX)
                .map(|key| key.to_string())
                .collect();
            if !names.is_empty() {
                names.join(" or ")
            } else if own.values().any(|addresses| addresses.contains(&addr)) {
                format!("host:{node}")
            } else {
                addr.to_string()
            }
        });
        End {
            name: name.clone(),
            address: addr.to_string(),
        }
    }

    /// What denied a packet, by the version in force: of those that were asked, the first that denies it.
    fn blame(
        &mut self,
        pipeline: &Pipeline,
        logged: &Logged,
        (packet, ways): (&Packet, &Interfaces),
    ) -> (Blame, Option<AtHost>) {
        let unknown = |why: &str| {
            let why = why.to_owned();
            (Blame::Unknown { why }, None)
        };
        let program = pipeline.program();
        let passage = Passage {
            in_interface: ways.0.as_deref(),
            out_interface: ways.1.as_deref(),
            way: way_of(logged, ways),
            original: None,
            first_out_interface: None,
        };
        let ends = program.ends(&passage);
        let direction = direction_of(logged);
        let at_hook = |end: &&EndAsked<'_>| end.direction == direction && is_at(logged.hook, end);
        let mut asked = false;
        for end in ends.iter().filter(at_hook) {
            asked = true;
            let Some(found) = self.blame_group(pipeline, end, packet) else {
                continue;
            };
            let host = end.host.map(|host| AtHost {
                endpoint: host.to_owned(),
                chain: chain_word(end.hook).to_owned(),
            });
            return (found, host);
        }
        unknown(if asked { NO_RULE } else { NO_ENDPOINT })
    }

    /// What a group denies a packet by; `None` when it does not.
    fn blame_group(
        &mut self,
        pipeline: &Pipeline,
        end: &EndAsked<'_>,
        packet: &Packet,
    ) -> Option<Blame> {
        let id = end.group?;
        if !self.explained.contains_key(id) {
            if self.explained.len() >= CACHED_MAX {
                self.explained.clear();
            }
            let explanation = pipeline.compiler.explain(&pipeline.resolver, id)?;
            self.explained.insert(id.clone(), explanation);
        }
        let explanation = self.explained.get(id)?;
        let peer = match end.direction {
            Direction::Ingress => packet.src,
            Direction::Egress => packet.dst,
        };
        let class = pipeline.program().addresses.class_of(peer);
        let judgement = explanation.judge(class, packet);
        match judgement.place {
            _ if judgement.verdict == Verdict::Allow => None,
            Place::Rule {
                at: BankPlace::Tail(comment),
                ..
            }
            | Place::ProfileRule {
                at: BankPlace::Tail(comment),
                ..
            } => Some(Blame::Rule {
                rule: comment.to_string(),
            }),
            Place::EndOfTier { tier, name } => Some(Blame::EndOfTier {
                tier: name.to_string(),
                policies: explanation.policies(tier).to_owned(),
            }),
            Place::EndOfProfiles => Some(Blame::NoProfile),
            _ => None,
        }
    }

    /// What a change touched; what was found out about the version before is void.
    fn changed(&mut self, touched: Touched, now_ms: u64) {
        if !touched.whole && touched.addresses.is_empty() {
            return;
        }
        self.explained.clear();
        self.names.clear();
        self.touched.whole |= touched.whole;
        self.touched.addresses.extend(touched.addresses);
        if self.touched.addresses.len() > MOVED_MAX {
            self.touched.addresses.clear();
            self.touched.whole = true;
        }
        self.changed_ms = Some(now_ms);
    }

    /// The log was empty.
    fn drained(&mut self, now_ms: u64) {
        if self.changed_ms.is_some_and(|at| at + DOUBT_MS <= now_ms) {
            self.changed_ms = None;
            self.touched = Touched::default();
        }
    }
}

/// The names of the interfaces by which a packet came and was to leave.
type Interfaces = (Option<String>, Option<String>);

/// Which way through the host a packet was on.
fn way_of(logged: &Logged, (from, to): &Interfaces) -> Way {
    match logged.hook {
        Some(Hook::Output) => Way::Output,
        Some(Hook::Postrouting) if from.is_none() => Way::Output,
        Some(Hook::Input) => Way::Input,
        Some(Hook::Forward | Hook::Postrouting) => Way::Forward,
        // Where it goes is not known yet there, and does not matter.
        Some(Hook::Prerouting) => Way::Input,
        None => match (from, to) {
            (Some(_), Some(_)) => Way::Forward,
            (Some(_), None) => Way::Input,
            (None, _) => Way::Output,
        },
    }
}

/// Whether an end is asked at a hook.
fn is_at(hook: Option<Hook>, end: &EndAsked<'_>) -> bool {
    let early = match end.hook {
        Asked::Untracked => true,
        Asked::PreDnat => true,
        Asked::Normal | Asked::Forward => false,
    };
    match hook {
        Some(Hook::Prerouting) => early,
        // What the host sends meets both there.
        Some(Hook::Output) | None => true,
        Some(Hook::Input | Hook::Forward | Hook::Postrouting) => !early,
    }
}

/// The word of a host endpoint's chain, as `oncilla why` has it.
const fn chain_word(hook: Asked) -> &'static str {
    match hook {
        Asked::Normal => "normal",
        Asked::Forward => "forward",
        Asked::PreDnat => "preDNAT",
        Asked::Untracked => "untracked",
    }
}

/// Which end denied: the prefix of the log says it.
fn direction_of(logged: &Logged) -> Direction {
    if logged.prefix.ends_with("out") {
        Direction::Egress
    } else {
        Direction::Ingress
    }
}

impl Enforcer {
    /// Reads and names the packets that were denied up to now. Before policy changes this must have been called.
    pub(super) fn hear_denials(&mut self) {
        let now_ms = self.clock.now_ms();
        self.denials.log.listen(now_ms);
        let heard = self.denials.log.read(now_ms);
        self.denials.lost += heard.lost;
        for logged in heard.denied {
            let Some(headers) = headers(&logged.payload) else {
                self.denials.lost += 1;
                continue;
            };
            let packet = headers.packet;
            let name = |index: Option<u32>| index.and_then(interface_name);
            let interfaces = (name(logged.in_interface), name(logged.out_interface));
            let unknown = |why: &str| {
                let why = why.to_owned();
                (Blame::Unknown { why }, None)
            };
            let (blame, host) = if self.denials.is_in_doubt(&packet) {
                unknown(CHANGING)
            } else if self.blocked.is_some() || !self.started {
                unknown(BEHIND)
            } else if let Some(missing) = headers.missing {
                // Rules may have asked for it: nothing is guessed.
                unknown(match missing {
                    Missing::Protocol => NO_PROTOCOL,
                    Missing::Ports => NO_PORTS,
                })
            } else {
                let asked = (&packet, &interfaces);
                self.denials.blame(&self.pipeline, &logged, asked)
            };
            let own = (self.options.node.as_str(), &self.interfaces);
            let kind = Kind {
                source: self.denials.name(&self.pipeline, own, packet.src),
                destination: self.denials.name(&self.pipeline, own, packet.dst),
                traffic: traffic(&headers),
                direction: direction_of(&logged),
                blame,
                host,
                interfaces,
            };
            if let Some(denial) = self.denials.kinds.note(kind, now_ms) {
                self.tell(denial);
            }
        }
        if heard.is_all {
            self.denials.drained(now_ms);
        }
    }

    /// Tells the repetitions whose time is over, and what was lost.
    pub(super) fn sum_denials(&mut self) {
        let now_ms = self.clock.now_ms();
        for denial in self.denials.kinds.due(now_ms) {
            self.tell(denial);
        }
        self.denials.lost += self.denials.kinds.take_overflow();
    }

    /// Policy changed in the kernel.
    pub(super) fn denials_changed(&mut self) {
        let touched = std::mem::take(&mut self.pipeline.touched);
        let now_ms = self.clock.now_ms();
        self.denials.changed(touched, now_ms);
    }

    fn tell(&mut self, denial: Denial<Kind>) {
        let kind = denial.key;
        let record = Record {
            unix_ms: Clock::unix_ms(),
            node: self.options.node.to_string(),
            verdict: "deny".to_owned(),
            source: kind.source,
            destination: kind.destination,
            traffic: kind.traffic,
            direction: kind.direction.to_string(),
            blame: kind.blame,
            host: kind.host,
            in_interface: kind.interfaces.0,
            out_interface: kind.interfaces.1,
            count: denial.count,
            seconds: denial.over_ms / 1000,
            revision: self.applied,
            lost: std::mem::take(&mut self.denials.lost),
        };
        if let Err(mpsc::error::TrySendError::Full(record)) = self.denials.outbox.try_send(record) {
            self.denials.lost += record.lost + record.count;
        }
    }
}

/// `tcp/80`, `icmp/8`, `proto/47`; a question mark for what is missing.
fn traffic(headers: &Headers) -> String {
    let Headers { packet, missing } = headers;
    let protocol = packet.protocol;
    match (missing, packet.icmp) {
        (Some(Missing::Protocol), _) => "?".to_owned(),
        (Some(Missing::Ports), _) => format!("{protocol}/?"),
        (None, Some(icmp)) => format!("{protocol}/{icmp}"),
        (None, None) if protocol.has_ports() => format!("{protocol}/{}", packet.dst_port),
        (None, None) => protocol.to_string(),
    }
}
