//! One end of a Calico rule: selectors folded, CIDRs and ports as predicates (§2.7).

use oncilla_api::v3::{EntityRule, Port};
use oncilla_api::{Code, FieldError};
use oncilla_net::{Family, IpNet, PortRange, PortSet, Protocol, parse_cidr};
use oncilla_selector::{Selector, parse};

use super::{ACCOUNT_LABEL, ACCOUNT_PREFIX, NAMESPACE_LABEL, NAMESPACE_PREFIX};
use crate::{Families, List, Ports, Predicate, ProtocolMatch, ServiceKey, Side};

/// The protocols that an endpoint's named port can have.
const NAMED: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

/// What surrounds an end: where it is written, the policy's namespace, the rule's protocol.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) path: &'a str,
    pub(super) namespace: Option<&'a str>,
    pub(super) protocol: ProtocolMatch,
}

/// The criteria of one end, and the families for which they can hold.
pub(super) fn side(
    entity: &EntityRule,
    scope: Scope<'_>,
) -> Result<(Side, Families), Vec<FieldError>> {
    let mut errors = Vec::new();
    let service = service(entity, scope, &mut errors);
    let positive = positive(entity, scope, &mut errors);
    let negative = selector(&entity.not_selector, scope, "notSelector", &mut errors);
    let nets = nets(&entity.nets, scope, "nets", &mut errors);
    let not_nets = nets_of_not(entity, scope, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut side = Side::default();
    let effective = match (positive, negative) {
        (Some(positive), Some(negative)) => Some(both(vec![positive, negative.not()])),
        (Some(positive), None) => Some(positive),
        (None, Some(negative)) => {
            side.none.push(Predicate::selector(negative));
            None
        }
        (None, None) => None,
    };
    if let Some(effective) = &effective {
        side.all.push(Predicate::selector(effective.clone()));
    }
    side.all.extend(service.map(Predicate::listed));
    let mut families = Families::BOTH;
    if !nets.is_empty() {
        families = families.and(families_of(&nets));
        side.all.push(Predicate::nets(nets));
    }
    if !not_nets.is_empty() {
        families = families.and(families_of(&not_nets));
        side.none.push(Predicate::nets(not_nets));
    }
    side.ports = ports(&entity.ports, effective.as_ref(), scope.protocol);
    side.not_ports = ports(&entity.not_ports, effective.as_ref(), scope.protocol);
    Ok((side, families))
}

/// The endpoints of a service: the source's addresses, or the destination's with their ports (§2.7).
fn service(entity: &EntityRule, scope: Scope<'_>, errors: &mut Vec<FieldError>) -> Option<List> {
    let services = entity.services.as_ref()?;
    let own = (!services.namespace.is_empty()).then_some(services.namespace.as_str());
    let Some(namespace) = own.or(scope.namespace) else {
        let path = format!("{}.services", scope.path);
        errors.push(FieldError::new(path, "must specify a namespace"));
        return None;
    };
    let key = ServiceKey {
        namespace: namespace.into(),
        name: services.name.as_str().into(),
    };
    Some(if scope.path.ends_with("source") {
        List::Service(key)
    } else {
        List::ServicePorts(key)
    })
}

/// A selector field; `None` when it is not given.
pub(super) fn selector(
    text: &str,
    scope: Scope<'_>,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Option<Selector> {
    if text.is_empty() {
        return None;
    }
    match parse(text) {
        Ok(selector) => Some(selector),
        Err(error) => {
            let path = format!("{}.{field}", scope.path);
            errors.push(FieldError::new(path, error.to_string()).with_code(Code::InvalidSelector));
            None
        }
    }
}

/// All of the operands; `all()` beside others says nothing.
pub(super) fn both(operands: Vec<Selector>) -> Selector {
    let telling = operands
        .into_iter()
        .filter(|each| *each.expr() != oncilla_selector::Expr::All)
        .collect();
    Selector::and_all(telling)
}

/// The selector of one namespace.
pub(crate) fn in_namespace(namespace: &str) -> Selector {
    Selector::eq(NAMESPACE_LABEL, namespace)
}

/// A namespace selector, read on the labels that endpoints inherit.
pub(super) fn of_namespaces(selector: &Selector) -> Selector {
    selector
        .with_prefix(NAMESPACE_PREFIX)
        .replacing_all(&Selector::has(NAMESPACE_LABEL))
}

/// The ports of a criterion; names become one predicate for each protocol that the rule allows.
pub(super) fn ports(
    ports: &[Port],
    selector: Option<&Selector>,
    protocol: ProtocolMatch,
) -> Option<Ports> {
    if ports.is_empty() {
        return None;
    }
    let ranges = ports.iter().filter_map(|port| match port {
        Port::Range(range) => Some(*range),
        Port::Name(_) => None,
    });
    let numbers: PortSet = ranges.collect::<Vec<PortRange>>().into_iter().collect();
    let mut names = Vec::new();
    for port in ports {
        let Port::Name(name) = port else {
            continue;
        };
        let allowed = |each: &Protocol| {
            protocol.is.is_none_or(|is| is == *each) && protocol.is_not != Some(*each)
        };
        for each in NAMED.into_iter().filter(allowed) {
            names.push(Predicate::named_port(selector.cloned(), name, each));
        }
    }
    names.sort_unstable();
    names.dedup();
    Some(Ports { numbers, names })
}

/// The families of which a list has a CIDR.
pub(super) fn families_of(nets: &[IpNet]) -> Families {
    let has = |family| nets.iter().any(|net| Family::of_net(net) == family);
    Families {
        v4: has(Family::V4),
        v6: has(Family::V6),
    }
}

/// The positive selector: namespace part, service accounts, selector; `None` when no field asks for one.
fn positive(
    entity: &EntityRule,
    scope: Scope<'_>,
    errors: &mut Vec<FieldError>,
) -> Option<Selector> {
    let own = selector(&entity.selector, scope, "selector", errors);
    let namespaces = selector(
        &entity.namespace_selector,
        scope,
        "namespaceSelector",
        errors,
    );
    let accounts = accounts(entity, scope, errors);
    let asks = own.is_some()
        || accounts.is_some()
        || namespaces.is_some()
        || !entity.not_selector.is_empty();
    if !asks {
        return None;
    }
    let place = match namespaces {
        Some(namespaces) if is_global(&namespaces) => Some(Selector::has(NAMESPACE_LABEL).not()),
        Some(namespaces) => Some(of_namespaces(&namespaces)),
        None => scope.namespace.map(in_namespace),
    };
    let parts: Vec<Selector> = [place, accounts, own].into_iter().flatten().collect();
    // A global policy's bare notSelector has no positive part: it matches unknown addresses too.
    (!parts.is_empty()).then(|| both(parts))
}

fn is_global(selector: &Selector) -> bool {
    *selector.expr() == oncilla_selector::Expr::Global
}

fn accounts(
    entity: &EntityRule,
    scope: Scope<'_>,
    errors: &mut Vec<FieldError>,
) -> Option<Selector> {
    let accounts = entity.service_accounts.as_ref()?;
    let labels = selector(
        &accounts.selector,
        scope,
        "serviceAccounts.selector",
        errors,
    );
    let labels = labels.map(|selector| selector.with_prefix(ACCOUNT_PREFIX));
    let names =
        (!accounts.names.is_empty()).then(|| Selector::in_set(ACCOUNT_LABEL, &accounts.names));
    let parts: Vec<Selector> = [names, labels].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| both(parts))
}

fn nets(
    texts: &[String],
    scope: Scope<'_>,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<IpNet> {
    let mut nets = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match parse_cidr(text) {
            Ok(net) => nets.push(net),
            Err(error) => {
                let path = format!("{}.{field}[{index}]", scope.path);
                errors.push(FieldError::new(path, error.to_string()));
            }
        }
    }
    nets
}

fn nets_of_not(entity: &EntityRule, scope: Scope<'_>, errors: &mut Vec<FieldError>) -> Vec<IpNet> {
    nets(&entity.not_nets, scope, "notNets", errors)
}
