//! Sets and maps: key types, flags, and sets without a name inside a rule.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Comment, Element, MapValue, Name, Value, flags};

/// The type of one field of a key, as nft names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FieldType {
    /// `ipv4_addr`.
    Ipv4Addr,
    /// `ipv6_addr`.
    Ipv6Addr,
    /// `inet_proto`.
    InetProto,
    /// `inet_service`, a port.
    InetService,
    /// `mark`.
    Mark,
    /// `ifname`.
    IfName,
    /// `nf_proto`, the family of a packet.
    NfProto,
    /// `icmp_type`.
    IcmpType,
    /// `icmpv6_type`.
    Icmpv6Type,
    /// A type that only others use: nft's number of it and its length in bytes. Read back, never made.
    Other {
        /// nft's number of the type.
        id: u32,
        /// Its length in bytes.
        bytes: u8,
    },
}

impl FieldType {
    /// How many bytes a value has, without padding.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Ipv4Addr | Self::Mark => 4,
            Self::Ipv6Addr | Self::IfName => 16,
            Self::InetProto | Self::IcmpType | Self::Icmpv6Type | Self::NfProto => 1,
            Self::InetService => 2,
            Self::Other { bytes, .. } => bytes as usize,
        }
    }
}

/// The type of a set's key: one field, or several in a concatenation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyType(Vec<FieldType>);

impl KeyType {
    /// A key of one field.
    pub fn single(field: FieldType) -> Self {
        Self(vec![field])
    }

    /// A concatenation; at most five fields, as nft's type number has room for.
    pub fn concat(fields: impl IntoIterator<Item = FieldType>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// The fields in order.
    pub fn fields(&self) -> &[FieldType] {
        &self.0
    }

    /// Whether there is more than one field.
    pub fn is_concat(&self) -> bool {
        self.0.len() > 1
    }

    /// How many bytes a key has. Fields of a concatenation are padded to multiples of four.
    pub fn bytes(&self) -> usize {
        match self.0.as_slice() {
            [field] => field.bytes(),
            fields => fields
                .iter()
                .map(|field| field.bytes().next_multiple_of(4))
                .sum(),
        }
    }

    /// The parts of a key of this type; `None` when it is too short.
    pub fn parts(&self, key: &Value) -> Option<Vec<KeyPart>> {
        let mut rest = key.as_bytes();
        let mut parts = Vec::with_capacity(self.0.len());
        for field in &self.0 {
            let (bytes, _) = rest.split_at_checked(field.bytes())?;
            parts.push(KeyPart::read(*field, bytes)?);
            let padded = field.bytes().next_multiple_of(4).min(rest.len());
            rest = rest.get(padded..)?;
        }
        Some(parts)
    }
}

impl From<FieldType> for KeyType {
    fn from(field: FieldType) -> Self {
        Self::single(field)
    }
}

impl<const N: usize> From<[FieldType; N]> for KeyType {
    fn from(fields: [FieldType; N]) -> Self {
        Self(fields.into())
    }
}

/// One field of a key with its value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyPart {
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A protocol number.
    Proto(u8),
    /// A port.
    Port(u16),
    /// A mark.
    Mark(u32),
    /// An interface name.
    IfName(Name),
    /// An ICMP or `ICMPv6` type.
    IcmpType(u8),
    /// A family: 2 IPv4, 10 IPv6.
    NfProto(u8),
    /// A field of a type that only others use.
    Other(Value),
}

impl KeyPart {
    pub(crate) fn read(field: FieldType, bytes: &[u8]) -> Option<Self> {
        Some(match field {
            FieldType::Ipv4Addr => Self::Ipv4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
            FieldType::Ipv6Addr => Self::Ipv6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
            FieldType::InetProto => Self::Proto(*bytes.first()?),
            FieldType::IcmpType | FieldType::Icmpv6Type => Self::IcmpType(*bytes.first()?),
            FieldType::NfProto => Self::NfProto(*bytes.first()?),
            FieldType::InetService => Self::Port(u16::from_be_bytes(bytes.try_into().ok()?)),
            FieldType::Mark => Self::Mark(u32::from_ne_bytes(bytes.try_into().ok()?)),
            FieldType::IfName => {
                let text = bytes.split(|byte| *byte == 0).next()?;
                Self::IfName(String::from_utf8_lossy(text).into())
            }
            FieldType::Other { .. } => Self::Other(Value::new(bytes)),
        })
    }
}

