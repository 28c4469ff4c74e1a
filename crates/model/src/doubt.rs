//! What rules do while nobody knows which addresses a broken network set or pod holds, which labels a broken
//! namespace or service account gives, or where a broken tier stands.
//!
//! A rule that may mean such an owner of addresses is replaced, criterion by criterion, by the bounds of what it
//! can match:
//!
//! | rule | what it becomes |
//! |---|---|
//! | Allow | matches what it matches whatever is so |
//! | Pass | the same, and behind it a Deny of all else that it may match |
//! | Deny | matches all that it may match |
//!
//! This never widens access. Take any packet and the first rule that changed for it: the packet is denied
//! there, which is the least; or an Allow let it go on, and whatever then happens is at most an Allow. All
//! other rules decide as they did.
//!
//! Whose addresses nobody knows may have any. Who only inherits labels that cannot be read, a pod of a broken
//! namespace, keeps its addresses: selectors that ask for such labels count it where that denies, and never where
//! it allows ([`Heirs`]). Which policies select such a pod nobody knows either, so it is closed itself: its
//! [`Profile`] is obscure.
//!
//! A tier of unknown place stands first, and its Allow passes to the next tier. So a packet is allowed when
//! the tier does not deny it **and** the others allow it, which holds of the tier at any place.

mod heirs;
mod owner;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_api::ObjectKey;
use oncilla_net::{Direction, PortRange, Protocol};

pub use heirs::Heirs;
pub use owner::Obscure;

use crate::{
    Action, Applies, Change, List, Policy, Ports, Predicate, Profile, ProfileName, ProtocolMatch,
    Rule, Side, TierName,
};
use heirs::Bound;

/// What nobody knows of one broken object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// Which addresses the owner of some labels holds, and which ports it calls how.
    Holds(Obscure),
    /// Which addresses a node with some labels has.
    Node(Obscure),
    /// Which labels some inherit.
    Inherits(Heirs),
    /// Which endpoints a service of a namespace has; of any of its services when its name is unknown.
    Serves {
        /// The namespace.
        namespace: Arc<str>,
        /// The service's name.
        service: Option<Arc<str>>,
    },
    /// Where a tier stands among the others.
    Place(TierName),
}

/// The profiles that namespaces and service accounts are.
type Inherited = BTreeMap<ProfileName, Arc<Profile>>;

/// All doubts of a cluster. Owned by whoever feeds the resolver.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Doubts {
    all: BTreeMap<ObjectKey, Doubt>,
    inherited: Inherited,
}

impl Doubts {
    /// Notes what nobody knows of an object, or that all is known. Whether that changes anything: then every policy and
    /// profile must be read again, see [`Doubts::read`] and [`Doubts::asking_profiles`].
    pub fn put(&mut self, key: &ObjectKey, doubt: Option<Doubt>) -> bool {
        match doubt {
            Some(doubt) => self.all.insert(key.clone(), doubt.clone()) != Some(doubt),
            None => self.all.remove(key).is_some(),
        }
    }

    /// Hears a change: broken pods inherit labels, too. Whether every policy and profile must be read again because of it.
    pub fn hear(&mut self, change: &Change) -> bool {
        let Change::Profile(name, profile) = change else {
            return false;
        };
        let before = match profile {
            Some(profile) => self.inherited.insert(name.clone(), Arc::clone(profile)),
            None => self.inherited.remove(name),
        };
        let gives = |profile: &Option<Arc<Profile>>| {
            let profile = profile.as_ref();
            profile.map(|profile| (Arc::clone(&profile.labels), profile.is_obscure))
        };
        let inherits = |doubt: &Doubt| match doubt {
            Doubt::Holds(owner) => owner.inherits_from(name),
            _ => false,
        };
        gives(&before) != gives(profile) && self.all.values().any(inherits)
    }

    /// The policy as it may be enforced while there are these doubts.
    pub fn read(&self, policy: &Arc<Policy>) -> Arc<Policy> {
        let is_lost = |doubt: &Doubt| matches!(doubt, Doubt::Place(tier) if *tier == policy.tier);
        let is_lost = self.all.values().any(is_lost);
        let of = |direction| Asked {
            doubts: self,
            own: (policy.applies == Applies::Normal).then_some(direction),
        };
        let read = |direction, rules: &Option<Arc<[Rule]>>| {
            let rules = rules.as_ref()?;
            of(direction).read(rules, is_lost)
        };
        let ingress = read(Direction::Ingress, &policy.ingress);
        let egress = read(Direction::Egress, &policy.egress);
        if ingress.is_none() && egress.is_none() {
            return Arc::clone(policy);
        }
        Arc::new(Policy {
            ingress: ingress.or_else(|| policy.ingress.clone()),
            egress: egress.or_else(|| policy.egress.clone()),
            ..Policy::clone(policy)
        })
    }

