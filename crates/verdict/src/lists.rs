//! The endpoints of services, which rules ask for by name.
//!
//! A slice that is broken may list any address: what is known of its labels says which rules may mean it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::discovery::{EndpointSlice, SERVICE_NAME_LABEL};
use oncilla_api::{Kind, ObjectKey, Remains};
use oncilla_net::{Protocol, parse_address};

use crate::endpoint::namespace_of;
use crate::labels::LabelMap;

/// All lists of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// By namespace and name of the service: the address, and the ports of its slice.
    services: BTreeMap<(String, String), Vec<Serving>>,
    /// Broken slices.
    slices_hidden: Vec<HiddenSlice>,
}

#[derive(Debug)]
struct Serving {
    address: IpAddr,
    ports: Vec<(Protocol, i64)>,
}

/// A slice of which nobody knows what it lists.
#[derive(Debug)]
pub(crate) struct HiddenSlice {
    namespace: String,
    /// `None` when its labels cannot be read.
    service: Option<String>,
    /// What is to be said of policies that may mean it.
    pub(crate) problem: Arc<str>,
}

impl Lists {
    pub(crate) fn add_slice(&mut self, slice: &EndpointSlice) {
        let Some(service) = slice.metadata.labels.get(SERVICE_NAME_LABEL) else {
            return;
        };
        if slice.address_type == "FQDN" {
            return;
        }
        let key = (namespace_of(&slice.metadata), service.clone());
        let ports: Vec<(Protocol, i64)> = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| Some((port.protocol.unwrap_or_default().into(), port.port?)))
            .collect();
        let endpoints = slice.endpoints.iter().flatten();
        let texts = endpoints.flat_map(|endpoint| &endpoint.addresses);
        let serving = texts.filter_map(|text| {
            Some(Serving {
                address: parse_address(text).ok()?,
                ports: ports.clone(),
            })
        });
        self.services.entry(key).or_default().extend(serving);
    }

    /// Adds a broken slice; nothing for other kinds, and for a slice of no service.
    pub(crate) fn add_hidden(&mut self, key: &ObjectKey, remains: &Remains) {
        if key.kind == Kind::EndpointSlice {
            self.slices_hidden.extend(HiddenSlice::of(key, remains));
        }
    }

    pub(crate) fn slices_hidden(&self) -> &[HiddenSlice] {
        &self.slices_hidden
    }

    /// Whether the address is one of a service's endpoints.
    pub(crate) fn serves(&self, service: &(String, String), address: IpAddr) -> bool {
        let endpoints = self.services.get(service);
        endpoints.is_some_and(|all| all.iter().any(|each| each.address == address))
    }

    /// Whether the address is an endpoint of the service that has this port.
    pub(crate) fn serves_port(
        &self,
        service: &(String, String),
        address: IpAddr,
        port: (Protocol, u16),
    ) -> bool {
        let port = (port.0, i64::from(port.1));
        let endpoints = self.services.get(service);
        endpoints.is_some_and(|all| {
            all.iter()
                .any(|each| each.address == address && each.ports.contains(&port))
        })
    }

    /// Whether a broken slice may be one of the service's.
    pub(crate) fn may_serve(&self, service: &(String, String)) -> bool {
        self.slices_hidden
            .iter()
            .any(|slice| slice.may_be_of(service))
    }
}

impl HiddenSlice {
    fn of(key: &ObjectKey, remains: &Remains) -> Option<Self> {
        let labels: Option<LabelMap> = remains.read("metadata.labels");
        let service = match labels {
            None => None,
            Some(labels) => Some(labels.get(SERVICE_NAME_LABEL)?.clone()),
        };
        let errors: Vec<String> = remains.errors().iter().map(ToString::to_string).collect();
        Some(Self {
            namespace: key.namespace.clone().unwrap_or_default(),
            service,
            problem: format!(
                "{key} cannot be understood ({}), so nobody knows which endpoints it lists",
                errors.join("; ")
            )
            .into(),
        })
    }

    pub(crate) fn may_be_of(&self, (namespace, name): &(String, String)) -> bool {
        self.namespace == *namespace && self.service.as_ref().is_none_or(|of| of == name)
    }
}
