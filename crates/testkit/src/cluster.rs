//! Random clusters: small ones in which every field of every policy kind occurs and much overlaps, packets that
//! meet them, and changes that keep happening to them. Everything follows from the seed.

mod aim;
mod endpoints;
mod flight;
mod hosts;
mod listed;
mod npa;
mod policies;
mod rules;
mod selectors;
mod traffic;

use std::collections::BTreeMap;

use oncilla_api::{Kind, Object, ObjectKey};

use crate::rng::Rng;

pub use flight::Flight;
pub use hosts::{INTERFACES, host_addresses};
pub use traffic::{NETS_V4, NETS_V6};

/// The nodes.
pub const NODES: [&str; 2] = ["n1", "n2"];
/// The namespaces that can be there.
pub const NAMESPACES: [&str; 4] = ["red", "green", "blue", "grey"];
/// The tiers beside the built-in ones. Two of them have the same order; one has none, like `default`.
pub(crate) const TIERS: [&str; 4] = ["audit", "security", "team", "zeta"];

/// How big a cluster is at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Pods.
    pub pods: usize,
    /// Policies of all kinds together.
    pub policies: usize,
    /// Network sets of both kinds together.
    pub sets: usize,
    /// Host endpoints; with any of them also everything else about hosts.
    pub hosts: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            pods: 18,
            policies: 30,
            sets: 5,
            hosts: 0,
        }
    }
}

/// An object's new state, or that it is gone.
pub type Edit = (ObjectKey, Option<Object>);

/// A cluster that goes on changing.
#[derive(Clone, Debug)]
pub struct RandomCluster {
    rng: Rng,
    objects: BTreeMap<ObjectKey, Object>,
    /// How many objects were ever made: names and addresses are used once.
    made: u16,
    has_hosts: bool,
}

impl RandomCluster {
    /// The cluster of a seed.
    pub fn new(seed: u64, size: Size) -> Self {
        let mut cluster = Self {
            rng: Rng::new(seed),
            objects: BTreeMap::new(),
            made: 0,
            has_hosts: size.hosts > 0,
        };
        for node in NODES {
            let object = cluster.node(node);
            cluster.put(object);
        }
        for namespace in NAMESPACES {
            let object = cluster.namespace(namespace);
            cluster.put(object);
            for account in endpoints::ACCOUNTS {
                let object = cluster.account(namespace, account);
                cluster.put(object);
            }
        }
        for tier in TIERS {
            let object = cluster.tier(tier);
            cluster.put(object);
        }
        for _ in 0..size.pods {
            let pod = cluster.new_pod();
            cluster.put(pod);
        }
        for _ in 0..size.hosts {
            let host = cluster.new_host();
            cluster.put(host);
        }
        if cluster.has_hosts {
            let profile = cluster.new_profile();
            cluster.put(profile);
            let configuration = cluster.new_configuration();
            cluster.put(configuration);
        }
        for _ in 0..size.sets {
            let set = cluster.new_set();
            cluster.put(set);
        }
        for _ in 0..size.sets * 2 {
            let slice = cluster.new_slice();
            cluster.put(slice);
        }
        for _ in 0..size.policies {
            let policy = cluster.new_policy();
            cluster.put(policy);
        }
        for _ in 0..size.policies / 8 {
            let staged = cluster.new_staged();
            cluster.put(staged);
        }
        cluster
    }

    /// The objects as they are now.
    pub const fn objects(&self) -> &BTreeMap<ObjectKey, Object> {
        &self.objects
    }

    /// One random change, already part of [`Self::objects`]. Sometimes of several objects at once.
    pub fn change(&mut self) -> Vec<Edit> {
        let mut edits = vec![self.edit()];
        // With hosts there is more to change.
        let (more, of) = if self.has_hosts { (2, 3) } else { (1, 4) };
        while self.rng.chance(more, of) {
            edits.push(self.edit());
        }
        edits
    }

