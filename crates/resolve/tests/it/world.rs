//! Random clusters at model level.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use oncilla_model::{
    Action, Applies, Change, Endpoint, EndpointKey, EndpointPort, Families, HostEndpoint,
    HostInterface, Labels, List, NetworkSet, NetworkSetKey, Node, Order, Policy, PolicyKey,
    PolicyKind, Ports, Predicate, Profile, ProfileName, ProtocolMatch, Rule, ServiceKey, Side,
    Slice, SliceKey, Tier, TierEnd, TierName,
};
use oncilla_net::{IpNet, PortSet, Protocol};
use oncilla_selector::{Selector, parse};

/// A small generator of numbers: xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % bound
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index + 1));
        }
    }
}

/// How big and how varied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) endpoints: usize,
    pub(crate) policies: usize,
    pub(crate) sets: usize,
    /// How many values each label has.
    pub(crate) values: usize,
}

pub(crate) const SMALL: Size = Size {
    endpoints: 24,
    policies: 10,
    sets: 5,
    values: 3,
};
pub(crate) const NAMESPACES: usize = 3;
/// Slices of endpoints.
const LISTS: usize = 4;
/// Host endpoints, of two nodes, and interfaces of the one that is looked at.
const HOSTS: usize = 5;
const INTERFACES: usize = 3;

/// What a change is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Tier(TierName),
    Policy(PolicyKey),
    Endpoint(EndpointKey),
    Set(NetworkSetKey),
    Node(Arc<str>),
    Host(Arc<str>),
    Interface(Arc<str>),
    Profile(ProfileName),
    Slice(SliceKey),
}

/// The state of a cluster: the last change of each object.
pub(crate) type World = BTreeMap<Key, Change>;

pub(crate) fn key(change: &Change) -> Key {
    match change {
        Change::Tier(key, _) => Key::Tier(key.clone()),
        Change::Policy(key, _) => Key::Policy(key.clone()),
        Change::Endpoint(key, _) => Key::Endpoint(key.clone()),
        Change::NetworkSet(key, _) => Key::Set(key.clone()),
        Change::Node(name, _) => Key::Node(Arc::clone(name)),
        Change::HostEndpoint(name, _) => Key::Host(Arc::clone(name)),
        Change::Interface(name, _) => Key::Interface(Arc::clone(name)),
        Change::Profile(key, _) => Key::Profile(key.clone()),
        Change::Slice(key, _) => Key::Slice(key.clone()),
    }
}

pub(crate) fn gone(change: &Change) -> Change {
    match change {
        Change::Tier(key, _) => Change::Tier(key.clone(), None),
        Change::Policy(key, _) => Change::Policy(key.clone(), None),
        Change::Endpoint(key, _) => Change::Endpoint(key.clone(), None),
        Change::NetworkSet(key, _) => Change::NetworkSet(key.clone(), None),
        Change::Node(name, _) => Change::Node(Arc::clone(name), None),
        Change::HostEndpoint(name, _) => Change::HostEndpoint(Arc::clone(name), None),
        Change::Interface(name, _) => Change::Interface(Arc::clone(name), None),
        Change::Profile(key, _) => Change::Profile(key.clone(), None),
        Change::Slice(key, _) => Change::Slice(key.clone(), None),
    }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    let sorted: BTreeMap<Arc<str>, Arc<str>> = pairs
        .iter()
        .map(|(name, value)| (Arc::from(*name), Arc::from(*value)))
        .collect();
    sorted.into_iter().collect()
}

pub(crate) fn random(dice: &mut Dice, size: Size) -> World {
    let mut changes = Vec::new();
    for name in ["default", "security", "platform"] {
        if dice.chance(80) {
            changes.push(tier(dice, name));
        }
    }
    for namespace in 0..NAMESPACES {
        changes.push(profile(dice, namespace, size));
    }
    for number in 0..size.endpoints {
        changes.push(endpoint(dice, number, size));
    }
    for number in 0..size.sets {
        changes.push(set(dice, number, size));
    }
    for number in 0..3 {
        changes.push(node(dice, number, size));
    }
    for number in 0..LISTS {
        changes.push(slice(dice, number, size));
    }
    for number in 0..HOSTS {
        changes.push(host(dice, number, size));
    }
    for number in 0..INTERFACES {
        changes.push(interface(dice, number, size));
    }
    for number in 0..size.policies {
        changes.push(policy(dice, number, size));
    }
    changes
        .into_iter()
        .map(|change| (key(&change), change))
        .collect()
}

