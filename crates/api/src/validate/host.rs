//! Calico's checks of host endpoints and profiles.

use oncilla_net::{Protocol as Number, parse_address};

use super::v1::{PORT_RANGE, is_port};
use super::v3::check_rules;
use super::{Errors, labels};
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
        let error = FieldError::new("spec.node", "node must be specified");
        errors.push(
            error
                .with_code(Code::MissingField)
                .with_help("add `node:` with the name of the node that has the interface"),
        );
    } else {
        errors.check("spec.node", names::dns_subdomain(&spec.node));
    }
    if spec.interface_name.is_empty() && spec.expected_ips.is_empty() {
        let message = "at least one of interfaceName or expectedIPs must be specified";
        errors.push(
            FieldError::new("spec", message)
                .pointing_at_key()
                .with_help(
                    "add `interfaceName: eth0`, or `interfaceName: \"*\"` for all interfaces",
                ),
        );
    }
    if !matches!(spec.interface_name.as_str(), "" | ALL_INTERFACES) {
        interface("spec.interfaceName", &spec.interface_name, errors);
    }
    for (index, text) in spec.expected_ips.iter().enumerate() {
        address(&format!("spec.expectedIPs[{index}]"), text, errors);
    }
    for (index, name) in spec.profiles.iter().enumerate() {
        let result = names::dns_subdomain(name).map_err(|error| format!("name {error}"));
        errors.check(&format!("spec.profiles[{index}]"), result);
    }
    ports(&spec.ports, errors);
}

fn ports(ports: &[EndpointPort], errors: &mut Errors) {
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        port_name(&format!("{path}.name"), &port.name, errors);
        protocol_with_ports(&format!("{path}.protocol"), &port.protocol, errors);
        if !is_port(port.port) {
            errors.port(format!("{path}.port"), PORT_RANGE);
        }
    }
}

pub(super) fn profile(spec: &ProfileSpec, errors: &mut Errors) {
    check_rules(Kind::Profile, (&spec.ingress, &spec.egress), errors);
    labels::check("spec.labelsToApply", &spec.labels_to_apply, errors);
}

/// The name of a Linux interface.
pub(super) fn interface(path: &str, name: &str, errors: &mut Errors) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > INTERFACE_LENGTH_MAX || !name.bytes().all(allowed) {
        let message = format!("invalid interface name {name:?}");
        errors.push(FieldError::new(path, message).with_help(
            "write 1 to 15 letters, digits, '_', '.' or '-'; `\"*\"` alone means every interface",
        ));
    }
}

pub(super) fn address(path: &str, text: &str, errors: &mut Errors) {
    if let Err(error) = parse_address(text) {
        errors.push(FieldError::new(path, error.to_string()).with_help(error.help()));
    }
}

pub(super) fn protocol_with_ports(path: &str, protocol: &Protocol, errors: &mut Errors) {
    if !protocol
        .number()
        .is_some_and(|number| WITH_PORTS.contains(&number))
    {
        let message = "protocol must be 'TCP' or 'UDP' or 'SCTP'.";
        let mended = protocol.to_string().to_ascii_uppercase();
        let help = match mended.as_str() {
            "TCP" | "UDP" | "SCTP" => format!("write `protocol: {mended}`"),
            _ => "write `protocol: TCP`, `UDP` or `SCTP`".to_owned(),
        };
        errors.push(FieldError::new(path, message).with_help(help));
    }
}

/// What rules can call a port.
pub(super) fn port_name(path: &str, name: &str, errors: &mut Errors) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !(1..=PORT_NAME_LENGTH_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
        let message = format!("invalid port name {name:?}");
        let help = format!("write 1 to {PORT_NAME_LENGTH_MAX} letters, digits, '_', '.' or '-'");
        errors.push(FieldError::new(path, message).with_help(help));
    }
}
