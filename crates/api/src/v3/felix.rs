//! Felix's configuration. The fields that change verdicts are typed; the others are known by name, so that a
//! misspelt one is refused, and kept as written without any effect here.

use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::meta::ObjectMeta;
use crate::v1::Rest;

/// How nodes treat packets: of all nodes (`default`), of one (`node.NAME`), or of those that a selector means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FelixConfiguration {
    /// The name says for which nodes.
    pub metadata: ObjectMeta,
    /// How packets are treated.
    pub spec: FelixConfigurationSpec,
}

/// The longest beginning of interface names, in bytes: Linux has 15 for a name, and the rest tells interfaces apart.
pub const INTERFACE_PREFIX_BYTES_MAX: usize = 14;
/// Most beginnings of interface names in one configuration: packets are asked about them one after the other.
pub const INTERFACE_PREFIXES_MAX: usize = 32;

/// Whether a text can be the beginning of workloads' interface names: neither of all of them nor of none.
pub fn is_interface_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= INTERFACE_PREFIX_BYTES_MAX && text.bytes().all(plain)
}

macro_rules! specification {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $name:literal,)*) => {
        /// How nodes treat packets; what is not given is upstream's default.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct FelixConfigurationSpec {
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// The fields of upstream's schema that change no verdict here, as written.
            pub kept: Rest,
        }

        /// The names of the typed fields.
        const TYPED: &[&str] = &[$($name),*];

        impl Serialize for FelixConfigurationSpec {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                $(if let Some(value) = &self.$field {
                    map.serialize_entry($name, value)?;
                })*
                for (name, value) in &self.kept {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }

        impl<'de> Visitor<'de> for SpecificationVisitor {
            type Value = FelixConfigurationSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut spec = FelixConfigurationSpec::default();
                while let Some(Known(name)) = map.next_key()? {
                    match name {
                        $($name => spec.$field = Some(map.next_value()?),)*
                        _ => {
                            spec.kept.insert(name.to_owned(), map.next_value()?);
                        }
                    }
                }
                Ok(spec)
            }
        }
    };
}

specification! {
    /// The nodes that this holds for; not for `default` and `node.NAME`.
    node_selector: String = "nodeSelector",
    /// What a host always accepts; the empty list is nothing.
    failsafe_inbound_host_ports: Failsafes = "failsafeInboundHostPorts",
    /// What a host can always reach; the empty list is nothing.
    failsafe_outbound_host_ports: Failsafes = "failsafeOutboundHostPorts",
    /// What becomes of a workload's packet to its own host when its egress policy allows it.
    default_endpoint_to_host_action: EndpointToHostAction = "defaultEndpointToHostAction",
    /// Whether what is allowed skips the host's other rules.
    iptables_filter_allow_action: AllowAction = "iptablesFilterAllowAction",
    /// The same before routing.
    iptables_mangle_allow_action: AllowAction = "iptablesMangleAllowAction",
    /// Whether what is allowed skips the host's other rules.
    nftables_filter_allow_action: AllowAction = "nftablesFilterAllowAction",
    /// The same before routing.
    nftables_mangle_allow_action: AllowAction = "nftablesMangleAllowAction",
    /// What stands in front of the lines that Log rules write.
    log_prefix: String = "logPrefix",
    /// How many lines Log rules may write, as in `10/minute`.
    log_action_rate_limit: String = "logActionRateLimit",
    /// How many lines Log rules may write at once.
    log_action_rate_limit_burst: i64 = "logActionRateLimitBurst",
    /// Whether packets that belong to no connection are judged instead of dropped.
    disable_conntrack_invalid_check: bool = "disableConntrackInvalidCheck",
    /// Whether workloads may send VXLAN.
    allow_vxlan_packets_from_workloads: bool = "allowVXLANPacketsFromWorkloads",
    /// Whether workloads may send IP in IP.
    allow_ipip_packets_from_workloads: bool = "allowIPIPPacketsFromWorkloads",
    /// The port of VXLAN.
    vxlan_port: i64 = "vxlanPort",
    /// What the names of workloads' interfaces start with, separated by commas.
    interface_prefix: String = "interfacePrefix",
    /// Whether workloads may use foreign source addresses that their pods list.
    workload_source_spoofing: SourceSpoofing = "workloadSourceSpoofing",
}

impl<'de> Deserialize<'de> for FelixConfigurationSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SpecificationVisitor)
    }
}

