//! A chain that asks two groups: for the moment in which an endpoint goes from the one to the other.

use oncilla_net::Direction;

use crate::names::short;
use crate::object::{Chain, Name, Rule};
use crate::ruleset::FilledChain;

const PREFIX: &str = "both_";

/// The chain `both_in_INTERFACE_NUMBER`: a packet passes when both chains let it pass.
pub fn bridge_chain(
    interface: &str,
    direction: Direction,
    number: u32,
    entries: [Name; 2],
) -> FilledChain {
    let name = format!("{PREFIX}{}_{interface}_{number}", short(direction));
    FilledChain {
        chain: Chain::new(name).comment("on the way from one group to another"),
        rules: entries.map(|entry| Rule::new().jump(entry)).into(),
    }
}

/// The number of a [`bridge_chain`], by its name; `None` when it is none.
pub fn bridge_number(chain: &str) -> Option<u32> {
    let (_, number) = chain.strip_prefix(PREFIX)?.rsplit_once('_')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use oncilla_net::Direction;

    use super::{bridge_chain, bridge_number};

    #[test]
    fn a_name_tells_its_number() {
        let entries = ["pg_in_aa_0".into(), "pg_in_bb_1".into()];
        let bridge = bridge_chain("cali_0", Direction::Ingress, 17, entries);
        assert_eq!(&*bridge.chain.name, "both_in_cali_0_17");
        assert_eq!(bridge_number(&bridge.chain.name), Some(17));
        assert_eq!(bridge_number("pg_in_aa_0"), None);
    }
}
