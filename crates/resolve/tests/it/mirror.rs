//! A resolver with a mirror that only sees its deltas, as compile and the kernel do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{Change, Predicate};
use oncilla_net::{Direction, IpNet, MarkMask};
use oncilla_program::{AddressMap, AddressSet, ClassId, GroupId, HostEndpoint, LocalEndpoint};
use oncilla_resolve::node::{GroupDef, NodeDelta, NodeState as _, PredicateMode};
use oncilla_resolve::{Adoption, Limits, Resolver};

pub(crate) struct Mirror {
    pub(crate) resolver: Resolver,
    pub(crate) addresses: AddressMap,
    groups: BTreeMap<GroupId, Arc<GroupDef>>,
    endpoints: BTreeMap<Arc<str>, LocalEndpoint>,
    host_endpoints: BTreeMap<Arc<str>, HostEndpoint>,
    sets: BTreeMap<Predicate, AddressSet>,
    /// Classes with their first appearance not yet undone by a retirement.
    live: BTreeSet<ClassId>,
    pub(crate) now_ms: u64,
}

/// How each predicate is asked, the classes of which it holds, and the ports to which it leads.
type Answers = BTreeMap<Predicate, (PredicateMode, BTreeSet<ClassId>, Vec<(ClassId, u16)>)>;

/// A state by what it means: class numbers do not appear.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Meaning {
    hosts: Vec<(IpAddr, String)>,
    nets: Vec<(IpNet, String)>,
    classes: BTreeSet<String>,
    predicates: Vec<(String, PredicateMode, BTreeSet<String>, AddressSet)>,
    groups: BTreeMap<GroupId, Arc<GroupDef>>,
    endpoints: BTreeMap<Arc<str>, LocalEndpoint>,
    host_endpoints: BTreeMap<Arc<str>, HostEndpoint>,
}

impl Mirror {
    pub(crate) fn new(mask: u32) -> Self {
        let mask = MarkMask::new(mask).unwrap();
        Self {
            resolver: Resolver::new("n0", Limits { mask }),
            addresses: AddressMap::default(),
            groups: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            host_endpoints: BTreeMap::new(),
            sets: BTreeMap::new(),
            live: BTreeSet::new(),
            now_ms: 0,
        }
    }

    pub(crate) fn apply(&mut self, changes: &[Change]) -> NodeDelta {
        self.now_ms += 20_000;
        let before = self.answers();
        let delta = self.resolver.apply(changes, self.now_ms).unwrap();
        self.follow(&delta);
        assert!(delta.classes_retired.is_empty(), "only a settling retires");
        self.check_meanings(&before);
        delta
    }

    /// `false` when class numbers ran out: then nothing changed.
    pub(crate) fn try_apply(&mut self, changes: &[Change], now_ms: u64) -> bool {
        let before = self.meaning_of_everything();
        if let Ok(delta) = self.resolver.apply(changes, now_ms) {
            self.follow(&delta);
            true
        } else {
            assert_eq!(
                self.meaning_of_everything(),
                before,
                "a failure publishes nothing"
            );
            false
        }
    }

    fn meaning_of_everything(&self) -> String {
        format!("{:?}", self.meaning())
    }

    pub(crate) fn settle(&mut self) -> NodeDelta {
        self.now_ms += 20_000;
        let before = self.answers();
        let delta = self.resolver.settle(self.now_ms).unwrap();
        self.follow(&delta);
        self.check_meanings(&before);
        delta
    }

    /// Settles until nothing is left to do.
    pub(crate) fn settle_wholly(&mut self) {
        for _ in 0..8 {
            self.settle();
            if self.resolver.is_settled() {
                return;
            }
        }
        panic!("settling comes to an end");
    }

    pub(crate) fn load(&mut self, changes: &[Change], adoption: &Adoption<'_>) -> NodeDelta {
        let delta = self.resolver.load(changes, adoption, self.now_ms).unwrap();
        self.follow(&delta);
        delta
    }

    /// Every class that has an element.
    pub(crate) fn used(&self) -> BTreeSet<ClassId> {
        let map = &self.addresses;
        let hosts = map.hosts4.values().chain(map.hosts6.values());
        hosts
            .chain(map.nets4.values())
            .chain(map.nets6.values())
            .copied()
            .collect()
    }

    pub(crate) fn element(&self, net: IpNet) -> Option<ClassId> {
        let map = &self.addresses;
        match net {
            IpNet::V4(net) if net.prefix_len() == 32 => map.hosts4.get(net.addr()),
            IpNet::V4(net) => map.nets4.get(&net),
            IpNet::V6(net) if net.prefix_len() == 128 => map.hosts6.get(&net.addr()),
            IpNet::V6(net) => map.nets6.get(&net),
        }
        .copied()
    }

    /// The predicates that groups use on the peer's and on the local side.
    pub(crate) fn used_predicates(&self) -> (BTreeSet<Predicate>, BTreeSet<Predicate>) {
        let (mut peers, mut locals) = (BTreeSet::new(), BTreeSet::new());
        for group in self.resolver.groups().values() {
            let policies = group.tiers.iter().flat_map(|tier| &tier.policies);
            let of_policies = policies.filter_map(|policy| match group.direction {
                Direction::Ingress => policy.ingress.as_ref(),
                Direction::Egress => policy.egress.as_ref(),
            });
            let of_profiles = group
                .profiles
                .iter()
                .flatten()
                .map(|p| match group.direction {
                    Direction::Ingress => &p.ingress,
                    Direction::Egress => &p.egress,
                });
            for rule in of_policies
                .chain(of_profiles)
                .flat_map(|rules| rules.iter())
            {
                let (peer, local) = match group.direction {
                    Direction::Ingress => (&rule.source, &rule.destination),
                    Direction::Egress => (&rule.destination, &rule.source),
                };
                peers.extend(peer.all.iter().chain(&peer.none).cloned());
                let ports = peer.ports.iter().chain(&peer.not_ports);
                peers.extend(ports.flat_map(|ports| ports.names.iter().cloned()));
                locals.extend(local.all.iter().chain(&local.none).cloned());
            }
        }
        (peers, locals)
    }

