//! From dirty input to a delta: place every address and prefix in a class, give classes their numbers.
//!
//! Two ways lead to the same state. The short one looks at what is marked. The long one, when predicates
//! came or went, looks at every address and elects numbers: each class takes the number that most of its
//! elements have, as long as the number keeps its meaning in every predicate that was asked before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_model::Predicate;
use oncilla_net::{Family, IpNet, family_of, fault};
use oncilla_program::{AddressChange, ClassId, NetChange};

use crate::classes::Meaning;
use crate::fallback;
use crate::node::NodeDelta;
use crate::prefixes::host;
use crate::resolver::{Adoption, Exhausted, Resolver};
use crate::signature::{PredicateId, SigId};

/// A piece of the plane: disjoint from all others, one signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Everything that holds of it.
    pub(crate) full: SigId,
    /// The class of its element; `None`: it has no element.
    pub(crate) class: Option<ClassId>,
}

/// Where addresses and prefixes belong: by signature, before numbers.
#[derive(Debug, Default)]
struct Placement {
    /// The signature of each address's element; `None`: no element.
    hosts: Vec<(IpAddr, Option<SigId>)>,
    /// The pieces of the regions: everything that holds, and the signature of the element.
    pieces: BTreeMap<IpNet, (SigId, Option<SigId>)>,
    /// The regions whose pieces are replaced.
    regions: Vec<IpNet>,
}

impl Placement {
    /// Every meaning that needs a class, in order of appearance.
    fn meanings(&self) -> impl Iterator<Item = (IpNet, Meaning)> + '_ {
        let hosts = self.hosts.iter().filter_map(|(addr, signature)| {
            signature.map(|signature| (host(*addr), (family_of(*addr), signature)))
        });
        let pieces = self.pieces.iter().filter_map(|(net, (_, signature))| {
            signature.map(|signature| (*net, (Family::of_net(net), signature)))
        });
        hosts.chain(pieces)
    }
}

/// What a long pass is for.
#[derive(Clone, Copy)]
pub(crate) enum Occasion<'a> {
    /// A change: predicates are added to classes, none is taken away.
    Change,
    /// A settling: classes know exactly the predicates that are asked by class.
    Settling,
    /// The first load: numbers come from the kernel.
    Adoption(&'a Adoption<'a>, u64),
}

impl Resolver {
    /// Publishes everything that is marked.
    pub(crate) fn publish(
        &mut self,
        now_ms: u64,
        occasion: Occasion<'_>,
    ) -> Result<NodeDelta, Exhausted> {
        let mut delta = NodeDelta::default();
        if self.dirty.whole.plane || !self.place_marked(now_ms, &mut delta) {
            self.dirty.whole.plane = true;
            if !self.place_all(now_ms, occasion, &mut delta)? {
                delta.address_sets = self.sets.take_changed();
                return Ok(delta);
            }
            self.dirty.whole.plane = false;
        }
        // A remote endpoint with an address of this node says something about the local side too.
        let is_asked = |addr| self.locals.usage.has_wide() || self.locals.is_local(addr);
        self.dirty.whole.local_sets |= self.dirty.addresses.iter().any(|a| is_asked(*a));
        self.dirty.addresses.clear();
        self.dirty.regions.clear();
        self.publish_groups(&mut delta);
        self.publish_local_sets();
        self.publish_lists();
        delta.address_sets = self.sets.take_changed();
        delta.addresses.sort_unstable();
        delta.nets.sort_unstable();
        delta.classes_added.sort_unstable();
        Ok(delta)
    }

