//! What becomes of pods that are written, changed and deleted through the API.

use std::path::Path;
use std::time::Duration;

use oncilla_api::{Kind, ObjectKey};
use oncilla_lab::{Lab, LabError, PodStatus};
use oncilla_store::rest::Client;
use serde_json::{Value, json};

use crate::fixture::{Home, cluster, objects, options, pod, wait_for};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("pods_report_as_in_kubernetes", pods_report_as_in_kubernetes),
    (
        "a_label_changes_nothing_that_runs",
        a_label_changes_nothing_that_runs,
    ),
    (
        "changed_ports_are_served_and_deleted_pods_go",
        changed_ports_are_served_and_deleted_pods_go,
    ),
    ("programs_run_restart_and_end", programs_run_restart_and_end),
    (
        "a_readiness_probe_is_waited_for",
        a_readiness_probe_is_waited_for,
    ),
    (
        "a_container_that_ends_again_and_again_is_named_with_its_last_words",
        a_container_that_ends_again_and_again_is_named_with_its_last_words,
    ),
    (
        "a_container_that_ended_once_is_believed_in_when_it_runs",
        a_container_that_ended_once_is_believed_in_when_it_runs,
    ),
    (
        "a_pod_that_cannot_run_fails_the_lab",
        a_pod_that_cannot_run_fails_the_lab,
    ),
];

fn api<T>(socket: &Path, work: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(Client::unix(socket)))
}

fn patch(lab: &Lab, namespace: &str, name: &str, patch: &Value) {
    let key = ObjectKey::namespaced(Kind::Pod, namespace, name);
    api(&lab.socket(), async |client| {
        client.merge_patch(&key, patch).await
    })
    .unwrap();
}

/// Waits until a pod is as wanted.
fn until(lab: &Lab, name: &str, wanted: impl Fn(&PodStatus) -> bool) -> PodStatus {
    wait_for(&format!("what was wanted of pod {name}"), || {
        let status = lab.status().unwrap();
        let found = status.pods.into_iter().find(|pod| pod.name == name)?;
        wanted(&found).then_some(found)
    })
}

fn pods_report_as_in_kubernetes() {
    let home = Home::new();
    let lab = home.up(&options("p1", &cluster()));
    let key = ObjectKey::namespaced(Kind::Pod, "production", "frontend");
    let object = api(&lab.socket(), async |client| client.object(&key).await).unwrap();
    let status = object.value.get("status").unwrap();
    let at = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap();
    assert_eq!(at("/phase"), "Running");
    assert_eq!(at("/podIP"), "10.65.1.2");
    assert_eq!(at("/podIPs/1/ip"), "fd00:10:65:1::2");
    assert_eq!(at("/hostIP"), "10.64.0.1");
    assert!(at("/startTime").ends_with('Z'));
    let conditions = status.get("conditions").unwrap().as_array().unwrap();
    for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        let found = conditions
            .iter()
            .find(|c| c.get("type") == Some(&json!(kind)));
        assert_eq!(found.unwrap().get("status"), Some(&json!("True")), "{kind}");
    }
    // Those without a node were spread.
    let status = lab.status().unwrap();
    let nodes = ["quiet", "sleeper"].map(|name| pod(&status, name).node.clone());
    assert!(nodes == ["n1", "n2"] || nodes == ["n2", "n1"], "{nodes:?}");
    let node = ObjectKey::cluster(Kind::Node, "n2");
    let node = api(&lab.socket(), async |client| client.object(&node).await).unwrap();
    let address = node.value.pointer("/status/addresses/0");
    assert_eq!(
        address,
        Some(&json!({ "type": "InternalIP", "address": "10.64.0.2" }))
    );
    lab.down().unwrap();
}

