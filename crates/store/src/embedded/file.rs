//! The store file: who owns it, its mode, its header with the format version, and how it is made
//! and opened without ever harming one that is there.
//!
//! ```text
//!   0      16        20         24        32                4096
//!   | magic | version | reserved | checksum | zeros … | redb database …
//! ```
//! Numbers are little-endian; the checksum covers what stands before it. The first 32 bytes mean
//! the same in every format.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Database, StorageBackend};
use rustix::process::geteuid;

use super::backend::{BehindHeader, HEADER_BYTES, Overlay};
use super::{migrate, records};
use crate::folder::{FolderError, check_owned};

/// The format this program reads and writes. Older ones are migrated, newer ones are refused.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: &[u8; 16] = b"oncilla store\n\0\0";
const CHECKED_BYTES: usize = 24;
const HEADER_USED_BYTES: usize = 32;
/// Bytes of redb's page cache; its own default of 1 GiB is for machines that run only a database.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Where redb's file format (version 3) keeps its flags, and what two of them mean.
const REDB_FLAGS_OFFSET: u64 = 9;
const REDB_RECOVERY_REQUIRED: u8 = 2;
const REDB_TWO_PHASE_COMMIT: u8 = 4;
/// Bytes of the lock file that are read to learn the owner's process id.
const PID_BYTES_MAX: u64 = 32;

/// Why a store file was not opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns the file.
    #[error(
        "{path} is in use by {}; stop it, or talk to it through its socket",
        owner(*.pid)
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The owner, when it could be read from the lock file.
        pid: Option<u32>,
    },
    /// Others may read or write the file.
    #[error("{path} has mode {mode:04o}, but only its owner may read or write it: run `chmod 600 {path}`", path = .path.display())]
    WideMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder is not safe.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The file is somebody else's, who may read it and take it back.
    #[error("{path} belongs to user {owner}, not to user {wanted} who runs this: run `chown {wanted} {path}` if you trust what is in it", path = .path.display())]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who must own it.
        wanted: u32,
    },
    /// The file was written by a newer program.
    #[error("{path} has format {found}, this program knows up to {supported}: use a newer oncilla, the file was not touched", path = .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// [`FORMAT_VERSION`].
        supported: u32,
    },
    /// The file is something else.
    #[error("{path} is not an oncilla store: {reason}; name another file, this one was not touched", path = .path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: &'static str,
    },
    /// The file is a store and is damaged.
    #[error("{path} is damaged: restore it from a copy, or move it away to begin with an empty store; it was not touched", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What redb found.
        source: Box<redb::Error>,
    },
    /// The operating system refused something.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// An older format holds something that its migration does not know.
    #[error("{path} has format {from} and record {record:?} cannot be migrated: {reason}; the file was not touched", path = .path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The file's format.
        from: u32,
        /// The key of the record as the file has it.
        record: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

impl OpenError {
    pub(super) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }

    pub(super) fn damaged(path: &Path, source: impl Into<redb::Error>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            source: Box::new(source.into()),
        }
    }
}

/// The right to use a store file, held as a lock on the file `PATH.lock`, which names the owner.
/// The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Ownership {
    _lock: File,
}

impl Ownership {
    pub(super) fn acquire(path: &Path) -> Result<Self, OpenError> {
        check_owned(folder_of(path))?;
        let lock_path = beside(path, "lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|source| OpenError::io(&lock_path, "open", source))?;
        check_owner(&lock_path, &lock)?;
        lock_exclusively(&lock, path, || read_pid(&lock))?;
        // For people and for the error above; the lock itself does not depend on it.
        lock.set_len(0)
            .and_then(|()| lock.write_all(std::process::id().to_string().as_bytes()))
            .map_err(|source| OpenError::io(&lock_path, "write", source))?;
        Ok(Self { _lock: lock })
    }
}

fn lock_exclusively(
    file: &File,
    path: &Path,
    pid: impl FnOnce() -> Option<u32>,
) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
            pid: pid(),
        }),
        Err(TryLockError::Error(source)) => Err(OpenError::io(path, "lock", source)),
    }
}

fn read_pid(lock: &File) -> Option<u32> {
    let mut text = String::new();
    let read = lock.take(PID_BYTES_MAX).read_to_string(&mut text);
    read.ok().and_then(|_| text.trim().parse().ok())
}

/// `PATH.SUFFIX`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Opens the database part of `path`, after all that can be known without writing has been
/// checked; makes an empty store where there is no file.
pub(super) fn open_or_create(
    path: &Path,
    _owned: &Ownership,
) -> Result<impl StorageBackend + use<>, OpenError> {
    let file = if let Some(file) = open_existing(path)? {
        file
    } else {
        create(path)?;
        open_existing(path)?
            .ok_or_else(|| OpenError::io(path, "open", io::ErrorKind::NotFound.into()))?
    };
    let version = checked_version(path, &file)?;
    let file = if version == FORMAT_VERSION {
        file
    } else {
        migrate::migrate(path, file, version)?
    };
    let copy = file
        .try_clone()
        .map_err(|source| OpenError::io(path, "open", source))?;
    probe(path, BehindHeader::new(copy))?;
    // A second lock, on the file itself: the lock file might have been removed by hand.
    lock_exclusively(&file, path, || None)?;
    let backend = BehindHeader::new(file);
    distrust(&backend).map_err(|source| OpenError::io(path, "write", source))?;
    Ok(backend)
}

/// The folder a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn check_owner(path: &Path, file: &File) -> Result<(), OpenError> {
    let metadata = file
        .metadata()
        .map_err(|source| OpenError::io(path, "read the owner of", source))?;
    let (owner, wanted) = (metadata.uid(), geteuid().as_raw());
    if owner == wanted {
        return Ok(());
    }
    Err(OpenError::ForeignFile {
        path: path.to_owned(),
        owner,
        wanted,
    })
}

