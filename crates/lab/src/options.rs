//! What a lab is asked to be.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use oncilla_api::{Object, TransportProtocol};
use serde::{Deserialize, Serialize};

/// The annotation of a pod that lists what its responder listens on: `tcp/8000,udp/53`.
pub const LISTEN_ANNOTATION: &str = "lab.oncilla/listen";
/// The annotation of a pod that fixes its addresses: `10.0.0.5,fd00::5`.
pub const IPS_ANNOTATION: &str = "lab.oncilla/ips";
/// The annotation of a node in which its agent reports: a JSON object whose `revision` is the store revision that the
/// node enforces.
pub const AGENT_ANNOTATION: &str = "oncilla.io/agent";
/// How many nodes a lab may have.
pub const NODES_MAX: u16 = 64;

/// How long a lab may take until all is ready, unless told otherwise.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// A port that answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenPort {
    /// The protocol.
    pub protocol: TransportProtocol,
    /// The port, not 0.
    pub port: u16,
}

impl ListenPort {
    /// A TCP port.
    pub const fn tcp(port: u16) -> Self {
        Self {
            protocol: TransportProtocol::Tcp,
            port,
        }
    }

    /// A UDP port.
    pub const fn udp(port: u16) -> Self {
        Self {
            protocol: TransportProtocol::Udp,
            port,
        }
    }

    /// Reads a list such as `tcp/8000,udp/53`.
    pub fn list(text: &str) -> Result<Vec<Self>, ListenPortError> {
        let parts = text.split(',').map(str::trim);
        let mut ports = parts
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<Self>, _>>()?;
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }
}

impl fmt::Display for ListenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            TransportProtocol::Tcp => "tcp",
            TransportProtocol::Udp => "udp",
            TransportProtocol::Sctp => "sctp",
        };
        write!(f, "{protocol}/{}", self.port)
    }
}

/// A text that is no port to listen on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{text}\" is no port to listen on: write tcp/8000, udp/53 or sctp/9000")]
pub struct ListenPortError {
    /// The text.
    pub text: String,
}

impl FromStr for ListenPort {
    type Err = ListenPortError;

    fn from_str(text: &str) -> Result<Self, ListenPortError> {
        let read = || {
            let (protocol, port) = text.split_once('/')?;
            let protocol = match protocol.to_ascii_lowercase().as_str() {
                "tcp" => TransportProtocol::Tcp,
                "udp" => TransportProtocol::Udp,
                "sctp" => TransportProtocol::Sctp,
                _ => return None,
            };
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some(Self { protocol, port })
        };
        read().ok_or_else(|| ListenPortError {
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for ListenPort {
    type Error = ListenPortError;

    fn try_from(text: String) -> Result<Self, ListenPortError> {
        text.parse()
    }
}

impl From<ListenPort> for String {
    fn from(port: ListenPort) -> Self {
        port.to_string()
    }
}

/// A host outside the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideHost {
    /// Its addresses, of either family. The first one is its name.
    pub addresses: Vec<IpAddr>,
    /// What answers there.
    pub listen: Vec<ListenPort>,
}

impl OutsideHost {
    /// A host that answers on the ports people usually try: tcp/80, tcp/443, tcp/8000, tcp/8080, udp/53.
    pub fn new(address: IpAddr) -> Self {
        Self {
            addresses: vec![address],
            listen: [80, 443, 8000, 8080]
                .map(ListenPort::tcp)
                .into_iter()
                .chain([ListenPort::udp(53)])
                .collect(),
        }
    }
}

/// What a lab is asked to be.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Its name: a DNS label of at most 32 bytes.
    pub name: String,
    /// How many nodes: n1, n2, …; 1 to [`NODES_MAX`].
    pub nodes: u16,
    /// Objects to create before it is ready. A pod's `status.podIPs` are its fixed addresses.
    pub objects: Vec<Object>,
    /// Hosts outside the cluster.
    pub outside: Vec<OutsideHost>,
    /// The agent's program and first arguments; `--node NAME --server SOCKET` is added. Empty: no agents.
    pub agent_command: Vec<OsString>,
    /// Program and arguments that lead to [`run_role`](crate::run_role), which adds its own.
    pub supervisor_command: Vec<OsString>,
    /// How long it may take until all pods are ready and all agents current.
    pub ready_timeout: Duration,
}

impl LabOptions {
    /// A lab of two nodes whose supervisor and agents are `executable`.
    pub fn new(name: &str, executable: OsString) -> Self {
        Self {
            name: name.to_owned(),
            nodes: 2,
            objects: Vec::new(),
            outside: Vec::new(),
            agent_command: vec![executable.clone(), "agent".into()],
            supervisor_command: vec![executable],
            ready_timeout: READY_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ListenPort;

    #[test]
    fn port_lists_are_read_sorted_and_refused_by_name() {
        let ports = ListenPort::list(" udp/53, tcp/8000,tcp/8000 ").unwrap();
        assert_eq!(ports, [ListenPort::tcp(8000), ListenPort::udp(53)]);
        assert_eq!(ListenPort::list("").unwrap(), []);
        for text in ["8000", "tcp/0", "tcp/65536", "icmp/8", "tcp/http"] {
            let error = ListenPort::list(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
