//! The labs of one user: start one, find one, list them.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Shutdown};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use oncilla_api::Object;
use oncilla_kernel::probe::Capabilities;
use oncilla_store::folder::check_private;
use serde_json::Value;

use crate::error::LabError;
use crate::folder::{Folder, file_error, is_not_found, name_is_valid, own_folder};
use crate::lab::Lab;
use crate::options::{IPS_ANNOTATION, LabOptions, NODES_MAX};
use crate::protocol::{Event, Plan, decode_line, encode_line};
use crate::role::{GUARDIAN, ROLE_ARGUMENT};
use crate::supervisor::addresses;

/// The labs of one user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Labs {
    base: PathBuf,
}

impl Labs {
    /// Root's labs are in `/run/oncilla/lab`; other users' in `oncilla/lab` of their runtime folder
    /// (`XDG_RUNTIME_DIR`), or of one in `/tmp` when they have none or it is not theirs alone: `sudo -u` and `su` leave
    /// that of somebody else.
    pub fn of_user(runtime_folder: Option<&Path>) -> Self {
        let user = rustix::process::geteuid();
        let base = match runtime_folder {
            _ if user.is_root() => PathBuf::from("/run/oncilla/lab"),
            Some(folder) if check_private(folder).is_ok() => folder.join("oncilla/lab"),
            _ => own_folder().join("oncilla/lab"),
        };
        Self { base }
    }

    /// Labs in any folder.
    pub fn at(base: PathBuf) -> Self {
        Self { base }
    }

    /// The lab called `name`.
    ///
    /// # Errors
    /// [`LabError::NotRunning`], [`LabError::Name`]; [`LabError::Folder`] when another user could have put it there.
    pub fn find(&self, name: &str) -> Result<Lab, LabError> {
        let lab = Lab::found(name.to_owned(), self.safe_folder(name)?);
        if lab.answers() {
            return Ok(lab);
        }
        Err(LabError::NotRunning {
            name: name.to_owned(),
        })
    }

    /// All labs that run, by name.
    ///
    /// # Errors
    /// When the folder of labs cannot be read.
    pub fn running(&self) -> Result<Vec<Lab>, LabError> {
        let entries = match fs::read_dir(&self.base) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(file_error("read", &self.base, source)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names
            .iter()
            .filter_map(|name| self.find(name).ok())
            .collect())
    }

    /// Takes the lab called `name` down, also one that is still coming up, and what a killed one left.
    ///
    /// # Errors
    /// [`LabError::NotRunning`] when there was nothing; [`LabError::Stuck`].
    pub fn down(&self, name: &str) -> Result<(), LabError> {
        Lab::found(name.to_owned(), self.safe_folder(name)?).down()
    }

    /// Starts a lab and waits until it is ready. `progress` is told what it does now.
    ///
    /// # Errors
    /// [`LabError::AlreadyRunning`], [`LabError::Missing`], [`LabError::Failed`], …; nothing is left behind then.
    pub fn up(
        &self,
        options: &LabOptions,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Lab, LabError> {
        self.start(options)?.wait(progress)
    }

    /// Starts a lab without waiting for it.
    ///
    /// # Errors
    /// [`LabError::Name`], [`LabError::Options`], [`LabError::Missing`], [`LabError::Process`].
    pub fn start(&self, options: &LabOptions) -> Result<Rising, LabError> {
        check(options)?;
        let missing = Capabilities::probe().missing_for_lab();
        if !missing.is_empty() {
            return Err(LabError::Missing {
                what: missing.iter().map(ToString::to_string).collect(),
            });
        }
        let folder = self.folder(&options.name)?;
        let plan = plan(options, folder.path().to_owned());
        let process_error = |source| LabError::Process {
            action: "start the lab's guardian",
            source,
        };
        let (stream, theirs) = UnixStream::pair().map_err(process_error)?;
        let mut guardian = start_guardian(options, theirs).map_err(process_error)?;
        let mut writer = &stream;
        if let Err(source) = writer.write_all(encode_line(&plan).as_bytes()) {
            // It ended before it had read; nothing was made.
            drop(guardian.kill());
            drop(guardian.wait());
            return Err(process_error(source));
        }
        Ok(Rising {
            name: options.name.clone(),
            folder,
            stream: Arc::new(stream),
            guardian,
        })
    }

    /// The folder of a lab that may be there.
    fn safe_folder(&self, name: &str) -> Result<Folder, LabError> {
        let folder = self.folder(name)?;
        match folder.check() {
            Err(error) if is_not_found(&error) => Err(LabError::NotRunning {
                name: name.to_owned(),
            }),
            checked => checked.map(|()| folder),
        }
    }

    fn folder(&self, name: &str) -> Result<Folder, LabError> {
        if !name_is_valid(name) {
            return Err(LabError::Name {
                name: name.to_owned(),
            });
        }
        Ok(Folder::at(self.base.join(name)))
    }
}

/// A lab that is coming up.
#[derive(Debug)]
pub struct Rising {
    name: String,
    folder: Folder,
    stream: Arc<UnixStream>,
    guardian: Child,
}

impl Rising {
    /// A way to give up from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            stream: Arc::clone(&self.stream),
        }
    }

    /// Waits until the lab is ready.
    ///
    /// # Errors
    /// Why it is not; everything was taken down by then.
    pub fn wait(mut self, progress: &mut dyn FnMut(&str)) -> Result<Lab, LabError> {
        let mut failure = None;
        let stream = Arc::clone(&self.stream);
        let mut lines = BufReader::new(&*stream);
        let mut line = String::new();
        loop {
            line.clear();
            let read = lines.read_line(&mut line);
            if !matches!(read, Ok(length) if length > 0) {
                break;
            }
            match decode_line(&line) {
                Ok(Event::Progress { text }) => progress(&text),
                Ok(Event::Ready) => {
                    drop(lines);
                    return Ok(Lab::attached(self.name, self.folder, stream, self.guardian));
                }
                Ok(Event::Taken) => {
                    let name = self.name.clone();
                    failure = Some(LabError::AlreadyRunning { name });
                }
                Ok(Event::Failed { message, log }) => {
                    let name = self.name.clone();
                    failure = Some(LabError::Failed { name, message, log });
                }
                Err(error) => {
                    failure = Some(error);
                    drop(stream.shutdown(Shutdown::Both));
                }
            }
        }
        // The guardian's end is the end of all: only then is the failure told.
        drop(self.guardian.wait());
        Err(failure.unwrap_or(LabError::Interrupted { name: self.name }))
    }
}

