//! Random clusters that keep changing: the judge and the interpreter of the compiled programs agree on every packet.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use oncilla_conformance::case::Change;
use oncilla_conformance::engine::{Engine, Fate, Unsettled};
use oncilla_conformance::rig::RigError;
use oncilla_net::{Family, Packet, Verdict, family_of};
use oncilla_nft::object::{Expr, SetRef::Named, Verdict as TableVerdict};
use oncilla_nft::{lower, table};
use oncilla_program::{Peer, PeerMatch, Program, SetRef};
use oncilla_testkit::cluster::{Edit, NODES, RandomCluster, Size};
use oncilla_verdict::{Answer, Cluster, Evaluator, Question};

use super::coverage::{Counting, Coverage, Parts};

/// Packets of the interpreter's run.
const PACKETS_MIN: u64 = 10_000_000;
/// Its threads, each with clusters of its own.
const THREADS: u64 = 2;
/// Clusters of a thread at most: where clusters have too few pods for a round's packets, more are needed.
const CLUSTERS_MAX: usize = 1_000;
/// How often each cluster is judged: at the start and after changes.
const ROUNDS: usize = 25;
const PACKETS_A_ROUND: usize = 5_000;
/// One packet of so many goes into the table of fields and outcomes.
const COVERED_EVERY: usize = 4;
/// In one round of so many the cluster is also judged without each sort of its objects, and how many questions.
const PARTS_EVERY: usize = 16;
const PARTS_QUESTIONS: usize = 300;
/// Clusters at most that are judged beyond the packets, until every pair of the table occurred often enough.
const CLUSTERS_MORE_MAX: u64 = 200;
/// The least share of each outcome, in percent.
const SHARE_MIN: u64 = 5;
/// The least mean number of policies that apply to an endpoint.
const POLICIES_MIN: u64 = 5;

/// Seeds of one thread of the interpreter's run.
const SEEDS_A_THREAD: u64 = 1_000;
/// Seeds of one day.
const SEEDS_A_DAY: u64 = 100_000;

/// Why a run ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Somebody's verdict is not the judge's.
    Mismatch(String),
    /// The kernel holds something else than the program.
    Differs(String),
    /// The engine could not go on, or the kernel refused.
    Refused(String),
    /// What the run stands on broke: never a verdict.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, text) = match self {
            Self::Mismatch(text) => ("verdicts differ", text),
            Self::Differs(text) => ("the kernel differs from the program", text),
            Self::Refused(text) => ("refused", text),
            Self::Broken(text) => ("the run itself broke", text),
        };
        write!(f, "{what}: {text}")
    }
}

impl From<RigError> for Failure {
    fn from(error: RigError) -> Self {
        let text = chain(&error);
        match error {
            RigError::Differs { .. } => Self::Differs(text),
            RigError::Refused { .. } | RigError::Dataplane { .. } | RigError::Engine(_) => {
                Self::Refused(text)
            }
            RigError::Topology(_)
            | RigError::Netns(_)
            | RigError::Prober(_)
            | RigError::Conntrack(_)
            | RigError::Connect(_)
            | RigError::Nobody(_)
            | RigError::Moved { .. } => Self::Broken(text),
        }
    }
}

/// How often each outcome occurred in one family.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Shares {
    pub(crate) packets: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    passed: u64,
    ends_of_tier: u64,
}

/// What a run saw.
#[derive(Clone, Default, Debug)]
pub(crate) struct Seen {
    pub(crate) families: BTreeMap<Family, Shares>,
    endpoints: u64,
    policies: u64,
    pub(crate) coverage: Coverage,
    pub(crate) parts: Parts,
}

