//! Bytes to objects. Nothing here trusts a length; what only others write becomes `Other`.

use std::mem;

use oncilla_nft::object::{
    AnonymousSet, BaseChain, Chain, Comment, DataType, Element, KeyType, MapValue, Name, Policy,
    Rule, Set, SetFlags, Table, TableFlags, Value, Verdict,
};

use super::attribute::{Attributes, be32, be64, text};
use super::decode_expr;
use super::encode::KeyShape;
use super::error::Malformed;
use super::wire::{
    CHAIN_TYPES, HOOKS, chain, data_type, element, expr, generation, key_type, rule, set, table,
    userdata, value_of, verdict,
};

/// A table as the kernel lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedTable {
    /// The table.
    pub table: Table,
    /// The netlink port of the socket that owns it; `None` when it has no owner, or has lost it.
    pub owner: Option<u32>,
    /// The kernel's number of it: another one after it was deleted and made again.
    pub handle: u64,
    /// How many chains, sets and the like it has.
    pub uses: u32,
}

/// A chain as the kernel lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedChain {
    /// The chain.
    pub chain: Chain,
    /// The kernel's number of it.
    pub handle: u64,
    /// How many rules are in it and lead to it, and elements that lead to it.
    pub uses: u32,
}

/// What a counter counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A rule as the kernel lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedRule {
    /// Its chain.
    pub chain: Name,
    /// The kernel's number of it, to delete or replace it by.
    pub handle: u64,
    /// The rule.
    pub rule: Rule,
    /// What its first counter counted, when it has one.
    pub counts: Option<Counts>,
}

/// A set as the kernel lists it.
#[derive(Clone, Debug)]
pub(super) struct ListedSet {
    pub(super) table: Name,
    pub(super) set: Set,
    pub(super) anonymous: bool,
    /// How many elements the kernel says there are (kernel 6.16).
    pub(super) count: Option<usize>,
}

impl ListedSet {
    pub(super) fn shape(&self) -> KeyShape {
        KeyShape::of(&self.set.key, self.set.is_interval())
    }
}

/// Whether a table, or something in one, is of the table of this name: the first attribute of each says it. Others may
/// have called theirs by no text at all.
pub(super) fn is_of(attributes: Attributes<'_>, name: &str) -> bool {
    let found = attributes.find(table::NAME).ok().flatten();
    found.is_some_and(|bytes| bytes.strip_suffix(&[0]).unwrap_or(bytes) == name.as_bytes())
}

pub(super) fn table(attributes: Attributes<'_>) -> Result<ListedTable, Malformed> {
    let mut listed = ListedTable {
        table: Table::new(""),
        owner: None,
        handle: 0,
        uses: 0,
    };
    for attribute in attributes {
        let (kind, value) = attribute?;
        match kind {
            table::NAME => listed.table.name = text(value)?.into(),
            table::FLAGS => listed.table.flags = TableFlags(be32(value)?),
            table::USE => listed.uses = be32(value)?,
            table::HANDLE => listed.handle = be64(value)?,
            table::USERDATA => listed.table.comment = comment(value, userdata::COMMENT),
            table::OWNER => listed.owner = Some(be32(value)?).filter(|port| *port != 0),
            _ => {}
        }
    }
    Ok(listed)
}

/// A chain and its table.
pub(super) fn chain(attributes: Attributes<'_>) -> Result<(Name, ListedChain), Malformed> {
    let mut table: Name = "".into();
    let mut listed = ListedChain {
        chain: Chain::new(""),
        handle: 0,
        uses: 0,
    };
    let (mut hook, mut chain_type, mut policy) = (None, None, Policy::Accept);
    for attribute in attributes {
        let (kind, value) = attribute?;
        match kind {
            chain::TABLE => table = text(value)?.into(),
            chain::NAME => listed.chain.name = text(value)?.into(),
            chain::HANDLE => listed.handle = be64(value)?,
            chain::USE => listed.uses = be32(value)?,
            chain::HOOK => hook = Some(base_hook(value)?),
            chain::TYPE => chain_type = value_of(&CHAIN_TYPES, &text(value)?),
            chain::POLICY if be32(value)? == 0 => policy = Policy::Drop,
            chain::USERDATA => listed.chain.comment = comment(value, userdata::COMMENT),
            _ => {}
        }
    }
    if let Some((hook, priority)) = hook {
        let hook = value_of(&HOOKS, &hook).ok_or(Malformed::Unknown {
            what: "hook",
            number: hook,
        })?;
        let chain_type = chain_type.ok_or(Malformed::Missing("chain type"))?;
        listed.chain.base = Some(BaseChain {
            chain_type,
            hook,
            priority,
            policy,
        });
    }
    Ok((table, listed))
}

fn base_hook(bytes: &[u8]) -> Result<(u32, i32), Malformed> {
    let (mut hook, mut priority) = (None, 0);
    for attribute in Attributes::new(bytes) {
        let (kind, value) = attribute?;
        match kind {
            chain::HOOK_NUMBER => hook = Some(be32(value)?),
            chain::HOOK_PRIORITY => priority = be32(value)?.cast_signed(),
            _ => {}
        }
    }
    Ok((hook.ok_or(Malformed::Missing("hook"))?, priority))
}

