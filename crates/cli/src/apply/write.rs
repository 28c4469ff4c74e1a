//! Writing: one object after another, each said as soon as it is there. A failure or a signal ends it between two
//! objects, and what was and what was not written is said.

use oncilla_api::Object;
use oncilla_api::manifest::Located;
use oncilla_store::rest::{Client, RestError};

use super::{ATTEMPTS_MAX, Change, Outcome, Step, check, compared, is_race, line, plan, say};
use crate::args::Format;
use crate::connect;
use crate::diagnostics::Reporter;
use crate::exit::Exit;
use crate::print;
use crate::progress::Progress;
use crate::signals::Stop;

/// Objects on their way to the server.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    client: &'a Client,
    objects: &'a [Located<Object>],
    output: Option<Format>,
    progress: Progress,
    outcomes: Vec<Outcome>,
    /// What came of printing: after a failure nothing more is printed, and all is written nevertheless.
    printed: Exit,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    All,
    Failed(RestError),
    Interrupted,
    /// A second signal came before the server had answered about an object.
    GivenUp,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        client: &'a Client,
        objects: &'a [Located<Object>],
        output: Option<Format>,
        progress: Progress,
    ) -> Self {
        Self {
            client,
            objects,
            output,
            progress,
            outcomes: Vec::with_capacity(objects.len()),
            printed: Exit::Done,
        }
    }

    /// Writes everything; stops at the first failure, so that nothing is applied without what it may need.
    pub(super) async fn all(&mut self, stop: &mut Stop) -> End {
        for (index, located) in self.objects.iter().enumerate() {
            if stop.has_come().await {
                return End::Interrupted;
            }
            let all = self.objects.len();
            self.progress
                .say(|| format!("applied {index} of {all} objects"));
            let Some(written) = stop
                .unless_told_twice(write_one(self.client, located))
                .await
            else {
                return End::GivenUp;
            };
            match written {
                Ok(outcome) => self.done(outcome),
                Err(error) => return End::Failed(error),
            }
        }
        End::All
    }

    fn done(&mut self, outcome: Outcome) {
        let is_line = !matches!(self.output, Some(Format::Json | Format::Yaml));
        if is_line && self.printed == Exit::Done {
            self.progress.clear();
            self.printed = print::answer(&line(&outcome, self.output, ""));
        }
        self.outcomes.push(outcome);
    }

    /// Says what was not said yet, and how the command ends.
    pub(super) fn conclude(mut self, end: End, reporter: &Reporter) -> Exit {
        self.progress.clear();
        if matches!(self.output, Some(Format::Json | Format::Yaml))
            && (matches!(end, End::All) || !self.outcomes.is_empty())
        {
            self.printed = say(&self.outcomes, self.output, "");
        }
        let exit = match end {
            End::All => return self.printed,
            End::Interrupted => Exit::Interrupted,
            End::GivenUp => {
                if let Some(located) = self.left().first() {
                    let name = print::name(&located.object.key());
                    print::note(&format!("the server had not answered about {name}"));
                }
                Exit::Interrupted
            }
            End::Failed(error) => {
                let mut exit = Exit::No;
                match self
                    .left()
                    .first()
                    .and_then(|at| check::diagnose(at, &error))
                {
                    Some(diagnostics) => reporter.show(&diagnostics),
                    None => exit = connect::failed(error),
                }
                if self.outcomes.is_empty() {
                    exit
                } else {
                    Exit::Partly
                }
            }
        };
        let what = self.partial();
        match exit {
            Exit::Interrupted => print::note(&format!("interrupted: {what}")),
            _ => print::note(&what),
        }
        exit
    }

    fn left(&self) -> &'a [Located<Object>] {
        self.objects.get(self.outcomes.len()..).unwrap_or_default()
    }

    fn partial(&self) -> String {
        let (done, all) = (self.outcomes.len(), self.objects.len());
        if done == 0 {
            return "nothing was applied".to_owned();
        }
        let left = self.left().iter().map(|left| left.object.key());
        let left = print::names(&left.collect::<Vec<_>>());
        format!("{done} of {all} objects were applied; not applied: {left}")
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
