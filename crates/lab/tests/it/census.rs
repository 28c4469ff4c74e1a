//! Counting what a lab is made of, and that nothing of it is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use oncilla_kernel::netns::Netns;

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

/// What the machine has, which no lab may change: its own network, by the eyes of `ip` and `nft`, its mounts, and every
/// setting of its network that can be read.
#[derive(Debug)]
pub(crate) struct Machine {
    facts: BTreeMap<String, String>,
}

/// Settings that change by themselves, and why.
const SETTINGS_THAT_CHANGE: &[&str] = &[
    // How many connections there are now.
    "/proc/sys/net/netfilter/nf_conntrack_count",
];

/// Words of `ip` before a number of seconds that runs down by itself.
const LIFETIMES: &[&str] = &["valid_lft", "preferred_lft", "expires"];

impl Machine {
    pub(crate) fn now() -> Self {
        let mut facts = BTreeMap::new();
        for command in [
            "ip -o link",
            "ip -o addr",
            "ip route show table all",
            "ip -6 route show table all",
            "ip rule",
            "ip -6 rule",
            // Without counters.
            "nft -s list ruleset",
        ] {
            facts.insert(command.to_owned(), said(command));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        facts.insert(
            "mounts".to_owned(),
            sorted(&mounts.lines().collect::<Vec<_>>()),
        );
        let mut folders = vec![PathBuf::from("/proc/sys/net")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.to_str().unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if !SETTINGS_THAT_CHANGE.contains(&name.as_str())
                    // Some can only be written.
                    && let Ok(value) = fs::read(&path)
                {
                    facts.insert(name, String::from_utf8_lossy(&value).into_owned());
                }
            }
        }
        assert!(facts.len() > 300, "only {} facts", facts.len());
        Self { facts }
    }

    /// Nothing is another than it was.
    pub(crate) fn assert_untouched(&self) {
        let changed = self.changed();
        assert!(changed.is_empty(), "{changed:#?}");
    }

    /// What is another than it was. A module that the kernel loaded may have brought settings of its own.
    fn changed(&self) -> BTreeMap<&str, [Option<String>; 2]> {
        let mut now = Self::now().facts;
        let facts = self.facts.iter();
        let both = facts.map(|(name, was)| (name.as_str(), [Some(was.clone()), now.remove(name)]));
        both.filter(|(_, [was, is])| was != is).collect()
    }
}

pub(crate) const TESTS: &[(&str, fn())] = &[(
    "a_census_of_the_machine_sees_what_changes",
    a_census_of_the_machine_sees_what_changes,
)];

/// In a namespace that stands for the machine's.
fn a_census_of_the_machine_sees_what_changes() {
    let changes = [
        ("ip link set lo mtu 1400", "ip -o link"),
        ("ip addr add 192.0.2.7 dev lo", "ip -o addr"),
        (
            "ip route add blackhole 192.0.2.8",
            "ip route show table all",
        ),
        (
            "ip -6 route add blackhole 2001:db8::8",
            "ip -6 route show table all",
        ),
        ("ip rule add from 192.0.2.9 lookup 9", "ip rule"),
        ("ip -6 rule add from 2001:db8::9 lookup 9", "ip -6 rule"),
        ("nft add table inet foreign", "nft -s list ruleset"),
        ("a write", "/proc/sys/net/ipv4/ip_forward"),
    ];
    let machine = Netns::new().unwrap();
    let run = machine.run(|| {
        said("ip link set lo up");
        for (command, fact) in changes {
            let before = Machine::now();
            before.assert_untouched();
            if fact.starts_with('/') {
                fs::write(fact, "1").unwrap();
            } else {
                said(command);
            }
            let changed = before.changed();
            assert!(changed.contains_key(fact), "{command}: {changed:#?}");
        }
    });
    run.unwrap();
}

fn said(command: &str) -> String {
    let (program, arguments) = command.split_once(' ').unwrap();
    let output = Command::new(program)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(without_lifetimes);
    let lines: Vec<String> = lines.collect();
    // Rules of nft have an order that matters; the rest is listed as it comes.
    if program == "nft" {
        lines.join("\n")
    } else {
        sorted(&lines)
    }
}

fn without_lifetimes(line: &str) -> String {
    let mut kept = Vec::new();
    let mut is_lifetime = false;
    for word in line.split_whitespace() {
        if !is_lifetime {
            kept.push(word);
        }
        is_lifetime = LIFETIMES.contains(&word);
    }
    kept.join(" ")
}

fn sorted(lines: &[impl AsRef<str>]) -> String {
    let mut lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    lines.sort_unstable();
    lines.join("\n")
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