/// Another version of an object.
pub(crate) fn another(dice: &mut Dice, of: &Change, size: Size) -> Change {
    let number = |name: &str| {
        name.trim_start_matches(char::is_alphabetic)
            .parse()
            .unwrap()
    };
    match of {
        Change::Tier(name, _) => tier(dice, &name.0),
        Change::Policy(key, _) => policy(dice, number(&key.name), size),
        Change::Endpoint(key, _) => endpoint(dice, number(&key.name), size),
        Change::NetworkSet(key, _) => set(dice, number(&key.name), size),
        Change::Node(name, _) => node(dice, number(name), size),
        Change::Slice(key, _) => slice(dice, number(&key.name), size),
        Change::HostEndpoint(name, _) => host(dice, number(name), size),
        Change::Interface(name, _) => interface(dice, number(name), size),
        Change::Profile(name, _) => {
            profile(dice, number(name.0.strip_prefix("kns.").unwrap()), size)
        }
    }
}

const APPLIES: [Applies; 8] = [
    Applies::Normal,
    Applies::Normal,
    Applies::Normal,
    Applies::Forward,
    Applies::Forward,
    Applies::PreDnat,
    Applies::Untracked,
    Applies::Everywhere,
];

/// An address that a host may have.
fn host_address(dice: &mut Dice) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(
        172,
        16,
        0,
        u8::try_from(dice.below(4)).unwrap(),
    ))
}

fn host(dice: &mut Dice, number: usize, size: Size) -> Change {
    let name: Arc<str> = format!("host{number}").into();
    let app = format!("v{}", dice.below(size.values));
    let interface = match dice.below(3) {
        0 => HostInterface::All,
        1 => HostInterface::ByAddress,
        _ => HostInterface::Named(format!("eth{}", dice.below(INTERFACES)).into()),
    };
    let mut own = vec![("app", app.as_str())];
    if dice.chance(20) {
        // Whatever it says of itself, policies of namespaces are not for it.
        own.push(("projectcalico.org/namespace", "ns0"));
    }
    let profiles = ["kns.ns0", oncilla_model::DEFAULT_ALLOW, "missing"];
    let profiles = profiles.into_iter().filter(|_| dice.chance(30));
    let profiles = profiles.map(|name| ProfileName(name.into())).collect();
    let mut addresses = vec![host_address(dice), host_address(dice)];
    addresses.sort_unstable();
    addresses.dedup();
    let host = HostEndpoint {
        name: Arc::clone(&name),
        node: if number < HOSTS - 1 { "n0" } else { "n1" }.into(),
        interface,
        labels: labels(&own),
        profiles,
        addresses,
        ports: vec![EndpointPort {
            name: "http".into(),
            protocol: Protocol::TCP,
            port: u16::try_from(8000 + dice.below(2)).unwrap(),
        }],
        is_closed: dice.chance(10),
        is_peer: true,
    };
    Change::HostEndpoint(name, Some(Arc::new(host)))
}

fn interface(dice: &mut Dice, number: usize, _size: Size) -> Change {
    let addresses: std::collections::BTreeSet<IpAddr> =
        (0..dice.below(3)).map(|_| host_address(dice)).collect();
    Change::Interface(
        format!("eth{number}").into(),
        Some(addresses.into_iter().collect()),
    )
}

fn tier(dice: &mut Dice, name: &str) -> Change {
    let name = TierName(name.into());
    let order = Order::new(Some(if dice.chance(50) { 100.0 } else { 200.0 }));
    let end = if dice.chance(50) {
        TierEnd::Deny
    } else {
        TierEnd::Pass
    };
    Change::Tier(name.clone(), Some(Arc::new(Tier { name, order, end })))
}

fn profile(dice: &mut Dice, namespace: usize, size: Size) -> Change {
    let name = ProfileName(format!("kns.ns{namespace}").into());
    let env = format!("v{}", dice.below(size.values));
    let rules: Arc<[Rule]> = match dice.below(4) {
        0 => [].into(),
        1 => [rule(dice, 0, size), plain(Action::Allow)].into(),
        _ => [plain(Action::Allow)].into(),
    };
    let profile = Profile {
        name: name.clone(),
        labels: labels(&[("pcns.env", &env)]),
        ingress: Arc::clone(&rules),
        egress: rules,
        is_obscure: dice.chance(10),
    };
    Change::Profile(name, Some(Arc::new(profile)))
}

