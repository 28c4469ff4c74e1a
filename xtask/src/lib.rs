//! Checks and code generation of this repository.
//!
//! [`tidy`] reads the tree once into a [`Repo`] value and runs small checks over it. A check is a
//! plain function from that value to findings, so that each can be shown a made-up tree and must
//! object to it. It knows the layout of the house and nothing of what the crates do.

pub mod graph;
pub mod repo;
pub mod source;
pub mod spdx;
pub mod tidy;

pub use repo::{Finding, Repo};
