//! `oncilla demo`: the founding story on real pods, judged by real connections and by the reference evaluator.
//!
//! ```text
//! story (what happens) ──▶ stage (lab, server, connections) ──▶ matrix (seen beside expected) ──▶ text or JSON
//! ```

mod matrix;
mod stage;
mod story;

use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use oncilla_lab::{Lab, LabError, LabOptions, Rising};
use oncilla_verdict::Evaluator;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::args::{Format, Global};
use crate::exit::Exit;
use crate::lab::labs;
use crate::why::place::Place;
use crate::why::traffic::Traffic;
use crate::why::{Asked, text};
use crate::{print, signals};
use matrix::Matrix;
use stage::{FirstDeny, Stage};
use story::{CLUSTER, STEPS, Step};

const FIRST_LINE: &str = "oncilla demo: two nodes and five pods in throw-away network namespaces; \
    this machine's own network is not touched.";
const NEXT: &str = "Next:  oncilla lab up -f examples/demo/00-cluster.yaml && oncilla why frontend backend tcp/8000";

/// Plays the story: 0 when every connection was as the reference evaluator said, 1 when one was not.
pub(crate) fn run(global: &Global, output: Option<Format>) -> Exit {
    if let Some(Format::Yaml | Format::Wide | Format::Name) = output {
        print::error("the demo prints text, or one object with -o json", None);
        return Exit::CannotJudge;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let teller = Teller {
        is_machine: output == Some(Format::Json),
        is_quiet: global.quiet,
        start: Instant::now(),
    };
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(teller.show()),
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| {
        print::error(&format!("{error:#}"), None);
        Exit::CannotJudge
    })
}

/// Tells what happens, to people or machines.
#[derive(Clone, Copy, Debug)]
struct Teller {
    is_machine: bool,
    is_quiet: bool,
    start: Instant,
}

/// What came of the whole story.
#[derive(Debug, Default)]
struct Played {
    steps: Vec<Value>,
    connections: usize,
    mismatches: usize,
    first_deny: Option<FirstDeny>,
}

impl Teller {
    async fn show(self) -> Result<Exit> {
        self.say(FIRST_LINE);
        let mut stop = pin!(signals::told_to_stop());
        let files = CLUSTER.objects()?;
        let name = format!("demo-{}", std::process::id());
        let executable = std::env::current_exe().context("this executable")?;
        let mut options = LabOptions::new(&name, executable.into());
        options.objects = files.iter().map(|located| located.object.clone()).collect();
        let rising = labs().start(&options)?;
        let canceller = rising.canceller();
        let mut waiting = spawn_blocking(move || self.raise(rising));
        let lab = tokio::select! {
            lab = &mut waiting => lab??,
            () = &mut stop => {
                canceller.cancel();
                // Nothing is left when it returns, whatever it says.
                drop(waiting.await);
                return Ok(interrupted());
            }
        };
        let lab = Arc::new(lab);
        let played = tokio::select! {
            played = async {
                let stage = Stage::new(Arc::clone(&lab), files).await?;
                self.play(stage).await
            } => Some(played),
            () = &mut stop => None,
        };
        let removed = spawn_blocking(move || {
            let down = labs().down(&name);
            drop(lab);
            down
        });
        removed
            .await?
            .context("the demo's lab could not be removed")?;
        match played {
            None => Ok(interrupted()),
            Some(played) => self.conclude(&played?),
        }
    }

    fn raise(self, rising: Rising) -> Result<Lab, LabError> {
        let shown = io::stderr().is_terminal() && !self.is_quiet;
        let lab = rising.wait(&mut |text| {
            if shown {
                eprint!("\r\x1b[K{text}");
            }
        });
        if shown {
            eprint!("\r\x1b[K");
        }
        lab
    }

