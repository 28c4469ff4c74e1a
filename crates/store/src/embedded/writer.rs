//! The one thread that writes: it takes what is waiting as one group, commits it once, answers
//! and publishes.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};

use redb::{Database, Durability};

use super::records::Tables;
use crate::change::{Change, Request};
use crate::error::StoreError;
use crate::feed::Feed;
use crate::object::StoredObject;
use crate::watch::WatchEvent;

/// How many writes may wait for the writer thread; a caller beyond that waits itself.
pub(super) const QUEUE_MAX: usize = 1024;
/// How many writes share one commit.
const GROUP_MAX: usize = 256;
/// How many bytes of JSON share one commit; the write that passes it is the last of its group.
const GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A write that waits for its commit.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) answer: SyncSender<Result<StoredObject, StoreError>>,
}

/// A write that was accepted inside an open transaction.
struct Accepted {
    object: StoredObject,
    event: WatchEvent,
    bytes: usize,
    answer: SyncSender<Result<StoredObject, StoreError>>,
}

/// Starts the writer; it ends when the queue is closed.
pub(super) fn spawn(
    database: Arc<Database>,
    feed: Arc<RwLock<Feed>>,
    queue: Receiver<Job>,
) -> io::Result<JoinHandle<()>> {
    Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || {
            while let Ok(first) = queue.recv() {
                let group = group(first, &queue);
                write(&database, &feed, group);
            }
        })
}

fn group(first: Job, queue: &Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.request.json.len();
    let mut group = vec![first];
    while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(job) = queue.try_recv() else { break };
        bytes += job.request.json.len();
        group.push(job);
    }
    group
}

fn write(database: &Database, feed: &RwLock<Feed>, group: Vec<Job>) {
    let waiting: Vec<_> = group.iter().map(|job| job.answer.clone()).collect();
    match commit(database, group) {
        Ok(accepted) => {
            let mut feed = feed.write().unwrap_or_else(PoisonError::into_inner);
            for done in accepted {
                feed.publish(done.event, done.bytes);
                answer(&done.answer, Ok(done.object));
            }
        }
        Err(source) => {
            // A refused job was answered before the commit failed; its channel is full, and the
            // second answer is dropped.
            let reason: Arc<str> = source.to_string().into();
            for waiting in waiting {
                let reason = Arc::clone(&reason);
                answer(&waiting, Err(StoreError::GroupFailed { reason }));
            }
        }
    }
}

fn commit(database: &Database, group: Vec<Job>) -> Result<Vec<Accepted>, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    let mut accepted = Vec::new();
    {
        let mut tables = Tables::open(&write)?;
        for job in group {
            accepted.extend(accept(&mut tables, job)?);
        }
    }
    if accepted.is_empty() {
        write.abort()?;
    } else {
        write.commit()?;
    }
    Ok(accepted)
}

/// Makes one change inside the transaction, or answers why not.
fn accept(tables: &mut Tables<'_>, job: Job) -> Result<Option<Accepted>, redb::Error> {
    let Job {
        request,
        answer: to,
    } = job;
    let judged = tables.object(&request.key).and_then(|now| {
        request.judge(now.as_ref().map(|object| object.revision))?;
        Ok(now)
    });
    let now = match judged {
        Ok(now) => now,
        Err(refusal) => {
            answer(&to, Err(refusal));
            return Ok(None);
        }
    };
    let revision = tables.revision()?.next();
    let Request { key, change, json } = request;
    match &change {
        Change::Create(_) | Change::Update(..) => tables.put(&key, revision, &json)?,
        Change::Delete(_) => tables.remove(&key, revision)?,
    }
    let value = match change {
        Change::Create(value) | Change::Update(_, value) => value,
        Change::Delete(_) => now.as_ref().map(|o| o.value.clone()).unwrap_or_default(),
    };
    let deleted = json.is_empty();
    let object = StoredObject {
        key,
        revision,
        value,
    };
    let shared = Arc::new(object.clone());
    let event = match now.filter(|_| !deleted) {
        _ if deleted => WatchEvent::Deleted(shared),
        None => WatchEvent::Added(shared),
        Some(previous) => WatchEvent::Modified {
            object: shared,
            previous: Arc::new(previous),
        },
    };
    Ok(Some(Accepted {
        object,
        event,
        bytes: json.len(),
        answer: to,
    }))
}

fn answer(
    to: &SyncSender<Result<StoredObject, StoreError>>,
    result: Result<StoredObject, StoreError>,
) {
    // The caller waits for its answer; if it is gone, nobody wants to know.
    drop(to.try_send(result));
}
