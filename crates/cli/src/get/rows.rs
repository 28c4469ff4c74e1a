//! One line of a table for every kind, in kubectl's columns.

mod hosts;

use std::time::{SystemTime, UNIX_EPOCH};

use oncilla_api::discovery::{EndpointSlice, SERVICE_NAME_LABEL};
use oncilla_api::npa::ClusterNetworkPolicy;
use oncilla_api::{IntOrString, Kind, LabelOperator, LabelSelector, Object, PolicyType, v1};
use serde_json::Value;

use crate::cluster_policy;

/// Addresses of a set shown in a table; `-o wide` shows all.
const NETS_SHOWN_MAX: usize = 3;
/// What kubectl prints where there is nothing.
const NONE: &str = "<none>";

/// The columns of a kind.
pub(crate) fn header(kind: Kind, is_wide: bool) -> Vec<&'static str> {
    let (narrow, wide): (&[&str], &[&str]) = match kind {
        Kind::Namespace => (&["NAME", "STATUS", "AGE"], &["LABELS"]),
        Kind::Node => (&["NAME", "STATUS", "ADDRESSES", "AGE"], &["POD-CIDRS"]),
        Kind::ServiceAccount => (&["NAME", "AGE"], &["LABELS"]),
        Kind::Service => (
            &["NAME", "TYPE", "CLUSTER-IP", "PORTS", "AGE"],
            &["SELECTOR"],
        ),
        Kind::EndpointSlice => (
            &["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"],
            &["SERVICE"],
        ),
        Kind::Tier => (&["NAME", "ORDER", "DEFAULT-ACTION", "AGE"], &[]),
        Kind::GlobalNetworkSet | Kind::NetworkSet => (&["NAME", "NETS", "AGE"], &["LABELS"]),
        Kind::GlobalNetworkPolicy | Kind::NetworkPolicy => {
            (&["NAME", "TIER", "ORDER", "AGE"], &["TYPES", "SELECTOR"])
        }
        Kind::StagedGlobalNetworkPolicy | Kind::StagedNetworkPolicy => (
            &["NAME", "ACTION", "TIER", "ORDER", "AGE"],
            &["TYPES", "SELECTOR"],
        ),
        Kind::StagedKubernetesNetworkPolicy => {
            (&["NAME", "ACTION", "POD-SELECTOR", "AGE"], &["TYPES"])
        }
        Kind::KubernetesNetworkPolicy => (&["NAME", "POD-SELECTOR", "AGE"], &["TYPES"]),
        Kind::ClusterNetworkPolicy => (&["NAME", "TIER", "PRIORITY", "AGE"], &["TYPES", "SUBJECT"]),
        Kind::ClusterInformation => (
            &["NAME", "READY", "TYPES", "AGE"],
            &["CLUSTERGUID", "VERSION"],
        ),
        Kind::FelixConfiguration => (&["NAME", "AGE"], &["NODES"]),
        Kind::IPPool => (
            &["NAME", "CIDR", "VXLAN", "IPIP", "NAT", "AGE"],
            &["DISABLED", "SELECTOR", "ASSIGNMENTMODE"],
        ),
        Kind::Profile => (&["NAME", "AGE"], &["LABELS"]),
        Kind::HostEndpoint => (
            &["NAME", "NODE", "INTERFACE", "AGE"],
            &["IPS", "PROFILES", "LABELS"],
        ),
        Kind::WorkloadEndpoint => (
            &["NAME", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE", "AGE"],
            &["PROFILES"],
        ),
        Kind::Pod => (
            &["NAME", "READY", "STATUS", "IP", "NODE", "AGE"],
            &["SERVICE-ACCOUNT", "LABELS"],
        ),
    };
    let wide = if is_wide { wide } else { &[] };
    narrow.iter().chain(wide).copied().collect()
}