impl Seen {
    pub(crate) fn count(&mut self, packet: &Packet, fate: &Fate<'_>) {
        let shares = self.families.entry(packet.family()).or_default();
        shares.packets += 1;
        match fate.verdict {
            Verdict::Allow => shares.allowed += 1,
            Verdict::Deny => shares.denied += 1,
        }
        shares.passed += u64::from(fate.passed());
        shares.ends_of_tier += u64::from(fate.reached_end_of_tier());
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (family, more) in &other.families {
            let shares = self.families.entry(*family).or_default();
            shares.packets += more.packets;
            shares.allowed += more.allowed;
            shares.denied += more.denied;
            shares.passed += more.passed;
            shares.ends_of_tier += more.ends_of_tier;
        }
        self.endpoints += other.endpoints;
        self.policies += other.policies;
        self.coverage.join(&other.coverage);
        self.parts.join(&other.parts);
    }

    /// The shares in one line; the tables are texts of their own.
    pub(crate) fn line(&self) -> String {
        let (families, endpoints, policies) = (&self.families, self.endpoints, self.policies);
        format!("{families:?}, {policies} policies of {endpoints} endpoints")
    }

    pub(crate) fn packets(&self) -> u64 {
        self.families.values().map(|shares| shares.packets).sum()
    }

    /// A run in which something hardly ever happened proves little.
    pub(crate) fn assert_shares(&self) {
        for family in Family::ALL {
            let shares = self.families[&family];
            for (name, count) in [
                ("allow", shares.allowed),
                ("deny", shares.denied),
                ("pass", shares.passed),
                ("end of tier", shares.ends_of_tier),
            ] {
                let enough = count * 100 >= shares.packets * SHARE_MIN;
                assert!(enough, "{family}: {name} too rare: {}", self.line());
            }
        }
        let enough = self.policies >= self.endpoints * POLICIES_MIN;
        assert!(enough, "too few policies an endpoint: {}", self.line());
    }
}

/// A world as it is at one moment, in all its forms.
pub(crate) struct World {
    pub(crate) random: RandomCluster,
    pub(crate) cluster: Cluster,
    pub(crate) engine: Engine,
    seed: u64,
    round: usize,
}

pub(crate) fn changes(edits: impl IntoIterator<Item = Edit>) -> Vec<Change> {
    let change = |(key, object)| match object {
        Some(object) => Change::Apply(object),
        None => Change::Delete(key),
    };
    edits.into_iter().map(change).collect()
}

pub(crate) fn new_engine() -> Engine {
    Engine::new::<Unsettled>(NODES.map(str::to_owned), &mut |_, _, _| Ok(())).expect("it settles")
}

pub(crate) fn feed(engine: &mut Engine, changes: &[Change]) -> Result<(), Failure> {
    let applied = engine.apply::<Unsettled>(changes, &mut |_, _, _| Ok(()));
    applied.map_err(|error| Failure::Refused(chain(&error)))
}

impl World {
    pub(crate) fn new(seed: u64) -> Result<Self, Failure> {
        Self::of_size(seed, Size::default())
    }

    pub(crate) fn of_size(seed: u64, size: Size) -> Result<Self, Failure> {
        let random = RandomCluster::new(seed, size);
        let cluster: Cluster = random.objects().values().cloned().collect();
        let mut engine = new_engine();
        let all = random.objects().values().cloned().map(Change::Apply);
        feed(&mut engine, &all.collect::<Vec<_>>())?;
        let world = Self {
            random,
            cluster,
            engine,
            seed,
            round: 0,
        };
        Ok(world)
    }

    /// Changes everything in the same way, the engine incrementally.
    pub(crate) fn change(&mut self) -> Result<Vec<Change>, Failure> {
        self.round += 1;
        let edits = changes(self.random.change());
        for edit in &edits {
            match edit {
                Change::Apply(object) => drop(self.cluster.insert(object.clone())),
                Change::Delete(key) => drop(self.cluster.remove(key)),
            }
        }
        feed(&mut self.engine, &edits)?;
        Ok(edits)
    }

