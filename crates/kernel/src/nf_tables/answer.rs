//! What the kernel answers: acknowledgements of a batch, and lists.

use std::io;

use oncilla_nft::object::Name;
use rustix::io::Errno;

use super::attribute::{Attributes, Message, Messages};
use super::batch::Batch;
use super::error::{BatchError, Malformed, ReadError, Refusal};
use super::wire::{
    HEADER_BYTES, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR,
    NLMSG_NOOP,
};

/// `ERESTART`, which no library has a name for: the batch's generation is not the kernel's.
const ERESTART: i32 = 85;

/// What the receive queue gave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard<'a> {
    /// Something that was said.
    Datagram(&'a [u8]),
    /// Word that something was said for which there was no room.
    Lost,
}

/// What came back for a batch.
#[derive(Debug, Default)]
pub(super) struct Answers {
    refusals: Vec<Refusal>,
    whole: Option<i32>,
    last_seen: bool,
    /// Something was said that nobody heard: a refusal, for all we know.
    lost: bool,
}

impl Answers {
    pub(super) fn hear(&mut self, heard: Heard<'_>, batch: &Batch) {
        match heard {
            Heard::Datagram(datagram) => self.read(datagram, batch),
            Heard::Lost => self.lost = true,
        }
    }

    fn read(&mut self, datagram: &[u8], batch: &Batch) {
        let messages = Messages::new(datagram).map_while(Result::ok);
        for answer in messages.filter(|answer| answer.kind == NLMSG_ERROR) {
            let Some(error) = Acknowledgement::read(&answer) else {
                continue;
            };
            self.last_seen |= answer.sequence == batch.last_sequence();
            if error.errno == 0 {
                continue;
            }
            let Some((index, element)) = batch.locate(answer.sequence, error.offset) else {
                self.whole = self.whole.or(Some(error.errno));
                continue;
            };
            if let Some(operation) = batch.operations().get(index) {
                self.refusals.push(Refusal {
                    index,
                    operation: operation.clone(),
                    element,
                    errno: error.errno,
                    text: error.text,
                });
            }
        }
    }

    pub(super) fn finish(self, batch: &Batch) -> Result<(), BatchError> {
        let table = || Name::clone(batch.table());
        match (self.whole, batch.expected_generation()) {
            (Some(ERESTART), Some(expected)) => Err(BatchError::Outdated {
                table: table(),
                expected,
            }),
            _ if !self.refusals.is_empty() => Err(BatchError::Refused {
                table: table(),
                changes: batch.operations().len(),
                refusals: self.refusals,
            }),
            (Some(errno), _) => Err(BatchError::Whole {
                table: table(),
                source: io::Error::from_raw_os_error(errno),
            }),
            (None, _) if self.last_seen && !self.lost => Ok(()),
            (None, _) => Err(BatchError::NoAnswer { table: table() }),
        }
    }
}

/// An acknowledgement: the error number, and what the kernel says about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Acknowledgement {
    pub(super) errno: i32,
    pub(super) text: Option<String>,
    pub(super) offset: Option<u32>,
}

impl Acknowledgement {
    const TEXT: u16 = 1;
    const OFFSET: u16 = 2;

    pub(super) fn read(answer: &Message<'_>) -> Option<Self> {
        let (error, rest) = answer.body.split_first_chunk::<4>()?;
        let mut read = Self {
            errno: i32::from_ne_bytes(*error).saturating_neg(),
            text: None,
            offset: None,
        };
        if answer.flags & NLM_F_ACK_TLVS == 0 {
            return Some(read);
        }
        // The refused message comes back before the attributes: its header only, or all of it.
        let (length, _) = rest.split_first_chunk::<4>()?;
        let skipped = if answer.flags & NLM_F_CAPPED == 0 {
            usize::try_from(u32::from_ne_bytes(*length))
                .ok()?
                .next_multiple_of(4)
        } else {
            HEADER_BYTES
        };
        let attributes = Attributes::new(rest.get(skipped..).unwrap_or_default());
        for (kind, value) in attributes.map_while(Result::ok) {
            match kind {
                Self::TEXT => read.text = super::attribute::text(value).ok().map(str::to_owned),
                Self::OFFSET => read.offset = value.try_into().ok().map(u32::from_ne_bytes),
                _ => {}
            }
        }
        Some(read)
    }
}

/// One answer of many messages.
#[derive(Debug)]
pub(super) struct Reading {
    sequence: u32,
    /// The error number at its end, 0 for none.
    pub(super) end: Option<i32>,
    pub(super) torn: bool,
    malformed: Option<Malformed>,
}

impl Reading {
    pub(super) fn new(sequence: u32) -> Self {
        Self {
            sequence,
            end: None,
            torn: false,
            malformed: None,
        }
    }

    pub(super) fn read(
        &mut self,
        datagram: &[u8],
        each: &mut dyn FnMut(u8, Attributes<'_>) -> Result<(), Malformed>,
    ) {
        for message in Messages::new(datagram) {
            match message {
                Ok(message) if message.sequence == self.sequence => {
                    if let Err(error) = self.message(&message, each) {
                        self.malformed = self.malformed.or(Some(error));
                    }
                }
                Ok(_) => {}
                Err(error) => self.malformed = self.malformed.or(Some(error)),
            }
        }
    }

    fn message(
        &mut self,
        message: &Message<'_>,
        each: &mut dyn FnMut(u8, Attributes<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.torn |= message.flags & NLM_F_DUMP_INTR != 0;
        match message.kind {
            NLMSG_NOOP => Ok(()),
            NLMSG_DONE | NLMSG_ERROR => {
                let errno = Acknowledgement::read(message).map_or(0, |end| end.errno);
                self.end = Some(errno);
                Ok(())
            }
            _ if message.number().is_some() => {
                let (family, attributes) = message.family_and_attributes()?;
                each(family, attributes)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn finish(self, what: &'static str) -> Result<bool, ReadError> {
        let errno = self.end.unwrap_or_default();
        // A list that was given up is still being told: it ends as this socket is read.
        let is_early = [Errno::INTR, Errno::BUSY].map(Errno::raw_os_error);
        if self.torn || is_early.contains(&errno) {
            return Ok(false);
        }
        if errno != 0 {
            let source = io::Error::from_raw_os_error(errno);
            return Err(ReadError::Refused { what, source });
        }
        match self.malformed {
            Some(source) => Err(ReadError::Malformed { what, source }),
            None => Ok(true),
        }
    }
}
