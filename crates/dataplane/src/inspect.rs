//! A look at the table by somebody who owns nothing: what is not as a program says, object by object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use oncilla_kernel::nf_tables::{Hooked, Socket, TableFamily};
use oncilla_net::{Mark, MarkMask, Protocol};
use oncilla_nft::object::{Comment, Element, Expr, KeyPart, MapValue, Rule, Set, Verdict};
use oncilla_nft::{
    Adopted, BankSetName, FilledSet, GroupChainName, Placement, Ruleset, STAND_IN, TABLE, adopt,
    bridge_number, lower, rebuild, table,
};
use oncilla_program::{AddressMap, GroupId, Program};

use crate::compare::is_expiring;
use crate::dataplane::{as_ruleset, is_predicate_set};
use crate::error::DataplaneError;
use crate::foreign::{self, OurHooks};

/// Elements of one set, and rules of one chain, that are named one by one.
const NAMED_MAX: usize = 20;

/// What is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// An object or element is missing.
    Missing,
    /// An object, element or rule is there that is not ours.
    Foreign,
    /// It is there and says something else.
    Changed,
    /// Somebody else's, which may deny more than policy does and takes nothing from what is enforced.
    Beside,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Foreign => "foreign",
            Self::Changed => "changed",
            Self::Beside => "beside",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// What sort.
    pub fault: Fault,
    /// `set to_wl`, `chain pg_in_…`, `table inet foreign`.
    pub object: String,
    /// The element or rule; empty when it is the object itself.
    pub part: String,
    /// What the object is for.
    pub meaning: String,
}

/// `missing: set addr4: 10.65.0.1 : class 3 (which class an address has)`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault, self.object)?;
        if !self.part.is_empty() {
            write!(f, ": {}", self.part)?;
        }
        if !self.meaning.is_empty() {
            write!(f, " ({})", self.meaning)?;
        }
        Ok(())
    }
}

/// What a table held when it was read.
#[derive(Debug)]
pub struct Inspection {
    found: Option<Ruleset>,
    others: Vec<Hooked>,
}

/// What came of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// What is not as it should be, in a fixed order.
    pub findings: Vec<Finding>,
    /// The program that the table enforces; `None` without a table.
    pub rebuilt: Option<Program>,
}

impl Inspection {
    /// Reads the tables of the calling thread's network namespace. Writes nothing.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read() -> Result<Self, DataplaneError> {
        let mut socket = Socket::open().map_err(DataplaneError::Open)?;
        let found = socket.read_table(TABLE)?;
        Ok(Self {
            found: found.map(as_ruleset),
            others: socket.hooked(&|family, name| {
                family == TableFamily::Inet && [TABLE, STAND_IN].contains(&name)
            })?,
        })
    }

    /// The classes that addresses have: what a resolver elects class numbers from.
    pub fn hints(&self, mask: MarkMask) -> AddressMap {
        let found = self.found.as_ref();
        found.map_or_else(AddressMap::default, |found| adopt(found, mask).addresses)
    }

    /// Compares with a program.
    pub fn compare(&self, desired: &Program) -> Compared {
        let Some(found) = &self.found else {
            let finding = Finding {
                fault: Fault::Missing,
                object: format!("table inet {TABLE}"),
                part: String::new(),
                meaning: "nothing is enforced".to_owned(),
            };
            return Compared {
                findings: vec![finding],
                rebuilt: None,
            };
        };
        let adopted = adopt(found, desired.settings.mask);
        let placements = placements(desired, &adopted);
        let expected = lower(desired, &placements, table());
        let comparing = Comparing {
            desired,
            expected: &expected,
            found,
        };
        let bases = found.chains.values().filter_map(|chain| chain.chain.base);
        let ours = OurHooks::new(bases.map(|base| (base.hook, base.priority)));
        let mask = desired.settings.mask;
        let mut findings = foreign::findings(&self.others, &ours, mask);
        findings.extend(foreign::legacy());
        findings.extend(comparing.chains());
        findings.extend(comparing.sets());
        findings.sort();
        findings.dedup();
        Compared {
            findings,
            rebuilt: Some(rebuild(desired, &placements, found)),
        }
    }
}

/// The versions that the kernel uses of each group.
fn placements(desired: &Program, adopted: &Adopted) -> BTreeMap<GroupId, Placement> {
    let placement = |id: &GroupId| {
        let versions = adopted.groups.get(id)?;
        let used = adopted.version_in_use(id);
        let found = used.and_then(|version| versions.get(&version));
        // Without dispatch to it, any version is better than one that is not there.
        found.or_else(|| versions.values().next_back()).cloned()
    };
    let ids = desired.groups.keys();
    ids.map(|id| (id.clone(), placement(id).unwrap_or_default()))
        .collect()
}

