//! What the packets of hosts stand on: where outside addresses are, which way a packet takes, and services in front.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use oncilla_conformance::rig::{Rig, Shot};
use oncilla_net::{Family, Icmp, Packet, Protocol, family_of};
use oncilla_testkit::cluster::{Flight, INTERFACES, NODES, RandomCluster, host_addresses};
use oncilla_testkit::rng::Rng;

use crate::differential::{Failure, World};

/// The outside addresses that are reached through a node, by its second interface.
const BEHIND: [(&str, [&str; 2]); 2] = [
    (NODES[0], ["203.0.113.130", "2001:db8:8000::9"]),
    (NODES[1], ["198.51.100.7", "2001:db8:99::7"]),
];
/// Ports of services: such as policies know, failsafes, and node ports from here on.
const SERVICE_PORTS: [u16; 8] = [80, 81, 443, 8080, 9000, 22, 53, 6443];
const NODE_PORT: u16 = 30_000;

/// A service's address, and what its packets are translated to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) protocol: Protocol,
    pub(crate) front: SocketAddr,
    pub(crate) back: SocketAddr,
}

/// Where an end of a packet is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Host(String),
    Pod(String),
    /// Reached through a node, by its second interface.
    Behind(String),
    Fabric,
}

impl Place {
    /// The node that its packets pass first, or that packets to it pass last.
    fn node(&self) -> Option<&str> {
        match self {
            Self::Host(node) | Self::Pod(node) | Self::Behind(node) => Some(node),
            Self::Fabric => None,
        }
    }

    const fn is_outside(&self) -> bool {
        matches!(self, Self::Behind(_) | Self::Fabric)
    }
}

/// A node on the way, with the interfaces of its own by which the packet comes and leaves.
struct Visit {
    node: String,
    in_by: Option<&'static str>,
    out_by: Option<&'static str>,
}

/// Puts the outside addresses where they are.
pub(crate) fn prepare(rig: &mut Rig) -> Result<(), Failure> {
    for (node, addresses) in BEHIND {
        let addresses = addresses.map(|text| text.parse().expect("a constant of this module"));
        rig.add_behind((node, INTERFACES[1]), addresses)?;
    }
    rig.add_outside(RandomCluster::outside_addresses())?;
    Ok(())
}

/// A packet as a flight whose way is still to be found.
pub(crate) fn flight(packet: Packet) -> Flight {
    Flight {
        packet,
        from_host: None,
        to_host: None,
        out_by: INTERFACES[0].to_owned(),
        in_by: INTERFACES[0].to_owned(),
        through: None,
        original: None,
        first_out_by: INTERFACES[0].to_owned(),
    }
}

/// A flight as it is sent.
pub(crate) fn shot(flight: &Flight) -> Shot {
    Shot {
        packet: flight.packet,
        original: flight.original,
    }
}

/// The answer to a flight, behind its translation, on the way back.
pub(crate) fn answer_to(world: &World, flight: &Flight) -> Option<Flight> {
    let mut back = flight.clone();
    let packet = &mut back.packet;
    std::mem::swap(&mut packet.src, &mut packet.dst);
    std::mem::swap(&mut packet.src_port, &mut packet.dst_port);
    if let Some(icmp) = &mut packet.icmp {
        let kind = if packet.src.is_ipv4() { 0 } else { 129 };
        *icmp = Icmp { kind, ..*icmp };
    }
    std::mem::swap(&mut back.from_host, &mut back.to_host);
    back.original = None;
    route(world, &mut back, None).then_some(back)
}

