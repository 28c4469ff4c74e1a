//! From what the store tells to changes of the model: how far the store was heard, which objects there are,
//! and what cannot be understood. What cannot be understood never widens access: the version before it
//! stays, or a version that denies.

mod stand_in;

use std::collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher};
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use oncilla_api::{FieldError, Kind, Object, ObjectKey, Remains};
use oncilla_model::{Change, Configuration, Converter, Doubt, Doubts, HostInterface, Policy};
use oncilla_program::Settings;
use oncilla_store::{Revision, StoredObject};
use serde_json::Value;

use self::stand_in::{has_stand_in, instead};
use crate::follow::News;
use crate::options::Options;
use crate::settings::Configurations;
use crate::status::{AGENT_ANNOTATION, Problem};

/// Longest message of a problem, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// Owned by the policy thread.
#[derive(Debug)]
pub(crate) struct Intake {
    converter: Converter,
    /// How the node treats packets.
    configurations: Configurations,
    kinds: BTreeMap<Kind, Heard>,
    /// The policies as written; in force is what [`Doubts::read`] makes of them. The resolver shares them.
    policies: BTreeMap<ObjectKey, Arc<Policy>>,
    /// The objects that were never understood since this agent started.
    closed: BTreeSet<ObjectKey>,
    /// What nobody knows of them.
    doubts: Doubts,
    problems: BTreeMap<ObjectKey, Problem>,
    /// The policies whose tier does not exist, since when.
    without_tier: BTreeMap<ObjectKey, u64>,
    /// The interfaces that host endpoints of this node name.
    named: BTreeMap<ObjectKey, Arc<str>>,
    /// The host endpoints whose interface is called like a workload's, since when.
    on_workloads: BTreeMap<ObjectKey, u64>,
    /// The newest revision of a change that is more than an agent's report.
    wanted: u64,
    /// Since when the store is away.
    away_since_unix_ms: Option<u64>,
    /// Counts the changes of what [`Self::problems`] says.
    problems_version: u64,
}

/// How far a kind was heard.
#[derive(Debug, Default)]
struct Heard {
    objects: BTreeSet<ObjectKey>,
    revision: Revision,
    synced: bool,
    away: bool,
    /// Of nodes: what they say but for agents' reports.
    digests: BTreeMap<ObjectKey, u64>,
}

