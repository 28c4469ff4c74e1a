//! Objects to bytes. The loop over elements is the hot path: 100,000 of them in about a millisecond.

use oncilla_nft::object::{
    AnonymousSet, Chain, Comment, DataType, Element, KeyType, MapValue, Policy, Rule, Set, Table,
};

use super::attribute::Writer;
use super::encode_expr;
use super::wire::{
    CHAIN_TYPES, HOOKS, LIST_ITEM, NESTED, chain, data_type_number, element, expr, key_byteorder,
    key_type_number, number_of, rule, set, table, userdata,
};

/// How keys of a set are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyShape {
    /// One key each.
    Single,
    /// A start, and an element of its own behind the end.
    Bounds,
    /// First and last key in one element.
    Pair,
}

impl KeyShape {
    pub(super) fn of(key: &KeyType, interval: bool) -> Self {
        match (interval, key.is_concat()) {
            (false, _) => Self::Single,
            (true, false) => Self::Bounds,
            (true, true) => Self::Pair,
        }
    }
}

pub(super) fn table(writer: &mut Writer<'_>, value: &Table) {
    writer.text(table::NAME, &value.name);
    writer.be32(table::FLAGS, value.flags.0);
    comment(writer, table::USERDATA, value.comment.as_ref());
}

pub(super) fn chain(writer: &mut Writer<'_>, table: &str, value: &Chain) {
    writer.text(chain::TABLE, table);
    writer.text(chain::NAME, &value.name);
    if let Some(base) = &value.base {
        let hook = writer.nest(chain::HOOK);
        writer.be32(chain::HOOK_NUMBER, number_of(&HOOKS, &base.hook));
        writer.bytes(chain::HOOK_PRIORITY, &base.priority.to_be_bytes());
        writer.close(&hook);
        writer.text(chain::TYPE, number_of(&CHAIN_TYPES, &base.chain_type));
        let policy = match base.policy {
            Policy::Drop => 0,
            Policy::Accept => 1,
        };
        writer.be32(chain::POLICY, policy);
    }
    comment(writer, chain::USERDATA, value.comment.as_ref());
}

pub(super) fn set(writer: &mut Writer<'_>, table: &str, value: &Set, id: u32) {
    let interval = value.is_interval();
    set_head(
        writer,
        table,
        (&value.name, id),
        value.flags.0,
        (&value.key, value.data),
    );
    if let Some(timeout_ms) = value.timeout_ms {
        writer.be64(set::TIMEOUT, timeout_ms);
    }
    set_desc(writer, &value.key, interval, value.size);
    set_userdata(writer, &value.key, value.data, value.comment.as_ref());
}

/// The set inside a rule. The kernel makes a name of the pattern; the rule refers to it by `id`.
pub(super) fn anonymous_set(writer: &mut Writer<'_>, table: &str, value: &AnonymousSet, id: u32) {
    let mut flags = set::FLAG_ANONYMOUS | set::FLAG_CONSTANT;
    if value.interval {
        flags |= set::FLAG_INTERVAL;
    }
    let name = anonymous_name(value.data);
    set_head(writer, table, (name, id), flags, (&value.key, value.data));
    let size = u32::try_from(value.elements().len())
        .ok()
        .filter(|_| !value.interval);
    set_desc(writer, &value.key, value.interval, size);
    set_userdata(writer, &value.key, value.data, None);
}

pub(super) fn anonymous_name(data: Option<DataType>) -> &'static str {
    if data.is_some() { "__map%d" } else { "__set%d" }
}

fn set_head(
    writer: &mut Writer<'_>,
    table: &str,
    (name, id): (&str, u32),
    flags: u32,
    (key, data): (&KeyType, Option<DataType>),
) {
    let mut bits = flags;
    if data.is_some() {
        bits |= set::FLAG_MAP;
    }
    if key.is_concat() && flags & set::FLAG_INTERVAL != 0 {
        bits |= set::FLAG_CONCAT;
    }
    writer.text(set::TABLE, table);
    writer.text(set::NAME, name);
    writer.be32(set::FLAGS, bits);
    writer.be32(set::KEY_TYPE, key_type_number(key));
    writer.be32(set::KEY_LEN, u32::try_from(key.bytes()).unwrap_or(u32::MAX));
    if let Some(data) = data {
        let len = match data {
            DataType::Mark | DataType::Other(_) => 4,
            DataType::Verdict => 0,
        };
        writer.be32(set::DATA_TYPE, data_type_number(data));
        writer.be32(set::DATA_LEN, len);
    }
    writer.be32(set::ID, id);
}

