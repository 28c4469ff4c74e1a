//! From labels to answers: shapes, identities and active predicates kept in step.
//!
//! ```text
//!   endpoint ──▶ shape ──project──▶ identity ──evaluate──▶ signature of answers
//!   profiles ──────▲                   ▲ words of the active predicates
//! ```
//! Knows nothing of addresses.

use std::collections::BTreeSet;
use std::sync::Arc;

use oncilla_model::{Predicate, Profile, ProfileName};
use oncilla_net::fault;

use crate::filing::Filing;
use crate::identity::{Identities, IdentityId, IdentityKey};
use crate::labels::{LabelView, Pair, TextId, Texts};
use crate::packs::Gaps;
use crate::predicates::Predicates;
use crate::profiles::Profiles;
use crate::shapes::{Look, Realm, ShapeId, Shapes};
use crate::signature::{PredicateId, SigId, Signature, Signatures};
use crate::work::Work;

/// The index. Owned by the resolver.
#[derive(Debug)]
pub(crate) struct Index {
    texts: Texts,
    profiles: Profiles,
    shapes: Shapes,
    identities: Identities,
    pub(crate) predicates: Predicates,
    pub(crate) work: Work,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            texts: Texts::default(),
            profiles: Profiles::new(),
            shapes: Shapes::default(),
            identities: Identities::default(),
            predicates: Predicates::new(),
            work: Work::default(),
        }
    }

    /// The shape of a look with one reference more; its identity is known afterwards.
    pub(crate) fn intern(&mut self, signatures: &mut Signatures, look: Look<'_>) -> ShapeId {
        let shape = self.shapes.intern(&mut self.texts, look);
        if self.shapes.identity(shape).is_none() {
            self.identify(signatures, shape);
        }
        shape
    }

    /// One reference more.
    pub(crate) fn retain(&mut self, shape: ShapeId) {
        self.shapes.retain(shape);
    }

    /// One reference less.
    pub(crate) fn release(&mut self, shape: ShapeId) {
        if let Some(identity) = self.shapes.release(&mut self.texts, shape) {
            self.identities.release(&mut self.texts, identity);
        }
    }

    /// What holds of everything of this shape.
    pub(crate) fn answers(&self, shape: ShapeId) -> SigId {
        self.shapes
            .identity(shape)
            .map_or(SigId::EMPTY, |id| self.identities.answers(id))
    }

    /// All labels of a shape, own and inherited.
    pub(crate) fn labels(&self, shape: ShapeId) -> LabelView<'_> {
        let inherited = self.shapes.profiles(shape);
        let inherited = inherited.flat_map(|name| self.profiles.labels(name, |_| true));
        let pairs = self.shapes.labels(shape, |_| true).chain(inherited);
        LabelView::new(pairs.map(|(name, value)| (self.texts.text(name), value)))
    }

    /// The profiles of a shape in order; `None` where one does not exist.
    pub(crate) fn profiles_of(
        &self,
        shape: ShapeId,
    ) -> impl Iterator<Item = Option<Arc<Profile>>> + '_ {
        let names = self.shapes.profiles(shape);
        names.map(|name| self.profiles.of(&self.texts, name))
    }

    /// Whether a profile of the shape gives labels that nobody can read, so that nobody knows which policies select it.
    pub(crate) fn is_obscure(&self, shape: ShapeId) -> bool {
        let mut names = self.shapes.profiles(shape);
        names.any(|name| self.profiles.is_obscure(name))
    }

    /// The ports that a named-port predicate leads to on a shape, ascending.
    pub(crate) fn ports_of(&mut self, shape: ShapeId, predicate: &Predicate) -> Vec<u16> {
        let Predicate::NamedPort {
            selector,
            port,
            protocol,
            ..
        } = predicate
        else {
            return Vec::new();
        };
        if let Some(selector) = selector {
            self.work.predicates_evaluated += 1;
            if !selector.evaluate(&self.labels(shape)) {
                return Vec::new();
            }
        }
        let name = self.texts.find(port);
        let ports = self.shapes.ports(shape);
        let mut found: Vec<u16> = ports
            .filter(|(own, of, _)| {
                let any = fault::is("resolve/port-name-of-any-protocol");
                Some(*own) == name && (of == protocol || any)
            })
            .map(|(.., number)| number)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a selector selects a shape, by all of its labels.
    pub(crate) fn selects(
        &mut self,
        selector: &oncilla_selector::Selector,
        shape: ShapeId,
    ) -> bool {
        self.work.predicates_evaluated += 1;
        selector.evaluate(&self.labels(shape))
    }

    /// Whether a predicate holds of a shape, by all of its labels. CIDRs and ports hold of none.
    pub(crate) fn holds(&mut self, predicate: &Predicate, shape: ShapeId) -> bool {
        let (Predicate::Selector { selector, .. } | Predicate::Nodes { selector, .. }) = predicate
        else {
            return false;
        };
        Realm::of(predicate) == self.shapes.realm(shape) && self.selects(selector, shape)
    }

    /// Which filed selectors select a shape, ascending.
    pub(crate) fn selected<T: Ord + Copy + std::hash::Hash>(
        &mut self,
        shape: ShapeId,
        filing: &Filing<T>,
        selector: impl Fn(&T) -> Option<oncilla_selector::Selector>,
    ) -> Vec<T> {
        let labels = self.labels(shape);
        let mut evaluated = 0;
        let mut candidates = filing.candidates(&labels);
        candidates.retain(|item| {
            evaluated += 1;
            selector(item).is_some_and(|selector| selector.evaluate(&labels))
        });
        self.work.predicates_evaluated += evaluated;
        candidates
    }

    /// Puts or removes a profile. Says its name when shapes may inherit from it, which are brought up to date by
    /// [`Self::reproject`].
    pub(crate) fn set_profile(
        &mut self,
        name: &ProfileName,
        profile: Option<&Arc<Profile>>,
    ) -> Option<TextId> {
        self.profiles.set(&mut self.texts, name, profile)
    }

    /// Whether this is what a name has already.
    pub(crate) fn has_profile(&self, name: &ProfileName, profile: Option<&Arc<Profile>>) -> bool {
        self.profiles.has(&self.texts, name, profile)
    }

    /// The shapes that inherit from one of these profiles.
    pub(crate) fn shapes_of_profiles(&mut self, names: &BTreeSet<TextId>) -> Vec<ShapeId> {
        let mut shapes = self.shapes.ids();
        self.work.rows_touched += shapes.len() as u64;
        shapes.retain(|id| {
            let mut profiles = self.shapes.profiles(*id);
            profiles.any(|name| names.contains(&name))
        });
        shapes
    }

    /// Finds the identity of a shape anew. Whether its answers changed.
    pub(crate) fn reproject(&mut self, signatures: &mut Signatures, shape: ShapeId) -> bool {
        let before = self.answers(shape);
        self.identify(signatures, shape);
        before != self.answers(shape)
    }

    /// Registers predicates that are not active yet and answers them for every identity.
    pub(crate) fn activate(
        &mut self,
        signatures: &mut Signatures,
        predicates: &BTreeSet<Predicate>,
    ) -> Vec<PredicateId> {
        let words = self.predicates.words();
        let mut fresh: Filing<PredicateId> = Filing::new();
        let mut ids = Vec::new();
        for predicate in predicates {
            let id = self.predicates.activate(&mut self.texts, predicate);
            if let Predicate::Selector { selector, .. } | Predicate::Nodes { selector, .. } =
                predicate
            {
                fresh.insert(id, selector);
            }
            ids.push(id);
        }
        if self.predicates.words() != words {
            self.refine();
        }
        let ports: BTreeSet<PredicateId> = ids.iter().copied().collect();
        for identity in self.identities.ids() {
            let more = self.evaluate(identity, &fresh, &|id| ports.contains(&id));
            let more = signatures.intern(more);
            let answers = signatures.union(self.identities.answers(identity), more);
            self.identities.set_answers(identity, answers);
        }
        ids
    }

    /// Forgets predicates: identities that become equal merge.
    pub(crate) fn retire(&mut self, signatures: &mut Signatures, ids: &BTreeSet<PredicateId>) {
        for id in ids {
            self.predicates.retire(&mut self.texts, *id);
        }
        let keep: BTreeSet<PredicateId> = self.predicates.iter().map(|(id, _)| id).collect();
        for identity in self.identities.ids() {
            let answers = self.identities.answers(identity);
            let answers = signatures.restrict(answers, &keep);
            self.identities.set_answers(identity, answers);
        }
        self.refine();
    }

    /// Closes gaps in memory, for quiet moments.
    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.texts.compact(gaps);
        self.profiles.compact(gaps);
        self.shapes.compact(gaps);
        self.identities.compact(gaps);
    }

    /// Signatures that identities refer to.
    pub(crate) fn live_signatures(&self) -> BTreeSet<SigId> {
        self.identities
            .ids()
            .into_iter()
            .map(|id| self.identities.answers(id))
            .collect()
    }

    /// Projects every shape on the words as they are now; a new identity inherits the answers of the old.
    fn refine(&mut self) {
        for shape in self.shapes.ids() {
            self.work.rows_touched += 1;
            let answers = self.answers(shape);
            let key = self.project(shape).packed();
            let (identity, is_new) = self.identities.intern(&mut self.texts, &key);
            if is_new {
                self.work.identities_created += 1;
                self.identities.set_answers(identity, answers);
            }
            if let Some(old) = self.shapes.set_identity(shape, identity) {
                self.identities.release(&mut self.texts, old);
            }
        }
    }

    fn identify(&mut self, signatures: &mut Signatures, shape: ShapeId) {
        let key = self.project(shape).packed();
        let (identity, is_new) = self.identities.intern(&mut self.texts, &key);
        if is_new {
            self.work.identities_created += 1;
            let answers = self.evaluate_all(identity);
            let answers = signatures.intern(answers);
            self.identities.set_answers(identity, answers);
        }
        if let Some(old) = self.shapes.set_identity(shape, identity) {
            self.identities.release(&mut self.texts, old);
        }
    }

    fn project(&self, shape: ShapeId) -> IdentityKey<'_> {
        let is_used = |name| self.predicates.uses_name(name);
        let mut labels: Vec<Pair<'_>> = self.shapes.labels(shape, is_used).collect();
        if !fault::is("resolve/inherited-labels-forgotten") {
            let inherited = self.shapes.profiles(shape);
            labels.extend(inherited.flat_map(|name| self.profiles.labels(name, is_used)));
        }
        // Stable: the first of a name stays, which is the endpoint's own.
        if fault::is("resolve/inherited-label-wins") {
            labels.reverse();
        }
        labels.sort_by_key(|(name, _)| *name);
        labels.dedup_by_key(|(name, _)| *name);
        let ports = self.shapes.ports(shape);
        let mut ports: Vec<_> = ports
            .filter(|(name, of, _)| self.predicates.uses_port(*name, *of))
            .collect();
        ports.sort_unstable();
        ports.dedup();
        IdentityKey {
            realm: self.shapes.realm(shape),
            labels,
            ports,
        }
    }

    fn evaluate_all(&mut self, identity: IdentityId) -> Signature {
        let key = self.identities.key(identity);
        let (signature, evaluated) = answer(self, &key, self.predicates.filing(), &|_| true);
        self.work.predicates_evaluated += evaluated;
        signature
    }

    fn evaluate(
        &mut self,
        identity: IdentityId,
        filing: &Filing<PredicateId>,
        wanted: &dyn Fn(PredicateId) -> bool,
    ) -> Signature {
        let key = self.identities.key(identity);
        let (signature, evaluated) = answer(self, &key, filing, wanted);
        self.work.predicates_evaluated += evaluated;
        signature
    }
}

