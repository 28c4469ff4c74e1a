//! What every store does, as one suite: run it on a store with [`check`].
//!
//! Each step gets a fresh store. It writes only objects that an API server accepts, looks only at
//! what it wrote, and compares revisions only with one another, so that a store behind a server,
//! which has objects of its own and adds metadata, passes too.

use std::collections::BTreeMap;
use std::thread;

use serde_json::{Value, json};

use crate::{
    Kind, ObjectKey, Revision, Store, StoreError, StoredObject, WATCH_BUFFER_EVENTS, Watch,
    WatchEvent, WatchSelector,
};

/// How many writers race in the steps about races.
const WRITERS: usize = 8;
/// How many changes each of them makes.
const CHANGES: usize = 25;

/// A named step of the suite.
type Step = (&'static str, fn(&dyn Store));

const STEPS: &[Step] = &[
    ("revisions rise", revisions_rise),
    ("create refuses a second of the name", create_once),
    ("update compares and swaps", update_compares),
    ("delete compares and swaps", delete_compares),
    ("lists are sorted and by namespace", lists),
    ("a key fits its kind", key_fits_kind),
    ("values come back as they were", values_survive),
    (
        "a watch delivers each change once, in order",
        watch_in_order,
    ),
    ("a watch resumes from a list", watch_resumes),
    ("a watch is about its kind and namespace", watch_selects),
    ("a watch from 0 begins with what is there", watch_from_zero),
    ("compaction makes old revisions too old", compaction),
    ("a revision of another store is refused", future_revision),
    ("bookmarks tell of other kinds' changes", bookmarks),
    ("a slow watcher is ended and blocks nobody", slow_watcher),
    ("one of many creates wins", create_race),
    ("no compare-and-swap is lost", swap_race),
    ("a watch beside many writers ends as the list", watch_race),
];

/// Runs every step on a fresh store each.
///
/// # Panics
/// When the store does not behave.
pub fn check(fresh: &dyn Fn() -> Box<dyn Store>) {
    for (name, step) in STEPS {
        let store = fresh();
        let store = &*store;
        for namespace in ["team", "team-a", "team-b"] {
            let key = ObjectKey::cluster(Kind::Namespace, namespace);
            let value = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": { "name": namespace },
            });
            let made = store.create(&key, value);
            made.unwrap_or_else(|error| panic!("{name}: namespace {namespace}: {error}"));
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(store)));
        assert!(outcome.is_ok(), "step failed: {name}");
    }
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced(Kind::NetworkSet, namespace, name)
}

fn set(key: &ObjectKey, note: &str) -> Value {
    let mut metadata = json!({ "name": key.name, "annotations": { "note": note } });
    if let Some(namespace) = &key.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": key.kind.kind_name(),
        "metadata": metadata,
        "spec": { "nets": ["10.0.0.1/32"] },
    })
}

fn note(object: &StoredObject) -> &str {
    let note = object.value.pointer("/metadata/annotations/note");
    note.and_then(Value::as_str)
        .expect("the suite writes a note into each object")
}

fn create(store: &dyn Store, key: &ObjectKey, note: &str) -> StoredObject {
    store.create(key, set(key, note)).expect("create")
}

fn update(store: &dyn Store, key: &ObjectKey, note: &str) -> StoredObject {
    store.update(key, None, set(key, note)).expect("update")
}

fn read(store: &dyn Store, key: &ObjectKey) -> Option<StoredObject> {
    store.object(key).expect("read")
}

/// The next event that is not a bookmark.
fn change(watch: &mut Watch) -> Result<WatchEvent, StoreError> {
    loop {
        match watch.next_blocking()? {
            WatchEvent::Bookmark(_) => {}
            event => return Ok(event),
        }
    }
}

fn seen(watch: &mut Watch) -> (String, String, Revision) {
    let event = change(watch).expect("a change");
    let what = match &event {
        WatchEvent::Added(_) => "added",
        WatchEvent::Modified { .. } => "modified",
        WatchEvent::Deleted(_) => "deleted",
        WatchEvent::Bookmark(_) => unreachable!("bookmarks are skipped"),
    };
    let object = event.object().expect("a change has an object");
    (
        format!("{what} {}", object.key.path()),
        note(object).to_owned(),
        event.revision(),
    )
}

