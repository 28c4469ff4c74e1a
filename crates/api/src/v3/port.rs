//! Ports and protocols as Calico writes them: one JSON field, several forms.

use std::fmt;

use oncilla_net::PortRange;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::field::with_help;
use crate::validate::table::rule::{PORT, PORT_FORMAT, PORT_ORDER, PROTOCOL_NUMBER};

/// The longest name of a port, in bytes.
pub(crate) const PORT_NAME_LENGTH_MAX: usize = 128;

/// A port of a rule. Written as a number, `"80"`, `"8000:8080"` or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// One port or a range of them, both ends included.
    Range(PortRange),
    /// The name that a container gives its port.
    Name(String),
}

impl Port {
    /// Reads the text form of a port.
    ///
    /// # Errors
    /// A message that says what is wrong, in upstream's words.
    fn parse(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let port = text.parse().map_err(|_above| {
                let says = format!("invalid port format ({text})");
                with_help(&says, PORT.mend, Some(PORT_FORMAT.id))
            });
            return port.map(|port| Self::Range(PortRange::single(port)));
        }
        let invalid = || PORT_FORMAT.text(&[&text]);
        if let Some((first, last)) = text.split_once(':') {
            let number = |part: &str| part.parse::<u16>().map_err(|_not_u16| invalid());
            let range = PortRange::new(number(first)?, number(last)?);
            return range
                .map(Self::Range)
                .map_err(|error| PORT_ORDER.text(&[&error.first, &error.last]));
        }
        if is_port_name(text) {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Range(range) if range.first() == range.last() => {
                serializer.serialize_u16(range.first())
            }
            Self::Range(_) | Self::Name(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortVisitor)
    }
}

/// A protocol of a rule. Written as a name or a number; a number in quotes is a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A protocol number; 0 is refused by validation.
    Number(u8),
    /// A name as written; validation refuses unknown ones and other capitals.
    Name(String),
}

impl Protocol {
    /// The protocol that is meant; `None` for names and numbers that validation refuses.
    pub fn number(&self) -> Option<oncilla_net::Protocol> {
        match self {
            Self::Number(0) => None,
            Self::Number(number) => Some(oncilla_net::Protocol(*number)),
            Self::Name(name) => {
                oncilla_net::Protocol::from_name(name).filter(|known| known.name() == Some(name))
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u8(*number),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProtocolVisitor)
    }
}

/// Whether a text can name a port: `^[a-zA-Z0-9_.-]{1,128}$`.
fn is_port_name(text: &str) -> bool {
    (1..=PORT_NAME_LENGTH_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

struct PortVisitor;

impl Visitor<'_> for PortVisitor {
    type Value = Port;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port number, a range such as \"8000:8080\" or a port name")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Port, E> {
        u16::try_from(value)
            .map(|port| Port::Range(PortRange::single(port)))
            .map_err(|_too_large| E::custom(PORT.text(&[])))
    }

    fn visit_i64<E: Error>(self, _value: i64) -> Result<Port, E> {
        Err(E::custom(PORT.text(&[])))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Port, E> {
        Port::parse(value).map_err(E::custom)
    }
}

struct ProtocolVisitor;

impl Visitor<'_> for ProtocolVisitor {
    type Value = Protocol;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a protocol name or a number from 1 to 255")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Protocol, E> {
        u8::try_from(value)
            .map(Protocol::Number)
            .map_err(|_too_large| E::custom(PROTOCOL_NUMBER.text(&[])))
    }

    fn visit_i64<E: Error>(self, _value: i64) -> Result<Protocol, E> {
        Err(E::custom(PROTOCOL_NUMBER.text(&[])))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Protocol, E> {
        Ok(value.parse().map_or_else(
            |_not_a_number| Protocol::Name(value.to_owned()),
            Protocol::Number,
        ))
    }
}
