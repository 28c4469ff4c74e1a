//! Waiting until no packet is under way in the rules of a moment ago.

use rustix::event::{PollFd, Timespec, poll};
use rustix::thread::{MembarrierCommand, membarrier};

use crate::calls;

/// The wait where the kernel cannot tell: far longer than any packet stays in nf_tables.
const PAUSE_MS: i64 = 100;

/// Returns when every packet that was being judged when this was called has been judged.
///
/// Packets pass nf_tables inside an RCU read section, and `membarrier` waits for all of those; it takes some ten
/// milliseconds. It cannot where processors run without a tick, and has nothing to wait for with one processor,
/// where a process may be preempted while it sends: there this waits 100 ms.
pub fn wait_for_packets() {
    calls::quiesce();
    let told = membarrier(MembarrierCommand::Global).is_ok();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if told && processors > 1 {
        return;
    }
    let none: &mut [PollFd<'_>] = &mut [];
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: PAUSE_MS * 1_000_000,
    };
    while let Err(rustix::io::Errno::INTR) = poll(none, Some(&pause)) {}
}
