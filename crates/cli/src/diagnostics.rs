//! Faults of files as people and machines read them: place, object, field, the lines around, the remedy.

use std::collections::BTreeSet;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use oncilla_api::manifest::{Diagnostic, Located, Severity, Source};
use oncilla_api::{Code, Object};

use crate::agent::colour;
use crate::args::{Format, Global};
use crate::exit::Exit;
use crate::print;

/// Lines shown before the one at fault.
const LINES_BEFORE: usize = 4;
/// Lines shown of a fault that goes over several.
const LINES_MAX: usize = 8;
/// A fault whose lines are longer than this together, in bytes, is shown without them.
const SNIPPET_BYTES_MAX: usize = 4096;

/// What a command does with files, for the summary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    /// `apply`.
    Applied,
    /// `delete`.
    Deleted,
    /// `lab up`.
    Started,
    /// `why`.
    Judged,
}

impl Verb {
    fn participle(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Deleted => "deleted",
            Self::Started => "started",
            Self::Judged => "judged",
        }
    }
}

/// How faults are shown.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "three flags that do not depend on each other"
)]
pub(crate) struct Reporter {
    is_coloured: bool,
    is_quiet: bool,
    is_machine: bool,
}

impl Reporter {
    /// As the flags ask for.
    pub(crate) fn new(global: &Global, output: Option<Format>) -> Self {
        Self {
            is_coloured: colour(global),
            is_quiet: global.quiet,
            is_machine: output == Some(Format::Json),
        }
    }

    /// Says everything that is wrong and that nothing came of it, and how the command ends. `valid` are the
    /// other objects.
    pub(crate) fn refuse(
        &self,
        diagnostics: &[Diagnostic],
        valid: &[Located<Object>],
        verb: Verb,
    ) -> Exit {
        let summary = summary(diagnostics, valid, verb);
        if self.is_machine {
            match print::json(&diagnostics) {
                Ok(text) => drop(print::answer(&text)),
                Err(error) => print::error(&error.to_string(), None),
            }
            print::note(&summary);
        } else {
            self.show(diagnostics);
            print::note(&summary);
        }
        exit_of(diagnostics)
    }

    /// Says what means something else than it looks.
    pub(crate) fn warn(&self, diagnostics: &[Diagnostic]) {
        if !self.is_quiet {
            self.show(diagnostics);
        }
    }

    /// Says something worth knowing.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet {
            print::note(&format!("note: {text}"));
        }
    }

    /// Every fault, for people.
    pub(crate) fn show(&self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            print::note(&render(diagnostic, self.is_coloured));
        }
    }
}

/// What is no manifest at all could not be judged; an invalid object was, and the answer is no.
fn exit_of(diagnostics: &[Diagnostic]) -> Exit {
    let judged = diagnostics.iter().any(|diagnostic| {
        let unread = matches!(diagnostic.code, Code::Syntax | Code::Encoding | Code::Limit);
        diagnostic.severity == Severity::Error && !unread
    });
    if judged { Exit::No } else { Exit::CannotJudge }
}

/// How many objects are invalid, and how many there are. A file that is no manifest counts as one.
pub(crate) fn count(diagnostics: &[Diagnostic], valid: &[Located<Object>]) -> (usize, usize) {
    // A double has the name of a valid object: its line tells them apart.
    let errors = diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    let faulty: BTreeSet<(&str, Option<&str>, usize)> = errors
        .map(|one| {
            let line = if one.code == Code::DuplicateObject {
                one.line
            } else {
                0
            };
            (one.file.as_str(), one.object.as_deref(), line)
        })
        .collect();
    let others = valid.iter().filter(|located| {
        let label = located.object.key().to_string();
        !faulty.contains(&(located.file(), Some(label.as_str()), 0))
    });
    (faulty.len(), faulty.len() + others.count())
}

/// `nothing was applied: 1 of 3 documents is invalid`.
fn summary(diagnostics: &[Diagnostic], valid: &[Located<Object>], verb: Verb) -> String {
    let (bad, all) = count(diagnostics, valid);
    let documents = if all == 1 { "document" } else { "documents" };
    let are = if bad == 1 { "is" } else { "are" };
    format!(
        "nothing was {}: {bad} of {all} {documents} {are} invalid",
        verb.participle()
    )
}

/// One fault: three lines and the place in the file.
pub(crate) fn render(diagnostic: &Diagnostic, is_coloured: bool) -> String {
    let renderer = if is_coloured {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = title(diagnostic);
    let mut group = Group::with_title(level.primary_title(title));
    let excerpt = diagnostic
        .source
        .as_deref()
        .and_then(|source| excerpt(source, &diagnostic.span));
    if let Some(excerpt) = &excerpt {
        let annotation = AnnotationKind::Primary.span(excerpt.span.clone());
        let snippet = Snippet::source(excerpt.text)
            .line_start(excerpt.line)
            .fold(false);
        group = group.element(snippet.annotation(annotation));
    }
    let help = diagnostic.help.as_deref();
    let help = help.map(|help| Group::with_title(Level::HELP.secondary_title(help)));
    match help {
        // One report would draw a gutter with no lines beside it.
        Some(help) if excerpt.is_none() => {
            let (fault, help) = (renderer.render(&[group]), renderer.render(&[help]));
            format!("{fault}\n{help}")
        }
        Some(help) => renderer.render(&[group, help]),
        None => renderer.render(&[group]),
    }
}

/// Place and object, then path and message on a line of their own.
fn title(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        file,
        line,
        column,
        object,
        path,
        message,
        ..
    } = diagnostic;
    let mut title = format!("{file}:{line}:{column}: ");
    if let Some(object) = object {
        title.push_str(object);
        title.push('\n');
    }
    if !path.is_empty() {
        title.push_str(path);
        title.push_str(": ");
    }
    title.push_str(message);
    title
}

/// Some lines of a file and what to mark in them.
struct Excerpt<'a> {
    text: &'a str,
    line: usize,
    span: Range<usize>,
}

/// The lines of a fault and some before; `None` when there is nothing to show that a person could read.
fn excerpt<'a>(source: &'a Source, span: &Range<usize>) -> Option<Excerpt<'a>> {
    let text = source.text.as_str();
    if text.trim().is_empty() {
        return None;
    }
    let at = span.start.min(text.len());
    let before = text.get(..at)?;
    let (mut start, mut line) = (line_start(before), source.position(at..at).line);
    for _ in 0..LINES_BEFORE {
        let Some(previous) = start.checked_sub(1).and_then(|end| text.get(..end)) else {
            break;
        };
        if previous.ends_with("---") || previous.trim_end().ends_with("\n---") {
            break;
        }
        start = line_start(previous);
        line -= 1;
    }
    let marked = text.get(at..span.end.clamp(at, text.len()))?;
    let shown: usize = marked
        .split_inclusive('\n')
        .take(LINES_MAX)
        .map(str::len)
        .sum();
    let end = at + shown;
    let rest = text.get(end..)?;
    let stop = end + rest.find('\n').unwrap_or(rest.len());
    let text = text.get(start..stop)?;
    // An empty span, at the end of the file for example, still gets a mark.
    let span = at - start..(end - start).max(at - start);
    (text.len() <= SNIPPET_BYTES_MAX && !text.is_empty()).then_some(Excerpt { text, line, span })
}

fn line_start(text: &str) -> usize {
    text.rfind('\n').map_or(0, |end| end + 1)
}
