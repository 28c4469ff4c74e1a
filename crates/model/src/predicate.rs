//! Predicates: what a rule asks about an address.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use oncilla_net::{IpNet, Protocol};
use oncilla_selector::Selector;

use crate::ServiceKey;

/// What a rule asks about an address. Two predicates are equal when their canonical texts are.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// The address belongs to an endpoint or network set that the selector selects.
    Selector {
        /// The canonical text.
        text: Arc<str>,
        /// The selector, with namespace and service account folded in.
        selector: Selector,
    },
    /// The address is inside one of these CIDRs.
    Nets {
        /// The canonical text.
        text: Arc<str>,
        /// Sorted, without repetition, each masked. Both families.
        nets: Arc<[IpNet]>,
    },
    /// The address is a node's that the selector selects. No other predicate knows nodes.
    Nodes {
        /// The canonical text.
        text: Arc<str>,
        /// The selector, over the labels of Node objects.
        selector: Selector,
    },
    /// The address belongs to an endpoint that has a port of this name and protocol. Answered by port
    /// numbers.
    NamedPort {
        /// The canonical text.
        text: Arc<str>,
        /// Only endpoints that this selector selects; `None`: all.
        selector: Option<Selector>,
        /// The port's name.
        port: Arc<str>,
        /// The port's protocol.
        protocol: Protocol,
    },
    /// The address is in a list that another kind keeps. Always asked by address: such an address tells no
    /// endpoint from another, so it has no class for it.
    Listed {
        /// The canonical text.
        text: Arc<str>,
        /// Which list.
        list: List,
    },
}

/// A list of addresses.
#[derive(Clone, Debug)]
pub enum List {
    /// The addresses of a service's endpoints.
    Service(ServiceKey),
    /// The addresses of a service's endpoints with their protocols and ports: asks for the packet's destination
    /// port as well.
    ServicePorts(ServiceKey),
}

impl List {
    /// The service whose endpoints are listed.
    pub const fn service(&self) -> &ServiceKey {
        let (Self::Service(service) | Self::ServicePorts(service)) = self;
        service
    }
}

impl Predicate {
    /// The predicate of a selector.
    pub fn selector(selector: Selector) -> Self {
        let text = text_of("selector ", &selector);
        Self::Selector { text, selector }
    }

    /// The predicate of a list of CIDRs.
    pub fn nets(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let mut nets: Vec<IpNet> = nets.into_iter().map(|net| net.trunc()).collect();
        nets.sort_unstable();
        nets.dedup();
        let mut text = String::with_capacity(5 + 18 * nets.len());
        text.push_str("nets ");
        for (index, net) in nets.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.extend([net.to_string()]);
        }
        Self::Nets {
            text: text.into(),
            nets: nets.into(),
        }
    }

    /// The predicate of a selector of nodes.
    pub fn nodes(selector: Selector) -> Self {
        let text = text_of("nodes ", &selector);
        Self::Nodes { text, selector }
    }

    /// The predicate of a port name.
    pub fn named_port(selector: Option<Selector>, port: &str, protocol: Protocol) -> Self {
        let text = match &selector {
            Some(selector) => format!("port {protocol}/{port} of {selector}"),
            None => format!("port {protocol}/{port}"),
        };
        Self::NamedPort {
            text: text.into(),
            selector,
            port: port.into(),
            protocol,
        }
    }

    /// The predicate of a list.
    pub fn listed(list: List) -> Self {
        let text = match &list {
            List::Service(service) => format!("service {service}"),
            List::ServicePorts(service) => format!("ports of service {service}"),
        };
        Self::Listed {
            text: text.into(),
            list,
        }
    }

    /// The list that the predicate asks, when it asks one.
    pub const fn list(&self) -> Option<&List> {
        match self {
            Self::Listed { list, .. } => Some(list),
            Self::Selector { .. }
            | Self::Nets { .. }
            | Self::Nodes { .. }
            | Self::NamedPort { .. } => None,
        }
    }

    /// The canonical text: equal for equal predicates, and readable.
    pub fn text(&self) -> &Arc<str> {
        match self {
            Self::Selector { text, .. }
            | Self::Nets { text, .. }
            | Self::Nodes { text, .. }
            | Self::NamedPort { text, .. }
            | Self::Listed { text, .. } => text,
        }
    }
}

/// How long most selectors are, in bytes, with room to spare.
const TEXT_BYTES: usize = 160;

fn text_of(what: &str, selector: &Selector) -> Arc<str> {
    let mut text = String::with_capacity(TEXT_BYTES);
    text.push_str(what);
    write!(text, "{selector}").expect("a string takes everything");
    text.into()
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Predicate {}

impl PartialOrd for Predicate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Predicate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text().cmp(other.text())
    }
}

impl Hash for Predicate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
