//! The naive oracle: everything from scratch, from the world alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_model::{
    Applies, Change, Endpoint, HostEndpoint, HostInterface, Labels, List, Node, Policy, PolicyKind,
    Predicate, ProfileName, Tier, TierName,
};
use oncilla_net::Direction;
use oncilla_program::{Dispatch, Hook};
use oncilla_resolve::node::{GroupDef, LocalPorts, NodeState as _, PredicateMode};
use oncilla_selector::Selector;

use super::mirror::Mirror;
use super::world::{Key, World};

fn effective(world: &World, own: &Labels, profiles: &[ProfileName]) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for name in profiles.iter().rev() {
        for change in world.values() {
            if let Change::Profile(of, Some(profile)) = change
                && of == name
            {
                labels.extend(
                    profile
                        .labels
                        .iter()
                        .map(|(k, v)| (k.to_string(), v.to_string())),
                );
            }
        }
    }
    labels.extend(own.iter().map(|(k, v)| (k.to_string(), v.to_string())));
    labels
}

fn selects(world: &World, selector: &Selector, own: &Labels, profiles: &[ProfileName]) -> bool {
    selector.evaluate(&effective(world, own, profiles))
}

/// Whether nobody knows some of the labels that are inherited.
fn is_obscure(world: &World, profiles: &[ProfileName]) -> bool {
    world.values().any(|change| match change {
        Change::Profile(name, Some(profile)) => profile.is_obscure && profiles.contains(name),
        _ => false,
    })
}

pub(crate) fn endpoints(world: &World) -> impl Iterator<Item = &Arc<Endpoint>> {
    world.values().filter_map(|change| match change {
        Change::Endpoint(_, Some(endpoint)) => Some(endpoint),
        _ => None,
    })
}

fn nodes(world: &World) -> impl Iterator<Item = &Arc<Node>> {
    world.values().filter_map(|change| match change {
        Change::Node(_, Some(node)) => Some(node),
        _ => None,
    })
}

fn hosts(world: &World) -> impl Iterator<Item = &Arc<HostEndpoint>> {
    world.values().filter_map(|change| match change {
        Change::HostEndpoint(_, Some(host)) => Some(host),
        _ => None,
    })
}

/// Whether a predicate holds of an address, and the ports of a named one.
fn answer(world: &World, predicate: &Predicate, addr: IpAddr) -> (bool, BTreeSet<u16>) {
    let at = || endpoints(world).filter(|endpoint| endpoint.addresses.contains(&addr));
    match predicate {
        Predicate::Nets { nets, .. } => {
            (nets.iter().any(|net| net.contains(&addr)), BTreeSet::new())
        }
        Predicate::Selector { selector, .. } => {
            let sets = world.values().any(|change| match change {
                Change::NetworkSet(_, Some(set)) => {
                    set.nets.iter().any(|net| net.contains(&addr))
                        && selects(world, selector, &set.labels, &set.profiles)
                }
                _ => false,
            });
            let pods = at().any(|each| selects(world, selector, &each.labels, &each.profiles));
            let nodes = hosts(world).any(|each| {
                each.addresses.contains(&addr)
                    && selects(world, selector, &each.labels, &each.profiles)
            });
            (sets || pods || nodes, BTreeSet::new())
        }
        Predicate::Nodes { selector, .. } => {
            let nodes = nodes(world).filter(|node| node.addresses.contains(&addr));
            let mut nodes = nodes.filter(|node| selects(world, selector, &node.labels, &[]));
            (nodes.next().is_some(), BTreeSet::new())
        }
        Predicate::Listed { list, .. } => {
            let holds = world.values().any(|change| match (list, change) {
                (List::Service(service), Change::Slice(_, Some(slice))) => {
                    slice.service == *service && slice.addresses.contains(&addr)
                }
                _ => false,
            });
            (holds, BTreeSet::new())
        }
        Predicate::NamedPort {
            selector,
            port,
            protocol,
            ..
        } => {
            let pods = at().filter(|each| {
                selector
                    .as_ref()
                    .is_none_or(|s| selects(world, s, &each.labels, &each.profiles))
            });
            let nodes = hosts(world).filter(|each| each.addresses.contains(&addr));
            let nodes = nodes.filter(|each| {
                selector
                    .as_ref()
                    .is_none_or(|s| selects(world, s, &each.labels, &each.profiles))
            });
            let pods = pods.flat_map(|each| &each.ports);
            let ports = pods.chain(nodes.flat_map(|each| &each.ports));
            let ports = ports.filter(|each| each.name == *port && each.protocol == *protocol);
            (false, ports.map(|each| each.port).collect())
        }
    }
}

