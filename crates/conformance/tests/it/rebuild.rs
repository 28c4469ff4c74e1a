//! Programs of random clusters come back from their tables as they were, and no missing element goes unnoticed.

use std::collections::BTreeMap;

use oncilla_nft::{BankSetName, Placement, lower, rebuild, table};
use oncilla_program::{GroupId, Program};

use super::differential::World;

const CLUSTERS: u64 = 12;
/// One set or chain in so many loses something: each costs a whole program.
const STEP: usize = 12;

/// What a set is for.
fn sort(name: &str) -> &'static str {
    match name {
        _ if BankSetName::parse(name).is_some() => "bank",
        "addr4" | "addr6" | "net4" | "net6" => "addresses",
        "to_wl" | "from_wl" => "dispatch",
        "open_in" | "open_out" => "open",
        _ if name.starts_with('p') => "classes",
        _ if name.starts_with('n') => "ports",
        _ if name.starts_with('a') => "address set",
        _ => "other",
    }
}

fn check(program: &Program, first: usize, tally: &mut BTreeMap<&'static str, usize>) {
    let ids = program.groups.keys().cloned();
    let placements: BTreeMap<GroupId, Placement> =
        ids.map(|id| (id, Placement::default())).collect();
    let mut ruleset = lower(program, &placements, table());
    let rebuilt = rebuild(program, &placements, &ruleset);
    assert!(rebuilt == *program, "{program}\ncame back as\n{rebuilt}");
    let names: Vec<_> = ruleset.sets.keys().cloned().collect();
    for (at, name) in names.into_iter().enumerate() {
        let is_rare = matches!(sort(&name), "addresses" | "dispatch" | "open" | "ports");
        if !is_rare && at % STEP != first {
            continue;
        }
        let filled = ruleset.sets.get_mut(&name).expect("its name was listed");
        let Some(element) = filled.elements.pop_last() else {
            continue;
        };
        let sort = sort(&name);
        if sort != "other" {
            let rebuilt = rebuild(program, &placements, &ruleset);
            assert!(rebuilt != *program, "{element:?} of {name} is not missed");
            *tally.entry(sort).or_default() += 1;
        }
        let filled = ruleset.sets.get_mut(&name).expect("its name was listed");
        filled.elements.insert(element);
    }
    let chains: Vec<_> = ruleset.chains.keys().cloned().collect();
    let chains = chains.iter().filter(|name| name.starts_with("pg_"));
    for name in chains.skip(first).step_by(STEP) {
        let chain = ruleset.chains.get_mut(name).expect("its name was listed");
        let rule = chain.rules.remove(0);
        let rebuilt = rebuild(program, &placements, &ruleset);
        assert!(rebuilt != *program, "{rule:?} of {name} is not missed");
        *tally.entry("rule").or_default() += 1;
        let chain = ruleset.chains.get_mut(name).expect("its name was listed");
        chain.rules.insert(0, rule);
    }
}

#[test]
fn programs_come_back_from_tables_and_nothing_missing_is_overlooked() {
    let mut tally = BTreeMap::new();
    for seed in 0..CLUSTERS {
        let world = World::new(30_000 + seed).expect("a random cluster is valid");
        let first = usize::try_from(seed).unwrap_or_default() % STEP;
        for (_, program) in world.engine.programs() {
            check(program, first, &mut tally);
        }
    }
    let wanted = [
        "address set",
        "addresses",
        "bank",
        "classes",
        "dispatch",
        "ports",
        "rule",
    ];
    for sort in wanted {
        assert!(
            tally.get(sort).is_some_and(|count| *count >= 2),
            "{sort}: {tally:?}"
        );
    }
}
