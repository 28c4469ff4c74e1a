//! A node state small enough to be judged naively, with classes numbered by history.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{
    Action, Families, Order, Policy, PolicyKey, PolicyKind, Ports, Predicate, Profile, ProfileName,
    ProtocolMatch, Rule, Side, TierEnd, TierName,
};
use oncilla_net::{
    Direction, Family, IcmpMatch, IpNet, Packet, PortRange, Protocol, Verdict, family_of,
};
use oncilla_program::{
    AddressChange, AddressSet, ClassId, Dispatch, GroupId, Hook, LocalEndpoint, NetChange,
    ServiceSet,
};
use oncilla_resolve::node::{
    Class, GroupDef, LocalPorts, NodeDelta, NodeState, PredicateMode, TierDef,
};
use oncilla_selector::Selector;

use super::Random;

/// What is true of an address: the predicates that hold, and the ports that names lead to.
pub(super) type Truth = (BTreeSet<Predicate>, BTreeMap<Predicate, Vec<u16>>);
type Signature = (Family, BTreeSet<Predicate>, BTreeMap<Predicate, Vec<u16>>);

pub(super) const PORTS: [u16; 4] = [80, 81, 443, 9000];
/// Of messages that rules ask for.
pub(super) const ICMP_TYPES: [u8; 2] = [8, 13];
/// Not known to any rule unless by a prefix.
pub(super) const STRANGERS: [&str; 2] = ["203.0.113.9", "2001:db8::9"];

#[derive(Clone)]
pub(super) struct World {
    selectors: Vec<Predicate>,
    nets: Vec<Predicate>,
    names: Vec<Predicate>,
    hosts: BTreeMap<IpAddr, Truth>,
    /// Disjoint; labels of network sets.
    blocks: BTreeMap<IpNet, Truth>,
    classes: BTreeMap<ClassId, Signature>,
    numbers: BTreeMap<Signature, ClassId>,
    next: u32,
    host_class: BTreeMap<IpAddr, ClassId>,
    block_class: BTreeMap<IpNet, ClassId>,
    by_address: BTreeSet<Predicate>,
    pub(super) groups: BTreeMap<GroupId, Arc<GroupDef>>,
    pub(super) endpoints: BTreeMap<Arc<str>, LocalEndpoint>,
}

impl World {
    /// A world in which nothing is known yet.
    pub(super) fn empty() -> Self {
        let selectors = ["a", "b", "c", "d", "e"]
            .map(Selector::has)
            .map(Predicate::selector);
        let nets = [
            "0.0.0.0/0",
            "::/0",
            "10.0.0.4/30",
            "192.168.0.0/16,fd01::/64",
        ]
        .map(|list| Predicate::nets(list.split(',').map(|net| net.parse::<IpNet>().unwrap())));
        let protocols = [Protocol::TCP, Protocol::UDP];
        let names = protocols.map(|protocol| Predicate::named_port(None, "web", protocol));
        Self {
            selectors: selectors.into(),
            nets: nets.into(),
            names: names.into(),
            hosts: BTreeMap::new(),
            blocks: BTreeMap::new(),
            classes: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next: ClassId::FIRST.0,
            host_class: BTreeMap::new(),
            block_class: BTreeMap::new(),
            by_address: BTreeSet::new(),
            groups: BTreeMap::new(),
            endpoints: BTreeMap::new(),
        }
    }

    /// Hosts, blocks, groups and endpoints.
    pub(super) fn random(random: &mut Random) -> Self {
        let mut world = Self::empty();
        for block in ["10.0.0.4/30", "192.168.0.0/16", "fd01::/64"] {
            let truth = (world.random_labels(random), BTreeMap::new());
            world.blocks.insert(block.parse().unwrap(), truth);
        }
        for addr in Self::universe().into_iter().take(10) {
            world.set_host(addr, random);
        }
        for number in 0..6 {
            world.set_group(number, random);
        }
        for number in 0..3_u8 {
            let group = |at: u8| Dispatch::Group(group_id(usize::from(at)));
            let endpoint = LocalEndpoint {
                name: format!("red/pod-{number} eth0").into(),
                addresses: Self::universe()[usize::from(number)..=usize::from(number)].into(),
                ingress: group(2 * number),
                egress: group(2 * number + 1),
            };
            world
                .endpoints
                .insert(interface(usize::from(number)), endpoint);
        }
        world.classify();
        world
    }

