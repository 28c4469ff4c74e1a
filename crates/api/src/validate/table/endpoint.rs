//! Host endpoints, workload endpoints and profiles.

use super::{HOSTS, WORKLOADS, rows};
use crate::kind::Kind;

/// Both sorts of endpoints.
const ENDPOINTS: &[Kind] = &[Kind::HostEndpoint, Kind::WorkloadEndpoint];

rows! {
    NODE_MISSING = "host.node-missing" for HOSTS, "spec.node", "§4.1",
        says "node must be specified",
        mend "add `node:` with the name of the node that has the interface";
    NODE_NAME = "endpoint.node" for ENDPOINTS, "spec.node", "§1.6",
        says "node name {0}",
        mend "write the name of a node";
    NOT_FOUND = "host.interface-or-addresses" for HOSTS, "spec.interfaceName, spec.expectedIPs", "§4.1",
        says "at least one of interfaceName or expectedIPs must be specified",
        mend "add `interfaceName: eth0`, or `interfaceName: \"*\"` for all interfaces";
    INTERFACE = "endpoint.interface" for ENDPOINTS, "spec.interfaceName", "§1.6, §4.2",
        says "invalid interface name {0}",
        mend "write 1 to 15 letters, digits, '_', '.' or '-'; `\"*\"` alone means every interface of a host";
    EXPECTED_IP = "host.expected-ips" for HOSTS, "spec.expectedIPs", "§1.6",
        says "invalid IP address {0}",
        mend "write an address, as in 10.0.0.1 or fd00::1";
    PROFILE_NAME = "host.profiles" for HOSTS, "spec.profiles", "§1.6",
        says "name {0}",
        mend "write the name of a profile, as in projectcalico-default-allow";
    PORT_NAME = "endpoint.port-name" for ENDPOINTS, "spec.ports.name", "§1.5",
        says "invalid port name {0}",
        mend "write 1 to 128 letters, digits, '_', '.' or '-'";
    PORT_PROTOCOL = "host.port-protocol" for HOSTS, "spec.ports.protocol", "§1.6",
        says "protocol must be 'TCP' or 'UDP' or 'SCTP'.",
        mend "write `protocol: TCP`, `UDP` or `SCTP`";
    PORT = "endpoint.port" for ENDPOINTS, "spec.ports.port", "§1.6",
        says "must be between 1 and 65535",
        mend "write a port from 1 to 65535";
    NETWORK = "workload.network" for WORKLOADS, "spec.ipNetworks", "§1.9",
        says "invalid CIDR {0}",
        mend "write one address, as in 10.0.0.1/32";
    NETWORK_MANY = "workload.network-single" for WORKLOADS, "spec.ipNetworks", "§4.2",
        says "IP network contains multiple addresses",
        mend "write one address, as in {0}";
    NAT_ADDRESS = "workload.nat-address" for WORKLOADS, "spec.ipNATs", "§1.9",
        says "invalid IP address {0}",
        mend "write an address, as in 10.0.0.1 or fd00::1";
    NAT_INSIDE = "workload.nat-inside" for WORKLOADS, "spec.ipNATs.internalIP", "§4.2",
        says "NAT is not in the endpoint networks",
        mend "write one of `ipNetworks:`";
    GATEWAY_V4 = "workload.gateway-ipv4" for WORKLOADS, "spec.ipv4Gateway", "§4.2",
        says "must be an IPv4 address",
        mend "write an address, as in 169.254.1.1";
    GATEWAY_V6 = "workload.gateway-ipv6" for WORKLOADS, "spec.ipv6Gateway", "§4.2",
        says "must be an IPv6 address",
        mend "write an address, as in fe80::1";
    PORT_NAMELESS = "workload.port-nameless" for WORKLOADS, "spec.ports.name", "§4.2",
        says "WorkloadEndpointPort name must not be empty if no HostPort is specified",
        mend "add `name:`, or the `hostPort:` that leads to the port";
    WORKLOAD_PROTOCOL = "workload.port-protocol" for WORKLOADS, "spec.ports.protocol", "§4.2",
        says "protocol name invalid: {0}",
        mend "write `protocol: TCP`, `UDP` or `SCTP`";
    HOST_PORT = "workload.host-port" for WORKLOADS, "spec.ports.hostPort", "§1.9",
        says "must be between 1 and 65535",
        mend "write a port from 1 to 65535, or leave it out";
    SPOOFED = "workload.spoofed" for WORKLOADS, "spec.allowSpoofedSourcePrefixes", "§1.9",
        says "invalid CIDR {0}",
        mend "write an address, a slash and a prefix length, as in 10.0.0.0/8";
    PART_MISSING = "workload.name-part" for WORKLOADS, "spec.node, spec.pod, spec.endpoint", "§1.9",
        says "{0} is required: the object's name is made of it",
        mend "add it";
    WORKLOAD_NAME = "workload.name" for WORKLOADS, "metadata.name", "§1.9, §4.2",
        says "the name must be {0}, which says where the endpoint is",
        mend "write `name: {1}`";
}
