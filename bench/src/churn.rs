//! Endpoints come and go all the time while others connect.
//!
//! Scale: 100 policies, 1,000 updates of endpoints a second, a join or a leave each, of kinds that a policy means; connections
//! as in `connect`. Windows with and without churn follow each other; a rate is that of a whole window, the ratio the
//! median of neighbours'. The updates are put in force by the agent's own intake and pipeline on a thread of its own, on
//! another core than the connections; its processor time is the agent's but for reading the watch. Wrong verdicts: a
//! connection that is not made ends the run, and after every window a port that nobody allows must be silent.

use std::fs;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use oncilla_agent::{Options, street::Street};
use oncilla_api::{Kind, ObjectKey};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::process::pin_to_cpu;
use oncilla_store::{Revision, StoredObject};

use crate::connect::{Bed, objects};
use crate::report::{Against, Figure, Goal, Report, quantile};
use crate::scene::{NODE, client_kind, remote_address, running_pod};

const POLICIES: usize = 100;
const UPDATES_A_SECOND: u32 = 1_000;
/// Pairs of windows, and how long one is: a minute of churn.
const PAIRS: usize = 60;
const WINDOW: Duration = Duration::from_secs(1);
/// Endpoints that come and go.
const LATE: usize = 500;
/// The goals of the cost issue: connections with churn ÷ without, and processor seconds a second.
const RATE: f64 = 0.97;
const CORES: f64 = 0.10;

/// What one window came to.
struct Window {
    /// Microseconds a connection.
    cost: f64,
    /// Processor seconds a second of the agent's thread.
    cores: f64,
    updates: u64,
}

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut street = None;
    let mut bed = Bed::new(|netns| {
        street = Some(start(netns)?);
        Ok(())
    })?;
    let mut street = street.context("the bed has no node")?;
    bed.prove(true)?;
    let (mut ratios, mut cores, mut updates) = (Vec::new(), Vec::new(), 0);
    for pair in 0..PAIRS {
        let mut costs = [0.0; 2];
        // The one first, then the other: a machine that gets faster or slower does so to both.
        for has_churn in [pair.is_multiple_of(2), !pair.is_multiple_of(2)] {
            bed.flush()?;
            let window = window(&bed, has_churn.then_some(&mut street))?;
            bed.prove(true)?;
            costs[usize::from(has_churn)] = window.cost;
            updates += window.updates;
            if has_churn {
                cores.push(window.cores);
            }
        }
        let [without, with] = costs;
        ratios.push(with / without);
    }
    print(report, (&mut ratios, &mut cores), updates);
    Ok(())
}

fn print(report: &mut Report, (ratios, cores): (&mut [f64], &mut [f64]), updates: u64) {
    let figure = |bench: &str, value| Figure {
        bench: bench.to_owned(),
        value,
        unit: "count",
    };
    let without = Against {
        name: "without churn, same run",
        value: 1.0,
    };
    let cost = figure("B11/cost-of-connections", quantile(ratios, 0.5));
    report.goal(&cost, without, Goal::Ratio(1.0 / RATE));
    let most = Against {
        name: "the goal",
        value: CORES,
    };
    let core = figure("B11/agent-cores", quantile(cores, 0.5));
    report.goal(&core, most, Goal::Value(CORES));
    for (name, part) in [("X11/cost-q1", 0.25), ("X11/cost-q3", 0.75)] {
        report.figure(name, quantile(ratios, part), "count");
    }
    #[expect(clippy::cast_precision_loss, reason = "some 60,000")]
    report.figure("X11/updates", updates as f64, "count");
}

fn start(netns: &Netns) -> anyhow::Result<Street> {
    let objects = objects(POLICIES)?;
    let stored: Vec<StoredObject> = { objects.iter() }
        .map(|object| StoredObject {
            key: object.key(),
            revision: Revision(1),
            value: object.to_value(),
        })
        .collect();
    let options = Options::new(NODE.parse()?, "unused");
    let street =
        netns.run(|| Street::start(&options, stored).map_err(|error| error.to_string()))?;
    street.map_err(anyhow::Error::msg)
}

fn window(bed: &Bed<()>, street: Option<&mut Street>) -> anyhow::Result<Window> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let churning = street.map(|street| scope.spawn(|| churn(street, &is_over)));
        let cost = cost(bed);
        is_over.store(true, Ordering::Relaxed);
        let (cores, updates) = match churning {
            None => (0.0, 0),
            Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic))?,
        };
        Ok(Window {
            cost: cost?,
            cores,
            updates,
        })
    })
}

/// Microseconds a connection, over as many bursts as a window has.
fn cost(bed: &Bed<()>) -> anyhow::Result<f64> {
    let (started, mut sum, mut bursts) = (Instant::now(), 0.0, 0_u32);
    while started.elapsed() < WINDOW {
        sum += bed.burst()?;
        bursts += 1;
    }
    Ok(sum / f64::from(bursts))
}

/// Endpoints join and leave until the window is over: the share of a core that took, and how many there were.
fn churn(street: &mut Street, is_over: &AtomicBool) -> anyhow::Result<(f64, u64)> {
    if thread::available_parallelism()?.get() > 1 {
        pin_to_cpu(1)?;
    }
    let (started, before) = (Instant::now(), cpu_seconds()?);
    let mut number = 0;
    // A pair is always ended: the next window starts with nobody.
    while !is_over.load(Ordering::Relaxed) || number % 2 == 1 {
        let due = started + Duration::from_secs(number) / UPDATES_A_SECOND;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let which = usize::try_from(number / 2)? % LATE;
        let name = format!("late-{which}");
        let key = ObjectKey::namespaced(Kind::Pod, "bench", &name);
        let applied = if number % 2 == 0 {
            let (app, address) = (client_kind(which % 10), remote_address(200_000 + which));
            street.applied(StoredObject {
                value: running_pod(&name, "n2", &app, &address),
                key,
                revision: Revision(1),
            })
        } else {
            street.deleted(key, Revision(1))
        };
        let elements = applied
            .map_err(|error| anyhow::anyhow!("{error}"))?
            .elements;
        ensure!(elements == 1, "one pod is one element, not {elements}");
        number += 1;
    }
    let share = (cpu_seconds()? - before) / started.elapsed().as_secs_f64();
    Ok((share, number))
}

/// Processor seconds of the calling thread.
fn cpu_seconds() -> anyhow::Result<f64> {
    let path = "/proc/thread-self/schedstat";
    let nanoseconds = fs::read_to_string(path)?;
    let nanoseconds = nanoseconds.split(' ').next().context(path)?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}
