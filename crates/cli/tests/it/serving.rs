//! `oncilla server` and `oncilla agent` when they cannot start: what they say and what they leave.

use std::fs;
use std::os::unix::net::UnixListener;

use super::cluster::{oncilla, run};

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
