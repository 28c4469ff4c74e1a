//! `describe`: who judges a pod, whom a policy selects, what agents say.

use oncilla_api::{Kind, ObjectKey};
use serde_json::json;

use super::cluster::Cluster;

const OBJECTS: &str = "\
apiVersion: v1
kind: Node
metadata: {name: n1}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web, image: web}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: deny}
spec:
  order: 10
  selector: app == 'web'
  ingress:
  - {action: Deny, protocol: TCP, source: {nets: [10.0.0.0/8]}, destination: {ports: [80, '90:91']}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: same}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}
";

#[test]
fn policies_and_pods_tell_of_each_other() {
    let cluster = Cluster::new();
    cluster.applied(OBJECTS);
    let pod = ObjectKey::namespaced(Kind::Pod, "default", "web");
    let mut value = cluster.store.object(&pod).unwrap().unwrap().value;
    value["status"] =
        json!({ "phase": "Running", "podIP": "10.65.1.2", "podIPs": [{ "ip": "10.65.1.2" }] });
    cluster.store.update(&pod, None, value).unwrap();
    let node = ObjectKey::cluster(Kind::Node, "n1");
    let mut value = cluster.store.object(&node).unwrap().unwrap().value;
    let status = json!({
        "state": "enforcing", "revision": 7, "updated_unix_ms": 1, "pods": 1, "policies": 2, "tiers": 3,
        "problems": [{ "object": "NetworkPolicy default/deny", "message": "unknown tier", "since_unix_ms": 1 }],
        "kernel": {
            "repairs": 0, "writes": 1, "owns_table": false, "tombstones": 0, "connections_cut": 0
        },
        "rss_bytes": 1,
    });
    value["metadata"]["annotations"]["oncilla.io/agent"] = status.to_string().into();
    cluster.store.update(&node, None, value).unwrap();

    let said = cluster.run("describe pod web");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let first = said
        .out
        .find("networkpolicy.projectcalico.org default/deny (order 10)");
    let second = said
        .out
        .find("networkpolicy.networking.k8s.io default/same");
    assert!(
        first.is_some() && first < second,
        "in the order asked\n{}",
        said.out
    );
    assert!(
        said.out.contains("none selects it: its profiles decide"),
        "egress\n{}",
        said.out
    );
    assert!(!said.out.contains("last-applied"), "{}", said.out);

    let said = cluster.run("describe networkpolicy.p deny");
    for part in [
        "Tier:          default, order 10",
        "ingress[0]  Deny TCP from nets 10.0.0.0/8 to ports 80, 90:91",
        "Selects:       1 pod",
        "default/web (10.65.1.2) for Ingress",
        "node n1: unknown tier",
    ] {
        assert!(said.out.contains(part), "{part}\n{}", said.out);
    }
    let said = cluster.run("describe pod nobody");
    assert_eq!((said.code, said.out.as_str()), (1, ""));
}