    /// Addresses that packets come from and go to: hosts first, then inside blocks, then strangers.
    pub(super) fn universe() -> Vec<IpAddr> {
        let hosts = [
            "10.0.0.1", "10.0.0.5", "fd00::1", "10.0.0.2", "10.0.0.6", "10.0.1.1", "fd00::2",
        ];
        let more = [
            "fd00::3",
            "192.168.7.7",
            "fd01::7",
            "10.0.0.7",
            "192.168.1.1",
            "fd01::1",
        ];
        hosts
            .iter()
            .chain(&more)
            .chain(&STRANGERS)
            .map(|addr| addr.parse().unwrap())
            .collect()
    }

    fn random_labels(&self, random: &mut Random) -> BTreeSet<Predicate> {
        self.selectors
            .iter()
            .filter(|_| random.chance(35))
            .cloned()
            .collect()
    }

    pub(super) fn set_host(&mut self, addr: IpAddr, random: &mut Random) {
        let labels = self.random_labels(random);
        let names: Vec<&Predicate> = self.names.iter().filter(|_| random.chance(50)).collect();
        let ports = names.into_iter().map(|name| {
            let ports: BTreeSet<u16> = (0..=random.below(2))
                .map(|_| *random.pick(&PORTS))
                .collect();
            (name.clone(), ports.into_iter().collect())
        });
        let truth = (labels, ports.collect());
        self.hosts.insert(addr, truth);
    }

    /// One random change. Changes of the local side and of modes only when asked for.
    pub(super) fn change(&mut self, random: &mut Random, modes: bool) {
        let hosts = &Self::universe()[..13];
        match random.below(10) {
            0..=4 => self.set_host(*random.pick(hosts), random),
            5 => drop(self.hosts.remove(random.pick(hosts))),
            6 if modes => {
                let pool: Vec<Predicate> =
                    self.selectors.iter().chain(&self.nets).cloned().collect();
                let predicate = random.pick(&pool).clone();
                if !self.by_address.remove(&predicate) {
                    self.by_address.insert(predicate);
                }
            }
            7 => {
                let number = random.below(8);
                let is_gone = number > 5 && self.groups.remove(&group_id(number)).is_some();
                if !is_gone {
                    self.set_group(number, random);
                }
            }
            8 => {
                let block = *random.pick(&self.blocks.keys().copied().collect::<Vec<_>>());
                let truth = (self.random_labels(random), BTreeMap::new());
                self.blocks.insert(block, truth);
            }
            _ => {
                // Settling: numbers without an address are forgotten.
                let used = self.used();
                self.classes.retain(|class, _| used.contains(class));
                self.numbers.retain(|_, class| used.contains(class));
            }
        }
        self.classify();
    }

    fn used(&self) -> BTreeSet<ClassId> {
        self.host_class
            .values()
            .chain(self.block_class.values())
            .copied()
            .collect()
    }

    fn retired(&self) -> BTreeSet<ClassId> {
        let used = self.used();
        self.classes
            .keys()
            .copied()
            .filter(|class| !used.contains(class))
            .collect()
    }

    /// What is true of an address: its own, that of the block around it, and the CIDRs.
    pub(super) fn truth(&self, addr: IpAddr) -> Truth {
        let mut truth = self.hosts.get(&addr).cloned().unwrap_or_default();
        for (_, (labels, _)) in self
            .blocks
            .iter()
            .filter(|(block, _)| block.contains(&addr))
        {
            truth.0.extend(labels.iter().cloned());
        }
        let holds = |predicate: &&Predicate| in_nets(predicate, addr);
        truth.0.extend(self.nets.iter().filter(holds).cloned());
        truth
    }

