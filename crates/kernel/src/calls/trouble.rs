//! Planted trouble: what the kernel may do to one call, at the caller's choice. Only in builds with debug assertions.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;

use rustix::io::Errno;

use super::Call;
use crate::netlink::HEADER_BYTES;

const NLMSG_ERROR: u16 = 2;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
/// Types below are netlink's own: the begin and end of a batch.
const NLMSG_MIN_TYPE: u16 = 0x20;

/// What happens to a call. Error numbers are the system's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Trouble {
    /// Nothing: it is made.
    None,
    /// It is not made and fails.
    Fails(i32),
    /// It is made and fails all the same: what was sent is done, what was received is gone.
    Lost(i32),
    /// What is sent does not reach the kernel and is answered with a refusal of its first change, or of the question.
    RefusesFirst(i32),
    /// The same, of the last change.
    RefusesLast(i32),
    /// The same, of all changes together.
    RefusesWhole(i32),
    /// The first change is refused, and there was no room to say so: only the last one's acknowledgement comes.
    RefusesUnheard(i32),
    /// What was received ends in the middle.
    Cut,
    /// What was received says that it does not fit together.
    Torn,
}

type Script = Box<dyn FnMut(Call) -> Trouble>;

/// What a refusal that was made up left to be received.
#[derive(Debug)]
enum Left {
    Datagram(Vec<u8>),
    Error(Errno),
}

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
    static LEFT: RefCell<VecDeque<Left>> = const { RefCell::new(VecDeque::new()) };
}

/// A planted script; gone when dropped.
#[derive(Debug)]
pub struct Planted {
    _private: (),
}

impl Drop for Planted {
    fn drop(&mut self) {
        SCRIPT.set(None);
        LEFT.take();
    }
}

/// Has `script` asked before every call of this thread until the value is dropped. One at a time. Trouble that a call
/// cannot have is none: see [`fits`].
#[must_use]
pub fn plant(script: impl FnMut(Call) -> Trouble + 'static) -> Planted {
    SCRIPT.set(Some(Box::new(script)));
    Planted { _private: () }
}

/// Whether a call can have this trouble.
pub const fn fits(call: Call, trouble: Trouble) -> bool {
    match trouble {
        Trouble::None => true,
        Trouble::Fails(_) => !matches!(call, Call::Quiesce),
        Trouble::Lost(_) => !matches!(call, Call::Quiesce),
        Trouble::RefusesFirst(_) => matches!(call, Call::SendChanges | Call::SendQuestion),
        Trouble::RefusesLast(_) | Trouble::RefusesWhole(_) | Trouble::RefusesUnheard(_) => {
            matches!(call, Call::SendChanges)
        }
        Trouble::Cut => matches!(call, Call::ReceiveOutcome),
        Trouble::Torn => matches!(call, Call::ReceiveAnswer),
    }
}

fn ask(call: Call) -> Trouble {
    let trouble = SCRIPT.with_borrow_mut(|script| {
        let script = script.as_mut();
        script.map_or(Trouble::None, |script| script(call))
    });
    if fits(call, trouble) {
        trouble
    } else {
        Trouble::None
    }
}

pub(super) fn quiesce() {
    ask(Call::Quiesce);
}

