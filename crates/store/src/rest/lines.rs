//! The body of a watch: one JSON event per line.

use std::time::Duration;

use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::client::WATCH_TIMEOUT_SECONDS;
use super::decode;
use super::error::{ApiStatus, RestError};
use super::wire::Wire;
use crate::object::{Kind, Revision, StoredObject};

/// Longest line of a watch, in bytes: the largest object and what surrounds it.
pub const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long nothing may come: the server ends the watch before.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_TIMEOUT_SECONDS + 30);

/// An event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiEvent {
    /// The object is new to the watch.
    Added(StoredObject),
    /// The object was replaced.
    Modified(StoredObject),
    /// The object was removed, or no longer fits the selectors: its last value.
    Deleted(StoredObject),
    /// Everything up to this revision has been delivered.
    Bookmark(Revision),
}

impl ApiEvent {
    /// The revision of the event.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Added(object) | Self::Modified(object) | Self::Deleted(object) => object.revision,
            Self::Bookmark(revision) => *revision,
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    what: String,
    object: Value,
}

/// An open watch. Dropping it closes its connection.
#[derive(Debug)]
pub struct WatchStream {
    server: String,
    kind: Kind,
    wire: Wire,
    body: Incoming,
    /// Bytes that came and were not yet returned.
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
}

impl WatchStream {
    pub(super) fn new(server: String, kind: Kind, wire: Wire, body: Incoming) -> Self {
        Self {
            server,
            kind,
            wire,
            body,
            buffer: Vec::new(),
            searched: 0,
        }
    }

    /// The next event; `None` when the server ended the watch in good order. Cancel-safe.
    ///
    /// # Errors
    /// [`RestError::Status`] for an error event ([`RestError::is_expired`]: list again);
    /// others when the connection broke.
    pub async fn next(&mut self) -> Result<Option<ApiEvent>, RestError> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                self.searched = 0;
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return self.event(&line).map(Some);
            }
            self.searched = self.buffer.len();
            if self.searched > EVENT_BYTES_MAX {
                return Err(RestError::TooLarge {
                    server: self.server.clone(),
                    limit: EVENT_BYTES_MAX,
                });
            }
            let Ok(bytes) = timeout(SILENCE_MAX, self.wire.bytes(&mut self.body)).await else {
                return Err(RestError::TimedOut {
                    server: self.server.clone(),
                    seconds: SILENCE_MAX.as_secs(),
                });
            };
            match bytes? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }

    fn event(&self, line: &[u8]) -> Result<ApiEvent, RestError> {
        let unreadable = |source| RestError::Decode {
            server: self.server.clone(),
            what: "a watch event",
            source,
        };
        let Line { what, object } = serde_json::from_slice(line).map_err(unreadable)?;
        let decoded = |object| decode::object(&self.server, self.kind, object);
        match what.as_str() {
            "ADDED" => decoded(object).map(ApiEvent::Added),
            "MODIFIED" => decoded(object).map(ApiEvent::Modified),
            "DELETED" => decoded(object).map(ApiEvent::Deleted),
            "BOOKMARK" => decode::revision(object.get("metadata"))
                .map(ApiEvent::Bookmark)
                .ok_or_else(|| self.malformed("a bookmark without a numeric resourceVersion")),
            "ERROR" => {
                let status: ApiStatus = serde_json::from_value(object).map_err(unreadable)?;
                Err(RestError::Status(Box::new(status)))
            }
            _ => Err(self.malformed("a watch event of an unknown type")),
        }
    }

    fn malformed(&self, what: &'static str) -> RestError {
        RestError::Malformed {
            server: self.server.clone(),
            what,
        }
    }
}
