//! Every refusal, in Kubernetes' words.

use oncilla_apiserver::BODY_BYTES_MAX;
use serde_json::{Value, json};

use super::server::{PODS, SETS, Served, namespace, pod, set};

fn refused(answer: (u16, Value), code: u16, reason: &str, part: &str) -> Value {
    let (found, status) = answer;
    assert_eq!(found, code, "{status}");
    assert_eq!(status["kind"], "Status", "{status}");
    assert_eq!(status["apiVersion"], "v1", "{status}");
    assert_eq!(status["status"], "Failure", "{status}");
    assert_eq!(status["code"], code, "{status}");
    assert_eq!(status["reason"], reason, "{status}");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains(part), "{message}");
    status
}

#[test]
fn unknown_paths_and_objects_are_404() {
    let served = Served::new();
    let nothing = "could not find the requested resource";
    for path in [
        "/nothing",
        "/api/v2/pods",
        "/api/v1/gadgets",
        "/apis/projectcalico.org/v1/tiers",
        "/apis/projectcalico.org/v3/tiers/x/status",
        "/api/v1/namespaces/default/pods/",
        "/api/v1/namespaces/default/namespaces",
        "/api/v1/pods/x",
        "/api/v1/namespaces/default/pods/%zz",
    ] {
        refused(served.get(path), 404, "NotFound", nothing);
    }
    let missing = served.get(&format!("{PODS}/none"));
    let status = refused(missing, 404, "NotFound", "pods \"none\" not found");
    assert_eq!(status["details"]["kind"], "pods");
    assert_eq!(status["details"]["name"], "none");
    let part = "networksets.projectcalico.org \"none\" not found";
    refused(served.get(&format!("{SETS}/none")), 404, "NotFound", part);
    refused(
        served.delete(&format!("{SETS}/none")),
        404,
        "NotFound",
        part,
    );
    refused(
        served.put(&format!("{SETS}/none"), &set("none", "10.0.0.0/8")),
        404,
        "NotFound",
        part,
    );
    refused(
        served.patch(&format!("{SETS}/none"), &json!({})),
        404,
        "NotFound",
        part,
    );
}

#[test]
fn conflicts_are_409() {
    let served = Served::new();
    let first = served.made(SETS, &set("one", "10.0.0.0/8"));
    let part = "networksets.projectcalico.org \"one\" already exists";
    refused(
        served.post(SETS, &set("one", "10.0.0.0/8")),
        409,
        "AlreadyExists",
        part,
    );
    let path = format!("{SETS}/one");
    let (code, _) = served.put(&path, &set("one", "11.0.0.0/8"));
    assert_eq!(code, 200);
    let part = "the object has been modified; please apply your changes to the latest version";
    // The object as it was first read.
    refused(served.put(&path, &first), 409, "Conflict", part);
    let stale = json!({ "metadata": { "resourceVersion": first["metadata"]["resourceVersion"] } });
    refused(served.patch(&path, &stale), 409, "Conflict", part);
    let options = json!({ "preconditions": stale["metadata"] }).to_string();
    let delete = format!("DELETE {path}");
    refused(
        served.send(&delete, Some("application/json"), &options),
        409,
        "Conflict",
        part,
    );
    let options = json!({ "preconditions": { "uid": "another" } }).to_string();
    let answer = served.send(&delete, Some("application/json"), &options);
    refused(answer, 409, "Conflict", "UID");
    let mut other = set("one", "11.0.0.0/8");
    other["metadata"]["uid"] = "another".into();
    refused(served.put(&path, &other), 409, "Conflict", "UID");
    assert_eq!(served.get(&path).1["spec"]["nets"][0], "11.0.0.0/8");
}

#[test]
fn bad_requests_are_400() {
    let served = Served::new();
    let json_type = Some("application/json");
    let post = format!("POST {SETS}");
    refused(
        served.send(&post, json_type, "{ \"a\": "),
        400,
        "BadRequest",
        "not valid JSON",
    );
    refused(
        served.send(&post, json_type, ""),
        400,
        "BadRequest",
        "not valid JSON",
    );
    refused(
        served.send(&post, json_type, "[1]"),
        400,
        "BadRequest",
        "not a JSON object",
    );
    let part = "not a JSON object";
    refused(
        served.post(SETS, &json!({ "metadata": 7 })),
        400,
        "BadRequest",
        part,
    );
    let mut elsewhere = set("one", "10.0.0.0/8");
    elsewhere["metadata"]["namespace"] = "other".into();
    let part = "does not match the namespace sent on the request";
    refused(served.post(SETS, &elsewhere), 400, "BadRequest", part);
    let mut versioned = set("one", "10.0.0.0/8");
    versioned["metadata"]["resourceVersion"] = "1".into();
    let part = "resourceVersion should not be set";
    refused(served.post(SETS, &versioned), 400, "BadRequest", part);
    served.made(SETS, &set("one", "10.0.0.0/8"));
    let path = format!("{SETS}/one");
    refused(
        served.put(&path, &elsewhere),
        400,
        "BadRequest",
        "namespace",
    );
    let part = "the name of the object does not match the name on the URL";
    refused(
        served.put(&path, &set("two", "10.0.0.0/8")),
        400,
        "BadRequest",
        part,
    );
    let dry = served.post(&format!("{SETS}?dryRun=Some"), &set("two", "10.0.0.0/8"));
    refused(dry, 400, "BadRequest", "invalid dryRun");
}

