//! The bank builder: ordered rules to banks, exact first match (`engine.md` §4).
//!
//! A rule whose criteria are only the peer's classes, the protocol and few destination ports becomes lookup
//! keys; the builder keeps the invariant that for every packet the first level that holds it has the
//! verdict of the first rule that matches it. Everything else stands in the bank's linear tail.

use std::collections::BTreeSet;
use std::sync::Arc;

use oncilla_net::{PORTS_KEYED_MAX, PortSet, Protocol, fault};
use oncilla_program::{Bank, ClassId, K1, K2, K4, Levels, Peer, Rule, RuleVerdict};

/// A peer of at most this many classes becomes keys; a broader one is a class set in a linear rule.
pub const CLASSES_KEYED_MAX: usize = 256;
/// At most this many entries are added to a bank to keep earlier, overlapping entries in force; then a new
/// bank is opened.
pub const CUTS_MAX: usize = 4_096;
/// With more linear rules than this in one tier, broad peers become keys after all.
pub const LINEAR_RULES_MAX: usize = 64;
/// At most this many keys come from broad peers in one tier.
pub const BROAD_ENTRIES_MAX: usize = 262_144;

/// A rule on its way into a bank.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lowered {
    /// The rule.
    pub(crate) rule: Rule,
    /// For a rule that is linear only because its peer is broad: the peer's classes.
    pub(crate) broad: Option<Arc<[ClassId]>>,
}

impl From<Rule> for Lowered {
    fn from(rule: Rule) -> Self {
        Self { rule, broad: None }
    }
}

/// Whether a rule's criteria other than its peer can be keys.
pub(crate) fn is_keyable_but_for_peer(rule: &Rule) -> bool {
    let ports_fit = rule
        .dst_ports
        .as_ref()
        .is_none_or(|ports| ports.count() <= PORTS_KEYED_MAX);
    let ports_have_protocol =
        rule.dst_ports.is_none() || rule.protocol.is_some_and(Protocol::has_ports);
    rule.verdict != RuleVerdict::Log
        && rule.local.is_empty()
        && rule.not_protocol.is_none()
        && !rule.without_ports
        && (rule.icmp.is_none() || fault::is("compile/icmp-keyed"))
        && rule.not_icmp.is_none()
        && rule.src_ports.is_none()
        && rule.not_src_ports.is_none()
        && rule.not_dst_ports.is_none()
        && rule.named_ports.is_empty()
        && rule.local_ports.is_empty()
        && ports_fit
        && ports_have_protocol
}

/// Whether a rule can be keys.
pub(crate) fn is_keyable(rule: &Rule) -> bool {
    let peer_fits = match &rule.peer {
        Peer::Any => rule.family.is_none(),
        // A class is of one family: the lowering leaves out the classes of the other.
        Peer::Classes(_) => rule.family.is_none(),
        Peer::Sets(_) => false,
    };
    peer_fits && is_keyable_but_for_peer(rule)
}

/// Builds the banks of one tier.
pub(crate) fn build(rules: Vec<Lowered>) -> Vec<Bank> {
    let mut banks = Vec::new();
    let mut open = Open::default();
    for rule in expand_broad(rules) {
        if is_keyable(&rule) {
            let tail_agrees = open
                .bank
                .tail
                .iter()
                .all(|tail| tail.verdict == rule.verdict)
                || fault::is("compile/tail-joined");
            if !tail_agrees || !open.append(&rule) {
                banks.push(std::mem::take(&mut open).bank);
                open.append(&rule);
            }
        } else {
            open.bank.tail.push(rule);
        }
        if open.bank.levels.k6.is_some() {
            // Nothing gets past this level: the tail, all of the same verdict, and later rules are idle.
            open.bank.tail.clear();
            break;
        }
    }
    banks.push(open.bank);
    banks.retain(|bank| *bank != Bank::default());
    banks
}

/// With too many linear rules, those that are linear only because of a broad peer become keys, in order,
/// while entries last.
fn expand_broad(rules: Vec<Lowered>) -> Vec<Rule> {
    let mut linear = rules
        .iter()
        .filter(|lowered| !is_keyable(&lowered.rule))
        .count();
    let mut entries_left = BROAD_ENTRIES_MAX;
    let expand = |lowered: Lowered| {
        let Some(classes) = lowered.broad.filter(|_| linear > LINEAR_RULES_MAX) else {
            return lowered.rule;
        };
        let ports = lowered
            .rule
            .dst_ports
            .as_ref()
            .map_or(1, |ports| ports.iter().count());
        let Some(left) = entries_left.checked_sub(classes.len().saturating_mul(ports)) else {
            return lowered.rule;
        };
        entries_left = left;
        linear -= 1;
        Rule {
            peer: Peer::Classes(classes),
            family: None,
            ..lowered.rule
        }
    };
    rules.into_iter().map(expand).collect()
}

/// One lookup key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    K1(K1),
    K2(K2),
    K3(ClassId),
    K4(K4),
    K5(Protocol),
    K6,
}

/// The bank that rules are appended to.
#[derive(Default)]
struct Open {
    bank: Bank,
    /// Entries added so far to keep earlier ones in force.
    cuts: usize,
}