impl Intake {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            converter: Converter::new(options.interface_prefixes.first()),
            configurations: Configurations::new(options.node.as_str(), options.settings()),
            kinds: Kind::ALL.map(|kind| (kind, Heard::default())).into(),
            policies: BTreeMap::new(),
            closed: BTreeSet::new(),
            doubts: Doubts::default(),
            problems: BTreeMap::new(),
            without_tier: BTreeMap::new(),
            named: BTreeMap::new(),
            on_workloads: BTreeMap::new(),
            wanted: 0,
            away_since_unix_ms: None,
            problems_version: 0,
        }
    }

    /// What news means, appended to `changes`.
    pub(crate) fn take(&mut self, news: News, unix_ms: u64, changes: &mut Vec<Change>) {
        match news {
            News::Listed(kind, objects, revision) => {
                let listed: BTreeSet<ObjectKey> =
                    objects.iter().map(|object| object.key.clone()).collect();
                let gone: Vec<ObjectKey> = self
                    .heard(kind)
                    .objects
                    .difference(&listed)
                    .cloned()
                    .collect();
                for key in gone {
                    self.removed(&key, unix_ms, changes);
                }
                for object in objects {
                    self.applied(object, unix_ms, changes);
                }
                self.heard(kind).revision = revision;
                self.wanted = self.wanted.max(revision.0);
            }
            News::Applied(object) => {
                let (kind, revision) = (object.key.kind, object.revision);
                if self.applied(object, unix_ms, changes) {
                    self.wanted = self.wanted.max(revision.0);
                }
                self.reached(kind, revision);
            }
            News::Deleted(key, revision) => {
                self.removed(&key, unix_ms, changes);
                self.reached(key.kind, revision);
                self.wanted = self.wanted.max(revision.0);
            }
            News::Synced(kind, revision) => {
                let heard = self.heard(kind);
                heard.synced = true;
                heard.away = false;
                self.reached(kind, revision);
                if self.away_since_unix_ms.is_some() && !self.kinds.values().any(|h| h.away) {
                    self.away_since_unix_ms = None;
                    tracing::info!("the store is back");
                }
            }
            News::Away(kind, error) => {
                self.heard(kind).away = true;
                if self.away_since_unix_ms.is_none() {
                    self.away_since_unix_ms = Some(unix_ms);
                    tracing::warn!(
                        error,
                        "the store is away; the kernel keeps what it holds, trying again"
                    );
                }
            }
        }
    }

    /// How the node treats packets now.
    pub(crate) const fn settings(&self) -> &Settings {
        self.configurations.settings()
    }

    /// Whether every kind was told completely once.
    pub(crate) fn is_synced(&self) -> bool {
        self.kinds.values().all(|heard| heard.synced)
    }

    /// Up to which revision everything was told.
    pub(crate) fn revision(&self) -> u64 {
        let revisions = self.kinds.values().map(|heard| heard.revision.0);
        revisions.min().unwrap_or_default()
    }

    /// The newest revision that somebody may wait for.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    pub(crate) fn away_since_unix_ms(&self) -> Option<u64> {
        self.away_since_unix_ms
    }

    /// How many objects of a kind there are.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.kinds.get(&kind).map_or(0, |heard| heard.objects.len())
    }

    /// Another number whenever [`Self::problems`] says something else.
    pub(crate) fn problems_version(&self) -> u64 {
        self.problems_version
    }

    /// Objects that are not in force as written.
    pub(crate) fn problems(&self) -> impl Iterator<Item = Problem> {
        let tierless = self.without_tier.iter().map(|(key, since_unix_ms)| {
            let tier = self.policies.get(key).map(|policy| policy.tier.to_string());
            Problem {
                object: key.to_string(),
                message: format!(
                    "unknown tier {:?}; what the policy selects is denied there",
                    tier.unwrap_or_default()
                ),
                since_unix_ms: *since_unix_ms,
            }
        });
        let idle = self.on_workloads.iter().map(|(key, since_unix_ms)| {
            let interface = self.named.get(key).map_or("", |name| name);
            Problem {
                object: key.to_string(),
                message: format!(
                    "spec.interfaceName: {interface:?} is called like a workload's interface, so no host endpoint is \
                     about it; give it another name, or change interfacePrefix (kept: it judges nothing)"
                ),
                since_unix_ms: *since_unix_ms,
            }
        });
        self.problems.values().cloned().chain(tierless).chain(idle)
    }

    fn heard(&mut self, kind: Kind) -> &mut Heard {
        self.kinds.entry(kind).or_default()
    }

    fn reached(&mut self, kind: Kind, revision: Revision) {
        let heard = self.heard(kind);
        heard.revision = heard.revision.max(revision);
    }

    /// Whether the change is more than an agent's report.
    fn applied(&mut self, stored: StoredObject, unix_ms: u64, changes: &mut Vec<Change>) -> bool {
        let key = stored.key;
        let is_new = self.heard(key.kind).objects.insert(key.clone());
        if key.kind == Kind::Node {
            self.configurations
                .note_node(&key.name, Some(&stored.value));
            let digest = digest(stored.value.clone());
            let before = self.heard(key.kind).digests.insert(key.clone(), digest);
            if before == Some(digest) {
                return false;
            }
        }
        // What stands in for a broken object is read from what was written, unless there is a version before it.
        let has_previous = !is_new && !self.closed.contains(&key);
        let needs_stand_in = has_stand_in(key.kind) && !has_previous;
        let written = needs_stand_in.then(|| stored.value.clone());
        let converted = Object::decode(key.kind, stored.value).and_then(|mut object| {
            object.default_fields();
            let converted = self.converter.convert(&object);
            let converted = converted.map_err(|refused| refused.reasons)?;
            if let Object::FelixConfiguration(configuration) = &object {
                let said = Configuration::of(configuration)?;
                self.configurations.put(&key.name, Some(said));
            }
            Ok(converted)
        });
        match converted {
            Ok(converted) => {
                self.solved(&key);
                self.closed.remove(&key);
                self.note_interface(&key, &converted);
                for change in converted {
                    self.inherited(&change, changes);
                    changes.push(match change {
                        Change::Policy(policy_key, Some(policy)) => {
                            let read = self.doubts.read(&policy);
                            self.policies.insert(key.clone(), policy);
                            Change::Policy(policy_key, Some(read))
                        }
                        Change::Profile(name, Some(profile)) => {
                            Change::Profile(name, Some(self.doubts.read_profile(&profile)))
                        }
                        other => other,
                    });
                }
                // Last: what these changes say goes in force one after the other, and whoever doubts must go on
                // doubting until the whole object is there.
                self.doubt(&key, None, changes);
            }
            Err(reasons) => {
                if !has_previous {
                    self.closed.insert(key.clone());
                }
                self.refuse(&key, written.as_ref(), (&reasons, unix_ms), changes);
            }
        }
        self.look_for_tiers(&key, unix_ms);
        self.look_at_interfaces(key.kind, unix_ms);
        true
    }

    fn removed(&mut self, key: &ObjectKey, unix_ms: u64, changes: &mut Vec<Change>) {
        let heard = self.heard(key.kind);
        heard.objects.remove(key);
        heard.digests.remove(key);
        match key.kind {
            Kind::FelixConfiguration => self.configurations.put(&key.name, None),
            Kind::Node => self.configurations.note_node(&key.name, None),
            _ => {}
        }
        self.policies.remove(key);
        self.closed.remove(key);
        self.solved(key);
        self.doubt(key, None, changes);
        let removed = self.converter.removed(key);
        for change in &removed {
            self.inherited(change, changes);
        }
        changes.extend(removed);
        self.look_for_tiers(key, unix_ms);
        self.named.remove(key);
        self.look_at_interfaces(key.kind, unix_ms);
    }

    fn solved(&mut self, key: &ObjectKey) {
        if self.problems.remove(key).is_some() {
            self.problems_version += 1;
        }
    }

    /// Notes what nobody knows of an object, and reads every policy again when that is new.
    fn doubt(&mut self, key: &ObjectKey, doubt: Option<Doubt>, changes: &mut Vec<Change>) {
        if self.doubts.put(key, doubt) {
            self.read_again(changes);
        }
    }

    /// Notes what broken pods inherit, and reads every policy again when that is new.
    fn inherited(&mut self, change: &Change, changes: &mut Vec<Change>) {
        if self.doubts.hear(change) {
            self.read_again(changes);
        }
    }

    fn read_again(&self, changes: &mut Vec<Change>) {
        let policies = self.policies.values();
        changes.extend(
            policies
                .map(|policy| Change::Policy(policy.key.clone(), Some(self.doubts.read(policy)))),
        );
        changes.extend(self.doubts.asking_profiles().map(|profile| {
            let read = self.doubts.read_profile(profile);
            Change::Profile(profile.name.clone(), Some(read))
        }));
    }

    /// Notes the problem, and what goes in force instead.
    fn refuse(
        &mut self,
        key: &ObjectKey,
        written: Option<&Value>,
        (reasons, unix_ms): (&[FieldError], u64),
        changes: &mut Vec<Change>,
    ) {
        let has_previous = has_stand_in(key.kind) && written.is_none();
        let instead = instead(key.kind, has_previous);
        if let Some(written) = written {
            let remains = Remains::new(key.kind, written, reasons);
            if key.kind == Kind::FelixConfiguration {
                let closed = Configuration::closed(&remains);
                self.configurations.put(&key.name, Some(closed));
            }
            let closed = self.converter.closed(key, &remains);
            // The other way round: closed before anything of the object counts.
            self.doubt(key, closed.doubt, changes);
            for change in &closed.changes {
                self.inherited(change, changes);
            }
            changes.extend(closed.changes);
        }
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        let message: String = reasons.join("; ").chars().take(MESSAGE_CHARS_MAX).collect();
        let message = format!("{message} ({instead})");
        let before = self.problems.get(key);
        if before.is_none_or(|before| before.message != message) {
            self.problems_version += 1;
            tracing::warn!(object = %key, message, "an object is not in force as written");
        }
        let since_unix_ms = before.map_or(unix_ms, |before| before.since_unix_ms);
        let object = key.to_string();
        self.problems.insert(
            key.clone(),
            Problem {
                object,
                message,
                since_unix_ms,
            },
        );
    }

    /// Notes the interface that a host endpoint of this node names.
    fn note_interface(&mut self, key: &ObjectKey, converted: &[Change]) {
        for change in converted {
            let Change::HostEndpoint(_, Some(endpoint)) = change else {
                continue;
            };
            match &endpoint.interface {
                HostInterface::Named(name) if *endpoint.node == *self.configurations.node() => {
                    self.named.insert(key.clone(), Arc::clone(name));
                }
                _ => drop(self.named.remove(key)),
            }
        }
    }

    /// Finds the host endpoints that are about no interface, because theirs is called like a workload's.
    fn look_at_interfaces(&mut self, kind: Kind, unix_ms: u64) {
        let concerned = [Kind::HostEndpoint, Kind::FelixConfiguration, Kind::Node];
        if self.named.is_empty() && self.on_workloads.is_empty() || !concerned.contains(&kind) {
            return;
        }
        let settings = self.settings();
        let named = self.named.iter();
        let idle = named.filter(|(_, interface)| settings.is_workload(interface));
        let idle: BTreeMap<ObjectKey, u64> = idle
            .map(|(key, _)| {
                let since = self.on_workloads.get(key).copied();
                (key.clone(), since.unwrap_or(unix_ms))
            })
            .collect();
        self.problems_version += u64::from(idle != self.on_workloads);
        self.on_workloads = idle;
    }

    /// Finds the policies whose tier does not exist: of one policy that changed, or of all when a tier did.
    fn look_for_tiers(&mut self, key: &ObjectKey, unix_ms: u64) {
        let tiers = &self.kinds[&Kind::Tier].objects;
        let has_tier = |policy: &Policy| {
            let tier = ObjectKey::cluster(Kind::Tier, policy.tier.to_string());
            tiers.contains(&tier)
        };
        if key.kind == Kind::Tier {
            let missing = self.policies.iter().filter(|(_, policy)| !has_tier(policy));
            let missing = missing.map(|(key, _)| {
                let since = self.without_tier.get(key).copied();
                (key.clone(), since.unwrap_or(unix_ms))
            });
            let missing: BTreeMap<ObjectKey, u64> = missing.collect();
            self.problems_version += u64::from(missing != self.without_tier);
            self.without_tier = missing;
            return;
        }
        let missing = self
            .policies
            .get(key)
            .is_some_and(|policy| !has_tier(policy));
        if missing && !self.without_tier.contains_key(key) {
            self.without_tier.insert(key.clone(), unix_ms);
            self.problems_version += 1;
        } else if !missing && self.without_tier.remove(key).is_some() {
            self.problems_version += 1;
        }
    }
}

