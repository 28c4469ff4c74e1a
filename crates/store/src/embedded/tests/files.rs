//! Modes, owners, formats and damage: what is refused stays untouched.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::path::Path;

use redb::Database;
use serde_json::json;

use super::super::backend::{BehindHeader, HEADER_BYTES};
use super::super::file::{self, FORMAT_VERSION};
use super::super::migrate::{META_0, OBJECTS_0};
use super::super::records::REVISION;
use super::{Place, bytes, key, number, value};
use crate::object::{Kind, ObjectKey, Revision};
use crate::{EmbeddedStore, OpenError, Store as _, WatchSelector};

fn refusal(path: &Path) -> OpenError {
    EmbeddedStore::open(path)
        .map(drop)
        .expect_err("must be refused")
}

/// A closed store with a few hundred objects.
fn filled() -> Place {
    let place = Place::new();
    let store = place.open();
    for index in 0..300 {
        store
            .create(&key(&format!("set-{index}")), value(index))
            .unwrap();
    }
    place
}

#[test]
fn data_and_revision_outlive_the_process() {
    let place = filled();
    let store = place.open();
    assert_eq!(store.revision().unwrap(), Revision(300));
    let list = store.list(Kind::NetworkSet, Some("team")).unwrap();
    assert_eq!(list.objects.len(), 300);
    let object = store.object(&key("set-7")).unwrap().unwrap();
    assert_eq!((number(&object.value), object.revision), (7, Revision(8)));
    // The history began anew: older revisions are too old, the present one is not.
    let selector = WatchSelector::kind(Kind::NetworkSet);
    let error = store.watch(&selector, Revision(299)).map(drop).unwrap_err();
    assert!(error.wants_relist());
    drop(store.watch(&selector, Revision(300)).unwrap());
    let next = store
        .update(&key("set-7"), Some(Revision(8)), value(1))
        .unwrap();
    assert_eq!(next.revision, Revision(301));
}

#[test]
fn the_file_is_for_its_owner_only() {
    let place = filled();
    let path = place.path();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&file::beside(&path, "lock")), 0o600);
    for wide in [0o640, 0o604, 0o660, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
        let message = refusal(&path).to_string();
        let command = format!("run `chmod 600 {}`", path.display());
        assert!(message.contains(&command), "{message}");
        assert!(message.contains(&format!("{wide:04o}")), "{message}");
        assert_eq!(mode(&path), wide, "the mode is not changed for the user");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.open().revision().unwrap(), Revision(300));
}

#[test]
fn a_strangers_file_is_refused_untouched() {
    const STRANGER: u32 = 54_321;
    let place = filled();
    let path = place.path();
    for file in [path.clone(), file::beside(&path, "lock")] {
        let before = bytes(&path);
        chown(&file, Some(STRANGER), None).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, OpenError::ForeignFile { .. }), "{error}");
        let own = rustix::process::geteuid().as_raw();
        let message = error.to_string();
        let command = format!("run `chown {own} {}`", file.display());
        assert!(message.contains(&command), "{message}");
        assert!(message.contains("user 54321"), "{message}");
        assert_eq!(bytes(&path), before);
        chown(&file, Some(own), None).unwrap();
        assert_eq!(place.open().revision().unwrap(), Revision(300));
    }
}

#[test]
fn a_folder_in_which_others_may_write_gets_no_store() {
    let place = Place::new();
    let folder = place.folder.path().join("open");
    fs::create_dir(&folder).unwrap();
    for mode in [0o777, 0o1777, 0o770] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let error = refusal(&folder.join("store.redb"));
        let message = error.to_string();
        assert!(matches!(error, OpenError::Folder(_)), "{message}");
        let command = format!("run `chmod go-w {}`", folder.display());
        assert!(message.contains(&command), "{message}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is made");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    drop(EmbeddedStore::open(&folder.join("store.redb")).unwrap());
}

#[test]
fn a_second_owner_learns_the_first() {
    let place = filled();
    let path = place.path();
    let first = place.open();
    let error = refusal(&path);
    let own = std::process::id();
    assert!(
        matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == own),
        "{error}"
    );
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()), "{message}");
    assert!(message.contains(&format!("process {own}")), "{message}");
    // Without the lock file the lock on the file itself still holds.
    fs::remove_file(file::beside(&path, "lock")).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    first.create(&key("later"), value(1)).unwrap();
    drop(first);
    assert!(place.open().object(&key("later")).unwrap().is_some());
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let place = filled();
    let path = place.path();
    let newer = file::new_file(&path, FORMAT_VERSION + 1).unwrap();
    newer
        .write_all_at(b"what the future holds", HEADER_BYTES)
        .unwrap();
    let before = bytes(&path);
    let error = refusal(&path);
    let expected = FORMAT_VERSION + 1;
    assert!(
        matches!(error, OpenError::Newer { found, .. } if found == expected),
        "{error}"
    );
    assert!(error.to_string().contains("use a newer oncilla"), "{error}");
    assert_eq!(bytes(&path), before);
}

