//! An agent in a process of its own, which can be killed at any instant. The process is this test program.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use oncilla_agent::{Options, TableOwner, run};
use oncilla_kernel::process::pidfd_open;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;

use super::harness::{NODE, World};

const SOCKET: &str = "ONCILLA_TEST_AGENT_SOCKET";
const OWNER: &str = "ONCILLA_TEST_AGENT_OWNER";

#[test]
#[ignore = "the child process of `AgentProcess`"]
fn agent_process() {
    let socket = std::env::var_os(SOCKET).unwrap();
    let mut options = Options::new(NODE.parse().unwrap(), socket);
    options.table_owner = if std::env::var_os(OWNER).unwrap() == "off" {
        TableOwner::Off
    } else {
        TableOwner::Auto
    };
    let (stop, stopped) = oneshot::channel::<()>();
    // The parent holds the other end: the agent ends with it, whatever happened to it.
    thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        drop(stop);
    });
    run(options, async move { drop(stopped.await) }).unwrap();
}

/// A running agent process; killed when dropped.
pub(crate) struct AgentProcess {
    child: Child,
    pidfd: OwnedFd,
}

impl AgentProcess {
    #[expect(
        clippy::disallowed_methods,
        reason = "the child is this test program itself"
    )]
    pub(crate) fn start(world: &World, owner: TableOwner) -> Self {
        let owner = if owner == TableOwner::Off {
            "off"
        } else {
            "auto"
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "it::process::agent_process"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(SOCKET, world.socket())
            .env(OWNER, owner)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = world.netns.run(move || command.spawn()).unwrap().unwrap();
        let pidfd = pidfd_open(child.id()).unwrap();
        Self { child, pidfd }
    }

    /// Lets it work for a time, then kills it with SIGKILL. It must not end by itself before.
    pub(crate) fn kill_after(mut self, time: Duration) {
        let timeout = Timespec::try_from(time).unwrap();
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let ended = poll(&mut fds, Some(&timeout)).unwrap();
        assert_eq!(
            ended,
            0,
            "the agent ended by itself: {:?}",
            self.child.wait()
        );
        self.kill();
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill_now(mut self) {
        self.kill();
    }

    fn kill(&mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