/// A way to give up on a lab that is coming up.
#[derive(Clone, Debug)]
pub struct Canceller {
    stream: Arc<UnixStream>,
}

impl Canceller {
    /// Has everything taken down; [`Rising::wait`] then ends with [`LabError::Interrupted`].
    pub fn cancel(&self) {
        // An error means that the other end is gone already.
        drop(self.stream.shutdown(Shutdown::Write));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a lab is a process, started once"
)]
fn start_guardian(options: &LabOptions, stream: UnixStream) -> io::Result<Child> {
    let mut command = options.supervisor_command.iter();
    let program = command.next().ok_or(io::ErrorKind::NotFound)?;
    Command::new(program)
        .args(command)
        .args([ROLE_ARGUMENT, GUARDIAN])
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn check(options: &LabOptions) -> Result<(), LabError> {
    let refuse = |message| Err(LabError::Options { message });
    if !(1..=NODES_MAX).contains(&options.nodes) {
        let nodes = options.nodes;
        return refuse(format!("a lab has 1 to {NODES_MAX} nodes, not {nodes}"));
    }
    let mut seen: Vec<IpAddr> = Vec::new();
    for host in &options.outside {
        if host.addresses.is_empty() {
            return refuse("an outside host needs an address".to_owned());
        }
        for &address in &host.addresses {
            if !addresses::may_be_outside(address) {
                return refuse(format!(
                    "{address} cannot be an outside host's: it is a lab's own or no unicast address"
                ));
            }
            if seen.contains(&address) {
                return refuse(format!("two outside hosts have the address {address}"));
            }
            seen.push(address);
        }
    }
    Ok(())
}

fn plan(options: &LabOptions, folder: PathBuf) -> Plan {
    Plan {
        name: options.name.clone(),
        folder,
        nodes: options.nodes,
        objects: options.objects.iter().map(to_create).collect(),
        outside: options.outside.clone(),
        agent_command: options.agent_command.clone(),
        supervisor_command: options.supervisor_command.clone(),
        ready_timeout_ms: u64::try_from(options.ready_timeout.as_millis()).unwrap_or(u64::MAX),
    }
}

/// An object as it is created. A server takes no status from who creates a pod, so addresses that a manifest's status
/// asks for go into the annotation.
fn to_create(object: &Object) -> Value {
    let mut object = object.clone();
    object.default_fields();
    if let Object::Pod(pod) = &mut object {
        let mut asked: Vec<&str> = pod.status.pod_ips.iter().map(|ip| ip.ip.as_str()).collect();
        if asked.is_empty() && !pod.status.pod_ip.is_empty() {
            asked.push(&pod.status.pod_ip);
        }
        if !asked.is_empty() {
            let asked = asked.join(",");
            let annotations = &mut pod.metadata.annotations;
            annotations
                .entry(IPS_ANNOTATION.to_owned())
                .or_insert(asked);
        }
    }
    object.to_value()
}