fn a_label_changes_nothing_that_runs() {
    let home = Home::new();
    let lab = home.up(&options("p2", &cluster()));
    let before = pod(&lab.status().unwrap(), "sleeper").clone();
    patch(
        &lab,
        "default",
        "sleeper",
        &json!({ "metadata": { "labels": { "app": "other" } } }),
    );
    // A later change that shows proves that the earlier one was taken in.
    patch(
        &lab,
        "default",
        "quiet",
        &json!({ "metadata": { "annotations": { "lab.oncilla/listen": "tcp/1" } } }),
    );
    until(&lab, "quiet", |pod| pod.listens == ["tcp/1"]);
    assert_eq!(*pod(&lab.status().unwrap(), "sleeper"), before);
    // A service's name follows the labels.
    patch(
        &lab,
        "production",
        "frontend",
        &json!({ "metadata": { "labels": { "app": "backend" } } }),
    );
    wait_for("the service's second address", || {
        let text = home.text("p2", "production/frontend", &["cat", "/etc/hosts"]);
        let lines = text.lines().filter(|line| line.contains(" backend "));
        (lines.count() == 4).then_some(())
    });
    lab.down().unwrap();
}

fn changed_ports_are_served_and_deleted_pods_go() {
    let home = Home::new();
    let lab = home.up(&options("p3", &cluster()));
    let before = pod(&lab.status().unwrap(), "frontend").clone();
    let ports = json!([{ "containerPort": 80 }, { "containerPort": 81 }]);
    let containers = json!([{ "name": "c", "image": "nginx", "ports": ports }]);
    patch(
        &lab,
        "production",
        "frontend",
        &json!({ "spec": { "containers": containers } }),
    );
    let after = until(&lab, "frontend", |pod| pod.listens == ["tcp/80", "tcp/81"]);
    assert_eq!(after.addresses, before.addresses);
    let key = ObjectKey::namespaced(Kind::Pod, "default", "sleeper");
    let node = pod(&lab.status().unwrap(), "sleeper").clone();
    let place = format!("node:{}", node.node);
    let links = home.text("p3", &place, &["ip", "-o", "link"]);
    assert!(links.contains(&node.interface), "{links}");
    api(&lab.socket(), async |client| {
        client.delete(&key, None).await
    })
    .unwrap();
    wait_for("the end of the pod", || {
        let status = lab.status().unwrap();
        status
            .pods
            .iter()
            .all(|pod| pod.name != "sleeper")
            .then_some(())
    });
    let links = home.text("p3", &place, &["ip", "-o", "link"]);
    assert!(!links.contains(&node.interface), "{links}");
    let running = home.text(
        "p3",
        &place,
        &["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"],
    );
    assert!(!running.contains("sleep 100000"), "{running}");
    lab.down().unwrap();
}