/// What a node says but for what agents report and the server counts.
fn digest(mut node: Value) -> u64 {
    if let Some(Value::Object(metadata)) = node.get_mut("metadata") {
        for field in ["resourceVersion", "managedFields", "generation"] {
            metadata.shift_remove(field);
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.shift_remove(AGENT_ANNOTATION);
            if annotations.is_empty() {
                metadata.shift_remove("annotations");
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    node.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use oncilla_api::{Kind, ObjectKey};
    use oncilla_model::Change;
    use oncilla_store::{Revision, StoredObject};
    use serde_json::{Value, json};

    use super::Intake;
    use crate::follow::News;
    use crate::options::Options;

    fn taken(intake: &mut Intake, key: ObjectKey, value: Value) -> Vec<&'static str> {
        let mut changes = Vec::new();
        let revision = Revision(1);
        let object = StoredObject {
            key,
            revision,
            value,
        };
        intake.take(News::Applied(object), 0, &mut changes);
        let kinds = changes.iter().map(|change| match change {
            Change::NetworkSet(..) => "set",
            Change::Policy(..) => "policy",
            Change::Profile(..) => "profile",
            Change::Endpoint(_, None) => "no endpoint",
            Change::Endpoint(..) => "endpoint",
            _ => "other",
        });
        kinds.collect()
    }

    /// Also when the configuration came later, and no longer once it is gone.
    #[test]
    fn a_host_endpoint_of_an_interface_that_became_a_workloads_is_told() {
        let mut intake = Intake::new(&Options::new("n1".parse().unwrap(), "/run/none"));
        let object = |kind: &str, name: &str, spec: Value| {
            json!({ "apiVersion": "projectcalico.org/v3", "kind": kind,
                "metadata": { "name": name }, "spec": spec })
        };
        for (name, node, interface) in [
            ("here", "n1", "tap0"),
            ("there", "n2", "tap0"),
            ("own", "n1", "eth0"),
        ] {
            let spec = json!({ "node": node, "interfaceName": interface });
            let key = ObjectKey::cluster(Kind::HostEndpoint, name);
            taken(&mut intake, key, object("HostEndpoint", name, spec));
        }
        let told = |intake: &Intake| -> Vec<String> {
            intake.problems().map(|problem| problem.object).collect()
        };
        assert_eq!(told(&intake), [""; 0]);
        let key = ObjectKey::cluster(Kind::FelixConfiguration, "default");
        let spec = json!({ "interfacePrefix": "cali,tap" });
        let felix = object("FelixConfiguration", "default", spec);
        let before = intake.problems_version();
        taken(&mut intake, key.clone(), felix);
        assert_eq!(told(&intake), ["HostEndpoint here"]);
        assert!(intake.problems_version() > before);
        assert!(intake.settings().is_workload("tap0"));
        intake.take(News::Deleted(key, Revision(2)), 0, &mut Vec::new());
        assert_eq!(told(&intake), [""; 0]);
        assert!(!intake.settings().is_workload("tap0"));
    }

    /// What these changes say goes in force one after the other: rules doubt as long as the set is not whole.
    #[test]
    fn rules_doubt_before_a_broken_set_counts_and_until_it_is_whole() {
        let mut intake = Intake::new(&Options::new("n1".parse().unwrap(), "/run/none"));
        let policy = ObjectKey::cluster(Kind::GlobalNetworkPolicy, "deny");
        let source = json!({ "selector": "role == 'bad'" });
        let rules = json!([{ "action": "Deny", "source": source }]);
        let value = json!({ "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
            "metadata": { "name": "deny" }, "spec": { "ingress": rules } });
        assert_eq!(taken(&mut intake, policy, value), ["policy"]);
        let set = |nets: [&str; 2]| {
            let key = ObjectKey::cluster(Kind::GlobalNetworkSet, "bad");
            let value = json!({ "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
                "metadata": { "name": "bad", "labels": { "role": "bad" } },
                "spec": { "nets": nets } });
            (key, value)
        };
        let (key, broken) = set(["192.0.2.0/24", "nowhere"]);
        assert_eq!(taken(&mut intake, key, broken), ["policy", "set"]);
        let (key, whole) = set(["192.0.2.0/24", "198.51.100.0/24"]);
        assert_eq!(taken(&mut intake, key, whole), ["set", "policy"]);
    }

    /// Of a pod that was never understood rules doubt the addresses, and by what its namespace says of it; of one that
    /// was, the version before stays.
    #[test]
    fn rules_doubt_a_broken_pod_until_it_is_whole() {
        let mut intake = Intake::new(&Options::new("n1".parse().unwrap(), "/run/none"));
        let policy = ObjectKey::cluster(Kind::GlobalNetworkPolicy, "deny");
        let source = json!({ "namespaceSelector": "team == 'bad'" });
        let rules = json!([{ "action": "Deny", "source": source }]);
        let value = json!({ "metadata": { "name": "deny" }, "spec": { "ingress": rules } });
        assert_eq!(taken(&mut intake, policy, value), ["policy"]);
        let namespace = |team: &str| {
            let key = ObjectKey::cluster(Kind::Namespace, "a");
            (
                key,
                json!({ "metadata": { "name": "a", "labels": { "team": team } } }),
            )
        };
        let (key, value) = namespace("good");
        assert_eq!(taken(&mut intake, key, value), ["profile"]);
        let pod = |name: &str, labels: Value| {
            let key = ObjectKey::namespaced(Kind::Pod, "a", name);
            let value = json!({ "metadata": { "name": name, "namespace": "a", "labels": labels },
                "spec": { "nodeName": "n2" }, "status": { "podIPs": [{ "ip": "10.0.0.9" }] } });
            (key, value)
        };
        let (key, whole) = pod("p", json!({}));
        let broken = pod("p", json!(7)).1;
        let closed = taken(&mut intake, key.clone(), broken.clone());
        assert_eq!(closed, ["policy", "no endpoint"]);
        let (namespace, value) = namespace("bad");
        assert_eq!(taken(&mut intake, namespace, value), ["policy", "profile"]);
        assert_eq!(
            taken(&mut intake, key.clone(), whole),
            ["endpoint", "policy"]
        );
        assert_eq!(taken(&mut intake, key, broken), [""; 0]);
        let problems: Vec<String> = intake.problems().map(|problem| problem.message).collect();
        assert!(
            problems[0].contains("kept: the version before"),
            "{problems:?}"
        );
    }
}
