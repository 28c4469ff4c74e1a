//! Names of chains and sets: made here, and understood again here when they are read back.
//!
//! `pg_in_<group>_<version>` is the first chain of a group, `…_t1` its second tier, `…_pr` its profiles.
//! `pg_in_<group>_<version>_t0b2_k3d` is the set of tier 0, bank 2, level 3 that denies. Versions of chains
//! and of banks differ when a bank was kept from an earlier version.

use std::fmt;
use std::str::Split;
use std::sync::Arc;

use oncilla_net::Direction;
use oncilla_program::{GroupId, RuleVerdict};

use crate::object::Name;

/// Our table.
pub const TABLE: &str = "oncilla";
/// The table that stands in for [`TABLE`] while that one is made anew: there for a moment, or after a kill.
pub const STAND_IN: &str = "oncilla_stand_in";

/// One of the chains of a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChainPlace {
    /// A tier, from zero.
    Tier(u32),
    /// The profiles.
    Profiles,
}

impl fmt::Display for ChainPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tier(tier) => write!(f, "t{tier}"),
            Self::Profiles => f.write_str("pr"),
        }
    }
}

/// One bank of a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BankPlace {
    /// In which chain.
    pub chain: ChainPlace,
    /// Which bank of it, from zero.
    pub bank: u32,
}

/// A level of a bank that has sets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Class, protocol, port.
    K1,
    /// Class, protocol.
    K2,
    /// Class.
    K3,
    /// Protocol, port.
    K4,
    /// Protocol.
    K5,
}

impl Level {
    /// All levels that have sets, in lookup order.
    pub const ALL: [Self; 5] = [Self::K1, Self::K2, Self::K3, Self::K4, Self::K5];

    const fn digit(self) -> char {
        match self {
            Self::K1 => '1',
            Self::K2 => '2',
            Self::K3 => '3',
            Self::K4 => '4',
            Self::K5 => '5',
        }
    }

    /// Whether keys of this level start with a class.
    pub const fn has_class(self) -> bool {
        matches!(self, Self::K1 | Self::K2 | Self::K3)
    }
}

/// The verdicts that sets of a bank have, in lookup order, and their letters. The sets of one level are
/// disjoint, so the order decides nothing.
pub(crate) const SET_VERDICTS: [(RuleVerdict, char); 3] = [
    (RuleVerdict::Allow, 'a'),
    (RuleVerdict::Deny, 'd'),
    (RuleVerdict::Pass, 'p'),
];

/// The sets that a bank can have, in lookup order.
pub(crate) fn set_kinds() -> impl Iterator<Item = (Level, RuleVerdict)> {
    Level::ALL
        .into_iter()
        .flat_map(|level| SET_VERDICTS.map(|(verdict, _)| (level, verdict)))
}

/// A version of a chain or bank: counts up from zero, the smallest number that is free.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version(pub u32);

/// What a chain's name says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupChainName {
    /// The direction.
    pub direction: Direction,
    /// The group.
    pub group: GroupId,
    /// The version of the group's chains.
    pub version: Version,
    /// Which chain.
    pub place: ChainPlace,
}

/// What a bank set's name says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BankSetName {
    /// The direction.
    pub direction: Direction,
    /// The group.
    pub group: GroupId,
    /// The version of the bank.
    pub version: Version,
    /// Which bank.
    pub bank: BankPlace,
    /// Which level.
    pub level: Level,
    /// What a hit does. Never log.
    pub verdict: RuleVerdict,
}

pub(crate) const fn short(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    }
}

impl GroupChainName {
    /// The name as the kernel has it.
    pub fn name(&self) -> Name {
        let head = format!(
            "pg_{}_{}_{}",
            short(self.direction),
            self.group,
            self.version.0
        );
        if self.place == ChainPlace::Tier(0) {
            head.into()
        } else {
            format!("{head}_{}", self.place).into()
        }
    }

