//! Address pools: their addresses belong to one pool, for good.

use oncilla_api::{FieldError, Kind, ObjectKey};
use oncilla_net::{IpNet, parse_cidr};
use oncilla_store::Store;
use serde_json::Value;

use crate::failure::Failure;

/// A new pool shares no address with another.
pub(super) fn admit_create(
    store: &dyn Store,
    key: &ObjectKey,
    value: &Value,
) -> Result<(), Failure> {
    let Some(net) = cidr(key.kind, value) else {
        return Ok(());
    };
    for pool in store.list(Kind::IPPool, None)?.objects {
        let Some(other) = cidr(Kind::IPPool, &pool.value) else {
            continue;
        };
        if pool.key != *key && (net.contains(&other) || other.contains(&net)) {
            let message = format!(
                "IPPool({}) CIDR overlaps with IPPool({}) CIDR {other}",
                key.name, pool.key.name
            );
            let error = FieldError::new("spec.cidr", message);
            let help = "choose addresses that no pool has, or delete the other pool";
            return Err(Failure::invalid(key, &[error.with_help(help)]));
        }
    }
    Ok(())
}

/// A pool keeps its addresses and the size of the shares.
pub(super) fn admit_update(key: &ObjectKey, old: &Value, new: &Value) -> Result<(), Failure> {
    if key.kind != Kind::IPPool {
        return Ok(());
    }
    let mut errors = Vec::new();
    for (field, message) in [
        ("cidr", "IPPool CIDR cannot be modified"),
        ("blockSize", "IPPool BlockSize cannot be modified"),
    ] {
        let pointer = format!("/spec/{field}");
        if old.pointer(&pointer) != new.pointer(&pointer) {
            let error = FieldError::new(format!("spec.{field}"), message);
            errors
                .push(error.with_help("make a new pool, and delete this one when nobody uses it"));
        }
    }
    let serves = |value: &Value| {
        let uses = value.pointer("/spec/allowedUses").and_then(Value::as_array);
        uses.is_some_and(|uses| uses.iter().any(|each| each == "LoadBalancer"))
    };
    if serves(old) && !serves(new) {
        let message =
            "IPPool allowed use cannot be changed from LoadBalancer to Workload or Tunnel";
        errors.push(FieldError::new("spec.allowedUses", message).with_help("make a new pool"));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(key, &errors))
    }
}

fn cidr(kind: Kind, value: &Value) -> Option<IpNet> {
    let text = value.pointer("/spec/cidr").and_then(Value::as_str);
    text.filter(|_| kind == Kind::IPPool)
        .and_then(|text| parse_cidr(text).ok())
}
