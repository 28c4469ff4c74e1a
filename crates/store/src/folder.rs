//! Folders in which nobody else can put, replace or remove files: where a store, a socket or a lab may live.
//!
//! Checked is the whole way, not only its end: who may rename a folder on the way may put another one in its place.
//!
//! ```text
//!   /            root's or ours; who else may write finds it sticky
//!   └─ tmp       the same, and the same for the folder of each symbolic link on the way
//!      └─ ours   ours, and nobody else may write (`check_owned`) or even enter (`check_private`)
//! ```

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::process::geteuid;

/// Symbolic links on one way; the kernel follows as many.
const LINKS_MAX: usize = 40;
/// Permission bits by which others may write, and by which they may do anything.
const OTHERS_WRITE: u32 = 0o022;
const OTHERS: u32 = 0o077;
/// In such a folder, files are removed and renamed by their owners only.
const STICKY: u32 = 0o1000;

/// Why a folder is not safe.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is somebody else's.
    #[error("{path} belongs to user {owner}, who could replace what is in it, not to user {wanted} who runs this: run `chown {wanted} {path}`, or choose another folder", path = .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who must own it.
        wanted: u32,
    },
    /// Others may write in it, or enter it.
    #[error("{path} has mode {mode:04o}, others could replace what is in it: run `chmod {change} {path}`", path = .path.display())]
    Wide {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What `chmod` needs to be told.
        change: &'static str,
    },
    /// A folder on the way is a third user's.
    #[error("{path} belongs to user {owner}, who could replace what is below it, {below}: run `chown root {path}`, or choose another folder", path = .path.display(), below = .below.display())]
    ForeignAbove {
        /// The folder on the way, or a symbolic link on it.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The folder that was asked about.
        below: PathBuf,
    },
    /// Others may rename what is in a folder on the way.
    #[error("{path} has mode {mode:04o}, others could replace what is below it, {below}: run `chmod go-w {path}`, or `chmod +t {path}` if it is shared", path = .path.display(), below = .below.display())]
    WideAbove {
        /// The folder on the way.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The folder that was asked about.
        below: PathBuf,
    },
    /// It is no folder.
    #[error("{path} is not a folder: remove it, or choose another name", path = .path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
    },
    /// The operating system refused to show it.
    #[error("cannot look at {path}", path = .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the operating system said; [`io::ErrorKind::NotFound`] when there is nothing.
        source: io::Error,
    },
}

/// Checks that `folder` is the calling user's and that nobody else can write in it or put another in its place.
///
/// # Errors
/// [`FolderError`], with the command that mends it.
pub fn check_owned(folder: &Path) -> Result<(), FolderError> {
    let (path, metadata) = Way::to(folder)?.walk()?;
    is_ours(&path, &metadata, (OTHERS_WRITE, "go-w"))
}

/// The same, and nobody else can enter it; it is no symbolic link.
///
/// # Errors
/// [`FolderError`], with the command that mends it.
pub fn check_private(folder: &Path) -> Result<(), FolderError> {
    let metadata = look(folder)?;
    if !metadata.is_dir() {
        let path = folder.to_owned();
        return Err(FolderError::NotAFolder { path });
    }
    let (path, metadata) = Way::to(folder)?.walk()?;
    is_ours(&path, &metadata, (OTHERS, "700"))
}

/// Checks that nobody but root and the calling user can replace what is in `folder`, or `folder`: what is made in it
/// stays ours. A shared folder such as `/tmp` passes.
///
/// # Errors
/// [`FolderError`], with the command that mends it.
pub fn check_shared(folder: &Path) -> Result<(), FolderError> {
    let way = Way::to(folder)?;
    let unmapped = way.unmapped;
    let (path, metadata) = way.walk()?;
    is_on_the_way(&path, &metadata, folder, unmapped)
}