fn revisions_rise(store: &dyn Store) {
    let key = key("team-a", "one");
    let before = store.revision().expect("revision");
    let created = create(store, &key, "1");
    let updated = update(store, &key, "2");
    let deleted = store.delete(&key, None).expect("delete");
    assert!(before < created.revision, "create");
    assert!(created.revision < updated.revision, "update");
    assert!(updated.revision < deleted.revision, "delete");
    assert_eq!(note(&deleted), "2", "the last value");
    assert_eq!(store.revision().expect("revision"), deleted.revision);
    let list = store.list(Kind::NetworkSet, None).expect("list");
    assert_eq!(list.revision, deleted.revision);
    assert!(list.objects.is_empty());
}

fn create_once(store: &dyn Store) {
    let key = key("team-a", "one");
    let first = create(store, &key, "first");
    let second = store.create(&key, set(&key, "second"));
    assert!(
        matches!(second, Err(StoreError::AlreadyExists { .. })),
        "{second:?}"
    );
    assert_eq!(read(store, &key), Some(first));
}

fn update_compares(store: &dyn Store) {
    let key = key("team-a", "one");
    let missing = store.update(&key, None, set(&key, "x"));
    assert!(
        matches!(missing, Err(StoreError::NotFound { .. })),
        "{missing:?}"
    );
    let first = create(store, &key, "1");
    let second = store.update(&key, Some(first.revision), set(&key, "2"));
    let second = second.expect("the revision was right");
    let stale = store.update(&key, Some(first.revision), set(&key, "3"));
    assert!(
        matches!(stale, Err(StoreError::Conflict { .. })),
        "{stale:?}"
    );
    assert_eq!(read(store, &key), Some(second.clone()));
    let third = update(store, &key, "3");
    assert!(third.revision > second.revision);
    assert_eq!(read(store, &key).as_ref().map(note), Some("3"));
}

fn delete_compares(store: &dyn Store) {
    let key = key("team-a", "one");
    let missing = store.delete(&key, None);
    assert!(
        matches!(missing, Err(StoreError::NotFound { .. })),
        "{missing:?}"
    );
    let first = create(store, &key, "1");
    let second = update(store, &key, "2");
    let stale = store.delete(&key, Some(first.revision));
    assert!(
        matches!(stale, Err(StoreError::Conflict { .. })),
        "{stale:?}"
    );
    assert_eq!(read(store, &key), Some(second.clone()));
    store
        .delete(&key, Some(second.revision))
        .expect("the revision was right");
    assert_eq!(read(store, &key), None);
    let again = create(store, &key, "3");
    assert!(
        again.revision > second.revision,
        "a name's second life is newer"
    );
    let of_first_life = store.update(&key, Some(second.revision), set(&key, "4"));
    assert!(
        matches!(of_first_life, Err(StoreError::Conflict { .. })),
        "{of_first_life:?}"
    );
}

fn lists(store: &dyn Store) {
    // Names and namespaces that are prefixes of one another.
    let places = [
        ("team", "z"),
        ("team-a", "a"),
        ("team-a", "a-b"),
        ("team-a", "b"),
        ("team-b", "a"),
    ];
    for (namespace, name) in places.into_iter().rev() {
        create(store, &key(namespace, name), "x");
    }
    create(store, &ObjectKey::cluster(Kind::GlobalNetworkSet, "a"), "x");
    let paths = |kind, namespace| -> Vec<String> {
        let list = store.list(kind, namespace).expect("list");
        list.objects
            .iter()
            .map(|object| object.key.path())
            .collect()
    };
    let all = ["team/z", "team-a/a", "team-a/a-b", "team-a/b", "team-b/a"];
    assert_eq!(paths(Kind::NetworkSet, None), all);
    assert_eq!(paths(Kind::NetworkSet, Some("team")), ["team/z"]);
    assert_eq!(paths(Kind::NetworkSet, Some("team-a")), all[1..4]);
    assert!(paths(Kind::NetworkSet, Some("nobody")).is_empty());
    assert_eq!(paths(Kind::GlobalNetworkSet, None), ["a"]);
    assert!(paths(Kind::GlobalNetworkPolicy, None).is_empty());
}

fn key_fits_kind(store: &dyn Store) {
    let homeless = ObjectKey {
        namespace: None,
        ..key("team-a", "one")
    };
    let refused = store.create(&homeless, set(&homeless, "x"));
    assert!(refused.is_err(), "{refused:?}");
    assert!(
        store
            .list(Kind::NetworkSet, None)
            .expect("list")
            .objects
            .is_empty()
    );
}

