//! What policy knows of hosts: host endpoints, and the profiles behind all tiers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Protocol, Rule};
use crate::meta::ObjectMeta;

/// The interface name that stands for every interface of a node.
pub const ALL_INTERFACES: &str = "*";
/// The profile that allows everything both ways; it is always there, and nobody can change it.
pub const DEFAULT_ALLOW_PROFILE: &str = "projectcalico-default-allow";

/// An interface of a node, or all of them, that policy judges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostEndpoint {
    /// Name and labels.
    pub metadata: ObjectMeta,
    /// Which interface.
    pub spec: HostEndpointSpec,
}

/// Which interface a [`HostEndpoint`] is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostEndpointSpec {
    /// The node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The interface, `*` for all of them; empty means the one that has an expected address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interface_name: String,
    /// The addresses by which rules of others know this endpoint.
    #[serde(rename = "expectedIPs", skip_serializing_if = "Vec::is_empty")]
    pub expected_ips: Vec<String>,
    /// Profiles, asked in this order when no tier has decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Ports by the names that rules may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<EndpointPort>,
}

/// A named port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointPort {
    /// The name.
    pub name: String,
    /// TCP, UDP or SCTP once validated.
    pub protocol: Protocol,
    /// The port, 1 to 65535 once validated.
    pub port: i64,
}

/// Labels and rules that endpoints share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Profile {
    /// The name.
    pub metadata: ObjectMeta,
    /// Labels and rules.
    pub spec: ProfileSpec,
}

/// The labels and rules of a [`Profile`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProfileSpec {
    /// Rules for traffic to the endpoint, first match decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Rule>,
    /// Rules for traffic from the endpoint, first match decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Rule>,
    /// Labels that the endpoint gets; its own win.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels_to_apply: BTreeMap<String, String>,
}
