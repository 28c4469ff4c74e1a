//! A writer that is killed between two calls to the kernel, at each of them, while packets pass: every packet gets the
//! verdict of the program before or of the one after, and the next writer finishes what was begun.
//!
//! The tests kill at a part of the boundaries, `make soak` at every one, often also who comes to finish.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use oncilla_kernel::calls::trouble::{Trouble, plant};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::process::{pidfd_open, pidfd_signal};
use oncilla_net::Verdict;
use oncilla_testkit::rng::Rng;

use super::scenes::{Asking, Deed, Scene, World, expected, flows, open, scenes};
use super::support::is_soak;

const SCENE: &str = "ONCILLA_TEST_SCENE";
const BACK: &str = "ONCILLA_TEST_SCENE_BACK";
const BOUNDARY: &str = "ONCILLA_TEST_BOUNDARY";

const SIGKILL: i32 = 9;

/// Boundaries that the tests take, and `make soak`.
const KILLS: usize = 80;
const KILLS_SOAK: usize = 1_200;

/// The changes that are made while packets pass: policy is there before and after.
fn changes() -> Vec<Scene> {
    let mut scenes = scenes();
    scenes.retain(|scene| scene.before.is_some() && scene.deed != Deed::Repair);
    scenes
}

fn number(name: &str) -> usize {
    let text = std::env::var_os(name).unwrap();
    text.to_str().unwrap().parse().unwrap()
}

/// Begins the deed and dies before one of its calls, or behind the last.
#[test]
#[ignore = "the child process of the test below"]
fn writer() {
    let scene = changes().swap_remove(number(SCENE));
    let scene = if number(BACK) == 1 {
        scene.back()
    } else {
        scene
    };
    let boundary = number(BOUNDARY);
    let mut dataplane = scene.prepare();
    let own = pidfd_open(std::process::id()).unwrap();
    let die = move || pidfd_signal(&own, SIGKILL).unwrap();
    let mut before = 0;
    let planted = plant(move |_| {
        if before == boundary {
            die();
        }
        before += 1;
        Trouble::None
    });
    scene.act(&mut dataplane).unwrap();
    drop(planted);
    pidfd_signal(&pidfd_open(std::process::id()).unwrap(), SIGKILL).unwrap();
}

/// Runs [`writer`] to its death.
#[expect(
    clippy::disallowed_methods,
    reason = "the child is this test program itself"
)]
fn kill_writer(node: &Netns, (scene, back): (usize, bool), boundary: usize) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "it::killed::writer"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .env(SCENE, scene.to_string())
        .env(BACK, u8::from(back).to_string())
        .env(BOUNDARY, boundary.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    let status = node.run(move || command.status()).unwrap().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "{status:?}");
}

/// A change, and whether it is made back.
type Way = (usize, bool);

fn meant(scenes: &[Scene], (scene, back): Way) -> Scene {
    if back {
        scenes[scene].back()
    } else {
        scenes[scene].clone()
    }
}

/// How many boundaries a deed has: before each call, and behind all.
fn boundaries(scene: &Scene) -> usize {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let mut dataplane = scene.prepare();
    let planted = plant(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Trouble::None
    });
    scene.act(&mut dataplane).unwrap();
    drop(planted);
    calls.load(Ordering::Relaxed) + 1
}

/// The boundaries to kill at: pairs of one there and one back, so that the first program is there after each. All of
/// them, as often as it takes, or a part from all over.
fn points(node: &Netns, scenes: &[Scene], wanted: usize) -> Vec<[(Way, usize); 2]> {
    let mut all = Vec::new();
    for scene in 0..scenes.len() {
        let ways = [(scene, false), (scene, true)];
        let count = |way| node.run(|| boundaries(&meant(scenes, way))).unwrap();
        let counts = ways.map(count);
        for boundary in 0..*counts.iter().max().unwrap() {
            let at = |way: usize| (ways[way], boundary.min(counts[way] - 1));
            all.push([at(0), at(1)]);
        }
    }
    let pairs = wanted.div_ceil(2);
    let step = (all.len() / pairs).max(1);
    all.into_iter().cycle().step_by(step).take(pairs).collect()
}