    fn classify(&mut self) {
        let hosts: Vec<(IpAddr, Truth)> = self
            .hosts
            .keys()
            .map(|addr| (*addr, self.truth(*addr)))
            .collect();
        self.host_class.clear();
        for (addr, truth) in hosts {
            let class = self.number((family_of(addr), truth.0, truth.1));
            self.host_class.insert(addr, class);
        }
        let blocks: Vec<(IpNet, Truth)> = self
            .blocks
            .keys()
            .map(|net| (*net, self.block_truth(*net)))
            .collect();
        self.block_class.clear();
        for (net, truth) in blocks {
            let class = self.number((Family::of_net(&net), truth.0, truth.1));
            self.block_class.insert(net, class);
        }
    }

    fn block_truth(&self, block: IpNet) -> Truth {
        let mut truth = self.blocks[&block].clone();
        let holds = |predicate: &&Predicate| in_nets(predicate, block.addr());
        truth.0.extend(self.nets.iter().filter(holds).cloned());
        truth
    }

    fn number(&mut self, signature: Signature) -> ClassId {
        let next = ClassId(self.next);
        let class = *self.numbers.entry(signature.clone()).or_insert(next);
        if class == next {
            self.next += 1;
            self.classes.insert(class, signature);
        }
        class
    }

    fn random_side(&self, random: &mut Random, is_local: bool) -> Side {
        let mut side = Side::default();
        let pool: Vec<Predicate> = self.selectors.iter().chain(&self.nets).cloned().collect();
        if random.chance(if is_local { 10 } else { 70 }) {
            side.all = (0..=random.below(2))
                .map(|_| random.pick(&pool).clone())
                .collect();
        }
        if random.chance(if is_local { 5 } else { 15 }) {
            side.none = vec![random.pick(&pool).clone()];
        }
        side
    }

    fn random_ports(&self, random: &mut Random) -> Ports {
        let wide = PortRange::new(80, 500).unwrap();
        let mut ports = Ports::default();
        if random.chance(70) {
            let count = 1 + random.below(2);
            ports.numbers = (0..count).map(|_| *random.pick(&PORTS)).collect();
        }
        if random.chance(20) {
            ports.numbers = [wide].into_iter().collect();
        }
        if random.chance(30) {
            ports.names = self.names.clone();
        }
        ports
    }

    pub(super) fn random_rule(
        &self,
        random: &mut Random,
        direction: Direction,
        index: u32,
    ) -> Rule {
        let actions = [
            Action::Allow,
            Action::Allow,
            Action::Deny,
            Action::Pass,
            Action::Log,
        ];
        let is_ingress = direction == Direction::Ingress;
        let mut rule = Rule {
            action: *random.pick(&actions),
            families: Families::BOTH,
            protocol: ProtocolMatch::default(),
            icmp: None,
            not_icmp: None,
            source: self.random_side(random, !is_ingress),
            destination: self.random_side(random, is_ingress),
            index,
        };
        if random.chance(10) {
            rule.families = Families::only(*random.pick(&Family::ALL));
        }
        let protocols = [Protocol::TCP, Protocol::UDP, Protocol::ICMP];
        if random.chance(60) {
            rule.protocol.is = Some(*random.pick(&protocols));
        }
        if random.chance(5) {
            rule.protocol.is_not = Some(*random.pick(&protocols));
        }
        if rule.protocol.is == Some(Protocol::ICMP) {
            let messages = |random: &mut Random| IcmpMatch {
                kind: *random.pick(&ICMP_TYPES),
                code: *random.pick(&[None, Some(0), Some(1)]),
            };
            rule.icmp = random.chance(40).then(|| messages(random));
            rule.not_icmp = random.chance(20).then(|| messages(random));
        }
        if random.chance(40) {
            rule.destination.ports = Some(self.random_ports(random));
        }
        if random.chance(8) {
            rule.destination.not_ports = Some(self.random_ports(random));
        }
        if random.chance(8) {
            rule.source.ports = Some(self.random_ports(random));
        }
        if random.chance(4) {
            rule.source.not_ports = Some(self.random_ports(random));
        }
        rule
    }

