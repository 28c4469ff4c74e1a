//! What the store costs: 100,000 pods listed, a write that survives a power cut, a change told to 100 watchers.
//!
//! Scale: 100,000 Pod objects of about 1 KB in one file. Against, in the same run and the same folder: a bare redb file of
//! the same bytes, read through; a bare redb commit of one such value; and an `fdatasync` of a file that grew by as much.
//! The change goes from the call of a write to the last of 100 watches that a thread has read it from, as an API server
//! does; serving it over sockets is left out.

use std::fs::File;
use std::io::Write as _;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use oncilla_api::{Kind, ObjectKey};
use oncilla_store::{
    EmbeddedStore, Revision, Store as _, StoreError, Watch, WatchEvent, WatchSelector,
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::Value;

use crate::report::{Against, Figure, Report, quantile};
use crate::scene::{client_kind, remote_address, running_pod};

const OBJECTS: usize = 100_000;
/// Threads that fill the store: their writes share commits.
const FILLERS: usize = 64;
const LISTS: usize = 5;
const WRITES: usize = 1_000;
const WATCHERS: usize = 100;
const CHANGES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(10);
const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("floor");

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = EmbeddedStore::open(&folder.path().join("store"))?;
    let started = Instant::now();
    fill(&store)?;
    report.figure("X14/fill-100000/time", started.elapsed().as_secs_f64(), "s");
    let floor = Floor::new(folder.path())?;
    lists(report, &store, &floor)?;
    writes(report, &store, &floor)?;
    fan_out(report, store)
}

fn key(number: usize) -> ObjectKey {
    ObjectKey::namespaced(Kind::Pod, "bench", format!("pod-{number}"))
}

fn value(number: usize) -> Value {
    let (name, app) = (format!("pod-{number}"), client_kind(number));
    running_pod(&name, "n2", &app, &remote_address(number))
}

fn fill(store: &EmbeddedStore) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let fillers: Vec<_> = (0..FILLERS)
            .map(|_| scope.spawn(|| fill_from(store, &next)))
            .collect();
        let mut ended = fillers.into_iter().map(thread::ScopedJoinHandle::join);
        ended.try_for_each(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn fill_from(store: &EmbeddedStore, next: &AtomicUsize) -> anyhow::Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= OBJECTS {
            return Ok(());
        }
        store.create(&key(number), value(number))?;
    }
}

/// A bare file of the same values.
struct Floor {
    database: Database,
    file: File,
}

impl Floor {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let database = Database::create(folder.join("floor"))?;
        let write = database.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            for number in 0..OBJECTS {
                table.insert(
                    &*key(number).to_string(),
                    value(number).to_string().as_bytes(),
                )?;
            }
        }
        write.commit()?;
        let file = File::create(folder.join("raw"))?;
        Ok(Self { database, file })
    }

    /// Reads all values through; how many bytes they are.
    fn read(&self) -> anyhow::Result<usize> {
        let read = self.database.begin_read()?;
        let table = read.open_table(TABLE)?;
        let mut bytes = 0;
        for entry in table.iter()? {
            bytes += entry?.1.value().iter().filter(|byte| **byte != 0).count();
        }
        Ok(bytes)
    }

    fn commit(&self, number: usize, value: &str) -> anyhow::Result<()> {
        let write = self.database.begin_write()?;
        write
            .open_table(TABLE)?
            .insert(&*key(number).to_string(), value.as_bytes())?;
        Ok(write.commit()?)
    }

    fn append(&self, value: &str) -> anyhow::Result<()> {
        (&self.file).write_all(value.as_bytes())?;
        Ok(self.file.sync_data()?)
    }
}

fn seconds(work: &mut impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn lists(report: &mut Report, store: &EmbeddedStore, floor: &Floor) -> anyhow::Result<()> {
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..LISTS {
        ours.push(seconds(&mut || {
            let found = store.list(Kind::Pod, None)?.objects.len();
            ensure!(found == OBJECTS, "{found} objects listed");
            Ok(())
        })?);
        raw.push(seconds(&mut || {
            ensure!(floor.read()? > OBJECTS * 500, "the floor is empty");
            Ok(())
        })?);
    }
    let figure = Figure {
        bench: "B14/list-100000/time".to_owned(),
        value: quantile(&mut ours, 0.5),
        unit: "s",
    };
    let against = Against {
        name: "raw redb, values not parsed, same run",
        value: quantile(&mut raw, 0.5),
    };
    report.compare(&figure, against);
    Ok(())
}

fn writes(report: &mut Report, store: &EmbeddedStore, floor: &Floor) -> anyhow::Result<()> {
    let mut samples: [Vec<f64>; 3] = Default::default();
    for number in 0..WRITES {
        let text = value(number).to_string();
        let works: [&mut dyn FnMut() -> anyhow::Result<()>; 3] = [
            &mut || {
                store.update(&key(number), None, value(number))?;
                Ok(())
            },
            &mut || floor.commit(number, &text),
            &mut || floor.append(&text),
        ];
        for (samples, work) in samples.iter_mut().zip(works) {
            let start = Instant::now();
            work()?;
            samples.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    let [ours, redb, sync] = &mut samples;
    for (what, part) in [("median", 0.5), ("p99", 0.99)] {
        let (redb, sync) = (quantile(redb, part), quantile(sync, part));
        let figure = Figure {
            bench: format!("B14/write/{what}"),
            value: quantile(ours, part),
            unit: "us",
        };
        let against = Against {
            name: "raw redb commit, same run",
            value: redb,
        };
        report.compare(&figure, against);
        report.figure(&format!("X14/raw-fdatasync/{what}"), sync, "us");
    }
    Ok(())
}

fn fan_out(report: &mut Report, store: EmbeddedStore) -> anyhow::Result<()> {
    let from = store.revision()?;
    let (told, heard) = channel();
    let mut watches = Vec::new();
    for _ in 0..WATCHERS {
        let selector = WatchSelector::kind(Kind::Pod);
        watches.push(store.watch(&selector, from)?);
    }
    let reader = thread::spawn(move || {
        loop {
            let mut revision = Revision::ZERO;
            for watch in &mut watches {
                let Ok(told) = change(watch) else { return };
                revision = told;
            }
            if told.send((revision, Instant::now())).is_err() {
                return;
            }
        }
    });
    let mut samples = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let start = Instant::now();
        let written = store.update(&key(number), None, value(number))?;
        let (revision, at) = heard
            .recv_timeout(PATIENCE)
            .context("a watcher heard nothing")?;
        ensure!(revision == written.revision, "another change was told");
        samples.push((at - start).as_secs_f64() * 1e6);
    }
    // That ends the watches.
    drop(store);
    ensure!(reader.join().is_ok(), "the reader panicked");
    for (what, part) in [("median", 0.5), ("p99", 0.99)] {
        let name = format!("B14/fan-out-100-watchers/{what}");
        report.figure(&name, quantile(&mut samples, part), "us");
    }
    Ok(())
}

/// The revision of the next change.
fn change(watch: &mut Watch) -> Result<Revision, StoreError> {
    loop {
        match watch.next_blocking()? {
            WatchEvent::Bookmark(_) => {}
            event => return Ok(event.revision()),
        }
    }
}
