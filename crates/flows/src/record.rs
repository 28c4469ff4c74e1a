//! One line of the log of denied flows, as a value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Packets of one flow that were denied for one reason. Its text is one line for people; its JSON form is in
/// `docs/log.schema.json` and only grows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When it was written, in milliseconds since 1970, by the node's clock.
    pub unix_ms: u64,
    /// The node that denied.
    pub node: String,
    /// Always `deny`.
    pub verdict: String,
    /// Who sent.
    pub source: End,
    /// Who should have received.
    pub destination: End,
    /// `tcp/5432`, `icmp/8`, `proto/47`; `tcp/?` where the ports are not in what was copied of the packet, `?` where the
    /// protocol is not either.
    pub traffic: String,
    /// Which way, seen from the end whose policy denied: `ingress` or `egress`.
    pub direction: String,
    /// What denied it.
    pub blame: Blame,
    /// Whose policy that is, when it is no workload's but a host endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<AtHost>,
    /// The interface by which it came, where that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_interface: Option<String>,
    /// The interface by which it was to leave, where that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_interface: Option<String>,
    /// How many packets.
    pub count: u64,
    /// In how many seconds up to now; 0 for the first packet, which is told at once.
    pub seconds: u64,
    /// Up to which revision of the store policy was in force then, when the agent knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// How many denied packets before this one are in no record: too many at once, or too many kinds.
    #[serde(default)]
    pub lost: u64,
}

/// One end of a flow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// `namespace/pod`, `host:NODE`, or the address when nobody has it.
    pub name: String,
    /// The address.
    pub address: String,
}

/// A host endpoint that was asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtHost {
    /// Its name.
    pub endpoint: String,
    /// Where on the packet's way: `normal`, `forward`, `preDNAT` or `untracked`.
    pub chain: String,
}

/// What denied a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "by")]
pub enum Blame {
    /// A rule.
    Rule {
        /// `default/np/production/deny ingress[0]`: tier, policy, the rule's place in the manifest.
        rule: String,
    },
    /// The end of a tier: no rule of its policies matched.
    EndOfTier {
        /// The tier.
        tier: String,
        /// The policies that made it apply.
        policies: String,
    },
    /// No policy decided, and no profile allows.
    NoProfile,
    /// Nobody can say, and why.
    Unknown {
        /// The reason.
        why: String,
    },
}

/// `default/np/production/deny ingress[0]`, `the end of tier default (np/production/isolate)`, ….
impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { rule } => f.write_str(rule),
            Self::EndOfTier { tier, policies } => write!(f, "the end of tier {tier} ({policies})"),
            Self::NoProfile => f.write_str("no profile: no policy decided and none allows"),
            Self::Unknown { why } => write!(f, "an unknown rule: {why}"),
        }
    }
}

/// `deny a/b -> c/d tcp/80 by default/np/c/deny ingress[0] (x14 in 10 s)`.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            destination,
            traffic,
            blame,
            ..
        } = self;
        let (from, to) = (&source.name, &destination.name);
        write!(f, "deny {from} -> {to} {traffic} by {blame}")?;
        if let Some(AtHost { endpoint, chain }) = &self.host {
            write!(f, " ({chain}, host endpoint {endpoint})")?;
        }
        if self.seconds > 0 {
            write!(f, " (x{} in {} s)", self.count, self.seconds)?;
        }
        if self.lost > 0 {
            write!(
                f,
                " ({} more denied packets were not told apart)",
                self.lost
            )?;
        }
        Ok(())
    }
}
