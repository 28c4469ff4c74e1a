//! Tests of the runner: what it reads, what it refuses, what it counts.

mod npa;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::format::{self, FormatError};
use crate::level::{KernelLevel, Level, ProgramLevel, VerdictLevel};
use crate::run::{Report, run};

/// A folder of files that ends with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, String)]) -> Self {
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("oncilla-conformance-{process}-{name}"));
        for (file, text) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().expect("files are in the folder")).unwrap();
            fs::write(file, text).unwrap();
        }
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the folder is ours");
    }
}

fn judge(path: &Path) -> (Report, String) {
    let suite = format::read(path).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    let report = run(&suite, &mut VerdictLevel::default(), &mut out).unwrap();
    (report, String::from_utf8(out).unwrap())
}

/// A cyclonus file with one case of these steps.
fn cyclonus(steps: &Value) -> String {
    json!({
        "podIPs": {"x/a": "192.168.1.1", "x/b": "192.168.1.2"},
        "namespaceLabels": {"x": {"ns": "x"}},
        "podLabels": "pod=<a|b>",
        "cases": [{"n": 1, "desc": "one", "tags": [], "steps": steps}],
    })
    .to_string()
}

fn deny(name: &str) -> Value {
    json!({"Policy": {"metadata": {"name": name, "namespace": "x"}, "spec": {"podSelector": {}}}})
}

fn judge_cyclonus(name: &str, steps: &Value) -> (Report, String) {
    let folder = Folder::new(name, &[("case.json", cyclonus(steps))]);
    judge(&folder.file("case.json"))
}

/// A step whose only cell is x/a to x/b on tcp/80.
fn step(actions: &Value, mark: &str) -> Value {
    json!({"actions": actions, "cols": ["x/a", "x/b"], "expect": {"TCP/80": {"x/a": format!(".{mark}")}}})
}

#[test]
fn steps_build_on_each_other() {
    let (report, out) = judge_cyclonus(
        "steps",
        &json!([
            step(&json!([]), "."),
            step(
                &json!([{"CreatePolicy": deny("p"), "UpdatePolicy": null}]),
                "X"
            ),
            step(
                &json!([{"DeletePolicy": {"Namespace": "x", "Name": "p"}}]),
                "."
            ),
        ]),
    );
    assert_eq!(out, "");
    assert_eq!((report.passed, report.failed, report.steps), (3, 0, 3));
    assert_eq!(report.left_out.of("cells of a pod to itself"), 3);
    assert!(report.is_good());
}

#[test]
fn every_action_acts() {
    let labelled = json!({"CreatePolicy": {"Policy": {
        "metadata": {"name": "p", "namespace": "x"},
        "spec": {"podSelector": {"matchLabels": {"pod": "b"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"who": "me"}}}]},
            {"from": [{"namespaceSelector": {"matchLabels": {"who": "us"}}}]},
        ]},
    }}});
    let set = json!({"SetPodLabels": {"Namespace": "x", "Pod": "a", "Labels": {"who": "me"}}});
    let unset = json!({"SetPodLabels": {"Namespace": "x", "Pod": "a", "Labels": {"pod": "a"}}});
    let namespace = json!({"SetNamespaceLabels": {"Namespace": "x", "Labels": {"who": "us"}}});
    let update = json!({"UpdatePolicy": deny("p")});
    let (report, out) = judge_cyclonus(
        "actions",
        &json!([
            step(&json!([labelled]), "X"),
            step(&json!([set]), "."),
            step(&json!([unset]), "X"),
            step(&json!([namespace]), "."),
            step(&json!([update, {"ReadNetworkPolicies": {"Namespaces": ["x"]}}]), "X"),
            {
                "actions": [
                    {"CreateNamespace": {"Namespace": "y", "Labels": {}}},
                    {"CreatePod": {"Namespace": "y", "Pod": "c", "Labels": {}}},
                    {"DeletePod": {"Namespace": "x", "Pod": "a"}},
                ],
                "cols": ["x/b", "y/c"],
                "expect": {"TCP/80": {"x/b": "X.", "y/c": "X."}, "UDP/81": {"x/b": "-?"}},
            },
            {
                "actions": [{"DeleteNamespace": {"Namespace": "x"}}],
                "cols": ["x/b", "y/c"],
                "expect": {"TCP/80": {"y/c": "X."}},
            },
        ]),
    );
    // After its namespace is gone x/b cannot be asked: the last step is what breaks.
    assert_eq!(
        out,
        "FAIL 1 one, step 6: cannot judge: pod x/b does not exist\n"
    );
    assert_eq!((report.passed, report.failed), (7, 1));
    assert_eq!(report.left_out.of("cells that the file does not judge"), 1);
}