struct SpecificationVisitor;

/// The name of a field that upstream's schema has.
struct Known(&'static str);

static FIELDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| [TYPED, KEPT].concat());

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Known;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Known, E> {
                let known = FIELDS.iter().find(|known| **known == name);
                known
                    .map(|name| Known(name))
                    .ok_or_else(|| E::unknown_field(name, &FIELDS))
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

/// Ports that policy never closes on hosts. Written as a list, or `none` for the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Failsafes(pub Vec<FailsafePort>);

/// One port that policy never closes on hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailsafePort {
    /// TCP, UDP or SCTP once validated.
    pub protocol: Protocol,
    /// The port, 0 to 65535 once validated.
    pub port: i64,
    /// Only these peers; empty means all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub net: String,
}

impl<'de> Deserialize<'de> for Failsafes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Failsafes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Failsafes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(Failsafes)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Failsafes, E> {
                match text {
                    "none" => Ok(Failsafes::default()),
                    other => Err(E::unknown_variant(other, &["none"])),
                }
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// A word of an enumeration, in whatever capitals.
trait Word: Copy + fmt::Debug + 'static {
    const NAMES: &'static [&'static str];
    const ALL: &'static [Self];
}

struct WordVisitor<T>(PhantomData<T>);

impl<T: Word> Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let mut names = T::NAMES.iter().zip(T::ALL);
        names
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, word)| *word)
            .ok_or_else(|| E::unknown_variant(text, T::NAMES))
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum $name {
            $($(#[$word_doc])* $word),*
        }

        impl Word for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($word)),*];
            const ALL: &'static [Self] = &[$(Self::$word),*];
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(WordVisitor(PhantomData))
            }
        }
    )*};
}

words! {
    /// What becomes of a workload's packet to its own host when its egress policy allows it.
    EndpointToHostAction {
        /// It is dropped.
        Drop,
        /// It is let in.
        Accept,
        /// The rest of the host's rules decide.
        Return,
    }
    /// What becomes of a packet that policy allows.
    AllowAction {
        /// It skips the host's other rules.
        Accept,
        /// The host's other rules see it.
        Return,
    }
    /// Whether workloads may use foreign source addresses.
    SourceSpoofing {
        /// Never.
        Disabled,
        /// Those that their pods list.
        Any,
    }
}