fn set_desc(writer: &mut Writer<'_>, key: &KeyType, interval: bool, size: Option<u32>) {
    let concat = interval && key.is_concat();
    if size.is_none() && !concat {
        return;
    }
    let desc = writer.nest(set::DESC);
    if let Some(size) = size {
        writer.be32(set::DESC_SIZE, size);
    }
    if concat {
        let fields = writer.nest(set::DESC_CONCAT);
        for field in key.fields() {
            let item = writer.nest(LIST_ITEM);
            writer.be32(
                set::FIELD_LEN,
                u32::try_from(field.bytes()).unwrap_or(u32::MAX),
            );
            writer.close(&item);
        }
        writer.close(&fields);
    }
    writer.close(&desc);
}

fn set_userdata(
    writer: &mut Writer<'_>,
    key: &KeyType,
    data: Option<DataType>,
    comment: Option<&Comment>,
) {
    let mut bytes = Vec::with_capacity(32);
    udata_word(&mut bytes, userdata::SET_KEY_BYTEORDER, key_byteorder(key));
    if let Some(data) = data {
        // nft 1.0.6 aborts while it lists a verdict map whose data has a byte order.
        let order = match data {
            DataType::Verdict => 0,
            DataType::Mark | DataType::Other(_) => userdata::HOST_ENDIAN,
        };
        udata_word(&mut bytes, userdata::SET_DATA_BYTEORDER, order);
        udata_word(&mut bytes, userdata::SET_DATA_INTERVAL, 0);
    }
    if let Some(comment) = comment {
        udata_text(&mut bytes, userdata::SET_COMMENT, comment);
    }
    writer.bytes(set::USERDATA, &bytes);
}

/// The key type, the id and the table of the elements that follow.
pub(super) fn elements_head(writer: &mut Writer<'_>, table: &str, set: &str, id: Option<u32>) {
    writer.text(element::LIST_TABLE, table);
    writer.text(element::LIST_SET, set);
    if let Some(id) = id {
        writer.be32(element::LIST_SET_ID, id);
    }
}

pub(super) fn element(writer: &mut Writer<'_>, shape: KeyShape, value: &Element) {
    match (shape, value.value()) {
        (KeyShape::Single, None) if value.is_plain() => plain(writer, value.key().as_bytes(), None),
        (KeyShape::Single, Some(MapValue::Mark(mark))) if value.is_plain() => {
            plain(writer, value.key().as_bytes(), Some(*mark));
        }
        _ => any_element(writer, shape, value),
    }
}

/// An element of a key and perhaps a mark, in as few pieces as can be.
fn plain(writer: &mut Writer<'_>, key: &[u8], mark: Option<u32>) {
    const VALUE_BYTES: u16 = 4;
    const DATA_BYTES: u16 = 12;
    let key_len = u16::try_from(key.len()).expect("keys have at most 64 bytes");
    let padded = key_len.next_multiple_of(4);
    let data = if mark.is_some() { DATA_BYTES } else { 0 };
    let [i0, i1] = (4 + 4 + VALUE_BYTES + padded + data).to_ne_bytes();
    let [k0, k1] = (4 + VALUE_BYTES + padded).to_ne_bytes();
    let [v0, v1] = (VALUE_BYTES + key_len).to_ne_bytes();
    let [n0, n1] = (LIST_ITEM | NESTED).to_ne_bytes();
    let [a0, a1] = (element::KEY | NESTED).to_ne_bytes();
    let [d0, d1] = expr::DATA_VALUE.to_ne_bytes();
    let head = [i0, i1, n0, n1, k0, k1, a0, a1, v0, v1, d0, d1];
    writer.out.extend_from_slice(&head);
    writer.out.extend_from_slice(key);
    if padded != key_len {
        let end = writer.out.len().next_multiple_of(4);
        writer.out.resize(end, 0);
    }
    if let Some(mark) = mark {
        let [l0, l1] = DATA_BYTES.to_ne_bytes();
        let [b0, b1] = (element::DATA | NESTED).to_ne_bytes();
        let [w0, w1] = (VALUE_BYTES + 4).to_ne_bytes();
        let [m0, m1, m2, m3] = mark.to_ne_bytes();
        let data = [l0, l1, b0, b1, w0, w1, d0, d1, m0, m1, m2, m3];
        writer.out.extend_from_slice(&data);
    }
}

