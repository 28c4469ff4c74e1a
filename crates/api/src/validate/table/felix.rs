//! Felix's configuration.

use super::rows;
use crate::kind::Kind;

const FELIX: &[Kind] = &[Kind::FelixConfiguration];

rows! {
    NODE_SELECTOR = "felix.node-selector" for FELIX, "spec.nodeSelector", "§4.1",
        says "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration",
        mend "remove it, or give the object another name";
    HOST_ACTION_VALUE = "felix.endpoint-to-host-value" for FELIX, "spec.defaultEndpointToHostAction", "§1.22",
        says "unknown value {0}",
        mend "write `Drop`, `Accept` or `Return`";
    ALLOW_ACTION_VALUE = "felix.allow-action-value" for FELIX,
        "spec.{iptables,nftables}{Filter,Mangle}AllowAction", "§1.22",
        says "unknown value {0}",
        mend "write `Accept` or `Return`";
    SPOOFING_VALUE = "felix.source-spoofing-value" for FELIX, "spec.workloadSourceSpoofing", "§1.22",
        says "unknown value {0}",
        mend "write `Disabled` or `Any`";
    FAILSAFES_VALUE = "felix.failsafes-value" for FELIX, "spec.failsafe*HostPorts", "§2.6",
        says "unknown value {0}",
        mend "write a list, or `none`";
    RATE = "felix.log-rate" for FELIX, "spec.logActionRateLimit", "§1.22",
        says "invalid rate {0}",
        mend "write a number from 1 to 9999 and a unit, as in `10/second`, `minute`, `hour` or `day`";
    BURST = "felix.log-burst" for FELIX, "spec.logActionRateLimitBurst", "§1.22",
        says "must be between 0 and 9999",
        mend "write a number from 0 to 9999";
    VXLAN_PORT = "felix.vxlan-port" for FELIX, "spec.vxlanPort", "§1.22",
        says "must be between 0 and 65535",
        mend "write a port, as in 4789";
    INTERFACE_PREFIX = "felix.interface-prefix" for FELIX, "spec.interfacePrefix", "§1.22, §4.2",
        says "invalid interface name {0}",
        mend "write 1 to 14 letters, digits, '_', '.' or '-', as in cali";
    INTERFACE_ROOM = "felix.interface-prefix-length" for FELIX, "spec.interfacePrefix", "§1.22",
        says "{0} leaves no room for the rest of an interface's name",
        mend "write at most 14 letters: Linux has 15 for a name";
    INTERFACE_PREFIXES = "felix.interface-prefixes" for FELIX, "spec.interfacePrefix", "§1.22; the number is ours",
        says "names more than {0} beginnings",
        mend "write the few that your network plugins use, as in cali,tap";
    FAILSAFE_PROTOCOL = "felix.failsafe-protocol" for FELIX, "spec.failsafe*HostPorts.protocol", "§4.2",
        says "protocol must be 'TCP' or 'UDP' or 'SCTP'.",
        mend "write `protocol: TCP`, `UDP` or `SCTP`";
    FAILSAFE_PORT = "felix.failsafe-port" for FELIX, "spec.failsafe*HostPorts.port", "§1.22",
        says "must be between 0 and 65535",
        mend "write a port from 1 to 65535";
    FAILSAFE_NET = "felix.failsafe-net" for FELIX, "spec.failsafe*HostPorts.net", "§2.6",
        says "invalid CIDR {0}",
        mend "write an address, a slash and a prefix length, as in 10.0.0.0/8";
    ADDRESS = "felix.address" for FELIX,
        "spec.natOutgoingAddress, spec.deviceRouteSourceAddress, spec.deviceRouteSourceAddressIPv6", "§4.1, §4.2",
        says "{0} is not a valid IP address",
        mend "write an IPv{1} address";
    TABLES_BOTH = "felix.route-tables-both" for FELIX, "spec.routeTableRange, spec.routeTableRanges", "§4.1",
        says "routeTableRange and routeTableRanges cannot both be set",
        mend "keep `routeTableRanges:`";
    TABLE_RANGE = "felix.route-table-range" for FELIX, "spec.routeTableRange", "§4.2",
        says "must be a range of route table indices within 1..250",
        mend "write `routeTableRange: {min: 1, max: 250}`, or less";
    TABLES_ORDER = "felix.route-tables-order" for FELIX, "spec.routeTableRanges", "§4.1",
        says "min must be at least 1, and at most max",
        mend "write a range, as in {min: 1000, max: 2000}";
    TABLES_HIGH = "felix.route-tables-high" for FELIX, "spec.routeTableRanges", "§4.2",
        says "max index too high",
        mend "write at most 4294967295";
    TABLES_MANY = "felix.route-tables-many" for FELIX, "spec.routeTableRanges", "§4.2",
        says "targets too many tables",
        mend "write at most 65535 tables in all ranges together";
    NODE_PORTS_MAX = "felix.node-ports" for FELIX, "spec.kubeNodePortRanges", "§4.2",
        says "node port ranges list is too long (max 7)",
        mend "write fewer ranges";
    NODE_PORTS_NAMED = "felix.node-ports-named" for FELIX, "spec.kubeNodePortRanges", "§4.2",
        says "node port ranges should not contain named ports",
        mend "write a range, as in \"30000:32767\"";
    EXTERNAL_NODES = "felix.external-nodes" for FELIX, "spec.externalNodesList", "§4.2",
        says "has invalid CIDR(s): {0}",
        mend "write an address, a slash and a prefix length, as in 10.0.0.0/8";
    REGION = "felix.openstack-region" for FELIX, "spec.openstackRegion", "§4.2",
        says "must be a DNS label of at most 46 bytes",
        mend "write lower case letters, digits and '-'";
    HEALTH_NAME = "felix.health-name" for FELIX, "spec.healthTimeoutOverrides.name", "§4.2",
        says "invalid name {0}",
        mend "write letters, digits, '_', '-' and blanks";
    HEALTH_TIMEOUT = "felix.health-timeout" for FELIX, "spec.healthTimeoutOverrides.timeout", "§4.2",
        says "Timeout should not be negative",
        mend "write a time, as in 30s";
}
