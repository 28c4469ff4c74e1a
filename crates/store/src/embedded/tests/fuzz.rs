//! Arbitrary bytes in the file: it is read, or refused; never a panic, and never another object than was written.

use std::fs;

use oncilla_testkit::fuzz::Run;
use redb::Database;

use super::super::backend::BehindHeader;
use super::super::records::{OBJECTS, resource};
use super::{Place, key, value};
use crate::object::Kind;
use crate::{EmbeddedStore, Store as _};

const SAMPLES: [&[u8]; 3] = [
    b"{\"number\": 7}",
    b"{\"apiVersion\": \"projectcalico.org/v3\", \"kind\": \"NetworkSet\", \"spec\": {\"nets\": [\"10.0.0.0/8\"]}}",
    b"[1, 2.5, null, \"\\ud834\\udd1e\", {\"a\": {}}]",
];

/// Puts bytes in the place of an object's JSON, behind the store's back.
fn plant(place: &Place, bytes: &[u8]) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(place.path())
        .unwrap();
    let database = Database::builder()
        .create_with_backend(BehindHeader::new(file))
        .unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut table = write.open_table(OBJECTS).unwrap();
        let resource = resource(Kind::NetworkSet);
        table
            .insert((resource.as_str(), "team", "planted"), (1, bytes))
            .unwrap();
    }
    write.commit().unwrap();
}

#[test]
fn fuzz_records() {
    let place = Place::new();
    place.open().create(&key("whole"), value(1)).unwrap();
    let mut outcomes = [0_u64; 2];
    Run::new("records", 300).bytes(&SAMPLES, |bytes| {
        plant(&place, bytes);
        let is_json = serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
        let opened = EmbeddedStore::open(&place.path());
        outcomes[usize::from(opened.is_ok())] += 1;
        let Ok(store) = opened else {
            assert!(!is_json, "{}", String::from_utf8_lossy(bytes));
            return;
        };
        // What the opening lets pass is read, or an error of that object.
        let read = store.object(&key("planted"));
        assert_eq!(read.is_ok(), is_json, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(
            store.object(&key("whole")).unwrap().unwrap().value,
            value(1)
        );
    });
    assert!(outcomes.iter().all(|count| *count > 10), "{outcomes:?}");
}

#[test]
fn fuzz_files() {
    let place = Place::new();
    for index in 0..50 {
        place
            .open()
            .create(&key(&format!("set-{index}")), value(index))
            .unwrap();
    }
    let whole = fs::read(place.path()).unwrap();
    let mut outcomes = [0_u64; 2];
    Run::new("files", 150).generators(|rng| {
        let mut bytes = whole.clone();
        for _ in 0..=rng.below(6) {
            let at = rng.index(bytes.len());
            bytes[at] = rng.next_u64().to_le_bytes()[0];
        }
        if rng.chance(1, 8) {
            bytes.truncate(rng.index(bytes.len()));
        }
        fs::write(place.path(), &bytes).unwrap();
        let opened = EmbeddedStore::open(&place.path());
        outcomes[usize::from(opened.is_ok())] += 1;
        if let Ok(store) = opened {
            for object in store
                .list(Kind::NetworkSet, None)
                .map_or(Vec::new(), |list| list.objects)
            {
                let number = object.value["number"].as_u64();
                let written = number.map(|number| format!("set-{number}"));
                assert_eq!(
                    written.as_deref(),
                    Some(object.key.name.as_str()),
                    "{object:?}"
                );
            }
        }
    });
    assert!(outcomes.iter().all(|count| *count > 1), "{outcomes:?}");
}
