//! What Felix's configuration says of one node, field by field.

use oncilla_api::v3::{
    EndpointToHostAction, FailsafePort, Failsafes, INTERFACE_PREFIXES_MAX, is_interface_prefix,
};
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
    /// Nobody knows what else is a failsafe.
    pub(crate) hides_failsafes: bool,
    pub(crate) to_host: EndpointToHostAction,
    /// The ports of VXLAN, unless workloads may send it.
    vxlan: Vec<u16>,
    ipip: bool,
    /// How the names of workloads' interfaces begin.
    prefixes: Vec<String>,
}

/// A port that no policy closes on hosts.
#[derive(Clone, PartialEq, Debug)]
struct Failsafe {
    protocol: Protocol,
    port: u16,
    net: Option<IpNet>,
}

/// The configurations that hold for a node.
#[derive(Default)]
struct Layers {
    /// The narrowest first.
    ranked: Vec<Remains>,
    /// The ports of VXLAN that any configuration of the cluster gives.
    ports: Vec<u16>,
}

impl Default for Felix {
    fn default() -> Self {
        Self::read(&Layers::default(), &Cluster::new())
    }
}

impl Felix {
    /// Where nobody knows which configurations are the node's, only what each of the answers would let through is.
    pub(crate) fn of(node: &str, labels: &LabelMap, cluster: &Cluster) -> Self {
        let all = Layers::possible(node, labels, cluster).into_iter();
        let all = all.map(|layers| Self::read(&layers, cluster));
        all.reduce(Self::and).unwrap_or_default()
    }

    fn and(self, other: Self) -> Self {
        let both = |mine: Vec<Failsafe>, theirs: &[Failsafe]| {
            let pairs = mine
                .iter()
                .flat_map(|one| theirs.iter().map(move |two| (one, two)));
            pairs.filter_map(|(one, two)| one.and(two)).collect()
        };
        let is_any = |action| self.to_host == action || other.to_host == action;
        let to_host = if is_any(EndpointToHostAction::Drop) {
            EndpointToHostAction::Drop
        } else if is_any(EndpointToHostAction::Return) {
            EndpointToHostAction::Return
        } else {
            EndpointToHostAction::Accept
        };
        let is_in =
            |all: &[Failsafe], some: &[Failsafe]| some.iter().all(|each| all.contains(each));
        let is_same =
            |mine: &[Failsafe], theirs: &[Failsafe]| is_in(mine, theirs) && is_in(theirs, mine);
        let hides = self.hides_failsafes || other.hides_failsafes;
        Self {
            hides_failsafes: hides
                || !is_same(&self.inbound, &other.inbound)
                || !is_same(&self.outbound, &other.outbound),
            to_host,
            inbound: both(self.inbound, &other.inbound),
            outbound: both(self.outbound, &other.outbound),
            vxlan: [self.vxlan, other.vxlan].concat(),
            ipip: self.ipip || other.ipip,
            prefixes: [self.prefixes, other.prefixes].concat(),
        }
    }

    fn read(layers: &Layers, told: &Cluster) -> Self {
        let tcp = TCP_BOTH_WAYS.map(|port| (Protocol::TCP, port));
        let with = |own: [(Protocol, u16); 2]| [&tcp[..], &own[..]].concat();
        let inbound = with([(Protocol::TCP, 22), (Protocol::UDP, 68)]);
        let outbound = with([(Protocol::UDP, 53), (Protocol::UDP, 67)]);
        let has = |field: &str| layers.value(field, false).unwrap_or(false);
        let port = layers.value("vxlanPort", i64::from(VXLAN_PORT));
        let port = port.and_then(|port| u16::try_from(port).ok());
        // Nobody knows which one it is: any that is known may be.
        let every = || [&layers.ports[..], &[VXLAN_PORT]].concat();
        let hides = |layer: &Remains| {
            let lists = ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"];
            let mut lists = lists.map(|list| format!("spec.{list}")).into_iter();
            lists.any(|list| layer.field(&list) == Remnant::Unknown)
        };
        Self {
            hides_failsafes: layers.ranked.iter().any(hides),
            inbound: layers.failsafes("failsafeInboundHostPorts", &inbound),
            outbound: layers.failsafes("failsafeOutboundHostPorts", &outbound),
            to_host: layers
                .value("defaultEndpointToHostAction", told.host_action())
                .unwrap_or(EndpointToHostAction::Drop),
            vxlan: if has("allowVXLANPacketsFromWorkloads") {
                Vec::new()
            } else {
                port.map_or_else(every, |port| vec![port])
            },
            ipip: !has("allowIPIPPacketsFromWorkloads"),
            prefixes: [told.interface_prefixes(), layers.prefixes()].concat(),
        }
    }