#[test]
fn an_unknown_action_fails_with_all_that_follows() {
    for action in [json!({"Frobnicate": {}}), json!({"Frobnicate": null})] {
        let (report, out) = judge_cyclonus(
            "unknown",
            &json!([step(&json!([action]), "."), step(&json!([]), ".")]),
        );
        assert!(
            out.starts_with("FAIL 1 one, step 0: refused: action Frobnicate: "),
            "{out}"
        );
        assert_eq!((report.passed, report.failed), (0, 2));
        assert!(!report.is_good());
    }
}

#[test]
fn actions_on_what_is_not_there_fail() {
    for (action, message) in [
        (
            json!({"UpdatePolicy": deny("p")}),
            "NetworkPolicy x/p does not exist",
        ),
        (
            json!({"DeletePolicy": {"Namespace": "x", "Name": "p"}}),
            "NetworkPolicy x/p does not exist",
        ),
        (
            json!({"DeletePod": {"Namespace": "x", "Pod": "q"}}),
            "Pod x/q does not exist",
        ),
        (
            json!({"SetPodLabels": {"Namespace": "x", "Pod": "q", "Labels": {}}}),
            "Pod x/q does not exist",
        ),
        (
            json!({"CreatePod": {"Namespace": "x", "Pod": "a", "Labels": {}}}),
            "Pod x/a already exists",
        ),
        (
            json!({"DeleteNamespace": {"Namespace": "q"}}),
            "Namespace q does not exist",
        ),
        (
            json!({"SetNamespaceLabels": {"Namespace": "q", "Labels": {}}}),
            "Namespace q does not exist",
        ),
    ] {
        let (report, out) = judge_cyclonus("absent", &json!([step(&json!([action]), ".")]));
        assert!(out.trim_end().ends_with(message), "{out}");
        assert_eq!(report.failed, 1);
    }
}

#[test]
fn a_mismatch_names_case_and_cell() {
    let (report, out) = judge_cyclonus("mismatch", &json!([step(&json!([]), "X")]));
    assert_eq!(
        out,
        "FAIL 1 one, step 0: x/a -> x/b tcp/80: expected deny, got allow\n"
    );
    assert_eq!((report.passed, report.failed), (0, 1));
    let mut last = Vec::new();
    report.write(&mut last).unwrap();
    assert_eq!(
        String::from_utf8(last).unwrap(),
        "left out: 1 cells of a pod to itself\n0 passed, 1 failed\n"
    );
}

#[test]
fn nothing_judged_is_not_good() {
    let (report, _) = judge_cyclonus("nothing", &json!([]));
    assert_eq!((report.passed, report.failed), (0, 0));
    assert!(!report.is_good());
}

#[test]
fn the_spread_format_has_layouts() {
    let case = json!([{"n": 7, "desc": "spread", "steps": [step(&json!([]), ".")]}]);
    let text = json!({
        "namespaceLabels": {"x": {}},
        "layouts": {
            "four": {"podIPs": {"x/a": "10.0.0.1", "x/b": "10.0.0.2"}, "newPodIP": "10.0.0.9", "cases": case},
            "six": {"podIPs": {"x/a": "fd00::1", "x/b": "fd00::2"}, "newPodIP": "fd00::9", "cases": case},
        },
    });
    let folder = Folder::new("spread", &[("case.json", text.to_string())]);
    let suite = format::read(&folder.file("case.json")).unwrap();
    let names: Vec<&str> = suite.cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names, ["four 7 spread", "six 7 spread"]);
    assert_eq!(
        suite.cases[1].steps[0].cells[0].to_string(),
        "x/a -> x/b tcp/80 (IPv6)"
    );
    assert_eq!(judge(&folder.file("case.json")).0.passed, 2);
}

