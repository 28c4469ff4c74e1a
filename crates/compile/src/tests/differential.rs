//! Compiled programs against the naive judge, and any split of the changes against one compilation.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::{Direction, Icmp, Packet, Protocol, Verdict, family_of};
use oncilla_program::{BankPlace, Outcome, Passage, Place, Program, Settings, Tally};

use super::Random;
use super::world::{ICMP_TYPES, PORTS, World, group_id, interface, naive_end};
use crate::Compiler;

fn random_packet(random: &mut Random, local: IpAddr, direction: Direction) -> Packet {
    let universe: Vec<IpAddr> = World::universe()
        .into_iter()
        .filter(|addr| family_of(*addr) == family_of(local))
        .collect();
    let peer = *random.pick(&universe);
    let (src, dst) = match direction {
        Direction::Ingress => (peer, local),
        Direction::Egress => (local, peer),
    };
    let protocols = [
        Protocol::TCP,
        Protocol::TCP,
        Protocol::UDP,
        Protocol::SCTP,
        Protocol::ICMP,
    ];
    let protocol = *random.pick(&protocols);
    let port = |random: &mut Random| {
        if protocol.has_ports() {
            *random.pick(&PORTS)
        } else {
            0
        }
    };
    Packet {
        src,
        dst,
        protocol,
        src_port: port(random),
        dst_port: port(random),
        icmp: Icmp::echo(protocol).map(|_| Icmp {
            kind: *random.pick(&ICMP_TYPES),
            code: u8::try_from(random.below(2)).unwrap(),
        }),
    }
}

/// A packet of a random way through the node, and its fate by the naive judge.
fn random_passage(random: &mut Random) -> (Option<usize>, Option<usize>, Packet) {
    let (from, to) = (random.below(3), random.below(3));
    let universe = World::universe();
    match random.below(3) {
        0 => (
            Some(from),
            None,
            random_packet(random, universe[from], Direction::Egress),
        ),
        1 => (
            None,
            Some(to),
            random_packet(random, universe[to], Direction::Ingress),
        ),
        _ => (
            Some(from),
            Some(to),
            random_packet(random, universe[to], Direction::Ingress),
        ),
    }
}

fn naive(world: &World, from: Option<usize>, to: Option<usize>, packet: &Packet) -> Verdict {
    let ends = [from.map(|from| 2 * from + 1), to.map(|to| 2 * to)];
    for number in ends.into_iter().flatten() {
        if naive_end(world, &world.groups[&group_id(number)], packet) == Verdict::Deny {
            return Verdict::Deny;
        }
    }
    Verdict::Allow
}

fn judge<T>(
    program: &Program,
    (from, to): (Option<usize>, Option<usize>),
    packet: &Packet,
    read: impl FnOnce(&Outcome<'_>) -> T,
) -> T {
    let name = |number: Option<usize>| number.map_or_else(|| Arc::from("eth0"), interface);
    let (from, to) = (name(from), name(to));
    read(&program.judge(&Passage::forward(&from, &to), packet))
}

/// A program compiled in one step from what the state is now.
fn from_scratch(world: &World) -> Program {
    let mut compiler = Compiler::new(Settings::default());
    compiler.apply(world, &world.since(&World::empty()));
    compiler.program().clone()
}

#[test]
fn programs_agree_with_the_naive_judge() {
    const WORLDS: u64 = 500;
    const PACKETS: usize = 2_200;
    let mut tally = Tally::default();
    let mut places: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let mut world = World::random(&mut random);
        for _ in 0..random.below(6) {
            world.change(&mut random, true);
        }
        let program = from_scratch(&world);
        for _ in 0..PACKETS {
            let (from, to, packet) = random_passage(&mut random);
            let verdict = judge(&program, (from, to), &packet, |outcome| {
                tally.count(outcome);
                let place = match outcome.decided.place {
                    Place::Rule { .. } => "rule",
                    Place::EndOfTier { .. } => "end of tier",
                    Place::ProfileAllow => "profile allow",
                    Place::ProfileRule { .. } => "profile rule",
                    Place::EndOfProfiles => "end of profiles",
                    _ => "other",
                };
                *places.entry(place).or_default() += 1;
                outcome.verdict
            });
            assert_eq!(
                verdict,
                naive(&world, from, to, &packet),
                "seed {seed}, {from:?} to {to:?}, {packet:?}\n{program:#?}"
            );
        }
    }
    assert!(tally.packets() >= 1_000_000, "{tally:?}");
    let share = tally.packets() / 20;
    for count in [
        tally.allowed,
        tally.denied,
        tally.passed,
        tally.ends_of_tier,
    ] {
        assert!(count >= share, "{tally:?}");
    }
    assert_eq!(places.len(), 5, "{places:?}");
}

