//! The services of a rule: the one place that they have in each direction, and what may not stand beside them.

use super::{Errors, Place, table};
use crate::kind::Kind;
use crate::meta::PolicyType;
use crate::names::SUBDOMAIN_LENGTH_MAX;
use crate::v3::{EntityRule, Rule, ServiceMatch};

pub(super) fn check(place: Place<'_>, rule: &Rule, errors: &mut Errors) {
    let path = place.path;
    let ingress = place.direction == PolicyType::Ingress;
    let ends = [
        ("source", &rule.source, ingress, &table::SERVICES_EGRESS),
        (
            "destination",
            &rule.destination,
            !ingress,
            &table::SERVICES_INGRESS,
        ),
    ];
    for (field, entity, allowed, check) in ends {
        let Some(services) = &entity.services else {
            continue;
        };
        let path = format!("{path}.{field}.services");
        if !allowed {
            errors.push(check.at(path.as_str()).pointing_at_key());
        }
        check_names(&path, place.kind, services, errors);
        check_beside(&path, entity, errors);
        let ports = !entity.ports.is_empty() || !entity.not_ports.is_empty();
        if ports && field == "destination" {
            errors.push(table::SERVICES_PORTS.at(path.as_str()).pointing_at_key());
        }
    }
}

fn check_names(path: &str, kind: Kind, services: &ServiceMatch, errors: &mut Errors) {
    if services.name.is_empty() {
        errors.push(table::SERVICES_NAME.at(path).pointing_at_key());
    }
    if services.namespace.is_empty() && !kind.namespaced() {
        errors.push(table::SERVICES_NAMESPACE.at(path).pointing_at_key());
    }
    for (field, text) in [("name", &services.name), ("namespace", &services.namespace)] {
        let over = text.len().saturating_sub(SUBDOMAIN_LENGTH_MAX);
        if over > 0 {
            let path = format!("{path}.{field}");
            errors.push(table::SERVICES_NAME_LENGTH.with(path, &[&over]));
        }
    }
}

fn check_beside(path: &str, entity: &EntityRule, errors: &mut Errors) {
    let selectors = !entity.selector.is_empty() || !entity.not_selector.is_empty();
    let nets = !entity.nets.is_empty() || !entity.not_nets.is_empty();
    let beside = [
        (selectors, &table::SERVICES_SELECTOR),
        (
            !entity.namespace_selector.is_empty(),
            &table::SERVICES_NAMESPACES,
        ),
        (entity.service_accounts.is_some(), &table::SERVICES_ACCOUNTS),
        (nets, &table::SERVICES_NETS),
    ];
    for (given, check) in beside {
        if given {
            errors.push(check.at(path).pointing_at_key());
        }
    }
}