    /// The profile as it may be enforced while there are these doubts.
    pub fn read_profile(&self, profile: &Arc<Profile>) -> Arc<Profile> {
        let read = |direction, rules| {
            let asked = Asked {
                doubts: self,
                own: Some(direction),
            };
            asked.read(rules, false)
        };
        let ingress = read(Direction::Ingress, &profile.ingress);
        let egress = read(Direction::Egress, &profile.egress);
        if ingress.is_none() && egress.is_none() {
            return Arc::clone(profile);
        }
        let or = |read: Option<_>, written| read.unwrap_or_else(|| Arc::clone(written));
        Arc::new(Profile {
            ingress: or(ingress, &profile.ingress),
            egress: or(egress, &profile.egress),
            ..Profile::clone(profile)
        })
    }

    /// The profiles as they were heard whose rules ask who somebody is: those that doubts can change.
    pub fn asking_profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        let asks = |side: &Side| {
            let ports = [&side.ports, &side.not_ports].into_iter().flatten();
            let mut names = ports.flat_map(|ports| &ports.names);
            !side.all.is_empty() || !side.none.is_empty() || names.next().is_some()
        };
        let asks = move |rule: &Rule| asks(&rule.source) || asks(&rule.destination);
        let profiles = self.inherited.values();
        profiles.filter(move |profile| {
            let mut rules = profile.ingress.iter().chain(&*profile.egress);
            rules.any(asks)
        })
    }

    fn heirs(&self) -> impl Iterator<Item = &Heirs> {
        self.all.values().filter_map(|doubt| match doubt {
            Doubt::Inherits(heirs) => Some(heirs),
            _ => None,
        })
    }
}

/// The rules of one direction of a policy.
struct Asked<'a> {
    doubts: &'a Doubts,
    /// The direction, when the own side is an endpoint whose ports are known whatever is broken.
    own: Option<Direction>,
}

