//! The file: power cuts, kills, modes, formats, owners, damage.

mod files;
mod fuzz;
mod kills;
mod power;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::EmbeddedStore;
use crate::behaviour;
use crate::object::{Kind, ObjectKey};

/// A store file in a folder that outlives the store.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.redb")
    }

    fn open(&self) -> EmbeddedStore {
        EmbeddedStore::open(&self.path()).unwrap()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(Kind::NetworkSet, "team", name)
}

fn value(number: u64) -> Value {
    json!({ "number": number })
}

fn number(value: &Value) -> u64 {
    value["number"].as_u64().unwrap()
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn behaves_as_a_store() {
    let place = Place::new();
    let count = std::cell::Cell::new(0);
    behaviour::check(&|| {
        count.set(count.get() + 1);
        let path = place.folder.path().join(format!("{}.redb", count.get()));
        Box::new(EmbeddedStore::open(&path).unwrap())
    });
}
