//! Packets that meet the cluster: pods, addresses of known CIDRs, strangers; protocols with and without ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use oncilla_api::Object;
use oncilla_api::v1::Pod;
use oncilla_net::{Family, Icmp, Packet, Protocol, family_of};

use super::RandomCluster;
use super::endpoints::ADDRESS_LIST;
use crate::rng::Rng;

/// IPv4 CIDRs that policies and sets know; they overlap, and pods are inside of some.
pub const NETS_V4: [&str; 10] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.65.0.0/16",
    "10.65.1.0/24",
    "10.65.2.0/23",
    "10.65.1.4/30",
    "203.0.113.0/24",
    "203.0.113.128/25",
    "203.0.113.200/32",
    "198.51.100.7/32",
];
/// IPv6 CIDRs that policies and sets know; they overlap, and pods are inside of some.
pub const NETS_V6: [&str; 10] = [
    "::/0",
    "fd00::/8",
    "fd00:65::/32",
    "fd00:65:0:1::/64",
    "fd00:65:0:2::/63",
    "fd00:65:0:1::4/126",
    "2001:db8::/32",
    "2001:db8:8000::/33",
    "2001:db8:8000::c8/128",
    "2001:db8:99::7/128",
];
/// Addresses of no pod, and addresses that no CIDR but the widest knows.
const OUTSIDE: [&str; 12] = [
    "203.0.113.9",
    "203.0.113.130",
    "203.0.113.200",
    "198.51.100.7",
    "10.9.9.9",
    "192.0.2.1",
    "2001:db8::9",
    "2001:db8:8000::9",
    "2001:db8:8000::c8",
    "2001:db8:99::7",
    "fd00:9::9",
    "3fff::1",
];
/// Ports that policies and pods know.
pub(super) const PORTS: [u16; 7] = [80, 81, 443, 8080, 53, 9000, 9063];
/// Ports of failsafes.
pub(super) const FAILSAFE_PORTS: [u16; 6] = [22, 53, 68, 179, 6443, 4789];
/// Where workloads may not send UDP to.
const VXLAN_PORT: u16 = 4789;
/// Source ports that policies know.
pub(super) const SOURCE_PORTS: [u16; 3] = [1234, 5000, 40_000];
/// Protocols without ports that nothing tracks specially.
pub(super) const OTHERS: [u8; 2] = [89, 253];

/// Messages that open a flow of their own for connection tracking, or that it leaves alone: policy decides on
/// them. All others are invalid, or part of what they report on.
pub(super) const MESSAGES: [u8; 4] = [8, 13, 15, 17];
/// The same in IPv6: echo, multicast listener done and node information query.
pub(super) const MESSAGES_V6: [u8; 3] = [128, 132, 139];
/// Codes that rules and packets know.
pub(super) const CODES: [u8; 3] = [0, 1, 3];

/// Which packets are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Range {
    /// Those that a kernel sends as they are, each of a flow of its own.
    Sendable,
    /// Any: all protocols, tunnels of workloads, and ports of pods as source ports.
    Any,
}

impl RandomCluster {
    /// The addresses of the pods that have any.
    pub fn pod_addresses(&self) -> Vec<IpAddr> {
        self.pods().into_keys().collect()
    }

    /// The pods that have addresses, by each of those.
    pub(super) fn pods(&self) -> BTreeMap<IpAddr, &Pod> {
        let pods = self.objects.values().filter_map(|object| match object {
            Object::Pod(pod) if !pod.spec.host_network && pod.status.phase == "Running" => {
                Some(pod)
            }
            _ => None,
        });
        let texts = pods.flat_map(|pod| {
            let listed = pod.metadata.annotations.get(ADDRESS_LIST);
            let listed = listed.into_iter().flat_map(|list| list.split(','));
            let reported = pod.status.pod_ips.iter().map(|each| each.ip.as_str());
            reported.chain(listed).map(move |text| (text, pod))
        });
        texts
            .filter_map(|(text, pod)| Some((text.parse().ok()?, pod)))
            .collect()
    }

