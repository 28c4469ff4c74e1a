//! Every test of this crate that needs the kernel, in one binary. Each makes its own network namespaces.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "it/conntrack.rs"]
mod conntrack;
#[path = "it/facts.rs"]
mod facts;
#[path = "it/hooks.rs"]
mod hooks;
#[path = "it/host_ip.rs"]
mod host_ip;
#[path = "it/link.rs"]
mod link;
#[path = "it/netns.rs"]
mod netns;
#[path = "it/nf_tables.rs"]
mod nf_tables;
#[path = "it/nflog.rs"]
mod nflog;
#[path = "it/process.rs"]
mod process;
#[path = "it/raw.rs"]
mod raw;
#[path = "it/trouble.rs"]
mod trouble;
