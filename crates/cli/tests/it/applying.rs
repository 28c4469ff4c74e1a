//! `apply`: created, configured, unchanged; everything or nothing.

use std::os::unix::net::UnixListener;

use oncilla_api::{Kind, ObjectKey};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::home::root;
use super::schema::Schema;

const ALLOW: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector: {}
  ingress:
  - from:
    - podSelector: {}
";

const WHOLE: &str = "\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: first.deny, namespace: production}
spec: {tier: first, selector: all(), types: [Ingress]}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: first}
spec: {order: 10}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: production}
spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: production}
";

fn policy() -> ObjectKey {
    ObjectKey::namespaced(Kind::KubernetesNetworkPolicy, "default", "allow")
}

fn stored(cluster: &Cluster, key: &ObjectKey) -> Value {
    cluster.store.object(key).unwrap().unwrap().value
}

#[test]
fn created_unchanged_configured() {
    let cluster = Cluster::new();
    cluster.file("allow.yaml", ALLOW);
    let apply = || cluster.run("apply -f allow.yaml");
    let lines = |word: &str| format!("networkpolicy.networking.k8s.io/allow {word}\n");
    let said = apply();
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, &*lines("created"), "")
    );
    let revision = cluster.store.revision().unwrap();
    assert_eq!(apply().out, lines("unchanged"));
    assert_eq!(
        cluster.store.revision().unwrap(),
        revision,
        "unchanged writes nothing"
    );
    cluster.file(
        "allow.yaml",
        format!("{ALLOW}  egress: []\n  policyTypes: [Ingress, Egress]\n"),
    );
    assert_eq!(apply().out, lines("configured"));
    assert_eq!(
        stored(&cluster, &policy())["spec"]["policyTypes"],
        json!(["Ingress", "Egress"])
    );
    // What leaves the file leaves the object: the directions follow from the rules again.
    cluster.file("allow.yaml", ALLOW);
    assert_eq!(apply().out, lines("configured"));
    assert_eq!(
        stored(&cluster, &policy())["spec"]["policyTypes"],
        json!(["Ingress"])
    );
}

#[test]
fn what_others_set_stays_and_what_left_the_file_goes() {
    let cluster = Cluster::new();
    let tier = |more: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: t, labels: {{a: b}}}}\nspec: {{{more}}}\n"
        )
    };
    cluster.applied(&tier("order: 5"));
    let key = ObjectKey::cluster(Kind::Tier, "t");
    let mut theirs = stored(&cluster, &key);
    theirs["spec"]["defaultAction"] = "Pass".into();
    theirs["metadata"]["labels"]["theirs"] = "yes".into();
    cluster.store.update(&key, None, theirs).unwrap();
    cluster.applied(&tier("").replace(", labels: {a: b}", ""));
    let now = stored(&cluster, &key);
    assert_eq!(now["spec"], json!({ "defaultAction": "Pass" }), "{now}");
    assert_eq!(now["metadata"]["labels"], json!({ "theirs": "yes" }));
}

#[test]
fn objects_are_written_in_an_order_in_which_they_can_be() {
    let cluster = Cluster::new();
    cluster.file("all/whole.yaml", WHOLE);
    cluster.file("all/notes.txt", "not a manifest");
    let dry = cluster.run("apply -f all --dry-run");
    let expected = "\
namespace/production created
tier.projectcalico.org/first created
networkpolicy.projectcalico.org/first.deny created
pod/web created
";
    assert_eq!(
        (dry.code, dry.out),
        (0, expected.replace('\n', " (dry run)\n"))
    );
    let namespace = ObjectKey::cluster(Kind::Namespace, "production");
    assert_eq!(
        cluster.store.object(&namespace).unwrap(),
        None,
        "a dry run writes nothing"
    );
    let said = cluster.run("apply -f all");
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, expected, "")
    );
    let again = cluster.run_with("apply -f - -o name", WHOLE.as_bytes());
    assert_eq!(again.code, 0);
    assert!(
        again
            .out
            .starts_with("namespace/production\ntier.projectcalico.org/first\n"),
        "{again:?}"
    );
}

#[test]
fn one_bad_document_and_nothing_is_applied() {
    let cluster = Cluster::new();
    cluster.file("good.yaml", ALLOW);
    cluster.file("bad.yaml", ALLOW.replace("name: allow", "name: Bad_Name"));
    let before = cluster.store.revision().unwrap();
    let said = cluster.run("apply -f good.yaml -f bad.yaml");
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err
            .contains("error: bad.yaml:4:9: NetworkPolicy default/Bad_Name"),
        "{}",
        said.err
    );
    assert!(
        said.err
            .ends_with("nothing was applied: 1 of 2 documents is invalid\n"),
        "{}",
        said.err
    );
    assert_eq!(cluster.store.revision().unwrap(), before);
}

