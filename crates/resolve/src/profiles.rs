//! Profiles by name: the labels that endpoints inherit, and the rules behind the last tier. There is one for each
//! namespace and each service account, nearly all of them with one of two lists of rules.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_model::{Labels, Profile, ProfileName, Rule};

use crate::groups::allow_all;
use crate::labels::{Pair, TextId, Texts, named_pairs, pairs, put_labels};
use crate::packs::{Gaps, Packs};

/// What a profile decides.
#[derive(Debug)]
enum Rules {
    /// Allows everything both ways, as that of a namespace.
    Allow,
    /// Says nothing, as that of a service account.
    Nothing,
    /// Something of its own.
    Own(Box<Own>),
}

#[derive(Debug)]
struct Own {
    ingress: Arc<[Rule]>,
    egress: Arc<[Rule]>,
    is_obscure: bool,
}

#[derive(Debug)]
struct Slot {
    labels: u32,
    rules: Rules,
}

/// The profiles. Owned by the index.
#[derive(Debug)]
pub(crate) struct Profiles {
    slots: HashMap<TextId, Slot>,
    labels: Packs,
    allow: Arc<[Rule]>,
    nothing: Arc<[Rule]>,
}

impl Profiles {
    pub(crate) fn new() -> Self {
        Self {
            slots: HashMap::new(),
            labels: Packs::default(),
            allow: Arc::clone(&allow_all("").ingress),
            nothing: Arc::from([]),
        }
    }

    /// The labels that a profile gives whose name is wanted.
    pub(crate) fn labels<'a, F>(
        &'a self,
        name: TextId,
        is_wanted: F,
    ) -> impl Iterator<Item = Pair<'a>>
    where
        F: Fn(TextId) -> bool + 'a,
    {
        let slot = self.slots.get(&name);
        let labels = slot.map(|slot| self.labels.bytes(slot.labels));
        named_pairs(labels.unwrap_or_default(), is_wanted)
    }

    pub(crate) fn is_obscure(&self, name: TextId) -> bool {
        let rules = self.slots.get(&name).map(|slot| &slot.rules);
        matches!(rules, Some(Rules::Own(own)) if own.is_obscure)
    }

    /// A profile without its labels, which no group needs.
    pub(crate) fn of(&self, texts: &Texts, name: TextId) -> Option<Arc<Profile>> {
        let slot = self.slots.get(&name)?;
        let (ingress, egress, is_obscure) = self.rules(&slot.rules);
        Some(Arc::new(Profile {
            name: ProfileName(texts.text(name).into()),
            labels: Labels::from([]),
            ingress: Arc::clone(ingress),
            egress: Arc::clone(egress),
            is_obscure,
        }))
    }

    /// Whether this is what a name has already.
    pub(crate) fn has(
        &self,
        texts: &Texts,
        name: &ProfileName,
        profile: Option<&Arc<Profile>>,
    ) -> bool {
        let id = texts.find(&name.0);
        let Some((id, slot)) = id.and_then(|id| Some((id, self.slots.get(&id)?))) else {
            return profile.is_none();
        };
        let Some(profile) = profile else {
            return false;
        };
        let given = profile
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let known = self
            .labels(id, |_| true)
            .map(|(name, value)| (texts.text(name), value));
        let rules = self.rules(&slot.rules);
        rules == (&profile.ingress, &profile.egress, profile.is_obscure) && given.eq(known)
    }

    /// Puts or removes a profile. Says its name when others than this refer to it: they may inherit.
    pub(crate) fn set(
        &mut self,
        texts: &mut Texts,
        name: &ProfileName,
        profile: Option<&Arc<Profile>>,
    ) -> Option<TextId> {
        let name = texts.intern(&name.0);
        let new = profile.map(|profile| self.slot(texts, profile));
        let old = match new {
            Some(slot) => {
                texts.retain(name);
                self.slots.insert(name, slot)
            }
            None => self.slots.remove(&name),
        };
        if let Some(old) = old {
            if self.labels.references(old.labels) == 1 {
                pairs(self.labels.bytes(old.labels)).for_each(|(name, _)| texts.release(name));
            }
            self.labels.release(old.labels);
            texts.release(name);
        }
        let own = u32::from(profile.is_some());
        // One more is of this call.
        let is_used = texts.references(name) > own + 1;
        texts.release(name);
        is_used.then_some(name)
    }

    pub(crate) fn compact(&mut self, gaps: Gaps) {
        self.labels.compact(gaps);
    }

    fn slot(&mut self, texts: &mut Texts, profile: &Profile) -> Slot {
        let mut bytes = Vec::new();
        put_labels(&mut bytes, texts, profile.labels.iter());
        let (labels, is_new) = self.labels.intern(&bytes);
        if !is_new {
            pairs(&bytes).for_each(|(name, _)| texts.release(name));
        }
        let are = |rules: &Arc<[Rule]>| profile.ingress == *rules && profile.egress == *rules;
        let rules = if profile.is_obscure {
            None
        } else if are(&self.allow) {
            Some(Rules::Allow)
        } else {
            are(&self.nothing).then_some(Rules::Nothing)
        };
        let own = || {
            Rules::Own(Box::new(Own {
                ingress: Arc::clone(&profile.ingress),
                egress: Arc::clone(&profile.egress),
                is_obscure: profile.is_obscure,
            }))
        };
        Slot {
            labels,
            rules: rules.unwrap_or_else(own),
        }
    }

    fn rules<'a>(&'a self, rules: &'a Rules) -> (&'a Arc<[Rule]>, &'a Arc<[Rule]>, bool) {
        match rules {
            Rules::Allow => (&self.allow, &self.allow, false),
            Rules::Nothing => (&self.nothing, &self.nothing, false),
            Rules::Own(own) => (&own.ingress, &own.egress, own.is_obscure),
        }
    }
}
