//! The engine without a kernel: objects in, a program for each node, as agents would make them.
//!
//! ```text
//!   changes ─▶ model::Converter ─┬▶ Resolver ─▶ Compiler ─▶ Program of node n1
//!                                └▶ Resolver ─▶ Compiler ─▶ Program of node n2
//! ```
//! Every batch is applied incrementally and then settled. What the API server supplies by itself, the
//! built-in tiers, is supplied here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_api::{FieldError, Object, ObjectKey, Remains, v3};
use oncilla_compile::Compiler;
use oncilla_model::{Converter, Doubt, Doubts, Policy, PolicyKey};
use oncilla_net::{Packet, Verdict};
use oncilla_program::{Outcome, Passage, Place, Program, ProgramDelta, Settings};
use oncilla_resolve::{Exhausted, Limits, Resolver};
use oncilla_testkit::cluster::Flight;
use serde_json::Value;

use crate::case::Change;
use crate::hosts::Hosts;

/// Name, order and end of the tiers that are there before anybody writes.
const BUILT_IN_TIERS: [(&str, f64, v3::TierAction); 3] = [
    ("kube-admin", 1_000.0, v3::TierAction::Pass),
    ("default", 1_000_000.0, v3::TierAction::Deny),
    ("kube-baseline", 10_000_000.0, v3::TierAction::Pass),
];
/// The interface by which packets of other nodes come and go.
pub const FABRIC_INTERFACE: &str = "eth0";
/// How far the clock moves from one batch to the next, in milliseconds.
const BATCH_MS: u64 = 1_000;
/// How often a resolver may ask to settle again after one batch.
const SETTLE_ROUNDS_MAX: usize = 32;

/// A node that ran out of class numbers and did not find out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("node {node} did not settle")]
pub struct Unsettled {
    /// The node.
    pub node: String,
    /// Why.
    #[source]
    pub source: Option<Exhausted>,
}

/// Whoever puts programs in force: called with the node, what changed, and the program afterwards.
pub type Sink<'a, E> = &'a mut dyn FnMut(&str, &ProgramDelta, &Program) -> Result<(), E>;

/// One agent's part of a node, up to the program.
#[derive(Debug)]
struct Street {
    resolver: Resolver,
    compiler: Compiler,
}

/// The agents of a cluster, up to their programs.
#[derive(Debug)]
pub struct Engine {
    converter: Converter,
    /// The policies as written, or what stands for them.
    policies: BTreeMap<PolicyKey, Arc<Policy>>,
    /// What nobody knows of broken tiers and network sets: as if every agent had just started.
    doubts: Doubts,
    streets: BTreeMap<String, Street>,
    /// Which node and interface each workload address is behind.
    homes: BTreeMap<IpAddr, (String, Arc<str>)>,
    /// What agents learn of their hosts.
    hosts: Hosts,
    now_ms: u64,
}

/// What becomes of a packet on its way, and what each node said.
#[derive(Debug)]
pub struct Fate<'a> {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The node's name and its outcome, in the order of the way.
    pub stages: Vec<(&'a str, Outcome<'a>)>,
}

impl Fate<'_> {
    /// Whether a pass rule matched anywhere.
    pub fn passed(&self) -> bool {
        self.stages.iter().any(|(_, outcome)| outcome.passed)
    }

    /// Whether the end of a tier was reached anywhere.
    pub fn reached_end_of_tier(&self) -> bool {
        let mut stages = self.stages.iter();
        stages.any(|(_, outcome)| outcome.reached_end_of_tier)
    }

    /// Whether a policy had a say: somewhere a group was asked.
    pub fn is_policed(&self) -> bool {
        let open = |place| matches!(place, Place::Unpoliced | Place::Open);
        let mut stages = self.stages.iter();
        stages.any(|(_, outcome)| !open(outcome.decided.place))
    }
}

