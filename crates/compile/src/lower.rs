//! From policy vocabulary to match vocabulary: one model rule to the program rules that say the same.
//!
//! The peer is the source in ingress and the destination in egress. Alternatives of a port criterion become
//! consecutive rules of the same verdict; everything else of a rule is a conjunction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_model::{Families, List, Ports, Predicate, Rule as ModelRule, Side};
use oncilla_net::{Direction, Family, PORTS_KEYED_MAX, PortSet, Protocol, fault};
use oncilla_program::{
    ClassId, LocalMatch, LocalPortMatch, NamedPortMatch, Peer, PeerMatch, PortSide, Rule,
    RuleVerdict, SetName, SetRef,
};
use oncilla_resolve::node::LocalPorts;

use crate::answer::{Answer, SetKind, set_name};
use crate::bank::{CLASSES_KEYED_MAX, Lowered, is_keyable_but_for_peer};

/// Looks up the answers about a predicate of the peer.
pub(crate) type Lookup<'a> = &'a dyn Fn(&Predicate) -> Option<&'a Answer>;

/// How many ports there are.
const PORTS_ALL: u32 = 65_536;

/// What lowering reads, and the sets that the lowered rules mention.
pub(crate) struct Lowering<'a> {
    /// The direction of the group.
    pub(crate) direction: Direction,
    /// The ports of the group's endpoints by named-port predicate.
    pub(crate) local_ports: &'a LocalPorts,
    /// The answers that rules are made of.
    pub(crate) answers: Lookup<'a>,
    /// The answers that decide whether a peer is broad: in the preparing phase the old ones, so that rules
    /// keep their form and only entries are added.
    pub(crate) deciding: Lookup<'a>,
    /// What stands before the lines of Log rules, with words to fill in.
    pub(crate) log_prefix: &'a str,
    /// Sets that the rules mention, with their predicates.
    pub(crate) sets: BTreeMap<SetName, Predicate>,
}

/// What the rule will do and where it comes from.
#[derive(Clone)]
pub(crate) struct Origin {
    /// What it does here: a pass in a profile is a deny.
    pub(crate) verdict: RuleVerdict,
    /// What stands before the lines that it logs.
    pub(crate) log_prefix: Option<Arc<str>>,
    /// For people.
    pub(crate) comment: Arc<str>,
}

/// The rule asks something that cannot be asked: it fails closed.
struct Unanswerable;

/// Which packets a rule matches where nobody knows whether an address is the host's, and so what a port's name leads
/// to there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// Those that match whatever the address is.
    Certain,
    /// Those that match if the address is the host's.
    Possible,
}

/// A port criterion of the local side.
enum LocalPort<'a> {
    /// No criterion.
    Any,
    /// The port is one of these.
    Numbers(PortSet),
    /// The port is what this name leads to at the address.
    Name(&'a Predicate),
}

/// A port criterion of the peer.
enum PeerPorts<'a> {
    /// No criterion.
    Any,
    /// The port is one of these.
    Numbers(PortSet),
    /// The port is what this name leads to.
    Name(&'a Predicate),
}

/// What the rule asks of the peer's address.
struct PeerPlan<'a> {
    side: &'a Side,
    families: Families,
    /// All criteria are positive and answered by class: the classes for which they hold, ascending.
    classes: Option<Vec<ClassId>>,
    /// Few enough classes for keys.
    is_narrow: bool,
}

