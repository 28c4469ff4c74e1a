//! Entering a place of a lab and running a command there.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;

use oncilla_kernel::netns::Netns;
use oncilla_kernel::process::{self, Namespaces};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::LabError;
use crate::protocol::Doors;

/// Enters through the doors of supervisor `pid` and runs `command`.
pub(crate) fn run(pid: u32, doors: &Doors, command: &[OsString]) -> Result<u8, LabError> {
    enter(pid, doors).map_err(|source| LabError::Process {
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
    let code = runtime.block_on(wait(command));
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

async fn wait(command: &[OsString]) -> io::Result<u8> {
    // Keys such as Ctrl-C go to the command; this process only waits for what it makes of them.
    let _interrupt = signal(SignalKind::interrupt())?;
    let _quit = signal(SignalKind::quit())?;
    let mut command = command.iter();
    let program = command.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = tokio::process::Command::new(program)
        .args(command)
        .spawn()?;
    let status = child.wait().await?;
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}
