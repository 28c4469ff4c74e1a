//! The socket: modes, folders, what is left behind.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use oncilla_apiserver::{BindError, bind};
use oncilla_store::folder::FolderError;
use tempfile::TempDir;
use tokio::runtime::Builder;

use super::server::Served;

/// Nobody's number.
const STRANGER: u32 = 54_321;
const SOCKET: &str = "ONCILLA_TEST_SOCKET";
/// What stands before the answer that the child process got.
const ANSWER: &str = "answer: ";

fn listen(path: &Path) -> Result<oncilla_apiserver::ApiListener, BindError> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { bind(path) })
}

fn folder(mode: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    folder
}

#[test]
fn the_socket_is_for_its_owner_only() {
    let mut served = Served::new();
    let mode = fs::metadata(served.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let names: Vec<_> = fs::read_dir(served.socket().parent().unwrap())
        .unwrap()
        .collect();
    assert_eq!(names.len(), 1, "nothing else is left in the folder");
    served.stop();
    assert!(
        !served.socket().exists(),
        "a stopped server leaves no socket"
    );
}

#[test]
fn a_folder_open_to_others_is_refused() {
    for mode in [0o770, 0o702, 0o777, 0o1777] {
        let folder = folder(mode);
        let socket = folder.path().join("api.sock");
        let error = listen(&socket).unwrap_err();
        assert!(matches!(error, BindError::Folder(_)), "{error}");
        let message = error.to_string();
        assert!(message.contains(&format!("{mode:04o}")), "{message}");
        let command = format!("run `chmod go-w {}`", folder.path().display());
        assert!(message.contains(&command), "{message}");
        assert!(!socket.exists());
    }
    for mode in [0o700, 0o755] {
        let folder = folder(mode);
        listen(&folder.path().join("api.sock")).unwrap();
    }
}

#[test]
fn a_strangers_folder_is_refused() {
    let folder = folder(0o755);
    chown(folder.path(), Some(STRANGER), None).unwrap();
    let socket = folder.path().join("api.sock");
    let message = listen(&socket).unwrap_err().to_string();
    let own = rustix::process::geteuid().as_raw();
    let command = format!("run `chown {own} {}`", folder.path().display());
    assert!(message.contains(&command), "{message}");
    assert!(!socket.exists());
}

/// The file's mode keeps strangers out; who comes past it is known by the kernel's word.
#[test]
fn a_stranger_who_reaches_the_socket_is_not_heard() {
    let served = Served::new();
    let folder = served.socket().parent().unwrap().to_owned();
    for (path, mode) in [(folder, 0o755), (served.socket(), 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(ask_as(own, &served.socket()), "HTTP/1.1 200 OK");
    assert_eq!(ask_as(STRANGER, &served.socket()), "");
    assert_eq!(served.get("/healthz").0, 200, "others are still heard");
}

/// The first line that a process of user `uid` gets from the server; empty when it is hung up on.
#[expect(
    clippy::disallowed_methods,
    reason = "the child is this test program itself, as another user"
)]
fn ask_as(uid: u32, socket: &Path) -> String {
    // A copy, because others may not be able to reach the folder of the build.
    let place = folder(0o755);
    let program = place.path().join("it");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(&program)
        .args(["--exact", "it::socket::a_process_that_asks"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .env(SOCKET, socket)
        .uid(uid)
        .gid(uid)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix(ANSWER));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
#[ignore = "the child process of `ask_as`"]
fn a_process_that_asks() {
    let socket = std::env::var_os(SOCKET).unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    // A server that hangs up at once may do so before this is written, or reset what was not read.
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    if stream.write_all(request.as_bytes()).is_ok() {
        stream.read_to_end(&mut answer).ok();
    }
    let answer = String::from_utf8(answer).unwrap();
    println!("\n{ANSWER}{}", answer.lines().next().unwrap_or_default());
}

#[test]
fn a_living_server_keeps_its_socket() {
    let served = Served::new();
    let error = listen(&served.socket()).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("api.sock"), "{error}");
    assert_eq!(served.get("/healthz").0, 200);
}

#[test]
fn a_dead_servers_socket_is_replaced() {
    let folder = folder(0o700);
    let socket = folder.path().join("api.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "left behind, as by SIGKILL");
    let listener = listen(&socket).unwrap();
    assert_eq!(listener.path(), socket);
    // The successor's socket is not the first one's to remove.
    fs::remove_file(&socket).unwrap();
    let second = listen(&socket).unwrap();
    drop(listener);
    assert!(socket.exists());
    drop(second);
    assert!(!socket.exists());
}

#[test]
fn other_files_are_never_replaced() {
    let folder = folder(0o700);
    let socket = folder.path().join("api.sock");
    fs::write(&socket, "precious").unwrap();
    let error = listen(&socket).unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    let missing = folder.path().join("none/api.sock");
    let error = listen(&missing).unwrap_err();
    assert!(
        matches!(error, BindError::Folder(FolderError::Io { .. })),
        "{error}"
    );
}
