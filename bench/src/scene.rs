//! The objects of the benches, as a store would give them.

use oncilla_api::{Kind, Object};
use serde_json::{Value, json};

/// The node under measurement.
pub(crate) const NODE: &str = "n1";
/// How many kinds of clients there are, by label.
pub(crate) const CLIENT_KINDS: usize = 200;

pub(crate) fn object(kind: Kind, value: Value) -> anyhow::Result<Object> {
    Object::from_value(kind, value).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

/// The namespace of all pods and policies.
pub(crate) fn namespace() -> anyhow::Result<Object> {
    object(Kind::Namespace, json!({"metadata": {"name": "bench"}}))
}

/// The namespace, and the tier that policies are in.
pub(crate) fn ground() -> anyhow::Result<Vec<Object>> {
    Ok(vec![
        namespace()?,
        object(
            Kind::Tier,
            json!({"metadata": {"name": "default"},
                   "spec": {"order": 1_000_000, "defaultAction": "Deny"}}),
        )?,
    ])
}

/// A pod of an app.
pub(crate) fn pod(name: &str, node: &str, app: &str, address: &str) -> anyhow::Result<Object> {
    object(
        Kind::Pod,
        json!({
            "metadata": {"name": name, "namespace": "bench", "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
        }),
    )
}

/// A pod as a store tells of it, with what a kubelet and a server write and nobody here reads.
pub(crate) fn running_pod(name: &str, node: &str, app: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "bench",
            "uid": "3f2b1c9e-7f0d-4c43-9d0a-0e6f1f1f9a11",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": "2025-01-01T00:00:00Z",
            "labels": {"app": app},
            "annotations": {"kubernetes.io/config.source": "api"},
        },
        "spec": {
            "nodeName": node,
            "serviceAccountName": "default",
            "restartPolicy": "Always",
            "containers": [{
                "name": "main",
                "image": "registry.example/app:1",
                "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
                "env": [{"name": "MODE", "value": "production"}],
            }],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": "True"},
                {"type": "ContainersReady", "status": "True"},
                {"type": "PodScheduled", "status": "True"},
            ],
            "hostIP": "10.64.0.2",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": "2025-01-01T00:00:00Z",
        },
    })
}

/// The label of a client.
pub(crate) fn client_kind(number: usize) -> String {
    format!("c{}", number % CLIENT_KINDS)
}

/// An address for a remote pod.
pub(crate) fn remote_address(number: usize) -> String {
    let [_, high, middle, low] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    format!("10.{}.{middle}.{low}", 100 + u16::from(high))
}

/// Policies on the server: each lets one kind of client use one port.
pub(crate) fn policies(count: usize, last_port: u16) -> anyhow::Result<Vec<Object>> {
    (0..count)
        .map(|number| {
            let last = number + 1 == count;
            let client = if last {
                client_kind(0)
            } else {
                client_kind(number)
            };
            let port = if last {
                usize::from(last_port)
            } else {
                10_000 + number
            };
            object(
                Kind::NetworkPolicy,
                json!({
                    "metadata": {"name": format!("allow-{number}"), "namespace": "bench"},
                    "spec": {
                        "selector": "app == 'server'",
                        "types": ["Ingress"],
                        "ingress": [{
                            "action": "Allow",
                            "protocol": "TCP",
                            "source": {"selector": format!("app == '{client}'")},
                            "destination": {"ports": [port]},
                        }],
                    },
                }),
            )
        })
        .collect()
}
