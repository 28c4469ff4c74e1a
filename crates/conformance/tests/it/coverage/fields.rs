//! The fields of the language, and which of them a policy, a rule or an endpoint has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use oncilla_api::{Kind, Object, ObjectKey, v1};
use oncilla_net::{Direction, Packet, Protocol};
use oncilla_verdict::Cluster;
use serde_json::Value;

use super::{Place, PolicyFields};

/// Where tunnels go to where nothing else is configured.
pub(super) const VXLAN_PORT: u16 = 4789;

/// Every field by the kind of object: `v3` is Calico's two policies.
pub(super) const FIELDS: [&str; 121] = [
    "v3 tier",
    "v3 tier (none)",
    "v3 order",
    "v3 order (none)",
    "v3 types",
    "v3 types (none)",
    "v3 selector",
    "v3 selector (none)",
    "v3 serviceAccountSelector",
    "v3 Log",
    "np policies",
    "gnp policies",
    "gnp namespaceSelector",
    "gnp applyOnForward",
    "gnp doNotTrack",
    "gnp preDNAT",
    "v3 (no criterion)",
    "v3 source and destination",
    "v3 ipVersion",
    "v3 protocol (name)",
    "v3 protocol (number)",
    "v3 notProtocol (name)",
    "v3 notProtocol (number)",
    "v3 icmp (empty)",
    "v3 icmp.type",
    "v3 icmp.code",
    "v3 notICMP.type",
    "v3 notICMP.code",
    "v3 source.nets",
    "v3 source.nets (everything)",
    "v3 source.notNets",
    "v3 source.selector",
    "v3 source.notSelector",
    "v3 source.selector and notSelector",
    "v3 source.namespaceSelector",
    "v3 source.namespaceSelector (all())",
    "v3 source.namespaceSelector (global())",
    "v3 source.serviceAccounts.names",
    "v3 source.serviceAccounts.selector",
    "v3 source.services",
    "v3 source.services (own namespace)",
    "v3 source.ports (number)",
    "v3 source.ports (range)",
    "v3 source.ports (name)",
    "v3 source.notPorts (number)",
    "v3 source.notPorts (range)",
    "v3 source.notPorts (name)",
    "v3 destination.nets",
    "v3 destination.nets (everything)",
    "v3 destination.notNets",
    "v3 destination.selector",
    "v3 destination.notSelector",
    "v3 destination.selector and notSelector",
    "v3 destination.namespaceSelector",
    "v3 destination.namespaceSelector (all())",
    "v3 destination.namespaceSelector (global())",
    "v3 destination.serviceAccounts.names",
    "v3 destination.serviceAccounts.selector",
    "v3 destination.services",
    "v3 destination.services (own namespace)",
    "v3 destination.ports (number)",
    "v3 destination.ports (range)",
    "v3 destination.ports (name)",
    "v3 destination.notPorts (number)",
    "v3 destination.notPorts (range)",
    "v3 destination.notPorts (name)",
    "knp podSelector",
    "knp policyTypes",
    "knp policyTypes (none)",
    "knp from.ipBlock",
    "knp from.ipBlock.except",
    "knp from.namespaceSelector",
    "knp from.podSelector",
    "knp to.ipBlock",
    "knp to.ipBlock.except",
    "knp to.namespaceSelector",
    "knp to.podSelector",
    "knp ports.endPort",
    "knp ports.port (name)",
    "knp ports.port (number)",
    "knp ports.protocol",
    "kcnp tier Admin",
    "kcnp tier Baseline",
    "kcnp priority",
    "kcnp subject.namespaces",
    "kcnp subject.pods",
    "kcnp from.namespaces",
    "kcnp from.pods",
    "kcnp to.namespaces",
    "kcnp to.networks",
    "kcnp to.nodes",
    "kcnp to.pods",
    "kcnp protocols.destinationNamedPort",
    "kcnp protocols.sctp",
    "kcnp protocols.tcp",
    "kcnp protocols.udp",
    "snp",
    "sgnp",
    "sknp",
    "hep interfaceName",
    "hep interfaceName (*)",
    "hep expectedIPs alone",
    "pod of several addresses",
    "pod of the host's network",
    "pod that is finished",
    "port of a container",
    "port of an init container",
    "port of a sidecar",
    "port of one name and several numbers",
    "port of one name and several protocols",
    "profile of a namespace",
    "profile of a service account",
    "profile projectcalico-default-allow",
    "profile that is missing",
    "profile with rules",
    "felix failsafeInboundHostPorts",
    "felix failsafeOutboundHostPorts",
    "felix defaultEndpointToHostAction",
    "felix allowIPIPPacketsFromWorkloads",
    "felix allowVXLANPacketsFromWorkloads",
    "felix interfacePrefix",
];

