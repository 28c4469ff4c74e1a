//! What the server adds, keeps and protects.

use serde_json::{Value, json};

use super::server::{PODS, SETS, Served, namespace, pod, set};

const TIERS: &str = "/apis/projectcalico.org/v3/tiers";
const GLOBAL_POLICIES: &str = "/apis/projectcalico.org/v3/globalnetworkpolicies";
const POLICIES: &str = "/apis/projectcalico.org/v3/namespaces/default/networkpolicies";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

fn tier(name: &str) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "Tier",
        "metadata": { "name": name },
        "spec": { "order": 100 },
    })
}

fn policy(kind: &str, name: &str, tier: &str) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": { "name": name },
        "spec": { "tier": tier, "selector": "all()" },
    })
}

#[test]
fn built_in_objects_are_there_and_stay() {
    let mut served = Served::new();
    let (code, tiers) = served.get(TIERS);
    assert_eq!(code, 200);
    assert_eq!(tiers["kind"], "TierList");
    assert_eq!(names(&tiers), ["default", "kube-admin", "kube-baseline"]);
    for (name, order, action) in [
        ("default", 1_000_000, "Deny"),
        ("kube-admin", 1000, "Pass"),
        ("kube-baseline", 10_000_000, "Pass"),
    ] {
        let path = format!("{TIERS}/{name}");
        let spec = served.get(&path).1["spec"].clone();
        assert_eq!(spec["order"].as_f64(), Some(f64::from(order)), "{name}");
        assert_eq!(spec["defaultAction"], action, "{name}");
        let (code, status) = served.delete(&path);
        assert_eq!(
            (code, &status["reason"]),
            (403, &json!("Forbidden")),
            "{status}"
        );
        let message = status["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("The built-in tier {name:?} cannot be deleted")),
            "{message}"
        );
    }
    let (code, status) = served.delete("/api/v1/namespaces/default");
    assert_eq!(code, 403, "{status}");
    // A restart makes nothing twice and writes nothing.
    let before = served.store.revision().unwrap();
    served.stop();
    served.start();
    assert_eq!(served.store.revision().unwrap(), before);
}

#[test]
fn a_namespace_brings_its_label_and_service_account() {
    let served = Served::new();
    let made = served.made("/api/v1/namespaces", &namespace("web"));
    let label = "kubernetes.io/metadata.name";
    assert_eq!(made["metadata"]["labels"][label], "web");
    let account = "/api/v1/namespaces/web/serviceaccounts/default";
    assert_eq!(served.get(account).0, 200);
    assert_eq!(
        served
            .get("/api/v1/namespaces/default/serviceaccounts/default")
            .0,
        200
    );
    // Neither can be taken away.
    let patch = json!({ "metadata": { "labels": { label: null, "a": "b" } } });
    let (code, patched) = served.patch("/api/v1/namespaces/web", &patch);
    assert_eq!(code, 200, "{patched}");
    assert_eq!(
        patched["metadata"]["labels"],
        json!({ "a": "b", label: "web" })
    );
    let first = served.get(account).1["metadata"]["uid"].clone();
    assert_eq!(served.delete(account).0, 200);
    let second = served.get(account).1["metadata"]["uid"].clone();
    assert!(second.is_string() && first != second);
}

#[test]
fn a_deleted_namespace_takes_everything_along() {
    let served = Served::new();
    served.made("/api/v1/namespaces", &namespace("web"));
    served.made("/api/v1/namespaces/web/pods", &pod("one"));
    served.made(PODS, &pod("other"));
    let sets = "/apis/projectcalico.org/v3/namespaces/web/networksets";
    let mut inside = set("inside", "10.0.0.0/8");
    inside["metadata"]["namespace"] = "web".into();
    served.made(sets, &inside);
    let (code, trial) = served.delete("/api/v1/namespaces/web?dryRun=All");
    assert_eq!(code, 200, "{trial}");
    assert_eq!(names(&served.get("/api/v1/namespaces/web/pods").1), ["one"]);
    let (code, gone) = served.delete("/api/v1/namespaces/web");
    assert_eq!(
        (code, &gone["metadata"]["name"]),
        (200, &json!("web")),
        "{gone}"
    );
    assert_eq!(served.get("/api/v1/namespaces/web").0, 404);
    assert_eq!(names(&served.get("/api/v1/pods").1), ["other"]);
    assert_eq!(names(&served.get(sets).1), [""; 0]);
    assert_eq!(names(&served.get("/api/v1/serviceaccounts").1), ["default"]);
    served.made("/api/v1/namespaces", &namespace("web"));
    assert_eq!(names(&served.get("/api/v1/namespaces/web/pods").1), [""; 0]);
}

