//! Labels, annotations and Kubernetes' label selectors.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::table::metadata as table;
use super::{Check, Errors};
use crate::field::FieldError;
use crate::meta::{LabelOperator, LabelRequirement, LabelSelector};
use crate::names;

/// All annotations of an object together, names and values, in bytes.
const ANNOTATIONS_SIZE_MAX: usize = 256 * 1024;

pub(super) fn check(
    path: impl Display + Copy,
    labels: &BTreeMap<String, String>,
    errors: &mut Errors,
) {
    for (name, value) in labels {
        let path = format_args!("{path}.{name}");
        check_key(path, &table::LABEL_NAME, name, errors);
        check_value(path, value, errors);
    }
}

pub(super) fn check_annotations(
    path: impl Display + Copy,
    annotations: &BTreeMap<String, String>,
    errors: &mut Errors,
) {
    let mut size = 0;
    for (name, value) in annotations {
        size += name.len() + value.len();
        // Kubernetes compares the names of annotations in lower case.
        let lower = name.to_ascii_lowercase();
        let path = format_args!("{path}.{name}");
        check_key(path, &table::ANNOTATION_NAME, &lower, errors);
    }
    if size > ANNOTATIONS_SIZE_MAX {
        let over = size - ANNOTATIONS_SIZE_MAX;
        errors.push(
            table::ANNOTATIONS_SIZE
                .with(path.to_string(), &[&over])
                .pointing_at_key(),
        );
    }
}

pub(super) fn check_selector(
    path: impl Display + Copy,
    selector: &LabelSelector,
    errors: &mut Errors,
) {
    check(
        format_args!("{path}.matchLabels"),
        &selector.match_labels,
        errors,
    );
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let path = format_args!("{path}.matchExpressions[{index}]");
        check_requirement(path, requirement, errors);
    }
}

fn check_requirement(
    path: impl Display + Copy,
    requirement: &LabelRequirement,
    errors: &mut Errors,
) {
    if let Err(error) = names::qualified_name(&requirement.key) {
        let path = format!("{path}.key");
        errors.push(table::LABEL_NAME.with(path, &[&error]));
    }
    let values = &requirement.values;
    match requirement.operator {
        LabelOperator::In | LabelOperator::NotIn if values.is_empty() => errors.push(
            FieldError::new(
                path.to_string(),
                "values must be specified when operator is In or NotIn",
            )
            .pointing_at(format!("{path}.operator"))
            .with_help("add `values:` with at least one value"),
        ),
        LabelOperator::Exists | LabelOperator::DoesNotExist if !values.is_empty() => errors.push(
            FieldError::new(
                format!("{path}.values"),
                "values may not be specified when operator is Exists or DoesNotExist",
            )
            .pointing_at_key()
            .with_help("remove `values:`, or use In or NotIn"),
        ),
        _ => {}
    }
    for (index, value) in values.iter().enumerate() {
        check_value(format_args!("{path}.values[{index}]"), value, errors);
    }
}

fn check_key(path: impl Display, check: &Check, name: &str, errors: &mut Errors) {
    if let Err(error) = names::qualified_name(name) {
        errors.push(check.with(path.to_string(), &[&error]).pointing_at_key());
    }
}

fn check_value(path: impl Display, value: &str, errors: &mut Errors) {
    if let Err(error) = names::label_value(value) {
        errors.push(table::LABEL_VALUE.with(path.to_string(), &[&error]));
    }
}
