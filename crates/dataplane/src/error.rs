//! What can go wrong between us and the kernel.

use oncilla_kernel::conntrack::ConntrackError;
use oncilla_kernel::nf_tables::{BatchError, ReadError};

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// No socket.
    #[error("cannot open a netfilter socket: CAP_NET_ADMIN in this network namespace is needed")]
    Open(#[source] std::io::Error),
    /// The kernel cannot keep a table for its owner, and that was asked for.
    #[error(
        "this kernel cannot keep a table for its owner (Linux 6.9 can): start with --table-owner auto"
    )]
    NoOwner,
    /// Somebody else owns our table: most likely another agent.
    #[error(
        "the table oncilla belongs to netlink port {port}: another agent runs in this network namespace"
    )]
    Owned {
        /// The owner's netlink port; usually its process id.
        port: u32,
    },
    /// A transaction failed. Nothing of it was done.
    #[error(transparent)]
    Write(#[from] BatchError),
    /// The table cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Connections cannot be read or deleted.
    #[error(transparent)]
    Conntrack(#[from] ConntrackError),
    /// The kernel still refuses after this many groups were taken out.
    #[error("the kernel refuses the policy even with {isolated} groups denied")]
    Refused {
        /// How many groups were replaced by deny.
        isolated: usize,
        /// The last refusal.
        #[source]
        source: BatchError,
    },
}

impl DataplaneError {
    /// Whether the same step may succeed when it is tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write(error) => error.is_retryable(),
            Self::Read(error) => error.is_retryable(),
            Self::Conntrack(_) => true,
            Self::Open(_) | Self::NoOwner | Self::Owned { .. } | Self::Refused { .. } => false,
        }
    }
}
