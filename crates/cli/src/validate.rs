//! `oncilla validate`: every fault of every file, from the files alone.

use std::collections::BTreeMap;

use oncilla_api::manifest::{Diagnostic, Located, Manifest, Severity};
use oncilla_api::{Code, FieldError, Object, ObjectKey};

use crate::args::{Format, Global, ReportFormat, Validate};
use crate::diagnostics::{Reporter, count};
use crate::exit::Exit;
use crate::files::{self, Contents, Folders};
use crate::print;

/// Runs `validate`.
pub(crate) fn run(global: &Global, arguments: &Validate) -> Exit {
    let output = arguments.output.map(|ReportFormat::Json| Format::Json);
    let reporter = Reporter::new(global, output);
    let folders = if arguments.recursive {
        Folders::Recursive
    } else {
        Folders::Flat
    };
    let contents = files::contents(&arguments.files, folders, &reporter);
    let judged = Judged::of(contents, arguments.namespace.as_deref());
    for reason in &judged.unread {
        print::error(reason, None);
    }
    match output {
        Some(_) => match print::json(&judged.diagnostics) {
            Ok(text) => drop(print::answer(&text)),
            Err(error) => print::error(&error.to_string(), None),
        },
        None if judged.has_errors() => reporter.show(&judged.diagnostics),
        None => reporter.warn(&judged.diagnostics),
    }
    let exit = judged.exit();
    let summary = judged.summary();
    if exit != Exit::Done || output.is_some() {
        print::note(&summary);
    } else if !global.quiet {
        return print::answer(&summary);
    }
    exit
}

/// What was found in some files.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The valid objects.
    pub(crate) valid: Vec<Located<Object>>,
    /// Faults and warnings, in the order of the files.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Why some files could not be read.
    pub(crate) unread: Vec<String>,
    /// Files that could be.
    files: usize,
}

impl Judged {
    /// Judges each file for itself. An object that two files hold is only warned about: not everything in a folder
    /// is applied together.
    pub(crate) fn of(contents: Contents, namespace: Option<&str>) -> Self {
        let mut judged = Self {
            valid: Vec::new(),
            diagnostics: Vec::new(),
            unread: contents.unread,
            files: contents.manifests.len(),
        };
        let mut first: BTreeMap<ObjectKey, String> = BTreeMap::new();
        for manifest in contents.manifests {
            let manifest = match namespace {
                Some(namespace) => files::placed(manifest, namespace),
                None => manifest,
            };
            judged.diagnostics.extend(twice(&manifest, &first));
            for located in &manifest.objects {
                let place = located.place_of("metadata.name");
                first.entry(located.object.key()).or_insert(place);
            }
            judged.diagnostics.extend(manifest.diagnostics);
            judged.valid.extend(manifest.objects);
        }
        judged
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// What is wrong, without what is only worth knowing.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        let all = self.diagnostics.iter();
        all.filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// A file that cannot be read leaves the question open, whatever the others hold.
    pub(crate) fn exit(&self) -> Exit {
        if !self.unread.is_empty() {
            Exit::CannotJudge
        } else if self.has_errors() {
            Exit::No
        } else {
            Exit::Done
        }
    }

    /// `invalid: 1 of 3 objects in 2 files`.
    fn summary(&self) -> String {
        let (bad, all) = count(&self.diagnostics, &self.valid);
        let plural = |number: usize, word: &str| match number {
            1 => format!("1 {word}"),
            _ => format!("{number} {word}s"),
        };
        let (objects, files) = (plural(all, "object"), plural(self.files, "file"));
        let verdict = if bad > 0 {
            format!("invalid: {bad} of {objects} in {files}")
        } else {
            format!("valid: {objects} in {files}")
        };
        match self.unread.len() {
            0 => verdict,
            unread => format!("{verdict}; {} could not be read", plural(unread, "path")),
        }
    }
}

/// A warning for every object that an earlier file holds as well.
fn twice(manifest: &Manifest, first: &BTreeMap<ObjectKey, String>) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for located in &manifest.objects {
        let key = located.object.key();
        if let Some(place) = first.get(&key) {
            let error = FieldError::new("metadata.name", format!("{key} is already at {place}"))
                .with_code(Code::DuplicateObject)
                .with_help("apply the two files one after the other, or remove one of the objects");
            let mut warning = located.diagnose(&key.to_string(), error);
            warning.severity = Severity::Warning;
            warnings.push(warning);
        }
    }
    warnings
}