    /// Understands a name; `None` when it is not a group's chain.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('_');
        let (direction, group, version) = head(&mut parts)?;
        let place = match parts.next() {
            None => ChainPlace::Tier(0),
            Some(text) => place(text).filter(|place| *place != ChainPlace::Tier(0))?,
        };
        parts.next().is_none().then_some(Self {
            direction,
            group,
            version,
            place,
        })
    }
}

impl BankSetName {
    /// The name as the kernel has it.
    pub fn name(&self) -> Name {
        let letter = SET_VERDICTS
            .iter()
            .find(|(verdict, _)| *verdict == self.verdict);
        format!(
            "pg_{}_{}_{}_{}b{}_k{}{}",
            short(self.direction),
            self.group,
            self.version.0,
            self.bank.chain,
            self.bank.bank,
            self.level.digit(),
            letter.map_or('x', |(_, letter)| *letter),
        )
        .into()
    }

    /// Understands a name; `None` when it is not a bank's set.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('_');
        let (direction, group, version) = head(&mut parts)?;
        let (chain, bank) = parts.next()?.split_once('b')?;
        let bank = BankPlace {
            chain: place(chain)?,
            bank: number(bank)?,
        };
        let mut kind = parts.next()?.strip_prefix('k')?.chars();
        let digit = kind.next()?;
        let level = Level::ALL
            .into_iter()
            .find(|level| level.digit() == digit)?;
        let letter = kind.next()?;
        let (verdict, _) = SET_VERDICTS
            .into_iter()
            .find(|(_, known)| *known == letter)?;
        let end = kind.next().is_none() && parts.next().is_none();
        end.then_some(Self {
            direction,
            group,
            version,
            bank,
            level,
            verdict,
        })
    }
}

fn head(parts: &mut Split<'_, char>) -> Option<(Direction, GroupId, Version)> {
    if parts.next()? != "pg" {
        return None;
    }
    let direction = match parts.next()? {
        "in" => Direction::Ingress,
        "out" => Direction::Egress,
        _ => return None,
    };
    let group = parts.next().filter(|group| !group.is_empty())?;
    let version = Version(number(parts.next()?)?);
    Some((direction, GroupId(Arc::from(group)), version))
}

fn place(text: &str) -> Option<ChainPlace> {
    match text {
        "pr" => Some(ChainPlace::Profiles),
        _ => Some(ChainPlace::Tier(number(text.strip_prefix('t')?)?)),
    }
}

/// A number without sign or leading zeros: one number has one name.
fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_again() {
        for direction in Direction::ALL {
            for place in [
                ChainPlace::Tier(0),
                ChainPlace::Tier(12),
                ChainPlace::Profiles,
            ] {
                let group = GroupId("7a31".into());
                let chain = GroupChainName {
                    direction,
                    group: group.clone(),
                    version: Version(3),
                    place,
                };
                assert_eq!(GroupChainName::parse(&chain.name()), Some(chain.clone()));
                assert_eq!(BankSetName::parse(&chain.name()), None);
                for (level, verdict) in set_kinds() {
                    let bank = BankPlace {
                        chain: place,
                        bank: 7,
                    };
                    let (group, version) = (group.clone(), Version(0));
                    let set = BankSetName {
                        direction,
                        group,
                        version,
                        bank,
                        level,
                        verdict,
                    };
                    assert_eq!(BankSetName::parse(&set.name()), Some(set.clone()));
                    assert_eq!(GroupChainName::parse(&set.name()), None);
                }
            }
        }
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for name in [
            "",
            "forward",
            "pg",
            "pg_in",
            "pg_in__0",
            "pg_in_7a_x",
            "pg_in_7a_01",
            "pg_in_7a_0_t0",
        ] {
            assert_eq!(GroupChainName::parse(name), None, "{name}");
        }
        for name in [
            "pg_in_7a_0",
            "pg_in_7a_0_t0b0_k6a",
            "pg_in_7a_0_t0b0_k1x",
            "pg_in_7a_0_t0b0_k1aa",
            "p7",
        ] {
            assert_eq!(BankSetName::parse(name), None, "{name}");
        }
    }
}
