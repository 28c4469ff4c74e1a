//! The tables of format 1, and how a record is read and written.
//!
//! Keys begin with `group/plural`, so that one kind, and one namespace of it, is one range.

use redb::{
    Database, ReadTransaction, ReadableDatabase as _, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

use crate::error::StoreError;
use crate::object::{Kind, ObjectKey, Revision, StoredObject};

/// Resource (`group/plural`), namespace (empty for cluster-wide objects), name.
pub(super) type Key = (&'static str, &'static str, &'static str);
/// The revision, and the object as JSON.
pub(super) type Record = (u64, &'static [u8]);

pub(super) const OBJECTS: TableDefinition<'static, Key, Record> = TableDefinition::new("objects");
pub(super) const COUNTERS: TableDefinition<'static, &str, u64> = TableDefinition::new("counters");
pub(super) const REVISION: &str = "revision";

/// Makes the tables where they are missing and returns the last revision.
pub(super) fn prepare(database: &Database) -> Result<Revision, redb::Error> {
    let read = database.begin_read()?;
    match read.open_table(COUNTERS) {
        Ok(counters) => {
            // Both tables are made in one commit, so one without the other is damage.
            read.open_table(OBJECTS)?;
            let found = counters.get(REVISION)?;
            return found
                .map(|revision| Revision(revision.value()))
                .ok_or_else(|| {
                    redb::Error::Corrupted("the revision counter is missing".to_owned())
                });
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(other) => return Err(other.into()),
    }
    if read.list_tables()?.next().is_some() {
        return Err(redb::Error::Corrupted(
            "the revision table is missing".to_owned(),
        ));
    }
    let write = database.begin_write()?;
    {
        write.open_table(OBJECTS)?;
        let mut counters = write.open_table(COUNTERS)?;
        counters.insert(REVISION, 0)?;
    }
    write.commit()?;
    Ok(Revision::ZERO)
}

/// Reads every record once: each is JSON, and none is newer than the counter.
pub(super) fn verify(database: &Database) -> Result<(), redb::Error> {
    let read = database.begin_read()?;
    let counters = read.open_table(COUNTERS)?;
    let last = counters.get(REVISION)?.map(|revision| revision.value());
    for entry in read.open_table(OBJECTS)?.iter()? {
        let (key, record) = entry?;
        let (revision, json) = record.value();
        let readable = serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok();
        if !readable || last.is_none_or(|last| revision > last) {
            let what = format!("record {:?} is not what was written", key.value());
            return Err(redb::Error::Corrupted(what));
        }
    }
    Ok(())
}

pub(super) fn failed(source: impl Into<redb::Error>) -> StoreError {
    StoreError::Storage {
        source: Box::new(source.into()),
    }
}

pub(super) fn revision(read: &ReadTransaction) -> Result<Revision, StoreError> {
    let counters = read.open_table(COUNTERS).map_err(failed)?;
    let revision = counters.get(REVISION).map_err(failed)?;
    Ok(Revision(revision.map_or(0, |revision| revision.value())))
}

pub(super) fn object(
    read: &ReadTransaction,
    key: &ObjectKey,
) -> Result<Option<StoredObject>, StoreError> {
    let table = read.open_table(OBJECTS).map_err(failed)?;
    object_in(&table, key)
}

/// As [`object`], of an open table.
pub(super) fn object_in(
    table: &impl ReadableTable<Key, Record>,
    key: &ObjectKey,
) -> Result<Option<StoredObject>, StoreError> {
    let resource = resource(key.kind);
    let found = table.get(address(&resource, key)).map_err(failed)?;
    found
        .map(|record| decode(key.clone(), record.value()))
        .transpose()
}

pub(super) fn objects(
    read: &ReadTransaction,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<Vec<StoredObject>, StoreError> {
    let table = read.open_table(OBJECTS).map_err(failed)?;
    let resource = resource(kind);
    let first = (resource.as_str(), namespace.unwrap_or_default(), "");
    let mut objects = Vec::new();
    for entry in table.range(first..).map_err(failed)? {
        let (key, record) = entry.map_err(failed)?;
        let (found, within, name) = key.value();
        if found != resource || namespace.is_some_and(|namespace| within != namespace) {
            break;
        }
        let key = ObjectKey {
            kind,
            namespace: kind.namespaced().then(|| within.to_owned()),
            name: name.to_owned(),
        };
        objects.push(decode(key, record.value())?);
    }
    Ok(objects)
}

/// The open tables of one write transaction.
#[derive(Debug)]
pub(super) struct Tables<'txn> {
    objects: Table<'txn, Key, Record>,
    counters: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(write: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            objects: write.open_table(OBJECTS)?,
            counters: write.open_table(COUNTERS)?,
        })
    }

    pub(super) fn object(&self, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
        object_in(&self.objects, key)
    }

    pub(super) fn revision(&self) -> Result<Revision, redb::Error> {
        let revision = self.counters.get(REVISION)?;
        Ok(Revision(revision.map_or(0, |revision| revision.value())))
    }

    pub(super) fn put(
        &mut self,
        key: &ObjectKey,
        revision: Revision,
        json: &[u8],
    ) -> Result<(), redb::Error> {
        let resource = resource(key.kind);
        self.objects
            .insert(address(&resource, key), (revision.0, json))?;
        self.counters.insert(REVISION, revision.0)?;
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        key: &ObjectKey,
        revision: Revision,
    ) -> Result<(), redb::Error> {
        let resource = resource(key.kind);
        self.objects.remove(address(&resource, key))?;
        self.counters.insert(REVISION, revision.0)?;
        Ok(())
    }
}

/// `group/plural`: what a kind is called in the file, independent of its version and of the order
/// of the kinds in the code.
pub(super) fn resource(kind: Kind) -> String {
    format!("{}/{}", kind.group(), kind.plural())
}

fn address<'a>(resource: &'a str, key: &'a ObjectKey) -> (&'a str, &'a str, &'a str) {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    (resource, namespace, &key.name)
}

fn decode(key: ObjectKey, (revision, json): (u64, &[u8])) -> Result<StoredObject, StoreError> {
    match serde_json::from_slice(json) {
        Ok(value) => Ok(StoredObject {
            key,
            revision: Revision(revision),
            value,
        }),
        Err(source) => Err(StoreError::Decode { key, source }),
    }
}
