//! Labs of a user who is not root: in a user namespace of their own, in a folder of their own.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use oncilla_lab::Labs;
use tempfile::TempDir;

use crate::actors::{self, DEFAULT_BASE};
use crate::census::{Census, Machine, assert_empty};
use crate::fixture::executable;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("it_works_without_root", it_works_without_root),
    (
        "without_a_runtime_folder_it_leaves_none",
        without_a_runtime_folder_it_leaves_none,
    ),
    (
        "a_folder_that_another_user_made_first_is_not_used",
        a_folder_that_another_user_made_first_is_not_used,
    ),
];

/// A user whom nobody else is, and this executable where the user can reach it.
struct User {
    uid: u32,
    place: TempDir,
}

impl User {
    /// `offset` tells users of one run apart, this process those of runs at the same time.
    fn new(offset: u32) -> Self {
        let place = tempfile::tempdir().unwrap();
        let own = place.path().join("it");
        fs::copy(executable(), &own).unwrap();
        for path in [place.path(), &own] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        let uid = 100_000 * (1 + offset) + std::process::id() % 100_000;
        Self { uid, place }
    }

    fn runtime_folder(&self) -> PathBuf {
        let folder = self.place.path().join("runtime");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        chown(&folder, Some(self.uid), Some(self.uid)).unwrap();
        folder
    }

    fn command(&self, runtime_folder: Option<&Path>) -> Command {
        let mut command = Command::new(self.place.path().join("it"));
        command.uid(self.uid).gid(self.uid).current_dir("/");
        match runtime_folder {
            Some(folder) => command.env("XDG_RUNTIME_DIR", folder),
            None => command.env_remove("XDG_RUNTIME_DIR"),
        };
        command
    }

    /// Starts a caller and gives the first line it says.
    fn up(&self, runtime_folder: Option<&Path>) -> (Child, String) {
        let mut child = self
            .command(runtime_folder)
            .args([actors::UP, DEFAULT_BASE, "u", "attached"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        (child, line)
    }

    fn down(&self, runtime_folder: Option<&Path>) {
        let mut command = self.command(runtime_folder);
        let status = command.args([actors::DOWN, DEFAULT_BASE, "u"]).status();
        assert!(status.unwrap().success());
    }

    /// The folder in `/tmp` that the user has without a runtime folder.
    fn last_resort(&self) -> PathBuf {
        PathBuf::from(format!("/tmp/oncilla-{}", self.uid))
    }
}

/// As another user the lab lives in a user namespace of its own.
fn it_works_without_root() {
    let before = Machine::now();
    let user = User::new(1);
    let runtime = user.runtime_folder();
    let (mut child, line) = user.up(Some(&runtime));
    assert_eq!(line, "up\n");
    let base = runtime.join("oncilla/lab");
    let census = Census::of(&base.join("u"));
    assert!(!user.last_resort().exists());
    // Root is somebody else too: whose folder it is could be changed under its hands.
    let text = Labs::at(base).find("u").unwrap_err().to_string();
    assert!(
        text.contains(&format!("belongs to user {}", user.uid)),
        "{text}"
    );
    let output = user
        .command(Some(&runtime))
        .args([actors::EXEC, DEFAULT_BASE, "u", "production/frontend"])
        .args(["curl", "-sS", "http://backend:8000/"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text,
        "production/backend-1\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    user.down(Some(&runtime));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    census.assert_gone();
    assert_empty(&runtime);
    before.assert_untouched();
}

fn without_a_runtime_folder_it_leaves_none() {
    let user = User::new(2);
    // That of somebody else, as `sudo -u` leaves it, is no runtime folder either.
    for runtime_folder in [None, Some(Path::new("/root"))] {
        let (mut child, line) = user.up(runtime_folder);
        assert_eq!(line, "up\n");
        let census = Census::of(&user.last_resort().join("oncilla/lab/u"));
        user.down(runtime_folder);
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        census.assert_gone();
        assert!(!user.last_resort().exists());
    }
}

fn a_folder_that_another_user_made_first_is_not_used() {
    let user = User::new(3);
    let trap = user.last_resort();
    fs::create_dir(&trap).unwrap();
    fs::set_permissions(&trap, Permissions::from_mode(0o777)).unwrap();
    let refused = |command: &str| {
        let (mut child, line) = user.up(None);
        child.wait().unwrap();
        assert!(
            line.contains(&format!("run `{command} {}`", trap.display())),
            "{line}"
        );
        assert_eq!(fs::read_dir(&trap).unwrap().count(), 0);
    };
    // Root's, open to all: the mode is what is wrong on the way.
    refused("chmod go-w");
    // Another user's, closed or not.
    chown(&trap, Some(user.uid + 1), None).unwrap();
    refused("chown root");
    fs::remove_dir(&trap).unwrap();
}