    fn random_rules(&self, random: &mut Random, direction: Direction) -> Arc<[Rule]> {
        let count = u32::try_from(random.below(5)).unwrap();
        (0..count)
            .map(|index| self.random_rule(random, direction, index))
            .collect()
    }

    pub(super) fn set_group(&mut self, number: usize, random: &mut Random) {
        let direction = Direction::ALL[number % 2];
        let tiers = (0..random.below(4)).map(|tier| TierDef {
            name: TierName(format!("tier-{tier}").into()),
            end: if random.chance(60) {
                TierEnd::Pass
            } else {
                TierEnd::Deny
            },
            policies: (0..=random.below(3))
                .map(|at| self.policy(random, direction, at))
                .collect(),
        });
        let tiers = tiers.collect();
        let profiles = (0..random.below(3)).map(|at| {
            let exists = random.chance(80);
            exists.then(|| self.profile(random, at))
        });
        let profiles = profiles.collect();
        let local_ports = self.names.iter().filter(|_| random.chance(50)).cloned();
        let def = GroupDef {
            id: group_id(number),
            hook: Hook::Normal,
            direction,
            tiers,
            profiles,
            local_ports: LocalPorts::Exact(
                local_ports.map(|name| (name, vec![80, 9000])).collect(),
            ),
        };
        self.groups.insert(group_id(number), Arc::new(def));
    }

    fn policy(&self, random: &mut Random, direction: Direction, at: usize) -> Arc<Policy> {
        let rules = Some(self.random_rules(random, direction));
        let (ingress, egress) = match direction {
            Direction::Ingress => (rules, None),
            Direction::Egress => (None, rules),
        };
        Arc::new(Policy {
            key: PolicyKey {
                kind: PolicyKind::GlobalNetworkPolicy,
                namespace: None,
                name: format!("policy-{at}").into(),
            },
            tier: TierName("any".into()),
            order: Order::LAST,
            applies: oncilla_model::Applies::Normal,
            selector: Selector::all(),
            ingress,
            egress,
        })
    }

    fn profile(&self, random: &mut Random, at: usize) -> Arc<Profile> {
        let allow: Arc<[Rule]> = [allow_all()].into();
        let rules = |random: &mut Random, direction| {
            if random.chance(50) {
                Arc::clone(&allow)
            } else {
                self.random_rules(random, direction)
            }
        };
        Arc::new(Profile {
            name: ProfileName(format!("kns.{at}").into()),
            labels: Vec::new().into(),
            ingress: rules(random, Direction::Ingress),
            egress: rules(random, Direction::Egress),
            is_obscure: false,
        })
    }

    /// What changed since an earlier state of this world.
    pub(super) fn since(&self, before: &Self) -> NodeDelta {
        let (live, live_before) = (self.used(), before.used());
        let (retired, retired_before) = (self.retired(), before.retired());
        let pool = || self.selectors.iter().chain(&self.nets);
        let sets = pool().filter(|predicate| {
            self.addresses_of(predicate) != before.addresses_of(predicate)
                || self.mode(predicate) != before.mode(predicate)
        });
        let modes = pool().filter(|predicate| self.mode(predicate) != before.mode(predicate));
        let addresses = changes(&before.host_class, &self.host_class);
        let nets = changes(&before.block_class, &self.block_class);
        NodeDelta {
            classes_added: live.difference(&live_before).copied().collect(),
            // Settled ones in the same batch too: the state has forgotten them.
            classes_retired: retired
                .difference(&retired_before)
                .chain(live_before.difference(&live))
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            addresses: addresses
                .into_iter()
                .map(|(addr, class)| AddressChange { addr, class })
                .collect(),
            nets: nets
                .into_iter()
                .map(|(net, class)| NetChange { net, class })
                .collect(),
            address_sets: sets.cloned().collect(),
            modes: modes.cloned().collect(),
            groups: changes(&before.groups, &self.groups),
            endpoints: changes(&before.endpoints, &self.endpoints),
            hosts: BTreeMap::new(),
        }
    }
}

