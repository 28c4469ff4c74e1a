//! Every test of this crate that needs the kernel, in one binary. Each makes its own network namespaces.
#[path = "it/conntrack.rs"]
mod conntrack;
#[path = "it/link.rs"]
mod link;
#[path = "it/netns.rs"]
mod netns;
#[path = "it/nf_tables.rs"]
mod nf_tables;
#[path = "it/process.rs"]
mod process;
#[path = "it/raw.rs"]
mod raw;
#[path = "it/facts.rs"]
mod facts;
