//! Objects of the server that cannot be understood. Agents enforce them closed or keep what they understood before,
//! and nobody outside can tell which: a question on which one may bear has no answer.

use std::fmt;

use oncilla_api::{Kind, ObjectKey};
use oncilla_verdict::Party;

use super::place::Place;

/// Objects named in one refusal; the others are counted.
const NAMED_MAX: usize = 5;

/// An object that cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unread {
    pub(crate) key: ObjectKey,
    pub(crate) reason: String,
}

impl Unread {
    /// Whether it could change who is meant by one of these places. A pod stands before a service of its name, so a
    /// service matters only where somebody wrote its name.
    pub(crate) fn may_be_meant(&self, places: [&Place; 2]) -> bool {
        places.into_iter().any(|place| match place {
            Place::Name(name) => self.key.name == *name,
            Place::Path(namespace, name) => {
                self.key.name == *name && self.key.namespace.as_ref() == Some(namespace)
            }
            Place::Node(name) => self.key.kind == Kind::Node && self.key.name == *name,
            Place::Address(_) | Place::Internet => false,
        })
    }

    /// Whether it could change the verdict between these two. When in doubt it could.
    pub(crate) fn may_bear_on(&self, source: &Party, destination: &Party) -> bool {
        match self.key.kind {
            // No rule asks for these but for the endpoints of services, which are objects of their own, and staged
            // policies are not enforced.
            Kind::Service
            | Kind::ClusterInformation
            | Kind::IPPool
            | Kind::WorkloadEndpoint
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy => false,
            // These select pods of their own namespace and nobody else.
            Kind::NetworkPolicy | Kind::KubernetesNetworkPolicy => {
                [source, destination].into_iter().any(|party| match party {
                    Party::Pod { namespace, .. } => self.key.namespace.as_ref() == Some(namespace),
                    // Whose pod it is may be what cannot be understood.
                    Party::Address(_) => true,
                    Party::Node(_) => false,
                })
            }
            _ => true,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.reason)
    }
}

/// A question whose answer depends on what cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CannotSay(Vec<Unread>);

impl CannotSay {
    /// The refusal, when there is anything to refuse for.
    pub(crate) fn because(unread: &[&Unread]) -> Result<(), Self> {
        let unread: Vec<Unread> = unread.iter().copied().cloned().collect();
        if unread.is_empty() {
            Ok(())
        } else {
            Err(Self(unread))
        }
    }
}

impl std::error::Error for CannotSay {}

impl fmt::Display for CannotSay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot say: what may decide cannot be understood: ")?;
        for (at, unread) in self.0.iter().take(NAMED_MAX).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{unread}")?;
        }
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => {}
            left => write!(f, ", and {left} more")?,
        }
        f.write_str(
            "; agents deny what it may select, or keep what they understood before; \
             correct it, or delete it, and ask again",
        )
    }
}
