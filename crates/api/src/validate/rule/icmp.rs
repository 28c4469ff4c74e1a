//! The ICMP fields of a rule.

use oncilla_net::Protocol as Number;

use super::Errors;
use super::table;
use crate::v3::{IcmpFields, Rule};

const TYPE_MAX: i64 = 254;
const CODE_MAX: i64 = 255;

pub(super) fn check(path: &str, rule: &Rule, errors: &mut Errors) {
    for (field, icmp) in [("icmp", &rule.icmp), ("notICMP", &rule.not_icmp)] {
        if let Some(icmp) = icmp {
            let path = format!("{path}.{field}");
            check_fields(&path, icmp, errors);
            if !is_icmp(rule) {
                errors.push(table::ICMP_PROTOCOL.at(path.as_str()).pointing_at_key());
            }
        }
    }
}

/// Whether the rule names a protocol that has types and codes; an invalid one was reported already.
fn is_icmp(rule: &Rule) -> bool {
    rule.protocol.as_ref().is_some_and(|protocol| {
        protocol
            .number()
            .is_none_or(|number| matches!(number, Number::ICMP | Number::ICMPV6))
    })
}

fn check_fields(path: &str, icmp: &IcmpFields, errors: &mut Errors) {
    let code = format!("{path}.code");
    if icmp
        .icmp_type
        .is_some_and(|number| !(0..=TYPE_MAX).contains(&number))
    {
        errors.broken(&table::ICMP_TYPE, format!("{path}.type"));
    }
    if icmp
        .code
        .is_some_and(|number| !(0..=CODE_MAX).contains(&number))
    {
        errors.broken(&table::ICMP_CODE, code.as_str());
    }
    if icmp.code.is_some() && icmp.icmp_type.is_none() {
        errors.push(table::ICMP_CODE_ALONE.at(code).pointing_at_key());
    }
}
