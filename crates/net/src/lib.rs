//! Values of the network layer: address families, CIDRs, protocols, ports, marks and packet headers.
//!
//! Level 1: knows no policy, no files, no time. Everything here is a plain value with a total order, so
//! that later stages can keep their output deterministic.
#![forbid(unsafe_code)]

mod addr_map;
mod checksum;
mod cidr;
pub mod fault;
mod mark;
mod packet;
mod port;
mod protocol;

pub use addr_map::AddrMap4;
pub use checksum::crc32c;
pub use cidr::{
    AddressError, CidrError, Family, family_of, masked, parse_address, parse_cidr,
    parse_cidr_masking,
};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use mark::{Mark, MarkMask, MaskError};
pub use packet::{Direction, Icmp, IcmpMatch, Packet, Verdict};
pub use port::{PORTS_KEYED_MAX, PortRange, PortRangeError, PortSet};
pub use protocol::{Protocol, ProtocolError};
