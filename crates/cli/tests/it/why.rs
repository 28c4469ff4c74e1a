//! `oncilla why` offline: from manifests alone, without root and without a server.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::schema::Schema;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Asks about the demo's cluster and some of its policies.
#[expect(
    clippy::disallowed_methods,
    reason = "the test is about the executable"
)]
fn why(numbers: &[&str], arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncilla"));
    command.current_dir(root()).arg("why");
    let folder = root().join("examples/demo");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if numbers.iter().any(|number| name.starts_with(number)) {
            command.arg("-f").arg(format!("examples/demo/{name}"));
        }
    }
    let output = command.args(arguments).output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_exit_code_is_the_verdict() {
    for (numbers, question, code, decision) in [
        (
            vec!["00"],
            ["frontend", "backend", "tcp/8000"],
            0,
            "kns.production allows  <- decides",
        ),
        (
            vec!["00", "02"],
            ["frontend", "backend", "tcp/8000"],
            1,
            "so Deny  <- decides",
        ),
        (
            vec!["00", "02", "03"],
            ["frontend", "backend", "tcp/8000"],
            0,
            "ingress[0]  Allow  from pods app=frontend, tcp/8000  <- decides",
        ),
        (
            vec!["00", "04"],
            ["production/frontend", "production/database", "tcp/5432"],
            1,
            "ingress[0]  Deny  source app == 'frontend'  <- decides",
        ),
        (
            vec!["00", "05"],
            ["attacker", "api", "tcp/9000"],
            1,
            "ingress[1]  Deny  everything  <- decides",
        ),
        (
            vec!["00", "06"],
            ["frontend", "api", "tcp/9000"],
            0,
            "<- decides",
        ),
        (
            vec!["00", "06"],
            ["backend", "api", "tcp/9000"],
            1,
            "<- decides",
        ),
        (
            vec!["00", "06"],
            ["frontend", "api", "tcp/9001"],
            1,
            "<- decides",
        ),
        (
            vec!["00", "02"],
            ["203.0.113.9", "backend", "tcp/8000"],
            1,
            "<- decides",
        ),
    ] {
        let said = why(&numbers, &question);
        assert_eq!(
            said.code,
            Some(code),
            "{question:?}\n{}{}",
            said.out,
            said.err
        );
        let first = if code == 0 { "ALLOW  " } else { "DENY   " };
        assert!(said.out.starts_with(first), "{}", said.out);
        assert!(said.out.contains(decision), "{decision}\n{}", said.out);
        assert_eq!(said.out.matches("<- decides").count(), 1, "{}", said.out);
        assert_eq!(said.err, "");
    }
}

#[test]
fn the_deciding_rule_is_named_by_its_line() {
    let said = why(&["00", "04"], &["frontend", "database", "tcp/5432"]);
    let text =
        std::fs::read_to_string(root().join("examples/demo/04-deny-database-from-frontend.yaml"))
            .unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.contains("- action: Deny"))
        .unwrap();
    let place = format!("examples/demo/04-deny-database-from-frontend.yaml:{line}\n");
    assert!(said.out.contains(&place), "{place}{}", said.out);
    assert!(said.out.contains("allow-same-namespace"), "{}", said.out);
    assert!(
        said.out.contains("not reached; would allow by ingress[0]"),
        "{}",
        said.out
    );
}

#[test]
fn who_cannot_be_answered_hears_why() {
    for (arguments, message) in [
        (
            vec!["frontent", "backend", "tcp/8000"],
            "did you mean production/frontend?",
        ),
        (
            vec!["frontend", "backend", "8000"],
            "write tcp/8000 or udp/8000",
        ),
        (vec!["frontend", "node:n7", "tcp/1"], "there is no node n7"),
        (
            vec!["frontend", "2001:db8::1", "tcp/1", "-o", "wide"],
            "-o json",
        ),
        (
            vec!["-f", "nowhere.yaml", "a", "b", "tcp/1"],
            "nowhere.yaml",
        ),
    ] {
        let said = why(&["00"], &arguments);
        assert_eq!(said.code, Some(2), "{arguments:?} {}{}", said.out, said.err);
        assert_eq!(said.out, "");
        assert!(said.err.contains(message), "{message}\n{}", said.err);
    }
}

#[test]
fn both_families_get_the_same_answer() {
    for question in [
        ["frontend", "database", "tcp/5432"],
        ["backend", "database", "tcp/5432"],
    ] {
        let four = why(&["00", "04"], &question);
        let six = why(&["00", "04"], &[&question[..], &["-6"]].concat());
        assert_eq!(four.code, six.code);
        assert!(six.out.contains("2001:2::"), "{}", six.out);
    }
    let said = why(&["00"], &["frontend", "2001:db8::1", "tcp/443"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

#[test]
fn the_json_form_is_as_documented() {
    let schema = Schema::read("why");
    for (numbers, question) in [
        (vec!["00"], ["frontend", "backend", "tcp/8000"]),
        (
            vec!["00", "02", "03", "05"],
            ["attacker", "backend", "tcp/8000"],
        ),
        (vec!["00", "04", "05"], ["frontend", "database", "tcp/5432"]),
        (vec!["00", "02", "03"], ["frontend", "backend", "tcp/8000"]),
        (vec!["00"], ["203.0.113.9", "203.0.113.10", "icmp"]),
    ] {
        let arguments = [&question[..], &["-o", "json"]].concat();
        let said = why(&numbers, &arguments);
        let value: Value = serde_json::from_str(&said.out).unwrap();
        schema.assert(&value);
        let denied = value["verdict"] == "deny";
        assert_eq!(said.code, Some(i32::from(denied)));
    }
    let faults = schema.faults(&serde_json::json!({ "verdict": "maybe", "more": 1 }));
    assert!(faults.len() >= 4, "the check itself is blind: {faults:?}");
}
