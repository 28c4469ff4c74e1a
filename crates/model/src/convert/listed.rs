//! Slices of endpoints: the lists of addresses that rules can name by their service.

use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::discovery::{EndpointSlice, SERVICE_NAME_LABEL};
use oncilla_api::{FieldError, Object};
use oncilla_net::{Protocol, fault, parse_address};

use crate::{Change, ServiceKey, Slice, SliceKey};

/// The slice that an object is; gone when it names no service. Readiness is not asked (§2.7).
pub(super) fn slice(object: &EndpointSlice) -> Result<Change, Vec<FieldError>> {
    let errors = checked(Object::EndpointSlice(object.clone()));
    if !errors.is_empty() {
        return Err(errors);
    }
    let namespace: Arc<str> = namespace_of(object).into();
    let key = SliceKey {
        namespace: Arc::clone(&namespace),
        name: object.metadata.name.as_str().into(),
    };
    let Some(service) = object.metadata.labels.get(SERVICE_NAME_LABEL) else {
        return Ok(Change::Slice(key, None));
    };
    let texts = object.endpoints.iter().flatten();
    let texts = texts.flat_map(|endpoint| &endpoint.addresses);
    let mut addresses: Vec<IpAddr> = if object.address_type == "FQDN" {
        Vec::new()
    } else {
        texts.filter_map(|text| parse_address(text).ok()).collect()
    };
    if fault::is("model/last-endpoint-forgotten") {
        addresses.pop();
    }
    addresses.sort_unstable();
    addresses.dedup();
    // No number means every port to Kubernetes, and none to policy.
    let ports = object.ports.iter().flatten().filter_map(|port| {
        let number = u16::try_from(port.port?).ok()?;
        Some((Protocol::from(port.protocol.unwrap_or_default()), number))
    });
    let mut ports: Vec<(Protocol, u16)> = ports.collect();
    ports.sort_unstable();
    ports.dedup();
    let slice = Slice {
        key: key.clone(),
        service: ServiceKey {
            namespace,
            name: service.as_str().into(),
        },
        addresses,
        ports,
    };
    Ok(Change::Slice(key, Some(Arc::new(slice))))
}

fn checked(mut object: Object) -> Vec<FieldError> {
    object.default_fields();
    object.validate()
}

pub(super) fn namespace_of(object: &EndpointSlice) -> &str {
    object.metadata.namespace.as_deref().unwrap_or("default")
}
