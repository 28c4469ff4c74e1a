//! Staged policies through the commands: shown, described, and what they would change.

use oncilla_api::{Kind, ObjectKey};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::schema::Schema;

const OBJECTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: red}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: red, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: red, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: db, image: db}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: old, namespace: red}
spec:
  selector: app == 'db'
  ingress:
  - action: Allow
    source: {selector: app == 'web'}
---
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: old, namespace: red}
spec:
  stagedAction: Delete
---
apiVersion: projectcalico.org/v3
kind: StagedGlobalNetworkPolicy
metadata: {name: wall}
spec:
  order: 7
  selector: app == 'db'
  ingress:
  - action: Deny
    protocol: TCP
    source: {selector: app == 'web'}
---
apiVersion: projectcalico.org/v3
kind: StagedKubernetesNetworkPolicy
metadata: {name: seen, namespace: red}
spec:
  stagedAction: Learn
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
";

fn filled() -> Cluster {
    let cluster = Cluster::new();
    cluster.file("objects.yaml", OBJECTS);
    let said = cluster.run("apply -f objects.yaml");
    assert_eq!(said.code, 0, "{said:?}");
    for (name, ip) in [("web", "10.65.1.2"), ("db", "10.65.1.3")] {
        let key = ObjectKey::namespaced(Kind::Pod, "red", name);
        let mut pod = cluster.store.object(&key).unwrap().unwrap().value;
        pod["status"] = json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] });
        cluster.store.update(&key, None, pod).unwrap();
    }
    cluster
}

#[test]
fn every_command_knows_them() {
    let cluster = filled();
    for (words, expected) in [
        (
            "get sgnp",
            "NAME   ACTION   TIER      ORDER   AGE\n\
             wall   Set      default   7       3d\n",
        ),
        (
            "get snp -n red -o wide",
            "NAME   ACTION   TIER      ORDER    AGE   TYPES    SELECTOR\n\
             old    Delete   default   <none>   3d    <none>   all()\n",
        ),
        (
            "get stagedkubernetesnetworkpolicies -n red",
            "NAME   ACTION   POD-SELECTOR   AGE\n\
             seen   Learn    app=db         3d\n",
        ),
    ] {
        let said = cluster.run(words);
        assert_eq!((said.code, said.out.as_str()), (0, expected), "{said:?}");
    }
    let said = cluster.run("describe sgnp wall");
    for part in [
        "Staged:        Set: not enforced; see `oncilla why --staged`; would be GlobalNetworkPolicy wall\n",
        "Tier:          default, order 7\n",
        "red/db (10.65.1.3) for Ingress\n",
    ] {
        assert!(said.out.contains(part), "{part}\n{}", said.out);
    }
    let said = cluster.run("describe snp old -n red");
    let deletes = "Staged:        Delete: not done; would delete NetworkPolicy red/old\n";
    assert!(said.out.contains(deletes), "{}", said.out);
}

#[test]
fn why_says_what_is_in_force_first_and_then_what_would_change() {
    let cluster = filled();
    let plain = cluster.run("why red/web red/db tcp/80");
    assert!(!plain.out.contains("staged"), "{}", plain.out);
    let said = cluster.run("why red/web red/db tcp/80 --staged");
    assert_eq!(
        said.code, 0,
        "the exit code is of what is in force: {said:?}"
    );
    let rest = said.out.strip_prefix(&plain.out).unwrap();
    assert_eq!(
        rest,
        "  if the staged policies were set: denied, not allowed
    denied by ingress[0] of StagedGlobalNetworkPolicy wall (objects.yaml:37: TCP, source app == 'web')
    sgnp/wall      Set     ingress[0]  Deny  TCP, source app == 'web'  <- would decide
                           objects.yaml:37
    sknp/red/seen  Learn   changes nothing; ingress[0] matches
                           objects.yaml:48
    snp/red/old    Delete  removes the policy whose ingress[0] matches now
                           objects.yaml:26
"
    );
    let said = cluster.run("why red/db red/web tcp/80 --staged");
    assert!(
        said.out
            .ends_with("no staged policy selects one of these ends\n"),
        "{}",
        said.out
    );
    for words in [
        "why red/web red/db tcp/80 -o json --staged",
        "why red/db red/web tcp/80 --staged -o json",
    ] {
        let said = cluster.run(words);
        let value: Value = serde_json::from_str(&said.out).unwrap();
        Schema::read("why").assert(&value);
        let staged = &value["answers"][0]["staged"];
        assert_eq!(staged["differs"], words.ends_with("--staged"), "{staged}");
    }
    let said = cluster.run("delete sgnp wall");
    let deleted = "stagedglobalnetworkpolicy.projectcalico.org \"wall\" deleted\n";
    assert_eq!((said.code, said.out.as_str()), (0, deleted));
}
