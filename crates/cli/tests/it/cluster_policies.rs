//! Policies of the cluster through every command: applied, shown, described, asked about, deleted.

use oncilla_api::{Kind, ObjectKey};
use serde_json::json;

use super::cluster::Cluster;

const OBJECTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: red, labels: {team: red}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: red, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web, image: web}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: wall}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {matchLabels: {team: red}}}
  ingress:
  - action: Accept
    from: [{namespaces: {matchLabels: {team: blue}}}]
    protocols: [{tcp: {destinationPort: {number: 80}}}]
  egress:
  - action: Deny
    to: [{networks: [203.0.113.0/24]}]
";

fn filled() -> Cluster {
    let cluster = Cluster::new();
    cluster.applied(OBJECTS);
    let key = ObjectKey::namespaced(Kind::Pod, "red", "web");
    let mut pod = cluster.store.object(&key).unwrap().unwrap().value;
    pod["status"] =
        json!({ "phase": "Running", "podIP": "10.65.1.2", "podIPs": [{ "ip": "10.65.1.2" }] });
    cluster.store.update(&key, None, pod).unwrap();
    cluster
}

#[test]
fn every_command_knows_them() {
    let cluster = filled();
    for (words, expected) in [
        (
            "get kcnp",
            "NAME   TIER    PRIORITY   AGE\n\
             wall   Admin   5          3d\n",
        ),
        (
            "get clusternetworkpolicies -o wide",
            "NAME   TIER    PRIORITY   AGE   TYPES            SUBJECT\n\
             wall   Admin   5          3d    Ingress,Egress   all pods of namespaces team=red\n",
        ),
        (
            "get clusternetworkpolicy.policy wall -o name",
            "clusternetworkpolicy.policy.networking.k8s.io/wall\n",
        ),
    ] {
        let said = cluster.run(words);
        assert_eq!((said.code, said.out.as_str()), (0, expected), "{said:?}");
    }
    let said = cluster.run("describe kcnp wall");
    for part in [
        "Tier:          kube-admin, priority 5\n",
        "Subject:       all pods of namespaces team=red\n",
        "ingress[0]  Accept from all pods of namespaces team=blue, tcp/80\n",
        "egress[0]  Deny to 203.0.113.0/24\n",
        "red/web (10.65.1.2) for Ingress and Egress\n",
    ] {
        assert!(said.out.contains(part), "{part}\n{}", said.out);
    }
    let said = cluster.run("describe pod web -n red");
    let line = "clusternetworkpolicy.policy.networking.k8s.io wall (order 5)";
    assert_eq!(said.out.matches(line).count(), 2, "{}", said.out);

    let said = cluster.run("why red/web 203.0.113.9 tcp/443");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out
            .contains("egress[0]  Deny  to 203.0.113.0/24  <- decides"),
        "{}",
        said.out
    );
    let said = cluster.run("why red/web 203.0.113.9 tcp/443 -o json");
    assert!(said.out.contains("\"kcnp/wall\""), "{}", said.out);

    let said = cluster.run("delete kcnp wall");
    let deleted = "clusternetworkpolicy.policy.networking.k8s.io \"wall\" deleted\n";
    assert_eq!((said.code, said.out.as_str()), (0, deleted));
    assert_eq!(cluster.run("why red/web 203.0.113.9 tcp/443").code, 0);
}

#[test]
fn what_is_not_supported_yet_is_refused_with_its_place() {
    let cluster = filled();
    let changed = OBJECTS.replace("networks: [203.0.113.0/24]", "domainNames: [x.example]");
    cluster.file("wall.yaml", changed);
    let said = cluster.run("apply -f wall.yaml");
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "wall.yaml:23",
        "spec.egress[0].to[0].domainNames: a peer of domain names is not supported yet",
        "name the addresses in `networks:`",
    ] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
    let said = cluster.run("get kcnp wall -o json");
    assert!(said.out.contains("203.0.113.0/24"), "{}", said.out);
}
