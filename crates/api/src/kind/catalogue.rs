//! The names of every kind, as a table.

use super::{Kind, KindError};

/// Calico's API group.
pub(super) const CALICO_GROUP: &str = "projectcalico.org";

/// Everything that a kind is called.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) short: &'static [&'static str],
    pub(super) namespaced: bool,
}

impl Names {
    /// Whether a lower-case name, and a group beginning or version and group if given, mean this kind.
    pub(super) fn answers_to(&self, name: &str, suffix: Option<&str>) -> bool {
        let named = name == self.plural || name == self.singular || self.short.contains(&name);
        named
            && suffix.is_none_or(|suffix| {
                let versioned = suffix
                    .strip_prefix(self.version)
                    .is_some_and(|rest| rest.strip_prefix('.').unwrap_or(rest) == self.group);
                versioned || (!suffix.is_empty() && self.group.starts_with(suffix))
            })
    }

    pub(super) fn not_supported(&self) -> KindError {
        KindError::NotSupported {
            kind: self.kind,
            api_version: self.api_version,
        }
    }
}

macro_rules! names {
    ($group:literal $version:literal $api_version:literal $kind:literal $plural:literal $singular:literal
        [$($short:literal)*] $namespaced:literal) => {
        Names {
            group: $group,
            version: $version,
            api_version: $api_version,
            kind: $kind,
            plural: $plural,
            singular: $singular,
            short: &[$($short),*],
            namespaced: $namespaced,
        }
    };
}

macro_rules! core {
    ($($rest:tt)*) => { names!("" "v1" "v1" $($rest)*) };
}

macro_rules! calico {
    ($($rest:tt)*) => { names!("projectcalico.org" "v3" "projectcalico.org/v3" $($rest)*) };
}

pub(super) fn of(kind: Kind) -> &'static Names {
    match kind {
        Kind::Namespace => &core!("Namespace" "namespaces" "namespace" ["ns"] false),
        Kind::Node => &core!("Node" "nodes" "node" ["no" "nos"] false),
        Kind::ServiceAccount => {
            &core!("ServiceAccount" "serviceaccounts" "serviceaccount" ["sa"] true)
        }
        Kind::Service => &core!("Service" "services" "service" ["svc"] true),
        Kind::EndpointSlice => &names!(
            "discovery.k8s.io" "v1" "discovery.k8s.io/v1"
            "EndpointSlice" "endpointslices" "endpointslice" [] true
        ),
        Kind::Pod => &core!("Pod" "pods" "pod" ["po"] true),
        Kind::KubernetesNetworkPolicy => &names!(
            "networking.k8s.io" "v1" "networking.k8s.io/v1"
            "NetworkPolicy" "networkpolicies" "networkpolicy" ["netpol"  "knp"] true
        ),
        // Not `cnp`, which upstream claims as well: that is Calico's NetworkPolicy here, as calicoctl has it.
        // A short name that reads one kind and deletes another is worse than one more letter.
        Kind::ClusterNetworkPolicy => &names!(
            "policy.networking.k8s.io" "v1alpha2" "policy.networking.k8s.io/v1alpha2"
            "ClusterNetworkPolicy" "clusternetworkpolicies" "clusternetworkpolicy" ["kcnp"] false
        ),
        Kind::Tier => &calico!("Tier" "tiers" "tier" [] false),
        Kind::GlobalNetworkPolicy => &calico!(
            "GlobalNetworkPolicy" "globalnetworkpolicies" "globalnetworkpolicy"
            ["gnp" "gnps" "cgnp"] false
        ),
        Kind::NetworkPolicy => &calico!(
            "NetworkPolicy" "networkpolicies" "networkpolicy"
            ["cnp" "caliconetworkpolicy" "caliconetworkpolicies" "np" "pol" "pols" "policy" "policies"]
            true
        ),
        Kind::StagedGlobalNetworkPolicy => &calico!(
            "StagedGlobalNetworkPolicy" "stagedglobalnetworkpolicies" "stagedglobalnetworkpolicy"
            ["sgnp" "sgnps"] false
        ),
        Kind::StagedNetworkPolicy => &calico!(
            "StagedNetworkPolicy" "stagednetworkpolicies" "stagednetworkpolicy"
            ["snp" "scnp" "spol" "stagedpolicy" "stagedpolicies"] true
        ),
        Kind::StagedKubernetesNetworkPolicy => &calico!(
            "StagedKubernetesNetworkPolicy" "stagedkubernetesnetworkpolicies"
            "stagedkubernetesnetworkpolicy" ["sknp" "skpol"] true
        ),
        Kind::GlobalNetworkSet => &calico!(
            "GlobalNetworkSet" "globalnetworksets" "globalnetworkset" ["gns" "gnetset" "gnetsets"] false
        ),
        Kind::NetworkSet => {
            &calico!("NetworkSet" "networksets" "networkset" ["netset" "netsets"] true)
        }
        Kind::HostEndpoint => {
            &calico!("HostEndpoint" "hostendpoints" "hostendpoint" ["hep" "heps"] false)
        }
        Kind::WorkloadEndpoint => {
            &calico!("WorkloadEndpoint" "workloadendpoints" "workloadendpoint" ["wep" "weps"] true)
        }
        Kind::Profile => &calico!("Profile" "profiles" "profile" ["pro" "pros"] false),
        Kind::IPPool => &calico!("IPPool" "ippools" "ippool" ["ipp" "ipps" "pool" "pools"] false),
        Kind::ClusterInformation => {
            &calico!("ClusterInformation" "clusterinformations" "clusterinformation" ["clusterinfo" "clusterinfos"] false)
        }
        Kind::FelixConfiguration => {
            &calico!("FelixConfiguration" "felixconfigurations" "felixconfiguration" ["felixconfig" "felixconfigs"] false)
        }
    }
}

