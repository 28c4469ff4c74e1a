//! Whether a group can be changed where it is, or needs a new version (`engine.md` §6, iii).
//!
//! Entries of a class that no address has are met by no packet: they may come and go at any time. Of the
//! others, only a change inside exactly one bank that holds one verdict may be made in place: additions
//! first, then removals, and each packet gets the old or the new answer at every instant.

use std::collections::{BTreeMap, BTreeSet};

use oncilla_net::Mark;
use oncilla_nft::object::{Element, Set};
use oncilla_nft::{BankPlace, BankSetName, GroupObjects, banks};
use oncilla_program::{Bank, ClassId, Group, RuleVerdict};

use crate::held::Held;

/// Elements of one set.
pub(crate) type SetElements = (Set, Vec<Element>);

/// How a group gets its new content.
#[derive(Debug)]
pub(crate) enum Change {
    /// Nothing changes in the kernel.
    None,
    /// In place.
    InPlace(InPlace),
    /// As a new version, beside the old one.
    NewVersion,
}

/// Elements to add and to remove in place.
#[derive(Debug, Default)]
pub(crate) struct InPlace {
    /// Entries that no packet can meet yet.
    pub(crate) unmet_additions: Vec<SetElements>,
    /// Entries that change verdicts.
    pub(crate) additions: Vec<SetElements>,
    /// Entries whose removal changes verdicts: after the additions.
    pub(crate) removals: Vec<SetElements>,
    /// Entries that no packet can meet any more.
    pub(crate) unmet_removals: Vec<SetElements>,
}

/// Compares two contents of a group whose rules are the same, so that only elements of its sets differ.
pub(crate) fn change(
    groups: (&Group, &Group),
    before: &GroupObjects,
    after: &GroupObjects,
    held: &Held,
) -> Change {
    let mut edits = InPlace::default();
    let mut met: BTreeSet<BankPlace> = BTreeSet::new();
    for (name, new) in &after.sets {
        let Some(old) = before.sets.get(name) else {
            return Change::NewVersion;
        };
        let Some(parsed) = BankSetName::parse(name) else {
            return Change::NewVersion;
        };
        let is_met = |element: &&Element| {
            !parsed.level.has_class() || class_of(element, held).is_none_or(|id| held.in_use(id))
        };
        let split = |elements: Vec<Element>| -> (Vec<Element>, Vec<Element>) {
            elements.into_iter().partition(|element| is_met(&element))
        };
        let (added, unmet_added) = split(new.elements.difference(&old.elements).cloned().collect());
        let (gone, unmet_gone) = split(old.elements.difference(&new.elements).cloned().collect());
        if !added.is_empty() || !gone.is_empty() {
            met.insert(parsed.bank);
        }
        let put = |list: &mut Vec<SetElements>, elements: Vec<Element>| {
            if !elements.is_empty() {
                list.push((new.set.clone(), elements));
            }
        };
        put(&mut edits.additions, added);
        put(&mut edits.unmet_additions, unmet_added);
        put(&mut edits.removals, gone);
        put(&mut edits.unmet_removals, unmet_gone);
    }
    if before.sets.len() != after.sets.len() {
        return Change::NewVersion;
    }
    let lists = [
        &edits.additions,
        &edits.unmet_additions,
        &edits.removals,
        &edits.unmet_removals,
    ];
    if lists.into_iter().all(Vec::is_empty) {
        return Change::None;
    }
    let mut met = met.into_iter();
    match (met.next(), met.next()) {
        (None, _) => Change::InPlace(edits),
        (Some(place), None) if holds_one_verdict(groups, place) => Change::InPlace(edits),
        _ => Change::NewVersion,
    }
}

/// The class in the key of a level that has one.
fn class_of(element: &Element, held: &Held) -> Option<ClassId> {
    let (head, _) = element.key().as_bytes().split_first_chunk::<4>()?;
    let mask = held.program.settings.mask;
    Some(ClassId(mask.decode(Mark(u32::from_ne_bytes(*head)))))
}

fn holds_one_verdict(groups: (&Group, &Group), place: BankPlace) -> bool {
    let verdicts: BTreeSet<RuleVerdict> = [groups.0, groups.1]
        .into_iter()
        .filter_map(|group| banks(group).find(|(found, _)| *found == place))
        .flat_map(|(_, bank)| verdicts_of(bank))
        .collect();
    verdicts.len() == 1
}

fn verdicts_of(bank: &Bank) -> BTreeSet<RuleVerdict> {
    let levels = &bank.levels;
    let keyed = levels
        .k1
        .values()
        .chain(levels.k2.values())
        .chain(levels.k3.values());
    let classless = levels
        .k4
        .values()
        .chain(levels.k5.values())
        .chain(levels.k6.as_ref());
    let tail = bank.tail.iter().map(|rule| &rule.verdict);
    keyed.chain(classless).chain(tail).copied().collect()
}

/// The banks that are the same at the same place in two contents of a group.
pub(crate) fn same_banks(before: &Group, after: &Group) -> BTreeSet<BankPlace> {
    let old: BTreeMap<BankPlace, &Bank> = banks(before).collect();
    banks(after)
        .filter(|(place, bank)| old.get(place).is_some_and(|old| old == bank))
        .map(|(place, _)| place)
        .collect()
}
