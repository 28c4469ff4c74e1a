//! Pods, namespaces, service accounts, sets and tiers.

use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{Change, Endpoint, Labels};
use serde_json::{Value, json};

use super::render::change;

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write json! in place"
)]
fn endpoint(spec: Value, status: Value, annotations: Value) -> Option<Arc<Endpoint>> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "labels": {"app": "web"},
            "annotations": annotations},
        "spec": spec, "status": status});
    match change(pod) {
        Change::Endpoint(key, endpoint) => {
            assert_eq!(key.to_string(), "shop/web-0");
            endpoint
        }
        other => panic!("no endpoint: {other:?}"),
    }
}

fn spec() -> Value {
    json!({"nodeName": "n0", "containers": [{"name": "c", "image": "i", "ports": [
        {"name": "http", "containerPort": 80}, {"containerPort": 81},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]})
}

fn text(labels: &Labels) -> Vec<String> {
    labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn addrs(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn pods_become_endpoints() {
    let status = json!({"podIP": "fd00::1", "podIPs": [{"ip": "fd00::1"}, {"ip": "10.0.0.1"}]});
    let endpoint = endpoint(spec(), status, json!({})).unwrap();
    // The first eleven digits of sha1("shop.web-0").
    assert_eq!(endpoint.interface.len(), 15);
    assert!(endpoint.interface.starts_with("cali"));
    assert_eq!(endpoint.addresses, addrs(&["10.0.0.1", "fd00::1"]));
    assert_eq!(
        text(&endpoint.labels),
        [
            "app=web",
            "projectcalico.org/namespace=shop",
            "projectcalico.org/orchestrator=k8s",
            "projectcalico.org/serviceaccount=default"
        ]
    );
    let profiles: Vec<String> = endpoint.profiles.iter().map(ToString::to_string).collect();
    assert_eq!(profiles, ["kns.shop", "ksa.shop.default"]);
    let ports: Vec<String> = endpoint
        .ports
        .iter()
        .map(|p| format!("{} {} {}", p.name, p.protocol, p.port))
        .collect();
    assert_eq!(ports, ["dns udp 53", "http tcp 80"]);
}

#[test]
fn interfaces_are_named_as_calico_names_them() {
    let converter = oncilla_model::Converter::default();
    // From coreutils: printf default.nginx | sha1sum.
    assert_eq!(&*converter.interface("default", "nginx"), NGINX);
}

const NGINX: &str = "calic440f455693";

#[test]
fn pods_without_a_network_of_their_own_are_no_endpoints() {
    let mut host = spec();
    host["hostNetwork"] = json!(true);
    assert_eq!(
        endpoint(host, json!({"podIP": "10.0.0.1"}), json!({})),
        None
    );
    let mut unscheduled = spec();
    unscheduled["nodeName"] = json!("");
    assert_eq!(endpoint(unscheduled, json!({}), json!({})), None);
}

#[test]
fn finished_pods_keep_no_address() {
    for phase in ["Succeeded", "Failed"] {
        let status = json!({"phase": phase, "podIP": "10.0.0.1"});
        assert!(
            endpoint(spec(), status, json!({}))
                .unwrap()
                .addresses
                .is_empty()
        );
    }
}

#[test]
fn addresses_come_from_the_first_place_that_has_any() {
    let noted = json!({"cni.projectcalico.org/podIP": "10.0.0.3/32",
        "cni.projectcalico.org/podIPs": "10.0.0.2/32, fd00::2/128"});
    let both = endpoint(spec(), json!({}), noted.clone()).unwrap();
    assert_eq!(both.addresses, addrs(&["10.0.0.2", "fd00::2"]));
    let status = endpoint(spec(), json!({"podIP": "10.0.0.9"}), noted).unwrap();
    assert_eq!(status.addresses, addrs(&["10.0.0.9"]));
}

#[test]
fn long_account_names_are_no_label() {
    let mut long = spec();
    long["serviceAccountName"] = json!("a".repeat(63));
    let endpoint = endpoint(long, json!({}), json!({})).unwrap();
    assert_eq!(endpoint.labels.len(), 3);
    assert_eq!(
        endpoint.profiles[1].to_string(),
        format!("ksa.shop.{}", "a".repeat(63))
    );
}

#[test]
fn a_pod_cannot_say_what_the_platform_says() {
    for account in ["robot".to_owned(), "a".repeat(63)] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web-0", "namespace": "shop", "labels": {
                "projectcalico.org/namespace": "bank",
                "projectcalico.org/orchestrator": "cni",
                "projectcalico.org/serviceaccount": "admin"}},
            "spec": {"nodeName": "n0", "serviceAccountName": account,
                "containers": [{"name": "c", "image": "i"}]}});
        let Change::Endpoint(_, Some(endpoint)) = change(pod) else {
            panic!("no endpoint")
        };
        let mut expected = vec![
            "projectcalico.org/namespace=shop".to_owned(),
            "projectcalico.org/orchestrator=k8s".to_owned(),
        ];
        expected.extend(
            (account == "robot").then(|| format!("projectcalico.org/serviceaccount={account}")),
        );
        assert_eq!(text(&endpoint.labels), expected);
    }
}

