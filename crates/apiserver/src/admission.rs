//! Rules that look at other objects: a namespace must exist, a tier must exist, what is in use or
//! built in stays.

mod fixed;
mod pools;

use oncilla_api::{FieldError, Kind, Object, ObjectKey};
use oncilla_store::Store;
use serde_json::Value;

use crate::bootstrap::{DEFAULT, is_built_in_tier};
use crate::failure::{Failure, resource};

/// How many objects a refusal names.
const NAMED_MAX: usize = 3;
/// The label that carries a namespace's own name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Keeps the label by which selectors find a namespace by name; clients can neither change nor
/// remove it.
pub(crate) fn label_namespace(object: &mut Object) {
    if let Object::Namespace(namespace) = object {
        let name = namespace.metadata.name.clone();
        namespace
            .metadata
            .labels
            .insert(NAME_LABEL.to_owned(), name);
    }
}

/// A new object may be stored.
pub(crate) fn admit_create(
    store: &dyn Store,
    key: &ObjectKey,
    value: &Value,
) -> Result<(), Failure> {
    if let Some(namespace) = &key.namespace {
        let namespace = ObjectKey::cluster(Kind::Namespace, namespace);
        if store.object(&namespace)?.is_none() {
            return Err(Failure::not_found(&namespace));
        }
    }
    fixed::admit_create(key)?;
    pools::admit_create(store, key, value)?;
    admit_tier(store, key, value)
}

/// A changed object may be stored. A policy may stay in a tier that is gone, but not move there.
pub(crate) fn admit_update(
    store: &dyn Store,
    key: &ObjectKey,
    old: &Value,
    new: &Value,
) -> Result<(), Failure> {
    fixed::admit_change(key)?;
    pools::admit_update(key, old, new)?;
    if tier_of(key.kind, old) == tier_of(key.kind, new) {
        return Ok(());
    }
    admit_tier(store, key, new)
}

/// An object may be removed. The caller keeps everybody else from writing.
pub(crate) fn admit_delete(store: &dyn Store, key: &ObjectKey) -> Result<(), Failure> {
    fixed::admit_change(key)?;
    match key.kind {
        Kind::Namespace if key.name == DEFAULT => {
            Err(Failure::forbidden(key, "this namespace may not be deleted"))
        }
        Kind::Tier if is_built_in_tier(&key.name) => {
            let why = format!("The built-in tier {:?} cannot be deleted", key.name);
            Err(Failure::forbidden(key, &why))
        }
        Kind::Tier => admit_tier_delete(store, key),
        _ => Ok(()),
    }
}

/// Whether objects of a kind name their tier.
pub(crate) fn has_tier(kind: Kind) -> bool {
    matches!(
        kind.promoted().unwrap_or(kind),
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy
    )
}

fn tier_of(kind: Kind, value: &Value) -> Option<&str> {
    if !has_tier(kind) {
        return None;
    }
    let tier = value.pointer("/spec/tier").and_then(Value::as_str);
    Some(tier.filter(|tier| !tier.is_empty()).unwrap_or(DEFAULT))
}

fn admit_tier(store: &dyn Store, key: &ObjectKey, value: &Value) -> Result<(), Failure> {
    let Some(tier) = tier_of(key.kind, value) else {
        return Ok(());
    };
    if store
        .object(&ObjectKey::cluster(Kind::Tier, tier))?
        .is_some()
    {
        return Ok(());
    }
    let tiers = store.list(Kind::Tier, None)?.objects;
    let names: Vec<&str> = tiers.iter().map(|tier| tier.key.name.as_str()).collect();
    let message = format!("tier {tier:?} does not exist");
    let help = format!("create it first, or name one of {}", names.join(", "));
    let error = FieldError::new("spec.tier", message).with_help(help);
    Err(Failure::invalid(key, &[error]))
}

fn admit_tier_delete(store: &dyn Store, key: &ObjectKey) -> Result<(), Failure> {
    let mut names = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| has_tier(*kind)) {
        let policies = store.list(kind, None)?.objects;
        let inside = policies
            .iter()
            .filter(|policy| tier_of(kind, &policy.value) == Some(&key.name));
        names.extend(inside.map(|policy| format!("{} {:?}", resource(kind), policy.key.path())));
    }
    if names.is_empty() {
        return Ok(());
    }
    let count = names.len();
    names.truncate(NAMED_MAX);
    let more = match count - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let why = format!(
        "Cannot delete a non-empty tier: it holds {}{more}",
        names.join(", ")
    );
    Err(Failure::forbidden(key, &why))
}
