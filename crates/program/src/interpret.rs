//! The interpreter: what the chains of `engine.md` §5 do to one packet of a new flow.
//!
//! ```text
//!   from a workload:  encapsulation? ─▶ open? ─▶ class of dst ─▶ group ─┐ allowed
//!   to a workload:    open? ─▶ class of src ─▶ group ◀──────────────────┘
//! ```
//!
//! It judges packets that connection tracking calls new; it does not know established flows, tombstones, nor
//! the neighbour discovery that IPv6 workloads may always send to their host.
//! What an end says is here; which ends are asked is in `walk`.

use std::net::IpAddr;

use oncilla_net::{Direction, IcmpMatch, Packet, PortSet, Protocol, Verdict};

use crate::{
    AddressSet, Bank, BankPlace, ClassId, ClassPort, ClassSet, Dispatch, Group, GroupId, Judgement,
    Levels, Peer, PeerMatch, Place, PortSetOfClasses, PortSide, ProfileEnd, Program, Rule,
    RuleVerdict, ServiceSet, SetName, SetRef, Settings, TierEnd,
};

/// The protocol number of IPv4 in IPv4.
const IPIP: Protocol = Protocol(4);

/// The sets that linear rules look things up in. A set that is missing holds nothing.
#[derive(Clone, Copy, Debug)]
pub struct Sets<'a> {
    /// `p<id>`.
    pub classes: &'a std::collections::BTreeMap<SetName, ClassSet>,
    /// `n<id>`.
    pub ports: &'a std::collections::BTreeMap<SetName, PortSetOfClasses>,
    /// `a<id>`.
    pub addresses: &'a std::collections::BTreeMap<SetName, AddressSet>,
    /// `s<id>`.
    pub services: &'a std::collections::BTreeMap<SetName, ServiceSet>,
}

impl Sets<'_> {
    fn holds_address(self, set: &SetName, addr: IpAddr) -> bool {
        self.addresses
            .get(set)
            .is_some_and(|set| set.contains(addr))
    }

    /// Whether an address with a port of the packet is a member.
    fn holds_port(self, set: &SetName, (addr, port): (IpAddr, u16), protocol: Protocol) -> bool {
        let member = (addr, protocol, port);
        let set = self.services.get(set);
        protocol.has_ports() && set.is_some_and(|set| set.members.contains(&member))
    }
}

impl Settings {
    /// Whether an interface is named like a workload's.
    pub fn is_workload(&self, interface: &str) -> bool {
        self.interface_prefixes.cover(interface)
    }

    fn drops_encapsulated(&self, packet: &Packet) -> bool {
        match packet.protocol {
            Protocol::UDP => self.encap_drop.vxlan_ports.contains(&packet.dst_port),
            IPIP => self.encap_drop.ipip,
            _ => false,
        }
    }
}

impl Program {
    /// The sets that linear rules refer to.
    pub const fn sets(&self) -> Sets<'_> {
        Sets {
            classes: &self.class_sets,
            ports: &self.port_sets,
            addresses: &self.address_sets,
            services: &self.service_sets,
        }
    }

    /// What one end says: the workload behind `interface`, about a packet to it (ingress) or from it.
    pub fn judge_end(
        &self,
        interface: &str,
        direction: Direction,
        packet: &Packet,
    ) -> Judgement<'_> {
        if direction == Direction::Egress && self.settings.drops_encapsulated(packet) {
            return Judgement::at(Verdict::Deny, Place::Encapsulation);
        }
        let Some(endpoint) = self.endpoints.get(interface) else {
            return Judgement::at(Verdict::Deny, Place::UnknownInterface);
        };
        let dispatch = match direction {
            Direction::Ingress => &endpoint.ingress,
            Direction::Egress => &endpoint.egress,
        };
        match dispatch {
            Dispatch::Open => Judgement::at(Verdict::Allow, Place::Open),
            Dispatch::Group(id) => self.judge_group(id, direction, packet),
        }
    }

    /// What a group says.
    pub(crate) fn judge_group(
        &self,
        id: &GroupId,
        direction: Direction,
        packet: &Packet,
    ) -> Judgement<'_> {
        let peer = match direction {
            Direction::Ingress => packet.src,
            Direction::Egress => packet.dst,
        };
        match self.groups.get(id) {
            Some(group) => group.judge(self.sets(), self.addresses.class_of(peer), packet),
            None => Judgement::at(Verdict::Deny, Place::UnknownGroup),
        }
    }
}