/// A group spelled out judges alike, and names the rule that decides.
#[test]
fn what_is_spelled_out_decides_at_the_same_place() {
    let mut named = 0_u64;
    for seed in 0..100 {
        let mut random = Random::new(9_000 + seed);
        let mut world = World::random(&mut random);
        let mut compiler = Compiler::new(Settings::default());
        compiler.apply(&world, &world.since(&World::empty()));
        for _ in 0..random.below(4) {
            let before = world.clone();
            world.change(&mut random, true);
            compiler.apply(&world, &world.since(&before));
        }
        let program = compiler.program();
        let explained = program.groups.keys().map(|id| {
            let explanation = compiler.explain(&world, id).unwrap();
            (id.clone(), explanation)
        });
        let explained: BTreeMap<_, _> = explained.collect();
        for _ in 0..500 {
            let (_, _, packet) = random_passage(&mut random);
            for (id, group) in &program.groups {
                let peer = match group.direction {
                    Direction::Ingress => packet.src,
                    Direction::Egress => packet.dst,
                };
                let peer = program.addresses.class_of(peer);
                let judged = group.judge(program.sets(), peer, &packet);
                let said = explained[id].judge(peer, &packet);
                assert_eq!(judged.verdict, said.verdict, "seed {seed} {packet:?}");
                match (judged.place, said.place) {
                    (
                        Place::Rule { tier, name, .. },
                        Place::Rule {
                            tier: at,
                            at: BankPlace::Tail(comment),
                            ..
                        },
                    ) => {
                        assert_eq!(tier, at);
                        assert!(comment.starts_with(&format!("{name}/")), "{comment}");
                        named += 1;
                    }
                    (Place::ProfileRule { .. }, Place::ProfileRule { .. }) => {}
                    (one, other) => assert_eq!(one, other, "seed {seed} {packet:?}"),
                }
            }
        }
    }
    assert!(named > 50_000, "{named}");
}

#[test]
fn any_split_of_changes_gives_the_program_of_one_compilation() {
    let mut prepared = 0;
    for seed in 0..150 {
        let mut random = Random::new(1_000 + seed);
        let mut world = World::random(&mut random);
        let mut last = [World::empty(), World::empty()];
        let mut compilers = [(); 2].map(|()| Compiler::new(Settings::default()));
        for step in 0..25 {
            for (each, compiler) in compilers.iter_mut().enumerate() {
                // The first compiler sees every change by itself, the second whole batches.
                if each == 1 && random.chance(70) {
                    continue;
                }
                let delta = world.since(&last[each]);
                let before = compiler.program().clone();
                let changed = compiler.apply(&world, &delta);
                prepared += changed.prepared.len();
                let mut applied = before;
                applied.apply(&changed);
                assert_eq!(&applied, compiler.program());
                assert_eq!(
                    compiler.program(),
                    &from_scratch(&world),
                    "seed {seed}, step {step}"
                );
                assert!(
                    compiler
                        .apply(&world, &world.since(&world.clone()))
                        .is_empty()
                );
                last[each] = world.clone();
            }
            world.change(&mut random, true);
        }
    }
    assert!(prepared > 500, "new classes were prepared {prepared} times");
}

/// Between the phases of a delta every packet has the old definitions' verdict: first for the old
/// memberships, then for the new ones.
#[test]
fn preparing_changes_no_verdict_and_covers_new_classes() {
    let (mut prepared, mut checked) = (0, 0);
    for seed in 0..300 {
        let mut random = Random::new(5_000 + seed);
        let mut world = World::random(&mut random);
        let mut compiler = Compiler::new(Settings::default());
        compiler.apply(&world, &world.since(&World::empty()));
        for _ in 0..6 {
            let before = world.clone();
            for _ in 0..=random.below(3) {
                world.change(&mut random, false);
            }
            let mut program = compiler.program().clone();
            let delta = compiler.apply(&world, &world.since(&before));
            let sets_go = delta.class_sets.values().any(Option::is_none)
                || delta.port_sets.values().any(Option::is_none)
                || !delta.address_sets.is_empty();
            prepared += delta.prepared.len();
            for (id, group) in &delta.prepared {
                program.groups.insert(id.clone(), Arc::clone(group));
            }
            let packets: Vec<_> = (0..60).map(|_| random_passage(&mut random)).collect();
            for (from, to, packet) in &packets {
                let verdict = judge(&program, (*from, *to), packet, |outcome| outcome.verdict);
                assert_eq!(verdict, naive(&before, *from, *to, packet), "seed {seed}");
            }
            if sets_go {
                continue;
            }
            for (name, set) in &delta.class_sets {
                let old = program.class_sets.entry(name.clone()).or_default();
                old.classes.extend(&set.as_ref().unwrap().classes);
            }
            for (name, set) in &delta.port_sets {
                let old = program.port_sets.entry(name.clone()).or_default();
                old.members.extend(&set.as_ref().unwrap().members);
            }
            program.apply(&oncilla_program::ProgramDelta {
                addresses: delta.addresses.clone(),
                nets: delta.nets.clone(),
                ..Default::default()
            });
            let mut moved = world.clone();
            moved.groups.clone_from(&before.groups);
            for (from, to, packet) in &packets {
                checked += 1;
                let verdict = judge(&program, (*from, *to), packet, |outcome| outcome.verdict);
                assert_eq!(verdict, naive(&moved, *from, *to, packet), "seed {seed}");
            }
        }
    }
    assert!(
        prepared > 500 && checked > 30_000,
        "{prepared} prepared, {checked} checked"
    );
}