pub(super) fn send(
    call: Call,
    parts: &[IoSlice<'_>],
    send: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let errno = Errno::from_raw_os_error;
    // In the order in which the kernel answers: refusals, then the last change's acknowledgement.
    let answers = match ask(call) {
        Trouble::Fails(number) => return Err(errno(number)),
        Trouble::Lost(number) => return send().and(Err(errno(number))),
        Trouble::RefusesFirst(number) => {
            let (first, last) = ends(parts);
            let acknowledged = acknowledgement(last, 0);
            let mut answers = vec![Left::Datagram(acknowledgement(first, number))];
            answers.extend((first != last).then_some(Left::Datagram(acknowledged)));
            answers
        }
        Trouble::RefusesLast(number) => {
            vec![Left::Datagram(acknowledgement(ends(parts).1, number))]
        }
        Trouble::RefusesWhole(number) => {
            let begin = messages(parts).first().map_or(0, |(_, sequence)| *sequence);
            vec![Left::Datagram(acknowledgement(begin, number))]
        }
        Trouble::RefusesUnheard(number) => {
            let (first, last) = ends(parts);
            let error = if first == last { number } else { 0 };
            vec![
                Left::Error(Errno::NOBUFS),
                Left::Datagram(acknowledgement(last, error)),
            ]
        }
        Trouble::None | Trouble::Cut | Trouble::Torn => return send(),
    };
    LEFT.with_borrow_mut(|left| left.extend(answers));
    Ok(())
}

pub(super) fn receive(
    call: Call,
    buffer: &mut [u8],
    receive: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let receive = |buffer: &mut [u8]| match LEFT.with_borrow_mut(VecDeque::pop_front) {
        Some(Left::Datagram(datagram)) => {
            if let Some(room) = buffer.get_mut(..datagram.len()) {
                room.copy_from_slice(&datagram);
            }
            Ok(datagram.len())
        }
        Some(Left::Error(errno)) => Err(errno),
        None => receive(buffer),
    };
    match ask(call) {
        Trouble::Fails(number) => Err(Errno::from_raw_os_error(number)),
        Trouble::Lost(number) => receive(buffer).and(Err(Errno::from_raw_os_error(number))),
        Trouble::Cut => receive(buffer).map(|length| length / 2),
        Trouble::Torn => {
            let length = receive(buffer)?;
            tear(buffer.get_mut(..length).unwrap_or_default());
            Ok(length)
        }
        _ => receive(buffer),
    }
}

/// Marks every message of a list as one that others changed under the kernel's hands.
fn tear(mut datagram: &mut [u8]) {
    while let Some([l0, l1, l2, l3, _, _, f0, f1]) = datagram.first_chunk_mut::<8>() {
        let length = u32::from_ne_bytes([*l0, *l1, *l2, *l3]) as usize;
        let flags = u16::from_ne_bytes([*f0, *f1]) | NLM_F_DUMP_INTR;
        [*f0, *f1] = flags.to_ne_bytes();
        let next = length.next_multiple_of(4).max(HEADER_BYTES);
        datagram = datagram.get_mut(next..).unwrap_or_default();
    }
}

/// Type and sequence number of the messages that were to be sent.
fn messages(parts: &[IoSlice<'_>]) -> Vec<(u16, u32)> {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    let mut found = Vec::new();
    crate::netlink::walk(&bytes, &mut |message| {
        found.push((message.kind, message.sequence));
    });
    found
}

/// The sequence numbers of the first change and of the last.
fn ends(parts: &[IoSlice<'_>]) -> (u32, u32) {
    let all = messages(parts);
    let mut changes = all.iter().filter(|(kind, _)| *kind >= NLMSG_MIN_TYPE);
    let first = changes.next().map_or(0, |(_, sequence)| *sequence);
    let last = changes.next_back().map_or(first, |(_, sequence)| *sequence);
    (first, last)
}

/// The kernel's word on one message; 0 says that it was done.
fn acknowledgement(sequence: u32, errno: i32) -> Vec<u8> {
    let mut datagram = Vec::new();
    let length = u32::try_from(2 * HEADER_BYTES + 4).unwrap_or_default();
    datagram.extend(length.to_ne_bytes());
    datagram.extend(NLMSG_ERROR.to_ne_bytes());
    datagram.extend(NLM_F_CAPPED.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend(0_u32.to_ne_bytes());
    datagram.extend(errno.wrapping_neg().to_ne_bytes());
    // The header of the message that it is about, which nobody reads.
    datagram.extend([0; HEADER_BYTES]);
    datagram
}
