//! Packets of hosts and packets that hosts forward, with the way they take.

use std::net::{IpAddr, SocketAddr};

use oncilla_net::{Family, Packet, Protocol, family_of};

use super::hosts::{INTERFACES, TAP, host_address};
use super::traffic::{FAILSAFE_PORTS, Range, SOURCE_PORTS, packet};
use super::{NODES, RandomCluster};
use crate::rng::Rng;

/// A packet and its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flight {
    /// The packet, behind any translation.
    pub packet: Packet,
    /// The node that sends it itself.
    pub from_host: Option<String>,
    /// The node that it is for itself.
    pub to_host: Option<String>,
    /// By which interface it leaves its source's node.
    pub out_by: String,
    /// By which interface it comes to its destination's node.
    pub in_by: String,
    /// A node between, with the interfaces by which it comes and leaves.
    pub through: Option<(String, String, String)>,
    /// Where it was sent to before the first node on its way translated the destination.
    pub original: Option<SocketAddr>,
    /// Of what a host sends there: the interface by which it would leave untranslated.
    pub first_out_by: String,
}

/// An end of a flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Host(&'static str),
    Pod(IpAddr),
    Outside(IpAddr),
}

impl RandomCluster {
    /// Flights, each of a new flow, of which one end is a host or that a host forwards, as they can be sent.
    pub fn flights(&mut self, count: usize) -> Vec<Flight> {
        self.flights_in(Range::Sendable, count)
    }

    /// The same of all protocols and ports.
    pub fn any_flights(&mut self, count: usize) -> Vec<Flight> {
        self.flights_in(Range::Any, count)
    }

    fn flights_in(&mut self, range: Range, count: usize) -> Vec<Flight> {
        let (owners, aim) = (self.owners(), self.aim());
        let (pods, outside) = (self.pod_addresses(), Self::outside_addresses());
        let mut rng = self.rng.fork();
        let mut flights = Vec::with_capacity(count);
        let mut tries = 0;
        while flights.len() < count && tries < count * 8 {
            tries += 1;
            let family = *rng.pick(&Family::ALL);
            let of = |all: &[IpAddr]| -> Vec<IpAddr> {
                let all = all.iter().copied();
                all.filter(|address| family_of(*address) == family)
                    .collect()
            };
            let (pods, outside) = (of(&pods), of(&outside));
            if pods.is_empty() {
                continue;
            }
            let end = |rng: &mut Rng| match rng.below(4) {
                0 | 1 => End::Host(NODES[rng.index(NODES.len())]),
                2 => End::Pod(*rng.pick(&pods)),
                _ => End::Outside(*rng.pick(&outside)),
            };
            let (from, mut to) = (end(&mut rng), end(&mut rng));
            let is_any = range == Range::Any;
            let served = aim.service(&mut rng, family).filter(|_| is_any);
            if let Some((address, ..)) = served {
                to = if owners.contains_key(&address) {
                    End::Pod(address)
                } else {
                    End::Outside(address)
                };
            }
            let is_own = match (from, to) {
                (End::Pod(from), End::Pod(to)) => owners.get(&from) == owners.get(&to),
                _ => from == to,
            };
            if is_own {
                continue;
            }
            let mut flight = flight(&mut rng, range, (from, to), family);
            match served {
                Some((_, protocol, port)) => {
                    let packet = &mut flight.packet;
                    (packet.protocol, packet.icmp) = (protocol, None);
                    (packet.src_port, packet.dst_port) = (*rng.pick(&SOURCE_PORTS), port);
                }
                None if is_any => aim.point(&mut rng, &mut flight.packet),
                None => {}
            }
            flights.push(flight);
        }
        flights
    }
}

fn flight(rng: &mut Rng, range: Range, (from, to): (End, End), family: Family) -> Flight {
    let address = |end| match end {
        End::Host(node) => host_address(node, family),
        End::Pod(address) | End::Outside(address) => address,
    };
    let host = |end| match end {
        End::Host(node) => Some(node.to_owned()),
        End::Pod(_) | End::Outside(_) => None,
    };
    // Most of the time the interface that everybody takes.
    let interface = |rng: &mut Rng| match rng.below(24) {
        // Nothing that is sent passes it: no address is behind it.
        0 if range == Range::Any => TAP.to_owned(),
        0..=3 => INTERFACES[1].to_owned(),
        _ => INTERFACES[0].to_owned(),
    };
    let is_outside = |end| matches!(end, End::Outside(_));
    let mut packet = packet(rng, range, address(from), address(to));
    if matches!(packet.protocol, Protocol::TCP | Protocol::UDP) {
        if rng.chance(1, 3) {
            packet.dst_port = *rng.pick(&FAILSAFE_PORTS);
        }
        if rng.chance(1, 8) {
            packet.src_port = *rng.pick(&FAILSAFE_PORTS);
        }
    }
    let through = (is_outside(from) && is_outside(to)).then(|| {
        let node = (*rng.pick(&NODES)).to_owned();
        (node, interface(rng), interface(rng))
    });
    let has_ports = packet.dst_port != 0;
    let original = (has_ports && rng.chance(1, 3)).then(|| {
        let node = *rng.pick(&NODES);
        SocketAddr::new(
            host_address(node, family),
            *rng.pick(&super::traffic::PORTS),
        )
    });
    Flight {
        packet,
        from_host: host(from),
        to_host: host(to),
        out_by: interface(rng),
        in_by: interface(rng),
        through,
        original,
        first_out_by: interface(rng),
    }
}