/// The cells of an object.
pub(crate) fn cells(object: &Object, is_wide: bool, now: SystemTime) -> Vec<String> {
    let metadata = object.metadata();
    let age = age(metadata.creation_timestamp.as_deref(), now);
    let labels = || pairs(&metadata.labels);
    let name = metadata.name.clone();
    let (mut cells, wide) = match object {
        Object::Namespace(_) => (vec![name, "Active".to_owned(), age], vec![labels()]),
        Object::Node(node) => self::node(node, name, age),
        Object::ServiceAccount(_) => (vec![name, age], vec![labels()]),
        Object::Service(service) => self::service(&service.spec, name, age),
        Object::EndpointSlice(slice) => self::slice(slice, name, age),
        Object::Tier(tier) => {
            let action = tier.spec.default_action;
            let action = action.map_or(NONE.to_owned(), |action| format!("{action:?}"));
            (vec![name, order(tier.spec.order), action, age], vec![])
        }
        Object::GlobalNetworkSet(set) => (
            vec![name, nets(&set.spec.nets, is_wide), age],
            vec![labels()],
        ),
        Object::NetworkSet(set) => (
            vec![name, nets(&set.spec.nets, is_wide), age],
            vec![labels()],
        ),
        Object::GlobalNetworkPolicy(policy) => {
            let (spec, selector) = (&policy.spec, or(&policy.spec.selector, "all()"));
            let cells = vec![name, spec.tier.clone(), order(spec.order), age];
            (cells, vec![types(&spec.types), selector])
        }
        Object::NetworkPolicy(policy) => {
            let (spec, selector) = (&policy.spec, or(&policy.spec.selector, "all()"));
            let cells = vec![name, spec.tier.clone(), order(spec.order), age];
            (cells, vec![types(&spec.types), selector])
        }
        Object::KubernetesNetworkPolicy(policy) => {
            let types = types(&policy.spec.policy_types);
            let selector = label_selector(&policy.spec.pod_selector);
            (vec![name, selector, age], vec![types])
        }
        Object::ClusterNetworkPolicy(policy) => {
            let [tier, priority, types, subject] = of_cluster(policy);
            (vec![name, tier, priority, age], vec![types, subject])
        }
        Object::StagedGlobalNetworkPolicy(_)
        | Object::StagedNetworkPolicy(_)
        | Object::StagedKubernetesNetworkPolicy(_) => return staged(object, is_wide, now),
        Object::ClusterInformation(_)
        | Object::FelixConfiguration(_)
        | Object::IPPool(_)
        | Object::Profile(_)
        | Object::HostEndpoint(_)
        | Object::WorkloadEndpoint(_) => hosts::cells(object, name, age),
        Object::Pod(pod) => {
            let wide = vec![or(&pod.spec.service_account_name, "default"), labels()];
            let status = or(&pod.status.phase, "Unknown");
            let node = or(&pod.spec.node_name, NONE);
            (
                vec![name, pod_ready(pod), status, pod_addresses(pod), node, age],
                wide,
            )
        }
    };
    if is_wide {
        cells.extend(wide);
    }
    cells
}

/// The cells of the enforced kind, with what is meant behind the name.
fn staged(object: &Object, is_wide: bool, now: SystemTime) -> Vec<String> {
    let Some((action, mut promoted)) = object.promoted() else {
        return Vec::new();
    };
    let created = object.metadata().creation_timestamp.clone();
    promoted.metadata_mut().creation_timestamp = created;
    let mut cells = cells(&promoted, is_wide, now);
    cells.insert(1, format!("{action:?}"));
    cells
}

/// The cells of one object, and those of `-o wide`.
type Cells = (Vec<String>, Vec<String>);

fn node(node: &v1::Node, name: String, age: String) -> Cells {
    let addresses = node.status.addresses.iter();
    let addresses = addresses.filter(|address| address.address_type == "InternalIP");
    let addresses = joined(addresses.map(|address| address.address.as_str()));
    let status = node_status(&node.status.conditions).to_owned();
    (vec![name, status, addresses, age], vec![cidrs(&node.spec)])
}

fn service(spec: &v1::ServiceSpec, name: String, age: String) -> Cells {
    let kind = or(&spec.service_type, "ClusterIP");
    let address = or(&spec.cluster_ip, NONE);
    let cells = vec![name, kind, address, service_ports(spec), age];
    (cells, vec![pairs(&spec.selector)])
}

fn slice(slice: &EndpointSlice, name: String, age: String) -> (Vec<String>, Vec<String>) {
    let service = slice.metadata.labels.get(SERVICE_NAME_LABEL);
    let ports = slice.ports.iter().flatten();
    let ports = ports.map(|port| port.port.map_or("*".to_owned(), |port| port.to_string()));
    let endpoints = slice.endpoints.iter().flatten();
    let addresses = endpoints.flat_map(|endpoint| &endpoint.addresses);
    let (ports, addresses) = (joined(ports), joined(addresses));
    (
        vec![name, slice.address_type.clone(), ports, addresses, age],
        vec![service.map_or(NONE.to_owned(), Clone::clone)],
    )
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text.to_owned()
    }
}

fn joined(texts: impl Iterator<Item: AsRef<str>>) -> String {
    let texts: Vec<String> = texts.map(|text| text.as_ref().to_owned()).collect();
    or(&texts.join(","), NONE)
}

/// `a=b,c=d`.
pub(crate) fn pairs(labels: &std::collections::BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    or(&labels.join(","), NONE)
}

/// A tier's or policy's order; without one it is last.
pub(crate) fn order(order: Option<f64>) -> String {
    order.map_or_else(|| NONE.to_owned(), |order| order.to_string())
}

/// `Ingress,Egress`.
pub(crate) fn types(types: &[PolicyType]) -> String {
    let names = types.iter().map(|direction| match direction {
        PolicyType::Ingress => "Ingress",
        PolicyType::Egress => "Egress",
    });
    joined(names)
}

