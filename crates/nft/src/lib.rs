//! Program to nf_tables objects, and reading them back.
//!
//! [`object`] is the vocabulary: what nf_tables holds, as values. It knows neither netlink nor programs.
#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod object;
