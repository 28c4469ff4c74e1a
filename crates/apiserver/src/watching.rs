//! A watch as a body: one JSON event per line, until the client, the time or the server ends it.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use oncilla_api::Kind;
use oncilla_store::{Revision, StoredObject, Watch, WatchEvent};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;
use crate::metadata::set_revision;
use crate::query::WatchParameters;
use crate::select::Selection;
use crate::serve::stopped;

/// An open watch of one client.
pub(crate) struct Watching {
    pub(crate) kind: Kind,
    pub(crate) watch: Watch,
    pub(crate) selection: Selection,
    pub(crate) parameters: WatchParameters,
    /// Turns true when the server stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Watching {
    pub(crate) fn into_response(self, now: Instant) -> Response {
        let deadline = now + self.parameters.lasting;
        let lines = stream::unfold(Some(self), move |watching| async move {
            let mut watching = watching?;
            let line = watching.line(deadline).await?;
            let next = (!line.last).then_some(watching);
            Some((Ok::<_, Infallible>(line.bytes), next))
        });
        let mut response = Body::from_stream(lines).into_response();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }

    /// The next line; `None` at the watch's end.
    async fn line(&mut self, deadline: Instant) -> Option<Line> {
        loop {
            let event = tokio::select! {
                event = self.watch.next() => event,
                () = sleep_until(deadline) => return None,
                () = stopped(&mut self.stopping) => return None,
            };
            match event {
                Ok(event) => {
                    if let Some((what, object)) = self.shown(event) {
                        return Some(Line::new(what, &object, false));
                    }
                }
                Err(error) => {
                    let status = Failure::from(error).to_value();
                    return Some(Line::new("ERROR", &status, true));
                }
            }
        }
    }

    /// What this client sees of an event: with a selection, objects enter and leave its view.
    fn shown(&self, event: WatchEvent) -> Option<(&'static str, Value)> {
        let sees = |object: &StoredObject| self.selection.matches(&object.value);
        match event {
            WatchEvent::Added(object) => sees(&object).then(|| ("ADDED", whole(&object))),
            WatchEvent::Deleted(object) => sees(&object).then(|| ("DELETED", whole(&object))),
            WatchEvent::Modified { object, previous } => match (sees(&previous), sees(&object)) {
                (true, true) => Some(("MODIFIED", whole(&object))),
                (false, true) => Some(("ADDED", whole(&object))),
                (true, false) => {
                    let mut last = whole(&previous);
                    set_revision(&mut last, object.revision);
                    Some(("DELETED", last))
                }
                (false, false) => None,
            },
            WatchEvent::Bookmark(revision) => self
                .parameters
                .bookmarks
                .then(|| ("BOOKMARK", bookmark(self.kind, revision))),
        }
    }
}

struct Line {
    bytes: Bytes,
    last: bool,
}

impl Line {
    fn new(what: &str, object: &Value, last: bool) -> Self {
        let mut text = json!({ "type": what, "object": object }).to_string();
        text.push('\n');
        Self {
            bytes: text.into(),
            last,
        }
    }
}

fn whole(object: &StoredObject) -> Value {
    let mut value = object.value.clone();
    set_revision(&mut value, object.revision);
    value
}

fn bookmark(kind: Kind, revision: Revision) -> Value {
    json!({
        "kind": kind.kind_name(),
        "apiVersion": kind.api_version(),
        "metadata": { "resourceVersion": revision.to_string(), "creationTimestamp": null },
    })
}
