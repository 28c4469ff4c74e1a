//! However a lab ends, nothing is left behind.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use oncilla_kernel::process::{pidfd_open, pidfd_signal};
use oncilla_lab::LabError;

use crate::actors;
use crate::census::{Census, Machine, assert_empty, guardian, supervisor};
use crate::fixture::{Home, cluster, executable, options};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "sigkill_of_the_supervisor_leaves_nothing",
        sigkill_of_the_supervisor_leaves_nothing,
    ),
    (
        "sigkill_of_the_guardian_leaves_a_folder_that_is_cleaned",
        sigkill_of_the_guardian_leaves_a_folder_that_is_cleaned,
    ),
    ("a_dropped_lab_leaves_nothing", a_dropped_lab_leaves_nothing),
    (
        "a_killed_caller_takes_its_lab_along",
        a_killed_caller_takes_its_lab_along,
    ),
    ("ctrl_c_takes_the_lab_along", ctrl_c_takes_the_lab_along),
    (
        "a_detached_lab_lives_on_until_it_is_taken_down",
        a_detached_lab_lives_on_until_it_is_taken_down,
    ),
    (
        "a_second_lab_of_the_same_name_is_refused",
        a_second_lab_of_the_same_name_is_refused,
    ),
    (
        "a_cancelled_lab_leaves_nothing",
        a_cancelled_lab_leaves_nothing,
    ),
    (
        "an_agent_that_dies_fails_the_lab_with_its_last_words",
        an_agent_that_dies_fails_the_lab_with_its_last_words,
    ),
    (
        "an_agent_that_is_killed_is_started_again",
        an_agent_that_is_killed_is_started_again,
    ),
    ("wrong_options_are_named", wrong_options_are_named),
];

const KILL: i32 = 9;
const INTERRUPT: i32 = 2;

fn send(pid: u32, signal: i32) {
    pidfd_signal(&pidfd_open(pid).unwrap(), signal).unwrap();
}

fn sigkill_of_the_supervisor_leaves_nothing() {
    let before = Machine::now();
    let home = Home::new();
    let lab = home.up(&options("e1", &cluster()));
    let folder = home.base().join("e1");
    let census = Census::of(&folder);
    send(supervisor(guardian(&folder)), KILL);
    lab.wait().unwrap();
    drop(lab);
    census.assert_gone();
    assert_empty(home.folder.path());
    before.assert_untouched();
    assert!(matches!(
        home.labs.find("e1"),
        Err(LabError::NotRunning { .. })
    ));
}

fn sigkill_of_the_guardian_leaves_a_folder_that_is_cleaned() {
    let home = Home::new();
    let lab = home.up(&options("e2", &cluster()));
    let folder = home.base().join("e2");
    let census = Census::of(&folder);
    send(guardian(&folder), KILL);
    drop(lab);
    census.assert_gone();
    assert!(folder.exists());
    assert_eq!(home.labs.running().unwrap().len(), 0);
    let again = home.up(&options("e2", &cluster()));
    let census = Census::of(&folder);
    send(guardian(&folder), KILL);
    drop(again);
    census.assert_gone();
    home.labs.down("e2").unwrap();
    assert_empty(home.folder.path());
    assert!(matches!(
        home.labs.down("e2"),
        Err(LabError::NotRunning { .. })
    ));
}

fn a_dropped_lab_leaves_nothing() {
    let home = Home::new();
    let lab = home.up(&options("e3", &cluster()));
    let census = Census::of(&home.base().join("e3"));
    drop(lab);
    census.assert_gone();
    assert_empty(home.folder.path());
}

/// Starts a caller and waits until its lab is up.
fn caller(executable: &Path, base: &Path, name: &str, mode: &str) -> Child {
    let mut child = Command::new(executable)
        .args([actors::UP, base.to_str().unwrap(), name, mode])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n");
    child
}

fn a_killed_caller_takes_its_lab_along() {
    ends_with_its_caller("e4", KILL);
}

fn ctrl_c_takes_the_lab_along() {
    ends_with_its_caller("e5", INTERRUPT);
}

fn ends_with_its_caller(name: &str, signal: i32) {
    let home = Home::new();
    let mut child = caller(Path::new(&executable()), &home.base(), name, "attached");
    let census = Census::of(&home.base().join(name));
    let lab = home.labs.find(name).unwrap();
    send(child.id(), signal);
    assert_eq!(child.wait().unwrap().signal(), Some(signal));
    lab.wait().unwrap();
    census.assert_gone();
    assert_empty(home.folder.path());
}

