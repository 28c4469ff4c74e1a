//! The lab's address plan, and who has which address.
//!
//! ```text
//!   node N           10.64.0.N        fd00:10:64::N
//!   pods of node N   10.65.N.0/24     fd00:10:65:N::/64     (from .2 on)
//! ```
//! A pod may ask for other addresses; the fabric then gets a route of its own for them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_net::IpNet;

use crate::place::Place;

/// The first and last host number given to a pod.
const HOST_NUMBERS: std::ops::RangeInclusive<u8> = 2..=254;

/// A node's own addresses. Nodes count from 1.
pub(crate) fn of_node(node: u16) -> [IpAddr; 2] {
    let [high, low] = node.to_be_bytes();
    [
        Ipv4Addr::new(10, 64, high, low).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x64, 0, 0, 0, 0, node).into(),
    ]
}

/// The addresses that pods of a node come from.
pub(crate) fn blocks_of_node(node: u16) -> [IpNet; 2] {
    let [_, low] = node.to_be_bytes();
    [
        IpNet::new_assert(Ipv4Addr::new(10, 65, low, 0).into(), 24),
        IpNet::new_assert(
            Ipv6Addr::new(0xfd00, 0x10, 0x65, node, 0, 0, 0, 0).into(),
            64,
        ),
    ]
}

fn of_pod(node: u16, host: u8) -> [IpAddr; 2] {
    let [_, low] = node.to_be_bytes();
    let host6 = u16::from(host);
    [
        Ipv4Addr::new(10, 65, low, host).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x65, node, 0, 0, 0, host6).into(),
    ]
}

/// Whether a host outside may have the address: the plan's own and what is no unicast address are not for it.
pub(crate) fn may_be_outside(address: IpAddr) -> bool {
    let own = match address {
        IpAddr::V4(v4) => {
            let [a, b, _, _] = v4.octets();
            (a, b) == (10, 64) || (a, b) == (10, 65)
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            (a, b) == (0xfd00, 0x10) && (c == 0x64 || c == 0x65)
        }
    };
    !own && is_unicast(address)
}

fn is_unicast(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// Why a pod gets no address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// A block is used up.
    #[error("node n{node} has no address left in {block}")]
    Full {
        /// The node.
        node: u16,
        /// Its IPv4 block.
        block: IpNet,
    },
    /// Somebody else has it.
    #[error("address {address} is already {owner}'s")]
    Taken {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: Place,
    },
    /// No address that a pod can have.
    #[error("\"{text}\" is no address that a pod can have")]
    Unfit {
        /// What was asked for.
        text: String,
    },
}

/// Who has which address.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    owners: BTreeMap<IpAddr, Place>,
    /// By node, the host number tried first: an address is not given out again at once.
    next: BTreeMap<u16, u8>,
}

impl Addresses {
    /// Gives an owner the addresses it asks for.
    pub(crate) fn fix(&mut self, owner: &Place, wanted: &[IpAddr]) -> Result<(), AddressError> {
        for &address in wanted {
            if !is_unicast(address) {
                let text = address.to_string();
                return Err(AddressError::Unfit { text });
            }
            if let Some(other) = self.owners.get(&address).filter(|other| *other != owner) {
                let owner = other.clone();
                return Err(AddressError::Taken { address, owner });
            }
        }
        for &address in wanted {
            self.owners.insert(address, owner.clone());
        }
        Ok(())
    }

    /// Gives a pod of `node` one address of each family, with one host number.
    pub(crate) fn allot(&mut self, owner: &Place, node: u16) -> Result<Vec<IpAddr>, AddressError> {
        let first = *HOST_NUMBERS.start();
        let from = self.next.get(&node).copied().unwrap_or(first);
        let numbers = (from..=*HOST_NUMBERS.end()).chain(first..from);
        for host in numbers {
            let pair = of_pod(node, host);
            if pair.iter().any(|address| self.owners.contains_key(address)) {
                continue;
            }
            for address in pair {
                self.owners.insert(address, owner.clone());
            }
            let after = host.checked_add(1).filter(|n| HOST_NUMBERS.contains(n));
            self.next.insert(node, after.unwrap_or(first));
            return Ok(pair.to_vec());
        }
        let [block, _] = blocks_of_node(node);
        Err(AddressError::Full { node, block })
    }

    /// Takes addresses back from `owner`.
    pub(crate) fn give_back(&mut self, owner: &Place) {
        self.owners.retain(|_, other| other != owner);
    }
}

/// Reads a list of addresses such as `10.0.0.5,fd00::5`.
pub(crate) fn list(text: &str) -> Result<Vec<IpAddr>, AddressError> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts
        .map(|part| {
            // As Calico's annotations have it, an address may carry its own length.
            let address = part.strip_suffix("/32").or(part.strip_suffix("/128"));
            address
                .unwrap_or(part)
                .parse()
                .map_err(|_not_an_address| AddressError::Unfit {
                    text: part.to_owned(),
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{AddressError, Addresses, blocks_of_node, list, may_be_outside, of_node};
    use crate::place::Place;

    #[test]
    fn nodes_and_blocks_follow_the_plan() {
        assert_eq!(
            of_node(2).map(|a| a.to_string()),
            ["10.64.0.2", "fd00:10:64::2"]
        );
        let blocks = blocks_of_node(16).map(|b| b.to_string());
        assert_eq!(blocks, ["10.65.16.0/24", "fd00:10:65:10::/64"]);
    }

    #[test]
    fn addresses_go_round_and_are_never_shared() {
        let mut addresses = Addresses::default();
        let pod = |n: u32| Place::pod("x", &n.to_string());
        let fixed = list("10.65.1.3, fd00:10:65:1::9/128").unwrap();
        addresses.fix(&pod(0), &fixed).unwrap();
        assert!(matches!(
            addresses.fix(&pod(1), &fixed),
            Err(AddressError::Taken { .. })
        ));
        addresses.fix(&pod(0), &fixed).unwrap();
        let given: Vec<_> = (1..=251)
            .map(|n| addresses.allot(&pod(n), 1).unwrap())
            .collect();
        assert_eq!(
            given.first().unwrap().first().unwrap().to_string(),
            "10.65.1.2"
        );
        assert!(
            given
                .iter()
                .all(|pair| !pair.iter().any(|a| fixed.contains(a)))
        );
        assert!(matches!(
            addresses.allot(&pod(300), 1),
            Err(AddressError::Full { node: 1, .. })
        ));
        addresses.give_back(&pod(7));
        let again = addresses.allot(&pod(301), 1).unwrap();
        assert_eq!(Some(&again), given.get(6));
        addresses.allot(&pod(302), 2).unwrap();
    }

    #[test]
    fn outside_is_not_inside() {
        for (address, fit) in [
            ("203.0.113.10", true),
            ("10.65.1.1", false),
            ("fd00:10:65::1", false),
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("224.0.0.1", false),
            ("169.254.1.1", false),
        ] {
            assert_eq!(may_be_outside(address.parse().unwrap()), fit, "{address}");
        }
        list("10.0.0.5,x").unwrap_err();
    }
}
