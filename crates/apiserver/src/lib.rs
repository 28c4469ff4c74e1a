//! A Kubernetes-style REST API over a store, on a unix socket.
//!
//! ```text
//!   socket (mode, peers) ─▶ routes ─▶ target, query ─▶ read | watch | write ─▶ Store
//!                                                          metadata, validation, admission
//! ```
//! What a kube-apiserver answers, this one answers in the same words: agents and the command line
//! cannot tell them apart. It knows nothing of the kernel and reads no clock but the one it is
//! given.

mod admission;
mod bootstrap;
mod discovery;
mod failure;
mod merge;
mod metadata;
mod query;
mod routes;
mod select;
mod serve;
mod socket;
mod target;
mod watching;
mod writing;

pub use bootstrap::BUILT_IN_TIERS;
pub use query::{WATCH_SECONDS_DEFAULT, WATCH_SECONDS_MAX};
pub use routes::BODY_BYTES_MAX;
pub use serve::{CONNECTIONS_MAX, Clock, Options, ServeError, serve};
pub use socket::{ApiListener, BindError, bind};
