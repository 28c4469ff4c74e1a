//! A batch: changes of one table that happen together or not at all, already as bytes.

use std::borrow::Borrow;
use std::fmt;

use oncilla_nft::object::{AnonymousSet, Chain, Element, Name, Rule, Set, SetRef, Table};

use super::attribute::{Attributes, Open, Writer};
use super::encode::{self, KeyShape, RulePlace};
use super::wire::{
    FAMILY_INET, HEADER_BYTES, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, chain,
    element, message, rule, set, table,
};

/// Elements go into messages of at most about this many bytes: the list is one attribute, whose length has 16 bits.
const ELEMENTS_BYTES_MAX: usize = 60_000;

/// Netlink sequence number of a batch's first change; the one before is the batch itself.
pub(super) const SEQUENCE_FIRST: u32 = 2;

/// What is done to something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// Made, or left as it is when it is there and alike.
    Add,
    /// Put in front.
    Insert,
    /// Put in another's place.
    Replace,
    /// Taken away; an error when it is not there.
    Delete,
    /// Taken away if it is there.
    Destroy,
    /// Emptied.
    Flush,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Insert => "insert",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Destroy => "destroy",
            Self::Flush => "flush",
        })
    }
}

/// What something is done to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A table.
    Table(Name),
    /// A chain.
    Chain(Name),
    /// A set or map.
    Set(Name),
    /// Elements.
    Elements {
        /// Of this set or map.
        set: Name,
        /// How many.
        count: usize,
    },
    /// A rule.
    Rule {
        /// Of this chain.
        chain: Name,
        /// The handle of the rule, or of the one beside which it goes.
        handle: Option<u64>,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(name) => write!(f, "table {name}"),
            Self::Chain(name) => write!(f, "chain {name}"),
            Self::Set(name) => write!(f, "set {name}"),
            Self::Elements { set, count } => write!(f, "{count} elements of set {set}"),
            Self::Rule {
                chain,
                handle: None,
            } => write!(f, "rule in chain {chain}"),
            Self::Rule {
                chain,
                handle: Some(handle),
            } => {
                write!(f, "rule {handle} in chain {chain}")
            }
        }
    }
}

/// One change of a batch, for the reader of an error.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Operation {
    /// What is done.
    pub action: Action,
    /// To what.
    pub subject: Subject,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.subject)
    }
}

/// Changes of one table in the order they are made. Later ones may use what earlier ones add. A set without a name
/// inside a rule is made and goes with the rule.
#[derive(Clone, Debug)]
pub struct Batch {
    table: Name,
    expected: Option<u32>,
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    sent: Vec<Sent>,
    set_ids: u32,
}

/// Which change a message belongs to.
#[derive(Clone, Copy, Debug)]
struct Sent {
    offset: usize,
    operation: usize,
    element_first: usize,
}

/// Making one.
impl Batch {
    /// A batch without changes.
    pub fn new(table: impl Into<Name>) -> Self {
        Self {
            table: table.into(),
            expected: None,
            bytes: Vec::new(),
            operations: Vec::new(),
            sent: Vec::new(),
            set_ids: 0,
        }
    }

    /// The kernel is to refuse the batch when its ruleset is not at this generation.
    pub fn expect_generation(&mut self, generation: u32) -> &mut Self {
        self.expected = Some(generation);
        self
    }

    /// The table, when it is not there; otherwise its flags are changed. With the flag `OWNER` on a table that has lost
    /// its owner: the socket that commits becomes the new one. The batch must be of this table's name.
    pub fn add_table(&mut self, value: &Table) -> &mut Self {
        self.operation(Action::Add, Subject::Table(Name::clone(&value.name)));
        self.message(message::NEW_TABLE, NLM_F_CREATE, |writer| {
            encode::table(writer, value);
        })
    }

    /// The table with everything in it.
    pub fn delete_table(&mut self) -> &mut Self {
        self.table_gone(Action::Delete, message::DEL_TABLE)
    }

    /// The table with everything in it, if it is there. Kernel 6.3.
    pub fn destroy_table(&mut self) -> &mut Self {
        self.table_gone(Action::Destroy, message::DESTROY_TABLE)
    }

