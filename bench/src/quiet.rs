//! What keeps the rest of the machine out of a measurement, as far as a process can.

use oncilla_kernel::process::pin_to_cpu;

/// The highest priority of an ordinary process.
const NICE_LEAST: i32 = -20;

/// The calling thread stays on one core, before everybody else who wants it. Threads it starts do so too.
pub(crate) fn alone() -> anyhow::Result<()> {
    pin_to_cpu(0)?;
    Ok(rustix::process::setpriority_process(None, NICE_LEAST)?)
}
