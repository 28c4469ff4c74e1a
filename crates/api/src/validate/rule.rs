//! Calico's checks of one rule.

use oncilla_net::{Family, IpNet, Protocol as Number, parse_cidr};

use super::{Errors, labels, selector};
use crate::field::FieldError;
use crate::names;
use crate::nearest::nearest;
use crate::v3::{EntityRule, Port, Protocol, Rule};

/// CIDRs of one list.
const NETS_MAX: usize = 256;
/// Ports of one list.
const PORTS_MAX: usize = 50;

const PROTOCOL_NAMES: [&str; 6] = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "UDPLite"];
const NUMERIC_WITHOUT_PROTOCOL: &str =
    "rules with numeric port or port range must set protocol to TCP or UDP or SCTP";
const PORTS_WITH_OTHER_PROTOCOL: &str =
    "rules that specify ports must set protocol to TCP or UDP or SCTP";
const PORT_RANGE: &str = "port range invalid, port number must be between 1 and 65535";
pub(crate) const PROTOCOL_HELP: &str = "write a name, as in TCP, or a number from 1 to 255";
const ICMP_HELP: &str = "leave the rule out, or write it for every type and code, with `protocol: ICMP` or `ICMPv6` alone";
const HTTP_HELP: &str =
    "leave the rule out, or write it for every request, with `protocol: TCP` and ports";
const NEGATED_CATCH_ALL: &str =
    "catch-all CIDR in negation creates logical contradiction (matches no traffic)";

pub(super) fn check(path: &str, rule: &Rule, errors: &mut Errors) {
    if rule
        .ip_version
        .is_some_and(|version| version != 4 && version != 6)
    {
        errors.push(
            FieldError::new(format!("{path}.ipVersion"), "expected 4 or 6")
                .with_help("write `ipVersion: 4` or `ipVersion: 6`, or leave it out for both"),
        );
    }
    check_protocol(path, "protocol", rule, rule.protocol.as_ref(), errors);
    check_protocol(
        path,
        "notProtocol",
        rule,
        rule.not_protocol.as_ref(),
        errors,
    );
    for (given, field, help) in [
        (rule.icmp.is_some(), "icmp", ICMP_HELP),
        (rule.not_icmp.is_some(), "notICMP", ICMP_HELP),
        (rule.http.is_some(), "http", HTTP_HELP),
    ] {
        if given {
            let error = FieldError::not_supported(format!("{path}.{field}"), field);
            errors.push(error.with_help(help));
        }
    }
    check_entity(&format!("{path}.source"), &rule.source, errors);
    check_entity(&format!("{path}.destination"), &rule.destination, errors);
    check_families(path, rule, errors);
    check_ports_have_protocol(path, rule, errors);
    if let Some(metadata) = &rule.metadata {
        let path = format!("{path}.metadata.annotations");
        labels::check_annotations(&path, &metadata.annotations, errors);
    }
}

fn check_protocol(
    path: &str,
    field: &str,
    rule: &Rule,
    protocol: Option<&Protocol>,
    errors: &mut Errors,
) {
    let Some(protocol) = protocol else {
        return;
    };
    let path = format!("{path}.{field}");
    match (protocol.number(), protocol) {
        (Some(number), _) => {
            let family = match number {
                Number::ICMP => Some(("ICMP", 4)),
                Number::ICMPV6 => Some(("ICMPv6", 6)),
                _ => None,
            };
            if let Some((name, version)) = family
                && rule.ip_version.is_some_and(|written| written != version)
            {
                let message = format!("protocol {name} requires ipVersion {version}");
                errors.push(
                    FieldError::new(path, message)
                        .with_help(format!("write `ipVersion: {version}`, or leave it out")),
                );
            }
        }
        (None, Protocol::Number(_)) => {
            let message = "protocol number invalid: expected 1 to 255";
            errors.push(FieldError::new(path, message).with_help(PROTOCOL_HELP));
        }
        (None, Protocol::Name(name)) => {
            let message = format!("protocol name invalid: {name:?}");
            let help = match nearest(name, PROTOCOL_NAMES) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!(
                    "expected {} or a number from 1 to 255",
                    PROTOCOL_NAMES.join(", ")
                ),
            };
            errors.push(FieldError::new(path, message).with_help(help));
        }
    }
}

