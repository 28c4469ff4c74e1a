//! Calico's checks of address pools.

use oncilla_net::{CidrError, Family, IpNet, parse_cidr};

use super::table::pool as table;
use super::{Errors, selector};
use crate::field::Code;
use crate::v3::{AllowedUse, EncapsulationMode, IPPoolSpec};

/// The addresses that every link has for itself.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

pub(super) fn pool(spec: &IPPoolSpec, errors: &mut Errors) {
    let net = check_cidr(spec, errors);
    check_encapsulation(spec, net, errors);
    if let Some(net) = net {
        check_size(spec, net, errors);
    }
    check_selectors(spec, errors);
    check_uses(spec, errors);
}

fn check_cidr(spec: &IPPoolSpec, errors: &mut Errors) -> Option<IpNet> {
    if spec.cidr.is_empty() {
        let error = table::CIDR_MISSING.at("spec.cidr");
        errors.push(error.with_code(Code::MissingField));
        return None;
    }
    let net = match parse_cidr(&spec.cidr) {
        Ok(net) => net,
        Err(error) => {
            let fault = match error {
                CidrError::HostBits { .. } => table::CIDR_MASKED.at("spec.cidr"),
                _ => table::CIDR.with("spec.cidr", &[&error]),
            };
            errors.push(fault.with_help(error.help()));
            return None;
        }
    };
    let overlaps = |local: &&&str| {
        parse_cidr(local).is_ok_and(|local| local.contains(&net) || net.contains(&local))
    };
    if let Some(local) = LINK_LOCAL.iter().find(overlaps) {
        errors.push(table::LINK_LOCAL.with("spec.cidr", &[local]));
    }
    Some(net)
}

fn check_encapsulation(spec: &IPPoolSpec, net: Option<IpNet>, errors: &mut Errors) {
    let is_on =
        |mode: Option<EncapsulationMode>| mode.is_some_and(|mode| mode != EncapsulationMode::Never);
    let (vxlan, ipip) = (is_on(spec.vxlan_mode), is_on(spec.ipip_mode));
    if vxlan && ipip {
        errors.broken(&table::ENCAPSULATIONS, "spec.ipipMode");
    }
    if ipip && net.is_some_and(|net| Family::of_net(&net) == Family::V6) {
        errors.broken(&table::IPIP_V6, "spec.ipipMode");
    }
    if (vxlan || ipip) && spec.allowed_uses.contains(&AllowedUse::LoadBalancer) {
        let field = if vxlan { "vxlanMode" } else { "ipipMode" };
        errors.push(table::BALANCER_WRAPPED.with(format!("spec.{field}"), &[&field]));
    }
}

fn check_size(spec: &IPPoolSpec, net: IpNet, errors: &mut Errors) {
    let Some(size) = spec.block_size else {
        return;
    };
    let allowed = match Family::of_net(&net) {
        Family::V4 => 20..=32,
        Family::V6 => 116..=128,
    };
    if !allowed.contains(&size) {
        errors.broken(&table::BLOCK_SIZE, "spec.blockSize");
    } else if !spec.disabled && i64::from(net.prefix_len()) > size {
        errors.push(table::SIZE.with("spec.cidr", &[&size]));
    }
}

fn check_selectors(spec: &IPPoolSpec, errors: &mut Errors) {
    for (field, text) in [
        ("nodeSelector", &spec.node_selector),
        ("namespaceSelector", &spec.namespace_selector),
    ] {
        selector::check(&format!("spec.{field}"), text, errors);
    }
}

fn check_uses(spec: &IPPoolSpec, errors: &mut Errors) {
    let is_for = |allowed| spec.allowed_uses.contains(&allowed);
    if is_for(AllowedUse::Tunnel) && !spec.namespace_selector.is_empty() {
        let error = table::TUNNEL_NAMESPACES.at("spec.namespaceSelector");
        errors.push(error.pointing_at_key());
    }
    if !is_for(AllowedUse::LoadBalancer) {
        return;
    }
    if is_for(AllowedUse::Workload) || is_for(AllowedUse::Tunnel) {
        errors.broken(&table::BALANCER_SHARED, "spec.allowedUses");
    }
    if spec.node_selector != "all()" {
        errors.broken(&table::BALANCER_NODES, "spec.nodeSelector");
    }
    if spec.disable_bgp_export {
        let error = table::BALANCER_EXPORT.at("spec.disableBGPExport");
        errors.push(error.pointing_at_key());
    }
}
