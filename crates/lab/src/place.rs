//! Where something happens in a lab: a pod, a node or an outside host.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A place in a lab. Written `namespace/pod`, `pod` (in namespace `default`), `node:NAME` or `host:NAME`, which is the
/// same here, or an outside host's address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A node's own network.
    Node(String),
    /// A host outside the cluster.
    Outside(IpAddr),
}

impl Place {
    /// The pod `name` of `namespace`.
    pub fn pod(namespace: &str, name: &str) -> Self {
        Self::Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Node(name) => write!(f, "node:{name}"),
            Self::Outside(address) => write!(f, "{address}"),
        }
    }
}

/// A text that names no place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "\"{text}\" names no place: write NAMESPACE/POD, POD, node:NAME, host:NAME or an outside host's address"
)]
pub struct PlaceError {
    /// The text.
    pub text: String,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Outside(address));
        }
        let node = text
            .strip_prefix("node:")
            .or_else(|| text.strip_prefix("host:"));
        let place = match (node, text.split_once('/')) {
            (Some(node), None) => Self::Node(node.to_owned()),
            (None, Some((namespace, name))) => Self::pod(namespace, name),
            (None, None) => Self::pod("default", text),
            (Some(_), Some(_)) => Self::Node(String::new()),
        };
        let plain = |part: &str| !part.is_empty() && !part.contains(['/', ':']);
        let valid = match &place {
            Self::Pod { namespace, name } => plain(namespace) && plain(name),
            Self::Node(name) => plain(name),
            Self::Outside(_) => true,
        };
        valid.then_some(place).ok_or_else(|| PlaceError {
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for Place {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn places_are_read_as_they_are_written() {
        for (text, place) in [
            ("production/backend", Place::pod("production", "backend")),
            ("backend", Place::pod("default", "backend")),
            ("node:n1", Place::Node("n1".to_owned())),
            (
                "2001:db8::1",
                Place::Outside("2001:db8::1".parse().unwrap()),
            ),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        assert_eq!("host:n1".parse(), Ok(Place::Node("n1".to_owned())));
        for text in [
            "", "/", "a/", "a/b/c", "node:", "node:a/b", "host:", "what:x",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
