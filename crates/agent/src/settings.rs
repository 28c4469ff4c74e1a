//! How this node treats packets: what the agent was told at its start, under what Felix's configurations say.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_compile::settings_of;
use oncilla_model::{Configuration, settings};
use oncilla_program::Settings;
use serde_json::Value;

/// The configurations of the cluster, seen from one node.
#[derive(Debug)]
pub(crate) struct Configurations {
    node: Arc<str>,
    base: Settings,
    all: BTreeMap<String, Configuration>,
    /// Of the node's own object.
    labels: BTreeMap<String, String>,
    /// What follows from all of these. Kept, because it is asked for at every event.
    now: Settings,
}

impl Configurations {
    pub(crate) fn new(node: &str, base: Settings) -> Self {
        Self {
            node: node.into(),
            now: base.clone(),
            base,
            all: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Whose they are.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// A configuration came, changed or went.
    pub(crate) fn put(&mut self, name: &str, configuration: Option<Configuration>) {
        match configuration {
            Some(configuration) => drop(self.all.insert(name.to_owned(), configuration)),
            None => drop(self.all.remove(name)),
        }
        self.settle();
    }

    /// A node's object: the labels of our own are what selectors ask about.
    pub(crate) fn note_node(&mut self, name: &str, node: Option<&Value>) {
        if name != &*self.node {
            return;
        }
        let labels = node.and_then(|node| node.pointer("/metadata/labels")?.as_object());
        let pairs = labels.into_iter().flatten();
        let pairs =
            pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let labels = pairs.collect();
        if self.labels != labels {
            self.labels = labels;
            self.settle();
        }
    }

    /// What holds now.
    pub(crate) const fn settings(&self) -> &Settings {
        &self.now
    }

    fn settle(&mut self) {
        let said = settings(&self.all, &self.node, &self.labels);
        self.now = settings_of(&said, &self.base);
    }
}

#[cfg(test)]
mod tests {
    use oncilla_api::{Kind, Object, Remains};
    use oncilla_model::Configuration;
    use oncilla_program::{EndpointToHost, LogRate, Settings};
    use serde_json::json;

    use super::Configurations;

    fn configuration(spec: &serde_json::Value) -> Configuration {
        let value = json!({ "apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration",
            "metadata": { "name": "default" }, "spec": spec });
        let Object::FelixConfiguration(object) =
            Object::decode(Kind::FelixConfiguration, value).unwrap()
        else {
            panic!("another kind");
        };
        Configuration::of(&object).unwrap()
    }

    #[test]
    fn the_nodes_own_stands_before_a_selected_one_and_that_before_the_default() {
        let mut all = Configurations::new("n1", Settings::default());
        let action = |all: &Configurations| all.settings().endpoint_to_host;
        assert_eq!(action(&all), EndpointToHost::Drop);
        let says = |action: &str| configuration(&json!({ "defaultEndpointToHostAction": action }));
        all.put("default", Some(says("Accept")));
        all.put("node.n2", Some(says("Drop")));
        assert_eq!(action(&all), EndpointToHost::Accept);
        let racks =
            json!({ "defaultEndpointToHostAction": "Return", "nodeSelector": "rack == 'a'" });
        all.put("racks", Some(configuration(&racks)));
        assert_eq!(action(&all), EndpointToHost::Accept, "not this rack");
        let node = json!({ "metadata": { "labels": { "rack": "a" } } });
        all.note_node("n1", Some(&node));
        assert_eq!(action(&all), EndpointToHost::Return);
        all.put("node.n1", Some(says("Drop")));
        assert_eq!(action(&all), EndpointToHost::Drop);
        all.put("node.n1", None);
        assert_eq!(action(&all), EndpointToHost::Return);
    }

    #[test]
    fn failsafes_are_replaced_and_emptied() {
        let mut all = Configurations::new("n1", Settings::default());
        let default = all.settings().failsafes.clone();
        assert_eq!(default.inbound.len(), 9);
        let ssh = json!({ "failsafeInboundHostPorts": [
            { "protocol": "TCP", "port": 22, "net": "10.0.0.0/8" }] });
        all.put("default", Some(configuration(&ssh)));
        let failsafes = &all.settings().failsafes;
        assert_eq!(failsafes.inbound.len(), 1);
        assert_eq!(failsafes.outbound, default.outbound);
        let none = json!({ "failsafeInboundHostPorts": [], "failsafeOutboundHostPorts": [] });
        all.put("default", Some(configuration(&none)));
        assert!(all.settings().failsafes.inbound.is_empty());
        assert!(all.settings().failsafes.outbound.is_empty());
    }

    #[test]
    fn what_cannot_be_understood_closes_what_it_may_have_closed_and_keeps_failsafes() {
        let base = Settings {
            endpoint_to_host: EndpointToHost::Accept,
            ..Settings::default()
        };
        let mut all = Configurations::new("n1", base);
        let written = json!({ "apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration",
            "metadata": { "name": "default" }, "spec": {
                "defaultEndpointToHostAction": "Maybe",
                "allowVXLANPacketsFromWorkloads": "perhaps",
                "failsafeInboundHostPorts": [{ "protocol": "TCP", "port": 22 },
                    { "protocol": "TCP", "port": "ssh" }] } });
        let remains = Remains::new(Kind::FelixConfiguration, &written, &[]);
        all.put("default", Some(Configuration::closed(&remains)));
        let settings = all.settings();
        assert_eq!(settings.endpoint_to_host, EndpointToHost::Drop);
        assert_eq!(settings.encap_drop, Settings::default().encap_drop);
        assert_eq!(
            settings.failsafes.inbound.len(),
            1,
            "what can be read of the list"
        );
        assert_eq!(
            settings.failsafes.outbound,
            Settings::default().failsafes.outbound
        );
        assert!(settings.drop_invalid && settings.drop_spoofed);
    }

    #[test]
    fn a_configuration_that_may_be_for_the_node_opens_nothing_and_closes_what_it_may() {
        let base = Settings {
            endpoint_to_host: EndpointToHost::Accept,
            ..Settings::default()
        };
        let mut all = Configurations::new("n1", base);
        let written = |created: &str| {
            json!({ "apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration",
            "metadata": { "name": "racks", "creationTimestamp": created }, "spec": {
                "nodeSelector": "rack ==", "defaultEndpointToHostAction": "Drop", "vxlanPort": 8472,
                "allowIPIPPacketsFromWorkloads": true, "workloadSourceSpoofing": "Any",
                "failsafeInboundHostPorts": [
                    { "protocol": "TCP", "port": 22, "net": "10.0.0.0/8" },
                    { "protocol": "TCP", "port": 9000 }] } })
        };
        let remains = |value| Remains::new(Kind::FelixConfiguration, &value, &[]);
        let broken = |created| Configuration::closed(&remains(written(created)));
        all.put("racks", Some(broken("2026-01-02T00:00:00Z")));
        let settings = all.settings();
        assert_eq!(settings.endpoint_to_host, EndpointToHost::Drop);
        assert_eq!(*settings.encap_drop.vxlan_ports, [4789, 8472]);
        assert!(settings.encap_drop.ipip && settings.drop_spoofed);
        let inbound: Vec<String> = { settings.failsafes.inbound.iter() }
            .map(|each| format!("{}/{:?}", each.port, each.net.map(|net| net.to_string())))
            .collect();
        assert_eq!(
            inbound,
            ["22/Some(\"10.0.0.0/8\")"],
            "what both let through"
        );
        let node = json!({ "metadata": { "labels": { "rack": "a" } } });
        all.note_node("n1", Some(&node));
        let mut older = json!({ "nodeSelector": "rack == 'a'" });
        let oldest = |spec: &serde_json::Value, created: &str| {
            let value = json!({ "apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration",
                "metadata": { "name": "older", "creationTimestamp": created }, "spec": spec });
            let Object::FelixConfiguration(object) =
                Object::decode(Kind::FelixConfiguration, value).unwrap()
            else {
                panic!("another kind");
            };
            Configuration::of(&object).unwrap()
        };
        all.put("older", Some(oldest(&older, "2026-01-01T00:00:00Z")));
        let settings = all.settings();
        assert_eq!(
            settings.endpoint_to_host,
            EndpointToHost::Accept,
            "an older one is this node's"
        );
        assert_eq!(settings.failsafes, Settings::default().failsafes);
        older["nodeSelector"] = json!("rack == 'b'");
        all.put("older", Some(oldest(&older, "2026-01-01T00:00:00Z")));
        assert_eq!(all.settings().endpoint_to_host, EndpointToHost::Drop);
    }

    fn prefixes(all: &Configurations) -> Vec<String> {
        let settings = all.settings();
        settings
            .interface_prefixes
            .iter()
            .map(str::to_owned)
            .collect()
    }

    fn broken(name: &str, spec: &serde_json::Value) -> Configuration {
        let written = json!({ "apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration",
            "metadata": { "name": name }, "spec": spec });
        Configuration::closed(&Remains::new(Kind::FelixConfiguration, &written, &[]))
    }

    #[test]
    fn interface_prefixes_are_those_of_the_narrowest_and_the_agents_own() {
        let mut all = Configurations::new("n1", Settings::default());
        assert_eq!(prefixes(&all), ["cali"]);
        all.put(
            "default",
            Some(configuration(&json!({ "interfacePrefix": "tap,veth" }))),
        );
        assert_eq!(
            prefixes(&all),
            ["cali", "tap", "veth"],
            "pods are called cali…"
        );
        all.put("node.n1", Some(configuration(&json!({ "logPrefix": "p" }))));
        assert_eq!(
            prefixes(&all),
            ["cali", "tap", "veth"],
            "it says nothing of them"
        );
        all.put(
            "node.n1",
            Some(configuration(&json!({ "interfacePrefix": "cali,eni" }))),
        );
        assert_eq!(prefixes(&all), ["cali", "eni"]);
        all.put("node.n1", None);
        all.put("default", None);
        assert_eq!(prefixes(&all), ["cali"]);
    }

    #[test]
    fn interface_prefixes_that_cannot_be_read_take_nothing_away() {
        let mut all = Configurations::new("n1", Settings::default());
        all.put(
            "default",
            Some(configuration(&json!({ "interfacePrefix": "tap" }))),
        );
        for (spec, expected) in [
            (
                json!({ "interfacePrefix": "eni,a/b" }),
                vec!["cali", "eni", "tap"],
            ),
            (json!({ "interfacePrefix": "" }), vec!["cali", "tap"]),
            (json!({ "interfacePrefix": 7 }), vec!["cali", "tap"]),
            (json!({ "interfacePrefixes": "eni" }), vec!["cali", "tap"]),
            (json!("interfacePrefix"), vec!["cali", "tap"]),
            (
                json!({ "interfacePrefix": "eni", "vxlanPort": "x" }),
                vec!["cali", "eni"],
            ),
        ] {
            all.put("node.n1", Some(broken("node.n1", &spec)));
            assert_eq!(prefixes(&all), expected, "{spec}");
        }
        all.put("node.n1", None);
        // Whether it is this node's nobody knows.
        let doubtful = json!({ "nodeSelector": "rack ==", "interfacePrefix": "eni" });
        all.put("racks", Some(broken("racks", &doubtful)));
        assert_eq!(prefixes(&all), ["cali", "eni", "tap"]);
    }

    /// What was VXLAN's port nobody knows then: no port that may be is let out.
    #[test]
    fn a_port_of_vxlan_that_cannot_be_read_may_be_any_that_is_known() {
        let mut base = Settings::default();
        base.encap_drop.vxlan_ports = [8472].into();
        let mut all = Configurations::new("n1", base);
        let broken = |spec| Some(broken("any", &spec));
        all.put(
            "default",
            Some(configuration(&json!({ "vxlanPort": 9000 }))),
        );
        all.put(
            "node.n2",
            Some(configuration(&json!({ "vxlanPort": 9002 }))),
        );
        assert_eq!(*all.settings().encap_drop.vxlan_ports, [9000]);
        for port in [json!("8473"), json!(70_000)] {
            all.put("node.n1", broken(json!({ "vxlanPort": port })));
            let ports = &all.settings().encap_drop.vxlan_ports;
            assert_eq!(**ports, [4789, 8472, 9000, 9002]);
        }
        all.put("node.n1", broken(json!({ "vxlanPort": 7, "logPrefix": 7 })));
        assert_eq!(
            *all.settings().encap_drop.vxlan_ports,
            [7],
            "it can be read"
        );
        all.put("node.n1", None);
        all.put("default", broken(json!({ "vxlanPort": "x" })));
        let ports = &all.settings().encap_drop.vxlan_ports;
        assert_eq!(**ports, [4789, 8472, 9002]);
        all.put("node.n1", Some(configuration(&json!({ "vxlanPort": 7 }))));
        assert_eq!(
            *all.settings().encap_drop.vxlan_ports,
            [7],
            "the narrower wins"
        );
        let open = json!({ "allowVXLANPacketsFromWorkloads": true });
        all.put("node.n1", Some(configuration(&open)));
        assert!(all.settings().encap_drop.vxlan_ports.is_empty());
    }

    #[test]
    fn log_rules_write_as_told() {
        let mut all = Configurations::new("n1", Settings::default());
        let default = all.settings().clone();
        let told = json!({ "logPrefix": "policy %n", "logActionRateLimit": "10/minute" });
        all.put("default", Some(configuration(&told)));
        let settings = all.settings();
        assert_eq!(&*settings.log_prefix, "policy %n");
        let rate = LogRate {
            packets: 10,
            seconds: 60,
            burst: 5,
        };
        assert_eq!(settings.log_rate, rate);
        let burst = json!({ "logActionRateLimitBurst": 50 });
        all.put("default", Some(configuration(&burst)));
        let rate = LogRate {
            burst: 50,
            ..default.log_rate
        };
        assert_eq!(all.settings().log_rate, rate);
        let written = json!({ "apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration",
            "metadata": { "name": "default" }, "spec": { "logActionRateLimit": "often" } });
        let remains = Remains::new(Kind::FelixConfiguration, &written, &[]);
        all.put("default", Some(Configuration::closed(&remains)));
        assert_eq!(all.settings().log_rate, default.log_rate);
    }

    #[test]
    fn tunnels_and_invalid_packets_are_as_told() {
        let mut all = Configurations::new("n1", Settings::default());
        let open = json!({ "allowVXLANPacketsFromWorkloads": true,
            "allowIPIPPacketsFromWorkloads": true, "disableConntrackInvalidCheck": true,
            "workloadSourceSpoofing": "Any" });
        all.put("default", Some(configuration(&open)));
        let settings = all.settings();
        assert_eq!(
            (
                settings.encap_drop.vxlan_ports.len(),
                settings.encap_drop.ipip
            ),
            (0, false)
        );
        assert!(!settings.drop_invalid && !settings.drop_spoofed);
        let port = json!({ "vxlanPort": 8472 });
        all.put("default", Some(configuration(&port)));
        assert_eq!(*all.settings().encap_drop.vxlan_ports, [8472]);
    }
}
