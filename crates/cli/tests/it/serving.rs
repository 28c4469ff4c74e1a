//! `oncilla server` and `oncilla agent`: what they log, what they say when they cannot start and what they leave.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use oncilla_store::rest::Client;
use serde_json::Value;

use super::cluster::{TERMINATE, oncilla, run, signal};

#[test]
fn a_server_whose_socket_is_taken_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let _other = UnixListener::bind(folder.path().join("api.sock")).unwrap();
    let words = "server --socket api.sock --store made/store.redb";
    let said = run(&mut oncilla(folder.path(), words), b"");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("another server answers on"), "{said:?}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn an_agent_whose_node_could_not_report_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(&mut oncilla(folder.path(), "agent --node Bad_Node"), b"");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.err
            .contains("--node: node name \"Bad_Node\" must consist of lower case"),
        "{said:?}"
    );
}

/// What a server logs that starts, answers once, and is told to stop.
fn logged(flags: &str, level: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let words = format!("server --socket api.sock --store store.redb {flags}");
    let mut command = oncilla(folder.path(), &words);
    command.env_remove("ONCILLA_LOG").env_remove("NO_COLOR");
    command.envs(level.map(|level| ("ONCILLA_LOG", level)));
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let socket = folder.path().join("api.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::unix(&socket);
        // It listens a moment after it was started.
        while client.read_text("/readyz").await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    signal(&child, TERMINATE);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{flags}: {text}");
    text
}

#[test]
fn logs_are_lines_for_people_or_for_machines() {
    let text = logged("", None);
    assert!(text.contains(" INFO serving socket=api.sock"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let text = logged("--log-format json", None);
    assert!(text.lines().count() >= 2, "{text}");
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["level"], "INFO", "{line}");
        for field in ["timestamp", "message"] {
            assert!(event[field].is_string(), "{field}: {line}");
        }
    }
    assert!(text.contains("\"message\":\"serving\""), "{text}");
}

#[test]
fn the_level_says_what_is_logged_and_the_flag_counts_more_than_the_environment() {
    for (flags, level, is_told) in [
        ("--log-level error", None, false),
        ("--log-level warn", None, false),
        ("--log-level debug", None, true),
        ("", Some("error"), false),
        ("--log-level info", Some("error"), true),
    ] {
        let text = logged(flags, level);
        assert_eq!(
            text.contains("serving"),
            is_told,
            "{flags} {level:?}: {text}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for words in ["server --log-level loud", "server --log-format xml"] {
        let said = run(&mut oncilla(folder.path(), words), b"");
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("possible values"), "{said:?}");
    }
}
