//! A folder of labs that only one test uses, the executable run with it, and counting that nothing is left.
//!
//! Every process of a lab inherits the folder's name in its environment: that is how they are found. Whatever a test
//! does not take down ends with its [`Home`], also when the test has failed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oncilla_kernel::process::{pidfd_open, pidfd_signal};
use oncilla_lab::Labs;
use serde_json::Value;
use tempfile::TempDir;

use super::cluster::{Said, oncilla, run};

/// How long anything may take. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_mins(1);
const LABS_VARIABLE: &str = "ONCILLA_LABS";
const INTERRUPT: i32 = 2;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// A folder of labs of one test's own.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let prefix = format!("oncilla-it-{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
        Self { folder }
    }

    /// Where the labs are. Nothing else makes it, so that it is gone with the last lab.
    fn base(&self) -> PathBuf {
        self.folder.path().join("oncilla/lab")
    }

    fn in_here(&self, command: &mut Command) {
        command
            .env(LABS_VARIABLE, self.base())
            .env_remove("ONCILLA_SERVER");
    }

    /// Runs `oncilla` with these words, split at blanks, in the repository.
    pub(crate) fn run(&self, words: &str) -> Said {
        let mut command = oncilla(&root(), words);
        self.in_here(&mut command);
        run(&mut command, b"")
    }

    /// Runs `oncilla`, which must end well; returns what it answers.
    pub(crate) fn answer(&self, words: &str) -> String {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{words}: {said:?}");
        said.out
    }

    /// Runs a line of shell in the repository, with the executable in front of everything else in the `PATH`.
    #[expect(clippy::disallowed_methods, reason = "people type into a shell")]
    pub(crate) fn shell(&self, line: &str) -> Said {
        let mut path = OsString::from(Path::new(env!("CARGO_BIN_EXE_oncilla")).parent().unwrap());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(root())
            .env("PATH", path);
        self.in_here(&mut command);
        run(&mut command, b"")
    }

    /// Starts `oncilla` with these words.
    pub(crate) fn start(&self, words: &str) -> Running {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = oncilla(&root(), words);
        self.in_here(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer);
        Running {
            child: command.spawn().unwrap(),
            lines: BufReader::new(reader),
        }
    }

    /// Waits until every agent enforces what is in the store now.
    pub(crate) fn until_current(&self) {
        wait_for("what was applied to be in force", || {
            let status: Value = serde_json::from_str(&self.run("status -o json").out).unwrap();
            let mut nodes = status["nodes"].as_array().unwrap().iter();
            nodes.all(|node| node["isCurrent"] == true).then_some(())
        });
    }

    /// No lab is here, nor the folders that labs made.
    pub(crate) fn assert_empty(&self) {
        let left: Vec<PathBuf> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, [] as [PathBuf; 0]);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(self.folder.path().to_str().unwrap()));
        wait_for("the end of all processes of labs", || {
            self.processes().is_empty().then_some(())
        });
    }

    /// The processes that have this home's name in their environment.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("{LABS_VARIABLE}={}", self.base().display());
        let marked = numbers().into_iter().filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let mut entries = environment.split(|byte| *byte == 0);
            entries.any(|entry| entry == mark.as_bytes())
        });
        marked.collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let entries = fs::read_dir(self.base()).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            // A lab that is already going down is waited for; nothing more can be done about one that stays.
            drop(Labs::at(self.base()).down(&name));
        }
    }
}

/// A command that is running; it ends with this value.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<PipeReader>,
}

impl Running {
    /// Reads what it says up to the line that contains this.
    pub(crate) fn until(&mut self, part: &str) {
        let mut said = String::new();
        loop {
            let start = said.len();
            let read = self.lines.read_line(&mut said).unwrap();
            assert!(read > 0, "it ended without saying {part:?}:\n{said}");
            if said.get(start..).unwrap().contains(part) {
                return;
            }
        }
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        pidfd_signal(&pidfd_open(self.child.id()).unwrap(), INTERRUPT).unwrap();
    }

