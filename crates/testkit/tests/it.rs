//! Every test of this crate that needs the kernel, in one binary.
#[path = "it/prober.rs"]
mod prober;
#[path = "it/topology.rs"]
mod topology;