impl Lowering<'_> {
    /// Lowers one rule. What can match nothing is left out.
    pub(crate) fn lower(&mut self, rule: &ModelRule, origin: &Origin) -> Vec<Lowered> {
        let no_family = rule.families
            == Families {
                v4: false,
                v6: false,
            };
        if no_family || (rule.protocol.is.is_some() && rule.protocol.is == rule.protocol.is_not) {
            return Vec::new();
        }
        let closed = |Unanswerable| fail_closed(rule, origin);
        let bound = match origin.verdict {
            RuleVerdict::Deny => Bound::Possible,
            RuleVerdict::Allow | RuleVerdict::Pass | RuleVerdict::Log => Bound::Certain,
        };
        let mut lowered = match self.lower_answerable(rule, origin, bound) {
            Ok(lowered) => lowered,
            Err(unanswerable) => return closed(unanswerable),
        };
        if origin.verdict == RuleVerdict::Pass && self.may_mean_more(rule) {
            // Behind a pass the tier may allow what the next one does not.
            let deny = Origin {
                verdict: RuleVerdict::Deny,
                ..origin.clone()
            };
            let more = self.lower_answerable(rule, &deny, Bound::Possible);
            lowered.extend(more.unwrap_or_else(closed));
        }
        lowered
    }

    /// Whether the two bounds of a rule are apart: a name of the local side leads somewhere if the address is the host's.
    fn may_mean_more(&self, rule: &ModelRule) -> bool {
        let LocalPorts::ByAddress(own) = self.local_ports else {
            return false;
        };
        let (_, local) = sides(rule, self.direction);
        let mut names =
            { local.ports.iter().chain(&local.not_ports) }.flat_map(|ports| &ports.names);
        names.any(|name| own.contains_key(name))
    }

    fn lower_answerable(
        &mut self,
        rule: &ModelRule,
        origin: &Origin,
        bound: Bound,
    ) -> Result<Vec<Lowered>, Unanswerable> {
        let (peer, local) = sides(rule, self.direction);
        if !self.is_answerable(peer, local) {
            return Err(Unanswerable);
        }
        let plan = self.plan(peer, rule.families)?;
        let mut base = Rule::new(origin.verdict, Arc::clone(&origin.comment));
        base.family = only_family(rule.families);
        base.log_prefix.clone_from(&origin.log_prefix);
        base.icmp = rule.icmp;
        base.not_icmp = rule.not_icmp;
        base.local = self.local_criteria(local);
        let mut lowered = Vec::new();
        let asks_ports = |side: &Side| side.ports.is_some() || side.not_ports.is_some();
        if !asks_ports(peer) && !asks_ports(local) {
            base.protocol = rule.protocol.is;
            base.not_protocol = rule.protocol.is_not.filter(|_| base.protocol.is_none());
            lowered.push(self.with_peer(base, &plan));
            return Ok(lowered);
        }
        // Ports are asked of protocols that have them; names lead to different numbers in each.
        let protocols = Protocol::WITH_PORTS.into_iter().filter(|protocol| {
            rule.protocol.is.is_none_or(|is| is == *protocol)
                && rule.protocol.is_not != Some(*protocol)
        });
        for protocol in protocols {
            let mut base = base.clone();
            base.protocol = Some(protocol);
            for base in self.with_local_ports(base, local, bound)? {
                self.lower_protocol(base, &plan, &mut lowered)?;
            }
        }
        let wants_port = peer.ports.is_some() || local.ports.is_some();
        if rule.protocol.is.is_none() && !wants_port {
            // What has no port has none of the excluded ones.
            base.without_ports = true;
            base.not_protocol = rule.protocol.is_not;
            lowered.push(self.with_peer(base, &plan));
        }
        Ok(lowered)
    }

    /// Whether the two sides ask only what can be asked of them: a port's name is no criterion on an address, only
    /// peers are listed, and a service's ports are those of the destination.
    fn is_answerable(&self, peer: &Side, local: &Side) -> bool {
        let is_name = |predicate: &Predicate| matches!(predicate, Predicate::NamedPort { .. });
        let is_source = self.direction == Direction::Ingress;
        let of_peer = |predicate: &Predicate| {
            let ports = matches!(predicate.list(), Some(List::ServicePorts(_)));
            !(is_name(predicate) || (is_source && ports))
        };
        let of_local = |predicate: &Predicate| !is_name(predicate) && predicate.list().is_none();
        peer.all.iter().chain(&peer.none).all(of_peer)
            && local.all.iter().chain(&local.none).all(of_local)
    }

    /// A rule that is about one protocol with the port criteria of its local side: one rule for every way in which
    /// they can hold.
    fn with_local_ports(
        &mut self,
        mut base: Rule,
        local: &Side,
        bound: Bound,
    ) -> Result<Vec<Rule>, Unanswerable> {
        let Some(protocol) = base.protocol else {
            return Ok(Vec::new());
        };
        let side = self.local_side();
        if let Some(ports) = &local.not_ports {
            let own = match bound {
                Bound::Certain => Bound::Possible,
                Bound::Possible => Bound::Certain,
            };
            let (numbers, by_address) = self.local_numbers(ports, protocol, own)?;
            if !set_not_ports(&mut base, side, numbers) {
                return Ok(Vec::new());
            }
            for name in by_address {
                base.local_ports.push(self.local_port(name, true));
            }
        }
        let mut alternatives = Vec::new();
        match &local.ports {
            None => alternatives.push(LocalPort::Any),
            Some(ports) => {
                let (numbers, by_address) = self.local_numbers(ports, protocol, bound)?;
                alternatives.push(LocalPort::Numbers(numbers));
                alternatives.extend(by_address.into_iter().map(LocalPort::Name));
            }
        }
        let mut rules = Vec::new();
        for alternative in alternatives {
            let mut rule = base.clone();
            let is_possible = match alternative {
                LocalPort::Any => true,
                LocalPort::Numbers(numbers) => set_ports(&mut rule, side, numbers),
                LocalPort::Name(name) => {
                    rule.local_ports.push(self.local_port(name, false));
                    true
                }
            };
            rules.extend(is_possible.then_some(rule));
        }
        Ok(rules)
    }

    const fn local_side(&self) -> PortSide {
        match self.direction {
            Direction::Ingress => PortSide::Destination,
            Direction::Egress => PortSide::Source,
        }
    }

    fn local_port(&mut self, name: &Predicate, negated: bool) -> LocalPortMatch {
        LocalPortMatch {
            set: self.mention(SetKind::Services, name),
            negated,
        }
    }

    /// Lowers the port criteria of the peer of a rule that is about one protocol.
    fn lower_protocol(
        &mut self,
        mut base: Rule,
        plan: &PeerPlan<'_>,
        lowered: &mut Vec<Lowered>,
    ) -> Result<(), Unanswerable> {
        let Some(protocol) = base.protocol else {
            return Ok(());
        };
        let peer_side = match self.local_side() {
            PortSide::Destination => PortSide::Source,
            PortSide::Source => PortSide::Destination,
        };
        if let Some(ports) = &plan.side.not_ports {
            if !set_not_ports(&mut base, peer_side, ports.numbers.clone()) {
                return Ok(());
            }
            for name in names(ports, protocol)? {
                base.named_ports.push(self.named(name, peer_side, true)?);
            }
        }
        let mut alternatives = Vec::new();
        match &plan.side.ports {
            None => alternatives.push(PeerPorts::Any),
            Some(ports) => {
                alternatives.push(PeerPorts::Numbers(ports.numbers.clone()));
                alternatives.extend(names(ports, protocol)?.into_iter().map(PeerPorts::Name));
            }
        }
        for alternative in alternatives {
            let mut rule = base.clone();
            match alternative {
                PeerPorts::Any => lowered.push(self.with_peer(rule, plan)),
                PeerPorts::Numbers(numbers) => {
                    if set_ports(&mut rule, peer_side, numbers) {
                        lowered.push(self.with_peer(rule, plan));
                    }
                }
                PeerPorts::Name(name) => self.lower_name(rule, (plan, peer_side), name, lowered)?,
            }
        }
        Ok(())
    }

    /// Lowers a port name of the peer: keys for each class, or a set of classes and ports.
    fn lower_name(
        &mut self,
        mut rule: Rule,
        (plan, side): (&PeerPlan<'_>, PortSide),
        name: &Predicate,
        lowered: &mut Vec<Lowered>,
    ) -> Result<(), Unanswerable> {
        let deciding = (self.deciding)(name).ok_or(Unanswerable)?;
        let is_narrow = class_ports(deciding, plan).is_some();
        let by_class =
            plan.side.all.is_empty() && plan.side.none.is_empty() || plan.classes.is_some();
        let answer = (self.answers)(name).ok_or(Unanswerable)?;
        if answer.by_address {
            return Err(Unanswerable);
        }
        if side == PortSide::Source || !is_keyable_but_for_peer(&rule) || !by_class || !is_narrow {
            rule.named_ports.push(self.named(name, side, false)?);
            lowered.push(self.with_peer(rule, plan));
            return Ok(());
        }
        rule.family = None;
        let mut classes_by_ports: BTreeMap<Vec<u16>, Vec<ClassId>> = BTreeMap::new();
        for (class, ports) in ports_by_class(answer, plan) {
            classes_by_ports.entry(ports).or_default().push(class);
        }
        // A name that leads nowhere yet keeps its place: what comes before it cannot be overtaken later.
        if classes_by_ports.is_empty() {
            classes_by_ports.insert(Vec::new(), Vec::new());
        }
        for (ports, classes) in classes_by_ports {
            let mut rule = rule.clone();
            rule.peer = Peer::Classes(classes.into());
            rule.dst_ports = Some(ports.into_iter().collect());
            lowered.push(rule.into());
        }
        Ok(())
    }

    fn named(
        &mut self,
        name: &Predicate,
        side: PortSide,
        negated: bool,
    ) -> Result<NamedPortMatch, Unanswerable> {
        if (self.answers)(name).is_none_or(|answer| answer.by_address) {
            return Err(Unanswerable);
        }
        Ok(NamedPortMatch {
            set: self.mention(SetKind::Ports, name),
            side,
            negated,
        })
    }

    /// The numbers of a port criterion of the local side, with those of names that are known, and the names that are
    /// asked by address.
    fn local_numbers<'b>(
        &self,
        ports: &'b Ports,
        protocol: Protocol,
        bound: Bound,
    ) -> Result<(PortSet, BTreeSet<&'b Predicate>), Unanswerable> {
        let named = names(ports, protocol)?;
        let (counts, by_address) = match self.local_ports {
            LocalPorts::Exact(_) => (true, BTreeSet::new()),
            LocalPorts::ByAddress(_) => {
                let is_possible =
                    bound == Bound::Possible && !fault::is("compile/possible-port-names-ignored");
                (is_possible, named.iter().copied().collect())
            }
        };
        // A name that these endpoints do not have leads to no port.
        let known = self.local_ports.known();
        let numbers = { named.into_iter() }
            .filter(|_| counts)
            .flat_map(|name| known.get(name).into_iter().flatten())
            .map(|port| oncilla_net::PortRange::single(*port));
        let numbers = ports.numbers.ranges().iter().copied().chain(numbers);
        Ok((numbers.collect(), by_address))
    }

    fn local_criteria(&mut self, local: &Side) -> Vec<LocalMatch> {
        let all = local.all.iter().map(|predicate| (predicate, false));
        let none = local.none.iter().map(|predicate| (predicate, true));
        all.chain(none)
            .filter(|_| !fault::is("compile/local-side-ignored"))
            .map(|(predicate, negated)| LocalMatch {
                set: self.mention(SetKind::Addresses, predicate),
                negated,
            })
            .collect()
    }

    fn plan<'b>(&self, side: &'b Side, families: Families) -> Result<PeerPlan<'b>, Unanswerable> {
        let intersection = |lookup: Lookup<'_>| {
            let mut answers = Vec::with_capacity(side.all.len());
            for predicate in &side.all {
                answers.push(lookup(predicate).ok_or(Unanswerable)?);
            }
            if !side.none.is_empty() || answers.iter().any(|answer| answer.by_address) {
                return Ok(None);
            }
            let Some((first, rest)) = answers.split_first() else {
                return Ok(None);
            };
            let mut classes: Vec<ClassId> = first
                .classes(families)
                .filter(|class| rest.iter().all(|answer| answer.holds(*class)))
                .collect();
            classes.sort_unstable();
            Ok(Some(classes))
        };
        for predicate in &side.none {
            (self.answers)(predicate).ok_or(Unanswerable)?;
        }
        let deciding: Option<Vec<ClassId>> = intersection(self.deciding)?;
        Ok(PeerPlan {
            side,
            families,
            classes: intersection(self.answers)?,
            is_narrow: deciding.is_none_or(|classes| classes.len() <= CLASSES_KEYED_MAX),
        })
    }

    /// Adds the criteria on the peer's address: classes when the rule can be keys, otherwise sets, so that a
    /// linear rule never changes when classes come and go.
    fn with_peer(&mut self, mut rule: Rule, plan: &PeerPlan<'_>) -> Lowered {
        let keyable = is_keyable_but_for_peer(&rule);
        if let (Some(classes), true, true) = (&plan.classes, plan.is_narrow, keyable) {
            rule.peer = Peer::Classes(classes.as_slice().into());
            rule.family = None;
            return rule.into();
        }
        let all = plan.side.all.iter().map(|predicate| (predicate, false));
        let none = plan.side.none.iter().map(|predicate| (predicate, true));
        let none = none.filter(|_| !fault::is("compile/negated-peer-ignored"));
        let mut sets = Vec::new();
        for (predicate, negated) in all.chain(none) {
            let by_address = (self.answers)(predicate).is_some_and(|answer| answer.by_address);
            let set = if let Some(List::ServicePorts(_)) = predicate.list() {
                if fault::is("compile/service-ports-ignored") {
                    continue;
                }
                SetRef::Service(self.mention(SetKind::Services, predicate))
            } else if by_address {
                SetRef::Addresses(self.mention(SetKind::Addresses, predicate))
            } else {
                SetRef::Classes(self.mention(SetKind::Classes, predicate))
            };
            sets.push(PeerMatch { set, negated });
        }
        rule.peer = if sets.is_empty() {
            Peer::Any
        } else {
            Peer::Sets(sets)
        };
        let broad = plan.classes.as_deref().filter(|_| keyable).map(Into::into);
        Lowered { rule, broad }
    }

    fn mention(&mut self, kind: SetKind, predicate: &Predicate) -> SetName {
        let name = set_name(kind, predicate);
        self.sets
            .entry(name.clone())
            .or_insert_with(|| predicate.clone());
        name
    }
}

