//! Address families and CIDRs: strict parsing for Calico, masking parsing for Kubernetes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// Why a text is no address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// The text is no address of either family.
    #[error("invalid IP address {text:?}")]
    Syntax {
        /// The text as written.
        text: String,
    },
    /// A number of an IPv4 address starts with a zero: some readers take it for octal.
    #[error("invalid IP address {text:?}: a number has a leading zero")]
    LeadingZero {
        /// The text as written.
        text: String,
        /// What was probably meant.
        plain: String,
    },
    /// A zone means something on one machine only.
    #[error("invalid IP address {text:?}: a zone is of one machine only")]
    Zone {
        /// The text as written.
        text: String,
        /// The address without its zone.
        plain: String,
    },
    /// An IPv4 address written in IPv6 form never matches a packet of either family.
    #[error("invalid IP address {text:?}: IPv4-mapped IPv6 addresses never appear in packets")]
    Mapped {
        /// The text as written.
        text: String,
        /// The IPv4 form.
        plain: String,
    },
}

impl AddressError {
    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            Self::Syntax { .. } => "write an address, as in 10.0.0.1 or fd00::1".to_owned(),
            Self::LeadingZero { plain, .. }
            | Self::Zone { plain, .. }
            | Self::Mapped { plain, .. } => format!("write {plain}"),
        }
    }
}

/// Parses an address as Go does: no leading zeros, and no zone.
///
/// # Errors
/// [`AddressError`] says what is wrong and what to write instead.
pub fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    // A zone is no part of what the standard library takes for an address.
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(addr)) => match addr.to_ipv4_mapped() {
            Some(v4) => Err(AddressError::Mapped {
                plain: v4.to_string(),
                text: text.to_owned(),
            }),
            None => Ok(addr.into()),
        },
        Ok(addr) => Ok(addr),
        Err(_) => Err(why_no_address(text.to_owned())),
    }
}

fn why_no_address(text: String) -> AddressError {
    if let Some((addr, _)) = text.split_once('%') {
        return match addr.parse::<Ipv6Addr>() {
            Ok(addr) => AddressError::Zone {
                plain: addr.to_string(),
                text,
            },
            Err(_) => AddressError::Syntax { text },
        };
    }
    match without_zeros(&text) {
        Some(plain) => AddressError::LeadingZero { text, plain },
        None => AddressError::Syntax { text },
    }
}

/// An IPv4 address whose only fault is leading zeros, without them.
fn without_zeros(text: &str) -> Option<String> {
    let number = |part: &str| match part.trim_start_matches('0') {
        "" if part.is_empty() => None,
        "" => Some("0".to_owned()),
        plain => Some(plain.to_owned()),
    };
    let parts: Option<Vec<String>> = text.split('.').map(number).collect();
    let plain = parts?.join(".");
    plain.parse::<Ipv4Addr>().is_ok().then_some(plain)
}

/// Why a text is no CIDR.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CidrError {
    /// The text is not an address, a slash and a prefix length.
    #[error("invalid CIDR {text:?}")]
    Syntax {
        /// The text as written.
        text: String,
    },
    /// The text is an address without a prefix length.
    #[error("invalid CIDR {text:?}: the prefix length is missing")]
    NoPrefix {
        /// The text as written.
        text: String,
        /// The prefix length of a single address in this family.
        bits: u8,
    },
    /// The prefix length is longer than addresses of the family.
    #[error("invalid CIDR {text:?}: {family} addresses have {bits} bits", bits = family.bits())]
    TooLong {
        /// The text as written.
        text: String,
        /// The address's family.
        family: Family,
    },
    /// A number starts with a zero: some readers take it for octal.
    #[error("invalid CIDR {text:?}: a number has a leading zero")]
    LeadingZero {
        /// The text as written.
        text: String,
        /// What was probably meant.
        plain: String,
    },
    /// Bits are set behind the prefix.
    #[error("invalid CIDR {text:?}: host bits are set")]
    HostBits {
        /// The text as written.
        text: String,
        /// What was probably meant.
        masked: IpNet,
    },
    /// A zone means something on one machine only.
    #[error("invalid CIDR {text:?}: a zone is of one machine only")]
    Zone {
        /// The text as written.
        text: String,
        /// The CIDR without the zone.
        plain: String,
    },
    /// An IPv4 address written in IPv6 form never matches a packet of either family.
    #[error("invalid CIDR {text:?}: IPv4-mapped IPv6 addresses never appear in packets")]
    Mapped {
        /// The text as written.
        text: String,
        /// The address in IPv4 form.
        plain: String,
    },
}

impl CidrError {
    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            Self::Syntax { .. } => {
                "write an address, a slash and a prefix length, as in 10.0.0.0/8".to_owned()
            }
            Self::NoPrefix { text, bits } => {
                format!("write {text}/{bits} for the one address")
            }
            Self::TooLong { family, .. } => {
                format!("write a prefix length from 0 to {}", family.bits())
            }
            Self::HostBits { masked, .. } => format!("write {masked}"),
            Self::LeadingZero { plain, .. } | Self::Zone { plain, .. } => format!("write {plain}"),
            Self::Mapped { plain, .. } => format!("write the IPv4 form, as in {plain}"),
        }
    }
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