#[test]
fn policies_need_their_tier() {
    let served = Served::new();
    for (path, kind) in [
        (GLOBAL_POLICIES, "GlobalNetworkPolicy"),
        (POLICIES, "NetworkPolicy"),
    ] {
        let (code, status) = served.post(path, &policy(kind, "p", "securty"));
        assert_eq!(
            (code, &status["reason"]),
            (422, &json!("Invalid")),
            "{status}"
        );
        let cause = &status["details"]["causes"][0];
        assert_eq!(cause["field"], "spec.tier");
        let message = cause["message"].as_str().unwrap();
        assert!(
            message.contains("tier \"securty\" does not exist"),
            "{message}"
        );
        assert!(
            message.contains("default, kube-admin, kube-baseline"),
            "{message}"
        );
    }
    served.made(TIERS, &tier("security"));
    served.made(POLICIES, &policy("NetworkPolicy", "p", "security"));
    let path = format!("{POLICIES}/p");
    let (code, status) = served.patch(&path, &json!({ "spec": { "tier": "nowhere" } }));
    assert_eq!(code, 422, "{status}");
    let (code, status) = served.delete(&format!("{TIERS}/security"));
    assert_eq!(
        (code, &status["reason"]),
        (403, &json!("Forbidden")),
        "{status}"
    );
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("Cannot delete a non-empty tier"),
        "{message}"
    );
    assert!(
        message.contains("networkpolicies.projectcalico.org \"default/p\""),
        "{message}"
    );
    assert_eq!(
        served
            .patch(&path, &json!({ "spec": { "tier": "default" } }))
            .0,
        200
    );
    assert_eq!(served.delete(&format!("{TIERS}/security")).0, 200);
}

#[test]
fn staged_policies_need_their_tier_and_keep_it() {
    let served = Served::new();
    served.made(TIERS, &tier("security"));
    for (path, kind, named) in [
        (
            "/apis/projectcalico.org/v3/stagedglobalnetworkpolicies",
            "StagedGlobalNetworkPolicy",
            "stagedglobalnetworkpolicies.projectcalico.org \"p\"",
        ),
        (
            "/apis/projectcalico.org/v3/namespaces/default/stagednetworkpolicies",
            "StagedNetworkPolicy",
            "stagednetworkpolicies.projectcalico.org \"default/p\"",
        ),
    ] {
        let (code, status) = served.post(path, &policy(kind, "p", "securty"));
        assert_eq!(code, 422, "{status}");
        assert_eq!(status["details"]["causes"][0]["field"], "spec.tier");
        let made = served.made(path, &policy(kind, "p", "security"));
        assert_eq!(made["spec"]["stagedAction"], "Set");
        let (code, status) = served.delete(&format!("{TIERS}/security"));
        let message = status["message"].as_str().unwrap();
        assert!(code == 403 && message.contains(named), "{message}");
        let (code, listed) = served.get(&format!("{path}?fieldSelector=spec.tier%3Dsecurity"));
        assert_eq!((code, names(&listed)), (200, vec!["p"]));
        assert_eq!(served.delete(&format!("{path}/p")).0, 200);
    }
    assert_eq!(served.delete(&format!("{TIERS}/security")).0, 200);
    let path = "/apis/projectcalico.org/v3/namespaces/default/stagedkubernetesnetworkpolicies";
    let mut sknp = policy("StagedKubernetesNetworkPolicy", "p", "");
    sknp["spec"] = json!({ "egress": [{}] });
    let made = served.made(path, &sknp);
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    sknp["spec"]["stagedAction"] = "Delete".into();
    let (code, status) = served.post(path, &sknp);
    assert_eq!(code, 422, "{status}");
    // It is in the tier `default`, which nobody can delete.
    assert_eq!(served.delete(&format!("{TIERS}/default")).0, 403);
}

