//! Which objects a command line means: kinds, names, namespaces, in kubectl's forms and ours.
//!
//! `pods`, `pods,services`, `all`, `pod backend`, `pod production/backend`, `pod/backend networkpolicy/allow`.

use anyhow::{Result, bail};
use oncilla_api::{Kind, ObjectKey, nearest};
use oncilla_store::rest::{Client, Collection, RestError};

use crate::args::Select;
use crate::print;

/// The namespace of objects that name none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";
/// What `all` means: what people put into a namespace, and what judges it.
const ALL: [Kind; 6] = [
    Kind::Pod,
    Kind::Service,
    Kind::NetworkSet,
    Kind::GlobalNetworkPolicy,
    Kind::NetworkPolicy,
    Kind::KubernetesNetworkPolicy,
];

/// What a command line means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Everything of these kinds.
    Kinds(Vec<Kind>),
    /// These objects.
    Objects(Vec<ObjectKey>),
}

impl Target {
    /// Reads kinds and names.
    ///
    /// # Errors
    /// An unknown kind, or names without one.
    pub(crate) fn parse(select: &Select) -> Result<Self> {
        let namespace = select.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        if select.kind.contains('/') {
            let words = std::iter::once(&select.kind).chain(&select.names);
            let keys = words.map(|word| {
                let Some((kind, name)) = word.split_once('/') else {
                    bail!("{word:?} names no kind: write it as kind/name like the others");
                };
                key(Kind::parse(kind)?, name, namespace)
            });
            return Ok(Self::Objects(keys.collect::<Result<_>>()?));
        }
        let mut kinds = Vec::new();
        for word in select.kind.split(',').filter(|word| !word.is_empty()) {
            match word {
                "all" => kinds.extend(ALL),
                word => kinds.push(Kind::parse(word)?),
            }
        }
        if kinds.is_empty() {
            bail!("name a kind, as in `pods`");
        }
        let mut once = Vec::new();
        kinds.retain(|kind| {
            !once.contains(kind) && {
                once.push(*kind);
                true
            }
        });
        if select.names.is_empty() {
            return Ok(Self::Kinds(kinds));
        }
        if select.all_namespaces {
            bail!("an object cannot be named across all namespaces; leave -A out, or the names");
        }
        let pairs = kinds
            .iter()
            .flat_map(|kind| select.names.iter().map(|name| (*kind, name)));
        let keys = pairs.map(|(kind, name)| key(kind, name, namespace));
        Ok(Self::Objects(keys.collect::<Result<_>>()?))
    }
}

/// `name`, or `namespace/name`.
fn key(kind: Kind, name: &str, namespace: &str) -> Result<ObjectKey> {
    let (namespace, name) = match name.split_once('/') {
        Some(_) if !kind.namespaced() => bail!("{kind} objects belong to no namespace: {name:?}"),
        Some(parts) => parts,
        None => (namespace, name),
    };
    if name.is_empty() || namespace.is_empty() || name.contains('/') {
        bail!("{name:?} is no name: write NAME or NAMESPACE/NAME");
    }
    Ok(if kind.namespaced() {
        ObjectKey::namespaced(kind, namespace, name)
    } else {
        ObjectKey::cluster(kind, name)
    })
}

/// A kind's objects, of one namespace when the kind has any.
pub(crate) fn collection(kind: Kind, namespace: Option<&str>) -> Collection {
    match namespace {
        Some(namespace) if kind.namespaced() => Collection::of(kind).in_namespace(namespace),
        _ => Collection::of(kind),
    }
}

/// Says that an object is not there, and which one may have been meant.
///
/// # Errors
/// When the server cannot be asked what there is.
pub(crate) async fn say_missing(client: &Client, key: &ObjectKey) -> Result<(), RestError> {
    let (resource, path) = (print::resource(key.kind), key.path());
    let there = client.list(&Collection::of(key.kind)).await?.objects;
    let there: Vec<ObjectKey> = there.into_iter().map(|object| object.key).collect();
    let meant = meant(key.namespace.as_deref(), &key.name, &there);
    let help = meant.map(|meant| format!("did you mean {meant}?"));
    print::error(&format!("{resource} {path} not found"), help.as_deref());
    Ok(())
}

/// The path that somebody may have meant: the same name in another namespace, or a name that is nearly the same. A
/// long namespace that is right makes no two names similar.
pub(crate) fn meant(namespace: Option<&str>, name: &str, there: &[ObjectKey]) -> Option<String> {
    let in_namespace = |key: &&ObjectKey| key.namespace.as_deref() == namespace;
    let named = |name: &str| {
        let mut same = there.iter().filter(|key| key.name == name);
        let first = same.clone().next();
        same.find(in_namespace).or(first).map(ObjectKey::path)
    };
    let near = || {
        let near = there.iter().filter(in_namespace).map(|key| &key.name);
        nearest(name, near).or_else(|| nearest(name, there.iter().map(|key| &key.name)))
    };
    named(name).or_else(|| named(&near()?))
}

#[cfg(test)]
mod tests {
    use oncilla_api::{Kind, ObjectKey};

    use super::{Target, meant};
    use crate::args::Select;

    fn parse(words: &[&str]) -> Result<Target, String> {
        let mut words = words.iter().map(|word| (*word).to_owned());
        let select = Select {
            kind: words.next().unwrap(),
            names: words.collect(),
            namespace: None,
            all_namespaces: false,
        };
        Target::parse(&select).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn kinds_and_names_are_read_in_every_form() {
        let pod = |namespace, name| ObjectKey::namespaced(Kind::Pod, namespace, name);
        for (words, expected) in [
            (
                vec!["po,svc,pods"],
                Target::Kinds(vec![Kind::Pod, Kind::Service]),
            ),
            (vec!["pod", "a"], Target::Objects(vec![pod("default", "a")])),
            (
                vec!["pod", "web/a", "b"],
                Target::Objects(vec![pod("web", "a"), pod("default", "b")]),
            ),
            (vec!["pod/web/a"], Target::Objects(vec![pod("web", "a")])),
            (
                vec!["pod/a", "tier/t"],
                Target::Objects(vec![
                    pod("default", "a"),
                    ObjectKey::cluster(Kind::Tier, "t"),
                ]),
            ),
        ] {
            assert_eq!(parse(&words).unwrap(), expected, "{words:?}");
        }
        for (words, message) in [
            (vec!["pdo"], "unknown kind \"pdo\": did you mean pod?"),
            (vec!["bgppeer"], "not supported yet"),
            (vec!["pod/a", "b"], "\"b\" names no kind"),
            (vec!["tier", "a/b"], "belong to no namespace"),
            (vec!["pod", "a/b/c"], "is no name"),
            (vec!["pod/"], "is no name"),
        ] {
            let error = parse(&words).unwrap_err();
            assert!(error.contains(message), "{words:?}: {error}");
        }
    }

    #[test]
    fn only_names_that_are_nearly_the_same_are_offered() {
        let pod = |namespace, name| ObjectKey::namespaced(Kind::Pod, namespace, name);
        let there = [
            pod("production", "api"),
            pod("production", "backend"),
            pod("staging", "backend"),
        ];
        for (namespace, name, expected) in [
            ("production", "nope", None),
            ("production", "bakend", Some("production/backend")),
            ("staging", "bakend", Some("staging/backend")),
            ("prodution", "api", Some("production/api")),
            ("staging", "apj", Some("production/api")),
            ("production", "zzz", None),
        ] {
            let said = meant(Some(namespace), name, &there);
            assert_eq!(said.as_deref(), expected, "{namespace}/{name}");
        }
    }
}