fn is_ours(
    path: &Path,
    metadata: &Metadata,
    (bits, change): (u32, &'static str),
) -> Result<(), FolderError> {
    let wanted = geteuid().as_raw();
    if metadata.uid() != wanted {
        return Err(FolderError::Foreign {
            path: path.to_owned(),
            owner: metadata.uid(),
            wanted,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & bits != 0 {
        return Err(FolderError::Wide {
            path: path.to_owned(),
            mode,
            change,
        });
    }
    Ok(())
}

/// Root could do worse, and we may do what we like.
fn is_trusted(owner: u32, unmapped: Option<u32>) -> bool {
    owner == 0 || owner == geteuid().as_raw() || unmapped == Some(owner)
}

fn is_on_the_way(
    path: &Path,
    metadata: &Metadata,
    below: &Path,
    unmapped: Option<u32>,
) -> Result<(), FolderError> {
    if !is_trusted(metadata.uid(), unmapped) {
        return Err(FolderError::ForeignAbove {
            path: path.to_owned(),
            owner: metadata.uid(),
            below: below.to_owned(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if metadata.is_dir() && mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Err(FolderError::WideAbove {
            path: path.to_owned(),
            mode,
            below: below.to_owned(),
        });
    }
    Ok(())
}

/// The way to a folder, as the kernel walks it.
struct Way<'a> {
    asked: &'a Path,
    here: PathBuf,
    ahead: VecDeque<OsString>,
    links: usize,
    unmapped: Option<u32>,
}

impl<'a> Way<'a> {
    fn to(asked: &'a Path) -> Result<Self, FolderError> {
        let absolute = std::path::absolute(asked).map_err(|source| io_error(asked, source))?;
        let mut way = Self {
            asked,
            here: PathBuf::from("/"),
            ahead: VecDeque::new(),
            links: 0,
            unmapped: unmapped_owner(),
        };
        way.enqueue(&absolute);
        Ok(way)
    }

    /// Puts the parts of a path before what is still ahead.
    fn enqueue(&mut self, path: &Path) {
        let parts = path.components().filter_map(|part| match part {
            Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        });
        for part in parts.rev().collect::<Vec<_>>() {
            self.ahead.push_front(part);
        }
    }

    /// Checks all that lies before the end, and gives the end.
    fn walk(mut self) -> Result<(PathBuf, Metadata), FolderError> {
        let mut metadata = look(&self.here)?;
        while let Some(part) = self.ahead.pop_front() {
            is_on_the_way(&self.here, &metadata, self.asked, self.unmapped)?;
            if part == ".." {
                self.here.pop();
                metadata = look(&self.here)?;
                continue;
            }
            let next = self.here.join(part);
            metadata = look(&next)?;
            if metadata.is_symlink() {
                is_on_the_way(&next, &metadata, self.asked, self.unmapped)?;
                metadata = self.follow(&next)?;
            } else {
                self.here = next;
            }
        }
        if metadata.is_dir() {
            return Ok((self.here, metadata));
        }
        Err(FolderError::NotAFolder { path: self.here })
    }

    /// Turns to where a symbolic link leads; gives the folder from which it goes on.
    fn follow(&mut self, link: &Path) -> Result<Metadata, FolderError> {
        self.links += 1;
        if self.links > LINKS_MAX {
            let source = io::Error::from(rustix::io::Errno::LOOP);
            return Err(io_error(link, source));
        }
        let target = fs::read_link(link).map_err(|source| io_error(link, source))?;
        if target.is_absolute() {
            self.here = PathBuf::from("/");
        }
        self.enqueue(&target);
        look(&self.here)
    }
}

/// As whose all files appear whose owner has no number in our user namespace, the machine's root among them. None in
/// the machine's own, where every number is somebody.
fn unmapped_owner() -> Option<u32> {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    let text = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    text.trim().parse().ok().filter(|_| !whole)
}

fn look(path: &Path) -> Result<Metadata, FolderError> {
    fs::symlink_metadata(path).map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::path::Path;

    use super::{FolderError, check_owned, check_private, check_shared};

    /// Nobody's number.
    const STRANGER: u32 = 54_321;

    fn folder(path: &Path, mode: u32) {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(check: fn(&Path) -> Result<(), FolderError>, path: &Path, command: &str) {
        let text = check(path).unwrap_err().to_string();
        assert!(text.contains(command), "{}: {text}", path.display());
    }

    #[test]
    fn only_our_own_closed_folder_is_private() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for (name, mode) in [("closed", 0o700), ("shown", 0o755), ("wide", 0o777)] {
            folder(&at(name), mode);
        }
        check_private(&at("closed")).unwrap();
        check_owned(&at("closed")).unwrap();
        check_owned(&at("shown")).unwrap();
        let path = at("shown").display().to_string();
        refusal(check_private, &at("shown"), &format!("`chmod 700 {path}`"));
        refusal(check_owned, &at("wide"), "has mode 0777");
        fs::write(at("file"), "").unwrap();
        for check in [check_owned, check_private] {
            refusal(check, &at("file"), "is not a folder");
            let missing = check(&at("missing")).unwrap_err();
            assert!(matches!(missing, FolderError::Io { .. }), "{missing}");
        }
    }

    #[test]
    fn a_strangers_folder_is_refused_with_the_chown() {
        let place = tempfile::tempdir().unwrap();
        let theirs = place.path().join("theirs");
        folder(&theirs, 0o700);
        let inside = theirs.join("inside");
        folder(&inside, 0o700);
        chown(&theirs, Some(STRANGER), None).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let command = format!("`chown {own} {}`", theirs.display());
        for check in [check_owned, check_private] {
            refusal(check, &theirs, &command);
            refusal(check, &inside, "belongs to user 54321");
        }
        refusal(check_shared, &theirs, "belongs to user 54321");
    }

    #[test]
    fn what_others_may_rename_is_sticky_or_refused() {
        let place = tempfile::tempdir().unwrap();
        let shared = place.path().join("shared");
        folder(&shared, 0o1777);
        let ours = shared.join("ours");
        folder(&ours, 0o700);
        check_private(&ours).unwrap();
        check_shared(&shared).unwrap();
        refusal(check_owned, &shared, "`chmod go-w ");
        fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
        let command = format!("`chmod go-w {}`", shared.display());
        for check in [check_owned, check_private, check_shared] {
            refusal(check, &ours, &command);
        }
    }

    #[test]
    fn links_are_followed_when_they_are_ours_and_lead_a_safe_way() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        folder(&at("wide"), 0o777);
        folder(&at("wide/ours"), 0o700);
        folder(&at("safe"), 0o700);
        folder(&at("safe/ours"), 0o700);
        symlink("safe", at("link")).unwrap();
        symlink("link/../safe/ours", at("long")).unwrap();
        symlink("wide/ours", at("bad")).unwrap();
        symlink("loop", at("loop")).unwrap();
        check_private(&at("link/ours")).unwrap();
        check_owned(&at("long")).unwrap();
        refusal(check_private, &at("long"), "is not a folder");
        refusal(check_owned, &at("bad"), "/wide`");
        let endless = check_owned(&at("loop")).unwrap_err();
        assert!(matches!(endless, FolderError::Io { .. }), "{endless}");
        std::os::unix::fs::lchown(at("link"), Some(STRANGER), None).unwrap();
        refusal(check_owned, &at("link/ours"), "belongs to user 54321");
    }
}
