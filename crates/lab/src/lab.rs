//! A running lab, as seen from outside.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use oncilla_kernel::process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::error::LabError;
use crate::exec;
use crate::folder::{Folder, file_error};
use crate::place::Place;
use crate::probe::{Hold, HoldRequest, Probe, ProbeResult};
use crate::protocol::{Answer, DETACH, Request, decode_line, encode_line};
use crate::status::LabStatus;

/// How long a guardian may take to end a lab.
const DOWN_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a guardian that changes while we look is looked for again.
const DOWN_ATTEMPTS_MAX: u32 = 8;

/// A running lab.
///
/// The one that [`Labs::up`](crate::Labs::up) returns is attached: when it is dropped, or its process dies, the lab is
/// taken down. [`Lab::detach`] lets it live on.
#[derive(Debug)]
pub struct Lab {
    name: String,
    folder: Folder,
    attached: Option<Attached>,
}

/// The hold of a process on the lab it started.
#[derive(Debug)]
struct Attached {
    stream: Arc<UnixStream>,
    /// None once the lab is to live on.
    guardian: Option<Child>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(guardian) = &mut self.guardian {
            // Errors mean that the other end is gone already. What was started is also waited for, so that nothing
            // is left when this returns.
            drop(self.stream.shutdown(Shutdown::Write));
            drop(guardian.wait());
        }
    }
}

impl Lab {
    pub(crate) fn found(name: String, folder: Folder) -> Self {
        Self {
            name,
            folder,
            attached: None,
        }
    }

