//! One long-lived socket: a batch is one `sendmsg`, everything it holds is read back through the same socket.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_NETFILTER;
use oncilla_nft::object::{Element, Name, Set, SetRef, Table, TableFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, sockopt};

use super::answer::{Answers, Heard, Reading};
use super::attribute::{Attributes, Writer};
use super::batch::{Batch, SEQUENCE_FIRST};
use super::decode::{self, ListedChain, ListedRule, ListedSet, ListedTable};
use super::encode::KeyShape;
use super::error::{BatchError, Malformed, ReadError};
use super::wire::{
    BATCH_BEGIN, BATCH_END, BATCH_GENID, FAMILY_INET, FAMILY_UNSPEC, HEADER_BYTES, NLM_F_ACK,
    NLM_F_DUMP, NLM_F_REQUEST, batch_family, element, message, rule, set, with_acknowledgement,
};
use crate::calls::{self, Call};
use crate::netlink::ANSWER_TIMEOUT;

/// A batch may be this long where the process may raise the socket's limit (`SO_SNDBUFFORCE`).
pub const BATCH_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Room for acknowledgements: every refused change has one of its own.
const RECEIVE_BYTES: usize = 16 * 1024 * 1024;

/// Longer than any datagram the kernel makes of a dump (32 KiB).
const DATAGRAM_BYTES: usize = 64 * 1024;

/// How often a reading is tried while others change what is read.
const READ_TRIES_MAX: u32 = 16;

/// Netlink sequence number of the message before a batch's first change.
const SEQUENCE_BEGIN: u32 = SEQUENCE_FIRST - 1;

/// Readings count from here, far from any batch.
const SEQUENCE_READ: u32 = 1 << 31;

/// The ruleset's version: it changes with every batch of anybody in this network namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generation {
    /// The number.
    pub id: u32,
}

/// Everything in a table, at one generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableState {
    /// The generation it was read at; see [`Batch::expect_generation`].
    pub generation: u32,
    /// The table.
    pub table: ListedTable,
    /// Its chains by name.
    pub chains: BTreeMap<Name, ListedChain>,
    /// The rules of every chain in order; a chain without rules has an empty list.
    pub rules: BTreeMap<Name, Vec<ListedRule>>,
    /// Its named sets and maps with their elements, sorted.
    pub sets: BTreeMap<Name, (Set, Vec<Element>)>,
}

/// A netlink socket for nf_tables in the network namespace it was opened in. Owns the tables that it adds with the flag
/// `OWNER` for as long as it is open.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    port_id: u32,
    batch_bytes_max: usize,
    sequence: u32,
    writes: u64,
    buffer: Vec<u8>,
}

/// Opening and asking about the socket itself.
impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let mut inner = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
        let address = inner.bind_auto()?;
        inner.set_cap_ack(true)?;
        inner.set_ext_ack(true)?;
        let batch_bytes_max = widen(inner.as_fd())?;
        set_socket_timeout(inner.as_fd(), Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self {
            inner,
            port_id: address.port_number(),
            batch_bytes_max,
            sequence: SEQUENCE_READ,
            writes: 0,
            buffer: vec![0; DATAGRAM_BYTES],
        })
    }

    /// The socket's netlink port: [`super::Event::port_id`] of its own changes, and the owner of its tables.
    pub fn port_id(&self) -> u32 {
        self.port_id
    }

    /// How many batches were sent by [`Socket::commit`], refused ones too. Readings and [`Socket::check`] do not count.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// How many bytes of changes a batch may have on this socket.
    pub fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }
}

