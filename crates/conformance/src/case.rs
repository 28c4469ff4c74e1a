//! The neutral script that every file format becomes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use oncilla_api::{Object, ObjectKey};
use oncilla_net::{Direction, Family, Protocol, Verdict};
use oncilla_verdict::{Chain, Decision, Party};

use crate::left_out::LeftOut;

/// What one file holds.
#[derive(Debug, Default)]
pub struct Suite {
    /// The cases, in the file's order.
    pub cases: Vec<Case>,
    /// What the file holds and is not judged, by name.
    pub left_out: LeftOut,
}

/// A cluster, and what happens to it.
#[derive(Debug)]
pub struct Case {
    /// What people call the case: number and description.
    pub name: String,
    /// The objects that are there before the first step; no policies among them by custom.
    pub objects: Vec<Object>,
    /// The steps, in order; objects carry over from one to the next.
    pub steps: Vec<Step>,
}

/// Changes, and what holds after them.
#[derive(Debug)]
pub struct Step {
    /// What people call the step.
    pub name: String,
    /// The changes in order, or why there are none: what the step applies was refused.
    pub changes: Result<Vec<Change>, String>,
    /// When set, the changes must be refused with an error that contains this text, and change nothing.
    pub refused_with: Option<String>,
    /// What must hold after the changes.
    pub cells: Vec<Cell>,
}

/// One change of the cluster.
#[derive(Clone, PartialEq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few hundred of them live at once, and most of them are objects"
)]
pub enum Change {
    /// An object is created or replaced.
    Apply(Object),
    /// An object is gone.
    Delete(ObjectKey),
}

/// One new connection and its expected fate. Policy sees the pod also when a client would name a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Who connects: a pod, or an address outside.
    pub source: Party,
    /// To whom.
    pub destination: Party,
    /// With which protocol.
    pub protocol: Protocol,
    /// To which port.
    pub port: u16,
    /// Over which of the two's addresses.
    pub family: Family,
    /// Whether the connection comes about.
    pub expect: Verdict,
    /// Who must have settled it, when the file says so.
    pub decided_by: Option<DecidedBy>,
    /// What the earlier ends must have said, when the file says so: `E:profile`, `E:knp/ns/name#0`.
    pub before: Option<Vec<String>>,
}

/// Who settled a connection, in the files' words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecidedBy {
    /// At whose end.
    pub at: String,
    /// Which way, seen from that end.
    pub direction: Direction,
    /// Which chain of the end, when it is not the usual one: `forward`.
    pub chain: Option<String>,
    /// The tier, when one decided.
    pub tier: Option<String>,
    /// The policy or profile, when a rule of it decided.
    pub policy: Option<String>,
    /// The rule's number, `end-of-tier`, `profile` or `no-policy`.
    pub rule: String,
    /// The policies that made the tier apply, at the end of a tier.
    pub isolated_by: Vec<String>,
}

impl Case {
    /// Every object that is ever there, older versions too.
    pub fn all_objects(&self) -> impl Iterator<Item = &Object> + Clone {
        let changes = self
            .steps
            .iter()
            .filter_map(|step| step.changes.as_ref().ok());
        let applied = changes.flatten().filter_map(|change| match change {
            Change::Apply(object) => Some(object),
            Change::Delete(_) => None,
        });
        self.objects.iter().chain(applied)
    }

    /// The addresses outside the cluster that the case connects from or to.
    pub fn outside(&self) -> BTreeSet<IpAddr> {
        let cells = self.steps.iter().flat_map(|step| &step.cells);
        let parties = cells.flat_map(|cell| [&cell.source, &cell.destination]);
        parties
            .filter_map(|party| match party {
                Party::Address(address) => Some(*address),
                Party::Pod { .. } | Party::Node(_) => None,
            })
            .collect()
    }
}

impl From<&Decision> for DecidedBy {
    fn from(decision: &Decision) -> Self {
        Self {
            at: decision.at.to_string(),
            direction: decision.direction,
            chain: (decision.chain != Chain::Normal).then(|| decision.chain.to_string()),
            tier: decision.tier.as_ref().map(ToString::to_string),
            policy: decision.policy.as_ref().map(ToString::to_string),
            rule: decision.rule.to_string(),
            isolated_by: decision
                .isolated_by
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }
}

/// `production/frontend -> production/backend tcp/8080`, with `(IPv6)` behind it for IPv6.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} -> {} {}/{}",
            self.source, self.destination, self.protocol, self.port
        )?;
        match self.family {
            Family::V4 => Ok(()),
            Family::V6 => f.write_str(" (IPv6)"),
        }
    }
}

/// `production/backend ingress tier default knp/production/allow#0`.
impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.direction)?;
        if let Some(chain) = &self.chain {
            write!(f, " {chain}")?;
        }
        if let Some(tier) = &self.tier {
            write!(f, " tier {tier}")?;
        }
        match &self.policy {
            Some(policy) => write!(f, " {policy}#{}", self.rule)?,
            None => write!(f, " {}", self.rule)?,
        }
        if !self.isolated_by.is_empty() {
            write!(f, " of {}", self.isolated_by.join(", "))?;
        }
        Ok(())
    }
}