struct Comparing<'a> {
    desired: &'a Program,
    expected: &'a Ruleset,
    found: &'a Ruleset,
}

impl Comparing<'_> {
    fn chains(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, chain) in &self.expected.chains {
            let object = format!("chain {name}");
            let meaning = self.chain_meaning(name);
            let finding = |fault, part: String| Finding {
                fault,
                object: object.clone(),
                part,
                meaning: meaning.clone(),
            };
            match self.found.chains.get(name) {
                None => findings.push(finding(Fault::Missing, String::new())),
                Some(found) if found == chain => {}
                Some(found) => {
                    if found.chain != chain.chain {
                        let part = "its hook, priority, policy or comment".to_owned();
                        findings.push(finding(Fault::Changed, part));
                    }
                    let rules = rule_faults(&chain.rules, &found.rules).into_iter();
                    findings.extend(rules.map(|(fault, part)| finding(fault, part)));
                }
            }
        }
        let strangers = self.found.chains.keys();
        let strangers = strangers.filter(|name| !self.expected.chains.contains_key(*name));
        // Versions that are on their way out are ours.
        let strangers = strangers
            .filter(|name| bridge_number(name).is_none() && GroupChainName::parse(name).is_none());
        findings.extend(strangers.map(|name| Finding {
            fault: Fault::Foreign,
            object: format!("chain {name}"),
            part: String::new(),
            meaning: "no chain of ours".to_owned(),
        }));
        findings
    }

    fn sets(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, set) in &self.expected.sets {
            let object = format!("set {name}");
            let meaning = self.set_meaning(name, &set.set);
            let finding = |fault, part: String| Finding {
                fault,
                object: object.clone(),
                part,
                meaning: meaning.clone(),
            };
            match self.found.sets.get(name) {
                None => findings.push(finding(Fault::Missing, String::new())),
                Some(found) if found.set != set.set => {
                    findings.push(finding(Fault::Changed, "its type".to_owned()));
                }
                Some(_) if is_expiring(name) => {}
                Some(found) => {
                    let faults = self.element_faults(set, found).into_iter();
                    findings.extend(faults.map(|(fault, part)| finding(fault, part)));
                }
            }
        }
        let strangers = self.found.sets.keys();
        let strangers = strangers.filter(|name| !self.expected.sets.contains_key(*name));
        let strangers =
            strangers.filter(|name| BankSetName::parse(name).is_none() && !is_predicate_set(name));
        findings.extend(strangers.map(|name| Finding {
            fault: Fault::Foreign,
            object: format!("set {name}"),
            part: String::new(),
            meaning: "no set of ours".to_owned(),
        }));
        findings
    }

    fn element_faults(&self, expected: &FilledSet, found: &FilledSet) -> Vec<(Fault, String)> {
        let mask = self.desired.settings.mask;
        let text = |element: &Element| element_text(&expected.set, element, mask);
        let missing: Vec<&Element> = expected.elements.difference(&found.elements).collect();
        let foreign: Vec<&Element> = found.elements.difference(&expected.elements).collect();
        let mut faults = Vec::new();
        let mut changed = BTreeSet::new();
        for element in &missing {
            let other = foreign
                .iter()
                .find(|other| other.key() == element.key() && other.key_end() == element.key_end());
            match other {
                Some(other) => {
                    changed.insert(other.key().clone());
                    let part = format!("{}, not {}", text(other), text(element));
                    faults.push((Fault::Changed, part));
                }
                None => faults.push((Fault::Missing, text(element))),
            }
        }
        let foreign = foreign
            .iter()
            .filter(|other| !changed.contains(other.key()));
        faults.extend(foreign.map(|other| (Fault::Foreign, text(other))));
        let more = faults.len().saturating_sub(NAMED_MAX);
        faults.truncate(NAMED_MAX);
        if more > 0 {
            faults.push((Fault::Changed, format!("and {more} more elements")));
        }
        faults
    }

    /// Whom a group judges.
    fn group_meaning(&self, id: &GroupId) -> String {
        let uses = self.desired.endpoints.values().filter(|endpoint| {
            [&endpoint.ingress, &endpoint.egress]
                .into_iter()
                .any(|dispatch| *dispatch == oncilla_program::Dispatch::Group(id.clone()))
        });
        let names: Vec<&str> = uses.map(|endpoint| &*endpoint.name).take(3).collect();
        let group = self.desired.groups.get(id);
        let tiers = group.into_iter().flat_map(|group| &group.tiers);
        let policies: Vec<&str> = tiers.map(|tier| &*tier.comment).collect();
        let direction = group.map_or_else(String::new, |group| format!("{}, ", group.direction));
        format!("{direction}{}: {}", names.join(", "), policies.join("; "))
    }

    fn chain_meaning(&self, name: &str) -> String {
        match GroupChainName::parse(name) {
            Some(chain) => format!("rules for {}", self.group_meaning(&chain.group)),
            None => String::new(),
        }
    }

    fn set_meaning(&self, name: &str, set: &Set) -> String {
        if let Some(bank) = BankSetName::parse(name) {
            let verdict = format!("{:?}", bank.verdict).to_lowercase();
            return format!("{verdict} for {}", self.group_meaning(&bank.group));
        }
        let comment = set.comment.as_ref().map(Comment::as_str);
        match (name, comment) {
            ("to_wl" | "from_wl", _) => "which policy an interface has".to_owned(),
            ("net4" | "net6", _) => "prefix to class".to_owned(),
            (_, Some(comment)) => comment.to_owned(),
            _ => String::new(),
        }
    }
}