    /// Waits for its end: its exit code and what else it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended and was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What there is of the labs of a home, by the kernel's own names.
#[derive(Debug)]
pub(crate) struct Census {
    /// With their start times: numbers are used again.
    processes: BTreeSet<(u32, String)>,
    /// `net:[4026532…]` and the like, of the processes and held open by them.
    namespaces: BTreeSet<String>,
    /// Handles on the namespaces, so that their numbers are not given to others meanwhile.
    held: Vec<File>,
}

const KINDS: [&str; 3] = ["net", "mnt", "pid"];

impl Census {
    pub(crate) fn of(home: &Home) -> Self {
        let mut census = Self {
            processes: BTreeSet::new(),
            namespaces: BTreeSet::new(),
            held: Vec::new(),
        };
        let own = KINDS.map(|kind| namespace(std::process::id(), kind).unwrap());
        let marked = home.processes();
        // What a pod runs has an environment of its own, but shares the lab's PID namespace.
        let inside: BTreeSet<String> = marked
            .iter()
            .filter_map(|pid| namespace(*pid, "pid"))
            .filter(|pid| !own.contains(pid))
            .collect();
        for pid in numbers() {
            let within = namespace(pid, "pid").is_some_and(|its| inside.contains(&its));
            if within || marked.contains(&pid) {
                census.take(pid);
            }
        }
        for name in &own {
            census.namespaces.remove(name);
        }
        census
    }

    fn take(&mut self, pid: u32) {
        self.processes.extend(started(pid).map(|at| (pid, at)));
        let folders = ["ns", "fd"].map(|folder| format!("/proc/{pid}/{folder}"));
        let entries = folders
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok());
        for path in entries.flatten().flatten().map(|entry| entry.path()) {
            let Some(name) = link(&path) else { continue };
            let is_one = KINDS
                .iter()
                .any(|kind| name.starts_with(&format!("{kind}:[")));
            if let (true, Ok(file)) = (is_one, File::open(&path)) {
                self.namespaces.insert(name);
                self.held.push(file);
            }
        }
    }

    /// Waits until no process is left, and no process has one of the namespaces.
    pub(crate) fn assert_gone(&self) {
        assert!(
            self.processes.len() > 2 && self.namespaces.len() > 4,
            "{self:?}"
        );
        wait_for("the end of all processes of the lab", || {
            let mut living = self.processes.iter();
            let living = living.any(|(pid, at)| started(*pid).as_ref() == Some(at));
            (!living).then_some(())
        });
        // One that is dead and not yet waited for still shows its PID namespace.
        for pid in numbers().into_iter().filter(|pid| started(*pid).is_some()) {
            for kind in KINDS {
                let its = namespace(pid, kind);
                assert!(
                    its.is_none_or(|its| !self.namespaces.contains(&its)),
                    "process {pid} is still in a {kind} namespace of the lab"
                );
            }
        }
    }
}

/// What the machine has, which no lab may change.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Machine {
    links: BTreeSet<OsString>,
    forwarding: Vec<String>,
}

impl Machine {
    pub(crate) fn now() -> Self {
        let links = fs::read_dir("/sys/class/net").unwrap();
        let settings = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
        Self {
            links: links.map(|entry| entry.unwrap().file_name()).collect(),
            forwarding: settings
                .iter()
                .map(|key| fs::read_to_string(Path::new("/proc/sys/net").join(key)).unwrap())
                .collect(),
        }
    }
}

/// Asks again and again until the answer is there.
#[expect(clippy::disallowed_methods, reason = "a failure must end some time")]
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::yield_now();
    }
}

fn numbers() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn namespace(pid: u32, kind: &str) -> Option<String> {
    link(Path::new(&format!("/proc/{pid}/ns/{kind}")))
}

fn link(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.to_str()?.to_owned())
}

/// When a living process was started; none for one that is dead, waited for or not.
fn started(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let alive = !matches!(*fields.first()?, "Z" | "X");
    alive.then(|| fields.get(19).map(|field| (*field).to_owned()))?
}
