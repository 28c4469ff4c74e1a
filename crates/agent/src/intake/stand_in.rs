//! What is in force instead of an object that cannot be understood.

use oncilla_api::Kind;

/// What is in force instead of a broken object, in words.
pub(super) const fn instead(kind: Kind, has_previous: bool) -> &'static str {
    match kind {
        _ if has_previous => "kept: the version before",
        Kind::GlobalNetworkPolicy | Kind::NetworkPolicy | Kind::KubernetesNetworkPolicy => {
            "what it may select is denied"
        }
        Kind::ClusterNetworkPolicy => {
            "what its faulty rules, or else the policy, may mean is denied"
        }
        Kind::Tier => "it ends with Deny; at an unknown order it is first and allows nothing early",
        Kind::Pod | Kind::WorkloadEndpoint => {
            "its interface is cut off; rules that may mean it deny all that may match, or allow only what surely does"
        }
        Kind::Namespace | Kind::ServiceAccount => {
            "when its labels cannot be read its pods are closed, and rules that may mean them deny them and do not allow them"
        }
        Kind::GlobalNetworkSet | Kind::NetworkSet | Kind::Node => {
            "rules that may mean it deny all that may match, or allow only what surely does"
        }
        Kind::EndpointSlice => {
            "rules that ask for its service deny all that may match, or allow only what surely does"
        }
        Kind::HostEndpoint => {
            "its interface is closed, or all where that cannot be read; failsafes stay open"
        }
        Kind::FelixConfiguration => {
            "what is not at fault holds; what is at fault opens nothing; where its nodeSelector is, nodes let through only what they would with it and without it"
        }
        Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy => {
            "it is not evaluated; staged policies never enforce"
        }
        Kind::Service | Kind::ClusterInformation | Kind::IPPool => "it changes nothing",
        Kind::Profile => {
            "it denies; when its labels cannot be read the host endpoints that list it are closed"
        }
    }
}

/// Whether something must go in force instead of a broken object of this kind.
pub(super) fn has_stand_in(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Tier
            | Kind::Node
            | Kind::Namespace
            | Kind::ServiceAccount
            | Kind::Pod
            | Kind::WorkloadEndpoint
            | Kind::GlobalNetworkSet
            | Kind::NetworkSet
            | Kind::EndpointSlice
            | Kind::GlobalNetworkPolicy
            | Kind::NetworkPolicy
            | Kind::KubernetesNetworkPolicy
            | Kind::ClusterNetworkPolicy
            | Kind::HostEndpoint
            | Kind::Profile
            | Kind::FelixConfiguration
    )
}
