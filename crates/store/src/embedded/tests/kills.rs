//! A writer killed with SIGKILL, again and again: what it said it had written is there.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Place, key, number, value};
use crate::object::Kind;
use crate::{EmbeddedStore, Store as _, StoreError};

const KILLS: u64 = 60;
/// The variable by which the child learns its file.
const FILE: &str = "ONCILLA_TEST_STORE_FILE";
/// What the child prints before the number of each acknowledged write.
const MARK: &str = "acknowledged ";

#[test]
#[ignore = "the child process of `a_killed_writer_keeps_its_word`"]
fn killed_writer() {
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    let store = EmbeddedStore::open(&path).unwrap();
    let mut number = store.revision().unwrap().0;
    loop {
        number += 1;
        // Ten objects, created and then replaced for ever.
        let key = key(&(number % 10).to_string());
        let written = match store.update(&key, None, value(number)) {
            Err(StoreError::NotFound { .. }) => store.create(&key, value(number)),
            written => written,
        };
        assert_eq!(written.unwrap().revision.0, number);
        // One write call per line, so that a killed child leaves no half line.
        let line = format!("\n{MARK}{number}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

/// Runs the child until it has acknowledged `lines` more writes, kills it, and returns the number
/// of the last write it acknowledged.
#[expect(
    clippy::disallowed_methods,
    reason = "the child is this test program itself"
)]
fn run_and_kill(path: &std::path::Path, lines: u64) -> u64 {
    let program: OsString = std::env::current_exe().unwrap().into();
    let mut child = Command::new(program)
        .args(["--exact", "embedded::tests::kills::killed_writer"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut last = 0;
    let mut seen = 0;
    for line in output.lines() {
        let line = line.unwrap();
        let Some(number) = line.strip_prefix(MARK) else {
            continue;
        };
        last = number.parse().unwrap();
        seen += 1;
        if seen == lines {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert!(
        seen >= lines,
        "the child ended by itself after {seen} writes"
    );
    last
}

#[test]
fn a_killed_writer_keeps_its_word() {
    let place = Place::new();
    let mut before = 0;
    for round in 0..KILLS {
        let last = run_and_kill(&place.path(), 1 + round * 7 % 23);
        let store = place.open();
        let revision = store.revision().unwrap().0;
        // At most the one write that was under way comes on top.
        assert!(
            revision == last || revision == last + 1,
            "{last}, found {revision}"
        );
        assert!(last > before, "the store goes on where it was");
        before = last;
        let objects = store.list(Kind::NetworkSet, Some("team")).unwrap().objects;
        assert_eq!(objects.len() as u64, revision.min(10));
        for object in objects {
            let expected = number_at(&object.key.name, revision);
            assert_eq!(number(&object.value), expected, "round {round}");
            assert_eq!(object.revision.0, expected);
        }
    }
}

/// The last write to the object of that name, when `revision` writes have happened.
fn number_at(name: &str, revision: u64) -> u64 {
    let digit: u64 = name.parse().unwrap();
    (0..=revision)
        .rev()
        .find(|number| number % 10 == digit)
        .unwrap()
}
