//! From an older format to the present one: a copy is left beside the file, the new file is
//! built whole under another name and takes the place of the old one in one step.
//!
//! Format 0 was never released; its step keeps the mechanism alive and tested. It held one flat
//! text key per object (`group/plural/namespace/name`, the namespace empty for cluster-wide
//! objects) with the revision inside the JSON, so that to list a kind was to read everything.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::Value;

use super::backend::{BehindHeader, Overlay};
use super::file::{self, FORMAT_VERSION, OpenError};
use super::records;

/// How many copies of older formats may stand beside a file.
const COPIES_MAX: u32 = 100;

pub(super) const OBJECTS_0: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("objects");
pub(super) const META_0: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

/// Brings a file of an older format to the present one and returns it, open.
pub(super) fn migrate(path: &Path, old: File, from: u32) -> Result<File, OpenError> {
    // One step per format, each from the one before; there has been one so far.
    debug_assert!(from < FORMAT_VERSION, "only older formats are migrated");
    copy_beside(path, from)?;
    let view = Overlay::new(BehindHeader::new(old))
        .map_err(|source| OpenError::io(path, "read", source))?;
    let source = file::open_database(path, view)?;
    let unfinished = file::beside(path, "migrating");
    let new = file::new_file(&unfinished, FORMAT_VERSION)?;
    let target = file::open_database(&unfinished, BehindHeader::new(new))?;
    from_0_to_1(path, &source, &target)?;
    drop(target);
    file::publish(&unfinished, path)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| OpenError::io(path, "open", source))
}

/// Copies the file to `PATH.format-N`, or `PATH.format-N.1` and so on when that exists.
fn copy_beside(path: &Path, from: u32) -> Result<PathBuf, OpenError> {
    let (target, mut copy) = new_copy(path, from)?;
    File::open(path)
        .and_then(|mut original| io::copy(&mut original, &mut copy))
        .and_then(|_bytes| copy.sync_all())
        .map_err(|source| OpenError::io(&target, "write the copy", source))?;
    file::sync_folder_of(&target)?;
    Ok(target)
}

fn new_copy(path: &Path, from: u32) -> Result<(PathBuf, File), OpenError> {
    let first = file::beside(path, &format!("format-{from}"));
    for number in 0..COPIES_MAX {
        let target = match number {
            0 => first.clone(),
            _ => file::beside(&first, &number.to_string()),
        };
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&target);
        match made {
            Ok(copy) => return Ok((target, copy)),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(OpenError::io(&target, "create the copy", source)),
        }
    }
    let source = io::Error::from(io::ErrorKind::AlreadyExists);
    Err(OpenError::io(&first, "create one more copy of", source))
}

fn from_0_to_1(path: &Path, source: &Database, target: &Database) -> Result<(), OpenError> {
    let damaged = |source: redb::Error| OpenError::damaged(path, source);
    let (objects, revision) = read_0(source).map_err(damaged)?;
    let mut records = Vec::with_capacity(objects.len());
    for (key, json) in objects {
        let record = record_of_0(&key, &json).map_err(|reason| OpenError::Migrate {
            path: path.to_owned(),
            from: 0,
            record: key.clone(),
            reason,
        })?;
        records.push((key, record));
    }
    write_1(target, &records, revision).map_err(damaged)
}

/// Key and JSON of format 0.
type Row0 = (String, Vec<u8>);

/// Every row of a file of format 0, and its revision.
fn read_0(source: &Database) -> Result<(Vec<Row0>, u64), redb::Error> {
    let read = source.begin_read()?;
    let objects = read.open_table(OBJECTS_0)?;
    let mut found = Vec::new();
    for entry in objects.iter()? {
        let (key, json) = entry?;
        found.push((key.value().to_owned(), json.value().to_vec()));
    }
    let revision = read.open_table(META_0)?.get(records::REVISION)?;
    Ok((found, revision.map_or(0, |revision| revision.value())))
}

struct Record1 {
    revision: u64,
    json: Vec<u8>,
}

fn record_of_0(key: &str, json: &[u8]) -> Result<Record1, &'static str> {
    parts_of_0(key).ok_or("its key has not four parts")?;
    let mut old: Value = serde_json::from_slice(json).map_err(|_unreadable| "it is not JSON")?;
    let revision = old.get("revision").and_then(Value::as_u64);
    let value = old.get_mut("value").map(Value::take);
    let (Some(revision), Some(value)) = (revision, value) else {
        return Err("it has no revision or no value");
    };
    let json = serde_json::to_vec(&value).map_err(|_unwritable| "it cannot be written as JSON")?;
    Ok(Record1 { revision, json })
}

/// Resource (`group/plural`), namespace, name. Names hold no slash; group names neither.
fn parts_of_0(key: &str) -> Option<(String, &str, &str)> {
    let mut parts = key.split('/');
    let (group, plural) = (parts.next()?, parts.next()?);
    let (namespace, name) = (parts.next()?, parts.next()?);
    parts
        .next()
        .is_none()
        .then(|| (format!("{group}/{plural}"), namespace, name))
}

fn write_1(
    target: &Database,
    records: &[(String, Record1)],
    revision: u64,
) -> Result<(), redb::Error> {
    let write = target.begin_write()?;
    {
        let mut objects = write.open_table(records::OBJECTS)?;
        for (key, record) in records {
            if let Some((resource, namespace, name)) = parts_of_0(key) {
                let address = (resource.as_str(), namespace, name);
                objects.insert(address, (record.revision, record.json.as_slice()))?;
            }
        }
        let mut counters = write.open_table(records::COUNTERS)?;
        counters.insert(records::REVISION, revision)?;
    }
    write.commit()?;
    Ok(())
}