    /// The pod that each address of a pod is of. What a pod sends to itself never leaves it.
    pub(super) fn owners(&self) -> BTreeMap<IpAddr, String> {
        let name = |pod: &Pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            format!("{namespace}/{}", pod.metadata.name)
        };
        let pods = self.pods().into_iter();
        pods.map(|(address, pod)| (address, name(pod))).collect()
    }

    /// The addresses outside that packets come from and go to.
    pub fn outside_addresses() -> Vec<IpAddr> {
        OUTSIDE
            .iter()
            .map(|text| text.parse().expect("a constant of this module"))
            .collect()
    }

    /// Packets of which at least one end is a pod, each of a new flow, as they can be sent.
    pub fn packets(&mut self, count: usize) -> Vec<Packet> {
        self.packets_in(Range::Sendable, count)
    }

    /// Packets of which at least one end is a pod, of all protocols and ports.
    pub fn any_packets(&mut self, count: usize) -> Vec<Packet> {
        self.packets_in(Range::Any, count)
    }

    fn packets_in(&mut self, range: Range, count: usize) -> Vec<Packet> {
        let (owners, aim) = (self.owners(), self.aim());
        let (pods, outside) = (self.pod_addresses(), Self::outside_addresses());
        let of = |all: &[IpAddr], family| -> Vec<IpAddr> {
            let all = all.iter().copied();
            all.filter(|address| family_of(*address) == family)
                .collect()
        };
        let mut rng = self.rng.fork();
        let pools = Family::ALL.map(|family| (of(&pods, family), of(&outside, family)));
        let mut packets = Vec::with_capacity(count);
        while packets.len() < count {
            let (pods, outside) = rng.pick(&pools);
            if pods.len() < 2 {
                break;
            }
            let (src, dst) = match rng.below(10) {
                0 | 1 => (*rng.pick(outside), *rng.pick(pods)),
                2 | 3 => (*rng.pick(pods), *rng.pick(outside)),
                _ => (*rng.pick(pods), *rng.pick(pods)),
            };
            let is_any = range == Range::Any;
            let mut packet = packet(&mut rng, range, src, dst);
            if let Some((dst, protocol, port)) =
                aim.service(&mut rng, family_of(src)).filter(|_| is_any)
            {
                let src_port = *rng.pick(&SOURCE_PORTS);
                (packet.dst, packet.protocol, packet.icmp) = (dst, protocol, None);
                (packet.src_port, packet.dst_port) = (src_port, port);
            } else if is_any {
                aim.point(&mut rng, &mut packet);
            }
            let (src, dst) = (packet.src, packet.dst);
            let is_ours = owners.contains_key(&src) || owners.contains_key(&dst);
            let is_own = owners.contains_key(&src) && owners.get(&src) == owners.get(&dst);
            if src != dst && is_ours && !is_own {
                packets.push(packet);
            }
        }
        packets
    }
}

pub(super) fn packet(rng: &mut Rng, range: Range, src: IpAddr, dst: IpAddr) -> Packet {
    let protocol = match rng.below(22) {
        17 if range == Range::Any => Protocol(match rng.below(4) {
            // IPIP, which workloads may not send.
            0 => 4,
            _ => u8::try_from(rng.below(256)).unwrap_or_default(),
        }),
        0..=8 => Protocol::TCP,
        9..=13 => Protocol::UDP,
        14 | 15 => Protocol::SCTP,
        16 => Protocol::UDPLITE,
        17 => Protocol(*rng.pick(&OTHERS)),
        _ if dst.is_ipv4() => Protocol::ICMP,
        _ => Protocol::ICMPV6,
    };
    let mut packet = Packet {
        src,
        dst,
        protocol,
        src_port: 0,
        dst_port: 0,
        icmp: Icmp::echo(protocol),
    };
    if let Some(icmp) = &mut packet.icmp
        && rng.chance(1, 2)
    {
        let messages: &[u8] = match protocol {
            Protocol::ICMP => &MESSAGES,
            _ => &MESSAGES_V6,
        };
        icmp.kind = *rng.pick(messages);
        icmp.code = *rng.pick(&CODES);
    }
    if protocol.has_ports() {
        packet.src_port = match rng.below(2) {
            // To and fro between the same ports a kernel takes for one flow.
            0 if range == Range::Any => *rng.pick(&PORTS),
            _ => *rng.pick(&SOURCE_PORTS),
        };
        packet.dst_port = match rng.below(8) {
            1 if range == Range::Any && rng.chance(1, 4) => VXLAN_PORT,
            // Never VXLAN's port: workloads may not send that, whatever policy says.
            0 => u16::try_from(rng.between(5_000, 65_535)).unwrap_or(5_000),
            _ => *rng.pick(&PORTS),
        };
    }
    packet
}
