//! What `-f` names: files, folders and `-`, read and decoded with every fault reported.
//!
//! Commands that write stop at the first file that cannot be read; `validate` goes on and says of every one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use oncilla_api::manifest::{Diagnostic, Limits, Located, Manifest, Severity, decode};
use oncilla_api::{Code, FieldError, Object, ObjectKey};

use crate::diagnostics::{Reporter, Verb};
use crate::exit::Exit;
use crate::print;

/// What messages call standard input.
pub(crate) const STDIN: &str = "<stdin>";
/// Which files of a folder are manifests.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Folders inside each other that `validate -R` goes into.
const FOLDERS_DEEP_MAX: usize = 64;

/// Which files of a folder are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Folders {
    /// Its own.
    Flat,
    /// Its own and those of every folder below it.
    Recursive,
}

/// What could be read of some paths.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The files, each for itself.
    pub(crate) manifests: Vec<Manifest>,
    /// Why the others could not be read.
    pub(crate) unread: Vec<String>,
}

/// Reads and decodes everything these paths name, also when some of it cannot be read.
pub(crate) fn contents(paths: &[PathBuf], folders: Folders, reporter: &Reporter) -> Contents {
    let limits = Limits::default();
    let mut contents = Contents::default();
    for path in paths {
        let files = files(path, folders, reporter).unwrap_or_else(|error| {
            contents.unread.push(format!("{error:#}"));
            Vec::new()
        });
        for file in files {
            match read_file(&file, &limits) {
                Ok(manifest) => contents.manifests.push(manifest),
                Err(error) => contents.unread.push(format!("{error:#}")),
            }
        }
    }
    contents
}

/// Reads and checks everything these paths name, and prints what is wrong with it. Warnings do not stop it.
///
/// # Errors
/// How the command ends, everything said: a file cannot be read, or an object is invalid.
pub(crate) fn load(
    paths: &[PathBuf],
    namespace: Option<&str>,
    reporter: &Reporter,
    verb: Verb,
) -> Result<Vec<Located<Object>>, Exit> {
    let mut manifest = match read(paths, reporter) {
        Ok(manifest) => manifest,
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            return Err(Exit::CannotJudge);
        }
    };
    if let Some(namespace) = namespace {
        manifest = placed(manifest, namespace);
    }
    if manifest.has_errors() {
        return Err(reporter.refuse(&manifest.diagnostics, &manifest.objects, verb));
    }
    reporter.warn(&manifest.diagnostics);
    Ok(manifest.objects)
}

/// Reads and decodes everything these paths name.
///
/// # Errors
/// When a file or folder cannot be read, or a folder holds no manifest.
fn read(paths: &[PathBuf], reporter: &Reporter) -> Result<Manifest> {
    let limits = Limits::default();
    let mut manifests = Vec::new();
    for path in paths {
        for file in files(path, Folders::Flat, reporter)? {
            manifests.push(read_file(&file, &limits)?);
        }
    }
    Ok(Manifest::join(manifests))
}

/// The file itself, or the manifests of a folder in the order of their names. Of a folder only regular files are read:
/// a pipe that lies there would be waited for.
fn files(path: &Path, folders: Folders, reporter: &Reporter) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", path.display());
    if is_stdin(path) || !fs::metadata(path).with_context(cannot)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut inside = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = inside.pop() {
        if depth > FOLDERS_DEEP_MAX {
            bail!(
                "{} is deeper than the limit of {FOLDERS_DEEP_MAX} folders",
                folder.display()
            );
        }
        let below = listed(&folder, reporter, &mut files)?;
        match folders {
            Folders::Recursive => {
                inside.extend(below.into_iter().map(|folder| (folder, depth + 1)));
            }
            Folders::Flat => {
                let named = below.iter().filter(|folder| is_manifest(folder));
                named.for_each(|folder| leave_out(folder, reporter));
            }
        }
    }
    if files.is_empty() {
        bail!("{} holds no .yaml, .yml or .json file", path.display());
    }
    files.sort();
    Ok(files)
}

/// Adds the manifests of a folder to the others; the folders in it. A link to a folder is none: it may lead back.
fn listed(folder: &Path, reporter: &Reporter, files: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut below = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let file = entry.path();
        if entry.file_type().with_context(cannot)?.is_dir() {
            below.push(file);
            continue;
        }
        if !is_manifest(&file) {
            continue;
        }
        let cannot = || format!("cannot read {}", file.display());
        if fs::metadata(&file).with_context(cannot)?.is_file() {
            files.push(file);
        } else {
            leave_out(&file, reporter);
        }
    }
    Ok(below)
}

/// Whether a path is called like a manifest.
fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn leave_out(path: &Path, reporter: &Reporter) {
    reporter.note(&format!(
        "{} is left out: it is no regular file",
        path.display()
    ));
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read_file(path: &Path, limits: &Limits) -> Result<Manifest> {
    let cannot = || format!("cannot read {}", path.display());
    if is_stdin(path) {
        let bytes =
            read_limited(io::stdin().lock(), limits).context("cannot read standard input")?;
        return Ok(decoded(STDIN, bytes.as_deref(), limits));
    }
    let file = File::open(path).with_context(cannot)?;
    let bytes = read_limited(file, limits).with_context(cannot)?;
    Ok(decoded(
        &path.display().to_string(),
        bytes.as_deref(),
        limits,
    ))
}

/// The bytes; `None` when there are more than the limit, of which no more is read.
fn read_limited(reader: impl Read, limits: &Limits) -> io::Result<Option<Vec<u8>>> {
    let limit = limits.bytes_max as u64;
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limits.bytes_max).then_some(bytes))
}

fn decoded(name: &str, bytes: Option<&[u8]>, limits: &Limits) -> Manifest {
    match bytes {
        Some(bytes) => decode(name, bytes, limits),
        None => Manifest {
            objects: Vec::new(),
            diagnostics: vec![too_large(name, limits)],
        },
    }
}

fn too_large(name: &str, limits: &Limits) -> Diagnostic {
    let (bytes, mebibytes) = (limits.bytes_max, limits.bytes_max >> 20);
    Diagnostic {
        severity: Severity::Error,
        code: Code::Limit,
        file: name.to_owned(),
        line: 1,
        column: 1,
        object: None,
        path: String::new(),
        message: format!("the file is larger than the limit of {bytes} bytes ({mebibytes} MiB)"),
        help: Some("split it into several files".to_owned()),
        span: 0..0,
        source: None,
    }
}

/// Puts the objects that name no namespace into one; two objects may thereby become one.
pub(crate) fn placed(manifest: Manifest, namespace: &str) -> Manifest {
    let Manifest {
        objects,
        mut diagnostics,
    } = manifest;
    let mut first: std::collections::BTreeMap<ObjectKey, String> =
        std::collections::BTreeMap::new();
    let mut kept = Vec::with_capacity(objects.len());
    for mut located in objects {
        let named = located.position("metadata.namespace").is_some();
        if located.object.kind().namespaced() && !named {
            located.object.metadata_mut().namespace = Some(namespace.to_owned());
        }
        let key = located.object.key();
        if let Some(place) = first.get(&key) {
            let error = FieldError::new("metadata.name", format!("{key} is already at {place}"))
                .with_code(Code::DuplicateObject)
                .with_help("give it another name, or remove one of the two");
            diagnostics.push(located.diagnose(&key.to_string(), error));
        } else {
            first.insert(key, located.place_of("metadata.name"));
            kept.push(located);
        }
    }
    Manifest {
        objects: kept,
        diagnostics,
    }
}
