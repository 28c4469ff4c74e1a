//! Numbers of the nf_tables netlink protocol (`linux/netfilter/nf_tables.h`, `nfnetlink.h`) and of nft's own types.

use oncilla_nft::object::{
    Base, ChainType, CmpOp, CtKey, DataType, FibResult, FieldType, Hook, KeyType, MetaKey, Register,
};

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const FAMILY_INET: u8 = 1;
pub(super) const FAMILY_UNSPEC: u8 = 0;
pub(super) const SUBSYSTEM: u16 = 10;
/// Multicast group with every change of nf_tables (`NFNLGRP_NFTABLES`).
pub(super) const GROUP: u32 = 7;

pub(super) const NLM_F_REQUEST: u16 = 0x1;
pub(super) const NLM_F_ACK: u16 = 0x4;
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(super) const NLM_F_CAPPED: u16 = 0x100;
pub(super) const NLM_F_ACK_TLVS: u16 = 0x200;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLM_F_REPLACE: u16 = 0x100;
pub(super) const NLM_F_CREATE: u16 = 0x400;
pub(super) const NLM_F_APPEND: u16 = 0x800;
pub(super) const NLMSG_NOOP: u16 = 1;
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
pub(super) const BATCH_BEGIN: u16 = 0x10;
pub(super) const BATCH_END: u16 = 0x11;
pub(super) const BATCH_GENID: u16 = 1;
pub(super) const NESTED: u16 = 0x8000;
pub(super) const KIND_MASK: u16 = 0x3fff;

/// Message numbers (`enum nf_tables_msg_types`).
pub(super) mod message {
    pub(in super::super) const NEW_TABLE: u8 = 0;
    pub(in super::super) const GET_TABLE: u8 = 1;
    pub(in super::super) const DEL_TABLE: u8 = 2;
    pub(in super::super) const NEW_CHAIN: u8 = 3;
    pub(in super::super) const GET_CHAIN: u8 = 4;
    pub(in super::super) const DEL_CHAIN: u8 = 5;
    pub(in super::super) const NEW_RULE: u8 = 6;
    pub(in super::super) const GET_RULE: u8 = 7;
    pub(in super::super) const DEL_RULE: u8 = 8;
    pub(in super::super) const NEW_SET: u8 = 9;
    pub(in super::super) const GET_SET: u8 = 10;
    pub(in super::super) const DEL_SET: u8 = 11;
    pub(in super::super) const NEW_ELEMENTS: u8 = 12;
    pub(in super::super) const GET_ELEMENTS: u8 = 13;
    pub(in super::super) const DEL_ELEMENTS: u8 = 14;
    pub(in super::super) const NEW_GENERATION: u8 = 15;
    pub(in super::super) const GET_GENERATION: u8 = 16;
    pub(in super::super) const DESTROY_TABLE: u8 = 26;
    pub(in super::super) const DESTROY_ELEMENTS: u8 = 30;
}

/// Item of a list (`NFTA_LIST_ELEM`).
pub(super) const LIST_ITEM: u16 = 1;

pub(super) mod table {
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const FLAGS: u16 = 2;
    pub(in super::super) const USE: u16 = 3;
    pub(in super::super) const HANDLE: u16 = 4;
    pub(in super::super) const USERDATA: u16 = 6;
    pub(in super::super) const OWNER: u16 = 7;
}

pub(super) mod chain {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const HANDLE: u16 = 2;
    pub(in super::super) const NAME: u16 = 3;
    pub(in super::super) const HOOK: u16 = 4;
    pub(in super::super) const POLICY: u16 = 5;
    pub(in super::super) const USE: u16 = 6;
    pub(in super::super) const TYPE: u16 = 7;
    pub(in super::super) const USERDATA: u16 = 12;
    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
}

pub(super) mod set {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const KEY_TYPE: u16 = 4;
    pub(in super::super) const KEY_LEN: u16 = 5;
    pub(in super::super) const DATA_TYPE: u16 = 6;
    pub(in super::super) const DATA_LEN: u16 = 7;
    pub(in super::super) const DESC: u16 = 9;
    pub(in super::super) const ID: u16 = 10;
    pub(in super::super) const TIMEOUT: u16 = 11;
    pub(in super::super) const USERDATA: u16 = 13;
    /// How many elements there are; kernel 6.16.
    pub(in super::super) const COUNT: u16 = 20;
    pub(in super::super) const DESC_SIZE: u16 = 1;
    pub(in super::super) const DESC_CONCAT: u16 = 2;
    pub(in super::super) const FIELD_LEN: u16 = 1;
    pub(in super::super) const FLAG_ANONYMOUS: u32 = 0x1;
    pub(in super::super) const FLAG_CONSTANT: u32 = 0x2;
    pub(in super::super) const FLAG_INTERVAL: u32 = 0x4;
    pub(in super::super) const FLAG_MAP: u32 = 0x8;
    pub(in super::super) const FLAG_CONCAT: u32 = 0x80;
    pub(in super::super) const DATA_VERDICT: u32 = 0xffff_ff00;
}

