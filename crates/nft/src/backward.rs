//! Group chains read backwards: what a chain does, without asking what it should do.
//!
//! Every rule becomes a bank of its own, so the order of rules is kept exactly. What cannot be said in the words of a
//! program (a rule that accepts for everybody, changes the mark, asks what no rule of ours asks) is not understood, and
//! then neither is the chain.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_net::{Direction, Family, IcmpMatch, PortRange, PortSet, Protocol};
use oncilla_program::{
    Bank, ClassId, Group, Hook, LocalMatch, LocalPortMatch, NamedPortMatch, Peer, PeerMatch,
    PortSide, RuleVerdict, SetName, SetRef,
};

use crate::group::{Placement, level_loads, local_is_source};
use crate::hosts::allow_chain;
use crate::names::{BankSetName, ChainPlace, GroupChainName};
use crate::object::{
    AnonymousSet, Base, CmpOp, Element, Expr, FieldType, Load, MetaKey, Name, Register, Rule,
    SetRef as Asked, Value, Verdict,
};
use crate::rebuild::Reading;
use crate::ruleset::FilledChain;
use crate::skeleton::deny_chain;

const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// One chain of a group.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) group: &'a Group,
    pub(crate) placement: &'a Placement,
    pub(crate) chain: ChainPlace,
}

impl Place<'_> {
    fn is_last(&self) -> bool {
        match self.chain {
            ChainPlace::Tier(at) => usize::try_from(at + 1) == Ok(self.group.tiers.len()),
            ChainPlace::Profiles => true,
        }
    }

    /// What leaving the group without a word means; `None` where a program has no word for it.
    fn leaving(&self) -> Option<RuleVerdict> {
        match self.group.hook {
            Hook::Normal | Hook::Forward => Some(RuleVerdict::Allow),
            Hook::PreDnat | Hook::Untracked => self.is_last().then_some(RuleVerdict::Pass),
        }
    }

    /// What a rule with this verdict does.
    fn meaning(&self, verdict: &Verdict) -> Option<RuleVerdict> {
        let chain = match verdict {
            Verdict::Drop => return Some(RuleVerdict::Deny),
            Verdict::Return => return self.leaving(),
            Verdict::Goto(chain) => chain,
            Verdict::Accept | Verdict::Continue | Verdict::Jump(_) => return None,
        };
        if **chain == *deny_chain(self.group.direction) {
            return Some(RuleVerdict::Deny);
        }
        if allow_chain(self.group.hook).is_some_and(|allow| **chain == *allow) {
            return Some(RuleVerdict::Allow);
        }
        let found = GroupChainName::parse(chain)?;
        let next = match (self.chain, found.place) {
            (ChainPlace::Tier(at), ChainPlace::Tier(next)) => next == at + 1,
            (ChainPlace::Tier(_), ChainPlace::Profiles) => self.is_last(),
            (ChainPlace::Profiles, _) => false,
        };
        let is_ours = found.group == self.group.id
            && found.direction == self.group.direction
            && found.version == self.placement.version;
        (is_ours && next).then_some(RuleVerdict::Pass)
    }
}

