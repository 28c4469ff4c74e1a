//! What an agent is told at its start.

use std::path::PathBuf;
use std::sync::Arc;

use oncilla_dataplane::TableOwner;
use oncilla_net::MarkMask;
use oncilla_program::{EndpointToHost, Settings};

/// Interface names have at most 15 bytes; one must be left to tell workloads apart.
const PREFIX_BYTES_MAX: usize = 14;

/// What an agent is told at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// This node's name, as in `spec.nodeName` of pods.
    pub node: String,
    /// The API server's socket.
    pub server: PathBuf,
    /// Workload interfaces start with this; see [`interface_prefix`].
    pub interface_prefix: Arc<str>,
    /// The mark bits that are ours.
    pub mark_mask: MarkMask,
    /// From a workload to its own host.
    pub endpoint_to_host: EndpointToHost,
    /// Whether the kernel keeps others from changing our table.
    pub table_owner: TableOwner,
    /// Established connections are left alone when a policy starts to deny them.
    pub keep_established: bool,
}

impl Options {
    /// With the defaults of `oncilla agent`.
    pub fn new(node: &str, server: impl Into<PathBuf>) -> Self {
        Self {
            node: node.to_owned(),
            server: server.into(),
            interface_prefix: "cali".into(),
            mark_mask: MarkMask::default(),
            endpoint_to_host: EndpointToHost::Accept,
            table_owner: TableOwner::Auto,
            keep_established: false,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            mask: self.mark_mask,
            interface_prefix: Arc::clone(&self.interface_prefix),
            endpoint_to_host: self.endpoint_to_host,
            ..Settings::default()
        }
    }
}

/// A prefix that would catch no interface, or all of them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "interface prefix {text:?} must have 1 to 14 characters, letters, digits, `-`, `_` or `.`, as in \"cali\""
)]
pub struct InterfacePrefixError {
    /// The prefix as given.
    pub text: String,
}

/// Checks a prefix of workload interfaces.
///
/// # Errors
/// When it is empty, too long, or has characters that interface names do not have.
pub fn interface_prefix(text: &str) -> Result<Arc<str>, InterfacePrefixError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > PREFIX_BYTES_MAX || !text.bytes().all(plain) {
        return Err(InterfacePrefixError {
            text: text.to_owned(),
        });
    }
    Ok(text.into())
}
