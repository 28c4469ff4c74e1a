//! The file of figures, and the same lines for people: there with goals, misses marked.

use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

/// Rounds of the calibration loop: a dependent chain of multiplications, tens of milliseconds.
const CALIBRATION_ROUNDS: u64 = 50_000_000;

/// Figures in the order they were measured.
pub(crate) struct Report {
    lines: Vec<Value>,
    goals: usize,
    misses: Vec<String>,
}

/// A figure.
pub(crate) struct Figure {
    /// What was measured, scale included. `X/…` is derived from other rows, or stands beside them.
    pub(crate) bench: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// What a figure is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Against<'a> {
    /// What it is, and whether it was measured in this run.
    pub(crate) name: &'a str,
    /// Its value in the figure's unit.
    pub(crate) value: f64,
}

/// What an issue wants.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// The figure itself, in its unit, at most.
    Value(f64),
    /// Ours ÷ against, at most.
    Ratio(f64),
}

impl Report {
    pub(crate) fn new() -> Self {
        let machine = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = machine
            .lines()
            .find_map(|line| line.strip_prefix("model name\t: "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?");
        let first = json!({
            "commit": commit(),
            "machine": format!(
                "{} x {}, Linux {}, load {load}",
                cores,
                model.unwrap_or("?"),
                kernel.trim()
            ),
            "calibration": {"rounds": CALIBRATION_ROUNDS, "value": calibrate(), "unit": "s"},
        });
        println!("{first}");
        Self {
            lines: vec![first],
            goals: 0,
            misses: Vec::new(),
        }
    }

    /// Adds a figure that a goal is set for.
    pub(crate) fn goal(&mut self, figure: &Figure, against: Against<'_>, goal: Goal) {
        let ratio = figure.value / against.value;
        let (wanted, is_met) = match goal {
            Goal::Value(most) => (format!("{most} {}", figure.unit), figure.value <= most),
            Goal::Ratio(most) => (format!("ratio {most}"), ratio <= most),
        };
        let mark = if is_met { "met" } else { "MISS" };
        println!(
            "{:<38} {:>10.2} {:<5} {ratio:>7.3} x {} ({:.2})  goal <= {wanted}: {mark}",
            figure.bench, figure.value, figure.unit, against.name, against.value
        );
        self.goals += 1;
        if !is_met {
            self.misses.push(figure.bench.clone());
        }
        self.add(figure, Some((against.name, ratio)));
    }

    /// Adds a figure with what it is compared with, without a goal.
    pub(crate) fn compare(&mut self, figure: &Figure, against: Against<'_>) {
        let ratio = figure.value / against.value;
        println!(
            "{:<38} {:>10.2} {:<5} {ratio:>7.3} x {} ({:.2})",
            figure.bench, figure.value, figure.unit, against.name, against.value
        );
        self.add(figure, Some((against.name, ratio)));
    }

    /// Adds a figure without a goal.
    pub(crate) fn figure(&mut self, bench: &str, value: f64, unit: &'static str) {
        println!("{bench:<38} {value:>10.2} {unit}");
        let bench = bench.to_owned();
        self.add(&Figure { bench, value, unit }, None);
    }

    fn add(&mut self, figure: &Figure, against: Option<(&str, f64)>) {
        self.lines.push(json!({
            "bench": &figure.bench,
            "value": figure.value,
            "unit": figure.unit,
            "against": against.map(|(name, _)| name),
            "ratio": against.map(|(_, ratio)| ratio),
        }));
    }

    /// Writes the file whole, and says which goals were missed.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lines: Vec<String> = self.lines.iter().map(Value::to_string).collect();
        fs::write(path, lines.join("\n") + "\n")?;
        let met = self.goals - self.misses.len();
        println!("{met} of {} goals met", self.goals);
        for miss in &self.misses {
            println!("MISS {miss}");
        }
        Ok(())
    }
}

/// The commit, with a mark when what was measured is not it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let mark = if changed.is_empty() { "" } else { "+changes" };
    format!("{}{mark}", git(&["rev-parse", "--short", "HEAD"]))
}

fn calibrate() -> f64 {
    let start = Instant::now();
    let mut value = 1_u64;
    for round in 0..CALIBRATION_ROUNDS {
        value = black_box(
            value
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(round),
        );
    }
    black_box(value);
    start.elapsed().as_secs_f64()
}

/// The value below which `part` of the samples lie. Sorts.
pub(crate) fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into the samples"
    )]
    let at = ((samples.len().saturating_sub(1)) as f64 * part) as usize;
    samples.get(at).copied().unwrap_or_default()
}