#[test]
fn unreadable_parameters_are_400() {
    let served = Served::new();
    for (query, part) in [
        ("labelSelector=a+b", "unable to parse label selector"),
        ("labelSelector=a+in+x", "unable to parse label selector"),
        (
            "fieldSelector=spec.nets%3Dx",
            "field label not supported: spec.nets",
        ),
        ("fieldSelector=metadata.name", "invalid field selector"),
        ("watch=1&resourceVersion=abc", "invalid resource version"),
        ("watch=1&timeoutSeconds=abc", "invalid timeoutSeconds"),
        ("watch=1&sendInitialEvents=true", "sendInitialEvents"),
    ] {
        refused(
            served.get(&format!("{SETS}?{query}")),
            400,
            "BadRequest",
            part,
        );
    }
}

#[test]
fn invalid_objects_are_422_with_their_fields() {
    let served = Served::new();
    let mut unknown = set("one", "10.0.0.0/8");
    unknown["spec"]["netz"] = json!([]);
    let status = refused(served.post(SETS, &unknown), 422, "Invalid", "netz");
    let message = status["message"].as_str().unwrap();
    let start = "NetworkSet.projectcalico.org \"one\" is invalid: ";
    assert!(message.starts_with(start), "{message}");
    assert_eq!(status["details"]["kind"], "NetworkSet");
    assert_eq!(status["details"]["group"], "projectcalico.org");
    let cause = &status["details"]["causes"][0];
    assert!(
        cause["field"].as_str().unwrap().starts_with("spec"),
        "{cause}"
    );
    assert!(!cause["message"].as_str().unwrap().is_empty(), "{cause}");
    let status = refused(
        served.post(SETS, &set("one", "10.0.0.300")),
        422,
        "Invalid",
        "spec.nets",
    );
    let field = &status["details"]["causes"][0]["field"];
    assert_eq!(field, "spec.nets[0]", "{status}");
    refused(
        served.post(SETS, &set("Not_DNS", "10.0.0.0/8")),
        422,
        "Invalid",
        "name",
    );
    refused(
        served.post(SETS, &json!({ "metadata": {} })),
        422,
        "Invalid",
        "name",
    );
    let mut wrong = set("one", "10.0.0.0/8");
    wrong["kind"] = "Pod".into();
    refused(served.post(SETS, &wrong), 422, "Invalid", "kind");
    served.made(SETS, &set("one", "10.0.0.0/8"));
    let patch = json!({ "spec": { "nets": 7 } });
    refused(
        served.patch(&format!("{SETS}/one"), &patch),
        422,
        "Invalid",
        "spec.nets",
    );
    let (_, object) = served.get(&format!("{SETS}/one"));
    assert_eq!(
        object["spec"]["nets"][0], "10.0.0.0/8",
        "nothing of it was stored"
    );
}

#[test]
fn wrong_methods_and_media_are_405_and_415() {
    let served = Served::new();
    let part = "does not allow this method";
    refused(served.delete(SETS), 405, "MethodNotAllowed", part);
    refused(
        served.post("/api/v1/pods", &pod("x")),
        405,
        "MethodNotAllowed",
        part,
    );
    refused(
        served.post(&format!("{SETS}/x"), &json!({})),
        405,
        "MethodNotAllowed",
        part,
    );
    served.made(PODS, &pod("x"));
    refused(
        served.delete(&format!("{PODS}/x/status")),
        405,
        "MethodNotAllowed",
        part,
    );
    let patch = format!("PATCH {PODS}/x");
    let part = "accepted media types include: application/merge-patch+json";
    for kind in [
        Some("application/json"),
        Some("application/strategic-merge-patch+json"),
        Some("application/apply-patch+yaml"),
        None,
    ] {
        refused(
            served.send(&patch, kind, "{}"),
            415,
            "UnsupportedMediaType",
            part,
        );
    }
    let part = "accepted media types include: application/json";
    let post = format!("POST {PODS}");
    refused(
        served.send(&post, Some("application/yaml"), "a: b"),
        415,
        "UnsupportedMediaType",
        part,
    );
    let body = pod("y").to_string();
    let (code, _) = served.send(&post, Some("Application/JSON; charset=utf-8"), &body);
    assert_eq!(code, 201);
}

#[test]
fn large_bodies_are_413() {
    let served = Served::new();
    let part = "is the limit";
    // Said to be too large: refused before it is sent.
    let request = format!(
        "POST {SETS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    let answer = served.send_bytes(request.as_bytes());
    refused(answer, 413, "RequestEntityTooLarge", part);
    // A body below the limit is read whole.
    let body = " ".repeat(BODY_BYTES_MAX - 10);
    let answer = served.send(&format!("POST {SETS}"), Some("application/json"), &body);
    refused(answer, 400, "BadRequest", "not valid JSON");
}

#[test]
fn old_and_foreign_revisions_are_410() {
    let served = Served::new();
    let first = served.made(SETS, &set("one", "10.0.0.0/8"));
    let revision: u64 = first["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    served.made(SETS, &set("two", "10.0.0.0/8"));
    served
        .store
        .compact(served.store.revision().unwrap())
        .unwrap();
    let old = served.get(&format!("{SETS}?watch=1&resourceVersion={revision}"));
    refused(old, 410, "Expired", "too old resource version");
    let future = served.get(&format!("{SETS}?watch=1&resourceVersion=99999"));
    refused(future, 410, "Expired", "too large resource version");
}

#[test]
fn a_missing_namespace_is_404() {
    let served = Served::new();
    let path = "/api/v1/namespaces/nowhere/pods";
    refused(
        served.post(path, &pod("x")),
        404,
        "NotFound",
        "namespaces \"nowhere\" not found",
    );
    let dry = served.post(&format!("{path}?dryRun=All"), &pod("x"));
    refused(dry, 404, "NotFound", "namespaces \"nowhere\" not found");
    served.made("/api/v1/namespaces", &namespace("nowhere"));
    served.made(path, &pod("x"));
}
