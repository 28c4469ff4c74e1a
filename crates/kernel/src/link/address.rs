//! Addresses and permanent neighbours of an interface.

use std::net::IpAddr;

use netlink_packet_core::Parseable as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use oncilla_net::IpNet;

use super::{LinkError, Links, Mac, emit, exists_is_fine};
use crate::netlink::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;

impl Links {
    /// The addresses of an interface, link-local ones included, sorted.
    pub fn addresses(&mut self, name: &str) -> Result<Vec<IpNet>, LinkError> {
        let index = self.index(name)?;
        let mut found = self
            .channel
            .dump(
                RTM_GETADDR,
                &emit(&AddressMessage::default()),
                &mut |message| {
                    let message = AddressMessage::parse(message.body).ok()?;
                    (message.header.index == index).then(|| decode(&message))?
                },
            )
            .map_err(|source| LinkError::List {
                what: "addresses",
                source,
            })?;
        found.sort();
        Ok(found)
    }

    /// Adds an address with its prefix length. An IPv6 address is usable at once: duplicates are not looked for.
    pub fn add_address(&mut self, name: &str, address: IpNet) -> Result<(), LinkError> {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.change_address((RTM_NEWADDR, flags, "add"), name, address)
    }

    /// Adds an address unless it is there.
    pub fn ensure_address(&mut self, name: &str, address: IpNet) -> Result<(), LinkError> {
        exists_is_fine(self.add_address(name, address))
    }

    /// Removes an address.
    pub fn delete_address(&mut self, name: &str, address: IpNet) -> Result<(), LinkError> {
        self.change_address((RTM_DELADDR, 0, "delete"), name, address)
    }

    /// Sets a permanent neighbour: nobody is asked for its hardware address any more.
    pub fn replace_neighbour(
        &mut self,
        name: &str,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(), LinkError> {
        let mut message = neighbour(self.index(name)?, address);
        message.header.state = NeighbourState::Permanent;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        self.channel
            .request(
                RTM_NEWNEIGH,
                NLM_F_CREATE | NLM_F_REPLACE,
                &emit(&message),
                &mut |_| {},
            )
            .map_err(|source| LinkError::Neighbour {
                address,
                iface: name.to_owned(),
                source,
            })
    }

    /// Removes a neighbour.
    pub fn delete_neighbour(&mut self, name: &str, address: IpAddr) -> Result<(), LinkError> {
        let message = neighbour(self.index(name)?, address);
        self.channel
            .request(RTM_DELNEIGH, 0, &emit(&message), &mut |_| {})
            .map_err(|source| LinkError::Neighbour {
                address,
                iface: name.to_owned(),
                source,
            })
    }

    fn change_address(
        &mut self,
        (kind, flags, action): (u16, u16, &'static str),
        name: &str,
        address: IpNet,
    ) -> Result<(), LinkError> {
        let mut message = AddressMessage::default();
        message.header.index = self.index(name)?;
        message.header.family = family(address.addr());
        message.header.prefix_len = address.prefix_len();
        if address.addr().is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes = vec![
            AddressAttribute::Local(address.addr()),
            AddressAttribute::Address(address.addr()),
        ];
        self.channel
            .request(kind, flags, &emit(&message), &mut |_| {})
            .map_err(|source| LinkError::Address {
                action,
                address,
                iface: name.to_owned(),
                source,
            })
    }
}

pub(super) fn family(addr: IpAddr) -> AddressFamily {
    match addr {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn neighbour(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    message.header.family = family(address);
    message
        .attributes
        .push(NeighbourAttribute::Destination(match address {
            IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
            IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
        }));
    message
}

/// `Local` is the interface's own address; `Address` is the other end's on point-to-point links.
fn decode(message: &AddressMessage) -> Option<IpNet> {
    let mut own = None;
    let mut any = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(addr) => own = Some(*addr),
            AddressAttribute::Address(addr) => any = Some(*addr),
            _ => {}
        }
    }
    IpNet::new(own.or(any)?, message.header.prefix_len).ok()
}
