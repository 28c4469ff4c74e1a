//! Specifications in words, rules numbered as in the file.

mod hosts;

use oncilla_api::discovery::{EndpointSlice, SERVICE_NAME_LABEL};
use oncilla_api::npa::ClusterNetworkPolicy;
use oncilla_api::v3::{EntityRule, Rule, StagedAction};
use oncilla_api::{IntOrString, Object, PolicyType, k8s, v1, v3};
use oncilla_net::Direction;

use super::line;
use crate::cluster_policy;
use crate::get::{label_selector, order, pairs, pod_addresses, types};

/// One line below a title.
pub(super) fn item(text: &mut String, item: &str) {
    text.push_str("  ");
    text.push_str(item);
    text.push('\n');
}

/// What an object asks for.
pub(super) fn specification(text: &mut String, object: &Object) {
    match object {
        Object::Namespace(_) | Object::ServiceAccount(_) => {}
        Object::Node(node) => {
            let addresses = node.status.addresses.iter();
            let addresses: Vec<String> = addresses
                .map(|one| format!("{} {}", one.address_type, one.address))
                .collect();
            line(text, "Addresses", &none(addresses.join(", ")));
            line(text, "Pod CIDRs", &none(node.spec.pod_cidrs.join(", ")));
        }
        Object::Service(service) => {
            line(text, "Selector", &pairs(&service.spec.selector));
            let ports = service.spec.ports.iter().map(|port| port.port.to_string());
            line(text, "Ports", &none(ports.collect::<Vec<_>>().join(", ")));
        }
        Object::EndpointSlice(slice) => self::slice(text, slice),
        Object::Tier(tier) => {
            line(text, "Order", &order(tier.spec.order));
            let action = tier.spec.default_action.map(|action| format!("{action:?}"));
            line(text, "At its end", &none(action.unwrap_or_default()));
        }
        Object::GlobalNetworkSet(set) => line(text, "Nets", &none(set.spec.nets.join(", "))),
        Object::NetworkSet(set) => line(text, "Nets", &none(set.spec.nets.join(", "))),
        Object::ClusterInformation(_)
        | Object::FelixConfiguration(_)
        | Object::IPPool(_)
        | Object::Profile(_)
        | Object::HostEndpoint(_)
        | Object::WorkloadEndpoint(_) => hosts::specification(text, object),
        Object::Pod(pod) => self::pod(text, pod),
        Object::NetworkPolicy(policy) => {
            let spec = &policy.spec;
            line(
                text,
                "Tier",
                &format!("{}, order {}", spec.tier, order(spec.order)),
            );
            line(text, "Selector", all(&spec.selector));
            narrowed(text, "Accounts", &spec.service_account_selector);
            line(text, "Types", &types(&spec.types));
            calico_rules(text, &spec.types, &spec.ingress, &spec.egress);
        }
        Object::GlobalNetworkPolicy(policy) => {
            let spec = &policy.spec;
            line(
                text,
                "Tier",
                &format!("{}, order {}", spec.tier, order(spec.order)),
            );
            line(text, "Selector", all(&spec.selector));
            narrowed(text, "Namespaces", &spec.namespace_selector);
            narrowed(text, "Accounts", &spec.service_account_selector);
            line(text, "Types", &types(&spec.types));
            narrowed(text, "Hosts", of_hosts(spec));
            calico_rules(text, &spec.types, &spec.ingress, &spec.egress);
        }
        Object::StagedGlobalNetworkPolicy(_)
        | Object::StagedNetworkPolicy(_)
        | Object::StagedKubernetesNetworkPolicy(_) => staged(text, object),
        Object::KubernetesNetworkPolicy(policy) => kubernetes(text, &policy.spec),
        Object::ClusterNetworkPolicy(policy) => cluster(text, policy),
    }
}

fn slice(text: &mut String, slice: &EndpointSlice) {
    let service = slice.metadata.labels.get(SERVICE_NAME_LABEL);
    line(text, "Service", &none(service.cloned().unwrap_or_default()));
    let endpoints = slice.endpoints.iter().flatten();
    let addresses: Vec<&str> = endpoints
        .flat_map(|endpoint| &endpoint.addresses)
        .map(String::as_str)
        .collect();
    line(text, "Addresses", &none(addresses.join(", ")));
    let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    line(text, "Ports", &none(ports.join(", ")));
}

