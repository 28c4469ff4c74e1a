//! Program to nf_tables objects, and reading them back.
//!
//! [`object`] is the vocabulary: what nf_tables holds, as values. It knows neither netlink nor programs.
//! Everything else lowers a program to it, or understands what was read. A stage of values: nothing here
//! asks a kernel.
#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod backward;
mod bridge;
mod content;
mod gate;
mod group;
mod hosts;
mod linear;
mod lower;
mod names;
pub mod object;
mod read;
mod rebuild;
mod ruleset;
mod skeleton;

pub use bridge::{bridge_chain, bridge_number};
pub use content::{
    AddressForm, Placed, address_set_name, address_sets, class_set, dispatch_element, dispatch_of,
    host_element, net_element, port_set, service_set_name, service_sets, tombstone,
};
pub use gate::{HostHooks, host_elements};
pub use group::{
    GroupObjects, Placement, Surroundings, bank_elements, banks, entry_chain, lower_group,
};
pub use lower::{host_way, lower};
pub use names::{
    BankPlace, BankSetName, ChainPlace, GroupChainName, Level, STAND_IN, TABLE, Version,
};
pub use read::{Adopted, Destination, adopt};
pub use rebuild::{rebuild, reread};
pub use ruleset::{FilledChain, FilledSet, Ruleset};
pub use skeleton::{DENY_LOG_BYTES, DENY_LOG_GROUP, TOMBSTONES_MAX, skeleton, stand_in, table};