fn programs_run_restart_and_end() {
    let home = Home::new();
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: { name: once }
spec:
  restartPolicy: Never
  containers: [{ name: c, image: x, command: [sh, -c, "echo $WORD; ip -4 -br addr | grep -o '10[.]65[.].*'; exit 0"], env: [{ name: WORD, value: hi }] }]
---
apiVersion: v1
kind: Pod
metadata: { name: fails }
spec: { restartPolicy: Never, containers: [{ name: c, image: x, command: [sh, -c, "exit 3"] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: again }
spec: { containers: [{ name: c, image: x, command: [sh, -c, "exec sleep 100000"] }] }
"#;
    let lab = home.up(&options("p4", &objects(manifest)));
    until(&lab, "once", |pod| pod.phase == "Succeeded");
    let note = until(&lab, "fails", |pod| pod.phase == "Failed")
        .notes
        .join("");
    let status = lab.status().unwrap();
    assert!(note.contains("exit code 3"), "{note}");
    let said = std::fs::read_to_string(lab.logs().join("pod-default-once-c.log")).unwrap();
    assert!(said.starts_with("hi\n10.65."), "{said}");
    let first = pod(&status, "again").pids.clone();
    let pid = first.first().unwrap().to_string();
    home.text("p4", "again", &["sh", "-c", &format!("kill -KILL {pid}")]);
    let after = until(&lab, "again", |pod| pod.ready && pod.pids != first);
    assert!(after.notes.join("").contains("signal 9"), "{after:?}");
    lab.down().unwrap();
}

fn a_readiness_probe_is_waited_for() {
    let home = Home::new();
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: { name: late }
spec:
  containers:
    - name: c
      image: x
      command: [sh, -c, "exec sleep 100000"]
      ports: [{ name: web, containerPort: 7000 }]
      readinessProbe: { tcpSocket: { port: web } }
"#;
    let lab = home.up(&options("p5", &[]));
    let object = objects(manifest).remove(0);
    let socket = lab.socket();
    api(&socket, async |client| {
        client.create(&object.key(), &object.to_value()).await
    })
    .unwrap();
    let found = until(&lab, "late", |pod| !pod.pids.is_empty());
    assert!(
        !found.ready
            && found.notes
                == [
                    "its readiness probe has not succeeded yet",
                    "nothing listens on tcp/7000"
                ],
        "{found:?}"
    );
    // Somebody opens the port.
    patch(
        &lab,
        "default",
        "late",
        &json!({ "metadata": { "annotations": { "lab.oncilla/listen": "tcp/7000" } } }),
    );
    let found = until(&lab, "late", |pod| pod.ready);
    assert_eq!(found.notes, [] as [&str; 0], "it is served by now");
    lab.down().unwrap();
}

fn a_container_that_ends_again_and_again_is_named_with_its_last_words() {
    let home = Home::new();
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: { name: crash }
spec: { containers: [{ name: c, image: x, command: [sh, -c, "echo working; echo no such table >&2; exit 3"] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: quiet }
spec: { containers: [{ name: c, image: pause }] }
"#;
    let mut options = options("p7", &objects(manifest));
    options.ready_timeout = Duration::from_secs(4);
    let mut said = Vec::new();
    let up = home
        .labs
        .up(&options, &mut |text| said.push(text.to_owned()));
    let Err(LabError::Failed { message, .. }) = up else {
        panic!("{up:?}")
    };
    let named = "waiting for 1 of 2 pods: default/crash (container c ended with exit code 3, its last words: no such table)";
    assert_eq!(message, format!("not ready in time, still {named}"));
    // Each line once: that it is started again is no news.
    let told = said.iter().filter(|text| *text == named).count();
    assert_eq!(told, 1, "{said:?}");
    let mut once = said.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), said.len(), "{said:?}");
    crate::census::assert_empty(home.folder.path());
}

fn a_container_that_ended_once_is_believed_in_when_it_runs() {
    let home = Home::new();
    let mark = home.folder.path().join("mark");
    let script = format!("mkdir {} && exit 1; exec sleep 100000", mark.display());
    let manifest = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "once" },
        "spec": { "containers": [{ "name": "c", "image": "x", "command": ["sh", "-c", script] }] },
    });
    let lab = home.up(&options("p8", &objects(&manifest.to_string())));
    // It may have run for a moment when the lab looked: then it ends only now.
    until(&lab, "once", |pod| {
        pod.notes.join("; ").contains("started 2 times")
    });
    lab.down().unwrap();
}

fn a_pod_that_cannot_run_fails_the_lab() {
    let home = Home::new();
    for (manifest, words) in [
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: n9, containers: [{name: c, image: x}]}}",
            "pod default/a cannot run: node \"n9\" is not in this lab, which has n1 to n2",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {lab.oncilla/ips: 10.64.0.1}}, spec: {containers: [{name: c, image: x}]}}",
            "address 10.64.0.1 is already node:n1's",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: nowhere}, spec: {containers: [{name: c, image: x}]}}",
            "Pod nowhere/a",
        ),
    ] {
        let up = home
            .labs
            .up(&options("p6", &objects(manifest)), &mut |_| {});
        let Err(LabError::Failed { message, .. }) = up else {
            panic!("{up:?}")
        };
        assert!(message.contains(words), "{message}");
        crate::census::assert_empty(home.folder.path());
    }
}