fn values_survive(store: &dyn Store) {
    let long = "ä".repeat(100_000);
    for (name, note_text) in [
        ("odd", "\u{0}\"\\\n\u{1F980}"),
        ("empty", ""),
        ("long", &long),
    ] {
        let key = key("team-a", name);
        let created = create(store, &key, note_text);
        let found = read(store, &key).expect("it was created");
        assert_eq!(note(&found), note_text);
        assert_eq!(found, created);
    }
}

fn watch_in_order(store: &dyn Store) {
    let key = key("team-a", "one");
    let from = store.revision().expect("revision");
    let mut watch = store
        .watch(&WatchSelector::kind(Kind::NetworkSet), from)
        .expect("watch");
    let created = create(store, &key, "1").revision;
    let updated = update(store, &key, "2").revision;
    let deleted = store.delete(&key, None).expect("delete").revision;
    let again = create(store, &key, "3").revision;
    let path = "team-a/one";
    for (what, note, revision) in [
        ("added", "1", created),
        ("modified", "2", updated),
        ("deleted", "2", deleted),
        ("added", "3", again),
    ] {
        assert_eq!(
            seen(&mut watch),
            (format!("{what} {path}"), note.to_owned(), revision)
        );
    }
}

fn watch_resumes(store: &dyn Store) {
    let (one, two) = (key("team-a", "one"), key("team-a", "two"));
    create(store, &one, "1");
    let list = store.list(Kind::NetworkSet, None).expect("list");
    // What happens between the list and the watch is in the history.
    let updated = update(store, &one, "2").revision;
    create(store, &two, "1");
    let selector = WatchSelector::kind(Kind::NetworkSet);
    let mut watch = store.watch(&selector, list.revision).expect("watch");
    let later = update(store, &two, "2").revision;
    assert_eq!(seen(&mut watch).2, updated);
    assert_eq!(seen(&mut watch).0, "added team-a/two");
    assert_eq!(seen(&mut watch).2, later);
    // From the middle: only what came after.
    let mut watch = store.watch(&selector, updated).expect("watch");
    assert_eq!(seen(&mut watch).0, "added team-a/two");
}

fn watch_selects(store: &dyn Store) {
    let from = store.revision().expect("revision");
    let selector = WatchSelector::kind(Kind::NetworkSet).in_namespace("team-a");
    let mut watch = store.watch(&selector, from).expect("watch");
    create(store, &key("team-b", "other"), "x");
    create(store, &key("team", "other"), "x");
    create(
        store,
        &ObjectKey::cluster(Kind::GlobalNetworkSet, "other"),
        "x",
    );
    create(store, &key("team-a", "mine"), "x");
    assert_eq!(seen(&mut watch).0, "added team-a/mine");
    let mut watch = store.watch(&selector, from).expect("watch");
    assert_eq!(seen(&mut watch).0, "added team-a/mine", "from the history");
}

fn watch_from_zero(store: &dyn Store) {
    create(store, &key("team-a", "one"), "1");
    create(store, &key("team-b", "two"), "1");
    update(store, &key("team-a", "one"), "2");
    let selector = WatchSelector::kind(Kind::NetworkSet);
    let mut watch = store.watch(&selector, Revision::ZERO).expect("watch");
    let (first, second) = (seen(&mut watch), seen(&mut watch));
    assert_eq!(
        (first.0.as_str(), first.1.as_str()),
        ("added team-a/one", "2")
    );
    assert_eq!(second.0, "added team-b/two");
    update(store, &key("team-b", "two"), "2");
    assert_eq!(seen(&mut watch).0, "modified team-b/two");
}

fn compaction(store: &dyn Store) {
    let key = key("team-a", "one");
    let first = create(store, &key, "1").revision;
    let second = update(store, &key, "2").revision;
    let third = update(store, &key, "3").revision;
    store.compact(second).expect("compact");
    let selector = WatchSelector::kind(Kind::NetworkSet);
    let refused = store.watch(&selector, first).map(drop);
    let refused = refused.expect_err("the history is gone");
    assert!(refused.wants_relist(), "{refused}");
    assert!(
        refused.to_string().contains(&first.to_string()),
        "{refused}"
    );
    let mut watch = store
        .watch(&selector, second)
        .expect("the history reaches here");
    assert_eq!(seen(&mut watch).2, third);
    assert_eq!(
        read(store, &key).as_ref().map(note),
        Some("3"),
        "objects stay"
    );
    let ahead = store.compact(Revision(third.0 + 100));
    assert!(matches!(ahead, Err(StoreError::Future { .. })), "{ahead:?}");
}

