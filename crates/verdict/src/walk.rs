//! The nodes on a packet's way, and which endpoints each of them asks.
//!
//! ```text
//!   comes by an interface ─▶ untracked ─▶ preDNAT ─┬─▶ the host's: normal in
//!                              │ allowed  │ allowed ├─▶ on: forward in ─▶ workload out ─▶ workload in ─▶ forward out
//!                              └──────────┴─ skip ──┴─▶ … what the interface by which it came would ask later
//!   the host sends it ─▶ untracked, where it would leave untranslated ─▶ normal out
//! ```

use oncilla_api::v3::EndpointToHostAction;
use oncilla_api::{Kind, ObjectKey};
use oncilla_net::{Direction, Packet, Protocol, Verdict};

use crate::answer::{Chain, DecidedRule, Decision, Leg};
use crate::endpoint::Endpoint;
use crate::evaluator::{End, Evaluator, Place};
use crate::host::{self, Felix, Host, Interface};
use crate::leg::{Asked, Detail, judge};
use crate::question::{QuestionError, Way};
use crate::rule::{Owner, Traffic};

/// The legs so far.
#[derive(Debug)]
pub(crate) struct Legs {
    detail: Detail,
    is_denied: bool,
    pub(crate) all: Vec<Leg>,
}

/// One node, and how a packet comes to it and leaves it.
#[derive(Debug)]
pub(crate) struct Walk {
    node: String,
    from: Side,
    to: Side,
    /// Where the node would send what it sends itself, without the translation.
    first_to: Option<Side>,
}

/// Where a packet comes from or goes to, seen from a node.
#[derive(Debug)]
enum Side {
    /// The node itself.
    Host,
    /// A workload of the node, by its place in the list.
    Workload(usize),
    /// Another machine.
    Wire(Interface),
    /// A workload that nobody knows: behind an interface that is called like one's.
    Stranger,
}

impl Side {
    /// The interface, when it is not a workload's.
    const fn wire(&self) -> Option<&Interface> {
        match self {
            Self::Wire(interface) => Some(interface),
            Self::Host | Self::Workload(_) | Self::Stranger => None,
        }
    }

    const fn workload(&self) -> Option<usize> {
        match self {
            Self::Workload(index) => Some(*index),
            Self::Host | Self::Wire(_) | Self::Stranger => None,
        }
    }
}

impl Legs {
    pub(crate) const fn new(detail: Detail) -> Self {
        Self {
            detail,
            is_denied: false,
            all: Vec::new(),
        }
    }

    /// Whether nothing more is wanted.
    fn is_done(&self) -> bool {
        self.is_denied && self.detail == Detail::Decision
    }

    fn push(&mut self, mut leg: Leg) {
        leg.reached = !self.is_denied;
        self.is_denied |= leg.verdict == Verdict::Deny;
        self.all.push(leg);
    }

    /// The first leg that denies decides, or else the last that has something to say.
    pub(crate) fn decision(&self) -> Option<(Verdict, Decision)> {
        let denies = self.all.iter().find(|leg| leg.verdict == Verdict::Deny);
        let speaks = |leg: &&Leg| leg.decided_by.rule != DecidedRule::NoPolicy;
        let leg = denies.or_else(|| self.all.iter().rev().find(speaks))?;
        Some((leg.verdict, leg.decided_by.clone()))
    }
}