/// The text is judged before the number: parsers differ in what they let pass.
fn parse(text: &str) -> Result<IpNet, CidrError> {
    let owned = || text.to_owned();
    let syntax = || CidrError::Syntax { text: owned() };
    let (addr_text, bits) = match text.split_once('/') {
        Some((addr, bits)) => (addr, Some(bits)),
        None => (text, None),
    };
    let with_bits = |plain: &str| match bits {
        Some(bits) => format!("{plain}/{bits}"),
        None => plain.to_owned(),
    };
    let addr = parse_address(addr_text).map_err(|error| match error {
        AddressError::Syntax { .. } => syntax(),
        AddressError::LeadingZero { plain, .. } => CidrError::LeadingZero {
            text: owned(),
            plain: with_bits(&plain),
        },
        AddressError::Zone { plain, .. } => CidrError::Zone {
            text: owned(),
            plain: with_bits(&plain),
        },
        AddressError::Mapped { plain, .. } => CidrError::Mapped {
            text: owned(),
            plain: format!("{plain}/32"),
        },
    })?;
    let family = family_of(addr);
    let Some(bits) = bits else {
        return Err(CidrError::NoPrefix {
            text: owned(),
            bits: family.bits(),
        });
    };
    if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(syntax());
    }
    if bits.len() > 1 && bits.starts_with('0') {
        let plain = match bits.trim_start_matches('0') {
            "" => "0",
            plain => plain,
        };
        return Err(CidrError::LeadingZero {
            text: owned(),
            plain: format!("{addr_text}/{plain}"),
        });
    }
    let net = bits
        .parse()
        .ok()
        .and_then(|bits| IpNet::new(addr, bits).ok());
    net.ok_or_else(|| CidrError::TooLong {
        text: owned(),
        family,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_parsing_refuses_host_bits_and_bare_addresses() {
        assert_eq!(parse_cidr("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(parse_cidr("::/0").unwrap().to_string(), "::/0");
        for (text, expected) in [
            ("10.0.0.1/8", "host bits are set; write 10.0.0.0/8"),
            (
                "10.0.0.1",
                "the prefix length is missing; write 10.0.0.1/32 for the one address",
            ),
            (
                "10.0.0.0/33",
                "IPv4 addresses have 32 bits; write a prefix length from 0 to 32",
            ),
            (
                "10.0.0.0/999",
                "IPv4 addresses have 32 bits; write a prefix length from 0 to 32",
            ),
            (
                "fd00::/129",
                "IPv6 addresses have 128 bits; write a prefix length from 0 to 128",
            ),
        ] {
            let error = parse_cidr(text).unwrap_err();
            assert_eq!(told(text, &error), expected);
        }
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/ 8",
            "10.0.0/8",
            "a/8",
        ] {
            let error = parse_cidr(text).unwrap_err();
            assert_eq!(
                format!("{error}; {}", error.help()),
                format!(
                    "invalid CIDR {text:?}; write an address, a slash and a prefix length, as in 10.0.0.0/8"
                )
            );
        }
    }

    fn told(text: &str, error: &CidrError) -> String {
        let told = format!("{error}; {}", error.help());
        let intro = format!("invalid CIDR {text:?}: ");
        told.strip_prefix(&intro).unwrap().to_owned()
    }

    #[test]
    fn what_other_parsers_read_differently_is_refused() {
        for (text, expected) in [
            (
                "010.0.0.0/8",
                "a number has a leading zero; write 10.0.0.0/8",
            ),
            ("1.0.0.00/8", "a number has a leading zero; write 1.0.0.0/8"),
            (
                "10.0.0.0/08",
                "a number has a leading zero; write 10.0.0.0/8",
            ),
            ("::/00", "a number has a leading zero; write ::/0"),
            ("010.0.0.1", "a number has a leading zero; write 10.0.0.1"),
            (
                "fe80::1%eth0/64",
                "a zone is of one machine only; write fe80::1/64",
            ),
            (
                "::ffff:10.0.0.0/104",
                "IPv4-mapped IPv6 addresses never appear in packets; write the IPv4 form, as in 10.0.0.0/32",
            ),
            (
                "::ffff:10.0.0.0/8",
                "IPv4-mapped IPv6 addresses never appear in packets; write the IPv4 form, as in 10.0.0.0/32",
            ),
        ] {
            for error in [
                parse_cidr(text).unwrap_err(),
                parse_cidr_masking(text).unwrap_err(),
            ] {
                assert_eq!(told(text, &error), expected);
            }
        }
        for (text, expected) in [
            ("010.0.0.1", "a number has a leading zero; write 10.0.0.1"),
            (
                "fe80::1%eth0",
                "a zone is of one machine only; write fe80::1",
            ),
            (
                "::ffff:10.0.0.1",
                "IPv4-mapped IPv6 addresses never appear in packets; write 10.0.0.1",
            ),
        ] {
            let error = parse_address(text).unwrap_err();
            let told = format!("{error}; {}", error.help());
            assert_eq!(told, format!("invalid IP address {text:?}: {expected}"));
        }
        for text in [
            "",
            "10.0.0",
            "256.0.0.1",
            "0256.0.0.1",
            "a%b",
            "10.0.0.1%eth0",
        ] {
            let error = parse_address(text).unwrap_err();
            assert!(matches!(error, AddressError::Syntax { .. }), "{text}");
        }
        assert_eq!(parse_address("0.0.0.0").unwrap().to_string(), "0.0.0.0");
        assert_eq!(parse_cidr("::/0").unwrap().to_string(), "::/0");
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
