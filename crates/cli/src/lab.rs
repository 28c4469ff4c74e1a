//! `oncilla lab`: clusters on this machine.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use oncilla_api::Object;
use oncilla_lab::{Lab, LabError, LabOptions, LabStatus, Labs, OutsideHost, Place, Rising};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{self, Format, Global};
use crate::exit::Exit;
use crate::print;

/// The exit code of a shell that finds no such program, and of one that may not start it.
const NO_PROGRAM: u8 = 127;
const NOT_STARTED: u8 = 126;

/// The folder of labs, when it is not the user's usual one: labs of two folders know nothing of each other.
const LABS_VARIABLE: &str = "ONCILLA_LABS";

/// Notes about pods that are shown when a lab is ready; the others are counted.
const NOTES_MAX: usize = 10;
/// The lab that is meant when nobody names one.
const LAB: &str = "lab";

/// The labs of the calling user.
pub(crate) fn labs() -> Labs {
    if let Some(folder) = std::env::var_os(LABS_VARIABLE).filter(|folder| !folder.is_empty()) {
        return Labs::at(folder.into());
    }
    let runtime_folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    Labs::of_user(runtime_folder.as_deref())
}

/// Runs one `lab` command. `read` decodes manifests, and says what is wrong with them if anything is.
pub(crate) fn run(
    command: &args::Lab,
    global: &Global,
    read: impl FnOnce(&[PathBuf]) -> Result<Vec<Object>, Exit>,
) -> ExitCode {
    let quiet = global.quiet;
    let name = match named(command, global) {
        Ok(name) => name,
        Err(exit) => return exit.into(),
    };
    let done = match command {
        args::Lab::Up {
            name: _,
            nodes,
            files,
            outside,
            foreground,
        } => match read(files) {
            Err(exit) => return exit.into(),
            Ok(objects) => options(name).and_then(|mut options| {
                options.nodes = *nodes;
                options.objects = objects;
                options.outside = outside.iter().copied().map(OutsideHost::new).collect();
                up(&options, *foreground, global)
            }),
        },
        args::Lab::Down { name: _ } => labs().down(name).map(|()| {
            say(
                quiet,
                &format!("lab \"{name}\" is down; nothing is left of it"),
            );
            Exit::Done
        }),
        args::Lab::Status { name: _, output } => labs()
            .find(name)
            .and_then(|lab| lab.status())
            .map(|status| show(&status, *output)),
        args::Lab::Exec {
            name: _,
            pod,
            command,
        } => return exec(name, pod, command),
    };
    done.unwrap_or_else(|error| refuse(&error)).into()
}

/// Which lab is meant: `--name` and `--lab` say the same, and may not say different things.
fn named<'a>(command: &'a args::Lab, global: &'a Global) -> Result<&'a str, Exit> {
    let (args::Lab::Up { name, .. }
    | args::Lab::Down { name }
    | args::Lab::Status { name, .. }
    | args::Lab::Exec { name, .. }) = command;
    match (name.as_deref(), global.lab.as_deref()) {
        (Some(name), Some(lab)) if name != lab => {
            let message = format!("--name {name} and --lab {lab} mean the same and differ");
            print::error(&message, Some("give one of them"));
            Err(Exit::CannotJudge)
        }
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Ok(LAB),
    }
}

fn options(name: &str) -> Result<LabOptions, LabError> {
    let executable = std::env::current_exe().map_err(|source| LabError::Process {
        action: "find this executable",
        source,
    })?;
    Ok(LabOptions::new(name, executable.into()))
}

