//! What valid manifests mean: forms, defaults, and reading back what was written.

use oncilla_api::manifest::{Limits, Manifest, decode};
use oncilla_api::{Kind, Object, ObjectKey};
use serde_json::json;

use crate::rendered;

#[track_caller]
fn read(text: &str) -> Vec<Object> {
    let manifest = decode("m.yaml", text.as_bytes(), &Limits::default());
    assert_eq!(rendered(&manifest), "");
    manifest
        .objects
        .into_iter()
        .map(|found| found.object)
        .collect()
}

/// The only object of a text, in JSON, and the same after reading that again.
#[track_caller]
fn one(text: &str) -> serde_json::Value {
    let objects = read(text);
    assert_eq!(objects.len(), 1);
    let value = objects[0].to_value();
    let again = Object::from_value(objects[0].kind(), value.clone()).unwrap();
    assert_eq!(again, objects[0]);
    assert_eq!(again.to_value(), value);
    value
}

#[test]
fn calico_defaults_are_filled_in() {
    let directions = |rules: &str| {
        let text = format!(
            "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {{name: a}}\nspec: {{{rules}}}\n"
        );
        one(&text)["spec"]["types"].clone()
    };
    assert_eq!(directions(""), json!(["Ingress"]));
    assert_eq!(directions("ingress: [{action: Allow}]"), json!(["Ingress"]));
    assert_eq!(directions("egress: [{action: Allow}]"), json!(["Egress"]));
    assert_eq!(directions("egress: []"), json!(["Ingress"]));
    assert_eq!(
        directions("egress: [{action: Allow}], ingress: [{action: Deny}]"),
        json!(["Ingress", "Egress"])
    );
    assert_eq!(directions("types: [Egress]"), json!(["Egress"]));
    assert_eq!(
        one("apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: a}\n"),
        json!({
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": "a", "namespace": "default"},
            "spec": {"tier": "default", "types": ["Ingress"]},
        })
    );
    assert_eq!(
        one(
            "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: a}\nspec: {order: 10}\n"
        )["spec"],
        json!({"order": 10, "defaultAction": "Deny"})
    );
    assert_eq!(
        one(
            "apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: {name: a}\nspec: {nets: [10.0.0.1, 'fd00::1', 10.0.0.0/8]}\n"
        )["spec"],
        json!({"nets": ["10.0.0.1/32", "fd00::1/128", "10.0.0.0/8"]})
    );
}

#[test]
fn kubernetes_defaults_are_filled_in() {
    let spec = |spec: &str| {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: a}}\nspec: {spec}\n"
        );
        one(&text)["spec"].clone()
    };
    assert_eq!(
        spec("{}"),
        json!({"podSelector": {}, "policyTypes": ["Ingress"]})
    );
    assert_eq!(spec("{egress: []}")["policyTypes"], json!(["Ingress"]));
    assert_eq!(
        spec("{egress: [{}]}"),
        json!({"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]})
    );
    assert_eq!(
        spec("{policyTypes: [Egress]}")["policyTypes"],
        json!(["Egress"])
    );
    assert_eq!(
        spec("{ingress: [{ports: [{port: 80}, {port: http, protocol: UDP}, {}]}]}")["ingress"],
        json!([{"ports": [
            {"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": "http"}, {"protocol": "TCP"},
        ]}])
    );
    assert_eq!(
        one("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {team: b}}\n")["metadata"]
            ["labels"],
        json!({"kubernetes.io/metadata.name": "a", "team": "b"})
    );
}

#[test]
fn host_bits_of_a_block_are_masked() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  egress:\n  - to:\n    - ipBlock: {cidr: 10.1.2.3/8, except: [10.9.9.9/16]}\n";
    let manifest = decode("m.yaml", text.as_bytes(), &Limits::default());
    assert!(!manifest.has_errors());
    assert_eq!(manifest.diagnostics.len(), 2);
    assert_eq!(
        manifest.objects[0].object.to_value()["spec"]["egress"],
        json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"]}}]}])
    );
}