impl Asked<'_> {
    /// The rules as they may be enforced; none when that is as written. In a tier whose place is lost an Allow only
    /// passes.
    fn read(&self, rules: &[Rule], is_lost: bool) -> Option<Arc<[Rule]>> {
        let is_doubtful =
            |rule: &Rule| (is_lost && rule.action == Action::Allow) || self.is_doubtful(rule);
        if !rules.iter().any(is_doubtful) {
            return None;
        }
        // What one written rule became, one for each of its peers, is one rule: what one peer surely passes on must
        // not meet what another may deny.
        let written = rules.chunk_by(|one, next| one.index == next.index);
        let rules = written.flat_map(|rules| {
            let bounds = rules.iter().map(|rule| self.bounds(rule));
            let (least, most): (Vec<_>, Vec<_>) = bounds.unzip();
            least.into_iter().chain(most).flatten()
        });
        let rules = rules.map(|mut rule| {
            if is_lost && rule.action == Action::Allow {
                rule.action = Action::Pass;
            }
            rule
        });
        Some(rules.collect())
    }

    /// Whether the rule may mean something else than it seems to.
    fn is_doubtful(&self, rule: &Rule) -> bool {
        let mut asked = self.sides(rule).into_iter().flat_map(|(side, is_own)| {
            let names = [&side.ports, &side.not_ports].into_iter().flatten();
            let names = names.filter(move |_| !is_own).flat_map(|each| &each.names);
            side.all.iter().chain(&side.none).chain(names)
        });
        asked.any(|predicate| {
            self.reaches(predicate)
                || self
                    .doubts
                    .heirs()
                    .any(|heirs| heirs.are_asked_by(predicate))
        })
    }

    /// A rule as those that surely match and those behind them that may match.
    fn bounds(&self, rule: &Rule) -> (Vec<Rule>, Vec<Rule>) {
        if !self.is_doubtful(rule) {
            return (vec![rule.clone()], Vec::new());
        }
        match rule.action {
            Action::Allow | Action::Log => (self.least(rule), Vec::new()),
            Action::Pass => (self.least(rule), self.most(rule)),
            Action::Deny => (Vec::new(), self.most(rule)),
        }
    }

    /// What surely matches. What a broken owner may exclude does not; without that it only adds.
    fn least(&self, rule: &Rule) -> Vec<Rule> {
        let mut least = rule.clone();
        let mut others = rule.clone();
        let mut may_exclude_ports = false;
        let sides = self.sides(rule).into_iter();
        let copies = [&mut least.source, &mut least.destination];
        let copies = copies
            .into_iter()
            .zip([&mut others.source, &mut others.destination]);
        for ((side, is_own), (least, others)) in sides.zip(copies) {
            if side.none.iter().any(|each| self.reaches(each)) {
                return Vec::new();
            }
            self.bound(least, Bound::Certain);
            self.bound(others, Bound::Certain);
            let names = side.not_ports.iter().filter(|_| !is_own);
            let mut names = names.flat_map(|ports| &ports.names);
            if names.any(|name| self.reaches(name)) {
                may_exclude_ports = true;
                least.not_ports = None;
                others.not_ports = Some(every_port());
            }
        }
        match (may_exclude_ports, rule.protocol) {
            (false, _) => vec![least],
            (true, ProtocolMatch { is: Some(_), .. }) => Vec::new(),
            // The names of ports exclude nothing of protocols without any.
            (true, ProtocolMatch { is: None, is_not }) => {
                least.protocol = ProtocolMatch {
                    is: Some(Protocol::UDPLITE),
                    is_not: None,
                };
                let has_lite = is_not != Some(Protocol::UDPLITE);
                has_lite
                    .then_some(least)
                    .into_iter()
                    .chain([others])
                    .collect()
            }
        }
    }

    /// A Deny of all that may match.
    fn most(&self, rule: &Rule) -> Vec<Rule> {
        let mut most = rule.clone();
        most.action = Action::Deny;
        // The protocols in which a name may mean any port.
        let mut protocols = BTreeSet::new();
        let sides = self.sides(rule).into_iter();
        for ((_, is_own), side) in sides.zip([&mut most.source, &mut most.destination]) {
            side.all.retain(|each| !self.reaches(each));
            let names = side.ports.iter().filter(|_| !is_own);
            let mut names = names.flat_map(|ports| &ports.names);
            if names.clone().any(|name| self.reaches(name)) {
                protocols.extend(names.by_ref().filter_map(protocol));
                side.ports = Some(every_port());
            }
            self.bound(side, Bound::Possible);
        }
        if protocols.is_empty() || most.protocol.is.is_some() {
            return vec![most];
        }
        let only = |protocol| Rule {
            protocol: ProtocolMatch {
                is: Some(protocol),
                is_not: None,
            },
            ..most.clone()
        };
        protocols.into_iter().map(only).collect()
    }

    /// The source and the destination, and whether it is the endpoint that is asked, whose ports are known.
    fn sides<'r>(&self, rule: &'r Rule) -> [(&'r Side, bool); 2] {
        [
            (&rule.source, self.own == Some(Direction::Egress)),
            (&rule.destination, self.own == Some(Direction::Ingress)),
        ]
    }

    /// Puts the terms about labels that nobody can read at their bound.
    fn bound(&self, side: &mut Side, bound: Bound) {
        let names = |ports: &mut Option<Ports>, bound| {
            for name in ports.iter_mut().flat_map(|ports| &mut ports.names) {
                *name = self.bounded(name, bound);
            }
        };
        for each in &mut side.all {
            *each = self.bounded(each, bound);
        }
        for each in &mut side.none {
            *each = self.bounded(each, bound.not());
        }
        names(&mut side.ports, bound);
        names(&mut side.not_ports, bound.not());
    }

    fn bounded(&self, predicate: &Predicate, bound: Bound) -> Predicate {
        let mut predicate = predicate.clone();
        for heirs in self.doubts.heirs() {
            predicate = match &predicate {
                _ if !heirs.are_asked_by(&predicate) => continue,
                Predicate::Selector { selector, .. } => {
                    Predicate::selector(heirs.bounded(selector, bound))
                }
                Predicate::NamedPort {
                    selector: Some(selector),
                    port,
                    protocol,
                    ..
                } => {
                    let selector = heirs.bounded(selector, bound);
                    Predicate::named_port(Some(selector), port, *protocol)
                }
                _ => continue,
            };
        }
        predicate
    }

    /// Whether the predicate may mean an owner of unknown addresses.
    fn reaches(&self, predicate: &Predicate) -> bool {
        let mut doubts = self.doubts.all.values();
        doubts.any(|doubt| doubt.bears_on(predicate, &self.doubts.inherited))
    }
}

impl Doubt {
    /// Whether it leaves open of which addresses the predicate holds.
    fn bears_on(&self, predicate: &Predicate, inherited: &Inherited) -> bool {
        match (self, predicate) {
            (Self::Holds(owner), Predicate::Selector { selector, .. }) => {
                owner.may_match(selector, inherited)
            }
            (Self::Holds(owner), Predicate::NamedPort { selector, .. }) => {
                let mut selector = selector.iter();
                owner.serves() && selector.all(|selector| owner.may_match(selector, inherited))
            }
            (
                Self::Serves { namespace, service },
                Predicate::Listed {
                    list: List::Service(key) | List::ServicePorts(key),
                    ..
                },
            ) => {
                *namespace == key.namespace && service.as_ref().is_none_or(|name| *name == key.name)
            }
            (Self::Node(owner), Predicate::Nodes { selector, .. }) => {
                owner.may_match(selector, inherited)
            }
            _ => false,
        }
    }
}

fn every_port() -> Ports {
    Ports {
        numbers: [PortRange::ALL].into_iter().collect(),
        names: Vec::new(),
    }
}

/// The protocol of a port's name.
const fn protocol(name: &Predicate) -> Option<Protocol> {
    match name {
        Predicate::NamedPort { protocol, .. } => Some(*protocol),
        _ => None,
    }
}