    /// A chain, when it is not there; otherwise a base chain's policy is changed.
    pub fn add_chain(&mut self, value: &Chain) -> &mut Self {
        self.operation(Action::Add, Subject::Chain(Name::clone(&value.name)));
        let table = Name::clone(&self.table);
        self.message(message::NEW_CHAIN, NLM_F_CREATE, |writer| {
            encode::chain(writer, &table, value);
        })
    }

    /// A chain and its rules. Refused (`ResourceBusy`) while a rule or element leads to it.
    pub fn delete_chain(&mut self, name: &Name) -> &mut Self {
        self.operation(Action::Delete, Subject::Chain(Name::clone(name)));
        self.named(message::DEL_CHAIN, (chain::TABLE, chain::NAME), name)
    }

    /// All rules of a chain.
    pub fn flush_chain(&mut self, name: &Name) -> &mut Self {
        self.operation(Action::Flush, Subject::Chain(Name::clone(name)));
        self.named(message::DEL_RULE, (rule::TABLE, rule::CHAIN), name)
    }

    /// A set or map without elements, when it is not there; one that is there must be alike.
    pub fn add_set(&mut self, value: &Set) -> &mut Self {
        self.operation(Action::Add, Subject::Set(Name::clone(&value.name)));
        let table = Name::clone(&self.table);
        let id = self.set_id();
        self.message(message::NEW_SET, NLM_F_CREATE, |writer| {
            encode::set(writer, &table, value, id);
        })
    }

    /// A set or map. Refused (`ResourceBusy`) while a rule asks it, unless that rule goes earlier in this batch.
    pub fn delete_set(&mut self, name: &Name) -> &mut Self {
        self.operation(Action::Delete, Subject::Set(Name::clone(name)));
        self.named(message::DEL_SET, (set::TABLE, set::NAME), name)
    }

    /// All elements of a set or map.
    pub fn flush_set(&mut self, name: &Name) -> &mut Self {
        self.operation(Action::Flush, Subject::Set(Name::clone(name)));
        self.named(
            message::DEL_ELEMENTS,
            (element::LIST_TABLE, element::LIST_SET),
            name,
        )
    }

    /// Elements. One that is there with the same value stays; with another value the batch is refused
    /// (`AlreadyExists`): delete it first, in the same batch.
    pub fn add_elements(
        &mut self,
        set: &Set,
        elements: impl IntoIterator<Item: Borrow<Element>>,
    ) -> &mut Self {
        self.named_elements(Action::Add, set, elements)
    }

    /// Elements by key; their values are sent too and must be right for ranges. Refused (`NotFound`) when one is not there.
    pub fn delete_elements(
        &mut self,
        set: &Set,
        elements: impl IntoIterator<Item: Borrow<Element>>,
    ) -> &mut Self {
        self.named_elements(Action::Delete, set, elements)
    }

    /// Elements by key, those that are there: for elements that expire on their own. Kernel 6.3.
    pub fn destroy_elements(
        &mut self,
        set: &Set,
        elements: impl IntoIterator<Item: Borrow<Element>>,
    ) -> &mut Self {
        self.named_elements(Action::Destroy, set, elements)
    }

    /// A rule at the end of a chain.
    pub fn add_rule(&mut self, chain: &Name, value: &Rule) -> &mut Self {
        self.rule(
            Action::Add,
            NLM_F_CREATE | NLM_F_APPEND,
            (chain, RulePlace::End),
            value,
        )
    }

    /// A rule at the start of a chain.
    pub fn insert_rule(&mut self, chain: &Name, value: &Rule) -> &mut Self {
        self.rule(Action::Insert, NLM_F_CREATE, (chain, RulePlace::End), value)
    }

    /// A rule after the one with this handle.
    pub fn add_rule_after(&mut self, chain: &Name, handle: u64, value: &Rule) -> &mut Self {
        let place = (chain, RulePlace::Beside(handle));
        self.rule(Action::Add, NLM_F_CREATE | NLM_F_APPEND, place, value)
    }