/// The addresses worth asking about: of endpoints, around every net, and some others.
fn addresses(world: &World) -> BTreeSet<IpAddr> {
    let mut found: BTreeSet<IpAddr> = ["9.9.9.9", "10.0.0.255", "2001::1", "fd00::ffff"]
        .map(|a| a.parse().unwrap())
        .into();
    found.extend(endpoints(world).flat_map(|endpoint| &endpoint.addresses));
    found.extend(nodes(world).flat_map(|node| &node.addresses));
    found.extend(hosts(world).flat_map(|host| &host.addresses));
    let mut nets = Vec::new();
    for change in world.values() {
        match change {
            Change::NetworkSet(_, Some(set)) => nets.extend(set.nets.iter().copied()),
            Change::Policy(_, Some(policy)) => nets.extend(nets_of(policy)),
            _ => {}
        }
    }
    for net in nets {
        found.extend([net.network(), net.broadcast()]);
        if let (IpAddr::V4(first), IpAddr::V4(last)) = (net.network(), net.broadcast()) {
            let before = u32::from(first).saturating_sub(1);
            let after = u32::from(last).saturating_add(1);
            found.extend([IpAddr::V4(before.into()), IpAddr::V4(after.into())]);
        }
    }
    found
}

fn nets_of(policy: &Policy) -> Vec<oncilla_net::IpNet> {
    let rules = policy
        .ingress
        .iter()
        .chain(&policy.egress)
        .flat_map(|rules| rules.iter());
    let sides = rules.flat_map(|rule| [&rule.source, &rule.destination]);
    let predicates = sides.flat_map(|side| side.all.iter().chain(&side.none));
    let nets = predicates.filter_map(|predicate| match predicate {
        Predicate::Nets { nets, .. } => Some(nets.iter().copied()),
        Predicate::Selector { .. }
        | Predicate::Nodes { .. }
        | Predicate::NamedPort { .. }
        | Predicate::Listed { .. } => None,
    });
    nets.flatten().collect()
}

/// Compares the state with the world, address by address. Returns how many answers were compared.
pub(crate) fn check(world: &World, mirror: &Mirror, is_settled: bool) -> usize {
    let state = &mirror.resolver;
    let (peers, locals) = mirror.used_predicates();
    let by_predicate: BTreeMap<&Predicate, BTreeSet<_>> = peers
        .iter()
        .map(|each| (each, state.classes_of(each).into_iter().collect()))
        .collect();
    let mut compared = check_services(world, mirror, &peers);
    for addr in addresses(world) {
        let id = mirror.addresses.class_of(addr);
        let class = state.class(id).unwrap();
        assert_eq!(class.family, oncilla_net::family_of(addr));
        let mut expected = BTreeSet::new();
        for predicate in &peers {
            compared += 1;
            let (holds, ports) = answer(world, predicate, addr);
            if state.mode(predicate) == PredicateMode::ByAddress {
                let set = state.addresses_of(predicate);
                assert_eq!(
                    set.contains(addr),
                    holds,
                    "{predicate} at {addr} by address"
                );
                continue;
            }
            if holds {
                expected.insert(predicate.clone());
            }
            assert_eq!(
                class.holds.contains(predicate),
                holds,
                "{predicate} at {addr}, {id}"
            );
            if !matches!(predicate, Predicate::NamedPort { .. }) {
                assert_eq!(
                    by_predicate[predicate].contains(&id),
                    holds,
                    "{predicate} of {id}"
                );
            }
            let found: BTreeSet<u16> = class
                .ports
                .get(predicate)
                .into_iter()
                .flatten()
                .copied()
                .collect();
            assert_eq!(found, ports, "{predicate} at {addr}, {id}");
            let listed = state.ports_of(predicate).into_iter();
            let listed: BTreeSet<u16> = listed
                .filter(|(of, _)| *of == id)
                .map(|(_, port)| port)
                .collect();
            assert_eq!(listed, ports, "{predicate} of {id}");
        }
        if is_settled {
            assert_eq!(class.holds, expected, "nothing else holds at {addr}");
        }
    }
    compared
        + check_locals(world, mirror, &locals)
        + check_groups(world, mirror)
        + check_hosts(world, mirror)
        + check_own_ports(world, mirror)
}

