//! Host endpoints, profiles and workloads as Calico stores them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::v3::{self, ALL_INTERFACES, DEFAULT_ALLOW_PROFILE};
use oncilla_api::{FieldError, ObjectKey, Remains, Remnant};
use oncilla_net::{IpNet, parse_address, parse_cidr};

use super::policy::convert_rules;
use super::{
    ACCOUNT_LABEL, Closed, KUBERNETES, LISTS_PREFIX, NAMESPACE_LABEL, ORCHESTRATOR_LABEL, labels,
    pairs, unconditional,
};
use crate::doubt::{Doubt, Heirs, Obscure};
use crate::{
    Action, Change, Endpoint, EndpointKey, EndpointPort, HostEndpoint, HostInterface, Profile,
    ProfileName, Rule,
};

/// The beginnings of names of profiles that namespaces and service accounts have.
const DERIVED: [&str; 2] = ["kns.", "ksa."];

/// The endpoint of a host's interface.
pub(super) fn host_endpoint(host: &v3::HostEndpoint) -> Result<Change, Vec<FieldError>> {
    let spec = &host.spec;
    let addresses = spec.expected_ips.iter().enumerate().map(|(index, text)| {
        let fault = |error: oncilla_net::AddressError| {
            one(format!("spec.expectedIPs[{index}]"), error.to_string())
        };
        parse_address(text).map_err(fault)
    });
    let addresses = all(addresses)?;
    let name: Arc<str> = host.metadata.name.as_str().into();
    let endpoint = HostEndpoint {
        name: Arc::clone(&name),
        node: spec.node.as_str().into(),
        interface: interface(&spec.interface_name),
        labels: labels(pairs("", &host.metadata.labels).chain(listing(&spec.profiles))),
        profiles: profiles(&spec.profiles),
        addresses: sorted(addresses),
        ports: ports(
            spec.ports
                .iter()
                .map(|port| (&*port.name, &port.protocol, port.port)),
        )?,
        is_closed: false,
        is_peer: true,
    };
    Ok(Change::HostEndpoint(name, Some(Arc::new(endpoint))))
}

/// A workload of another orchestrator. Of Kubernetes' workloads the pods say everything.
pub(super) fn workload(workload: &v3::WorkloadEndpoint) -> Result<Option<Change>, Vec<FieldError>> {
    let spec = &workload.spec;
    if spec.orchestrator == KUBERNETES {
        return Ok(None);
    }
    let namespace = workload.metadata.namespace.as_deref();
    let namespace: Arc<str> = namespace.unwrap_or("default").into();
    let key = workload_key(&namespace, &workload.metadata.name);
    let addresses = spec.ip_networks.iter().enumerate().map(|(index, text)| {
        let path = format!("spec.ipNetworks[{index}]");
        let net = parse_address(text).map(IpNet::from);
        let net = net.or_else(|_no_address| parse_cidr(text));
        match net {
            Ok(net) if net.prefix_len() == net.max_prefix_len() => Ok(net.addr()),
            Ok(_) => Err(one(path, "is more than one address")),
            Err(error) => Err(one(path, error.to_string())),
        }
    });
    let account = (!spec.service_account_name.is_empty()).then(|| {
        (
            ACCOUNT_LABEL.into(),
            spec.service_account_name.as_str().into(),
        )
    });
    let system = [
        (NAMESPACE_LABEL.into(), namespace),
        (ORCHESTRATOR_LABEL.into(), spec.orchestrator.as_str().into()),
    ];
    let own = pairs("", &workload.metadata.labels)
        .chain(system)
        .chain(account)
        .chain(listing(&spec.profiles));
    let endpoint = Endpoint {
        key: key.clone(),
        node: spec.node.as_str().into(),
        interface: spec.interface_name.as_str().into(),
        labels: labels(own),
        profiles: profiles(&spec.profiles),
        addresses: sorted(all(addresses)?),
        ports: ports(
            spec.ports
                .iter()
                .filter(|port| !port.name.is_empty())
                .map(|port| (&*port.name, &port.protocol, port.port)),
        )?,
    };
    Ok(Some(Change::Endpoint(key, Some(Arc::new(endpoint)))))
}

/// A profile as written. The one that allows everything is always there and is nobody's to write.
pub(super) fn profile(profile: &v3::Profile) -> Result<Option<Change>, Vec<FieldError>> {
    let name = profile.metadata.name.as_str();
    if name == DEFAULT_ALLOW_PROFILE {
        return Ok(None);
    }
    if DERIVED.iter().any(|derived| name.starts_with(derived)) {
        let message = "is the name of a profile that a namespace or a service account has";
        return Err(vec![FieldError::new("metadata.name", message)]);
    }
    let name = ProfileName(name.into());
    let rules = |field, list: &[v3::Rule]| convert_rules(None, field, list);
    let (ingress, egress) = (
        rules("ingress", &profile.spec.ingress),
        rules("egress", &profile.spec.egress),
    );
    match (ingress, egress) {
        (Ok(ingress), Ok(egress)) => {
            let made = Profile {
                name: name.clone(),
                labels: labels(pairs("", &profile.spec.labels_to_apply)),
                ingress,
                egress,
                is_obscure: false,
            };
            Ok(Some(Change::Profile(name, Some(Arc::new(made)))))
        }
        (ingress, egress) => {
            let mut errors = ingress.err().unwrap_or_default();
            errors.extend(egress.err().into_iter().flatten());
            Err(errors)
        }
    }
}