    /// Judges packets twice and says where the two differ.
    pub(crate) fn compare(&mut self, count: usize, seen: &mut Seen) -> Result<(), Failure> {
        let packets = self.random.any_packets(count);
        let evaluator = Evaluator::new(&self.cluster);
        Self::count_policies(&evaluator, &packets, seen);
        let mut counting = Counting::new(&self.cluster);
        for (index, packet) in packets.iter().enumerate() {
            let answer = judged_with_trace(&evaluator, packet)?;
            let expected = answer.verdict;
            if index.is_multiple_of(COVERED_EVERY) {
                counting.count(&answer, &mut seen.coverage);
            }
            let fate = self.engine.judge(packet);
            if fate.verdict != expected {
                let report = self.report(&evaluator, packet, "the interpreter", fate.verdict);
                return Err(Failure::Mismatch(report));
            }
            seen.count(packet, &fate);
        }
        Ok(())
    }

    /// Judges some questions without each sort of the cluster's objects, in some rounds.
    pub(crate) fn count_parts(&self, asked: impl Iterator<Item = Question>, seen: &mut Seen) {
        if self.round.is_multiple_of(PARTS_EVERY) {
            let asked: Vec<Question> = asked.take(PARTS_QUESTIONS).collect();
            let evaluator = Evaluator::new(&self.cluster);
            seen.parts.count(&self.cluster, &evaluator, &asked);
        }
    }

    /// How many policies apply to an endpoint, in any direction; a few endpoints a round are enough.
    pub(crate) fn count_policies(evaluator: &Evaluator, packets: &[Packet], seen: &mut Seen) {
        for packet in packets.iter().take(8) {
            let answer = evaluator.explain(&Question::from(*packet));
            for leg in answer.iter().flat_map(|answer| &answer.legs) {
                // One direction of two: an endpoint has at least that many policies.
                let policies: usize = leg.tiers.iter().map(|tier| tier.policies.len()).sum();
                seen.endpoints += 1;
                seen.policies += policies as u64;
            }
        }
    }

    pub(crate) fn report(
        &self,
        evaluator: &Evaluator,
        packet: &Packet,
        judge: &str,
        told: Verdict,
    ) -> String {
        let answer = evaluator.explain(&Question::from(*packet));
        let mut text = format!(
            "seed {} round {}: {packet:?}\n{judge} says {told}\n",
            self.seed, self.round
        );
        let fate = self.engine.judge(packet);
        let key = answer
            .as_ref()
            .ok()
            .and_then(|answer| answer.decided_by.key.as_ref());
        if let Some(object) = key.and_then(|key| self.cluster.object(key)) {
            let _infallible = writeln!(text, "the judge goes by {}", object.to_value());
        }
        let _infallible = writeln!(text, "verdict: {answer:#?}\ninterpreter: {fate:#?}");
        for (node, program) in self.engine.programs() {
            if fate.stages.iter().any(|(name, _)| *name == node) {
                let _infallible = writeln!(text, "== {node}\n{program}");
            }
        }
        text
    }
}

/// The judge's verdict.
pub(crate) fn judged(evaluator: &Evaluator, packet: &Packet) -> Result<Verdict, Failure> {
    Ok(judged_with_trace(evaluator, packet)?.verdict)
}

/// The judge's verdict, and what led there.
fn judged_with_trace(evaluator: &Evaluator, packet: &Packet) -> Result<Answer, Failure> {
    let answer = evaluator.decide(&Question::from(*packet));
    answer.map_err(|error| Failure::Broken(error.to_string()))
}

/// Judges one random cluster over `rounds` changes.
pub(crate) fn interpret(seed: u64, rounds: usize, packets: usize) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let mut world = World::new(seed)?;
    for round in 0..rounds {
        if round > 0 {
            world.change()?;
        }
        world.compare(packets, &mut seen)?;
    }
    Ok(seen)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// Where a test's seeds start: at another place every day, so that every day looks at new clusters, or where
/// `ONCILLA_SEED` says, so that a red run can be repeated. Says which.
pub(crate) fn first_seed(test: &str) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's configuration is its environment"
    )]
    let named = std::env::var("ONCILLA_SEED").ok();
    let first = named.as_deref().map_or_else(seed_of_the_day, |seed| {
        let number = seed.parse();
        number.unwrap_or_else(|_| panic!("ONCILLA_SEED={seed:?}: expected a number, as in 20420"))
    });
    say(&format!(
        "{test}: seeds from {first}; ONCILLA_SEED={first} repeats this run"
    ));
    first
}

