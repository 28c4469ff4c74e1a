//! `oncilla apply`: creates and changes objects from files.
//!
//! ```text
//! files ─decode, validate─▶ objects ─plan, dry run of every one─▶ steps ─write in order─▶ lines
//! ```
//! Everything is checked before the first write. What fails afterwards, because somebody else wrote meanwhile,
//! is tried again a few times and then said, with what was and what was not applied; so is a Ctrl-C.

mod check;
mod merge;
mod write;

use oncilla_api::manifest::Located;
use oncilla_api::{Object, ObjectKey};
use oncilla_store::rest::{Client, RestError};
use serde_json::Value;

use crate::args::{Apply, Format, Global};
use crate::connect;
use crate::diagnostics::{Reporter, Verb};
use crate::exit::Exit;
use crate::files;
use crate::origin;
use crate::print;
use crate::progress::Progress;
use crate::signals::Stop;
use write::Writing;

pub(crate) use check::before_lab;
pub(crate) use merge::LAST_APPLIED;

/// How often a write is tried again after somebody else's.
const ATTEMPTS_MAX: u32 = 8;

/// Runs `apply`.
pub(crate) fn run(global: &Global, arguments: &Apply) -> Exit {
    let reporter = Reporter::new(global, arguments.output);
    let namespace = arguments.namespace.as_deref();
    let mut objects = match files::load(&arguments.files, namespace, &reporter, Verb::Applied) {
        Ok(objects) => objects,
        Err(exit) => return exit,
    };
    // The order of kinds is one of creation: policies stand before the pods that they judge.
    objects.sort_by_key(|located| located.object.kind());
    connect::with_client(global, async |client| {
        let mut stop = match Stop::listen() {
            Ok(stop) => stop,
            Err(error) => {
                print::error(&format!("cannot listen to signals: {error}"), None);
                return Exit::CannotJudge;
            }
        };
        let mut progress = Progress::new(global.quiet);
        let checked = tokio::select! {
            checked = check::all(client, &objects, &mut progress) => checked,
            () = stop.told() => {
                print::note("interrupted: nothing was applied");
                return Exit::Interrupted;
            }
        };
        progress.clear();
        match checked {
            Ok(check::Checked { diagnostics, .. }) if !diagnostics.is_empty() => {
                reporter.refuse(&diagnostics, &objects, Verb::Applied)
            }
            Ok(checked) if arguments.dry_run => {
                say(&checked.outcomes, arguments.output, " (dry run)")
            }
            Ok(_) => {
                let mut writing = Writing::new(client, &objects, arguments.output, progress);
                let end = writing.all(&mut stop).await;
                writing.conclude(end, &reporter)
            }
            Err(error) => {
                let exit = connect::failed(error);
                print::note("nothing was applied");
                exit
            }
        }
    })
}

/// What became of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Created,
    Configured,
    Unchanged,
}

impl Change {
    fn participle(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// An object as it is after its step, or would be.
#[derive(Debug)]
struct Outcome {
    key: ObjectKey,
    change: Change,
    value: Value,
}

/// What must be sent for one object.
#[derive(Debug)]
enum Step {
    Create(Value),
    Update { live: Value, wanted: Value },
}

/// Compares the file with what is there.
async fn plan(client: &Client, located: &Located<Object>) -> Result<Step, RestError> {
    let key = located.object.key();
    let written = merge::as_written(located);
    match client.object(&key).await {
        Ok(live) => {
            let mut wanted = merge::merged(&key, &live.value, &written);
            origin::record(&mut wanted, located);
            Ok(Step::Update {
                live: live.value,
                wanted,
            })
        }
        Err(error) if error.is_not_found() => {
            let mut wanted = merge::created(&written);
            origin::record(&mut wanted, located);
            Ok(Step::Create(wanted))
        }
        Err(error) => Err(error),
    }
}

/// Somebody created, changed or removed the object between our look and our write.
fn is_race(error: &RestError) -> bool {
    error.is_conflict() || error.is_already_exists()
}

fn compared(before: &Value, after: &Value) -> Change {
    if merge::bare(before) == merge::bare(after) {
        Change::Unchanged
    } else {
        Change::Configured
    }
}

/// The objects themselves, or a line for each.
fn say(outcomes: &[Outcome], output: Option<Format>, suffix: &str) -> Exit {
    let lines = || {
        let lines = outcomes.iter().map(|outcome| line(outcome, output, suffix));
        lines.collect::<Vec<_>>().join("\n")
    };
    let text = match output {
        Some(Format::Json) => print::json(&objects(outcomes)),
        Some(Format::Yaml) => print::yaml(&objects(outcomes)),
        Some(Format::Name | Format::Wide) | None => Ok(lines()),
    };
    match text {
        Ok(text) => print::answer(&text),
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            Exit::CannotJudge
        }
    }
}

/// One object as it is, several as a list.
fn objects(outcomes: &[Outcome]) -> Value {
    let values = outcomes.iter().map(|outcome| outcome.value.clone());
    let mut values: Vec<Value> = values.collect();
    match (values.pop(), values.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            values.extend(last);
            print::list(values)
        }
    }
}

/// `networkpolicy.networking.k8s.io/allow configured`, or the name alone.
fn line(outcome: &Outcome, output: Option<Format>, suffix: &str) -> String {
    let name = print::name(&outcome.key);
    let place = match (&outcome.key.namespace, output) {
        (_, Some(Format::Name)) => return name,
        (Some(namespace), Some(Format::Wide)) => format!(" in {namespace}"),
        _ => String::new(),
    };
    format!("{name} {}{place}{suffix}", outcome.change.participle())
}