impl Engine {
    /// Agents that know the built-in tiers and nothing else.
    ///
    /// # Errors
    /// When a node does not settle, or `sink` fails.
    pub fn new<E: From<Unsettled>>(
        nodes: impl IntoIterator<Item = String>,
        sink: Sink<'_, E>,
    ) -> Result<Self, E> {
        let street = |node: String| {
            let resolver = Resolver::new(&node, Limits::default());
            let compiler = Compiler::new(Settings::default());
            (node, Street { resolver, compiler })
        };
        let mut engine = Self {
            converter: Converter::default(),
            policies: BTreeMap::new(),
            doubts: Doubts::default(),
            streets: nodes.into_iter().map(street).collect(),
            homes: BTreeMap::new(),
            hosts: Hosts::default(),
            now_ms: 0,
        };
        let tiers: Vec<Change> = built_in_tiers().map(Change::Apply).collect();
        engine.apply(&tiers, sink)?;
        Ok(engine)
    }

    /// Sends a packet of a host, or one that hosts forward, along its way.
    pub fn judge_flight<'a>(&'a self, flight: &'a Flight) -> Fate<'a> {
        let mut fate = Fate {
            verdict: Verdict::Allow,
            stages: Vec::new(),
        };
        let mut original = flight.original;
        for (node, passage) in self.passages(flight) {
            let Some(program) = self.program(node) else {
                continue;
            };
            let passage = match original.take() {
                Some(sent) if passage.in_interface.is_none() => {
                    let passage = passage.translated_from(sent.ip(), sent.port());
                    passage.first_out_by(&flight.first_out_by)
                }
                Some(sent) => passage.translated_from(sent.ip(), sent.port()),
                None => passage,
            };
            let outcome = program.judge(&passage, &flight.packet);
            fate.verdict = outcome.verdict;
            fate.stages.push((node, outcome));
            if fate.verdict == Verdict::Deny {
                break;
            }
        }
        fate
    }