/// What may be in force: from the last state that was complete to the last that was begun.
#[derive(Default)]
struct Progress {
    complete: AtomicUsize,
    begun: AtomicUsize,
    stop: AtomicBool,
}

/// The first and the last state that may have been in force, and what packets met.
type Round = (usize, usize, Vec<Verdict>);

fn ask_on(asking: &mut Asking, progress: &Progress) -> Vec<Round> {
    let mut rounds = Vec::new();
    while !progress.stop.load(Ordering::Acquire) {
        let first = progress.complete.load(Ordering::SeqCst);
        let verdicts = asking.ask();
        let last = progress.begun.load(Ordering::SeqCst);
        rounds.push((first, last, verdicts));
    }
    rounds
}

/// Kills writers at all points; the verdicts of each state that was made, and the kills.
fn kill_all(
    node: &Netns,
    points: &[[(Way, usize); 2]],
    progress: &Progress,
) -> (Vec<Vec<Verdict>>, usize) {
    let (flows, scenes) = (flows(), changes());
    let (mut rng, mut kills) = (Rng::new(7), 0);
    let mut states = vec![expected(&flows, scenes[0].before.as_ref())];
    for (way, boundary) in points.iter().flatten() {
        let scene = meant(&scenes, *way);
        states.push(expected(&flows, Some(&scene.after)));
        progress.begun.store(states.len() - 1, Ordering::SeqCst);
        kill_writer(node, *way, *boundary);
        kills += 1;
        while rng.chance(1, 3) {
            kill_writer(node, *way, rng.index(boundary + 1));
            kills += 1;
        }
        let finish = || {
            let mut dataplane = open(&scene.after);
            dataplane.start(&scene.after).unwrap();
            scene.assert_done(&mut dataplane, "after a kill");
        };
        node.run(finish).unwrap();
        progress.complete.store(states.len() - 1, Ordering::SeqCst);
    }
    (states, kills)
}

#[test]
fn killed_at_any_call_a_writer_leaves_the_old_or_the_new_verdict() {
    let (world, flows) = (World::new(), flows());
    let progress = Progress::default();
    let (scenes, wanted) = (changes(), if is_soak() { KILLS_SOAK } else { KILLS });
    let points = points(&world.node, &scenes, wanted);
    let base = scenes[0].before.clone().unwrap();
    let begin = || drop(open(&base).start(&base).unwrap());
    world.node.run(begin).unwrap();
    let mut asking = world.asking(&flows);
    let (states, kills, rounds) = thread::scope(|scope| {
        let killing = scope.spawn(|| {
            let done = kill_all(&world.node, &points, &progress);
            progress.stop.store(true, Ordering::Release);
            done
        });
        let asked = scope.spawn(|| ask_on(&mut asking, &progress));
        let done = killing.join();
        progress.stop.store(true, Ordering::Release);
        let rounds = asked.join().unwrap();
        let (states, kills) = done.unwrap();
        (states, kills, rounds)
    });
    let names: Vec<String> = points
        .iter()
        .flatten()
        .map(|((scene, back), boundary)| {
            let Scene { name, deed, .. } = scenes[*scene];
            format!("{name}, {deed:?}, back {back}, boundary {boundary}")
        })
        .collect();
    let (mut certain, mut old, mut new) = (0, 0, 0);
    for (first, last, verdicts) in &rounds {
        let possible = &states[*first..=*last];
        for (index, verdict) in verdicts.iter().enumerate() {
            let flow = flows[index];
            let is_possible = possible.iter().any(|state| state[index] == *verdict);
            assert!(
                is_possible,
                "{flow:?} got {verdict:?} in states {first}..={last}: {:?}",
                &names[*first..*last]
            );
            match (possible[0][index], possible[possible.len() - 1][index]) {
                (before, after) if before == after => certain += 1,
                (_, after) if after == *verdict => new += 1,
                _ => old += 1,
            }
        }
    }
    let probes = rounds.len() * flows.len();
    println!(
        "{kills} kills, {probes} probes: {certain} certain, {old} still old, {new} already new"
    );
    assert!(kills >= wanted, "{kills} kills");
    assert!(certain > 1_000 && old > 20 && new > 20);
}
