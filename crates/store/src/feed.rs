//! The bounded history of changes and the watchers that follow it. Owned by one store.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::StoreError;
use crate::object::{Revision, StoredObject};
use crate::watch::{Watch, WatchEvent, WatchSelector, WatchSender};

/// How many past changes a store keeps for watches that resume.
pub const HISTORY_EVENTS_MAX: usize = 16_384;
/// How many bytes of JSON the kept changes may have together.
pub const HISTORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many watches one store serves.
pub const WATCHERS_MAX: usize = 65_536;

#[derive(Debug)]
struct Past {
    event: WatchEvent,
    bytes: usize,
}

#[derive(Debug)]
struct Watcher {
    selector: WatchSelector,
    /// Changes up to here are already known to the watcher.
    after: Revision,
    sender: WatchSender,
}

/// The history and its watchers.
#[derive(Debug)]
pub(crate) struct Feed {
    past: VecDeque<Past>,
    bytes: usize,
    /// A watch is possible from this revision on.
    oldest: Revision,
    /// The last change published.
    revision: Revision,
    watchers: Vec<Watcher>,
}

impl Feed {
    /// A feed whose history begins after `revision`.
    pub(crate) fn starting_at(revision: Revision) -> Self {
        Self {
            past: VecDeque::new(),
            bytes: 0,
            oldest: revision,
            revision,
            watchers: Vec::new(),
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Records a change and hands it to every watcher concerned. `bytes` is the size of its JSON.
    pub(crate) fn publish(&mut self, event: WatchEvent, bytes: usize) {
        let revision = event.revision();
        assert!(revision > self.revision, "changes are published in order");
        self.revision = revision;
        self.watchers.retain_mut(|watcher| {
            let concerned = revision > watcher.after
                && event
                    .object()
                    .is_some_and(|object| watcher.selector.matches(&object.key));
            if concerned {
                watcher.sender.send(event.clone())
            } else {
                true
            }
        });
        self.past.push_back(Past { event, bytes });
        self.bytes += bytes;
        while self.past.len() > HISTORY_EVENTS_MAX || self.bytes > HISTORY_BYTES_MAX {
            self.forget_first();
        }
    }

    /// Opens a watch from `from`; `current` is the revision of the last accepted write, which may
    /// not have been published yet.
    pub(crate) fn watch(
        &mut self,
        selector: &WatchSelector,
        from: Revision,
        current: Revision,
    ) -> Result<Watch, StoreError> {
        if from > current {
            // The caller has seen another store (a file restored from a backup, say): to wait
            // until the counter comes by would lose every change until then.
            return Err(StoreError::Future {
                asked: from,
                current,
            });
        }
        if from < self.oldest {
            return Err(StoreError::TooOld {
                asked: from,
                oldest: self.oldest,
            });
        }
        let mut backlog: VecDeque<WatchEvent> = self
            .past
            .iter()
            .map(|past| &past.event)
            .filter(|event| event.revision() > from)
            .filter(|event| event.object().is_some_and(|o| selector.matches(&o.key)))
            .cloned()
            .collect();
        let known = from.max(self.revision);
        backlog.push_back(WatchEvent::Bookmark(known));
        self.subscribe(selector, known, backlog)
    }

    /// Opens a watch that begins with the objects present at `revision`.
    pub(crate) fn watch_present(
        &mut self,
        selector: &WatchSelector,
        present: Vec<StoredObject>,
        revision: Revision,
    ) -> Result<Watch, StoreError> {
        if revision < self.oldest {
            return Err(StoreError::TooOld {
                asked: revision,
                oldest: self.oldest,
            });
        }
        let mut backlog: VecDeque<WatchEvent> = present
            .into_iter()
            .map(|object| WatchEvent::Added(Arc::new(object)))
            .collect();
        // What was accepted between the snapshot and now.
        let later = self.past.iter().map(|past| &past.event);
        backlog.extend(
            later
                .filter(|event| event.revision() > revision)
                .filter(|event| event.object().is_some_and(|o| selector.matches(&o.key)))
                .cloned(),
        );
        let known = revision.max(self.revision);
        backlog.push_back(WatchEvent::Bookmark(known));
        self.subscribe(selector, known, backlog)
    }

    /// Forgets the history up to and including `through`.
    pub(crate) fn compact(&mut self, through: Revision) {
        while self
            .past
            .front()
            .is_some_and(|past| past.event.revision() <= through)
        {
            self.forget_first();
        }
        self.oldest = self.oldest.max(through.min(self.revision));
    }

    /// Sends the present revision to each watcher that has not heard of it.
    pub(crate) fn bookmark(&mut self) {
        let revision = self.revision;
        self.watchers.retain_mut(|watcher| {
            if watcher.sender.is_closed() {
                return false;
            }
            if watcher.sender.sent() >= revision {
                return true;
            }
            watcher.sender.send(WatchEvent::Bookmark(revision))
        });
    }

    fn subscribe(
        &mut self,
        selector: &WatchSelector,
        after: Revision,
        backlog: VecDeque<WatchEvent>,
    ) -> Result<Watch, StoreError> {
        if self.watchers.len() >= WATCHERS_MAX {
            self.watchers.retain(|watcher| !watcher.sender.is_closed());
        }
        if self.watchers.len() >= WATCHERS_MAX {
            return Err(StoreError::TooManyWatchers {
                limit: WATCHERS_MAX,
            });
        }
        let (sender, watch) = Watch::channel(backlog, after);
        self.watchers.push(Watcher {
            selector: selector.clone(),
            after,
            sender,
        });
        Ok(watch)
    }

    fn forget_first(&mut self) {
        if let Some(past) = self.past.pop_front() {
            self.bytes -= past.bytes;
            self.oldest = past.event.revision();
        }
    }
}
