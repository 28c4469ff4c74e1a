//! Paths as a kube-apiserver knows them.

use super::collection::{Collection, collection_path, object_target};
use crate::object::{Kind, ObjectKey};

#[test]
fn paths_are_those_of_kubernetes() {
    assert_eq!(collection_path(Kind::Pod, None), "/api/v1/pods");
    assert_eq!(
        collection_path(Kind::KubernetesNetworkPolicy, Some("web")),
        "/apis/networking.k8s.io/v1/namespaces/web/networkpolicies"
    );
    let key = ObjectKey::namespaced(Kind::NetworkPolicy, "web", "allow");
    assert_eq!(
        object_target(&key, "status", &[("dryRun", "All")]),
        "/apis/projectcalico.org/v3/namespaces/web/networkpolicies/allow/status?dryRun=All"
    );
    let key = ObjectKey::cluster(Kind::Namespace, "web");
    assert_eq!(object_target(&key, "", &[]), "/api/v1/namespaces/web");
}

#[test]
fn what_a_name_holds_stays_in_its_segment() {
    let key = ObjectKey::namespaced(Kind::Pod, "a/b", "c?d=e #\u{e4}");
    assert_eq!(
        object_target(&key, "", &[]),
        "/api/v1/namespaces/a%2Fb/pods/c%3Fd%3De%20%23%C3%A4"
    );
    let collection = Collection::of(Kind::Pod).labelled("app=web,!old");
    assert_eq!(
        collection.target(&[("watch", "1")]),
        "/api/v1/pods?labelSelector=app%3Dweb%2C%21old&watch=1"
    );
}