/// Gives flights their true ways, and some of them a service in front. Those that no node sees, or too many, are left
/// out.
pub(crate) fn stage(world: &World, seed: u64, flights: Vec<Flight>) -> (Vec<Flight>, Vec<Service>) {
    let mut rng = Rng::new(seed);
    let mut services: Vec<Service> = Vec::new();
    // What is sent somewhere as it is must not be translated there.
    let mut taken: BTreeSet<_> = { flights.iter() }
        .map(|flight| {
            (
                flight.packet.protocol,
                flight.packet.dst,
                flight.packet.dst_port,
            )
        })
        .collect();
    let mut staged = Vec::with_capacity(flights.len());
    for mut flight in flights {
        let packet = flight.packet;
        flight.original = None;
        // All services are behind the first interface.
        INTERFACES[0].clone_into(&mut flight.first_out_by);
        let is_translated = [Protocol::TCP, Protocol::UDP, Protocol::SCTP]
            .contains(&packet.protocol)
            && rng.chance(1, 3);
        let first = is_translated.then(|| front(world, &flight, services.len(), &mut rng));
        let first = first.and_then(|(node, address)| {
            let port = *rng.pick(&SERVICE_PORTS);
            let spare = NODE_PORT + u16::try_from(services.len()).unwrap_or_default();
            let port = [port, spare]
                .into_iter()
                .find(|port| taken.insert((packet.protocol, address, *port)))?;
            flight.original = Some(SocketAddr::new(address, port));
            Some(node)
        });
        if !route(world, &mut flight, first.as_deref()) {
            continue;
        }
        if let Some(front) = flight.original {
            let back = SocketAddr::new(packet.dst, packet.dst_port);
            services.push(Service {
                protocol: packet.protocol,
                front,
                back,
            });
        }
        staged.push(flight);
    }
    (staged, services)
}

/// Which node translates a flight, and where it is sent to for that: a service's own address, which every node knows, or
/// that of a node.
fn front(world: &World, flight: &Flight, number: usize, rng: &mut Rng) -> (String, IpAddr) {
    let family = family_of(flight.packet.src);
    let number = u16::try_from(number).unwrap_or_default();
    let [high, low] = number.to_be_bytes();
    let own = match family {
        Family::V4 => IpAddr::from([10, 96, high, low]),
        Family::V6 => IpAddr::from([0xfd96, 0, 0, 0, 0, 0, 0, number]),
    };
    let node = (*rng.pick(&NODES)).to_owned();
    let addresses = host_addresses(&node, INTERFACES[0]);
    let of_node = addresses
        .into_iter()
        .find(|address| family_of(*address) == family);
    let of_node = of_node.unwrap_or(own);
    let place = place(world, flight.packet.src, flight.from_host.as_ref());
    match place.node() {
        None => (node, of_node),
        // What a host sends to an address of its own never leaves it.
        Some(first) if rng.chance(1, 2) || of_node == flight.packet.src => (first.to_owned(), own),
        Some(first) => (first.to_owned(), of_node),
    }
}

fn place(world: &World, address: IpAddr, host: Option<&String>) -> Place {
    if let Some(node) = host {
        return Place::Host(node.clone());
    }
    if let Some((node, _)) = world.engine.home(address) {
        return Place::Pod(node.to_owned());
    }
    let text = address.to_string();
    let behind = BEHIND
        .iter()
        .find(|(_, addresses)| addresses.contains(&&*text));
    behind.map_or(Place::Fabric, |(node, _)| Place::Behind((*node).to_owned()))
}

/// The nodes that a flight passes. `first` translates what comes from the fabric.
fn visits(world: &World, flight: &Flight, first: Option<&str>) -> Vec<Visit> {
    let from = place(world, flight.packet.src, flight.from_host.as_ref());
    let to = place(world, flight.packet.dst, flight.to_host.as_ref());
    let mut nodes: Vec<&str> = from.node().or(first).into_iter().chain(to.node()).collect();
    nodes.dedup();
    let last = nodes.len().saturating_sub(1);
    let visits = nodes.iter().enumerate().map(|(index, node)| Visit {
        node: (*node).to_owned(),
        in_by: match &from {
            Place::Host(_) | Place::Pod(_) if index == 0 => None,
            Place::Behind(_) if index == 0 => Some(INTERFACES[1]),
            _ => Some(INTERFACES[0]),
        },
        out_by: match &to {
            Place::Host(_) | Place::Pod(_) if index == last => None,
            Place::Behind(_) if index == last => Some(INTERFACES[1]),
            _ => Some(INTERFACES[0]),
        },
    });
    visits.collect()
}

