//! The validated cluster: tiers, policies, rules, endpoints, network sets and profiles, and the one
//! conversion that leads from `api` objects to them.
//!
//! Kubernetes kinds become ordinary policies here, once; after this crate nobody knows where a policy came
//! from except by its key. A value of this crate is complete: defaulted, ordered, with namespaces and
//! service accounts folded into selectors. It does not know YAML, stores or the kernel.
#![forbid(unsafe_code)]

mod change;
mod convert;
mod doubt;
mod endpoint;
mod felix;
mod listed;
mod policy;
mod predicate;

pub use change::Change;
pub use convert::{Closed, Converter, FIRST_TIER, Refused, policy_key};
pub use doubt::{Doubt, Doubts, Heirs, Obscure};
pub use endpoint::{
    DEFAULT_ALLOW, Endpoint, EndpointKey, EndpointPort, HostEndpoint, HostInterface, Labels,
    NetworkSet, NetworkSetKey, Node, Profile, ProfileName,
};
pub use felix::{Configuration, FailsafePort, InterfacePrefixes, NodeSettings, ToHost, settings};
pub use listed::{ServiceKey, Slice, SliceKey};
pub use policy::{
    Action, Applies, Families, Order, Policy, PolicyKey, PolicyKind, Ports, ProtocolMatch, Rule,
    Side, Tier, TierEnd, TierName,
};
pub use predicate::{List, Predicate};
