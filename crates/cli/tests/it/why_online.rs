//! `oncilla why` about a running cluster: nodes, forms of the answer, and what the server has that nobody understands.

use oncilla_api::{Kind, ObjectKey};
use serde_json::{Value, json};

use super::cluster::Cluster;

const OBJECTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: db, image: db}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: closed}
spec: {selector: app == 'db', types: [Ingress]}
";

/// Two pods on node n1 (192.0.2.1); nobody reaches the database.
fn running() -> Cluster {
    let cluster = Cluster::new();
    cluster.applied(OBJECTS);
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] },
    });
    let key = ObjectKey::cluster(Kind::Node, "n1");
    cluster.store.create(&key, node).unwrap();
    for (number, name) in (2..).zip(["web", "db"]) {
        let key = ObjectKey::namespaced(Kind::Pod, "default", name);
        let mut pod = cluster.store.object(&key).unwrap().unwrap().value;
        let address = format!("10.65.1.{number}");
        pod["status"] =
            json!({ "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] });
        cluster.store.update(&key, None, pod).unwrap();
    }
    cluster
}

#[test]
fn the_exit_code_is_the_verdict() {
    let cluster = running();
    for (question, code, first) in [
        (
            "web db tcp/5432",
            1,
            "DENY   default/web (10.65.1.2, node n1) -> default/db (10.65.1.3, node n1) tcp/5432",
        ),
        (
            "db web tcp/80",
            0,
            "ALLOW  default/db (10.65.1.3, node n1) -> default/web (10.65.1.2, node n1) tcp/80",
        ),
        (
            "web node:n1 tcp/22",
            0,
            "ALLOW  default/web (10.65.1.2, node n1) -> ",
        ),
        ("node:n1 web tcp/80", 0, "ALLOW  "),
    ] {
        let said = cluster.run(&format!("why {question}"));
        assert_eq!((said.code, said.err.as_str()), (code, ""), "{said:?}");
        assert!(said.out.starts_with(first), "{first}\n{}", said.out);
    }
    let said = cluster.run("why web node:n2 tcp/22");
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(
        said.err
            .contains("there is no node n2: did you mean node:n1?"),
        "{said:?}"
    );
}

#[test]
fn yaml_says_what_json_says() {
    let cluster = running();
    let [yaml, json] =
        ["yaml", "json"].map(|form| cluster.run(&format!("why web db tcp/5432 -o {form}")));
    assert_eq!((yaml.code, json.code), (1, 1), "{yaml:?}");
    assert!(yaml.out.starts_with("verdict: deny\n"), "{}", yaml.out);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    let same: Value = serde_saphyr::from_str(&yaml.out).unwrap();
    assert_eq!(same, value);
}

/// Puts an object into the store that the server would have refused.
fn broken(cluster: &Cluster, kind: Kind, namespace: &str, name: &str) {
    let (key, place) = if kind.namespaced() {
        let key = ObjectKey::namespaced(kind, namespace, name);
        (key, json!({ "name": name, "namespace": namespace }))
    } else {
        (ObjectKey::cluster(kind, name), json!({ "name": name }))
    };
    let value = json!({ "metadata": place, "spec": "this is no specification" });
    cluster.store.create(&key, value).unwrap();
}

#[test]
fn nobody_is_told_a_verdict_that_an_unreadable_object_may_change() {
    for (kind, name) in [
        (Kind::NetworkPolicy, "NetworkPolicy default/broken"),
        (Kind::GlobalNetworkPolicy, "GlobalNetworkPolicy broken"),
        (Kind::Tier, "Tier broken"),
        (Kind::GlobalNetworkSet, "GlobalNetworkSet broken"),
        (Kind::Pod, "Pod default/broken"),
    ] {
        let cluster = running();
        assert_eq!(cluster.run("why db web tcp/80").code, 0);
        broken(&cluster, kind, "default", "broken");
        for form in ["", "-o json", "-q"] {
            let said = cluster.run(&format!("why db web tcp/80 {form}"));
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
            assert!(said.err.starts_with("error: cannot say: "), "{said:?}");
            assert!(said.err.contains(name), "{name}: {said:?}");
        }
        // Deleting it makes the question answerable again.
        let resource = kind.singular();
        let group = if kind == Kind::NetworkPolicy {
            ".p"
        } else {
            ""
        };
        let said = cluster.run(&format!("delete {resource}{group} broken"));
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(cluster.run("why db web tcp/80").code, 0);
    }
}

#[test]
fn an_unreadable_object_that_cannot_matter_is_named_and_the_answer_given() {
    let cluster = running();
    broken(&cluster, Kind::NetworkPolicy, "other", "broken");
    broken(&cluster, Kind::Service, "default", "unasked");
    let said = cluster.run("why db web tcp/80 -o json");
    assert_eq!(said.code, 0, "{said:?}");
    let value: Value = serde_json::from_str(&said.out).unwrap();
    let notes = value["notes"].to_string();
    for name in ["Service default/unasked", "NetworkPolicy other/broken"] {
        assert!(notes.contains(name), "{name}: {notes}");
    }
    // An address may be that of a pod anywhere, and a service's name may mean it.
    for question in ["198.51.100.7 web tcp/80", "db default/unasked tcp/80"] {
        let said = cluster.run(&format!("why {question}"));
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains("cannot say"), "{said:?}");
    }
}
