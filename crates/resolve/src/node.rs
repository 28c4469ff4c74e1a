//! The contract between resolve and compile: the state of one node, and what changed in it.
//!
//! `resolve` owns a [`NodeState`] and hands out [`NodeDelta`]s; `compile` reads both. Selectors end here:
//! behind this page there are classes, predicates by their text, and groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_model::{Policy, Predicate, Profile, TierEnd, TierName};
use oncilla_net::{Direction, Family};
use oncilla_program::{
    AddressChange, AddressSet, ClassId, GroupId, Hook, HostEndpoint, LocalEndpoint, NetChange,
    ServiceSet,
};

/// How rules find out whether a predicate holds of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PredicateMode {
    /// By the peer's class: the normal way.
    ByClass,
    /// By the peer's address: classes ran out (`engine.md` §4, fallback). Linear.
    ByAddress,
}

/// One class and the answers that make it different from all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Class {
    /// The number.
    pub id: ClassId,
    /// All addresses of a class are of one family.
    pub family: Family,
    /// The selector and CIDR predicates that hold of its addresses.
    pub holds: BTreeSet<Predicate>,
    /// The named-port predicates that have an answer, and their ports, ascending.
    pub ports: BTreeMap<Predicate, Vec<u16>>,
}

/// What the port names of a group's own side lead to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LocalPorts {
    /// To these ports, ascending, on every endpoint of the group; a name that leads nowhere is left out. What passes a
    /// workload's interface is for the workload.
    Exact(BTreeMap<Predicate, Vec<u16>>),
    /// To what [`NodeState::service_of`] says, address by address: a host's interface takes packets for many. Nobody
    /// need have told of an address that it is the host's, so these, the ports of the host endpoint itself, may be
    /// meant at any: a rule that denies counts them, one that allows does not.
    ByAddress(BTreeMap<Predicate, Vec<u16>>),
}

impl LocalPorts {
    /// The names that are known, with their ports.
    pub fn known(&self) -> &BTreeMap<Predicate, Vec<u16>> {
        let (Self::Exact(known) | Self::ByAddress(known)) = self;
        known
    }
}

/// One tier of a group: the policies that select its endpoints and govern its direction, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TierDef {
    /// The tier.
    pub name: TierName,
    /// What its end does. A tier that does not exist denies (§2.2).
    pub end: TierEnd,
    /// At least one.
    pub policies: Vec<Arc<Policy>>,
}

/// What a group is made of. Its key is the hook, the direction, the names of tiers and policies in order, the
/// profiles, and `local_ports`; the contents of the policies are not part of the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupDef {
    /// The hash of the key.
    pub id: GroupId,
    /// Where on a packet's way it is asked.
    pub hook: Hook,
    /// Which direction it judges.
    pub direction: Direction,
    /// Tiers in order; only those with a policy here.
    pub tiers: Vec<TierDef>,
    /// Profiles in order; `None` where the named profile does not exist, which denies. A list that allows
    /// everything is one profile `allow`, a list that allows nothing is empty; others carry no labels and
    /// only this direction's rules.
    pub profiles: Vec<Option<Arc<Profile>>>,
    /// What named-port predicates of the local side lead to.
    pub local_ports: LocalPorts,
}

/// What changed in the state of the node. All numbers refer to the [`NodeState`] after the change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeDelta {
    /// Classes that are new: no address has them yet in the kernel. In the delta of a first load: all, also
    /// those whose number was taken over from the kernel.
    pub classes_added: Vec<ClassId>,
    /// Classes that no address has any more; entries may go. Only a settling retires. From then on they are
    /// in no answer of [`NodeState::classes_of`] and [`NodeState::ports_of`]; [`NodeState::class`] and
    /// [`NodeState::family_of`] still describe them until the next settling.
    pub classes_retired: Vec<ClassId>,
    /// Single addresses whose class changed, sorted.
    pub addresses: Vec<AddressChange>,
    /// Prefixes whose class changed, sorted.
    pub nets: Vec<NetChange>,
    /// Predicates whose address set (local side, list, or fallback) or set of ports (service, or name of a host's
    /// local side) changed, appeared or went.
    pub address_sets: BTreeSet<Predicate>,
    /// Predicates that changed their mode.
    pub modes: BTreeSet<Predicate>,
    /// Groups that appeared, whose definition changed, or that went (`None`).
    pub groups: BTreeMap<GroupId, Option<Arc<GroupDef>>>,
    /// Local endpoints by interface that appeared, changed, or went (`None`).
    pub endpoints: BTreeMap<Arc<str>, Option<LocalEndpoint>>,
    /// Host endpoints by interface that appeared, changed, or went (`None`).
    pub hosts: BTreeMap<Arc<str>, Option<HostEndpoint>>,
}

impl NodeDelta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What compile reads of the state of one node. Implemented by the resolver.
pub trait NodeState {
    /// A class by its number.
    fn class(&self, id: ClassId) -> Option<Class>;

    /// The classes of which a selector or CIDR predicate holds, ascending, both families. The unknown class
    /// of a family is in when the predicate holds of the whole family.
    fn classes_of(&self, predicate: &Predicate) -> Vec<ClassId>;

    /// The ports that a named-port predicate leads to, as class and port, ascending.
    fn ports_of(&self, predicate: &Predicate) -> Vec<(ClassId, u16)>;

    /// The family of a class.
    fn family_of(&self, id: ClassId) -> Option<Family>;

    /// How a predicate is asked. Named ports are always asked by class, lists by address.
    fn mode(&self, predicate: &Predicate) -> PredicateMode;

    /// The addresses of a predicate: for the local side this node's endpoints and the CIDRs; of a list, and in
    /// the fallback mode, all addresses.
    fn addresses_of(&self, predicate: &Predicate) -> AddressSet;

    /// What stands behind the service of a [`List::ServicePorts`](oncilla_model::List) predicate; of a named-port
    /// predicate that the local side of a host asks, the addresses where the name leads to a port, and that port.
    fn service_of(&self, predicate: &Predicate) -> ServiceSet;

    /// The groups in use.
    fn groups(&self) -> &BTreeMap<GroupId, Arc<GroupDef>>;

    /// The local endpoints by interface.
    fn endpoints(&self) -> &BTreeMap<Arc<str>, LocalEndpoint>;
}
