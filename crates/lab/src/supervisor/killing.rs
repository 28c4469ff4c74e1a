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
    // Another PID namespace's /proc has other numbers.
    let own = fs::read_link("/proc/self").is_ok_and(|link| {
        link.to_str().and_then(|text| text.parse().ok()) == Some(std::process::id())
    });
    let Some(wanted) = net.id().ok().filter(|_| own) else {
        return;
    };
    for _round in 0..ROUNDS_MAX {
        let inside = processes().filter(|number| {
            let its = Netns::of_pid(*number).and_then(|net| net.id());
            *number != std::process::id() && its.is_ok_and(|its| its == wanted)
        });
        let inside: Vec<u32> = inside.collect();
        if inside.is_empty() {
            return;
        }
        for pid in inside.into_iter().filter_map(pid) {
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
