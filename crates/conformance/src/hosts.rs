//! What agents learn of their hosts besides the cluster's objects: interfaces, and what Felix's configuration
//! comes to. Here the objects say both.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_api::v1::Node;
use oncilla_api::{FieldError, Kind, Object, ObjectKey, Remains};
use oncilla_compile::settings_of;
use oncilla_model::{Change as ModelChange, Configuration, settings};
use oncilla_program::Settings;
use serde::Deserialize;
use serde_json::Value;

use crate::case::Change;

/// Where a node's own interfaces are listed.
const INTERFACES: &str = "projectcalico.org/Interfaces";

/// The interface that has a node's address when nobody lists its interfaces.
const MAIN_INTERFACE: &str = "eth0";

/// The addresses that a node is known by: its annotations, then those that it reports as internal.
pub(crate) fn node_addresses(node: &Node) -> Vec<IpAddr> {
    let annotated = ["IPv4Address", "IPv6Address"]
        .into_iter()
        .filter_map(|name| {
            let key = format!("projectcalico.org/{name}");
            let text = node.metadata.annotations.get(&key)?;
            text.split('/').next()?.parse().ok()
        });
    let reported = node.status.addresses.iter();
    let internal = reported.filter(|each| each.address_type == "InternalIP");
    let internal = internal.filter_map(|each| each.address.parse().ok());
    annotated.chain(internal).collect()
}

/// A node's interfaces with their addresses: those that it lists, and by default one with its own addresses.
pub(crate) fn node_interfaces(node: &Node) -> BTreeMap<String, Vec<IpAddr>> {
    let mut interfaces: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for each in listed(node) {
        interfaces.insert(each.name, each.addresses);
    }
    for address in node_addresses(node) {
        if !interfaces.values().flatten().any(|each| *each == address) {
            let main = interfaces.entry(MAIN_INTERFACE.to_owned()).or_default();
            main.push(address);
        }
    }
    interfaces
}

fn listed(node: &Node) -> Vec<Interface> {
    let listed = node.metadata.annotations.get(INTERFACES);
    let listed = listed.and_then(|text| serde_json::from_str(text).ok());
    listed.unwrap_or_default()
}

/// The hosts of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    configurations: BTreeMap<String, Configuration>,
    labels: BTreeMap<String, BTreeMap<String, String>>,
    interfaces: BTreeMap<String, Vec<Interface>>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: String,
    addresses: Vec<IpAddr>,
}

impl Hosts {
    /// Takes note of an object.
    pub(crate) fn hear(&mut self, change: &Change) {
        match change {
            Change::Apply(Object::FelixConfiguration(found)) => {
                let read = Configuration::of(found).unwrap_or_else(|reasons| {
                    let value = Object::FelixConfiguration(found.clone()).to_value();
                    let remains = Remains::new(Kind::FelixConfiguration, &value, &reasons);
                    Configuration::closed(&remains)
                });
                self.configurations
                    .insert(found.metadata.name.clone(), read);
            }
            Change::Apply(Object::Node(node)) => {
                let name = node.metadata.name.clone();
                self.interfaces.insert(name.clone(), listed(node));
                self.labels.insert(name, node.metadata.labels.clone());
            }
            Change::Delete(key) if key.kind == Kind::FelixConfiguration => {
                self.configurations.remove(&key.name);
            }
            Change::Apply(_) | Change::Delete(_) => {}
        }
    }

    /// Takes note of an object that cannot be understood.
    pub(crate) fn hear_broken(&mut self, key: &ObjectKey, value: &Value, errors: &[FieldError]) {
        if key.kind == Kind::FelixConfiguration {
            let remains = Remains::new(key.kind, value, errors);
            let closed = Configuration::closed(&remains);
            self.configurations.insert(key.name.clone(), closed);
        }
    }

    /// A node's own interfaces.
    pub(crate) fn interfaces(&self, node: &str) -> Vec<ModelChange> {
        let listed = self.interfaces.get(node).into_iter().flatten();
        let changes = listed.map(|interface| {
            let mut addresses = interface.addresses.clone();
            addresses.sort_unstable();
            ModelChange::Interface(interface.name.as_str().into(), Some(addresses.into()))
        });
        changes.collect()
    }

    /// How a node treats packets.
    pub(crate) fn settings(&self, node: &str) -> Settings {
        let none = BTreeMap::new();
        let labels = self.labels.get(node).unwrap_or(&none);
        let said = settings(&self.configurations, node, labels);
        settings_of(&said, &Settings::default())
    }
}