pub(super) mod element {
    pub(in super::super) const LIST_TABLE: u16 = 1;
    pub(in super::super) const LIST_SET: u16 = 2;
    pub(in super::super) const LIST: u16 = 3;
    pub(in super::super) const LIST_SET_ID: u16 = 4;
    pub(in super::super) const KEY: u16 = 1;
    pub(in super::super) const DATA: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const TIMEOUT: u16 = 4;
    pub(in super::super) const EXPIRATION: u16 = 5;
    pub(in super::super) const USERDATA: u16 = 6;
    pub(in super::super) const KEY_END: u16 = 10;
    pub(in super::super) const FLAG_INTERVAL_END: u32 = 1;
    pub(in super::super) const FLAG_CATCHALL: u32 = 2;
}

pub(super) mod rule {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;
    pub(in super::super) const HANDLE: u16 = 3;
    pub(in super::super) const EXPRESSIONS: u16 = 4;
    pub(in super::super) const POSITION: u16 = 6;
    pub(in super::super) const USERDATA: u16 = 7;
}

/// An expression (`NFTA_EXPR_*`) and data (`NFTA_DATA_*`, `NFTA_VERDICT_*`).
pub(super) mod expr {
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const BODY: u16 = 2;
    pub(in super::super) const DATA_VALUE: u16 = 1;
    pub(in super::super) const DATA_VERDICT: u16 = 2;
    pub(in super::super) const VERDICT_CODE: u16 = 1;
    pub(in super::super) const VERDICT_CHAIN: u16 = 2;
}

pub(super) mod generation {
    pub(in super::super) const ID: u16 = 1;
    pub(in super::super) const PID: u16 = 2;
    pub(in super::super) const COMM: u16 = 3;
}

/// Verdict codes: netfilter's own are positive, nf_tables' negative.
pub(super) mod verdict {
    pub(in super::super) const DROP: i32 = 0;
    pub(in super::super) const ACCEPT: i32 = 1;
    pub(in super::super) const CONTINUE: i32 = -1;
    pub(in super::super) const JUMP: i32 = -3;
    pub(in super::super) const GOTO: i32 = -4;
    pub(in super::super) const RETURN: i32 = -5;
}

/// What nft keeps beside objects for itself (libnftnl `udata.h`): type, length, value in one byte each.
pub(super) mod userdata {
    /// On tables, chains, rules and elements.
    pub(in super::super) const COMMENT: u8 = 0;
    pub(in super::super) const SET_KEY_BYTEORDER: u8 = 0;
    pub(in super::super) const SET_DATA_BYTEORDER: u8 = 1;
    pub(in super::super) const SET_DATA_INTERVAL: u8 = 6;
    pub(in super::super) const SET_COMMENT: u8 = 7;
    /// nft's `BYTEORDER_HOST_ENDIAN`.
    pub(in super::super) const HOST_ENDIAN: u32 = 1;
    /// nft's `BYTEORDER_BIG_ENDIAN`.
    pub(in super::super) const BIG_ENDIAN: u32 = 2;
}

/// nft gives each field of a concatenation this many bits of the type number.
const TYPE_BITS: u32 = 6;
const TYPE_MASK: u32 = (1 << TYPE_BITS) - 1;
const TYPE_MARK: u32 = 19;

const fn field_id(field: FieldType) -> u32 {
    match field {
        FieldType::NfProto => 2,
        FieldType::Ipv4Addr => 7,
        FieldType::Ipv6Addr => 8,
        FieldType::InetProto => 12,
        FieldType::InetService => 13,
        FieldType::IcmpType => 14,
        FieldType::Mark => TYPE_MARK,
        FieldType::Icmpv6Type => 29,
        FieldType::IfName => 41,
        FieldType::Other { id, .. } => id,
    }
}

const KNOWN_FIELDS: [FieldType; 9] = [
    FieldType::NfProto,
    FieldType::Ipv4Addr,
    FieldType::Ipv6Addr,
    FieldType::InetProto,
    FieldType::InetService,
    FieldType::IcmpType,
    FieldType::Mark,
    FieldType::Icmpv6Type,
    FieldType::IfName,
];

fn field_of(id: u32, bytes: u8) -> FieldType {
    KNOWN_FIELDS
        .into_iter()
        .find(|field| field_id(*field) == id)
        .unwrap_or(FieldType::Other { id, bytes })
}

pub(super) fn key_type_number(key: &KeyType) -> u32 {
    key.fields()
        .iter()
        .fold(0, |number, field| (number << TYPE_BITS) | field_id(*field))
}

