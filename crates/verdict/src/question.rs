//! What can be asked: from whom, to whom, with which protocol and ports.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use oncilla_net::{Family, Icmp, Packet, Protocol, family_of};

/// One end of the traffic in a question.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Party {
    /// A pod, by namespace and name; its address of the question's family is used.
    Pod {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
    /// A node itself, by name.
    Node(String),
    /// An address: a pod's, a node's, or one outside the cluster.
    Address(IpAddr),
}

impl Party {
    /// A pod.
    pub fn pod(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Pod {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// `namespace/pod`, `host:NODE` or the address.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Node(node) => write!(f, "host:{node}"),
            Self::Address(addr) => addr.fmt(f),
        }
    }
}

/// Whether a new flow's first packet gets through.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Question {
    /// Who sends.
    pub source: Party,
    /// Who should receive, after any destination NAT: for a Service the pod behind it.
    pub destination: Party,
    /// Which addresses of the two are used.
    pub family: Family,
    /// The IP protocol.
    pub protocol: Protocol,
    /// The source port; 0 for protocols without ports.
    pub source_port: u16,
    /// The destination port; 0 for protocols without ports.
    pub destination_port: u16,
    /// Type and code of an ICMP message; `None`: an echo request.
    pub icmp: Option<Icmp>,
    /// By which interfaces and nodes.
    pub way: Way,
}

/// By which interfaces and nodes a packet goes. The default is the usual way: out of the source's node and into the
/// destination's by the interface that has the node's address, and no node in between.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Way {
    /// The interface by which it leaves the source's node.
    pub out_by: Option<String>,
    /// The nodes between that forward it.
    pub through: Vec<Hop>,
    /// The interface by which it comes to the destination's node.
    pub in_by: Option<String>,
    /// Where it was sent to before the first node on its way translated the destination.
    pub original: Option<SocketAddr>,
    /// Of what a node itself sends there: the interface by which it would leave untranslated. `None`: the one that has
    /// the node's address.
    pub first_out_by: Option<String>,
}

/// A node that forwards a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hop {
    /// The node.
    pub node: String,
    /// The interface by which it comes; `None`: the one that has the node's address.
    pub in_by: Option<String>,
    /// The interface by which it leaves; `None`: the one that has the node's address.
    pub out_by: Option<String>,
}

impl From<Packet> for Question {
    fn from(packet: Packet) -> Self {
        Self {
            source: Party::Address(packet.src),
            destination: Party::Address(packet.dst),
            family: family_of(packet.dst),
            protocol: packet.protocol,
            source_port: packet.src_port,
            destination_port: packet.dst_port,
            icmp: packet.icmp,
            way: Way::default(),
        }
    }
}

/// A question that has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// No such pod.
    #[error("pod {namespace}/{name} does not exist")]
    UnknownPod {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
    /// No such node.
    #[error("node {node} does not exist")]
    UnknownNode {
        /// The node's name.
        node: String,
    },
    /// The pod or node has no address of the family: not scheduled yet, finished, or single-stack.
    #[error("{party} has no {family} address")]
    NoAddress {
        /// The pod or node.
        party: Party,
        /// The family that was asked for.
        family: Family,
    },
    /// An address of the other family.
    #[error("{address} is no {family} address")]
    OtherFamily {
        /// The address.
        address: IpAddr,
        /// The family that was asked for.
        family: Family,
    },
}
