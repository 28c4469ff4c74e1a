//! The binary under the name `calicoctl`: `calicoctl validate`, with Calico's flags and in the shape of its answers.
//! The judgement is `oncilla validate`'s, and so are the exit codes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use oncilla_api::manifest::{Diagnostic, Located};
use oncilla_api::{Code, FieldError, Object};

use crate::args::{Global, LogFormat, LogLevel};
use crate::diagnostics::Reporter;
use crate::exit::{self, Exit};
use crate::files::{self, Folders};
use crate::print;
use crate::validate::Judged;

/// The name by which the binary is Calico's tool.
const NAME: &str = "calicoctl";

const EXIT_CODES: &str = "\
Exit codes: 0 all valid, 1 an object is invalid or a file is neither YAML nor JSON, 2 wrong usage or a file that \
cannot be read";

/// Calico's command line, spoken by oncilla. Only `validate` is there yet; see `oncilla --help` for the others.
#[derive(Parser, Debug)]
#[command(name = NAME, version, after_help = EXIT_CODES, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Calicoctl {
    /// Not used: oncilla asks no datastore here
    #[arg(short, long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Not used: oncilla asks no datastore here
    #[arg(long, global = true, value_name = "CONTEXT")]
    context: Option<String>,
    /// Not used: oncilla asks no datastore here
    #[arg(long, global = true)]
    allow_version_mismatch: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Say whether files hold valid objects: no server, no root
    #[command(after_help = "Example:\n  calicoctl validate -f policies/ -R")]
    Validate(Validate),
}

#[derive(Args, Debug)]
struct Validate {
    /// A file, a folder, or `-` for standard input; YAML or JSON, several documents allowed
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,
    /// Go into the folders of folders
    #[arg(short = 'R', long)]
    recursive: bool,
    /// A file without an object is no error
    #[arg(long)]
    skip_empty: bool,
    /// Not used: oncilla asks no datastore here
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of objects that name none; others must be in it
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// Whether the binary was started by the name of Calico's tool.
pub(crate) fn is_meant() -> bool {
    let name = std::env::args_os().next();
    name.is_some_and(|name| Path::new(&name).file_name() == Some(NAME.as_ref()))
}

/// Runs the command line.
pub(crate) fn run() -> Exit {
    let arguments = match Calicoctl::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_usage(&error),
    };
    let Command::Validate(validate) = &arguments.command;
    for (is_given, flag) in [
        (arguments.log_level.is_some(), "--log-level"),
        (arguments.context.is_some(), "--context"),
        (arguments.allow_version_mismatch, "--allow-version-mismatch"),
        (validate.config.is_some(), "--config"),
    ] {
        if is_given {
            print::note(&format!("note: {flag} is not used: no datastore is asked"));
        }
    }
    judge(validate)
}

fn judge(arguments: &Validate) -> Exit {
    let reporter = Reporter::new(&plain(), None);
    let folders = if arguments.recursive {
        Folders::Recursive
    } else {
        Folders::Flat
    };
    let mut contents = files::contents(&arguments.filename, folders, &reporter);
    if arguments.skip_empty {
        for manifest in &mut contents.manifests {
            manifest.diagnostics.retain(|one| one.code != Code::Empty);
        }
    }
    let mut judged = Judged::of(contents, arguments.namespace.as_deref());
    if let Some(namespace) = &arguments.namespace {
        let elsewhere = elsewhere(&judged.valid, namespace);
        judged.diagnostics.extend(elsewhere);
    }
    let faults = judged.errors().map(line);
    let faults: Vec<String> = judged.unread.iter().cloned().chain(faults).collect();
    answer(&judged, &faults);
    judged.exit()
}

/// The flags that `calicoctl` does not have.
fn plain() -> Global {
    Global {
        server: None,
        lab: None,
        log_level: LogLevel::Error,
        log_format: LogFormat::Text,
        no_color: true,
        quiet: false,
        verbose: 0,
    }
}

/// Objects of another namespace than the one that was asked for.
fn elsewhere(objects: &[Located<Object>], namespace: &str) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for located in objects {
        let key = located.object.key();
        let Some(found) = key.namespace.as_deref().filter(|found| *found != namespace) else {
            continue;
        };
        let message =
            format!("resource namespace does not match client namespace. {found} != {namespace}");
        let error = FieldError::new("metadata.namespace", message)
            .with_help("leave `--namespace` out, or change the object's");
        faults.push(located.diagnose(&key.to_string(), error));
    }
    faults
}

/// One fault in one line: `policy.yaml:7:3: NetworkPolicy default/web: spec.tier: …`.
fn line(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        file, line, column, ..
    } = diagnostic;
    let mut text = format!("{file}:{line}:{column}: ");
    if let Some(object) = &diagnostic.object {
        text.extend([object.as_str(), ": "]);
    }
    if !diagnostic.path.is_empty() {
        text.extend([diagnostic.path.as_str(), ": "]);
    }
    text.push_str(&diagnostic.message);
    if let Some(help) = &diagnostic.help {
        text.extend([" (", help, ")"]);
    }
    text
}

/// The shape of Calico's answers; unlike there every fault is named, and the objects that are valid are counted as
/// what they are.
fn answer(judged: &Judged, faults: &[String]) {
    let faulty: BTreeSet<(&str, &str)> = judged
        .errors()
        .filter_map(|one| Some((one.file.as_str(), one.object.as_deref()?)))
        .collect();
    let valid: Vec<_> = judged
        .valid
        .iter()
        .filter(|located| {
            let label = located.object.key().to_string();
            !faulty.contains(&(located.file(), label.as_str()))
        })
        .collect();
    let words = faulty
        .iter()
        .filter_map(|(_, label)| label.split(' ').next());
    let kinds: BTreeSet<&str> = valid
        .iter()
        .map(|located| located.object.kind().kind_name())
        .chain(words)
        .collect();
    let kind = match kinds.first() {
        Some(only) if kinds.len() == 1 => format!("'{only}' "),
        _ => String::new(),
    };
    let all = valid.len() + faulty.len();
    let listed = faults.join("\n");
    match (valid.len(), faults) {
        (0, []) => print::note("no resources specified"),
        (count, []) => {
            let text = format!("Successfully validated {count} {kind}resource(s)");
            print::answer(&text);
        }
        (0, _) if faulty.is_empty() => {
            print::note(&format!("failed to execute command: [{listed}]"));
        }
        (0, _) if all == 1 => {
            print::note(&format!("failed to validate {kind}resource: [{listed}]"));
        }
        (0, _) => print::note(&format!(
            "failed to validate any {kind}resources: [{listed}]"
        )),
        (count, _) => {
            let text = format!("Partial success: validated {count} out of {all} {kind}resources");
            print::answer(&text);
            print::note(&format!("hit error: [{listed}]"));
        }
    }
}
