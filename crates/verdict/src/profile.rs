//! Profiles: labels and rules that stand behind all tiers. Namespaces and service accounts are some.

use std::collections::BTreeMap;
use std::sync::Arc;

use oncilla_api::v3::{self, DEFAULT_ALLOW_PROFILE};
use oncilla_api::{Kind, Object, ObjectKey, Remains};
use oncilla_net::Direction;

use crate::cluster::Cluster;
use crate::endpoint::Inheritance;
use crate::labels::LabelMap;
use crate::rule::Rule;

/// What an endpoint has by one of its profiles.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// `kns.<namespace>`, `ksa.<namespace>.<account>` or the name of an object.
    pub(crate) name: Arc<str>,
    /// `None` when there is no such profile; it denies then.
    rules: Option<Arc<Rules>>,
    /// The labels that it gives; `None` when they cannot be read.
    pub(crate) labels: Option<LabelMap>,
}

#[derive(Debug, Default)]
struct Rules {
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
}

/// The profiles that are objects of their own.
#[derive(Debug, Default)]
pub(crate) struct Profiles(BTreeMap<String, Profile>);

impl Profile {
    /// One of which nobody knows what labels it gives: it denies.
    fn unreadable(name: String) -> Self {
        let deny = || vec![Rule::deny_everything()];
        Self {
            name: name.into(),
            rules: Some(Arc::new(Rules {
                ingress: deny(),
                egress: deny(),
            })),
            labels: None,
        }
    }

    /// A namespace's: it allows everything.
    pub(crate) fn of_namespace(namespace: &str, inheritance: &Inheritance) -> Self {
        if inheritance.hides_namespace(namespace) {
            return Self::unreadable(format!("kns.{namespace}"));
        }
        let labels = inheritance.of_namespace(namespace);
        Self {
            name: format!("kns.{namespace}").into(),
            rules: labels.is_some().then(Rules::allow),
            labels: Some(labels.cloned().unwrap_or_default()),
        }
    }

    /// A service account's: it has no rules.
    pub(crate) fn of_account(namespace: &str, account: &str, inheritance: &Inheritance) -> Self {
        if inheritance.hides_account(namespace, account) {
            return Self::unreadable(format!("ksa.{namespace}.{account}"));
        }
        let labels = inheritance.of_account(namespace, account);
        Self {
            name: format!("ksa.{namespace}.{account}").into(),
            rules: labels.is_some().then(Arc::default),
            labels: Some(labels.cloned().unwrap_or_default()),
        }
    }

    fn missing(name: &str) -> Self {
        Self {
            name: name.into(),
            rules: None,
            labels: Some(LabelMap::new()),
        }
    }

    fn of(profile: &v3::Profile) -> Self {
        let read = |rules: &[v3::Rule]| {
            let read = rules.iter().map(|rule| Rule::calico(rule, None, None));
            let read: Option<Vec<Rule>> = read.collect();
            // Nobody can say what it means.
            read.unwrap_or_else(|| vec![Rule::deny_everything()])
        };
        let spec = &profile.spec;
        Self {
            name: profile.metadata.name.as_str().into(),
            rules: Some(Arc::new(Rules {
                ingress: read(&spec.ingress),
                egress: read(&spec.egress),
            })),
            labels: Some(spec.labels_to_apply.clone()),
        }
    }

    /// One that the API would refuse: it denies.
    fn closed(key: &ObjectKey, remains: &Remains) -> Self {
        Self {
            labels: remains.read("spec.labelsToApply"),
            ..Self::unreadable(key.name.clone())
        }
    }

    /// The rules for a direction; `None` when there is no such profile.
    pub(crate) fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        let rules = self.rules.as_ref()?;
        Some(match direction {
            Direction::Ingress => &rules.ingress,
            Direction::Egress => &rules.egress,
        })
    }
}

impl Rules {
    fn allow() -> Arc<Self> {
        Arc::new(Self {
            ingress: vec![Rule::allow_everything()],
            egress: vec![Rule::allow_everything()],
        })
    }
}

impl Profiles {
    pub(crate) fn of(cluster: &Cluster, broken: &BTreeMap<ObjectKey, Remains>) -> Self {
        let mut all = BTreeMap::new();
        for object in cluster.objects() {
            if let Object::Profile(profile) = object {
                all.insert(profile.metadata.name.clone(), Profile::of(profile));
            }
        }
        for (key, remains) in broken.iter().filter(|(key, _)| key.kind == Kind::Profile) {
            all.insert(key.name.clone(), Profile::closed(key, remains));
        }
        let allow = Profile {
            name: DEFAULT_ALLOW_PROFILE.into(),
            rules: Some(Rules::allow()),
            labels: Some(LabelMap::new()),
        };
        all.insert(DEFAULT_ALLOW_PROFILE.to_owned(), allow);
        Self(all)
    }

    /// The profile of a name, also one that a namespace or service account is.
    pub(crate) fn find(&self, name: &str, inheritance: &Inheritance) -> Profile {
        if let Some(namespace) = name.strip_prefix("kns.") {
            return Profile::of_namespace(namespace, inheritance);
        }
        // Namespaces have no dots.
        let account = name
            .strip_prefix("ksa.")
            .and_then(|rest| rest.split_once('.'));
        if let Some((namespace, account)) = account {
            return Profile::of_account(namespace, account, inheritance);
        }
        let found = self.0.get(name).cloned();
        found.unwrap_or_else(|| Profile::missing(name))
    }
}
