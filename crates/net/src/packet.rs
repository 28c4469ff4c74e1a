//! One packet's headers, as policy sees them, and what becomes of it.

use std::fmt;
use std::net::IpAddr;

use crate::{Family, Protocol, family_of};

/// A direction, seen from the endpoint that a policy selects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// Traffic to the endpoint.
    Ingress,
    /// Traffic from the endpoint.
    Egress,
}

impl Direction {
    /// Both directions, in order.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// What an ICMP or `ICMPv6` message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Icmp {
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
}

impl Icmp {
    /// The echo request that `ping` sends; `None` for protocols without types.
    pub const fn echo(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::ICMP => Some(Self { kind: 8, code: 0 }),
            Protocol::ICMPV6 => Some(Self { kind: 128, code: 0 }),
            _ => None,
        }
    }
}

/// `8`, or `3/1` when there is a code.
impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            0 => write!(f, "{}", self.kind),
            code => write!(f, "{}/{code}", self.kind),
        }
    }
}

/// Which ICMP or `ICMPv6` messages are meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IcmpMatch {
    /// The type.
    pub kind: u8,
    /// The code; `None`: every code.
    pub code: Option<u8>,
}

impl IcmpMatch {
    /// Whether a message is meant.
    pub fn holds(self, icmp: Icmp) -> bool {
        self.kind == icmp.kind && self.code.is_none_or(|code| code == icmp.code)
    }
}

/// `8`, or `8/0` when only one code is meant.
impl fmt::Display for IcmpMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        self.code.map_or(Ok(()), |code| write!(f, "/{code}"))
    }
}

/// The headers of a new flow's first packet, after any destination NAT: what policy is asked about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Packet {
    /// Source address. Of the same family as `dst`.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IP protocol.
    pub protocol: Protocol,
    /// Source port; 0 for protocols without ports.
    pub src_port: u16,
    /// Destination port; 0 for protocols without ports.
    pub dst_port: u16,
    /// Type and code, for ICMP and `ICMPv6` only.
    pub icmp: Option<Icmp>,
}

impl Packet {
    /// The packet's address family, by its destination.
    pub const fn family(&self) -> Family {
        family_of(self.dst)
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// Let through.
    Allow,
    /// Dropped.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}
