//! Everything that can be known to be wrong before the first write: namespaces and tiers that are neither there
//! nor in the files, and whatever the server says when it is asked to pretend.

use std::collections::{BTreeMap, BTreeSet};

use oncilla_api::manifest::{Diagnostic, Located};
use oncilla_api::{FieldError, Kind, Object, nearest};
use oncilla_apiserver::BUILT_IN_TIERS;
use oncilla_store::rest::{Client, Collection, RestError};

use super::{ATTEMPTS_MAX, Change, Outcome, Step, compared, is_race, plan};
use crate::progress::Progress;
use crate::target::DEFAULT_NAMESPACE;

/// The tier of policies that name none.
const DEFAULT_TIER: &str = "default";
/// The service account that every namespace brings.
const DEFAULT_ACCOUNT: &str = "default";

/// The kinds that other objects refer to by name and must find.
const REFERRED: [Kind; 2] = [Kind::Namespace, Kind::Tier];

/// What was found.
#[derive(Debug)]
pub(super) struct Checked {
    /// What is wrong.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What would become of the objects at which nothing is wrong.
    pub(super) outcomes: Vec<Outcome>,
}

/// Checks all objects against the server and each other.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn all(
    client: &Client,
    objects: &[Located<Object>],
    progress: &mut Progress,
) -> Result<Checked, RestError> {
    let world = World::read(client, objects).await?;
    let mut checked = Checked {
        diagnostics: Vec::new(),
        outcomes: Vec::new(),
    };
    for (index, located) in objects.iter().enumerate() {
        progress.say(|| format!("checked {index} of {} objects", objects.len()));
        let faults = world.faults(located);
        if !faults.is_empty() {
            checked.diagnostics.extend(faults);
            continue;
        }
        match one(client, &world, located).await {
            Ok(outcome) => checked.outcomes.push(outcome),
            Err(error) => match diagnose(located, &error) {
                Some(faults) => checked.diagnostics.extend(faults),
                None => return Err(error),
            },
        }
    }
    Ok(checked)
}

/// What a lab would refuse of its objects, said before it is built. `objects` have passed every check of their own.
pub(crate) fn before_lab(objects: &[Located<Object>]) -> Vec<Diagnostic> {
    let world = World::of_new_lab(objects);
    let faults = objects.iter().map(|located| world.faults(located));
    faults.flatten().collect()
}

/// The names that other objects refer to.
struct World {
    /// Where these are: `on the server`.
    place: &'static str,
    /// Namespaces and tiers of the server.
    there: BTreeMap<Kind, BTreeSet<String>>,
    /// Those of the files.
    coming: BTreeMap<Kind, BTreeSet<String>>,
}

impl World {
    async fn read(client: &Client, objects: &[Located<Object>]) -> Result<Self, RestError> {
        let mut world = Self::coming(objects, "on the server");
        for kind in REFERRED {
            let there = client.list(&Collection::of(kind)).await?.objects;
            let there = there.into_iter().map(|object| object.key.name).collect();
            world.there.insert(kind, there);
        }
        Ok(world)
    }

    /// What every server makes when it starts.
    fn of_new_lab(objects: &[Located<Object>]) -> Self {
        let mut world = Self::coming(objects, "in a new lab");
        let tiers = BUILT_IN_TIERS.map(|(name, ..)| name.to_owned());
        world.there.insert(Kind::Tier, tiers.into());
        let namespaces = [DEFAULT_NAMESPACE.to_owned()];
        world.there.insert(Kind::Namespace, namespaces.into());
        world
    }

    fn coming(objects: &[Located<Object>], place: &'static str) -> Self {
        let mut coming: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
        for object in objects.iter().map(|located| &located.object) {
            if REFERRED.contains(&object.kind()) {
                let names = coming.entry(object.kind()).or_default();
                names.insert(object.metadata().name.clone());
            }
        }
        Self {
            place,
            there: BTreeMap::new(),
            coming,
        }
    }

    fn is_there(&self, kind: Kind, name: &str) -> bool {
        self.there
            .get(&kind)
            .is_some_and(|names| names.contains(name))
    }

    fn known(&self, kind: Kind) -> BTreeSet<&str> {
        let all = [&self.there, &self.coming]
            .into_iter()
            .filter_map(|names| names.get(&kind));
        all.flatten().map(String::as_str).collect()
    }