    /// The nodes on a flight's way, and how it passes each.
    fn passages<'a>(&'a self, flight: &'a Flight) -> Vec<(&'a str, Passage<'a>)> {
        // The node, and the workload's interface; none for the node itself.
        let end = |host: &'a Option<String>, address| match host {
            Some(node) => Some((node.as_str(), None)),
            None => self
                .home(address)
                .map(|(node, interface)| (node, Some(&**interface))),
        };
        let source = end(&flight.from_host, flight.packet.src);
        let destination = end(&flight.to_host, flight.packet.dst);
        let passage = |from: Option<&'a str>, to: Option<&'a str>| match (from, to) {
            (Some(from), Some(to)) => Some(Passage::forward(from, to)),
            (Some(from), None) => Some(Passage::input(from)),
            (None, Some(to)) => Some(Passage::output(to)),
            (None, None) => None,
        };
        let mut passages = Vec::new();
        match (source, destination) {
            (Some((node, from)), Some((other, to))) if node == other => {
                passages.push((node, passage(from, to)));
            }
            _ => {
                passages.extend(
                    source.map(|(node, from)| (node, passage(from, Some(&*flight.out_by)))),
                );
                let through = flight.through.as_ref();
                passages.extend(
                    through.map(|(node, from, to)| (node.as_str(), passage(Some(from), Some(to)))),
                );
                passages.extend(
                    destination.map(|(node, to)| (node, passage(Some(&*flight.in_by), to))),
                );
            }
        }
        let passages = passages.into_iter();
        passages
            .filter_map(|(node, passage)| Some((node, passage?)))
            .collect()
    }

    /// Takes changes in, in one batch, and settles.
    ///
    /// # Errors
    /// When a node does not settle, or `sink` fails.
    pub fn apply<E: From<Unsettled>>(
        &mut self,
        changes: &[Change],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let converted: Vec<_> = changes
            .iter()
            .flat_map(|change| self.convert(change))
            .collect();
        self.put(&converted, sink)
    }

    /// Takes in what a store holds of an object, also when it cannot be read: then it is closed, as an agent closes it.
    ///
    /// # Errors
    /// When a node does not settle, or `sink` fails.
    pub fn apply_stored<E: From<Unsettled>>(
        &mut self,
        key: &ObjectKey,
        value: &Value,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let converted = match Object::decode(key.kind, value.clone()) {
            Ok(mut object) => {
                object.default_fields();
                self.convert(&Change::Apply(object))
            }
            Err(errors) => {
                self.hosts.hear_broken(key, value, &errors);
                let (converted, doubt) = self.closed(key, value, &errors);
                self.doubted(key, converted, doubt)
            }
        };
        self.put(&converted, sink)
    }

    fn put<E: From<Unsettled>>(
        &mut self,
        converted: &[oncilla_model::Change],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        self.now_ms += BATCH_MS;
        for (node, street) in &mut self.streets {
            street.compiler.set_settings(self.hosts.settings(node));
            let own = self.hosts.interfaces(node);
            let all: Vec<_> = own.into_iter().chain(converted.iter().cloned()).collect();
            street.apply(node, &all, self.now_ms, sink)?;
        }
        self.homes = self
            .streets
            .iter()
            .flat_map(|(node, street)| {
                let endpoints = street.compiler.program().endpoints.iter();
                endpoints.flat_map(move |(interface, endpoint)| {
                    let home = (node.clone(), Arc::clone(interface));
                    let addresses = endpoint.addresses.iter();
                    addresses.map(move |address| (*address, home.clone()))
                })
            })
            .collect();
        Ok(())
    }

    fn convert(&mut self, change: &Change) -> Vec<oncilla_model::Change> {
        self.hosts.hear(change);
        let (key, converted, doubt) = match change {
            Change::Delete(key) => {
                // The API server refuses to delete the built-in tiers.
                let is_built_in = built_in_tiers().any(|tier| tier.key() == *key);
                let converted = (!is_built_in).then(|| self.converter.removed(key));
                (key.clone(), converted.unwrap_or_default(), None)
            }
            Change::Apply(object) => {
                let (converted, doubt) = match self.converter.convert(object) {
                    Ok(converted) => (converted, None),
                    Err(refused) => {
                        let (key, value) = (&refused.object, object.to_value());
                        self.hosts.hear_broken(key, &value, &refused.reasons);
                        self.closed(key, &value, &refused.reasons)
                    }
                };
                (object.key(), converted, doubt)
            }
        };
        self.doubted(&key, converted, doubt)
    }

    /// Changes as they read with what nobody knows.
    fn doubted(
        &mut self,
        key: &ObjectKey,
        converted: Vec<oncilla_model::Change>,
        doubt: Option<Doubt>,
    ) -> Vec<oncilla_model::Change> {
        let mut changes = Vec::new();
        // All in one: what anybody inherits, and what is not known.
        let inherits = converted.iter().map(|change| self.doubts.hear(change));
        let inherits = inherits.fold(false, |any, each| any | each);
        if self.doubts.put(key, doubt) | inherits {
            let policies = self.policies.iter();
            changes.extend(policies.map(|(key, policy)| {
                oncilla_model::Change::Policy(key.clone(), Some(self.doubts.read(policy)))
            }));
            changes.extend(self.doubts.asking_profiles().map(|profile| {
                let read = self.doubts.read_profile(profile);
                oncilla_model::Change::Profile(profile.name.clone(), Some(read))
            }));
        }
        for change in converted {
            changes.push(match change {
                oncilla_model::Change::Policy(key, Some(policy)) => {
                    let read = self.doubts.read(&policy);
                    self.policies.insert(key.clone(), policy);
                    oncilla_model::Change::Policy(key, Some(read))
                }
                oncilla_model::Change::Profile(name, Some(profile)) => {
                    let read = self.doubts.read_profile(&profile);
                    oncilla_model::Change::Profile(name, Some(read))
                }
                oncilla_model::Change::Policy(key, None) => {
                    self.policies.remove(&key);
                    oncilla_model::Change::Policy(key, None)
                }
                other => other,
            });
        }
        changes
    }

    /// What stands for a refused object; a policy's version before stays.
    fn closed(
        &self,
        key: &ObjectKey,
        value: &Value,
        reasons: &[FieldError],
    ) -> (Vec<oncilla_model::Change>, Option<Doubt>) {
        let policy = oncilla_model::policy_key(key);
        if policy.is_some_and(|key| self.policies.contains_key(&key)) {
            return (Vec::new(), None);
        }
        let remains = Remains::new(key.kind, value, reasons);
        let closed = self.converter.closed(key, &remains);
        (closed.changes, closed.doubt)
    }

    /// The converter in use.
    pub const fn converter(&self) -> &Converter {
        &self.converter
    }

    /// The nodes with their programs.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &Program)> {
        let streets = self.streets.iter();
        streets.map(|(node, street)| (node.as_str(), street.compiler.program()))
    }

    /// The program of a node.
    pub fn program(&self, node: &str) -> Option<&Program> {
        self.streets
            .get(node)
            .map(|street| street.compiler.program())
    }

    /// The node and interface that a workload's address is behind.
    pub fn home(&self, address: IpAddr) -> Option<(&str, &Arc<str>)> {
        let (node, interface) = self.homes.get(&address)?;
        Some((node, interface))
    }

    /// Sends a packet along its way: out of its source's node, into its destination's. An address that no
    /// node has is outside.
    pub fn judge(&self, packet: &Packet) -> Fate<'_> {
        let (source, destination) = (self.home(packet.src), self.home(packet.dst));
        let mut fate = Fate {
            verdict: Verdict::Allow,
            stages: Vec::new(),
        };
        let passages = match (source, destination) {
            (Some((node, from)), Some((other, to))) if node == other => {
                [Some((node, Passage::forward(from, to))), None]
            }
            _ => {
                let out = |(node, from)| (node, Passage::forward(from, FABRIC_INTERFACE));
                let into = |(node, to)| (node, Passage::forward(FABRIC_INTERFACE, to));
                [
                    source.map(|(node, from)| out((node, &**from))),
                    destination.map(|(node, to)| into((node, &**to))),
                ]
            }
        };
        for (node, passage) in passages.into_iter().flatten() {
            let Some(program) = self.program(node) else {
                continue;
            };
            let outcome = program.judge(&passage, packet);
            fate.verdict = outcome.verdict;
            fate.stages.push((node, outcome));
            if fate.verdict == Verdict::Deny {
                break;
            }
        }
        fate
    }
}

