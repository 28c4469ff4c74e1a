//! Pods become endpoints (§1.10).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::v1::{Container, Pod};
use oncilla_api::{FieldError, ObjectKey, ObjectMeta, Remains};
use oncilla_net::Protocol;
use sha1::{Digest as _, Sha1};

use super::{
    ACCOUNT_LABEL, Closed, Converter, KUBERNETES, NAMESPACE_LABEL, ORCHESTRATOR_LABEL,
    account_profile_name, labels, namespace_profile_name, pairs,
};
use crate::doubt::{Doubt, Obscure};
use crate::{Change, Endpoint, EndpointKey, EndpointPort};

/// A service account's name becomes a label only below this length, in bytes.
const ACCOUNT_LABEL_LENGTH: usize = 63;
/// How many digits of the hash stand in an interface's name.
const INTERFACE_DIGITS: usize = 11;
const POD_IPS: &str = "cni.projectcalico.org/podIPs";
const POD_IP: &str = "cni.projectcalico.org/podIP";
const AWS_POD_IPS: &str = "vpc.amazonaws.com/pod-ips";

impl Converter {
    /// The host-side interface of a pod.
    pub fn interface(&self, namespace: &str, pod: &str) -> Arc<str> {
        let mut hasher = Sha1::new();
        for part in [namespace, ".", pod] {
            hasher.update(part);
        }
        let digest = hasher.finalize();
        let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let digits = nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16));
        let mut name = String::with_capacity(self.interface_prefix.len() + INTERFACE_DIGITS);
        name.push_str(&self.interface_prefix);
        name.extend(digits.take(INTERFACE_DIGITS));
        name.into()
    }

    pub(super) fn pod(&self, pod: &Pod) -> Result<Change, Vec<FieldError>> {
        let namespace: Arc<str> = pod
            .metadata
            .namespace
            .as_deref()
            .unwrap_or("default")
            .into();
        let name: Arc<str> = pod.metadata.name.as_str().into();
        let key = EndpointKey {
            namespace: Arc::clone(&namespace),
            name: Arc::clone(&name),
        };
        if pod.spec.host_network || pod.spec.node_name.is_empty() {
            return Ok(Change::Endpoint(key, None));
        }
        let account = account(&pod.spec.service_account_name, &pod.spec.service_account);
        let system = [
            (NAMESPACE_LABEL.into(), Arc::clone(&namespace)),
            (ORCHESTRATOR_LABEL.into(), KUBERNETES.into()),
        ];
        let of_account = account_label(account).map(|name| (ACCOUNT_LABEL.into(), name.into()));
        // What the platform says of a pod, the pod cannot say of itself, also where the platform is silent.
        let is_own = |(name, _): &(Arc<str>, Arc<str>)| {
            ![NAMESPACE_LABEL, ORCHESTRATOR_LABEL, ACCOUNT_LABEL].contains(&&**name)
        };
        let own = pairs("", &pod.metadata.labels)
            .filter(is_own)
            .chain(system)
            .chain(of_account);
        let endpoint = Endpoint {
            key: key.clone(),
            node: pod.spec.node_name.as_str().into(),
            interface: self.interface(&namespace, &name),
            labels: labels(own),
            profiles: vec![
                namespace_profile_name(&namespace),
                account_profile_name(&namespace, account),
            ],
            addresses: if is_finished(pod) {
                Vec::new()
            } else {
                addresses(pod)?
            },
            ports: ports(pod)?,
        };
        Ok(Change::Endpoint(key, Some(Arc::new(endpoint))))
    }
}

/// The service account of a pod that says these two; the second is the field's old name.
fn account<'a>(name: &'a str, old_name: &'a str) -> &'a str {
    match (name, old_name) {
        ("", "") => "default",
        ("", old) => old,
        (account, _) => account,
    }
}

/// The value of the label that tells an account; none when its name is too long for one.
pub(crate) fn account_label(account: &str) -> Option<&str> {
    (account.len() < ACCOUNT_LABEL_LENGTH).then_some(account)
}

