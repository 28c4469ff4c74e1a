//! `delete`: by name and from files.

use super::cluster::Cluster;

const SETS: &str = "\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: one}
spec: {nets: [10.0.0.0/8]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: two}
spec: {nets: [10.0.0.0/8]}
";

#[test]
fn objects_go_by_name_and_by_file() {
    let cluster = Cluster::new();
    cluster.applied(SETS);
    cluster.file("sets.yaml", SETS);
    let line = |name: &str| format!("globalnetworkset.projectcalico.org \"{name}\" deleted");
    let said = cluster.run("delete gns one --dry-run");
    assert_eq!(
        (said.code, said.out),
        (0, format!("{} (dry run)\n", line("one")))
    );
    let said = cluster.run("delete gns one");
    assert_eq!((said.code, said.out), (0, format!("{}\n", line("one"))));
    let said = cluster.run("delete gns one");
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err
            .starts_with("error: globalnetworkset.projectcalico.org one not found"),
        "{said:?}"
    );
    assert_eq!(cluster.run("delete gns one --ignore-not-found").code, 0);
    // One of two is gone already.
    let said = cluster.run("delete -f sets.yaml");
    assert_eq!((said.code, said.out), (3, format!("{}\n", line("two"))));
    assert!(said.err.contains("one not found"), "{}", said.err);
}

#[test]
fn what_must_stay_stays_and_nothing_is_deleted_by_accident() {
    let cluster = Cluster::new();
    let said = cluster.run("delete tier default");
    assert_eq!(said.code, 1);
    assert!(said.err.contains("built-in tier"), "{}", said.err);
    let said = cluster.run("delete tiers");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("nothing says which"), "{}", said.err);
    assert_eq!(cluster.run("delete").code, 2);
}
