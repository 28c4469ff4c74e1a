//! What an agent is told at its start.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use oncilla_api::names::{NameError, dns_subdomain};
use oncilla_api::v3::{INTERFACE_PREFIX_BYTES_MAX, INTERFACE_PREFIXES_MAX, is_interface_prefix};
use oncilla_dataplane::TableOwner;
use oncilla_net::MarkMask;
use oncilla_program::{EndpointToHost, InterfacePrefixes, Settings};

/// What an agent is told at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// This node's name, as in `spec.nodeName` of pods.
    pub node: NodeName,
    /// The API server's socket.
    pub server: PathBuf,
    /// Which interfaces are workloads', beside those of Felix's configuration.
    pub interface_prefixes: PrefixList,
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
            interface_prefixes: PrefixList::default(),
            mark_mask: MarkMask::default(),
            endpoint_to_host: EndpointToHost::Accept,
            table_owner: TableOwner::Auto,
            keep_established: false,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            mask: self.mark_mask,
            interface_prefixes: self.interface_prefixes.in_force(),
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

/// What the names of workloads' interfaces begin with: `cali`, or several, separated by commas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrefixList {
    /// How the interfaces of pods are called.
    first: Arc<str>,
    more: Vec<Arc<str>>,
}

impl PrefixList {
    /// The beginning of the names of pods' interfaces.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// All of them.
    pub fn in_force(&self) -> InterfacePrefixes {
        InterfacePrefixes::from(self.first()).with(self.more.iter().cloned())
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let more = self.more.iter().map(|prefix| &**prefix);
        std::iter::once(self.first()).chain(more)
    }
}

impl Default for PrefixList {
    /// Calico's.
    fn default() -> Self {
        Self {
            first: "cali".into(),
            more: Vec::new(),
        }
    }
}

impl FromStr for PrefixList {
    type Err = InterfacePrefixError;

    fn from_str(text: &str) -> Result<Self, InterfacePrefixError> {
        let mut all = Vec::new();
        for prefix in text.split(',') {
            if !is_interface_prefix(prefix) || all.len() == INTERFACE_PREFIXES_MAX {
                let text = prefix.to_owned();
                return Err(InterfacePrefixError { text });
            }
            all.push(Arc::from(prefix));
        }
        let first = all.remove(0);
        Ok(Self { first, more: all })
    }
}

/// A prefix that would catch no interface, or all of them, or one too many.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "interface prefix {text:?}: write one to {INTERFACE_PREFIXES_MAX}, separated by commas, of 1 to \
     {INTERFACE_PREFIX_BYTES_MAX} letters, digits, `-`, `_` or `.` each, as in \"cali\" or \"cali,tap\""
)]
pub struct InterfacePrefixError {
    /// The prefix as given.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::{NodeName, PrefixList};

    #[test]
    fn the_first_prefix_is_that_of_pods_and_all_are_workloads() {
        let list: PrefixList = "veth,cali,tap-".parse().unwrap();
        assert_eq!(list.first(), "veth");
        let listed: Vec<&str> = list.iter().collect();
        assert_eq!(listed, ["veth", "cali", "tap-"]);
        let in_force = list.in_force();
        assert_eq!(
            in_force.iter().collect::<Vec<_>>(),
            ["cali", "tap-", "veth"]
        );
        assert_eq!(PrefixList::default(), "cali".parse().unwrap());
        let many = ["a"; 33].join(",");
        for text in [
            "",
            "cali,",
            ",cali",
            "cali, tap",
            "a/b",
            "fifteen--bytes-",
            &many,
        ] {
            let error = text.parse::<PrefixList>().unwrap_err().to_string();
            assert!(error.contains("write one to 32"), "{text}: {error}");
        }
    }

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
