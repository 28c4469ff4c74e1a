//! `tcp/8080`, `udp/53`, `icmp`, `icmp/3/1`, `proto/47`: what a packet carries.

use std::fmt;
use std::str::FromStr;

use oncilla_net::{Family, Icmp, Protocol};

/// What a packet carries, as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Traffic {
    pub(crate) protocol: Protocol,
    /// 0 for protocols without ports.
    pub(crate) port: u16,
    /// Type and code of ICMP; `None` when people write none: an echo request.
    pub(crate) icmp: Option<Icmp>,
}

impl Traffic {
    const fn without_port(protocol: Protocol) -> Self {
        Self {
            protocol,
            port: 0,
            icmp: None,
        }
    }

    /// The same for one family: who writes `icmp` means the ICMP of the addresses. A type is of the family that
    /// was written.
    pub(crate) fn of_family(self, family: Family) -> Self {
        match (self.protocol, family) {
            (Protocol::ICMP, Family::V6) if self.icmp.is_none() => Self {
                protocol: Protocol::ICMPV6,
                ..self
            },
            _ => self,
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.protocol.has_ports() {
            write!(f, "{}/{}", self.protocol, self.port)
        } else {
            self.protocol.fmt(f)?;
            self.icmp.map_or(Ok(()), |icmp| write!(f, "/{icmp}"))
        }
    }
}

/// A text that says no traffic.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TrafficError {
    #[error(
        "{text:?} says no traffic: write tcp/8080, udp/53, sctp/9000, icmp, icmp/8 or proto/47"
    )]
    Unknown { text: String },
    #[error("{text:?} has no port: write {text}/8080")]
    NoPort { text: String },
    #[error("{port:?} in {text:?} is no port: a number from 1 to 65535 is one")]
    Port { text: String, port: String },
    #[error("{port} alone says no protocol: write tcp/{port} or udp/{port}")]
    NoProtocol { port: u16 },
    #[error("{text:?} has no type and code: write {protocol}/8, or {protocol}/3/1 for a code")]
    IcmpType { text: String, protocol: Protocol },
    #[error("{text:?}: {protocol} has neither ports nor types: write {protocol}")]
    Nothing { text: String, protocol: Protocol },
}

impl FromStr for Traffic {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, TrafficError> {
        let owned = || text.to_owned();
        if let Ok(port) = text.parse() {
            return Err(TrafficError::NoProtocol { port });
        }
        if text.starts_with("proto/") {
            let protocol: Protocol = text
                .parse()
                .map_err(|_error| TrafficError::Unknown { text: owned() })?;
            if protocol.has_ports() {
                let text = protocol.to_string();
                return Err(TrafficError::NoPort { text });
            }
            return Ok(Self::without_port(protocol));
        }
        let (name, port) = match text.split_once('/') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let protocol =
            Protocol::from_name(name).ok_or_else(|| TrafficError::Unknown { text: owned() })?;
        match (protocol.has_ports(), port) {
            (true, None) => Err(TrafficError::NoPort { text: owned() }),
            (true, Some(port)) => match port.parse() {
                Ok(0) | Err(_) => Err(TrafficError::Port {
                    text: owned(),
                    port: port.to_owned(),
                }),
                Ok(port) => Ok(Self {
                    port,
                    ..Self::without_port(protocol)
                }),
            },
            (false, None) => Ok(Self::without_port(protocol)),
            (false, Some(_)) if Icmp::echo(protocol).is_none() => Err(TrafficError::Nothing {
                text: owned(),
                protocol,
            }),
            (false, Some(message)) => match icmp(message) {
                Some(icmp) => Ok(Self {
                    icmp: Some(icmp),
                    ..Self::without_port(protocol)
                }),
                None => Err(TrafficError::IcmpType {
                    text: owned(),
                    protocol,
                }),
            },
        }
    }
}

/// `8` or `3/1`: type and code.
fn icmp(text: &str) -> Option<Icmp> {
    let (kind, code) = text.split_once('/').unwrap_or((text, "0"));
    Some(Icmp {
        kind: kind.parse().ok()?,
        code: code.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use oncilla_net::{Family, Icmp, Protocol};

    use super::Traffic;

    #[test]
    fn traffic_reads_and_writes_the_same() {
        for text in [
            "tcp/8080",
            "udp/53",
            "sctp/9000",
            "icmp",
            "icmpv6",
            "icmp/8",
            "icmp/3/1",
            "icmpv6/128",
            "proto/47",
        ] {
            let traffic: Traffic = text.parse().unwrap();
            assert_eq!(traffic.to_string(), text);
        }
        assert_eq!("TCP/80".parse::<Traffic>().unwrap().to_string(), "tcp/80");
        let ping: Traffic = "icmp".parse().unwrap();
        assert_eq!(ping.of_family(Family::V6).protocol, Protocol::ICMPV6);
        assert_eq!(ping.of_family(Family::V4), ping);
        let unreachable: Traffic = "icmp/3/1".parse().unwrap();
        assert_eq!(unreachable.icmp, Some(Icmp { kind: 3, code: 1 }));
        assert_eq!(unreachable.of_family(Family::V6), unreachable);
    }

    #[test]
    fn what_is_no_traffic_says_how_to_write_it() {
        for (text, message) in [
            ("8080", "write tcp/8080 or udp/8080"),
            ("tcp", "write tcp/8080"),
            ("tcp/0", "\"0\" in \"tcp/0\" is no port"),
            ("tcp/http", "is no port"),
            ("tcp/65536", "is no port"),
            (
                "gre",
                "write tcp/8080, udp/53, sctp/9000, icmp, icmp/8 or proto/47",
            ),
            ("proto/6", "\"tcp\" has no port"),
            ("proto/0", "says no traffic"),
            ("proto/x", "says no traffic"),
            (
                "icmp/echo",
                "has no type and code: write icmp/8, or icmp/3/1",
            ),
            ("icmp/256", "has no type and code"),
            ("icmpv6/1/999", "write icmpv6/8"),
            ("", "says no traffic"),
        ] {
            let error = text.parse::<Traffic>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
