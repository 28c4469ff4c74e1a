//! The file of figures, and the same lines for people.

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
}

/// What a figure is compared with.
pub(crate) struct Against<'a> {
    /// What it is, and whether it was measured in this run.
    pub(crate) name: &'a str,
    /// Its value in the figure's unit.
    pub(crate) value: f64,
}

impl Report {
    pub(crate) fn new() -> Self {
        let machine = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = machine
            .lines()
            .find_map(|line| line.strip_prefix("model name\t: "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let first = json!({
            "commit": commit(),
            "machine": format!("{} x {}, Linux {}", cores, model.unwrap_or("?"), kernel.trim()),
            "calibration": {"rounds": CALIBRATION_ROUNDS, "value": calibrate(), "unit": "s"},
        });
        println!("{first}");
        Self { lines: vec![first] }
    }

    /// Adds a figure that a goal is set for.
    pub(crate) fn goal(&mut self, bench: &str, value: f64, unit: &str, against: &Against<'_>) {
        let ratio = value / against.value;
        let (name, floor) = (against.name, against.value);
        println!("{bench:<40} {value:>10.2} {unit:<5} {ratio:>7.3} x {name} ({floor:.2} {unit})");
        self.lines.push(json!({
            "bench": bench, "value": value, "unit": unit, "against": name, "ratio": ratio,
        }));
    }

    /// Adds a figure without a goal.
    pub(crate) fn figure(&mut self, bench: &str, value: f64, unit: &str) {
        println!("{bench:<40} {value:>10.2} {unit}");
        self.lines
            .push(json!({"bench": bench, "value": value, "unit": unit}));
    }

    /// Writes the file whole.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lines: Vec<String> = self.lines.iter().map(Value::to_string).collect();
        fs::write(path, lines.join("\n") + "\n")
    }
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
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
