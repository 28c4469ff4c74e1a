//! Kubernetes' checks of endpoint slices, as far as policy depends on them.

use oncilla_net::{Family, family_of, parse_address};

use super::v1::{PORT_RANGE, is_port};
use super::{Errors, strangers};
use crate::discovery::EndpointSlice;
use crate::field::{Code, FieldError};

/// Endpoints of one slice.
const ENDPOINTS_MAX: usize = 1000;
/// Addresses of one endpoint.
const ADDRESSES_MAX: usize = 100;
/// Ports of one slice.
const PORTS_MAX: usize = 20_000;

pub(super) fn slice(slice: &EndpointSlice, errors: &mut Errors) {
    strangers::slice(slice, errors);
    let family = match slice.address_type.as_str() {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        "FQDN" => None,
        written => {
            let error = if written.is_empty() {
                FieldError::new("addressType", "\"addressType\" is required")
                    .with_code(Code::MissingField)
            } else {
                FieldError::new("addressType", "expected IPv4, IPv6 or FQDN")
            };
            errors.push(error.with_help("write `addressType: IPv4`, or what the addresses are"));
            None
        }
    };
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    errors.count("endpoints", endpoints.len(), ENDPOINTS_MAX);
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("endpoints[{index}].addresses");
        errors.count(&path, endpoint.addresses.len(), ADDRESSES_MAX);
        let Some(family) = family else {
            continue;
        };
        for (place, text) in endpoint.addresses.iter().enumerate() {
            let path = format!("{path}[{place}]");
            match parse_address(text) {
                Ok(address) if family_of(address) == family => {}
                Ok(_) => errors.invalid(path, format!("{text} is no {family} address")),
                Err(error) => {
                    let fault = FieldError::new(path, error.to_string());
                    errors.push(fault.with_help(error.help()));
                }
            }
        }
    }
    let ports = slice.ports.as_deref().unwrap_or_default();
    errors.count("ports", ports.len(), PORTS_MAX);
    for (index, port) in ports.iter().enumerate() {
        if port.port.is_some_and(|port| !is_port(port)) {
            errors.port(format!("ports[{index}].port"), PORT_RANGE);
        }
    }
}