/// What the port names lead to that rules ask of a host's own side: at every address, or at those of the node.
fn check_own_ports(world: &World, mirror: &Mirror) -> usize {
    let groups = mirror.resolver.groups().values();
    let of_hosts = groups.filter(|group| matches!(group.local_ports, LocalPorts::ByAddress(_)));
    let mut compared = 0;
    for group in of_hosts {
        let all: Vec<IpAddr> = if group.hook == Hook::Normal {
            let here = hosts(world).filter(|host| &*host.node == "n0");
            here.flat_map(|host| host.addresses.clone()).collect()
        } else {
            addresses(world).into_iter().collect()
        };
        for name in own_names(group) {
            let Predicate::NamedPort { protocol, .. } = &name else {
                continue;
            };
            let found = mirror.resolver.service_of(&name).members;
            for addr in &all {
                let (_, ports) = answer(world, &name, *addr);
                let found = found.iter().filter(|(of, ..)| of == addr);
                let found: BTreeSet<_> = found.map(|(_, of, port)| (*of, *port)).collect();
                let ports = ports.into_iter().map(|port| (*protocol, port));
                assert_eq!(found, ports.collect(), "{name} at {addr}");
                compared += 1;
            }
        }
    }
    compared
}

fn own_names(group: &GroupDef) -> BTreeSet<Predicate> {
    let policies = group.tiers.iter().flat_map(|tier| &tier.policies);
    let rules = policies.filter_map(|policy| match group.direction {
        Direction::Ingress => policy.ingress.as_deref(),
        Direction::Egress => policy.egress.as_deref(),
    });
    let sides = rules.flatten().map(|rule| match group.direction {
        Direction::Ingress => &rule.destination,
        Direction::Egress => &rule.source,
    });
    let ports = sides.flat_map(|side| side.ports.iter().chain(&side.not_ports));
    ports
        .flat_map(|ports| ports.names.iter().cloned())
        .collect()
}

fn check_services(world: &World, mirror: &Mirror, peers: &BTreeSet<Predicate>) -> usize {
    let mut compared = 0;
    for predicate in peers {
        let Some(List::ServicePorts(service)) = predicate.list() else {
            continue;
        };
        let mut expected = BTreeSet::new();
        for change in world.values() {
            if let Change::Slice(_, Some(slice)) = change
                && slice.service == *service
            {
                for (protocol, port) in &slice.ports {
                    let addresses = slice.addresses.iter();
                    expected.extend(addresses.map(|addr| (*addr, *protocol, *port)));
                }
            }
        }
        let found = mirror.resolver.service_of(predicate).members;
        assert_eq!(found, expected, "{predicate}");
        compared += 1;
    }
    compared
}

