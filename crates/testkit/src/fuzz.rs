//! Arbitrary input for whoever reads input: inputs are made from a seed and from samples of the real thing, and every
//! one must be taken without a panic, within a named time and a named memory.
//!
//! A run is bounded by a number of inputs, so that the tests know how long it takes; `ONCILLA_FUZZ_SECONDS` makes it
//! as long as one likes (`make fuzz`). It says how many inputs there were and where its seeds start; `ONCILLA_SEED`
//! repeats it.

use std::fs;
use std::io::{self, Write as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::rng::Rng;

/// The longest input, in bytes.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;
/// How long one input may take; a machine that is busy with other things is allowed for.
pub const INPUT_TIME_MAX: Duration = Duration::from_mins(1);
/// The most memory of the process at any time, in KiB.
pub const MEMORY_KIB_MAX: u64 = 2 * 1024 * 1024;
/// Changes of one sample.
const CHANGES_MAX: u64 = 8;
/// Bytes that one change inserts, deletes or repeats.
const PIECE_BYTES_MAX: u64 = 64;

/// Where numbers stop fitting, and what ends or opens things in the formats that are read here.
const TELLING_BYTES: [u8; 24] = [
    0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, b'\n', b'\t', b' ', b'"', b'\'', b'{', b'}', b'[', b']',
    b'(', b')', b':', b',', b'-', b'&', b'*', b'!', b'0',
];

/// A run of one target.
#[derive(Debug)]
pub struct Run {
    name: &'static str,
    first: u64,
    inputs: u64,
}

/// Says which input was at work when a target panicked.
struct AtWork {
    name: &'static str,
    seed: u64,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!(
                "fuzz {}: the input of ONCILLA_SEED={}",
                self.name, self.seed
            ));
        }
    }
}

impl Run {
    /// A run of `inputs` inputs, or of as many as the time allows where one is set.
    pub fn new(name: &'static str, inputs: u64) -> Self {
        let first = number("ONCILLA_SEED").unwrap_or_else(seed_of_now);
        Self {
            name,
            first,
            inputs,
        }
    }

    /// Gives a generator to the target, input after input. Returns how many there were.
    ///
    /// # Panics
    /// When an input takes too long, or the process more memory than it may.
    pub fn generators(&self, mut target: impl FnMut(&mut Rng)) -> u64 {
        let seconds = number("ONCILLA_FUZZ_SECONDS").map(Duration::from_secs);
        let (start, mut slowest, mut count) = (now(), Duration::ZERO, 0);
        while match seconds {
            Some(seconds) => start.elapsed() < seconds,
            None => count < self.inputs,
        } {
            let seed = self.first.wrapping_add(count);
            let at_work = AtWork {
                name: self.name,
                seed,
            };
            let began = now();
            target(&mut Rng::new(seed));
            let took = began.elapsed();
            assert!(took < INPUT_TIME_MAX, "an input took {took:?}");
            drop(at_work);
            slowest = slowest.max(took);
            count += 1;
        }
        let memory = memory_kib();
        let (name, first) = (self.name, self.first);
        say(&format!(
            "fuzz {name}: {count} inputs from ONCILLA_SEED={first} in {:?}, the slowest {slowest:?}, {memory} KiB at most",
            start.elapsed()
        ));
        assert!(memory < MEMORY_KIB_MAX, "{memory} KiB");
        count
    }

    /// Gives bytes to the target: mostly samples with some changes, now and then nothing but noise.
    pub fn bytes(&self, samples: &[&[u8]], mut target: impl FnMut(&[u8])) -> u64 {
        self.generators(|rng| target(&input(rng, samples)))
    }
}

/// One input.
pub fn input(rng: &mut Rng, samples: &[&[u8]]) -> Vec<u8> {
    if samples.is_empty() || rng.chance(1, 8) {
        return noise(rng, 512);
    }
    let mut bytes = rng.pick(samples).to_vec();
    // One change goes deeper into a format than many, which hardly anything survives.
    let more = if rng.chance(1, 2) {
        0
    } else {
        rng.below(CHANGES_MAX)
    };
    for _ in 0..=more {
        change(rng, &mut bytes, samples);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn noise(rng: &mut Rng, most: u64) -> Vec<u8> {
    let length = rng.below(most);
    (0..length).map(|_| byte(rng)).collect()
}

fn byte(rng: &mut Rng) -> u8 {
    if rng.chance(1, 2) {
        *rng.pick(&TELLING_BYTES)
    } else {
        rng.next_u64().to_le_bytes()[0]
    }
}

/// A part of `bytes`, possibly empty.
fn piece(rng: &mut Rng, bytes: &[u8]) -> std::ops::Range<usize> {
    let start = rng.index(bytes.len() + 1);
    let length = usize::try_from(rng.below(PIECE_BYTES_MAX)).unwrap_or_default();
    start..(start + length).min(bytes.len())
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, samples: &[&[u8]]) {
    let place = rng.index(bytes.len() + 1);
    match rng.below(6) {
        0 => {
            let noise = noise(rng, PIECE_BYTES_MAX);
            bytes.splice(place..place, noise);
        }
        1 => {
            let gone = piece(rng, bytes);
            bytes.drain(gone);
        }
        2 => {
            let repeated = piece(rng, bytes);
            let repeated = bytes.get(repeated).unwrap_or_default().to_vec();
            bytes.splice(place..place, repeated);
        }
        3 => {
            let other = rng.pick(samples);
            let taken = piece(rng, other);
            let taken = other.get(taken).unwrap_or_default().to_vec();
            bytes.splice(place..place, taken);
        }
        4 => bytes.truncate(place),
        _ => {
            let new = byte(rng);
            if let Some(old) = bytes.get_mut(place) {
                *old = new;
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's configuration is its environment"
)]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text:?}: expected a number")))
}

/// Another place every time: runs look at new inputs, and say which.
#[expect(
    clippy::disallowed_methods,
    reason = "the time is where the seeds start"
)]
fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or_default() << 16
}

#[expect(clippy::disallowed_methods, reason = "a limit on time needs a clock")]
fn now() -> Instant {
    Instant::now()
}

/// The most memory that the process ever had, in KiB; 0 where nobody knows.
fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// Not captured by the test harness, so that it is seen.
fn say(line: &str) {
    drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_follow_from_the_seed_and_differ() {
        let samples: [&[u8]; 2] = [b"kind: Pod", b"{\"a\": [1, 2]}"];
        let made = |seed| input(&mut Rng::new(seed), &samples);
        let all: std::collections::BTreeSet<Vec<u8>> = (0..1_000).map(made).collect();
        // Half of them are one change of a short sample: many of those meet.
        assert!(all.len() > 600, "{}", all.len());
        assert_eq!(made(7), made(7));
        let known = |bytes: &&Vec<u8>| bytes.windows(4).any(|part| part == b"kind");
        assert!(all.iter().filter(known).count() > 100);
    }

    #[test]
    fn a_run_counts_and_a_slow_input_ends_it() {
        let mut seen = 0;
        assert_eq!(Run::new("counting", 50).bytes(&[], |_| seen += 1), seen);
        assert!(memory_kib() > 0);
    }
}
