//! A group as chains and sets: banks become lookups in a fixed order, the tail becomes rules.

use std::collections::{BTreeMap, BTreeSet};

use oncilla_net::{Direction, MarkMask, fault};
use oncilla_program::{
    AddressSet, Bank, ClassId, Group, LogRate, ProfileEnd, RuleVerdict, SetName, TierEnd,
};

use crate::hosts::allow_chain;
use crate::linear;
use crate::names::{BankPlace, BankSetName, ChainPlace, GroupChainName, Level, Version, set_kinds};
use crate::object::{
    Chain, Element, FieldType, KeyPart, KeyType, Load, Name, Rule, Set, Value, Verdict,
};
use crate::ruleset::{FilledChain, FilledSet};
use crate::skeleton::deny_chain;

/// Which versions of a group's chains and banks are meant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// The version of the chains.
    pub version: Version,
    /// Banks that were kept from an earlier version, with the version of their sets.
    pub banks: BTreeMap<BankPlace, Version>,
}

impl Placement {
    /// A version with sets of its own for every bank.
    pub fn fresh(version: Version) -> Self {
        Self {
            version,
            banks: BTreeMap::new(),
        }
    }

    /// The version of a bank's sets.
    pub fn bank(&self, place: BankPlace) -> Version {
        self.banks.get(&place).copied().unwrap_or(self.version)
    }
}

/// What lowering a group needs to know beside the group.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Our mark bits.
    pub mask: MarkMask,
    /// The address sets of the program: whether a set has single addresses, prefixes or both decides which
    /// lookups a rule has.
    pub address_sets: &'a BTreeMap<SetName, AddressSet>,
    /// How many packets Log rules may write.
    pub log_rate: LogRate,
}

/// The chains and sets of one version of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupObjects {
    /// Sets with their elements, those of kept banks included.
    pub sets: BTreeMap<Name, FilledSet>,
    /// Chains, all of the group's version.
    pub chains: BTreeMap<Name, FilledChain>,
}

/// The chain that a dispatch element leads to.
pub fn entry_chain(group: &Group, version: Version) -> Name {
    chain_name(group, version, first_place(group))
}

/// The banks of a group with their places, in order.
pub fn banks(group: &Group) -> impl Iterator<Item = (BankPlace, &Bank)> {
    let tiers = group
        .tiers
        .iter()
        .zip(0..)
        .map(|(tier, at)| (ChainPlace::Tier(at), &tier.banks));
    let profiles = match &group.profiles {
        ProfileEnd::Banks(banks) => Some((ChainPlace::Profiles, banks)),
        ProfileEnd::Allow | ProfileEnd::Deny | ProfileEnd::Continue => None,
    };
    tiers.chain(profiles).flat_map(|(chain, banks)| {
        banks
            .iter()
            .zip(0..)
            .map(move |(bank, at)| (BankPlace { chain, bank: at }, bank))
    })
}

/// One version of a group as objects.
pub fn lower_group(group: &Group, placement: &Placement, around: Surroundings<'_>) -> GroupObjects {
    let lowering = Lowering {
        group,
        placement,
        around,
    };
    let mut objects = GroupObjects::default();
    for (place, bank) in banks(group) {
        for (set, elements) in lowering.bank_sets(place, bank) {
            objects
                .sets
                .insert(Name::clone(&set.name), FilledSet { set, elements });
        }
    }
    for chain in lowering.chains() {
        objects.chains.insert(Name::clone(&chain.chain.name), chain);
    }
    objects
}

/// The elements of one set of a bank.
pub fn bank_elements(
    bank: &Bank,
    level: Level,
    verdict: RuleVerdict,
    mask: MarkMask,
) -> BTreeSet<Element> {
    let levels = &bank.levels;
    let mark = |class: ClassId| {
        let bit = u32::from(fault::is("nft/class-off-by-a-bit"));
        mask.encode(class.0 ^ bit).0
    };
    let keys: Vec<Value> = match level {
        Level::K1 => with(&levels.k1, verdict)
            .map(|(class, proto, port)| {
                let any = fault::is("nft/key-without-protocol");
                Value::mark_proto_port(mark(*class), if any { 6 } else { proto.0 }, *port)
            })
            .collect(),
        Level::K2 => with(&levels.k2, verdict)
            .map(|(class, proto)| {
                Value::concat(&[KeyPart::Mark(mark(*class)), KeyPart::Proto(proto.0)])
            })
            .collect(),
        Level::K3 => with(&levels.k3, verdict)
            .map(|class| Value::word(mark(*class)))
            .collect(),
        Level::K4 => with(&levels.k4, verdict)
            .map(|(proto, port)| Value::concat(&[KeyPart::Proto(proto.0), KeyPart::Port(*port)]))
            .collect(),
        Level::K5 => with(&levels.k5, verdict)
            .map(|proto| Value::byte(proto.0))
            .collect(),
    };
    keys.into_iter().map(Element::new).collect()
}

