//! The cluster that questions are asked about: objects, and where each was written.
//!
//! Manifests alone can be judged too: what only a running cluster knows (a pod's node and addresses, the
//! namespaces that nobody wrote down) is made up here, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_api::manifest::Located;
use oncilla_api::v3::EndpointToHostAction;
use oncilla_api::{Kind, Object, ObjectKey, v1};
use oncilla_verdict::Cluster;

use super::unread::Unread;
use crate::origin::{Origin, RulePlace};

/// The node of pods that have none: only whether two pods share it could matter, and to policy it does not.
const NO_NODE: &str = "unscheduled";
/// Made-up addresses are those of benchmark networks, which no real policy names.
const INVENTED_V4: [u8; 2] = [198, 18];
const INVENTED_V6: [u16; 3] = [0x2001, 0x2, 0];

/// What agents do with a pod's packet to its own node, unless they are told otherwise.
const AGENTS_HOST_ACTION: EndpointToHostAction = EndpointToHostAction::Accept;

/// A cluster, and where its objects were written.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    files: BTreeMap<ObjectKey, Located<Object>>,
    unscheduled: BTreeSet<ObjectKey>,
    /// What was assumed, for the reader of the answer.
    pub(crate) notes: Vec<String>,
    /// What the server has and nobody can understand.
    pub(crate) unread: Vec<Unread>,
}

impl World {
    /// The objects of a running cluster.
    pub(crate) fn running(objects: impl IntoIterator<Item = Object>) -> Self {
        let mut world = Self {
            cluster: objects.into_iter().collect(),
            ..Self::default()
        };
        world.cluster.set_host_action(AGENTS_HOST_ACTION);
        world
    }

    /// The objects of files; what they do not say is made up.
    pub(crate) fn of_files(objects: Vec<Located<Object>>) -> Self {
        let mut world = Self::default();
        world.cluster.set_host_action(AGENTS_HOST_ACTION);
        for located in objects {
            world.cluster.insert(located.object.clone());
            world.files.insert(located.object.key(), located);
        }
        world.complete_namespaces();
        world.complete_pods();
        world
    }

    /// Says of which files objects of a running cluster came.
    pub(crate) fn written_in(&mut self, objects: &[Located<Object>]) {
        for located in objects {
            self.files.insert(located.object.key(), located.clone());
        }
    }

    /// `file:line` of an object or one of its rules, when it came from a file.
    pub(crate) fn place(&self, key: &ObjectKey, rule: Option<RulePlace>) -> Option<String> {
        if let Some(located) = self.files.get(key) {
            return Some(match rule {
                Some((direction, number)) => {
                    located.place_of(&format!("spec.{direction}[{number}]"))
                }
                None => located.place_of("metadata.name"),
            });
        }
        let object = self.cluster.object(key)?;
        Origin::read(object).map(|origin| origin.place(object, rule))
    }

    /// The pod of a key.
    pub(crate) fn pod(&self, key: &ObjectKey) -> Option<&v1::Pod> {
        match self.cluster.object(key) {
            Some(Object::Pod(pod)) => Some(pod),
            _ => None,
        }
    }

    /// The node of a pod, when somebody chose one.
    pub(crate) fn node_of(&self, key: &ObjectKey) -> Option<&str> {
        let pod = self.pod(key).filter(|_| !self.unscheduled.contains(key))?;
        Some(pod.spec.node_name.as_str()).filter(|node| !node.is_empty())
    }

    /// The keys of all objects of a kind.
    pub(crate) fn keys(&self, kind: Kind) -> impl Iterator<Item = ObjectKey> {
        let objects = self.cluster.objects();
        objects.map(Object::key).filter(move |key| key.kind == kind)
    }

    fn complete_namespaces(&mut self) {
        let named = |object: &Object| object.metadata().namespace.clone();
        let used: BTreeSet<String> = self.cluster.objects().filter_map(named).collect();
        let written: BTreeSet<String> = self.keys(Kind::Namespace).map(|key| key.name).collect();
        for name in used.difference(&written) {
            let mut namespace = Object::from(v1::Namespace::default());
            name.clone_into(&mut namespace.metadata_mut().name);
            namespace.default_fields();
            self.cluster.insert(namespace);
            self.notes.push(format!(
                "namespace {name} is not in the files; taken to exist, with no labels but its name"
            ));
        }
    }

    fn complete_pods(&mut self) {
        let mut taken: BTreeSet<IpAddr> = BTreeSet::new();
        let mut bare = Vec::new();
        for key in self.keys(Kind::Pod) {
            let Some(pod) = self.pod(&key) else { continue };
            let mut status = pod.status.pod_ips.iter().map(|each| each.ip.as_str());
            let addresses = status.by_ref().chain([pod.status.pod_ip.as_str()]);
            taken.extend(addresses.filter_map(|text| text.parse::<IpAddr>().ok()));
            bare.push(key);
        }
        let mut numbers = 1..=u16::MAX;
        let mut invented = 0_usize;
        for key in bare {
            let Some(Object::Pod(pod)) = self.cluster.object(&key) else {
                continue;
            };
            let mut pod = pod.clone();
            if pod.spec.node_name.is_empty() && !pod.spec.host_network {
                NO_NODE.clone_into(&mut pod.spec.node_name);
                self.unscheduled.insert(key);
            }
            if needs_address(&pod) {
                let free = numbers.by_ref().map(invent);
                let Some(pair) = { free }.find(|pair| !pair.iter().any(|ip| taken.contains(ip)))
                else {
                    break;
                };
                pod.status.pod_ip = pair[0].to_string();
                let each = pair.iter().map(|ip| v1::PodIp { ip: ip.to_string() });
                pod.status.pod_ips = each.collect();
                invented += 1;
            }
            self.cluster.insert(pod.into());
        }
        if invented > 0 {
            self.notes.push(
                "the files give pods no addresses; made-up ones were used, which rules over CIDRs may \
                 judge differently from real ones"
                    .to_owned(),
            );
        }
    }
}

/// Whether a pod that may run has nothing that says where it is reached.
fn needs_address(pod: &v1::Pod) -> bool {
    let finished = matches!(
        pod.status.phase.as_str(),
        "Succeeded" | "Failed" | "Completed"
    );
    let annotated = [
        "cni.projectcalico.org/podIP",
        "cni.projectcalico.org/podIPs",
    ]
    .iter()
    .any(|name| pod.metadata.annotations.contains_key(*name));
    let status = !pod.status.pod_ip.is_empty() || !pod.status.pod_ips.is_empty();
    !(finished || annotated || status || pod.spec.host_network)
}

fn invent(number: u16) -> [IpAddr; 2] {
    let [high, low] = number.to_be_bytes();
    let ([first, second], [front, middle, back]) = (INVENTED_V4, INVENTED_V6);
    [
        Ipv4Addr::new(first, second, high, low).into(),
        Ipv6Addr::new(front, middle, back, 0, 0, 0, 0, number).into(),
    ]
}