    async fn play(self, mut stage: Stage) -> Result<Played> {
        let mut played = Played::default();
        let mut before: Option<Matrix> = None;
        for (number, step) in (1..).zip(&STEPS) {
            self.say(&format!("\n{number}  {}", step.title));
            let told = self.change(&mut stage, step, &mut played).await;
            let after = told.with_context(|| format!("step {number}"))?;
            let world = stage.world().await?;
            let matrix = stage
                .measure(&world)
                .await
                .with_context(|| format!("step {number}"))?;
            self.indent(&matrix.text(before.as_ref()));
            let (all, different) = (matrix.len(), matrix.mismatches());
            self.indent(&match different {
                0 => format!("{all} real connections, all as the reference evaluator said."),
                more => {
                    format!("{all} real connections, {more} NOT as the reference evaluator said.")
                }
            });
            let (source, (destination, port)) = step.why;
            let asked = Asked {
                way: oncilla_verdict::Way::default(),
                source: source.path().parse::<Place>()?,
                destination: destination.path().parse::<Place>()?,
                traffic: format!("tcp/{port}").parse::<Traffic>()?,
                ipv6: false,
            };
            let report = asked.judge(&world, &Evaluator::new(&world.cluster))?;
            for answer in &report.answers {
                // The reason stands on a line of its own: names are long.
                let reason = text::short(answer).replacen(" (", "\n     (", 1);
                self.indent(&format!("why: {reason}."));
            }
            self.indent(&after);
            played.connections += all;
            played.mismatches += different;
            played.steps.push(json!({
                "name": step.name(),
                "matrix": matrix.to_value(),
                "mismatches": different,
            }));
            before = Some(matrix);
        }
        Ok(played)
    }

    /// Applies what the step changes, and waits until it is in force. Returns what is to be said at its end.
    async fn change(self, stage: &mut Stage, step: &Step, played: &mut Played) -> Result<String> {
        let Some(file) = step.file else {
            return Ok(String::new());
        };
        let objects = file.objects()?;
        if played.first_deny.is_none() {
            let (revision, said, deny) = stage.apply_until_denied(objects).await?;
            self.indent(&said.join("\n"));
            stage.enforced(revision).await?;
            played.first_deny = Some(deny);
            return Ok(format!(
                "the kernel refused the first packet {:.1} ms after apply; first proven deny {:.1} s after start.",
                deny.after_apply.as_secs_f64() * 1000.0,
                self.seconds_to(deny),
            ));
        }
        let is_last = STEPS.last().is_some_and(|last| last.name() == step.name());
        if !is_last {
            let (revision, said) = stage.apply(objects).await?;
            self.indent(&said.join("\n"));
            stage.enforced(revision).await?;
            return Ok(String::new());
        }
        let hold = stage.hold().await?;
        let sent_at = Instant::now();
        let (revision, said) = stage.apply(objects).await?;
        self.indent(&said.join("\n"));
        let (cut_at, exchanges, reason) = stage::cut(hold).await?;
        stage.enforced(revision).await?;
        // The number of an error tells people nothing that its text does not.
        let reason = reason.split(" (os error").next().unwrap_or_default();
        Ok(format!(
            "a connection frontend -> backend was open when the label went: cut after {:.1} ms, and no new one gets through\n     \
             (lines there and back until then: {exchanges}; it ended with: {reason}).",
            cut_at.saturating_duration_since(sent_at).as_secs_f64() * 1000.0,
        ))
    }

    fn conclude(self, played: &Played) -> Result<Exit> {
        let seconds = played
            .first_deny
            .map(|deny| (self.seconds_to(deny) * 1000.0).round() / 1000.0);
        let said = if self.is_machine {
            let value = json!({ "steps": played.steps, "seconds_to_first_deny": seconds });
            print::answer(&serde_json::to_string(&value)?)
        } else {
            print::answer(&format!(
                "\n{} steps, {} real connections, {} different from the reference evaluator. Everything was removed.\n{NEXT}",
                played.steps.len(),
                played.connections,
                played.mismatches,
            ))
        };
        Ok(if played.mismatches > 0 {
            Exit::No
        } else {
            said
        })
    }

    fn seconds_to(self, deny: FirstDeny) -> f64 {
        deny.proven_at
            .saturating_duration_since(self.start)
            .as_secs_f64()
    }

    fn say(self, text: &str) {
        if !(self.is_machine || self.is_quiet || text.is_empty()) {
            // A reader who went away does not keep the lab from being removed.
            print::answer(text);
        }
    }

    fn indent(self, text: &str) {
        let lines: Vec<String> = text.lines().map(|line| format!("   {line}")).collect();
        self.say(&lines.join("\n"));
    }
}

fn interrupted() -> Exit {
    print::note("interrupted; everything was removed");
    Exit::Interrupted
}
