//! Bytes as a register, a set key or an immediate holds them: short ones inside the value, long ones on the heap.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::KeyPart;

/// Longest value kept without an allocation: every IPv4 key, an interface name, an IPv6 address.
const INLINE_BYTES_MAX: usize = 22;

/// Longest value the kernel takes (`NFT_DATA_VALUE_MAXLEN`).
const VALUE_BYTES_MAX: usize = 64;

/// Bytes as the kernel compares them: addresses, ports and protocols in network order, marks and interface numbers in
/// the machine's own order. Ordered by bytes, so the order of marks is stable but not numeric.
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Inline {
        len: u8,
        bytes: [u8; INLINE_BYTES_MAX],
    },
    Heap(Box<[u8]>),
}

impl Value {
    /// These bytes; what is longer than the kernel's 64 is cut.
    pub fn new(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE_BYTES_MAX {
            let mut inline = [0; INLINE_BYTES_MAX];
            for (to, from) in inline.iter_mut().zip(bytes) {
                *to = *from;
            }
            let len = u8::try_from(bytes.len()).unwrap_or_default();
            Self(Repr::Inline { len, bytes: inline })
        } else {
            Self(Repr::Heap(
                bytes.iter().copied().take(VALUE_BYTES_MAX).collect(),
            ))
        }
    }

    /// One byte: a protocol, an ICMP type or code, a network-layer family.
    pub fn byte(byte: u8) -> Self {
        Self::new(&[byte])
    }

    /// A port.
    pub fn port(port: u16) -> Self {
        Self::new(&port.to_be_bytes())
    }

    /// A mark, an interface number or a conntrack field: 32 bits in the machine's order.
    pub fn word(word: u32) -> Self {
        Self::new(&word.to_ne_bytes())
    }

    /// An IPv4 address.
    pub fn ipv4(addr: Ipv4Addr) -> Self {
        Self::new(&addr.octets())
    }

    /// An IPv6 address.
    pub fn ipv6(addr: Ipv6Addr) -> Self {
        Self::new(&addr.octets())
    }

    /// A whole interface name, padded with zeros to 16 bytes. Longer than 15 bytes is cut and matches no interface.
    pub fn ifname(name: &str) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().take(15).zip(name.as_bytes()) {
            *to = *from;
        }
        Self::new(&bytes)
    }

    /// The key of a concatenation: every part padded with zeros to a multiple of four bytes.
    pub fn concat(parts: &[KeyPart]) -> Self {
        let mut bytes = [0; VALUE_BYTES_MAX];
        let mut end = 0;
        for part in parts {
            let single = Self::from(part);
            let from = single.as_bytes();
            for (to, byte) in bytes.iter_mut().skip(end).zip(from) {
                *to = *byte;
            }
            end += from.len().next_multiple_of(4);
        }
        Self::new(bytes.get(..end).unwrap_or(&bytes))
    }

    /// A class mark, a protocol and a port, as `mark . inet_proto . inet_service`.
    pub fn mark_proto_port(mark: u32, proto: u8, port: u16) -> Self {
        let [m0, m1, m2, m3] = mark.to_ne_bytes();
        let [p0, p1] = port.to_be_bytes();
        Self::new(&[m0, m1, m2, m3, proto, 0, 0, 0, p0, p1, 0, 0])
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Repr::Heap(bytes) => bytes,
        }
    }

    /// The value as 32 bits in the machine's order, when it has four bytes.
    pub fn as_word(&self) -> Option<u32> {
        self.as_bytes().try_into().ok().map(u32::from_ne_bytes)
    }

    /// The next value in network order; `None` after the last one.
    pub fn successor(&self) -> Option<Self> {
        let mut bytes = self.as_bytes().to_vec();
        for byte in bytes.iter_mut().rev() {
            let (next, carried) = byte.overflowing_add(1);
            *byte = next;
            if !carried {
                return Some(Self::new(&bytes));
            }
        }
        None
    }

    /// The value before this one in network order; `None` before the first one.
    pub fn predecessor(&self) -> Option<Self> {
        let mut bytes = self.as_bytes().to_vec();
        for byte in bytes.iter_mut().rev() {
            let (next, borrowed) = byte.overflowing_sub(1);
            *byte = next;
            if !borrowed {
                return Some(Self::new(&bytes));
            }
        }
        None
    }
}

impl From<&KeyPart> for Value {
    fn from(part: &KeyPart) -> Self {
        match part {
            KeyPart::Ipv4(addr) => Self::ipv4(*addr),
            KeyPart::Ipv6(addr) => Self::ipv6(*addr),
            KeyPart::Proto(byte) | KeyPart::IcmpType(byte) | KeyPart::NfProto(byte) => {
                Self::byte(*byte)
            }
            KeyPart::Port(port) => Self::port(*port),
            KeyPart::Mark(word) => Self::word(*word),
            KeyPart::IfName(name) => Self::ifname(name),
            KeyPart::Other(value) => value.clone(),
        }
    }
}

impl From<Ipv4Addr> for Value {
    fn from(addr: Ipv4Addr) -> Self {
        Self::ipv4(addr)
    }
}

impl From<Ipv6Addr> for Value {
    fn from(addr: Ipv6Addr) -> Self {
        Self::ipv6(addr)
    }
}

impl From<std::net::IpAddr> for Value {
    fn from(addr: std::net::IpAddr) -> Self {
        match addr {
            std::net::IpAddr::V4(addr) => Self::ipv4(addr),
            std::net::IpAddr::V6(addr) => Self::ipv6(addr),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
