//! Everything that Calico's API refuses, as one table: what upstream says, where that is written down, and how to
//! mend it. Validation speaks through these rows only; `tests/it/table` holds one case that each row accepts and
//! one that it refuses, for every kind that has it.
//!
//! A row is written `NAME = "id" for KINDS, "field", "source", says "…", mend "…";`. `{0}`, `{1}` stand for what
//! differs from fault to fault. Sources are paragraphs of the semantics page (`calico-semantics.md`); a remedy
//! that a fault knows better than its row replaces the row's.

pub(crate) mod endpoint;
pub(crate) mod felix;
pub(crate) mod metadata;
pub(crate) mod policy;
pub(crate) mod pool;
pub(crate) mod rule;

use std::fmt;

use crate::field::{FieldError, with_help};
use crate::kind::Kind;

/// One thing that validation refuses.
#[derive(Debug)]
pub struct Check {
    /// What tests and documents call it: `rule.ports-without-protocol`.
    pub id: &'static str,
    /// The kinds that have it.
    pub kinds: &'static [Kind],
    /// The fields that it judges.
    pub field: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What is said, in upstream's words where upstream has any.
    pub says: &'static str,
    /// How to mend it.
    pub mend: &'static str,
}

/// Every check of Calico's kinds, family by family.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    [
        metadata::ROWS,
        policy::ROWS,
        rule::ROWS,
        endpoint::ROWS,
        felix::ROWS,
        pool::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

impl Check {
    /// The fault of a field that breaks this.
    pub(crate) fn at(&self, path: impl Into<String>) -> FieldError {
        self.with(path, &[])
    }

    /// The same, with what differs from fault to fault.
    pub(crate) fn with(
        &self,
        path: impl Into<String>,
        different: &[&dyn fmt::Display],
    ) -> FieldError {
        let mend = filled(self.mend, different);
        let error = FieldError::new(path, filled(self.says, different)).with_help(mend);
        error.of_check(self.id)
    }

    /// The fault as the text that a type reports while it is read.
    pub(crate) fn text(&self, different: &[&dyn fmt::Display]) -> String {
        let says = filled(self.says, different);
        with_help(&says, &filled(self.mend, different), Some(self.id))
    }
}

/// Puts what differs in the places of `{0}`, `{1}`, …. What is put in is not looked at again.
fn filled(text: &str, different: &[&dyn fmt::Display]) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let place = behind.split_once('}').and_then(|(number, behind)| {
            let value = different.get(number.parse::<usize>().ok()?)?;
            Some((value, behind))
        });
        whole.push_str(before);
        rest = if let Some((value, behind)) = place {
            whole.push_str(&value.to_string());
            behind
        } else {
            whole.push('{');
            behind
        };
    }
    whole.push_str(rest);
    whole
}

/// Rows of the table, and their list.
macro_rules! rows {
    ($($name:ident = $id:literal for $kinds:expr, $field:literal, $source:literal,
        says $says:literal, mend $mend:literal;)*) => {
        $(pub(crate) static $name: $crate::validate::table::Check = $crate::validate::table::Check {
            id: $id,
            kinds: $kinds,
            field: $field,
            source: $source,
            says: $says,
            mend: $mend,
        };)*

        /// These rows.
        pub(super) static ROWS: &[&$crate::validate::table::Check] = &[$(&$name),*];
    };
}
use rows;

/// The policies whose rules are Calico's.
pub(crate) const POLICIES: &[Kind] = &[
    Kind::NetworkPolicy,
    Kind::GlobalNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
];
/// The policies of the whole cluster.
const GLOBAL_POLICIES: &[Kind] = &[Kind::GlobalNetworkPolicy, Kind::StagedGlobalNetworkPolicy];
/// The policies of one namespace.
const NAMESPACED_POLICIES: &[Kind] = &[Kind::NetworkPolicy, Kind::StagedNetworkPolicy];
/// Calico's policies that are not enforced.
const STAGED_POLICIES: &[Kind] = &[Kind::StagedNetworkPolicy, Kind::StagedGlobalNetworkPolicy];
/// Kubernetes' policy that is not enforced.
const STAGED_KUBERNETES: &[Kind] = &[Kind::StagedKubernetesNetworkPolicy];
/// Everything that has rules of Calico's.
const RULES: &[Kind] = &[
    Kind::NetworkPolicy,
    Kind::GlobalNetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
    Kind::Profile,
];
/// Everything that has rules of Calico's and no namespace.
const GLOBAL_RULES: &[Kind] = &[
    Kind::GlobalNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
    Kind::Profile,
];
/// Host endpoints.
const HOSTS: &[Kind] = &[Kind::HostEndpoint];
/// Workload endpoints.
const WORKLOADS: &[Kind] = &[Kind::WorkloadEndpoint];
/// The sets of addresses.
const SETS: &[Kind] = &[Kind::NetworkSet, Kind::GlobalNetworkSet];
/// Tiers.
const TIERS: &[Kind] = &[Kind::Tier];
