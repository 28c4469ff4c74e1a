//! Pools of addresses. What needs another version of the pool, or other pools, is judged by the API server.

use super::rows;
use crate::kind::Kind;

const POOLS: &[Kind] = &[Kind::IPPool];

rows! {
    CIDR_MISSING = "pool.cidr-missing" for POOLS, "spec.cidr", "§4.2",
        says "IPPool CIDR must be specified",
        mend "add `cidr:` with the pool's addresses, as in 10.244.0.0/16";
    CIDR = "pool.cidr" for POOLS, "spec.cidr", "§4.2",
        says "IPPool CIDR must be a valid subnet: {0}",
        mend "write an address, a slash and a prefix length, as in 10.244.0.0/16";
    CIDR_MASKED = "pool.cidr-masked" for POOLS, "spec.cidr", "§4.1, §4.2",
        says "IPPool CIDR must be strictly masked",
        mend "write the network's first address";
    LINK_LOCAL = "pool.link-local" for POOLS, "spec.cidr", "§4.1",
        says "IPPool CIDR overlaps with the link-local range {0}",
        mend "write addresses that routers forward";
    ENCAPSULATIONS = "pool.encapsulations" for POOLS, "spec.ipipMode, spec.vxlanMode", "§4.1",
        says "ipipMode and vxlanMode cannot both be enabled",
        mend "write `Never` for one of them";
    MODE_VALUE = "pool.mode-value" for POOLS, "spec.ipipMode, spec.vxlanMode", "§1.12",
        says "unknown value {0}",
        mend "write `Never`, `Always` or `CrossSubnet`";
    IPIP_V6 = "pool.ipip-ipv6" for POOLS, "spec.ipipMode", "§4.1",
        says "IPIP is not supported on IPv6 pools",
        mend "write `ipipMode: Never`, and `vxlanMode:` if the nodes need wrapping";
    BLOCK_SIZE = "pool.block-size" for POOLS, "spec.blockSize", "§4.1",
        says "blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools",
        mend "leave `blockSize:` out";
    SIZE = "pool.size" for POOLS, "spec.cidr", "§4.1",
        says "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.",
        mend "write a pool of at least /{0}, or a larger `blockSize:`";
    TUNNEL_NAMESPACES = "pool.tunnel-namespaces" for POOLS, "spec.namespaceSelector", "§4.1",
        says "IP Pool with AllowedUse Tunnel cannot have namespaceSelector",
        mend "write `allowedUses: [Workload]`";
    USE_VALUE = "pool.use-value" for POOLS, "spec.allowedUses", "§4.2",
        says "unknown value {0}",
        mend "write `Workload`, `Tunnel` or `LoadBalancer`";
    ASSIGNMENT_VALUE = "pool.assignment-value" for POOLS, "spec.assignmentMode", "§1.12",
        says "unknown value {0}",
        mend "write `Automatic` or `Manual`";
    BALANCER_WRAPPED = "pool.balancer-encapsulation" for POOLS, "spec.ipipMode, spec.vxlanMode", "§4.1",
        says "LoadBalancer IP pool cannot have IPIP or VXLAN enabled",
        mend "write `{0}: Never`";
    BALANCER_SHARED = "pool.balancer-uses" for POOLS, "spec.allowedUses", "§4.1",
        says "LoadBalancer cannot be combined with Workload or Tunnel allowed uses",
        mend "write a pool of its own for load balancers";
    BALANCER_NODES = "pool.balancer-nodes" for POOLS, "spec.nodeSelector", "§4.1",
        says "IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()",
        mend "write `nodeSelector: all()`, or leave it out";
    BALANCER_EXPORT = "pool.balancer-export" for POOLS, "spec.disableBGPExport", "§4.1",
        says "LoadBalancer IP pools cannot disable BGP export",
        mend "remove it";
}
