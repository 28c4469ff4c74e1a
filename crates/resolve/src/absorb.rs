//! One change of the model: what it touches, and what it marks.

use std::sync::Arc;

use oncilla_model::{
    Change, DEFAULT_ALLOW, Endpoint, EndpointKey, HostEndpoint, Labels, ProfileName,
};

use crate::plane::{Nets, SetKey};
use crate::resolver::Resolver;
use crate::rows::RowKey;
use crate::shapes::{Look, Realm};

impl Resolver {
    pub(crate) fn absorb_one(&mut self, change: &Change) {
        let dirty = &mut self.dirty;
        match change {
            Change::Tier(name, tier) => self.locals.put_tier(dirty, name, tier.as_ref()),
            Change::Policy(key, policy) => {
                let index = &mut self.index;
                self.locals.put_policy(index, dirty, key, policy.as_ref());
            }
            Change::Profile(name, profile) => {
                let is_known = self.index.has_profile(name, profile.as_ref());
                if *name.0 != *DEFAULT_ALLOW && !is_known {
                    let name = self.index.set_profile(name, profile.as_ref());
                    dirty.profiles.extend(name);
                }
            }
            Change::Endpoint(key, endpoint) => self.absorb_endpoint(key, endpoint.as_ref()),
            Change::HostEndpoint(name, host) => self.absorb_host(name, host.as_ref()),
            Change::Interface(name, addresses) => {
                self.locals.put_interface(dirty, name, addresses.as_ref());
            }
            Change::NetworkSet(key, set) => {
                let key = SetKey::Set(key.clone());
                let nets = set.as_ref().map(|set| Nets::Set(Arc::clone(set)));
                let own = set.as_ref().map(|set| (&set.labels, &*set.profiles));
                self.absorb_nets(&key, nets, Realm::Endpoints, own);
            }
            Change::Slice(key, slice) => self.lists.put_slice(key, slice.as_ref()),
            // Nodes change often, and seldom in what a rule can see.
            Change::Node(name, node) if self.plane.node(name) == node.as_ref() => {}
            Change::Node(name, node) => {
                let key = SetKey::Node(Arc::clone(name));
                let nets = node.as_ref().map(|node| Nets::Node(Arc::clone(node)));
                let own = node.as_ref().map(|node| (&node.labels, &[][..]));
                self.absorb_nets(&key, nets, Realm::Nodes, own);
            }
        }
    }

    fn absorb_endpoint(&mut self, key: &EndpointKey, endpoint: Option<&Arc<Endpoint>>) {
        let shape = endpoint.map(|endpoint| {
            let look = Look {
                realm: Realm::Endpoints,
                labels: &endpoint.labels,
                profiles: &endpoint.profiles,
                ports: &endpoint.ports,
            };
            self.index.intern(&mut self.signatures, look)
        });
        let (index, dirty) = (&mut self.index, &mut self.dirty);
        let is_local = endpoint.is_some_and(|endpoint| endpoint.node == self.node);
        let local = shape.zip(endpoint).filter(|_| is_local);
        self.locals.put_endpoint(index, dirty, key, local);
        let row = shape.zip(endpoint.map(|endpoint| &*endpoint.addresses));
        let key = RowKey::Workload(key.clone());
        self.plane.put_endpoint(index, dirty, &key, row);
    }

    fn absorb_host(&mut self, name: &Arc<str>, host: Option<&Arc<HostEndpoint>>) {
        let shape = host.map(|host| {
            let look = Look {
                realm: Realm::Endpoints,
                labels: &host.labels,
                profiles: &host.profiles,
                ports: &host.ports,
            };
            self.index.intern(&mut self.signatures, look)
        });
        let (index, dirty) = (&mut self.index, &mut self.dirty);
        let is_local = host.is_some_and(|host| host.node.is_empty() || host.node == self.node);
        let local = shape.zip(host).filter(|_| is_local);
        self.locals.put_host(index, dirty, name, local);
        let peer = host.filter(|host| host.is_peer);
        let row = shape.zip(peer.map(|host| &*host.addresses));
        let key = RowKey::Host(Arc::clone(name));
        self.plane.put_endpoint(index, dirty, &key, row);
    }

    fn absorb_nets(
        &mut self,
        key: &SetKey,
        nets: Option<Nets>,
        realm: Realm,
        own: Option<(&Labels, &[ProfileName])>,
    ) {
        let shape = own.map(|(labels, profiles)| {
            let look = Look {
                realm,
                labels,
                profiles,
                ports: &[],
            };
            self.index.intern(&mut self.signatures, look)
        });
        let (index, dirty) = (&mut self.index, &mut self.dirty);
        self.plane.put_set(index, dirty, key, shape.zip(nets));
        dirty.whole.local_sets = true;
    }
}