/// What holds of an identity among the filed selectors and the wanted named ports, and how many selectors
/// were evaluated.
fn answer(
    index: &Index,
    key: &IdentityKey<'_>,
    filing: &Filing<PredicateId>,
    wanted: &dyn Fn(PredicateId) -> bool,
) -> (Signature, u64) {
    let pairs = key.labels.iter();
    let labels = LabelView::new(pairs.map(|(name, value)| (index.texts.text(*name), *value)));
    let mut evaluated = 0;
    let mut matches = |id: PredicateId| match index.predicates.of(id) {
        predicate if Realm::of(predicate) != key.realm && !fault::is("resolve/realms-mixed") => {
            false
        }
        Predicate::Selector { selector, .. } | Predicate::Nodes { selector, .. } => {
            evaluated += 1;
            selector.evaluate(&labels)
        }
        Predicate::NamedPort { selector, .. } => selector.as_ref().is_none_or(|selector| {
            evaluated += 1;
            selector.evaluate(&labels)
        }),
        Predicate::Nets { .. } | Predicate::Listed { .. } => false,
    };
    let holds = filing
        .candidates(&labels)
        .into_iter()
        .filter(|id| matches(*id))
        .collect();
    let mut ports = Vec::new();
    for (name, protocol, port) in &key.ports {
        for id in index
            .predicates
            .of_port(*name, *protocol)
            .filter(|id| wanted(*id))
        {
            if matches(id) {
                ports.push((id, *port));
            }
        }
    }
    (Signature::new(holds, ports), evaluated)
}
