//! The executable as people run it: against a real API server over a store in memory, and with labs of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "it/applying.rs"]
mod applying;
#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/cluster_policies.rs"]
mod cluster_policies;
#[path = "it/deleting.rs"]
mod deleting;
#[path = "it/demo.rs"]
mod demo;
#[path = "it/describing.rs"]
mod describing;
#[path = "it/documents.rs"]
mod documents;
#[path = "it/getting.rs"]
mod getting;
#[path = "it/home.rs"]
mod home;
#[path = "it/interrupting.rs"]
mod interrupting;
#[path = "it/lab_hosts.rs"]
mod lab_hosts;
#[path = "it/labs.rs"]
mod labs;
#[path = "it/logging.rs"]
mod logging;
#[path = "it/origins.rs"]
mod origins;
#[path = "it/schema.rs"]
mod schema;
#[path = "it/serving.rs"]
mod serving;
#[path = "it/staged.rs"]
mod staged;
#[path = "it/standing_alone.rs"]
mod standing_alone;
#[path = "it/stating.rs"]
mod stating;
#[path = "it/validating.rs"]
mod validating;
#[path = "it/verifying.rs"]
mod verifying;
#[path = "it/why.rs"]
mod why;
#[path = "it/why_online.rs"]
mod why_online;
