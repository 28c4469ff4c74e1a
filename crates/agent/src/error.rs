//! Why an agent cannot do its work at all. What can mend itself is tried again instead.

use std::io;

use oncilla_dataplane::DataplaneError;
use oncilla_kernel::link::LinkError;

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Not allowed to change the network.
    #[error("CAP_NET_ADMIN is missing: run as root, or give the process that capability")]
    Capability,
    /// The kernel's tables cannot be opened, or belong to somebody else.
    #[error("cannot take over this network namespace")]
    Dataplane(#[source] DataplaneError),
    /// The mark has too few bits for what the node must tell apart.
    #[error("the policy of this node needs more classes than the mark has room for")]
    Exhausted(#[source] oncilla_resolve::Exhausted),
    /// The table could not be removed.
    #[error("cannot remove the table oncilla")]
    Remove(#[source] DataplaneError),
    /// News of changes cannot be had.
    #[error("cannot listen to {what}")]
    Listen {
        /// To what.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The node's own interfaces cannot be listed.
    #[error("cannot list the interfaces of this node")]
    Interfaces(#[source] LinkError),
    /// The operating system has no thread, event or runtime left.
    #[error("cannot start {what}")]
    Start {
        /// What.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The thread that enforces policy ended by itself: a programming error. The kernel keeps enforcing.
    #[error("the policy thread ended unexpectedly; the kernel keeps what it holds")]
    Ended,
}