    /// The short way. `false`, and nothing done, when classes may run out.
    fn place_marked(&mut self, now_ms: u64, delta: &mut NodeDelta) -> bool {
        let regions = merged(&self.dirty.regions);
        let mut placement = Placement {
            regions: regions.clone(),
            ..Placement::default()
        };
        let mut addresses = std::mem::take(&mut self.dirty.addresses);
        for region in &regions {
            addresses.extend(self.plane.addresses.inside(*region));
            for (net, full) in self.cut(*region) {
                let base = self.base(Family::of_net(&net));
                let element = self.element(full, base);
                placement.pieces.insert(net, (full, element));
            }
        }
        for &addr in &addresses {
            self.index.work.rows_touched += 1;
            let is_inside = regions.iter().any(|region| region.contains(&host(addr)));
            let cover = if is_inside {
                covering(&placement.pieces, addr).map(|(full, _)| *full)
            } else {
                covering(&self.pieces, addr).map(|piece| piece.full)
            };
            let element = self.element_of(addr, cover);
            placement.hosts.push((addr, element));
        }
        self.dirty.addresses = addresses;
        let fresh: BTreeSet<Meaning> = placement
            .meanings()
            .map(|(_, meaning)| meaning)
            .filter(|meaning| self.classes.of(*meaning).is_none())
            .collect();
        if !fresh.is_empty()
            && (self.classes.len() + fresh.len() > self.settled_max()
                || fresh.len() > self.classes.room(now_ms))
        {
            return false;
        }
        self.open_classes(&placement, now_ms, delta);
        self.update_by_address();
        self.commit(placement, delta);
        true
    }

    /// The long way. `false`: only the modes changed, everything else stays pending.
    fn place_all(
        &mut self,
        now_ms: u64,
        occasion: Occasion<'_>,
        delta: &mut NodeDelta,
    ) -> Result<bool, Exhausted> {
        self.index.work.scans += 1;
        let survey = self.survey();
        let wanted = self.wanted();
        let before = self.in_class.clone();
        let target = self.choose(&survey, &wanted);
        let mut failure = None;
        for by_class in self.retreats(target.clone(), &wanted) {
            let after = self.known_after(&wanted, &by_class, occasion);
            let (placement, unknown) = self.arrange(&survey, &after);
            let common = before.intersection(&after).copied().collect();
            let elected = self.elect(&placement, &common, occasion);
            let meanings: BTreeSet<Meaning> =
                placement.meanings().map(|(_, meaning)| meaning).collect();
            let needed = meanings.len() - elected.len();
            let room = self.classes.room(now_ms);
            if needed > room {
                let retry_at_ms = self.classes.next_room_ms();
                failure.get_or_insert(Exhausted {
                    needed,
                    room,
                    retry_at_ms,
                });
                continue;
            }
            self.redefine(&elected, unknown, &after, occasion);
            if let Occasion::Adoption(..) = occasion {
                delta.classes_added.extend(elected.keys());
            }
            self.in_class = after;
            self.is_retreating = by_class != target;
            self.open_classes(&placement, now_ms, delta);
            self.commit(placement, delta);
            self.switch_modes(&wanted, &by_class, delta);
            self.fill_by_address();
            return Ok(true);
        }
        match (occasion, failure) {
            (Occasion::Settling, Some(_)) if !self.is_all_by_address(&wanted) => {
                // The way out when more classes change at once than there is room for: groups as they are
                // ask by address first; then no class matters and all of them can merge.
                self.is_retreating = true;
                let named = self.named(&wanted);
                self.switch_modes(&wanted, &named, delta);
                self.fill_by_address();
                Ok(false)
            }
            (_, Some(failure)) => Err(failure),
            (_, None) => Ok(true),
        }
    }

    /// The predicates to ask by class: as many as fit once settled; when numbers are short on the way there,
    /// no more than now, and then named ports only. A later settling takes the way up again.
    fn retreats(
        &self,
        target: BTreeSet<PredicateId>,
        wanted: &BTreeSet<PredicateId>,
    ) -> [BTreeSet<PredicateId>; 3] {
        let named = self.named(wanted);
        let present = target
            .intersection(&self.in_class)
            .chain(&named)
            .copied()
            .collect();
        [target, present, named]
    }

    /// The named ports among predicates: they are always asked by class.
    fn named(&self, wanted: &BTreeSet<PredicateId>) -> BTreeSet<PredicateId> {
        let is_named = |id: &&PredicateId| {
            matches!(self.index.predicates.of(**id), Predicate::NamedPort { .. })
        };
        wanted.iter().filter(is_named).copied().collect()
    }

