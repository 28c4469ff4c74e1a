//! Policies that cannot be understood.

use std::sync::Arc;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_model::{Action, Change, Converter};
use serde_json::json;

fn broken(selector: &str) -> Object {
    let value = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": {
        "tier": "security", "order": 7, "selector": selector,
        "egress": [{"action": "Allow", "destination": {"nets": ["nonsense"]}}]}});
    Object::decode(Kind::NetworkPolicy, value).unwrap()
}

#[test]
fn what_a_refused_policy_selects_is_denied() {
    let converter = Converter::default();
    let object = broken("app == 'web'");
    let refused = converter.convert(&object).unwrap_err();
    assert_eq!(
        refused.reasons[0].path,
        "spec.egress[0].destination.nets[0]"
    );
    let policy = converter
        .deny_version(&object.key(), Some(&object))
        .unwrap();
    assert_eq!(
        policy.selector.to_string(),
        r#"(app == "web" && projectcalico.org/namespace == "shop")"#
    );
    assert_eq!(
        (policy.tier.to_string().as_str(), policy.ingress.is_some()),
        ("security", false)
    );
    assert_eq!(policy.egress.unwrap()[0].action, Action::Deny);
}

#[test]
fn an_unreadable_selector_means_everybody() {
    let converter = Converter::default();
    let object = broken("app ==");
    let policy = converter
        .deny_version(&object.key(), Some(&object))
        .unwrap();
    assert_eq!(
        policy.selector.to_string(),
        r#"projectcalico.org/namespace == "shop""#
    );
    let key = ObjectKey::cluster(Kind::GlobalNetworkPolicy, "p");
    let policy = converter.deny_version(&key, None).unwrap();
    assert_eq!(policy.selector.to_string(), "all()");
    assert!(policy.ingress.is_some() && policy.egress.is_some());
    assert_eq!(
        converter.deny_version(&ObjectKey::cluster(Kind::Tier, "t"), None),
        None
    );
}

#[test]
fn a_previous_version_stays() {
    let converter = Converter::default();
    let object = broken("app ==");
    let previous = converter
        .deny_version(&object.key(), Some(&object))
        .map(Arc::new)
        .unwrap();
    assert_eq!(
        converter.closed(&object.key(), Some(&object), Some(&previous)),
        []
    );
    let changes = converter.closed(&object.key(), Some(&object), None);
    assert!(matches!(&changes[..], [Change::Policy(_, Some(_))]));
}
