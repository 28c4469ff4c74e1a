//! Hosts: which host endpoint an interface of a node is, and what a node's configuration says.

mod felix;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::v3::{self, ALL_INTERFACES};
use oncilla_api::{Kind, Object, ObjectKey, Remains, Remnant, v1};
use oncilla_net::parse_address;
use serde::Deserialize;

pub(crate) use felix::Felix;

use crate::cluster::Cluster;
use crate::endpoint::{Endpoint, Inheritance, NamedPort, node_addresses};
use crate::evaluator::Evaluator;
use crate::hidden::HiddenSet;
use crate::labels::{LabelMap, NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX};
use crate::profile::{Profile, Profiles};

/// The interface of a node that nothing is said of.
const MAIN_INTERFACE: &str = "eth0";
/// Where a node's own interfaces are listed.
const INTERFACES: &str = "projectcalico.org/Interfaces";

/// A host endpoint.
#[derive(Debug)]
pub(crate) struct HostEndpoint {
    /// What policies select and judge. Its addresses are the expected ones.
    pub(crate) endpoint: Endpoint,
    /// The node; `None` when nobody can say.
    node: Option<String>,
    /// The interface; empty: the one that has an expected address. `*`: every other one.
    interface: String,
    /// Why it denies everything, when it does.
    pub(crate) problem: Option<Arc<str>>,
}

/// A node.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) addresses: Vec<IpAddr>,
    interfaces: BTreeMap<String, Vec<IpAddr>>,
    pub(crate) felix: Felix,
}

/// An interface of a node that packets pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Interface {
    /// `None` when only its addresses are known.
    name: Option<String>,
    addresses: Vec<IpAddr>,
}

/// One entry of a node's list of interfaces.
#[derive(Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    addresses: Vec<String>,
}

impl Host {
    pub(crate) fn new(node: &v1::Node, cluster: &Cluster) -> Self {
        let annotations = &node.metadata.annotations;
        let listed = annotations.get(INTERFACES).map(String::as_str);
        let listed: Vec<Listed> = listed
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let addresses = |texts: &[String]| {
            let bare = texts.iter().map(|text| text.split('/').next());
            bare.flatten()
                .filter_map(|text| text.parse().ok())
                .collect()
        };
        Self {
            addresses: node_addresses(node),
            interfaces: listed
                .into_iter()
                .map(|each| (each.name, addresses(&each.addresses)))
                .collect(),
            felix: Felix::of(&node.metadata.name, &node.metadata.labels, cluster),
        }
    }
}

impl HostEndpoint {
    /// Every host endpoint, in the order of their names.
    pub(crate) fn all(
        cluster: &Cluster,
        broken: &BTreeMap<ObjectKey, Remains>,
        (inheritance, profiles): (&Inheritance, &Profiles),
    ) -> Vec<Self> {
        let mut all: Vec<Self> = cluster
            .objects()
            .filter_map(|object| match object {
                Object::HostEndpoint(found) if !broken.contains_key(&object.key()) => {
                    Some(Self::of(found, inheritance, profiles))
                }
                _ => None,
            })
            .collect();
        let faulty = broken
            .iter()
            .filter(|(key, _)| key.kind == Kind::HostEndpoint);
        all.extend(faulty.map(|(key, remains)| Self::closed(key, remains)));
        all.sort_by(|a, b| a.endpoint.key.cmp(&b.endpoint.key));
        all
    }

    fn of(found: &v3::HostEndpoint, inheritance: &Inheritance, profiles: &Profiles) -> Self {
        let spec = &found.spec;
        let mut labels = found.metadata.labels.clone();
        let mut listed: Vec<Profile> = Vec::with_capacity(spec.profiles.len());
        let mut problem: Option<Arc<str>> = None;
        // What labels begin with that nobody knows.
        let mut masked = Vec::new();
        for name in &spec.profiles {
            let profile = profiles.find(name, inheritance);
            if profile.labels.is_none() {
                let why = format!("the labels that its profile {name} gives cannot be read");
                problem.get_or_insert(why.into());
                masked.push(match name {
                    name if name.starts_with("kns.") => NAMESPACE_PREFIX,
                    name if name.starts_with("ksa.") => SERVICE_ACCOUNT_PREFIX,
                    _ => "",
                });
            }
            for (label, value) in profile.labels.iter().flatten() {
                labels.entry(label.clone()).or_insert_with(|| value.clone());
            }
            listed.push(profile);
        }
        let ports = spec.ports.iter().filter_map(|port| {
            Some(NamedPort {
                name: port.name.clone(),
                protocol: port.protocol.number()?,
                port: u16::try_from(port.port).ok()?,
            })
        });
        let addresses = spec.expected_ips.iter();
        let why = problem.as_deref().unwrap_or_default();
        let vague = (!masked.is_empty()).then(|| HiddenSet::vague(labels.clone(), masked, why));
        Self {
            node: Some(spec.node.clone()),
            interface: spec.interface_name.clone(),
            problem,
            endpoint: Endpoint {
                key: ObjectKey::cluster(Kind::HostEndpoint, found.metadata.name.clone()),
                name: format!("host:{}", spec.node).into(),
                node: spec.node.clone(),
                labels,
                addresses: addresses
                    .filter_map(|text| parse_address(text).ok())
                    .collect(),
                ports: ports.collect(),
                profiles: listed,
                vague,
            },
        }
    }