#[test]
fn the_server_writes_its_own_metadata() {
    let served = Served::new();
    let mut sent = set("one", "10.0.0.0/8");
    sent["metadata"]["uid"] = "mine".into();
    sent["metadata"]["generation"] = 77.into();
    sent["metadata"]["creationTimestamp"] = "1999-01-01T00:00:00Z".into();
    let made = served.made(SETS, &sent);
    let metadata = &made["metadata"];
    assert_eq!(metadata["creationTimestamp"], "2027-01-15T08:00:00Z");
    assert_eq!(metadata["generation"], 1);
    let uid = metadata["uid"].as_str().unwrap();
    assert_eq!(uid.len(), 36, "{uid}");
    assert!(
        metadata["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    let path = format!("{SETS}/one");
    // Labels are no specification.
    let (_, labelled) = served.patch(&path, &json!({ "metadata": { "labels": { "a": "b" } } }));
    assert_eq!(labelled["metadata"]["generation"], 1);
    let (_, changed) = served.put(&path, &set("one", "11.0.0.0/8"));
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(changed["metadata"]["uid"], uid);
    assert_eq!(
        changed["metadata"]["creationTimestamp"],
        "2027-01-15T08:00:00Z"
    );
    assert_eq!(changed["metadata"].get("labels"), None, "a PUT replaces");
    // The same again is no write.
    let (code, same) = served.put(&path, &set("one", "11.0.0.0/8"));
    assert_eq!(code, 200);
    assert_eq!(
        same["metadata"]["resourceVersion"],
        changed["metadata"]["resourceVersion"]
    );
    // A generated name.
    let mut nameless = set("", "10.0.0.0/8");
    nameless["metadata"] = json!({ "generateName": "auto-" });
    let made = served.made(SETS, &nameless);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("auto-") && name.len() == 10, "{name}");
}

#[test]
fn status_is_written_apart() {
    let served = Served::new();
    let mut sent = pod("one");
    sent["status"] = json!({ "podIP": "6.6.6.6", "phase": "Running" });
    let made = served.made(PODS, &sent);
    assert_eq!(made["status"]["phase"], "Pending", "{made}");
    assert_eq!(made["status"].get("podIP"), None, "{made}");
    let path = format!("{PODS}/one");
    let report = json!({
        "metadata": { "labels": { "app": "forged" } },
        "spec": { "nodeName": "forged" },
        "status": { "phase": "Running", "podIP": "10.0.0.7", "podIPs": [{ "ip": "10.0.0.7" }] },
    });
    let (code, reported) = served.patch(&format!("{path}/status"), &report);
    assert_eq!(code, 200, "{reported}");
    assert_eq!(reported["status"]["podIP"], "10.0.0.7");
    assert_eq!(reported["metadata"]["labels"]["app"], "one");
    assert_eq!(reported["spec"].get("nodeName"), None);
    assert_eq!(reported["metadata"]["generation"], 1);
    // The main resource leaves the status alone.
    let patch = json!({ "spec": { "nodeName": "n1" }, "status": { "podIP": "6.6.6.6" } });
    let (code, bound) = served.patch(&path, &patch);
    assert_eq!(code, 200, "{bound}");
    assert_eq!(bound["status"]["podIP"], "10.0.0.7");
    assert_eq!(bound["spec"]["nodeName"], "n1");
    let (code, replaced) = served.put(&path, &pod("one"));
    assert_eq!(code, 200, "{replaced}");
    assert_eq!(replaced["status"]["podIP"], "10.0.0.7");
    let (code, read) = served.get(&format!("{path}/status"));
    assert_eq!((code, &read["status"]["podIP"]), (200, &json!("10.0.0.7")));
}

#[test]
fn a_dry_run_checks_and_stores_nothing() {
    let served = Served::new();
    served.made(SETS, &set("one", "10.0.0.0/8"));
    let before = served.store.revision().unwrap();
    let dry = |path: &str| format!("{path}?dryRun=All");
    let (code, made) = served.post(&dry(SETS), &set("two", "10.0.0.0/8"));
    assert_eq!((code, &made["metadata"]["name"]), (201, &json!("two")));
    let path = format!("{SETS}/one");
    let (code, put) = served.put(&dry(&path), &set("one", "11.0.0.0/8"));
    assert_eq!((code, &put["spec"]["nets"][0]), (200, &json!("11.0.0.0/8")));
    assert_eq!(
        served
            .patch(&dry(&path), &json!({ "spec": { "nets": [] } }))
            .0,
        200
    );
    assert_eq!(served.delete(&dry(&path)).0, 200);
    assert_eq!(
        served
            .post(&dry("/api/v1/namespaces"), &namespace("trial"))
            .0,
        201
    );
    assert_eq!(served.store.revision().unwrap(), before);
    // What a real write would be refused for, a trial is too.
    assert_eq!(served.post(&dry(SETS), &set("one", "10.0.0.0/8")).0, 409);
    assert_eq!(served.post(&dry(SETS), &set("two", "nonsense")).0, 422);
    assert_eq!(served.delete(&dry(&format!("{SETS}/none"))).0, 404);
}
