//! Counting what a lab is made of, and that nothing of it is left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use oncilla_kernel::link::Links;

use crate::fixture::wait_for;

/// What there is of a lab, by the kernel's own names.
#[derive(Debug)]
pub(crate) struct Census {
    /// Processes of the lab's PID namespace, and its guardian, with their start times: numbers are used again.
    pub(crate) processes: BTreeSet<(u32, String)>,
    /// `net:[4026532…]` and the like: of processes, and held open by the supervisor.
    pub(crate) namespaces: BTreeSet<String>,
    /// Handles on the namespaces, so that their numbers are not given to others meanwhile.
    held: Vec<File>,
}

/// What the machine has, which no lab may change.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Machine {
    links: Vec<String>,
    mounts: String,
    forwarding: Vec<String>,
}

impl Machine {
    pub(crate) fn now() -> Self {
        let links = Links::open().unwrap().list().unwrap();
        let mut mounts: Vec<String> = fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        mounts.sort();
        let settings = [
            "net/ipv4/ip_forward",
            "net/ipv6/conf/all/forwarding",
            "net/ipv4/conf/all/rp_filter",
            "net/ipv6/conf/default/accept_dad",
        ];
        Self {
            links: links.into_iter().map(|link| link.name).collect(),
            mounts: mounts.join("\n"),
            forwarding: settings
                .iter()
                .map(|key| fs::read_to_string(Path::new("/proc/sys").join(key)).unwrap())
                .collect(),
        }
    }
}

/// The guardian of the lab in `folder`.
pub(crate) fn guardian(folder: &Path) -> u32 {
    let text = fs::read_to_string(folder.join("guardian.pid")).unwrap();
    text.trim().parse().unwrap()
}

/// The supervisor that a guardian started.
pub(crate) fn supervisor(guardian: u32) -> u32 {
    let path = format!("/proc/{guardian}/task/{guardian}/children");
    let children = fs::read_to_string(path).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

impl Census {
    pub(crate) fn of(folder: &Path) -> Self {
        let guardian = guardian(folder);
        let supervisor = supervisor(guardian);
        let inside = namespace(supervisor, "pid").unwrap();
        let mut census = Self {
            processes: [(guardian, started(guardian).unwrap())].into(),
            namespaces: BTreeSet::new(),
            held: Vec::new(),
        };
        for pid in numbers("/proc") {
            if namespace(pid, "pid").as_ref() == Some(&inside) {
                census.processes.extend(started(pid).map(|at| (pid, at)));
                for kind in ["net", "mnt", "pid"] {
                    census.hold(Path::new(&format!("/proc/{pid}/ns/{kind}")));
                }
            }
        }
        for entry in fs::read_dir(format!("/proc/{supervisor}/fd")).unwrap() {
            census.hold(&entry.unwrap().path());
        }
        let own = std::process::id();
        for kind in ["net", "mnt", "pid"] {
            census.namespaces.remove(&namespace(own, kind).unwrap());
        }
        census
    }

    /// Takes a namespace in, if that is what `path` leads to.
    fn hold(&mut self, path: &Path) {
        let number = link(path).filter(|link| {
            let kinds = ["net:[", "mnt:[", "pid:["];
            kinds.iter().any(|kind| link.starts_with(kind))
        });
        if let Some((number, file)) = number.zip(File::open(path).ok()) {
            self.namespaces.insert(number);
            self.held.push(file);
        }
    }

    /// Waits until no process is left and no process has one of the namespaces.
    pub(crate) fn assert_gone(&self) {
        assert!(
            self.processes.len() > 2 && self.namespaces.len() > 4,
            "{self:?}"
        );
        wait_for("the end of all processes of the lab", || {
            let mut living = self.processes.iter();
            let living = living.any(|(pid, at)| started(*pid).as_ref() == Some(at));
            (!living).then_some(())
        });
        // One that is dead and not yet waited for still shows its PID namespace.
        let living = numbers("/proc").into_iter();
        for pid in living.filter(|pid| started(*pid).is_some()) {
            for kind in ["net", "mnt", "pid"] {
                let its = namespace(pid, kind);
                assert!(
                    its.is_none_or(|its| !self.namespaces.contains(&its)),
                    "process {pid} is still in a {kind} namespace of the lab"
                );
            }
        }
    }
}

/// Nothing is left below a folder of labs, nor the folder.
pub(crate) fn assert_empty(home: &Path) {
    let left: Vec<PathBuf> = fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [] as [PathBuf; 0]);
}

fn numbers(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn namespace(pid: u32, kind: &str) -> Option<String> {
    link(Path::new(&format!("/proc/{pid}/ns/{kind}")))
}

fn link(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.to_str()?.to_owned())
}

/// When a living process was started; none for one that is dead, waited for or not.
fn started(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let alive = !matches!(*fields.first()?, "Z" | "X");
    alive.then(|| fields.get(19).map(|field| (*field).to_owned()))?
}
