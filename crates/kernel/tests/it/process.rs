//! Handles on processes, locks, credentials, processors, namespaces of others.

use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::thread;

use oncilla_kernel::netns::Netns;
use oncilla_kernel::process::{self, Namespaces};

#[test]
fn a_handle_signals_its_process() {
    let mut child = sleeper();
    let pidfd = process::pidfd_open(child.id()).unwrap();
    process::pidfd_signal(&pidfd, libc::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    // The process is gone, and the handle does not mean another one.
    process::pidfd_signal(&pidfd, libc::SIGTERM).unwrap_err();
    process::pidfd_open(0).unwrap_err();
    assert!(process::pidfd_signal(&pidfd, 9999).is_err());
}

#[test]
fn namespaces_of_another_process_are_entered() {
    let netns = Netns::new().unwrap();
    let mut child = netns.run(sleeper).unwrap();
    let pidfd = process::pidfd_open(child.id()).unwrap();
    let entered = thread::spawn(move || {
        let which = Namespaces {
            net: true,
            host_name: true,
            ..Namespaces::default()
        };
        process::enter_namespaces(&pidfd, which).unwrap();
        Netns::current().unwrap().id().unwrap()
    });
    assert_eq!(entered.join().unwrap(), netns.id().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn fresh_namespaces_are_the_threads_own() {
    let before = Netns::current().unwrap().id().unwrap();
    let inside = thread::spawn(|| {
        process::unshare(Namespaces {
            net: true,
            host_name: true,
            ..Namespaces::default()
        })
        .unwrap();
        Netns::current().unwrap().id().unwrap()
    });
    assert_ne!(inside.join().unwrap(), before);
    assert_eq!(Netns::current().unwrap().id().unwrap(), before);
}

#[test]
#[expect(
    unsafe_code,
    reason = "the only way to run something in a child before exec"
)]
fn a_child_dies_with_the_thread_that_started_it() {
    let mut child = thread::spawn(|| {
        let mut command = command("cat");
        command.stdin(Stdio::piped());
        // SAFETY: the closure makes one system call and allocates nothing.
        unsafe { command.pre_exec(|| process::die_with_parent(libc::SIGKILL)) };
        command.spawn().unwrap()
    })
    .join()
    .unwrap();
    // Its input is still open, so nothing but the signal ends it.
    let input = child.stdin.take();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    drop(input);
}

#[test]
fn mounts_of_a_private_namespace_stay_there() {
    let folder = std::env::temp_dir().join(format!("oncilla-mount-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let target = folder.clone();
    thread::spawn(move || {
        process::unshare(Namespaces {
            mount: true,
            ..Namespaces::default()
        })
        .unwrap();
        process::make_mounts_private().unwrap();
        process::mount_tmpfs(&target, 1 << 20, 0o700).unwrap();
        for name in ["proc", "sys", "bound"] {
            std::fs::create_dir(target.join(name)).unwrap();
        }
        process::mount_proc(&target.join("proc")).unwrap();
        process::mount_sys(&target.join("sys")).unwrap();
        process::mount_bind(&target.join("sys"), &target.join("bound")).unwrap();
        assert!(target.join("proc/version").exists());
        assert!(target.join("bound/class/net").exists());
        process::remount_read_only(&target.join("bound")).unwrap();
        process::unmount(&target.join("proc")).unwrap();
        assert!(!target.join("proc/version").exists());
    })
    .join()
    .unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn peers_are_known() {
    let (one, _other) = UnixStream::pair().unwrap();
    let peer = process::peer_credentials(&one).unwrap();
    assert_eq!(peer.pid, std::process::id());
    assert_eq!((peer.uid, peer.gid), (0, 0));
}

#[test]
fn locks_exclude_and_are_let_go() {
    let path = std::env::temp_dir().join(format!("oncilla-lock-{}", std::process::id()));
    let one = std::fs::File::create(&path).unwrap();
    let other = std::fs::File::open(&path).unwrap();
    assert!(process::try_lock(&one).unwrap());
    assert!(!process::try_lock(&other).unwrap());
    process::unlock(&one).unwrap();
    process::lock(&other).unwrap();
    assert!(!process::try_lock(&one).unwrap());
    drop(other);
    assert!(process::try_lock(&one).unwrap());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_pinned_thread_stays_where_it_is_put() {
    let before = process::cpu_affinity().unwrap();
    let cpu = *before.last().unwrap();
    thread::spawn(move || {
        process::pin_to_cpu(cpu).unwrap();
        assert_eq!(process::cpu_affinity().unwrap(), [cpu]);
        assert_eq!(process::current_cpu(), cpu);
        assert!(process::pin_to_cpu(100_000).is_err());
    })
    .join()
    .unwrap();
    assert_eq!(process::cpu_affinity().unwrap(), before);
}

#[test]
fn open_files_are_raised_to_the_most() {
    let limit = process::raise_open_files().unwrap();
    assert_eq!(process::raise_open_files().unwrap(), limit);
    assert!(limit >= 1024);
}

#[expect(clippy::disallowed_methods, reason = "a process to look at")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn sleeper() -> std::process::Child {
    command("sleep").arg("60").spawn().unwrap()
}