fn staged(text: &mut String, object: &Object) {
    let Some((action, promoted)) = object.promoted() else {
        return;
    };
    let key = promoted.key();
    let meant = match action {
        StagedAction::Set => {
            format!("Set: not enforced; see `oncilla why --staged`; would be {key}")
        }
        StagedAction::Delete => format!("Delete: not done; would delete {key}"),
        StagedAction::Learn | StagedAction::Ignore => format!("{action:?}: changes nothing"),
    };
    line(text, "Staged", &meant);
    if action != StagedAction::Delete {
        specification(text, &promoted);
    }
}

fn none(text: String) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    }
}

fn all(selector: &str) -> &str {
    if selector.is_empty() {
        "all()"
    } else {
        selector
    }
}

fn narrowed(text: &mut String, name: &str, selector: &str) {
    if !selector.is_empty() {
        line(text, name, selector);
    }
}

/// When a policy judges the traffic of hosts, unless as usual.
fn of_hosts(spec: &v3::GlobalNetworkPolicySpec) -> &'static str {
    match (spec.do_not_track, spec.pre_dnat, spec.apply_on_forward) {
        (true, ..) => "only hosts, before connection tracking (doNotTrack)",
        (_, true, _) => "only hosts, before destination NAT (preDNAT)",
        (_, _, true) => "also what they forward (applyOnForward)",
        _ => "",
    }
}

fn pod(text: &mut String, pod: &v1::Pod) {
    line(text, "Status", &none(pod.status.phase.clone()));
    line(text, "Node", &none(pod.spec.node_name.clone()));
    line(text, "Addresses", &pod_addresses(pod));
    line(
        text,
        "Account",
        &none(pod.spec.service_account_name.clone()),
    );
    let ports = pod
        .spec
        .containers
        .iter()
        .flat_map(|container| &container.ports);
    let ports = ports.map(|port| {
        let protocol = oncilla_net::Protocol::from(port.protocol.unwrap_or_default());
        let number = format!("{protocol}/{}", port.container_port).to_lowercase();
        if port.name.is_empty() {
            number
        } else {
            format!("{number} ({})", port.name)
        }
    });
    line(text, "Ports", &none(ports.collect::<Vec<_>>().join(", ")));
}

fn calico_rules(text: &mut String, types: &[PolicyType], ingress: &[Rule], egress: &[Rule]) {
    for (direction, name, rules) in [
        (PolicyType::Ingress, "ingress", ingress),
        (PolicyType::Egress, "egress", egress),
    ] {
        if !types.contains(&direction) {
            continue;
        }
        line(
            text,
            "Rules",
            &format!("{name}{}", if rules.is_empty() { ": none" } else { "" }),
        );
        for (index, rule) in rules.iter().enumerate() {
            item(text, &format!("{name}[{index}]  {}", calico_rule(rule)));
        }
    }
}

fn calico_rule(rule: &Rule) -> String {
    let mut words = vec![format!("{:?}", rule.action)];
    words.extend(rule.ip_version.map(|version| format!("IPv{version}")));
    words.extend(rule.protocol.as_ref().map(written));
    words.extend(
        rule.not_protocol
            .as_ref()
            .map(|protocol| format!("not {}", written(protocol))),
    );
    for (name, side) in [("from", &rule.source), ("to", &rule.destination)] {
        let side = entity(side);
        if !side.is_empty() {
            words.push(format!("{name} {side}"));
        }
    }
    words.join(" ")
}

/// As people write it: a text without its quotes, or JSON.
fn written(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(value) => value.to_string(),
        Err(_never) => String::new(),
    }
}

