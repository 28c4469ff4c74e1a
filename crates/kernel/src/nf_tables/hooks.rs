//! Everybody's base chains, of every family, and what the rules that they reach may do: who else has a say on packets.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, fs};

use oncilla_nft::object::{Name, TableFlags};

use super::attribute::{Attributes, Writer, be32, text};
use super::decode;
use super::deed::{Deed, Done, Effects, deeds};
use super::error::{Malformed, ReadError};
use super::socket::Socket;
use super::wire::{FAMILY_UNSPEC, NLM_F_DUMP, chain, element, message, rule, table};

/// Chains under one base chain that are told to do the same thing. Other things are told all the same: many drops must
/// not hide a rule that takes packets from us.
const CHAINS_OF_A_DEED_MAX: usize = 64;

/// The family of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TableFamily {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Every frame of some interfaces.
    Netdev,
    /// Bridged frames.
    Bridge,
}

impl TableFamily {
    const ALL: [(Self, u8); 5] = [
        (Self::Inet, 1),
        (Self::Ip, 2),
        (Self::Ip6, 10),
        (Self::Netdev, 5),
        (Self::Bridge, 7),
    ];

    /// `None` of ARP, which no policy is about.
    fn of(number: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, each)| *each == number)
            .map(|(family, _)| family)
    }

    fn number(self) -> u8 {
        let mut all = Self::ALL.into_iter();
        all.find(|(family, _)| *family == self)
            .map_or(FAMILY_UNSPEC, |(_, number)| number)
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
        })
    }
}

/// Where on a packet's way a base chain is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Point {
    /// As it comes from an interface, before everything else.
    Ingress,
    /// Before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
    /// As it goes to an interface, behind everything else.
    Egress,
    /// A hook that is not known here.
    Other(u32),
}

impl Point {
    fn of(family: TableFamily, number: u32) -> Self {
        match (family, number) {
            (TableFamily::Netdev, 0) | (TableFamily::Inet, 5) => Self::Ingress,
            (TableFamily::Netdev, 1) => Self::Egress,
            (TableFamily::Netdev, other) => Self::Other(other),
            (_, 0) => Self::Prerouting,
            (_, 1) => Self::Input,
            (_, 2) => Self::Forward,
            (_, 3) => Self::Output,
            (_, 4) => Self::Postrouting,
            (_, other) => Self::Other(other),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Egress => "egress",
            Self::Other(number) => return write!(f, "hook {number}"),
        })
    }
}

/// A base chain of anybody.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hooked {
    /// The table's family.
    pub family: TableFamily,
    /// The table.
    pub table: Name,
    /// The chain.
    pub chain: Name,
    /// Where it is asked.
    pub point: Point,
    /// Lower comes first at one hook.
    pub priority: i32,
    /// Whether it drops what its rules do not decide.
    pub drops: bool,
    /// What its rules may do, and those of chains that they lead to; sorted.
    pub deeds: Vec<Done>,
}

/// One table while it is read.
#[derive(Debug, Default)]
struct Reading {
    bases: Vec<Hooked>,
    /// By chain, its rules in order.
    rules: BTreeMap<Name, Vec<Effects>>,
    /// What the verdict maps lead to.
    maps: BTreeMap<Name, Effects>,
}

type Owner = (TableFamily, Name);

