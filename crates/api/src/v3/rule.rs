//! One rule of a Calico policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Port, Protocol};
use crate::absent::is_default;

/// One rule: everything given must match, then the action is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What to do with traffic that matches.
    pub action: Action,
    /// Only this IP version: 4 or 6 once validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<i64>,
    /// Only this protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Every protocol but this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_protocol: Option<Protocol>,
    /// Only this ICMP type and code. Needs `protocol` ICMP or `ICMPv6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpFields>,
    /// Every ICMP type and code but this one. Needs `protocol` ICMP or `ICMPv6`.
    #[serde(rename = "notICMP", default, skip_serializing_if = "Option::is_none")]
    pub not_icmp: Option<IcmpFields>,
    /// Where the traffic comes from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: EntityRule,
    /// Where the traffic goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub destination: EntityRule,
    /// Only these HTTP requests. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpMatch>,
    /// Notes on the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RuleMetadata>,
}

/// What a [`Rule`] does with traffic that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Let it through; nothing after this is asked.
    Allow,
    /// Drop it.
    Deny,
    /// Log it and go on with the next rule.
    Log,
    /// Skip the rest of the tier.
    Pass,
}

/// One end of the traffic; everything given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EntityRule {
    /// Addresses in one of these CIDRs; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nets: Vec<String>,
    /// Addresses in none of these CIDRs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_nets: Vec<String>,
    /// Endpoints and network sets with these labels; empty means any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Not the endpoints and network sets with these labels; empty excludes nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub not_selector: String,
    /// Where the selectors look: namespaces with these labels, `global()`, or empty: the policy's own
    /// namespace, everywhere for a global policy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace_selector: String,
    /// The pods behind a service. Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<ServiceMatch>,
    /// One of these ports; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// None of these ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ports: Vec<Port>,
    /// Pods with one of these service accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountMatch>,
}

/// Pods by their service account; everything given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServiceAccountMatch {
    /// One of these names; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Service accounts with these labels; empty means any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
}

/// The pods behind one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServiceMatch {
    /// The service's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The service's namespace; empty means the policy's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// An ICMP type and code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IcmpFields {
    /// The type, 0 to 254.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<i64>,
    /// The code, 0 to 255; needs a type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
}

/// HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HttpMatch {
    /// One of these methods; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// One of these paths; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<HttpPath>,
}

/// One HTTP path: exactly one of the fields is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HttpPath {
    /// The whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// The path's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// Notes on a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleMetadata {
    /// Notes by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
