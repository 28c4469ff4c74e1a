//! Calico's checks of workload endpoints.

use oncilla_net::{Family, IpNet, family_of, parse_address, parse_cidr};

use super::table::endpoint as table;
use super::v1::is_port;
use super::{Errors, host};
use crate::field::FieldError;
use crate::v3::{WorkloadEndpoint, WorkloadEndpointPort, WorkloadEndpointSpec};

pub(super) fn endpoint(endpoint: &WorkloadEndpoint, errors: &mut Errors) {
    let spec = &endpoint.spec;
    check_name(&endpoint.metadata.name, spec, errors);
    if !spec.node.is_empty() {
        host::node(&spec.node, errors);
    }
    let mut own: Vec<IpNet> = Vec::new();
    for (index, text) in spec.ip_networks.iter().enumerate() {
        let path = format!("spec.ipNetworks[{index}]");
        let single = parse_address(text).map(IpNet::from);
        let net = match single.or_else(|_no_address| parse_cidr(text)) {
            Ok(net) => net,
            Err(error) => {
                let fault = FieldError::of_cidr(path, &error);
                errors.push(fault.of_check(table::NETWORK.id));
                continue;
            }
        };
        if net.prefix_len() != net.max_prefix_len() {
            let one = format!("{}/{}", net.addr(), net.max_prefix_len());
            errors.push(table::NETWORK_MANY.with(path, &[&one]));
        }
        own.push(net);
    }
    for (index, nat) in spec.ip_nats.iter().enumerate() {
        let path = format!("spec.ipNATs[{index}]");
        let check = &table::NAT_ADDRESS;
        let external = format!("{path}.externalIP");
        host::address(&external, &nat.external_ip, check, errors);
        let internal = format!("{path}.internalIP");
        host::address(&internal, &nat.internal_ip, check, errors);
        if let Ok(addr) = parse_address(&nat.internal_ip)
            && !own.iter().any(|net| net.contains(&addr))
        {
            errors.broken(&table::NAT_INSIDE, internal);
        }
    }
    check_gateways(spec, errors);
    if !spec.interface_name.is_empty() {
        host::interface(
            "spec.interfaceName",
            &spec.interface_name,
            &table::INTERFACE,
            errors,
        );
    }
    for (index, port) in spec.ports.iter().enumerate() {
        check_port(&format!("spec.ports[{index}]"), port, errors);
    }
    for (index, text) in spec.allow_spoofed_source_prefixes.iter().enumerate() {
        let path = format!("spec.allowSpoofedSourcePrefixes[{index}]");
        if let Err(error) = parse_cidr(text) {
            errors.push(FieldError::of_cidr(path, &error).of_check(table::SPOOFED.id));
        }
    }
}

fn check_gateways(spec: &WorkloadEndpointSpec, errors: &mut Errors) {
    let gateways = [
        (
            "ipv4Gateway",
            &spec.ipv4_gateway,
            Family::V4,
            &table::GATEWAY_V4,
        ),
        (
            "ipv6Gateway",
            &spec.ipv6_gateway,
            Family::V6,
            &table::GATEWAY_V6,
        ),
    ];
    for (field, text, family, check) in gateways {
        if !text.is_empty() && parse_address(text).map(family_of) != Ok(family) {
            errors.broken(check, format!("spec.{field}"));
        }
    }
}

fn check_port(path: &str, port: &WorkloadEndpointPort, errors: &mut Errors) {
    if !port.name.is_empty() {
        host::port_name(&format!("{path}.name"), &port.name, errors);
    } else if port.host_port == 0 {
        errors.broken(&table::PORT_NAMELESS, format!("{path}.name"));
    }
    if port.protocol.number().is_none() {
        let protocol = port.protocol.to_string();
        let path = format!("{path}.protocol");
        errors.push(table::WORKLOAD_PROTOCOL.with(path, &[&format_args!("{protocol:?}")]));
    }
    if !is_port(port.port) {
        errors.broken(&table::PORT, format!("{path}.port"));
    }
    if port.host_port != 0 && !is_port(port.host_port) {
        errors.broken(&table::HOST_PORT, format!("{path}.hostPort"));
    }
}

/// The name says where the endpoint is: parts joined with `-`, each with its own `-` doubled.
fn check_name(name: &str, spec: &WorkloadEndpointSpec, errors: &mut Errors) {
    if spec.orchestrator.is_empty() {
        return;
    }
    let parts: [&str; 4] = match spec.orchestrator.as_str() {
        "k8s" => [&spec.node, "k8s", &spec.pod, &spec.endpoint],
        "cni" => [&spec.node, "cni", &spec.container_id, &spec.endpoint],
        "libnetwork" => [&spec.node, "libnetwork", "libnetwork", &spec.endpoint],
        other => [&spec.node, other, &spec.workload, &spec.endpoint],
    };
    let fields = ["node", "orchestrator", "workload", "endpoint"];
    for (part, field) in parts.iter().zip(fields) {
        if part.is_empty() {
            let field = match (field, spec.orchestrator.as_str()) {
                ("workload", "k8s") => "pod",
                ("workload", "cni") => "containerID",
                _ => field,
            };
            let name = format_args!("{field:?}");
            let error = table::PART_MISSING.with(format!("spec.{field}"), &[&name]);
            return errors.push(error.with_help(format!("add `{field}:`")));
        }
    }
    let wanted = parts.map(|part| part.replace('-', "--")).join("-");
    if !name.is_empty() && name != wanted {
        let quoted = format_args!("{wanted:?}");
        errors.push(table::WORKLOAD_NAME.with("metadata.name", &[&quoted, &wanted]));
    }
}
