//! Network namespaces as owned values: make one, enter it for the length of a closure, drop it.
//!
//! No name is put anywhere in the file system: a namespace lives as long as a descriptor, a socket or a process in it.
//! The calling thread never changes its own namespace: work inside another one is done on a thread of its own, which
//! ends with the work, so a panic or an early return cannot leave a thread in the wrong place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic;
use std::thread::{self, JoinHandle};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use thiserror::Error;

use crate::link::{LinkError, Links};

/// What went wrong with a network namespace.
#[derive(Debug, Error)]
pub enum NetnsError {
    /// The kernel refused to make one.
    #[error(
        "no new network namespace could be made: CAP_SYS_ADMIN, or a user namespace, is needed"
    )]
    Create(#[source] io::Error),
    /// A namespace could not be opened.
    #[error("the network namespace at {path} could not be opened")]
    Open {
        /// Where it was looked for.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread could not move into the namespace.
    #[error("the network namespace could not be entered: CAP_SYS_ADMIN in its owner is needed")]
    Enter(#[source] io::Error),
    /// No thread to work in the namespace.
    #[error("no thread could be started to work in the network namespace")]
    Thread(#[source] io::Error),
}

/// What tells two namespaces apart while both exist: device and inode of the namespace file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetnsId {
    device: u64,
    inode: u64,
}

/// One network namespace, held by a descriptor.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
}

impl Netns {
    /// A fresh, anonymous namespace with nothing but a loopback interface that is down. The calling thread stays
    /// where it is.
    pub fn new() -> Result<Self, NetnsError> {
        thread::Builder::new()
            .name("netns-new".to_owned())
            .spawn(|| {
                // SAFETY: only the namespace of this short-lived thread changes; file descriptors stay shared.
                unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
                    .map_err(|errno| NetnsError::Create(errno.into()))?;
                Self::current()
            })
            .map_err(NetnsError::Thread)?
            .join()
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// The namespace the calling thread is in.
    pub fn current() -> Result<Self, NetnsError> {
        Self::open("/proc/thread-self/ns/net".to_owned())
    }

    /// The namespace of the process `pid`.
    pub fn of_pid(pid: u32) -> Result<Self, NetnsError> {
        Self::open(format!("/proc/{pid}/ns/net"))
    }

    /// The namespace at `path`: a bind mount as `ip netns` and container runtimes make them, or a `/proc` file.
    pub fn open(path: String) -> Result<Self, NetnsError> {
        match File::open(&path) {
            Ok(file) => Ok(Self { fd: file.into() }),
            Err(source) => Err(NetnsError::Open { path, source }),
        }
    }

    /// Another handle on the same namespace.
    pub fn try_clone(&self) -> Result<Self, NetnsError> {
        let fd = self.fd.try_clone().map_err(NetnsError::Enter)?;
        Ok(Self { fd })
    }

    /// What tells this namespace from others.
    pub fn id(&self) -> Result<NetnsId, NetnsError> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| NetnsError::Enter(errno.into()))?;
        Ok(NetnsId {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }

    /// Runs `work` on a thread inside the namespace and waits for it. Sockets opened there stay there. CPU affinity
    /// is inherited from the caller. A panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .name("netns-run".to_owned())
                .spawn_scoped(scope, || {
                    self.enter()?;
                    Ok(work())
                })
                .map_err(NetnsError::Thread)?;
            thread
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }

    /// Starts a thread that works inside the namespace; joining it tells whether it got there.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T, NetnsError>>, NetnsError> {
        let inside = self.try_clone()?;
        thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                inside.enter()?;
                drop(inside);
                Ok(work())
            })
            .map_err(NetnsError::Thread)
    }

    /// Moves the calling thread into the namespace for good. For a process's only thread before it starts others,
    /// or for a thread that ends there; everything else wants [`Netns::run`].
    pub fn enter(&self) -> Result<(), NetnsError> {
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| NetnsError::Enter(errno.into()))
    }

    /// Brings the loopback interface up.
    pub fn loopback_up(&self) -> Result<(), LinkError> {
        Links::open_in(self)?.set_up("lo")
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
