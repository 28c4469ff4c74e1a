//! Calico's checks of workload endpoints.

use oncilla_net::{IpNet, parse_address, parse_cidr};

use super::v1::{PORT_RANGE, is_port};
use super::{Errors, host};
use crate::field::FieldError;
use crate::names;
use crate::v3::{WorkloadEndpoint, WorkloadEndpointPort, WorkloadEndpointSpec};

pub(super) fn endpoint(endpoint: &WorkloadEndpoint, errors: &mut Errors) {
    let spec = &endpoint.spec;
    check_name(&endpoint.metadata.name, spec, errors);
    if !spec.node.is_empty() {
        errors.check("spec.node", names::dns_subdomain(&spec.node));
    }
    let mut own: Vec<IpNet> = Vec::new();
    for (index, text) in spec.ip_networks.iter().enumerate() {
        let path = format!("spec.ipNetworks[{index}]");
        let single = parse_address(text).map(IpNet::from);
        let Some(net) = single.ok().or_else(|| errors.cidr(&path, parse_cidr(text))) else {
            continue;
        };
        if net.prefix_len() != net.max_prefix_len() {
            let message = "IP network contains multiple addresses";
            let help = format!(
                "write one address, as in {}/{}",
                net.addr(),
                net.max_prefix_len()
            );
            errors.push(FieldError::new(path, message).with_help(help));
        }
        own.push(net);
    }
    for (index, nat) in spec.ip_nats.iter().enumerate() {
        let path = format!("spec.ipNATs[{index}]");
        host::address(&format!("{path}.externalIP"), &nat.external_ip, errors);
        let internal = format!("{path}.internalIP");
        host::address(&internal, &nat.internal_ip, errors);
        if let Ok(addr) = parse_address(&nat.internal_ip)
            && !own.iter().any(|net| net.contains(&addr))
        {
            errors.invalid(internal, "NAT is not in the endpoint networks");
        }
    }
    if !spec.interface_name.is_empty() {
        host::interface("spec.interfaceName", &spec.interface_name, errors);
    }
    for (index, port) in spec.ports.iter().enumerate() {
        check_port(&format!("spec.ports[{index}]"), port, errors);
    }
    for (index, text) in spec.allow_spoofed_source_prefixes.iter().enumerate() {
        let path = format!("spec.allowSpoofedSourcePrefixes[{index}]");
        errors.cidr(&path, parse_cidr(text));
    }
}

fn check_port(path: &str, port: &WorkloadEndpointPort, errors: &mut Errors) {
    if !port.name.is_empty() {
        host::port_name(&format!("{path}.name"), &port.name, errors);
    } else if port.host_port == 0 {
        let message = "WorkloadEndpointPort name must not be empty if no HostPort is specified";
        errors.invalid(format!("{path}.name"), message);
    }
    if port.protocol.number().is_none() {
        let message = format!("protocol name invalid: {:?}", port.protocol.to_string());
        errors.invalid(format!("{path}.protocol"), message);
    }
    if !is_port(port.port) {
        errors.port(format!("{path}.port"), PORT_RANGE);
    }
    if port.host_port != 0 && !is_port(port.host_port) {
        errors.port(format!("{path}.hostPort"), PORT_RANGE);
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
            let message = format!("{field:?} is required: the object's name is made of it");
            return errors.invalid(format!("spec.{field}"), message);
        }
    }
    let wanted = parts.map(|part| part.replace('-', "--")).join("-");
    if !name.is_empty() && name != wanted {
        let message = format!("the name must be {wanted:?}, which says where the endpoint is");
        errors.push(
            FieldError::new("metadata.name", message).with_help(format!("write `name: {wanted}`")),
        );
    }
}
