//! What is served here, in the form by which kubectl learns it.

use oncilla_api::Kind;
use serde_json::{Value, json};

use crate::target::has_status;

/// The Kubernetes whose API this server speaks.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "34";

/// `/version`.
pub(crate) fn version() -> Value {
    let oncilla = env!("CARGO_PKG_VERSION");
    json!({
        "major": KUBERNETES_MAJOR,
        "minor": KUBERNETES_MINOR,
        "gitVersion": format!("v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.0+oncilla.{oncilla}"),
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// The discovery document at a path; `None` where there is none.
pub(crate) fn document(path: &str) -> Option<Value> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["api", version] => resources("", version),
        ["apis"] => {
            let groups: Vec<Value> = groups().into_iter().filter_map(group).collect();
            Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        ["apis", name] => group(name).map(|mut group| {
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            group
        }),
        ["apis", group, version] if !group.is_empty() => resources(group, version),
        _ => None,
    }
}

fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = Kind::ALL
        .into_iter()
        .map(Kind::group)
        .filter(|group| !group.is_empty())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn group(name: &str) -> Option<Value> {
    let mut versions: Vec<&str> = Kind::ALL
        .into_iter()
        .filter(|kind| !name.is_empty() && kind.group() == name)
        .map(Kind::version)
        .collect();
    versions.sort_unstable();
    versions.dedup();
    let versions: Vec<Value> = versions
        .into_iter()
        .map(|version| json!({ "groupVersion": format!("{name}/{version}"), "version": version }))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({ "name": name, "versions": versions, "preferredVersion": preferred }))
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| kind.group() == group && kind.version() == version)
        .collect();
    let api_version = kinds.first()?.api_version();
    let mut resources = Vec::new();
    for kind in kinds {
        resources.push(json!({
            "name": kind.plural(),
            "singularName": kind.singular(),
            "namespaced": kind.namespaced(),
            "kind": kind.kind_name(),
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            "shortNames": kind.short_names(),
        }));
        if has_status(kind) {
            resources.push(json!({
                "name": format!("{}/status", kind.plural()),
                "singularName": "",
                "namespaced": kind.namespaced(),
                "kind": kind.kind_name(),
                "verbs": ["get", "patch", "update"],
            }));
        }
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": resources,
    }))
}
