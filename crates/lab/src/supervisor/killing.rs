//! Ending processes of pods.

use std::fs;

use oncilla_kernel::netns::Netns;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often processes are looked for again: one may have been starting another.
const ROUNDS_MAX: u32 = 8;

/// Ends a process group.
pub(crate) fn group(number: u32) {
    if let Some(pid) = pid(number) {
        // An error means that it has ended.
        kill_process_group(pid, Signal::KILL).ok();
    }
}

/// Ends every process in a network namespace, also one that left its group or was sent in from outside.
pub(crate) fn all_in(net: &Netns) {
    if let Ok(wanted) = net.id() {
        all(|number| {
            let its = Netns::of_pid(number).and_then(|net| net.id());
            its.is_ok_and(|its| its == wanted)
        });
    }
}

/// Ends every process that was started with a variable in its environment, as `NAME=VALUE`.
pub(crate) fn all_with(variable: &str) {
    all(|number| {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|its| its == variable.as_bytes())
    });
}

/// Ends all processes but this one that are meant, and those that they start meanwhile.
fn all(is_meant: impl Fn(u32) -> bool) {
    // Another PID namespace's /proc has other numbers.
    let own = fs::read_link("/proc/self").is_ok_and(|link| {
        link.to_str().and_then(|text| text.parse().ok()) == Some(std::process::id())
    });
    if !own {
        return;
    }
    for _round in 0..ROUNDS_MAX {
        let meant = processes().filter(|number| *number != std::process::id() && is_meant(*number));
        let meant: Vec<u32> = meant.collect();
        if meant.is_empty() {
            return;
        }
        for pid in meant.into_iter().filter_map(pid) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}
