//! Which endpoints stand behind services: what a cluster's controller of endpoint slices would write.
//!
//! Pods that a service's selector chooses, of the service's families, with their ports by number or by the name of a
//! container's port; those for whom a name means other numbers are in slices of their own. A service without a selector is
//! somebody else's business.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_api::v1::{Container, Pod, Service, ServicePort};
use oncilla_api::{IntOrString, Kind, ObjectKey, TransportProtocol};
use oncilla_net::{Family, family_of};
use oncilla_store::rest::{Client, RestError};
use serde_json::{Value, json};

use super::api::is_gone;
use super::pod::{PodName, RunningPod};

/// Endpoints of one slice, as a cluster's controller has it.
const ENDPOINTS_MAX: usize = 100;
/// The label that says whose slice it is.
const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The name by which a cluster's controller goes: whoever looks for its slices finds these.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// A port that a container gave a name: name and protocol, and its number.
pub(crate) type NamedPorts = BTreeMap<(String, &'static str), i64>;

/// The named ports of the containers that run together. Of several of one name the first counts.
pub(crate) fn named_ports(pod: &Pod) -> NamedPorts {
    let stays = |container: &&Container| {
        container.rest.get("restartPolicy").and_then(Value::as_str) == Some("Always")
    };
    let sidecars = pod.spec.init_containers.iter().filter(stays);
    let ports = { pod.spec.containers.iter().chain(sidecars) }.flat_map(|each| &each.ports);
    let mut named = NamedPorts::new();
    for port in ports.filter(|port| !port.name.is_empty()) {
        let key = (port.name.clone(), protocol_word(port.protocol.as_ref()));
        named.entry(key).or_insert(port.container_port);
    }
    named
}

const fn protocol_word(protocol: Option<&TransportProtocol>) -> &'static str {
    match protocol {
        None | Some(TransportProtocol::Tcp) => "TCP",
        Some(TransportProtocol::Udp) => "UDP",
        Some(TransportProtocol::Sctp) => "SCTP",
    }
}

/// The slices as they were written.
#[derive(Debug, Default)]
pub(crate) struct Slices(BTreeMap<ObjectKey, Value>);

impl Slices {
    /// Brings the API's slices to what is wanted; the revision of the last write, when there was one.
    pub(crate) async fn write(
        &mut self,
        client: &Client,
        wanted: BTreeMap<ObjectKey, Value>,
    ) -> Result<Option<u64>, RestError> {
        let mut revision = None;
        let gone: Vec<ObjectKey> = { self.0.keys() }
            .filter(|key| !wanted.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            match client.delete(&key, None).await {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => drop(self.0.remove(&key)),
            }
        }
        for (key, value) in wanted {
            if self.0.get(&key) == Some(&value) {
                continue;
            }
            let written = match client.create(&key, &value).await {
                Err(error) if error.is_already_exists() => client.merge_patch(&key, &value).await,
                other => other,
            };
            revision = revision.max(Some(written?.revision.0));
            self.0.insert(key, value);
        }
        Ok(revision)
    }
}

/// The slices of a service, by their keys.
pub(crate) fn slices(
    (namespace, name): &PodName,
    service: &Service,
    pods: &BTreeMap<PodName, RunningPod>,
) -> BTreeMap<ObjectKey, Value> {
    let spec = &service.spec;
    let mut found = BTreeMap::new();
    if spec.selector.is_empty() || spec.service_type == "ExternalName" {
        return found;
    }
    let chosen: Vec<&RunningPod> = { pods.values() }
        .filter(|pod| {
            pod.name.0 == *namespace
                && !matches!(pod.phase(), "Succeeded" | "Failed")
                && spec
                    .selector
                    .iter()
                    .all(|(k, v)| pod.labels.get(k) == Some(v))
        })
        .collect();
    for family in families(service) {
        let mut alike: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
        for pod in &chosen {
            let mut own = pod.addresses.iter();
            let Some(address) = own.find(|addr| family_of(**addr) == family) else {
                continue;
            };
            let ports = ports(service, pod);
            let same = alike
                .entry(ports.to_string())
                .or_insert((ports, Vec::new()));
            same.1.push(endpoint(service, pod, *address));
        }
        let groups = alike.values();
        let parts = groups.flat_map(|(ports, all)| {
            all.chunks(ENDPOINTS_MAX)
                .map(move |endpoints| (ports, endpoints))
        });
        for ((ports, endpoints), number) in parts.zip(1..) {
            let kind = address_type(family);
            let name_of_slice = format!("{name}-{}-{number}", kind.to_lowercase());
            let value = json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name_of_slice,
                    "namespace": namespace,
                    "labels": { SERVICE: name, MANAGED_BY: CONTROLLER },
                },
                "addressType": kind,
                "endpoints": endpoints,
                "ports": ports,
            });
            let key = ObjectKey::namespaced(Kind::EndpointSlice, namespace.as_str(), name_of_slice);
            found.insert(key, value);
        }
    }
    found
}

const fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// The families that a service says it has; both when it says nothing, as every pod of a lab has both.
fn families(service: &Service) -> Vec<Family> {
    let listed = service
        .spec
        .rest
        .get("ipFamilies")
        .and_then(Value::as_array);
    let is_listed = |family: &Family| {
        listed.is_none_or(|listed| {
            let wanted = address_type(*family);
            listed.iter().any(|each| each == wanted)
        })
    };
    Family::ALL.into_iter().filter(is_listed).collect()
}

