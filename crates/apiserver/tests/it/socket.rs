//! The socket: modes, folders, what is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use oncilla_apiserver::{BindError, bind};
use tempfile::TempDir;
use tokio::runtime::Builder;

use super::server::Served;

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
        assert!(matches!(error, BindError::WideFolder { .. }), "{error}");
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
    assert!(matches!(
        listen(&missing).unwrap_err(),
        BindError::Io { .. }
    ));
}
