//! Entering a place of a lab and running a command there.
//!
//! The connection to the lab stays open for as long as the command runs: when it closes without a word, whoever sent
//! the command in is dead, and the lab ends the command.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;

use oncilla_kernel::netns::Netns;
use oncilla_kernel::process::{self, Namespaces};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::LabError;
use crate::protocol::{COMMAND_DONE, COMMAND_VARIABLE, Doors, Entry};

/// Enters through the doors of supervisor `pid` and runs `command`.
pub(crate) fn run(
    pid: u32,
    entry: &Entry,
    command: &[OsString],
    mut lab: UnixStream,
) -> Result<u8, LabError> {
    enter(pid, &entry.doors).map_err(|source| LabError::Process {
        action: "enter the namespaces",
        source,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let process_error = |source| LabError::Process {
        action: "run the command",
        source,
    };
    let runtime = runtime.map_err(process_error)?;
    let program = command.first().cloned().unwrap_or_default();
    let code = runtime.block_on(wait(command, &entry.command));
    // A lab that is gone has ended the command itself.
    drop(lab.write_all(format!("{COMMAND_DONE}\n").as_bytes()));
    code.map_err(|source| LabError::Program { program, source })
}

fn enter(pid: u32, doors: &Doors) -> io::Result<()> {
    let pidfd = process::pidfd_open(pid)?;
    let net = Netns::open(format!("/proc/{pid}/fd/{}", doors.net_fd)).map_err(io::Error::other)?;
    let mount = File::open(format!("/proc/{pid}/fd/{}", doors.mount_fd))?;
    // A user namespace first: it gives the right to enter the others.
    if doors.user_namespace {
        let user = Namespaces {
            user: true,
            ..Namespaces::default()
        };
        process::enter_namespaces(&pidfd, user)?;
    }
    // The command becomes a child of this process inside the lab's PID namespace, and ends with it.
    let pid = Namespaces {
        pid: true,
        ..Namespaces::default()
    };
    process::enter_namespaces(&pidfd, pid)?;
    net.enter().map_err(io::Error::other)?;
    Ok(move_into_link_name_space(
        mount.as_fd(),
        Some(LinkNameSpaceType::Mount),
    )?)
}

async fn wait(command: &[OsString], variable: &str) -> io::Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut command = command.iter();
    let program = command.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = tokio::process::Command::new(program)
        .args(command)
        .env(COMMAND_VARIABLE, variable)
        .spawn()?;
    let status = loop {
        let passed_on = tokio::select! {
            status = child.wait() => break status?,
            _ = interrupt.recv() => (!has_keyboard()).then_some(Signal::INT),
            _ = quit.recv() => (!has_keyboard()).then_some(Signal::QUIT),
            _ = terminate.recv() => Some(Signal::TERM),
        };
        if let (Some(signal), Some(pid)) = (passed_on, child.id().and_then(process_number)) {
            // One that has ended meanwhile is waited for next.
            kill_process(pid, signal).ok();
        }
    };
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Whether we are what the terminal's keys go to, and with us the command: it had Ctrl-C from there already, and many
/// programs take a second one for impatience.
fn has_keyboard() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

fn process_number(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