#[test]
fn another_file_is_refused_untouched() {
    let place = Place::new();
    let path = place.path();
    let cases: [&[u8]; 4] = [
        b"",
        b"short",
        &[0; 8192],
        b"oncilla store\n\0\0 and then rubbish ......",
    ];
    for case in cases {
        fs::write(&path, case).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
        assert_eq!(bytes(&path), case);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refusal(&path);
}

#[test]
fn damage_is_refused_untouched_or_harmless() {
    let place = filled();
    let path = place.path();
    let whole = bytes(&path);
    let open_fresh = |damaged: &[u8]| {
        fs::write(&path, damaged).unwrap();
        let opened = EmbeddedStore::open(&path);
        if let Err(error) = &opened {
            assert!(
                matches!(
                    error,
                    OpenError::Damaged { .. } | OpenError::NotAStore { .. }
                ),
                "{error}"
            );
            assert_eq!(bytes(&path), damaged, "a refused file is as it was");
        }
        opened
    };
    // Cut anywhere.
    for length in [
        HEADER_BYTES,
        HEADER_BYTES + 100,
        whole.len() as u64 / 2,
        whole.len() as u64 - 1,
    ] {
        let cut = &whole[..usize::try_from(length).unwrap()];
        assert!(open_fresh(cut).is_err(), "cut to {length}");
    }
    // One byte changed, every few hundred bytes over the whole file.
    let mut refused = 0;
    let start = usize::try_from(HEADER_BYTES).unwrap();
    let redb_header = start..start + 400;
    let pages = (start + 400..whole.len()).step_by(1 + whole.len() / 400);
    for at in redb_header.chain(pages) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        match open_fresh(&damaged) {
            Err(_) => refused += 1,
            Ok(store) => {
                // The byte was in no living page.
                let list = store.list(Kind::NetworkSet, None).unwrap();
                assert_eq!(list.objects.len(), 300, "byte {at}");
                for object in list.objects {
                    let expected = format!("set-{}", number(&object.value));
                    assert_eq!(object.key.name, expected, "byte {at}");
                }
            }
        }
    }
    assert!(refused > 0, "no change was noticed");
}

/// A file of format 0, with what `rows` says.
fn old_file(path: &Path, rows: &[(&str, &str)], revision: u64) {
    let file = file::new_file(path, 0).unwrap();
    let database: Database = file::open_database(path, BehindHeader::new(file)).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut objects = write.open_table(OBJECTS_0).unwrap();
        for (key, json) in rows {
            objects.insert(*key, json.as_bytes()).unwrap();
        }
        let mut meta = write.open_table(META_0).unwrap();
        meta.insert(REVISION, revision).unwrap();
    }
    write.commit().unwrap();
}

#[test]
fn format_0_is_migrated_after_a_copy() {
    let place = Place::new();
    let path = place.path();
    let set = json!({ "revision": 3, "value": value(11) }).to_string();
    let tier = json!({ "revision": 5, "value": value(12) }).to_string();
    let rows = [
        ("projectcalico.org/networksets/team/one", set.as_str()),
        ("projectcalico.org/tiers//security", tier.as_str()),
    ];
    old_file(&path, &rows, 9);
    let before = bytes(&path);
    let store = place.open();
    assert_eq!(store.revision().unwrap(), Revision(9));
    let one = store.object(&key("one")).unwrap().unwrap();
    assert_eq!((number(&one.value), one.revision), (11, Revision(3)));
    let tier = ObjectKey::cluster(Kind::Tier, "security");
    let tier = store.object(&tier).unwrap().unwrap();
    assert_eq!((number(&tier.value), tier.revision), (12, Revision(5)));
    assert_eq!(
        store.create(&key("two"), value(1)).unwrap().revision,
        Revision(10)
    );
    drop(store);
    let copy = file::beside(&path, "format-0");
    assert_eq!(bytes(&copy), before, "the copy is the old file");
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!file::beside(&path, "migrating").exists());
    assert_eq!(
        place.open().revision().unwrap(),
        Revision(10),
        "migrated once"
    );
    // A later migration of another old file keeps the first copy.
    old_file(&path, &rows, 9);
    place.open();
    assert_eq!(bytes(&copy), before);
    assert!(file::beside(&copy, "1").exists());
}

#[test]
fn what_cannot_be_migrated_stays() {
    let place = Place::new();
    let path = place.path();
    for (row, json) in [("a/b/c", "{}"), ("a/b/c/d", "no json"), ("a/b/c/d", "{}")] {
        old_file(&path, &[(row, json)], 1);
        let before = bytes(&path);
        let error = refusal(&path);
        assert!(matches!(error, OpenError::Migrate { .. }), "{error}");
        assert!(error.to_string().contains(row), "{error}");
        assert_eq!(bytes(&path), before);
    }
}

#[test]
fn an_unfinished_file_is_replaced() {
    let place = Place::new();
    // A power cut while the store was being made leaves this and no store.
    fs::write(file::beside(&place.path(), "new"), b"half").unwrap();
    assert_eq!(place.open().revision().unwrap(), Revision::ZERO);
    assert!(!file::beside(&place.path(), "new").exists());
}