pub(super) fn set(attributes: Attributes<'_>) -> Result<ListedSet, Malformed> {
    let mut table: Name = "".into();
    let (mut name, mut flags): (Name, u32) = ("".into(), 0);
    let (mut key_number, mut key_len, mut data, mut size) = (0, 0, None, None);
    let (mut timeout_ms, mut remark, mut count) = (None, None, None);
    for attribute in attributes {
        let (kind, value) = attribute?;
        match kind {
            set::TABLE => table = text(value)?.into(),
            set::NAME => name = text(value)?.into(),
            set::FLAGS => flags = be32(value)?,
            set::KEY_TYPE => key_number = be32(value)?,
            set::KEY_LEN => key_len = be32(value)?,
            set::DATA_TYPE => data = Some(data_type(be32(value)?)),
            set::DESC => size = desc_size(value)?,
            set::TIMEOUT => timeout_ms = Some(be64(value)?),
            set::USERDATA => remark = comment(value, userdata::SET_COMMENT),
            set::COUNT => count = usize::try_from(be32(value)?).ok(),
            _ => {}
        }
    }
    // These follow from other fields of the value.
    let derived = set::FLAG_ANONYMOUS | set::FLAG_MAP | set::FLAG_CONCAT;
    let anonymous = flags & set::FLAG_ANONYMOUS != 0;
    let set = Set {
        name,
        key: key_type(key_number, key_len),
        data,
        flags: SetFlags(flags & !derived),
        size,
        timeout_ms,
        comment: remark,
    };
    Ok(ListedSet {
        table,
        set,
        anonymous,
        count,
    })
}

fn desc_size(bytes: &[u8]) -> Result<Option<u32>, Malformed> {
    Attributes::new(bytes)
        .find(set::DESC_SIZE)?
        .map(be32)
        .transpose()
}

/// One element as it stands in a list: a range without fields has two.
#[derive(Debug)]
pub(super) struct RawElement {
    element: Element,
    is_end: bool,
}

/// Appends the elements of one message.
pub(super) fn elements(
    attributes: Attributes<'_>,
    data: Option<DataType>,
    out: &mut Vec<RawElement>,
) -> Result<(), Malformed> {
    let Some(list) = attributes.find(element::LIST)? else {
        return Ok(());
    };
    for item in Attributes::new(list) {
        let (_, bytes) = item?;
        out.extend(element(bytes, data)?);
    }
    Ok(())
}

/// One element; `None` for the catch-all, which only others make.
fn element(bytes: &[u8], data: Option<DataType>) -> Result<Option<RawElement>, Malformed> {
    let (mut key, mut key_end, mut value, mut flags) = (None, None, None, 0);
    let (mut timeout_ms, mut expires_ms, mut remark) = (None, None, None);
    for attribute in Attributes::new(bytes) {
        let (kind, bytes) = attribute?;
        match kind {
            element::KEY => key = Some(data_value(bytes)?),
            element::KEY_END => key_end = Some(data_value(bytes)?),
            element::DATA => value = Some(map_value(bytes, data)?),
            element::FLAGS => flags = be32(bytes)?,
            element::TIMEOUT => timeout_ms = Some(be64(bytes)?),
            element::EXPIRATION => expires_ms = Some(be64(bytes)?),
            element::USERDATA => remark = comment(bytes, userdata::COMMENT),
            _ => {}
        }
    }
    let Some(key) = key else {
        return if flags & element::FLAG_CATCHALL != 0 {
            Ok(None)
        } else {
            Err(Malformed::Missing("key of an element"))
        };
    };
    let mut element = match key_end {
        Some(key_end) => Element::range(key, key_end),
        None => Element::new(key),
    };
    if let Some(value) = value {
        element = element.maps_to(value);
    }
    if let Some(timeout_ms) = timeout_ms {
        element = element.timeout_ms(timeout_ms);
    }
    if let Some(expires_ms) = expires_ms {
        element = element.expires_ms(expires_ms);
    }
    if let Some(remark) = remark {
        element = element.with_comment(remark);
    }
    let is_end = flags & element::FLAG_INTERVAL_END != 0;
    Ok(Some(RawElement { element, is_end }))
}

/// Sorts elements and makes ranges of starts and ends.
pub(super) fn finish_elements(mut raw: Vec<RawElement>, shape: KeyShape) -> Vec<Element> {
    if !matches!(shape, KeyShape::Bounds) {
        let mut elements: Vec<Element> = raw.into_iter().map(|raw| raw.element).collect();
        elements.sort_unstable();
        return elements;
    }
    raw.sort_by(|a, b| (a.element.key(), !a.is_end).cmp(&(b.element.key(), !b.is_end)));
    let mut elements = Vec::with_capacity(raw.len() / 2 + 1);
    let mut open: Option<Element> = None;
    for RawElement { element, is_end } in raw {
        if let Some(start) = open.take() {
            let last = element.key().predecessor();
            elements.push(bounded(start, last));
        }
        if !is_end {
            open = Some(element);
        }
    }
    if let Some(start) = open {
        let last = Value::new(&vec![u8::MAX; start.key().as_bytes().len()]);
        elements.push(bounded(start, Some(last)));
    }
    elements
}

