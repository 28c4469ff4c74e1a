//! Calico's checks of Felix's configuration, as far as the fields change verdicts.

mod kept;

use oncilla_net::parse_cidr;

use super::table::felix as table;
use super::{Errors, host, selector};
use crate::field::FieldError;
use crate::v3::{
    Failsafes, FelixConfiguration, INTERFACE_PREFIX_BYTES_MAX, INTERFACE_PREFIXES_MAX,
};

/// The largest number of lines that Log rules may write at once.
const BURST_MAX: i64 = 9999;
/// The largest count of a rate.
const RATE_MAX: u32 = 9999;
const RATE_UNITS: [&str; 4] = ["second", "minute", "hour", "day"];

pub(super) fn check(configuration: &FelixConfiguration, errors: &mut Errors) {
    let spec = &configuration.spec;
    let name = configuration.metadata.name.as_str();
    if let Some(nodes) = spec
        .node_selector
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        if name == "default" || name.starts_with("node.") {
            errors.push(
                table::NODE_SELECTOR
                    .at("spec.nodeSelector")
                    .pointing_at_key(),
            );
        }
        selector::check("spec.nodeSelector", nodes, errors);
    }
    for (field, list) in [
        (
            "failsafeInboundHostPorts",
            &spec.failsafe_inbound_host_ports,
        ),
        (
            "failsafeOutboundHostPorts",
            &spec.failsafe_outbound_host_ports,
        ),
    ] {
        failsafes(&format!("spec.{field}"), list.as_ref(), errors);
    }
    if let Some(rate) = spec.log_action_rate_limit.as_deref()
        && !is_rate(rate)
    {
        let rate = format_args!("{rate:?}");
        errors.push(table::RATE.with("spec.logActionRateLimit", &[&rate]));
    }
    if let Some(burst) = spec.log_action_rate_limit_burst
        && !(0..=BURST_MAX).contains(&burst)
    {
        errors.broken(&table::BURST, "spec.logActionRateLimitBurst");
    }
    if let Some(port) = spec.vxlan_port
        && !(0..=65535).contains(&port)
    {
        errors.broken(&table::VXLAN_PORT, "spec.vxlanPort");
    }
    if let Some(prefixes) = &spec.interface_prefix {
        let path = "spec.interfacePrefix";
        if prefixes.split(',').count() > INTERFACE_PREFIXES_MAX {
            errors.push(table::INTERFACE_PREFIXES.with(path, &[&INTERFACE_PREFIXES_MAX]));
        }
        for prefix in prefixes.split(',') {
            if prefix.len() > INTERFACE_PREFIX_BYTES_MAX {
                let prefix = format_args!("{prefix:?}");
                errors.push(table::INTERFACE_ROOM.with(path, &[&prefix]));
            } else {
                host::interface(path, prefix, &table::INTERFACE_PREFIX, errors);
            }
        }
    }
    kept::check(&spec.kept, errors);
}

fn failsafes(path: &str, list: Option<&Failsafes>, errors: &mut Errors) {
    let ports = list.into_iter().flat_map(|list| &list.0);
    for (index, failsafe) in ports.enumerate() {
        let path = format!("{path}[{index}]");
        host::protocol_with_ports(
            &format!("{path}.protocol"),
            &failsafe.protocol,
            &table::FAILSAFE_PROTOCOL,
            errors,
        );
        if !(0..=65535).contains(&failsafe.port) {
            errors.broken(&table::FAILSAFE_PORT, format!("{path}.port"));
        }
        if let Err(error) = parse_cidr(&failsafe.net)
            && !failsafe.net.is_empty()
        {
            let fault = FieldError::of_cidr(format!("{path}.net"), &error);
            errors.push(fault.of_check(table::FAILSAFE_NET.id));
        }
    }
}

/// `10/minute`.
fn is_rate(text: &str) -> bool {
    let Some((count, unit)) = text.split_once('/') else {
        return false;
    };
    let is_count =
        !count.starts_with(['0', '+']) && count.parse::<u32>().is_ok_and(|count| count <= RATE_MAX);
    is_count && RATE_UNITS.contains(&unit)
}
