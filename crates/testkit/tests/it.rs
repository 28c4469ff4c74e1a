//! Every test of this crate that needs the kernel, in one binary.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#[path = "it/prober.rs"]
mod prober;
#[path = "it/topology.rs"]
mod topology;