impl Evaluator {
    /// The nodes on the way, in order. None when nothing leaves where it is.
    pub(crate) fn walks(
        &self,
        source: &End,
        destination: &End,
        way: &Way,
    ) -> Result<Vec<Walk>, QuestionError> {
        let mut first_to = match &source.place {
            Place::Node(node) if way.original.is_some() => {
                Some(self.wire(node, way.first_out_by.as_deref()))
            }
            _ => None,
        };
        // A pod's traffic to itself never leaves it, nor does a host's that nobody translates.
        let is_own = source.place == destination.place && source.place != Place::Outside;
        if is_own && first_to.is_none() {
            return Ok(Vec::new());
        }
        let (from, to) = (self.home(&source.place), self.home(&destination.place));
        let mut walks = Vec::new();
        if let (Some((node, from)), Some((other, to))) = (&from, &to)
            && node == other
            && way.through.is_empty()
        {
            walks.push(Walk {
                node: node.clone(),
                from: from.side(),
                to: to.side(),
                first_to,
            });
            return Ok(walks);
        }
        if let Some((node, home)) = from {
            let to = self.wire(&node, way.out_by.as_deref());
            walks.push(Walk {
                node,
                from: home.side(),
                to,
                first_to: first_to.take(),
            });
        }
        for hop in &way.through {
            if !self.nodes.contains_key(&hop.node) {
                let node = hop.node.clone();
                return Err(QuestionError::UnknownNode { node });
            }
            walks.push(Walk {
                node: hop.node.clone(),
                from: self.wire(&hop.node, hop.in_by.as_deref()),
                to: self.wire(&hop.node, hop.out_by.as_deref()),
                first_to: None,
            });
        }
        if let Some((node, home)) = to {
            let from = self.wire(&node, way.in_by.as_deref());
            walks.push(Walk {
                node,
                from,
                to: home.side(),
                first_to: None,
            });
        }
        Ok(walks)
    }

    /// The node that an end is on; none outside.
    fn home(&self, place: &Place) -> Option<(String, Home)> {
        match place {
            Place::Pod(index) => Some((self.endpoints[*index].node.clone(), Home::Pod(*index))),
            Place::Node(node) => Some((node.clone(), Home::Host)),
            Place::Outside => None,
        }
    }

    /// What is behind an interface of a node; without a name behind the one that has the node's address.
    fn wire(&self, node: &str, interface: Option<&str>) -> Side {
        let unknown = Host::default();
        let known = self.nodes.get(node).unwrap_or(&unknown);
        if interface.is_some_and(|name| known.felix.is_workloads(name)) {
            return Side::Stranger;
        }
        let main = host::main_interface(node, known, &self.hosts);
        Side::Wire(match interface {
            Some(name) => host::interface(name, known, &main),
            None => main,
        })
    }

    /// Asks everybody on one node. `before` is the packet as it came, the other as it goes on.
    pub(crate) fn judge_walk(
        &self,
        walk: &Walk,
        (before, traffic): (&Traffic<'_>, &Traffic<'_>),
        legs: &mut Legs,
    ) {
        let unknown = Felix::default();
        let felix = self
            .nodes
            .get(&walk.node)
            .map_or(&unknown, |host| &host.felix);
        let node = Node {
            evaluator: self,
            name: &walk.node,
            felix,
            traffic,
        };
        let accepted = node.early(walk, before, legs);
        match (&walk.from, &walk.to) {
            (Side::Host, Side::Host | Side::Workload(_) | Side::Stranger) => {}
            (Side::Host, Side::Wire(interface)) => {
                if !accepted {
                    node.host(Some(interface), (Direction::Egress, Chain::Normal), legs);
                }
            }
            (Side::Wire(interface), Side::Host) => {
                if !accepted {
                    node.host(Some(interface), (Direction::Ingress, Chain::Normal), legs);
                }
            }
            (Side::Workload(_) | Side::Stranger, Side::Host) if is_neighbour(&traffic.packet) => {
                let what = (DecidedRule::Neighbour, Direction::Ingress);
                node.itself(Verdict::Allow, what, legs);
            }
            (Side::Workload(pod), Side::Host) => {
                node.workload(*pod, Direction::Egress, legs);
                node.to_host(legs);
            }
            (Side::Stranger, Side::Host) => node.stranger(Direction::Egress, legs),
            (from, to) => {
                if !accepted {
                    node.host(from.wire(), (Direction::Ingress, Chain::Forward), legs);
                }
                if matches!(from, Side::Stranger) {
                    node.stranger(Direction::Egress, legs);
                }
                if let Some(pod) = from.workload() {
                    node.workload(pod, Direction::Egress, legs);
                }
                if let Some(pod) = to.workload() {
                    node.workload(pod, Direction::Ingress, legs);
                }
                if matches!(to, Side::Stranger) {
                    node.stranger(Direction::Ingress, legs);
                }
                node.host(to.wire(), (Direction::Egress, Chain::Forward), legs);
            }
        }
    }
}

