//! A lab's folder: what is in it, who owns it, and how it goes away.
//!
//! The guardian holds an exclusive lock on the file `lock` for as long as it lives. Who finds the lock free has found
//! what a killed guardian left behind.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use oncilla_kernel::process;

use crate::error::LabError;

/// Longest name of a lab, in bytes: paths of sockets end at 107.
const NAME_BYTES_MAX: usize = 32;
/// How often a folder that vanishes under our hands is made again.
const CLAIM_ATTEMPTS_MAX: u32 = 16;
/// How many of a log's last lines are shown.
const TAIL_LINES_MAX: usize = 12;
/// How much of a log is read for them, in bytes.
const TAIL_BYTES_MAX: usize = 16 * 1024;

/// Whether `name` can be a lab's: a DNS label of at most 32 bytes.
pub fn name_is_valid(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain)
}

/// Where things are in a lab's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn api_socket(&self) -> PathBuf {
        self.path.join("api.sock")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(crate) fn hosts(&self) -> PathBuf {
        self.path.join("hosts")
    }

    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.path.join("resolv.conf")
    }

    fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn pid(&self) -> PathBuf {
        self.path.join("guardian.pid")
    }

    /// The guardian's process number, if it has written one.
    pub(crate) fn guardian(&self) -> Option<u32> {
        fs::read_to_string(self.pid()).ok()?.trim().parse().ok()
    }

    /// The lock file, if there is a folder.
    pub(crate) fn open_lock(&self) -> Result<Option<File>, LabError> {
        match File::open(self.lock()) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file_error("open", &self.lock(), source)),
        }
    }

    /// Makes the folder, or takes over what a dead lab left; none when a living lab has it.
    pub(crate) fn claim(self) -> Result<Option<Claimed>, LabError> {
        let path = &self.path;
        for _attempt in 0..CLAIM_ATTEMPTS_MAX {
            self.make()?;
            let lock = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(self.lock());
            let lock = match lock {
                // The last guardian removed the folder in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|source| file_error("open", &self.lock(), source))?,
            };
            if !process::try_lock(&lock)
                .map_err(|source| file_error("lock", &self.lock(), source))?
            {
                return Ok(None);
            }
            if !is_file(&lock, &self.lock()) {
                continue;
            }
            self.empty()?;
            fs::write(self.pid(), format!("{}\n", std::process::id()))
                .map_err(|source| file_error("write", &self.pid(), source))?;
            for folder in [self.logs(), self.hosts()] {
                fs::create_dir(&folder).map_err(|source| file_error("make", &folder, source))?;
            }
            return Ok(Some(Claimed { folder: self, lock }));
        }
        Err(file_error("make", path, io::ErrorKind::ResourceBusy.into()))
    }

    fn make(&self) -> Result<(), LabError> {
        let base = self.path.parent().unwrap_or(Path::new("/"));
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true);
        builder
            .create(base)
            .map_err(|source| file_error("make", base, source))?;
        check_mode(base)?;
        builder
            .create(&self.path)
            .map_err(|source| file_error("make", &self.path, source))?;
        check_mode(&self.path)
    }

    /// Removes everything but the lock.
    fn empty(&self) -> Result<(), LabError> {
        let error = |source| file_error("empty", &self.path, source);
        for entry in fs::read_dir(&self.path).map_err(error)? {
            let entry = entry.map_err(error)?;
            if entry.file_name() == "lock" {
                continue;
            }
            let folder = entry.file_type().map_err(error)?.is_dir();
            let removed = if folder {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            removed.map_err(error)?;
        }
        Ok(())
    }

    /// Removes the folder, and the folders above it that only labs use, when they are empty.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        match fs::remove_dir_all(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(file_error("remove", &self.path, source));
            }
            _ => {}
        }
        let above = self.path.ancestors().skip(1).take(2);
        for (folder, name) in above.zip(["lab", "oncilla"]) {
            // Not empty, or not ours: then it stays.
            if !folder.ends_with(name) || fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A folder whose lock is held by this process.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) folder: Folder,
    lock: File,
}

impl Claimed {
    /// Removes the folder while it is still locked, so that nobody takes half of it over.
    pub(crate) fn remove(self) -> Result<(), LabError> {
        let removed = self.folder.remove();
        drop(self.lock);
        removed
    }
}

/// The last lines of a log; empty when there is none.
pub(crate) fn tail(log: &Path) -> Vec<String> {
    let bytes = fs::read(log).unwrap_or_default();
    let from = bytes.len().saturating_sub(TAIL_BYTES_MAX);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default());
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES_MAX);
    let last = lines.into_iter().skip(from);
    last.map(str::to_owned).collect()
}

/// Others must not be able to put their own sockets where ours are looked for.
fn check_mode(folder: &Path) -> Result<(), LabError> {
    let metadata = fs::metadata(folder).map_err(|source| file_error("look at", folder, source))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let path = folder.display();
        return Err(LabError::Options {
            message: format!(
                "{path} has mode {mode:04o}, others could replace what is in it: run `chmod go-w {path}`"
            ),
        });
    }
    Ok(())
}

/// Whether `path` still leads to the open `file`.
fn is_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

pub(crate) fn file_error(action: &'static str, path: &Path, source: io::Error) -> LabError {
    LabError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, name_is_valid};

    #[test]
    fn names_are_dns_labels() {
        for name in ["lab", "a", "try-2", "0"] {
            assert!(name_is_valid(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a/b", "..", "a.b", &"a".repeat(33)] {
            assert!(!name_is_valid(name), "{name}");
        }
    }

    #[test]
    fn a_claimed_folder_is_taken_until_it_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("oncilla/lab/x");
        let claimed = Folder::at(path.clone()).claim().unwrap().unwrap();
        assert!(Folder::at(path.clone()).claim().unwrap().is_none());
        claimed.remove().unwrap();
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
        let again = Folder::at(path.clone()).claim().unwrap().unwrap();
        std::fs::write(path.join("leftover"), "").unwrap();
        drop(again.lock);
        let third = Folder::at(path.clone()).claim().unwrap().unwrap();
        assert!(!path.join("leftover").exists());
        third.remove().unwrap();
    }
}
