//! What goes wrong when the kernel is written to or read.

use std::fmt;
use std::io;

use oncilla_nft::object::Name;
use thiserror::Error;

use super::batch::Operation;

/// Bytes from the kernel that are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Malformed {
    /// A message is cut short.
    #[error("netlink message with a wrong length")]
    Message,
    /// An attribute is cut short.
    #[error("netlink attribute with a wrong length")]
    Attribute,
    /// A number has the wrong size.
    #[error("netlink number of a wrong size")]
    Length,
    /// A text is not UTF-8.
    #[error("netlink text that is not UTF-8")]
    Text,
    /// Something is missing that the kernel always sends.
    #[error("netlink attribute {0} is missing")]
    Missing(&'static str),
    /// A number stands for nothing known.
    #[error("unknown {what} {number}")]
    Unknown {
        /// What it is a number of.
        what: &'static str,
        /// The number.
        number: u32,
    },
}

/// One change that the kernel refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which call on the batch, counted from 0.
    pub index: usize,
    /// What it was.
    pub operation: Operation,
    /// Which of the call's elements, counted from 0, when the kernel said so.
    pub element: Option<usize>,
    /// The error number.
    pub errno: i32,
    /// The kernel's own words, when it had some.
    pub text: Option<String>,
}

impl Refusal {
    /// The kind of the error: `NotFound`, `AlreadyExists`, `ResourceBusy`, `PermissionDenied` and so on.
    pub fn kind(&self) -> io::ErrorKind {
        io::Error::from_raw_os_error(self.errno).kind()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = io::Error::from_raw_os_error(self.errno);
        write!(f, "change {}, {}", self.index, self.operation)?;
        if let Some(element) = self.element {
            write!(f, ", element {element}")?;
        }
        write!(f, ": {error}")?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

/// A batch that changed nothing in the kernel. In every case nothing of the batch was done.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The kernel refused some of the changes, and so all of them.
    #[error("table {table}: the kernel refused {} of {changes} changes, and so did none; first {}", refusals.len(), first(refusals))]
    Refused {
        /// The batch's table.
        table: Name,
        /// How many changes the batch has.
        changes: usize,
        /// The refused ones in order, at least one.
        refusals: Vec<Refusal>,
    },
    /// The kernel refused the batch as a whole, for instance for lack of a capability or memory, or at its commit.
    #[error("table {table}: the kernel refused the whole batch")]
    Whole {
        /// The batch's table.
        table: Name,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody changed the ruleset after the generation the batch expects: read again and build a new batch.
    #[error("table {table}: the ruleset is no longer at generation {expected}")]
    Outdated {
        /// The batch's table.
        table: Name,
        /// The generation the batch was made for.
        expected: u32,
    },
    /// More bytes than the socket takes at once: split it. Without `CAP_NET_ADMIN` outside every user namespace the
    /// limit is `net.core.wmem_max`.
    #[error(
        "table {table}: a batch of {bytes} bytes is above the {bytes_max} that the socket takes"
    )]
    TooLarge {
        /// The batch's table.
        table: Name,
        /// Bytes of the batch.
        bytes: usize,
        /// Bytes the socket takes.
        bytes_max: usize,
    },
    /// The socket failed.
    #[error("table {table}: the netlink socket failed")]
    Socket {
        /// The batch's table.
        table: Name,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel took the batch and said nothing: read the table to learn what happened.
    #[error("table {table}: the kernel gave no answer to a batch")]
    NoAnswer {
        /// The batch's table.
        table: Name,
    },
}

impl BatchError {
    /// Whether the same changes may succeed later, after reading the kernel's state again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Outdated { .. } | Self::NoAnswer { .. } => true,
            Self::Whole { source, .. } | Self::Socket { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory
            ),
            Self::Refused { .. } | Self::TooLarge { .. } => false,
        }
    }

    /// The refused changes.
    pub fn refusals(&self) -> &[Refusal] {
        match self {
            Self::Refused { refusals, .. } => refusals,
            Self::Whole { .. }
            | Self::Outdated { .. }
            | Self::TooLarge { .. }
            | Self::Socket { .. }
            | Self::NoAnswer { .. } => &[],
        }
    }
}

fn first(refusals: &[Refusal]) -> String {
    refusals.first().map(Refusal::to_string).unwrap_or_default()
}

/// The kernel's state could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The socket failed.
    #[error("the netlink socket failed while {what} were read")]
    Socket {
        /// What was read.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused, for instance because the set is not there.
    #[error("the kernel does not list {what}")]
    Refused {
        /// What was read.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel's state changed during every try.
    #[error("{what} changed during each of {tries} readings: try again when others write less")]
    Restless {
        /// What was read.
        what: &'static str,
        /// How often it was tried.
        tries: u32,
    },
    /// The kernel sent what cannot be understood.
    #[error("the kernel's list of {what} cannot be understood")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Why.
        #[source]
        source: Malformed,
    },
}

impl ReadError {
    /// Whether what was asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether reading again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Restless { .. } | Self::Socket { .. })
    }
}
