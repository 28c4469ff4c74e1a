//! What objects of other kinds get.

use oncilla_api::Kind;

use crate::check;

#[test]
fn an_unknown_kind_is_suggested() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: NetworkPolcy
metadata:
  name: a
",
        r#"error: policy.yaml:2:7: NetworkPolcy a
       kind: unknown kind "NetworkPolcy" in "projectcalico.org/v3"
help: did you mean `NetworkPolicy`?
"#,
    );
}

#[test]
fn a_strange_kind_lists_what_is_known() {
    check(
        r"apiVersion: example.com/v1
kind: Banana
metadata:
  name: a
",
        r#"error: policy.yaml:2:7: Banana a
       kind: unknown kind "Banana" in "example.com/v1"
help: known kinds: ClusterInformation, ClusterNetworkPolicy, EndpointSlice, FelixConfiguration, GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint, IPPool, Namespace, NetworkPolicy, NetworkSet, Node, Pod, Profile, Service, ServiceAccount, StagedGlobalNetworkPolicy, StagedKubernetesNetworkPolicy, StagedNetworkPolicy, Tier, WorkloadEndpoint
"#,
    );
}

#[test]
fn a_known_kind_is_not_supported_yet() {
    check(
        r"apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata:
  name: router
",
        r"error: policy.yaml:2:7: BGPPeer router
       kind: BGPPeer (projectcalico.org/v3) is not supported yet
help: remove this object from what you apply
",
    );
}

#[test]
fn kinds_of_kubernetes_are_not_supported_yet() {
    check(
        r"apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
",
        r"error: policy.yaml:2:7: Deployment shop/web
       kind: Deployment (apps/v1) is not supported yet
help: remove this object from what you apply
",
    );
}

#[test]
fn a_wrong_version_names_the_right_ones() {
    check(
        r"apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata:
  name: a
",
        r#"error: policy.yaml:1:13: NetworkPolicy a
       apiVersion: kind "NetworkPolicy" is not in "extensions/v1beta1": expected networking.k8s.io/v1 or projectcalico.org/v3
help: write `apiVersion: networking.k8s.io/v1` or `apiVersion: projectcalico.org/v3`
"#,
    );
}

#[test]
fn the_storage_group_of_calico_is_explained() {
    check(
        r"apiVersion: crd.projectcalico.org/v1
kind: GlobalNetworkPolicy
metadata:
  name: a
",
        r#"error: policy.yaml:1:13: GlobalNetworkPolicy a
       apiVersion: kind "GlobalNetworkPolicy" is not in "crd.projectcalico.org/v1": expected projectcalico.org/v3
help: write `apiVersion: projectcalico.org/v3`
"#,
    );
}

#[test]
fn a_missing_kind_is_required() {
    check(
        r"apiVersion: v1
metadata:
  name: a
",
        r#"error: policy.yaml:1:1: "kind" is required
help: an object starts with `apiVersion:` and `kind:`
"#,
    );
}

#[test]
fn a_missing_version_is_suggested() {
    check(
        r"kind: NetworkPolicy
metadata:
  name: a
",
        r#"error: policy.yaml:1:1: NetworkPolicy a
       "apiVersion" is required
help: add `apiVersion: projectcalico.org/v3` or `apiVersion: networking.k8s.io/v1`
"#,
    );
}

#[test]
fn a_kind_of_another_type_is_refused() {
    check(
        r"apiVersion: v1
kind: [Pod]
",
        r"error: policy.yaml:2:1: kind: expected a string
help: write `kind: Pod`
",
    );
}

#[test]
fn items_of_a_list_are_checked() {
    check(
        r"apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata:
    name: a
- apiVersion: v1
  kind: Namespac
",
        r#"error: policy.yaml:9:9: Namespac
       kind: unknown kind "Namespac" in "v1"
help: did you mean `Namespace`?
"#,
    );
}

#[test]
fn items_that_are_no_list_are_refused() {
    check(
        r"apiVersion: v1
kind: PodList
items: words
",
        r"error: policy.yaml:3:1: items: expected a list
help: write the objects below it, each behind `- `
",
    );
}

#[test]
fn words_on_the_command_line_mean_what_kubectl_and_calicoctl_mean() {
    let cases = [
        ("networkpolicy", Kind::KubernetesNetworkPolicy),
        ("NetworkPolicies", Kind::KubernetesNetworkPolicy),
        ("netpol", Kind::KubernetesNetworkPolicy),
        ("networkpolicy.n", Kind::KubernetesNetworkPolicy),
        (
            "networkpolicies.v1.networking.k8s.io",
            Kind::KubernetesNetworkPolicy,
        ),
        ("networkpolicy.p", Kind::NetworkPolicy),
        ("networkpolicies.projectcalico.org", Kind::NetworkPolicy),
        ("networkpolicies.v3.projectcalico.org", Kind::NetworkPolicy),
        ("cnp", Kind::NetworkPolicy),
        ("caliconetworkpolicy", Kind::NetworkPolicy),
        ("gnp", Kind::GlobalNetworkPolicy),
        ("kcnp", Kind::ClusterNetworkPolicy),
        ("sgnp", Kind::StagedGlobalNetworkPolicy),
        ("snp", Kind::StagedNetworkPolicy),
        ("scnp", Kind::StagedNetworkPolicy),
        ("sknp", Kind::StagedKubernetesNetworkPolicy),
        (
            "stagednetworkpolicies.projectcalico.org",
            Kind::StagedNetworkPolicy,
        ),
        ("clusternetworkpolicies", Kind::ClusterNetworkPolicy),
        (
            "clusternetworkpolicy.policy.networking.k8s.io",
            Kind::ClusterNetworkPolicy,
        ),
        ("po", Kind::Pod),
        ("pods", Kind::Pod),
        ("ns", Kind::Namespace),
        ("netsets", Kind::NetworkSet),
        ("tiers", Kind::Tier),
        ("hep", Kind::HostEndpoint),
        ("heps", Kind::HostEndpoint),
        ("wep", Kind::WorkloadEndpoint),
        ("profiles", Kind::Profile),
        ("ipp", Kind::IPPool),
        ("pool", Kind::IPPool),
        ("clusterinfo", Kind::ClusterInformation),
        ("felixconfig", Kind::FelixConfiguration),
    ];
    for (word, kind) in cases {
        assert_eq!(Kind::parse(word), Ok(kind), "{word}");
    }
    let refused = |word| Kind::parse(word).unwrap_err().to_string();
    assert_eq!(
        refused("bgpp"),
        "BGPPeer (projectcalico.org/v3) is not supported yet"
    );
    assert_eq!(
        refused("deployments.apps"),
        "Deployment (apps/v1) is not supported yet"
    );
    assert_eq!(refused("pdos"), "unknown kind \"pdos\": did you mean pods?");
    assert_eq!(
        refused("networkpolicies.crd.projectcalico.org"),
        "unknown kind \"networkpolicies.crd.projectcalico.org\": did you mean networkpolicies?"
    );
    assert_eq!(refused("zzzzzz"), "unknown kind \"zzzzzz\"");
}
