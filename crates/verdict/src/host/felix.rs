//! What Felix's configuration says of one node, field by field.

use oncilla_api::v3::{EndpointToHostAction, FailsafePort, Failsafes};
use oncilla_api::{Kind, Object, ObjectKey, Remains, Remnant};
use oncilla_net::{Direction, IpNet, Packet, Protocol, parse_cidr};
use oncilla_selector::parse;
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;
use crate::labels::{LabelMap, Reading, matches};

/// The port of VXLAN.
const VXLAN_PORT: u16 = 4789;
/// The protocol number of IP in IP.
const IPIP: Protocol = Protocol(4);
const TCP_BOTH_WAYS: [u16; 7] = [179, 2379, 2380, 5473, 6443, 6666, 6667];

/// How a node treats packets.
#[derive(Clone, Debug)]
pub(crate) struct Felix {
    inbound: Vec<Failsafe>,
    outbound: Vec<Failsafe>,
    pub(crate) to_host: EndpointToHostAction,
    /// The port of VXLAN, unless workloads may send it.
    vxlan: Option<u16>,
    ipip: bool,
}

/// A port that no policy closes on hosts.
#[derive(Clone, Debug)]
struct Failsafe {
    protocol: Protocol,
    port: u16,
    net: Option<IpNet>,
}

/// The configurations that hold for a node, the narrowest first.
struct Layers(Vec<Remains>);

impl Default for Felix {
    fn default() -> Self {
        Self::read(&Layers(Vec::new()), EndpointToHostAction::Drop)
    }
}

impl Felix {
    pub(crate) fn of(node: &str, labels: &LabelMap, cluster: &Cluster) -> Self {
        Self::read(&Layers::of(node, labels, cluster), cluster.host_action())
    }

    fn read(layers: &Layers, to_host: EndpointToHostAction) -> Self {
        let tcp = TCP_BOTH_WAYS.map(|port| (Protocol::TCP, port));
        let with = |own: [(Protocol, u16); 2]| [&tcp[..], &own[..]].concat();
        let inbound = with([(Protocol::TCP, 22), (Protocol::UDP, 68)]);
        let outbound = with([(Protocol::UDP, 53), (Protocol::UDP, 67)]);
        let has = |field: &str| layers.value(field, false).unwrap_or(false);
        let port = layers.value("vxlanPort", i64::from(VXLAN_PORT));
        let port = port.and_then(|port| u16::try_from(port).ok());
        Self {
            inbound: layers.failsafes("failsafeInboundHostPorts", &inbound),
            outbound: layers.failsafes("failsafeOutboundHostPorts", &outbound),
            to_host: layers
                .value("defaultEndpointToHostAction", to_host)
                .unwrap_or(EndpointToHostAction::Drop),
            vxlan: (!has("allowVXLANPacketsFromWorkloads")).then(|| port.unwrap_or(VXLAN_PORT)),
            ipip: !has("allowIPIPPacketsFromWorkloads"),
        }
    }

    /// Whether a workload may not send this because it may hide other packets.
    pub(crate) fn drops_encapsulated(&self, packet: &Packet) -> bool {
        match packet.protocol {
            Protocol::UDP => self.vxlan == Some(packet.dst_port),
            IPIP => self.ipip,
            _ => false,
        }
    }

    /// Whether a failsafe lets a packet to (ingress) or from (egress) the host through.
    pub(crate) fn is_failsafe(&self, direction: Direction, packet: &Packet) -> bool {
        let (list, peer) = match direction {
            Direction::Ingress => (&self.inbound, packet.src),
            Direction::Egress => (&self.outbound, packet.dst),
        };
        { list.iter() }.any(|each| {
            each.protocol == packet.protocol
                && each.port == packet.dst_port
                && each.net.is_none_or(|net| net.contains(&peer))
        })
    }

    /// The same before connections are followed: then also what answers a packet that a failsafe lets through.
    pub(crate) fn is_failsafe_untracked(&self, direction: Direction, packet: &Packet) -> bool {
        let answered = Packet {
            src: packet.dst,
            dst: packet.src,
            src_port: packet.dst_port,
            dst_port: packet.src_port,
            ..*packet
        };
        let other = match direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        self.is_failsafe(direction, packet) || self.is_failsafe(other, &answered)
    }
}

impl Layers {
    fn of(node: &str, labels: &LabelMap, cluster: &Cluster) -> Self {
        let named =
            |name: &str| cluster.remains(&ObjectKey::cluster(Kind::FelixConfiguration, name));
        let narrow = named(&format!("node.{node}"));
        let wide = named("default");
        let layers = [narrow, Self::selected(labels, cluster), wide];
        Self(layers.into_iter().flatten().collect())
    }

    /// Of the configurations whose selector means the node the oldest, then the first by name.
    fn selected(labels: &LabelMap, cluster: &Cluster) -> Option<Remains> {
        let found = cluster.objects().filter_map(|object| match object {
            Object::FelixConfiguration(found) => Some(found),
            _ => None,
        });
        let oldest = found
            .filter(|found| {
                let name = found.metadata.name.as_str();
                name != "default" && !name.starts_with("node.")
            })
            .filter(|found| {
                let selector = found.spec.node_selector.as_deref().unwrap_or_default();
                !selector.is_empty()
                    && parse(selector)
                        .is_ok_and(|selector| matches(&selector, labels, Reading::PLAIN))
            })
            .min_by_key(|found| {
                let created = found.metadata.creation_timestamp.clone();
                (created.unwrap_or_default(), found.metadata.name.clone())
            })?;
        let name = oldest.metadata.name.clone();
        cluster.remains(&ObjectKey::cluster(Kind::FelixConfiguration, name))
    }

    /// The first layer that gives a field.
    fn giving(&self, path: &str) -> Option<&Remains> {
        let mut layers = self.0.iter();
        layers.find(|layer| layer.field(path) != Remnant::Absent)
    }

    /// What the narrowest layer gives, or the default; `None` when it cannot be read.
    fn value<T: DeserializeOwned>(&self, field: &str, default: T) -> Option<T> {
        let path = format!("spec.{field}");
        let Some(layer) = self.giving(&path) else {
            return Some(default);
        };
        match layer.field(&path) {
            Remnant::Is(value) => T::deserialize(value).ok(),
            Remnant::Absent | Remnant::Unknown => None,
        }
    }

    /// A list of failsafes; of one that cannot be read whole the items that can.
    fn failsafes(&self, field: &str, default: &[(Protocol, u16)]) -> Vec<Failsafe> {
        let path = format!("spec.{field}");
        let Some(layer) = self.giving(&path) else {
            let all = default.iter().map(|(protocol, port)| Failsafe {
                protocol: *protocol,
                port: *port,
                net: None,
            });
            return all.collect();
        };
        let ports: Vec<FailsafePort> = match layer.field(&path) {
            Remnant::Is(value) => serde::Deserialize::deserialize(value)
                .map_or_else(|_| Vec::new(), |Failsafes(all)| all),
            Remnant::Absent | Remnant::Unknown => (0..layer.items(&path).len())
                .filter_map(|index| layer.item(&path, index))
                .collect(),
        };
        ports.iter().filter_map(Failsafe::of).collect()
    }
}

impl Failsafe {
    fn of(port: &FailsafePort) -> Option<Self> {
        Some(Self {
            protocol: port.protocol.number()?,
            port: u16::try_from(port.port).ok()?,
            net: match port.net.as_str() {
                "" => None,
                net => Some(parse_cidr(net).ok()?),
            },
        })
    }
}