/// Scenarios over one small cluster; `steps` are those of the scenario `S1`.
fn seeds(name: &str, steps: &Value) -> Folder {
    let cluster = "
{apiVersion: v1, kind: Namespace, metadata: {name: p}}
---
{apiVersion: v1, kind: Node, metadata: {name: w}, status: {addresses: [{type: InternalIP, address: 172.16.0.1}]}}
---
{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: pool}, spec: {cidr: 10.0.0.0/8}}
---
{apiVersion: v1, kind: Pod, metadata: {name: n, namespace: p, labels: {on: 'yes'}}, spec: {nodeName: w, containers: [{name: c}]}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: m, namespace: p}, spec: {nodeName: w, containers: [{name: c}]}, status: {podIP: 10.0.0.2}}
";
    let deny = "
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: deny, namespace: p}
spec: {selector: has(on), ingress: [{action: Deny}]}
";
    let bad = "
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: bad, namespace: p}
spec: {ingress: [{action: Allow, destination: {ports: [80]}}]}
";
    let forward = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: forward}
spec: {applyOnForward: true}
";
    let host = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: w-eth0}
spec: {node: w, interfaceName: eth0}
";
    let scenarios = json!({
        "version": 1,
        "matrix_cols": {"clusters/c.yaml": ["p/n", "p/m", "host:w", "192.0.2.1"]},
        "scenarios": [{"id": "S1", "title": "one", "cluster": "clusters/c.yaml", "steps": steps}],
    });
    Folder::new(
        name,
        &[
            ("scenarios.json", scenarios.to_string()),
            ("clusters/c.yaml", cluster.to_owned()),
            ("m/deny.yaml", deny.to_owned()),
            ("m/bad.yaml", bad.to_owned()),
            ("m/forward.yaml", forward.to_owned()),
            ("m/host.yaml", host.to_owned()),
        ],
    )
}

fn probe(expect: &str, policy: &str, rule: &Value) -> Value {
    json!({
        "src": "p/m", "dst": "p/n", "proto": "TCP", "port": 80, "expect": expect, "before": ["E:profile"],
        "decided_by": {"at": "p/n", "direction": "ingress",
            "tier": if rule == "profile" { Value::Null } else { "default".into() },
            "policy": policy, "rule": rule},
    })
}

#[test]
fn scenarios_compare_the_reason_too() {
    let folder = seeds(
        "reason",
        &json!([
            {"step": 0, "title": "a", "apply": ["m/deny.yaml"], "delete": [], "result": "accepted",
             "probes": [probe("deny", "np/p/deny", &json!(0)), probe("deny", "np/p/other", &json!(1))],
             "matrix": {"TCP/80": {"p/n": "-.X.", "p/m": "X-X-", "192.0.2.1": "X.--"}}},
            {"step": 1, "title": "b", "apply": [], "delete": ["m/deny.yaml"], "result": "accepted",
             "probes": [probe("allow", "pro/kns.p", &json!("profile"))]},
        ]),
    );
    let (report, out) = judge(&folder.file("scenarios.json"));
    assert_eq!(
        out,
        "FAIL S1 one, step 0 (a): p/m -> p/n tcp/80: expected deny, got deny; expected decided by p/n ingress tier default np/p/other#1, got p/n ingress tier default np/p/deny#0\n"
    );
    assert_eq!((report.passed, report.failed), (9, 1));
    assert_eq!(report.left_out.iter().count(), 0);
}