macro_rules! apps {
    ($($rest:tt)*) => { names!("apps" "v1" "apps/v1" $($rest)*) };
}

/// Kinds that people use with Kubernetes or Calico and that are refused by name.
pub(super) const FOREIGN: &[Names] = &[
    calico!("IPReservation" "ipreservations" "ipreservation" ["reservation" "reservations"] false),
    calico!("IPAMConfiguration" "ipamconfigurations" "ipamconfiguration"
        ["ipamconfig" "ipamconfigs"] false),
    calico!("IPAMConfig" "ipamconfigs" "ipamconfig" [] false),
    calico!("IPAMBlock" "ipamblocks" "ipamblock" [] false),
    calico!("IPAMHandle" "ipamhandles" "ipamhandle" [] false),
    calico!("BlockAffinity" "blockaffinities" "blockaffinity" ["affinity" "affinities"] false),
    calico!("BGPConfiguration" "bgpconfigurations" "bgpconfiguration"
        ["bgpconfig" "bgpconfigs"] false),
    calico!("BGPPeer" "bgppeers" "bgppeer" ["bgpp" "bgpps" "bp" "bps"] false),
    calico!("BGPFilter" "bgpfilters" "bgpfilter" ["bgpf" "bgpfs" "bf" "bfs"] false),
    calico!("CalicoNodeStatus" "caliconodestatuses" "caliconodestatus"
        ["nodestatus" "nodestatuses"] false),
    calico!("KubeControllersConfiguration" "kubecontrollersconfigurations"
        "kubecontrollersconfiguration" ["kcc" "kccs" "kubecontrollersconfig"] false),
    calico!("LiveMigration" "livemigrations" "livemigration" [] true),
    names!("policy.networking.k8s.io" "v1alpha1" "policy.networking.k8s.io/v1alpha1"
        "AdminNetworkPolicy" "adminnetworkpolicies" "adminnetworkpolicy" ["anp"] false),
    names!("policy.networking.k8s.io" "v1alpha1" "policy.networking.k8s.io/v1alpha1"
        "BaselineAdminNetworkPolicy" "baselineadminnetworkpolicies" "baselineadminnetworkpolicy"
        ["banp"] false),
    names!("networking.k8s.io" "v1" "networking.k8s.io/v1" "Ingress" "ingresses" "ingress" ["ing"] true),
    core!("Endpoints" "endpoints" "endpoints" ["ep"] true),
    core!("ConfigMap" "configmaps" "configmap" ["cm"] true),
    core!("Secret" "secrets" "secret" [] true),
    core!("Event" "events" "event" ["ev"] true),
    core!("PersistentVolumeClaim" "persistentvolumeclaims" "persistentvolumeclaim" ["pvc"] true),
    core!("PersistentVolume" "persistentvolumes" "persistentvolume" ["pv"] false),
    core!("ReplicationController" "replicationcontrollers" "replicationcontroller" ["rc"] true),
    apps!("Deployment" "deployments" "deployment" ["deploy"] true),
    apps!("DaemonSet" "daemonsets" "daemonset" ["ds"] true),
    apps!("StatefulSet" "statefulsets" "statefulset" ["sts"] true),
    apps!("ReplicaSet" "replicasets" "replicaset" ["rs"] true),
    names!("batch" "v1" "batch/v1" "Job" "jobs" "job" [] true),
    names!("batch" "v1" "batch/v1" "CronJob" "cronjobs" "cronjob" ["cj"] true),
    names!("rbac.authorization.k8s.io" "v1" "rbac.authorization.k8s.io/v1"
        "Role" "roles" "role" [] true),
    names!("rbac.authorization.k8s.io" "v1" "rbac.authorization.k8s.io/v1"
        "RoleBinding" "rolebindings" "rolebinding" [] true),
    names!("rbac.authorization.k8s.io" "v1" "rbac.authorization.k8s.io/v1"
        "ClusterRole" "clusterroles" "clusterrole" [] false),
    names!("rbac.authorization.k8s.io" "v1" "rbac.authorization.k8s.io/v1"
        "ClusterRoleBinding" "clusterrolebindings" "clusterrolebinding" [] false),
    names!("apiextensions.k8s.io" "v1" "apiextensions.k8s.io/v1"
        "CustomResourceDefinition" "customresourcedefinitions" "customresourcedefinition"
        ["crd" "crds"] false),
];
