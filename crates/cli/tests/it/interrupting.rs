//! `apply` and `delete` that end in the middle: a store that fails, and Ctrl-C. What was done is said.

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oncilla_api::{Kind, ObjectKey};
use oncilla_store::{
    List, MemoryStore, Revision, Store, StoreError, StoredObject, Watch, WatchSelector,
};
use serde_json::Value;

use super::cluster::{Cluster, INTERRUPT, TERMINATE, signal};

/// The object at which something happens.
const THIRD: &str = "set-3";

/// What a store does when the third object is written.
enum Then {
    Fail,
    /// Says so, and waits to be let go on.
    Wait {
        tell: PipeWriter,
        go: PipeReader,
    },
}

/// At which write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Create,
    Delete,
}

/// A store that does something at one write, once.
struct Odd {
    store: MemoryStore,
    at: At,
    then: Then,
    times: AtomicUsize,
}

impl Odd {
    fn met(&self, at: At, key: &ObjectKey) -> Result<(), StoreError> {
        if at != self.at || key.name != THIRD || self.times.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        match &self.then {
            Then::Fail => Err(StoreError::Closed),
            Then::Wait { tell, go } => {
                let (mut tell, mut go) = (tell, go);
                tell.write_all(b"x").unwrap();
                go.read_exact(&mut [0]).unwrap();
                Ok(())
            }
        }
    }
}

impl Store for Odd {
    fn object(&self, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        self.store.object(key)
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<List, StoreError> {
        self.store.list(kind, namespace)
    }

    fn create(&self, key: &ObjectKey, value: Value) -> Result<StoredObject, StoreError> {
        self.met(At::Create, key)?;
        self.store.create(key, value)
    }

    fn update(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
        value: Value,
    ) -> Result<StoredObject, StoreError> {
        self.store.update(key, expected, value)
    }

    fn delete(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
    ) -> Result<StoredObject, StoreError> {
        self.met(At::Delete, key)?;
        self.store.delete(key, expected)
    }

    fn watch(&self, selector: &WatchSelector, from: Revision) -> Result<Watch, StoreError> {
        self.store.watch(selector, from)
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.store.compact(through)
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision()
    }

    fn bookmark(&self) {
        self.store.bookmark();
    }
}

/// Five objects.
fn sets() -> String {
    let sets = (1..=5).map(|number| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: set-{number}}}\n"
        )
    });
    sets.collect::<Vec<_>>().join("---\n")
}

fn name(number: usize) -> String {
    format!("globalnetworkset.projectcalico.org/set-{number}")
}

fn names(numbers: std::ops::RangeInclusive<usize>) -> String {
    numbers.map(name).collect::<Vec<_>>().join(", ")
}

fn odd(at: At, then: Then) -> Cluster {
    let store = Odd {
        store: MemoryStore::new(),
        at,
        then,
        times: AtomicUsize::new(0),
    };
    let cluster = Cluster::over(Arc::new(store));
    cluster.file("sets.yaml", sets());
    cluster
}

/// A cluster that waits at the third object, and the two ends by which it is met.
fn waiting(at: At) -> (Cluster, PipeReader, PipeWriter) {
    let (met, tell) = std::io::pipe().unwrap();
    let (go, release) = std::io::pipe().unwrap();
    (odd(at, Then::Wait { tell, go }), met, release)
}

fn start(cluster: &Cluster, words: &str) -> Child {
    let mut command = cluster.command(words);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn end(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn count(cluster: &Cluster) -> usize {
    let sets = cluster.store.list(Kind::GlobalNetworkSet, None).unwrap();
    sets.objects.len()
}

#[test]
fn a_server_that_fails_in_the_middle_leaves_a_part_and_it_is_said() {
    let cluster = odd(At::Create, Then::Fail);
    let said = cluster.run("apply -f sets.yaml");
    assert_eq!(said.code, 3, "{said:?}");
    assert_eq!(
        said.out,
        format!("{} created\n{} created\n", name(1), name(2))
    );
    assert!(said.err.starts_with("error: "), "{said:?}");
    let summary = format!(
        "2 of 5 objects were applied; not applied: {}\n",
        names(3..=5)
    );
    assert!(said.err.ends_with(&summary), "{said:?}");
    assert_eq!(count(&cluster), 2);
    // The same files again finish it.
    let said = cluster.run("apply -f sets.yaml -o json");
    assert_eq!((said.code, count(&cluster)), (0, 5), "{said:?}");
}

#[test]
fn machines_get_what_was_done_too() {
    let cluster = odd(At::Create, Then::Fail);
    let said = cluster.run("apply -f sets.yaml -o json");
    assert_eq!(said.code, 3, "{said:?}");
    let list: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
}

#[test]
fn ctrl_c_ends_apply_between_two_objects() {
    for number in [INTERRUPT, TERMINATE] {
        let (cluster, mut met, mut release) = waiting(At::Create);
        let mut child = start(&cluster, "apply -f sets.yaml");
        met.read_exact(&mut [0]).unwrap();
        // What is written is said at once, not at the end.
        let first = format!("{} created\n{} created\n", name(1), name(2));
        let mut told = vec![0; first.len()];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut told)
            .unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), first);
        signal(&child, number);
        release.write_all(b"x").unwrap();
        let (code, out, err) = end(child);
        assert_eq!(
            (code, out),
            (Some(130), format!("{} created\n", name(3))),
            "{err}"
        );
        let summary = "interrupted: 3 of 5 objects were applied; not applied: ";
        assert_eq!(err, format!("{summary}{}\n", names(4..=5)));
        assert_eq!(count(&cluster), 3);
    }
}

#[test]
fn ctrl_c_ends_delete_between_two_objects() {
    let (cluster, mut met, mut release) = waiting(At::Delete);
    cluster.applied(&sets());
    let child = start(&cluster, "delete -f sets.yaml");
    met.read_exact(&mut [0]).unwrap();
    signal(&child, INTERRUPT);
    release.write_all(b"x").unwrap();
    let (code, out, err) = end(child);
    assert_eq!(code, Some(130), "{out}{err}");
    let lines = (1..=3)
        .map(|number| format!("globalnetworkset.projectcalico.org \"set-{number}\" deleted\n"));
    assert_eq!(out, lines.collect::<String>());
    let summary = "interrupted: 3 of 5 objects were deleted; not tried: ";
    assert_eq!(err, format!("{summary}{}\n", names(4..=5)));
    assert_eq!(count(&cluster), 2);
}