impl NodeState for World {
    fn class(&self, id: ClassId) -> Option<Class> {
        let (family, holds, ports) = self.classes.get(&id)?;
        Some(Class {
            id,
            family: *family,
            holds: holds.clone(),
            ports: ports.clone(),
        })
    }

    fn classes_of(&self, predicate: &Predicate) -> Vec<ClassId> {
        let strangers = Family::ALL.into_iter().zip(STRANGERS);
        let unknown = strangers
            .filter(|(_, addr)| in_nets(predicate, addr.parse().unwrap()))
            .map(|(family, _)| ClassId::unknown(family));
        let known = self
            .classes
            .iter()
            .filter(|(_, (_, holds, _))| holds.contains(predicate));
        unknown.chain(known.map(|(class, _)| *class)).collect()
    }

    fn ports_of(&self, predicate: &Predicate) -> Vec<(ClassId, u16)> {
        let ports = |(class, (_, _, ports)): (&ClassId, &Signature)| {
            let ports = ports.get(predicate).cloned().unwrap_or_default();
            ports
                .into_iter()
                .map(|port| (*class, port))
                .collect::<Vec<_>>()
        };
        self.classes.iter().flat_map(ports).collect()
    }

    fn family_of(&self, id: ClassId) -> Option<Family> {
        self.classes.get(&id).map(|(family, ..)| *family)
    }

    fn mode(&self, predicate: &Predicate) -> PredicateMode {
        if self.by_address.contains(predicate) {
            PredicateMode::ByAddress
        } else {
            PredicateMode::ByClass
        }
    }

    fn addresses_of(&self, predicate: &Predicate) -> AddressSet {
        let holds = |(labels, _): &Truth| labels.contains(predicate);
        let nets = match predicate {
            Predicate::Nets { nets, .. } => nets.iter().copied().collect(),
            _ => self
                .blocks
                .iter()
                .filter(|(_, truth)| holds(truth))
                .map(|(net, _)| *net)
                .collect(),
        };
        let hosts = self
            .hosts
            .iter()
            .filter(|(_, truth)| holds(truth))
            .map(|(addr, _)| *addr);
        AddressSet {
            text: Arc::clone(predicate.text()),
            hosts: hosts.collect(),
            nets,
        }
    }

    fn service_of(&self, predicate: &Predicate) -> ServiceSet {
        ServiceSet {
            text: Arc::clone(predicate.text()),
            ..ServiceSet::default()
        }
    }

    fn groups(&self) -> &BTreeMap<GroupId, Arc<GroupDef>> {
        &self.groups
    }

    fn endpoints(&self) -> &BTreeMap<Arc<str>, LocalEndpoint> {
        &self.endpoints
    }
}

pub(super) fn allow_all() -> Rule {
    Rule {
        action: Action::Allow,
        families: Families::BOTH,
        protocol: ProtocolMatch::default(),
        icmp: None,
        not_icmp: None,
        source: Side::default(),
        destination: Side::default(),
        index: 0,
    }
}

pub(super) fn group_id(number: usize) -> GroupId {
    GroupId(format!("{number:016x}").into())
}

pub(super) fn interface(number: usize) -> Arc<str> {
    format!("cali{number}").into()
}

fn in_nets(predicate: &Predicate, addr: IpAddr) -> bool {
    matches!(predicate, Predicate::Nets { nets, .. } if nets.iter().any(|net| net.contains(&addr)))
}