fn a_detached_lab_lives_on_until_it_is_taken_down() {
    let home = Home::new();
    let mut child = caller(Path::new(&executable()), &home.base(), "e6", "detached");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let names: Vec<String> = home
        .labs
        .running()
        .unwrap()
        .iter()
        .map(|lab| lab.name().to_owned())
        .collect();
    assert_eq!(names, ["e6"]);
    let lab = home.labs.find("e6").unwrap();
    assert!(lab.status().unwrap().ready);
    let census = Census::of(&home.base().join("e6"));
    let mut sleeper = Command::new(executable())
        .args([actors::EXEC, home.base().to_str().unwrap(), "e6", "quiet"])
        .args(["sh", "-c", "echo here; exec sleep 100000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(sleeper.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    lab.down().unwrap();
    // A command that was sent in dies too, and whoever waited for it hears so.
    assert_eq!(sleeper.wait().unwrap().code(), Some(128 + KILL));
    census.assert_gone();
    assert_empty(home.folder.path());
}

fn a_second_lab_of_the_same_name_is_refused() {
    let home = Home::new();
    let lab = home.up(&options("e7", &cluster()));
    let second = home.labs.up(&options("e7", &cluster()), &mut |_| {});
    let text = second.unwrap_err().to_string();
    assert!(text.contains("`oncilla lab down --name e7`"), "{text}");
    assert!(lab.status().unwrap().ready);
    let other = home.up(&options("e7-b", &cluster()));
    assert_eq!(home.labs.running().unwrap().len(), 2);
    other.down().unwrap();
    lab.down().unwrap();
    assert_empty(home.folder.path());
}

fn a_cancelled_lab_leaves_nothing() {
    let home = Home::new();
    let mut options = options("e8", &cluster());
    // Nobody reports, so it waits.
    options.agent_command = vec!["sh".into(), "-c".into(), "exec sleep 100000".into()];
    let rising = home.labs.start(&options).unwrap();
    let canceller = rising.canceller();
    let up = rising.wait(&mut |text| {
        if text.contains("waiting for the agents of n1, n2") {
            canceller.cancel();
        }
    });
    assert!(matches!(up, Err(LabError::Interrupted { .. })), "{up:?}");
    assert_empty(home.folder.path());
}

fn an_agent_that_dies_fails_the_lab_with_its_last_words() {
    let home = Home::new();
    let mut options = options("e9", &cluster());
    options.agent_command = vec![executable(), actors::BAD_AGENT.into()];
    let up = home.labs.up(&options, &mut |_| {});
    let text = up.unwrap_err().to_string();
    assert!(text.contains("the agent of node n"), "{text}");
    assert!(
        text.contains("\n  | the kernel has no such thing"),
        "{text}"
    );
    assert_empty(home.folder.path());
}

fn an_agent_that_is_killed_is_started_again() {
    let home = Home::new();
    let lab = home.up(&options("e10", &cluster()));
    let agent = |lab: &oncilla_lab::Lab| {
        let status = lab.status().unwrap();
        status.nodes.first().unwrap().agent.clone().unwrap()
    };
    let first = agent(&lab);
    home.text(
        "e10",
        "node:n1",
        &["sh", "-c", &format!("kill -KILL {}", first.pid.unwrap())],
    );
    let second = crate::fixture::wait_for("the next agent", || {
        let now = agent(&lab);
        (now.pid.is_some() && now.pid != first.pid).then_some(now)
    });
    assert_eq!(second.restarts, 1);
    assert_eq!(second.last_end.as_deref(), Some("signal 9"));
    lab.down().unwrap();
}

fn wrong_options_are_named() {
    let home = Home::new();
    let refusal = |change: &dyn Fn(&mut oncilla_lab::LabOptions)| {
        let mut options = options("x", &[]);
        change(&mut options);
        let up = home.labs.up(&options, &mut |_| {});
        up.unwrap_err().to_string()
    };
    let host = |ip: &str| oncilla_lab::OutsideHost::new(ip.parse().unwrap());
    for (text, words) in [
        (
            refusal(&|o| "../x".clone_into(&mut o.name)),
            "is no name for a lab",
        ),
        (refusal(&|o| o.nodes = 0), "1 to 64 nodes, not 0"),
        (
            refusal(&|o| o.outside = vec![host("10.65.1.2")]),
            "10.65.1.2 cannot be an outside host's",
        ),
        (
            refusal(&|o| o.outside = vec![host("1.1.1.1"), host("1.1.1.1")]),
            "two outside hosts have the address 1.1.1.1",
        ),
    ] {
        assert!(text.contains(words), "{text}");
    }
    std::fs::create_dir_all(home.base()).unwrap();
    let wide = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(home.base(), wide).unwrap();
    let text = refusal(&|_| {});
    assert!(
        text.contains("has mode 0777") && text.contains("chmod go-w"),
        "{text}"
    );
}