    fn is_all_by_address(&self, wanted: &BTreeSet<PredicateId>) -> bool {
        let named = self.named(wanted);
        wanted
            .iter()
            .all(|id| named.contains(id) || self.by_address.contains(id))
    }

    /// The predicates that classes know afterwards. A change takes none away, and a settling none that groups
    /// still ask by class until this very delta.
    fn known_after(
        &self,
        wanted: &BTreeSet<PredicateId>,
        by_class: &BTreeSet<PredicateId>,
        occasion: Occasion<'_>,
    ) -> BTreeSet<PredicateId> {
        let stays = |id: &&PredicateId| match occasion {
            Occasion::Change => true,
            Occasion::Settling => wanted.contains(id) && !self.by_address.contains(id),
            Occasion::Adoption(..) => false,
        };
        self.in_class
            .iter()
            .filter(stays)
            .chain(by_class)
            .copied()
            .collect()
    }

    /// Where everything belongs when classes know these predicates, and what the unknown classes are.
    fn arrange(
        &mut self,
        survey: &Survey,
        after: &BTreeSet<PredicateId>,
    ) -> (Placement, [SigId; 2]) {
        let mut memo = HashMap::new();
        let mut restrict = |resolver: &mut Self, id: SigId| -> SigId {
            *memo
                .entry(id)
                .or_insert_with(|| resolver.signatures.restrict(id, after))
        };
        let unknown = Family::ALL.map(|family| {
            let base = self.plane.base(&mut self.signatures, family);
            restrict(self, base)
        });
        let mut placement = Placement {
            regions: vec![whole(Family::V4), whole(Family::V6)],
            ..Placement::default()
        };
        for (&net, &signature) in &survey.pieces {
            let class = restrict(self, signature);
            let element = (class != unknown[Family::of_net(&net) as usize]).then_some(class);
            placement.pieces.insert(net, (signature, element));
        }
        for (addr, signature, cover) in &survey.hosts {
            let element = signature.map(|signature| restrict(self, signature));
            let cover = restrict(self, *cover);
            placement
                .hosts
                .push((*addr, element.filter(|element| *element != cover)));
        }
        (placement, unknown)
    }

    /// Everything that holds, everywhere.
    fn survey(&mut self) -> Survey {
        let mut pieces = BTreeMap::new();
        for family in Family::ALL {
            pieces.extend(self.cut(whole(family)));
        }
        let bases = Family::ALL.map(|family| self.plane.base(&mut self.signatures, family));
        let mut hosts = Vec::new();
        let mut last: Option<(IpNet, SigId)> = None;
        for (addr, address) in self.plane.addresses.iter() {
            self.index.work.rows_touched += 1;
            if last.is_none_or(|(net, _)| !net.contains(&host(addr))) {
                last = covering_net(&pieces, addr).map(|(net, full)| (net, *full));
            }
            let cover = last.map_or(bases[family_of(addr) as usize], |(_, full)| full);
            let signature = (!address.is_deserted()).then(|| {
                address.sources().fold(cover, |sum, source| {
                    let answers = self.plane.answers(&self.index, source);
                    self.signatures.union(sum, answers)
                })
            });
            hosts.push((addr, signature, cover));
        }
        Survey { hosts, pieces }
    }

    /// Who is asked by class, of the predicates in use.
    fn choose(&self, survey: &Survey, wanted: &BTreeSet<PredicateId>) -> BTreeSet<PredicateId> {
        let hosts = survey.hosts.iter().filter_map(|(addr, signature, _)| {
            signature.map(|signature| (family_of(*addr), signature))
        });
        let pieces = survey
            .pieces
            .iter()
            .map(|(net, full)| (Family::of_net(net), *full));
        let meanings: BTreeSet<Meaning> = hosts.chain(pieces).collect();
        let settled_max = self.settled_max();
        fallback::by_class(
            &self.signatures,
            &self.index.predicates,
            wanted,
            &meanings,
            settled_max,
        )
    }

