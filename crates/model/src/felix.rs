//! How a node treats packets: Felix's configuration, as far as it changes verdicts.

use std::collections::{BTreeMap, BTreeSet};

use oncilla_api::v3::{
    self, EndpointToHostAction, INTERFACE_PREFIXES_MAX, SourceSpoofing, is_interface_prefix,
};
use oncilla_api::{FieldError, Remains, Remnant};
use oncilla_net::{IpNet, Protocol, parse_address, parse_cidr};
use oncilla_selector::{Selector, parse};

/// The name of the configuration for all nodes.
const DEFAULT: &str = "default";
/// The port of VXLAN when nothing says another.
const VXLAN_PORT: u16 = 4789;
/// The lists of failsafes.
const FAILSAFES: [&str; 2] = ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"];
/// Before the name of the one node that a configuration is for.
const NODE: &str = "node.";

/// What becomes of a workload's packet to its own host that its egress policy allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToHost {
    /// It is dropped.
    Drop,
    /// It is accepted.
    Accept,
    /// The rest of the host's rules decide.
    Return,
}

impl From<EndpointToHostAction> for ToHost {
    fn from(action: EndpointToHostAction) -> Self {
        match action {
            EndpointToHostAction::Drop => Self::Drop,
            EndpointToHostAction::Accept => Self::Accept,
            EndpointToHostAction::Return => Self::Return,
        }
    }
}

/// A port of the host that no policy closes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FailsafePort {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Only for peers inside; none: for all.
    pub net: Option<IpNet>,
}

/// What the names of workloads' interfaces begin with, as one configuration or several under each other say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InterfacePrefixes {
    /// The beginnings.
    pub listed: Vec<String>,
    /// Not all that is written can be read: what would be in force without it is, too.
    pub is_partial: bool,
}

impl InterfacePrefixes {
    /// What a text lists, separated by commas. What cannot be read of it takes nothing away: an interface that nobody
    /// knows as a workload's is open.
    fn read(text: &str) -> Self {
        let listed = text.split(',').filter(|prefix| is_interface_prefix(prefix));
        let listed: Vec<String> = listed
            .take(INTERFACE_PREFIXES_MAX)
            .map(str::to_owned)
            .collect();
        Self {
            is_partial: listed.len() != text.split(',').count(),
            listed,
        }
    }

    /// These over wider ones.
    fn over(mut self, wider: Option<Self>) -> Self {
        if self.is_partial
            && let Some(wider) = wider
        {
            self.listed.extend(wider.listed);
            self.is_partial = wider.is_partial;
        }
        self
    }
}

/// What one configuration says; `None`: nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeSettings {
    /// What a host always accepts.
    pub failsafe_inbound: Option<Vec<FailsafePort>>,
    /// What a host always reaches.
    pub failsafe_outbound: Option<Vec<FailsafePort>>,
    /// Some of these cannot be read.
    pub hides_failsafes: bool,
    /// What the names of workloads' interfaces begin with.
    pub interface_prefixes: Option<InterfacePrefixes>,
    /// From a workload to its own host.
    pub endpoint_to_host: Option<ToHost>,
    /// Whether packets that connection tracking cannot place are dropped.
    pub drop_invalid: Option<bool>,
    /// Whether workloads may send VXLAN.
    pub allow_vxlan: Option<bool>,
    /// Whether workloads may send IP in IP.
    pub allow_ipip: Option<bool>,
    /// The port of VXLAN.
    pub vxlan_port: Option<u16>,
    /// Whether workloads may use foreign source addresses.
    pub allow_spoofing: Option<bool>,
    /// What stands before the lines of Log rules.
    pub log_prefix: Option<String>,
    /// How many lines one of them may write, and in how many seconds.
    pub log_rate: Option<(u64, u64)>,
    /// How many lines it may write at once; 0 is upstream's five.
    pub log_burst: Option<u32>,
}

