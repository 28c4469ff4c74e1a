//! The HTTP clause of a rule. It is refused: a rule that judges packets cannot see requests, and upstream's packet
//! filters read it as if the clause were not there, which lets more through than was written. What upstream refuses
//! of it is said as well, so that nobody mends one fault after the other.

use std::collections::BTreeSet;

use oncilla_net::Protocol as Number;

use super::{Errors, Place, table};
use crate::field::Code;
use crate::meta::PolicyType;
use crate::v3::{Action, HttpMatch, HttpPath, Protocol, Rule};

/// Methods of one rule.
const METHODS_MAX: usize = 20;
/// Paths of one rule.
const PATHS_MAX: usize = 20;
/// The longest path, in characters.
const PATH_LENGTH_MAX: usize = 1024;

pub(super) fn check(place: Place<'_>, rule: &Rule, http: &HttpMatch, errors: &mut Errors) {
    let path = format!("{}.http", place.path);
    let unsupported = table::HTTP.at(path.as_str()).with_code(Code::NotSupported);
    errors.push(unsupported.pointing_at_key());
    let protocol = rule.protocol.as_ref().and_then(Protocol::number);
    if protocol.is_some_and(|number| number != Number::TCP) {
        errors.push(table::HTTP_PROTOCOL.at(path.as_str()).pointing_at_key());
    }
    if rule.action != Action::Allow {
        errors.push(table::HTTP_ACTION.at(path.as_str()).pointing_at_key());
    }
    if place.direction == PolicyType::Egress {
        // Upstream has two texts for it.
        let plural = if place.kind.namespaced() { "" } else { "s" };
        let error = table::HTTP_EGRESS.with(path.as_str(), &[&plural]);
        errors.push(error.pointing_at_key());
    }
    let methods = format!("{path}.methods");
    errors.too_many(
        &table::HTTP_METHODS_MAX,
        &methods,
        http.methods.len(),
        METHODS_MAX,
    );
    let mut seen = BTreeSet::new();
    for (index, method) in http.methods.iter().enumerate() {
        if !seen.insert(method) {
            let path = format!("{methods}[{index}]");
            errors.push(table::HTTP_METHODS_TWICE.with(path, &[method]));
        }
    }
    let paths = format!("{path}.paths");
    errors.too_many(&table::HTTP_PATHS_MAX, &paths, http.paths.len(), PATHS_MAX);
    for (index, found) in http.paths.iter().enumerate() {
        check_path(&format!("{paths}[{index}]"), found, errors);
    }
}

fn check_path(path: &str, found: &HttpPath, errors: &mut Errors) {
    let (field, text) = match (&found.exact, &found.prefix) {
        (Some(_), Some(_)) => return errors.broken(&table::HTTP_PATH_BOTH, path),
        (None, None) => return errors.broken(&table::HTTP_PATH_NEITHER, path),
        (Some(text), None) => ("exact", text),
        (None, Some(text)) => ("prefix", text),
    };
    let path = format!("{path}.{field}");
    let length = text.chars().count();
    if length > PATH_LENGTH_MAX {
        errors.push(table::HTTP_PATH_LENGTH.with(path, &[&length]));
    } else if !text.starts_with('/') || text.contains(['?', '#']) {
        errors.push(table::HTTP_PATH.with(path, &[&format_args!("{text:?}")]));
    }
}