/// What stands for a pod that was refused: it is no endpoint, so its interface is cut off; and of whatever has its
/// labels nobody knows the addresses and ports. One that certainly has no network of its own, or none any more, is
/// nobody's peer.
pub(super) fn closed_pod(key: &ObjectKey, remains: &Remains) -> Closed {
    let namespace = key.namespace.as_deref().unwrap_or("default");
    let gone = EndpointKey {
        namespace: namespace.into(),
        name: key.name.as_str().into(),
    };
    let is_nobody = remains.read("spec.hostNetwork") == Some(true)
        || remains.text("spec.nodeName") == Some("")
        || remains.text("status.phase").is_some_and(has_ended);
    let labels: Option<BTreeMap<String, String>> = remains.read("metadata.labels");
    let names = ["spec.serviceAccountName", "spec.serviceAccount"];
    let account = match names.map(|name| remains.text(name)) {
        [Some(name), Some(old_name)] => Some(account(name, old_name)),
        _ => None,
    };
    let owner = || Obscure::pod(namespace, labels.as_ref(), account);
    Closed {
        changes: vec![Change::Endpoint(gone, None)],
        doubt: (!is_nobody).then(|| Doubt::Holds(owner())),
    }
}

/// Whether a pod in this phase has no addresses any more.
fn has_ended(phase: &str) -> bool {
    matches!(phase, "Failed" | "Succeeded" | "Completed")
}

/// Whether the pod gave its addresses back.
fn is_finished(pod: &Pod) -> bool {
    let released = |name| {
        pod.metadata
            .annotations
            .get(name)
            .is_some_and(String::is_empty)
    };
    has_ended(&pod.status.phase)
        || (pod.metadata.deletion_timestamp.is_some()
            && (released(POD_IP) || released(AWS_POD_IPS)))
}

/// The addresses, from the first place that has any.
fn addresses(pod: &Pod) -> Result<Vec<IpAddr>, Vec<FieldError>> {
    let status: Vec<&str> = pod
        .status
        .pod_ips
        .iter()
        .map(|each| each.ip.as_str())
        .collect();
    let places = [
        ("status.podIPs", status),
        ("status.podIP", vec![pod.status.pod_ip.as_str()]),
        ("metadata.annotations", annotation(&pod.metadata, POD_IPS)),
        ("metadata.annotations", annotation(&pod.metadata, POD_IP)),
        (
            "metadata.annotations",
            annotation(&pod.metadata, AWS_POD_IPS),
        ),
    ];
    for (path, texts) in places {
        let texts: Vec<&str> = texts
            .into_iter()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .collect();
        if !texts.is_empty() {
            return parse(path, &texts);
        }
    }
    Ok(Vec::new())
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Vec<&'a str> {
    metadata
        .annotations
        .get(name)
        .map(|list| list.split(',').collect())
        .unwrap_or_default()
}

fn parse(path: &str, texts: &[&str]) -> Result<Vec<IpAddr>, Vec<FieldError>> {
    let mut addresses = Vec::new();
    let mut errors = Vec::new();
    for text in texts {
        // The annotations carry a prefix length, that of a single address.
        let bare = text.split_once('/').map_or(*text, |(addr, _)| addr);
        match bare.parse::<IpAddr>() {
            Ok(addr) => addresses.push(addr),
            Err(_syntax) => {
                errors.push(FieldError::new(path, format!("{text:?} is no IP address")));
            }
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    if errors.is_empty() {
        Ok(addresses)
    } else {
        Err(errors)
    }
}

fn ports(pod: &Pod) -> Result<Vec<EndpointPort>, Vec<FieldError>> {
    let containers: [(&str, &[Container]); 2] = [
        ("spec.containers", &pod.spec.containers),
        ("spec.initContainers", &pod.spec.init_containers),
    ];
    let mut ports = Vec::new();
    for (path, containers) in containers {
        let listed = containers.iter().flat_map(|container| &container.ports);
        for port in listed.filter(|port| !port.name.is_empty()) {
            let number = u16::try_from(port.container_port).map_err(|_range| {
                let message = format!("port {} is no port number", port.container_port);
                vec![FieldError::new(path, message)]
            })?;
            ports.push(EndpointPort {
                name: port.name.as_str().into(),
                protocol: Protocol::from(port.protocol.unwrap_or_default()),
                port: number,
            });
        }
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}