    /// A rule before the one with this handle.
    pub fn insert_rule_before(&mut self, chain: &Name, handle: u64, value: &Rule) -> &mut Self {
        self.rule(
            Action::Insert,
            NLM_F_CREATE,
            (chain, RulePlace::Beside(handle)),
            value,
        )
    }

    /// A rule in place of the one with this handle; it gets a handle of its own.
    pub fn replace_rule(&mut self, chain: &Name, handle: u64, value: &Rule) -> &mut Self {
        self.rule(
            Action::Replace,
            NLM_F_REPLACE,
            (chain, RulePlace::At(handle)),
            value,
        )
    }

    /// The rule with this handle.
    pub fn delete_rule(&mut self, chain: &Name, handle: u64) -> &mut Self {
        let subject = Subject::Rule {
            chain: Name::clone(chain),
            handle: Some(handle),
        };
        self.operation(Action::Delete, subject);
        let table = Name::clone(&self.table);
        self.message(message::DEL_RULE, 0, |writer| {
            writer.text(rule::TABLE, &table);
            writer.text(rule::CHAIN, chain);
            writer.be64(rule::HANDLE, handle);
        })
    }
}

/// Looking at one.
impl Batch {
    /// The table it changes.
    pub fn table(&self) -> &Name {
        &self.table
    }

    /// The generation it expects.
    pub fn expected_generation(&self) -> Option<u32> {
        self.expected
    }

    /// Its changes in order, one per call.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// How many bytes its changes take.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the last message starts.
    pub(super) fn last_message(&self) -> usize {
        self.sent.last().map_or(0, |sent| sent.offset)
    }

    /// The sequence number of the last message.
    pub(super) fn last_sequence(&self) -> u32 {
        self.next_sequence().saturating_sub(1)
    }

    /// The change a message belongs to, and which of its elements the attribute at `offset` of the message is in.
    pub(super) fn locate(
        &self,
        sequence: u32,
        offset: Option<u32>,
    ) -> Option<(usize, Option<usize>)> {
        let index = usize::try_from(sequence.checked_sub(SEQUENCE_FIRST)?).ok()?;
        let sent = self.sent.get(index)?;
        let element = offset
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| self.element_at(sent, offset));
        Some((sent.operation, element))
    }

    fn element_at(&self, sent: &Sent, offset: usize) -> Option<usize> {
        let operation = self.operations.get(sent.operation)?;
        if !matches!(operation.subject, Subject::Elements { .. }) {
            return None;
        }
        let message = self.bytes.get(sent.offset..)?;
        let mut position = HEADER_BYTES + 4;
        for attribute in Attributes::new(message.get(position..)?) {
            let (kind, value) = attribute.ok()?;
            if kind == element::LIST {
                let inside = offset.checked_sub(position + 4)?;
                return item_at(value, inside).map(|item| sent.element_first + item);
            }
            position += (value.len() + 4).next_multiple_of(4);
        }
        None
    }
}

/// Which element of a list the byte at `offset` is in. The end of a range is no element of its own.
fn item_at(list: &[u8], offset: usize) -> Option<usize> {
    let mut position = 0;
    let mut number = 0;
    for item in Attributes::new(list) {
        let (_, value) = item.ok()?;
        let is_end = Attributes::new(value).find(element::FLAGS).ok()?.is_some();
        position += (value.len() + 4).next_multiple_of(4);
        if offset < position {
            return if is_end {
                usize::checked_sub(number, 1)
            } else {
                Some(number)
            };
        }
        number += usize::from(!is_end);
    }
    None
}

impl Batch {
    fn operation(&mut self, action: Action, subject: Subject) {
        self.operations.push(Operation { action, subject });
    }

    fn next_sequence(&self) -> u32 {
        u32::try_from(self.sent.len()).expect("a batch is far below 4 billion messages")
            + SEQUENCE_FIRST
    }

    fn set_id(&mut self) -> u32 {
        self.set_ids += 1;
        self.set_ids
    }

    /// Starts a message of the last operation.
    fn open(&mut self, number: u8, flags: u16, element_first: usize) -> Open {
        let sequence = self.next_sequence();
        self.sent.push(Sent {
            offset: self.bytes.len(),
            operation: self.operations.len().saturating_sub(1),
            element_first,
        });
        Writer::new(&mut self.bytes).message(number, NLM_F_REQUEST | flags, sequence, FAMILY_INET)
    }