impl NodeSettings {
    /// The same where `over` says nothing.
    #[must_use]
    fn under(self, over: &Self) -> Self {
        let over = over.clone();
        Self {
            failsafe_inbound: over.failsafe_inbound.or(self.failsafe_inbound),
            failsafe_outbound: over.failsafe_outbound.or(self.failsafe_outbound),
            hides_failsafes: over.hides_failsafes || self.hides_failsafes,
            interface_prefixes: match over.interface_prefixes {
                Some(prefixes) => Some(prefixes.over(self.interface_prefixes)),
                None => self.interface_prefixes,
            },
            endpoint_to_host: over.endpoint_to_host.or(self.endpoint_to_host),
            drop_invalid: over.drop_invalid.or(self.drop_invalid),
            allow_vxlan: over.allow_vxlan.or(self.allow_vxlan),
            allow_ipip: over.allow_ipip.or(self.allow_ipip),
            vxlan_port: over.vxlan_port.or(self.vxlan_port),
            allow_spoofing: over.allow_spoofing.or(self.allow_spoofing),
            log_prefix: over.log_prefix.or(self.log_prefix),
            log_rate: over.log_rate.or(self.log_rate),
            log_burst: over.log_burst.or(self.log_burst),
        }
    }
}

/// For which nodes a configuration is whose name does not say so.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Nodes {
    /// None.
    Nobody,
    /// Those of these labels.
    Selected(Selector),
    /// Nobody can say.
    Unknown,
}

/// One configuration: for which nodes, and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    nodes: Nodes,
    /// When it was made, as the store writes times; none when nobody can say.
    created: Option<String>,
    settings: NodeSettings,
    /// It gives a port of VXLAN that cannot be read.
    hides_vxlan_port: bool,
}

impl Configuration {
    /// What a validated object says.
    ///
    /// # Errors
    /// When a value has no meaning.
    pub fn of(object: &v3::FelixConfiguration) -> Result<Self, Vec<FieldError>> {
        let spec = &object.spec;
        let mut errors = Vec::new();
        let nodes = spec
            .node_selector
            .as_deref()
            .filter(|text| !text.is_empty());
        let nodes = nodes.and_then(|text| {
            let fault = |error: oncilla_selector::ParseError| {
                errors.push(FieldError::new("spec.nodeSelector", error.to_string()));
            };
            parse(text).map_err(fault).ok()
        });
        let mut list = |name: &str, list: &Option<v3::Failsafes>| {
            let list = list.as_ref()?;
            let ports = list.0.iter().enumerate().filter_map(|(index, port)| {
                let read = failsafe(port);
                let path = format!("spec.{name}[{index}]");
                read.map_err(|message| errors.push(FieldError::new(path, message)))
                    .ok()
            });
            Some(ports.collect())
        };
        let failsafe_inbound = list(
            "failsafeInboundHostPorts",
            &spec.failsafe_inbound_host_ports,
        );
        let failsafe_outbound = list(
            "failsafeOutboundHostPorts",
            &spec.failsafe_outbound_host_ports,
        );
        let vxlan_port = spec.vxlan_port.map(u16::try_from);
        if let Some(Err(_range)) = vxlan_port {
            errors.push(FieldError::new("spec.vxlanPort", "is no port number"));
        }
        let prefixes = spec.interface_prefix.as_deref();
        let settings = NodeSettings {
            failsafe_inbound,
            failsafe_outbound,
            hides_failsafes: false,
            interface_prefixes: prefixes.map(InterfacePrefixes::read),
            endpoint_to_host: spec.default_endpoint_to_host_action.map(ToHost::from),
            drop_invalid: spec
                .disable_conntrack_invalid_check
                .map(|disabled| !disabled),
            allow_vxlan: spec.allow_vxlan_packets_from_workloads,
            allow_ipip: spec.allow_ipip_packets_from_workloads,
            vxlan_port: vxlan_port.and_then(Result::ok),
            allow_spoofing: spec
                .workload_source_spoofing
                .map(|spoofing| spoofing == SourceSpoofing::Any),
            log_prefix: spec.log_prefix.clone(),
            log_rate: spec.log_action_rate_limit.as_deref().and_then(rate),
            log_burst: spec
                .log_action_rate_limit_burst
                .and_then(|burst| u32::try_from(burst).ok()),
        };
        if errors.is_empty() {
            let created = object.metadata.creation_timestamp.clone();
            Ok(Self {
                nodes: nodes.map_or(Nodes::Nobody, Nodes::Selected),
                created: Some(created.unwrap_or_default()),
                settings,
                hides_vxlan_port: false,
            })
        } else {
            Err(errors)
        }
    }

