//! The fields of Felix's configuration that change no verdict: they have no effect here, and what upstream refuses of
//! them is refused, so that a file that passes here passes there.

use oncilla_net::{Family, family_of, parse_address, parse_cidr};
use serde_json::Value;

use super::Errors;
use super::table;
use crate::names;
use crate::v1::Rest;

/// Ranges of node ports.
const NODE_PORTS_MAX: usize = 7;
/// The longest name of a region, in bytes.
const REGION_LENGTH_MAX: usize = 46;
/// The last routing table of `routeTableRange`.
const TABLE_MAX: i64 = 250;
/// The last routing table that there is.
const TABLES_LAST: i64 = 0xffff_ffff;
/// Routing tables of all ranges together.
const TABLES_MAX: i64 = 65_535;

pub(super) fn check(kept: &Rest, errors: &mut Errors) {
    for (field, family) in [
        ("natOutgoingAddress", Family::V4),
        ("deviceRouteSourceAddress", Family::V4),
        ("deviceRouteSourceAddressIPv6", Family::V6),
    ] {
        if let Some(text) = text(kept, field) {
            address(field, text, family, errors);
        }
    }
    route_tables(kept, errors);
    node_ports(list(kept, "kubeNodePortRanges"), errors);
    for (index, item) in list(kept, "externalNodesList").iter().enumerate() {
        let text = item.as_str().unwrap_or_default();
        if let Err(error) = parse_cidr(text) {
            let path = format!("spec.externalNodesList[{index}]");
            let fault = table::EXTERNAL_NODES.with(path, &[&format_args!("{text:?}")]);
            errors.push(fault.with_help(error.help()));
        }
    }
    if let Some(region) = text(kept, "openstackRegion")
        && (region.len() > REGION_LENGTH_MAX || names::dns_label(region).is_err())
    {
        errors.broken(&table::REGION, "spec.openstackRegion");
    }
    for (index, item) in list(kept, "healthTimeoutOverrides").iter().enumerate() {
        health(
            &format!("spec.healthTimeoutOverrides[{index}]"),
            item,
            errors,
        );
    }
}

fn text<'a>(kept: &'a Rest, field: &str) -> Option<&'a str> {
    let text = kept.get(field).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

fn list<'a>(kept: &'a Rest, field: &str) -> &'a [Value] {
    let list = kept.get(field).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn address(field: &str, text: &str, family: Family, errors: &mut Errors) {
    if parse_address(text).map(family_of) != Ok(family) {
        let number = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        let quoted = format_args!("{text:?}");
        errors.push(table::ADDRESS.with(format!("spec.{field}"), &[&quoted, &number]));
    }
}

fn route_tables(kept: &Rest, errors: &mut Errors) {
    let bound = |range: &Value, end: &str| range.get(end).and_then(Value::as_i64);
    let (one, many) = (kept.get("routeTableRange"), list(kept, "routeTableRanges"));
    if one.is_some() && kept.contains_key("routeTableRanges") {
        let error = table::TABLES_BOTH.at("spec.routeTableRange");
        errors.push(error.pointing_at_key());
    }
    if let Some(range) = one {
        let (min, max) = (
            bound(range, "min").unwrap_or(0),
            bound(range, "max").unwrap_or(0),
        );
        if !(1..=TABLE_MAX).contains(&min) || !(min..=TABLE_MAX).contains(&max) {
            let error = table::TABLE_RANGE.at("spec.routeTableRange");
            errors.push(error.pointing_at_key());
        }
    }
    let mut tables = 0_i64;
    for (index, range) in many.iter().enumerate() {
        let path = format!("spec.routeTableRanges[{index}]");
        let (min, max) = (
            bound(range, "min").unwrap_or(0),
            bound(range, "max").unwrap_or(0),
        );
        if min < 1 || min > max {
            errors.broken(&table::TABLES_ORDER, path);
        } else if max > TABLES_LAST {
            errors.broken(&table::TABLES_HIGH, path);
        } else {
            tables = tables.saturating_add(max - min + 1);
        }
    }
    if tables > TABLES_MAX {
        let error = table::TABLES_MANY.at("spec.routeTableRanges");
        errors.push(error.pointing_at_key());
    }
}

fn node_ports(ranges: &[Value], errors: &mut Errors) {
    if ranges.len() > NODE_PORTS_MAX {
        let error = table::NODE_PORTS_MAX.at("spec.kubeNodePortRanges");
        errors.push(error.pointing_at_key());
    }
    for (index, range) in ranges.iter().enumerate() {
        let is_named = |text: &str| {
            text.bytes()
                .any(|byte| !byte.is_ascii_digit() && byte != b':')
        };
        if range.as_str().is_some_and(is_named) {
            let path = format!("spec.kubeNodePortRanges[{index}]");
            errors.broken(&table::NODE_PORTS_NAMED, path);
        }
    }
}

fn health(path: &str, item: &Value, errors: &mut Errors) {
    let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_ -".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) {
        let quoted = format_args!("{name:?}");
        errors.push(table::HEALTH_NAME.with(format!("{path}.name"), &[&quoted]));
    }
    if text("timeout").starts_with('-') {
        errors.broken(&table::HEALTH_TIMEOUT, format!("{path}.timeout"));
    }
}