fn any_element(writer: &mut Writer<'_>, shape: KeyShape, value: &Element) {
    let item = writer.nest(LIST_ITEM);
    data(writer, element::KEY, value.key().as_bytes());
    let last = value.key_end().unwrap_or(value.key());
    if matches!(shape, KeyShape::Pair) {
        data(writer, element::KEY_END, last.as_bytes());
    }
    match value.value() {
        Some(MapValue::Mark(mark)) => data(writer, element::DATA, &mark.to_ne_bytes()),
        Some(MapValue::Verdict(verdict)) => {
            let nest = writer.nest(element::DATA);
            encode_expr::verdict(writer, verdict);
            writer.close(&nest);
        }
        Some(MapValue::Other) | None => {}
    }
    if let Some(timeout_ms) = value.timeout() {
        writer.be64(element::TIMEOUT, timeout_ms);
    }
    if let Some(expires_ms) = value.expires() {
        writer.be64(element::EXPIRATION, expires_ms);
    }
    comment(writer, element::USERDATA, value.comment_text());
    writer.close(&item);
    if let (KeyShape::Bounds, Some(behind)) = (shape, last.successor()) {
        let item = writer.nest(LIST_ITEM);
        data(writer, element::KEY, behind.as_bytes());
        writer.be32(element::FLAGS, element::FLAG_INTERVAL_END);
        writer.close(&item);
    }
}

fn data(writer: &mut Writer<'_>, kind: u16, bytes: &[u8]) {
    let nest = writer.nest(kind);
    writer.bytes(expr::DATA_VALUE, bytes);
    writer.close(&nest);
}

/// A rule's place and its instructions; `set_ids` are those of its anonymous sets in order.
pub(super) fn rule(
    writer: &mut Writer<'_>,
    (table, chain): (&str, &str),
    place: RulePlace,
    value: &Rule,
    set_ids: &[u32],
) {
    writer.text(rule::TABLE, table);
    writer.text(rule::CHAIN, chain);
    match place {
        RulePlace::End => {}
        RulePlace::At(handle) => writer.be64(rule::HANDLE, handle),
        RulePlace::Beside(handle) => writer.be64(rule::POSITION, handle),
    }
    let list = writer.nest(rule::EXPRESSIONS);
    let mut ids = set_ids.iter();
    for instruction in &value.exprs {
        let item = writer.nest(LIST_ITEM);
        encode_expr::expr(writer, instruction, &mut ids);
        writer.close(&item);
    }
    writer.close(&list);
    comment(writer, rule::USERDATA, value.comment.as_ref());
}

/// Where a rule goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum RulePlace {
    /// At an end of the chain.
    End,
    /// In place of the rule with this handle.
    At(u64),
    /// Before or after the rule with this handle.
    Beside(u64),
}

fn comment(writer: &mut Writer<'_>, kind: u16, comment: Option<&Comment>) {
    if let Some(comment) = comment {
        let mut bytes = Vec::with_capacity(comment.as_str().len() + 3);
        udata_text(&mut bytes, userdata::COMMENT, comment);
        writer.bytes(kind, &bytes);
    }
}

fn udata_text(bytes: &mut Vec<u8>, kind: u8, comment: &Comment) {
    let text = comment.as_str().as_bytes();
    bytes.push(kind);
    bytes.push(u8::try_from(text.len() + 1).expect("comments have at most 127 bytes"));
    bytes.extend_from_slice(text);
    bytes.push(0);
}

fn udata_word(bytes: &mut Vec<u8>, kind: u8, word: u32) {
    bytes.extend_from_slice(&[kind, 4]);
    bytes.extend_from_slice(&word.to_ne_bytes());
}