impl Group {
    /// What the group says about a packet whose peer (the source in ingress, the destination in egress) has
    /// this class.
    pub fn judge(&self, sets: Sets<'_>, peer: ClassId, packet: &Packet) -> Judgement<'_> {
        let mut judgement = Judgement::at(Verdict::Deny, Place::EndOfProfiles);
        judgement.group = Some(&self.id);
        let asked = Asked {
            sets,
            direction: self.direction,
            peer,
            packet,
        };
        for (index, tier) in self.tiers.iter().enumerate() {
            match asked.first_match(&tier.banks) {
                Some((RuleVerdict::Pass | RuleVerdict::Log, ..)) => judgement.passed = true,
                Some((verdict, bank, at)) => {
                    judgement.verdict = final_verdict(verdict);
                    judgement.place = Place::Rule {
                        tier: index,
                        name: &tier.name,
                        bank,
                        at,
                    };
                    return judgement;
                }
                None => {
                    judgement.reached_end_of_tier = true;
                    if tier.end == TierEnd::Deny {
                        judgement.place = Place::EndOfTier {
                            tier: index,
                            name: &tier.name,
                        };
                        return judgement;
                    }
                }
            }
        }
        match &self.profiles {
            ProfileEnd::Allow => {
                judgement.verdict = Verdict::Allow;
                judgement.place = Place::ProfileAllow;
            }
            ProfileEnd::Deny => {}
            ProfileEnd::Continue => {
                judgement.verdict = Verdict::Allow;
                judgement.place = Place::Undecided;
            }
            ProfileEnd::Banks(banks) => {
                if let Some((verdict, bank, at)) = asked.first_match(banks) {
                    judgement.verdict = final_verdict(verdict);
                    judgement.place = Place::ProfileRule { bank, at };
                }
            }
        }
        judgement
    }
}

/// A pass that has no tier to pass to denies.
const fn final_verdict(verdict: RuleVerdict) -> Verdict {
    match verdict {
        RuleVerdict::Allow => Verdict::Allow,
        RuleVerdict::Deny | RuleVerdict::Pass | RuleVerdict::Log => Verdict::Deny,
    }
}

impl Levels {
    /// The first level, 1 to 6, that holds the packet, and its verdict.
    pub fn lookup(&self, peer: ClassId, packet: &Packet) -> Option<(RuleVerdict, u8)> {
        let protocol = packet.protocol;
        let port = protocol.has_ports().then_some(packet.dst_port);
        let k1 = || self.k1.get(&(peer, protocol, port?));
        let k4 = || self.k4.get(&(protocol, port?));
        let hit = |verdict: &RuleVerdict, level: u8| (*verdict, level);
        k1().map(|verdict| hit(verdict, 1))
            .or_else(|| {
                self.k2
                    .get(&(peer, protocol))
                    .map(|verdict| hit(verdict, 2))
            })
            .or_else(|| self.k3.get(&peer).map(|verdict| hit(verdict, 3)))
            .or_else(|| k4().map(|verdict| hit(verdict, 4)))
            .or_else(|| self.k5.get(&protocol).map(|verdict| hit(verdict, 5)))
            .or_else(|| self.k6.as_ref().map(|verdict| hit(verdict, 6)))
    }
}

impl Rule {
    /// Whether the rule matches a packet that a group of this direction is asked about, and whose peer has
    /// this class.
    pub fn matches(
        &self,
        sets: Sets<'_>,
        direction: Direction,
        peer: ClassId,
        packet: &Packet,
    ) -> bool {
        Asked {
            sets,
            direction,
            peer,
            packet,
        }
        .matches(self)
    }
}

/// One question to a group.
#[derive(Clone, Copy)]
struct Asked<'a> {
    sets: Sets<'a>,
    direction: Direction,
    peer: ClassId,
    packet: &'a Packet,
}