fn with<K>(level: &BTreeMap<K, RuleVerdict>, verdict: RuleVerdict) -> impl Iterator<Item = &K> {
    level
        .iter()
        .filter(move |(_, found)| **found == verdict)
        .map(|(key, _)| key)
}

fn level_key(level: Level) -> KeyType {
    let (mark, proto, port) = (
        FieldType::Mark,
        FieldType::InetProto,
        FieldType::InetService,
    );
    match level {
        Level::K1 => [mark, proto, port].into(),
        Level::K2 => [mark, proto].into(),
        Level::K3 => mark.into(),
        Level::K4 => [proto, port].into(),
        Level::K5 => proto.into(),
    }
}

pub(crate) fn level_loads(level: Level, mask: MarkMask) -> Vec<Load> {
    let class = Load::MarkMasked(mask.bits());
    match level {
        Level::K1 => vec![class, Load::L4Proto, Load::DstPort],
        Level::K2 => vec![class, Load::L4Proto],
        Level::K3 => vec![class],
        Level::K4 => vec![Load::L4Proto, Load::DstPort],
        Level::K5 => vec![Load::L4Proto],
    }
}

pub(crate) fn chain_name(group: &Group, version: Version, place: ChainPlace) -> Name {
    let (direction, group) = (group.direction, group.id.clone());
    GroupChainName {
        direction,
        group,
        version,
        place,
    }
    .name()
}

fn first_place(group: &Group) -> ChainPlace {
    if group.tiers.is_empty() {
        ChainPlace::Profiles
    } else {
        ChainPlace::Tier(0)
    }
}

struct Lowering<'a> {
    group: &'a Group,
    placement: &'a Placement,
    around: Surroundings<'a>,
}