impl Street {
    fn apply<E: From<Unsettled>>(
        &mut self,
        node: &str,
        changes: &[oncilla_model::Change],
        now_ms: u64,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let mut state = self.resolver.apply(changes, now_ms);
        for round in 0..SETTLE_ROUNDS_MAX {
            match &state {
                Ok(delta) => {
                    let delta = self.compiler.apply(&self.resolver, delta);
                    sink(node, &delta, self.compiler.program())?;
                }
                Err(exhausted) if round + 1 == SETTLE_ROUNDS_MAX => {
                    return Err(unsettled(node, Some(*exhausted)).into());
                }
                Err(_) => {}
            }
            if round > 0 && state.is_ok() && self.resolver.is_settled() {
                return Ok(());
            }
            state = self.resolver.settle(now_ms);
        }
        Err(unsettled(node, None).into())
    }
}

fn unsettled(node: &str, source: Option<Exhausted>) -> Unsettled {
    Unsettled {
        node: node.to_owned(),
        source,
    }
}

/// What the API server has before anybody writes.
pub fn built_in_tiers() -> impl Iterator<Item = Object> {
    BUILT_IN_TIERS.into_iter().map(|(name, order, action)| {
        let mut tier = v3::Tier::default();
        name.clone_into(&mut tier.metadata.name);
        tier.spec.order = Some(order);
        tier.spec.default_action = Some(action);
        tier.into()
    })
}

/// Every node that the pods among `objects` are on.
#[expect(
    single_use_lifetimes,
    reason = "an argument of an unnamed type needs a named lifetime"
)]
pub fn nodes_of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<String> {
    let mut nodes: Vec<String> = objects
        .into_iter()
        .filter_map(|object| match object {
            Object::Pod(pod) if !pod.spec.node_name.is_empty() => Some(pod.spec.node_name.clone()),
            Object::Node(node) => Some(node.metadata.name.clone()),
            _ => None,
        })
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The changes that lead from one set of objects to another: what is gone first, pods before what they
/// stand on.
pub fn difference(
    old: &BTreeMap<ObjectKey, Object>,
    new: &BTreeMap<ObjectKey, Object>,
) -> Vec<Change> {
    let gone = old.keys().rev().filter(|key| !new.contains_key(key));
    let changed = new
        .iter()
        .filter(|(key, object)| old.get(key) != Some(object));
    let changed = changed.map(|(_, object)| Change::Apply(object.clone()));
    gone.cloned().map(Change::Delete).chain(changed).collect()
}