fn changes<K: Ord + Clone, V: PartialEq + Clone>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> BTreeMap<K, Option<V>> {
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| (key.clone(), None));
    let new = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(*value));
    gone.chain(new.map(|(key, value)| (key.clone(), Some(value.clone()))))
        .collect()
}

/// The naive judge of one end, over the definition and the truth.
pub(super) fn naive_end(world: &World, def: &GroupDef, packet: &Packet) -> Verdict {
    for tier in &def.tiers {
        let mut rules = tier.policies.iter().flat_map(|policy| match def.direction {
            Direction::Ingress => policy.ingress.as_deref().unwrap(),
            Direction::Egress => policy.egress.as_deref().unwrap(),
        });
        match first_action(world, def, &mut rules, packet) {
            Some(Action::Allow) => return Verdict::Allow,
            Some(Action::Deny) => return Verdict::Deny,
            Some(Action::Pass | Action::Log) => {}
            None if tier.end == TierEnd::Deny => return Verdict::Deny,
            None => {}
        }
    }
    for profile in &def.profiles {
        let Some(profile) = profile else {
            return Verdict::Deny;
        };
        let rules = match def.direction {
            Direction::Ingress => &profile.ingress,
            Direction::Egress => &profile.egress,
        };
        match first_action(world, def, &mut rules.iter(), packet) {
            Some(Action::Allow) => return Verdict::Allow,
            Some(_) => return Verdict::Deny,
            None => {}
        }
    }
    Verdict::Deny
}

fn first_action(
    world: &World,
    def: &GroupDef,
    rules: &mut dyn Iterator<Item = &Rule>,
    packet: &Packet,
) -> Option<Action> {
    let mut matching =
        rules.filter(|rule| rule.action != Action::Log && naive_match(world, def, rule, packet));
    matching.next().map(|rule| rule.action)
}

fn naive_match(world: &World, def: &GroupDef, rule: &Rule, packet: &Packet) -> bool {
    let is_ingress = def.direction == Direction::Ingress;
    if !rule.families.contains(packet.family())
        || rule.protocol.is.is_some_and(|is| is != packet.protocol)
        || rule
            .protocol
            .is_not
            .is_some_and(|is_not| is_not == packet.protocol)
        || rule.icmp.is_some_and(|wanted| !is_message(wanted, packet))
        || rule.not_icmp.is_some_and(|other| is_message(other, packet))
    {
        return false;
    }
    let own = def.local_ports.known();
    let ends = [
        (&rule.source, packet.src, packet.src_port, !is_ingress),
        (&rule.destination, packet.dst, packet.dst_port, is_ingress),
    ];
    ends.into_iter().all(|(side, addr, port, is_local)| {
        let (holds, named) = world.truth(addr);
        let named = if is_local { own } else { &named };
        let in_ports = |ports: &Ports| {
            ports.numbers.contains(port)
                || ports.names.iter().any(|name| {
                    matches!(name, Predicate::NamedPort { protocol, .. } if *protocol == packet.protocol)
                        && named.get(name).is_some_and(|ports| ports.contains(&port))
                })
        };
        let has_ports = packet.protocol.has_ports();
        side.all.iter().all(|predicate| holds.contains(predicate))
            && !side.none.iter().any(|predicate| holds.contains(predicate))
            && side.ports.as_ref().is_none_or(|ports| has_ports && in_ports(ports))
            && side.not_ports.as_ref().is_none_or(|ports| {
                // What has no port has none of the excluded ones, unless the rule is about protocols with ports.
                if has_ports { !in_ports(ports) } else { rule.protocol.is.is_none() }
            })
    })
}

fn is_message(wanted: IcmpMatch, packet: &Packet) -> bool {
    packet.icmp.is_some_and(|icmp| {
        icmp.kind == wanted.kind && wanted.code.is_none_or(|code| code == icmp.code)
    })
}
