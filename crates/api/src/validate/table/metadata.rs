//! Names, namespaces, labels and annotations. These are checked for every kind, Kubernetes' own as well.

use super::{GLOBAL_POLICIES, NAMESPACED_POLICIES, SETS, rows};
use crate::kind::Kind;

/// Every kind.
const EVERY: &[Kind] = &Kind::ALL;
/// The kinds whose objects live in a namespace.
const NAMESPACED: &[Kind] = &[
    Kind::ServiceAccount,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::NetworkSet,
    Kind::NetworkPolicy,
    Kind::KubernetesNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
    Kind::WorkloadEndpoint,
    Kind::Pod,
];
/// The kinds whose objects live in none.
const OF_THE_CLUSTER: &[Kind] = &[
    Kind::Namespace,
    Kind::Node,
    Kind::Tier,
    Kind::ClusterInformation,
    Kind::FelixConfiguration,
    Kind::IPPool,
    Kind::Profile,
    Kind::GlobalNetworkSet,
    Kind::GlobalNetworkPolicy,
    Kind::ClusterNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
    Kind::HostEndpoint,
];
/// The kinds whose names are DNS subdomains.
const SUBDOMAINS: &[Kind] = &[
    Kind::Node,
    Kind::ServiceAccount,
    Kind::ClusterInformation,
    Kind::FelixConfiguration,
    Kind::IPPool,
    Kind::Profile,
    Kind::EndpointSlice,
    Kind::GlobalNetworkSet,
    Kind::NetworkSet,
    Kind::KubernetesNetworkPolicy,
    Kind::ClusterNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
    Kind::HostEndpoint,
    Kind::WorkloadEndpoint,
    Kind::Pod,
];

rows! {
    NAME_MISSING = "metadata.name-missing" for EVERY, "metadata.name", "§4.2",
        says "\"name\" is required",
        mend "add `name:` to `metadata:`";
    NAME_LENGTH = "metadata.name-length" for EVERY, "metadata.name", "§4.2",
        says "name is too long by {0} bytes",
        mend "write at most {1} bytes";
    NAME_SUBDOMAIN = "metadata.name-subdomain" for SUBDOMAINS, "metadata.name", "§4.2",
        says "name must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character",
        mend "write a name like my-name or my-name.example";
    NAME_LABEL = "metadata.name-label" for &[Kind::Namespace, Kind::Tier], "metadata.name", "§1.1, §4.2",
        says "name must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character",
        mend "write a name like my-name: without dots, at most 63 bytes";
    NAME_SERVICE = "metadata.name-service" for &[Kind::Service], "metadata.name", "Kubernetes",
        says "name must consist of lower case alphanumeric characters or '-', start with a letter and end with an alphanumeric character",
        mend "write a name like my-name";
    NAME_POLICY = "metadata.name-policy" for NAMESPACED_POLICIES, "metadata.name", "§4.2",
        says "name must consist of lower case alphanumeric characters or '-', with at most one '.', and start and end with an alphanumeric character",
        mend "write a name like my-policy or my-tier.my-policy, each part at most 63 bytes";
    NAME_GLOBAL_POLICY = "metadata.name-global-policy" for GLOBAL_POLICIES, "metadata.name", "§4.2",
        says "name must consist of lower case alphanumeric characters or '-', with at most one '.', and start and end with an alphanumeric character",
        mend "write a name like my-policy or my-tier.my-policy, each part at most 63 bytes";
    NAMESPACE_NAME = "metadata.namespace" for NAMESPACED, "metadata.namespace", "§4.2",
        says "namespace {0}",
        mend "write the name of a namespace, as in default";
    NAMESPACE_UNWANTED = "metadata.namespace-unwanted" for OF_THE_CLUSTER, "metadata.namespace", "§5.3",
        says "{0} objects belong to no namespace",
        mend "remove `namespace:`";
    LABEL_NAME = "metadata.label-name" for EVERY, "metadata.labels", "§4.2",
        says "label name {0}",
        mend "write a name like app or example.org/app";
    LABEL_VALUE = "metadata.label-value" for EVERY, "metadata.labels", "§4.2",
        says "label value {0}",
        mend "write letters, digits, '-', '_' and '.', or the empty value";
    ANNOTATION_NAME = "metadata.annotation-name" for EVERY, "metadata.annotations", "§4.2",
        says "annotation name {0}",
        mend "write a name like note or example.org/note";
    ANNOTATIONS_SIZE = "metadata.annotations-size" for EVERY, "metadata.annotations", "§4.2",
        says "total size of annotations is too large by {0} bytes",
        mend "keep large notes elsewhere: all names and values together have at most 256 KiB";
    NAMESPACE_LABEL = "set.namespace-label" for SETS, "metadata.labels", "§1.8, §4.2",
        says "projectcalico.org/namespace is not a valid label name",
        mend "remove it: a NetworkSet gets it from its namespace";
}
