//! Names, namespaces, labels and annotations, by kind.

use super::{Errors, labels};
use crate::field::{Code, FieldError};
use crate::kind::Kind;
use crate::names::{self, NameError};
use crate::object::Object;

pub(super) fn check(object: &Object, errors: &mut Errors) {
    let kind = object.kind();
    let metadata = object.metadata();
    check_name(kind, &metadata.name, errors);
    match metadata.namespace.as_deref() {
        Some(namespace) if kind.namespaced() => {
            errors.check("metadata.namespace", names::dns_label(namespace));
        }
        Some(namespace) if !namespace.is_empty() => {
            let message = format!("{kind} objects belong to no namespace");
            errors.push(
                FieldError::new("metadata.namespace", message)
                    .pointing_at_key()
                    .with_help("remove `namespace:`"),
            );
        }
        Some(_) | None => {}
    }
    labels::check("metadata.labels", &metadata.labels, errors);
    labels::check_annotations("metadata.annotations", &metadata.annotations, errors);
}

fn check_name(kind: Kind, name: &str, errors: &mut Errors) {
    if name.is_empty() {
        let error = FieldError::new("metadata.name", "\"name\" is required")
            .with_code(Code::MissingField)
            .with_help("add `name:` to `metadata:`");
        return errors.push(error);
    }
    let result = match kind {
        Kind::Namespace | Kind::Tier => names::dns_label(name),
        Kind::Service => names::dns_1035_label(name),
        Kind::NetworkPolicy => names::network_policy(name),
        Kind::GlobalNetworkPolicy => names::global_network_policy(name),
        Kind::Node
        | Kind::ServiceAccount
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::KubernetesNetworkPolicy
        | Kind::ClusterNetworkPolicy
        | Kind::Pod => names::dns_subdomain(name),
    };
    if let Err(error) = result {
        let fault = FieldError::new("metadata.name", format!("name {error}"));
        errors.push(match suggestion(&error, name) {
            Some(help) => fault.with_help(help),
            None => fault,
        });
    }
}

/// A name that is nearly the one written, when a simple change makes it valid.
fn suggestion(error: &NameError, name: &str) -> Option<String> {
    let NameError::Letters { .. } = error else {
        return None;
    };
    let mended = name.to_ascii_lowercase().replace(['_', ' '], "-");
    (mended != name && names::dns_label(&mended).is_ok()).then(|| format!("write `name: {mended}`"))
}