#[test]
fn namespaces_and_accounts_become_profiles() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"env": "prod"}}});
    let Change::Profile(name, Some(profile)) = change(namespace) else {
        panic!("no profile")
    };
    assert_eq!(name.to_string(), "kns.shop");
    assert_eq!((profile.ingress.len(), profile.egress.len()), (1, 1));
    let labels = text(&profile.labels);
    assert!(labels.contains(&"pcns.env=prod".to_owned()), "{labels:?}");
    assert!(
        labels.contains(&"pcns.projectcalico.org/name=shop".to_owned()),
        "{labels:?}"
    );
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"role": "front"}}});
    let Change::Profile(name, Some(profile)) = change(account) else {
        panic!("no profile")
    };
    assert_eq!(name.to_string(), "ksa.shop.web");
    assert_eq!(profile.ingress.len() + profile.egress.len(), 0);
    assert_eq!(
        text(&profile.labels),
        ["pcsa.projectcalico.org/name=web", "pcsa.role=front"]
    );
}

#[test]
fn sets_of_a_namespace_inherit_its_labels() {
    let set = |kind: &str| {
        let namespace = (kind == "NetworkSet").then_some("shop");
        let value = json!({"apiVersion": "projectcalico.org/v3", "kind": kind,
            "metadata": {"name": "s", "namespace": namespace, "labels": {"a": "x"}},
            "spec": {"nets": ["10.2.0.0/16", "10.1.0.1", "10.2.0.0/16"]}});
        let Change::NetworkSet(_, Some(set)) = change(value) else {
            panic!("no set")
        };
        let nets: Vec<String> = set.nets.iter().map(ToString::to_string).collect();
        assert_eq!(nets, ["10.1.0.1/32", "10.2.0.0/16"]);
        (text(&set.labels), set.profiles.len())
    };
    assert_eq!(set("GlobalNetworkSet"), (vec!["a=x".to_owned()], 0));
    let own = vec![
        "a=x".to_owned(),
        "projectcalico.org/namespace=shop".to_owned(),
    ];
    assert_eq!(set("NetworkSet"), (own, 1));
}

#[test]
fn tiers_without_an_order_stand_at_a_million() {
    let tier = json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier",
        "metadata": {"name": "t"}, "spec": {}});
    let Change::Tier(_, Some(tier)) = change(tier) else {
        panic!("no tier")
    };
    assert_eq!(tier.order.value().to_bits(), 1_000_000_f64.to_bits());
    assert_eq!(tier.end, oncilla_model::TierEnd::Deny);
}

#[test]
fn the_old_name_of_the_service_account_still_counts() {
    let mut old = spec();
    old["serviceAccount"] = json!("old");
    old.as_object_mut().unwrap().remove("serviceAccountName");
    let pod = endpoint(old.clone(), json!({}), json!({})).unwrap();
    assert_eq!(pod.profiles[1].to_string(), "ksa.shop.old");
    old["serviceAccountName"] = json!("new");
    let pod = endpoint(old, json!({}), json!({})).unwrap();
    assert_eq!(pod.profiles[1].to_string(), "ksa.shop.new");
}