impl Open {
    /// Appends a keyable rule; false, and nothing changed, when that takes too many cuts.
    fn append(&mut self, rule: &Rule) -> bool {
        let levels = &self.bank.levels;
        let keys: Vec<Key> = keys(rule)
            .into_iter()
            .filter(|key| present(levels, *key).is_none())
            .collect();
        let room = CUTS_MAX.saturating_sub(self.cuts);
        let Some(cuts) = cuts(levels, &keys, rule.verdict, room) else {
            return false;
        };
        self.cuts += cuts.len();
        for (key, verdict) in cuts {
            insert(&mut self.bank.levels, key, verdict);
        }
        for key in keys {
            insert(&mut self.bank.levels, key, rule.verdict);
        }
        true
    }
}

/// The keys of a keyable rule. They do not overlap.
fn keys(rule: &Rule) -> Vec<Key> {
    let ports = || rule.dst_ports.iter().flat_map(PortSet::iter);
    match (&rule.peer, rule.protocol, &rule.dst_ports) {
        (Peer::Classes(classes), Some(protocol), Some(_)) => classes
            .iter()
            .flat_map(|class| ports().map(move |port| Key::K1((*class, protocol, port))))
            .collect(),
        (Peer::Classes(classes), Some(protocol), None) => classes
            .iter()
            .map(|class| Key::K2((*class, protocol)))
            .collect(),
        (Peer::Classes(classes), None, _) => classes.iter().map(|class| Key::K3(*class)).collect(),
        (_, Some(protocol), Some(_)) => ports().map(|port| Key::K4((protocol, port))).collect(),
        (_, Some(protocol), None) => vec![Key::K5(protocol)],
        (_, None, _) => vec![Key::K6],
    }
}

/// The verdict for all packets of a key when an entry covers it: the same key, or a superset at a later
/// level. For a key that a later, narrower level cuts, the verdict of the rest.
fn present(levels: &Levels, key: Key) -> Option<RuleVerdict> {
    let k2 = |key: K2| levels.k2.get(&key).copied();
    let k3 = |class: ClassId| levels.k3.get(&class).copied();
    let k4 = |key: K4| levels.k4.get(&key).copied();
    let k5 = |protocol: Protocol| levels.k5.get(&protocol).copied();
    match key {
        Key::K1(key @ (class, protocol, port)) => levels
            .k1
            .get(&key)
            .copied()
            .or_else(|| k2((class, protocol)))
            .or_else(|| k3(class))
            .or_else(|| k4((protocol, port)))
            .or_else(|| k5(protocol)),
        Key::K2(key @ (class, protocol)) => k2(key).or_else(|| k3(class)).or_else(|| k5(protocol)),
        Key::K3(class) => k3(class),
        Key::K4(key @ (protocol, _)) => k4(key).or_else(|| k5(protocol)),
        Key::K5(protocol) => k5(protocol),
        Key::K6 => None,
    }
    .or(levels.k6)
}

/// Step (b): what must be added so that the entries at later levels that overlap `keys` without covering
/// them stay in force. `None` when that is more than `room`.
///
/// Keys of one rule do not overlap, so what is added for one does not change the answer for another.
fn cuts(
    levels: &Levels,
    keys: &[Key],
    verdict: RuleVerdict,
    room: usize,
) -> Option<Vec<(Key, RuleVerdict)>> {
    let others4 = others(
        levels
            .k4
            .iter()
            .map(|((protocol, _), entry)| (*protocol, *entry)),
        verdict,
    );
    let others5 = others(
        levels
            .k5
            .iter()
            .map(|(protocol, entry)| (*protocol, *entry)),
        verdict,
    );
    let mut cuts = Vec::new();
    if fault::is("compile/overlap-skipped") {
        return Some(cuts);
    }
    for key in keys {
        let (class, only) = match *key {
            Key::K2((class, protocol)) if others4.contains(&protocol) => (class, Some(protocol)),
            Key::K3(class) if !others4.is_empty() || !others5.is_empty() => (class, None),
            _ => continue,
        };
        let first = (only.unwrap_or(Protocol(0)), 0);
        let last = (only.unwrap_or(Protocol(u8::MAX)), u16::MAX);
        let k1 = levels
            .k4
            .range(first..=last)
            .map(|(&(protocol, port), _)| (class, protocol, port));
        for key in k1.filter(|key| !levels.k1.contains_key(key)) {
            cuts.extend(present(levels, Key::K1(key)).map(|verdict| (Key::K1(key), verdict)));
            if cuts.len() > room {
                return None;
            }
        }
        let k5 = levels.k5.keys().filter(|_| only.is_none());
        for key in k5
            .map(|protocol| (class, *protocol))
            .filter(|key| !levels.k2.contains_key(key))
        {
            cuts.extend(present(levels, Key::K2(key)).map(|verdict| (Key::K2(key), verdict)));
        }
        if cuts.len() > room {
            return None;
        }
    }
    Some(cuts)
}

/// The protocols that have an entry with another verdict.
fn others(
    entries: impl Iterator<Item = (Protocol, RuleVerdict)>,
    verdict: RuleVerdict,
) -> BTreeSet<Protocol> {
    entries
        .filter(|(_, entry)| *entry != verdict)
        .map(|(protocol, _)| protocol)
        .collect()
}

fn insert(levels: &mut Levels, key: Key, verdict: RuleVerdict) {
    match key {
        Key::K1(key) => drop(levels.k1.insert(key, verdict)),
        Key::K2(key) => drop(levels.k2.insert(key, verdict)),
        Key::K3(key) => drop(levels.k3.insert(key, verdict)),
        Key::K4(key) => drop(levels.k4.insert(key, verdict)),
        Key::K5(key) => drop(levels.k5.insert(key, verdict)),
        Key::K6 => levels.k6 = Some(verdict),
    }
}