    /// Which meaning takes which number: most elements first, ties to the lower number.
    fn elect(
        &mut self,
        placement: &Placement,
        common: &BTreeSet<PredicateId>,
        occasion: Occasion<'_>,
    ) -> BTreeMap<ClassId, Meaning> {
        // Votes, and the first place in order, which breaks ties between meanings.
        let mut votes: BTreeMap<(ClassId, Meaning), (usize, usize)> = BTreeMap::new();
        for (index, (net, meaning)) in placement.meanings().enumerate() {
            let id = match occasion {
                Occasion::Adoption(adoption, _) => (adoption.class_of)(net),
                Occasion::Change | Occasion::Settling => self.class_at(net),
            };
            if let Some(id) = id.filter(|id| self.classes.is_valid(*id)) {
                votes.entry((id, meaning)).or_insert((0, index)).0 += 1;
            }
        }
        let slots: Vec<(ClassId, Meaning)> = self
            .classes
            .iter()
            .map(|(id, slot)| (id, slot.meaning))
            .collect();
        let meanings: BTreeSet<Meaning> =
            placement.meanings().map(|(_, meaning)| meaning).collect();
        for (id, meaning) in slots {
            if meanings.contains(&meaning) {
                votes.entry((id, meaning)).or_insert((0, usize::MAX));
            }
        }
        let mut ranked: Vec<_> = votes.into_iter().collect();
        ranked.sort_unstable_by_key(|((id, meaning), (count, first))| {
            (std::cmp::Reverse(*count), *id, *first, *meaning)
        });
        let mut elected = BTreeMap::new();
        let mut served = BTreeSet::new();
        for ((id, meaning), _) in ranked {
            let is_free = !elected.contains_key(&id) && !served.contains(&meaning);
            if is_free && self.keeps_meaning(id, meaning, common) {
                elected.insert(id, meaning);
                served.insert(meaning);
            }
        }
        elected
    }

    /// Whether a number means the same as before to everybody who asked before.
    fn keeps_meaning(
        &mut self,
        id: ClassId,
        (family, signature): Meaning,
        common: &BTreeSet<PredicateId>,
    ) -> bool {
        let Some(slot) = self.classes.slot(id) else {
            return true;
        };
        let (old_family, old) = slot.meaning;
        old_family == family
            && self.signatures.restrict(old, common) == self.signatures.restrict(signature, common)
    }

    /// Puts the elected numbers in force. Who was not elected is empty after this publication; it keeps the
    /// answers to what is still asked.
    fn redefine(
        &mut self,
        elected: &BTreeMap<ClassId, Meaning>,
        unknown: [SigId; 2],
        after: &BTreeSet<PredicateId>,
        occasion: Occasion<'_>,
    ) {
        if let Occasion::Adoption(adoption, now_ms) = occasion {
            for (&id, &meaning) in elected {
                self.classes.adopt(&self.signatures, id, meaning);
            }
            self.classes.rest(adoption.used.iter().copied(), now_ms);
        }
        let losers: Vec<(ClassId, Meaning)> = self
            .classes
            .iter()
            .filter(|(id, _)| !elected.contains_key(id))
            .map(|(id, slot)| (id, slot.meaning))
            .collect();
        for (id, (family, old)) in losers {
            let restricted = self.signatures.restrict(old, after);
            self.classes
                .redefine_one(&self.signatures, id, (family, restricted));
        }
        self.classes.redefine(&self.signatures, unknown, elected);
    }

    /// Opens a class for every meaning that has none.
    fn open_classes(&mut self, placement: &Placement, now_ms: u64, delta: &mut NodeDelta) {
        for (_, meaning) in placement.meanings() {
            if self.classes.of(meaning).is_none() {
                self.index.work.classes_created += 1;
                let id = self.classes.open(&self.signatures, meaning, now_ms);
                delta.classes_added.push(id);
            }
        }
    }

