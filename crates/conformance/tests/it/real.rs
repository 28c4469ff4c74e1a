//! Random clusters that keep changing, with real packets: the judge and the kernel agree on every packet. In one run the
//! nodes have interfaces, host endpoints, services in front and connections that go on.

#[path = "real/ground.rs"]
pub(crate) mod ground;

use std::collections::BTreeMap;

use oncilla_conformance::rig::{Exchange, Rig};
use oncilla_net::{Protocol, Verdict};
use oncilla_testkit::cluster::{Flight, NODES, RandomCluster, Size};
use oncilla_verdict::{Answer, Chain, DecidedRule, Evaluator, Question};

use super::differential::{Failure, Seen, World, first_seed, judged, say};
use super::hosts::question;
use ground::{answer_to, nodes_of, prepare, shot, stage, translate};

/// Real packets of the run with hosts.
const PACKETS_MIN: u64 = 20_000;
/// How many clusters there can be: where clusters have too few pods for a round's packets, more are needed.
const CLUSTERS_MAX: u64 = 24;
const ROUNDS: usize = 5;
const FLIGHTS_A_ROUND: usize = 380;
const PACKETS_A_ROUND: usize = 220;
/// How often each chain must have decided, and each other way of deciding, in each verdict that it has.
const OFTEN: u64 = 10;
const SIZE: Size = Size {
    pods: 14,
    policies: 24,
    sets: 4,
    hosts: 5,
};

/// How often what decided which verdict.
type Decisions = BTreeMap<(String, Verdict), u64>;

/// What a run with hosts saw.
#[derive(Default, Debug)]
struct Sights {
    seen: Seen,
    decisions: Decisions,
    /// Packets that were sent to a service.
    translated: u64,
    /// Answers that passed because of their connection.
    answers: u64,
    /// Packets that untracked policy let in, and nobody followed.
    unfollowed: u64,
}

impl Sights {
    /// What was not seen often enough: clusters are few, and some have little of one thing.
    fn rare(&self) -> Vec<String> {
        use Verdict::{Allow, Deny};
        let chains = [
            Chain::Normal,
            Chain::Forward,
            Chain::PreDnat,
            Chain::Untracked,
        ];
        let chains = chains.map(|chain| chain.to_string());
        let both = ["workload", "endpoint-to-host"].map(str::to_owned);
        let both = chains.into_iter().chain(both);
        let both = both.flat_map(|what| [(what.clone(), Allow), (what, Deny)]);
        let deny = ["normal end", "forward end", "default"].map(|what| (what.to_owned(), Deny));
        let allow = ["failsafe", "no-policy", "neighbour", "profile"];
        let allow = allow.map(|what| (what.to_owned(), Allow));
        let decisions = both.chain(deny).chain(allow).map(|key| {
            let count = self.decisions.get(&key).copied().unwrap_or_default();
            (format!("{} {}", key.0, key.1), count)
        });
        let others = [
            ("translated".to_owned(), self.translated),
            ("answers".to_owned(), self.answers),
            ("unfollowed".to_owned(), self.unfollowed),
        ];
        let counts = decisions.chain(others);
        counts
            .filter(|(_, count)| *count < OFTEN)
            .map(|(what, count)| format!("{what}: {count}"))
            .collect()
    }
}

/// Sends real packets through one random cluster over `rounds` changes.
pub(crate) fn send(seed: u64, rounds: usize, packets: usize) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let mut world = World::new(seed)?;
    let mut rig = Rig::new(&NODES.map(str::to_owned))?;
    rig.become_cluster(world.random.objects())?;
    rig.add_outside(RandomCluster::outside_addresses())?;
    for round in 0..rounds {
        if round > 0 {
            rig.apply(&world.change()?)?;
        }
        let packets = world.random.packets(packets);
        let evaluator = Evaluator::new(&world.cluster);
        World::count_policies(&evaluator, &packets, &mut seen);
        let verdicts = rig.probe(&packets)?;
        for (packet, verdict) in packets.iter().zip(verdicts) {
            let expected = judged(&evaluator, packet)?;
            if verdict != expected {
                let report = world.report(&evaluator, packet, "the kernel", verdict);
                return Err(Failure::Mismatch(report));
            }
            seen.count(packet, &world.engine.judge(packet));
        }
    }
    Ok(seen)
}

