//! Calico's checks of Felix's configuration, as far as the fields change verdicts.

use oncilla_net::parse_cidr;

use super::{Errors, host, selector};
use crate::field::FieldError;
use crate::v3::{Failsafes, FelixConfiguration};

/// The largest number of lines that Log rules may write at once.
const BURST_MAX: i64 = 9999;
/// The largest count of a rate.
const RATE_MAX: u32 = 9999;
/// The longest beginning of an interface name, in bytes: the rest tells interfaces apart.
const INTERFACE_PREFIX_LENGTH_MAX: usize = 14;
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
            let message = "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration";
            errors.push(
                FieldError::new("spec.nodeSelector", message)
                    .pointing_at_key()
                    .with_help("remove it, or give the object another name"),
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
        let message = format!("invalid rate {rate:?}");
        errors.push(
            FieldError::new("spec.logActionRateLimit", message)
                .with_help("write a number from 1 to 9999 and a unit, as in `10/second`, `minute`, `hour` or `day`"),
        );
    }
    if let Some(burst) = spec.log_action_rate_limit_burst
        && !(0..=BURST_MAX).contains(&burst)
    {
        let message = format!("must be between 0 and {BURST_MAX}");
        errors.invalid("spec.logActionRateLimitBurst", message);
    }
    if let Some(port) = spec.vxlan_port
        && !(0..=65535).contains(&port)
    {
        errors.port("spec.vxlanPort", "must be between 0 and 65535");
    }
    if let Some(prefixes) = &spec.interface_prefix {
        for prefix in prefixes.split(',') {
            host::interface("spec.interfacePrefix", prefix, errors);
            if prefix.len() > INTERFACE_PREFIX_LENGTH_MAX {
                let message =
                    format!("{prefix:?} leaves no room for the rest of an interface's name");
                errors.invalid("spec.interfacePrefix", message);
            }
        }
    }
}

fn failsafes(path: &str, list: Option<&Failsafes>, errors: &mut Errors) {
    let ports = list.into_iter().flat_map(|list| &list.0);
    for (index, failsafe) in ports.enumerate() {
        let path = format!("{path}[{index}]");
        host::protocol_with_ports(&format!("{path}.protocol"), &failsafe.protocol, errors);
        if !(0..=65535).contains(&failsafe.port) {
            errors.port(format!("{path}.port"), "must be between 0 and 65535");
        }
        if !failsafe.net.is_empty() {
            errors.cidr(&format!("{path}.net"), parse_cidr(&failsafe.net));
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