#[test]
fn unknown_namespaces_and_tiers_are_told_before_anything_is_written() {
    let cluster = Cluster::new();
    cluster.file(
        "a.yaml",
        WHOLE
            .replace("tier: first", "tier: frist")
            .replace("first.deny", "frist.deny"),
    );
    let before = cluster.store.revision().unwrap();
    let said = cluster.run("apply -f a.yaml");
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "error: a.yaml:4:14: NetworkPolicy production/frist.deny",
        "spec.tier: tier \"frist\" is neither on the server nor in these files",
        "help: did you mean `first`?",
        "nothing was applied: 1 of 4 documents is invalid",
    ] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
    cluster.file("b.yaml", ALLOW);
    let said = cluster.run("apply -f b.yaml -n defualt");
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("namespace \"defualt\" is neither"),
        "{}",
        said.err
    );
    assert!(said.err.contains("did you mean `default`?"), "{}", said.err);
    assert_eq!(cluster.store.revision().unwrap(), before);
}

#[test]
fn machines_get_json() {
    let cluster = Cluster::new();
    cluster.file(
        "bad.yaml",
        ALLOW.replace("podSelector: {}\n  ingress", "podSelektor: {}\n  ingress"),
    );
    let said = cluster.run("apply -f bad.yaml -o json");
    assert_eq!(said.code, 1);
    let faults: Value = serde_json::from_str(&said.out).unwrap();
    Schema::read("diagnostics").assert(&faults);
    let fault = &faults[0];
    assert_eq!(fault["code"], "unknown-field", "{faults}");
    assert_eq!(
        (&fault["file"], &fault["line"]),
        (&json!("bad.yaml"), &json!(6))
    );
    for field in ["column", "object", "path", "message", "help"] {
        assert!(fault.get(field).is_some(), "{field}: {faults}");
    }
    // Not everything has an object, a field or a remedy.
    for (text, code) in [
        ("", 1),
        ("a: [", 2),
        ("apiVersion: v1\nkind: Pdo\n", 1),
        (ALLOW.replace("spec:", "spce:").as_str(), 1),
    ] {
        let said = cluster.run_with("apply -f - -o json", text.as_bytes());
        let faults: Value = serde_json::from_str(&said.out).unwrap();
        Schema::read("diagnostics").assert(&faults);
        assert_eq!(said.code, code, "{faults}");
    }
    let said = cluster.run_with("apply -f - -o json", ALLOW.as_bytes());
    let object: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(object["metadata"]["name"], "allow");
}

#[test]
fn a_missing_file_and_a_missing_server_cannot_be_judged() {
    let cluster = Cluster::new();
    let said = cluster.run("apply -f nowhere.yaml");
    assert_eq!(said.code, 2);
    assert!(
        said.err
            .starts_with("error: cannot read nowhere.yaml: No such file"),
        "{}",
        said.err
    );
    cluster.file("allow.yaml", ALLOW);
    let said = cluster.run("apply -f allow.yaml --server ./nobody.sock");
    assert_eq!(said.code, 2);
    assert!(
        said.err
            .starts_with("error: cannot connect to ./nobody.sock"),
        "{}",
        said.err
    );
    assert!(said.err.contains("oncilla server"), "{}", said.err);
}

#[test]
fn of_a_folder_only_regular_files_are_read() {
    let cluster = Cluster::new();
    cluster.file("all/allow.yaml", ALLOW);
    cluster.file("all/inner.yaml/deep.yaml", "not read");
    let listening = UnixListener::bind(cluster.path("all/pipe.yaml")).unwrap();
    let said = cluster.run("apply -f all");
    assert_eq!(said.code, 0, "{said:?}");
    let mut notes: Vec<&str> = said.err.lines().collect();
    notes.sort_unstable();
    let expected = ["inner", "pipe"]
        .map(|name| format!("note: all/{name}.yaml is left out: it is no regular file"));
    assert_eq!(notes, expected);
    assert_eq!(cluster.run("apply -f all -q").err, "");
    drop(listening);
    // A pipe that is named is read: shells give them to commands.
    let said = cluster.run_with("apply -f /dev/stdin", ALLOW.as_bytes());
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn the_demos_folder_can_be_applied_as_it_is() {
    let cluster = Cluster::new();
    let folder = root().join("examples/demo");
    for _ in 0..2 {
        let said = cluster.run(&format!("apply -f {}", folder.display()));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    }
}