fn endpoint(dice: &mut Dice, number: usize, size: Size) -> Change {
    let namespace = format!("ns{}", number % NAMESPACES);
    let key = EndpointKey {
        namespace: namespace.as_str().into(),
        name: format!("pod{number}").into(),
    };
    let (app, role) = (
        format!("v{}", dice.below(size.values)),
        format!("v{}", dice.below(size.values)),
    );
    let mut own = vec![
        ("app", app.as_str()),
        ("projectcalico.org/namespace", namespace.as_str()),
    ];
    if dice.chance(50) {
        own.push(("role", role.as_str()));
    }
    let mut addresses = Vec::new();
    if dice.chance(95) {
        addresses.push(address(dice, size, number));
    }
    if dice.chance(50) {
        addresses.push(IpAddr::V6(Ipv6Addr::from(
            0xfd00_u128 << 112 | u128::try_from(dice.below(2 * size.endpoints)).unwrap(),
        )));
    }
    addresses.sort_unstable();
    let mut ports = Vec::new();
    for (name, port) in [("http", 80), ("http", 8080), ("dns", 53)] {
        if dice.chance(30) {
            let protocol = if name == "dns" {
                Protocol::UDP
            } else {
                Protocol::TCP
            };
            ports.push(EndpointPort {
                name: name.into(),
                protocol,
                port,
            });
        }
    }
    ports.sort_unstable();
    let endpoint = Endpoint {
        key: key.clone(),
        node: format!("n{}", dice.below(2)).into(),
        interface: format!("cali{number}").into(),
        labels: labels(&own),
        profiles: vec![ProfileName(format!("kns.{namespace}").into())],
        addresses,
        ports,
    };
    Change::Endpoint(key, Some(Arc::new(endpoint)))
}

/// Mostly its own, sometimes somebody else's.
fn address(dice: &mut Dice, size: Size, number: usize) -> IpAddr {
    let number = if dice.chance(15) {
        dice.below(size.endpoints)
    } else {
        number
    };
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(number).unwrap()))
}

fn set(dice: &mut Dice, number: usize, size: Size) -> Change {
    let inherits = dice.chance(50);
    // The key is of the number alone, so that another version is the same object.
    let key = NetworkSetKey {
        namespace: None,
        name: format!("set{number}").into(),
    };
    let app = format!("v{}", dice.below(size.values));
    let set = NetworkSet {
        key: key.clone(),
        labels: labels(&[("app", &app)]),
        profiles: inherits
            .then(|| ProfileName("kns.ns0".into()))
            .into_iter()
            .collect(),
        nets: nets(dice, size),
    };
    Change::NetworkSet(key, Some(Arc::new(set)))
}

/// With the labels and sometimes the address of an endpoint, so that they could be mistaken for one.
fn node(dice: &mut Dice, number: usize, size: Size) -> Change {
    let app = format!("v{}", dice.below(size.values));
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::new(
        192,
        0,
        2,
        u8::try_from(number).unwrap(),
    ))];
    if dice.chance(50) {
        let anybody = dice.below(size.endpoints);
        addresses.push(address(dice, size, anybody));
    }
    addresses.sort_unstable();
    let node = Node {
        name: format!("n{number}").into(),
        labels: labels(&[("app", &app)]),
        addresses,
    };
    Change::Node(Arc::clone(&node.name), Some(Arc::new(node)))
}

/// Of one of two services.
fn slice(dice: &mut Dice, number: usize, size: Size) -> Change {
    let key = SliceKey {
        namespace: "ns0".into(),
        name: format!("slice{number}").into(),
    };
    let mut addresses: Vec<IpAddr> = (0..dice.below(4))
        .map(|_| address(dice, size, number))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let ports = [(Protocol::TCP, 80), (Protocol::UDP, 53)];
    let slice = Slice {
        key: key.clone(),
        service: service(dice),
        addresses,
        ports: ports[dice.below(2)..].to_vec(),
    };
    Change::Slice(key, Some(Arc::new(slice)))
}

fn service(dice: &mut Dice) -> ServiceKey {
    ServiceKey {
        namespace: "ns0".into(),
        name: format!("service{}", dice.below(2)).into(),
    }
}

fn nets(dice: &mut Dice, size: Size) -> Vec<IpNet> {
    let count = 1 + dice.below(3);
    let mut nets: Vec<IpNet> = (0..count).map(|_| net(dice, size)).collect();
    nets.sort_unstable();
    nets.dedup();
    nets
}

