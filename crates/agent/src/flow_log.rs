//! The log of denied flows, told to whoever connects to a unix socket: the last records, an empty line, and then each
//! new one, all as lines of JSON. A reader that is too slow misses records, and is told how many; nobody waits for it.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use oncilla_flows::Record;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::follow::chain;

/// Records on their way from the policy thread.
pub(crate) const QUEUE_RECORDS_MAX: usize = 256;
/// Records that are kept for those who ask later.
const KEPT_MAX: usize = 512;
/// Readers at once.
const READERS_MAX: usize = 16;
/// Records that wait for one reader.
const READER_QUEUE_MAX: usize = KEPT_MAX + 256;

/// Where an agent of a node tells its denied flows: beside the API server's socket.
pub fn flow_socket(server: &Path, node: &str) -> PathBuf {
    server.with_file_name(format!("flows-{node}.sock"))
}

/// The sockets of agents beside an API server's socket, with their nodes, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn flow_sockets(server: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let folder = server.parent().filter(|path| !path.as_os_str().is_empty());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let node = name.and_then(|name| name.strip_prefix("flows-")?.strip_suffix(".sock"));
        if let Some(node) = node {
            found.push((node.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// A socket that is gone when this is.
#[derive(Debug)]
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

impl Socket {
    /// What a killed agent left is taken over; one agent runs in a network namespace, and names are of nodes.
    fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }
}

/// Keeps the last records and tells them, until there is nobody left to write any.
pub(crate) async fn serve(path: PathBuf, mut records: mpsc::Receiver<Record>) {
    let socket = Socket::bind(&path);
    if let Err(error) = &socket {
        let error = chain(error);
        let path = path.display().to_string();
        tracing::warn!(error, path, "nobody can be told of denied flows");
    }
    let socket = socket.ok();
    let mut kept: VecDeque<String> = VecDeque::with_capacity(KEPT_MAX);
    let mut readers: Vec<Reader> = Vec::new();
    let mut writing = JoinSet::new();
    loop {
        let accepted = async {
            match &socket {
                Some(socket) => socket.listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            record = records.recv() => {
                let Some(record) = record else { return };
                readers.retain_mut(|reader| reader.tell(&record));
                if kept.len() == KEPT_MAX {
                    kept.pop_front();
                }
                kept.push_back(line(&record));
            }
            stream = accepted => {
                readers.retain(|reader| !reader.queue.is_closed());
                let Ok((stream, _)) = stream else { continue };
                if readers.len() >= READERS_MAX {
                    continue;
                }
                let (queue, lines) = mpsc::channel(READER_QUEUE_MAX);
                // There is room for all of these.
                for line in kept.iter().cloned().chain([String::new()]) {
                    drop(queue.try_send(line));
                }
                readers.push(Reader { queue, missed: 0 });
                writing.spawn(write(stream, lines));
            }
            Some(_ended) = writing.join_next() => {}
        }
    }
}

/// Somebody who listens.
#[derive(Debug)]
struct Reader {
    queue: mpsc::Sender<String>,
    /// Packets in records that found no room.
    missed: u64,
}

impl Reader {
    /// Whether the reader is still there.
    fn tell(&mut self, record: &Record) -> bool {
        let mut record = record.clone();
        record.lost += self.missed;
        match self.queue.try_send(line(&record)) {
            Ok(()) => {
                self.missed = 0;
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.missed = record.lost + record.count;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

fn line(record: &Record) -> String {
    serde_json::to_string(record).expect("records hold only texts and numbers")
}

/// Writes what comes; ends when the reader is gone, who never says anything.
async fn write(stream: UnixStream, mut lines: mpsc::Receiver<String>) {
    let (mut reading, mut writing) = stream.into_split();
    let write = async {
        while let Some(mut line) = lines.recv().await {
            line.push('\n');
            if writing.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        _said = async { reading.read(&mut [0]).await } => {}
    }
}
