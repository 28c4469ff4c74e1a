//! `status` with agents that only their reports know: what is not so is not said, in the text, the code and the JSON.

use oncilla_api::{Kind, ObjectKey};
use serde_json::{Value, json};

use super::cluster::{Cluster, Said, unix_ms};
use super::schema::Schema;

/// An agent's report of just now.
fn report(state: &str, revision: u64) -> Value {
    json!({
        "state": state, "revision": revision, "updated_unix_ms": unix_ms(), "pods": 1, "policies": 2,
        "tiers": 3, "problems": [], "problems_left_out": 0, "rss_bytes": 4096,
        "kernel": {
            "verified_ms_ago": 20, "repairs": 0, "last_change_us": 300, "writes": 1, "owns_table": true,
            "isolated": [], "tombstones": 0, "connections_cut": 0,
        },
    })
}

fn node(cluster: &Cluster, name: &str, report: Option<Value>) {
    let annotations = report.map(|report| json!({ "oncilla.io/agent": report.to_string() }));
    let metadata = json!({ "name": name, "annotations": annotations.unwrap_or_else(|| json!({})) });
    let key = ObjectKey::cluster(Kind::Node, name);
    let value = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata });
    cluster.store.create(&key, value).unwrap();
}

/// The revision of the newest object that is no node.
fn newest(cluster: &Cluster) -> u64 {
    let said = cluster.run("status -o json");
    serde_json::from_str::<Value>(&said.out).unwrap()["revision"]
        .as_u64()
        .unwrap()
}

fn first_line(said: &Said) -> &str {
    said.out.lines().next().unwrap_or_default()
}

#[test]
fn the_first_line_and_the_code_say_what_is_not_in_force() {
    for (state, lag, code, end) in [
        ("enforcing", 0, 0, ": all enforcing"),
        ("enforcing", 1, 1, ": 1 behind"),
        ("stopped", 0, 1, ": 1 NOT enforcing the store's policy"),
        ("stale", 0, 1, ": 1 NOT enforcing the store's policy"),
        ("starting", 0, 1, ": 1 NOT enforcing the store's policy"),
    ] {
        let cluster = Cluster::new();
        let revision = newest(&cluster);
        node(&cluster, "n1", Some(report(state, revision - lag)));
        for form in ["", "-q"] {
            let said = cluster.run(&format!("status {form}"));
            assert_eq!(said.code, code, "{state} {lag}: {said:?}");
            assert_eq!(
                first_line(&said),
                format!("1 node, 0 pods, rev {revision}{end}")
            );
        }
        let said = cluster.run("status -o json");
        let value: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((said.code, &value["healthy"]), (code, &(code == 0).into()));
    }
}

#[test]
fn pods_on_a_node_that_is_not_there_are_no_enforced_pods() {
    let cluster = Cluster::new();
    cluster.applied(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: lost}\n\
         spec: {nodeName: gone, containers: [{name: a, image: a}]}\n",
    );
    node(&cluster, "n1", Some(report("enforcing", newest(&cluster))));
    let said = cluster.run("status");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        first_line(&said).ends_with(": 1 pod on a node that is not there"),
        "{said:?}"
    );
    assert!(said.out.contains("node gone   MISSING"), "{}", said.out);
    assert!(said.out.contains("default/lost"), "{}", said.out);
}

#[test]
fn the_json_form_is_as_documented() {
    let schema = Schema::read("status");
    let cluster = Cluster::new();
    let status = || -> Value {
        let said = cluster.run("status -o json");
        assert_eq!(said.code, 1, "{said:?}");
        serde_json::from_str(&said.out).unwrap()
    };
    schema.assert(&status());
    cluster.applied(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: lost}\n\
         spec: {nodeName: gone, containers: [{name: a, image: a}]}\n",
    );
    let mut bad = report("stale", 1);
    bad["stale_since_unix_ms"] = json!(1);
    bad["problems"] = json!([{ "object": "Tier t", "message": "odd", "since_unix_ms": 1 }]);
    bad["kernel"]["isolated"] = json!([{ "group": "g", "message": "no" }]);
    node(&cluster, "n1", Some(bad));
    node(&cluster, "n2", None);
    node(&cluster, "n3", Some(json!("not a report")));
    let value = status();
    schema.assert(&value);
    assert_eq!(
        value["nodes"][0]["agent"]["kernel"]["isolated"][0]["group"],
        "g"
    );
    assert_eq!(value["nodes"][0]["agent"]["staleSinceUnixMs"], 1);
    assert_eq!(
        value["missingNodes"],
        json!([{ "name": "gone", "pods": ["default/lost"] }])
    );
    let wrong = json!({ "healthy": 1, "nodes": [{ "rss_bytes": 3 }] });
    assert!(
        schema.faults(&wrong).len() >= 6,
        "the check itself is blind"
    );
}
