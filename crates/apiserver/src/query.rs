//! The parameters of a request.

use std::time::Duration;

use axum::extract::Query;
use http::Uri;
use oncilla_api::Kind;
use oncilla_store::Revision;
use serde::Deserialize;

use crate::failure::Failure;
use crate::select::Selection;

/// How long a watch lasts when the client does not say, in seconds.
pub const WATCH_SECONDS_DEFAULT: u64 = 30 * 60;
/// How long a watch lasts at most, in seconds.
pub const WATCH_SECONDS_MAX: u64 = 2 * 60 * 60;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    watch: Option<String>,
    resource_version: Option<String>,
    allow_watch_bookmarks: Option<String>,
    timeout_seconds: Option<String>,
    send_initial_events: Option<String>,
    label_selector: Option<String>,
    field_selector: Option<String>,
    dry_run: Option<String>,
}

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Parameters {
    /// The watch asked for; `None` for a list.
    pub(crate) watch: Option<WatchParameters>,
    pub(crate) selection: Selection,
    /// Everything is checked and nothing stored.
    pub(crate) dry_run: bool,
}

/// The parameters of a watch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WatchParameters {
    pub(crate) from: Revision,
    pub(crate) bookmarks: bool,
    pub(crate) lasting: Duration,
}

impl Parameters {
    pub(crate) fn of(uri: &Uri, kind: Kind) -> Result<Self, Failure> {
        let Query(raw) = Query::<Raw>::try_from_uri(uri)
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let labels = raw.label_selector.as_deref().unwrap_or_default();
        let fields = raw.field_selector.as_deref().unwrap_or_default();
        Ok(Self {
            watch: is_true(raw.watch.as_deref())
                .then(|| WatchParameters::of(&raw))
                .transpose()?,
            selection: Selection::parse(kind, labels, fields)?,
            dry_run: dry_run(raw.dry_run.as_deref())?,
        })
    }
}

impl WatchParameters {
    fn of(raw: &Raw) -> Result<Self, Failure> {
        if is_true(raw.send_initial_events.as_deref()) {
            // Clients that try this fall back to list and watch on a refusal.
            let message = "sendInitialEvents is not supported: list, then watch";
            return Err(Failure::bad_request(message));
        }
        let from = match raw.resource_version.as_deref().unwrap_or_default() {
            "" => Revision::ZERO,
            text => text.parse().map_err(|_not_a_number| {
                Failure::bad_request(format!("invalid resource version {text:?}: not a number"))
            })?,
        };
        let seconds = match raw.timeout_seconds.as_deref().unwrap_or_default() {
            "" | "0" => WATCH_SECONDS_DEFAULT,
            text => text.parse::<u64>().map_err(|_not_a_number| {
                Failure::bad_request(format!("invalid timeoutSeconds {text:?}: not a number"))
            })?,
        };
        Ok(Self {
            from,
            bookmarks: is_true(raw.allow_watch_bookmarks.as_deref()),
            lasting: Duration::from_secs(seconds.min(WATCH_SECONDS_MAX)),
        })
    }
}

/// As Go reads a boolean; a parameter without value counts as given.
fn is_true(text: Option<&str>) -> bool {
    text.is_some_and(|text| !matches!(text, "0" | "f" | "F" | "false" | "False" | "FALSE"))
}

fn dry_run(text: Option<&str>) -> Result<bool, Failure> {
    match text.unwrap_or_default() {
        "" => Ok(false),
        "All" => Ok(true),
        // To store what was meant as a trial would be worse than to refuse.
        other => Err(Failure::bad_request(format!(
            "invalid dryRun {other:?}: expected \"All\""
        ))),
    }
}