/// Writing.
impl Socket {
    /// Makes all changes of the batch, or none. An empty batch is not sent.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), BatchError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.writes += 1;
        self.transact(batch, true)
    }

    /// Asks whether the kernel would take the batch, and changes nothing: no generation, no event. What the kernel only
    /// finds at the commit itself is not found.
    pub fn check(&mut self, batch: &Batch) -> Result<(), BatchError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.transact(batch, false)
    }

    /// Whether tables may have the flags `OWNER` and `PERSIST` together (kernel 6.9). Changes nothing.
    pub fn supports_owner(&mut self) -> Result<bool, BatchError> {
        let name = "oncilla-owner-probe";
        let flags = TableFlags::OWNER | TableFlags::PERSIST;
        let mut batch = Batch::new(name);
        batch.add_table(&Table::new(name).flags(flags));
        match self.check(&batch) {
            Ok(()) => Ok(true),
            Err(BatchError::Refused { refusals, .. })
                if refusals.iter().all(|refusal| {
                    refusal.errno == Errno::OPNOTSUPP.raw_os_error()
                        || refusal.errno == Errno::INVAL.raw_os_error()
                }) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn transact(&mut self, batch: &Batch, commit: bool) -> Result<(), BatchError> {
        let failed = |source: Errno| BatchError::Socket {
            table: Name::clone(batch.table()),
            source: source.into(),
        };
        if batch.bytes_len() > self.batch_bytes_max {
            return Err(BatchError::TooLarge {
                table: Name::clone(batch.table()),
                bytes: batch.bytes_len(),
                bytes_max: self.batch_bytes_max,
            });
        }
        // What an earlier, broken conversation left behind.
        self.drain(|_| {}).map_err(failed)?;
        self.send_batch(batch, commit).map_err(failed)?;
        let mut answers = Answers::default();
        self.drain(|heard| answers.hear(heard, batch))
            .map_err(failed)?;
        answers.finish(batch)
    }

    /// One `sendmsg`: begin, changes with the last one asking for an answer, end. Without the end nothing is committed.
    fn send_batch(&self, batch: &Batch, commit: bool) -> Result<(), Errno> {
        let mut begin = Vec::with_capacity(2 * HEADER_BYTES);
        let mut writer = Writer::new(&mut begin);
        let open = writer.raw_message(BATCH_BEGIN, NLM_F_REQUEST, SEQUENCE_BEGIN, batch_family());
        if let Some(generation) = batch.expected_generation() {
            writer.be32(BATCH_GENID, generation);
        }
        writer.close_message(&open);
        let mut end = Vec::with_capacity(2 * HEADER_BYTES);
        let mut writer = Writer::new(&mut end);
        let sequence = batch.last_sequence() + 1;
        let open = writer.raw_message(BATCH_END, NLM_F_REQUEST, sequence, batch_family());
        writer.close_message(&open);
        if !commit {
            end.clear();
        }
        let (before, last) = batch
            .bytes()
            .split_at_checked(batch.last_message())
            .unwrap_or((batch.bytes(), &[]));
        let (header, body) = last.split_at_checked(HEADER_BYTES).unwrap_or((last, &[]));
        let asking = with_acknowledgement(header);
        let parts = [&begin, before, asking.as_slice(), body, &end].map(IoSlice::new);
        loop {
            match calls::send(self.inner.as_fd(), Call::SendChanges, &parts) {
                Err(Errno::INTR) => {}
                sent => return sent,
            }
        }
    }

    /// Takes everything that is in the receive queue. The kernel answers a batch before `sendmsg` returns, so that is
    /// all there will be.
    fn drain(&mut self, mut each: impl FnMut(Heard<'_>)) -> Result<(), Errno> {
        loop {
            let (fd, buffer) = (self.inner.as_fd(), self.buffer.as_mut_slice());
            match calls::receive(fd, Call::ReceiveOutcome, buffer, RecvFlags::DONTWAIT) {
                Ok(len) => each(Heard::Datagram(self.buffer.get(..len).unwrap_or_default())),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => each(Heard::Lost),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reading.
impl Socket {
    /// The ruleset's version.
    pub fn generation(&mut self) -> Result<Generation, ReadError> {
        let mut found = None;
        let question = (message::GET_GENERATION, 0, FAMILY_UNSPEC);
        self.ask("generation", question, &|_| {}, &mut |_, read| {
            let (id, _, _) = decode::generation(read)?;
            found = Some(Generation { id });
            Ok(())
        })?;
        found.ok_or(ReadError::Malformed {
            what: "generation",
            source: Malformed::Missing("generation"),
        })
    }

    /// All tables of the family `inet`.
    pub fn tables(&mut self) -> Result<Vec<ListedTable>, ReadError> {
        self.tables_that(|_| true)
    }

    /// The table of this name and the family `inet`, if it is there.
    pub fn table(&mut self, name: &str) -> Result<Option<ListedTable>, ReadError> {
        let found = self.tables_that(|read| decode::is_of(read, name));
        Ok(found?.pop())
    }

    fn tables_that(
        &mut self,
        is_meant: impl Fn(Attributes<'_>) -> bool,
    ) -> Result<Vec<ListedTable>, ReadError> {
        let (kind, mut found) = (("tables", message::GET_TABLE), Vec::new());
        self.dump(
            kind,
            |_| {},
            &mut found,
            |read, found| {
                if is_meant(read.clone()) {
                    found.push(decode::table(read)?);
                }
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// All chains of a table, in the order they were made; none when there is no such table.
    pub fn chains(&mut self, table: &str) -> Result<Vec<ListedChain>, ReadError> {
        let (kind, mut found) = (("chains", message::GET_CHAIN), Vec::new());
        self.dump(
            kind,
            |_| {},
            &mut found,
            |read, found| {
                if decode::is_of(read.clone(), table) {
                    found.push(decode::chain(read)?.1);
                }
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// All named sets and maps of a table, in the order they were made; none when there is no such table.
    pub fn sets(&mut self, table: &str) -> Result<Vec<Set>, ReadError> {
        let listed = self.all_sets(table)?;
        Ok(listed
            .into_iter()
            .filter(|listed| !listed.anonymous)
            .map(|listed| listed.set)
            .collect())
    }

    /// The elements of a set or map, sorted by key. What is left of timeouts is in them; see [`Element::without_expiry`].
    pub fn elements(&mut self, table: &str, set: &Set) -> Result<Vec<Element>, ReadError> {
        let listed = ListedSet {
            table: table.into(),
            set: set.clone(),
            anonymous: false,
            count: None,
        };
        self.elements_of(&listed)
    }

    /// All rules of a table, chain by chain, or of one chain; none when there is no such table. Sets inside rules are
    /// read too.
    pub fn rules(
        &mut self,
        table: &str,
        chain: Option<&str>,
    ) -> Result<Vec<ListedRule>, ReadError> {
        let fill = |writer: &mut Writer<'_>| {
            writer.text(rule::TABLE, table);
            if let Some(chain) = chain {
                writer.text(rule::CHAIN, chain);
            }
        };
        let mut found: Vec<ListedRule> = Vec::new();
        let outcome = self.dump(
            ("rules", message::GET_RULE),
            fill,
            &mut found,
            |read, found| {
                if decode::is_of(read.clone(), table) {
                    let (_, listed) = decode::rule(read)?;
                    let wanted = chain.is_none_or(|chain| *chain == *listed.chain);
                    found.extend(wanted.then_some(listed));
                }
                Ok(())
            },
        );
        match outcome {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            outcome => outcome?,
        }
        self.fill_anonymous(table, &mut found)?;
        Ok(found)
    }

    /// Everything in a table at one generation, or `None` when it is not there. Reads again while others change anything.
    pub fn read_table(&mut self, name: &str) -> Result<Option<TableState>, ReadError> {
        for _ in 0..READ_TRIES_MAX {
            let before = self.generation()?;
            let state = match self.read_once(name, before.id) {
                Err(error) if error.is_missing() => continue,
                state => state?,
            };
            if self.generation()? == before {
                return Ok(state);
            }
        }
        Err(restless("table"))
    }

    fn read_once(&mut self, name: &str, generation: u32) -> Result<Option<TableState>, ReadError> {
        let Some(table) = self.table(name)? else {
            return Ok(None);
        };
        let mut state = TableState {
            generation,
            table,
            chains: BTreeMap::new(),
            rules: BTreeMap::new(),
            sets: BTreeMap::new(),
        };
        for listed in self.chains(name)? {
            let chain = Name::clone(&listed.chain.name);
            state.rules.insert(Name::clone(&chain), Vec::new());
            state.chains.insert(chain, listed);
        }
        for listed in self.rules(name, None)? {
            let chain = Name::clone(&listed.chain);
            state.rules.entry(chain).or_default().push(listed);
        }
        for set in self.sets(name)? {
            let elements = self.elements(name, &set)?;
            state.sets.insert(Name::clone(&set.name), (set, elements));
        }
        Ok(Some(state))
    }

    fn all_sets(&mut self, table: &str) -> Result<Vec<ListedSet>, ReadError> {
        let (kind, mut found) = (("sets", message::GET_SET), Vec::new());
        let fill = |writer: &mut Writer<'_>| writer.text(set::TABLE, table);
        let outcome = self.dump(kind, fill, &mut found, |read, found| {
            if decode::is_of(read.clone(), table) {
                found.push(decode::set(read)?);
            }
            Ok(())
        });
        match outcome {
            Err(error) if error.is_missing() => Ok(Vec::new()),
            outcome => outcome.map(|()| found),
        }
    }

    /// The kernel moves the elements of a hash while it grows, and a list made meanwhile has some of them twice and
    /// others not at all, without saying so. So a list in several parts counts only when it has as many elements as the
    /// kernel says, or when two lists in a row are alike.
    fn elements_of(&mut self, listed: &ListedSet) -> Result<Vec<Element>, ReadError> {
        let mut before: Option<Vec<Element>> = None;
        for _ in 0..READ_TRIES_MAX {
            let (elements, parts) = self.elements_once(listed)?;
            if elements.is_sorted_by(|a, b| a.key() < b.key()) {
                if parts <= 1 || !matches!(listed.shape(), KeyShape::Single) {
                    return Ok(elements);
                }
                let alike = |before: &Vec<Element>| {
                    before
                        .iter()
                        .map(Element::key)
                        .eq(elements.iter().map(Element::key))
                };
                if self.count(listed)? == Some(elements.len()) || before.as_ref().is_some_and(alike)
                {
                    return Ok(elements);
                }
                before = Some(elements);
            }
        }
        Err(restless("elements"))
    }

    /// The elements sorted, and in how many parts they came.
    fn elements_once(&mut self, listed: &ListedSet) -> Result<(Vec<Element>, usize), ReadError> {
        let fill = |writer: &mut Writer<'_>| {
            writer.text(element::LIST_TABLE, &listed.table);
            writer.text(element::LIST_SET, &listed.set.name);
        };
        let mut raw = Vec::new();
        let mut parts = 0;
        self.dump(
            ("elements", message::GET_ELEMENTS),
            fill,
            &mut raw,
            |read, raw| {
                let before = raw.len();
                decode::elements(read, listed.set.data, raw)?;
                parts += usize::from(raw.len() > before);
                Ok(())
            },
        )?;
        Ok((decode::finish_elements(raw, listed.shape()), parts))
    }

    /// How many elements the kernel says a set has. Of sets with timeouts it counts expired ones too.
    fn count(&mut self, listed: &ListedSet) -> Result<Option<usize>, ReadError> {
        let fill = |writer: &mut Writer<'_>| {
            writer.text(set::TABLE, &listed.table);
            writer.text(set::NAME, &listed.set.name);
        };
        let mut count = None;
        let question = (message::GET_SET, 0, FAMILY_INET);
        self.ask("sets", question, &fill, &mut |_, read| {
            count = decode::set(read)?.count;
            Ok(())
        })?;
        Ok(count)
    }

    /// Puts the sets inside rules in the place of their kernel-made names.
    fn fill_anonymous(&mut self, table: &str, rules: &mut [ListedRule]) -> Result<(), ReadError> {
        if rules
            .iter()
            .all(|listed| listed.rule.sets().next().is_none())
        {
            return Ok(());
        }
        let mut anonymous: BTreeMap<Name, ListedSet> = self
            .all_sets(table)?
            .into_iter()
            .filter(|listed| listed.anonymous)
            .map(|listed| (Name::clone(&listed.set.name), listed))
            .collect();
        let exprs = rules.iter_mut().flat_map(|listed| &mut listed.rule.exprs);
        for reference in exprs.filter_map(|expr| expr.set_mut()) {
            let SetRef::Named(name) = &*reference else {
                continue;
            };
            if let Some(listed) = anonymous.remove(name) {
                let elements = self.elements_of(&listed)?;
                *reference = decode::anonymous(&listed.set, elements).into();
            }
        }
        Ok(())
    }

    /// Asks for a list.
    fn dump<T>(
        &mut self,
        (what, number): (&'static str, u8),
        fill: impl Fn(&mut Writer<'_>),
        found: &mut Vec<T>,
        mut each: impl FnMut(Attributes<'_>, &mut Vec<T>) -> Result<(), Malformed>,
    ) -> Result<(), ReadError> {
        for _ in 0..READ_TRIES_MAX {
            found.clear();
            let question = (number, NLM_F_DUMP, FAMILY_INET);
            if self.ask_once(what, question, &fill, &mut |_, read| each(read, found))? {
                return Ok(());
            }
        }
        Err(restless(what))
    }

    /// Asks until the answers fit together: again while others change what is asked for under the kernel's hands, and
    /// where an answer was lost. What was taken in of a torn answer is taken in again.
    pub(super) fn ask(
        &mut self,
        what: &'static str,
        question: (u8, u16, u8),
        fill: &dyn Fn(&mut Writer<'_>),
        each: &mut dyn FnMut(u8, Attributes<'_>) -> Result<(), Malformed>,
    ) -> Result<(), ReadError> {
        for _ in 0..READ_TRIES_MAX {
            if self.ask_once(what, question, fill, each)? {
                return Ok(());
            }
        }
        Err(restless(what))
    }

    /// One question and its answers; `false` when they do not fit together and have to be asked for again.
    fn ask_once(
        &mut self,
        what: &'static str,
        (number, flags, family): (u8, u16, u8),
        fill: &dyn Fn(&mut Writer<'_>),
        each: &mut dyn FnMut(u8, Attributes<'_>) -> Result<(), Malformed>,
    ) -> Result<bool, ReadError> {
        let failed = |source: Errno| ReadError::Socket {
            what,
            source: source.into(),
        };
        self.sequence = self.sequence.wrapping_add(1) | SEQUENCE_READ;
        let mut request = Vec::with_capacity(256);
        let mut writer = Writer::new(&mut request);
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let open = writer.message(number, flags, self.sequence, family);
        fill(&mut writer);
        writer.close_message(&open);
        // The rest of a list that was given up is received here, which is what ends it for the kernel.
        self.drain(|_| {}).map_err(failed)?;
        send_whole(self.inner.as_fd(), &request).map_err(failed)?;
        let mut reading = Reading::new(self.sequence);
        while reading.end.is_none() {
            let (fd, buffer) = (self.inner.as_fd(), self.buffer.as_mut_slice());
            match calls::receive(fd, Call::ReceiveAnswer, buffer, RecvFlags::empty()) {
                Ok(len) => reading.read(self.buffer.get(..len).unwrap_or_default(), each),
                // Part of the answer was lost, perhaps its end: nobody says that there will be more.
                Err(Errno::NOBUFS) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        reading.finish(what)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// Asks for the largest batch the kernel lets this process have, and says how large that is.
fn widen(fd: BorrowedFd<'_>) -> io::Result<usize> {
    /// What the kernel keeps for itself.
    const OVERHEAD_BYTES: usize = 256;
    let half = BATCH_BYTES_MAX / 2;
    // Needs CAP_NET_ADMIN outside user namespaces; else the system's limit is what there is.
    if sockopt::set_socket_send_buffer_size_force(fd, half).is_err() {
        sockopt::set_socket_send_buffer_size(fd, half)?;
    }
    if sockopt::set_socket_recv_buffer_size_force(fd, RECEIVE_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(fd, RECEIVE_BYTES)?;
    }
    let size = sockopt::socket_send_buffer_size(fd)?;
    Ok(size.min(BATCH_BYTES_MAX).saturating_sub(OVERHEAD_BYTES))
}

fn send_whole(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    loop {
        match calls::send(fd, Call::SendQuestion, &[IoSlice::new(bytes)]) {
            Err(Errno::INTR) => {}
            sent => return sent,
        }
    }
}

fn restless(what: &'static str) -> ReadError {
    ReadError::Restless {
        what,
        tries: READ_TRIES_MAX,
    }
}