/// The fields of upstream's schema that change no verdict here.
const KEPT: &[&str] = &[
    "awsSrcDstCheck",
    "bpfAttachType",
    "bpfConnectTimeLoadBalancing",
    "bpfConnectTimeLoadBalancingEnabled",
    "bpfConntrackLogLevel",
    "bpfConntrackMode",
    "bpfConntrackTimeouts",
    "bpfCTLBLogFilter",
    "bpfDataIfacePattern",
    "bpfDisableGROForIfaces",
    "bpfDisableUnprivileged",
    "bpfDSROptoutCIDRs",
    "bpfEnabled",
    "bpfEnforceRPF",
    "bpfExcludeCIDRsFromNAT",
    "bpfExportBufferSizeMB",
    "bpfExternalServiceMode",
    "bpfExtToServiceConnmark",
    "bpfForceTrackPacketsFromIfaces",
    "bpfHostConntrackBypass",
    "bpfHostNetworkedNATWithoutCTLB",
    "bpfIPFragmentReassemblyEnabled",
    "bpfIPFragTimeout",
    "bpfJITHardening",
    "bpfKubeProxyHealthzPort",
    "bpfKubeProxyIptablesCleanupEnabled",
    "bpfKubeProxyMinSyncPeriod",
    "bpfL3IfacePattern",
    "bpfLogFilters",
    "bpfLogLevel",
    "bpfMaglevMaxEndpointsPerService",
    "bpfMaglevMaxServices",
    "bpfMapSizeConntrack",
    "bpfMapSizeConntrackCleanupQueue",
    "bpfMapSizeConntrackScaling",
    "bpfMapSizeIfState",
    "bpfMapSizeIPSets",
    "bpfMapSizeNATAffinity",
    "bpfMapSizeNATBackend",
    "bpfMapSizeNATFrontend",
    "bpfMapSizePerCpuConntrack",
    "bpfMapSizeRoute",
    "bpfOverlayHostSourceIP",
    "bpfPolicyDebugEnabled",
    "bpfProfiling",
    "bpfPSNATPorts",
    "bpfRedirectToPeer",
    "cgroupV2Path",
    "chainInsertMode",
    "dataplaneDriver",
    "dataplaneWatchdogTimeout",
    "debugDisableLogDropping",
    "debugHost",
    "debugMemoryProfilePath",
    "debugPort",
    "debugSimulateCalcGraphHangAfter",
    "debugSimulateDataplaneApplyDelay",
    "debugSimulateDataplaneHangAfter",
    "deviceRouteProtocol",
    "deviceRouteSourceAddress",
    "deviceRouteSourceAddressIPv6",
    "endpointReportingDelay",
    "endpointReportingEnabled",
    "endpointStatusPathPrefix",
    "externalNodesList",
    "featureDetectOverride",
    "featureGates",
    "floatingIPs",
    "flowLogsCollectorDebugTrace",
    "flowLogsFlushInterval",
    "flowLogsGoldmaneServer",
    "flowLogsLocalReporter",
    "flowLogsPolicyEvaluationMode",
    "genericXDPEnabled",
    "goGCThreshold",
    "goMaxProcs",
    "goMemoryLimitMB",
    "healthEnabled",
    "healthHost",
    "healthPort",
    "healthTimeoutOverrides",
    "interfaceExclude",
    "interfaceRefreshInterval",
    "ipForwarding",
    "ipipEnabled",
    "ipipMTU",
    "ipsetsRefreshInterval",
    "iptablesBackend",
    "iptablesFilterDenyAction",
    "iptablesLockProbeInterval",
    "iptablesMarkMask",
    "iptablesNATOutgoingInterfaceFilter",
    "iptablesPostWriteCheckInterval",
    "iptablesRefreshInterval",
    "ipv4ElevatedRoutePriority",
    "ipv4NormalRoutePriority",
    "ipv6ElevatedRoutePriority",
    "ipv6NormalRoutePriority",
    "ipv6Support",
    "istioAmbientMode",
    "istioDSCPMark",
    "kubeNodePortRanges",
    "liveMigrationRouteConvergenceTime",
    "localSubnetL2Reachability",
    "localSubnetL2ReachabilityRefreshInterval",
    "logDebugFilenameRegex",
    "logFilePath",
    "logSeverityFile",
    "logSeverityScreen",
    "logSeveritySys",
    "maxIpsetSize",
    "metadataAddr",
    "metadataPort",
    "mtuIfacePattern",
    "natOutgoingAddress",
    "natOutgoingExclusions",
    "natPortRange",
    "netlinkTimeout",
    "nftablesFilterDenyAction",
    "nftablesFlowTableDataIfacePattern",
    "nftablesFlowTableOffload",
    "nftablesMarkMask",
    "nftablesMode",
    "nftablesRefreshInterval",
    "openstackRegion",
    "policySyncPathPrefix",
    "programClusterRoutes",
    "prometheusGoMetricsEnabled",
    "prometheusMetricsCAFile",
    "prometheusMetricsCertFile",
    "prometheusMetricsClientAuth",
    "prometheusMetricsEnabled",
    "prometheusMetricsHost",
    "prometheusMetricsKeyFile",
    "prometheusMetricsPort",
    "prometheusProcessMetricsEnabled",
    "prometheusWireGuardMetricsEnabled",
    "removeExternalRoutes",
    "reportingInterval",
    "reportingTTL",
    "requireMTUFile",
    "routeRefreshInterval",
    "routeSource",
    "routeSyncDisabled",
    "routeTableRange",
    "routeTableRanges",
    "serviceLoopPrevention",
    "sidecarAccelerationEnabled",
    "usageReportingEnabled",
    "usageReportingInitialDelay",
    "usageReportingInterval",
    "useInternalDataplaneDriver",
    "vxlanEnabled",
    "vxlanMTU",
    "vxlanMTUV6",
    "vxlanVNI",
    "windowsManageFirewallRules",
    "wireguardEnabled",
    "wireguardEnabledV6",
    "wireguardHostEncryptionEnabled",
    "wireguardInterfaceName",
    "wireguardInterfaceNameV6",
    "wireguardKeepAlive",
    "wireguardListeningPort",
    "wireguardListeningPortV6",
    "wireguardMTU",
    "wireguardMTUV6",
    "wireguardRoutingRulePriority",
    "wireguardThreadingEnabled",
    "xdpEnabled",
    "xdpRefreshInterval",
];
