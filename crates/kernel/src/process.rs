//! Processes and their namespaces: what a supervisor of agents and containers needs from the kernel.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, Resource, Signal};
use rustix::thread::{CpuSet, ThreadNameSpaceType, UnshareFlags};

/// Whether anybody can still read what is written into a pipe or socket; true for everything else, and when in doubt.
pub fn has_reader(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut fds, Some(&now)).is_err() || !fds[0].revents().intersects(gone)
}

/// A set of namespaces to be entered or made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of named kernel namespaces, each in or out"
)]
pub struct Namespaces {
    /// Users and capabilities.
    pub user: bool,
    /// Mounts.
    pub mount: bool,
    /// Host name.
    pub host_name: bool,
    /// System V IPC.
    pub ipc: bool,
    /// Network.
    pub net: bool,
    /// Process ids: of children, not of the caller.
    pub pid: bool,
}

/// Who is at the other end of a unix socket, as the kernel knows it since `connect` or `socketpair`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerCredentials {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Process.
    pub pid: u32,
}

/// A stable handle on a process: its number may be used again, this never means another one. Minimum kernel 5.3.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(
        process(pid)?,
        PidfdFlags::empty(),
    )?)
}

/// Sends signal number `signal` to the process behind a handle.
pub fn pidfd_signal(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    let signal = named_signal(signal)?;
    Ok(rustix::process::pidfd_send_signal(pidfd, signal)?)
}

/// Moves the calling thread into namespaces of the process behind `pidfd`, all or none. Minimum kernel 5.8.
/// User and mount namespaces need a process with one thread.
pub fn enter_namespaces(pidfd: &OwnedFd, which: Namespaces) -> io::Result<()> {
    let mut kinds = ThreadNameSpaceType::empty();
    for (on, kind) in [
        (which.user, ThreadNameSpaceType::USER),
        (which.mount, ThreadNameSpaceType::MOUNT),
        (
            which.host_name,
            ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
        ),
        (which.ipc, ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
        (which.net, ThreadNameSpaceType::NETWORK),
        (which.pid, ThreadNameSpaceType::PROCESS_ID),
    ] {
        kinds.set(kind, on);
    }
    Ok(rustix::thread::move_into_thread_name_spaces(
        pidfd.as_fd(),
        kinds,
    )?)
}

/// Moves the calling thread into fresh namespaces. A user namespace needs a process with one thread.
pub fn unshare(which: Namespaces) -> io::Result<()> {
    let mut flags = UnshareFlags::empty();
    for (on, flag) in [
        (which.user, UnshareFlags::NEWUSER),
        (which.mount, UnshareFlags::NEWNS),
        (which.host_name, UnshareFlags::NEWUTS),
        (which.ipc, UnshareFlags::NEWIPC),
        (which.net, UnshareFlags::NEWNET),
        (which.pid, UnshareFlags::NEWPID),
    ] {
        flags.set(flag, on);
    }
    // SAFETY: none of these flags changes the file descriptor table.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

/// The calling process gets `signal` when the thread that started it ends. Set it first thing in a child, then
/// compare [`parent_pid`] with the expected parent: it may be gone already.
pub fn die_with_parent(signal: i32) -> io::Result<()> {
    let signal = named_signal(signal)?;
    Ok(rustix::process::set_parent_process_death_signal(Some(
        signal,
    ))?)
}

/// The parent's number; 0 when it is outside of this pid namespace.
pub fn parent_pid() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
}

/// Orphaned descendants become children of the calling process instead of init's: it can wait for all of them.
pub fn become_subreaper() -> io::Result<()> {
    // Any number but 0 means on.
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

/// Makes every mount of the calling process private: what it mounts is seen by nobody outside.
pub fn make_mounts_private() -> io::Result<()> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", flags)?)
}

/// Mounts an empty tmpfs of at most `size_bytes`, with the octal `mode` of its root.
pub fn mount_tmpfs(target: &Path, size_bytes: u64, mode: u32) -> io::Result<()> {
    let options = std::ffi::CString::new(format!("size={size_bytes},mode={mode:o}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount(
        "tmpfs",
        target,
        "tmpfs",
        flags,
        Some(options.as_c_str()),
    )?)
}

/// Mounts `/proc` of the calling process's pid namespace.
pub fn mount_proc(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("proc", target, "proc", flags, None)?)
}

/// Mounts `/sys` of the calling process's network namespace.
pub fn mount_sys(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("sysfs", target, "sysfs", flags, None)?)
}

/// Makes `source` (file or folder, with what is mounted below it) appear at `target`, which must exist.
pub fn mount_bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind_recursive(source, target)?)
}

/// Makes the mount at `target` read-only.
pub fn remount_read_only(target: &Path) -> io::Result<()> {
    let flags = MountFlags::BIND | MountFlags::RDONLY;
    Ok(rustix::mount::mount_remount(target, flags, c"")?)
}

/// Takes the mount at `target` away at once; users of it keep what they have open.
pub fn unmount(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::DETACH)?)
}

/// Who is at the other end of `stream`.
pub fn peer_credentials(stream: &UnixStream) -> io::Result<PeerCredentials> {
    let credentials = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(PeerCredentials {
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
        pid: credentials.pid.as_raw_nonzero().get().unsigned_abs(),
    })
}

/// The processors the calling thread may run on, in order.
pub fn cpu_affinity() -> io::Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// Keeps the calling thread, and threads it starts later, on processor `cpu`.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(Errno::INVAL.into());
    }
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// The processor the calling thread runs on now.
pub fn current_cpu() -> usize {
    rustix::thread::sched_getcpu()
}

/// Takes the exclusive lock of an open file without waiting; false when somebody else has it. It is let go when the
/// last copy of the descriptor is closed, also by death.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes the exclusive lock of an open file, waiting for whoever has it.
pub fn lock(file: &File) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| {
        rustix::fs::flock(file, FlockOperation::LockExclusive)
    })?)
}

/// Lets the lock of an open file go.
pub fn unlock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, FlockOperation::Unlock)?)
}

/// Raises this process's limit of open files to the highest it may; gives the new limit. Namespaces and their sockets
/// are files, and a lab has many.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

fn process(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| Errno::SRCH.into())
}

fn named_signal(number: i32) -> io::Result<Signal> {
    Signal::from_named_raw(number).ok_or_else(|| Errno::INVAL.into())
}