fn up(options: &LabOptions, foreground: bool, global: &Global) -> Result<Exit, LabError> {
    let quiet = global.quiet;
    let process_error = |source| LabError::Process {
        action: "watch for signals",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(process_error)?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(process_error)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(process_error)?;
        let rising = labs().start(options)?;
        let (canceller, shown) = (rising.canceller(), Shown::of(global));
        let mut waiting = tokio::task::spawn_blocking(move || wait(rising, shown));
        let ready = tokio::select! {
            ready = &mut waiting => ready,
            _ = interrupt.recv() => { canceller.cancel(); waiting.await }
            _ = terminate.recv() => { canceller.cancel(); waiting.await }
        };
        let mut lab = match ready {
            Ok(ready) => ready?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let name = lab.name().to_owned();
        introduce(&lab.status()?, quiet);
        if !foreground {
            lab.detach()?;
            return Ok(Exit::Done);
        }
        say(quiet, "Ctrl-C takes it down");
        let watched = labs().find(&name)?;
        let ended = tokio::task::spawn_blocking(move || watched.wait());
        tokio::select! {
            _ = ended => {
                eprintln!("lab \"{name}\" was taken down");
                return Ok(Exit::Done);
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        lab.down()?;
        say(
            quiet,
            &format!("lab \"{name}\" is down; nothing is left of it"),
        );
        Ok(Exit::Interrupted)
    })
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shown {
    Nothing,
    /// One line of a terminal, which is gone when it is done.
    OneLine,
    /// A line for every step.
    Lines,
}

impl Shown {
    /// Pipes get the answer alone, unless more was asked for.
    fn of(global: &Global) -> Self {
        match (global.quiet, io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::OneLine,
            (false, false) if global.verbose > 0 => Self::Lines,
            (false, false) => Self::Nothing,
        }
    }
}

fn wait(rising: Rising, shown: Shown) -> Result<Lab, LabError> {
    let mut is_dirty = false;
    let lab = rising.wait(&mut |text| match shown {
        Shown::Nothing => {}
        Shown::Lines => print::note(text),
        Shown::OneLine => {
            eprint!("\r\x1b[K{text}");
            drop(io::stderr().flush());
            is_dirty = true;
        }
    });
    if is_dirty {
        eprint!("\r\x1b[K");
    }
    lab
}

fn introduce(status: &LabStatus, quiet: bool) {
    let name = &status.name;
    say(
        quiet,
        &format!(
            "lab \"{name}\" is ready: {} nodes, {} pods; this machine's own network is not touched",
            status.nodes.len(),
            status.pods.len()
        ),
    );
    let notes = status.pods.iter().flat_map(|pod| {
        let (namespace, name) = (&pod.namespace, &pod.name);
        let notes = pod.notes.iter();
        notes.map(move |note| format!("note: {namespace}/{name}: {note}"))
    });
    let notes: Vec<String> = notes.collect();
    for note in notes.iter().take(NOTES_MAX) {
        say(quiet, note);
    }
    if let more @ 1.. = notes.len().saturating_sub(NOTES_MAX) {
        let text = format!("{more} more notes; see `oncilla lab status --name {name}`");
        say(quiet, &text);
    }
    if let Some(pod) = status.pods.first() {
        let (namespace, pod) = (&pod.namespace, &pod.name);
        say(
            quiet,
            &format!("next: oncilla lab exec --name {name} {namespace}/{pod} -- sh"),
        );
    }
}

fn exec(name: &str, pod: &str, command: &[String]) -> ExitCode {
    let run = || {
        let place: Place = pod.parse().map_err(|error: oncilla_lab::PlaceError| {
            let message = error.to_string();
            LabError::Refused { message }
        })?;
        let command: Vec<OsString> = command.iter().map(Into::into).collect();
        labs().find(name)?.exec(&place, &command)
    };
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error @ LabError::Program { .. }) => {
            refuse(&error);
            let LabError::Program { source, .. } = error else {
                return ExitCode::from(NOT_STARTED);
            };
            ExitCode::from(match source.kind() {
                io::ErrorKind::NotFound => NO_PROGRAM,
                _ => NOT_STARTED,
            })
        }
        Err(error) => refuse(&error).into(),
    }
}

fn show(status: &LabStatus, output: Option<Format>) -> Exit {
    match output {
        Some(Format::Json) => match serde_json::to_string_pretty(status) {
            Ok(text) => write(&text),
            Err(_never) => Exit::CannotJudge,
        },
        Some(Format::Yaml) => write(status.to_yaml().trim_end()),
        Some(Format::Name) => {
            let nodes = status
                .nodes
                .iter()
                .map(|node| format!("node/{}", node.name));
            let pods = status
                .pods
                .iter()
                .map(|p| format!("pod/{}/{}", p.namespace, p.name));
            write(&nodes.chain(pods).collect::<Vec<_>>().join("\n"))
        }
        Some(Format::Wide) => write(&text(status, true)),
        None => write(&text(status, false)),
    }
}

/// The answer first, then nodes, pods and outside hosts in columns.
fn text(status: &LabStatus, wide: bool) -> String {
    let state = if status.ready { "ready" } else { "not ready" };
    let mut lines = vec![format!(
        "lab \"{}\" is {state}: {} nodes, {} pods",
        status.name,
        status.nodes.len(),
        status.pods.len()
    )];
    if wide {
        lines.push(format!("server {}", status.server.display()));
        lines.push(format!("logs   {}", status.logs.display()));
    }
    let joined = |addresses: &[std::net::IpAddr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    let mut rows = vec![["", "NODE", "ADDRESS", "AGENT", "NOTES"].map(str::to_owned)];
    for node in &status.nodes {
        let (agent, note) = match &node.agent {
            None => ("none".to_owned(), String::new()),
            Some(agent) => {
                let revision = agent.revision.map(|revision| format!("rev {revision}"));
                let again = match &agent.last_end {
                    Some(end) => format!("restarted {} times, last {end}", agent.restarts),
                    None => String::new(),
                };
                (revision.unwrap_or_else(|| "no report".to_owned()), again)
            }
        };
        let name = format!("node:{}", node.name);
        let pods = format!("{} pods", node.pods);
        rows.push([name, pods, joined(&node.addresses), agent, note]);
    }
    rows.push(["", "NODE", "ADDRESS", "LISTENS", "NOTES"].map(str::to_owned));
    for pod in &status.pods {
        let name = format!("{}/{}", pod.namespace, pod.name);
        let listens = match pod.pids.as_slice() {
            [] => pod.listens.join(","),
            pids => format!("{} own process(es)", pids.len()),
        };
        let mut notes = pod.notes.clone();
        if !pod.ready {
            notes.insert(0, pod.phase.clone());
        }
        let row = [
            name,
            pod.node.clone(),
            joined(&pod.addresses),
            listens,
            notes.join("; "),
        ];
        rows.push(row);
    }
    for outside in &status.outside {
        let listens = outside.listens.join(",");
        let addresses = joined(&outside.addresses);
        rows.push([
            "outside".to_owned(),
            String::new(),
            addresses,
            listens,
            String::new(),
        ]);
    }
    lines.extend(columns(&rows));
    lines.join("\n")
}

fn columns(rows: &[[String; 5]]) -> Vec<String> {
    let mut widths = [0; 5];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect()
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        eprintln!("{text}");
    }
}

/// A closed pipe is the end and no error.
fn write(text: &str) -> Exit {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::CannotJudge,
        _ => Exit::Done,
    }
}

fn refuse(error: &LabError) -> Exit {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    eprintln!("error: {text}");
    match error {
        LabError::AlreadyRunning { .. } | LabError::Failed { .. } => Exit::No,
        LabError::Interrupted { .. } => Exit::Interrupted,
        _ => Exit::CannotJudge,
    }
}
