//! Address families and CIDRs: strict parsing for Calico, masking parsing for Kubernetes.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, in order.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The address length in bits: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The family of a CIDR.
    pub const fn of_net(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The family of an address.
pub const fn family_of(addr: IpAddr) -> Family {
    match addr {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

/// Why a text is no CIDR.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CidrError {
    /// The text is not an address, a slash and a prefix length.
    #[error(
        "invalid CIDR {text:?}: expected an address, a slash and a prefix length, as in 10.0.0.0/8"
    )]
    Syntax {
        /// The text as written.
        text: String,
    },
    /// The text is an address without a prefix length.
    #[error("invalid CIDR {text:?}: the prefix length is missing, write {text}/{bits}")]
    NoPrefix {
        /// The text as written.
        text: String,
        /// The prefix length of a single address in this family.
        bits: u8,
    },
    /// Bits are set behind the prefix.
    #[error("invalid CIDR {text:?}: host bits are set, write {masked}")]
    HostBits {
        /// The text as written.
        text: String,
        /// What was probably meant.
        masked: IpNet,
    },
    /// An IPv4 address written in IPv6 form never matches a packet of either family.
    #[error(
        "invalid CIDR {text:?}: IPv4-mapped IPv6 addresses never appear in packets, write the IPv4 form"
    )]
    Mapped {
        /// The text as written.
        text: String,
    },
}

/// Parses a CIDR strictly, as Calico does: the prefix length is required and host bits must be zero.
///
/// # Errors
/// [`CidrError`] says what is wrong and what to write instead.
pub fn parse_cidr(text: &str) -> Result<IpNet, CidrError> {
    let net = parse(text)?;
    let masked = masked(net);
    if masked != net {
        return Err(CidrError::HostBits {
            text: text.to_owned(),
            masked,
        });
    }
    Ok(net)
}

/// Parses a CIDR as the Kubernetes API server does for `ipBlock`: host bits are masked away. The second
/// value tells whether any were set, so that the caller can warn.
///
/// # Errors
/// [`CidrError`], but never [`CidrError::HostBits`].
pub fn parse_cidr_masking(text: &str) -> Result<(IpNet, bool), CidrError> {
    let net = parse(text)?;
    let masked = masked(net);
    Ok((masked, masked != net))
}

/// The CIDR with its host bits cleared.
pub fn masked(net: IpNet) -> IpNet {
    net.trunc()
}

fn parse(text: &str) -> Result<IpNet, CidrError> {
    let Ok(net) = text.parse::<IpNet>() else {
        return Err(match text.parse::<IpAddr>() {
            Ok(addr) => CidrError::NoPrefix {
                text: text.to_owned(),
                bits: family_of(addr).bits(),
            },
            Err(_) => CidrError::Syntax {
                text: text.to_owned(),
            },
        });
    };
    if let IpNet::V6(v6) = net
        && v6.prefix_len() >= 96
        && v6.addr().to_ipv4_mapped().is_some()
    {
        return Err(CidrError::Mapped {
            text: text.to_owned(),
        });
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_parsing_refuses_host_bits_and_bare_addresses() {
        assert_eq!(parse_cidr("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(parse_cidr("::/0").unwrap().to_string(), "::/0");
        assert_eq!(
            parse_cidr("10.0.0.1/8").unwrap_err().to_string(),
            r#"invalid CIDR "10.0.0.1/8": host bits are set, write 10.0.0.0/8"#
        );
        assert_eq!(
            parse_cidr("10.0.0.1").unwrap_err().to_string(),
            r#"invalid CIDR "10.0.0.1": the prefix length is missing, write 10.0.0.1/32"#
        );
        assert!(matches!(
            parse_cidr("10.0.0.0/33"),
            Err(CidrError::Syntax { .. })
        ));
        assert!(matches!(parse_cidr(""), Err(CidrError::Syntax { .. })));
        assert!(matches!(
            parse_cidr("::ffff:10.0.0.0/104"),
            Err(CidrError::Mapped { .. })
        ));
    }

    #[test]
    fn masking_parsing_says_when_it_masked() {
        let (net, changed) = parse_cidr_masking("192.168.1.7/24").unwrap();
        assert_eq!(
            (net.to_string().as_str(), changed),
            ("192.168.1.0/24", true)
        );
        let (net, changed) = parse_cidr_masking("fd00::/64").unwrap();
        assert_eq!((net.to_string().as_str(), changed), ("fd00::/64", false));
    }
}
