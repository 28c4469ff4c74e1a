//! What is worth aiming packets at: ports that pods call by names, and addresses and ports of services. Few packets hit
//! those by chance.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_api::Object;
use oncilla_net::{Family, Packet, Protocol, family_of};

use super::RandomCluster;
use crate::rng::Rng;

/// An address, a protocol and a port that a slice lists.
pub(super) type Served = (IpAddr, Protocol, u16);

/// The targets of a cluster.
#[derive(Debug)]
pub(super) struct Aim {
    ports: BTreeMap<IpAddr, Vec<u16>>,
    served: Vec<Served>,
}

impl RandomCluster {
    /// What packets are aimed at now.
    pub(super) fn aim(&self) -> Aim {
        let number = |port: i64| u16::try_from(port).ok();
        let pods = self.pods().into_iter();
        let ports = pods.map(|(address, pod)| {
            let spec = &pod.spec;
            let containers = spec.containers.iter().chain(&spec.init_containers);
            let ports = containers.flat_map(|container| &container.ports);
            let numbers = ports.filter_map(|port| number(port.container_port));
            (address, numbers.collect())
        });
        let mut served = Vec::new();
        for object in self.objects.values() {
            let Object::EndpointSlice(slice) = object else {
                continue;
            };
            let endpoints = slice.endpoints.iter().flatten();
            let addresses = endpoints.flat_map(|endpoint| &endpoint.addresses);
            for address in addresses.filter_map(|text| text.parse().ok()) {
                let ports = slice.ports.iter().flatten();
                served.extend(ports.filter_map(|port| {
                    let protocol = port.protocol.unwrap_or_default().into();
                    Some((address, protocol, number(port.port?)?))
                }));
            }
        }
        Aim {
            ports: ports.collect(),
            served,
        }
    }
}

impl Aim {
    /// A target of a family behind a service, now and then.
    pub(super) fn service(&self, rng: &mut Rng, family: Family) -> Option<Served> {
        if self.served.is_empty() || !rng.chance(1, 8) {
            return None;
        }
        let served = *rng.pick(&self.served);
        (family_of(served.0) == family).then_some(served)
    }

    /// Lets a packet of a protocol with ports come from, or go to, a port that its pod has, now and then.
    pub(super) fn point(&self, rng: &mut Rng, packet: &mut Packet) {
        if !packet.protocol.has_ports() {
            return;
        }
        for (address, port) in [
            (packet.src, &mut packet.src_port),
            (packet.dst, &mut packet.dst_port),
        ] {
            if let Some(ports) = self.ports.get(&address).filter(|ports| !ports.is_empty())
                && rng.chance(1, 3)
            {
                *port = *rng.pick(ports);
            }
        }
    }
}
