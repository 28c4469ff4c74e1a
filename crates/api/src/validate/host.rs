//! Calico's checks of host endpoints and profiles.

use oncilla_net::{Protocol as Number, parse_address};

use super::table::endpoint as table;
use super::v1::is_port;
use super::v3::check_rules;
use super::{Check, Errors, labels};
use crate::field::{Code, FieldError};
use crate::kind::Kind;
use crate::names;
use crate::v3::{
    ALL_INTERFACES, EndpointPort, HostEndpointSpec, PORT_NAME_LENGTH_MAX, ProfileSpec, Protocol,
};

/// The longest name of an interface, in bytes: what Linux can hold.
const INTERFACE_LENGTH_MAX: usize = 15;
/// The protocols that have ports by name.
pub(super) const WITH_PORTS: [Number; 3] = [Number::TCP, Number::UDP, Number::SCTP];

pub(super) fn endpoint(spec: &HostEndpointSpec, errors: &mut Errors) {
    if spec.node.is_empty() {
        let error = table::NODE_MISSING.at("spec.node");
        errors.push(error.with_code(Code::MissingField));
    } else {
        node(&spec.node, errors);
    }
    if spec.interface_name.is_empty() && spec.expected_ips.is_empty() {
        errors.push(table::NOT_FOUND.at("spec").pointing_at_key());
    }
    if !matches!(spec.interface_name.as_str(), "" | ALL_INTERFACES) {
        interface(
            "spec.interfaceName",
            &spec.interface_name,
            &table::INTERFACE,
            errors,
        );
    }
    for (index, text) in spec.expected_ips.iter().enumerate() {
        let path = format!("spec.expectedIPs[{index}]");
        address(&path, text, &table::EXPECTED_IP, errors);
    }
    for (index, name) in spec.profiles.iter().enumerate() {
        if let Err(error) = names::dns_subdomain(name) {
            let path = format!("spec.profiles[{index}]");
            errors.push(table::PROFILE_NAME.with(path, &[&error]));
        }
    }
    ports(&spec.ports, errors);
}

fn ports(ports: &[EndpointPort], errors: &mut Errors) {
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        port_name(&format!("{path}.name"), &port.name, errors);
        protocol_with_ports(
            &format!("{path}.protocol"),
            &port.protocol,
            &table::PORT_PROTOCOL,
            errors,
        );
        if !is_port(port.port) {
            errors.broken(&table::PORT, format!("{path}.port"));
        }
    }
}

pub(super) fn profile(spec: &ProfileSpec, errors: &mut Errors) {
    check_rules(Kind::Profile, (&spec.ingress, &spec.egress), errors);
    labels::check("spec.labelsToApply", &spec.labels_to_apply, errors);
}

/// The name of an endpoint's node.
pub(super) fn node(name: &str, errors: &mut Errors) {
    if let Err(error) = names::dns_subdomain(name) {
        errors.push(table::NODE_NAME.with("spec.node", &[&error]));
    }
}

/// The name of a Linux interface.
pub(super) fn interface(path: &str, name: &str, check: &Check, errors: &mut Errors) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > INTERFACE_LENGTH_MAX || !name.bytes().all(allowed) {
        errors.push(check.with(path, &[&format_args!("{name:?}")]));
    }
}

pub(super) fn address(path: &str, text: &str, check: &Check, errors: &mut Errors) {
    if let Err(error) = parse_address(text) {
        errors.push(FieldError::of_address(path, &error).of_check(check.id));
    }
}

pub(super) fn protocol_with_ports(
    path: &str,
    protocol: &Protocol,
    check: &Check,
    errors: &mut Errors,
) {
    if !protocol
        .number()
        .is_some_and(|number| WITH_PORTS.contains(&number))
    {
        let mended = protocol.to_string().to_ascii_uppercase();
        let error = check.at(path);
        errors.push(match mended.as_str() {
            "TCP" | "UDP" | "SCTP" => error.with_help(format!("write `protocol: {mended}`")),
            _ => error,
        });
    }
}

/// What rules can call a port.
pub(super) fn port_name(path: &str, name: &str, errors: &mut Errors) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !(1..=PORT_NAME_LENGTH_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
        errors.push(table::PORT_NAME.with(path, &[&format_args!("{name:?}")]));
    }
}
