//! `oncilla apply`: creates and changes objects from files.
//!
//! ```text
//! files ─decode, validate─▶ objects ─plan, dry run of every one─▶ steps ─write in order─▶ lines
//! ```
//! Everything is checked before the first write. What fails afterwards, because somebody else wrote meanwhile,
//! is tried again a few times and then said, with what was and what was not applied.

mod check;
mod merge;

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
        match check::all(client, &objects).await {
            Ok(check::Checked { diagnostics, .. }) if !diagnostics.is_empty() => {
                reporter.refuse(&diagnostics, &objects, Verb::Applied)
            }
            Ok(checked) if arguments.dry_run => {
                say(&checked.outcomes, arguments.output, " (dry run)")
            }
            Ok(_) => write(client, &objects, arguments.output, &reporter).await,
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

/// Writes everything; stops at the first failure, so that nothing is applied without what it may need.
async fn write(
    client: &Client,
    objects: &[Located<Object>],
    output: Option<Format>,
    reporter: &Reporter,
) -> Exit {
    let mut outcomes = Vec::with_capacity(objects.len());
    for (index, located) in objects.iter().enumerate() {
        match write_one(client, located).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                say(&outcomes, output, "");
                let mut exit = Exit::No;
                match check::diagnose(located, &error) {
                    Some(diagnostics) => reporter.show(&diagnostics),
                    None => exit = connect::failed(error),
                }
                let left = objects.iter().skip(index);
                let left: Vec<String> = left.map(|left| print::name(&left.object.key())).collect();
                print::note(&partial(objects.len(), &left));
                return if outcomes.is_empty() {
                    exit
                } else {
                    Exit::Partly
                };
            }
        }
    }
    say(&outcomes, output, "")
}

fn partial(all: usize, left: &[String]) -> String {
    match all - left.len() {
        0 => "nothing was applied".to_owned(),
        done => format!(
            "{done} of {all} objects were applied; not applied: {}",
            left.join(", ")
        ),
    }
}

async fn write_one(client: &Client, located: &Located<Object>) -> Result<Outcome, RestError> {
    let key = located.object.key();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (written, before) = match plan(client, located).await? {
            Step::Create(value) => (client.create(&key, &value).await, None),
            // The live object's resource version is in it, so nobody else's change is lost.
            Step::Update { live, wanted } => (client.update(&key, &wanted).await, Some(live)),
        };
        match written {
            Ok(object) => {
                let change =
                    before.map_or(Change::Created, |before| compared(&before, &object.value));
                return Ok(Outcome {
                    key,
                    change,
                    value: object.value,
                });
            }
            Err(error) if attempt < ATTEMPTS_MAX && is_race(&error) => {}
            Err(error) => return Err(error),
        }
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

/// `networkpolicy.networking.k8s.io/allow configured`, or the objects themselves.
fn say(outcomes: &[Outcome], output: Option<Format>, suffix: &str) -> Exit {
    let objects = || {
        let mut values: Vec<Value> = outcomes
            .iter()
            .map(|outcome| outcome.value.clone())
            .collect();
        match (values.pop(), values.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                values.extend(last);
                print::list(values)
            }
        }
    };
    let text = match output {
        Some(Format::Json) => print::json(&objects()),
        Some(Format::Yaml) => print::yaml(&objects()),
        Some(Format::Name) => {
            let names: Vec<String> = outcomes
                .iter()
                .map(|outcome| print::name(&outcome.key))
                .collect();
            Ok(names.join("\n"))
        }
        Some(Format::Wide) | None => {
            let lines = outcomes.iter().map(|outcome| {
                let place = match (&outcome.key.namespace, output) {
                    (Some(namespace), Some(Format::Wide)) => format!(" in {namespace}"),
                    _ => String::new(),
                };
                let change = outcome.change.participle();
                format!("{} {change}{place}{suffix}", print::name(&outcome.key))
            });
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
    };
    match text {
        Ok(text) => print::answer(&text),
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            Exit::CannotJudge
        }
    }
}