fn endpoint(service: &Service, pod: &RunningPod, address: IpAddr) -> Value {
    let (namespace, name) = &pod.name;
    let serving = pod.is_ready();
    let unready_too = service.spec.rest.get("publishNotReadyAddresses");
    let ready = serving || unready_too == Some(&Value::Bool(true));
    json!({
        "addresses": [address],
        "conditions": { "ready": ready, "serving": serving, "terminating": false },
        "nodeName": pod.identity.node,
        "targetRef": { "kind": "Pod", "namespace": namespace, "name": name },
    })
}

/// The ports of a service at one pod; one whose name the pod does not have is left out.
fn ports(service: &Service, pod: &RunningPod) -> Value {
    let port = |port: &ServicePort| {
        let protocol = protocol_word(port.protocol.as_ref());
        let number = match &port.target_port {
            None => port.port,
            Some(IntOrString::Int(number)) => *number,
            Some(IntOrString::String(name)) => *pod.named_ports.get(&(name.clone(), protocol))?,
        };
        Some(json!({ "name": port.name, "port": number, "protocol": protocol }))
    };
    service.spec.ports.iter().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use oncilla_api::v1::{Pod, Service};
    use serde_json::{Value, json};

    use super::super::pod::{Identity, PodName, RunningPod};
    use super::super::workload::Workload;
    use super::{named_ports, slices};

    /// A pod of the lab that has no network yet, and so is not ready.
    fn pod(name: &str, address: &str, number: u16) -> RunningPod {
        let object: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "red", "labels": { "app": "web" } },
            "spec": { "nodeName": "n1",
                "initContainers": [
                    { "name": "done", "image": "i", "ports": [{ "name": "web", "containerPort": 1 }] },
                    { "name": "side", "image": "i", "restartPolicy": "Always",
                      "ports": [{ "name": "metrics", "containerPort": 9090 }] }],
                "containers": [{ "name": "c", "image": "i",
                    "ports": [{ "name": "web", "containerPort": number },
                              { "name": "web", "containerPort": 53, "protocol": "UDP" }] }] },
        }))
        .unwrap();
        let place = ("red".to_owned(), name.to_owned());
        let mut pod = RunningPod::new(place, Identity::default(), Workload::of(&object));
        pod.labels.clone_from(&object.metadata.labels);
        pod.addresses = vec![address.parse().unwrap()];
        pod.named_ports = named_ports(&object);
        pod
    }

    fn by_name<const N: usize>(pods: [RunningPod; N]) -> BTreeMap<PodName, RunningPod> {
        pods.map(|pod| (pod.name.clone(), pod)).into()
    }

    fn service(spec: &Value) -> Service {
        serde_json::from_value(
            json!({ "metadata": { "name": "s", "namespace": "red" }, "spec": spec }),
        )
        .unwrap()
    }

    /// Each slice in a few words: name, ports, addresses.
    fn said(spec: &Value, pods: &BTreeMap<PodName, RunningPod>) -> Vec<String> {
        let name = ("red".to_owned(), "s".to_owned());
        let found: BTreeMap<_, _> = slices(&name, &service(spec), pods);
        let texts = found.iter().map(|(key, value)| {
            let list = |field: &str, part: &str| -> Vec<String> {
                let items = value[field].as_array().unwrap().iter();
                items.map(|item| item[part].to_string()).collect()
            };
            assert_eq!(
                value["metadata"]["labels"]["kubernetes.io/service-name"],
                "s"
            );
            let (ports, ends) = (list("ports", "port"), list("endpoints", "addresses"));
            format!("{}: {} at {}", key.name, ports.join(" "), ends.join(" "))
        });
        texts.collect()
    }

    #[test]
    fn endpoints_are_those_a_cluster_would_list() {
        let pods = by_name([
            pod("a", "10.0.0.1", 80),
            pod("b", "10.0.0.2", 81),
            pod("c", "10.0.0.3", 80),
            pod("d", "fd00::4", 80),
        ]);
        let spec = json!({ "selector": { "app": "web" }, "ports": [
            { "name": "x", "port": 8080, "targetPort": "web" },
            { "name": "y", "port": 9, "targetPort": "metrics" },
            { "name": "z", "port": 53, "targetPort": "web", "protocol": "UDP" },
            { "name": "none", "port": 7, "targetPort": "nobodys" },
            { "name": "plain", "port": 443 }] });
        let all = [
            "s-ipv4-1: 80 9090 53 443 at [\"10.0.0.1\"] [\"10.0.0.3\"]",
            "s-ipv4-2: 81 9090 53 443 at [\"10.0.0.2\"]",
            "s-ipv6-1: 80 9090 53 443 at [\"fd00::4\"]",
        ];
        assert_eq!(said(&spec, &pods), all);
        let mut single = spec;
        single["ipFamilies"] = json!(["IPv6"]);
        assert_eq!(said(&single, &pods), all[2..]);
        let other = json!({ "selector": { "app": "other" }, "ports": [{ "port": 1 }] });
        assert_eq!(said(&other, &pods), [""; 0]);
        let nobodys = json!({ "ports": [{ "port": 1 }] });
        assert_eq!(said(&nobodys, &pods), [""; 0]);
    }

    #[test]
    fn who_does_not_serve_is_listed_as_not_ready() {
        let pods = by_name([pod("a", "10.0.0.1", 80)]);
        let name = ("red".to_owned(), "s".to_owned());
        let ready = |spec: &Value| {
            let found = slices(&name, &service(spec), &pods);
            let value = found.into_values().next().unwrap();
            value["endpoints"][0]["conditions"].clone()
        };
        let mut spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 1 }] });
        let conditions = json!({ "ready": false, "serving": false, "terminating": false });
        assert_eq!(ready(&spec), conditions);
        spec["publishNotReadyAddresses"] = true.into();
        assert_eq!(ready(&spec)["ready"], true);
    }
}
