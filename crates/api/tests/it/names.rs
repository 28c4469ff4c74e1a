//! What bad names and labels get.

use crate::check;

#[test]
fn a_missing_name_is_required() {
    check(
        r"apiVersion: v1
kind: Namespace
metadata: {}
",
        r#"error: policy.yaml:3:1: Namespace
       metadata.name: "name" is required
help: add `name:` to `metadata:`
"#,
    );
}

#[test]
fn a_name_that_is_not_dns_is_refused() {
    check(
        r"apiVersion: v1
kind: Pod
metadata:
  name: My_Pod
spec:
  containers:
  - name: c
",
        r"error: policy.yaml:4:9: Pod default/My_Pod
       metadata.name: name must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character
help: write `name: my-pod`
",
    );
}

#[test]
fn a_long_name_is_refused() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: Tier
metadata:
  name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
",
        r"error: policy.yaml:4:9: Tier aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
       metadata.name: name is too long by 7 bytes
help: write at most 63 bytes
",
    );
}

#[test]
fn a_tier_has_no_dot() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: Tier
metadata:
  name: a.b
",
        r"error: policy.yaml:4:9: Tier a.b
       metadata.name: name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character
help: write a name like my-name: without dots, at most 63 bytes
",
    );
}

#[test]
fn a_policy_has_one_dot_at_most() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: a.b.c
spec:
  selector: all()
",
        r"error: policy.yaml:4:9: GlobalNetworkPolicy a.b.c
       metadata.name: name must consist of lower case alphanumeric characters or '-', with at most one '.', and start and end with an alphanumeric character
help: write a name like my-policy or my-tier.my-policy, each part at most 63 bytes
",
    );
}

#[test]
fn a_cluster_object_has_no_namespace() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: Tier
metadata:
  name: a
  namespace: b
",
        r"error: policy.yaml:5:3: Tier b/a
       metadata.namespace: Tier objects belong to no namespace
help: remove `namespace:`
",
    );
}

#[test]
fn labels_and_annotations_have_rules() {
    check(
        r"apiVersion: v1
kind: Namespace
metadata:
  name: a
  labels:
    -app: x
    role: a b
  annotations:
    a/b/c: fine
",
        r"error: policy.yaml:6:5: Namespace a
       metadata.labels.-app: label name must consist of alphanumeric characters, '-', '_' or '.', start and end with an alphanumeric character, optionally with a DNS name and '/' in front
help: write a name like app or example.org/app
error: policy.yaml:7:11: Namespace a
       metadata.labels.role: label value must be empty or consist of alphanumeric characters, '-', '_' or '.', and start and end with an alphanumeric character
help: write letters, digits, '-', '_' and '.', or the empty value
error: policy.yaml:9:5: Namespace a
       metadata.annotations.a/b/c: annotation name must consist of alphanumeric characters, '-', '_' or '.', start and end with an alphanumeric character, optionally with a DNS name and '/' in front
help: write a name like note or example.org/note
",
    );
}

#[test]
fn a_network_set_cannot_claim_a_namespace() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata:
  name: a
  labels:
    projectcalico.org/namespace: production
",
        r"error: policy.yaml:6:5: GlobalNetworkSet a
       metadata.labels.projectcalico.org/namespace: projectcalico.org/namespace is not a valid label name
help: remove it: a NetworkSet gets it from its namespace
",
    );
}
