//! Hosts: their interfaces, host endpoints of every sort, profiles, Felix's configuration, and policies for hosts.

use std::net::IpAddr;

use oncilla_api::v1::{Node, NodeAddress};
use oncilla_api::v3::{
    ALL_INTERFACES, Action, DEFAULT_ALLOW_PROFILE, EndpointPort, EndpointToHostAction,
    FailsafePort, Failsafes, FelixConfiguration, GlobalNetworkPolicy, HostEndpoint, Profile,
    Protocol, Rule,
};
use oncilla_api::{Object, PolicyType};
use oncilla_net::{Family, family_of};

use super::endpoints::PORT_NAMES;
use super::selectors::{self, LABELS};
use super::traffic::{FAILSAFE_PORTS, NETS_V4, NETS_V6, PORTS};
use super::{NODES, RandomCluster};
use crate::rng::Rng;

/// The interfaces of every node; the first has the addresses that the node is known by.
pub const INTERFACES: [&str; 2] = ["eth0", "eth1"];
/// An interface of every node that is a workload's where `interfacePrefix` says so, and no workload is ever known there.
pub(super) const TAP: &str = "tap0";
/// Where a node's own interfaces are listed.
const LIST: &str = "projectcalico.org/Interfaces";
/// The profile that is an object.
const OWN_PROFILE: &str = "hosts";
/// How many host endpoints there can be.
const HOSTS_MAX: u64 = 6;

/// The addresses of an interface of a node, one a family.
pub fn host_addresses(node: &str, interface: &str) -> [IpAddr; 2] {
    let place = |name: &str, all: &[&str]| {
        let at = all.iter().position(|each| *each == name);
        u8::try_from(at.unwrap_or_default()).unwrap_or_default()
    };
    let (node, interface) = (place(node, &NODES) + 1, place(interface, &INTERFACES));
    let v6 = [
        0xfd00,
        0x31,
        0,
        u16::from(interface),
        0,
        0,
        0,
        u16::from(node),
    ];
    [[172, 31, interface, node].into(), v6.into()]
}

/// The address of a family by which a node is known.
pub(super) fn host_address(node: &str, family: Family) -> IpAddr {
    let [v4, v6] = host_addresses(node, INTERFACES[0]);
    if family_of(v4) == family { v4 } else { v6 }
}

/// Gives a node its interfaces.
pub(super) fn dress(node: &mut Node) {
    let name = node.metadata.name.clone();
    let listed = INTERFACES.map(|interface| {
        let addresses = host_addresses(&name, interface).map(|address| format!("\"{address}\""));
        format!(
            "{{\"name\":\"{interface}\",\"addresses\":[{}]}}",
            addresses.join(",")
        )
    });
    let annotations = &mut node.metadata.annotations;
    annotations.insert(LIST.to_owned(), format!("[{}]", listed.join(",")));
    for address in host_addresses(&name, INTERFACES[0]) {
        node.status.addresses.push(NodeAddress {
            address_type: "InternalIP".to_owned(),
            address: address.to_string(),
        });
    }
}

/// Makes a policy one for hosts, now and then.
pub(super) fn stage(rng: &mut Rng, policy: &mut GlobalNetworkPolicy) {
    let spec = &mut policy.spec;
    (spec.do_not_track, spec.pre_dnat, spec.apply_on_forward) = match rng.below(10) {
        0 | 1 => (true, false, true),
        2 | 3 => (false, true, true),
        4..=6 => (false, false, true),
        _ => (false, false, false),
    };
    if spec.pre_dnat {
        spec.egress.clear();
        if !spec.types.is_empty() {
            spec.types = vec![PolicyType::Ingress];
        }
    }
}