    pub(crate) fn meaning(&self) -> Meaning {
        let state = &self.resolver;
        let text = |id: ClassId| {
            let class = state.class(id).expect("a class of an element is known");
            format!("{} {:?} {:?}", class.family, class.holds, class.ports)
        };
        let map = &self.addresses;
        let hosts4 = map
            .hosts4
            .iter()
            .map(|(addr, id)| (IpAddr::V4(addr), text(*id)));
        let hosts6 = map
            .hosts6
            .iter()
            .map(|(addr, id)| (IpAddr::V6(*addr), text(*id)));
        let nets4 = map
            .nets4
            .iter()
            .map(|(net, id)| (IpNet::V4(*net), text(*id)));
        let nets6 = map
            .nets6
            .iter()
            .map(|(net, id)| (IpNet::V6(*net), text(*id)));
        let (peers, locals) = self.used_predicates();
        let predicates = peers.union(&locals).map(|each| {
            let classes = state
                .classes_of(each)
                .into_iter()
                .chain(state.ports_of(each).into_iter().map(|(id, _)| id));
            let classes = classes.map(text).collect();
            (
                each.to_string(),
                state.mode(each),
                classes,
                state.addresses_of(each),
            )
        });
        Meaning {
            hosts: hosts4.chain(hosts6).collect(),
            nets: nets4.chain(nets6).collect(),
            classes: self.live.iter().map(|id| text(*id)).collect(),
            predicates: predicates.collect(),
            groups: state.groups().clone(),
            endpoints: state.endpoints().clone(),
            host_endpoints: state.hosts().clone(),
        }
    }

    /// Takes a delta in and checks that it tells the whole truth.
    fn follow(&mut self, delta: &NodeDelta) {
        let state = &self.resolver;
        for id in &delta.classes_added {
            assert!(self.live.insert(*id), "{id} is new");
        }
        for change in &delta.addresses {
            assert!(change.class.is_none_or(|id| self.live.contains(&id)));
            self.addresses.set_host(change.addr, change.class);
        }
        for change in &delta.nets {
            assert!(change.class.is_none_or(|id| self.live.contains(&id)));
            self.addresses.set_net(change.net, change.class);
        }
        for id in &delta.classes_retired {
            assert!(self.live.remove(id), "{id} was there");
            assert!(
                state.class(*id).is_some(),
                "a retired class is still described"
            );
        }
        let used = self.used();
        assert!(used.is_subset(&self.live), "elements have live classes");
        for (id, group) in &delta.groups {
            match group {
                Some(group) => drop(self.groups.insert(id.clone(), Arc::clone(group))),
                None => assert!(self.groups.remove(id).is_some()),
            }
        }
        assert_eq!(&self.groups, state.groups());
        for (interface, endpoint) in &delta.endpoints {
            match endpoint {
                Some(endpoint) => {
                    drop(
                        self.endpoints
                            .insert(Arc::clone(interface), endpoint.clone()),
                    );
                }
                None => assert!(self.endpoints.remove(interface).is_some()),
            }
        }
        assert_eq!(&self.endpoints, state.endpoints());
        for (interface, host) in &delta.hosts {
            match host {
                Some(host) => {
                    let interface = Arc::clone(interface);
                    drop(self.host_endpoints.insert(interface, host.clone()));
                }
                None => assert!(self.host_endpoints.remove(interface).is_some()),
            }
        }
        assert_eq!(&self.host_endpoints, state.hosts());
        for predicate in &delta.address_sets {
            self.sets
                .insert(predicate.clone(), state.addresses_of(predicate));
        }
        for (predicate, set) in &self.sets {
            assert_eq!(
                *set,
                state.addresses_of(predicate),
                "{predicate} changed silently"
            );
        }
    }

    /// Which predicates hold of which live class, of those in use.
    fn answers(&self) -> Answers {
        let (peers, _) = self.used_predicates();
        let state = &self.resolver;
        let answer = |each: Predicate| {
            let classes = state.classes_of(&each).into_iter().collect();
            (
                each.clone(),
                (state.mode(&each), classes, state.ports_of(&each)),
            )
        };
        peers.into_iter().map(answer).collect()
    }

    /// `engine.md` section 6 (i): a number never changes its meaning.
    fn check_meanings(&self, before: &Answers) {
        let after = self.answers();
        for (predicate, (mode, classes, ports)) in before {
            let Some((mode_after, classes_after, ports_after)) = after.get(predicate) else {
                continue;
            };
            if *mode != PredicateMode::ByClass || *mode_after != PredicateMode::ByClass {
                continue;
            }
            for id in classes.intersection(&self.live) {
                assert!(classes_after.contains(id), "{id} lost {predicate}");
            }
            let known = |list: &Vec<(ClassId, u16)>| -> Vec<(ClassId, u16)> {
                list.iter()
                    .copied()
                    .filter(|(id, _)| self.live.contains(id))
                    .collect()
            };
            for (id, port) in known(ports) {
                assert!(
                    ports_after.contains(&(id, port)),
                    "{id} lost {port} of {predicate}"
                );
            }
        }
    }
}
