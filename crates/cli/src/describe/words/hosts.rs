//! The specifications of the kinds that speak of hosts and of the cluster's set-up, in words.

use oncilla_api::{Object, PolicyType, v3};

use super::{calico_rules, line, none, written};
use crate::get::pairs;

/// What an object asks for.
pub(super) fn specification(text: &mut String, object: &Object) {
    match object {
        Object::ClusterInformation(found) => {
            let spec = &found.spec;
            line(text, "GUID", &none(spec.cluster_guid.clone()));
            line(text, "Types", &none(spec.cluster_type.clone()));
            let ready = spec.datastore_ready.map(|ready| ready.to_string());
            line(text, "Ready", &none(ready.unwrap_or_default()));
        }
        Object::FelixConfiguration(found) => felix(text, &found.spec),
        Object::IPPool(found) => {
            let spec = &found.spec;
            line(text, "CIDR", &spec.cidr);
            line(text, "VXLAN", &written(&spec.vxlan_mode));
            line(text, "IPIP", &written(&spec.ipip_mode));
            line(text, "NAT", &spec.nat_outgoing.to_string());
            line(text, "Nodes", &spec.node_selector);
        }
        Object::Profile(found) => {
            let spec = &found.spec;
            line(text, "Gives labels", &pairs(&spec.labels_to_apply));
            let types = [PolicyType::Ingress, PolicyType::Egress];
            calico_rules(text, &types, &spec.ingress, &spec.egress);
        }
        Object::HostEndpoint(found) => host(text, &found.spec),
        Object::WorkloadEndpoint(found) => {
            let spec = &found.spec;
            line(text, "Node", &none(spec.node.clone()));
            line(text, "Interface", &none(spec.interface_name.clone()));
            line(text, "Networks", &none(spec.ip_networks.join(", ")));
            line(text, "Profiles", &none(spec.profiles.join(", ")));
        }
        _ => {}
    }
}

/// Only what is given, in the words of the file.
fn felix(text: &mut String, spec: &v3::FelixConfigurationSpec) {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(spec) else {
        return;
    };
    let mut given = 0;
    for (name, value) in fields {
        if spec.kept.contains_key(&name) {
            continue;
        }
        given += 1;
        super::item(text, &format!("{name}: {}", written(&value)));
    }
    if given == 0 {
        super::item(text, "nothing that changes a verdict");
    }
    if !spec.kept.is_empty() {
        let names: Vec<&str> = spec.kept.keys().map(String::as_str).collect();
        line(text, "No effect", &names.join(", "));
    }
}

fn host(text: &mut String, spec: &v3::HostEndpointSpec) {
    line(text, "Node", &none(spec.node.clone()));
    let interface = match spec.interface_name.as_str() {
        v3::ALL_INTERFACES => "* (every interface that no other host endpoint has)".to_owned(),
        "" => "the one that has an expected address".to_owned(),
        name => name.to_owned(),
    };
    line(text, "Interface", &interface);
    line(text, "Expected IPs", &none(spec.expected_ips.join(", ")));
    line(text, "Profiles", &none(spec.profiles.join(", ")));
    let ports = spec.ports.iter().map(|port| {
        let protocol = port.protocol.to_string().to_lowercase();
        format!("{protocol}/{} ({})", port.port, port.name)
    });
    line(text, "Ports", &none(ports.collect::<Vec<_>>().join(", ")));
}