#[test]
fn a_rejected_step_changes_nothing() {
    let rejected = |apply: &str, contains: &str| {
        json!([
            {"step": 0, "title": "bad", "apply": ["m/deny.yaml", apply], "result": "rejected",
             "error_contains": contains, "probes": [probe("allow", "pro/kns.p", &json!("profile"))]},
        ])
    };
    let folder = seeds(
        "rejected",
        &rejected("m/bad.yaml", "must set protocol to TCP or UDP or SCTP"),
    );
    let (report, out) = judge(&folder.file("scenarios.json"));
    assert_eq!((report.passed, report.failed, &*out), (2, 0, ""));

    let folder = seeds("rejected-other", &rejected("m/bad.yaml", "something else"));
    let (report, out) = judge(&folder.file("scenarios.json"));
    assert_eq!((report.passed, report.failed), (1, 1));
    assert!(out.contains("expected \"something else\" in it"), "{out}");

    let folder = seeds("rejected-not", &rejected("m/deny.yaml", "anything"));
    let (report, out) = judge(&folder.file("scenarios.json"));
    assert_eq!((report.passed, report.failed), (0, 2));
    assert!(out.contains("accepted, expected a refusal"), "{out}");
}

#[test]
fn every_level_judges_hosts() {
    let steps = json!([
        {"step": 0, "title": "open", "apply": ["m/deny.yaml"], "result": "accepted", "matrix": {
            "TCP/80": {"p/m": "X--.", "host:w": "..-.", "192.0.2.1": "X..-"},
            "UDP/53": {"host:w": "..-.", "192.0.2.1": "X..-"}}},
        {"step": 1, "title": "closed", "apply": ["m/host.yaml", "m/forward.yaml"], "result": "accepted", "matrix": {
            "TCP/80": {"p/m": "X--.", "host:w": "..-X", "192.0.2.1": "XXX-"},
            "TCP/6443": {"host:w": "..-.", "192.0.2.1": "XX.-"},
            "UDP/53": {"host:w": "..-.", "192.0.2.1": "XXX-"}}},
    ]);
    let folder = seeds("hosts", &steps);
    let suite = format::read(&folder.file("scenarios.json")).unwrap();
    let levels: [&mut dyn Level; 3] = [
        &mut VerdictLevel::default(),
        &mut ProgramLevel::default(),
        &mut KernelLevel::default(),
    ];
    for level in levels {
        let mut out = Vec::new();
        let report = run(&suite, level, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "", "level {}", level.name());
        assert_eq!((report.passed, report.failed), (34, 0));
        assert_eq!(report.left_out.iter().count(), 0);
    }
}

#[test]
fn files_that_hold_no_cases_are_refused() {
    let folder = Folder::new(
        "refused",
        &[
            ("other.json", json!({"name": "x"}).to_string()),
            ("broken.json", "{\"cases\": ".to_owned()),
            ("shape.json", json!({"cases": 5}).to_string()),
            (
                "row.json",
                cyclonus(
                    &json!([{"actions": [], "cols": ["x/a"], "expect": {"TCP/80": {"x/a": ".."}}}]),
                ),
            ),
        ],
    );
    let refusal = |file: &str| format::read(&folder.file(file)).expect_err("it holds no cases");
    assert!(matches!(refusal("other.json"), FormatError::Unknown { .. }));
    assert!(matches!(refusal("broken.json"), FormatError::Json { .. }));
    assert!(matches!(refusal("shape.json"), FormatError::Json { .. }));
    assert!(matches!(
        refusal("row.json"),
        FormatError::Meaningless { .. }
    ));
    assert!(matches!(
        refusal("absent.json"),
        FormatError::Unreadable { .. }
    ));

    let missing =
        json!([{"step": 0, "title": "a", "apply": ["m/none.yaml"], "result": "accepted"}]);
    let folder = seeds("missing", &missing);
    let error = format::read(&folder.file("scenarios.json")).expect_err("the manifest is missing");
    assert!(error.to_string().ends_with("m/none.yaml"), "{error}");
}