/// What is wrong with a list of rules, each with its number from 0.
fn rule_faults(expected: &[Rule], found: &[Rule]) -> Vec<(Fault, String)> {
    let same = |pair: &(&Rule, &Rule)| pair.0 == pair.1;
    let head = expected.iter().zip(found).take_while(same).count();
    let (rest, others) = (&expected[head..], &found[head..]);
    let tail = rest.iter().rev().zip(others.iter().rev());
    let tail = tail.take_while(same).count();
    let gone = rest[..rest.len() - tail].iter().zip(head..);
    let new = others[..others.len() - tail].iter().zip(head..);
    let before = match expected.len() - tail {
        at if head < at => String::new(),
        _ if head < expected.len() => format!(" before {}", rule_text(&expected[head])),
        _ => " at the end".to_owned(),
    };
    let missing =
        gone.map(|(rule, at)| (Fault::Missing, format!("rule {at}, {}", rule_text(rule))));
    let foreign = new.map(|(rule, at)| {
        let text = rule_text(rule);
        (Fault::Foreign, format!("rule {at}, {text}{before}"))
    });
    missing.chain(foreign).take(NAMED_MAX).collect()
}

/// A rule in few words: its comment, the sets it asks and what it does.
fn rule_text(rule: &Rule) -> String {
    let mut words = Vec::new();
    words.extend(
        rule.comment
            .as_ref()
            .map(|text| format!("{:?}", text.as_str())),
    );
    words.extend(rule.sets().map(|set| format!("@{set}")));
    words.extend(rule.exprs.iter().filter_map(|expr| match expr {
        Expr::Verdict(verdict) => Some(verdict_text(verdict)),
        _ => None,
    }));
    if words.is_empty() {
        words.push("without a verdict".to_owned());
    }
    words.join(" ")
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Continue => "continue".to_owned(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
    }
}

fn element_text(set: &Set, element: &Element, mask: MarkMask) -> String {
    let key = |value| {
        let parts = set.key.parts(value).unwrap_or_default();
        let parts: Vec<String> = parts.iter().map(|part| part_text(part, mask)).collect();
        parts.join(" . ")
    };
    let mut text = key(element.key());
    if let Some(end) = element.key_end() {
        text = format!("{text}-{}", key(end));
    }
    match element.value() {
        Some(MapValue::Mark(mark)) => text = format!("{text} : class {}", mask.decode(Mark(*mark))),
        Some(MapValue::Verdict(verdict)) => text = format!("{text} : {}", verdict_text(verdict)),
        Some(MapValue::Other) => text.push_str(" : something else"),
        None => {}
    }
    if let Some(comment) = element.comment_text() {
        text = format!("{text} {:?}", comment.as_str());
    }
    text
}

fn part_text(part: &KeyPart, mask: MarkMask) -> String {
    match part {
        KeyPart::Ipv4(addr) => addr.to_string(),
        KeyPart::Ipv6(addr) => addr.to_string(),
        KeyPart::Proto(number) => Protocol(*number).to_string(),
        KeyPart::Port(port) => port.to_string(),
        KeyPart::Mark(mark) => format!("class {}", mask.decode(Mark(*mark))),
        KeyPart::IfName(name) => name.to_string(),
        other => format!("{other:?}"),
    }
}
