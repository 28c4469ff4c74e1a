//! Kubernetes' checks of the cluster's own kinds, as far as policy and the lab depend on them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use oncilla_net::{Family, family_of, parse_address, parse_cidr_masking};

use super::{Errors, labels, strangers};
use crate::field::{Code, FieldError};
use crate::meta::IntOrString;
use crate::names;
use crate::v1::{Container, ContainerPort, Node, Pod, PodStatus, Service, ServicePort};

/// Kubernetes' words for a number that is no port.
pub(super) const PORT_RANGE: &str = "must be between 1 and 65535";

pub(super) fn is_port(number: i64) -> bool {
    (1..=65535).contains(&number)
}

pub(super) fn node(node: &Node, errors: &mut Errors) {
    strangers::node(node, errors);
    let spec = &node.spec;
    if !spec.pod_cidr.is_empty() {
        cidr("spec.podCIDR", &spec.pod_cidr, errors);
    }
    for (index, text) in spec.pod_cidrs.iter().enumerate() {
        cidr(&format!("spec.podCIDRs[{index}]"), text, errors);
    }
    for (index, found) in node.status.addresses.iter().enumerate() {
        if found.address_type.ends_with("IP") {
            let path = format!("status.addresses[{index}].address");
            address(&path, &found.address, errors);
        }
    }
}

pub(super) fn pod(pod: &Pod, errors: &mut Errors) {
    strangers::pod(pod, errors);
    let spec = &pod.spec;
    if !spec.node_name.is_empty() {
        errors.check("spec.nodeName", names::dns_subdomain(&spec.node_name));
    }
    if !spec.service_account_name.is_empty() {
        let result = names::dns_subdomain(&spec.service_account_name);
        let field = if spec.service_account == spec.service_account_name {
            "spec.serviceAccount"
        } else {
            "spec.serviceAccountName"
        };
        errors.check(field, result);
    }
    if spec.containers.is_empty() {
        errors.push(
            FieldError::new("spec.containers", "at least one container is required")
                .with_code(Code::MissingField)
                .with_help("add `containers:` with a `name:` and an `image:`"),
        );
    }
    let mut seen = BTreeSet::new();
    let init = spec.init_containers.iter().enumerate();
    for (index, found) in init {
        container(
            &format!("spec.initContainers[{index}]"),
            found,
            &mut seen,
            errors,
        );
    }
    for (index, found) in spec.containers.iter().enumerate() {
        container(
            &format!("spec.containers[{index}]"),
            found,
            &mut seen,
            errors,
        );
    }
    pod_addresses(&pod.status, errors);
}

fn container<'a>(
    path: &str,
    container: &'a Container,
    seen: &mut BTreeSet<&'a str>,
    errors: &mut Errors,
) {
    errors.check(
        format_args!("{path}.name"),
        names::dns_label(&container.name).map_err(|error| format!("name {error}")),
    );
    if !seen.insert(&container.name) {
        errors.invalid(
            format!("{path}.name"),
            format!("another container is called {:?}", container.name),
        );
    }
    let mut port_names = BTreeSet::new();
    for (index, port) in container.ports.iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        container_port(&path, port, errors);
        if !port.name.is_empty() && !port_names.insert(&port.name) {
            errors.invalid(
                format!("{path}.name"),
                format!("another port is called {:?}", port.name),
            );
        }
    }
}

fn container_port(path: &str, port: &ContainerPort, errors: &mut Errors) {
    if !port.name.is_empty() {
        let result = names::port_name(&port.name).map_err(|error| format!("port name {error}"));
        errors.check(format_args!("{path}.name"), result);
    }
    if !is_port(port.container_port) {
        errors.port(format!("{path}.containerPort"), PORT_RANGE);
    }
    if port.host_port != 0 && !is_port(port.host_port) {
        errors.port(format!("{path}.hostPort"), PORT_RANGE);
    }
}

fn pod_addresses(status: &PodStatus, errors: &mut Errors) {
    if !status.pod_ip.is_empty() {
        address("status.podIP", &status.pod_ip, errors);
    }
    let mut families: BTreeSet<Family> = BTreeSet::new();
    for (index, found) in status.pod_ips.iter().enumerate() {
        let path = format!("status.podIPs[{index}].ip");
        if let Some(addr) = address(&path, &found.ip, errors)
            && !families.insert(family_of(addr))
        {
            errors.invalid(path, "may specify no more than one IP for each IP family");
        }
    }
    let first = status.pod_ips.first();
    if let Some(first) =
        first.filter(|first| !status.pod_ip.is_empty() && first.ip != status.pod_ip)
    {
        let message = format!("must equal podIPs[0].ip, which is {}", first.ip);
        errors.invalid("status.podIP", message);
    }
}

pub(super) fn service(service: &Service, errors: &mut Errors) {
    strangers::service(service, errors);
    let spec = &service.spec;
    labels::check("spec.selector", &spec.selector, errors);
    if !matches!(spec.cluster_ip.as_str(), "" | "None") {
        address("spec.clusterIP", &spec.cluster_ip, errors);
    }
    let mut seen = BTreeSet::new();
    for (index, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        service_port(&path, port, errors);
        if port.name.is_empty() && spec.ports.len() > 1 {
            errors.push(
                FieldError::new(
                    path.as_str(),
                    "\"name\" is required when a service has several ports",
                )
                .with_code(Code::MissingField)
                .with_help("add `name:` to every port"),
            );
        } else if !seen.insert(&port.name) {
            errors.invalid(
                format!("{path}.name"),
                format!("another port is called {:?}", port.name),
            );
        }
    }
}

fn service_port(path: &str, port: &ServicePort, errors: &mut Errors) {
    if !is_port(port.port) {
        errors.port(format!("{path}.port"), PORT_RANGE);
    }
    match &port.target_port {
        // Kubernetes fills in 0 for "the same".
        Some(IntOrString::Int(0)) | None => {}
        Some(IntOrString::Int(number)) if is_port(*number) => {}
        Some(IntOrString::Int(_)) => errors.port(format!("{path}.targetPort"), PORT_RANGE),
        Some(IntOrString::String(name)) => {
            let result = names::port_name(name).map_err(|error| format!("port name {error}"));
            errors.check(format_args!("{path}.targetPort"), result);
        }
    }
}

fn cidr(path: &str, text: &str, errors: &mut Errors) {
    errors.cidr(path, parse_cidr_masking(text).map(|(net, _)| net));
}

fn address(path: &str, text: &str, errors: &mut Errors) -> Option<IpAddr> {
    parse_address(text)
        .map_err(|error| {
            errors.push(FieldError::new(path, error.to_string()).with_help(error.help()));
        })
        .ok()
}
