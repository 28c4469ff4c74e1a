//! A client of a Kubernetes-style REST API: the same paths and wire forms whether oncilla's own
//! server answers on a unix socket or a kube-apiserver over TLS; only the [`Connect`] differs.
//!
//! ```text
//!   Follow ──list, watch, relist──> Client ──one request per connection at a time──> Connect
//! ```
//! No task is spawned: a connection is driven by whoever waits for its answer.

mod client;
mod collection;
mod connect;
mod decode;
mod error;
mod follow;
mod lines;
#[cfg(test)]
mod tests;
mod wire;

pub use client::{Client, RESPONSE_BYTES_MAX};
pub use collection::Collection;
pub use connect::{Connect, Connecting, Stream, UnixConnect};
pub use error::{ApiStatus, RestError, StatusCause, StatusDetails};
pub use follow::{Event, Follow};
pub use lines::{ApiEvent, EVENT_BYTES_MAX, WatchStream};