    /// What stands for one that cannot be understood: what is not at fault holds; of a list of failsafes that is, the
    /// items that are not; nothing else that is at fault opens anything. A port of VXLAN that cannot be read may be any
    /// that is known, see [`settings`].
    pub fn closed(remains: &Remains) -> Self {
        let flag = |name: &str, closed: bool| match remains.field(&format!("spec.{name}")) {
            Remnant::Absent => None,
            Remnant::Is(value) => Some(value.as_bool().unwrap_or(closed)),
            Remnant::Unknown => Some(closed),
        };
        let list = |name: &str| {
            let path = format!("spec.{name}");
            (remains.field(&path) != Remnant::Absent).then(|| {
                let items = (0..remains.items(&path).len())
                    .filter_map(|index| remains.item::<v3::FailsafePort>(&path, index));
                items.filter_map(|port| failsafe(&port).ok()).collect()
            })
        };
        let action = match remains.field("spec.defaultEndpointToHostAction") {
            Remnant::Absent => None,
            Remnant::Is(value) => Some(value.as_str().map_or(ToHost::Drop, to_host)),
            Remnant::Unknown => Some(ToHost::Drop),
        };
        let (port, hides_vxlan_port) = vxlan_port(remains);
        let nodes = match remains.text("spec.nodeSelector") {
            Some("") => Nodes::Nobody,
            Some(text) => parse(text).map_or(Nodes::Unknown, Nodes::Selected),
            None => Nodes::Unknown,
        };
        let text = |name: &str| {
            let text = remains.text(&format!("spec.{name}"));
            text.filter(|text| !text.is_empty())
        };
        let prefixes = match remains.field("spec.interfacePrefix") {
            Remnant::Absent => None,
            Remnant::Is(_) | Remnant::Unknown => {
                let text = remains.written("spec.interfacePrefix");
                Some(InterfacePrefixes::read(text.unwrap_or_default()))
            }
        };
        let created = remains.text("metadata.creationTimestamp");
        let is_hidden = |name: &&str| remains.field(&format!("spec.{name}")) == Remnant::Unknown;
        Self {
            nodes,
            created: created.map(str::to_owned),
            hides_vxlan_port,
            settings: NodeSettings {
                failsafe_inbound: list("failsafeInboundHostPorts"),
                failsafe_outbound: list("failsafeOutboundHostPorts"),
                hides_failsafes: FAILSAFES.iter().any(is_hidden),
                interface_prefixes: prefixes,
                endpoint_to_host: action,
                drop_invalid: flag("disableConntrackInvalidCheck", false).map(|off| !off),
                allow_vxlan: flag("allowVXLANPacketsFromWorkloads", false),
                allow_ipip: flag("allowIPIPPacketsFromWorkloads", false),
                vxlan_port: port,
                allow_spoofing: allow_spoofing(remains),
                log_prefix: text("logPrefix").map(str::to_owned),
                log_rate: text("logActionRateLimit").and_then(rate),
                log_burst: match remains.field("spec.logActionRateLimitBurst") {
                    Remnant::Is(value) => value.as_u64().and_then(|burst| burst.try_into().ok()),
                    Remnant::Absent | Remnant::Unknown => None,
                },
            },
        }
    }
}

/// The port of VXLAN that one gives that cannot be understood, and whether it gives one that cannot be read.
fn vxlan_port(remains: &Remains) -> (Option<u16>, bool) {
    match remains.field("spec.vxlanPort") {
        Remnant::Is(value) => {
            let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
            (port, port.is_none())
        }
        Remnant::Absent => (None, false),
        Remnant::Unknown => (None, true),
    }
}

/// Whether one that cannot be understood lets workloads use foreign source addresses.
fn allow_spoofing(remains: &Remains) -> Option<bool> {
    match remains.field("spec.workloadSourceSpoofing") {
        Remnant::Absent => None,
        Remnant::Is(value) => Some(
            value
                .as_str()
                .is_some_and(|word| word.eq_ignore_ascii_case("any")),
        ),
        Remnant::Unknown => Some(false),
    }
}

