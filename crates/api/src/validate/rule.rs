//! Calico's checks of one rule.

mod http;
mod icmp;
mod services;

use std::fmt::Display;

use oncilla_net::{CidrError, Family, IpNet, Protocol as Number, parse_cidr};

use super::table::rule as table;
use super::{Errors, labels, selector};
use crate::field::FieldError;
use crate::kind::Kind;
use crate::meta::PolicyType;
use crate::names;
use crate::nearest::nearest;
use crate::v3::{EntityRule, Port, Protocol, Rule};

/// CIDRs of one list.
const NETS_MAX: usize = 256;
/// Ports of one list.
const PORTS_MAX: usize = 50;

const PROTOCOL_NAMES: [&str; 6] = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "UDPLite"];

/// Where a rule stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Its path in the object.
    pub(super) path: &'a str,
    /// The kind of the object.
    pub(super) kind: Kind,
    /// The direction that it judges.
    pub(super) direction: PolicyType,
}

pub(super) fn check(place: Place<'_>, rule: &Rule, errors: &mut Errors) {
    let path = place.path;
    if rule
        .ip_version
        .is_some_and(|version| version != 4 && version != 6)
    {
        errors.broken(&table::IP_VERSION, format!("{path}.ipVersion"));
    }
    let protocols = [
        ("protocol", &rule.protocol),
        ("notProtocol", &rule.not_protocol),
    ];
    for (field, protocol) in protocols {
        if let Some(protocol) = protocol {
            check_protocol(format_args!("{path}.{field}"), rule, protocol, errors);
        }
    }
    icmp::check(path, rule, errors);
    if let Some(http) = &rule.http {
        http::check(place, rule, http, errors);
    }
    check_entity(format_args!("{path}.source"), &rule.source, errors);
    check_entity(
        format_args!("{path}.destination"),
        &rule.destination,
        errors,
    );
    services::check(place, rule, errors);
    check_families(path, rule, errors);
    check_ports_have_protocol(path, rule, errors);
    if let Some(metadata) = &rule.metadata {
        let path = format_args!("{path}.metadata.annotations");
        labels::check_annotations(path, &metadata.annotations, errors);
    }
}

fn check_protocol(path: impl Display, rule: &Rule, protocol: &Protocol, errors: &mut Errors) {
    match (protocol.number(), protocol) {
        (Some(number), _) => {
            let (check, version) = match number {
                Number::ICMP => (&table::ICMP_VERSION, 4),
                Number::ICMPV6 => (&table::ICMPV6_VERSION, 6),
                _ => return,
            };
            if rule.ip_version.is_some_and(|written| written != version) {
                errors.broken(check, path.to_string());
            }
        }
        (None, Protocol::Number(_)) => errors.broken(&table::PROTOCOL_NUMBER, path.to_string()),
        (None, Protocol::Name(name)) => {
            let fault = table::PROTOCOL_NAME.with(path.to_string(), &[&format_args!("{name:?}")]);
            errors.push(match nearest(name, PROTOCOL_NAMES) {
                Some(known) => fault.with_help(format!("did you mean `{known}`?")),
                None => fault,
            });
        }
    }
}

fn check_entity(path: impl Display + Copy, entity: &EntityRule, errors: &mut Errors) {
    check_nets(format_args!("{path}.nets"), &entity.nets, errors);
    let not_nets = format_args!("{path}.notNets");
    check_nets(not_nets, &entity.not_nets, errors);
    for (index, net) in entity.not_nets.iter().enumerate() {
        if parse_cidr(net).is_ok_and(|net| net.prefix_len() == 0) {
            errors.broken(&table::NEGATED_CATCH_ALL, format!("{not_nets}[{index}]"));
        }
    }
    selector::check(format_args!("{path}.selector"), &entity.selector, errors);
    let not_selector = format_args!("{path}.notSelector");
    selector::check(not_selector, &entity.not_selector, errors);
    let namespaces = &entity.namespace_selector;
    let path_there = format_args!("{path}.namespaceSelector");
    selector::check_rule_namespaces(path_there, namespaces, errors);
    check_ports(format_args!("{path}.ports"), &entity.ports, errors);
    check_ports(format_args!("{path}.notPorts"), &entity.not_ports, errors);
    if let Some(accounts) = &entity.service_accounts {
        let path = format_args!("{path}.serviceAccounts");
        for (index, name) in accounts.names.iter().enumerate() {
            if let Err(error) = names::dns_subdomain(name) {
                let path = format!("{path}.names[{index}]");
                errors.push(table::ACCOUNT_NAME.with(path, &[&error]));
            }
        }
        let path = format_args!("{path}.selector");
        selector::check_of_any_length(path, &accounts.selector, errors);
    }
}

fn check_nets(path: impl Display + Copy, nets: &[String], errors: &mut Errors) {
    errors.too_many(&table::NETS_MAX, path, nets.len(), NETS_MAX);
    for (index, net) in nets.iter().enumerate() {
        let Err(error) = parse_cidr(net) else {
            continue;
        };
        let check = match error {
            CidrError::HostBits { .. } => &table::CIDR_MASKED,
            CidrError::NoPrefix { .. } => &table::CIDR_BARE,
            _ => &table::CIDR,
        };
        let fault = FieldError::of_cidr(format!("{path}[{index}]"), &error);
        errors.push(fault.of_check(check.id));
    }
}

fn check_ports(path: impl Display + Copy, ports: &[Port], errors: &mut Errors) {
    errors.too_many(&table::PORTS_MAX, path, ports.len(), PORTS_MAX);
    for (index, port) in ports.iter().enumerate() {
        if matches!(port, Port::Range(range) if range.first() == 0) {
            errors.broken(&table::PORT, format!("{path}[{index}]"));
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
            let check = match (wanted, first) {
                (Some(wanted), _) if wanted != family => &table::FAMILY,
                (None, Some(first)) if first != family => &table::FAMILIES,
                _ => {
                    first = Some(family);
                    continue;
                }
            };
            return errors.broken(check, format!("{path}.{field}[{index}]"));
        }
    }
}

fn family(net: &str) -> Option<Family> {
    parse_cidr(net).ok().map(|net: IpNet| Family::of_net(&net))
}

/// A port number means nothing without a protocol that has ports.
fn check_ports_have_protocol(path: &str, rule: &Rule, errors: &mut Errors) {
    let with_ports = [Number::TCP, Number::UDP, Number::SCTP];
    let check = match &rule.protocol {
        None => &table::PORTS_NO_PROTOCOL,
        Some(protocol) => match protocol.number() {
            Some(number) if !with_ports.contains(&number) => &table::PORTS_PROTOCOL,
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
    let see = if named_is_enough {
        "action"
    } else {
        "protocol"
    };
    let error = check.at(path).pointing_at(format!("{path}.{field}"));
    errors.push(error.seeing(format!("{path}.{see}")));
}
