//! Wire forms: discovery, lists, selectors, watches as bytes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::server::{PODS, SETS, Served, pod, set};

#[test]
fn discovery_names_every_kind() {
    let served = Served::new();
    assert_eq!(served.get("/version").1["major"], "1");
    assert_eq!(served.get("/api").1["versions"], json!(["v1"]));
    let groups = served.get("/apis").1;
    assert_eq!(groups["kind"], "APIGroupList");
    let named: Vec<&str> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        named,
        [
            "discovery.k8s.io",
            "networking.k8s.io",
            "policy.networking.k8s.io",
            "projectcalico.org"
        ]
    );
    assert_eq!(served.get("/apis/projectcalico.org").1["kind"], "APIGroup");
    let core = served.get("/api/v1").1;
    assert_eq!(
        (&core["kind"], &core["groupVersion"]),
        (&json!("APIResourceList"), &json!("v1"))
    );
    let resources = core["resources"].as_array().unwrap();
    let names: Vec<&str> = resources
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    for name in [
        "namespaces",
        "pods",
        "pods/status",
        "nodes/status",
        "services",
        "serviceaccounts",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let calico = served.get("/apis/projectcalico.org/v3").1;
    let policies = calico["resources"].as_array().unwrap();
    let policies = policies
        .iter()
        .find(|r| r["name"] == "networkpolicies")
        .unwrap();
    assert_eq!(policies["namespaced"], true);
    assert_eq!(policies["kind"], "NetworkPolicy");
    for path in ["/apis/nobody", "/apis/projectcalico.org/v9", "/api/v2"] {
        assert_eq!(served.get(path).0, 404, "{path}");
    }
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(served.get(path).0, 200, "{path}");
    }
}

#[test]
fn lists_are_kubernetes_lists() {
    let served = Served::new();
    for (name, tier) in [("a", "web"), ("b", "web"), ("c", "db")] {
        let mut pod = pod(name);
        pod["metadata"]["labels"] = json!({ "tier": tier, "name": name });
        served.made(PODS, &pod);
    }
    let (code, list) = served.get(PODS);
    assert_eq!(
        (code, &list["kind"], &list["apiVersion"]),
        (200, &json!("PodList"), &json!("v1"))
    );
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(revision, served.store.revision().unwrap().to_string());
    let found = |query: &str| -> String {
        let (code, list) = served.get(&format!("/api/v1/pods?{query}"));
        assert_eq!(code, 200, "{list}");
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap())
            .collect()
    };
    for (query, expected) in [
        ("", "abc"),
        ("labelSelector=tier%3Dweb", "ab"),
        ("labelSelector=tier%3D%3Dweb,name!%3Da", "b"),
        ("labelSelector=tier+in+(db,web),name+notin+(a,b)", "c"),
        ("labelSelector=tier,!missing", "abc"),
        ("labelSelector=missing", ""),
        ("labelSelector=missing!%3Dx", "abc"),
        ("fieldSelector=metadata.name%3Db", "b"),
        (
            "fieldSelector=metadata.name!%3Db,metadata.namespace%3Ddefault",
            "ac",
        ),
        ("fieldSelector=spec.nodeName%3D", "abc"),
        ("limit=500&resourceVersion=0", "abc"),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
}

/// Opens a watch by hand and returns its lines as they come.
async fn open(served: &Served, path: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(served.socket()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(stream)
}

/// The next line that is JSON; the lines between are the head and the chunks' sizes.
async fn event(stream: &mut BufReader<UnixStream>) -> Value {
    loop {
        let mut line = String::new();
        let read = timeout(Duration::from_secs(20), stream.read_line(&mut line));
        assert_ne!(
            read.await.expect("an event in time").unwrap(),
            0,
            "the watch ended"
        );
        if line.starts_with('{') {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

#[test]
fn watches_are_lines_of_events() {
    let served = Served::new();
    let labelled = |value: &str| json!({ "metadata": { "labels": { "show": value } } });
    served.made(SETS, &set("one", "10.0.0.0/8"));
    let revision = served.store.revision().unwrap();
    let mut plain = served.runtime.block_on(open(
        &served,
        &format!("{SETS}?watch=1&resourceVersion={revision}"),
    ));
    let query = format!(
        "{SETS}?watch=true&resourceVersion={revision}&labelSelector=show%3Dyes&allowWatchBookmarks=true"
    );
    let mut selected = served.runtime.block_on(open(&served, &query));
    let path = format!("{SETS}/one");
    let next = |stream: &mut BufReader<UnixStream>| served.runtime.block_on(event(stream));
    assert_eq!(next(&mut selected)["type"], "BOOKMARK");
    served.patch(&path, &labelled("yes"));
    served.patch(&path, &json!({ "spec": { "nets": ["11.0.0.0/8"] } }));
    served.patch(&path, &labelled("no"));
    served.patch(&path, &labelled("yes"));
    let last = served.delete(&path).1["metadata"]["resourceVersion"].clone();
    // Without bookmarks, exactly the changes.
    for expected in ["MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"] {
        assert_eq!(next(&mut plain)["type"], expected);
    }
    // With a selector, an object enters and leaves the view.
    let mut seen = Vec::new();
    let deleted = loop {
        let event = next(&mut selected);
        match event["type"].as_str().unwrap() {
            "BOOKMARK" => {}
            what => seen.push(what.to_owned()),
        }
        if seen.len() == 5 {
            break event;
        }
    };
    assert_eq!(seen, ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]);
    assert_eq!(deleted["object"]["metadata"]["resourceVersion"], last);
    assert_eq!(deleted["object"]["kind"], "NetworkSet");
    // A write to another kind brings a bookmark, soon and without being asked.
    served.made(PODS, &pod("x"));
    let now = served.store.revision().unwrap().0;
    loop {
        let event = next(&mut selected);
        assert_eq!(event["type"], "BOOKMARK", "{event}");
        assert_eq!(event["object"]["kind"], "NetworkSet");
        let revision = &event["object"]["metadata"]["resourceVersion"];
        if revision.as_str().unwrap().parse::<u64>().unwrap() >= now {
            break;
        }
    }
}

#[test]
fn watches_end_when_asked_and_with_the_server() {
    let mut served = Served::new();
    let ended = |served: &Served, path: &str| served.get(path).0;
    // `get` reads to the end of the connection.
    assert_eq!(
        ended(&served, &format!("{SETS}?watch=1&timeoutSeconds=1")),
        200
    );
    let mut stream = served.runtime.block_on(open(
        &served,
        &format!("{SETS}?watch=1&resourceVersion=0&allowWatchBookmarks=1"),
    ));
    assert_eq!(
        served.runtime.block_on(event(&mut stream))["type"],
        "BOOKMARK"
    );
    served.stop();
}