/// Sends real packets of hosts, to hosts and through hosts of one random cluster over `rounds` changes.
fn send_with_hosts(seed: u64, rounds: usize, sights: &mut Sights) -> Result<(), Failure> {
    let mut world = World::of_size(seed, SIZE)?;
    let mut rig = Rig::new(&NODES.map(str::to_owned))?;
    rig.become_cluster(world.random.objects())?;
    prepare(&mut rig)?;
    for round in 0..rounds {
        if round > 0 {
            rig.apply(&world.change()?)?;
        }
        let mut flights = world.random.flights(FLIGHTS_A_ROUND);
        let packets = world.random.packets(PACKETS_A_ROUND);
        flights.extend(packets.into_iter().map(ground::flight));
        let (flights, services) = stage(&world, seed + round as u64, flights);
        translate(&rig, &NODES, &services)?;
        fly(&world, &mut rig, &flights, sights)?;
    }
    Ok(())
}

/// Sends flights and their answers, and compares both with what the judge says.
fn fly(
    world: &World,
    rig: &mut Rig,
    flights: &[Flight],
    sights: &mut Sights,
) -> Result<(), Failure> {
    let evaluator = Evaluator::new(&world.cluster);
    let shots: Vec<_> = flights.iter().map(shot).collect();
    let exchanges = rig.exchange(&shots)?;
    for (flight, exchange) in flights.iter().zip(&exchanges) {
        let answer = ask(&evaluator, &question(flight))?;
        // What is not followed is not translated either: then the packet never was the one that is asked about.
        if flight.original.is_some() && is_untracked(&answer) {
            continue;
        }
        let fate = world.engine.judge_flight(flight);
        if exchange.verdict != answer.verdict || fate.verdict != answer.verdict {
            return Err(difference(world, flight, exchange));
        }
        sights.seen.count(&flight.packet, &fate);
        *sights
            .decisions
            .entry((what(&answer), answer.verdict))
            .or_default() += 1;
        sights.translated += u64::from(flight.original.is_some());
        if let Some(back) = exchange.answer.and_then(|_| answer_to(world, flight)) {
            // Everything it meets: as a packet of its own it might be denied before untracked policy denies it too.
            let back = evaluator.explain(&question(&back));
            let back = back.map_err(|error| Failure::Broken(error.to_string()))?;
            check_answer(flight, (&answer, &back), exchange, sights)?;
        }
        let passed = nodes_of(world, flight);
        check_followers(flight, (&answer, &passed), exchange, sights)?;
    }
    Ok(())
}

fn ask(evaluator: &Evaluator, question: &Question) -> Result<Answer, Failure> {
    let answer = evaluator.decide(question);
    answer.map_err(|error| Failure::Broken(format!("{question:?}: {error}")))
}

/// What decided, in few words.
fn what(answer: &Answer) -> String {
    let decided = &answer.decided_by;
    let is_host = decided.at.starts_with("host:");
    match decided.rule {
        DecidedRule::Number(_) if is_host => decided.chain.to_string(),
        DecidedRule::EndOfTier if is_host => format!("{} end", decided.chain),
        DecidedRule::Number(_) | DecidedRule::EndOfTier => "workload".to_owned(),
        other => other.to_string(),
    }
}

