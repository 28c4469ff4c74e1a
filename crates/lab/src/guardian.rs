//! The guardian: starts the supervisor in namespaces of its own, and removes what is left when it is dead.
//!
//! It has one thread and stays so: who has asked for a new PID namespace for its children can start no threads any
//! more, and a user namespace can only be made by a process with one.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use oncilla_kernel::probe::Capabilities;
use oncilla_kernel::process::{self, Namespaces};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::folder::{Claimed, Folder, tail};
use crate::protocol::{DETACH, Event, Plan, encode_line};
use crate::role::{ROLE_ARGUMENT, SUPERVISOR};

/// How long a supervisor may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the guardian: its standard input is a socket to the caller.
pub(crate) fn run() -> ExitCode {
    match guard() {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is left to tell.
        Err(_error) => ExitCode::FAILURE,
    }
}

fn guard() -> io::Result<()> {
    let caller = standard_input()?;
    let mut line = String::new();
    BufReader::new(caller.try_clone()?).read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line)?;
    // A session of its own: the terminal's keys and its closing are for the caller.
    rustix::process::setsid().ok();
    std::env::set_current_dir("/")?;
    let claimed = match Folder::at(plan.folder.clone()).claim() {
        Ok(Some(claimed)) => claimed,
        Ok(None) => return tell(&caller, &Event::Taken),
        Err(error) => return tell(&caller, &failed(chain(&error))),
    };
    let outcome = live(&claimed, &plan, line, &caller);
    let removed = claimed.remove();
    if let Err(error) = outcome {
        tell(&caller, &failed(chain(&error)))?;
    }
    if let Err(error) = removed {
        tell(&caller, &failed(chain(&error)))?;
    }
    Ok(())
}

/// Starts the supervisor and stays until it is dead, and with it all that it started.
fn live(claimed: &Claimed, plan: &Plan, line: String, caller: &BlockingStream) -> io::Result<()> {
    let capabilities = Capabilities::probe();
    if !(capabilities.sys_admin && capabilities.net_admin) {
        enter_user_namespace()?;
    }
    process::unshare(Namespaces {
        pid: true,
        ..Namespaces::default()
    })?;
    let caller = caller.try_clone()?;
    caller.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (ours, theirs) = BlockingStream::pair()?;
        let child = start_supervisor(&claimed.folder, plan, theirs)?;
        ours.set_nonblocking(true)?;
        let mut watch = Watch {
            log: claimed.folder.log("supervisor"),
            caller: UnixStream::from_std(caller)?,
            attached: true,
            settled: false,
        };
        watch
            .until_dead(child, UnixStream::from_std(ours)?, line)
            .await
    })
}

/// Becomes root of a user namespace in which only the present user exists.
fn enter_user_namespace() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    process::unshare(Namespaces {
        user: true,
        ..Namespaces::default()
    })?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw()))
}

fn start_supervisor(folder: &Folder, plan: &Plan, stream: BlockingStream) -> io::Result<Child> {
    let log = File::create(folder.log("supervisor"))?;
    let mut command = plan.supervisor_command.iter();
    let program = command.next().ok_or(io::ErrorKind::NotFound)?;
    Command::new(program)
        .args(command)
        .args([ROLE_ARGUMENT, SUPERVISOR])
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .spawn()
}

struct Watch {
    log: std::path::PathBuf,
    caller: UnixStream,
    /// Whether the caller's end is the lab's.
    attached: bool,
    /// Whether the caller has heard that the lab is ready or has failed.
    settled: bool,
}

impl Watch {
    async fn until_dead(
        &mut self,
        mut child: Child,
        supervisor: UnixStream,
        plan: String,
    ) -> io::Result<()> {
        let mut signals = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ]
        .map(signal);
        let (from_supervisor, mut to_supervisor) = supervisor.into_split();
        let mut events = tokio::io::BufReader::new(from_supervisor).lines();
        // A supervisor that died before it read this has an exit status that says so.
        drop(to_supervisor.write_all(plan.as_bytes()).await);
        let mut to_supervisor = Some(to_supervisor);
        let mut talking = true;
        let mut overdue = pin!(sleep(STOP_TIMEOUT));
        let status = loop {
            let stopping = to_supervisor.is_none();
            tokio::select! {
                biased;
                event = events.next_line(), if talking => match event {
                    Ok(Some(event)) => self.pass_on(event).await,
                    Ok(None) | Err(_) => talking = false,
                },
                status = child.wait(), if !talking || stopping => break status?,
                () = self.caller_is_done(), if self.attached && !stopping => to_supervisor = None,
                () = any(&mut signals), if !stopping => to_supervisor = None,
                () = &mut overdue, if stopping => {
                    child.start_kill()?;
                    break child.wait().await?;
                }
            }
            if !stopping && to_supervisor.is_none() {
                overdue.set(sleep(STOP_TIMEOUT));
            }
        };
        self.explain(status, to_supervisor.is_none()).await;
        Ok(())
    }

    /// Gives an event of the supervisor to the caller, who may be gone.
    async fn pass_on(&mut self, event: String) {
        if !self.attached {
            return;
        }
        self.settled |= !matches!(
            serde_json::from_str(&event),
            Ok(Event::Progress { .. }) | Err(_)
        );
        drop(self.caller.write_all(format!("{event}\n").as_bytes()).await);
    }

    /// Returns when the caller has ended; never when it has detached.
    async fn caller_is_done(&mut self) {
        let mut line = String::new();
        let mut reader = tokio::io::BufReader::new(&mut self.caller);
        if reader.read_line(&mut line).await.is_ok() && line.trim_end() == DETACH {
            self.attached = false;
            std::future::pending::<()>().await;
        }
    }

    /// Tells a caller that still waits how the supervisor ended.
    async fn explain(&mut self, status: ExitStatus, asked: bool) {
        if self.settled || asked || !self.attached {
            return;
        }
        let event = Event::Failed {
            message: format!("its supervisor ended: {status}"),
            log: tail(&self.log),
        };
        drop(self.caller.write_all(encode_line(&event).as_bytes()).await);
    }
}

/// Waits for any of the signals; for ever when none could be watched.
async fn any(signals: &mut [io::Result<Signal>; 3]) {
    let [terminate, interrupt, hangup] = signals;
    tokio::select! {
        () = one(terminate) => {}
        () = one(interrupt) => {}
        () = one(hangup) => {}
    }
}

async fn one(signal: &mut io::Result<Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// The socket that a role is started with.
pub(crate) fn standard_input() -> io::Result<BlockingStream> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(BlockingStream::from(stdin))
}

pub(crate) fn failed(message: String) -> Event {
    Event::Failed {
        message,
        log: Vec::new(),
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn tell(mut caller: &BlockingStream, event: &Event) -> io::Result<()> {
    use io::Write as _;
    caller.set_nonblocking(false)?;
    caller.write_all(encode_line(event).as_bytes())
}