fn check_locals(world: &World, mirror: &Mirror, locals: &BTreeSet<Predicate>) -> usize {
    let mut compared = 0;
    let here = endpoints(world).filter(|endpoint| &*endpoint.node == "n0");
    for addr in here.flat_map(|endpoint| &endpoint.addresses) {
        for predicate in locals.iter().filter(|each| each.list().is_none()) {
            let set = mirror.resolver.addresses_of(predicate);
            let (holds, _) = answer(world, predicate, *addr);
            assert_eq!(set.contains(*addr), holds, "{predicate} at {addr} locally");
            compared += 1;
        }
    }
    compared
}

fn check_groups(world: &World, mirror: &Mirror) -> usize {
    let mut compared = 0;
    let tiers = tiers_of(world);
    let here = endpoints(world).filter(|endpoint| &*endpoint.node == "n0");
    for endpoint in here {
        let local = &mirror.resolver.endpoints()[&endpoint.interface];
        assert_eq!(local.addresses, endpoint.addresses);
        for direction in Direction::ALL {
            compared += 1;
            let is_closed = is_obscure(world, &endpoint.profiles);
            let expected = ordered(world, &tiers, (Hook::Normal, direction), &|policy| {
                let (own, profiles) = (&endpoint.labels, &endpoint.profiles);
                !is_closed && selects(world, &policy.selector, own, profiles)
            });
            let dispatch = match direction {
                Direction::Ingress => &local.ingress,
                Direction::Egress => &local.egress,
            };
            let group = match dispatch {
                Dispatch::Open => None,
                Dispatch::Group(id) => Some(&mirror.resolver.groups()[id]),
            };
            if is_closed {
                let group = group.expect("a closed endpoint is not open");
                assert_eq!(group.profiles, [], "{} {direction}", endpoint.key);
            }
            let found: Vec<(String, Vec<String>)> = match group {
                None => Vec::new(),
                Some(group) => group
                    .tiers
                    .iter()
                    .map(|tier| {
                        let keys = tier.policies.iter().map(|policy| policy.key.to_string());
                        (tier.name.to_string(), keys.collect())
                    })
                    .collect(),
            };
            assert_eq!(found, expected, "{} {direction}", endpoint.key);
        }
    }
    let count = endpoints(world)
        .filter(|endpoint| &*endpoint.node == "n0")
        .count();
    assert_eq!(mirror.resolver.endpoints().len(), count);
    compared
}

fn tiers_of(world: &World) -> BTreeMap<&TierName, &Arc<Tier>> {
    let tiers = world.values().filter_map(|change| match change {
        Change::Tier(name, Some(tier)) => Some((name, tier)),
        _ => None,
    });
    tiers.collect()
}

/// The host endpoint of an interface: the first by name that is about it.
fn host_of<'a>(world: &'a World, interface: &str) -> Option<&'a Arc<HostEndpoint>> {
    let own = |host: &HostEndpoint| match world.get(&Key::Interface(interface.into())) {
        Some(Change::Interface(_, Some(own))) => host.addresses.iter().any(|a| own.contains(a)),
        _ => false,
    };
    let here = || hosts(world).filter(|host| &*host.node == "n0");
    let is_closed = |host: &Arc<HostEndpoint>| host.is_closed || is_obscure(world, &host.profiles);
    let closed = here().find(|host| is_closed(host) && host.interface == HostInterface::All);
    if closed.is_some() {
        // Wherever an interface is known, untracked packets are asked about by its name only.
        let key = Key::Interface(interface.into());
        let is_known = matches!(world.get(&key), Some(Change::Interface(_, Some(_))))
            || here().any(|host| host.named().is_some_and(|name| **name == *interface));
        return closed.filter(|_| interface == "*" || is_known);
    }
    let is_about = |host: &&Arc<HostEndpoint>| match &host.interface {
        HostInterface::All => interface == "*",
        HostInterface::Named(name) => **name == *interface,
        HostInterface::ByAddress => own(host),
    };
    let closed = here().filter(|host| is_closed(host)).find(&is_about);
    closed.or_else(|| here().find(&is_about))
}