#[expect(
    clippy::disallowed_methods,
    reason = "the day is where the seeds of the day start"
)]
fn seed_of_the_day() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / (24 * 60 * 60) * SEEDS_A_DAY
}

pub(crate) fn say(line: &str) {
    // Not captured by the test harness, so that it is seen.
    io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .expect("the terminal takes a line");
}

/// Takes clusters until enough packets were judged.
pub(crate) fn judge_until(
    packets_min: u64,
    seeds: impl Iterator<Item = u64>,
    judge: impl Fn(u64) -> Result<Seen, Failure>,
) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        if seen.packets() >= packets_min {
            break;
        }
        match judge(seed) {
            Ok(more) => seen.join(&more),
            Err(failure) => panic!("seed {seed}: {failure}"),
        }
    }
    seen
}

/// Takes more clusters as long as some pair of the table is only too rare.
pub(crate) fn fill(
    seen: &mut Seen,
    first: u64,
    faults: impl Fn(&Seen) -> Vec<String>,
    mut judge: impl FnMut(u64, &mut Seen) -> Result<(), Failure>,
) {
    for seed in first..first + CLUSTERS_MORE_MAX {
        let faults = faults(seen);
        let is_rare = |fault: &String| fault.ends_with(" only");
        if faults.is_empty() || !faults.iter().all(is_rare) {
            return;
        }
        if let Err(failure) = judge(seed, seen) {
            panic!("seed {seed}: {failure}");
        }
    }
}

#[test]
fn the_interpreter_agrees_with_the_judge() {
    let first = first_seed("interpreter");
    let packets_min = packets_min(PACKETS_MIN);
    let mut seen = Seen::default();
    let parts: Vec<Seen> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let seeds = (first + thread * SEEDS_A_THREAD..).take(CLUSTERS_MAX);
                scope.spawn(move || {
                    judge_until(packets_min / THREADS, seeds, |seed| {
                        interpret(seed, ROUNDS, PACKETS_A_ROUND)
                    })
                })
            })
            .collect();
        let joined = threads.into_iter();
        let joined = joined.map(|thread| thread.join().expect("every packet is judged alike"));
        joined.collect()
    });
    for part in &parts {
        seen.join(part);
    }
    fill(
        &mut seen,
        first + THREADS * SEEDS_A_THREAD,
        |seen| seen.coverage.faults(false),
        |seed, seen| {
            seen.join(&interpret(seed, ROUNDS, PACKETS_A_ROUND / 5)?);
            Ok(())
        },
    );
    say(&seen.coverage.table());
    say(&format!("interpreter: seeds from {first}: {}", seen.line()));
    assert!(seen.packets() >= packets_min, "{}", seen.packets());
    seen.assert_shares();
    let faults = seen.coverage.faults(false);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// How many packets are judged: `ONCILLA_PACKETS` instead of a test's own number where that is more.
pub(crate) fn packets_min(own: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's configuration is its environment"
    )]
    let named = std::env::var("ONCILLA_PACKETS").ok();
    let wanted = named.as_deref().map_or(own, |packets| {
        let number = packets.parse();
        number.unwrap_or_else(|_| panic!("ONCILLA_PACKETS={packets:?}: expected a number"))
    });
    wanted.max(own)
}

/// The canonical form of every node's program.
fn canonical(engine: &Engine) -> BTreeMap<String, Program> {
    let programs = engine.programs();
    programs
        .map(|(node, program)| (node.to_owned(), program.canonical()))
        .collect()
}

