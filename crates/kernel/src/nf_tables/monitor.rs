//! News of changes: who changed what in this network namespace.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_NETFILTER;
use oncilla_nft::object::Name;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};

use super::attribute::{Message, Messages, text};
use super::decode;
use super::error::Malformed;
use super::wire::{FAMILY_INET, GROUP, chain, element, message, rule, set, table};

/// Room for the news of one large batch of somebody else's.
const RECEIVE_BYTES: usize = 16 * 1024 * 1024;

/// Longer than any datagram of news.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// How many datagrams one call of [`Monitor::read`] takes at most.
const DATAGRAMS_MAX: usize = 1_024;

/// One piece of news. Those of one batch come together, its [`Change::Generation`] last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The netlink port of the socket that made the change: [`super::Socket::port_id`] of one's own, 0 of the kernel's
    /// own (an owner's socket was closed, a network namespace goes).
    pub port_id: u32,
    /// What changed.
    pub change: Change,
}

/// What changed, in tables of the family `inet`; generations count for all families.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A batch is done.
    Generation {
        /// The ruleset's new version.
        id: u32,
        /// The process that did it.
        pid: u32,
        /// Its name, up to 15 bytes.
        comm: String,
    },
    /// A table was made or changed.
    TableNew(Name),
    /// A table is gone, with everything in it.
    TableGone(Name),
    /// A chain was made or changed.
    ChainNew {
        /// Its table.
        table: Name,
        /// Its name.
        chain: Name,
    },
    /// A chain is gone.
    ChainGone {
        /// Its table.
        table: Name,
        /// Its name.
        chain: Name,
    },
    /// A set was made.
    SetNew {
        /// Its table.
        table: Name,
        /// Its name.
        set: Name,
    },
    /// A set is gone.
    SetGone {
        /// Its table.
        table: Name,
        /// Its name.
        set: Name,
    },
    /// Rules of a chain were made, changed or are gone.
    Rules {
        /// Its table.
        table: Name,
        /// Its name.
        chain: Name,
    },
    /// Elements of a set were made or are gone; expired ones are no news.
    Elements {
        /// Its table.
        table: Name,
        /// Its name.
        set: Name,
    },
    /// News was lost, because nobody read it in time: read the tables again.
    Lost,
}

impl Change {
    /// The table it is about.
    pub fn table(&self) -> Option<&Name> {
        match self {
            Self::TableNew(table) | Self::TableGone(table) => Some(table),
            Self::ChainNew { table, .. }
            | Self::ChainGone { table, .. }
            | Self::SetNew { table, .. }
            | Self::SetGone { table, .. }
            | Self::Rules { table, .. }
            | Self::Elements { table, .. } => Some(table),
            Self::Generation { .. } | Self::Lost => None,
        }
    }
}

/// A socket that hears of every change in the network namespace it was opened in. Readable when there is news.
#[derive(Debug)]
pub struct Monitor {
    inner: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Hears of every change from now on.
    pub fn open() -> io::Result<Self> {
        let mut inner = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
        inner.bind_auto()?;
        if sockopt::set_socket_recv_buffer_size_force(inner.as_fd(), RECEIVE_BYTES).is_err() {
            sockopt::set_socket_recv_buffer_size(inner.as_fd(), RECEIVE_BYTES)?;
        }
        inner.add_membership(GROUP)?;
        inner.set_non_blocking(true)?;
        Ok(Self {
            inner,
            buffer: vec![0; DATAGRAM_BYTES],
        })
    }

    /// The news there is, without waiting; none when nothing happened. At most about a thousand datagrams: read until
    /// there is none.
    pub fn read(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        for _ in 0..DATAGRAMS_MAX {
            match recv(
                self.inner.as_fd(),
                self.buffer.as_mut_slice(),
                RecvFlags::DONTWAIT,
            ) {
                Ok((len, _)) => {
                    events.extend(events_of(self.buffer.get(..len).unwrap_or_default()));
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => events.push(Event {
                    port_id: 0,
                    change: Change::Lost,
                }),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(events)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// The news in a datagram. What cannot be read counts as lost, so that nothing foreign goes unnoticed.
pub(super) fn events_of(datagram: &[u8]) -> Vec<Event> {
    let lost = Event {
        port_id: 0,
        change: Change::Lost,
    };
    Messages::new(datagram)
        .filter_map(|message| match message {
            Ok(message) => event(&message).unwrap_or_else(|_| Some(lost.clone())),
            Err(_) => Some(lost.clone()),
        })
        .collect()
}

fn event(read: &Message<'_>) -> Result<Option<Event>, Malformed> {
    let Some(number) = read.number() else {
        return Ok(None);
    };
    let (family, attributes) = read.family_and_attributes()?;
    let mut names = [None, None, None];
    if number == message::NEW_GENERATION {
        let (id, pid, comm) = decode::generation(attributes)?;
        let change = Change::Generation { id, pid, comm };
        return Ok(Some(Event {
            port_id: read.port_id,
            change,
        }));
    }
    if family != FAMILY_INET {
        return Ok(None);
    }
    for attribute in attributes {
        let (kind, value) = attribute?;
        if let Some(place) = names.get_mut(usize::from(kind).wrapping_sub(1)) {
            // Only attributes 1 to 3 are names, and not in every message: others are no text and never asked for.
            *place = text(value).ok().map(Name::from);
        }
    }
    let mut name = |kind: u16| {
        names
            .get_mut(usize::from(kind) - 1)
            .and_then(Option::take)
            .ok_or(Malformed::Missing("name"))
    };
    let change = match number {
        message::NEW_TABLE => Change::TableNew(name(table::NAME)?),
        message::DEL_TABLE => Change::TableGone(name(table::NAME)?),
        message::NEW_CHAIN => Change::ChainNew {
            table: name(chain::TABLE)?,
            chain: name(chain::NAME)?,
        },
        message::DEL_CHAIN => Change::ChainGone {
            table: name(chain::TABLE)?,
            chain: name(chain::NAME)?,
        },
        message::NEW_SET => Change::SetNew {
            table: name(set::TABLE)?,
            set: name(set::NAME)?,
        },
        message::DEL_SET => Change::SetGone {
            table: name(set::TABLE)?,
            set: name(set::NAME)?,
        },
        message::NEW_RULE | message::DEL_RULE => Change::Rules {
            table: name(rule::TABLE)?,
            chain: name(rule::CHAIN)?,
        },
        message::NEW_ELEMENTS | message::DEL_ELEMENTS => Change::Elements {
            table: name(element::LIST_TABLE)?,
            set: name(element::LIST_SET)?,
        },
        _ => return Ok(None),
    };
    Ok(Some(Event {
        port_id: read.port_id,
        change,
    }))
}
