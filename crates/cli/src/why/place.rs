//! Places as people write them, and whom they mean: `namespace/pod`, `pod`, a service, `node:NAME`, an address,
//! `internet`.

use std::net::IpAddr;
use std::str::FromStr;

use oncilla_api::{IntOrString, Kind, Object, ObjectKey, nearest, v1};
use oncilla_net::Family;
use oncilla_verdict::Party;

use super::internet::{self, INTERNET};
use super::traffic::Traffic;
use super::world::World;
use crate::target::{DEFAULT_NAMESPACE, meant};

/// A place as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Address(IpAddr),
    /// An address outside of the cluster that nothing names.
    Internet,
    Node(String),
    /// `namespace/name` of a pod or service.
    Path(String, String),
    /// A pod or service without its namespace.
    Name(String),
}

/// Why nobody is meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("{text:?} names no place: write namespace/pod, pod, node:NAME, internet or an address")]
    Unknown { text: String },
    #[error("{text} is more than one place: ask for one address of it")]
    Many { text: String },
    #[error("there is no {what} {name}{}; see `oncilla get {see}`", hint(.nearest.as_deref()))]
    Absent {
        what: &'static str,
        name: String,
        nearest: Option<String>,
        see: &'static str,
    },
    #[error("policies and sets name every part of the internet: ask for an address")]
    NoInternet,
    #[error("{name} is in several namespaces: write one of {}", .paths.join(", "))]
    Ambiguous { name: String, paths: Vec<String> },
    #[error("service {path} sends nothing: name a pod as the source")]
    Sends { path: String },
    #[error("service {path} has no ready pod, so nobody would answer; see `oncilla get pods -A`")]
    NoPods { path: String },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}

/// Whom a place means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Meant {
    /// One party, or the ready pods of a service.
    pub(crate) parties: Vec<Party>,
    /// The service, when one was named.
    pub(crate) service: Option<ObjectKey>,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let owned = || text.to_owned();
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text == INTERNET {
            return Ok(Self::Internet);
        }
        let prefix = text.split_once('/').map(|(address, _)| address);
        if prefix.is_some_and(|address| address.parse::<IpAddr>().is_ok()) {
            return Err(PlaceError::Many { text: owned() });
        }
        let plain = |part: &str| !part.is_empty() && !part.contains(['/', ':', ' ']);
        let node = text
            .strip_prefix("node:")
            .or_else(|| text.strip_prefix("host:"));
        let place = match (node, text.split_once('/')) {
            (Some(node), _) if plain(node) => Self::Node(node.to_owned()),
            (None, Some((namespace, name))) if plain(namespace) && plain(name) => {
                Self::Path(namespace.to_owned(), name.to_owned())
            }
            (None, None) if plain(text) => Self::Name(owned()),
            _ => return Err(PlaceError::Unknown { text: owned() }),
        };
        Ok(place)
    }
}

impl Place {
    /// Who receives at this place: a service stands for its ready pods.
    pub(crate) fn receivers(&self, world: &World, family: Family) -> Result<Meant, PlaceError> {
        let key = match self {
            Self::Address(address) => return Ok(Meant::one(Party::Address(*address))),
            Self::Internet => {
                let address = internet::address(world, family).ok_or(PlaceError::NoInternet)?;
                return Ok(Meant::one(Party::Address(address)));
            }
            Self::Node(name) => return node(name, world),
            Self::Path(namespace, name) => by_path(namespace, name, world)?,
            Self::Name(name) => by_name(name, world)?,
        };
        let (namespace, path) = (key.namespace.clone().unwrap_or_default(), key.path());
        let Some(Object::Service(service)) = world.cluster.object(&key) else {
            return Ok(Meant::one(Party::pod(namespace, key.name)));
        };
        let parties = ready_pods(service, &namespace, world);
        if parties.is_empty() {
            return Err(PlaceError::NoPods { path });
        }
        Ok(Meant {
            parties,
            service: Some(key),
        })
    }

    /// Who sends from this place.
    pub(crate) fn sender(&self, world: &World, family: Family) -> Result<Party, PlaceError> {
        let meant = self.receivers(world, family)?;
        match (meant.service, meant.parties.into_iter().next()) {
            (None, Some(party)) => Ok(party),
            (service, _) => Err(PlaceError::Sends {
                path: service.map(|key| key.path()).unwrap_or_default(),
            }),
        }
    }
}