/// The fields of a cluster's policies and endpoints, found when first asked.
pub(super) struct Rules<'a> {
    cluster: &'a Cluster,
    policies: BTreeMap<Place, PolicyFields>,
    endpoints: BTreeMap<ObjectKey, Vec<&'static str>>,
    pods: BTreeMap<IpAddr, &'a v1::Pod>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        let pods = cluster.objects().filter_map(|object| match object {
            Object::Pod(pod) => Some(pod),
            _ => None,
        });
        let addresses = pods.flat_map(|pod| {
            let addresses = addresses_of(pod);
            addresses.filter_map(move |text| Some((text.parse().ok()?, pod)))
        });
        Self {
            cluster,
            policies: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            pods: addresses.collect(),
        }
    }

    /// The fields of a policy, and the names of those that no list has, when asked for the first time.
    pub(super) fn of(
        &mut self,
        policy: &ObjectKey,
        direction: Direction,
    ) -> (&PolicyFields, Vec<String>) {
        let mut strangers = Vec::new();
        let place = (policy.clone(), direction);
        let cluster = self.cluster;
        let fields = self.policies.entry(place).or_insert_with(|| {
            let object = cluster.object(policy).map(Object::to_value);
            read(policy.kind, &object.unwrap_or_default(), direction).listed(&mut strangers)
        });
        (fields, strangers)
    }

    /// The fields of a policy that was asked for before.
    pub(super) fn known(&self, policy: &ObjectKey, direction: Direction) -> &PolicyFields {
        &self.policies[&(policy.clone(), direction)]
    }

    /// What sort of endpoint it is.
    pub(super) fn of_endpoint(&mut self, key: &ObjectKey) -> &[&'static str] {
        let cluster = self.cluster;
        self.endpoints
            .entry(key.clone())
            .or_insert_with(|| match cluster.object(key) {
                Some(Object::HostEndpoint(host)) => match host.spec.interface_name.as_str() {
                    "" => vec!["hep expectedIPs alone"],
                    "*" => vec!["hep interfaceName (*)"],
                    _ => vec!["hep interfaceName"],
                },
                Some(Object::Pod(pod)) => sorts_of(pod),
                _ => Vec::new(),
            })
    }

    /// What sort of named port a packet goes to.
    pub(super) fn named(&self, packet: &Packet) -> Vec<&'static str> {
        let Some(pod) = self.pods.get(&packet.dst) else {
            return Vec::new();
        };
        let spec = &pod.spec;
        let is_sidecar = |container: &v1::Container| container.rest.contains_key("restartPolicy");
        let init = spec.init_containers.iter().map(|container| {
            let sort = if is_sidecar(container) {
                "port of a sidecar"
            } else {
                "port of an init container"
            };
            (sort, container)
        });
        let own = spec.containers.iter();
        let own = own.map(|container| ("port of a container", container));
        let all: Vec<_> = own
            .chain(init)
            .flat_map(|(sort, container)| container.ports.iter().map(move |port| (sort, port)))
            .collect();
        let protocol = |port: &v1::ContainerPort| Protocol::from(port.protocol.unwrap_or_default());
        let mut sorts = BTreeSet::new();
        for (sort, port) in &all {
            let is_meant = protocol(port) == packet.protocol
                && port.container_port == i64::from(packet.dst_port);
            if !is_meant {
                continue;
            }
            sorts.insert(*sort);
            for (_, other) in all.iter().filter(|(_, other)| other.name == port.name) {
                if protocol(other) != protocol(port) {
                    sorts.insert("port of one name and several protocols");
                } else if other.container_port != port.container_port {
                    sorts.insert("port of one name and several numbers");
                }
            }
        }
        sorts.into_iter().collect()
    }
}

/// The addresses that a pod's status, or else its network plugin, lists.
fn addresses_of(pod: &v1::Pod) -> impl Iterator<Item = &str> {
    let listed = pod.metadata.annotations.get("cni.projectcalico.org/podIPs");
    let listed = listed.into_iter().flat_map(|list| list.split(','));
    let reported = pod.status.pod_ips.iter().map(|each| each.ip.as_str());
    reported.chain(listed)
}

fn sorts_of(pod: &v1::Pod) -> Vec<&'static str> {
    let mut sorts = Vec::new();
    if addresses_of(pod).count() > 2 {
        sorts.push("pod of several addresses");
    }
    if pod.spec.host_network {
        sorts.push("pod of the host's network");
    }
    if pod.status.phase == "Succeeded" {
        sorts.push("pod that is finished");
    }
    sorts
}

/// The fields of a policy by their names as written.
struct Written {
    policy: BTreeSet<String>,
    rules: Vec<BTreeSet<String>>,
}

impl Written {
    /// The same by the names of the list.
    fn listed(&self, strangers: &mut Vec<String>) -> PolicyFields {
        let mut find = |names: &BTreeSet<String>| {
            let mut found = Vec::new();
            for name in names {
                match FIELDS.iter().find(|field| *field == name) {
                    Some(field) => found.push(*field),
                    None => strangers.push(name.clone()),
                }
            }
            found
        };
        PolicyFields {
            policy: find(&self.policy),
            rules: self.rules.iter().map(find).collect(),
        }
    }
}

