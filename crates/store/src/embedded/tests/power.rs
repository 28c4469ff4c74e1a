//! A power cut at every write: the disk is a log of what redb asked for, replayed up to any point
//! with what was not yet synced kept, dropped, or kept in part.

use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};

use redb::StorageBackend;

use super::super::{EmbeddedStore, file};
use super::{key, number, value};
use crate::Store as _;
use crate::object::Revision;

/// What a disk is asked to do; `Acknowledged` is the store's answer to its caller.
#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    Acknowledged(Acknowledged),
}

/// The state that must be found after a cut.
#[derive(Clone, Debug, Default)]
struct Acknowledged {
    revision: Revision,
    /// Numbers of the objects `0`, `1`, …; `None` for one that was removed.
    numbers: Vec<Option<u64>>,
}

#[derive(Debug, Default)]
struct Disk {
    image: RwLock<Vec<u8>>,
    log: RwLock<Vec<Step>>,
}

/// redb's view of a [`Disk`].
#[derive(Clone, Debug)]
struct Recorder(Arc<Disk>);

impl Recorder {
    fn record(&self, step: Step) {
        apply(&mut self.0.image.write().unwrap(), &step);
        self.0.log.write().unwrap().push(step);
    }
}

fn apply(image: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(offset, data) => {
            let start = usize::try_from(*offset).unwrap();
            let end = start + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[start..end].copy_from_slice(data);
        }
        Step::SetLen(len) => image.resize(usize::try_from(*len).unwrap(), 0),
        Step::Sync | Step::Acknowledged(_) => {}
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.image.read().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let image = self.0.image.read().unwrap();
        let part = image.get(start..start + out.len());
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.record(Step::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.record(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.record(Step::Write(offset, data.to_vec()));
        Ok(())
    }
}

const OBJECTS: u64 = 8;
const WRITES: u64 = 40;

/// Creates, replaces and removes, some values large enough to make the file grow.
fn record() -> (Vec<u8>, Vec<Step>) {
    let disk = Arc::new(Disk::default());
    let store = EmbeddedStore::on_backend(Path::new("recorded"), Recorder(Arc::clone(&disk)));
    let store = store.unwrap();
    // A store file gets its name only when it is whole, so cuts begin here.
    let start = disk.image.read().unwrap().clone();
    disk.log.write().unwrap().clear();
    let mut state = Acknowledged {
        revision: Revision::ZERO,
        numbers: vec![None; usize::try_from(OBJECTS).unwrap()],
    };
    for write in 0..WRITES {
        let index = usize::try_from(write * 5 % OBJECTS).unwrap();
        let key = key(&index.to_string());
        let mut new = value(write);
        if write % 7 == 3 {
            new["padding"] = "x".repeat(200_000).into();
        }
        let done = match state.numbers[index] {
            None => store.create(&key, new),
            Some(_) if write % 6 == 5 => store.delete(&key, None),
            Some(_) => store.update(&key, None, new),
        };
        let deleted = state.numbers[index].is_some() && write % 6 == 5;
        state.numbers[index] = (!deleted).then_some(write);
        state.revision = done.unwrap().revision;
        let step = Step::Acknowledged(state.clone());
        disk.log.write().unwrap().push(step);
    }
    drop(store);
    let log = disk.log.read().unwrap().clone();
    (start, log)
}

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn reopened(image: &[u8], at: &str, expect: &Acknowledged, next: Option<&Acknowledged>) {
    let disk = || {
        Recorder(Arc::new(Disk {
            image: RwLock::new(image.to_vec()),
            log: RwLock::default(),
        }))
    };
    let path = Path::new("recorded");
    file::probe(path, disk()).unwrap_or_else(|error| panic!("{at}: probe: {error:?}"));
    let disk = disk();
    file::distrust(&disk).unwrap();
    let store = EmbeddedStore::on_backend(path, disk);
    let store = store.unwrap_or_else(|error| panic!("{at}: open: {error:?}"));
    let mut found = Acknowledged {
        revision: store.revision().unwrap(),
        numbers: Vec::new(),
    };
    for index in 0..OBJECTS {
        let object = store.object(&key(&index.to_string())).unwrap();
        found
            .numbers
            .push(object.map(|object| number(&object.value)));
    }
    // The write under way may be there, whole, or not at all.
    let same =
        |state: &Acknowledged| state.revision == found.revision && state.numbers == found.numbers;
    assert!(
        same(expect) || next.is_some_and(same),
        "{at}: found {found:?}, acknowledged {expect:?}"
    );
}

#[test]
fn a_cut_at_every_write_loses_nothing_acknowledged() {
    let (start, log) = record();
    let mut dice = Dice(0x0dd5_eed5);
    let mut synced = start;
    let mut unsynced: Vec<Step> = Vec::new();
    // The state before the first write counts as acknowledged.
    let mut expect = Acknowledged {
        revision: Revision::ZERO,
        numbers: vec![None; usize::try_from(OBJECTS).unwrap()],
    };
    let mut cuts = 0;
    for (index, step) in log.iter().enumerate() {
        let next = log[index + 1..].iter().find_map(|step| match step {
            Step::Acknowledged(state) => Some(state),
            _ => None,
        });
        match step {
            Step::Sync => {
                unsynced
                    .drain(..)
                    .for_each(|step| apply(&mut synced, &step));
            }
            Step::Acknowledged(state) => {
                expect = state.clone();
            }
            Step::Write(..) | Step::SetLen(_) => unsynced.push(step.clone()),
        }
        for (how, image) in images(&synced, &unsynced, &mut dice) {
            reopened(
                &image,
                &format!("step {index} of {}, {how}", log.len()),
                &expect,
                next,
            );
            cuts += 1;
        }
    }
    assert!(cuts >= 300, "only {cuts} cuts");
}

/// What the disk may hold after a cut: nothing that was not synced, all of it, the last write
/// half, and some of the writes in any combination.
fn images(synced: &[u8], unsynced: &[Step], dice: &mut Dice) -> Vec<(&'static str, Vec<u8>)> {
    let mut images = vec![("dropped", synced.to_vec())];
    if unsynced.is_empty() {
        return images;
    }
    let mut all = synced.to_vec();
    for step in unsynced {
        apply(&mut all, step);
    }
    images.push(("kept", all));
    let mut torn = synced.to_vec();
    if let Some((Step::Write(offset, data), before)) = unsynced.split_last() {
        for step in before {
            apply(&mut torn, step);
        }
        let half = Step::Write(*offset, data[..data.len() / 2].to_vec());
        apply(&mut torn, &half);
        images.push(("torn", torn));
    }
    let mut some = synced.to_vec();
    for step in unsynced {
        // The length of a file is metadata: it is journalled, in order.
        let kept = matches!(step, Step::SetLen(_)) || dice.roll().is_multiple_of(2);
        if kept {
            apply(&mut some, step);
        }
    }
    images.push(("some", some));
    images
}
