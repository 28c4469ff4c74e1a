//! What the state answers about one predicate of the peer, kept while a group asks it.

use std::collections::{BTreeMap, BTreeSet};

use oncilla_model::{Families, Predicate};
use oncilla_net::{Family, fault};
use oncilla_program::{ClassId, SetName};
use oncilla_resolve::node::{NodeState, PredicateMode};
use sha2::{Digest as _, Sha256};

/// Which kind of set a name is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SetKind {
    /// `p<id>`: classes.
    Classes,
    /// `n<id>`: classes, protocols and ports.
    Ports,
    /// `a<id>`: addresses.
    Addresses,
    /// `s<id>`: addresses, protocols and ports of a service.
    Services,
}

impl SetKind {
    const ALL: [(Self, &str); 4] = [
        (Self::Classes, "p"),
        (Self::Ports, "n"),
        (Self::Addresses, "a"),
        (Self::Services, "s"),
    ];

    const fn letter(self) -> &'static str {
        match self {
            Self::Classes => "p",
            Self::Ports => "n",
            Self::Addresses => "a",
            Self::Services => "s",
        }
    }

    /// The kind that a name was made for.
    pub(crate) fn of(name: &SetName) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|(_, letter)| name.0.starts_with(letter))
            .map(|(kind, _)| kind)
    }
}

/// The name of a predicate's set: the kind's letter and 48 bits of the text's hash.
pub(crate) fn set_name(kind: SetKind, predicate: &Predicate) -> SetName {
    let digest = Sha256::digest(predicate.text().as_bytes());
    let mut name = String::from(kind.letter());
    for byte in digest.iter().take(6) {
        for nibble in [byte >> 4, byte & 15] {
            name.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    SetName(name.into())
}

/// The answers about one predicate. Classes are ascending and apart by family.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Answer {
    /// Asked by address: classes ran out.
    pub(crate) by_address: bool,
    classes: [Vec<ClassId>; 2],
    ports: [Vec<(ClassId, u16)>; 2],
}

impl Answer {
    /// Reads the present answers, without the classes in `without`.
    pub(crate) fn read(
        state: &dyn NodeState,
        predicate: &Predicate,
        without: &BTreeSet<ClassId>,
    ) -> Self {
        let mut answer = Self {
            by_address: state.mode(predicate) == PredicateMode::ByAddress,
            ..Self::default()
        };
        let family = |class: ClassId| {
            // A class that the state does not know has no address: no rule needs it.
            let family = match class {
                ClassId::UNKNOWN_V4 => Some(Family::V4),
                ClassId::UNKNOWN_V6 => Some(Family::V6),
                class => state.family_of(class),
            };
            family.filter(|_| !without.contains(&class))
        };
        match predicate {
            Predicate::NamedPort { .. } => {
                for (class, port) in state.ports_of(predicate) {
                    if let Some(family) = family(class) {
                        answer.ports[index(family)].push((class, port));
                    }
                }
            }
            Predicate::Listed { .. } => {}
            Predicate::Selector { .. } | Predicate::Nets { .. } | Predicate::Nodes { .. } => {
                for class in state.classes_of(predicate) {
                    if let Some(family) = family(class) {
                        answer.classes[index(family)].push(class);
                    }
                }
            }
        }
        answer.classes.iter_mut().for_each(sort);
        answer.ports.iter_mut().for_each(sort);
        answer
    }

    /// Both answers together: by address when either is.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.by_address |= other.by_address;
        for (mine, theirs) in both.classes.iter_mut().zip(&other.classes) {
            mine.extend(theirs);
            sort(mine);
        }
        for (mine, theirs) in both.ports.iter_mut().zip(&other.ports) {
            mine.extend(theirs);
            sort(mine);
        }
        both
    }

    /// The classes of which the predicate holds, IPv4 first. Not sorted across families.
    pub(crate) fn classes(&self, families: Families) -> impl Iterator<Item = ClassId> {
        Family::ALL
            .into_iter()
            .filter(move |family| {
                families.contains(*family) || fault::is("compile/ip-version-of-peer-ignored")
            })
            .flat_map(|family| self.classes[index(family)].iter().copied())
    }

    /// Whether the predicate holds of a class.
    pub(crate) fn holds(&self, class: ClassId) -> bool {
        self.classes
            .iter()
            .any(|classes| classes.binary_search(&class).is_ok())
    }

    /// The classes and ports that a port name leads to, IPv4 first.
    pub(crate) fn ports(&self, families: Families) -> impl Iterator<Item = (ClassId, u16)> {
        Family::ALL
            .into_iter()
            .filter(move |family| families.contains(*family))
            .flat_map(|family| self.ports[index(family)].iter().copied())
    }
}

/// Answers by predicate.
pub(crate) type Answers = BTreeMap<Predicate, Answer>;

const fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}