fn check_hosts(world: &World, mirror: &Mirror) -> usize {
    let tiers = tiers_of(world);
    let mut compared = 0;
    for interface in ["eth0", "eth1", "eth2", "*"] {
        let found = mirror.resolver.hosts().get(interface);
        let expected = host_of(world, interface);
        assert_eq!(
            found.map(|host| &host.name),
            expected.map(|host| &host.name),
            "{interface}"
        );
        let (Some(found), Some(expected)) = (found, expected) else {
            continue;
        };
        for way in Hook::ways() {
            compared += 1;
            let policies = ordered(world, &tiers, way, &|policy| {
                let (own, profiles) = (&expected.labels, &expected.profiles);
                !(expected.is_closed || is_obscure(world, profiles))
                    && policy.key.kind == PolicyKind::GlobalNetworkPolicy
                    && selects(world, &policy.selector, own, profiles)
            });
            let Some(id) = found.groups.get(&way) else {
                if (interface, way.0) == ("*", Hook::Untracked) {
                    continue;
                }
                let is_closed = expected.is_closed || is_obscure(world, &expected.profiles);
                assert!(!is_closed, "{interface} {way:?} is open");
                assert_eq!(policies, [], "{interface} {way:?}");
                continue;
            };
            let group = &mirror.resolver.groups()[id];
            assert_eq!((group.hook, group.direction), way);
            let tiers = group.tiers.iter().map(|tier| {
                let keys = tier.policies.iter().map(|policy| policy.key.to_string());
                (tier.name.to_string(), keys.collect())
            });
            assert_eq!(tiers.collect::<Vec<_>>(), policies, "{interface} {way:?}");
            let denies = group
                .tiers
                .iter()
                .any(|tier| tier.end == oncilla_model::TierEnd::Deny);
            assert!(!(way.0.is_early() && denies), "no end of tier denies early");
        }
    }
    compared
}

fn ordered(
    world: &World,
    tiers: &BTreeMap<&TierName, &Arc<Tier>>,
    (hook, direction): (Hook, Direction),
    selects: &dyn Fn(&Policy) -> bool,
) -> Vec<(String, Vec<String>)> {
    let mut policies: Vec<&Arc<Policy>> = world
        .values()
        .filter_map(|change| match change {
            Change::Policy(_, Some(policy)) => Some(policy),
            _ => None,
        })
        .filter(|policy| match direction {
            Direction::Ingress => policy.ingress.is_some(),
            Direction::Egress => policy.egress.is_some(),
        })
        .filter(|policy| match policy.applies {
            Applies::Normal => hook == Hook::Normal,
            Applies::Forward => [Hook::Normal, Hook::Forward].contains(&hook),
            Applies::PreDnat => hook == Hook::PreDnat,
            Applies::Untracked => hook == Hook::Untracked,
            Applies::Everywhere => true,
        })
        .filter(|policy| selects(policy))
        .collect();
    policies.sort_by(|a, b| {
        let place = |policy: &Policy| match tiers.get(&policy.tier) {
            Some(tier) => (0, tier.order.value()),
            None => (1, 0.0),
        };
        let tie = |policy: &Policy| {
            let namespace = policy.key.namespace.as_deref().unwrap_or_default();
            format!("{}/{namespace}/{:?}", policy.key.name, policy.key.kind)
        };
        place(a)
            .partial_cmp(&place(b))
            .unwrap()
            .then_with(|| a.tier.cmp(&b.tier))
            .then_with(|| a.order.value().partial_cmp(&b.order.value()).unwrap())
            .then_with(|| tie(a).cmp(&tie(b)))
    });
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for policy in policies {
        let tier = policy.tier.to_string();
        match found.last_mut() {
            Some((last, keys)) if *last == tier => keys.push(policy.key.to_string()),
            _ => found.push((tier, vec![policy.key.to_string()])),
        }
    }
    found
}