/// A Kubernetes label selector in one line: `app=web,tier in (a,b),!old`.
pub(crate) fn label_selector(selector: &LabelSelector) -> String {
    let labels = selector
        .match_labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().map(|one| {
        let (key, values) = (&one.key, one.values.join(","));
        match one.operator {
            LabelOperator::In => format!("{key} in ({values})"),
            LabelOperator::NotIn => format!("{key} notin ({values})"),
            LabelOperator::Exists => key.clone(),
            LabelOperator::DoesNotExist => format!("!{key}"),
        }
    });
    or(
        &labels.chain(expressions).collect::<Vec<_>>().join(","),
        "<all pods>",
    )
}

/// Tier, priority, types and subject of a policy of the cluster.
fn of_cluster(policy: &ClusterNetworkPolicy) -> [String; 4] {
    let spec = &policy.spec;
    [
        spec.tier
            .map_or(NONE.to_owned(), |tier| format!("{tier:?}")),
        spec.priority
            .map_or(NONE.to_owned(), |priority| priority.to_string()),
        types(&cluster_policy::types(policy)),
        cluster_policy::subject(&spec.subject),
    ]
}

fn nets(nets: &[String], is_wide: bool) -> String {
    if is_wide || nets.len() <= NETS_SHOWN_MAX {
        return joined(nets.iter().map(String::as_str));
    }
    let shown = joined(nets.iter().take(NETS_SHOWN_MAX).map(String::as_str));
    format!("{shown} + {} more", nets.len() - NETS_SHOWN_MAX)
}

fn cidrs(spec: &v1::NodeSpec) -> String {
    match spec.pod_cidrs.as_slice() {
        [] => or(&spec.pod_cidr, NONE),
        several => several.join(","),
    }
}

fn service_ports(spec: &v1::ServiceSpec) -> String {
    let ports = spec.ports.iter().map(|port| {
        let protocol = port.protocol.unwrap_or_default();
        let protocol = oncilla_net::Protocol::from(protocol).to_string();
        let target = match &port.target_port {
            Some(IntOrString::Int(number)) if *number != port.port => format!("->{number}"),
            Some(IntOrString::String(name)) => format!("->{name}"),
            _ => String::new(),
        };
        format!("{protocol}/{}{target}", port.port).to_lowercase()
    });
    or(&ports.collect::<Vec<_>>().join(","), NONE)
}

fn condition<'a>(conditions: &'a [v1::Condition], about: &str) -> Option<&'a str> {
    let found = conditions
        .iter()
        .find(|condition| condition.condition_type == about);
    found.map(|condition| condition.status.as_str())
}

fn node_status(conditions: &[v1::Condition]) -> &'static str {
    match condition(conditions, "Ready") {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    }
}

/// `1/1`: containers that are ready, as the kubelet reports them one by one or all together.
fn pod_ready(pod: &v1::Pod) -> String {
    let all = pod.spec.containers.len();
    let statuses = pod
        .status
        .rest
        .get("containerStatuses")
        .and_then(Value::as_array);
    let ready = match statuses {
        Some(statuses) => {
            let ready = statuses
                .iter()
                .filter(|status| status["ready"] == Value::Bool(true));
            ready.count()
        }
        None if condition(&pod.status.conditions, "Ready") == Some("True") => all,
        None => 0,
    };
    format!("{ready}/{all}")
}

/// A pod's addresses of both families.
pub(crate) fn pod_addresses(pod: &v1::Pod) -> String {
    match pod.status.pod_ips.as_slice() {
        [] => or(&pod.status.pod_ip, NONE),
        several => joined(several.iter().map(|address| address.ip.as_str())),
    }
}

/// `5s`, `3m`, `7h`, `12d`: how long something exists, as kubectl rounds it.
pub(crate) fn age(created: Option<&str>, now: SystemTime) -> String {
    let Some(created) = created.and_then(unix_seconds) else {
        return "<unknown>".to_owned();
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = now.saturating_sub(created);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{minutes}m"),
        7200..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// Seconds since 1970 of `2026-11-21T09:27:22Z`, the only form that servers write.
fn unix_seconds(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year.
    let (years, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day;
    Some((days.checked_sub(719_469)?) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{age, unix_seconds};

    #[test]
    fn ages_are_counted_from_the_calendar() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_seconds("2000-02-29T00:00:00Z"), Some(951_782_400));
        assert_eq!(unix_seconds("2024-03-01T00:00:00Z"), Some(1_709_251_200));
        assert_eq!(unix_seconds("2099-12-31T23:59:59Z"), Some(4_102_444_799));
        assert_eq!(unix_seconds("yesterday"), None);
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7199, "119m"),
            (7200, "2h"),
            (172_800, "2d"),
        ] {
            let now = UNIX_EPOCH + Duration::from_secs(951_782_400 + seconds);
            assert_eq!(age(Some("2000-02-29T00:00:00Z"), now), text);
        }
    }
}
