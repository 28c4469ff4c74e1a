//! What an agent is told at its start.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use oncilla_api::names::{NameError, dns_subdomain};
use oncilla_dataplane::TableOwner;
use oncilla_net::MarkMask;
use oncilla_program::{EndpointToHost, Settings};

/// Interface names have at most 15 bytes; one must be left to tell workloads apart.
const PREFIX_BYTES_MAX: usize = 14;

/// What an agent is told at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// This node's name, as in `spec.nodeName` of pods.
    pub node: NodeName,
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
    pub fn new(node: NodeName, server: impl Into<PathBuf>) -> Self {
        Self {
            node,
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

/// The name of a node: a DNS subdomain. The agent reports on the object of this name, and under another one no store
/// would take its report.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        match dns_subdomain(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(rule) => Err(NodeNameError {
                text: text.to_owned(),
                rule,
            }),
        }
    }
}

/// A text that cannot be a node's name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "node name {text:?} {rule}, as in \"n1\": use the name of the Node object and of `spec.nodeName` of pods"
)]
pub struct NodeNameError {
    /// The name as given.
    pub text: String,
    /// What names are like.
    pub rule: NameError,
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

#[cfg(test)]
mod tests {
    use super::NodeName;

    #[test]
    fn node_names_are_dns_subdomains() {
        for text in ["n1", "0", "ip-10-0-0-1.eu.compute.internal"] {
            assert_eq!(text.parse::<NodeName>().unwrap().as_str(), text);
        }
        for text in ["", "Bad_Node", "n1.", "-n", "n/1", &"a".repeat(254)] {
            let error = text.parse::<NodeName>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?} ")), "{error}");
        }
    }
}
