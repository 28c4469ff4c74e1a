//! A lab's folder: what is in it, who owns it, and how it goes away.
//!
//! The guardian holds an exclusive lock on the file `lock` for as long as it lives. Who finds the lock free has found
//! what a killed guardian left behind.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use oncilla_kernel::process;
use oncilla_store::folder::{FolderError, check_private, check_shared};

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
    /// See [`own_folder`]. Asked when a value is made: a guardian is another user afterwards.
    own: PathBuf,
}

impl Folder {
    pub(crate) fn at(path: PathBuf) -> Self {
        let own = own_folder();
        Self { path, own }
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
        let mut busy = file_error("make", &self.path, io::ErrorKind::ResourceBusy.into());
        for _attempt in 0..CLAIM_ATTEMPTS_MAX {
            match self.make() {
                // Another lab ended and took the folder, or one above, along.
                Err(error) if is_not_found(&error) => continue,
                // It was there when it was to be made and gone when it was looked at; or it is no folder, and stays.
                Err(error) if is_there(&error) => {
                    busy = error;
                    continue;
                }
                made => made?,
            }
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
        Err(busy)
    }

    /// Makes the folder and those above it. Nothing is made where somebody else could replace it.
    fn make(&self) -> Result<(), LabError> {
        let mut above = self.path.ancestors().skip(1);
        if let Some(there) = above.find(|folder| fs::symlink_metadata(folder).is_ok()) {
            check_shared(there)?;
        }
        let made = DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.path);
        made.map_err(|source| file_error("make", &self.path, source))?;
        self.check()
    }

    /// That the folder, if there is one, is ours alone: others must not be able to put their own sockets where ours
    /// are looked for, nor their process' number where the guardian's is.
    pub(crate) fn check(&self) -> Result<(), LabError> {
        let base = self.path.parent().unwrap_or(Path::new("/"));
        Ok(check_private(base).and_then(|()| check_private(&self.path))?)
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

    /// Removes the folder, and the folders above it that only labs use, when they are empty. The lock is the last to
    /// go: who takes a new one in between has a folder that is not empty, which stays.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        let error = |path: &Path, source| file_error("remove", path, source);
        match self.empty() {
            Err(gone) if is_not_found(&gone) => {}
            emptied => emptied?,
        }
        match fs::remove_file(self.lock()) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(error(&self.lock(), source));
            }
            _ => {}
        }
        match fs::remove_dir(&self.path) {
            Err(source) if source.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(error(&self.path, source));
            }
            _ => {}
        }
        let above = self.path.ancestors().skip(1).take(3);
        for (folder, name) in above.zip(["lab", "oncilla", ""]) {
            let is_labs = if name.is_empty() {
                folder == self.own
            } else {
                folder.ends_with(name)
            };
            // Not empty, or not ours: then it stays.
            if !is_labs || fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Where labs of a user are who has no runtime folder. Anybody may make it first, so that it is looked at before use.
pub(crate) fn own_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    PathBuf::from(format!("/tmp/oncilla-{user}"))
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

/// Whether there was no such file or folder.
pub(crate) fn is_not_found(error: &LabError) -> bool {
    kind(error) == Some(io::ErrorKind::NotFound)
}

/// Whether there was something of that name already.
fn is_there(error: &LabError) -> bool {
    kind(error) == Some(io::ErrorKind::AlreadyExists)
}

fn kind(error: &LabError) -> Option<io::ErrorKind> {
    match error {
        LabError::File { source, .. } | LabError::Folder(FolderError::Io { source, .. }) => {
            Some(source.kind())
        }
        _ => None,
    }
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

    #[test]
    fn labs_that_come_and_go_leave_no_folder_and_miss_none() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join("oncilla/lab").join(name);
        // Only the two of one name get into each other's way.
        let come_and_go = |name: &str| {
            for _ in 0..200 {
                let claimed = Folder::at(path(name)).claim().unwrap();
                assert!(claimed.is_some() || name == "b");
                if let Some(claimed) = claimed {
                    std::fs::write(claimed.folder.hosts().join("x"), "").unwrap();
                    claimed.remove().unwrap();
                }
            }
        };
        std::thread::scope(|scope| {
            for name in ["a", "b", "b"] {
                scope.spawn(move || come_and_go(name));
            }
        });
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_made_in_a_strangers_folder() {
        let base = tempfile::tempdir().unwrap();
        let theirs = base.path().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        std::os::unix::fs::chown(&theirs, Some(54_321), None).unwrap();
        let error = Folder::at(theirs.join("oncilla/lab/x")).claim();
        let text = error.unwrap_err().to_string();
        assert!(text.contains("belongs to user 54321"), "{text}");
        assert_eq!(std::fs::read_dir(&theirs).unwrap().count(), 0);
        let stolen = base.path().join("stolen/oncilla/lab");
        std::fs::create_dir_all(stolen.join("x")).unwrap();
        std::os::unix::fs::chown(&stolen, Some(54_321), None).unwrap();
        let error = Folder::at(stolen.join("x")).claim();
        let text = error.unwrap_err().to_string();
        assert!(text.contains("run `chown "), "{text}");
    }
}