fn difference(world: &World, flight: &Flight, exchange: &Exchange) -> Failure {
    let evaluator = Evaluator::new(&world.cluster);
    let answer = evaluator.explain(&question(flight));
    let fate = world.engine.judge_flight(flight);
    let programs: Vec<String> = world
        .engine
        .programs()
        .filter(|(node, _)| fate.stages.iter().any(|(stage, _)| stage == node))
        .map(|(node, program)| format!("== {node}\n{program}"))
        .collect();
    Failure::Mismatch(format!(
        "{flight:#?}\nthe kernel: {exchange:?}\nthe judge: {answer:#?}\nthe interpreter: {fate:#?}\n{}",
        programs.join("\n")
    ))
}

/// Whether an untracked rule let the packet pass somewhere: its connection is not followed there.
fn is_untracked(answer: &Answer) -> bool {
    answer.legs.iter().any(|leg| {
        leg.chain == Chain::Untracked
            && leg.verdict == Verdict::Allow
            && matches!(leg.decided_by.rule, DecidedRule::Number(_))
    })
}

/// The answer to a packet whose connection is followed everywhere passes whatever policy says of its own way, but for
/// untracked policy, which knows no connections.
fn check_answer(
    flight: &Flight,
    (answer, back): (&Answer, &Answer),
    exchange: &Exchange,
    sights: &mut Sights,
) -> Result<(), Failure> {
    let Some(found) = exchange.answer else {
        return Ok(());
    };
    if is_untracked(answer) || is_untracked(back) {
        return Ok(());
    }
    let denied = back
        .legs
        .iter()
        .any(|leg| leg.chain == Chain::Untracked && leg.verdict == Verdict::Deny);
    let expected = if denied {
        Verdict::Deny
    } else {
        Verdict::Allow
    };
    if found != expected {
        return Err(Failure::Mismatch(format!(
            "the answer to {flight:#?}: {exchange:?}, expected {expected}; the judge on the packet: {answer:#?}\nand on \
             its answer as a packet of its own: {back:#?}"
        )));
    }
    sights.answers += 1;
    Ok(())
}

/// Nodes follow what no untracked rule let pass, and nothing else.
fn check_followers(
    flight: &Flight,
    (answer, passed): (&Answer, &[String]),
    exchange: &Exchange,
    sights: &mut Sights,
) -> Result<(), Failure> {
    // A connection whose opening is answered by a reset, as TCP's are here, is forgotten at once.
    if answer.verdict == Verdict::Deny || flight.packet.protocol != Protocol::UDP {
        return Ok(());
    }
    for leg in &answer.legs {
        let Some(node) = leg.decided_by.at.strip_prefix("host:") else {
            continue;
        };
        let is_free =
            leg.chain == Chain::Untracked && matches!(leg.decided_by.rule, DecidedRule::Number(_));
        if is_free && exchange.followed_by.iter().any(|name| name == node) {
            return Err(Failure::Mismatch(format!(
                "{node} follows {flight:#?} though untracked policy let it pass: {exchange:?}"
            )));
        }
        sights.unfollowed += u64::from(is_free);
    }
    if !is_untracked(answer) && exchange.followed_by != passed {
        return Err(Failure::Mismatch(format!(
            "{flight:#?} is followed by {:?}, expected {passed:?}",
            exchange.followed_by
        )));
    }
    Ok(())
}

#[test]
fn the_kernel_agrees_with_the_judge_on_hosts() {
    let first = first_seed("kernel, hosts") + 50_000;
    let mut sights = Sights::default();
    for seed in first..first + CLUSTERS_MAX {
        if sights.seen.packets() >= PACKETS_MIN && sights.rare().is_empty() {
            break;
        }
        if let Err(failure) = send_with_hosts(seed, ROUNDS, &mut sights) {
            panic!("seed {seed}: {failure}");
        }
    }
    say(&format!("kernel, hosts: seeds from {first}: {sights:?}"));
    let packets = sights.seen.packets();
    assert!(packets >= PACKETS_MIN, "{packets}");
    sights.seen.assert_shares();
    assert_eq!(sights.rare(), [""; 0]);
}
