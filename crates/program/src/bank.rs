//! A bank: a run of ordered rules decided by a fixed number of set lookups, then a linear tail.

use std::collections::BTreeMap;

use oncilla_net::Protocol;

use crate::{ClassId, Rule, RuleVerdict};

/// Key of level 1: class, protocol and destination port.
pub type K1 = (ClassId, Protocol, u16);
/// Key of level 2: class and protocol.
pub type K2 = (ClassId, Protocol);
/// Key of level 4: protocol and destination port.
pub type K4 = (Protocol, u16);

/// The keyed part of a bank. Levels are looked up in order; the first hit decides. A verdict is never
/// [`RuleVerdict::Log`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Levels {
    /// Class, protocol, destination port. Only protocols with ports.
    pub k1: BTreeMap<K1, RuleVerdict>,
    /// Class, protocol.
    pub k2: BTreeMap<K2, RuleVerdict>,
    /// Class.
    pub k3: BTreeMap<ClassId, RuleVerdict>,
    /// Protocol, destination port. Only protocols with ports.
    pub k4: BTreeMap<K4, RuleVerdict>,
    /// Protocol.
    pub k5: BTreeMap<Protocol, RuleVerdict>,
    /// Every packet.
    pub k6: Option<RuleVerdict>,
}

/// A run of ordered rules. The levels are looked up first, then the tail from its first rule; what matches
/// nothing goes on to the next bank.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bank {
    /// The keyed part.
    pub levels: Levels,
    /// Rules that cannot be keyed, in order.
    pub tail: Vec<Rule>,
}