    fn faults(&self, located: &Located<Object>) -> Vec<Diagnostic> {
        let object = &located.object;
        let label = object.key().to_string();
        let mut faults = Vec::new();
        if let Some(namespace) = object.key().namespace {
            faults.extend(self.unknown(Kind::Namespace, "metadata.namespace", &namespace));
        }
        if let Some(tier) = tier_of(object) {
            faults.extend(self.unknown(Kind::Tier, "spec.tier", tier));
        }
        faults
            .into_iter()
            .map(|fault| located.diagnose(&label, fault))
            .collect()
    }

    fn unknown(&self, kind: Kind, path: &str, name: &str) -> Option<FieldError> {
        let known = self.known(kind);
        if known.contains(name) {
            return None;
        }
        let word = kind.singular();
        let message = format!(
            "{word} {name:?} is neither {} nor in these files",
            self.place
        );
        let help = if let Some(meant) = nearest(name, known.iter().copied()) {
            format!("did you mean `{meant}`?")
        } else {
            let known: Vec<&str> = known.into_iter().collect();
            let known = known.join(", ");
            format!("add the {word} to what you apply, or name one of {known}")
        };
        Some(FieldError::new(path, message).with_help(help))
    }

    /// Whether everything the object refers to is on the server already, so that the server can judge it.
    fn can_be_judged(&self, object: &Object) -> bool {
        let namespace = object.key().namespace;
        namespace.is_none_or(|namespace| self.is_there(Kind::Namespace, &namespace))
            && tier_of(object).is_none_or(|tier| self.is_there(Kind::Tier, tier))
    }
}

fn tier_of(object: &Object) -> Option<&str> {
    let tier = match object {
        Object::NetworkPolicy(policy) => policy.spec.tier.as_str(),
        Object::GlobalNetworkPolicy(policy) => policy.spec.tier.as_str(),
        Object::StagedNetworkPolicy(policy) => policy.spec.tier.as_str(),
        Object::StagedGlobalNetworkPolicy(policy) => policy.spec.tier.as_str(),
        _ => return None,
    };
    Some(if tier.is_empty() { DEFAULT_TIER } else { tier })
}

/// Asks the server to pretend, as far as it can.
async fn one(
    client: &Client,
    world: &World,
    located: &Located<Object>,
) -> Result<Outcome, RestError> {
    let key = located.object.key();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let step = plan(client, located).await?;
        let (pretended, before) = match step {
            // It refers to what these files bring; its own fields were judged when it was read. A namespace
            // brings its default service account itself.
            Step::Create(value) if !world.can_be_judged(&located.object) => {
                let is_brought = key.kind == Kind::ServiceAccount && key.name == DEFAULT_ACCOUNT;
                let change = if is_brought {
                    Change::Configured
                } else {
                    Change::Created
                };
                return Ok(Outcome { key, change, value });
            }
            Step::Update { wanted, .. } if !world.can_be_judged(&located.object) => {
                return Ok(Outcome {
                    key,
                    change: Change::Configured,
                    value: wanted,
                });
            }
            Step::Create(value) => (client.dry_run_create(&key, &value).await, None),
            Step::Update { live, wanted } => {
                (client.dry_run_update(&key, &wanted).await, Some(live))
            }
        };
        match pretended {
            Ok(object) => {
                let change =
                    before.map_or(Change::Created, |before| compared(&before, &object.value));
                return Ok(Outcome {
                    key,
                    change,
                    value: object.value,
                });
            }
            Err(error) if attempt < ATTEMPTS_MAX && is_race(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A server's refusal at the places of the file it speaks of; `None` when it is none.
pub(super) fn diagnose(located: &Located<Object>, error: &RestError) -> Option<Vec<Diagnostic>> {
    let status = error.status().filter(|status| status.code < 500)?;
    let label = located.object.key().to_string();
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut faults: Vec<FieldError> = causes
        .map(|cause| FieldError::new(&cause.field, &cause.message))
        .collect();
    if faults.is_empty() {
        faults.push(FieldError::new(
            "",
            format!("the server refused: {}", status.message),
        ));
    }
    Some(
        faults
            .into_iter()
            .map(|fault| located.diagnose(&label, fault))
            .collect(),
    )
}