    fn edit(&mut self) -> Edit {
        if self.has_hosts && self.rng.chance(1, 4) {
            return self.edit_hosts();
        }
        match self.rng.below(24) {
            0..=3 => self.relabel_pod(),
            4 => {
                let pod = self.new_pod();
                self.put(pod)
            }
            5 => self.remove_one(&[Kind::Pod], 8),
            6 => self.finish_or_move_pod(),
            7..=9 => {
                let policy = self.new_policy();
                self.put(policy)
            }
            10 | 11 => self.rewrite_policy(),
            12 | 13 => self.remove_one(&POLICIES, 14),
            14 | 15 => {
                let name = *self.rng.pick(&NAMESPACES);
                let object = self.namespace(name);
                self.put(object)
            }
            16 => {
                let (name, account) = (
                    *self.rng.pick(&NAMESPACES),
                    *self.rng.pick(&endpoints::ACCOUNTS),
                );
                let object = self.account(name, account);
                self.put(object)
            }
            17 => {
                let name = *self.rng.pick(&TIERS);
                if self.rng.chance(1, 4) {
                    return self.take(ObjectKey::cluster(Kind::Tier, name));
                }
                let object = self.tier(name);
                self.put(object)
            }
            18 if self.rng.chance(1, 2) => {
                let name = *self.rng.pick(&NODES);
                let object = self.node(name);
                self.put(object)
            }
            18 => self.remove_one(&SETS, 2),
            19 => self.remove_one(&[Kind::EndpointSlice], 2),
            20 => {
                let staged = self.new_staged();
                self.put(staged)
            }
            21 => self.remove_one(&STAGED, 2),
            22 => {
                let slice = self.new_slice();
                self.put(slice)
            }
            _ => {
                let set = self.new_set();
                self.put(set)
            }
        }
    }

    fn edit_hosts(&mut self) -> Edit {
        match self.rng.below(8) {
            0..=2 => {
                let host = self.new_host();
                self.put(host)
            }
            3 => self.remove_one(&[Kind::HostEndpoint], 1),
            4 | 5 => {
                let configuration = self.new_configuration();
                self.put(configuration)
            }
            6 => self.remove_one(&[Kind::FelixConfiguration], 1),
            _ => {
                let profile = self.new_profile();
                self.put(profile)
            }
        }
    }

    /// Puts an object there, checked as the API server does and, half of the time, with its defaults filled in:
    /// who reads the others has to know them.
    fn put(&mut self, mut object: Object) -> Edit {
        match &mut object {
            Object::GlobalNetworkPolicy(policy) if self.has_hosts => {
                hosts::stage(&mut self.rng, policy);
            }
            Object::Node(node) if self.has_hosts => hosts::dress(node),
            _ => {}
        }
        let mut defaulted = object.clone();
        defaulted.default_fields();
        let errors = defaulted.validate();
        assert!(
            !object.is_defaulted() || object == defaulted,
            "something is filled in where nothing was to be: {object:?}"
        );
        if self.rng.chance(1, 2) {
            object = defaulted;
        }
        assert!(
            errors.is_empty(),
            "the generator makes valid objects only: {errors:?} in {object:?}"
        );
        let key = object.key();
        self.objects.insert(key.clone(), object.clone());
        (key, Some(object))
    }

    fn take(&mut self, key: ObjectKey) -> Edit {
        self.objects.remove(&key);
        (key, None)
    }

    /// Removes one object of these kinds, unless too few are left: then a pod is labelled anew.
    fn remove_one(&mut self, kinds: &[Kind], left_min: usize) -> Edit {
        let keys = self.keys(kinds);
        if keys.len() <= left_min {
            return self.relabel_pod();
        }
        let key = self.rng.pick(&keys).clone();
        self.take(key)
    }

    fn keys(&self, kinds: &[Kind]) -> Vec<ObjectKey> {
        let keys = self.objects.keys();
        keys.filter(|key| kinds.contains(&key.kind))
            .cloned()
            .collect()
    }

    const fn number(&mut self) -> u16 {
        self.made += 1;
        self.made
    }
}

const POLICIES: [Kind; 4] = [
    Kind::GlobalNetworkPolicy,
    Kind::NetworkPolicy,
    Kind::KubernetesNetworkPolicy,
    Kind::ClusterNetworkPolicy,
];
const STAGED: [Kind; 3] = [
    Kind::StagedGlobalNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
];
const SETS: [Kind; 2] = [Kind::GlobalNetworkSet, Kind::NetworkSet];
