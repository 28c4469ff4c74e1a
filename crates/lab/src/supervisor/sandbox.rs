//! A place's namespaces: its network, and mounts of its own in which names resolve.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use oncilla_kernel::netns::Netns;
use oncilla_kernel::process::{self, Namespaces};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::protocol::Doors;

const MOUNT: Namespaces = Namespaces {
    user: false,
    mount: true,
    host_name: false,
    ipc: false,
    net: false,
    pid: false,
};

/// A place's namespaces.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) net: Netns,
    mount: File,
}

/// A process to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The whole environment; none: the supervisor's.
    pub(crate) environment: Option<Vec<(String, String)>>,
    pub(crate) working_folder: PathBuf,
    pub(crate) log: PathBuf,
}

impl Sandbox {
    /// Gives a network mounts of its own, with these files for names.
    pub(crate) fn new(net: Netns, hosts: &Path, resolv_conf: &Path) -> io::Result<Self> {
        let mount = net
            .run(|| {
                // Changes the mounts of this short-lived thread only.
                process::unshare(MOUNT)?;
                bind(hosts, Path::new("/etc/hosts"));
                bind(resolv_conf, Path::new("/etc/resolv.conf"));
                if let Err(error) = process::mount_sys(Path::new("/sys")) {
                    // Then /sys shows the interfaces of the machine; nothing but curiosity reads them.
                    tracing::debug!(%error, "/sys stays the machine's");
                }
                File::open("/proc/thread-self/ns/mnt")
            })
            .map_err(io::Error::other)??;
        Ok(Self { net, mount })
    }

    /// How others enter it.
    pub(crate) fn doors(&self, user_namespace: bool) -> Doors {
        Doors {
            net_fd: self.net.as_fd().as_raw_fd(),
            mount_fd: self.mount.as_raw_fd(),
            user_namespace,
        }
    }

    /// Starts a process inside and returns its number. Whoever waits for all children waits for it.
    pub(crate) fn start(&self, launch: &Launch) -> io::Result<u32> {
        let started = self.net.run(|| {
            // A thread can only change its mounts once it shares its folder with no other thread.
            process::unshare(MOUNT)?;
            move_into_link_name_space(self.mount.as_fd(), Some(LinkNameSpaceType::Mount))?;
            start(launch)
        });
        started.map_err(io::Error::other)?
    }
}

/// Starts a process in a network, with the supervisor's mounts.
pub(crate) fn start_in(net: &Netns, launch: &Launch) -> io::Result<u32> {
    net.run(|| start(launch)).map_err(io::Error::other)?
}

#[expect(
    clippy::disallowed_methods,
    reason = "agents and containers are processes, and this is where they start"
)]
fn start(launch: &Launch) -> io::Result<u32> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&launch.log)?;
    let mut command = Command::new(&launch.program);
    if let Some(environment) = &launch.environment {
        command.env_clear().envs(environment.iter().cloned());
    }
    let child = command
        .args(&launch.arguments)
        .current_dir(&launch.working_folder)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        // One group a container, so that it can be ended whole.
        .process_group(0)
        .spawn()?;
    Ok(child.id())
}

fn bind(source: &Path, target: &Path) {
    if let Err(error) = process::mount_bind(source, target) {
        let target = target.display();
        tracing::warn!(%error, %target, "names do not resolve inside");
        return;
    }
    if let Err(error) = process::remount_read_only(target) {
        // In a user namespace some flags of the machine's mounts may not be changed.
        tracing::debug!(%error, "a hosts file stays writable");
    }
}
