//! Calico's checks of address pools.

use oncilla_net::{Family, IpNet, parse_cidr};

use super::{Errors, selector};
use crate::field::{Code, FieldError};
use crate::v3::{AllowedUse, EncapsulationMode, IPPoolSpec};

/// The addresses that every link has for itself.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];
const BLOCK_SIZE: &str =
    "blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools";

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
        errors.push(
            FieldError::new("spec.cidr", "IPPool CIDR must be specified")
                .with_code(Code::MissingField)
                .with_help("add `cidr:` with the pool's addresses, as in 10.244.0.0/16"),
        );
        return None;
    }
    let net = match parse_cidr(&spec.cidr) {
        Ok(net) => net,
        Err(error) => {
            let message = match oncilla_net::parse_cidr_masking(&spec.cidr) {
                Ok(_) => "IPPool CIDR must be strictly masked".to_owned(),
                Err(_) => format!("IPPool CIDR must be a valid subnet: {error}"),
            };
            errors.push(FieldError::new("spec.cidr", message).with_help(error.help()));
            return None;
        }
    };
    let overlaps = |local: &&&str| {
        parse_cidr(local).is_ok_and(|local| local.contains(&net) || net.contains(&local))
    };
    if let Some(local) = LINK_LOCAL.iter().find(overlaps) {
        let message = format!("IPPool CIDR overlaps with the link-local range {local}");
        errors.invalid("spec.cidr", message);
    }
    Some(net)
}

fn check_encapsulation(spec: &IPPoolSpec, net: Option<IpNet>, errors: &mut Errors) {
    let is_on =
        |mode: Option<EncapsulationMode>| mode.is_some_and(|mode| mode != EncapsulationMode::Never);
    let (vxlan, ipip) = (is_on(spec.vxlan_mode), is_on(spec.ipip_mode));
    if vxlan && ipip {
        errors.push(
            FieldError::new(
                "spec.ipipMode",
                "ipipMode and vxlanMode cannot both be enabled",
            )
            .with_help("write `Never` for one of them"),
        );
    }
    if ipip && net.is_some_and(|net| Family::of_net(&net) == Family::V6) {
        errors.push(
            FieldError::new("spec.ipipMode", "IPIP is not supported on IPv6 pools")
                .with_help("write `ipipMode: Never`, and `vxlanMode:` if the nodes need wrapping"),
        );
    }
    if (vxlan || ipip) && spec.allowed_uses.contains(&AllowedUse::LoadBalancer) {
        let field = if vxlan { "vxlanMode" } else { "ipipMode" };
        errors.push(
            FieldError::new(
                format!("spec.{field}"),
                "LoadBalancer IP pool cannot have IPIP or VXLAN enabled",
            )
            .with_help(format!("write `{field}: Never`")),
        );
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
        errors.invalid("spec.blockSize", BLOCK_SIZE);
    } else if !spec.disabled && i64::from(net.prefix_len()) > size {
        let message = "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.";
        errors.push(FieldError::new("spec.cidr", message).with_help(format!(
            "write a pool of at least /{size}, or a larger `blockSize:`"
        )));
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
        errors.push(
            FieldError::new(
                "spec.namespaceSelector",
                "IP Pool with AllowedUse Tunnel cannot have namespaceSelector",
            )
            .pointing_at_key()
            .with_help("write `allowedUses: [Workload]`"),
        );
    }
    if !is_for(AllowedUse::LoadBalancer) {
        return;
    }
    if is_for(AllowedUse::Workload) || is_for(AllowedUse::Tunnel) {
        errors.push(
            FieldError::new(
                "spec.allowedUses",
                "LoadBalancer cannot be combined with Workload or Tunnel allowed uses",
            )
            .with_help("write a pool of its own for load balancers"),
        );
    }
    if spec.node_selector != "all()" {
        errors.push(
            FieldError::new(
                "spec.nodeSelector",
                "IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()",
            )
            .with_help("write `nodeSelector: all()`, or leave it out"),
        );
    }
    if spec.disable_bgp_export {
        errors.push(
            FieldError::new(
                "spec.disableBGPExport",
                "LoadBalancer IP pools cannot disable BGP export",
            )
            .pointing_at_key()
            .with_help("remove it"),
        );
    }
}
