//! The objects that questions are asked about.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::v3::EndpointToHostAction;
use oncilla_api::{Kind, Object, ObjectKey, Remains};
use serde_json::Value;

use crate::endpoint::pod_faults;

/// All objects of a cluster, as people wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    objects: BTreeMap<ObjectKey, Object>,
    /// Objects that cannot even be decoded.
    unreadable: BTreeMap<ObjectKey, Remains>,
    /// What becomes of a workload's packet to its own host where no configuration says; `None`: Drop.
    host_action: Option<EndpointToHostAction>,
    /// How the names of workloads' interfaces begin besides what configurations say; `None`: `cali`.
    interface_prefixes: Option<Vec<String>>,
}

impl Cluster {
    /// A cluster without objects.
    pub const fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            host_action: None,
            interface_prefixes: None,
        }
    }

    /// Adds an object, or replaces the one of the same key; returns the replaced one.
    pub fn insert(&mut self, object: Object) -> Option<Object> {
        let key = object.key();
        self.unreadable.remove(&key);
        self.objects.insert(key, object)
    }

    /// Adds what a store holds, also when it cannot be decoded: then it is judged closed.
    pub fn insert_stored(&mut self, key: &ObjectKey, value: &Value) {
        match Object::decode(key.kind, value.clone()) {
            Ok(mut object) => {
                object.default_fields();
                self.insert(object);
            }
            Err(errors) => {
                self.objects.remove(key);
                let remains = Remains::new(key.kind, value, &errors);
                self.unreadable.insert(key.clone(), remains);
            }
        }
    }

    /// What nodes do with a workload's packet to its own host where no `FelixConfiguration` says.
    pub const fn set_host_action(&mut self, action: EndpointToHostAction) {
        self.host_action = Some(action);
    }

    /// How agents were told that the names of workloads' interfaces begin; `cali` where nobody says.
    pub fn set_interface_prefixes(&mut self, prefixes: impl IntoIterator<Item = String>) {
        self.interface_prefixes = Some(prefixes.into_iter().collect());
    }

    pub(crate) fn interface_prefixes(&self) -> Vec<String> {
        let told = self.interface_prefixes.clone();
        told.unwrap_or_else(|| vec!["cali".to_owned()])
    }

    pub(crate) fn host_action(&self) -> EndpointToHostAction {
        self.host_action.unwrap_or(EndpointToHostAction::Drop)
    }

    /// What can be read of an object, valid or not; `None` when there is none of this key.
    pub(crate) fn remains(&self, key: &ObjectKey) -> Option<Remains> {
        let object = self.objects.get(key);
        let whole = object.map(|object| Remains::new(key.kind, &object.to_value(), &[]));
        whole.or_else(|| self.unreadable.get(key).cloned())
    }

    /// Takes an object away; returns it when it was there.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Object> {
        self.unreadable.remove(key);
        self.objects.remove(key)
    }

    /// What is left of the policies, tiers, network sets, profiles and host endpoints that the API would refuse, and of
    /// the nodes, pods, namespaces and service accounts that cannot be read.
    pub(crate) fn broken(&self) -> BTreeMap<ObjectKey, Remains> {
        let judges = |kind| {
            matches!(
                kind,
                Kind::Tier
                    | Kind::EndpointSlice
                    | Kind::GlobalNetworkSet
                    | Kind::NetworkSet
                    | Kind::GlobalNetworkPolicy
                    | Kind::NetworkPolicy
                    | Kind::KubernetesNetworkPolicy
                    | Kind::ClusterNetworkPolicy
                    | Kind::Profile
                    | Kind::HostEndpoint
            )
        };
        let mut broken = self.unreadable.clone();
        for object in self.objects.values() {
            if let Object::Pod(pod) = object {
                let faults = pod_faults(pod);
                if !faults.is_empty() {
                    let remains = Remains::new(Kind::Pod, &object.to_value(), &faults);
                    broken.insert(object.key(), remains);
                }
            }
        }
        for object in self.objects.values().filter(|object| judges(object.kind())) {
            let mut defaulted = object.clone();
            defaulted.default_fields();
            let errors = defaulted.validate();
            if !errors.is_empty() {
                let remains = Remains::new(object.kind(), &object.to_value(), &errors);
                broken.insert(defaulted.key(), remains);
            }
        }
        // These count as soon as they can be decoded: hardly anything of them matters.
        let counts_decoded = |kind| {
            matches!(
                kind,
                Kind::Node | Kind::Pod | Kind::Namespace | Kind::ServiceAccount
            )
        };
        broken.retain(|key, _| judges(key.kind) || counts_decoded(key.kind));
        broken
    }

    /// Whether there is an object of this key, also one that cannot be decoded.
    pub(crate) fn holds(&self, key: &ObjectKey) -> bool {
        self.objects.contains_key(key) || self.unreadable.contains_key(key)
    }

    /// The objects of some kinds that cannot be decoded, and why.
    pub(crate) fn unreadable_of(
        &self,
        is_meant: impl Fn(Kind) -> bool,
    ) -> impl Iterator<Item = (&ObjectKey, Arc<str>)> {
        let meant = self
            .unreadable
            .iter()
            .filter(move |(key, _)| is_meant(key.kind));
        meant.map(|(key, remains)| {
            let errors: Vec<String> = remains.errors().iter().map(ToString::to_string).collect();
            (
                key,
                format!("it cannot be understood: {}", errors.join("; ")).into(),
            )
        })
    }

    /// The object of this key.
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// All objects, in the order of their keys.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl FromIterator<Object> for Cluster {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let mut cluster = Self::new();
        cluster.extend(objects);
        cluster
    }
}

impl Extend<Object> for Cluster {
    fn extend<I: IntoIterator<Item = Object>>(&mut self, objects: I) {
        for object in objects {
            self.insert(object);
        }
    }
}
