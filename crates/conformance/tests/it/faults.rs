//! Planted faults: every one is caught by the judges it is meant for, and without one nothing is found.
//!
//! The list is checked in: a fault that nobody catches fails the run, and so does a switch in the sources
//! that the list does not name.

#[path = "faults/by_hand.rs"]
mod by_hand;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use oncilla_api::Object;
use oncilla_conformance::case::Change;
use oncilla_conformance::rig::Rig;
use oncilla_net::fault;
use serde_json::json;

use super::differential::{Failure, interpret};
use super::real::send;

/// Clusters that are tried until a fault is found.
const CLUSTERS_MAX: u64 = 96;
const ROUNDS: usize = 12;
const PACKETS: usize = 400;
/// Clusters with real packets that are tried until a fault is found.
const REAL_CLUSTERS_MAX: u64 = 16;
const REAL_ROUNDS: usize = 40;
const REAL_PACKETS: usize = 200;

/// Who must notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    /// The judge and the interpreter differ.
    Interpreter,
    /// Real packets differ from the judge, or the kernel holds something else than the program.
    Kernel,
    /// Real packets of a cluster made by hand differ from the judge: what random clusters hardly ever have.
    Hand,
    /// The kernel holds something else than the program after a policy grew and shrank in place.
    Verify,
}

const FAULTS: [(&str, By); 49] = [
    ("model/baseline-is-admin", By::Interpreter),
    ("model/priority-ignored", By::Interpreter),
    ("model/accept-passes", By::Interpreter),
    ("model/pods-of-any-namespace", By::Interpreter),
    ("model/last-network-forgotten", By::Interpreter),
    ("model/port-name-of-tcp-only", By::Interpreter),
    ("resolve/inherited-labels-forgotten", By::Interpreter),
    ("resolve/inherited-label-wins", By::Interpreter),
    ("resolve/port-name-of-any-protocol", By::Interpreter),
    ("resolve/network-set-skipped", By::Interpreter),
    ("resolve/realms-mixed", By::Interpreter),
    ("resolve/single-address-forgets-cover", By::Interpreter),
    ("resolve/stale-class", By::Interpreter),
    ("resolve/prefix-forgets-cover", By::Interpreter),
    ("resolve/missing-tier-first", By::Interpreter),
    ("resolve/policies-reversed", By::Interpreter),
    ("resolve/tiers-reversed", By::Interpreter),
    ("resolve/tie-by-reversed-name", By::Interpreter),
    ("compile/end-of-tier-dropped", By::Interpreter),
    ("compile/pass-is-allow", By::Interpreter),
    ("compile/log-is-allow", By::Interpreter),
    ("compile/negated-peer-ignored", By::Interpreter),
    ("compile/local-side-ignored", By::Interpreter),
    ("compile/source-ports-ignored", By::Interpreter),
    ("compile/tail-joined", By::Interpreter),
    ("compile/overlap-skipped", By::Interpreter),
    ("compile/ip-version-of-peer-ignored", By::Interpreter),
    ("compile/icmp-keyed", By::Interpreter),
    ("model/last-endpoint-forgotten", By::Interpreter),
    ("compile/service-ports-ignored", By::Interpreter),
    ("nft/log-ends", By::Kernel),
    ("nft/key-without-protocol", By::Kernel),
    ("nft/class-off-by-a-bit", By::Kernel),
    ("nft/levels-swapped", By::Kernel),
    ("nft/deny-returns", By::Kernel),
    ("nft/excluded-ports-ignored", By::Kernel),
    ("nft/negation-lost", By::Kernel),
    ("nft/family-ignored", By::Kernel),
    ("nft/ipv6-classes-forgotten", By::Kernel),
    ("dataplane/dispatch-to-old-version", By::Kernel),
    ("dataplane/address-not-removed", By::Kernel),
    ("dataplane/prefixes-forgotten", By::Kernel),
    ("dataplane/flip-forgotten", By::Kernel),
    ("nft/icmp-code-ignored", By::Hand),
    ("nft/service-by-source-port", By::Hand),
    ("nft/pre-dnat-behind-dnat", By::Hand),
    ("nft/forwarded-goes-in-unasked", By::Hand),
    ("dataplane/addition-in-place-forgotten", By::Verify),
    ("dataplane/removal-in-place-forgotten", By::Verify),
];

/// The faults of host endpoints, each with the test file that catches it: those judges have hosts.
const ELSEWHERE: [(&str, &str); 11] = [
    (
        "resolve/early-hook-ends-tiers",
        "resolve/tests/it/faults.rs",
    ),
    (
        "resolve/forward-policy-not-on-forward",
        "resolve/tests/it/faults.rs",
    ),
    (
        "resolve/port-names-of-first-owner",
        "resolve/tests/it/faults.rs",
    ),
    (
        "compile/possible-port-names-ignored",
        "conformance/tests/it/hosts.rs",
    ),
    (
        "compile/interface-prefixes-forgotten",
        "conformance/tests/it/hosts.rs",
    ),
    (
        "nft/first-interface-prefix-only",
        "dataplane/tests/it/faults.rs",
    ),
    ("nft/failsafes-forgotten", "dataplane/tests/it/faults.rs"),
    ("nft/star-covers-nothing", "dataplane/tests/it/faults.rs"),
    (
        "nft/host-to-workload-policed",
        "dataplane/tests/it/faults.rs",
    ),
    ("nft/untracked-is-tracked", "dataplane/tests/it/faults.rs"),
    (
        "dataplane/host-dispatch-forgotten",
        "dataplane/tests/it/faults.rs",
    ),
];