    /// Writes the placement down and says what changed.
    fn commit(&mut self, placement: Placement, delta: &mut NodeDelta) {
        for (addr, signature) in placement.hosts {
            let class = signature.and_then(|sig| self.classes.of((family_of(addr), sig)));
            let old = self
                .plane
                .addresses
                .of(addr)
                .and_then(|address| address.class);
            self.recount(old, class);
            self.plane.addresses.set_class(addr, class);
            let stale = old.is_some() && class.is_some() && fault::is("resolve/stale-class");
            if old != class && !stale {
                delta.addresses.push(AddressChange { addr, class });
            }
        }
        let mut old: BTreeMap<IpNet, Option<ClassId>> = BTreeMap::new();
        for region in &placement.regions {
            let inside = self
                .pieces
                .range(*region..)
                .take_while(|(net, _)| region.contains(*net));
            old.extend(inside.map(|(net, piece)| (*net, piece.class)));
        }
        for (net, (full, signature)) in placement.pieces {
            let class = signature.and_then(|sig| self.classes.of((Family::of_net(&net), sig)));
            self.pieces.insert(net, Piece { full, class });
            let before = old.remove(&net).flatten();
            self.recount(before, class);
            if before != class {
                delta.nets.push(NetChange { net, class });
            }
        }
        for (net, before) in old {
            self.pieces.remove(&net);
            self.recount(before, None);
            if before.is_some() {
                delta.nets.push(NetChange { net, class: None });
            }
        }
    }

    fn recount(&mut self, old: Option<ClassId>, new: Option<ClassId>) {
        if old != new {
            if let Some(new) = new {
                self.classes.count(new, true);
            }
            if let Some(old) = old {
                self.classes.count(old, false);
            }
        }
    }

    /// The class that the element of an address or prefix has now.
    fn class_at(&self, net: IpNet) -> Option<ClassId> {
        if net.prefix_len() == net.max_prefix_len() {
            self.plane.addresses.of(net.addr())?.class
        } else {
            self.pieces.get(&net)?.class
        }
    }

    fn cut(&mut self, region: IpNet) -> Vec<(IpNet, SigId)> {
        let base = self
            .plane
            .base(&mut self.signatures, Family::of_net(&region));
        let (plane, index) = (&self.plane, &self.index);
        let of = |source| plane.answers(index, source);
        plane.prefixes.cut(region, &mut self.signatures, base, &of)
    }

    fn base(&mut self, family: Family) -> SigId {
        self.plane.base(&mut self.signatures, family)
    }

    /// The signature of an element, when it needs one under a cover.
    fn element(&mut self, full: SigId, cover: SigId) -> Option<SigId> {
        let class = self.signatures.restrict(full, &self.in_class);
        let cover = self.signatures.restrict(cover, &self.in_class);
        (class != cover).then_some(class)
    }

    fn element_of(&mut self, addr: IpAddr, cover: Option<SigId>) -> Option<SigId> {
        let cover = match cover {
            Some(cover) => cover,
            None => self.base(family_of(addr)),
        };
        let address = self.plane.addresses.of(addr)?;
        if address.is_deserted() {
            return None;
        }
        let start = if fault::is("resolve/single-address-forgets-cover") {
            SigId::EMPTY
        } else {
            cover
        };
        let full = address.sources().fold(start, |sum, source| {
            let answers = self.plane.answers(&self.index, source);
            self.signatures.union(sum, answers)
        });
        self.element(full, cover)
    }
}

/// Everything that holds: of each address, with what covers it, and of each piece.
struct Survey {
    hosts: Vec<(IpAddr, Option<SigId>, SigId)>,
    pieces: BTreeMap<IpNet, SigId>,
}

/// All addresses of a family.
fn whole(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(oncilla_net::Ipv4Net::default()),
        Family::V6 => IpNet::V6(oncilla_net::Ipv6Net::default()),
    }
}

/// Regions without those inside others.
fn merged(regions: &BTreeSet<IpNet>) -> Vec<IpNet> {
    let mut merged: Vec<IpNet> = Vec::new();
    for region in regions {
        if merged.last().is_none_or(|last| !last.contains(region)) {
            merged.push(*region);
        }
    }
    merged
}

fn covering_net<T>(pieces: &BTreeMap<IpNet, T>, addr: IpAddr) -> Option<(IpNet, &T)> {
    let (net, piece) = pieces.range(..=host(addr)).next_back()?;
    net.contains(&addr).then_some((*net, piece))
}

fn covering<T>(pieces: &BTreeMap<IpNet, T>, addr: IpAddr) -> Option<&T> {
    covering_net(pieces, addr).map(|(_, piece)| piece)
}
