//! Hosts in random clusters that keep changing: what they send, get and forward, judged by the judge and by the
//! interpreter of the compiled programs.

use std::collections::BTreeMap;
use std::thread;

use oncilla_net::Verdict;
use oncilla_testkit::cluster::{Flight, Size};
use oncilla_verdict::{Chain, DecidedRule, Evaluator, Hop, Question, Way};

use super::differential::{Failure, Seen, World, first_seed, say};

/// Packets of the interpreter's run.
const PACKETS_MIN: u64 = 1_000_000;
const THREADS: u64 = 2;
const CLUSTERS_MAX: u64 = 128;
const ROUNDS: usize = 16;
const FLIGHTS_A_ROUND: usize = 480;
const PACKETS_A_ROUND: usize = 160;
const SEEDS_A_THREAD: u64 = 1_000;
/// How often each chain must have decided, and each other way of deciding, in each verdict that it has.
const OFTEN: u64 = 50;

const SIZE: Size = Size {
    pods: 14,
    policies: 24,
    sets: 4,
    hosts: 5,
};

/// How often what decided which verdict.
type Decisions = BTreeMap<(String, Verdict), u64>;

/// What the judge is asked about a flight.
pub(crate) fn question(flight: &Flight) -> Question {
    Question {
        way: Way {
            out_by: Some(flight.out_by.clone()),
            in_by: Some(flight.in_by.clone()),
            through: { flight.through.iter() }
                .map(|(node, from, to)| Hop {
                    node: node.clone(),
                    in_by: Some(from.clone()),
                    out_by: Some(to.clone()),
                })
                .collect(),
            original: flight.original,
        },
        ..Question::from(flight.packet)
    }
}

/// Judges flights twice and says where the two differ.
fn compare(world: &mut World, decisions: &mut Decisions) -> Result<u64, Failure> {
    let flights = world.random.flights(FLIGHTS_A_ROUND);
    let evaluator = Evaluator::new(&world.cluster);
    for flight in &flights {
        let question = question(flight);
        let answer = evaluator.decide(&question);
        let answer = answer.map_err(|error| Failure::Broken(format!("{flight:?}: {error}")))?;
        let fate = world.engine.judge_flight(flight);
        if fate.verdict != answer.verdict {
            let full = evaluator.explain(&question);
            let programs: Vec<String> = world
                .engine
                .programs()
                .filter(|(node, _)| fate.stages.iter().any(|(stage, _)| stage == node))
                .map(|(node, program)| format!("== {node}\n{program}"))
                .collect();
            return Err(Failure::Mismatch(format!(
                "{flight:#?}\nthe judge says {}: {full:#?}\nthe interpreter says {}: {fate:#?}\n{}",
                answer.verdict,
                fate.verdict,
                programs.join("\n")
            )));
        }
        let decided = &answer.decided_by;
        let what = match decided.rule {
            DecidedRule::Number(_) | DecidedRule::EndOfTier if decided.at.starts_with("host:") => {
                let end = if decided.rule == DecidedRule::EndOfTier {
                    " end"
                } else {
                    ""
                };
                format!("{}{end}", decided.chain)
            }
            DecidedRule::Number(_) | DecidedRule::EndOfTier => "workload".to_owned(),
            other => other.to_string(),
        };
        *decisions.entry((what, answer.verdict)).or_default() += 1;
    }
    Ok(flights.len() as u64)
}

/// Judges one random cluster with hosts over `rounds` changes.
fn interpret(seed: u64, decisions: &mut Decisions) -> Result<u64, Failure> {
    let mut judged = 0;
    let mut world = World::of_size(seed, SIZE)?;
    for round in 0..ROUNDS {
        if round > 0 {
            world.change()?;
        }
        judged += compare(&mut world, decisions)?;
        world.compare(PACKETS_A_ROUND, &mut Seen::default())?;
        judged += PACKETS_A_ROUND as u64;
    }
    Ok(judged)
}

#[test]
fn the_interpreter_agrees_with_the_judge_on_hosts() {
    let first = first_seed("hosts") + 40_000;
    let run = |thread: u64| {
        let (mut judged, mut decisions) = (0, Decisions::new());
        let start = first + thread * SEEDS_A_THREAD;
        for seed in start..start + CLUSTERS_MAX {
            if judged >= PACKETS_MIN / THREADS {
                break;
            }
            match interpret(seed, &mut decisions) {
                Ok(more) => judged += more,
                Err(failure) => panic!("seed {seed}: {failure}"),
            }
        }
        (judged, decisions)
    };
    let parts: Vec<(u64, Decisions)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let joined = threads.into_iter();
        joined
            .map(|thread| thread.join().expect("every packet is judged alike"))
            .collect()
    });
    let (mut judged, mut decisions) = (0, Decisions::new());
    for (more, part) in parts {
        judged += more;
        for (what, count) in part {
            *decisions.entry(what).or_default() += count;
        }
    }
    say(&format!(
        "hosts: seeds from {first}: {judged} packets, {decisions:?}"
    ));
    assert!(judged >= PACKETS_MIN, "{judged}");
    let often = |what: &str, verdict| {
        let count = decisions
            .get(&(what.to_owned(), verdict))
            .copied()
            .unwrap_or_default();
        assert!(
            count >= OFTEN,
            "{what} {verdict} too rare: {count} of {decisions:?}"
        );
    };
    for chain in [
        Chain::Normal,
        Chain::Forward,
        Chain::PreDnat,
        Chain::Untracked,
    ] {
        often(&chain.to_string(), Verdict::Allow);
        often(&chain.to_string(), Verdict::Deny);
    }
    for what in ["normal end", "forward end", "default", "encapsulated"] {
        often(what, Verdict::Deny);
    }
    for what in ["workload", "profile", "endpoint-to-host"] {
        often(what, Verdict::Allow);
        often(what, Verdict::Deny);
    }
    for what in ["failsafe", "no-policy"] {
        often(what, Verdict::Allow);
    }
}
