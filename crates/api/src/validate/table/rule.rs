//! The rules of Calico's policies, and their two ends.

use super::{GLOBAL_RULES, RULES, rows};

rows! {
    ACTION_MISSING = "rule.action-missing" for RULES, "action", "§1.5",
        says "\"action\" is required",
        mend "add `action:`";
    ACTION_VALUE = "rule.action-value" for RULES, "action", "§1.5",
        says "unknown value {0}",
        mend "write `Allow`, `Deny`, `Log` or `Pass`";
    IP_VERSION = "rule.ip-version" for RULES, "ipVersion", "§1.5",
        says "expected 4 or 6",
        mend "write `ipVersion: 4` or `ipVersion: 6`, or leave it out for both";
    PROTOCOL_NUMBER = "rule.protocol-number" for RULES, "protocol, notProtocol", "§4.2",
        says "protocol number invalid: expected 1 to 255",
        mend "write a name, as in TCP, or a number from 1 to 255";
    PROTOCOL_NAME = "rule.protocol-name" for RULES, "protocol, notProtocol", "§4.2",
        says "protocol name invalid: {0}",
        mend "expected TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite or a number from 1 to 255";
    ICMP_VERSION = "rule.icmp-ip-version" for RULES, "protocol, notProtocol", "§4.1",
        says "protocol ICMP requires ipVersion 4",
        mend "write `ipVersion: 4`, or leave it out";
    ICMPV6_VERSION = "rule.icmpv6-ip-version" for RULES, "protocol, notProtocol", "§4.1",
        says "protocol ICMPv6 requires ipVersion 6",
        mend "write `ipVersion: 6`, or leave it out";
    ICMP_PROTOCOL = "rule.icmp-protocol" for RULES, "icmp, notICMP", "§4.1",
        says "ICMP fields require protocol to be ICMP or ICMPv6",
        mend "add `protocol: ICMP` or `protocol: ICMPv6` beside `action:`";
    ICMP_TYPE = "rule.icmp-type" for RULES, "icmp.type, notICMP.type", "§1.5",
        says "must be between 0 and 254",
        mend "write a type from 0 to 254";
    ICMP_CODE = "rule.icmp-code" for RULES, "icmp.code, notICMP.code", "§1.5",
        says "must be between 0 and 255",
        mend "write a code from 0 to 255";
    ICMP_CODE_ALONE = "rule.icmp-code-alone" for RULES, "icmp.code, notICMP.code", "§4.1",
        says "ICMP code specified without an ICMP type",
        mend "add `type:`";
    HTTP = "rule.http" for RULES, "http", "§2.7, §9 quirk 6",
        says "http is not supported: rules judge packets, not requests",
        mend "leave the rule out, or write it for every request, with `protocol: TCP` and ports";
    HTTP_PROTOCOL = "rule.http-protocol" for RULES, "http", "§4.1",
        says "rules with HTTP match must have protocol TCP or unset",
        mend "write `protocol: TCP`";
    HTTP_ACTION = "rule.http-action" for RULES, "http", "§4.1",
        says "HTTP match is only valid on Allow rules",
        mend "write `action: Allow`, or remove `http:`";
    HTTP_EGRESS = "rule.http-egress" for RULES, "http", "§4.2",
        says "not allowed in egress rule{0}",
        mend "move the rule to the ingress of the policy that selects the server";
    HTTP_METHODS_TWICE = "rule.http-methods-twice" for RULES, "http.methods", "§4.2",
        says "Invalid methods (duplicates): {0}",
        mend "name each method once";
    HTTP_METHODS_MAX = "rule.http-methods" for RULES, "http.methods", "§1.5",
        says "has {0} items, more than the limit of 20",
        mend "leave `methods:` out for every method";
    HTTP_PATHS_MAX = "rule.http-paths" for RULES, "http.paths", "§1.5",
        says "has {0} items, more than the limit of 20",
        mend "name a prefix that the paths share";
    HTTP_PATH_BOTH = "rule.http-path-both" for RULES, "http.paths", "§4.2",
        says "Invalid path match. Both 'exact' and 'prefix' are set",
        mend "keep one of them; make the other a path of its own";
    HTTP_PATH_NEITHER = "rule.http-path-neither" for RULES, "http.paths", "§4.2",
        says "Invalid path match. Either 'exact' or 'prefix' must be set",
        mend "add `exact:` or `prefix:`";
    HTTP_PATH = "rule.http-path" for RULES, "http.paths", "§4.2",
        says "Invalid path {0} (must start with `/` and not contain `?` or `#`)",
        mend "write the path alone, as in /api";
    HTTP_PATH_LENGTH = "rule.http-path-length" for RULES, "http.paths", "§1.5",
        says "the path has {0} characters, more than the limit of 1024",
        mend "name a shorter prefix";
    NETS_MAX = "rule.nets" for RULES, "source.nets, notNets, destination.nets, notNets", "§1.5",
        says "has {0} items, more than the limit of 256",
        mend "put them into a NetworkSet and select that by its labels";
    CIDR = "rule.cidr" for RULES, "source.nets, notNets, destination.nets, notNets", "§4.2",
        says "invalid CIDR {0}",
        mend "write an address, a slash and a prefix length, as in 10.0.0.0/8";
    CIDR_BARE = "rule.cidr-prefix" for RULES, "source.nets, notNets, destination.nets, notNets", "§4.2",
        says "invalid CIDR {0}: the prefix length is missing",
        mend "write /32 behind an IPv4 address, /128 behind an IPv6 one";
    CIDR_MASKED = "rule.cidr-masked" for RULES, "source.nets, notNets, destination.nets, notNets", "§4.2",
        says "invalid CIDR {0}: host bits are set",
        mend "write the network's first address";
    NEGATED_CATCH_ALL = "rule.nets-negated-all" for RULES, "source.notNets, destination.notNets", "§2.7, §4.2",
        says "catch-all CIDR in negation creates logical contradiction (matches no traffic)",
        mend "remove it, or leave the rule out: it never matches";
    FAMILIES = "rule.nets-families" for RULES, "source.nets, notNets, destination.nets, notNets", "§4.2",
        says "rule contains both IPv4 and IPv6 CIDRs",
        mend "write one rule for each IP version";
    FAMILY = "rule.nets-ip-version" for RULES, "source.nets, notNets, destination.nets, notNets", "§4.2",
        says "rule IP version doesn't match CIDR version",
        mend "write one rule for each IP version";
    PORTS_MAX = "rule.ports" for RULES, "source.ports, notPorts, destination.ports, notPorts", "§1.5",
        says "has {0} items, more than the limit of 50",
        mend "write ranges, as in \"8000:8080\", or several rules";
    PORT = "rule.port-range" for RULES, "source.ports, notPorts, destination.ports, notPorts", "§4.2",
        says "port range invalid, port number must be between 1 and 65535",
        mend "write a port from 1 to 65535";
    PORT_FORMAT = "rule.port-format" for RULES, "source.ports, notPorts, destination.ports, notPorts", "§4.2",
        says "invalid port format ({0})",
        mend "write a port, as in 80, a range, as in \"8000:8080\", or the name of a port";
    PORT_ORDER = "rule.port-order" for RULES, "source.ports, notPorts, destination.ports, notPorts", "§4.2",
        says "minimum port number ({0}) is greater than maximum port number ({1}) in port range",
        mend "write \"{1}:{0}\"";
    PORTS_NO_PROTOCOL = "rule.ports-without-protocol" for RULES,
        "source.ports, notPorts, destination.ports, notPorts", "§4.2",
        says "rules with numeric port or port range must set protocol to TCP or UDP or SCTP",
        mend "add `protocol: TCP` beside `action:`";
    PORTS_PROTOCOL = "rule.ports-protocol" for RULES,
        "source.ports, notPorts, destination.ports, notPorts", "§4.2",
        says "rules that specify ports must set protocol to TCP or UDP or SCTP",
        mend "remove the ports, or change `protocol:`";
    ACCOUNT_NAME = "rule.service-account-name" for RULES, "source.serviceAccounts.names", "§4.2",
        says "name {0}",
        mend "write the name of a service account";
    GLOBAL_ALONE = "rule.global-alone" for RULES, "source.namespaceSelector, destination.namespaceSelector", "§4.2",
        says "global() cannot be combined with other selectors",
        mend "write `namespaceSelector: global()`, or another selector without it";
    SERVICES_PORTS = "rule.services-ports" for RULES, "destination.services", "§4.1",
        says "ports and notPorts cannot be specified with services",
        mend "remove the ports: the service's own are meant";
    SERVICES_NAME = "rule.services-name" for RULES, "source.services, destination.services", "§4.1",
        says "services must specify a service name",
        mend "add `name:`";
    SERVICES_NAME_LENGTH = "rule.services-length" for RULES, "source.services, destination.services", "§1.5",
        says "is too long by {0} bytes",
        mend "write at most 253 bytes";
    SERVICES_SELECTOR = "rule.services-selector" for RULES, "source.services, destination.services", "§4.1",
        says "cannot specify Selector/NotSelector and Services on the same rule",
        mend "keep one of them, or write two rules";
    SERVICES_NAMESPACES = "rule.services-namespace-selector" for RULES, "source.services, destination.services", "§4.1",
        says "cannot specify NamespaceSelector and Services on the same rule",
        mend "remove `namespaceSelector:`: a service is in one namespace";
    SERVICES_ACCOUNTS = "rule.services-service-accounts" for RULES, "source.services, destination.services", "§4.1",
        says "cannot specify ServiceAccounts and Services on the same rule",
        mend "keep one of them, or write two rules";
    SERVICES_NETS = "rule.services-nets" for RULES, "source.services, destination.services", "§4.1",
        says "cannot specify Nets/NotNets and Services on the same rule",
        mend "keep one of them, or write two rules";
    SERVICES_EGRESS = "rule.services-egress-source" for RULES, "source.services", "§4.2",
        says "not allowed in egress rule source",
        mend "move it to `destination:`";
    SERVICES_INGRESS = "rule.services-ingress-destination" for RULES, "destination.services", "§4.2",
        says "not allowed in ingress rule destination",
        mend "move it to `source:`";
    SERVICES_NAMESPACE = "rule.services-namespace" for GLOBAL_RULES, "source.services, destination.services", "§4.2",
        says "must specify a namespace",
        mend "add `namespace:` beside the service's `name:`";
}
