//! Names, namespaces, labels and annotations.

use super::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    names().into_iter().chain(notes()).collect()
}

fn names() -> Vec<Case> {
    let long = "a".repeat(63);
    vec![
        case(
            "metadata.name-missing",
            "metadata: {name: a}",
            "metadata: {labels: {a: b}}",
            "metadata.name",
        ),
        case(
            "metadata.name-length",
            format!("metadata: {{name: {long}}}"),
            format!("metadata: {{name: {}}}", "a".repeat(254)),
            "metadata.name",
        ),
        case(
            "metadata.name-subdomain",
            "metadata: {name: my-name.example.org}",
            "metadata: {name: My_Name}",
            "metadata.name",
        ),
        case(
            "metadata.name-label",
            "metadata: {name: my-name}",
            "metadata: {name: my.name}",
            "metadata.name",
        ),
        case(
            "metadata.name-service",
            "metadata: {name: web-1}",
            "metadata: {name: 1-web}",
            "metadata.name",
        ),
        case(
            "metadata.name-policy",
            "metadata: {name: knp.default.my.policy}",
            "metadata: {name: my.own.policy}",
            "metadata.name",
        ),
        case(
            "metadata.name-global-policy",
            "metadata: {name: tier.policy}",
            "metadata: {name: knp.default.policy}",
            "metadata.name",
        ),
    ]
}

fn notes() -> Vec<Case> {
    let long = "a".repeat(63);
    let longest_value = "v".repeat(63);
    let large = "x".repeat(256 * 1024 - 1);
    vec![
        case(
            "metadata.namespace",
            "metadata: {name: a, namespace: kube-system}",
            "metadata: {name: a, namespace: kube.system}",
            "metadata.namespace",
        )
        .says("namespace must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character"),
        case(
            "metadata.namespace-unwanted",
            "metadata: {name: a, namespace: ''}",
            "metadata: {name: a, namespace: default}",
            "metadata.namespace",
        )
        .says("{kind} objects belong to no namespace"),
        case(
            "metadata.label-name",
            format!("metadata: {{name: a, labels: {{example.org/{long}: x}}}}"),
            format!("metadata: {{name: a, labels: {{b{long}: x}}}}"),
            "metadata.labels.baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        )
        .says("label name is too long by 1 bytes"),
        case(
            "metadata.label-value",
            format!("metadata: {{name: a, labels: {{app: {longest_value}, empty: ''}}}}"),
            "metadata: {name: a, labels: {app: -x}}",
            "metadata.labels.app",
        )
        .says("label value must be empty or consist of alphanumeric characters, '-', '_' or '.', and start and end with an alphanumeric character"),
        case(
            "metadata.annotation-name",
            "metadata: {name: a, annotations: {Example.org/Note: 'any text: at all'}}",
            "metadata: {name: a, annotations: {a/b/c: x}}",
            "metadata.annotations.a/b/c",
        )
        .says("annotation name must consist of alphanumeric characters, '-', '_' or '.', start and end with an alphanumeric character, optionally with a DNS name and '/' in front"),
        case(
            "metadata.annotations-size",
            format!("metadata: {{name: a, annotations: {{n: {large}}}}}"),
            format!("metadata: {{name: a, annotations: {{n: {large}xyz}}}}"),
            "metadata.annotations",
        )
        .says("total size of annotations is too large by 3 bytes"),
        case(
            "set.namespace-label",
            "metadata: {name: a, labels: {projectcalico.org/other: default}}",
            "metadata: {name: a, labels: {projectcalico.org/namespace: default}}",
            "metadata.labels.projectcalico.org/namespace",
        ),
    ]
}
