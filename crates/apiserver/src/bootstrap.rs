//! What is there before anybody writes: the built-in tiers, the profile that allows everything, what the cluster
//! says of itself, the namespace `default`, and in each namespace the service account `default`.

use oncilla_api::v3::DEFAULT_ALLOW_PROFILE;
use oncilla_api::{Kind, ObjectKey};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::metadata::new_uid;
use crate::writing::Writer;

/// Name, order and default action of the tiers that exist from the start and cannot be deleted.
pub const BUILT_IN_TIERS: [(&str, u64, &str); 3] = [
    ("kube-admin", 1000, "Pass"),
    ("default", 1_000_000, "Deny"),
    ("kube-baseline", 10_000_000, "Pass"),
];

/// The namespace that exists from the start, and the service account in every namespace.
pub(crate) const DEFAULT: &str = "default";

pub(crate) fn is_built_in_tier(name: &str) -> bool {
    BUILT_IN_TIERS.iter().any(|(tier, _, _)| *tier == name)
}

/// Makes what is missing; what is there stays as it is.
pub(crate) fn bootstrap(writer: &Writer) -> Result<(), Failure> {
    for (name, order, action) in BUILT_IN_TIERS {
        let key = ObjectKey::cluster(Kind::Tier, name);
        let spec = json!({ "order": order, "defaultAction": action });
        ensure(writer, &key, json!({ "spec": spec }))?;
    }
    let profile = ObjectKey::cluster(Kind::Profile, DEFAULT_ALLOW_PROFILE);
    let allow = json!([{ "action": "Allow" }]);
    let spec = json!({ "ingress": allow, "egress": allow });
    ensure(writer, &profile, json!({ "spec": spec }))?;
    let information = ObjectKey::cluster(Kind::ClusterInformation, DEFAULT);
    let guid = new_uid()
        .map_err(|error| Failure::internal(format!("cannot make a GUID: {error}")))?
        .replace('-', "");
    let spec = json!({ "clusterGUID": guid, "clusterType": "oncilla", "datastoreReady": true });
    ensure(writer, &information, json!({ "spec": spec }))?;
    let namespace = ObjectKey::cluster(Kind::Namespace, DEFAULT);
    ensure(writer, &namespace, json!({}))?;
    // A crash may have come between a namespace and its service account.
    for namespace in writer.store().list(Kind::Namespace, None)?.objects {
        ensure_service_account(writer, &namespace.key.name)?;
    }
    Ok(())
}

/// Makes the service account `default` of a namespace where it is missing.
pub(crate) fn ensure_service_account(writer: &Writer, namespace: &str) -> Result<(), Failure> {
    let key = ObjectKey::namespaced(Kind::ServiceAccount, namespace, DEFAULT);
    ensure(writer, &key, json!({}))
}

fn ensure(writer: &Writer, key: &ObjectKey, mut object: Value) -> Result<(), Failure> {
    if writer.store().object(key)?.is_some() {
        return Ok(());
    }
    object["metadata"] = json!({ "name": key.name });
    match writer.create(key.kind, key.namespace.as_deref(), object, false) {
        // Somebody else made it meanwhile.
        Err(failure) if failure.code() == http::StatusCode::CONFLICT => Ok(()),
        // Its namespace is gone again.
        Err(failure) if failure.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}
