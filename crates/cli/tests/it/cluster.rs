//! A server on a fresh socket, a folder of files, and the executable run against both.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oncilla_apiserver::{Options, bind, serve};
use oncilla_kernel::process::{pidfd_open, pidfd_signal};
use oncilla_store::rest::Client;
use oncilla_store::{MemoryStore, Store};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub(crate) const INTERRUPT: i32 = 2;
pub(crate) const TERMINATE: i32 = 15;
/// How old every object is.
const AGE: Duration = Duration::from_hours(72);

/// A running server; it ends when this is dropped.
pub(crate) struct Cluster {
    pub(crate) store: Arc<dyn Store>,
    folder: TempDir,
    _stop: oneshot::Sender<()>,
    _runtime: Runtime,
}

/// What a command said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    /// A server over a store that is there already.
    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let socket = folder.path().join("api.sock");
        let listener = runtime.block_on(async { bind(&socket) }).unwrap();
        let served = Arc::clone(&store);
        runtime.spawn(async move {
            let options = Options {
                clock: Arc::new(then),
            };
            serve(
                served,
                listener,
                options,
                async move { drop(stopped.await) },
            )
            .await
            .unwrap();
        });
        runtime.block_on(async {
            assert_eq!(
                Client::unix(&socket).read_text("/readyz").await.unwrap(),
                "ok"
            );
        });
        Self {
            store,
            folder,
            _stop: stop,
            _runtime: runtime,
        }
    }

    /// Writes a file and returns nothing: commands run in the folder.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Where a file of this name is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `oncilla` with these words, split at blanks.
    pub(crate) fn run(&self, words: &str) -> Said {
        self.run_with(words, b"")
    }

    pub(crate) fn run_with(&self, words: &str, stdin: &[u8]) -> Said {
        run(&mut self.command(words), stdin)
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = oncilla(self.folder.path(), words);
        command.env("ONCILLA_SERVER", self.folder.path().join("api.sock"));
        command
    }

    /// Applies a text, which must succeed.
    pub(crate) fn applied(&self, text: &str) {
        let said = self.run_with("apply -f -", text.as_bytes());
        assert_eq!(said.code, 0, "{said:?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "ages are measured against the time of day"
)]
fn then() -> SystemTime {
    SystemTime::now() - AGE
}

/// The time of day, in milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "agents say by it when they reported"
)]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}

/// The executable in a folder, without a server.
#[expect(
    clippy::disallowed_methods,
    reason = "the executable is what is tested"
)]
pub(crate) fn oncilla(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncilla"));
    command
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_remove("ONCILLA_SERVER")
        .env_remove("CLICOLOR_FORCE");
    command
}

pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Said {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read it may have ended already.
    drop(child.stdin.take().unwrap().write_all(stdin));
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal to a command that was not waited for yet.
pub(crate) fn signal(child: &Child, number: i32) {
    pidfd_signal(&pidfd_open(child.id()).unwrap(), number).unwrap();
}
