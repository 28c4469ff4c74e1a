//! The compiler: what changed in the node's state, in; what changed in the program, out.
//!
//! Two compilations of a group meet in one delta. The *prepared* one is the old definition over the old and
//! the new classes: it gives new classes their entries before any address has them. The final one is the
//! present definition over the present classes. A group is compiled only when its definition changed or
//! when it asks something that an added or retired class answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oncilla_model::{Families, Predicate};
use oncilla_program::{
    ClassId, ClassPort, ClassSet, GroupId, HostEndpoint, PortSetOfClasses, Program, ProgramDelta,
    SetName, Settings,
};
use oncilla_resolve::node::{GroupDef, NodeDelta, NodeState};

use crate::answer::{Answer, Answers, SetKind, set_name};
use crate::group::{Compiled, compile, peer_predicates};

/// Compiles one node. Owns the node's program, and the answers about every predicate that a group asks of
/// its peers.
#[derive(Debug, Default)]
pub struct Compiler {
    program: Program,
    /// All host endpoints. Those of workloads' interfaces are not in the program.
    hosts: BTreeMap<Arc<str>, HostEndpoint>,
    sources: BTreeMap<GroupId, Source>,
    answers: Answers,
    /// Which groups ask a predicate of their peers.
    askers: BTreeMap<Predicate, BTreeSet<GroupId>>,
    /// The sets that linear rules use, and in how many groups.
    sets: BTreeMap<SetName, UsedSet>,
    /// Classes without addresses that the state still knows: no rule needs them.
    retired: BTreeSet<ClassId>,
}

/// What a group was compiled from.
#[derive(Debug)]
struct Source {
    def: Arc<GroupDef>,
    asks: BTreeSet<Predicate>,
    sets: BTreeMap<SetName, Predicate>,
}

#[derive(Debug)]
struct UsedSet {
    predicate: Predicate,
    groups: usize,
}

/// Predicates whose answers change.
#[derive(Default)]
struct Touched {
    /// By new classes or another mode: groups are prepared for these.
    gaining: BTreeSet<Predicate>,
    /// By classes that went.
    losing: BTreeSet<Predicate>,
}