/// Whether a packet is one of those that hosts always get and send: neighbour discovery (133 to 136, redirects not)
/// and reports of multicast listeners (130 to 132, 143).
fn is_neighbour(packet: &Packet) -> bool {
    let kind = packet.icmp.map(|icmp| icmp.kind);
    packet.protocol == Protocol::ICMPV6 && kind.is_some_and(|kind| matches!(kind, 130..=136 | 143))
}

/// What of a node is an end.
#[derive(Debug)]
enum Home {
    Host,
    Pod(usize),
}

impl Home {
    const fn side(&self) -> Side {
        match self {
            Self::Host => Side::Host,
            Self::Pod(index) => Side::Workload(*index),
        }
    }
}

/// A node that is asked about a packet.
struct Node<'a> {
    evaluator: &'a Evaluator,
    name: &'a str,
    felix: &'a Felix,
    traffic: &'a Traffic<'a>,
}

impl Node<'_> {
    /// The chains before connection tracking and destination NAT; `true` when one of them allowed, and that is final:
    /// while nobody knows which packets are failsafes', which are not asked here, the other chains are asked as well.
    fn early(&self, walk: &Walk, before: &Traffic<'_>, legs: &mut Legs) -> bool {
        let (direction, interface) = match (&walk.from, &walk.to) {
            (Side::Host, to) => {
                let first = walk.first_to.as_ref().unwrap_or(to);
                (Direction::Egress, first.wire())
            }
            (from, _) => (Direction::Ingress, from.wire()),
        };
        let packet = &before.packet;
        if is_neighbour(packet) {
            return false;
        }
        let node = Node {
            evaluator: self.evaluator,
            name: self.name,
            felix: self.felix,
            traffic: before,
        };
        if interface.is_some() && !self.felix.is_failsafe_untracked(direction, packet) {
            let leg = node.chain(interface, (direction, Chain::Untracked), None, legs);
            if leg == Some(Verdict::Allow) && !self.felix.hides_failsafes {
                return true;
            }
        }
        if direction == Direction::Egress || self.felix.is_failsafe(direction, packet) {
            return false;
        }
        let leg = node.chain(interface, (direction, Chain::PreDnat), None, legs);
        leg == Some(Verdict::Allow) && !self.felix.hides_failsafes
    }

    /// A chain of the host endpoint that an interface is.
    fn host(
        &self,
        interface: Option<&Interface>,
        (direction, chain): (Direction, Chain),
        legs: &mut Legs,
    ) {
        let packet = &self.traffic.packet;
        let before = match chain {
            Chain::Normal if is_neighbour(packet) => Some(DecidedRule::Neighbour),
            Chain::Normal if self.felix.is_failsafe(direction, packet) => {
                Some(DecidedRule::Failsafe)
            }
            _ => None,
        };
        let before = before.map(|rule| (Verdict::Allow, rule));
        self.chain(interface, (direction, chain), before, legs);
    }

    /// The verdict of a rule, if one of the chain's decided.
    fn chain(
        &self,
        interface: Option<&Interface>,
        (direction, chain): (Direction, Chain),
        before: Option<(Verdict, DecidedRule)>,
        legs: &mut Legs,
    ) -> Option<Verdict> {
        let all = &self.evaluator.hosts;
        let host = host::at(all, self.name, interface)?;
        let is_late = || host.is_late(self.evaluator, (self.name, interface));
        if legs.is_done() || (chain == Chain::Untracked && is_late()) {
            return None;
        }
        let broken = host.problem.is_some();
        let before = match before {
            None if broken => Some((Verdict::Deny, DecidedRule::Unreadable)),
            before => before,
        };
        let index = all.iter().position(|each| std::ptr::eq(each, host))?;
        let applicable = if broken {
            Vec::new()
        } else {
            self.evaluator.applicable_to_host(index, direction, chain)
        };
        if applicable.is_empty() && before.is_none() && chain != Chain::Normal {
            return None;
        }
        let traffic = (chain == Chain::Normal)
            .then(|| of_host(self.traffic, direction, &host.endpoint))
            .flatten();
        let asked = Asked {
            endpoint: &host.endpoint,
            direction,
            chain,
            before,
            traffic: traffic.as_ref().unwrap_or(self.traffic),
            detail: legs.detail,
        };
        let mut leg = judge(&asked, &applicable);
        // One that cannot be understood may be any node's.
        leg.decided_by.at = format!("host:{}", self.name).into();
        if leg.decided_by.rule == DecidedRule::Unreadable {
            leg.decided_by.key = Some(host.endpoint.key.clone());
        }
        let decided = leg.decided_by.rule != DecidedRule::NoPolicy;
        let verdict = leg.verdict;
        legs.push(leg);
        decided.then_some(verdict)
    }

    fn workload(&self, index: usize, direction: Direction, legs: &mut Legs) {
        if legs.is_done() {
            return;
        }
        let hides =
            direction == Direction::Egress && self.felix.drops_encapsulated(&self.traffic.packet);
        let endpoint = &self.evaluator.endpoints[index];
        // Nobody knows which policies select it.
        let is_closed = endpoint.vague.is_some();
        let applicable = if is_closed {
            Vec::new()
        } else {
            self.evaluator.applicable(index, direction)
        };
        let before = if hides {
            Some((Verdict::Deny, DecidedRule::Encapsulated))
        } else {
            is_closed.then_some((Verdict::Deny, DecidedRule::Unreadable))
        };
        let asked = Asked {
            endpoint,
            direction,
            chain: Chain::Normal,
            before,
            traffic: self.traffic,
            detail: legs.detail,
        };
        legs.push(judge(&asked, &applicable));
    }

    /// What the node does with what its own workloads send to it.
    fn to_host(&self, legs: &mut Legs) {
        if legs.is_done() {
            return;
        }
        let verdict = match self.felix.to_host {
            EndpointToHostAction::Drop => Verdict::Deny,
            EndpointToHostAction::Accept | EndpointToHostAction::Return => Verdict::Allow,
        };
        let what = (DecidedRule::EndpointToHost, Direction::Ingress);
        self.itself(verdict, what, legs);
    }

    /// What a workload sends or gets that nobody knows: there is no policy that could allow it.
    fn stranger(&self, direction: Direction, legs: &mut Legs) {
        if legs.is_done() {
            return;
        }
        let what = (DecidedRule::UnknownInterface, direction);
        self.itself(Verdict::Deny, what, legs);
    }

    /// The node itself decides on what its workloads send and get.
    fn itself(
        &self,
        verdict: Verdict,
        (rule, direction): (DecidedRule, Direction),
        legs: &mut Legs,
    ) {
        let chain = Chain::Normal;
        legs.push(Leg {
            endpoint: ObjectKey::cluster(Kind::Node, self.name),
            direction,
            chain,
            verdict,
            reached: true,
            decided_by: Decision {
                at: format!("host:{}", self.name).into(),
                direction,
                chain,
                tier: None,
                policy: None,
                key: None,
                rule,
                isolated_by: Vec::new(),
            },
            tiers: Vec::new(),
            profiles: Vec::new(),
        });
    }
}

/// The same traffic, if the host's side of it may be an address of the host endpoint's; `None` when that says nothing
/// more, as it has no named ports.
fn of_host<'a>(
    traffic: &Traffic<'a>,
    direction: Direction,
    endpoint: &'a Endpoint,
) -> Option<Traffic<'a>> {
    if endpoint.ports.is_empty() {
        return None;
    }
    let mut traffic = traffic.clone();
    let side = match direction {
        Direction::Ingress => &mut traffic.destination,
        Direction::Egress => &mut traffic.source,
    };
    side.may_own = Some(Owner {
        labels: &endpoint.labels,
        ports: &endpoint.ports,
        vague: None,
    });
    Some(traffic)
}