impl Reading<'_> {
    /// The banks of a chain; `None` when something in it is not understood.
    pub(crate) fn backward(&mut self, place: Place<'_>, chain: &FilledChain) -> Option<Vec<Bank>> {
        let mut banks: Vec<Bank> = Vec::with_capacity(chain.rules.len() + 1);
        for rule in &chain.rules {
            banks.extend(self.bank_of(place, rule)?);
        }
        // What no rule ends leaves the group without a word.
        if banks.last().is_none_or(|bank| bank.levels.k6.is_none()) {
            banks.push(everything(place.leaving()?));
        }
        Some(banks)
    }

    /// The bank that does what one rule does, or none when it does nothing.
    fn bank_of(&mut self, place: Place<'_>, rule: &Rule) -> Option<Vec<Bank>> {
        if let Some(bank) = self.level_of(place, rule) {
            return Some(vec![bank]);
        }
        let mut sentence = Sentence::new(place.group.direction);
        for expr in &rule.exprs {
            sentence.take(self, expr)?;
        }
        let (mut found, verdict, is_plain) = sentence.finish()?;
        let verdict = match verdict {
            Said::Nothing => return Some(Vec::new()),
            Said::Log => RuleVerdict::Log,
            Said::Verdict(verdict) => place.meaning(&verdict)?,
        };
        if is_plain && verdict != RuleVerdict::Log {
            return Some(vec![everything(verdict)]);
        }
        found.verdict = verdict;
        found.comment = rule
            .comment
            .as_ref()
            .map_or("", |text| text.as_str())
            .into();
        Some(vec![Bank {
            tail: vec![found],
            ..Bank::default()
        }])
    }

    /// A lookup in a set of a bank, exactly as ours are.
    fn level_of(&self, place: Place<'_>, rule: &Rule) -> Option<Bank> {
        let (last, tests) = rule.exprs.split_last()?;
        let Expr::Verdict(verdict) = last else {
            return None;
        };
        let set = rule.sets().next()?;
        let name = BankSetName::parse(set)?;
        let loads = level_loads(name.level, self.mask);
        if Rule::new().in_set(&loads, Name::clone(set)).exprs != tests {
            return None;
        }
        let verdict = place.meaning(verdict)?;
        let mut bank = Bank::default();
        for key in self.keys(set) {
            self.enter(&mut bank.levels, name.level, &key, verdict);
        }
        Some(bank)
    }
}

fn everything(verdict: RuleVerdict) -> Bank {
    let mut bank = Bank::default();
    bank.levels.k6 = Some(verdict);
    bank
}

/// What a rule does with what matches.
enum Said {
    Nothing,
    Log,
    Verdict(Verdict),
}

/// A rule while it is read, expression by expression.
struct Sentence {
    direction: Direction,
    rule: oncilla_program::Rule,
    /// What stands in which register.
    loads: BTreeMap<u8, Load>,
    /// The smallest and largest port between which comparisons leave the source's and the destination's.
    bounds: [Option<(u16, u16)>; 2],
    /// Only protocols with ports.
    with_ports: bool,
    is_limited: bool,
    said: Said,
}