impl Compiler {
    /// A compiler for a node of which nothing is known yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            program: Program {
                settings,
                ..Program::default()
            },
            ..Self::default()
        }
    }

    /// How packets are treated, from now on in the program; whether that is new. No delta tells it.
    pub fn set_settings(&mut self, settings: Settings) -> bool {
        let is_new = self.program.settings != settings;
        let rewords = self.program.settings.log_prefix != settings.log_prefix;
        let prefixes = &self.program.settings.interface_prefixes;
        let renames = *prefixes != settings.interface_prefixes;
        self.program.settings = settings;
        // Other settings make another table, so nobody needs to be told what else changed.
        if renames {
            let settings = &self.program.settings;
            let own = self.hosts.iter();
            let own = own.filter(|(interface, _)| !settings.is_workload(interface));
            let own = own.map(|(interface, host)| (Arc::clone(interface), host.clone()));
            self.program.hosts = own.collect();
        }
        if rewords {
            let compiled = self.sources.iter();
            let compiled = compiled.map(|(id, source)| (id.clone(), self.compile_now(&source.def)));
            let groups: Vec<_> = compiled
                .map(|(id, compiled)| (id, compiled.group))
                .collect();
            self.program.groups.extend(groups);
        }
        is_new
    }

    /// The program as it is after all deltas so far, addresses included.
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// The present answer about a predicate that a group asks.
    pub(crate) fn answer(&self, predicate: &Predicate) -> Option<&Answer> {
        self.answers.get(predicate)
    }

    /// What a group is compiled from.
    pub(crate) fn definition(&self, id: &GroupId) -> Option<&GroupDef> {
        self.sources.get(id).map(|source| &*source.def)
    }

    /// Compiles what changed. `state` is the state after the change; the first delta after
    /// [`Compiler::new`] tells everything. Changes of addresses alone cost their number.
    pub fn apply(&mut self, state: &dyn NodeState, delta: &NodeDelta) -> ProgramDelta {
        let mut program_delta = ProgramDelta {
            addresses: delta.addresses.clone(),
            nets: delta.nets.clone(),
            ..ProgramDelta::default()
        };
        let revived = self.update_retired(delta);
        if !(revived.is_empty() && only_addresses_change(delta)) {
            let touched = self.touched(state, delta, &revived);
            self.compile_changes(state, delta, &touched, &mut program_delta);
            for (interface, endpoint) in &delta.endpoints {
                if self.program.endpoints.get(interface) != endpoint.as_ref() {
                    program_delta
                        .endpoints
                        .insert(Arc::clone(interface), endpoint.clone());
                }
            }
            self.place_hosts(delta, &mut program_delta);
            self.retired.retain(|class| state.class(*class).is_some());
        }
        self.program.apply(&program_delta);
        program_delta
    }

    /// Host endpoints of interfaces that are no workload's.
    fn place_hosts(&mut self, delta: &NodeDelta, program_delta: &mut ProgramDelta) {
        for (interface, host) in &delta.hosts {
            match host {
                Some(host) => drop(self.hosts.insert(Arc::clone(interface), host.clone())),
                None => drop(self.hosts.remove(interface)),
            }
            let is_workload = self.program.settings.is_workload(interface);
            let host = host.as_ref().filter(|_| !is_workload);
            if self.program.hosts.get(interface) != host {
                let change = (Arc::clone(interface), host.cloned());
                program_delta.hosts.extend([change]);
            }
        }
    }

    /// Keeps the set of retired classes. Returns those that an address has again without having been added:
    /// their entries are gone and must come back.
    fn update_retired(&mut self, delta: &NodeDelta) -> Vec<ClassId> {
        for class in &delta.classes_added {
            self.retired.remove(class);
        }
        self.retired.extend(&delta.classes_retired);
        if self.retired.is_empty() {
            return Vec::new();
        }
        let hosts = delta.addresses.iter().filter_map(|change| change.class);
        let nets = delta.nets.iter().filter_map(|change| change.class);
        hosts
            .chain(nets)
            .filter(|class| self.retired.remove(class))
            .collect()
    }

    fn touched(&self, state: &dyn NodeState, delta: &NodeDelta, revived: &[ClassId]) -> Touched {
        let mut touched = Touched::default();
        for class in delta.classes_added.iter().chain(revived) {
            touched.gaining.extend(self.asked_of(state, *class));
        }
        for class in &delta.classes_retired {
            touched.losing.extend(self.asked_of(state, *class));
        }
        let modes = delta
            .modes
            .iter()
            .filter(|predicate| self.answers.contains_key(*predicate));
        touched.gaining.extend(modes.cloned());
        touched
    }

    /// The predicates in use that a class answers or has answered.
    fn asked_of(&self, state: &dyn NodeState, class: ClassId) -> Vec<Predicate> {
        if let Some(class) = state.class(class) {
            let answered = class.holds.into_iter().chain(class.ports.into_keys());
            return answered
                .filter(|predicate| self.answers.contains_key(predicate))
                .collect();
        }
        // The state forgot it: look for it in what it said before.
        let mentions = |answer: &Answer| {
            answer.holds(class) || answer.ports(Families::BOTH).any(|(of, _)| of == class)
        };
        let answers = self.answers.iter().filter(|(_, answer)| mentions(answer));
        answers.map(|(predicate, _)| predicate.clone()).collect()
    }

    fn compile_changes(
        &mut self,
        state: &dyn NodeState,
        delta: &NodeDelta,
        touched: &Touched,
        program_delta: &mut ProgramDelta,
    ) {
        let fresh: Answers = touched
            .gaining
            .union(&touched.losing)
            .map(|predicate| {
                (
                    predicate.clone(),
                    Answer::read(state, predicate, &self.retired),
                )
            })
            .collect();
        let mut prepared = self.prepare(&touched.gaining, &fresh, &delta.groups);
        let mut dirty = self.groups_asking(fresh.keys());
        dirty.extend(delta.groups.keys().cloned());

        self.answers.extend(fresh);
        self.replace_sources(state, &delta.groups);
        let mut stale_sets = BTreeSet::new();
        let compiled: Vec<(GroupId, Compiled)> = dirty
            .iter()
            .filter_map(|id| Some((id.clone(), self.compile_now(&self.sources.get(id)?.def))))
            .collect();
        for (id, compiled) in &compiled {
            self.use_sets(id, &compiled.sets, &mut stale_sets);
        }
        prepared.retain(|_, prepared| prepared.sets.keys().all(|name| self.has_set(name)));
        for (id, compiled) in compiled {
            let before = match prepared.get(&id) {
                Some(prepared) => Some(&prepared.group),
                None => self.program.groups.get(&id),
            };
            if before != Some(&compiled.group) {
                program_delta.groups.insert(id, Some(compiled.group));
            }
        }
        let prepared = prepared
            .into_iter()
            .map(|(id, compiled)| (id, compiled.group));
        program_delta.prepared = prepared.collect();
        for id in delta
            .groups
            .iter()
            .filter(|(_, def)| def.is_none())
            .map(|(id, _)| id)
        {
            if self.program.groups.contains_key(id) {
                program_delta.groups.insert(id.clone(), None);
            }
        }
        self.forget_gone(&delta.groups, &mut stale_sets);
        self.find_stale_sets(delta, touched, &mut stale_sets);
        self.refill_sets(state, &stale_sets, program_delta);
    }

    /// The old definitions over the old and the new classes, where that makes a difference.
    fn prepare(
        &self,
        gaining: &BTreeSet<Predicate>,
        fresh: &Answers,
        changed: &BTreeMap<GroupId, Option<Arc<GroupDef>>>,
    ) -> BTreeMap<GroupId, Compiled> {
        let both: Answers = gaining
            .iter()
            .filter_map(|predicate| {
                let answer = self.answers.get(predicate)?.and(fresh.get(predicate)?);
                Some((predicate.clone(), answer))
            })
            .collect();
        let old = |predicate: &Predicate| self.answers.get(predicate);
        let old_and_new = |predicate: &Predicate| both.get(predicate).or_else(|| old(predicate));
        let mut prepared = BTreeMap::new();
        for id in self.groups_asking(gaining.iter()) {
            let is_gone = matches!(changed.get(&id), Some(None));
            let Some(source) = self.sources.get(&id).filter(|_| !is_gone) else {
                continue;
            };
            let compiled = compile(
                &source.def,
                &old_and_new,
                &old,
                &self.program.settings.log_prefix,
            );
            if self.program.groups.get(&id) != Some(&compiled.group) {
                prepared.insert(id, compiled);
            }
        }
        prepared
    }

    fn compile_now(&self, def: &GroupDef) -> Compiled {
        let answers = |predicate: &Predicate| self.answers.get(predicate);
        compile(def, &answers, &answers, &self.program.settings.log_prefix)
    }

    fn groups_asking<'a>(
        &self,
        predicates: impl Iterator<Item = &'a Predicate> + 'a,
    ) -> BTreeSet<GroupId> {
        predicates
            .filter_map(|predicate| self.askers.get(predicate))
            .flatten()
            .cloned()
            .collect()
    }

    /// Takes the new definitions and reads the answers that they are the first to ask for. Answers that
    /// nobody asks for any more are forgotten.
    fn replace_sources(
        &mut self,
        state: &dyn NodeState,
        changed: &BTreeMap<GroupId, Option<Arc<GroupDef>>>,
    ) {
        let mut left = BTreeSet::new();
        for (id, def) in changed {
            left.extend(self.stop_asking(id));
            let Some(def) = def else { continue };
            let asks: BTreeSet<Predicate> = peer_predicates(def).cloned().collect();
            for predicate in &asks {
                self.askers
                    .entry(predicate.clone())
                    .or_default()
                    .insert(id.clone());
                if !self.answers.contains_key(predicate) {
                    let answer = Answer::read(state, predicate, &self.retired);
                    self.answers.insert(predicate.clone(), answer);
                }
            }
            let sets = self
                .sources
                .remove(id)
                .map(|source| source.sets)
                .unwrap_or_default();
            self.sources.insert(
                id.clone(),
                Source {
                    def: Arc::clone(def),
                    asks,
                    sets,
                },
            );
        }
        for predicate in left {
            if self.askers.get(&predicate).is_none_or(BTreeSet::is_empty) {
                self.askers.remove(&predicate);
                self.answers.remove(&predicate);
            }
        }
    }

    /// Takes a group out of the askers of all that it asks. Returns what it asked.
    fn stop_asking(&mut self, id: &GroupId) -> BTreeSet<Predicate> {
        let asked = self
            .sources
            .get_mut(id)
            .map(|source| std::mem::take(&mut source.asks));
        let asked = asked.unwrap_or_default();
        for predicate in &asked {
            if let Some(askers) = self.askers.get_mut(predicate) {
                askers.remove(id);
            }
        }
        asked
    }

    /// Replaces the sets that a group uses, and notes those whose use begins or ends.
    fn use_sets(
        &mut self,
        id: &GroupId,
        sets: &BTreeMap<SetName, Predicate>,
        stale: &mut BTreeSet<SetName>,
    ) {
        let Some(source) = self.sources.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut source.sets, sets.clone());
        for (name, predicate) in sets.iter().filter(|(name, _)| !before.contains_key(*name)) {
            let used = self.sets.entry(name.clone()).or_insert_with(|| {
                stale.insert(name.clone());
                UsedSet {
                    predicate: predicate.clone(),
                    groups: 0,
                }
            });
            used.groups += 1;
        }
        for name in before.keys().filter(|name| !sets.contains_key(*name)) {
            self.release_set(name, stale);
        }
    }

    fn release_set(&mut self, name: &SetName, stale: &mut BTreeSet<SetName>) {
        let Some(used) = self.sets.get_mut(name) else {
            return;
        };
        used.groups -= 1;
        if used.groups == 0 {
            self.sets.remove(name);
            stale.insert(name.clone());
        }
    }

    /// Whether a set is in the program before the change, or will be after it.
    fn has_set(&self, name: &SetName) -> bool {
        self.sets.contains_key(name)
            || self.program.class_sets.contains_key(name)
            || self.program.port_sets.contains_key(name)
            || self.program.address_sets.contains_key(name)
            || self.program.service_sets.contains_key(name)
    }

    fn forget_gone(
        &mut self,
        changed: &BTreeMap<GroupId, Option<Arc<GroupDef>>>,
        stale: &mut BTreeSet<SetName>,
    ) {
        for id in changed
            .iter()
            .filter(|(_, def)| def.is_none())
            .map(|(id, _)| id)
        {
            for name in self
                .sources
                .remove(id)
                .into_iter()
                .flat_map(|source| source.sets.into_keys())
            {
                self.release_set(&name, stale);
            }
        }
    }

    fn find_stale_sets(&self, delta: &NodeDelta, touched: &Touched, stale: &mut BTreeSet<SetName>) {
        let by_class = touched.gaining.union(&touched.losing);
        let by_class = by_class.flat_map(|predicate| {
            [SetKind::Classes, SetKind::Ports].map(|kind| set_name(kind, predicate))
        });
        let by_address = delta.address_sets.union(&delta.modes);
        let by_address = by_address.flat_map(|predicate| {
            [SetKind::Addresses, SetKind::Services].map(|kind| set_name(kind, predicate))
        });
        stale.extend(
            by_class
                .chain(by_address)
                .filter(|name| self.sets.contains_key(name)),
        );
    }

    /// Writes the present contents of sets that are not what the program says.
    fn refill_sets(
        &self,
        state: &dyn NodeState,
        stale: &BTreeSet<SetName>,
        program_delta: &mut ProgramDelta,
    ) {
        for name in stale {
            let predicate = self.sets.get(name).map(|used| &used.predicate);
            let program = &self.program;
            match SetKind::of(name) {
                Some(SetKind::Classes) => {
                    let set = predicate.map(|predicate| self.class_set(predicate));
                    change(
                        &program.class_sets,
                        &mut program_delta.class_sets,
                        name,
                        set,
                    );
                }
                Some(SetKind::Ports) => {
                    let set = predicate.map(|predicate| self.port_set(predicate));
                    change(&program.port_sets, &mut program_delta.port_sets, name, set);
                }
                Some(SetKind::Addresses) => {
                    let set = predicate.map(|predicate| state.addresses_of(predicate));
                    change(
                        &program.address_sets,
                        &mut program_delta.address_sets,
                        name,
                        set,
                    );
                }
                Some(SetKind::Services) => {
                    let set = predicate.map(|predicate| state.service_of(predicate));
                    change(
                        &program.service_sets,
                        &mut program_delta.service_sets,
                        name,
                        set,
                    );
                }
                None => {}
            }
        }
    }

    pub(crate) fn class_set(&self, predicate: &Predicate) -> ClassSet {
        let answer = self.answers.get(predicate).into_iter();
        ClassSet {
            text: Arc::clone(predicate.text()),
            classes: answer
                .flat_map(|answer| answer.classes(Families::BOTH))
                .collect(),
        }
    }

    pub(crate) fn port_set(&self, predicate: &Predicate) -> PortSetOfClasses {
        let members = match predicate {
            Predicate::NamedPort { protocol, .. } => self
                .answers
                .get(predicate)
                .into_iter()
                .flat_map(|answer| answer.ports(Families::BOTH))
                .map(|(class, port)| ClassPort {
                    class,
                    protocol: *protocol,
                    port,
                })
                .collect(),
            Predicate::Selector { .. }
            | Predicate::Nets { .. }
            | Predicate::Nodes { .. }
            | Predicate::Listed { .. } => BTreeSet::new(),
        };
        PortSetOfClasses {
            text: Arc::clone(predicate.text()),
            members,
        }
    }
}

fn only_addresses_change(delta: &NodeDelta) -> bool {
    let NodeDelta {
        classes_added,
        classes_retired,
        addresses: _,
        nets: _,
        address_sets,
        modes,
        groups,
        endpoints,
        hosts,
    } = delta;
    classes_added.is_empty()
        && classes_retired.is_empty()
        && address_sets.is_empty()
        && modes.is_empty()
        && groups.is_empty()
        && endpoints.is_empty()
        && hosts.is_empty()
}

fn change<V: PartialEq>(
    before: &BTreeMap<SetName, V>,
    changes: &mut BTreeMap<SetName, Option<V>>,
    name: &SetName,
    after: Option<V>,
) {
    if before.get(name) != after.as_ref() {
        changes.insert(name.clone(), after);
    }
}
