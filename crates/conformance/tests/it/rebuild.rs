//! Programs of random clusters come back from their tables as they were, and no missing element goes unnoticed.

use std::collections::BTreeMap;

use oncilla_net::{Packet, Verdict};
use oncilla_nft::object::Verdict as KernelVerdict;
use oncilla_nft::{BankSetName, Placement, lower, rebuild, reread, table};
use oncilla_program::{GroupId, LOOPBACK, Passage, Program};
use oncilla_testkit::cluster::Size;

use super::differential::World;

const CLUSTERS: u64 = 12;
/// Clusters whose chains are read backwards, and packets that are asked of each of their programs at each interface.
const BACKWARD_CLUSTERS: u64 = 10;
const PACKETS: usize = 200;
const SIZE: Size = Size {
    pods: 10,
    policies: 24,
    sets: 4,
    hosts: 5,
};
/// One set or chain in so many loses something: each costs a whole program.
const STEP: usize = 12;

/// What a set is for.
fn sort(name: &str) -> &'static str {
    match name {
        _ if BankSetName::parse(name).is_some() => "bank",
        "addr4" | "addr6" | "net4" | "net6" => "addresses",
        "to_wl" | "from_wl" => "dispatch",
        "open_in" | "open_out" => "open",
        "failsafe_in" | "failsafe_out" => "failsafes",
        "hep" | "hep_any" => "other",
        _ if name.starts_with("hep_") => "host dispatch",
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
        let is_rare = matches!(
            sort(&name),
            "addresses" | "dispatch" | "failsafes" | "host dispatch" | "open" | "ports"
        );
        if !is_rare && at % STEP != first {
            continue;
        }
        let filled = ruleset.sets.get_mut(&name).expect("its name was listed");
        let Some(element) = filled.elements.pop_last() else {
            continue;
        };
        let sort = sort(&name);
        // An interface without its own element is judged as all others are, which may be the same.
        let others = ruleset.sets.get(name.replace("hep_", "hep_any_").as_str());
        let others = others.into_iter().flat_map(|filled| &filled.elements);
        let other = others.map(|other| other.verdict_value()).next().flatten();
        let other = other.unwrap_or(&KernelVerdict::Return);
        let is_same = sort == "host dispatch" && element.verdict_value() == Some(other);
        if sort != "other" && !is_same {
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
        // Of two alike one is enough.
        let is_needed = chain.rules.first() != Some(&rule);
        let rebuilt = rebuild(program, &placements, &ruleset);
        let is_missed = rebuilt != *program;
        assert!(is_missed || !is_needed, "{rule:?} of {name} is not missed");
        *tally.entry("rule").or_default() += 1;
        let chain = ruleset.chains.get_mut(name).expect("its name was listed");
        chain.rules.insert(0, rule);
    }
}

#[test]
fn programs_come_back_from_tables_and_nothing_missing_is_overlooked() {
    let mut tally = BTreeMap::new();
    for seed in 0..CLUSTERS {
        let world = World::of_size(30_000 + seed, SIZE).expect("a random cluster is valid");
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
        "failsafes",
        "host dispatch",
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

/// Both programs about the same packets, on every way through the node: how many are denied.
fn agree(program: &Program, other: &Program, packets: &[Packet]) -> usize {
    let names = program.endpoints.keys().chain(program.hosts.keys());
    let mut interfaces: Vec<&str> = names.map(|name| &**name).collect();
    // One that only the host endpoint of all interfaces covers, and one that none does.
    interfaces.extend(["eth77", LOOPBACK]);
    let mut denied = 0;
    for (packet, at) in packets.iter().zip(0..) {
        for (index, interface) in interfaces.iter().enumerate() {
            let next = interfaces[(index + at + 1) % interfaces.len()];
            for passage in [
                Passage::input(interface),
                Passage::output(interface),
                Passage::forward(interface, next),
            ] {
                let one = program.judge(&passage, packet);
                let two = other.judge(&passage, packet);
                assert_eq!(
                    (one.verdict, one.accepted),
                    (two.verdict, two.accepted),
                    "{passage:?} {packet:?}: {one:?} {two:?}\n{program}\nread backwards:\n{other}"
                );
                denied += usize::from(one.verdict == Verdict::Deny);
            }
        }
    }
    denied
}

#[test]
fn chains_read_backwards_judge_alike() {
    let (mut packets, mut denied, mut rules) = (0, 0, 0);
    for seed in 0..BACKWARD_CLUSTERS {
        let mut world = World::of_size(31_000 + seed, SIZE).expect("a random cluster is valid");
        let asked = world.random.packets(PACKETS);
        for (_, program) in world.engine.programs() {
            let ids = program.groups.keys().cloned();
            let placements: BTreeMap<GroupId, Placement> =
                ids.map(|id| (id, Placement::default())).collect();
            let ruleset = lower(program, &placements, table());
            let other = reread(program, &placements, &ruleset);
            let lost = program
                .groups
                .keys()
                .find(|id| !other.groups.contains_key(*id));
            assert_eq!(lost, None, "{program}");
            let banks = program.groups.values().flat_map(|group| group.banks());
            rules += banks.map(|bank| bank.tail.len()).sum::<usize>();
            denied += agree(program, &other, &asked);
            packets += asked.len();
        }
    }
    assert!(
        rules > 500 && denied > packets,
        "{rules} {denied} {packets}"
    );
}