/// The faults that show as a refusal, by the engine or the kernel, and words of it.
const REFUSALS: [(&str, &str); 1] = [
    // The old version's chain is still jumped to when it is deleted.
    (
        "dataplane/dispatch-to-old-version",
        "Device or resource busy",
    ),
];

/// What a judge finds first, and in which cluster.
fn found(by: By, clusters: u64) -> Option<(u64, Failure)> {
    (1..=clusters).find_map(|seed| {
        let result = match by {
            By::Interpreter => interpret(seed, ROUNDS, PACKETS).map(drop),
            By::Kernel => send(seed, REAL_ROUNDS, REAL_PACKETS).map(drop),
            By::Hand => by_hand::send(),
            By::Verify => grow_and_shrink(),
        };
        Some((seed, result.err()?))
    })
}

/// Whether what was found shows the fault: verdicts or tables that differ, or the refusal that the list names.
/// That the run itself broke, or was refused something else, proves nothing.
fn shows(name: &str, failure: &Failure) -> bool {
    match failure {
        Failure::Mismatch(_) | Failure::Differs(_) => true,
        Failure::Refused(text) => {
            let mut listed = REFUSALS.iter().filter(|(of, _)| *of == name);
            listed.any(|(_, words)| text.contains(words))
        }
        Failure::Broken(_) => false,
    }
}

/// One policy that allows one port, then two, then one again: additions and removals in one bank of one
/// verdict. The rig verifies after each step.
fn grow_and_shrink() -> Result<(), Failure> {
    let object = |value| Object::from_manifest(value).expect("a valid manifest");
    let pod = |name: &str, address: &str| {
        object(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "red", "labels": {"app": name}},
            "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "main"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": address}]}}))
    };
    let policy = |ports: &[u16]| {
        let ports: Vec<_> = ports.iter().map(|port| json!({"port": port})).collect();
        let from = json!([{"podSelector": {"matchLabels": {"app": "web"}}}]);
        object(
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "grow", "namespace": "red"},
            "spec": {"podSelector": {}, "ingress": [{"ports": ports, "from": from}]}}),
        )
    };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red"}});
    let mut rig = Rig::new(&["n1".to_owned()])?;
    rig.apply(
        &[
            object(namespace),
            pod("web", "10.65.0.1"),
            pod("db", "10.65.0.2"),
            policy(&[80]),
        ]
        .map(Change::Apply),
    )?;
    rig.apply(&[Change::Apply(policy(&[80, 81]))])?;
    rig.apply(&[Change::Apply(policy(&[81]))])?;
    Ok(())
}

/// Without a fault nothing is found; each fault is.
fn assert_caught(by: By, clusters_sound: u64, clusters: u64) {
    let sound = found(by, clusters_sound);
    assert!(sound.is_none(), "nothing is armed: {sound:?}");
    let mut missed = String::new();
    for (name, _) in FAULTS.iter().filter(|(_, of)| *of == by) {
        let _armed = fault::arm(name);
        let line = match found(by, clusters) {
            Some((_, failure)) if shows(name, &failure) => continue,
            Some((seed, failure)) => format!("{name}: seed {seed} shows something else: {failure}"),
            None => format!("{name}: not caught in {clusters} clusters"),
        };
        missed = format!("{missed}{line}\n");
    }
    assert!(missed.is_empty(), "{missed}");
}

#[test]
fn only_what_a_fault_does_counts_as_catching_it() {
    let name = "dataplane/dispatch-to-old-version";
    let text = || "delete chain: Device or resource busy".to_owned();
    assert!(shows(name, &Failure::Mismatch(text())));
    assert!(shows(name, &Failure::Differs(text())));
    assert!(shows(name, &Failure::Refused(text())));
    assert!(!shows("nft/negation-lost", &Failure::Refused(text())));
    assert!(!shows(name, &Failure::Refused("no memory".to_owned())));
    assert!(!shows(name, &Failure::Broken(text())));
    let listed = |name| FAULTS.iter().any(|(fault, _)| *fault == name);
    assert!(REFUSALS.iter().all(|(name, _)| listed(*name)));
}

#[test]
fn the_interpreter_run_catches_every_fault_of_model_resolve_and_compile() {
    assert_caught(By::Interpreter, 3, CLUSTERS_MAX);
}

#[test]
fn the_kernel_run_catches_every_fault_of_nft_and_dataplane() {
    assert_caught(By::Kernel, 1, REAL_CLUSTERS_MAX);
}

#[test]
fn a_cluster_made_by_hand_catches_what_random_ones_hardly_meet() {
    assert_caught(By::Hand, 1, 1);
}

#[test]
fn verification_catches_every_fault_of_changes_in_place() {
    assert_caught(By::Verify, 1, 1);
}

#[test]
fn the_list_names_every_switch_of_the_sources() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut switches = BTreeSet::new();
    for name in ["model", "resolve", "compile", "nft", "dataplane"] {
        collect(&crates.join(name).join("src"), &mut switches);
    }
    for (name, file) in ELSEWHERE {
        let text = fs::read_to_string(crates.join(file)).expect("the test file is here");
        assert!(
            text.contains(&format!("\"{name}\"")),
            "{name} is not in {file}"
        );
    }
    let here = FAULTS.iter().map(|(name, _)| *name);
    let elsewhere = ELSEWHERE.iter().map(|(name, _)| *name);
    let listed: BTreeSet<String> = here.chain(elsewhere).map(str::to_owned).collect();
    assert_eq!(switches, listed);
}

fn collect(folder: &Path, switches: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the sources are here") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, switches);
            continue;
        }
        let text = fs::read_to_string(&path).expect("sources are text");
        for part in text.split("fault::is(\"").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            switches.insert(name.to_owned());
        }
    }
}