/// The peer's and the local side of a rule.
const fn sides(rule: &ModelRule, direction: Direction) -> (&Side, &Side) {
    match direction {
        Direction::Ingress => (&rule.source, &rule.destination),
        Direction::Egress => (&rule.destination, &rule.source),
    }
}

/// A rule that asks what cannot be answered never widens access: a deny matches all packets of its families
/// and protocol, and so does a pass, which denies: behind it the tier may allow what the next one does not. An allow
/// is dropped.
fn fail_closed(rule: &ModelRule, origin: &Origin) -> Vec<Lowered> {
    if matches!(origin.verdict, RuleVerdict::Allow | RuleVerdict::Log) {
        return Vec::new();
    }
    let mut deny = Rule::new(RuleVerdict::Deny, Arc::clone(&origin.comment));
    deny.family = only_family(rule.families);
    deny.protocol = rule.protocol.is;
    deny.not_protocol = rule.protocol.is_not;
    deny.icmp = rule.icmp;
    deny.not_icmp = rule.not_icmp;
    vec![deny.into()]
}

fn only_family(families: Families) -> Option<Family> {
    match families {
        Families {
            v4: true,
            v6: false,
        } => Some(Family::V4),
        Families {
            v4: false,
            v6: true,
        } => Some(Family::V6),
        Families { .. } => None,
    }
}

