//! The repository as one value: its files, cut where they are Rust, and its dependency graph.
//! Reading happens here and nowhere else; checks never touch the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::graph::Graph;
use crate::source::Source;

/// The platforms whose dependencies are judged.
const PLATFORMS: [&str; 4] = [
    "x86_64-unknown-linux-musl",
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
];

/// One objection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File inside the repository.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and how to mend it.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Size on disk.
    pub bytes: u64,
    /// Its text; empty when it is not UTF-8.
    pub text: String,
    /// Its tokens, for a `.rs` file.
    pub source: Source,
}

/// The repository: what git tracks or would track, and what cargo resolves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repo {
    /// Files by path from the root, `/` between the parts.
    pub files: BTreeMap<String, File>,
    /// Who depends on whom.
    pub graph: Graph,
}

/// Why the repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file or folder refused.
    #[error("cannot read {path}: {source}")]
    File {
        /// What was read.
        path: String,
        /// The system's word.
        source: io::Error,
    },
    /// A command could not be started or failed.
    #[error("`{command}` failed: {stderr}")]
    Command {
        /// The command and its arguments.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// The dependency graph was not in the form of `cargo metadata`.
    #[error("cannot decode the answer of cargo metadata")]
    Metadata(#[source] serde_json::Error),
}

impl Repo {
    /// Reads the tree at `root` with `git ls-files` and `cargo metadata --locked`.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let refused = |path: &Path| {
            let path = path.display().to_string();
            move |source| ReadError::File { path, source }
        };
        let root = root.canonicalize().map_err(refused(root))?;
        let mut repo = Self::default();
        let listing = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        for name in run(&root, "git", &listing)?.split(|byte| *byte == 0) {
            let Ok(name) = std::str::from_utf8(name) else {
                continue;
            };
            let path = root.join(name);
            // Listed but gone, a link, or the empty name after the last zero byte.
            if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let bytes = fs::read(&path).map_err(refused(&path))?;
            repo.files.insert(name.to_owned(), File::new(name, &bytes));
        }
        let json = metadata(&root)?;
        repo.graph =
            Graph::decode(&json, &root.display().to_string()).map_err(ReadError::Metadata)?;
        Ok(repo)
    }

    /// A made-up tree, for showing a check that it can object.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file =
            |(name, text): &(&str, &str)| ((*name).to_owned(), File::new(name, text.as_bytes()));
        Self {
            files: files.iter().map(file).collect(),
            graph: Graph::default(),
        }
    }

    /// The text of `path`; empty when there is no such file.
    pub fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", |file| file.text.as_str())
    }

    /// Every Rust file.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &File)> {
        let files = self
            .files
            .iter()
            .filter(|(path, _)| has_extension(path, "rs"));
        files.map(|(path, file)| (path.as_str(), file))
    }

    /// A finding at the first line of `path` that holds `needle`, else at its first line.
    pub fn finding(&self, path: &str, needle: &str, text: String) -> Finding {
        let line = self
            .text(path)
            .lines()
            .position(|line| line.contains(needle));
        Finding {
            path: path.to_owned(),
            line: line.map_or(1, |at| at + 1),
            text,
        }
    }
}

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap_or_default().to_owned();
        let source = if has_extension(name, "rs") {
            Source::cut(&text)
        } else {
            Source::default()
        };
        Self {
            bytes: bytes.len() as u64,
            text,
            source,
        }
    }
}

/// Whether `path` is test code by its place: a `tests` folder or a `tests.rs`.
pub fn is_test_path(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

/// Whether the last part of `path` ends in `.extension`.
pub fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}

/// Without the network first: a test run must not need it. A clone on which nothing was fetched
/// yet needs it once.
fn metadata(root: &Path) -> Result<Vec<u8>, ReadError> {
    let mut arguments = vec!["metadata", "--format-version=1", "--locked"];
    for platform in PLATFORMS {
        arguments.extend(["--filter-platform", platform]);
    }
    let offline = [arguments.as_slice(), &["--offline"]].concat();
    run(root, "cargo", &offline).or_else(|_| run(root, "cargo", &arguments))
}

fn run(root: &Path, program: &str, arguments: &[&str]) -> Result<Vec<u8>, ReadError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "no data path: git and cargo are asked once"
    )]
    let output = std::process::Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output();
    let failed = |stderr: String| {
        let command = format!("{program} {}", arguments.join(" "));
        ReadError::Command { command, stderr }
    };
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(output.stdout)
}