impl Lowering<'_> {
    fn bank_sets(&self, place: BankPlace, bank: &Bank) -> Vec<(Set, BTreeSet<Element>)> {
        let mut sets = Vec::new();
        for (level, verdict) in set_kinds() {
            let elements = bank_elements(bank, level, verdict, self.around.mask);
            if !elements.is_empty() {
                let name = self.set_name(place, level, verdict);
                sets.push((Set::new(name, level_key(level)), elements));
            }
        }
        sets
    }

    fn set_name(&self, bank: BankPlace, level: Level, verdict: RuleVerdict) -> Name {
        let (direction, group) = (self.group.direction, self.group.id.clone());
        let version = self.placement.bank(bank);
        BankSetName {
            direction,
            group,
            version,
            bank,
            level,
            verdict,
        }
        .name()
    }

    fn chains(&self) -> Vec<FilledChain> {
        let mut chains = Vec::new();
        for (tier, at) in self.group.tiers.iter().zip(0..) {
            let place = ChainPlace::Tier(at);
            let pass = self.after_tier(at);
            let mut rules = self.bank_rules(place, &tier.banks, &pass);
            rules.push(match tier.end {
                TierEnd::Deny => self.rule(RuleVerdict::Deny, &pass).comment("end of tier"),
                TierEnd::Pass => Rule::new().verdict(pass),
            });
            let comment = format!("tier {}: {}", tier.name, tier.comment);
            chains.push(self.chain(place, &comment, rules));
        }
        // A pass in a profile has no tier to go to: it denies.
        let deny = Verdict::Goto(deny_chain(self.group.direction).into());
        match &self.group.profiles {
            ProfileEnd::Banks(banks) => {
                let mut rules = self.bank_rules(ChainPlace::Profiles, banks, &deny);
                rules.push(Rule::new().verdict(deny).comment("no profile allows"));
                chains.push(self.chain(ChainPlace::Profiles, "profiles", rules));
            }
            ProfileEnd::Allow | ProfileEnd::Continue if self.group.tiers.is_empty() => {
                chains.push(self.chain(
                    ChainPlace::Profiles,
                    "profiles",
                    vec![Rule::new().return_()],
                ));
            }
            ProfileEnd::Deny if self.group.tiers.is_empty() => {
                chains.push(self.chain(
                    ChainPlace::Profiles,
                    "no profile allows",
                    vec![Rule::new().verdict(deny)],
                ));
            }
            ProfileEnd::Allow | ProfileEnd::Deny | ProfileEnd::Continue => {}
        }
        chains
    }

    fn chain(&self, place: ChainPlace, comment: &str, rules: Vec<Rule>) -> FilledChain {
        let name = chain_name(self.group, self.placement.version, place);
        FilledChain {
            chain: Chain::new(name).comment(comment),
            rules,
        }
    }

    /// Where a pass of this tier leads: the next tier, or what the profiles say.
    fn after_tier(&self, tier: u32) -> Verdict {
        let version = self.placement.version;
        let next = usize::try_from(tier + 1).unwrap_or(usize::MAX);
        if next < self.group.tiers.len() {
            return Verdict::Goto(chain_name(self.group, version, ChainPlace::Tier(tier + 1)));
        }
        match &self.group.profiles {
            ProfileEnd::Allow | ProfileEnd::Continue => Verdict::Return,
            ProfileEnd::Deny => Verdict::Goto(deny_chain(self.group.direction).into()),
            ProfileEnd::Banks(_) => {
                Verdict::Goto(chain_name(self.group, version, ChainPlace::Profiles))
            }
        }
    }

    fn bank_rules(&self, chain: ChainPlace, banks: &[Bank], pass: &Verdict) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (bank, at) in banks.iter().zip(0..) {
            let place = BankPlace { chain, bank: at };
            let filled = set_kinds().filter(|(level, verdict)| has_entries(bank, *level, *verdict));
            let mut filled: Vec<(Level, RuleVerdict)> = filled.collect();
            if fault::is("nft/levels-swapped") {
                filled.reverse();
            }
            for (level, verdict) in filled {
                let loads = level_loads(level, self.around.mask);
                let set = self.set_name(place, level, verdict);
                rules.push(
                    Rule::new()
                        .in_set(&loads, set)
                        .verdict(self.target(verdict, pass)),
                );
            }
            if let Some(verdict) = bank.levels.k6 {
                rules.push(self.rule(verdict, pass));
            }
            for rule in &bank.tail {
                let direction = self.group.direction;
                let target = self.target(rule.verdict, pass);
                rules.extend(linear::lower(rule, direction, &target, self.around));
            }
        }
        rules
    }

    fn rule(&self, verdict: RuleVerdict, pass: &Verdict) -> Rule {
        Rule::new().verdict(self.target(verdict, pass))
    }

    fn target(&self, verdict: RuleVerdict, pass: &Verdict) -> Verdict {
        match verdict {
            RuleVerdict::Deny if fault::is("nft/deny-returns") => Verdict::Return,
            RuleVerdict::Allow => match allow_chain(self.group.hook) {
                Some(chain) => Verdict::Goto(chain.into()),
                None => Verdict::Return,
            },
            RuleVerdict::Deny => Verdict::Goto(deny_chain(self.group.direction).into()),
            RuleVerdict::Pass => pass.clone(),
            RuleVerdict::Log => Verdict::Continue,
        }
    }
}

fn has_entries(bank: &Bank, level: Level, verdict: RuleVerdict) -> bool {
    let levels = &bank.levels;
    match level {
        Level::K1 => with(&levels.k1, verdict).next().is_some(),
        Level::K2 => with(&levels.k2, verdict).next().is_some(),
        Level::K3 => with(&levels.k3, verdict).next().is_some(),
        Level::K4 => with(&levels.k4, verdict).next().is_some(),
        Level::K5 => with(&levels.k5, verdict).next().is_some(),
    }
}

/// Whether the local address of a direction is the packet's source.
pub(crate) const fn local_is_source(direction: Direction) -> bool {
    matches!(direction, Direction::Egress)
}