/// Gives a flight the way that its packets take; `false` when there is none that a flight can say.
fn route(world: &World, flight: &mut Flight, first: Option<&str>) -> bool {
    let visits = visits(world, flight, first);
    let by = |interface: Option<&str>| interface.unwrap_or(INTERFACES[0]).to_owned();
    let (Some(start), Some(end)) = (visits.first(), visits.last()) else {
        return false;
    };
    flight.out_by = by(start.out_by);
    flight.in_by = by(end.in_by);
    let mut through = visits.iter().filter_map(|visit| {
        let (from, to) = (visit.in_by?, visit.out_by?);
        Some((visit.node.clone(), from.to_owned(), to.to_owned()))
    });
    flight.through = through.next();
    through.next().is_none()
}

/// The nodes that a flight passes, by name.
pub(crate) fn nodes_of(world: &World, flight: &Flight) -> Vec<String> {
    let through = flight.through.iter().map(|(node, ..)| node.clone());
    let ends = [
        place(world, flight.packet.src, flight.from_host.as_ref()),
        place(world, flight.packet.dst, flight.to_host.as_ref()),
    ];
    let ends = ends.iter().filter(|end| !end.is_outside());
    let ends = ends.filter_map(|end| end.node().map(str::to_owned));
    let nodes: BTreeSet<String> = through.chain(ends).collect();
    nodes.into_iter().collect()
}

/// Lets nodes translate what is sent to services, as kube-proxy does: before routing, and for what it sends itself.
pub(crate) fn translate(rig: &Rig, nodes: &[&str], services: &[Service]) -> Result<(), Failure> {
    let mut maps: BTreeMap<Family, Vec<String>> = BTreeMap::new();
    for service in services {
        let (front, back) = (service.front, service.back);
        maps.entry(family_of(front.ip())).or_default().push(format!(
            "{} . {} . {} : {} . {}",
            service.protocol.0,
            front.ip(),
            front.port(),
            back.ip(),
            back.port()
        ));
    }
    let mut text =
        "table inet services\ndelete table inet services\ntable inet services {\n".to_owned();
    let mut rules = String::new();
    for (family, word, addr) in [
        (Family::V4, "ip", "ipv4_addr"),
        (Family::V6, "ip6", "ipv6_addr"),
    ] {
        let elements = maps.remove(&family).unwrap_or_default();
        if elements.is_empty() {
            continue;
        }
        let _infallible = writeln!(
            text,
            "map {word}s {{ type inet_proto . {addr} . inet_service : {addr} . inet_service\n\
             elements = {{ {} }} }}",
            elements.join(", ")
        );
        let _infallible = writeln!(
            rules,
            "dnat {word} to meta l4proto . {word} daddr . th dport map @{word}s"
        );
    }
    for (hook, priority) in [("prerouting", "dstnat"), ("output", "-100")] {
        let _infallible = writeln!(
            text,
            "chain {hook} {{ type nat hook {hook} priority {priority}\n{rules} }}"
        );
    }
    text.push('}');
    for node in nodes {
        let netns = rig.node(node).expect("the rig has the nodes");
        let loaded = netns.run(|| load(&text));
        let broken = |error: &dyn std::fmt::Display| Failure::Broken(format!("services: {error}"));
        loaded
            .map_err(|error| broken(&error))?
            .map_err(|error| broken(&error))?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's own tool writes a table that is not ours"
)]
fn load(text: &str) -> Result<(), String> {
    let spawned = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().ok_or("nft takes no input")?;
    input
        .write_all(text.as_bytes())
        .map_err(|error| error.to_string())?;
    drop(input);
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("nft refused:\n{text}"))
    }
}
