//! What makes an object invalid: one module a family of kinds, each a list of checks in the order of the
//! fields. What is said of Calico's kinds stands in the table, with its source; texts that users of Calico know
//! are kept (semantics page §4).

mod cluster;
mod discovery;
mod felix;
mod host;
mod k8s;
mod labels;
mod metadata;
mod npa;
mod rule;
mod selector;
mod staged;
mod strangers;
pub(crate) mod table;
mod v1;
mod v3;
mod workload;

use std::fmt::Display;

use oncilla_net::{CidrError, IpNet};

use crate::field::{ERRORS_MAX, FieldError};
use crate::object::Object;

pub use table::{Check, checks};

impl Object {
    /// Everything that is wrong with a defaulted object, in the order of its fields; empty when it is valid.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Errors::default();
        metadata::check(self, &mut errors);
        match self {
            Self::Namespace(namespace) => strangers::namespace(&namespace.rest, &mut errors),
            Self::ServiceAccount(account) => strangers::service_account(&account.rest, &mut errors),
            Self::Node(node) => v1::node(node, &mut errors),
            Self::Service(service) => v1::service(service, &mut errors),
            Self::EndpointSlice(slice) => discovery::slice(slice, &mut errors),
            Self::Pod(pod) => v1::pod(pod, &mut errors),
            Self::KubernetesNetworkPolicy(policy) => k8s::policy(policy, &mut errors),
            Self::ClusterNetworkPolicy(policy) => npa::policy(policy, &mut errors),
            Self::Tier(tier) => v3::tier(tier, &mut errors),
            Self::GlobalNetworkSet(set) => v3::network_set(&set.metadata, &set.spec, &mut errors),
            Self::NetworkSet(set) => v3::network_set(&set.metadata, &set.spec, &mut errors),
            Self::GlobalNetworkPolicy(policy) => v3::global_policy(&policy.spec, &mut errors),
            Self::NetworkPolicy(policy) => v3::policy(&policy.spec, &mut errors),
            Self::StagedGlobalNetworkPolicy(_)
            | Self::StagedNetworkPolicy(_)
            | Self::StagedKubernetesNetworkPolicy(_) => staged::policy(self, &mut errors),
            Self::ClusterInformation(_) => {}
            Self::FelixConfiguration(configuration) => felix::check(configuration, &mut errors),
            Self::IPPool(pool) => cluster::pool(&pool.spec, &mut errors),
            Self::Profile(profile) => host::profile(&profile.spec, &mut errors),
            Self::HostEndpoint(endpoint) => host::endpoint(&endpoint.spec, &mut errors),
            Self::WorkloadEndpoint(endpoint) => workload::endpoint(endpoint, &mut errors),
        }
        errors.finish()
    }

    /// What the object as written does not quite mean; to be asked before defaulting.
    pub fn warnings(&self) -> Vec<FieldError> {
        match self {
            Self::KubernetesNetworkPolicy(policy) => k8s::warnings(policy),
            Self::ClusterNetworkPolicy(policy) => npa::warnings(policy),
            Self::StagedKubernetesNetworkPolicy(policy) => k8s::warnings(&policy.promoted()),
            _ => Vec::new(),
        }
    }
}

/// How to mend a number that is no port.
pub(crate) const PORT_HELP: &str = "write a port from 1 to 65535";

/// The faults so far.
#[derive(Debug, Default)]
struct Errors {
    list: Vec<FieldError>,
    /// Faults beyond [`ERRORS_MAX`]: a hundred thousand of them in a set help nobody.
    more: usize,
}

impl Errors {
    fn push(&mut self, error: FieldError) {
        if self.list.len() < ERRORS_MAX {
            self.list.push(error);
        } else {
            self.more += 1;
        }
    }

    /// The faults, and that there are more when there are. Nothing of such an object can be relied on.
    fn finish(mut self) -> Vec<FieldError> {
        if self.more > 0 {
            let message = format!("{} more faults are not told", self.more);
            let error = FieldError::new("", message);
            self.list.push(error.with_help("mend those above first"));
        }
        self.list
    }

    /// A field that breaks a row of the table.
    fn broken(&mut self, check: &Check, path: impl Into<String>) {
        self.push(check.at(path));
    }

    /// A list with more items than a row of the table allows.
    fn too_many(&mut self, check: &Check, path: impl Display, count: usize, max: usize) {
        if count > max {
            self.push(check.with(path.to_string(), &[&count]).pointing_at_key());
        }
    }

    /// A value that is not allowed.
    fn invalid(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.push(FieldError::new(path, message));
    }

    /// The reason why a check failed, if it did.
    fn check<E: Display>(&mut self, path: impl Display, result: Result<(), E>) {
        if let Err(error) = result {
            self.invalid(path.to_string(), error.to_string());
        }
    }

    /// The reason why a text is no CIDR, if it is none.
    fn cidr(&mut self, path: impl Display, result: Result<IpNet, CidrError>) -> Option<IpNet> {
        result
            .map_err(|error| self.push(FieldError::of_cidr(path.to_string(), &error)))
            .ok()
    }

    /// A number that is no port; `message` is in the words of whose schema it is.
    fn port(&mut self, path: impl Into<String>, message: &str) {
        self.push(FieldError::new(path, message).with_help(PORT_HELP));
    }

    /// A list with more items than allowed.
    fn count(&mut self, path: &str, count: usize, max: usize) {
        if count > max {
            let message = format!("has {count} items, more than the limit of {max}");
            self.push(FieldError::new(path, message).pointing_at_key());
        }
    }
}