fn read(kind: Kind, object: &Value, direction: Direction) -> Written {
    let list = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    let (short, spec) = (short(kind), &object["spec"]);
    let rules = spec[list].as_array().into_iter().flatten();
    Written {
        policy: policy_fields(kind, spec),
        rules: rules.map(|rule| rule_fields(short, rule)).collect(),
    }
}

const fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::KubernetesNetworkPolicy => "knp",
        Kind::ClusterNetworkPolicy => "kcnp",
        Kind::StagedNetworkPolicy => "snp",
        Kind::StagedGlobalNetworkPolicy => "sgnp",
        Kind::StagedKubernetesNetworkPolicy => "sknp",
        _ => "v3",
    }
}

fn policy_fields(kind: Kind, spec: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let short = short(kind);
    for (name, value) in spec.as_object().into_iter().flatten() {
        match name.as_str() {
            "ingress" | "egress" => {}
            "doNotTrack" | "preDNAT" | "applyOnForward" | "namespaceSelector" => {
                found.insert(format!("gnp {name}"));
            }
            "tier" if kind == Kind::ClusterNetworkPolicy => {
                found.insert(format!("kcnp tier {}", value.as_str().unwrap_or_default()));
            }
            "subject" => inside(short, name, value, &mut found),
            _ => {
                found.insert(format!("{short} {name}"));
            }
        }
    }
    let optional: &[&str] = match kind {
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => &["tier", "order", "types", "selector"],
        Kind::KubernetesNetworkPolicy => &["policyTypes"],
        _ => &[],
    };
    let absent = optional.iter().filter(|name| spec.get(**name).is_none());
    found.extend(absent.map(|name| format!("{short} {name} (none)")));
    let sort = match kind {
        Kind::NetworkPolicy => "np policies",
        Kind::GlobalNetworkPolicy => "gnp policies",
        Kind::KubernetesNetworkPolicy | Kind::ClusterNetworkPolicy => return found,
        _ => short,
    };
    found.insert(sort.to_owned());
    found
}

/// The fields of one rule.
pub(super) fn rule_fields(kind: &str, rule: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Log decides nothing; the policy says that it logged.
    if rule["action"] == "Log" {
        return found;
    }
    for (name, value) in rule.as_object().into_iter().flatten() {
        match name.as_str() {
            "action" | "name" | "metadata" => {}
            "protocol" | "notProtocol" => {
                found.insert(format!("{kind} {name} ({})", form(value)));
            }
            "icmp" if value.as_object().is_some_and(serde_json::Map::is_empty) => {
                found.insert(format!("{kind} icmp (empty)"));
            }
            "source" | "destination" | "icmp" | "notICMP" => inside(kind, name, value, &mut found),
            "from" | "to" | "ports" | "protocols" => {
                for item in value.as_array().into_iter().flatten() {
                    inside(kind, name, item, &mut found);
                }
            }
            other => {
                found.insert(format!("{kind} {other}"));
            }
        }
    }
    let has = |side: &str| found.iter().any(|field| field.starts_with(side));
    if has("v3 source.") && has("v3 destination.") {
        found.insert("v3 source and destination".to_owned());
    }
    if kind == "v3" && found.is_empty() {
        found.insert("v3 (no criterion)".to_owned());
    }
    found
}

/// The fields of a part.
fn inside(kind: &str, outer: &str, value: &Value, found: &mut BTreeSet<String>) {
    let mut add = |field: String| {
        found.insert(format!("{kind} {outer}.{field}"));
    };
    for (name, inner) in value.as_object().into_iter().flatten() {
        match (name.as_str(), inner) {
            ("ports" | "notPorts", Value::Array(ports)) => {
                for port in ports {
                    add(format!("{name} ({})", form(port)));
                }
            }
            ("port", port) => add(format!("port ({})", form(port))),
            ("serviceAccounts" | "ipBlock", Value::Object(parts)) => {
                for part in parts.keys() {
                    match part.as_str() {
                        "cidr" => add(name.clone()),
                        part => add(format!("{name}.{part}")),
                    }
                }
            }
            ("services", services) if services.get("namespace").is_none() => {
                add("services (own namespace)".to_owned());
            }
            ("namespaceSelector", Value::String(text)) if kind == "v3" && text.ends_with("()") => {
                add(format!("namespaceSelector ({text})"));
            }
            ("nets", Value::Array(nets)) => {
                let is_all = |net: &Value| matches!(net.as_str(), Some("0.0.0.0/0" | "::/0"));
                if nets.iter().any(is_all) {
                    add("nets (everything)".to_owned());
                }
                add("nets".to_owned());
            }
            _ => add(name.clone()),
        }
    }
    if value.get("selector").is_some() && value.get("notSelector").is_some() {
        add("selector and notSelector".to_owned());
    }
}

fn form(value: &Value) -> &'static str {
    match value {
        Value::String(text) if text.contains(':') => "range",
        Value::String(_) => "name",
        _ => "number",
    }
}