/// The names of a port criterion that are about this protocol.
fn names(ports: &Ports, protocol: Protocol) -> Result<Vec<&Predicate>, Unanswerable> {
    let mut names = Vec::new();
    for name in &ports.names {
        match name {
            Predicate::NamedPort { protocol: of, .. } if *of == protocol => names.push(name),
            Predicate::NamedPort { .. } => {}
            Predicate::Selector { .. }
            | Predicate::Nets { .. }
            | Predicate::Nodes { .. }
            | Predicate::Listed { .. } => {
                return Err(Unanswerable);
            }
        }
    }
    Ok(names)
}

/// Adds a positive port criterion; false when it can match nothing. The rule names a protocol with ports.
fn set_ports(rule: &mut Rule, side: PortSide, ports: PortSet) -> bool {
    let is_possible = !ports.is_empty();
    let criterion = Some(ports).filter(|ports| ports.count() < PORTS_ALL);
    match side {
        PortSide::Source if fault::is("compile/source-ports-ignored") => {}
        PortSide::Source => rule.src_ports = criterion,
        PortSide::Destination => rule.dst_ports = criterion,
    }
    is_possible
}

/// Adds a negative port criterion; false when it can match nothing.
fn set_not_ports(rule: &mut Rule, side: PortSide, ports: PortSet) -> bool {
    let is_possible = ports.count() < PORTS_ALL;
    let criterion = Some(ports).filter(|ports| !ports.is_empty());
    match side {
        PortSide::Source => rule.not_src_ports = criterion,
        PortSide::Destination => rule.not_dst_ports = criterion,
    }
    is_possible
}

/// The ports that a name leads to on each class of the peer, ascending.
fn ports_by_class(answer: &Answer, plan: &PeerPlan<'_>) -> BTreeMap<ClassId, Vec<u16>> {
    let mut ports: BTreeMap<ClassId, Vec<u16>> = BTreeMap::new();
    let is_peer = |class: &ClassId| {
        plan.classes
            .as_ref()
            .is_none_or(|classes| classes.binary_search(class).is_ok())
    };
    for (class, port) in answer
        .ports(plan.families)
        .filter(|(class, _)| is_peer(class))
    {
        ports.entry(class).or_default().push(port);
    }
    ports
}

/// The same when they are few enough for keys.
fn class_ports(answer: &Answer, plan: &PeerPlan<'_>) -> Option<BTreeMap<ClassId, Vec<u16>>> {
    let ports = ports_by_class(answer, plan);
    let few =
        |ports: &Vec<u16>| u32::try_from(ports.len()).is_ok_and(|ports| ports <= PORTS_KEYED_MAX);
    (ports.len() <= CLASSES_KEYED_MAX && ports.values().all(few)).then_some(ports)
}