    /// Whether an interface is called like a workload's.
    pub(crate) fn is_workloads(&self, interface: &str) -> bool {
        self.prefixes
            .iter()
            .any(|prefix| interface.starts_with(prefix))
    }

    /// Whether a workload may not send this because it may hide other packets.
    pub(crate) fn drops_encapsulated(&self, packet: &Packet) -> bool {
        match packet.protocol {
            Protocol::UDP => self.vxlan.contains(&packet.dst_port),
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
    /// What may hold for a node: its own configuration before the oldest, then the first by name, of those whose
    /// selector means it, before the one for all. One that may be that oldest and that nobody can read is one more
    /// possibility.
    fn possible(node: &str, labels: &LabelMap, cluster: &Cluster) -> Vec<Self> {
        let named =
            |name: &str| cluster.remains(&ObjectKey::cluster(Kind::FelixConfiguration, name));
        let (mut certain, mut doubtful) = (Vec::new(), Vec::new());
        let mut ports = Vec::new();
        for key in Self::keys(cluster) {
            let Some(found) = cluster.remains(&key) else {
                continue;
            };
            if let Remnant::Is(port) = found.field("spec.vxlanPort") {
                ports.extend(port.as_u64().and_then(|port| u16::try_from(port).ok()));
            }
            if key.name == "default" || key.name.starts_with("node.") {
                continue;
            }
            let selects = Self::selects(&found, labels);
            let age = found.text("metadata.creationTimestamp").map(str::to_owned);
            match (selects, age) {
                (Some(false), _) => {}
                (Some(true), Some(age)) => certain.push((age, key.name, found)),
                (_, age) => doubtful.push((age, key.name, found)),
            }
        }
        certain.sort_by(|(age, name, _), (other, of, _)| (age, name).cmp(&(other, of)));
        let oldest = certain.into_iter().next();
        doubtful.retain(|(age, name, _)| match (age, &oldest) {
            (Some(age), Some((than, of, _))) => (age, name) < (than, of),
            (None, _) | (_, None) => true,
        });
        let doubtful = doubtful.into_iter().map(|(_, _, found)| Some(found));
        let selected = std::iter::once(oldest.map(|(_, _, found)| found)).chain(doubtful);
        let all = selected.map(|selected| {
            let layers = [named(&format!("node.{node}")), selected, named("default")];
            Self {
                ranked: layers.into_iter().flatten().collect(),
                ports: ports.clone(),
            }
        });
        all.collect()
    }

    /// All configurations.
    fn keys(cluster: &Cluster) -> Vec<ObjectKey> {
        let whole = cluster.objects().map(Object::key);
        let unreadable = cluster.unreadable_of(|kind| kind == Kind::FelixConfiguration);
        let all = whole.chain(unreadable.map(|(key, _)| key.clone()));
        all.filter(|key| key.kind == Kind::FelixConfiguration)
            .collect()
    }

    /// Whether a configuration's selector means a node; `None` when nobody can say.
    fn selects(found: &Remains, labels: &LabelMap) -> Option<bool> {
        let selector = found.text("spec.nodeSelector")?;
        if selector.is_empty() {
            return Some(false);
        }
        let selector = parse(selector).ok()?;
        Some(matches(&selector, labels, Reading::PLAIN))
    }

    /// The first layer that gives a field.
    fn giving(&self, path: &str) -> Option<&Remains> {
        let mut layers = self.ranked.iter();
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

    /// How workloads' interfaces are called. What cannot be read of a text takes nothing away of what wider layers say.
    fn prefixes(&self) -> Vec<String> {
        let mut all = Vec::new();
        for layer in &self.ranked {
            if layer.field("spec.interfacePrefix") == Remnant::Absent {
                continue;
            }
            let text = layer.written("spec.interfacePrefix").unwrap_or("");
            let (good, bad): (Vec<&str>, Vec<&str>) = text
                .split(',')
                .partition(|prefix| is_interface_prefix(prefix));
            let some = good.iter().take(INTERFACE_PREFIXES_MAX);
            all.extend(some.map(|prefix| (*prefix).to_owned()));
            if bad.is_empty() && good.len() <= INTERFACE_PREFIXES_MAX {
                break;
            }
        }
        all
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
    /// What both let through.
    fn and(&self, other: &Self) -> Option<Self> {
        let net = match (self.net, other.net) {
            (None, net) | (net, None) => net,
            (Some(one), Some(two))
                if one.contains(&two.network()) && one.prefix_len() <= two.prefix_len() =>
            {
                Some(two)
            }
            (Some(one), Some(two)) if two.contains(&one.network()) => Some(one),
            (Some(_), Some(_)) => return None,
        };
        let is_same = self.protocol == other.protocol && self.port == other.port;
        is_same.then_some(Self { net, ..*self })
    }

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