/// The key type of nft's number. `bytes` is the key's length: what known fields leave of it is a foreign field's.
pub(super) fn key_type(number: u32, bytes: u32) -> KeyType {
    let mut ids = Vec::new();
    let mut rest = number;
    while rest != 0 {
        ids.push(rest & TYPE_MASK);
        rest >>= TYPE_BITS;
    }
    let unknown = u8::try_from(bytes).unwrap_or(u8::MAX);
    match ids.as_slice() {
        [] => KeyType::single(FieldType::Other {
            id: 0,
            bytes: unknown,
        }),
        [id] => KeyType::single(field_of(*id, unknown)),
        ids => KeyType::concat(ids.iter().rev().map(|id| field_of(*id, 4))),
    }
}

pub(super) const fn data_type_number(data: DataType) -> u32 {
    match data {
        DataType::Mark => TYPE_MARK,
        DataType::Verdict => set::DATA_VERDICT,
        DataType::Other(number) => number,
    }
}

pub(super) const fn data_type(number: u32) -> DataType {
    match number {
        TYPE_MARK => DataType::Mark,
        set::DATA_VERDICT => DataType::Verdict,
        other => DataType::Other(other),
    }
}

/// In which order nft should read the bytes of a key.
pub(super) fn key_byteorder(key: &KeyType) -> u32 {
    match key.fields() {
        [FieldType::Mark | FieldType::IfName] => userdata::HOST_ENDIAN,
        [_] => userdata::BIG_ENDIAN,
        _ => 0,
    }
}

pub(super) const CHAIN_TYPES: [(ChainType, &str); 3] = [
    (ChainType::Filter, "filter"),
    (ChainType::Route, "route"),
    (ChainType::Nat, "nat"),
];

pub(super) const HOOKS: [(Hook, u32); 5] = [
    (Hook::Prerouting, 0),
    (Hook::Input, 1),
    (Hook::Forward, 2),
    (Hook::Output, 3),
    (Hook::Postrouting, 4),
];

pub(super) const META_KEYS: [(MetaKey, u32); 7] = [
    (MetaKey::Mark, 3),
    (MetaKey::Iif, 4),
    (MetaKey::Oif, 5),
    (MetaKey::IifName, 6),
    (MetaKey::OifName, 7),
    (MetaKey::NfProto, 15),
    (MetaKey::L4Proto, 16),
];

pub(super) const CT_KEYS: [(CtKey, u32); 4] = [
    (CtKey::State, 0),
    (CtKey::Direction, 1),
    (CtKey::Status, 2),
    (CtKey::Mark, 3),
];

pub(super) const BASES: [(Base, u32); 3] =
    [(Base::Link, 0), (Base::Network, 1), (Base::Transport, 2)];

pub(super) const FIB_RESULTS: [(FibResult, u32); 3] = [
    (FibResult::Oif, 1),
    (FibResult::OifName, 2),
    (FibResult::AddrType, 3),
];

pub(super) const CMP_OPS: [(CmpOp, u32); 6] = [
    (CmpOp::Eq, 0),
    (CmpOp::Ne, 1),
    (CmpOp::Lt, 2),
    (CmpOp::Le, 3),
    (CmpOp::Gt, 4),
    (CmpOp::Ge, 5),
];

/// The number of a value in one of the tables above.
pub(super) fn number_of<T: PartialEq, N: Copy + Default>(table: &[(T, N)], value: &T) -> N {
    table
        .iter()
        .find(|(known, _)| known == value)
        .map(|(_, number)| *number)
        .unwrap_or_default()
}

/// The value of a number in one of the tables above.
pub(super) fn value_of<T: Copy, N: PartialEq>(table: &[(T, N)], number: &N) -> Option<T> {
    table
        .iter()
        .find(|(_, known)| known == number)
        .map(|(value, _)| *value)
}

/// First of the 32-bit registers (`NFT_REG32_00`).
const REGISTER_FIRST: u32 = 8;
/// The register that holds verdicts.
pub(super) const REGISTER_VERDICT: u32 = 0;

pub(super) fn register_number(register: Register) -> u32 {
    REGISTER_FIRST + u32::from(register.0)
}

/// The slot of a register number; the kernel reports a slot at a 16-byte boundary by its old number, 1 to 4.
pub(super) fn register(number: u32) -> Option<Register> {
    let slot = match number {
        1..=4 => (number - 1) * 4,
        8..=23 => number - REGISTER_FIRST,
        _ => return None,
    };
    u8::try_from(slot).ok().map(Register)
}

/// Family, version and the subsystem the batch is for.
pub(super) fn batch_family() -> [u8; 4] {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    [FAMILY_UNSPEC, 0, high, low]
}

/// A message header that asks for an acknowledgement.
pub(super) fn with_acknowledgement(header: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    if let Some(flags) = header
        .get_mut(6..8)
        .and_then(|bytes| bytes.first_chunk_mut::<2>())
    {
        *flags = (u16::from_ne_bytes(*flags) | NLM_F_ACK).to_ne_bytes();
    }
    header
}