impl Asked<'_> {
    fn first_match<'b>(&self, banks: &'b [Bank]) -> Option<(RuleVerdict, usize, BankPlace<'b>)> {
        for (index, bank) in banks.iter().enumerate() {
            if let Some((verdict, level)) = bank.levels.lookup(self.peer, self.packet) {
                return Some((verdict, index, BankPlace::Level(level)));
            }
            let decides = |rule: &&Rule| rule.verdict != RuleVerdict::Log && self.matches(rule);
            if let Some(rule) = bank.tail.iter().find(decides) {
                return Some((rule.verdict, index, BankPlace::Tail(&rule.comment)));
            }
        }
        None
    }

    fn matches(&self, rule: &Rule) -> bool {
        let protocol = self.packet.protocol;
        rule.family
            .is_none_or(|family| family == self.packet.family())
            && rule.protocol.is_none_or(|is| is == protocol)
            && rule.not_protocol.is_none_or(|is_not| is_not != protocol)
            && !(rule.without_ports && protocol.has_ports())
            && self.matches_icmp(rule)
            && self.matches_ports(rule)
            && self.matches_addresses(rule)
    }

    /// A message of unknown type fulfils neither criterion.
    fn matches_icmp(&self, rule: &Rule) -> bool {
        let holds = |wanted: IcmpMatch| self.packet.icmp.map(|icmp| wanted.holds(icmp));
        rule.icmp.is_none_or(|wanted| holds(wanted) == Some(true))
            && rule
                .not_icmp
                .is_none_or(|unwanted| holds(unwanted) == Some(false))
    }

    fn matches_ports(&self, rule: &Rule) -> bool {
        let (src, dst) = (self.packet.src_port, self.packet.dst_port);
        let criteria: [(&Option<PortSet>, u16, bool); 4] = [
            (&rule.src_ports, src, true),
            (&rule.not_src_ports, src, false),
            (&rule.dst_ports, dst, true),
            (&rule.not_dst_ports, dst, false),
        ];
        let mut asked = !rule.named_ports.is_empty() || !rule.local_ports.is_empty();
        for (set, port, wanted) in criteria {
            if let Some(set) = set {
                if set.contains(port) != wanted {
                    return false;
                }
                asked = true;
            }
        }
        if asked && !self.packet.protocol.has_ports() {
            return false;
        }
        let local = match self.direction {
            Direction::Ingress => (self.packet.dst, dst),
            Direction::Egress => (self.packet.src, src),
        };
        let protocol = self.packet.protocol;
        let mut own = rule.local_ports.iter();
        if !own.all(|named| self.sets.holds_port(&named.set, local, protocol) != named.negated) {
            return false;
        }
        rule.named_ports.iter().all(|named| {
            let port = match named.side {
                PortSide::Source => src,
                PortSide::Destination => dst,
            };
            let member = ClassPort {
                class: self.peer,
                protocol,
                port,
            };
            let set = self.sets.ports.get(&named.set);
            set.is_some_and(|set| set.members.contains(&member)) != named.negated
        })
    }

    fn holds_peer(&self, criterion: &PeerMatch, addr: IpAddr) -> bool {
        let sets = self.sets;
        let found = match &criterion.set {
            SetRef::Classes(name) => {
                let set = sets.classes.get(name);
                set.is_some_and(|set| set.classes.contains(&self.peer))
            }
            SetRef::Addresses(name) => sets.holds_address(name, addr),
            SetRef::Service(name) => {
                let Packet { dst, dst_port, .. } = *self.packet;
                sets.holds_port(name, (dst, dst_port), self.packet.protocol)
            }
        };
        found != criterion.negated
    }

    fn matches_addresses(&self, rule: &Rule) -> bool {
        let (peer, local) = match self.direction {
            Direction::Ingress => (self.packet.src, self.packet.dst),
            Direction::Egress => (self.packet.dst, self.packet.src),
        };
        let peer_holds = match &rule.peer {
            Peer::Any => true,
            Peer::Classes(classes) => classes.binary_search(&self.peer).is_ok(),
            Peer::Sets(sets) => sets
                .iter()
                .all(|criterion| self.holds_peer(criterion, peer)),
        };
        peer_holds
            && rule.local.iter().all(|criterion| {
                self.sets.holds_address(&criterion.set, local) != criterion.negated
            })
    }
}