/// The element from its own key to `last`.
fn bounded(start: Element, last: Option<Value>) -> Element {
    match last {
        Some(last) if last > *start.key() => start.until(last),
        _ => start,
    }
}

pub(super) fn data_value(bytes: &[u8]) -> Result<Value, Malformed> {
    Attributes::new(bytes)
        .find(expr::DATA_VALUE)?
        .map(Value::new)
        .ok_or(Malformed::Missing("data value"))
}

fn map_value(bytes: &[u8], data: Option<DataType>) -> Result<MapValue, Malformed> {
    Ok(match data {
        Some(DataType::Mark) => {
            let value = data_value(bytes)?;
            MapValue::Mark(value.as_word().ok_or(Malformed::Length)?)
        }
        Some(DataType::Verdict) => MapValue::Verdict(verdict_data(bytes)?),
        Some(DataType::Other(_)) | None => MapValue::Other,
    })
}

/// The verdict in a data attribute.
pub(super) fn verdict_data(bytes: &[u8]) -> Result<Verdict, Malformed> {
    let bytes = Attributes::new(bytes)
        .find(expr::DATA_VERDICT)?
        .ok_or(Malformed::Missing("verdict"))?;
    let (mut code, mut chain) = (None, None);
    for attribute in Attributes::new(bytes) {
        let (kind, value) = attribute?;
        match kind {
            expr::VERDICT_CODE => code = Some(be32(value)?.cast_signed()),
            expr::VERDICT_CHAIN => chain = Some(Name::from(text(value)?)),
            _ => {}
        }
    }
    let mut chain = || mem::take(&mut chain).ok_or(Malformed::Missing("chain of a verdict"));
    match code.ok_or(Malformed::Missing("verdict code"))? {
        verdict::ACCEPT => Ok(Verdict::Accept),
        verdict::DROP => Ok(Verdict::Drop),
        verdict::RETURN => Ok(Verdict::Return),
        verdict::CONTINUE => Ok(Verdict::Continue),
        verdict::JUMP => chain().map(Verdict::Jump),
        verdict::GOTO => chain().map(Verdict::Goto),
        code => Err(Malformed::Unknown {
            what: "verdict",
            number: code.cast_unsigned(),
        }),
    }
}

/// A rule and its table.
pub(super) fn rule(attributes: Attributes<'_>) -> Result<(Name, ListedRule), Malformed> {
    let mut table: Name = "".into();
    let mut listed = ListedRule {
        chain: "".into(),
        handle: 0,
        rule: Rule::new(),
        counts: None,
    };
    for attribute in attributes {
        let (kind, value) = attribute?;
        match kind {
            rule::TABLE => table = text(value)?.into(),
            rule::CHAIN => listed.chain = text(value)?.into(),
            rule::HANDLE => listed.handle = be64(value)?,
            rule::USERDATA => listed.rule.comment = comment(value, userdata::COMMENT),
            rule::EXPRESSIONS => {
                for item in Attributes::new(value) {
                    let (_, bytes) = item?;
                    let (expr, counts) = decode_expr::expr(bytes)?;
                    listed.rule.exprs.push(expr);
                    listed.counts = listed.counts.or(counts);
                }
            }
            _ => {}
        }
    }
    Ok((table, listed))
}

/// Number, process and name of the last change.
pub(super) fn generation(attributes: Attributes<'_>) -> Result<(u32, u32, String), Malformed> {
    let (mut id, mut pid, mut comm) = (None, 0, String::new());
    for attribute in attributes {
        let (kind, value) = attribute?;
        match kind {
            generation::ID => id = Some(be32(value)?),
            generation::PID => pid = be32(value)?,
            generation::COMM => text(value)?.clone_into(&mut comm),
            _ => {}
        }
    }
    Ok((id.ok_or(Malformed::Missing("generation"))?, pid, comm))
}

/// The comment in nft's own data: pieces of kind, length, value. Foreign pieces are skipped, a broken end is ignored:
/// the kernel never looks at these bytes, so anybody may have put anything there.
fn comment(bytes: &[u8], wanted: u8) -> Option<Comment> {
    let mut rest = bytes;
    while let [kind, len, behind @ ..] = rest {
        let (value, next) = behind.split_at_checked(usize::from(*len))?;
        if *kind == wanted {
            return text(value).ok().map(Comment::new);
        }
        rest = next;
    }
    None
}

/// The set inside a rule, from its definition and elements.
pub(super) fn anonymous(set: &Set, elements: Vec<Element>) -> AnonymousSet {
    let key: KeyType = set.key.clone();
    let mut anonymous = AnonymousSet::new(key, elements);
    anonymous.data = set.data;
    anonymous.interval = set.is_interval();
    anonymous
}