    fn message(&mut self, number: u8, flags: u16, body: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        let open = self.open(number, flags, 0);
        let mut writer = Writer::new(&mut self.bytes);
        body(&mut writer);
        writer.close_message(&open);
        self
    }

    fn named(&mut self, number: u8, (table_kind, name_kind): (u16, u16), name: &str) -> &mut Self {
        let table = Name::clone(&self.table);
        self.message(number, 0, |writer| {
            writer.text(table_kind, &table);
            writer.text(name_kind, name);
        })
    }

    fn table_gone(&mut self, action: Action, number: u8) -> &mut Self {
        let name = Name::clone(&self.table);
        self.operation(action, Subject::Table(Name::clone(&name)));
        self.message(number, 0, |writer| writer.text(table::NAME, &name))
    }

    fn rule(
        &mut self,
        action: Action,
        flags: u16,
        (chain, place): (&Name, RulePlace),
        value: &Rule,
    ) -> &mut Self {
        let handle = match place {
            RulePlace::End => None,
            RulePlace::At(handle) | RulePlace::Beside(handle) => Some(handle),
        };
        self.operation(
            action,
            Subject::Rule {
                chain: Name::clone(chain),
                handle,
            },
        );
        let table = Name::clone(&self.table);
        let mut ids = Vec::new();
        for expr in &value.exprs {
            if let Some(SetRef::Anonymous(set)) = expr.set() {
                ids.push(self.anonymous_set(set));
            }
        }
        self.message(message::NEW_RULE, flags, |writer| {
            encode::rule(writer, (&table, chain), place, value, &ids);
        })
    }

    fn anonymous_set(&mut self, value: &AnonymousSet) -> u32 {
        let table = Name::clone(&self.table);
        let id = self.set_id();
        self.message(message::NEW_SET, NLM_F_CREATE, |writer| {
            encode::anonymous_set(writer, &table, value, id);
        });
        let shape = KeyShape::of(&value.key, value.interval);
        let name = encode::anonymous_name(value.data);
        self.elements(
            (message::NEW_ELEMENTS, shape),
            (name, Some(id)),
            value.elements(),
        );
        id
    }

    fn named_elements(
        &mut self,
        action: Action,
        set: &Set,
        elements: impl IntoIterator<Item: Borrow<Element>>,
    ) -> &mut Self {
        let number = match action {
            Action::Delete => message::DEL_ELEMENTS,
            Action::Destroy => message::DESTROY_ELEMENTS,
            Action::Add | Action::Insert | Action::Replace | Action::Flush => message::NEW_ELEMENTS,
        };
        self.operation(
            action,
            Subject::Elements {
                set: Name::clone(&set.name),
                count: 0,
            },
        );
        let shape = KeyShape::of(&set.key, set.is_interval());
        let written = self.elements((number, shape), (&set.name, None), elements);
        if let Some(Operation {
            subject: Subject::Elements { count, .. },
            ..
        }) = self.operations.last_mut()
        {
            *count = written;
        }
        self
    }

    /// Writes elements into as many messages as it takes; none for no elements.
    fn elements(
        &mut self,
        (number, shape): (u8, KeyShape),
        (set, id): (&str, Option<u32>),
        elements: impl IntoIterator<Item: Borrow<Element>>,
    ) -> usize {
        let flags = if number == message::NEW_ELEMENTS {
            NLM_F_CREATE
        } else {
            0
        };
        let table = Name::clone(&self.table);
        let mut elements = elements.into_iter().peekable();
        let mut written = 0;
        while elements.peek().is_some() {
            let open = self.open(number, flags, written);
            let mut writer = Writer::new(&mut self.bytes);
            encode::elements_head(&mut writer, &table, set, id);
            let list = writer.nest(element::LIST);
            let full = writer.out.len() + ELEMENTS_BYTES_MAX;
            while writer.out.len() < full {
                let Some(next) = elements.next() else { break };
                encode::element(&mut writer, shape, next.borrow());
                written += 1;
            }
            writer.close(&list);
            writer.close_message(&open);
        }
        written
    }
}
