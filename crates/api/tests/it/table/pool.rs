//! Pools of addresses.

use super::{Case, case};

/// Two pools, which differ in some fields.
fn pool(check: &'static str, accepts: &str, refuses: &str, at: &'static str) -> Case {
    case(
        check,
        format!("spec: {{{accepts}}}"),
        format!("spec: {{{refuses}}}"),
        at,
    )
}

pub(super) fn cases() -> Vec<Case> {
    addresses().into_iter().chain(uses()).collect()
}

fn addresses() -> Vec<Case> {
    vec![
        pool("pool.cidr-missing", "cidr: 10.0.0.0/16", "natOutgoing: true", "spec.cidr"),
        pool("pool.cidr", "cidr: 'fd00::/48'", "cidr: 10.0.0.0/33", "spec.cidr")
            .says("IPPool CIDR must be a valid subnet: invalid CIDR \"10.0.0.0/33\": IPv4 addresses have 32 bits"),
        pool("pool.cidr-masked", "cidr: 10.0.0.0/16", "cidr: 10.0.1.0/16", "spec.cidr"),
        pool("pool.link-local", "cidr: 169.253.0.0/16", "cidr: 169.254.7.0/24", "spec.cidr")
            .says("IPPool CIDR overlaps with the link-local range 169.254.0.0/16"),
        pool(
            "pool.encapsulations",
            "cidr: 10.0.0.0/16, ipipMode: Never, vxlanMode: CrossSubnet",
            "cidr: 10.0.0.0/16, ipipMode: Always, vxlanMode: CrossSubnet",
            "spec.ipipMode",
        ),
        pool(
            "pool.mode-value",
            "cidr: 10.0.0.0/16, ipipMode: Always",
            "cidr: 10.0.0.0/16, ipipMode: always",
            "spec.ipipMode",
        )
        .says("unknown value \"always\""),
        pool(
            "pool.ipip-ipv6",
            "cidr: 'fd00::/48', ipipMode: Never",
            "cidr: 'fd00::/48', ipipMode: Always",
            "spec.ipipMode",
        ),
        pool(
            "pool.block-size",
            "cidr: 10.0.0.0/16, blockSize: 20",
            "cidr: 10.0.0.0/16, blockSize: 19",
            "spec.blockSize",
        ),
        pool(
            "pool.size",
            "cidr: 10.0.0.0/28, blockSize: 26, disabled: true",
            "cidr: 10.0.0.0/28, blockSize: 26",
            "spec.cidr",
        ),
        pool(
            "pool.tunnel-namespaces",
            "cidr: 10.0.0.0/16, allowedUses: [Workload], namespaceSelector: has(a)",
            "cidr: 10.0.0.0/16, allowedUses: [Tunnel], namespaceSelector: has(a)",
            "spec.namespaceSelector",
        ),
        pool(
            "pool.assignment-value",
            "cidr: 10.0.0.0/16, assignmentMode: Manual",
            "cidr: 10.0.0.0/16, assignmentMode: Never",
            "spec.assignmentMode",
        )
        .says("unknown value \"Never\""),
    ]
}

fn uses() -> Vec<Case> {
    let of_balancers = |check, accepts: &str, refuses: &str, at| {
        let with =
            |fields: &str| format!("cidr: 10.0.0.0/16, allowedUses: [LoadBalancer], {fields}");
        pool(check, &with(accepts), &with(refuses), at)
    };
    vec![
        pool(
            "pool.use-value",
            "cidr: 10.0.0.0/16, allowedUses: [Workload, Tunnel]",
            "cidr: 10.0.0.0/16, allowedUses: [Pods]",
            "spec.allowedUses[0]",
        )
        .says("unknown value \"Pods\""),
        pool(
            "pool.balancer-uses",
            "cidr: 10.0.0.0/16, allowedUses: [LoadBalancer]",
            "cidr: 10.0.0.0/16, allowedUses: [LoadBalancer, Workload]",
            "spec.allowedUses",
        ),
        of_balancers(
            "pool.balancer-encapsulation",
            "vxlanMode: Never",
            "vxlanMode: Always",
            "spec.vxlanMode",
        ),
        of_balancers(
            "pool.balancer-nodes",
            "nodeSelector: all()",
            "nodeSelector: has(a)",
            "spec.nodeSelector",
        ),
        of_balancers(
            "pool.balancer-export",
            "disableBGPExport: false",
            "disableBGPExport: true",
            "spec.disableBGPExport",
        ),
    ]
}
