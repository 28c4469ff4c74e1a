//! The system calls of a netlink conversation, and the one place where a test gets between us and the kernel.
//!
//! In a program that is built to be used (without debug assertions) a function here is its system call and nothing
//! else is compiled. In a test, [`trouble::plant`] has a script asked before every call of the calling thread: what
//! it answers happens instead, or to what the call gave.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

#[cfg(debug_assertions)]
pub mod trouble;

/// What the kernel is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Call {
    /// Changes are sent.
    SendChanges,
    /// What became of changes is received.
    ReceiveOutcome,
    /// A question is sent.
    SendQuestion,
    /// Its answer is received.
    ReceiveAnswer,
    /// Packets under way are waited for.
    Quiesce,
}

/// One `sendmsg`.
pub(crate) fn send(fd: BorrowedFd<'_>, call: Call, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
    let send = || {
        let mut control = SendAncillaryBuffer::default();
        sendmsg(fd, parts, &mut control, SendFlags::empty()).map(|_all| ())
    };
    #[cfg(debug_assertions)]
    return trouble::send(call, parts, send);
    #[cfg(not(debug_assertions))]
    {
        let _: Call = call;
        send()
    }
}

/// One `recv`: how long the datagram was, which may be more than the buffer has room for.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    call: Call,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<usize, Errno> {
    let receive = |buffer: &mut [u8]| {
        let (_kept, length) = recv(fd, buffer, flags | RecvFlags::TRUNC)?;
        Ok(length)
    };
    #[cfg(debug_assertions)]
    return trouble::receive(call, buffer, receive);
    #[cfg(not(debug_assertions))]
    {
        let _: Call = call;
        receive(buffer)
    }
}

/// Tells a script that packets are about to be waited for.
pub(crate) fn quiesce() {
    #[cfg(debug_assertions)]
    trouble::quiesce();
}