fn net(dice: &mut Dice, size: Size) -> IpNet {
    let host = u32::try_from(dice.below(2 * size.endpoints)).unwrap();
    if dice.chance(25) {
        let length = *dice.pick(&[0, 8, 120, 124, 126, 127, 128]);
        let addr = Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(host));
        return IpNet::new(addr.into(), length).unwrap().trunc();
    }
    let length = *dice.pick(&[0, 1, 8, 24, 27, 28, 29, 30, 31, 32]);
    IpNet::new(Ipv4Addr::from(0x0a00_0000 + host).into(), length)
        .unwrap()
        .trunc()
}

fn policy(dice: &mut Dice, number: usize, size: Size) -> Change {
    let kinds = [
        PolicyKind::GlobalNetworkPolicy,
        PolicyKind::KubernetesNetworkPolicy,
        PolicyKind::NetworkPolicy,
    ];
    let key = PolicyKey {
        kind: kinds[number % 3],
        namespace: (!number.is_multiple_of(3)).then(|| "ns0".into()),
        name: format!("policy{number}").into(),
    };
    let count = dice.below(4);
    let rules = |dice: &mut Dice| -> Arc<[Rule]> {
        (0..count).map(|index| rule(dice, index, size)).collect()
    };
    let policy = Policy {
        key: key.clone(),
        tier: TierName((*dice.pick(&["default", "security", "missing"])).into()),
        order: Order::new(dice.chance(50).then_some(10.0)),
        applies: *dice.pick(&APPLIES),
        selector: selector(dice, size),
        ingress: dice.chance(70).then(|| rules(dice)),
        egress: dice.chance(50).then(|| rules(dice)),
    };
    Change::Policy(key, Some(Arc::new(policy)))
}

pub(crate) fn plain(action: Action) -> Rule {
    Rule {
        action,
        families: Families::BOTH,
        protocol: ProtocolMatch::default(),
        icmp: None,
        not_icmp: None,
        source: Side::default(),
        destination: Side::default(),
        index: 0,
    }
}

fn rule(dice: &mut Dice, index: usize, size: Size) -> Rule {
    let actions = [Action::Allow, Action::Deny, Action::Pass, Action::Log];
    Rule {
        action: *dice.pick(&actions),
        source: side(dice, size),
        destination: side(dice, size),
        index: u32::try_from(index).unwrap(),
        ..plain(Action::Allow)
    }
}

fn side(dice: &mut Dice, size: Size) -> Side {
    let mut side = Side::default();
    if dice.chance(50) {
        side.all.push(Predicate::selector(selector(dice, size)));
    }
    if dice.chance(25) {
        side.all.push(Predicate::nets(nets(dice, size)));
    }
    if dice.chance(10) {
        side.all.push(Predicate::nodes(selector(dice, size)));
    }
    if dice.chance(5) {
        side.none.push(Predicate::nodes(selector(dice, size)));
    }
    if dice.chance(15) {
        side.none.push(Predicate::selector(selector(dice, size)));
    }
    if dice.chance(10) {
        side.none.push(Predicate::nets(nets(dice, size)));
    }
    if dice.chance(15) {
        let list = match dice.below(2) {
            0 => List::Service(service(dice)),
            _ => List::ServicePorts(service(dice)),
        };
        side.all.push(Predicate::listed(list));
    }
    if dice.chance(20) {
        let of = dice.chance(40).then(|| selector(dice, size));
        let name = Predicate::named_port(of, "http", Protocol::TCP);
        let ports = Ports {
            numbers: PortSet::new(),
            names: vec![name],
        };
        if dice.chance(70) {
            side.ports = Some(ports);
        } else {
            side.not_ports = Some(ports);
        }
    }
    side
}

fn selector(dice: &mut Dice, size: Size) -> Selector {
    let value = format!("v{}", dice.below(size.values));
    let other = format!("v{}", dice.below(size.values));
    let namespace = format!("ns{}", dice.below(NAMESPACES));
    let text = match dice.below(10) {
        0 => "all()".to_owned(),
        1 => "has(role)".to_owned(),
        2 => format!("app == '{value}' && role == '{other}'"),
        3 => format!("pcns.env == '{value}'"),
        4 => format!("projectcalico.org/namespace == '{namespace}' && app != '{value}'"),
        5 => format!("app in {{'{value}','{other}'}}"),
        6 => format!("!has(role) && app == '{value}'"),
        7 => format!("role == '{value}' || pcns.env == '{other}'"),
        _ => format!("app == '{value}'"),
    };
    parse(&text).unwrap()
}
