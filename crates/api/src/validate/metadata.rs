//! Names, namespaces, labels and annotations, by kind.

use super::table::metadata as table;
use super::{Check, Errors, labels};
use crate::field::Code;
use crate::kind::Kind;
use crate::names::{self, NameError};
use crate::object::Object;

pub(super) fn check(object: &Object, errors: &mut Errors) {
    let kind = object.kind();
    let metadata = object.metadata();
    check_name(kind, &metadata.name, errors);
    match metadata.namespace.as_deref() {
        Some(namespace) if kind.namespaced() => {
            if let Err(error) = names::dns_label(namespace) {
                errors.push(table::NAMESPACE_NAME.with("metadata.namespace", &[&error]));
            }
        }
        Some(namespace) if !namespace.is_empty() => {
            let error = table::NAMESPACE_UNWANTED.with("metadata.namespace", &[&kind]);
            errors.push(error.pointing_at_key());
        }
        Some(_) | None => {}
    }
    labels::check("metadata.labels", &metadata.labels, errors);
    labels::check_annotations("metadata.annotations", &metadata.annotations, errors);
}

/// Whether a text is a name of some sort.
type NameRule = fn(&str) -> Result<(), NameError>;

fn check_name(kind: Kind, name: &str, errors: &mut Errors) {
    if name.is_empty() {
        let error = table::NAME_MISSING.at("metadata.name");
        return errors.push(error.with_code(Code::MissingField));
    }
    let (rule, check): (NameRule, &Check) = match kind {
        Kind::Namespace | Kind::Tier => (names::dns_label, &table::NAME_LABEL),
        Kind::Service => (names::dns_1035_label, &table::NAME_SERVICE),
        Kind::NetworkPolicy | Kind::StagedNetworkPolicy => {
            (names::network_policy, &table::NAME_POLICY)
        }
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy => {
            (names::global_network_policy, &table::NAME_GLOBAL_POLICY)
        }
        Kind::Node
        | Kind::ServiceAccount
        | Kind::EndpointSlice
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::KubernetesNetworkPolicy
        | Kind::ClusterNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::IPPool
        | Kind::Profile
        | Kind::HostEndpoint
        | Kind::WorkloadEndpoint
        | Kind::Pod => (names::dns_subdomain, &table::NAME_SUBDOMAIN),
    };
    match rule(name) {
        Ok(()) => {}
        Err(NameError::TooLong { over }) => {
            let most = name.len() - over;
            errors.push(table::NAME_LENGTH.with("metadata.name", &[&over, &most]));
        }
        Err(NameError::Empty | NameError::Letters { .. }) => {
            let fault = check.at("metadata.name");
            errors.push(match suggestion(name) {
                Some(help) => fault.with_help(help),
                None => fault,
            });
        }
    }
}

/// A name that is nearly the one written, when a simple change makes it valid.
fn suggestion(name: &str) -> Option<String> {
    let mended = name.to_ascii_lowercase().replace(['_', ' '], "-");
    (mended != name && names::dns_label(&mended).is_ok()).then(|| format!("write `name: {mended}`"))
}
