//! Names inside pods: one hosts file a namespace, mounted over `/etc/hosts` of all its pods.
//!
//! In namespace `production`, `backend` is the service or pod of that name there; `backend.default` and
//! `backend.default.svc.cluster.local` work everywhere. A service stands for its ready pods; it wins over a pod of the
//! same name, as it would in a cluster's DNS.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// What cluster names end with.
const DOMAIN: &str = "svc.cluster.local";
/// A pod's resolver: there is no name server, so what the hosts file does not know is unknown at once.
const RESOLV_CONF: &str =
    "# No name server: names are in /etc/hosts.\noptions timeout:1 attempts:1\n";

/// Addresses by namespace and name.
pub(crate) type Directory = BTreeMap<(String, String), BTreeSet<IpAddr>>;

/// The hosts files of a lab.
#[derive(Debug)]
pub(crate) struct Names {
    folder: PathBuf,
    /// What each namespace's file says.
    written: BTreeMap<String, String>,
}

impl Names {
    /// Hosts files in `folder`, and the resolver's configuration at `resolv_conf`.
    pub(crate) fn new(folder: PathBuf, resolv_conf: &Path) -> io::Result<Self> {
        fs::write(resolv_conf, RESOLV_CONF)?;
        Ok(Self {
            folder,
            written: BTreeMap::new(),
        })
    }

    /// The hosts file of a namespace, which exists from now on.
    pub(crate) fn file(&mut self, namespace: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(namespace);
        if !self.written.contains_key(namespace) {
            let text = text(namespace, &Directory::new());
            fs::write(&path, &text)?;
            self.written.insert(namespace.to_owned(), text);
        }
        Ok(path)
    }

    /// Brings every file up to date.
    pub(crate) fn update(&mut self, directory: &Directory) -> io::Result<()> {
        for (namespace, written) in &mut self.written {
            let text = text(namespace, directory);
            if text != *written {
                rewrite(&self.folder.join(namespace), &text)?;
                *written = text;
            }
        }
        Ok(())
    }
}

/// A mounted file cannot be replaced, so it is written over: one write, then what is left of the old is cut.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

fn text(namespace: &str, directory: &Directory) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    for ((owner, name), addresses) in directory {
        let mut names = format!("{name}.{owner} {name}.{owner}.svc {name}.{owner}.{DOMAIN}");
        if owner == namespace {
            names = format!("{name} {names}");
        }
        for address in addresses {
            for part in [&address.to_string(), " ", &names, "\n"] {
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Directory, Names};

    #[test]
    fn files_are_rewritten_in_place_and_short_names_are_the_namespaces_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut names =
            Names::new(folder.path().to_owned(), &folder.path().join("resolv.conf")).unwrap();
        let path = names.file("production").unwrap();
        let open = std::fs::File::open(&path).unwrap();
        let mut directory = Directory::new();
        for (namespace, address) in [("production", "10.65.1.2"), ("default", "fd00::1")] {
            let key = (namespace.to_owned(), "backend".to_owned());
            directory.insert(key, [address.parse().unwrap()].into());
        }
        names.update(&directory).unwrap();
        let text = std::io::read_to_string(&open).unwrap();
        assert!(text.contains(
            "\n10.65.1.2 backend backend.production backend.production.svc backend.production.svc.cluster.local\n"
        ));
        assert!(text.contains("\nfd00::1 backend.default backend.default.svc"));
        names.update(&Directory::new()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