/// What a map gives for a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DataType {
    /// A mark.
    Mark,
    /// A verdict.
    Verdict,
    /// A type that only others use: nft's number of it. Read back, never made.
    Other(u32),
}

flags! {
    /// How a set may be used. That it is a map, a concatenation or without a name follows from its other fields.
    SetFlags(u32) {
        /// Never changes.
        CONSTANT = 0x2;
        /// Keys are ranges.
        INTERVAL = 0x4;
        /// Elements expire.
        TIMEOUT = 0x10;
        /// Rules may add elements.
        DYNAMIC = 0x20;
    }
}

/// A named set, or a map when `data` is there. Its elements are values of their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Set {
    /// Its name.
    pub name: Name,
    /// The type of its keys.
    pub key: KeyType,
    /// What it maps a key to; `None` for a set.
    pub data: Option<DataType>,
    /// How it may be used.
    pub flags: SetFlags,
    /// How many elements fit; `None` without limit. The kernel rounds nothing here.
    pub size: Option<u32>,
    /// Elements without a timeout of their own expire after this many milliseconds (needs [`SetFlags::TIMEOUT`]).
    pub timeout_ms: Option<u64>,
    /// For the reader of `nft list ruleset`.
    pub comment: Option<Comment>,
}

impl Set {
    /// A set.
    pub fn new(name: impl Into<Name>, key: impl Into<KeyType>) -> Self {
        Self {
            name: name.into(),
            key: key.into(),
            data: None,
            flags: SetFlags::NONE,
            size: None,
            timeout_ms: None,
            comment: None,
        }
    }

    /// A map.
    pub fn map(name: impl Into<Name>, key: impl Into<KeyType>, data: DataType) -> Self {
        Self {
            data: Some(data),
            ..Self::new(name, key)
        }
    }

    /// The same with these flags.
    #[must_use]
    pub fn flags(mut self, flags: SetFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same with room for this many elements.
    #[must_use]
    pub fn size(mut self, elements: u32) -> Self {
        self.size = Some(elements);
        self
    }

    /// The same with a comment.
    #[must_use]
    pub fn comment(mut self, text: &str) -> Self {
        self.comment = Some(Comment::new(text));
        self
    }

    /// Whether keys are ranges.
    pub fn is_interval(&self) -> bool {
        self.flags.contains(SetFlags::INTERVAL)
    }
}

/// A set written inside a rule, as `{ 80, 443 }` or `vmap { 1 : accept }`. Its elements are part of the rule: sorted,
/// without duplicates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AnonymousSet {
    /// The type of its keys.
    pub key: KeyType,
    /// What it maps a key to; `None` for a set.
    pub data: Option<DataType>,
    /// Whether keys are ranges.
    pub interval: bool,
    elements: Vec<Element>,
}

impl AnonymousSet {
    /// A set or map of these elements. It has ranges when one of them is a range; it is a map when one has a value.
    pub fn new(key: impl Into<KeyType>, elements: impl IntoIterator<Item = Element>) -> Self {
        let mut elements: Vec<Element> = elements.into_iter().collect();
        elements.sort();
        elements.dedup();
        let data = elements.iter().find_map(|element| match element.value() {
            Some(MapValue::Mark(_)) => Some(DataType::Mark),
            Some(MapValue::Verdict(_)) => Some(DataType::Verdict),
            Some(MapValue::Other) | None => None,
        });
        Self {
            key: key.into(),
            data,
            interval: elements.iter().any(|element| element.key_end().is_some()),
            elements,
        }
    }

    /// The elements in order.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }
}