/// Reading what others have.
impl Socket {
    /// Every base chain of the network namespace, but of the tables to `skip`, with what may happen to packets there.
    /// Tables that see no packets are left out. Never fails for what others made: what cannot be read may do anything.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn hooked(
        &mut self,
        skip: &dyn Fn(TableFamily, &str) -> bool,
    ) -> Result<Vec<Hooked>, ReadError> {
        let mut tables = self.awake_tables()?;
        tables.retain(|(family, name)| !skip(*family, name));
        let mut readings: BTreeMap<Owner, Reading> = BTreeMap::new();
        for hooked in self.base_chains()? {
            let owner = (hooked.family, Name::clone(&hooked.table));
            if tables.contains(&owner) {
                readings.entry(owner).or_default().bases.push(hooked);
            }
        }
        let mut all = Vec::new();
        for (owner, mut reading) in readings {
            self.read_rules(&owner, &mut reading)?;
            if reading
                .rules
                .values()
                .flatten()
                .any(|deeds| !deeds.maps.is_empty())
            {
                self.read_maps(&owner, &mut reading)?;
            }
            all.extend(reading.finish());
        }
        all.sort();
        Ok(all)
    }

    fn awake_tables(&mut self) -> Result<BTreeSet<Owner>, ReadError> {
        let mut found = BTreeSet::new();
        let kind = ("tables", message::GET_TABLE, FAMILY_UNSPEC);
        self.dump_any(kind, &|_| {}, &mut |family, read| {
            let name = name_of(&read, table::NAME)?;
            let flags = read.find(table::FLAGS)?.map_or(Ok(0), be32)?;
            let is_awake = !TableFlags(flags).contains(TableFlags::DORMANT);
            if let Some(family) = TableFamily::of(family).filter(|_| is_awake) {
                found.insert((family, name));
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn base_chains(&mut self) -> Result<Vec<Hooked>, ReadError> {
        let mut found = BTreeSet::new();
        let kind = ("chains", message::GET_CHAIN, FAMILY_UNSPEC);
        self.dump_any(kind, &|_| {}, &mut |family, read| {
            let hook = read.clone().find(chain::HOOK)?;
            let (Some(family), Some(hook)) = (TableFamily::of(family), hook) else {
                return Ok(());
            };
            let hook = Attributes::new(hook);
            let number = hook.clone().find(chain::HOOK_NUMBER)?.map(be32);
            let priority = hook.find(chain::HOOK_PRIORITY)?.map_or(Ok(0), be32)?;
            let policy = read.clone().find(chain::POLICY)?.map(be32).transpose()?;
            found.insert(Hooked {
                family,
                table: name_of(&read, chain::TABLE)?,
                chain: name_of(&read, chain::NAME)?,
                point: Point::of(family, number.transpose()?.unwrap_or(u32::MAX)),
                priority: priority.cast_signed(),
                drops: policy == Some(0),
                deeds: Vec::new(),
            });
            Ok(())
        })?;
        Ok(found.into_iter().collect())
    }

    fn read_rules(&mut self, owner: &Owner, reading: &mut Reading) -> Result<(), ReadError> {
        let (family, name) = owner;
        let fill = |writer: &mut Writer<'_>| writer.text(rule::TABLE, name);
        let kind = ("rules", message::GET_RULE, family.number());
        // In what order rules are is known while the list is whole, so each try starts anew.
        let mut found: BTreeMap<u64, (Name, Effects)> = BTreeMap::new();
        let mut order = Vec::new();
        let outcome = self.dump_any(kind, &fill, &mut |_, read| {
            if !decode::is_of(read.clone(), name) {
                return Ok(());
            }
            let handle = read.clone().find(rule::HANDLE)?;
            let handle = handle.map_or(Ok(0), super::attribute::be64)?;
            let expressions = read.clone().find(rule::EXPRESSIONS)?.unwrap_or_default();
            let deeds = deeds(expressions).unwrap_or_else(|_| Effects {
                deeds: vec![Deed::Unknown("rule".into())],
                ..Effects::default()
            });
            let before = found.insert(handle, (name_of(&read, rule::CHAIN)?, deeds));
            if before.is_none() {
                order.push(handle);
            }
            Ok(())
        });
        match outcome {
            // It went since it was listed.
            Err(error) if error.is_missing() => return Ok(()),
            outcome => outcome?,
        }
        for (chain, deeds) in order.iter().filter_map(|handle| found.remove(handle)) {
            reading.rules.entry(chain).or_default().push(deeds);
        }
        Ok(())
    }

    fn read_maps(&mut self, owner: &Owner, reading: &mut Reading) -> Result<(), ReadError> {
        let rules = reading.rules.values().flatten();
        let wanted: BTreeSet<Name> = rules.flat_map(|deeds| deeds.maps.iter().cloned()).collect();
        let (family, name) = owner;
        for map in wanted {
            let fill = |writer: &mut Writer<'_>| {
                writer.text(element::LIST_TABLE, name);
                writer.text(element::LIST_SET, &map);
            };
            let mut found = Effects::default();
            let kind = ("elements", message::GET_ELEMENTS, family.number());
            let outcome = self.dump_any(kind, &fill, &mut |_, read| {
                let list = read.find(element::LIST)?.unwrap_or_default();
                for item in Attributes::new(list) {
                    // Also the element for all other keys, which has no key.
                    let data = Attributes::new(item?.1).find(element::DATA)?;
                    let data = data.ok_or(Malformed::Missing("verdict"))?;
                    found.verdict(&decode::verdict_data(data)?);
                }
                Ok(())
            });
            match outcome {
                Ok(()) => {}
                Err(error) if error.is_missing() => {}
                Err(ReadError::Malformed { .. }) => {
                    found.deeds.push(Deed::Unknown("verdict map".into()));
                }
                Err(error) => return Err(error),
            }
            found.deeds.sort();
            found.deeds.dedup();
            found.chains.sort();
            found.chains.dedup();
            reading.maps.insert(map, found);
        }
        Ok(())
    }

    /// Asks for a list of any family. What was taken in of a torn list is taken again.
    fn dump_any(
        &mut self,
        (what, number, family): (&'static str, u8, u8),
        fill: &dyn Fn(&mut Writer<'_>),
        each: &mut dyn FnMut(u8, Attributes<'_>) -> Result<(), Malformed>,
    ) -> Result<(), ReadError> {
        self.ask(what, (number, NLM_F_DUMP, family), fill, each)
    }
}

impl Reading {
    fn finish(self) -> Vec<Hooked> {
        let mut bases = self.bases.clone();
        for base in &mut bases {
            base.deeds = self.deeds_from(&base.chain);
        }
        bases
    }

    /// What the rules of a chain may do, and of those that they lead to.
    fn deeds_from(&self, first: &Name) -> Vec<Done> {
        let (mut seen, mut ahead) = (BTreeSet::new(), vec![Name::clone(first)]);
        let mut all: BTreeMap<(Deed, Name), (usize, usize)> = BTreeMap::new();
        while let Some(chain) = ahead.pop() {
            if !seen.insert(Name::clone(&chain)) {
                continue;
            }
            let rules = self.rules.get(&chain).into_iter().flatten();
            for (at, rule) in rules.enumerate() {
                let maps = rule.maps.iter().filter_map(|map| self.maps.get(map));
                let parts: Vec<&Effects> = std::iter::once(rule).chain(maps).collect();
                ahead.extend(parts.iter().flat_map(|part| part.chains.iter().cloned()));
                for deed in parts.iter().flat_map(|part| &part.deeds) {
                    let key = (deed.clone(), Name::clone(&chain));
                    let (_, rules) = all.entry(key).or_insert((at, 0));
                    *rules += 1;
                }
            }
        }
        let mut told: BTreeMap<Deed, usize> = BTreeMap::new();
        let done = all.into_iter().filter(|((deed, _), _)| {
            let chains = told.entry(deed.clone()).or_default();
            *chains += 1;
            *chains <= CHAINS_OF_A_DEED_MAX
        });
        done.map(|((deed, chain), (rule, rules))| Done {
            deed,
            chain,
            rule,
            rules,
        })
        .collect()
    }
}

/// A name; one that is no text is shown as far as it is.
fn name_of(attributes: &Attributes<'_>, kind: u16) -> Result<Name, Malformed> {
    let bytes = attributes.clone().find(kind)?;
    let bytes = bytes.ok_or(Malformed::Missing("name"))?;
    Ok(match text(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into(),
    })
}

/// The tables of the old iptables of the calling thread's network namespace, which nf_tables knows nothing of. Only that
/// they are there can be seen.
pub fn legacy_tables() -> Vec<(TableFamily, String)> {
    let mut tables = Vec::new();
    for (family, file) in [
        (TableFamily::Ip, "ip_tables_names"),
        (TableFamily::Ip6, "ip6_tables_names"),
    ] {
        // Without the module there is no file.
        let names = fs::read_to_string(format!("/proc/thread-self/net/{file}"));
        let names = names.unwrap_or_default();
        tables.extend(names.lines().map(|name| (family, name.to_owned())));
    }
    tables
}
