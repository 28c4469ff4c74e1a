//! Commands that are sent into a lab: what they hear, and how they end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use oncilla_kernel::process::{pidfd_open, pidfd_signal};

use crate::actors;
use crate::fixture::{Home, cluster, executable, options, wait_for};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "a_command_hears_the_signals_of_whoever_sent_it",
        a_command_hears_the_signals_of_whoever_sent_it,
    ),
    (
        "a_command_dies_with_whoever_sent_it",
        a_command_dies_with_whoever_sent_it,
    ),
    (
        "what_a_command_leaves_running_lives_on",
        what_a_command_leaves_running_lives_on,
    ),
];

const INTERRUPT: i32 = 2;
const KILL: i32 = 9;
const TERMINATE: i32 = 15;

/// Sends a command in and waits for its first line.
fn started(home: &Home, lab: &str, script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(executable())
        .args([actors::EXEC, home.base().to_str().unwrap(), lab, "quiet"])
        .args(["sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
    (child, out)
}

fn send(child: &Child, signal: i32) {
    pidfd_signal(&pidfd_open(child.id()).unwrap(), signal).unwrap();
}

/// How many processes of the lab have a word among their arguments.
fn count(home: &Home, lab: &str, word: &str) -> usize {
    // No process of the count itself has the word alone.
    let (first, rest) = word.split_at(1);
    let lines = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'";
    let script = format!("{lines} | grep -cx '[{first}]{rest}'");
    let output = home.exec(lab, "node:n1", &["sh", "-c", &script]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse().unwrap()
}

fn a_command_hears_the_signals_of_whoever_sent_it() {
    let home = Home::new();
    let lab = home.up(&options("c1", &cluster()));
    for (signal, name) in [(INTERRUPT, "INT"), (TERMINATE, "TERM")] {
        let script =
            format!("trap 'echo heard; exit 7' {name}; sleep 100000 >/dev/null & echo here; wait");
        let (mut child, mut out) = started(&home, "c1", &script);
        send(&child, signal);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "heard\n");
        assert_eq!(child.wait().unwrap().code(), Some(7));
        // One that does not care dies of it, and that is told as shells do.
        let (mut child, _out) = started(&home, "c1", "echo here; exec sleep 100000");
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal));
    }
    lab.down().unwrap();
}

fn a_command_dies_with_whoever_sent_it() {
    let home = Home::new();
    let lab = home.up(&options("c2", &cluster()));
    // A shell that waits, a child, and one that left its session.
    let child = "sh -c 'sleep 100000; :' one";
    let script = format!("{child} & setsid {child} & echo here; wait");
    let (mut child, _out) = started(&home, "c2", &script);
    wait_for("both children", || {
        (count(&home, "c2", "one") == 2).then_some(())
    });
    let (mut other, _other_out) =
        started(&home, "c2", "sh -c 'sleep 100000; :' two & echo here; wait");
    wait_for("the other's child", || {
        (count(&home, "c2", "two") == 1).then_some(())
    });
    send(&child, KILL);
    child.wait().unwrap();
    wait_for("the end of the command", || {
        (count(&home, "c2", "one") == 0).then_some(())
    });
    assert_eq!(count(&home, "c2", "two"), 1, "another command lives on");
    assert!(lab.status().unwrap().ready, "so does the pod");
    send(&other, TERMINATE);
    other.wait().unwrap();
    lab.down().unwrap();
}

fn what_a_command_leaves_running_lives_on() {
    let home = Home::new();
    let lab = home.up(&options("c3", &cluster()));
    let script = "sh -c 'sleep 100000; :' left >/dev/null & echo here";
    let (mut child, _out) = started(&home, "c3", script);
    assert!(child.wait().unwrap().success());
    // The lab has taken note of the end when it answers the next command.
    assert_eq!(count(&home, "c3", "left"), 1);
    lab.down().unwrap();
}