#[test]
fn programs_depend_on_the_present_objects_only() {
    let first = first_seed("order") + 20_000;
    for seed in first..first + 40 {
        let mut world = World::new(seed).unwrap();
        // What was dropped, changed and added again on the way must leave no trace.
        for _ in 0..12 {
            world.change().unwrap();
        }
        let mut rng = oncilla_testkit::rng::Rng::new(seed);
        let mut all: Vec<Change> = world
            .random
            .objects()
            .values()
            .cloned()
            .map(Change::Apply)
            .collect();
        let mut at_once = new_engine();
        feed(&mut at_once, &all).unwrap();
        rng.shuffle(&mut all);
        // Repeated, dropped and added again, in batches of any size.
        let mut crooked = all.clone();
        for change in &all {
            if let (Change::Apply(object), true) = (change, rng.chance(1, 4)) {
                let place = rng.index(crooked.len());
                crooked.insert(place, Change::Delete(object.key()));
                crooked.push(change.clone());
            }
        }
        let mut split = new_engine();
        let mut rest = crooked.as_slice();
        while !rest.is_empty() {
            let length = (1 + rng.index(12)).min(rest.len());
            let (batch, after) = rest.split_at(length);
            feed(&mut split, batch).unwrap();
            rest = after;
        }
        let expected = canonical(&at_once);
        for (way, engine) in [("changes", &world.engine), ("splitting", &split)] {
            let found = canonical(engine);
            for (node, program) in &expected {
                assert!(
                    found[node] == *program,
                    "seed {seed}, {way}, node {node}:\n{}\n!=\n{}",
                    found[node],
                    program
                );
            }
        }
    }
}

/// The named sets that rules of a node's table ask, and the chains that they lead to, that the table does not have.
fn missing_in_table(program: &Program) -> Vec<String> {
    let ruleset = lower(program, &BTreeMap::new(), table());
    let mut missing = Vec::new();
    for (name, chain) in &ruleset.chains {
        for rule in &chain.rules {
            for set in rule.exprs.iter().filter_map(Expr::set) {
                if let Named(set) = set
                    && !ruleset.sets.contains_key(set)
                {
                    missing.push(format!("{name}: {set} in {rule:?}"));
                }
            }
            for expr in &rule.exprs {
                if let Expr::Verdict(TableVerdict::Jump(chain) | TableVerdict::Goto(chain)) = expr
                    && !ruleset.chains.contains_key(chain)
                {
                    missing.push(format!("{name}: {chain} in {rule:?}"));
                }
            }
        }
    }
    missing
}

/// The sets that a program's rules ask and that it does not have. A kernel would refuse such a rule.
fn missing_sets(program: &Program) -> Vec<String> {
    let sets = program.sets();
    let mut missing = Vec::new();
    for group in program.groups.values() {
        for rule in group.banks().flat_map(|bank| &bank.tail) {
            let peers: &[PeerMatch] = match &rule.peer {
                Peer::Sets(peers) => peers,
                Peer::Any | Peer::Classes(_) => &[],
            };
            let is_there = |set: &SetRef| match set {
                SetRef::Classes(name) => sets.classes.contains_key(name),
                SetRef::Addresses(name) => sets.addresses.contains_key(name),
                SetRef::Service(name) => sets.services.contains_key(name),
            };
            let found = peers.iter().all(|peer| is_there(&peer.set))
                && { rule.local.iter() }.all(|local| sets.addresses.contains_key(&local.set))
                && { rule.named_ports.iter() }.all(|port| sets.ports.contains_key(&port.set));
            if !found {
                missing.push(format!("group {}: {rule}", group.id));
            }
        }
    }
    missing
}

#[test]
fn programs_have_the_sets_that_their_rules_ask() {
    let first = first_seed("sets") + 50_000;
    let size = Size {
        hosts: 5,
        ..Size::default()
    };
    for seed in first..first + 40 {
        let mut world = World::of_size(seed, size).unwrap();
        for round in 0..12 {
            for (node, program) in world.engine.programs() {
                let missing = [missing_sets(program), missing_in_table(program)].concat();
                assert!(
                    missing.is_empty(),
                    "seed {seed}, round {round}, {node}: {missing:#?}"
                );
            }
            world.change().unwrap();
        }
    }
}

#[test]
fn packets_of_the_generator_have_two_ends_of_one_family() {
    let mut world = RandomCluster::new(1, Size::default());
    for packet in world.packets(1_000) {
        assert_ne!(packet.src, packet.dst);
        assert_eq!(family_of(packet.src), family_of(packet.dst));
    }
}