/// What stands for a profile that was refused: it denies. Without its labels nobody knows whom it makes policies select,
/// nor whom rules mean.
pub(super) fn closed_profile(key: &ObjectKey, remains: &Remains) -> Closed {
    let name = ProfileName(key.name.as_str().into());
    // Those are not objects', whatever an object is called.
    if removed_profile(&name.0).is_none() {
        return Closed::default();
    }
    let given: Option<BTreeMap<String, String>> = remains.read("spec.labelsToApply");
    let deny: Arc<[Rule]> = [unconditional(Action::Deny)].into();
    let made = Profile {
        name: name.clone(),
        labels: labels(given.iter().flat_map(|given| pairs("", given))),
        ingress: Arc::clone(&deny),
        egress: deny,
        is_obscure: given.is_none(),
    };
    Closed {
        doubt: given
            .is_none()
            .then(|| Doubt::Inherits(Heirs::of_profile(&key.name))),
        changes: vec![Change::Profile(name, Some(Arc::new(made)))],
    }
}

/// The key of a workload that is no pod, and never a pod's.
pub(super) fn workload_key(namespace: &Arc<str>, name: &str) -> EndpointKey {
    EndpointKey {
        namespace: Arc::clone(namespace),
        name: format!("wep:{name}").into(),
    }
}

/// What the removal of a profile means.
pub(super) fn removed_profile(name: &str) -> Option<Change> {
    let is_own =
        name != DEFAULT_ALLOW_PROFILE && !DERIVED.iter().any(|derived| name.starts_with(derived));
    is_own.then(|| Change::Profile(ProfileName(name.into()), None))
}

/// What stands for a host endpoint that was refused: it denies, wherever it may be. Where that cannot be read it is
/// every node, and all interfaces. Rules doubt whether they mean it when something is unknown by which they would.
pub(super) fn closed_host(key: &ObjectKey, remains: &Remains) -> Closed {
    let name: Arc<str> = key.name.as_str().into();
    let own = remains.read::<BTreeMap<String, String>>("metadata.labels");
    let texts = |path| remains.items(path).iter().filter_map(|item| item.as_str());
    let addresses: Vec<IpAddr> = texts("spec.expectedIPs")
        .filter_map(|text| parse_address(text).ok())
        .collect();
    let all_known = !matches!(remains.field("spec.expectedIPs"), Remnant::Unknown);
    let has_none = |list| remains.count(list) == Some(0);
    let inherits = !has_none("spec.profiles");
    let is_known_peer = all_known && own.is_some() && !inherits && has_none("spec.ports");
    let endpoint = HostEndpoint {
        name: Arc::clone(&name),
        node: remains.text("spec.node").unwrap_or_default().into(),
        interface: match remains.text("spec.interfaceName") {
            Some("") if all_known && !addresses.is_empty() => HostInterface::ByAddress,
            Some("") | None => HostInterface::All,
            Some(text) => interface(text),
        },
        labels: labels(own.iter().flat_map(|own| pairs("", own))),
        profiles: Vec::new(),
        addresses: sorted(addresses),
        ports: Vec::new(),
        is_closed: true,
        is_peer: is_known_peer,
    };
    Closed {
        changes: vec![Change::HostEndpoint(name, Some(Arc::new(endpoint)))],
        doubt: (!is_known_peer).then(|| Doubt::Holds(Obscure::host(own.as_ref(), inherits))),
    }
}

/// What stands for a workload of another orchestrator that was refused: it is no endpoint, and nobody knows what it
/// has. One of Kubernetes' is a pod's, and the pod says everything.
pub(super) fn closed_workload(key: &ObjectKey, remains: &Remains) -> Closed {
    if remains.text("spec.orchestrator") == Some(KUBERNETES) {
        return Closed::default();
    }
    let namespace: Arc<str> = key.namespace.as_deref().unwrap_or("default").into();
    let gone = workload_key(&namespace, &key.name);
    Closed {
        changes: vec![Change::Endpoint(gone, None)],
        doubt: Some(Doubt::Holds(Obscure::workload(&namespace))),
    }
}

fn interface(name: &str) -> HostInterface {
    match name {
        "" => HostInterface::ByAddress,
        ALL_INTERFACES => HostInterface::All,
        name => HostInterface::Named(name.into()),
    }
}

/// The labels that tell which profiles are listed.
fn listing(names: &[String]) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    let labels = names.iter().map(|name| format!("{LISTS_PREFIX}{name}"));
    labels.map(|label| (label.into(), "".into()))
}

fn profiles(names: &[String]) -> Vec<ProfileName> {
    let names = names.iter();
    names
        .map(|name| ProfileName(name.as_str().into()))
        .collect()
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn one(path: String, message: impl Into<String>) -> Vec<FieldError> {
    vec![FieldError::new(path, message)]
}

fn all<T>(
    results: impl Iterator<Item = Result<T, Vec<FieldError>>>,
) -> Result<Vec<T>, Vec<FieldError>> {
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(errors)
    }
}

fn ports<'a>(
    given: impl Iterator<Item = (&'a str, &'a v3::Protocol, i64)>,
) -> Result<Vec<EndpointPort>, Vec<FieldError>> {
    let ports = given.enumerate().map(|(index, (name, protocol, port))| {
        let fault = |message: &str| one(format!("spec.ports[{index}]"), message);
        Ok(EndpointPort {
            name: name.into(),
            protocol: protocol
                .number()
                .ok_or_else(|| fault("has no known protocol"))?,
            port: u16::try_from(port).map_err(|_range| fault("has no port number"))?,
        })
    });
    let mut ports = all(ports)?;
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}