/// The file, when there is one, it is ours and its mode is narrow.
fn open_existing(path: &Path) -> Result<Option<File>, OpenError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::io(path, "open", source)),
    };
    let metadata = file
        .metadata()
        .map_err(|source| OpenError::io(path, "read the mode of", source))?;
    if !metadata.is_file() {
        return Err(not_a_store(path, "it is not a regular file"));
    }
    check_owner(path, &file)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(OpenError::WideMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(Some(file))
}

fn not_a_store(path: &Path, reason: &'static str) -> OpenError {
    OpenError::NotAStore {
        path: path.to_owned(),
        reason,
    }
}

/// The format version of the file, which is one that this program can read.
fn checked_version(path: &Path, file: &File) -> Result<u32, OpenError> {
    let mut header = [0; HEADER_USED_BYTES];
    if let Err(source) = file.read_exact_at(&mut header, 0) {
        return Err(match source.kind() {
            io::ErrorKind::UnexpectedEof => not_a_store(path, "it is too short"),
            _ => OpenError::io(path, "read", source),
        });
    }
    let Some(version) = decode_header(&header) else {
        let reason = if header.starts_with(MAGIC) {
            "the checksum of its first bytes is wrong"
        } else {
            "its first bytes are those of something else"
        };
        return Err(not_a_store(path, reason));
    };
    if version > FORMAT_VERSION {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    Ok(version)
}

/// Opens and verifies the whole database through a view that writes nothing. A file whose last
/// owner was killed is repaired in that view, as it will be in the file.
pub(super) fn probe(path: &Path, backend: impl StorageBackend) -> Result<(), OpenError> {
    let view = Overlay::new(backend).map_err(|source| OpenError::io(path, "read", source))?;
    let bytes = view.len();
    if bytes.map_err(|source| OpenError::io(path, "read", source))? == 0 {
        let cut = redb::Error::Corrupted("nothing follows the header".to_owned());
        return Err(OpenError::damaged(path, cut));
    }
    distrust(&view).map_err(|source| OpenError::io(path, "read", source))?;
    let database = open_database(path, view)?;
    records::verify(&database).map_err(|source| OpenError::damaged(path, source))
}

/// Marks a database as one whose owner was killed: redb then verifies every checksum before it
/// reads anything, where it would trust a database that was closed in good order (and panic if it
/// has been damaged since). Safe at any moment: it is the mark that redb itself sets while it has
/// the database open.
pub(super) fn distrust(backend: &impl StorageBackend) -> io::Result<()> {
    let mut flags = [0];
    backend.read(REDB_FLAGS_OFFSET, &mut flags)?;
    let distrusted = (flags[0] | REDB_RECOVERY_REQUIRED) & !REDB_TWO_PHASE_COMMIT;
    if flags[0] != distrusted {
        backend.write(REDB_FLAGS_OFFSET, &[distrusted])?;
    }
    Ok(())
}

/// Opens a database on a backend, with our limits.
pub(super) fn open_database(
    path: &Path,
    backend: impl StorageBackend,
) -> Result<Database, OpenError> {
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
        .map_err(|source| OpenError::damaged(path, source))
}

/// Makes an empty store under a temporary name and gives it its name when it is on the disk, so
/// that a power cut leaves a whole file or none.
fn create(path: &Path) -> Result<(), OpenError> {
    let unfinished = beside(path, "new");
    let file = new_file(&unfinished, FORMAT_VERSION)?;
    let database = open_database(&unfinished, BehindHeader::new(file))?;
    records::prepare(&database).map_err(|source| OpenError::damaged(&unfinished, source))?;
    drop(database);
    publish(&unfinished, path)
}

/// A file of mode 0600 with a header and nothing else. What a crash left under that name is
/// replaced: only the owner of the store comes here.
pub(super) fn new_file(path: &Path, version: u32) -> Result<File, OpenError> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OpenError::io(path, "remove the unfinished", source)),
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::io(path, "create", source))?;
    file.write_all_at(&encode_header(version), 0)
        .and_then(|()| file.set_len(HEADER_BYTES))
        .map_err(|source| OpenError::io(path, "write", source))?;
    Ok(file)
}

/// Brings a finished file to the disk and gives it its name.
pub(super) fn publish(unfinished: &Path, path: &Path) -> Result<(), OpenError> {
    File::open(unfinished)
        .and_then(|file| file.sync_all())
        .map_err(|source| OpenError::io(unfinished, "sync", source))?;
    std::fs::rename(unfinished, path)
        .map_err(|source| OpenError::io(unfinished, "rename", source))?;
    sync_folder_of(path)
}

/// Brings the folder's entries to the disk.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), OpenError> {
    let folder = folder_of(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| OpenError::io(folder, "sync", source))
}

fn encode_header(version: u32) -> [u8; HEADER_USED_BYTES] {
    let mut header = [0; HEADER_USED_BYTES];
    header[..16].copy_from_slice(MAGIC);
    header[16..20].copy_from_slice(&version.to_le_bytes());
    let sum = checksum(&header[..CHECKED_BYTES]);
    header[CHECKED_BYTES..].copy_from_slice(&sum.to_le_bytes());
    header
}

fn decode_header(header: &[u8; HEADER_USED_BYTES]) -> Option<u32> {
    let (checked, sum) = header.split_at(CHECKED_BYTES);
    if !checked.starts_with(MAGIC) || sum != checksum(checked).to_le_bytes() {
        return None;
    }
    let version = checked.get(16..20)?.try_into().ok()?;
    Some(u32::from_le_bytes(version))
}

/// FNV-1a: 24 bytes need no more.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
