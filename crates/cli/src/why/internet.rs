//! `internet`: an address outside of the cluster that nothing names, as almost all are. All such addresses get one
//! verdict, since no CIDR of any object tells them apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_api::Object;
use oncilla_net::{Family, IpNet, parse_cidr_masking};
use serde_json::Value;

use super::world::World;

/// What people write, and what the answer says.
pub(crate) const INTERNET: &str = "internet";
/// First bytes of blocks that are, in part, private, shared, documentation, benchmarks or this host.
const SPECIAL: [u8; 8] = [10, 100, 127, 169, 172, 192, 198, 203];
const UNICAST_MAX: u8 = 223;
/// A block of global unicast addresses, followed by others.
const GLOBAL_V6: u16 = 0x2600;
const GLOBAL_V6_MAX: u16 = 0x26ff;

/// An address that no object names, alone or in a CIDR, if there is one.
pub(crate) fn address(world: &World, family: Family) -> Option<IpAddr> {
    let mut nets = Vec::new();
    for value in world.cluster.objects().map(Object::to_value) {
        collect(&value, &mut nets);
    }
    let is_free = |address: &IpAddr| !nets.iter().any(|net| net.contains(address));
    match family {
        Family::V4 => (1..=UNICAST_MAX)
            .filter(|byte| !SPECIAL.contains(byte))
            .map(|byte| IpAddr::from(Ipv4Addr::new(byte, 1, 1, 1)))
            .find(is_free),
        Family::V6 => (GLOBAL_V6..=GLOBAL_V6_MAX)
            .map(|block| IpAddr::from(Ipv6Addr::new(block, 1, 0, 0, 0, 0, 0, 1)))
            .find(is_free),
    }
}

/// Every address and CIDR that is written anywhere, but for those of all addresses.
fn collect(value: &Value, nets: &mut Vec<IpNet>) {
    match value {
        Value::String(text) => {
            // Annotations hold addresses in lists of their own.
            let words = text.split(|c: char| !c.is_ascii_hexdigit() && !".:/".contains(c));
            let named = words.filter_map(|word| match word.parse::<IpAddr>() {
                Ok(address) => Some(IpNet::from(address)),
                Err(_) => parse_cidr_masking(word).ok().map(|(net, _)| net),
            });
            nets.extend(named.filter(|net| net.prefix_len() > 0));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, nets)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, nets)),
        _ => {}
    }
}