    pub(crate) fn attached(
        name: String,
        folder: Folder,
        stream: Arc<UnixStream>,
        guardian: Child,
    ) -> Self {
        Self {
            name,
            folder,
            attached: Some(Attached {
                stream,
                guardian: Some(guardian),
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The socket of its API server.
    pub fn socket(&self) -> PathBuf {
        self.folder.api_socket()
    }

    /// The folder its processes log into: `supervisor.log`, `agent-n1.log`, `pod-NAMESPACE-POD-CONTAINER.log`.
    pub fn logs(&self) -> PathBuf {
        self.folder.logs()
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it is gone.
    pub fn status(&self) -> Result<LabStatus, LabError> {
        match self.ask(&Request::Status)? {
            Answer::Status(status) => Ok(*status),
            other => Err(refusal(other)),
        }
    }

    /// Knocks at all doors at once; results come in the order of the probes.
    ///
    /// # Errors
    /// When the lab is gone. A probe that cannot be made is a result, not an error.
    pub fn connect_all(&self, probes: &[Probe]) -> Result<Vec<ProbeResult>, LabError> {
        let probes = probes.to_vec();
        match self.ask(&Request::Connect { probes })? {
            Answer::Connect { results } => Ok(results),
            other => Err(refusal(other)),
        }
    }

    /// Opens a TCP connection and keeps exchanging lines over it. The first event tells whether it came to be.
    ///
    /// # Errors
    /// When the lab is gone.
    pub fn hold(&self, request: &HoldRequest) -> Result<Hold, LabError> {
        let stream = self.send(&Request::Hold(request.clone()))?;
        Ok(Hold {
            lines: BufReader::new(stream),
        })
    }

    /// Runs a command inside a place, with the caller's terminal, and returns its exit code: 128 + n for signal n. The
    /// calling process moves into the place's namespaces for good, so it must have one thread only and little left to
    /// do. SIGINT, SIGQUIT and SIGTERM are passed on; the command dies with the lab, and with the calling process.
    ///
    /// # Errors
    /// [`LabError::UnknownPlace`], [`LabError::Program`], or a namespace could not be entered.
    pub fn exec(&self, place: &Place, command: &[OsString]) -> Result<u8, LabError> {
        let request = Request::Exec {
            place: place.clone(),
        };
        let stream = self.send(&request)?;
        let supervisor = process::peer_credentials(&stream).map_err(control_error)?;
        match receive(&stream)? {
            Answer::Exec(entry) => exec::run(supervisor.pid, &entry, command, stream),
            other => Err(refusal(other)),
        }
    }

    /// Lets the lab live on after this value and this process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn detach(&mut self) -> Result<(), LabError> {
        if let Some(mut attached) = self.attached.take() {
            let mut stream = &*attached.stream;
            let line = format!("{DETACH}\n");
            stream.write_all(line.as_bytes()).map_err(control_error)?;
            attached.guardian = None;
        }
        Ok(())
    }

    /// Waits until the lab is gone, whoever ends it.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn wait(&self) -> Result<(), LabError> {
        let Some(lock) = self.folder.open_lock()? else {
            return Ok(());
        };
        process::lock(&lock).map_err(|source| file_error("lock", self.folder.path(), source))
    }

    /// Takes the lab down and waits until nothing is left.
    ///
    /// # Errors
    /// [`LabError::NotRunning`] when there was nothing; [`LabError::Stuck`].
    pub fn down(self) -> Result<(), LabError> {
        self.end()
    }

    pub(crate) fn answers(&self) -> bool {
        UnixStream::connect(self.folder.control_socket()).is_ok()
    }

    fn end(&self) -> Result<(), LabError> {
        let name = &self.name;
        let mut found = false;
        for _attempt in 0..DOWN_ATTEMPTS_MAX {
            let Some(lock) = self.folder.open_lock()? else {
                break;
            };
            found = true;
            let free = process::try_lock(&lock)
                .map_err(|source| file_error("lock", self.folder.path(), source))?;
            if free {
                self.folder.remove()?;
                break;
            }
            // The lock was not free, so the guardian that wrote this number lives, or lived a moment ago.
            let Some(pid) = self.folder.guardian() else {
                continue;
            };
            let Ok(pidfd) = process::pidfd_open(pid) else {
                continue;
            };
            if process::try_lock(&lock).unwrap_or(false) {
                continue;
            }
            end_guardian(&pidfd).map_err(|action| match action {
                Some(source) => LabError::Process {
                    action: "end the lab's guardian",
                    source,
                },
                None => LabError::Stuck {
                    name: name.clone(),
                    pid,
                },
            })?;
        }
        if found {
            return Ok(());
        }
        Err(LabError::NotRunning { name: name.clone() })
    }

    fn ask(&self, request: &Request) -> Result<Answer, LabError> {
        receive(&self.send(request)?)
    }

    fn send(&self, request: &Request) -> Result<UnixStream, LabError> {
        let mut stream =
            UnixStream::connect(self.folder.control_socket()).map_err(|_nobody_listens| {
                LabError::NotRunning {
                    name: self.name.clone(),
                }
            })?;
        stream
            .write_all(encode_line(request).as_bytes())
            .map_err(control_error)?;
        Ok(stream)
    }
}

/// Asks a guardian to end, and sees to it that it does. An error without a cause: it does not.
fn end_guardian(pidfd: &std::os::fd::OwnedFd) -> Result<(), Option<std::io::Error>> {
    for signal in [Signal::TERM, Signal::KILL] {
        match process::pidfd_signal(pidfd, signal.as_raw()) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // No such process: it has ended by itself.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                return Ok(());
            }
            Err(error) => return Err(Some(error)),
        }
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        let timeout = Timespec::try_from(DOWN_TIMEOUT).unwrap_or_default();
        let ended = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)));
        if ended.map_err(|errno| Some(errno.into()))? > 0 {
            return Ok(());
        }
    }
    Err(None)
}

fn receive(stream: &UnixStream) -> Result<Answer, LabError> {
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Ok(0) => Err(LabError::Gone),
        Ok(_) => decode_line(&line),
        Err(source) => Err(control_error(source)),
    }
}

fn refusal(answer: Answer) -> LabError {
    match answer {
        Answer::UnknownPlace { place } => LabError::UnknownPlace { place },
        Answer::Refused { message } => LabError::Refused { message },
        Answer::Status(_) | Answer::Exec(_) | Answer::Connect { .. } => LabError::Refused {
            message: "the lab answered another question than was asked".to_owned(),
        },
    }
}

fn control_error(source: std::io::Error) -> LabError {
    LabError::Control { source }
}
