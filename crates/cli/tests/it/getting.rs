//! `get`: tables, names, JSON, YAML, and closed pipes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use oncilla_api::manifest::{Limits, decode};
use oncilla_api::{Kind, ObjectKey};
use serde_json::{Value, json};

use super::cluster::Cluster;

const OBJECTS: &str = "\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: deny, namespace: default}
spec: {order: 10, selector: app == 'web', types: [Ingress]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: all}
spec: {selector: all(), types: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: same, namespace: default}
spec: {podSelector: {}}
---
apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: five, namespace: default, labels: {on: 'yes'}}
spec: {nets: [10.0.0.0/8, 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, 'fd00::/8']}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}, annotations: {note: \"two\\nlines: #1\"}}
spec: {nodeName: n1, containers: [{name: web, image: web, ports: [{containerPort: 80}]}]}
";

fn filled() -> Cluster {
    let cluster = Cluster::new();
    cluster.applied(OBJECTS);
    let key = ObjectKey::namespaced(Kind::Pod, "default", "web");
    let mut pod = cluster.store.object(&key).unwrap().unwrap().value;
    pod["status"] = json!({
        "phase": "Running",
        "podIP": "10.65.1.2",
        "podIPs": [{ "ip": "10.65.1.2" }, { "ip": "fd00:1::2" }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    });
    cluster.store.update(&key, None, pod).unwrap();
    cluster
}

#[test]
fn tables_are_kubectls() {
    let cluster = filled();
    for (words, expected) in [
        (
            "get pods",
            "NAME   READY   STATUS    IP                    NODE   AGE\n\
             web    1/1     Running   10.65.1.2,fd00:1::2   n1     3d\n",
        ),
        (
            "get tiers",
            "NAME            ORDER      DEFAULT-ACTION   AGE\n\
             default         1000000    Deny             3d\n\
             kube-admin      1000       Pass             3d\n\
             kube-baseline   10000000   Pass             3d\n",
        ),
        (
            "get np -A -o wide",
            "NAMESPACE   NAME   TIER      ORDER   AGE   TYPES     SELECTOR\n\
             default     deny   default   10      3d    Ingress   app == 'web'\n",
        ),
        (
            "get networksets",
            "NAME   NETS                                         AGE\n\
             five   10.0.0.0/8,10.1.0.0/16,10.2.0.0/16 + 2 more   3d\n",
        ),
        (
            "get po,netset",
            "NAME      READY   STATUS    IP                    NODE   AGE\n\
             pod/web   1/1     Running   10.65.1.2,fd00:1::2   n1     3d\n\n\
             NAME                                NETS                                          AGE\n\
             networkset.projectcalico.org/five   10.0.0.0/8,10.1.0.0/16,10.2.0.0/16 + 2 more   3d\n",
        ),
        ("get po/web -o name", "pod/web\n"),
        (
            "get all -o name",
            "pod/web\nnetworkset.projectcalico.org/five\nglobalnetworkpolicy.projectcalico.org/all\n\
             networkpolicy.projectcalico.org/deny\nnetworkpolicy.networking.k8s.io/same\n",
        ),
    ] {
        let said = cluster.run(words);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words}");
        let squeeze = |text: &str| {
            let lines = text
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(
            squeeze(&said.out),
            squeeze(expected),
            "{words}\n{}",
            said.out
        );
        assert!(
            said.out.lines().all(|line| line.trim_end() == line),
            "{}",
            said.out
        );
    }
}

#[test]
fn json_and_yaml_read_back_as_the_same_object() {
    let cluster = filled();
    let said = cluster.run("get pod web -o json");
    let one: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&one["apiVersion"], &one["kind"]),
        (&json!("v1"), &json!("Pod"))
    );
    let said = cluster.run("get pods -o json");
    let list: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&list["kind"], &list["items"][0]), (&json!("List"), &one));
    for (words, kind) in [
        ("get pod web -o yaml", Kind::Pod),
        ("get netset five -o yaml", Kind::NetworkSet),
    ] {
        let yaml = cluster.run(words).out;
        assert_eq!(yaml, cluster.run(words).out, "stable");
        let manifest = decode("out.yaml", yaml.as_bytes(), &Limits::default());
        assert_eq!(manifest.diagnostics, [], "{yaml}");
        let object = &manifest.objects[0].object;
        assert_eq!(object.kind(), kind);
        let stored = cluster.store.object(&object.key()).unwrap().unwrap();
        let stored = oncilla_api::Object::decode(kind, stored.value).unwrap();
        assert_eq!(
            object.metadata().annotations,
            stored.metadata().annotations,
            "{yaml}"
        );
        assert_eq!(object.metadata().labels, stored.metadata().labels, "{yaml}");
        assert_eq!(
            object.to_value()["spec"],
            stored.to_value()["spec"],
            "{yaml}"
        );
    }
    let empty: Value = serde_json::from_str(&cluster.run("get svc -o json").out).unwrap();
    assert_eq!(empty["items"], json!([]));
}

#[test]
fn nothing_found_is_no_error_and_a_missing_name_is() {
    let cluster = filled();
    let said = cluster.run("get services");
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert_eq!(said.err, "No resources found in default namespace.\n");
    assert_eq!(cluster.run("get services -A").err, "No resources found.\n");
    let said = cluster.run("get pod wbe");
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert_eq!(
        said.err,
        "error: pod default/wbe not found\nhelp: did you mean default/web?\n"
    );
    let said = cluster.run("get pod other/web");
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("did you mean default/web?"),
        "{}",
        said.err
    );
    let said = cluster.run("get pdos");
    assert_eq!(
        (said.code, said.err.as_str()),
        (2, "error: unknown kind \"pdos\": did you mean pods?\n")
    );
}

#[test]
fn a_closed_pipe_is_the_end_and_no_error() {
    let cluster = filled();
    // Far more than a pipe holds.
    let nets: Vec<String> = (0..40_000)
        .map(|n| format!("10.{}.{}.0/24", n / 256, n % 256))
        .collect();
    cluster.applied(&format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: big}}\nspec: {{nets: [{}]}}\n",
        nets.join(", ")
    ));
    for words in [
        "get gns big -o yaml",
        "get gns big -o json",
        "get gns -o wide",
    ] {
        let mut command = cluster.command(words);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = Vec::new();
        let mut reader = BufReader::with_capacity(64, child.stdout.take().unwrap());
        reader.read_until(b'\n', &mut first).unwrap();
        assert!(!first.is_empty());
        drop(reader);
        let code = child.wait().unwrap().code();
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert_eq!((code, err.as_str()), (Some(0), ""), "{words}");
    }
}

#[test]
fn whoever_answers_into_a_pipe_that_nobody_reads_ends_with_the_answers_code() {
    let cluster = filled();
    for (words, code) in [
        ("get pods", 0),
        ("get pods -o name", 0),
        ("describe pod web", 0),
        ("why default/web 203.0.113.9 tcp/443", 1),
        ("why default/web 203.0.113.9 tcp/443 -o json", 1),
        // No node is there.
        ("status", 1),
        ("status -o yaml", 1),
        ("delete gnp all", 0),
        ("why default/web 203.0.113.9 tcp/443", 0),
        ("version", 0),
        ("--help", 0),
        ("completion bash", 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = cluster.command(words);
        command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), err.as_str()),
            (Some(code), ""),
            "{words}"
        );
    }
}
