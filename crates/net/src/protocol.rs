//! IP protocol numbers and the names that Calico and Kubernetes give them.

use std::fmt;
use std::str::FromStr;

/// An IP protocol number, 0 to 255 (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::ICMP, "ICMP"),
        (Self::TCP, "TCP"),
        (Self::UDP, "UDP"),
        (Self::ICMPV6, "ICMPv6"),
        (Self::SCTP, "SCTP"),
        (Self::UDPLITE, "UDPLite"),
    ];

    /// The protocols whose header starts with a source and a destination port.
    pub const WITH_PORTS: [Self; 4] = [Self::TCP, Self::UDP, Self::SCTP, Self::UDPLITE];

    /// Whether the transport header starts with a source and a destination port.
    pub fn has_ports(self) -> bool {
        Self::WITH_PORTS.contains(&self)
    }

    /// The name as Calico writes it, when there is one.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES
            .iter()
            .find(|(protocol, _)| *protocol == self)
            .map(|(_, name)| *name)
    }

    /// The number of a name, ignoring case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(protocol, _)| *protocol)
    }
}

/// The traffic grammar's form: `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, `udplite`, or `proto/47`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(&name.to_ascii_lowercase()),
            None => write!(f, "proto/{}", self.0),
        }
    }
}

/// A text that names no protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "unknown protocol {text:?}: expected TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite or a number from 1 to 255"
)]
pub struct ProtocolError {
    /// The text as written.
    pub text: String,
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        Self::from_name(text)
            .or_else(|| {
                text.strip_prefix("proto/")
                    .unwrap_or(text)
                    .parse()
                    .ok()
                    .map(Self)
            })
            .filter(|protocol| protocol.0 != 0)
            .ok_or_else(|| ProtocolError {
                text: text.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_round_trip() {
        for protocol in 1..=255 {
            let protocol = Protocol(protocol);
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("Tcp".parse(), Ok(Protocol::TCP));
        assert_eq!("47".parse(), Ok(Protocol(47)));
        for text in ["0", "256", "", "proto/", "tcp "] {
            assert_eq!(text.parse::<Protocol>().unwrap_err().text, text);
        }
    }
}