    /// What stands for one that the API would refuse: it denies, wherever it may be.
    fn closed(key: &ObjectKey, remains: &Remains) -> Self {
        let faults: Vec<String> = remains.errors().iter().map(ToString::to_string).collect();
        let node = remains.text("spec.node").filter(|node| !node.is_empty());
        let addresses: Vec<IpAddr> = { remains.items("spec.expectedIPs").iter() }
            .filter_map(|text| parse_address(text.as_str()?).ok())
            .collect();
        let all_known = matches!(
            remains.field("spec.expectedIPs"),
            Remnant::Is(_) | Remnant::Absent
        );
        let interface = match remains.text("spec.interfaceName") {
            Some("") if all_known && !addresses.is_empty() => "",
            Some(name) if !name.is_empty() => name,
            _ => ALL_INTERFACES,
        };
        let labels: Option<LabelMap> = remains.read("metadata.labels");
        let at = node.unwrap_or_default();
        Self {
            node: node.map(str::to_owned),
            interface: interface.to_owned(),
            problem: Some(format!("it cannot be understood: {}", faults.join("; ")).into()),
            endpoint: Endpoint {
                key: key.clone(),
                name: format!("host:{at}").into(),
                node: at.to_owned(),
                labels: labels.unwrap_or_default(),
                addresses,
                ports: Vec::new(),
                profiles: Vec::new(),
                vague: None,
            },
        }
    }

    /// Whether it is for every interface that has none of its own.
    fn is_of_all(&self) -> bool {
        self.interface == ALL_INTERFACES
    }

    /// Whether it has no say before connections are followed. Upstream's rule: only an interface's own host endpoint has
    /// one there. Whoever cannot be understood and may mean every interface has one wherever an interface is known.
    pub(crate) fn is_late(
        &self,
        node: &Evaluator,
        (name, interface): (&str, Option<&Interface>),
    ) -> bool {
        let known = interface.and_then(|interface| interface.name.as_deref());
        let is_known = known.is_some_and(|interface| {
            let listed = node.nodes.get(name);
            let mut named = node.hosts.iter().filter(|each| each.is_on(name));
            listed.is_some_and(|host| host.interfaces.contains_key(interface))
                || named.any(|each| each.interface == interface)
        });
        self.is_of_all() && !(self.problem.is_some() && is_known)
    }

    fn is_on(&self, node: &str) -> bool {
        self.node.as_deref().is_none_or(|own| own == node)
    }

    /// Whether it is this interface and not only one of all.
    fn is(&self, interface: &Interface) -> bool {
        match self.interface.as_str() {
            ALL_INTERFACES => false,
            "" => {
                let mut own = self.endpoint.addresses.iter();
                own.any(|address| interface.addresses.contains(address))
            }
            name => interface.name.as_deref() == Some(name),
        }
    }
}

/// The interface by which a node talks to others, unless a question says otherwise: the one that has one of the
/// node's addresses, by the node's list or by a host endpoint that expects it; else the only one that host
/// endpoints name.
pub(crate) fn main_interface(name: &str, host: &Host, endpoints: &[HostEndpoint]) -> Interface {
    let has_own = |addresses: &[IpAddr]| {
        addresses
            .iter()
            .any(|address| host.addresses.contains(address))
    };
    let mut listed = host.interfaces.iter();
    if let Some((interface, addresses)) = listed.find(|(_, addresses)| has_own(addresses)) {
        return Interface {
            name: Some(interface.clone()),
            addresses: addresses.clone(),
        };
    }
    let named: Vec<&HostEndpoint> = endpoints
        .iter()
        .filter(|each| each.is_on(name) && !matches!(&*each.interface, "" | ALL_INTERFACES))
        .collect();
    let expecting = named.iter().find(|each| has_own(&each.endpoint.addresses));
    let mut names: Vec<&str> = named.iter().map(|each| &*each.interface).collect();
    names.dedup();
    let interface = match (expecting, names.as_slice()) {
        (Some(found), _) => &*found.interface,
        (None, [only]) => *only,
        (None, _) => MAIN_INTERFACE,
    };
    Interface {
        name: Some(interface.to_owned()),
        addresses: host.addresses.clone(),
    }
}

/// An interface of a node by its name.
pub(crate) fn interface(name: &str, host: &Host, main: &Interface) -> Interface {
    let addresses = match host.interfaces.get(name) {
        Some(addresses) => addresses.clone(),
        None if main.name.as_deref() == Some(name) => main.addresses.clone(),
        None => Vec::new(),
    };
    Interface {
        name: Some(name.to_owned()),
        addresses,
    }
}

/// The host endpoint that an interface is; of a workload's interface (`None`) the one for all interfaces. One
/// that cannot be understood comes before all others.
pub(crate) fn at<'a>(
    endpoints: &'a [HostEndpoint],
    node: &str,
    interface: Option<&Interface>,
) -> Option<&'a HostEndpoint> {
    let own = |each: &&HostEndpoint| interface.is_some_and(|interface| each.is(interface));
    let all = |each: &&HostEndpoint| each.interface == ALL_INTERFACES;
    let here = || endpoints.iter().filter(|each| each.is_on(node));
    let mut broken = here().filter(|each| each.problem.is_some());
    broken
        .find(|each| own(each) || all(each))
        .or_else(|| here().find(own))
        .or_else(|| here().find(all))
}
