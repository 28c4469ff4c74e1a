//! Slices of endpoints, and rules that ask for services.

use oncilla_api::discovery::{EndpointSlice, SERVICE_NAME_LABEL, SliceEndpoint, SlicePort};
use oncilla_api::v1::Rest;
use oncilla_api::v3::{Action, Protocol, Rule, ServiceMatch};
use oncilla_api::{Object, PolicyType, TransportProtocol};

use super::rules::bare;
use super::traffic::PORTS;
use super::{NAMESPACES, RandomCluster};
use crate::rng::Rng;

/// Services that slices and rules name.
const SERVICES: [&str; 2] = ["web", "db"];
/// Where they are: few namespaces, so that they meet.
const PLACES: &[&str] = &[NAMESPACES[0], NAMESPACES[1]];
/// Slices: few, so that they are changed as well.
const SLICES: u64 = 6;
impl RandomCluster {
    pub(super) fn new_slice(&mut self) -> Object {
        let mut pool = self.pod_addresses();
        pool.extend(Self::outside_addresses());
        let rng = &mut self.rng;
        let mut slice = EndpointSlice::default();
        slice.metadata.name = format!("slice-{}", rng.below(SLICES));
        slice.metadata.namespace = Some((*rng.pick(PLACES)).to_owned());
        if rng.chance(7, 8) {
            let service = (*rng.pick(&SERVICES)).to_owned();
            let label = SERVICE_NAME_LABEL.to_owned();
            slice.metadata.labels.insert(label, service);
        }
        let is_v4 = rng.chance(1, 2);
        let is_named = rng.chance(1, 12);
        let address_type = match (is_named, is_v4) {
            (true, _) => "FQDN",
            (false, true) => "IPv4",
            (false, false) => "IPv6",
        };
        address_type.clone_into(&mut slice.address_type);
        pool.retain(|address| address.is_ipv4() == is_v4);
        let endpoint = |rng: &mut Rng| {
            let address = if is_named {
                "example.org".to_owned()
            } else {
                rng.pick(&pool).to_string()
            };
            // Policy asks nobody whether he is ready.
            let ready = Rest::from_iter([("ready".to_owned(), rng.chance(1, 2).into())]);
            SliceEndpoint {
                addresses: vec![address],
                rest: Rest::from_iter([("conditions".to_owned(), ready.into())]),
            }
        };
        let count = rng.below(10);
        slice.endpoints = (count > 0).then(|| (0..count).map(|_| endpoint(rng)).collect());
        let ports = rng.below(9);
        slice.ports = (ports > 0).then(|| (0..ports).map(|_| port(rng)).collect());
        slice.into()
    }
}

fn port(rng: &mut Rng) -> SlicePort {
    SlicePort {
        port: rng.chance(7, 8).then(|| i64::from(*rng.pick(&PORTS))),
        protocol: *rng.pick(&[
            None,
            Some(TransportProtocol::Tcp),
            Some(TransportProtocol::Udp),
            Some(TransportProtocol::Sctp),
        ]),
        ..SlicePort::default()
    }
}

/// A rule that asks for a service: where packets come from, or where they go with the service's ports.
pub(super) fn rule(rng: &mut Rng, direction: PolicyType, has_namespace: bool) -> Rule {
    let mut rule = bare(*rng.pick(&[Action::Allow, Action::Allow, Action::Deny, Action::Pass]));
    let namespace = if has_namespace && rng.chance(3, 4) {
        String::new()
    } else {
        (*rng.pick(PLACES)).to_owned()
    };
    let services = Some(ServiceMatch {
        name: (*rng.pick(&SERVICES)).to_owned(),
        namespace,
    });
    match direction {
        PolicyType::Ingress => rule.source.services = services,
        PolicyType::Egress => rule.destination.services = services,
    }
    if rng.chance(1, 4) {
        let name = *rng.pick(&["TCP", "UDP", "SCTP"]);
        rule.protocol = Some(Protocol::Name(name.to_owned()));
    } else if rng.chance(1, 8) {
        rule.ip_version = Some(*rng.pick(&[4, 6]));
    }
    rule
}
