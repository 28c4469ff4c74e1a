//! Follows every kind of object and hands what is new to the policy thread.

use std::sync::Arc;

use oncilla_api::{Kind, ObjectKey};
use oncilla_store::rest::{Client, Collection, Event, Follow};
use oncilla_store::{Revision, StoredObject};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::wake::Wake;

/// How many pieces of news wait for the policy thread; a follower that finds no room waits.
pub(crate) const QUEUE_NEWS_MAX: usize = 1024;

/// What the policy thread learns of the store.
#[derive(Debug)]
pub(crate) enum News {
    /// All objects of a kind; what is not in it does not exist.
    Listed(Kind, Vec<StoredObject>, Revision),
    /// An object is new or was replaced.
    Applied(StoredObject),
    /// An object was removed, by the write of this revision.
    Deleted(ObjectKey, Revision),
    /// Everything of a kind up to this revision was told.
    Synced(Kind, Revision),
    /// The store does not answer.
    Away(Kind, String),
}

/// Starts a follower for every kind.
pub(crate) fn start(
    client: &Client,
    news: &mpsc::Sender<News>,
    wake: &Arc<Wake>,
    tasks: &mut JoinSet<()>,
) {
    for kind in Kind::ALL {
        let follow = client.follow(Collection::of(kind));
        tasks.spawn(forward(kind, follow, news.clone(), Arc::clone(wake)));
    }
}

async fn forward(kind: Kind, mut follow: Follow, news: mpsc::Sender<News>, wake: Arc<Wake>) {
    loop {
        let event = follow.next().await;
        let revision = follow.revision().unwrap_or_default();
        let told = match event {
            Event::Snapshot(objects) | Event::Restarted(objects) => {
                News::Listed(kind, objects, revision)
            }
            Event::Applied(object) => News::Applied(object),
            Event::Deleted(object) => News::Deleted(object.key, object.revision),
            Event::Synced(revision) => News::Synced(kind, revision),
            Event::Disconnected(error) => News::Away(kind, chain(&*error)),
        };
        if news.send(told).await.is_err() {
            return;
        }
        wake.wake();
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
