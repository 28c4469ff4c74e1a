//! Messages and attributes: length, kind, value, padded to four bytes.

use std::str;

use super::error::Malformed;
use super::wire::{HEADER_BYTES, KIND_MASK, NESTED, SUBSYSTEM};

/// Appends messages and attributes to a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

/// Where something of a length still unknown starts.
#[derive(Debug)]
#[must_use]
pub(super) struct Open(usize);

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Starts an nf_tables message.
    pub(super) fn message(&mut self, number: u8, flags: u16, sequence: u32, family: u8) -> Open {
        let kind = (SUBSYSTEM << 8) | u16::from(number);
        self.raw_message(kind, flags, sequence, [family, 0, 0, 0])
    }

    pub(super) fn raw_message(
        &mut self,
        kind: u16,
        flags: u16,
        sequence: u32,
        family_version_resource: [u8; 4],
    ) -> Open {
        let open = Open(self.out.len());
        self.out.extend_from_slice(&[0; 4]);
        self.out.extend_from_slice(&kind.to_ne_bytes());
        self.out.extend_from_slice(&flags.to_ne_bytes());
        self.out.extend_from_slice(&sequence.to_ne_bytes());
        self.out.extend_from_slice(&[0; 4]);
        self.out.extend_from_slice(&family_version_resource);
        open
    }

    pub(super) fn close_message(&mut self, open: &Open) {
        let len = u32::try_from(self.out.len() - open.0).expect("a message is far below 4 GiB");
        if let Some(place) = self.out.get_mut(open.0..open.0 + 4) {
            place.copy_from_slice(&len.to_ne_bytes());
        }
    }

    pub(super) fn nest(&mut self, kind: u16) -> Open {
        let open = Open(self.out.len());
        self.out.extend_from_slice(&[0; 2]);
        self.out.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        open
    }

    pub(super) fn close(&mut self, open: &Open) {
        let len = u16::try_from(self.out.len() - open.0)
            .expect("lists are split far below the 64 KiB of an attribute");
        if let Some(place) = self.out.get_mut(open.0..open.0 + 2) {
            place.copy_from_slice(&len.to_ne_bytes());
        }
    }

    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(value.len() + 4).expect("values and names are short");
        self.out.extend_from_slice(&len.to_ne_bytes());
        self.out.extend_from_slice(&kind.to_ne_bytes());
        self.out.extend_from_slice(value);
        self.pad();
    }

    /// A text with its final zero.
    pub(super) fn text(&mut self, kind: u16, text: &str) {
        let len = u16::try_from(text.len() + 5).unwrap_or(u16::MAX);
        let kept = usize::from(len) - 5;
        self.out.extend_from_slice(&len.to_ne_bytes());
        self.out.extend_from_slice(&kind.to_ne_bytes());
        self.out.extend(text.as_bytes().iter().take(kept));
        self.out.push(0);
        self.pad();
    }

    pub(super) fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    fn pad(&mut self) {
        let padding = self.out.len().next_multiple_of(4) - self.out.len();
        self.out.resize(self.out.len() + padding, 0);
    }
}

/// The attributes in `bytes`, one by one; an error is the last item.
#[derive(Clone, Debug)]
pub(super) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of this kind.
    pub(super) fn find(self, kind: u16) -> Result<Option<&'a [u8]>, Malformed> {
        for attribute in self {
            let (found, value) = attribute?;
            if found == kind {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn split(&mut self) -> Option<(u16, &'a [u8])> {
        let (header, _) = self.rest.split_first_chunk::<4>()?;
        let [l0, l1, k0, k1] = *header;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.rest.get(4..len)?;
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & KIND_MASK, value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.split();
        if item.is_none() {
            self.rest = &[];
        }
        Some(item.ok_or(Malformed::Attribute))
    }
}

/// One message as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port_id: u32,
    /// What follows the netlink header.
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The nf_tables message number, when it is one.
    pub(super) fn number(&self) -> Option<u8> {
        let [subsystem, number] = self.kind.to_be_bytes();
        (u16::from(subsystem) == SUBSYSTEM).then_some(number)
    }

    /// Family and attributes of an nf_tables message.
    pub(super) fn family_and_attributes(&self) -> Result<(u8, Attributes<'a>), Malformed> {
        let ([family, ..], attributes) = self
            .body
            .split_first_chunk::<4>()
            .ok_or(Malformed::Message)?;
        Ok((*family, Attributes::new(attributes)))
    }
}

/// The messages in a datagram, one by one; an error is the last item.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(super) const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn split(&mut self) -> Option<Message<'a>> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<2>()?;
        let (flags, rest) = rest.split_first_chunk::<2>()?;
        let (sequence, rest) = rest.split_first_chunk::<4>()?;
        let (port_id, _) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        let body = self.rest.get(HEADER_BYTES..length)?;
        self.rest = self
            .rest
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes(*kind),
            flags: u16::from_ne_bytes(*flags),
            sequence: u32::from_ne_bytes(*sequence),
            port_id: u32::from_ne_bytes(*port_id),
            body,
        })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.split();
        if item.is_none() {
            self.rest = &[];
        }
        Some(item.ok_or(Malformed::Message))
    }
}

pub(super) fn be16(bytes: &[u8]) -> Result<u16, Malformed> {
    bytes
        .try_into()
        .map(u16::from_be_bytes)
        .or(Err(Malformed::Length))
}

pub(super) fn be32(bytes: &[u8]) -> Result<u32, Malformed> {
    bytes
        .try_into()
        .map(u32::from_be_bytes)
        .or(Err(Malformed::Length))
}

pub(super) fn be64(bytes: &[u8]) -> Result<u64, Malformed> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .or(Err(Malformed::Length))
}

/// A text, up to its final zero.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    str::from_utf8(text).or(Err(Malformed::Text))
}