fn check_entity(path: &str, entity: &EntityRule, errors: &mut Errors) {
    check_nets(&format!("{path}.nets"), &entity.nets, errors);
    let not_nets = format!("{path}.notNets");
    check_nets(&not_nets, &entity.not_nets, errors);
    for (index, net) in entity.not_nets.iter().enumerate() {
        if parse_cidr(net).is_ok_and(|net| net.prefix_len() == 0) {
            errors.push(
                FieldError::new(format!("{not_nets}[{index}]"), NEGATED_CATCH_ALL)
                    .with_help("remove it, or leave the rule out: it never matches"),
            );
        }
    }
    selector::check(&format!("{path}.selector"), &entity.selector, errors);
    selector::check(&format!("{path}.notSelector"), &entity.not_selector, errors);
    let namespaces = &entity.namespace_selector;
    selector::check_rule_namespaces(&format!("{path}.namespaceSelector"), namespaces, errors);
    if entity.services.is_some() {
        let error = FieldError::not_supported(format!("{path}.services"), "services");
        errors.push(error.with_help("select the pods behind the service with `selector:`"));
    }
    check_ports(&format!("{path}.ports"), &entity.ports, errors);
    check_ports(&format!("{path}.notPorts"), &entity.not_ports, errors);
    if let Some(accounts) = &entity.service_accounts {
        let path = format!("{path}.serviceAccounts");
        for (index, name) in accounts.names.iter().enumerate() {
            let result = names::dns_subdomain(name).map_err(|error| format!("name {error}"));
            errors.check(&format!("{path}.names[{index}]"), result);
        }
        selector::check(&format!("{path}.selector"), &accounts.selector, errors);
    }
}

fn check_nets(path: &str, nets: &[String], errors: &mut Errors) {
    errors.count(path, nets.len(), NETS_MAX);
    for (index, net) in nets.iter().enumerate() {
        errors.cidr(&format!("{path}[{index}]"), parse_cidr(net));
    }
}

fn check_ports(path: &str, ports: &[Port], errors: &mut Errors) {
    errors.count(path, ports.len(), PORTS_MAX);
    for (index, port) in ports.iter().enumerate() {
        if matches!(port, Port::Range(range) if range.first() == 0) {
            errors.port(format!("{path}[{index}]"), PORT_RANGE);
        }
    }
}

/// All CIDRs of a rule are of one family, and of the rule's if it names one.
fn check_families(path: &str, rule: &Rule, errors: &mut Errors) {
    let lists = [
        ("source.nets", &rule.source.nets),
        ("source.notNets", &rule.source.not_nets),
        ("destination.nets", &rule.destination.nets),
        ("destination.notNets", &rule.destination.not_nets),
    ];
    let wanted = match rule.ip_version {
        Some(4) => Some(Family::V4),
        Some(6) => Some(Family::V6),
        _ => None,
    };
    let mut first: Option<Family> = None;
    for (field, nets) in lists {
        for (index, net) in nets.iter().enumerate() {
            let Some(family) = family(net) else {
                continue;
            };
            let message = match (wanted, first) {
                (Some(wanted), _) if wanted != family => {
                    "rule IP version doesn't match CIDR version"
                }
                (None, Some(first)) if first != family => "rule contains both IPv4 and IPv6 CIDRs",
                _ => {
                    first = Some(family);
                    continue;
                }
            };
            let error = FieldError::new(format!("{path}.{field}[{index}]"), message);
            return errors.push(error.with_help("write one rule for each IP version"));
        }
    }
}

fn family(net: &str) -> Option<Family> {
    parse_cidr(net).ok().map(|net: IpNet| Family::of_net(&net))
}

/// A port number means nothing without a protocol that has ports.
fn check_ports_have_protocol(path: &str, rule: &Rule, errors: &mut Errors) {
    let with_ports = [Number::TCP, Number::UDP, Number::SCTP];
    let message = match &rule.protocol {
        None => NUMERIC_WITHOUT_PROTOCOL,
        Some(protocol) => match protocol.number() {
            Some(number) if !with_ports.contains(&number) => PORTS_WITH_OTHER_PROTOCOL,
            // An invalid protocol was reported already.
            Some(_) | None => return,
        },
    };
    let lists = [
        ("source.ports", &rule.source.ports),
        ("source.notPorts", &rule.source.not_ports),
        ("destination.ports", &rule.destination.ports),
        ("destination.notPorts", &rule.destination.not_ports),
    ];
    let named_is_enough = rule.protocol.is_none();
    let offending = lists.iter().find(|(_, ports)| {
        ports
            .iter()
            .any(|port| !named_is_enough || matches!(port, Port::Range(_)))
    });
    let Some((field, _)) = offending else {
        return;
    };
    let error = FieldError::new(path, message).pointing_at(format!("{path}.{field}"));
    errors.push(if named_is_enough {
        error
            .with_help("add `protocol: TCP` beside `action:`")
            .seeing(format!("{path}.action"))
    } else {
        error
            .with_help("remove the ports, or change `protocol:`")
            .seeing(format!("{path}.protocol"))
    });
}