/// `10/minute`; none when it cannot be read: then the default limits.
fn rate(text: &str) -> Option<(u64, u64)> {
    let (packets, unit) = text.split_once('/')?;
    let seconds = match unit {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    Some((packets.parse().ok()?, seconds))
}

fn to_host(word: &str) -> ToHost {
    match word.to_ascii_lowercase().as_str() {
        "accept" => ToHost::Accept,
        "return" => ToHost::Return,
        _ => ToHost::Drop,
    }
}

fn failsafe(port: &v3::FailsafePort) -> Result<FailsafePort, String> {
    let net = match port.net.as_str() {
        "" => None,
        text => {
            let net = parse_address(text).map(IpNet::from);
            let net = net.or_else(|_no_address| parse_cidr(text));
            Some(net.map_err(|error| error.to_string())?)
        }
    };
    Ok(FailsafePort {
        protocol: port.protocol.number().ok_or("has no known protocol")?,
        port: u16::try_from(port.port).map_err(|_range| "has no port number")?,
        net,
    })
}

/// What all configurations, by name, come to on a node with these labels: its own before the oldest of those that
/// select it, the first by name of equally old ones, before the one for all. Where nobody can say whether one selects the
/// node and is the oldest there is one answer with it and one without: which of them is meant nobody knows. Neither does
/// anybody know a port of VXLAN that cannot be read: there is one answer for each that is said anywhere, and for the
/// default.
pub fn settings(
    configurations: &BTreeMap<String, Configuration>,
    node: &str,
    labels: &BTreeMap<String, String>,
) -> Vec<NodeSettings> {
    let own = configurations.get(&format!("{NODE}{node}"));
    let all = configurations.get(DEFAULT);
    let others = configurations
        .iter()
        .filter(|(name, _)| *name != DEFAULT && !name.starts_with(NODE));
    let others: Vec<(&String, &Configuration, Option<bool>)> = others
        .map(|(name, each)| (name, each, each.selects(labels)))
        .collect();
    let certain = others
        .iter()
        .filter(|(_, _, selects)| *selects == Some(true));
    let certain =
        certain.filter_map(|(name, each, _)| Some((each.created.as_ref()?, *name, *each)));
    let oldest = certain.min_by_key(|(created, name, _)| (*created, *name));
    let is_possible = |(name, each, selects): &&(&String, &Configuration, Option<bool>)| {
        let is_older = match (&each.created, oldest) {
            (Some(created), Some((than, of, _))) => (created, *name) < (than, of),
            (None, _) | (_, None) => true,
        };
        is_older && (selects.is_none() || (*selects == Some(true) && each.created.is_none()))
    };
    let possible = others
        .iter()
        .filter(is_possible)
        .map(|(_, each, _)| Some(*each));
    let known = oldest.map(|(_, _, each)| each);
    std::iter::once(known)
        .chain(possible)
        .flat_map(|selected| {
            let ranked = own.into_iter().chain(selected).chain(all);
            answers(&ranked.collect::<Vec<_>>(), configurations)
        })
        .collect()
}

/// What these come to, the first before the others.
fn answers(
    ranked: &[&Configuration],
    configurations: &BTreeMap<String, Configuration>,
) -> Vec<NodeSettings> {
    let said = ranked.iter().fold(NodeSettings::default(), |known, each| {
        each.settings.clone().under(&known)
    });
    let gives_port =
        |each: &&&Configuration| each.hides_vxlan_port || each.settings.vxlan_port.is_some();
    let gives = ranked.iter().find(gives_port);
    if !gives.is_some_and(|each| each.hides_vxlan_port) {
        return vec![said];
    }
    let elsewhere = configurations.values();
    let elsewhere = elsewhere.filter_map(|each| each.settings.vxlan_port);
    let ports: BTreeSet<u16> = elsewhere.chain([VXLAN_PORT]).collect();
    // None is the agent's own.
    let ports = ports.into_iter().map(Some).chain([None]);
    let with = |vxlan_port| NodeSettings {
        vxlan_port,
        ..said.clone()
    };
    ports.map(with).collect()
}

impl Configuration {
    /// Whether it is for nodes with these labels; none when nobody can say.
    fn selects(&self, labels: &BTreeMap<String, String>) -> Option<bool> {
        match &self.nodes {
            Nodes::Nobody => Some(false),
            Nodes::Selected(nodes) => Some(nodes.evaluate(labels)),
            Nodes::Unknown => None,
        }
    }
}