fn future_revision(store: &dyn Store) {
    let now = create(store, &key("team-a", "one"), "1").revision;
    let selector = WatchSelector::kind(Kind::NetworkSet);
    let refused = store.watch(&selector, Revision(now.0 + 1)).map(drop);
    let refused = refused.expect_err("never given out");
    assert!(refused.wants_relist(), "{refused}");
}

fn bookmarks(store: &dyn Store) {
    let from = store.revision().expect("revision");
    let mut watch = store
        .watch(&WatchSelector::kind(Kind::NetworkSet), from)
        .expect("watch");
    let other = ObjectKey::cluster(Kind::GlobalNetworkSet, "other");
    let now = create(store, &other, "x").revision;
    store.bookmark();
    loop {
        let event = watch.next_blocking().expect("a bookmark");
        assert!(matches!(event, WatchEvent::Bookmark(_)), "{event:?}");
        if event.revision() >= now {
            break;
        }
    }
}

fn slow_watcher(store: &dyn Store) {
    let key = key("team-a", "one");
    let from = create(store, &key, "0").revision;
    let selector = WatchSelector::kind(Kind::NetworkSet);
    let mut watch = store.watch(&selector, from).expect("watch");
    // Over a network some events wait on the way; the surplus is more than any of that.
    let padding = "x".repeat(1000);
    for number in 0..WATCH_BUFFER_EVENTS + WATCH_BUFFER_EVENTS / 2 {
        update(store, &key, &format!("{number} {padding}"));
    }
    let mut last = from;
    let end = loop {
        match change(&mut watch) {
            Ok(event) => {
                assert!(
                    event.revision() > last,
                    "nothing is left out before the end"
                );
                last = event.revision();
            }
            Err(end) => break end,
        }
    };
    assert!(end.wants_relist(), "{end}");
    assert!(last < store.revision().expect("revision"));
    // The history still has what this watcher missed.
    let mut watch = store.watch(&selector, last).expect("watch again");
    assert!(seen(&mut watch).2 > last);
}

fn create_race(store: &dyn Store) {
    let key = key("team-a", "one");
    let won = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let key = &key;
                scope.spawn(move || store.create(key, set(key, &writer.to_string())).is_ok())
            })
            .collect();
        let outcomes = writers
            .into_iter()
            .map(|writer| writer.join().expect("no panic"));
        outcomes.filter(|won| *won).count()
    });
    assert_eq!(won, 1);
}

fn swap_race(store: &dyn Store) {
    let key = key("team-a", "counter");
    create(store, &key, "0");
    let swap = |key: &ObjectKey| loop {
        let now = read(store, key).expect("the counter is there");
        let next = note(&now).parse::<usize>().expect("a number") + 1;
        match store.update(key, Some(now.revision), set(key, &next.to_string())) {
            Ok(_) => return,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    thread::scope(|scope| {
        for _writer in 0..WRITERS {
            scope.spawn(|| (0..CHANGES).for_each(|_| swap(&key)));
        }
    });
    let total = (WRITERS * CHANGES).to_string();
    assert_eq!(read(store, &key).as_ref().map(note), Some(total.as_str()));
}

fn watch_race(store: &dyn Store) {
    let from = store.revision().expect("revision");
    let mut watch = store
        .watch(&WatchSelector::kind(Kind::NetworkSet), from)
        .expect("watch");
    let write = |writer: usize| {
        for number in 0..CHANGES {
            let key = key("team-a", &format!("set-{}", (writer + number) % 5));
            let value = set(&key, &format!("{writer}.{number}"));
            let outcome = match number % 3 {
                0 => store.create(&key, value),
                1 => store.update(&key, None, value),
                _ => store.delete(&key, None),
            };
            match outcome {
                Ok(_) | Err(StoreError::NotFound { .. } | StoreError::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || write(writer));
        }
    });
    let end = create(store, &key("team-b", "end"), "end").revision;
    let mut state = BTreeMap::new();
    let mut last = from;
    while last < end {
        let event = change(&mut watch).expect("no change is lost");
        assert!(event.revision() > last, "in order, each once");
        last = event.revision();
        let object = event.object().expect("a change").clone();
        let gone = matches!(event, WatchEvent::Deleted(_));
        let known = state.remove(&object.key).is_some();
        let fits = match event {
            WatchEvent::Added(_) => !known,
            _ => known,
        };
        assert!(fits, "{object:?} was known: {known}");
        if !gone {
            state.insert(object.key.clone(), object);
        }
    }
    let list = store.list(Kind::NetworkSet, None).expect("list");
    let watched: Vec<StoredObject> = state.into_values().collect();
    assert_eq!(watched, list.objects);
}