#[test]
fn what_is_not_interpreted_is_kept() {
    let value = one("\
apiVersion: v1
kind: Pod
metadata: {name: web, creationTimestamp: null, ownerReferences: [{kind: ReplicaSet, name: x}]}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: nginx
    resources: {limits: {memory: 1Gi}}
    readinessProbe: {httpGet: {path: /, port: web}, periodSeconds: 3}
    env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    ports: [{containerPort: 80, name: web, hostIP: 10.0.0.1}]
status: {phase: Running, qosClass: BestEffort, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
");
    assert_eq!(
        value["metadata"]["ownerReferences"][0]["kind"],
        "ReplicaSet"
    );
    assert!(value["metadata"].get("creationTimestamp").is_none());
    assert_eq!(value["spec"]["restartPolicy"], "Never");
    assert_eq!(value["spec"]["serviceAccountName"], "default");
    let container = &value["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(
        container["readinessProbe"],
        json!({"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 3})
    );
    assert_eq!(
        container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"],
        "status.podIP"
    );
    assert_eq!(
        container["ports"][0],
        json!({"name": "web", "containerPort": 80, "protocol": "TCP", "hostIP": "10.0.0.1"})
    );
    assert_eq!(value["status"]["qosClass"], "BestEffort");
}

#[test]
fn every_form_of_a_port_and_protocol_is_read() {
    let value = one("\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: a}
spec:
  order: 1.5
  performanceHints: [AssumeNeededOnEveryNode]
  applyOnForward: false
  ingress:
  - action: Pass
    protocol: '6'
    metadata: {annotations: {why: because}}
    destination: {ports: [80, '81', '90:99', '5:5', http, a.b_C-1]}
  - {action: Log, notProtocol: 132, ipVersion: 6}
  - {action: Deny, destination: {ports: [http]}}
");
    assert_eq!(
        value["spec"],
        json!({
            "tier": "default",
            "order": 1.5,
            "ingress": [
                {
                    "action": "Pass",
                    "protocol": 6,
                    "destination": {"ports": [80, 81, "90:99", 5, "http", "a.b_C-1"]},
                    "metadata": {"annotations": {"why": "because"}},
                },
                {"action": "Log", "ipVersion": 6, "notProtocol": 132},
                {"action": "Deny", "destination": {"ports": ["http"]}},
            ],
            "types": ["Ingress"],
            "performanceHints": ["AssumeNeededOnEveryNode"],
        })
    );
}

#[test]
fn anchors_merges_lists_and_streams_are_read() {
    let objects = read("\
apiVersion: v1
kind: List
items:
- &web
  apiVersion: v1
  kind: Namespace
  metadata: {name: a, labels: &labels {team: x, tier: y}}
- <<: *web
  metadata:
    name: b
    labels:
      <<: [*labels, {team: never, extra: z}]
      tier: own
---
apiVersion: v1
kind: NamespaceList
items:
- metadata: {name: !!str c}
...
---
# Nothing.
---
{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"d\", \"annotations\": {\"note\": \"\\ud83d\\ude00\\/\"}}}
");
    let keys: Vec<String> = objects
        .iter()
        .map(|found| found.key().to_string())
        .collect();
    assert_eq!(
        keys,
        ["Namespace a", "Namespace b", "Namespace c", "Namespace d"]
    );
    assert_eq!(
        objects[1].to_value()["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "b", "team": "x", "tier": "own", "extra": "z"})
    );
    assert_eq!(
        objects[3].to_value()["metadata"]["annotations"]["note"],
        "😀/"
    );
}

#[test]
fn an_empty_list_is_no_fault() {
    assert_eq!(read("apiVersion: v1\nkind: List\nitems: []\n"), []);
}

#[test]
fn files_are_joined_and_doubles_between_them_found() {
    let file = |name: &str, objects: &[&str]| {
        let documents: Vec<String> = objects
            .iter()
            .map(|object| {
                format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {object}}}\n")
            })
            .collect();
        let text = format!("---\n{}", documents.join("---\n"));
        decode(name, text.as_bytes(), &Limits::default())
    };
    let joined = Manifest::join([file("a.yaml", &["x", "y"]), file("b.yaml", &["z", "x"])]);
    assert_eq!(
        rendered(&joined),
        "error: b.yaml:8:18: Namespace x\n       metadata.name: Namespace x is already at a.yaml:4\n\
         help: give it another name, or remove one of the two\n"
    );
    assert_eq!(joined.objects.len(), 3);
    assert!(joined.has_errors());
}

#[test]
fn the_two_network_policies_are_two_kinds() {
    let objects = read(
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: a}
",
    );
    let keys: Vec<ObjectKey> = objects.iter().map(Object::key).collect();
    assert_eq!(
        keys,
        [
            ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "default", "a"),
            ObjectKey::namespaced(Kind::NetworkPolicy, "default", "a"),
        ]
    );
    assert_eq!(keys[0].to_string(), "NetworkPolicy default/a");
}

#[test]
fn a_stored_value_is_read_strictly() {
    let errors = |kind, value| {
        let errors = Object::from_value(kind, value).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        errors(
            Kind::Tier,
            json!({"kind": "NetworkSet", "metadata": {"name": "a"}})
        ),
        ["kind: expected \"Tier\", found \"NetworkSet\""]
    );
    assert_eq!(errors(Kind::Tier, json!(["a"])), ["expected an object"]);
    assert_eq!(
        errors(
            Kind::Tier,
            json!({"metadata": {"name": "a"}, "spec": [1, "Deny"]})
        ),
        ["spec: expected a mapping, found a list"]
    );
    assert_eq!(
        errors(
            Kind::NetworkPolicy,
            json!({"metadata": {"name": "a"}, "spec": {"ingress": [{"action": {"Allow": {}}}]}})
        ),
        ["spec.ingress[0].action: expected a string, found a mapping"]
    );
    let nope = Object::from_manifest(json!({"apiVersion": "v1", "kind": "Nope"})).unwrap_err();
    assert_eq!(nope[0].to_string(), "kind: unknown kind \"Nope\" in \"v1\"");
    let tier =
        json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "a"}});
    let object: Object = serde_json::from_value(tier).unwrap();
    assert_eq!(object.key(), ObjectKey::cluster(Kind::Tier, "a"));
}

#[test]
fn the_old_name_of_the_service_account_still_counts() {
    let account = |spec: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{{spec}, containers: [{{name: c}}]}}}}"
        );
        let value = one(&text);
        value["spec"]["serviceAccountName"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(account("serviceAccount: robot"), "robot");
    assert_eq!(
        account("serviceAccount: old, serviceAccountName: new"),
        "new"
    );
    assert_eq!(account("serviceAccount: ''"), "default");
}
