//! Where objects came from: `apply` keeps it, `why` and `describe` name it, and nothing ever fails because of it.

use oncilla_api::{Kind, ObjectKey};
use serde_json::{Value, json};

use super::cluster::{Cluster, Said};

const SOURCE: &str = "oncilla.io/source";
/// What a server accepts of annotations, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
const QUESTION: &str = "why production/frontend production/database tcp/5432";
const CLUSTER: &str = include_str!("../../../../examples/demo/00-cluster.yaml");
const DATABASE: &str =
    include_str!("../../../../examples/demo/04-deny-database-from-frontend.yaml");

/// The demo's pods as if they ran, and its policies for the database from a folder.
fn running() -> Cluster {
    let cluster = Cluster::new();
    cluster.file("cluster.yaml", CLUSTER);
    cluster.file("policies/db.yaml", DATABASE);
    assert_eq!(cluster.run("apply -f cluster.yaml -f policies").code, 0);
    for (number, pod) in (2..).zip(["frontend", "database"]) {
        let key = ObjectKey::namespaced(Kind::Pod, "production", pod);
        let address = format!("10.65.1.{number}");
        change(&cluster, &key, |value| {
            value["status"] =
                json!({ "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] });
        });
    }
    cluster
}

fn deny() -> ObjectKey {
    ObjectKey::namespaced(
        Kind::NetworkPolicy,
        "production",
        "deny-database-from-frontend",
    )
}

fn stored(cluster: &Cluster, key: &ObjectKey) -> Value {
    cluster.store.object(key).unwrap().unwrap().value
}

/// Changes an object behind everybody's back.
fn change(cluster: &Cluster, key: &ObjectKey, by: impl FnOnce(&mut Value)) {
    let mut value = stored(cluster, key);
    by(&mut value);
    cluster.store.update(key, None, value).unwrap();
}

fn source(cluster: &Cluster, key: &ObjectKey) -> Value {
    stored(cluster, key)["metadata"]["annotations"][SOURCE].clone()
}

/// Who decides, and where that was written.
fn decided(said: &Said) -> (String, Value) {
    assert_eq!(said.code, 1, "{said:?}");
    let value: Value = serde_json::from_str(&said.out).unwrap();
    let decided = &value["answers"][0]["decidedBy"];
    (
        decided["policy"].as_str().unwrap().to_owned(),
        decided["place"].clone(),
    )
}

fn place(cluster: &Cluster) -> Value {
    let (policy, place) = decided(&cluster.run(&format!("{QUESTION} -o json")));
    assert_eq!(policy, "np/production/deny-database-from-frontend");
    place
}

/// Every place of an answer.
fn places(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("place")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            fields.values().for_each(|value| places(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| places(value, found)),
        _ => {}
    }
}

/// The line of a text, from 1.
fn line(text: &str, of: &str) -> usize {
    1 + text.lines().position(|line| line.contains(of)).unwrap()
}

#[test]
fn a_server_is_asked_and_the_rule_has_the_line_it_has_in_the_file() {
    let cluster = running();
    let (online, offline) = (
        cluster.run(&format!("{QUESTION} -o json")),
        cluster.run(&format!(
            "{QUESTION} -o json -f cluster.yaml -f policies/db.yaml"
        )),
    );
    let [online, offline] = [online, offline].map(|said| {
        let mut found = Vec::new();
        places(&serde_json::from_str(&said.out).unwrap(), &mut found);
        found
    });
    assert_eq!(online, offline);
    assert_eq!(
        online.first().unwrap(),
        &format!("policies/db.yaml:{}", line(DATABASE, "- action: Deny"))
    );
    let text = cluster.run(QUESTION).out;
    for place in &online {
        assert!(text.contains(&format!("{place}\n")), "{place}\n{text}");
    }
    let again = cluster.run("apply -f cluster.yaml -f policies");
    assert!(!again.out.contains("configured"), "{again:?}");
}

#[test]
fn a_line_that_moves_is_no_change_to_people_but_is_known_afterwards() {
    let cluster = running();
    let spec = stored(&cluster, &deny())["spec"].clone();
    cluster.file("policies/db.yaml", format!("# moved\n\n{DATABASE}"));
    let unchanged = "\
networkpolicy.projectcalico.org/deny-database-from-frontend unchanged
networkpolicy.networking.k8s.io/allow-same-namespace unchanged
";
    let dry = cluster.run("apply -f policies --dry-run");
    assert_eq!(dry.out, unchanged.replace('\n', " (dry run)\n"));
    let said = cluster.run("apply -f policies");
    assert_eq!((said.code, said.out.as_str()), (0, unchanged));
    let moved = 2 + line(DATABASE, "- action: Deny");
    assert_eq!(place(&cluster), format!("policies/db.yaml:{moved}"));
    assert_eq!(stored(&cluster, &deny())["spec"], spec);
    let revision = cluster.store.revision().unwrap();
    assert_eq!(cluster.run("apply -f policies").out, unchanged);
    assert_eq!(
        cluster.store.revision().unwrap(),
        revision,
        "nothing moved, nothing written"
    );
    // The same objects from elsewhere: no file has them now.
    let said = cluster.run_with("apply -f -", DATABASE.as_bytes());
    assert_eq!((said.code, said.out.as_str()), (0, unchanged));
    assert_eq!(place(&cluster), Value::Null);
    assert_eq!(source(&cluster, &deny()), Value::Null);
}

#[test]
fn what_was_changed_by_others_or_is_nonsense_names_no_wrong_line() {
    let cluster = running();
    let own = stored(&cluster, &deny());
    let named = format!("policies/db.yaml:{}", line(DATABASE, "name: deny-database"));
    let annotated = |text: Option<&str>| {
        let mut value = own.clone();
        let annotations = value["metadata"]["annotations"].as_object_mut().unwrap();
        match text {
            Some(text) => annotations.insert(SOURCE.to_owned(), text.into()),
            None => annotations.shift_remove(SOURCE),
        };
        cluster.store.update(&deny(), None, value).unwrap();
    };
    for text in [
        None,
        Some(""),
        Some("somewhere"),
        Some("a\u{1b}[2J.yaml:3"),
        Some("a.yaml:0"),
    ] {
        annotated(text);
        assert_eq!(place(&cluster), Value::Null, "{text:?}");
        let said = cluster.run(QUESTION);
        assert!(!said.out.contains('\u{1b}'), "{}", said.out);
    }
    annotated(Some("a.yaml:3 ingress=4"));
    assert_eq!(
        place(&cluster),
        "a.yaml:3",
        "fewer rules than the policy has"
    );
    // Another rule took the place of the one that the file has there.
    cluster.store.update(&deny(), None, own).unwrap();
    change(&cluster, &deny(), |value| {
        value["spec"]["ingress"].as_array_mut().unwrap().reverse();
    });
    assert_eq!(place(&cluster), named);
    // Applying the file again makes it true again.
    let said = cluster.run("apply -f policies");
    assert!(
        said.out
            .contains("deny-database-from-frontend configured\n"),
        "{said:?}"
    );
    let deny_line = line(DATABASE, "- action: Deny");
    assert_eq!(place(&cluster), format!("policies/db.yaml:{deny_line}"));
}

#[test]
fn it_is_visible_without_being_in_the_way() {
    let cluster = running();
    let yaml = cluster
        .run("get networkpolicy.p -n production deny-database-from-frontend -o yaml")
        .out;
    let named = line(DATABASE, "name: deny-database");
    assert!(
        yaml.contains(&format!("{SOURCE}: policies/db.yaml:{named} ingress=")),
        "{yaml}"
    );
    let described = cluster
        .run("describe networkpolicy.p production/deny-database-from-frontend")
        .out;
    assert!(
        described.contains(&format!("Applied from:  policies/db.yaml:{named}\n")),
        "{described}"
    );
    assert!(!described.contains(SOURCE), "{described}");
    // What was printed can be applied: it is unchanged, and came from there.
    cluster.file("printed.yaml", &yaml);
    let said = cluster.run("apply -f printed.yaml");
    assert!(said.out.ends_with(" unchanged\n"), "{said:?}");
    let printed = line(&yaml, "- action: Deny");
    assert_eq!(place(&cluster), format!("printed.yaml:{printed}"));
}

#[test]
fn it_never_fails_an_apply() {
    let cluster = Cluster::new();
    let key = ObjectKey::cluster(Kind::Tier, "t");
    let apply = |length: usize| {
        let own = "x".repeat(length);
        let text = format!(
            "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: t, annotations: {{own: {own}}}}}\n"
        );
        cluster.file("t.yaml", text);
        let said = cluster.run("apply -f t.yaml");
        assert_eq!(said.code, 0, "{said:?}");
    };
    let bytes = || {
        let value = stored(&cluster, &key);
        let annotations = value["metadata"]["annotations"].as_object().unwrap();
        let each = annotations
            .iter()
            .map(|(name, value)| name.len() + value.as_str().unwrap().len());
        each.sum::<usize>()
    };
    apply(2);
    let text = source(&cluster, &key);
    let others = bytes() - SOURCE.len() - text.as_str().unwrap().len();
    // What is remembered of the file holds the annotation once more.
    let room = (ANNOTATIONS_BYTES_MAX - others) / 2;
    apply(2 + room);
    assert_eq!(source(&cluster, &key), Value::Null);
    assert!(ANNOTATIONS_BYTES_MAX - bytes() < 2, "{}", bytes());
    apply(2);
    assert_eq!(source(&cluster, &key), text);
}