fn entity(side: &EntityRule) -> String {
    let list = |name: &str, values: Vec<String>| {
        (!values.is_empty()).then(|| format!("{name} {}", values.join(", ")))
    };
    let text = |name: &str, value: &str| (!value.is_empty()).then(|| format!("{name} {value}"));
    let accounts = side.service_accounts.as_ref();
    let parts = [
        list("nets", side.nets.clone()),
        list("not nets", side.not_nets.clone()),
        text("selector", &side.selector),
        text("not selector", &side.not_selector),
        text("namespaces", &side.namespace_selector),
        accounts.and_then(|accounts| list("accounts", accounts.names.clone())),
        accounts.and_then(|accounts| text("accounts", &accounts.selector)),
        list("ports", side.ports.iter().map(written).collect()),
        list("not ports", side.not_ports.iter().map(written).collect()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn kubernetes(text: &mut String, spec: &k8s::NetworkPolicySpec) {
    line(text, "Selector", &label_selector(&spec.pod_selector));
    line(text, "Types", &types(&spec.policy_types));
    if spec.policy_types.contains(&PolicyType::Ingress) {
        let rules = spec.ingress.iter().map(|rule| (&rule.ports, &rule.from));
        kubernetes_rules(text, "ingress", "from", &rules.collect::<Vec<_>>());
    }
    if spec.policy_types.contains(&PolicyType::Egress) {
        let rules = spec.egress.iter().map(|rule| (&rule.ports, &rule.to));
        kubernetes_rules(text, "egress", "to", &rules.collect::<Vec<_>>());
    }
}

fn cluster(text: &mut String, policy: &ClusterNetworkPolicy) {
    let spec = &policy.spec;
    let tier = spec.tier.map(|tier| tier.built_in().to_owned());
    let priority = spec.priority.map(|priority| priority.to_string());
    let (tier, priority) = (
        none(tier.unwrap_or_default()),
        none(priority.unwrap_or_default()),
    );
    line(text, "Tier", &format!("{tier}, priority {priority}"));
    line(text, "Subject", &cluster_policy::subject(&spec.subject));
    for (name, direction) in [
        ("ingress", Direction::Ingress),
        ("egress", Direction::Egress),
    ] {
        let count = cluster_policy::count(policy, direction);
        if count > 0 {
            line(text, "Rules", name);
        }
        for index in 0..count {
            let action = cluster_policy::action(policy, direction, index);
            let words = cluster_policy::words(policy, direction, index);
            if let (Some(action), Some(words)) = (action, words) {
                item(text, &format!("{name}[{index}]  {action:?} {words}"));
            }
        }
    }
}

type KubernetesRule<'a> = (
    &'a Vec<k8s::NetworkPolicyPort>,
    &'a Vec<k8s::NetworkPolicyPeer>,
);

fn kubernetes_rules(text: &mut String, name: &str, word: &str, rules: &[KubernetesRule<'_>]) {
    line(
        text,
        "Rules",
        &format!(
            "{name}{}",
            if rules.is_empty() {
                ": none, nothing is allowed"
            } else {
                ""
            }
        ),
    );
    for (index, (ports, peers)) in rules.iter().enumerate() {
        let peers: Vec<String> = peers.iter().map(peer).collect();
        let peers = if peers.is_empty() {
            "anywhere".to_owned()
        } else {
            peers.join(" or ")
        };
        let ports: Vec<String> = ports.iter().map(port).collect();
        let ports = if ports.is_empty() {
            "every port".to_owned()
        } else {
            ports.join(", ")
        };
        item(
            text,
            &format!("{name}[{index}]  Allow {word} {peers} on {ports}"),
        );
    }
}

fn peer(peer: &k8s::NetworkPolicyPeer) -> String {
    if let Some(block) = &peer.ip_block {
        let except = block.except.join(", ");
        return if except.is_empty() {
            block.cidr.clone()
        } else {
            format!("{} except {except}", block.cidr)
        };
    }
    let pods = peer
        .pod_selector
        .as_ref()
        .map_or("<all pods>".to_owned(), label_selector);
    match &peer.namespace_selector {
        None => format!("pods {pods}"),
        Some(selector) => {
            let namespaces = label_selector(selector).replace("<all pods>", "<all>");
            format!("pods {pods} of namespaces {namespaces}")
        }
    }
}

fn port(port: &k8s::NetworkPolicyPort) -> String {
    let protocol = oncilla_net::Protocol::from(port.protocol.unwrap_or_default());
    let protocol = protocol.to_string().to_lowercase();
    match (&port.port, port.end_port) {
        (None, _) => format!("{protocol}/*"),
        (Some(IntOrString::Int(first)), Some(last)) => format!("{protocol}/{first}-{last}"),
        (Some(IntOrString::Int(number)), None) => format!("{protocol}/{number}"),
        (Some(IntOrString::String(name)), _) => format!("{protocol}/{name}"),
    }
}