impl Meant {
    fn one(party: Party) -> Self {
        Self {
            parties: vec![party],
            service: None,
        }
    }

    /// What the reader should know about the port, when a service was asked for one that it translates.
    pub(crate) fn note(&self, world: &World, traffic: Traffic) -> Option<String> {
        let key = self.service.as_ref()?;
        let Some(Object::Service(service)) = world.cluster.object(key) else {
            return None;
        };
        let translated = service.spec.ports.iter().find(|port| {
            let same = oncilla_net::Protocol::from(port.protocol.unwrap_or_default());
            let target = port.target_port.as_ref();
            let target = target.filter(|t| **t != IntOrString::Int(port.port));
            same == traffic.protocol && port.port == i64::from(traffic.port) && target.is_some()
        })?;
        let target = match translated.target_port.as_ref()? {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => format!("what the pod calls {name}"),
        };
        Some(format!(
            "service {} turns port {} into {target}; policy sees the pod's port, and that is what was asked",
            key.path(),
            traffic.port,
        ))
    }
}

fn node(name: &str, world: &World) -> Result<Meant, PlaceError> {
    let key = ObjectKey::cluster(Kind::Node, name);
    if world.cluster.object(&key).is_some() {
        return Ok(Meant::one(Party::Node(name.to_owned())));
    }
    Err(PlaceError::Absent {
        what: "node",
        name: name.to_owned(),
        nearest: nearest(name, world.keys(Kind::Node).map(|key| key.name))
            .map(|name| format!("node:{name}")),
        see: "nodes",
    })
}

/// A pod stands before a service of the same name.
const KINDS: [Kind; 2] = [Kind::Pod, Kind::Service];

fn by_path(namespace: &str, name: &str, world: &World) -> Result<ObjectKey, PlaceError> {
    let keys = KINDS.map(|kind| ObjectKey::namespaced(kind, namespace, name));
    let found = keys
        .into_iter()
        .find(|key| world.cluster.object(key).is_some());
    found.ok_or_else(|| absent(&format!("{namespace}/{name}"), world))
}

fn by_name(name: &str, world: &World) -> Result<ObjectKey, PlaceError> {
    if let Ok(key) = by_path("default", name, world) {
        return Ok(key);
    }
    for kind in KINDS {
        let named: Vec<ObjectKey> = world.keys(kind).filter(|key| key.name == name).collect();
        match named.as_slice() {
            [] => {}
            [one] => return Ok(one.clone()),
            many => {
                return Err(PlaceError::Ambiguous {
                    name: name.to_owned(),
                    paths: many.iter().map(ObjectKey::path).collect(),
                });
            }
        }
    }
    Err(absent(name, world))
}

fn absent(name: &str, world: &World) -> PlaceError {
    let keys = KINDS.into_iter().flat_map(|kind| world.keys(kind));
    let (namespace, last) = match name.split_once('/') {
        Some((namespace, last)) => (namespace, last),
        None => (DEFAULT_NAMESPACE, name),
    };
    PlaceError::Absent {
        what: "pod or service",
        name: name.to_owned(),
        nearest: meant(Some(namespace), last, &keys.collect::<Vec<_>>()),
        see: "pods -A",
    }
}

fn ready_pods(service: &v1::Service, namespace: &str, world: &World) -> Vec<Party> {
    let selector = &service.spec.selector;
    // Without a selector somebody else lists the addresses, and we do not know them.
    if selector.is_empty() {
        return Vec::new();
    }
    let keys = world
        .keys(Kind::Pod)
        .filter(|key| key.namespace.as_deref() == Some(namespace));
    let selected = keys.filter(|key| {
        world.pod(key).is_some_and(|pod| {
            let labels = &pod.metadata.labels;
            selector
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
                && is_ready(pod)
        })
    });
    selected
        .map(|key| Party::pod(namespace, key.name))
        .collect()
}

/// A pod of a file says nothing about its readiness, and counts as ready.
fn is_ready(pod: &v1::Pod) -> bool {
    let mut conditions = pod.status.conditions.iter();
    let ready = conditions.find(|condition| condition.condition_type == "Ready");
    match ready {
        Some(condition) => condition.status == "True",
        None => !matches!(
            pod.status.phase.as_str(),
            "Pending" | "Succeeded" | "Failed"
        ),
    }
}
