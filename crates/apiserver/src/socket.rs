//! The unix socket: who may reach it, and how it takes its place.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use oncilla_store::folder::{FolderError, check_owned};
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Others could put their own socket in the folder, or another folder in its place.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Another server listens there.
    #[error("another server answers on {socket}; stop it, or choose another socket", socket = .socket.display())]
    InUse {
        /// The socket.
        socket: PathBuf,
    },
    /// Something else has the name.
    #[error("{socket} exists and is not a socket; remove it, or choose another name", socket = .socket.display())]
    NotASocket {
        /// The path.
        socket: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl BindError {
    fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }
}

/// A listening socket of mode 0600. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ApiListener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket file, so that only our own is removed.
    identity: Option<(u64, u64)>,
}

/// Listens on `path`, whose folder exists. A socket left by a server that is gone is replaced.
/// Must be called inside a tokio runtime.
///
/// # Errors
/// [`BindError`]; nothing was changed then.
pub fn bind(path: &Path) -> Result<ApiListener, BindError> {
    check_folder(path)?;
    check_name(path)?;
    // Bound under another name first: a socket has the mode of the process' umask until it is
    // changed, and the name must never lead to one that is open to others.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    remove_if_there(&unfinished)?;
    let listener = UnixListener::bind(&unfinished)
        .map_err(|source| BindError::io(&unfinished, "listen on", source))?;
    let named = fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))
        .map_err(|source| BindError::io(&unfinished, "change the mode of", source))
        .and_then(|()| {
            fs::rename(&unfinished, path).map_err(|source| BindError::io(path, "create", source))
        });
    if let Err(error) = named {
        remove_if_there(&unfinished)?;
        return Err(error);
    }
    Ok(ApiListener {
        listener,
        path: path.to_owned(),
        identity: identity(path),
    })
}

impl ApiListener {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next client that may speak to this server; strangers are turned away unheard.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _address) = self.listener.accept().await?;
            let peer = stream.peer_cred()?;
            if may_connect(peer.uid(), geteuid().as_raw()) {
                return Ok(stream);
            }
            tracing::warn!(uid = peer.uid(), "refused a connection of another user");
        }
    }
}

impl Drop for ApiListener {
    fn drop(&mut self) {
        // Another server may have taken the name meanwhile; its socket is not ours to remove.
        if self.identity.is_some()
            && identity(&self.path) == self.identity
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "the socket stays behind");
        }
    }
}

/// Root, and the user this server runs as.
pub(crate) fn may_connect(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn check_folder(path: &Path) -> Result<(), BindError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Ok(check_owned(folder)?)
}

/// The name is free, or that of a socket on which nobody answers.
fn check_name(path: &Path) -> Result<(), BindError> {
    let socket = path.to_owned();
    match fs::symlink_metadata(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(BindError::io(path, "look at", source)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket { socket });
        }
        Ok(_) => {}
    }
    match BlockingStream::connect(path) {
        Ok(_) => Err(BindError::InUse { socket }),
        Err(source) => match source.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(()),
            // A full queue is the sign of a living server.
            io::ErrorKind::WouldBlock => Err(BindError::InUse { socket }),
            _ => Err(BindError::io(path, "ask who listens on", source)),
        },
    }
}

fn remove_if_there(path: &Path) -> Result<(), BindError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BindError::io(path, "remove", source)),
    }
}

#[cfg(test)]
mod tests {
    use super::may_connect;

    #[test]
    fn only_root_and_the_own_user_may_connect() {
        assert!(may_connect(0, 1000));
        assert!(may_connect(1000, 1000));
        assert!(!may_connect(1001, 1000));
        assert!(!may_connect(65_534, 0));
    }
}