impl Sentence {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            rule: oncilla_program::Rule::new(RuleVerdict::Log, "".into()),
            loads: BTreeMap::new(),
            bounds: [None; 2],
            with_ports: false,
            is_limited: false,
            said: Said::Nothing,
        }
    }

    /// `None` when it is not understood.
    fn take(&mut self, reading: &mut Reading<'_>, expr: &Expr) -> Option<()> {
        if matches!(self.said, Said::Verdict(_)) {
            return None;
        }
        match expr {
            Expr::Meta { key, dreg } => {
                let load = match key {
                    MetaKey::Mark => Load::Mark,
                    MetaKey::NfProto => Load::NfProto,
                    MetaKey::L4Proto => Load::L4Proto,
                    MetaKey::Iif | MetaKey::Oif | MetaKey::IifName | MetaKey::OifName => {
                        return None;
                    }
                };
                self.loads.insert(dreg.0, load);
            }
            Expr::Payload {
                base,
                offset,
                len,
                dreg,
            } => {
                self.loads.insert(dreg.0, payload(*base, *offset, *len)?);
            }
            Expr::Bitwise {
                sreg,
                dreg,
                mask,
                xor,
            } => {
                let is_mark = self.load(*sreg)? == Load::Mark && xor.as_word() == Some(0);
                let load = mask.as_word().filter(|_| is_mark).map(Load::MarkMasked)?;
                self.loads.insert(dreg.0, load);
            }
            Expr::Cmp { op, sreg, value } => {
                self.compare(reading, *op, self.load(*sreg)?, value)?;
            }
            Expr::Range {
                invert,
                sreg,
                first,
                last,
            } => {
                let range = PortRange::new(port(first)?, port(last)?).ok()?;
                let ports = PortSet::from_iter([range]);
                self.ports(self.load(*sreg)?, ports, *invert)?;
            }
            Expr::Lookup { set, sreg, invert } => match set {
                Asked::Named(name) => self.named(reading, name, *sreg, *invert)?,
                Asked::Anonymous(set) => {
                    self.anonymous(reading, set, self.load(*sreg)?, *invert)?;
                }
            },
            Expr::Limit(_) => self.is_limited = true,
            Expr::Log(_) => self.said = Said::Log,
            Expr::Counter => {}
            Expr::Reject(_) => self.said = Said::Verdict(Verdict::Drop),
            Expr::Verdict(Verdict::Continue) => {}
            Expr::Verdict(verdict) => self.said = Said::Verdict(verdict.clone()),
            Expr::MetaSet { .. }
            | Expr::Ct { .. }
            | Expr::Fib { .. }
            | Expr::LookupValue { .. }
            | Expr::LookupVerdict { .. }
            | Expr::Immediate { .. }
            | Expr::Notrack
            | Expr::Other(_) => return None,
        }
        Some(())
    }

    fn load(&self, register: Register) -> Option<Load> {
        self.loads.get(&register.0).copied()
    }

    fn compare(
        &mut self,
        reading: &Reading<'_>,
        op: CmpOp,
        load: Load,
        value: &Value,
    ) -> Option<()> {
        let byte = || match value.as_bytes() {
            [byte] => Some(*byte),
            _ => None,
        };
        match (load, op) {
            (Load::NfProto, CmpOp::Eq) => {
                let family = match byte()? {
                    IPV4 => Family::V4,
                    IPV6 => Family::V6,
                    _ => return None,
                };
                once(&mut self.rule.family, family)
            }
            (Load::L4Proto, CmpOp::Eq) => once(&mut self.rule.protocol, Protocol(byte()?)),
            (Load::L4Proto, CmpOp::Ne) => once(&mut self.rule.not_protocol, Protocol(byte()?)),
            (Load::MarkMasked(mask), CmpOp::Eq) if mask == reading.mask.bits() => {
                self.classes([reading.class(value.as_word()?)])
            }
            (Load::IcmpType, CmpOp::Eq) => {
                let (kind, code) = (byte()?, None);
                match self.rule.icmp {
                    // Asked again, before a code that is excluded.
                    Some(wanted) if wanted.kind == kind => Some(()),
                    _ => once(&mut self.rule.icmp, IcmpMatch { kind, code }),
                }
            }
            (Load::IcmpType, CmpOp::Ne) => {
                let (kind, code) = (byte()?, None);
                once(&mut self.rule.not_icmp, IcmpMatch { kind, code })
            }
            (Load::IcmpCode, CmpOp::Eq) => {
                let wanted = self.rule.icmp.as_mut()?;
                once(&mut wanted.code, byte()?)
            }
            (Load::IcmpCode, CmpOp::Ne) => {
                let IcmpMatch { kind, .. } = self.rule.icmp?;
                let code = Some(byte()?);
                once(&mut self.rule.not_icmp, IcmpMatch { kind, code })
            }
            (Load::SrcPort | Load::DstPort, op) => self.bound(load, op, port(value)?),
            _ => None,
        }
    }

    fn bound(&mut self, load: Load, op: CmpOp, port: u16) -> Option<()> {
        let side = usize::from(load == Load::DstPort);
        let (first, last) = self.bounds[side].unwrap_or((0, u16::MAX));
        let bounds = match op {
            CmpOp::Eq => (first.max(port), last.min(port)),
            CmpOp::Ge => (first.max(port), last),
            CmpOp::Le => (first, last.min(port)),
            CmpOp::Gt => (first.max(port.checked_add(1)?), last),
            CmpOp::Lt => (first, last.min(port.checked_sub(1)?)),
            CmpOp::Ne => {
                let ports = PortSet::from_iter([PortRange::single(port)]);
                return self.ports(load, ports, true);
            }
        };
        self.bounds[side] = Some(bounds);
        Some(())
    }

    fn ports(&mut self, load: Load, ports: PortSet, negated: bool) -> Option<()> {
        let rule = &mut self.rule;
        let place = match (load, negated) {
            (Load::SrcPort, false) => &mut rule.src_ports,
            (Load::SrcPort, true) => &mut rule.not_src_ports,
            (Load::DstPort, false) => &mut rule.dst_ports,
            (Load::DstPort, true) => &mut rule.not_dst_ports,
            _ => return None,
        };
        once(place, ports)
    }

    fn classes(&mut self, classes: impl IntoIterator<Item = ClassId>) -> Option<()> {
        if self.rule.peer != Peer::Any {
            return None;
        }
        let mut classes: Vec<ClassId> = classes.into_iter().collect();
        classes.sort_unstable();
        self.rule.peer = Peer::Classes(classes.into());
        Some(())
    }

    fn peer(&mut self, set: SetRef, negated: bool) -> Option<()> {
        let criterion = PeerMatch { set, negated };
        match &mut self.rule.peer {
            Peer::Any => self.rule.peer = Peer::Sets(vec![criterion]),
            Peer::Sets(all) => all.push(criterion),
            Peer::Classes(_) => return None,
        }
        Some(())
    }

    /// A set inside the rule.
    fn anonymous(
        &mut self,
        reading: &Reading<'_>,
        set: &AnonymousSet,
        load: Load,
        negated: bool,
    ) -> Option<()> {
        let elements = set.elements();
        if matches!(load, Load::SrcPort | Load::DstPort) {
            let range = |element: &Element| {
                let last = element.key_end().unwrap_or(element.key());
                PortRange::new(port(element.key())?, port(last)?).ok()
            };
            let ranges: Option<Vec<PortRange>> = elements.iter().map(range).collect();
            return self.ports(load, ranges?.into_iter().collect(), negated);
        }
        let numbers = elements.iter().map(|element| element.key().as_bytes());
        let mut ours = Protocol::WITH_PORTS.map(|protocol| [protocol.0]);
        ours.sort_unstable();
        if load == Load::L4Proto && numbers.eq(ours.iter().map(<[u8; 1]>::as_slice)) {
            let place = if negated {
                &mut self.rule.without_ports
            } else {
                &mut self.with_ports
            };
            *place = true;
            return Some(());
        }
        if negated {
            return None;
        }
        if load == Load::MarkMasked(reading.mask.bits()) {
            let class = |element: &Element| {
                let mark = element.key().as_word();
                mark.map(|mark| reading.class(mark))
            };
            let classes: Option<Vec<ClassId>> = elements.iter().map(class).collect();
            return self.classes(classes?);
        }
        None
    }

    /// A set of the table.
    fn named(
        &mut self,
        reading: &mut Reading<'_>,
        name: &Name,
        register: Register,
        negated: bool,
    ) -> Option<()> {
        let fields = reading.fields(name)?;
        let mut loads = Vec::with_capacity(fields.len());
        let mut slot = register.0;
        for field in &fields {
            loads.push(self.load(Register(slot))?);
            slot += u8::try_from(field.bytes().div_ceil(4)).ok()?;
        }
        let is_class = |mask: u32| mask == reading.mask.bits();
        let set = || SetName(Arc::clone(name));
        match (loads.as_slice(), fields.as_slice()) {
            ([Load::MarkMasked(mask)], [FieldType::Mark]) if is_class(*mask) => {
                reading.note_classes(name);
                self.peer(SetRef::Classes(set()), negated)
            }
            (
                [Load::MarkMasked(mask), Load::L4Proto, side],
                [
                    FieldType::Mark,
                    FieldType::InetProto,
                    FieldType::InetService,
                ],
            ) if is_class(*mask) => {
                reading.note_ports(name);
                let sides = [
                    (Load::SrcPort, PortSide::Source),
                    (Load::DstPort, PortSide::Destination),
                ];
                let (_, side) = sides.into_iter().find(|(load, _)| load == side)?;
                self.rule.named_ports.push(NamedPortMatch {
                    set: set(),
                    side,
                    negated,
                });
                Some(())
            }
            ([load], [FieldType::Ipv4Addr | FieldType::Ipv6Addr]) => {
                reading.note_addresses(name);
                self.address(*load, set(), negated)
            }
            ([addr, Load::L4Proto, port], [_, FieldType::InetProto, FieldType::InetService]) => {
                reading.note_service(name);
                self.address_port((*addr, *port), set(), negated)
            }
            _ => None,
        }
    }

    /// Whether an address is the packet's source. Without the family, other families' bytes would be taken for it.
    fn is_source(&self, load: Load) -> Option<bool> {
        let is_source = matches!(load, Load::Src4 | Load::Src6);
        let is_destination = matches!(load, Load::Dst4 | Load::Dst6);
        let is_known = (is_source || is_destination) && self.rule.family.is_some();
        is_known.then_some(is_source)
    }

    /// An address with its own port: of the local side a port name, of the other a service, which is a destination.
    fn address_port(
        &mut self,
        (addr, port): (Load, Load),
        set: SetName,
        negated: bool,
    ) -> Option<()> {
        let is_source = self.is_source(addr)?;
        let own = if is_source {
            Load::SrcPort
        } else {
            Load::DstPort
        };
        if port != own {
            return None;
        }
        if is_source == local_is_source(self.direction) {
            self.rule.local_ports.push(LocalPortMatch { set, negated });
            return Some(());
        }
        let service = SetRef::Service(set);
        (!is_source).then(|| self.peer(service, negated)).flatten()
    }

    fn address(&mut self, load: Load, set: SetName, negated: bool) -> Option<()> {
        let is_source = self.is_source(load)?;
        if is_source == local_is_source(self.direction) {
            self.rule.local.push(LocalMatch { set, negated });
            return Some(());
        }
        self.peer(SetRef::Addresses(set), negated)
    }

    /// The rule, what it does, and whether it asks nothing at all.
    fn finish(mut self) -> Option<(oncilla_program::Rule, Said, bool)> {
        for (side, load) in [(0, Load::SrcPort), (1, Load::DstPort)] {
            if let Some((first, last)) = self.bounds[side] {
                let ports = PortRange::new(first, last).ok().into_iter().collect();
                self.ports(load, ports, false)?;
            }
        }
        let rule = &self.rule;
        let sets = [
            &rule.src_ports,
            &rule.not_src_ports,
            &rule.dst_ports,
            &rule.not_dst_ports,
        ];
        let asks_ports = sets.into_iter().any(Option::is_some)
            || !rule.named_ports.is_empty()
            || !rule.local_ports.is_empty();
        let has_ports = self.with_ports || rule.protocol.is_some_and(Protocol::has_ports);
        // Without the protocol, other protocols' bytes would be taken for ports.
        if asks_ports && !has_ports {
            return None;
        }
        let asks_icmp = rule.icmp.is_some() || rule.not_icmp.is_some();
        let is_icmp = |protocol| matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
        if asks_icmp && !rule.protocol.is_some_and(is_icmp) {
            return None;
        }
        if self.with_ports && !asks_ports {
            self.rule.src_ports = Some(PortSet::from_iter([PortRange::new(0, u16::MAX).ok()?]));
        }
        // What happens only to so many packets cannot be told of one.
        if self.is_limited && matches!(self.said, Said::Verdict(_)) {
            return None;
        }
        let empty = oncilla_program::Rule::new(RuleVerdict::Log, "".into());
        let is_plain = self.rule == empty;
        Some((self.rule, self.said, is_plain))
    }
}

/// Notes a criterion that a rule can have once.
fn once<T: PartialEq>(place: &mut Option<T>, value: T) -> Option<()> {
    match place {
        Some(before) if *before != value => None,
        _ => {
            *place = Some(value);
            Some(())
        }
    }
}

fn port(value: &Value) -> Option<u16> {
    value.as_bytes().try_into().ok().map(u16::from_be_bytes)
}

/// What bytes of the packet are. Types and codes of ICMP are of the protocol that the rule asks for.
const fn payload(base: Base, offset: u32, len: u32) -> Option<Load> {
    Some(match (base, offset, len) {
        (Base::Network, 12, 4) => Load::Src4,
        (Base::Network, 16, 4) => Load::Dst4,
        (Base::Network, 8, 16) => Load::Src6,
        (Base::Network, 24, 16) => Load::Dst6,
        (Base::Transport, 0, 2) => Load::SrcPort,
        (Base::Transport, 2, 2) => Load::DstPort,
        (Base::Transport, 0, 1) => Load::IcmpType,
        (Base::Transport, 1, 1) => Load::IcmpCode,
        _ => return None,
    })
}