impl RandomCluster {
    pub(super) fn new_host(&mut self) -> Object {
        let rng = &mut self.rng;
        let mut host = HostEndpoint::default();
        host.metadata.name = format!("host-{}", rng.below(HOSTS_MAX));
        host.metadata.labels = selectors::labels(rng, &LABELS);
        let node = *rng.pick(&NODES);
        let interface = *rng.pick(&INTERFACES);
        let spec = &mut host.spec;
        node.clone_into(&mut spec.node);
        match rng.below(5) {
            0 => ALL_INTERFACES.clone_into(&mut spec.interface_name),
            1 => {}
            2 if rng.chance(1, 3) => TAP.clone_into(&mut spec.interface_name),
            _ => interface.clone_into(&mut spec.interface_name),
        }
        if spec.interface_name.is_empty() || rng.chance(2, 3) {
            let addresses = host_addresses(node, interface);
            spec.expected_ips = addresses.iter().map(IpAddr::to_string).collect();
            spec.expected_ips
                .truncate(if rng.chance(1, 3) { 1 } else { 2 });
        }
        for profile in ["kns.red", OWN_PROFILE, "missing", DEFAULT_ALLOW_PROFILE] {
            let is_allow = profile == DEFAULT_ALLOW_PROFILE;
            if rng.chance(if is_allow { 2 } else { 1 }, if is_allow { 3 } else { 8 }) {
                spec.profiles.push(profile.to_owned());
            }
        }
        for name in PORT_NAMES {
            if rng.chance(1, 2) {
                spec.ports.push(EndpointPort {
                    name: name.to_owned(),
                    protocol: Protocol::Name((*rng.pick(&["TCP", "UDP", "SCTP"])).to_owned()),
                    port: i64::from(*rng.pick(&PORTS)),
                });
            }
        }
        host.into()
    }

    pub(super) fn new_profile(&mut self) -> Object {
        let rng = &mut self.rng;
        let mut profile = Profile::default();
        OWN_PROFILE.clone_into(&mut profile.metadata.name);
        profile.spec.labels_to_apply = selectors::labels(rng, &LABELS);
        for rules in [&mut profile.spec.ingress, &mut profile.spec.egress] {
            for _ in 0..rng.below(3) {
                let action = *rng.pick(&[Action::Allow, Action::Allow, Action::Deny, Action::Pass]);
                let protocol = *rng.pick(&[None, Some("TCP"), Some("UDP")]);
                rules.push(rule(action, protocol));
            }
        }
        profile.into()
    }

    pub(super) fn new_configuration(&mut self) -> Object {
        let rng = &mut self.rng;
        let mut felix = FelixConfiguration::default();
        let name = *rng.pick(&["default", "default", "node.n1", "some", "others"]);
        name.clone_into(&mut felix.metadata.name);
        let spec = &mut felix.spec;
        if matches!(name, "some" | "others") {
            spec.node_selector = Some(selectors::nodes(rng));
            // Of several the oldest holds.
            let year = rng.between(2024, 2026);
            felix.metadata.creation_timestamp = Some(format!("{year}-01-01T00:00:00Z"));
        }
        for list in [
            &mut spec.failsafe_inbound_host_ports,
            &mut spec.failsafe_outbound_host_ports,
        ] {
            if rng.chance(1, 2) {
                let ports = (0..rng.below(4)).map(|_| failsafe(rng));
                *list = Some(Failsafes(ports.collect()));
            }
        }
        spec.default_endpoint_to_host_action = *rng.pick(&[
            None,
            Some(EndpointToHostAction::Drop),
            Some(EndpointToHostAction::Accept),
            Some(EndpointToHostAction::Return),
        ]);
        spec.allow_vxlan_packets_from_workloads = *rng.pick(&[None, Some(true), Some(false)]);
        spec.allow_ipip_packets_from_workloads = *rng.pick(&[None, Some(true), Some(false)]);
        spec.vxlan_port = *rng.pick(&[None, None, Some(9000)]);
        let prefixes = *rng.pick(&[None, None, Some("cali,tap"), Some("tap"), Some("cali")]);
        spec.interface_prefix = prefixes.map(str::to_owned);
        felix.into()
    }
}

fn failsafe(rng: &mut Rng) -> FailsafePort {
    let pools: [&[&str]; 3] = [&[""], &NETS_V4, &NETS_V6];
    let pool = *rng.pick(&pools);
    FailsafePort {
        protocol: Protocol::Name((*rng.pick(&["TCP", "UDP"])).to_owned()),
        port: i64::from(*rng.pick(&FAILSAFE_PORTS)),
        net: (*rng.pick(pool)).to_owned(),
    }
}

fn rule(action: Action, protocol: Option<&str>) -> Rule {
    Rule {
        action,
        ip_version: None,
        protocol: protocol.map(|name| Protocol::Name(name.to_owned())),
        not_protocol: None,
        icmp: None,
        not_icmp: None,
        source: oncilla_api::v3::EntityRule::default(),
        destination: oncilla_api::v3::EntityRule::default(),
        http: None,
        metadata: None,
    }
}
